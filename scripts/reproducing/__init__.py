"""Published results that scripts/reproduce.py measures again, and the report that it writes of them."""
