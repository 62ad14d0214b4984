"""The regexp-compare command: what it reads, prints and writes, and how it reports mistakes and broken files."""

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import run_main
from helpers.run_directories import write_run
from PIL import Image

import regexp
from regexp.cli.compare import main
from regexp.comparison.compare import compare_collection
from regexp.comparison.curves import Curves
from regexp.comparison.formats.rich_tables import to_rich_table
from regexp.comparison.formats.terminal import Report
from regexp.comparison.formats.text_table import TextTable
from regexp.comparison.loading import collect
from regexp.comparison.missing_runs import list_unfinished
from regexp.config.compose import compose_job
from regexp.runs.identity import Identity
from regexp.runs.reserving.claims import Claims
from regexp.utils.console import Console
from regexp.utils.messages import join_words

DEFAULT = Path("outputs/default")
Command = Callable[..., tuple[int, str, str]]
WRITTEN = "written  report/comparison.html, and beside it comparison.md, comparison.tex and plots\n"


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command and returns its exit status, standard output and standard error."""

    def run_compare(*words: str) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.delenv("UV", raising=False)
        status = run_main(monkeypatch, main, "regexp-compare", *words)
        out, err = capsys.readouterr()
        return status, out, err

    return run_compare


def write_sweep(directory: Path = DEFAULT, seeds: int = 5, id: str = "20260101-000000-000000") -> list[Path]:
    """Write a sweep of 2 x 2 configurations, and return the directories of its runs."""
    generator = np.random.default_rng(0)
    runs, members = [], []
    for normalization in ("none", "batch"):
        for augmentation in ("none", "shift"):
            overrides = [f"normalization={normalization}", f"augmentation={augmentation}"]
            for seed in range(seeds):
                accuracy = 0.9 + 0.05 * (normalization == "batch") + 0.002 * float(generator.normal())
                runs.append(write_run(directory, overrides, seed, test_accuracy=accuracy, val_accuracy=accuracy - 0.01))
                members.append({"directory": runs[-1].name, "overrides": [*overrides, f"seed={seed}"]})
    (directory / "sweeps").mkdir(exist_ok=True)
    record = {"command": "regexp -m normalization=none,batch ...", "members": members}
    (directory / "sweeps" / f"{id}.json").write_text(json.dumps(record))
    return runs


def normalize_spaces(text: str) -> str:
    return " ".join(text.split())


def test_without_arguments_the_last_sweep_is_compared(compare: Command) -> None:
    write_sweep()
    write_sweep(Path("outputs/other"), seeds=2, id="20250101-000000-000000")
    write_run(DEFAULT, ["model.dropout=0.5"], 0)
    status, out, err = compare()
    assert (status, err) == (0, "")
    assert out.startswith("regexp -m normalization=none,batch ...\n20 runs (20 finished), 4 configurations, 5 seeds\n")
    assert "difference to normalization=none, augmentation=none, 5 pairs" in normalize_spaces(out)
    lines = [line.split() for line in out.partition("difference to")[2].splitlines()]
    assert {"better"} == {line[7] for line in lines if line[:1] == ["batch"]}
    assert {"unclear"} == {line[7] for line in lines if line[:2] == ["none", "shift"]}
    assert "norm=batch" in [word for line in lines for word in line]
    # The folder and the line that loads it can be copied as a whole.
    assert max(len(line) for line in out.splitlines() if not line.startswith(("best run", "load it"))) <= 80


def test_a_directory_may_hold_one_run_or_runs_or_directories_of_runs(compare: Command) -> None:
    runs = write_sweep(seeds=2)
    write_sweep(Path("outputs/other"), seeds=1)
    write_run(Path("outputs/other"), ["model.dropout=0.5"], 0)
    for arguments, count in ((["outputs/default"], 8), (["outputs"], 9), ([str(runs[0]), str(runs[2])], 2)):
        assert f"{count} runs ({count} finished)" in compare(*arguments)[1]
    twice = compare("outputs/default", str(DEFAULT.resolve()), str(runs[0]))[1]
    assert "8 runs (8 finished)" in twice
    assert "trained twice" not in twice
    by_file = compare("outputs/other/sweeps/20260101-000000-000000.json")[1]
    assert "4 runs (4 finished)" in by_file


def test_all_formats_hold_the_same_values(compare: Command) -> None:
    write_sweep()
    content = json.loads(compare("--format", "json")[1])
    rows = content["configurations"]
    table = list(csv.DictReader(io.StringIO(compare("--format", "csv")[1])))
    assert [row["normalization"] for row in rows] == [row["normalization"] for row in table]
    assert [f"{row['test_accuracy']}" for row in rows] == [row["test_accuracy"] for row in table]
    assert [row["verdict"] for row in rows] == [row["verdict"] for row in table]
    assert [row["p_holm"] is None for row in rows] == [row["baseline"] for row in rows]
    for row in rows:
        if not row["baseline"]:
            assert row["difference_low"] < row["difference"] < row["difference_high"]
            assert 0 < row["p"] <= row["p_holm"] <= 1
            assert row["pairs"] == 5
    assert len(content["main_effects"]) == 2
    assert len(content["interactions"]) == 1
    markdown = compare("--format", "md")[1]
    for row in rows:
        estimate = (
            f"{100 * row['test_accuracy']:.2f} ± {50 * (row['test_accuracy_high'] - row['test_accuracy_low']):.2f}"
        )
        assert f"| {row['normalization']} | {row['augmentation']} | 5 |" in markdown
        assert estimate in markdown
        assert f" {row['verdict']} |" in markdown or row["baseline"]
    assert all(f"- {note}" in markdown for note in content["notes"])
    assert "\n| normalization=batch x augmentation=shift | none x none |" in markdown


def test_python_gets_the_same_records(compare: Command) -> None:
    write_sweep()
    records = regexp.compare([DEFAULT])
    assert json.loads(compare(str(DEFAULT), "--format", "json")[1])["configurations"] == list(records)
    assert records.notes == json.loads(compare(str(DEFAULT), "--format", "json")[1])["notes"]
    selected = regexp.compare(
        "outputs/default", by=["normalization"], metric="val_loss", where=["seed=0,1"], baseline=["normalization=batch"]
    )
    assert [(row["normalization"], row["baseline"], row["seeds"]) for row in selected] == [
        ("batch", True, 2),
        ("none", False, 2),
    ]


@pytest.mark.slow
def test_output_writes_plots_and_markdown(compare: Command) -> None:
    write_sweep()
    status, _, err = compare("--output", "report")
    assert status == 0
    assert err == WRITTEN
    names = {"curves", "training_curves", "differences", "interactions", "gap"}
    assert {path.name for path in Path("report").iterdir()} == {
        *(f"comparison.{kind}" for kind in ("html", "md", "tex")),
        *(f"{name}.{kind}" for name in names for kind in ("png", "svg", "pdf")),
    }
    text = Path("report/comparison.md").read_text()
    for name in names:
        assert f"]({name}.png)" in text
        with Image.open(f"report/{name}.png") as picture:
            # The plots are in black, white and grey, so that they can be printed without colour.
            colours = np.asarray(picture.convert("RGB")).astype(int)
            assert np.abs(colours - colours.mean(axis=2, keepdims=True)).max() < 2
            assert (colours < 128).any()
    page = Path("report/comparison.html").read_text()
    for name in names:  # the page holds its plots
        assert f"data:image/png;base64,{b64encode(Path(f'report/{name}.png').read_bytes()).decode()}" in page
    assert "://" not in page
    assert "regexp -m normalization=none augmentation=none seed=0,1\n" in page
    assert "regexp-compare --output report" in page
    assert Path("report/comparison.tex").read_text().count(r"\toprule") == 4


@pytest.mark.slow
def test_the_same_comparison_gives_the_same_files(compare: Command) -> None:
    write_sweep()
    compare("--output", "report")
    before = {path: path.read_bytes() for path in Path("report").iterdir()}
    compare("--output", "report")
    assert {path: path.read_bytes() for path in Path("report").iterdir()} == before


def test_all_missing_and_broken_runs_are_reported(compare: Command) -> None:
    runs = write_sweep()
    (runs[0] / "summary.json").unlink()
    claims = Claims(print)  # of this process
    claims.acquire(runs[0].parent, Identity(**json.loads((runs[0] / "run.json").read_text())["identity"]))
    (runs[1] / "summary.json").write_text('{"status": "compl')
    (runs[2] / "summary.json").unlink()
    for path in (runs[3], runs[4]):
        summary = json.loads((path / "summary.json").read_text())
        changed = {"status": "diverged"} if path == runs[3] else {"test": {"loss": None, "accuracy": float("nan")}}
        (path / "summary.json").write_text(json.dumps({**summary, **changed}))
    (runs[5] / "summary.json").unlink()
    (runs[5] / "failure.json").write_text(json.dumps({"message": "the data is gone"}))
    (runs[6] / "run.json").write_text("{")
    for path in runs[7].iterdir():
        path.unlink()
    runs[7].rmdir()
    (runs[8] / "summary.json").write_text('["no", "object"]')
    (runs[9] / "summary.json").write_text(json.dumps({"status": "completed", "epochs": "many"}))
    status, out, err = compare()
    assert (status, err) == (0, "")
    text = normalize_spaces(out)
    assert "18 runs (11 finished, 1 diverged, 1 failed, 1 running, 1 interrupted, 3 broken, 1 missing)" in text
    for part in (
        "1 run diverged: not in the means",
        "1 run still training",
        "1 run interrupted: run the same command again to resume",
        f"failed: {runs[5]} (the data is gone)",
        f"broken: {runs[1] / 'summary.json'} is broken",
        f"broken: {runs[8] / 'summary.json'} is broken",
        f"broken: {runs[9] / 'summary.json'} is broken",
        f"left out: {runs[6] / 'run.json'} is broken",
        "1 run of the sweep left nothing behind",
        "1 finished run without test accuracy: not in the differences",
    ):
        assert part.replace(" ", "") in text.replace(" ", ""), part
    status_lines = compare("--status")[1].splitlines()
    for line in (
        "1 running at epoch 3 of 100, 1 diverged at epoch 3 of 100",
        f"  diverged {runs[3].name}",
        "1 broken, 1 at epoch 3 of 100",
        "  to resume: regexp -m normalization=none augmentation=none seed=0,1",
        f"  failed {runs[5].name} (the data is gone)",
        "  to train again: regexp -m normalization=none augmentation=shift seed=0,1",
    ):
        assert line in status_lines, line


def test_the_status_of_a_finished_sweep_is_short(compare: Command) -> None:
    runs = write_sweep()
    for run, tags in ((runs[0], ["paper"]), (runs[1], ["paper", "second try"])):
        change_entry(run / "run.json", "tags", value=tags)
    (runs[2] / "best.safetensors").write_bytes(bytes(3_000_000))
    status, out, err = compare("--status")
    headline, header, folder, *lines = out.splitlines()
    assert (status, headline, err) == (0, "20 runs (20 finished), 4 configurations, 5 seeds", "")
    assert header.split("  ")[0] == "folder"
    assert re.fullmatch(r"outputs/default +20 +20 +\d+ seconds? ago +3 MB +paper, second try", folder.rstrip())
    assert lines == ["", "nothing is missing"]


def test_the_status_names_a_command_once(compare: Command) -> None:
    """Of 20 runs, 8 have not begun, 4 were interrupted and one failed, and one command goes on with all of them."""
    runs = write_sweep()
    command = "regexp -m normalization=none,batch augmentation=none,shift 'seed=range(5)'"
    change_entry(next((DEFAULT / "sweeps").iterdir()), "command", value=command)
    for i, run in enumerate(runs):
        change_entry(run / "run.json", "command", value=command)
        if i < 5:
            (run / "summary.json").unlink()
        elif i < 13:
            shutil.rmtree(run)
    (runs[4] / "failure.json").write_text(json.dumps({"message": "the data is gone"}))
    lines = compare("--status")[1].partition("\n\n")[2].splitlines()
    states, failure, to_type = lines
    assert states == "4 at epoch 3 of 100, 1 failed, 8 not begun"
    assert failure == f"  failed {runs[4].name} (the data is gone)"
    assert to_type == f"  to resume: {command}"


def test_the_status_lists_the_gaps_of_a_grid(compare: Command) -> None:
    for normalization, augmentation in (("none", "none"), ("none", "shift"), ("batch", "none")):
        for seed in (0, 1)[: 2 - (augmentation == "shift")]:
            write_run(DEFAULT, [f"normalization={normalization}", f"augmentation={augmentation}"], seed)
    status_text = normalize_spaces(compare(str(DEFAULT), "--status")[1])
    assert "1 missing: norm=none aug=shift to train: regexp normalization=none augmentation=shift seed=1" in status_text
    assert (
        "2 missing: norm=batch aug=shift to train: regexp -m normalization=batch augmentation=shift seed=0,1"
        in status_text
    )


@pytest.mark.parametrize(
    ("runs", "missing"),
    [
        # Adam has no momentum.
        (("adam", "sgd momentum=0.5", "sgd momentum=0.9", "rmsprop momentum=0.5"), ["opt=rmsprop momentum=0.9"]),
        # The digits have 8x8 pixels.
        (("digits size=6", "mnist size=6", "mnist size=20"), []),
        (("digits size=6", "mnist size=6", "mnist size=7"), ["data=digits crop.size=7"]),
    ],
    ids=str,
)
def test_impossible_combinations_are_not_missing(compare: Command, runs: tuple[str, ...], missing: list[str]) -> None:
    prefixes = {"momentum": "optimizer.momentum", "size": "+augmentation.crop.size"}
    for run in runs:
        option, _, setting = run.partition(" ")
        name, _, value = setting.partition("=")
        group = "data" if "size" in name else "optimizer"
        write_run(DEFAULT, [f"{group}={option}", *([f"{prefixes[name]}={value}"] if setting else [])], 0)
    status, out, _ = compare(str(DEFAULT), "--status")
    assert status == 0
    lines = re.findall("^1 missing: (.*)$", out, re.MULTILINE)
    assert lines == missing
    for group in list_unfinished(compare_collection(collect([DEFAULT]))):
        compose_job(shlex.split(group.command)[1:])  # it runs as it is


def test_data_that_only_a_hash_tells_apart_leave_no_gaps(compare: Command) -> None:
    """A hash cannot be typed, so no command could fill such a gap."""
    for lr, data in (("0.1", "one"), ("0.1", "two"), ("0.2", "one")):
        write_run(Path("outputs", data), [f"optimizer.lr={lr}"], 0, data=data)
    assert "nothing is missing" in compare("outputs", "--status")[1]


def test_a_combination_that_was_typed_in_another_way_is_not_missing(compare: Command) -> None:
    """lesson_layernorm is the lesson with LayerNorm, so that one configuration of four is missing, and not five."""
    for overrides in (
        ["experiment=lesson", "model.dropout=0", "normalization=batch"],
        ["experiment=lesson", "model.dropout=0", "normalization=layer"],
        ["experiment=lesson_layernorm", "model.dropout=0.5", "normalization=layer"],
    ):
        write_run(DEFAULT, overrides, 0)
    out = compare(str(DEFAULT), "--status")[1]
    missing = re.findall("^1 missing: (.*)$", out, re.MULTILINE)
    assert missing == ["experiment=lesson dropout=0.5 norm=batch"]


@pytest.mark.parametrize("config_dir", ["mine", "Bob's caf\udce9"])
def test_a_missing_run_with_options_of_the_users_own_gets_their_directory(compare: Command, config_dir: str) -> None:
    Path(config_dir, "optimizer").mkdir(parents=True)
    Path(config_dir, "optimizer/quick.yaml").write_text("defaults: [adam, _self_]\nlr: 0.1\n")
    command = join_words(["regexp", "--config-dir", config_dir, "-m", "optimizer=quick,adam"])
    for optimizer, normalization in (("quick", "none"), ("adam", "none"), ("adam", "batch")):
        overrides = ["optimizer.lr=0.1"] if optimizer == "quick" else []
        directory = write_run(DEFAULT, [*overrides, f"normalization={normalization}"], 0, command=command)
        record = json.loads((directory / "run.json").read_text())
        words = [word for word in record["overrides"] if "lr" not in word]
        (directory / "run.json").write_text(json.dumps({**record, "overrides": [f"optimizer={optimizer}", *words]}))
    status_text = normalize_spaces(compare(str(DEFAULT), "--status")[1])
    expected_words = ["regexp", "--config-dir", config_dir, "optimizer=quick", "normalization=batch", "seed=0"]
    assert join_words(expected_words) in status_text


def test_runs_are_found_at_any_depth(compare: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs below four folders, a link that leads back to the top, and a run that is linked twice."""
    deep = Path("outputs/2026/november/first try/default")
    runs = write_sweep(deep, seeds=3)
    write_run(Path("outputs/2026/other"), ["model.dropout=0.5"], 0)
    Path("outputs/2026/again").symlink_to(Path("outputs").resolve(), target_is_directory=True)
    Path("outputs/links").mkdir()
    for name in ("a", "b"):
        Path("outputs/links", name).symlink_to(runs[0].resolve(), target_is_directory=True)
    assert "13 runs (13 finished)" in compare("outputs")[1]
    assert "12 runs (12 finished)" in compare(str(deep.parent.parent))[1]
    assert "12 runs (12 finished)" in compare()[1]  # the last sweep below outputs
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    assert len(collect([Path("outputs")]).records) == 13
    assert not [path for path in listed if Path(path, "run.json").exists()], "the files of a run were listed"


