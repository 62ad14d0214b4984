"""What is typed for a text, a path or a whole number, in words of a command line and in files, as it was meant."""
