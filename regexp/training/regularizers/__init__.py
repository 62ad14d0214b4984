"""Regularizers beside the loss, each in a file of its own: what they do to a step's images, gradients and weights."""
