"""Hydra's own configuration: which of its keys work, where options are searched for, and files that cannot be read."""
