"""The configuration: its typed schema, composing it, checking it, and what is said of mistakes. Imports no torch."""