def test_an_interrupted_comparison_says_so(compare: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for name in ("regexp.comparison.compare.compare_collection", "regexp.cli.compare._make_parser"):
        with monkeypatch.context() as patch:
            patch.setattr(name, interrupt)
            write_run(DEFAULT, [f"tags=[{name}]"], 0)
            assert compare(str(DEFAULT)) == (130, "", "regexp: interrupted\n")


def test_a_sweep_that_failed_as_a_whole_is_reported(compare: Command) -> None:
    for seed in range(2):
        write_run(DEFAULT, ["normalization=batch"], seed, status="failed")
    status, out, _ = compare(str(DEFAULT), "--output", "report")
    assert status == 0
    assert "2 runs (2 failed), 1 configuration, 2 seeds" in out
    assert "the data is gone" in out
    assert {path.suffix for path in Path("report").iterdir()} == {".html", ".md", ".tex"}  # and no plots


def test_the_notes_say_that_the_test_set_was_used_for_validation(compare: Command) -> None:
    for normalization in ("none", "batch"):
        for seed in range(3):
            write_run(
                DEFAULT, [f"normalization={normalization}"], seed, test_accuracy=None, val_accuracy=0.9 + seed / 100
            )
    out = normalize_spaces(compare(str(DEFAULT))[1])
    assert "Validation accuracy (percentage points): difference to normalization=none" in out
    assert "there is no separate test figure: the test set was used for validation, as in the lesson" in out


def test_broken_curves_are_reported_and_left_out(compare: Command) -> None:
    runs = write_sweep(seeds=3)
    (runs[0] / "metrics.csv").write_text("epoch,objective\n1,zero\n")
    (runs[1] / "metrics.csv").unlink()
    lines = (runs[2] / "metrics.csv").read_text().splitlines()
    (runs[2] / "metrics.csv").write_text("\n".join([*lines[:2], lines[2][:9]]))
    (runs[3] / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    status, _, err = compare("--tensorboard")
    assert status == 0
    for run in runs[:4]:
        assert f"no curves of {run}: metrics.csv is" in err


def test_curves_of_several_seeds() -> None:
    runs = [write_run(DEFAULT, [], seed, epochs=4 + seed) for seed in range(3)]
    [row] = compare_collection(collect([DEFAULT])).rows
    curves = Curves([row])
    logs = np.log([[1 / epoch + seed / 100 for seed in range(3)] for epoch in range(1, 5)])
    for (middle, low, high), values in zip(curves.geometric_mean_and_range(row, "val_loss"), logs, strict=True):
        assert middle == pytest.approx(np.exp(values.mean()))
        assert low == pytest.approx(np.exp(values.mean() - values.std(ddof=1)))
        assert high == pytest.approx(np.exp(values.mean() + values.std(ddof=1)))
    assert curves.run_count(row) == len(runs)
    assert curves.problems == []


@pytest.mark.parametrize(
    "words", [pytest.param(["--output", "report"], marks=pytest.mark.slow), ["--format", "csv"]], ids=str
)
def test_a_closed_pipe_does_not_stop_the_command(words: list[str]) -> None:
    for i in range(3):
        write_run(DEFAULT, [f"optimizer.lr={0.001 * (i + 1)}"], 0)
    command = [sys.executable, "-m", "regexp.cli.compare", str(DEFAULT), *words]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (process.returncode, process.stderr) == (0, WRITTEN if "--output" in words else "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no sweep below outputs/ here; train one first: regexp -m seed=0,1,2"),
        (["nowhere"], "nowhere: there is no such directory; type a directory of runs, such as outputs/default"),
        (["."], ".: holds no runs; type a directory of runs"),
    ],
)
def test_without_runs_the_message_says_what_to_type(compare: Command, words: list[str], message: str) -> None:
    status, out, err = compare(*words)
    assert (status, out) == (2, "")
    assert err.startswith(f"regexp: {message}")
    assert len(err.splitlines()) == 1


