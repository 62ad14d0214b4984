"""Builders of the parts of a cohort: image streams, losses, and what updates the weights."""
