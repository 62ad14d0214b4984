"""From Python and notebooks: run, sweep, load_run, compare."""

from collections.abc import Sequence
from pathlib import Path

from regexp.comparison.compare import compare_all
from regexp.comparison.export import Records, records
from regexp.comparison.loading import collect
from regexp.config.compose import compose_jobs
from regexp.errors import ConfigError
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.run import Run, load_run
from regexp.runs.sweep_record import SweepRecord

__all__ = ["Run", "compare", "load_run", "run", "sweep"]


def run(overrides: Sequence[str] = (), outputs: Path | str = "outputs", quiet: bool = False) -> Run:
    """Train one run, as `regexp OVERRIDES...` would; a finished one is returned at once.

    Args:
        overrides: as on the command line, for example ["normalization=batch", "seed=1"].
        outputs: folder below which it is recorded.
        quiet: show nothing.

    Raises:
        RegexpError: of the kind that says what is wrong (see regexp.errors). A run that diverges raises nothing: its
            status is "diverged".
    """
    if isinstance(overrides, str):
        raise ConfigError(f'{overrides!r}: overrides are a list of strings, such as ["seed=1"]')
    return sweep([overrides], outputs, quiet)[0]


def sweep(runs: Sequence[Sequence[str]], outputs: Path | str = "outputs", quiet: bool = False) -> list[Run]:
    """Train several runs, each given by its overrides, together where they can; returns them in order.

    Raises ConfigError for all jobs at once, before any is trained; otherwise as `run`.
    """
    if isinstance(runs, str) or any(isinstance(overrides, str) for overrides in runs):
        raise ConfigError(f'{runs!r}: a sweep is a list of runs, each a list of overrides: [["seed=0"], ["seed=1"]]')
    jobs = compose_jobs(runs)
    terminal = Terminal(quiet)
    for warning in dict.fromkeys(warning for job in jobs for warning in job.warnings):
        terminal.print_line(f"warning: {warning}")
    return train(jobs, Path(outputs), terminal, SweepRecord() if len(runs) > 1 else None)


def compare(
    paths: Sequence[Path | str | Run] | Path | str | Run = (),
    by: Sequence[str] | str = (),
    baseline: Sequence[str] | str = (),
    metric: str | None = None,
    where: Sequence[str] | str = (),
    sort: str | None = None,
) -> Records:
    """What `regexp-compare` says of runs, as records: pandas.DataFrame(compare("outputs/default")).

    Args:
        paths: folders of runs, or runs; none: the last sweep below outputs/.
        by: keys whose values are compared, averaged over all else.
        baseline: conditions "key=value" on what the others are compared with; the other keys keep their first value.
        metric: of the differences; one of regexp.comparison.rows.METRICS.
        where: conditions "key=value" or "key=value,value" that runs must meet.
        sort: metric or key; None: validation accuracy.

    Returns a record for each configuration: the keys that varied; every metric's mean, standard deviation (_sd) and
    95 % interval (_low, _high); the difference to the baseline, its p-values and its verdict. `notes` holds the rest.

    Raises ConfigError where there is nothing to compare, or for a mistake in what was asked.
    """
    given = [paths] if isinstance(paths, str | Path | Run) else paths
    folders = [path.directory if isinstance(path, Run) else Path(path) for path in given]
    by, baseline, where = ([words] if isinstance(words, str) else words for words in (by, baseline, where))
    return records(compare_all(collect(folders), by, baseline, metric, where, sort))
