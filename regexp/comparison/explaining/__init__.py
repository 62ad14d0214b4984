"""Notes beside the tables of a comparison: what figures mean, and the time that they took. Imports no torch."""