def test_without_a_sweep_the_message_names_the_directory_of_the_runs(compare: Command) -> None:
    write_run(DEFAULT, [], 0)
    status, _, err = compare()
    assert status == 2
    assert err.endswith("type the directory of runs: regexp-compare outputs/default\n")


def test_a_broken_sweep_file_is_reported(compare: Command) -> None:
    write_sweep()
    file = DEFAULT / "sweeps" / "20270101-000000-000000.json"
    for content in ("{", "[]", '{"command": "x", "members": [{"directory": 1}]}'):
        file.write_text(content)
        status, _, err = compare()
        assert status == 3
        assert err.startswith(f"regexp: {file} is broken")
        assert "type the directory of its runs: outputs/default" in err
        assert f"{file} is broken" in normalize_spaces(compare(str(DEFAULT))[1]).replace("regexp-m", "")


def test_an_output_that_cannot_be_written_is_reported(compare: Command) -> None:
    write_sweep()
    Path("file").write_text("")
    status, _, err = compare("--output", "file/report")
    assert status == 4
    assert "file/report cannot be written" in err
    assert "--output DIR" in err


def test_conditions_that_no_run_meets_are_reported(compare: Command) -> None:
    write_sweep()
    assert compare("--where", "seed=9")[2].startswith(
        "regexp: seed=9: no run has this value; the values are 0, 1, 2, 3, 4"
    )
    assert compare("--where", "sed=1")[2] == "regexp: sed: no run has such a key; did you mean seed?\n"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("--by lr dropout", "--by lr,dropout"),
        ("--by lr, dropout, wd", "--by lr,dropout,wd"),
        ("--where lr=1 dropout=0 wd=1 --runs", "--where lr=1 --where dropout=0 --where wd=1"),
        ("--baseline lr=1 dropout=0", "--baseline lr=1 --baseline dropout=0"),
    ],
)
def test_a_second_value_of_a_flag_is_not_taken_for_a_directory(compare: Command, words: str, remedy: str) -> None:
    status, _, err = compare(*words.split())
    assert status == 2
    assert f": {remedy}; regexp-compare --help" in err
    assert "there is no such directory" not in err
    assert "nowhere: there is no such directory" in compare("--by", "lr", "nowhere/at/all")[2].replace("/at/all", "")


