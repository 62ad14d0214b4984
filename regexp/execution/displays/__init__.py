"""Displays of training: what a terminal, a file or a notebook shows while cohorts train. Imports no torch."""
