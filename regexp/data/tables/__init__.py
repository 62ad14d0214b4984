"""Tables: rows of numbers and texts in a CSV or Parquet file, and their encoding as inputs of a network.

`csv_file` and `parquet_file` read the cells, `columns` decides what is a number, `table_source` puts both together, and
`encoding` makes features from the training rows' figures, once the rows are split. No torch is imported here.
"""
