"""Directories that may not be read, such as lost+found: commands pass them by, or name them, without a traceback."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.run_directories import write_run

from regexp.comparison.loading import collect
from regexp.errors import ConfigError, DataError
from regexp.runs.clearing import find_clearables
from regexp.runs.listing.finding import find_run_directories
from regexp.runs.predicting.ensemble import choose_runs, holds_runs
from regexp.runs.predicting.picture_inputs import list_pictures
from regexp.verify import verify

TOP = Path("outputs/default")


def refuse_below(directory: Path, function: Callable[..., Any], refuses_itself: bool) -> Callable[..., Any]:
    """Return a function of os that raises PermissionError for what is in a directory."""

    def refuse(path: Any = ".", *arguments: Any, **options: Any) -> Any:
        text = "" if isinstance(path, int) else os.fsdecode(path)
        if f"{directory}/" in text or (refuses_itself and text.endswith(str(directory))):
            raise PermissionError(13, "Permission denied", text)
        return function(path, *arguments, **options)

    return refuse


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory beside a run that may not be read, whoever runs the tests."""
    write_run(TOP, [], 0)
    directory = TOP / "locked"
    directory.mkdir()
    # Its entry may be looked at, but neither what is in it nor their names.
    for name, refuses_itself in (("stat", False), ("scandir", True), ("listdir", True)):
        monkeypatch.setattr(os, name, refuse_below(directory, getattr(os, name), refuses_itself))
    return directory


def test_it_is_passed_by(locked: Path) -> None:
    assert list(find_clearables(TOP)) == list(find_clearables(locked)) == []
    assert len(list(find_run_directories(TOP))) == len(choose_runs([TOP])) == len(collect([TOP]).records) == 1
    assert not holds_runs(locked, is_deep=False)


def test_where_it_is_named_there_are_no_runs(locked: Path) -> None:
    for read in (choose_runs, collect):
        with pytest.raises(ConfigError, match="locked: holds no runs"):
            read([locked])
    with pytest.raises(ConfigError, match="locked: holds no runs"):
        verify(locked, count=1, labels=[], seed=0, float64=False)


def test_the_pictures_beside_it_are_read(locked: Path) -> None:
    problems: dict[str, str] = {}
    shutil.copy(Path(__file__), TOP / "one.png")
    assert list_pictures(TOP, problems) == [TOP / "one.png"]
    assert problems == {str(locked): "cannot be read: Permission denied"}
    (TOP / "one.png").unlink()
    with pytest.raises(DataError, match="holds no pictures"):
        list_pictures(TOP, {})
    assert list_pictures(locked, {}) == []
