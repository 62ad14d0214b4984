"""From Python and notebooks: run, sweep, load_run."""

from collections.abc import Sequence
from pathlib import Path

from regexp.composition import compose_jobs
from regexp.errors import ConfigError
from regexp.runs import Run, load_run
from regexp.sweeps import Sweep
from regexp.terminal import Terminal
from regexp.train import train

__all__ = ["Run", "load_run", "run", "sweep"]


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
        terminal.say(f"warning: {warning}")
    return train(jobs, Path(outputs), terminal, Sweep() if len(runs) > 1 else None)
