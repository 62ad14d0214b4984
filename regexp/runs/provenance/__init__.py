"""What code trained a run: the hash of what shapes results, and the commit of the repository around it."""
