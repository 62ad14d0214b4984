"""Execution: building cohorts from jobs, training them in this process, recording them and showing their progress."""
