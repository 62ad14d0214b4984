"""Which process trains a run, and in which directory: claims, the index of recorded runs, and reservations."""
