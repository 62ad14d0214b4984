"""Directories of runs: what is recorded in them, and how runs are found again.

Imports no torch, except to load the weights of a run.
"""
