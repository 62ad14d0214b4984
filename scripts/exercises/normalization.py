"""BatchNorm or LayerNorm: which learns faster, which generalizes better, and what does each gain over none?

    uv run scripts/exercises/normalization.py [OVERRIDES]

Overrides apply to every run: data=mnist data.root=../shared/data epochs=3, or batch_size=8.
"""

from _exercise import exercise

import regexp

NORMALIZATIONS = ("none", "batch", "layer")
RATES = (0.001, 0.01)
SEEDS = range(4)

RUNS = [
    [f"normalization={normalization}", f"optimizer.lr={rate}", f"seed={seed}"]
    for normalization in NORMALIZATIONS
    for rate in RATES
    for seed in SEEDS
]

with exercise() as overrides:
    regexp.sweep([["name=normalization", *run, *overrides] for run in RUNS])
    print()
    print("Normalization saves epochs. Does it also raise the accuracy beyond the spread?")
    print("Then: batch_size=8, where BatchNorm's statistics are noisy: harm or help?")
