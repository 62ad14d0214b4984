"""The schemas of the groups of a configuration: the keys of each option, with defaults, help, constraints and marks."""
