"""Code of the user's own: finding what a command names, its source files, loading it, and telling its mistakes.

Never imports torch. Nothing in it looks for names in the files below outputs/: callers pass what was typed.
"""
