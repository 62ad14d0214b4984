"""The public functions for Python and notebooks. Imports no torch until something is trained or drawn."""
