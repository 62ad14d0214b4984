"""Layers that regularize: dropout, noise, and batch normalization of parts."""
