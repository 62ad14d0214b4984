"""The configuration: its typed schema, its composition and checks, and messages about mistakes. Imports no torch."""
