"""Checks of parts of a configuration that have rules of their own."""
