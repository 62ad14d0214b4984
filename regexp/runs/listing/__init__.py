"""Lists of runs: found below a directory, and as records of plain values. Imports no torch."""