def change_entry(path: Path, *keys: object, value: object) -> None:
    """Set an entry of a JSON file, or delete it if the value is `...`."""
    content = json.loads(path.read_text())
    parent = content
    for key in keys[:-1]:
        parent = parent[key]
    if value is ...:
        parent.pop(keys[-1])
    else:
        parent[keys[-1]] = value
    path.write_text(json.dumps(content))


UNEXPECTED_VALUES: list[object] = [5, "x", None, float("inf"), [{"a": [1]}], ...]
ENTRIES: list[tuple[str, tuple[object, ...]]] = [
    *(("run.json", keys) for keys in (
        ("config",), ("config", "seed"), ("config", "epochs"), ("config", "normalization"), ("overrides",),
        ("identity",), ("identity", "data"), ("identity", "code"), ("started",), ("command",),
    )),
    *(("summary.json", keys) for keys in (
        ("status",), ("epochs",), ("best_epoch",), ("best",), ("last",), ("best", "val_loss"), ("test",),
        ("test", "accuracy"), ("validation",), ("images",), ("images", "test"), ("seconds",),
    )),
    *(("sweeps", keys) for keys in (
        ("command",), ("members",), ("members", 0), ("members", 0, "directory"), ("members", 0, "overrides"),
    )),
]  # fmt: skip


