"""The cost of each regularizer in a training step."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.timing import Rows, compare_with, counted_turns, take_turns

# The overrides that switch each regularizer on.
REGULARIZERS = {
    "mixup": ["mixing=mixup"],
    "cutmix": ["mixing=cutmix", "mixing.probability=1"],
    "sharpness-aware minimization": ["optimizer.sam_rho=0.05"],
    "lookahead": ["optimizer.lookahead_k=5"],
    "max-norm": ["optimizer.max_norm=3"],
    "noise on gradients": ["optimizer.gradient_noise=0.01"],
    "exponential average": ["averaging=ema"],
    "stochastic weight average": ["averaging=swa", "averaging.start=0"],
    "snapshot ensemble": ["averaging=snapshots"],
    "fast gradient sign": ["adversarial=fgsm"],
    "projected gradient, 7 steps": ["adversarial=pgd"],
    "label smoothing": ["loss.label_smoothing=0.1"],
    "confidence penalty": ["loss.confidence_penalty=0.1"],
    "focal loss": ["loss=focal"],
    "bootstrapping": ["loss=bootstrap"],
    "balanced classes": ["loss.class_weights=balanced"],
    "dropout": ["model.dropout=0.5"],
    "dropout of the input": ["model.input_dropout=0.2"],
    "noise on hidden units": ["model.noise=0.1"],
    "ghost batches": ["normalization.virtual_batch=16"],
}


def benchmark_regularizers(root: Path, epochs: int, train_size: int | None) -> Rows:
    """Compare the seconds of an epoch of a run with each regularizer with those of one without any.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for all.
    """
    common = [*LESSON, "augmentation=none", *limit_images(train_size)]
    with tempfile.TemporaryDirectory() as outputs:
        functions: dict[str, Callable[[], None]] = {}
        for name, overrides in {"none": [], **REGULARIZERS}.items():
            functions[name] = EpochwiseCohort([[*common, *overrides]], root, epochs + 2, Path(outputs))
        seconds = {name: counted_turns(values, epochs) for name, values in take_turns(functions, epochs + 2).items()}
    return compare_with("none", seconds)
