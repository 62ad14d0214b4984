"""Comparing runs: loading, grouping, statistics, verdicts, tables and plots. Imports no torch."""
