"""Images and labels: readers, downloads, splits and fingerprints. Knows nothing of runs and models.

`sources` finds a data set and takes its fingerprint without importing torch.
"""
