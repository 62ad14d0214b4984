"""The public functions for Python and notebooks: run, sweep, load_run and compare."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.comparison.compare import compare_collection
from regexp.comparison.formats.records import RowRecords, make_row_records
from regexp.comparison.loading import collect
from regexp.config.compose import compose_jobs
from regexp.config.words.homes import expand_home
from regexp.data.arrays import Arrays
from regexp.errors import ConfigError
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.run import Run, load_run
from regexp.runs.sweep_record import SweepRecord
from regexp.user_code.loading import name_python_object
from regexp.user_code.python_objects import find_unknown_sources
from regexp.user_code.targets import PYTHON_PREFIX

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Arrays", "Run", "compare", "load_run", "run", "sweep"]


def run(
    overrides: Sequence[str] = (),
    outputs: Path | str = "outputs",
    quiet: bool = False,
    data: Arrays | None = None,
    model: "Callable[..., nn.Module] | None" = None,
) -> Run:
    """Train one run, as `regexp OVERRIDES...` does on the command line.

    A run that has finished before is not trained again but returned at once; one that was interrupted is resumed.

    Args:
        overrides: the overrides, each a string such as "normalization=batch" or "seed=1".
        outputs: the directory below which the run is recorded.
        quiet: whether to print nothing; warnings then go to Python's `warnings`.
        data: images and labels in memory, in the place of the option data=...; None for that.
        model: a class or function that makes the network, a torch.nn.Module from images [B, C, H, W] to logits
            [B, classes]; its keyword arguments are `model.options.NAME=VALUE` among the overrides, and `classes` and
            `in_shape` ([C, H, W]) where it has parameters of these names. None for the model that the overrides choose.

    Returns:
        The run. One that diverged is returned as well, with the status "diverged".

    Raises:
        ConfigError: the overrides do not make a valid configuration; the message lists all problems.
        RunBusy: another process is training this run.
        SetupError: the data, the device or the disk does not allow the run (see regexp.errors).
        KeyboardInterrupt: training was interrupted; the same call resumes it.

    Example:
        >>> from regexp import run
        >>> trained_run = run(["normalization=batch", "seed=1"], quiet=True)
        >>> trained_run.status
        'stopped_early'
        >>> round(trained_run.summary["test"]["accuracy"], 3)
        0.981
    """
    if isinstance(overrides, str):
        raise ConfigError(f'{overrides!r}: overrides must be a list of strings, such as ["seed=1"]')
    return sweep([overrides], outputs, quiet, data=data, model=model)[0]


def sweep(
    runs: Sequence[Sequence[str]],
    outputs: Path | str = "outputs",
    quiet: bool = False,
    workers: int | None = None,
    data: Arrays | None = None,
    model: "Callable[..., nn.Module] | None" = None,
) -> list[Run]:
    """Train several runs, in as few cohorts as their configurations allow.

    Runs that have finished before are not trained again. If a run fails, the others are trained all the same.

    Args:
        runs: the overrides of each run, as for `run`.
        outputs: the directory below which the runs are recorded.
        quiet: whether to print nothing; warnings then go to Python's `warnings`.
        workers: the number of processes that train at the same time; None for as many as the cores, the memory and the
            work allow, 1 for this process.
        data: images and labels in memory for all runs, in the place of the option data=...; None for that.
        model: the class or function that makes the networks of all runs, as for `run`. One of a notebook or a script
            trains in this process; one of a module that can be imported also in others.

    Returns:
        The runs, in the order of their overrides.

    Raises:
        ConfigError: some overrides do not make a valid configuration; the message lists all problems of all runs, and
            nothing was trained.
        RunBusy: other processes train some of the runs, and all others have ended.
        RunError: some runs failed and others have finished.
        SetupError: the data, the device or the disk does not allow the runs (see regexp.errors).
        KeyboardInterrupt: training was interrupted; the same call resumes it.

    Example:
        >>> from regexp import sweep
        >>> runs = sweep([["model.dropout=0.2", f"seed={seed}"] for seed in range(3)], quiet=True)
        >>> [run.summary["cohort"]["size"] for run in runs]
        [3, 3, 3]
    """
    if isinstance(runs, str) or any(isinstance(overrides, str) for overrides in runs):
        raise ConfigError(f'{runs!r}: a sweep is a list of runs, each a list of overrides: [["seed=0"], ["seed=1"]]')
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ConfigError(f"workers={workers!r}: must be None or a whole number of at least 1")
    if data is not None:
        runs = _choose_data(runs, data)
    warnings: Sequence[str] = ()
    if model is not None:
        target = name_python_object(model)
        runs = _choose_model(runs, target)
        if target.startswith(PYTHON_PREFIX):  # other processes cannot import it
            workers, warnings = 1, find_unknown_sources(target)
    jobs = compose_jobs(runs)
    terminal = Terminal(quiet)
    for warning in dict.fromkeys([*warnings, *(warning for job in jobs for warning in job.warnings)]):
        terminal.console.print_warning(warning)
    return train(jobs, expand_home(outputs), terminal, SweepRecord(workers=workers) if len(runs) > 1 else None)


def _choose_data(runs: Sequence[Sequence[str]], data: Arrays) -> list[list[str]]:
    """Return the overrides of runs with those that choose arrays in memory."""
    for overrides in runs:
        for override in overrides:
            if override.startswith(("data=", "data.path=", "data.root=")):
                raise ConfigError(f"{override} with data=Arrays(...): both choose the data; leave one of them out")
    if not isinstance(data, Arrays):
        raise ConfigError(f"data={type(data).__name__}: must be regexp.Arrays(images, labels), or None")
    choice = ["data=arrays", f"data.path={data.save()}"]
    return [[*choice, *overrides] for overrides in runs]


def _choose_model(runs: Sequence[Sequence[str]], target: str) -> list[list[str]]:
    """Return the overrides of runs with those that choose a target of the user's own as the model."""
    for overrides in runs:
        for override in overrides:
            if override.startswith(("model=", "model.target=")):
                raise ConfigError(f"{override} with model=...: both choose the model; leave one of them out")
    return [["model=module", f"model.target={target}", *overrides] for overrides in runs]


