"""Directories of runs: the records in them, and finding runs again.

Imports no torch, except to load the weights of a run.
"""
