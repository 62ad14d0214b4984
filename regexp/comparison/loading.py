"""Reading of the runs of a comparison; files that cannot be read become remarks. Imports no torch."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError
from regexp.runs.listing.finding import (
    RecordedSearch,
    SweepMember,
    find_run_directories,
    is_set_aside,
    read_search,
    read_sweep,
    read_sweep_members,
    walk_directories,
)
from regexp.runs.listing.seed_plans import find_seed_plans
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, RunRecord, describe_error, read_run_record
from regexp.runs.seed_plan import SeedPlan
from regexp.utils.messages import quote_word, say


@dataclass
class Collection:
    """The runs of a comparison.

    Attributes:
        title: the source of the runs: their directories, or the command of a sweep.
        records: the runs that could be read.
        missing_runs: the members of sweeps that have no directory.
        remarks: remarks on what was left out, and why.
        search: the search that chose the runs, or of which they confirm the best; None where there is none.
        sweep_starts: the times at which the sweeps of a run started, in seconds since 1970, by its directory.
        seed_plans: the plans of sweeps that added seeds to a run's configuration, by the run's directory.
    """

    title: str
    records: list[RunRecord]
    missing_runs: list[SweepMember] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    search: RecordedSearch | None = None
    sweep_starts: dict[Path, list[float]] = field(default_factory=dict)
    seed_plans: dict[Path, frozenset[SeedPlan]] = field(default_factory=dict)


def collect(paths: Sequence[Path]) -> Collection:
    """Return the runs below directories, or of a sweep.

    Args:
        paths: directories of a run or of runs, at any depth (outputs/NAME, outputs), or one sweep's JSON file; none:
            the last sweep below outputs/.

    Returns:
        The runs in the order in which sweeps planned them, then the others in the order in which they were started.

    Raises:
        ConfigError: a path does not exist or holds no runs, or there is no sweep.
        RunError: the file of the sweep is broken.
    """
    if not paths:
        return _collect_sweep(_last_sweep_files())
    paths = [expand_home(path) for path in paths]
    if len(paths) == 1 and paths[0].suffix == ".json" and paths[0].is_file():
        return _collect_sweep([paths[0]])
    collection = Collection(" ".join(map(str, paths)), [])
    directories: dict[Path, Path] = {}  # by resolved path: a directory may be named twice
    set_aside = set()
    for path in paths:
        run_directories = list(find_run_directories(path))
        if not run_directories:
            problem = "holds no runs"
            if not path.is_dir():
                problem = "is not a directory" if path.exists() else "there is no such directory"
            raise ConfigError(f"{path}: {problem}; {say('type', 'name')} a directory of runs, such as outputs/default")
        set_aside |= {directory.resolve() for directory in run_directories if is_set_aside(directory)}
        current_directories = {
            directory.resolve(): directory for directory in run_directories if not is_set_aside(directory)
        }
        directories = current_directories | directories
    if set_aside:
        collection.remarks.append(f"{format_count(len(set_aside), 'run')} set aside (*.old-*) left out")
    members = {member.directory: member for member in _read_sweeps(directories.values(), collection)}
    order = {directory: i for i, directory in enumerate(members)}
    _read_records(directories.values(), collection)
    collection.remarks += _describe_searches(_find_searches(directories.values()))
    collection.records.sort(key=lambda record: (order.get(record.directory, len(order)), record.started))
    if all(path.is_dir() and not os.path.exists(path / "run.json") for path in paths):
        collection.missing_runs = [member for path, member in members.items() if not os.path.exists(path / "run.json")]
    return collection


def collect_runs(runs: Sequence[Run], title: str) -> Collection:
    """Return a collection of these runs, in their order, under this title."""
    collection = Collection(title, [])
    _read_records({run.directory: run for run in runs}.values(), collection)
    return collection


def _collect_sweep(files: Sequence[Path]) -> Collection:
    """Return the members of a sweep, which has a file for each `name` that it trained under."""
    collection = Collection("", [])
    directories = []
    for file in files:
        collection.title, members = read_sweep(file)
        collection.search = collection.search or read_search(file)
        for member in members:
            if os.path.exists(member.directory / "run.json"):
                directories.append(member.directory)
            else:
                collection.missing_runs.append(member)
    if collection.search is not None and not collection.search.confirms:
        collection.remarks += _describe_searches([collection.search])
    _read_sweeps(directories, Collection("", [], sweep_starts=collection.sweep_starts))
    _read_records(directories, collection)
    return collection


def _read_sweeps(directories: Iterable[Path], collection: Collection) -> list[SweepMember]:
    """Return the members of all sweeps beside these runs, oldest sweep first, and add the sweeps' starts.

    Args:
        directories: the directories of the runs.
        collection: the collection that gets the starts, and a remark on each file of a sweep that is broken.
    """
    members, problems = read_sweep_members(directories)
    collection.remarks += problems
    for member in members:
        if member.started is not None:
            collection.sweep_starts.setdefault(member.directory, []).append(member.started)
    return members


def _find_searches(directories: Iterable[Path]) -> list[RecordedSearch]:
    """Return the searches whose trials are among the runs beside these directories."""
    experiments = {directory.parent for directory in directories}
    searches = [read_search(file) for experiment in experiments for file in (experiment / "sweeps").glob("*.json")]
    return [search for search in searches if search is not None and not search.confirms]


def _describe_searches(searches: Sequence[RecordedSearch]) -> list[str]:
    """Return a remark on the runs that are trials of searches, if there are some."""
    studies = sorted({str(search.study) for search in searches})
    if not studies:
        return []
    return [
        f"some runs are trials of a search ({', '.join(studies)}): the best of many look better than they are, and "
        "verdicts on them are too sure; hydra.sweeper.confirm=10 compares them honestly"
    ]


def _last_sweep_files() -> list[Path]:
    """Return the files of the sweep that was started last; raise ConfigError if there is none."""
    sweeps = [directory for directory in walk_directories(Path("outputs")) if directory.name == "sweeps"]
    files = [file for sweep in sweeps for file in sweep.glob("*.json") if re.fullmatch(r"[\d-]+", file.stem)]
    if not files:
        directories = sorted({directory.parent for directory in find_run_directories(Path("outputs"))})
        if directories:
            directory = str(directories[0])
            command, call = f"regexp-compare {quote_word(directory)}", f"compare({directory!r})"
            remedy = f"{say('type', 'name')} the directory of runs: {say(command, call)}"
        else:
            remedy = "train one first: " + say("regexp -m seed=0,1,2", 'sweep({"seed": [0, 1, 2]})')
        raise ConfigError(f"there is no sweep below outputs/ here; {remedy}")
    last_id = max(file.stem for file in files)
    return sorted(file for file in files if file.stem == last_id)


def _read_records(sources: Iterable[Run | Path], collection: Collection) -> None:
    """Add runs, or those of directories, to a collection, with their plans of seeds; broken runs become remarks."""
    for source in sources:
        directory = source.directory if isinstance(source, Run) else source
        try:
            collection.records.append(read_run_record(source if isinstance(source, Run) else Run(directory)))
        except READ_ERRORS as error:
            collection.remarks.append(f"left out: {describe_error(error, directory / 'run.json')}")
    directories = [record.directory for record in collection.records]
    plans, problems = find_seed_plans(directory.parent for directory in directories)
    collection.remarks += [problem for problem in problems if problem not in collection.remarks]
    for directory in directories if plans else ():
        collection.seed_plans[directory] = frozenset(plans.get(directory.resolve(), ()))


def format_count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 run" or "1,000 runs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
