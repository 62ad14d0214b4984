"""Plots of a comparison, in black and white. Imports no torch."""
