"""Executors, which hand the cohorts of a sweep to what trains them: this process, or worker processes."""
