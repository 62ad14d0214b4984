"""The one training loop and what it needs. Knows nothing of files, terminals and Hydra."""
