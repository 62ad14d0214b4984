"""The command lines of `regexp` and `regexp-compare`: their arguments and their help."""
