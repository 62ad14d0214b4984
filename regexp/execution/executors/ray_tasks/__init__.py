"""The executor that trains cohorts as tasks of Ray, on this machine or on a cluster that is running."""
