"""General helpers that know nothing of experiments.

They are atomic files, messages, signals, exit codes, the console, random streams and the device. Only `device` and
`rng` import torch.
"""
