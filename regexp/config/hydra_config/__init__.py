"""Hydra's own configuration: which of its keys work, which are refused and why, and where options are searched for."""
