"""Dropout with and without BatchNorm: does it help in both cases?

    uv run scripts/exercises/dropout.py [OVERRIDES]

Overrides apply to every run: data=mnist data.root=../shared/data epochs=3, or 'model.hidden_sizes=[512]'.
"""

from _exercise import exercise

import regexp

NORMALIZATIONS = ("none", "batch")
PROBABILITIES = (0, 0.2, 0.5)
SEEDS = range(4)

RUNS = [
    [f"normalization={normalization}", f"model.dropout={probability}", f"seed={seed}"]
    for normalization in NORMALIZATIONS
    for probability in PROBABILITIES
    for seed in SEEDS
]

with exercise() as overrides:
    regexp.sweep([["name=dropout", *run, *overrides] for run in RUNS])
    print()
    print("Does the gap close because validation rises, or because training falls?")
    print("Then: 'model.hidden_sizes=[512]' data.train_size=200, with units to spare")