def compare(
    paths: Sequence[Path | str | Run] | Path | str | Run = (),
    by: Sequence[str] | str = (),
    baseline: Sequence[str] | str = (),
    metric: str | None = None,
    where: Sequence[str] | str = (),
    sort: str | None = None,
) -> RowRecords:
    """Compare configurations over their seeds, as `regexp-compare` does on the command line.

    Args:
        paths: the runs, or directories of runs such as "outputs/default"; by default, the last sweep below outputs/.
        by: the keys whose values are compared, averaged over all other keys; by default, all keys that varied.
        baseline: conditions "key=value" on the configuration that the others are compared with; a key without a
            condition has its first value.
        metric: the metric of the differences, one of regexp.config.metric_registry.RUN_METRICS; None: test accuracy, or
            validation accuracy where no run has a test accuracy.
        where: conditions "key=value" or "key=value,value" that a run has to meet to be compared.
        sort: the metric or key by which the rows are sorted; None: validation accuracy.

    Returns:
        A dictionary for each configuration: the values of the keys that varied; the mean of every metric over seeds
        with its standard deviation (_sd) and 95 % interval (_low, _high); the difference to the baseline with its
        p-values and its verdict. Accuracies are fractions, losses are in nats. The list makes a table with
        pandas.DataFrame(rows). Its attribute `notes` says what the figures rest on, and which runs they leave out.

    Raises:
        ConfigError: there is nothing to compare, or an argument does not fit the runs.
        RunError: the record of the last sweep is broken.

    Example:
        >>> from regexp import compare, sweep
        >>> grid = [[f"normalization={name}", f"seed={seed}"] for name in ("none", "batch") for seed in range(5)]
        >>> for row in compare(sweep(grid, quiet=True)):
        ...     print(row["normalization"], round(row["test_accuracy"], 3), row["verdict"])
        batch 0.982 better
        none 0.976 baseline
    """
    if isinstance(paths, str | Path | Run):
        paths = [paths]
    directories = [path.directory if isinstance(path, Run) else Path(path) for path in paths]
    by, baseline, where = ([words] if isinstance(words, str) else words for words in (by, baseline, where))
    return make_row_records(compare_collection(collect(directories), by, baseline, metric, where, sort))
