"""The executor that submits the cohorts of a sweep to SLURM, as jobs that outlive the command. Imports no torch."""