@pytest.mark.parametrize(("file", "keys"), ENTRIES, ids=str)
def test_unexpected_values_in_a_file_cause_no_traceback(compare: Command, file: str, keys: tuple[object, ...]) -> None:
    runs = write_sweep(seeds=2)
    path = next((DEFAULT / "sweeps").iterdir()) if file == "sweeps" else runs[0] / file
    original = path.read_text()
    for value in UNEXPECTED_VALUES:
        path.write_text(original)
        change_entry(path, *keys, value=value)
        for arguments in ([], [str(DEFAULT), "--status"]):
            status, out, err = compare(*arguments)
            assert status in ((0, 2, 3) if file == "sweeps" else (0,)), (value, arguments, err)
            assert out or err.startswith("regexp: ")


@pytest.mark.parametrize(
    "content",
    ["", "[" * 100_000, "\0\1\2", '{"a": "\ufffd"', "[1, 2]", "null", "3"],
    ids=["empty", "deep", "binary", "cut", "list", "null", "number"],
)
@pytest.mark.parametrize("file", ["run.json", "summary.json", "failure.json"])
def test_a_file_that_holds_no_record_is_reported(compare: Command, file: str, content: str) -> None:
    runs = write_sweep(seeds=2)
    if file == "failure.json":
        (runs[0] / "summary.json").unlink()
    (runs[0] / file).write_text(content)
    status, out, err = compare()
    assert (status, err) == (0, "")
    assert str(runs[0] / file) in normalize_spaces(out)


