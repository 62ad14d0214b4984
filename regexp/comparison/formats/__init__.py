"""The formats of a comparison: tables, and how each output writes them. Imports no torch."""
