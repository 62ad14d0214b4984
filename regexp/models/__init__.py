"""Models: stacked layers with a leading run axis, and the networks built of them. Knows nothing of data."""
