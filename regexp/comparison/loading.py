"""Runs as they are compared: each file read once, and whatever cannot be used said. Imports no torch."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regexp.errors import ConfigError, RunError
from regexp.runs.identity import IGNORED_KEYS
from regexp.runs.run import Run
from regexp.utils.processes import is_alive

# What reading a file that is not whole, or that someone has written, can raise.
_BROKEN = (RunError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
# Ways to end that leave figures to compare, and words for all others.
FINISHED = ("completed", "stopped_early")
NOT_COMPARED = ("diverged", "failed", "running", "interrupted", "broken")


@dataclass(frozen=True)
class Record:
    """What one run has left.

    Attributes:
        config: flat, without what cannot change the result and without the seed.
        setting: equal for runs that differ in their seed only.
        status: one of FINISHED or OTHERS.
        figures: of its summary, by the names in METRICS (regexp.comparison.rows); those it does not have are left out.
        epoch: the last that it has recorded.
        epochs: the most that it may train.
        images: in each part of the data, by its name.
        problem: what is wrong with its files, or why it failed.
        again: the command that trains it again.
    """

    directory: Path
    overrides: tuple[str, ...]
    seed: int
    config: dict[str, Any]
    setting: str
    code: str
    started: str
    status: str
    figures: dict[str, float]
    epoch: int
    epochs: int
    images: dict[str, int]
    validation: str
    problem: str | None
    again: str

    @property
    def finished(self) -> bool:
        """Whether it has ended as it should."""
        return self.status in FINISHED


@dataclass
class Collection:
    """Runs to compare.

    Attributes:
        title: where they are from.
        missing: members of their sweeps that left nothing, by their overrides.
        remarks: what was left out, and why.
    """

    title: str
    records: list[Record]
    missing: list[tuple[str, ...]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SweepMember:
    """A run that a sweep asked for."""

    directory: Path
    overrides: tuple[str, ...]


def collect(paths: Sequence[Path]) -> Collection:
    """The runs in folders: of a run, of runs (outputs/NAME), of those (outputs), or of a sweep's file.

    Without any the last sweep below outputs/. They come in the order in which sweeps have asked for them, others after
    them in the order in which they were started. Raises ConfigError where there are no runs.
    """
    if not paths:
        return _of_sweep(_last_sweep())
    if len(paths) == 1 and paths[0].suffix == ".json" and paths[0].is_file():
        return _of_sweep([paths[0]])
    collection = Collection(" ".join(map(str, paths)), [])
    folders: dict[Path, Path] = {}  # by where they really are: a folder may be given twice
    for path in paths:
        found = {run.resolve(): run for run in _runs_below(path) if ".old-" not in run.name}
        if not found and not any(_runs_below(path)):
            what = "holds no runs" if path.is_dir() else "is no folder" if path.exists() else "there is no such folder"
            raise ConfigError(f"{path}: {what}; type a folder of runs, such as outputs/default")
        folders = found | folders
    aside = len({run.resolve() for path in paths for run in _runs_below(path) if ".old-" in run.name})
    if aside:
        collection.remarks.append(f"{count(aside, 'run')} set aside (*.old-*) left out")
    members: dict[Path, SweepMember] = {}
    for parent in dict.fromkeys(folder.parent for folder in folders.values()):
        for file in sorted((parent / "sweeps").glob("*.json")):
            try:
                members |= {member.directory: member for member in _members(file)[1]}
            except RunError as error:
                collection.remarks.append(str(error))
    order = {directory: i for i, directory in enumerate(members)}
    records = _read(folders.values(), collection)
    records.sort(key=lambda record: (order.get(record.directory, len(order)), record.started))
    if all(path.is_dir() and not (path / "run.json").exists() for path in paths):
        collection.missing = [member.overrides for path, member in members.items() if not _left(path)]
    return collection


def of_runs(runs: Sequence[Run], title: str) -> Collection:
    """Runs that are known, in their order."""
    collection = Collection(title, [])
    _read(dict.fromkeys(run.directory for run in runs), collection)
    return collection


def _of_sweep(files: Sequence[Path]) -> Collection:
    """A sweep's members. It has a file for each `name` that it trained under."""
    collection, members = Collection("", []), list[SweepMember]()
    for file in files:
        collection.title, own = _members(file)
        members += own
    collection.missing = [member.overrides for member in members if not _left(member.directory)]
    _read([member.directory for member in members if _left(member.directory)], collection)
    return collection


def _last_sweep() -> list[Path]:
    """The files of the sweep that was started last. Raises ConfigError if there is none."""
    files = [file for file in Path("outputs").glob("*/sweeps/*.json") if re.fullmatch(r"[\d-]+", file.stem)]
    if not files:
        where = "there is no sweep below outputs/ here"
        runs = sorted({path.parent.parent for path in Path("outputs").glob("*/*/run.json")})
        typed = (
            f"type the folder of runs: regexp-compare {runs[0]}" if runs else "train one first: regexp -m seed=0,1,2"
        )
        raise ConfigError(f"{where}; {typed}")
    last = max(file.stem for file in files)
    return sorted(file for file in files if file.stem == last)


