"""Searches as they run: batches of trials that train together, and what is printed at the end."""
