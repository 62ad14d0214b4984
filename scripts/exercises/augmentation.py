"""RandomCrop and other augmentations: which of them help, and which ask for what the test set does not hold?

    uv run scripts/exercises/augmentation.py [OVERRIDES]

Overrides hold for every run: data=mnist data.root=../shared/data epochs=3. There `crop` is RandomCrop(24), of images
of 28 pixels; digits, of 8, lose the same share of their side.
"""

from _exercise import exercise

import regexp

AUGMENTATIONS = ("none", "crop", "shift", "affine", "elastic", "erase", "lesson")
SEEDS = range(3)

RUNS = [[f"augmentation={augmentation}", f"seed={seed}"] for augmentation in AUGMENTATIONS for seed in SEEDS]

with exercise() as overrides:
    regexp.sweep([["name=augmentation", *run, *overrides] for run in RUNS])
    print()
    print("What is harder takes longer: which runs had not ended after 100 epochs?")
    print("Then: optimizer.lr=0.01 early_stopping=patient epochs=400, with time to learn")
