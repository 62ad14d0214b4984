"""Tags typed for a finished run are added to it, whoever else adds some, and comparisons find runs by them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from helpers.claim_holders import hold_claim
from helpers.run_directories import write_run

from regexp import compare, load_run, run, sweep
from regexp.comparison.compare import compare_collection
from regexp.comparison.formats.run_table import tabulate_runs
from regexp.comparison.loading import collect
from regexp.config.compose import compose_jobs
from regexp.errors import ConfigError
from regexp.execution.launcher import print_forecast
from regexp.execution.terminal import Terminal
from regexp.runs.reserving import tagging
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.tagging import add_tags

SHORT = ["epochs=1", "model.hidden_sizes=[2]", "data.train_size=64", "data.val_size=32"]


def test_tags_are_added_to_a_finished_run(capsys: pytest.CaptureFixture[str]) -> None:
    first = run([*SHORT, "tags=[paper]"], quiet=True)
    print_forecast(compose_jobs([[*SHORT, "tags=[final,paper]"]]), Path("outputs"), Terminal(), None, 1)
    assert "1 finished run would get the tag final.\n" in capsys.readouterr().out
    assert load_run(first.directory).tags == ["paper"]
    again = run([*SHORT, "tags=[final,paper]"])
    out = capsys.readouterr().out
    assert "1 finished run gets the tag final.\n" in out
    assert "tags     paper, final\n" in out
    assert again.directory == first.directory
    assert {**again.record, "tags": ["paper"]} == first.record
    run([*SHORT, "tags=[paper]"])
    assert "1 finished run" not in capsys.readouterr().out


def test_one_run_gets_the_tags_of_all_its_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    runs = sweep([[*SHORT, f"tags=[{name}]"] for name in "ab"], quiet=True)
    assert runs[0].tags == ["a", "b"]
    sweep([[*SHORT, f"tags=[{name}]"] for name in "cad"])
    assert "1 finished run gets the tags c, d.\n" in capsys.readouterr().out
    assert load_run(runs[0].directory).tags == ["a", "b", "c", "d"]


def test_a_run_that_resumes_gets_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = run([*SHORT, "tags=[a]"], quiet=True).directory
    (directory / "summary.json").unlink()
    assert run([*SHORT, "tags=[b]"], quiet=True).tags == ["a", "b"]


def test_no_tag_is_lost_where_several_add_some(tmp_path: Path) -> None:
    directory = write_run(tmp_path, ["epochs=3"], 0, identity={"config": "c", "data": "d", "code": "e"}, tags=[])

    def add(tag: str) -> None:
        with Claims(print) as claims:  # as in another process: each has its own
            add_tags(directory, [tag], claims)

    with ThreadPoolExecutor(8) as executor:
        list(executor.map(add, "abcdefgh"))
    assert sorted(load_run(directory).tags) == list("abcdefgh")
    assert not (tmp_path / ".claims").exists()


def test_tags_that_cannot_be_added_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tagging, "_PATIENCE_SECONDS", 0.0)
    first = run(SHORT, quiet=True)
    with hold_claim(first.directory.parent, tagging.recorded_identity(first)) as pid:
        run([*SHORT, "tags=[a]"])
    assert f"{first.directory} does not get its new tags: process {pid} on " in capsys.readouterr().out
    assert load_run(first.directory).tags == []


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    for seed, tags in enumerate([["a"], ["a", "b"], ["c"], []]):
        directory = write_run(tmp_path, ["normalization=batch"], seed, tags=tags)
        record = json.loads((directory / "run.json").read_text())
        record["git"] = {"commit": f"{seed // 2}123456789", "clean": seed % 2 == 0}
        (directory / "run.json").write_text(json.dumps(record))
    return tmp_path


@pytest.mark.parametrize(("where", "count"), [("tags=a", 2), ("tags=b", 1), ("tags=b,c", 2), ("tags=-", 1)])
def test_comparisons_find_runs_by_their_tags(tagged: Path, where: str, count: int) -> None:
    [row] = compare(tagged, where=where)
    assert row["seeds"] == count


def test_a_tag_that_no_run_has_is_a_mistake(tagged: Path) -> None:
    with pytest.raises(ConfigError, match="tags=d: no run has this value; the values are a, b, c, -"):
        compare(tagged, where="tags=d")


def test_the_table_of_runs_shows_tags_and_commits(tagged: Path) -> None:
    table = tabulate_runs(compare_collection(collect([tagged])))
    assert [row[-3:-1] for row in table.rows] == [
        ["a", "01234567"],
        ["a,b", "01234567+"],
        ["c", "11234567"],
        ["-", "11234567+"],
    ]
    assert list(table.columns[-3:]) == ["tags", "commit", "folder"]
