"""Trained networks put to use: loaded, asked about new pictures, arrays and rows, and exported.

Nothing here shapes a result, and torch is imported only when a network is loaded.
"""