HEAD = "epoch,objective,train_loss,train_accuracy,val_loss,val_accuracy,lr,seconds"


@pytest.mark.parametrize(
    "rows",
    [
        [HEAD.replace("val_loss", "loss"), *(f"{i},1,1,1,1,1,1,1" for i in (1, 2, 3))],
        [HEAD, *(f"{i},1,1,1" for i in (1, 2, 3))],
        [HEAD, "1," + "1" * 200_000],
        [],
    ],
    ids=["renamed", "short", "huge", "empty"],
)
def test_broken_curves_do_not_stop_the_command(compare: Command, rows: list[str]) -> None:
    runs = write_sweep(seeds=2)
    for run in runs[:3]:
        (run / "metrics.csv").write_text("\n".join(rows) + "\n")
    status, _, err = compare("--tensorboard")
    assert status == 0
    assert "no curves of" in err


def test_curves_of_values_that_are_not_finite_or_have_no_logarithm_are_drawn(
    compare: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of the table has only such curves, and another one has some."""
    monkeypatch.setattr("regexp.comparison.report_files._METADATA", {"png": {}})
    runs = write_sweep(seeds=2)
    unusual_values = ("nan,nan,nan,nan,nan", "nan,nan,nan,nan,nan", "inf,inf,1,inf,1", "0,0,1,0,1")
    for run, values in zip(runs, unusual_values, strict=False):
        (run / "metrics.csv").write_text("\n".join([HEAD, *(f"{i},{values},1,1" for i in (1, 2, 3))]) + "\n")
    status, _, err = compare("--tensorboard", "--output", "report")
    assert status == 0
    assert "no curves of" not in err


def test_the_command_works_on_an_ascii_terminal() -> None:
    write_sweep()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "1"}
    command = [sys.executable, "-m", "regexp.cli.compare"]
    process = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"94.99 ? 0.18" in process.stdout


def test_a_sweep_without_any_run_is_reported(compare: Command) -> None:
    for run in write_sweep():
        shutil.rmtree(run)
    assert "20 runs were planned, and none of them exists" in compare()[2]
    runs = write_sweep(Path("outputs/other"), id="20270101-000000-000000")
    for run in runs:
        (run / "run.json").write_text("{")
    assert f"{runs[0] / 'run.json'} is broken" in compare()[2]


def test_a_swept_key_with_the_name_of_a_metric_gets_another_column(compare: Command) -> None:
    for epochs in (10, 20):
        write_run(DEFAULT, [f"epochs={epochs}"], 0, epochs=epochs)
    rows = json.loads(compare(str(DEFAULT), "--format", "json")[1])["configurations"]
    assert [(row["config.epochs"], row["epochs"]) for row in rows] == [(10, 10.0), (20, 20.0)]


def test_conditions_apply_to_titles_and_missing_runs(compare: Command) -> None:
    runs = write_sweep()
    shutil.rmtree(runs[0])
    out = compare("--where", "normalization=batch")[1]
    assert "missing" not in out
    assert ", where normalization=batch\n" in out
    assert "where normalization=batch" in compare("--where", "normalization=batch", "--format", "md")[1]


def test_the_baseline_is_among_the_rows_that_are_shown(compare: Command) -> None:
    for i in range(40):
        write_run(DEFAULT, [f"optimizer.lr={0.001 * (i + 1)}"], 0, val_accuracy=0.5 + i / 100)
    table = compare(str(DEFAULT))[1].split("\n\n")[1]
    assert len(table.splitlines()) == 32
    assert table.splitlines()[-1].startswith("0.001 ")


def test_the_status_has_no_other_format_than_text(compare: Command) -> None:
    write_sweep()
    status, out, err = compare("--status", "--format", "json")
    assert (status, out) == (2, "")
    assert "drop --format" in err


def test_the_command_for_a_missing_run_names_its_directory(compare: Command) -> None:
    runs = write_sweep(Path("elsewhere/default"))
    change_entry(next(Path("elsewhere/default/sweeps").iterdir()), "command", value="a sweep in Python")
    shutil.rmtree(runs[0])
    status_text = normalize_spaces(compare("elsewhere/default", "--status")[1])
    assert "regexp normalization=none augmentation=none seed=0 hydra.run.dir=elsewhere" in status_text


def test_the_command_for_a_missing_run_keeps_added_and_dropped_steps(compare: Command) -> None:
    overrides = ["+augmentation.shift.padding=2", "augmentation=lesson", "~augmentation.flip"]
    for seed in (0, 1):
        write_run(DEFAULT, ["augmentation=none"], seed)
    write_run(DEFAULT, overrides, 0)
    status_text = normalize_spaces(compare(str(DEFAULT), "--status")[1])
    assert "regexp +augmentation.shift.padding=2 augmentation=lesson '~augmentation.flip' seed=1" in status_text


def test_the_command_imports_no_torch_and_no_scipy_stats() -> None:
    code = (
        "import sys, regexp.cli.compare, regexp.comparison.compare, regexp.comparison.formats.terminal\n"
        "import regexp.comparison.loading, regexp.comparison.missing_runs\n"
        "print([name for name in ('torch', 'scipy.stats', 'matplotlib', 'pandas', 'hydra') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert process.stdout.strip() == "[]"


def test_runs_that_were_set_aside_are_left_out_and_counted(compare: Command) -> None:
    runs = write_sweep()
    runs[0].rename(runs[0].with_name(f"{runs[0].name}.old-20260101-000000"))
    out = normalize_spaces(compare(str(DEFAULT))[1])
    assert "19 runs (19 finished, 1 missing)" in out
    assert "1 run set aside (*.old-*) left out" in out


def test_a_narrow_terminal_loses_no_figures(compare: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sweep()
    wide = compare()[1]
    monkeypatch.setattr("regexp.comparison.formats.terminal.Console", lambda **options: Console(**options, width=30))
    narrow = compare()[1]
    for line in wide.splitlines():
        if "±" in line and "   " in line:
            assert line.rstrip() in narrow


@pytest.mark.parametrize("title", ["batch", "a very long folder name/pictures/first.npz, 0.01", "b" * 70, "猫" * 30])
@pytest.mark.parametrize("seeds", ["5", "0 (3 diverged)", "2 (3 diverged, 1 failed, 1 interrupted)"])
def test_a_table_with_long_words_loses_no_figures(title: str, seeds: str) -> None:
    columns = ["path\nlr", "seeds", "validation %", "test %", "gap", "best", "epochs", "s"]
    figures = ["94.99 ± 0.18", "95.99 ± 0.20", "0.031", "14", "15", "123.4"]
    console = Console(file=io.StringIO(), width=80)
    report = Report(console)
    table = TextTable("Means over seeds", columns, [[title, seeds, *figures]] * 3)
    report._print_table(to_rich_table(table, 80))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(text.count(f"  {figure}") == 3 for figure in figures)
    words = "".join(line[:24] for line in text.splitlines()[2:])
    assert all(title[i] in words for i in range(len(title)))
    assert "epochs" in text


def test_hidden_rows_are_counted(compare: Command) -> None:
    for i in range(40):
        write_run(DEFAULT, [f"optimizer.lr={0.001 * (i + 1)}"], 0)
    out = compare(str(DEFAULT))[1]
    assert "and 10 more rows (--format csv shows all)" in out
    assert len(compare(str(DEFAULT), "--format", "csv")[1].splitlines()) == 41
