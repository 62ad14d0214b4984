"""What any program could use: atomic files, signals, exit codes, the console, random streams, the device.

Knows nothing of experiments. `device` and `rng` alone import torch."""
