"""The command lines of `regexp` and `regexp-compare`: what they read, and the help that they print."""
