"""How many epochs without improvement should a run wait before it ends?

    uv run scripts/exercises/patience.py [OVERRIDES]

Overrides apply to every run: data=mnist data.root=../shared/data epochs=30, or data.label_noise=0.2.
"""

from _exercise import exercise

import regexp

PATIENCES = (1, 2, 5, 10, 20)
SEEDS = range(5)

# Runs of the same seed differ only in when they end: a longer patience can only find a lower validation loss.
RUNS = [[f"early_stopping.patience={patience}", f"seed={seed}"] for patience in PATIENCES for seed in SEEDS]

with exercise() as overrides:
    regexp.sweep([["name=patience", *run, *overrides] for run in RUNS])
    print()
    print("Does waiting longer gain more than the spread between seeds, and at what cost?")
    print("Then: data.label_noise=0.2 early_stopping.restore_best=false, where it does harm")
