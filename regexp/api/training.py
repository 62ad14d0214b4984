"""Training from Python: one run, or a sweep."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regexp.api.choices import Data, Model, add_choices
from regexp.config.compose import compose_jobs, expand_experiments
from regexp.config.words.homes import expand_home
from regexp.config.words.python_values import Overrides, expand_python_grid, write_overrides
from regexp.errors import ConfigError, DivergedRun, Interrupted
from regexp.execution.launching.rounds import train_until_decided
from regexp.execution.launching.seed_planning import OpenSweep, plan_seeds
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.listing.run_list import Runs
from regexp.runs.run import Run
from regexp.runs.sweep_record import SweepRecord
from regexp.user_code.loading import name_python_object
from regexp.user_code.python_objects import find_unknown_sources
from regexp.user_code.targets import PYTHON_PREFIX
from regexp.utils.console import warn_caller
from regexp.utils.messages import list_first, speak_python


def run(
    overrides: Overrides = (),
    outputs: Path | str = "outputs",
    quiet: bool = False,
    data: Data = None,
    model: Model = None,
    **values: Any,
) -> Run:
    """Train one run, as the command regexp does.

    A run that has finished before is not trained again but returned at once; one that was interrupted is resumed.

    Args:
        overrides: the values of keys, {"optimizer.lr": 0.01, "normalization": "batch"}, or a list of overrides as on
            the command line, ["optimizer.lr=0.01", "normalization=batch"]. A key may begin with + or ~ as there:
            {"+augmentation.rotate": {"degrees": 15}}, {"~augmentation.flip": None}.
        outputs: the directory below which the run is recorded.
        quiet: whether to show nothing; warnings then go to Python's `warnings`.
        data: the name of a data set, such as "mnist", or images and labels in memory; None: what the overrides choose.
        model: the name of a model, such as "cnn", or a class or function that makes the network, a torch.nn.Module
            from images [B, C, H, W] to logits [B, classes]; its keyword arguments are `model.options.NAME` among the
            overrides, and `classes` and `in_shape` ([C, H, W]) where it has parameters of these names. None: what the
            overrides choose.
        **values: the values of more keys: epochs=3. Two underscores stand for a dot: optimizer__lr=0.01.

    Returns:
        The run. One that diverged is returned as well, with the status "diverged", and the warning DivergedRun is
        given. `warnings.simplefilter("error", regexp.errors.DivergedRun)` makes an exception of it.

    Raises:
        ConfigError: the overrides do not make a valid configuration; the message lists all problems.
        RunBusy: another process is training this run.
        SetupError: the data, the device or the disk does not allow the run (see regexp.errors).
        KeyboardInterrupt: training was interrupted; the same call resumes it.

    Example:
        >>> from regexp import run
        >>> trained_run = run({"normalization": "batch", "optimizer.lr": 0.01}, seed=1, quiet=True)
        >>> trained_run.status
        'stopped_early'
        >>> round(trained_run.summary["test"]["accuracy"], 3)
        0.975
    """
    with speak_python():
        words = add_choices([write_overrides(overrides)], data, model, values)
        experiment_runs = expand_experiments(words)
        if len(experiment_runs) > 1:
            experiment = next(word for word in reversed(words[0]) if word.startswith("experiment="))
            raise ConfigError(
                f"{experiment}: is a sweep of {len(experiment_runs)} runs; call sweep, or give each key of the sweep "
                "one value"
            )
        return _train(experiment_runs, outputs, quiet, 1, model)[0]


def sweep(
    runs: Sequence[Overrides] | Mapping[str, Any] | None = None,
    outputs: Path | str = "outputs",
    quiet: bool = False,
    workers: int | None = None,
    data: Data = None,
    model: Model = None,
    until: str | None = None,
    max_seeds: int | None = None,
    margin: float | None = None,
    **values: Any,
) -> Runs:
    """Train several runs, in as few cohorts as their configurations allow.

    Runs that have finished before are not trained again. If a run fails, the others are trained all the same.

    Args:
        runs: a grid, {"normalization": ["none", "batch"], "seed": range(5)}, of which every combination is trained;
            or a list with the overrides of each run, as for `run`: [{"seed": 0}, {"seed": 1, "epochs": 20}]. In a grid
            the value of a key that holds a list is in a list of its own: {"model.hidden_sizes": [[64], [128, 64]]}.
            None: the sweep of an experiment, sweep(experiment="lesson_patience").
        outputs: the directory below which the runs are recorded.
        quiet: whether to show nothing; warnings then go to Python's `warnings`.
        workers: the number of processes that train at the same time; None for as many as the cores, the memory and the
            work allow, 1 for this process.
        data: the data of all runs, as for `run`.
        model: the model of all runs, as for `run`. A class of a notebook or a script trains in this process; one of a
            module that can be imported also in others.
        until: "decided": add seeds to the configurations whose verdicts are open until every one is decided, or cannot
            be; the grid has the first seeds. None: train the seeds of the grid.
        max_seeds: with until="decided", the most seeds of a configuration; None: 20.
        margin: with until="decided", the difference that does not matter, in percentage points (or in the metric's
            unit): a verdict of "equivalent" then ends the search for seeds as well. None: there is none.
        **values: the values of keys that all runs share, as for `run`: epochs=20.

    Returns:
        The runs, in the order in which they were asked for. Those that diverged are among them, with the status
        "diverged", and the warning DivergedRun names them.

    Raises:
        ConfigError: some overrides do not make a valid configuration; the message lists all problems of all runs, and
            nothing was trained.
        RunBusy: other processes train some of the runs, and all others have ended.
        RunError: some runs failed and others have finished.
        SetupError: the data, the device or the disk does not allow the runs (see regexp.errors).
        KeyboardInterrupt: training was interrupted; the same call resumes it.

    Example:
        >>> from regexp import sweep
        >>> runs = sweep({"model.dropout": [0, 0.2], "seed": range(3)}, epochs=20, quiet=True)
        >>> [run.config["model.dropout"] for run in runs]
        [0.0, 0.0, 0.0, 0.2, 0.2, 0.2]
        >>> runs[0].summary["cohort"]["size"]
        6
    """
    with speak_python():
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ConfigError(f"workers={workers!r}: must be None or a whole number of at least 1")
        runs = {} if runs is None else runs
        if isinstance(runs, str) or not isinstance(runs, Mapping | Sequence):
            runs = [runs]  # whose message says what overrides are
        members = expand_python_grid(runs) if isinstance(runs, Mapping) else runs
        if any(isinstance(overrides, str) for overrides in members):
            raise ConfigError(
                f'{runs!r}: a sweep is a grid such as {{"seed": [0, 1]}}, or a list with the overrides of each run, '
                'such as [{"seed": 0}, {"seed": 1}]'
            )
        if not members:
            raise ConfigError(f"{runs!r}: a sweep needs at least one run, and each key of a grid at least one value")
        words = expand_experiments(add_choices([write_overrides(member) for member in members], data, model, values))
        return _train(words, outputs, quiet, workers, model, plan_seeds(words, until, max_seeds, margin))


def _train(
    runs: Sequence[Sequence[str]],
    outputs: Path | str,
    quiet: bool,
    workers: int | None,
    model: Model,
    open_sweep: OpenSweep | None = None,
) -> Runs:
    """Train runs, given by the overrides of each, and warn of those that diverged; see `sweep`.

    Where a sweep is open, these are its first runs, and more seeds follow.
    """
    jobs = compose_jobs(runs)
    unknown_sources: Sequence[str] = ()
    if model is not None and not isinstance(model, str):
        target = name_python_object(model)
        if target.startswith(PYTHON_PREFIX):  # other processes cannot import it
            workers, unknown_sources = 1, find_unknown_sources(target)
    terminal = Terminal(quiet)
    for warning in dict.fromkeys([*unknown_sources, *(warning for job in jobs for warning in job.warnings)]):
        terminal.console.print_warning(warning)
    sweep_record = SweepRecord(workers=workers) if len(runs) > 1 else None
    directory = expand_home(outputs)

    def train_round(overrides: Sequence[Sequence[str]]) -> list[Run]:
        return train(compose_jobs(overrides), directory, terminal, sweep_record)

    try:
        if open_sweep is None or sweep_record is None:
            trained_runs = Runs(train(jobs, directory, terminal, sweep_record))
        else:
            sweep_record.seed_plan = open_sweep.plan
            trained_runs = Runs(train_until_decided(open_sweep, train_round, terminal))
    except Interrupted:
        raise
    except KeyboardInterrupt as error:  # while torch was imported, or a second one: told as the first one is
        raise Interrupted(signal.SIGINT) from error
    _warn_of_divergence(trained_runs)
    return trained_runs


def _warn_of_divergence(runs: Sequence[Run]) -> None:
    """Give the warning DivergedRun if some of the runs diverged."""
    diverged = [str(run.directory) for run in dict.fromkeys(runs) if run.status == "diverged"]
    if diverged:
        count = "the run" if len(runs) == 1 else f"{len(diverged)} of {len(runs)} runs"
        warn_caller(
            f"{count} diverged: the loss is not finite. Try a smaller optimizer.lr, or optimizer.clip_norm=1."
            + list_first(diverged),
            DivergedRun,
        )
