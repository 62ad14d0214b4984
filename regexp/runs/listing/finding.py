"""Directories of runs below a directory, and the sweeps that planned them. Imports no torch."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regexp.errors import RunError
from regexp.runs.run import SET_ASIDE, Run
from regexp.runs.run_record import READ_ERRORS, describe_error, read_time
from regexp.utils.atomic_io import read_text
from regexp.utils.messages import quote_word, say


@dataclass(frozen=True)
class SweepMember:
    """A run that a sweep planned.

    Attributes:
        directory: the directory that the run was given.
        overrides: the overrides of the run.
        command: the command that started the sweep.
        started: the time at which the sweep started, in seconds since 1970; None if that was not recorded.
    """

    directory: Path
    overrides: tuple[str, ...]
    command: str = ""
    started: float | None = None


def find_run_directories(path: Path) -> Iterator[Path]:
    """Yield the directories of runs, at any depth: the path itself, or those below it."""
    return (directory for directory in walk_directories(path) if (directory / "run.json").exists())


def find_runs(directory: Path) -> Iterator[Run]:
    """Yield the runs recorded directly below a directory, by name, without those that were set aside."""
    for path in sorted(directory.glob("*/run.json")):
        if not is_set_aside(path.parent):
            try:
                yield Run(path.parent)
            except RunError:
                continue


def is_set_aside(directory: Path) -> bool:
    """Return whether a run was set aside because it was trained again."""
    return SET_ASIDE in directory.name


def walk_directories(top: Path) -> Iterator[Path]:
    """Yield a directory and all directories below it, by name, without hidden ones and those within runs.

    Links are followed, but no directory is visited twice. A sweep has thousands of runs, whose files are not listed.
    """
    visited: set[tuple[int, int]] = set()
    pending = [top]
    while pending:
        directory = pending.pop()
        try:
            stat = directory.stat()
            if (stat.st_dev, stat.st_ino) in visited:
                continue
            visited.add((stat.st_dev, stat.st_ino))
            is_run = (directory / "run.json").exists()
            names = [] if is_run else sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        except OSError:  # it is no directory, or may not be read
            continue
        yield directory
        pending += [directory / name for name in reversed(names) if not name.startswith(".")]


def read_sweep_members(run_directories: Iterable[Path]) -> tuple[list[SweepMember], list[str]]:
    """Return the members of all sweeps that planned runs in the same experiments, and what is wrong with their files.

    Args:
        run_directories: the directories of runs, each of them within that of its experiment.

    Returns:
        The members, oldest sweep first, in the order in which they were planned; a message for each file that is
        broken.
    """
    members = []
    problems = []
    for experiment in dict.fromkeys(directory.parent for directory in run_directories):
        for file in sorted((experiment / "sweeps").glob("*.json")):
            try:
                members += read_sweep(file)[1]
            except RunError as error:
                problems.append(str(error))
    return members, problems


@dataclass(frozen=True)
class RecordedSearch:
    """The search that a sweep belongs to.

    Attributes:
        study: the file of its study.
        confirms: whether the sweep trained the best configurations with new seeds; otherwise its runs are the trials.
    """

    study: Path
    confirms: bool


def read_search(file: Path) -> RecordedSearch | None:
    """Return the search that a sweep belongs to, given the file of the sweep; None where it belongs to none."""
    with suppress(OSError, *READ_ERRORS):
        search = json.loads(read_text(file))["search"]
        return RecordedSearch(file.parent / Path(search["study"]).name, bool(search.get("confirms", False)))
    return None


def read_sweep(file: Path) -> tuple[str, list[SweepMember]]:
    """Return the command and the members of a sweep; raise RunError if its file is broken."""
    directory = file.parent.parent
    try:
        record = json.loads(read_text(file))
        command, started = str(record["command"]), read_time(record.get("started"))
        return command, [
            SweepMember(directory / member["directory"], tuple(map(str, member["overrides"])), command, started)
            for member in record["members"]
        ]
    except (OSError, *READ_ERRORS) as error:
        remedy = f"{say('type', 'name')} the directory of its runs: {quote_word(str(directory))}"
        raise RunError(f"{describe_error(error, file)}; {remedy}") from error
