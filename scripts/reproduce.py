"""Train what is known of regularizers again, and write docs/results.md: uv run scripts/reproduce.py --help.

Finished runs are not trained again, and interrupted ones are resumed: the same command goes on where it was stopped.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from reproducing.commands import run_commands
from reproducing.experiment import Experiment
from reproducing.registry import EXPERIMENTS
from reproducing.storage import Storage

from regexp.cli.program import program
from regexp.config.keys import closest_match
from regexp.errors import SUCCESS, ConfigError, RunError, SetupError
from regexp.utils.exit_codes import print_error, record_status
from regexp.utils.messages import did_you_mean

REPORT = Path(__file__).resolve().parent.parent / "docs" / "results.md"
_SIGNAL = 128  # statuses above it are those of signals


def main() -> None:
    """Run the experiments that the command line asks for, and write the report after each."""
    with program() as words:
        arguments = parse_arguments(words)
        reproduce(arguments)


def parse_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="reproduce.py", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"experiments (default: all): {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="the directory that holds MNIST/raw")
    parser.add_argument(
        "--outputs", type=Path, default=Path("outputs"), metavar="DIR", help="the directory of the runs"
    )
    parser.add_argument("--report", type=Path, default=REPORT, metavar="FILE", help="the page to write")
    parser.add_argument("--report-only", action="store_true", help="train nothing; report the runs that are there")
    parser.add_argument("--small", action="store_true", help="train in seconds, for figures that mean nothing")
    return parser.parse_args(words)


def reproduce(arguments: argparse.Namespace) -> None:
    """Run experiments, and write the report after each.

    Raises:
        ConfigError: there is no experiment of a name, or the arguments do not go together.
    """
    if arguments.small and arguments.report == REPORT:
        raise ConfigError(
            "--small: its figures mean nothing, so they are not for docs/results.md; type --report FILE too"
        )
    if arguments.data is not None and not arguments.data.is_dir():
        raise ConfigError(f"--data {arguments.data}: there is no such directory")
    storage = Storage(arguments.report, arguments.outputs, arguments.small)
    for experiment in find_experiments(arguments.names):
        status = SUCCESS
        if not arguments.report_only:
            status = run_commands(experiment, arguments.outputs, arguments.data, arguments.small)
            record_status(status)
        if status != ConfigError.status:  # the command has said what is wrong
            report(experiment, storage, is_named=bool(arguments.names) or not arguments.report_only)
        if status == SetupError.status or status > _SIGNAL:  # the others would end in the same way
            print_error(f"stopped at {experiment.name}; the same command goes on from there")
            return
    if storage.path.exists():
        print(f"report  {storage.path}")


def find_experiments(names: Sequence[str]) -> list[Experiment]:
    """Return the experiments of these names; all where there are none.

    Raises:
        ConfigError: names each name that no experiment has.
    """
    problems = []
    for name in names:
        if name not in EXPERIMENTS:
            match = closest_match(name, list(EXPERIMENTS))
            hint = did_you_mean([match]) if match else f"; there are {', '.join(EXPERIMENTS)}"
            problems.append(f"{name}: there is no such experiment{hint}")
    if problems:
        raise ConfigError("\n".join(problems))
    return [EXPERIMENTS[name] for name in dict.fromkeys(names or EXPERIMENTS)]


def report(experiment: Experiment, storage: Storage, is_named: bool) -> None:
    """Write the section of an experiment if all of its runs have ended, or say that it stays as it is.

    Args:
        experiment: the experiment.
        storage: the report, and where its figures are stored.
        is_named: whether the command asks for this experiment, so that missing runs are an error.
    """
    selection = storage.select(experiment)
    if selection.is_complete:
        storage.write(experiment, selection)
        return
    if is_named or selection.runs:
        print_error(
            f"{experiment.name}: {len(selection.runs)} of {selection.job_count} runs have ended; its section is "
            "written when all have"
        )
    if is_named:
        record_status(RunError.status)


if __name__ == "__main__":
    main()
