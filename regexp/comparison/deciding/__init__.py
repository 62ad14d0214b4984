"""What decides a verdict beside a single t test: several looks, a margin, and whether more seeds could help."""
