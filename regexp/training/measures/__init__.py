"""Measures of runs that have ended, which need more of a split than a sum of one number over its images."""