def _members(file: Path) -> tuple[str, list[SweepMember]]:
    """A sweep's command and its members. Raises RunError."""
    try:
        facts = json.loads(file.read_text())
        folder = file.parent.parent
        return str(facts["command"]), [
            SweepMember(folder / member["directory"], tuple(map(str, member["overrides"])))
            for member in facts["members"]
        ]
    except (OSError, *_BROKEN) as error:
        raise RunError(
            f"{file} is broken ({_brief(error)}); type the folder of its runs: {file.parent.parent}"
        ) from error


def _runs_below(path: Path) -> Iterator[Path]:
    """Folders that hold a run: this one, those in it, or those in them."""
    if (path / "run.json").exists():
        yield path
        return
    direct = sorted(file.parent for file in path.glob("*/run.json"))
    yield from direct or sorted(file.parent for file in path.glob("*/*/run.json"))


def _left(directory: Path) -> bool:
    return (directory / "run.json").exists()


def _read(folders: Iterable[Path], collection: Collection) -> list[Record]:
    """Read runs into a collection; what is broken becomes a remark."""
    for folder in folders:
        try:
            record = read_record(Run(folder))
        except _BROKEN as error:
            said = str(error) if isinstance(error, RunError) else f"{folder / 'run.json'} is broken ({_brief(error)})"
            collection.remarks.append(f"left out: {said}")
        else:
            collection.records.append(record)
    return collection.records


def read_record(run: Run) -> Record:
    """A run's record. Raises RunError, LookupError or TypeError if its run.json is not whole."""
    record = run.record
    config = dict(record["config"])
    steps = dict.fromkeys(key.split(".")[1] for key in config if key.startswith("augmentation."))
    seed, epochs = config.pop("seed"), config["epochs"]
    config = {key: value for key, value in config.items() if key not in IGNORED_KEYS and key != "data.path"}
    config = {**config, "augmentation": "+".join(steps) or "none", "data.fingerprint": str(record["identity"]["data"])}
    figures: dict[str, float] = {}
    images: dict[str, int] = {}
    validation, problem, reached = "", None, 0
    try:
        summary = run.summary
        if summary is None:
            status, problem = _unended(run)
            reached = _epochs_recorded(run.directory)
        else:
            status, validation, reached = str(summary["status"]), str(summary["validation"]), int(summary["epochs"])
            figures = _figures(summary, run.config)
            images = {name: int(count) for name, count in (summary.get("images") or {}).items()}
            if status not in (*FINISHED, "diverged"):
                raise RunError(f"{run.directory / 'summary.json'} is broken: its status is {status!r}")
    except _BROKEN as error:
        status, figures = "broken", {}
        problem = (
            str(error)
            if isinstance(error, RunError)
            else f"{run.directory / 'summary.json'} is broken ({_brief(error)})"
        )
    return Record(
        directory=run.directory,
        overrides=tuple(map(str, record["overrides"])),
        seed=int(seed),
        config=config,
        setting=json.dumps(config, sort_keys=True),
        code=str(record["identity"]["code"]),
        started=str(record.get("started", "")),
        status=status,
        figures=figures,
        epoch=reached,
        epochs=int(epochs),
        images=images,
        validation=validation,
        problem=problem,
        again=str(record.get("command", "")),
    )


def _unended(run: Run) -> tuple[str, str | None]:
    """The status of a run without a summary, and why it failed."""
    if (run.directory / "failure.json").exists():
        return "failed", run.failure
    return "running" if is_alive(run.record.get("process") or {}) else "interrupted", None


def _figures(summary: dict[str, Any], config: dict[str, Any]) -> dict[str, float]:
    """The figures of the weights that a run keeps; those that are not finite (null) or missing are left out."""
    keeps_best = summary["best"] is not None and bool(config["early_stopping.restore_best"])
    shown, test = summary["best"] if keeps_best else summary["last"], summary["test"] or {}
    found = {
        "val_accuracy": shown["val_accuracy"],
        "val_loss": shown["val_loss"],
        "train_accuracy": shown["train_accuracy"],
        "train_loss": shown["train_loss"],
        "test_accuracy": test.get("accuracy"),
        "test_loss": test.get("loss"),
        "best_epoch": summary["best_epoch"],
        "epochs": summary["epochs"],
        "seconds": summary["seconds"],
    }
    if found["val_loss"] is not None and found["train_loss"] is not None:
        found["gap"] = found["val_loss"] - found["train_loss"]
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


def _epochs_recorded(directory: Path) -> int:
    """How many epochs a run's metrics.csv holds."""
    with suppress(OSError):
        return max(0, (directory / "metrics.csv").read_bytes().count(b"\n") - 1)
    return 0


def _brief(error: BaseException) -> str:
    return repr(error)[:100]


def count(n: int, what: str) -> str:
    """Such as "1 run" or "1,000 runs"."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"
