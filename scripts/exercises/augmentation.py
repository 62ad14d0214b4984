"""RandomCrop and other augmentations: which of them help, and which only make training harder?

    uv run scripts/exercises/augmentation.py [OVERRIDES]

Overrides apply to every run: data=mnist data.root=../shared/data epochs=3. On MNIST, whose images have 28 x 28 pixels,
`crop` is RandomCrop(24); on digits, with 8 x 8 pixels, it removes about the same share.
"""

from _exercise import exercise

import regexp

AUGMENTATIONS = ("none", "crop", "shift", "affine", "elastic", "erase", "lesson")
SEEDS = range(3)

RUNS = [[f"augmentation={augmentation}", f"seed={seed}"] for augmentation in AUGMENTATIONS for seed in SEEDS]

with exercise() as overrides:
    regexp.sweep([["name=augmentation", *run, *overrides] for run in RUNS])
    print()
    print("Harder images take longer to learn: which runs were still going at epoch 100?")
    print("Then: optimizer.lr=0.01 early_stopping=patient epochs=400, with time to learn")
