"""A command that deletes what runs have left and nobody needs any more, after it has shown what."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from regexp.cli.clear import make_parser
from regexp.cli.program import program
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError, RunBusy
from regexp.runs.clearing import KINDS, Clearable, clear, find_clearables, list_other_files
from regexp.runs.reserving.claims import Claims
from regexp.utils.console import Console
from regexp.utils.messages import list_first
from regexp.utils.next_commands import relative_path
from regexp.utils.storage_errors import explain_storage_errors

_TITLES = {"failed": "failed runs", "old": "set aside", "checkpoints": "checkpoints of finished runs"}


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    with program("interrupted; what was deleted stays deleted, and the rest is whole") as words:
        clear_directories(make_parser().parse_words(words))


def clear_directories(arguments: argparse.Namespace) -> None:
    """Show what would be deleted, ask, and delete it.

    Args:
        arguments: the parsed command line.

    Raises:
        ConfigError: a directory holds no runs, or nobody can be asked.
        StorageError: a file cannot be deleted.
    """
    console = Console(highlight=False, soft_wrap=True)
    clearables = _find_clearables(arguments.directories)
    chosen_kinds = [kind for kind in KINDS if getattr(arguments, kind)]
    shown_kinds = chosen_kinds or list(KINDS)
    chosen = [clearable for clearable in clearables if clearable.kind in shown_kinds]
    console.print(_make_table(chosen, shown_kinds))
    for kind in shown_kinds:
        if any(clearable.kind == kind for clearable in chosen):
            console.print(f"{_TITLES[kind]}: {KINDS[kind]}")
    if not chosen:
        console.print("There is nothing to clear.")
        return
    if not chosen_kinds:
        flags = " or ".join(f"--{kind}" for kind in KINDS if any(clearable.kind == kind for clearable in chosen))
        console.print(f"Nothing was deleted: add {flags}.")
        return
    if not arguments.yes and not _ask(chosen):
        console.print("Nothing was deleted.")
        return
    _delete(chosen, console)


def _find_clearables(directories: Sequence[Path]) -> list[Clearable]:
    """Return what can be deleted below directories, each once; raise ConfigError for what is no directory."""
    clearables: dict[Path, Clearable] = {}
    for directory in map(expand_home, directories):
        if not directory.is_dir():
            problem = "is not a directory" if directory.exists() else "there is no such directory"
            raise ConfigError(f"{directory}: {problem}; type a directory of runs, such as outputs/default")
        clearables |= {clearable.directory.resolve(): clearable for clearable in find_clearables(directory)}
    return list(clearables.values())


def _make_table(clearables: Sequence[Clearable], kinds: Sequence[str]) -> Table:
    """Return a table of how much can be deleted of each kind."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in ("runs", "size"):
        table.add_column(name, justify="right")
    for kind in kinds:
        sizes = [clearable.size for clearable in clearables if clearable.kind == kind]
        table.add_row(_TITLES[kind], f"{len(sizes):,}", _format_size(sum(sizes)) if sizes else "")
    return table


def _ask(clearables: Sequence[Clearable]) -> bool:
    """Return whether the user wants to delete these; raise ConfigError where nobody can answer."""
    size = _format_size(sum(clearable.size for clearable in clearables))
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(f"nobody can be asked here whether to delete {size}: add --yes, and it is deleted")
    try:
        answer = input(f"Delete {size}? It cannot be undone. [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _delete(clearables: Sequence[Clearable], console: Console) -> None:
    """Delete these, and print how much that freed and what stays."""
    freed, busy, other_files = 0, [], []
    with Claims(lambda message: console.print(escape(message))) as claims:
        for clearable in clearables:
            try:
                with explain_storage_errors(clearable.directory, "delete the directory by hand"):
                    freed += clear(clearable, claims)
            except RunBusy as error:
                busy.append(f"{relative_path(clearable.directory)}: {error}")
                continue
            if clearable.kind != "checkpoints" and (names := list_other_files(clearable.directory)):
                other_files.append(f"{relative_path(clearable.directory)}: {', '.join(names)}")
    console.print(f"{_format_size(freed)} freed.")
    if busy:
        console.print(escape(f"Left alone, because other processes train these runs:{list_first(busy)}"))
    if other_files:
        console.print(escape(f"Left alone, because no run has written these files:{list_first(other_files)}"))


def _format_size(size: int) -> str:
    """Return a number of bytes in the unit in which it has one to three digits before the point."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:.3g} {unit}"
    return f"{size} bytes"


if __name__ == "__main__":
    main()
