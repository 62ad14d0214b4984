"""Searches with Optuna: their space, their study, how trials end, and what is found. Imports no torch."""
