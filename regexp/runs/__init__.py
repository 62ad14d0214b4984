"""What a run leaves and how it is found again. Imports no torch, except to load a run's weights."""
