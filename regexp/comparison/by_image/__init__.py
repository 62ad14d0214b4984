"""Comparison image by image, of runs that have kept the logits of their test images. Imports no torch."""
