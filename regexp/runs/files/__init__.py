"""Files of a run that have a format of their own. Imports no torch."""
