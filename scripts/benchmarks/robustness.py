"""The cost of testing on corrupted images, which a run pays once, at its end."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.cohorts import LESSON
from benchmarks.timing import Rows, compare_with, counted_turns, take_turns
from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS, corrupt, draw_corruptions
from regexp.config.compose import compose_job
from regexp.config.schema import Config
from regexp.data.dataset import Images, scale
from regexp.execution.builders import load_dataset, make_architecture
from regexp.models.protocol import Model
from regexp.training.evaluation import evaluate
from regexp.training.measures.robustness import measure_robustness
from regexp.utils.device import Backend, choose_backend

RUNS = (1, 16)


def benchmark_robustness(root: Path, turns: int) -> Rows:
    """Compare the seconds that runs take for the corrupted test images of MNIST with those for the images as they are.

    Below is what it takes to corrupt images in all strengths.

    Args:
        root: the directory that holds MNIST/raw.
        turns: how often each is measured.
    """
    config = compose_job([*LESSON, "data.validation=holdout", f"data.root={root}"]).config
    test = load_dataset(config).test
    assert test is not None
    backend = choose_backend("cpu", None, "float32", 1)
    rows: Rows = {}
    for num_runs in RUNS:
        model = _make_model(config, num_runs)
        functions: dict[str, Callable[[], object]] = {
            f"test images, K = {num_runs}": _bind(evaluate, model, num_runs, test, backend),
            f"corrupted test images, K = {num_runs}": _bind(measure_robustness, model, num_runs, test, backend),
        }
        seconds = {name: counted_turns(values, turns) for name, values in take_turns(functions, turns + 2).items()}
        rows |= compare_with(next(iter(functions)), seconds)
    images = scale(test.images[:1000], backend.dtype)
    draws = draw_corruptions(len(images), *images.shape[1:])
    corruptions = {
        f"1,000 images, {name}": lambda name=name: [corrupt(images, name, i, draws) for i in range(NUM_STRENGTHS)]
        for name in CORRUPTIONS
    }
    seconds = {name: counted_turns(values, turns) for name, values in take_turns(corruptions, turns + 2).items()}
    return rows | compare_with(next(iter(corruptions)), seconds)


def _make_model(config: Config, num_runs: int) -> Model:
    architecture = make_architecture(config, load_dataset(config))
    return architecture.make_model(range(num_runs), [{}] * num_runs)


def _bind(
    function: Callable[..., object], model: Model, num_runs: int, test: Images, backend: Backend
) -> Callable[[], object]:
    return lambda: function(model, num_runs, test, backend)
