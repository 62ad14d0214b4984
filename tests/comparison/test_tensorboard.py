"""What TensorBoard shows: read from event files, and seen in a browser."""

import json
import logging
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import browser
from helpers.run_folders import leave
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from regexp import load_run, sweep
from regexp.comparison import tensorboard as bands
from regexp.comparison.compare import compare_all
from regexp.comparison.curves import Curves
from regexp.comparison.loading import collect
from regexp.errors import ConfigError
from regexp.runs.logdirs import logdir

SHORT = ["epochs=3", "model.hidden_sizes=[8]", "early_stopping=none"]


def compared(folder: Path | str) -> tuple[int, Path]:
    comparison = compare_all(collect([Path(folder)]))
    return bands.write_bands(comparison, Curves(comparison.rows)), bands.bands_directory(comparison)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def sessions(folder: Path) -> list[plugin_data_pb2.HParamsPluginData]:
    """All that a run's event file says to the HParams page."""
    return [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for file in folder.glob("events.*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME
    ]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)


def test_bands_are_means_and_standard_deviations(tmp_path: Path) -> None:
    for normalization in ("none", "batch"):
        for seed, epochs in ((0, 4), (1, 6), (2, 5)):
            leave(tmp_path / "runs", [f"normalization={normalization}"], seed, epochs=epochs)
    leave(tmp_path / "runs", ["model.dropout=0.5"], 0)
    assert compared(tmp_path / "runs") == (2, tmp_path / "runs" / "bands")
    found = {path.relative_to(tmp_path / "runs/bands").as_posix() for path in (tmp_path / "runs/bands").glob("*/*")}
    assert found == {f"{n},0/{kind}" for n in ("none", "batch") for kind in ("mean", "mean+sd", "mean-sd")}
    for kind, sign in (("mean", 0), ("mean+sd", 1), ("mean-sd", -1)):
        curves = scalars(tmp_path / "runs/bands/batch,0" / kind)
        assert set(curves) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
        # As long as all seeds train: 4 epochs.
        seeds = np.array([[1 / epoch + seed / 100 for seed in (0, 1, 2)] for epoch in range(1, 5)])
        expected = seeds.mean(axis=1) + sign * seeds.std(axis=1, ddof=1)
        assert curves["val/loss"] == [(i + 1, pytest.approx(value)) for i, value in enumerate(expected)]


def test_bands_are_replaced_and_nothing_else(tmp_path: Path) -> None:
    for seed in (0, 1):
        leave(tmp_path / "runs", ["normalization=batch"], seed)
        leave(tmp_path / "runs", ["normalization=none"], seed)
    compared(tmp_path / "runs")
    mine = tmp_path / "runs/bands/none/mean/mine.txt"
    mine.write_text("")
    old = set((tmp_path / "runs/bands").rglob("events*"))
    leave(tmp_path / "runs", ["normalization=layer"], 0)
    leave(tmp_path / "runs", ["normalization=layer"], 1)
    assert compared(tmp_path / "runs")[0] == 3
    files = list((tmp_path / "runs/bands").rglob("events*"))
    assert len(files) == 9
    assert mine.exists()
    assert len(old) == 6


def test_training_and_validation_share_a_chart(tmp_path: Path) -> None:
    for seed in (0, 1):
        leave(tmp_path / "several", [], seed)
    leave(tmp_path / "one", [], 0)
    for name, count in (("several", 1), ("one", 0)):
        assert compared(tmp_path / name)[0] == count
        layouts = []
        for file in (tmp_path / name / "bands").rglob("events*"):
            for event in EventFileLoader(str(file)).Load():
                for value in event.summary.value:
                    if value.tag == "custom_scalars__config__":
                        assert value.metadata.plugin_data.plugin_name == "custom_scalars"
                        layouts.append(layout_pb2.Layout.FromString(value.tensor.string_val[0]))
        [layout] = layouts
        [category] = layout.category
        charts = {chart.title: list(chart.multiline.tag) for chart in category.chart}
        assert charts["loss: training and validation"] == ["^train/loss$", "^val/loss$"]
        assert charts["accuracy: training and validation"] == ["^train/accuracy$", "^val/accuracy$"]


def test_seeds_are_one_row_without_a_ghost() -> None:
    runs = sweep([[*SHORT, f"normalization={n}", f"seed={s}"] for n in ("none", "batch") for s in (0, 1)], quiet=True)
    groups: dict[str, list[str]] = {}
    for run in runs:
        start, end = sessions(run.directory)
        groups.setdefault(start.session_start_info.group_name, []).append(run.directory.name)
        assert end.session_end_info.status == api_pb2.STATUS_SUCCESS
        assert "seed" not in start.session_start_info.hparams
        assert len(list(run.directory.glob("events.*"))) == 1
    assert sorted(map(len, groups.values())) == [2, 2]
    assert {path.parent for path in Path("outputs").rglob("events.*")} == {run.directory for run in runs}


def test_the_gap_is_that_of_the_weights_that_are_kept() -> None:
    [run] = sweep(
        [["epochs=12", "optimizer.lr=0.3", "early_stopping.patience=3", "model.hidden_sizes=[32]"]], quiet=True
    )
    assert run.summary is not None
    assert run.summary["best_epoch"] < run.summary["epochs"]
    best = run.metrics[run.summary["best_epoch"] - 1]
    [(_, gap)] = scalars(run.directory)["gap"]
    assert gap == pytest.approx(best["val_loss"] - best["train_loss"], rel=1e-6)


def test_what_went_wrong_is_marked() -> None:
    diverged = sweep([[*SHORT, "optimizer.lr=1e38"]], quiet=True)[0]
    assert sessions(diverged.directory)[-1].session_end_info.status == api_pb2.STATUS_FAILURE


def test_a_failed_run_is_marked_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from regexp.execution.recorder import RunRecorder

    original = RunRecorder.epoch

    def failing(self: RunRecorder, metrics: object) -> None:
        if getattr(metrics, "epoch") == 2:  # noqa: B009
            raise ValueError("a broken pen")
        original(self, metrics)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "epoch", failing)
        with pytest.raises(ValueError, match="a broken pen"):
            sweep([SHORT], quiet=True)
    [folder] = Path("outputs/default").iterdir()
    assert sessions(folder)[-1].session_end_info.status == api_pb2.STATUS_FAILURE
    sweep([SHORT], quiet=True)
    ends = [data for data in sessions(folder) if data.HasField("session_end_info")]
    assert [end.session_end_info.status for end in ends] == [api_pb2.STATUS_SUCCESS]


def test_a_folder_of_links_holds_exactly_the_runs_asked_for(tmp_path: Path) -> None:
    runs = [leave(tmp_path / name, [], seed) for name in ("one", "two") for seed in (0, 1)]
    for run in runs:
        (run / "events.out.tfevents.1.x.1.0").write_text("")
    assert logdir(runs[:2]) == tmp_path / "one"
    assert logdir(runs) == tmp_path
    single = logdir(runs[:1])
    assert [path.resolve() for path in single.iterdir()] == [runs[0]]
    assert logdir(runs[:1]) == single
    (tmp_path / "one" / "bands").mkdir()
    with_bands = logdir(runs[:1], tmp_path / "one" / "bands")
    assert {path.name for path in with_bands.iterdir()} == {runs[0].name, "bands"}
    assert {path.parent.name for path in logdir([runs[0], runs[2]]).glob("*/*")} == {"one", "two"}


def test_without_links_the_folder_itself_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [leave(tmp_path / "one", [], seed) for seed in (0, 1)]
    for run in runs:
        (run / "events.out.tfevents.1.x.1.0").write_text("")

    def refused(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refused)
    assert logdir(runs[:1]) == tmp_path / "one"


@contextmanager
def tensorboard(folder: Path, runs: int) -> Iterator[str]:
    """The address of a TensorBoard that has read so many runs."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
                    if len(json.load(answer)) >= runs:
                        break
            except OSError:
                assert process.poll() is None, "TensorBoard has ended"
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait()


# All text on a page, through the shadow roots of its elements.
TEXT = """(() => {
  const found = [];
  const walk = node => {
    for (const child of node.childNodes) {
      if (child.nodeType === 3 && child.textContent.trim()) found.push(child.textContent.trim());
      if (child.nodeType === 1 && !['STYLE', 'SCRIPT'].includes(child.tagName)) {
        if (child.shadowRoot) walk(child.shadowRoot);
        walk(child);
      }
    }
  };
  if (document.body) walk(document.body);
  return found;
})()"""
# Elements of a tag, likewise.
ELEMENTS = """((tag) => {
  const found = [];
  const walk = node => {
    for (const child of node.children) {
      if (child.tagName === tag) found.push(child);
      if (child.shadowRoot) walk(child.shadowRoot);
      walk(child);
    }
  };
  if (document.body) walk(document.body);
  return found;
})"""


@pytest.mark.slow
def test_pages_in_a_browser(tmp_path: Path) -> None:
    """Two configurations of two seeds, then one more key, a diverged run and bands: rows, runs and pictures."""
    runs = sweep([[*SHORT, f"normalization={n}", f"seed={s}"] for n in ("none", "batch") for s in (0, 1)], quiet=True)
    runs += sweep([[*SHORT, "model.dropout=0.5", "seed=0"]], quiet=True)
    runs += sweep([[*SHORT, "optimizer.lr=1e38", "seed=0"]], quiet=True)
    assert compared("outputs/default")[0] == 2
    labels = [run.directory.name for run in runs]
    with browser(tmp_path / "profile") as page, tensorboard(Path("outputs/default"), len(runs) + 6) as address:
        page.open(f"{address}/#hparams")
        page.until(f"{TEXT}.filter(text => text.endsWith(')') && text.includes('(')).length >= 4")
        text = page.run(TEXT)
        header = text[text.index("Trial ID") :]
        columns = header[: next(i for i, word in enumerate(header) if word.endswith(")"))]
        # What differs comes first, and of the figures exactly those that close a run.
        joined = "".join(columns)
        order = ["model.dropout", "normalization", "optimizer.lr"]
        closing = ["best/val_accuracy", "best/val_loss", "epochs", "gap", "test/accuracy"]
        places = [joined.index(name) for name in (*order, *closing)]
        assert places == sorted(places)
        assert "train/loss" not in joined
        rows = {word.rpartition(" (")[0] for word in header if word.endswith(")") and " (" in word}
        common = {"epochs=3", "hidden_sizes=[8]", "patience=null", "restore_best=false"}
        assert {" ".join(set(row.split()) - common) for row in rows} == {"", "batch", "dropout=0.5", "lr=1e+38"}
        request = urllib.request.Request(
            f"{address}/data/plugin/hparams/session_groups",
            json.dumps({"startIndex": 0, "sliceSize": 99, "allowedStatuses": [
                "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]}).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request) as answer:
            groups = json.load(answer)["sessionGroups"]
        assert sorted(len(group["sessions"]) for group in groups) == [1, 1, 2, 2]
        statuses = sorted(session["status"] for group in groups for session in group["sessions"])
        assert statuses == ["STATUS_FAILURE", *["STATUS_SUCCESS"] * 5]
        for group in groups:
            for value in group["metricValues"]:
                if value["name"]["tag"] == "best/val_accuracy":
                    found = [load_run(Path("outputs/default", s["name"])).summary for s in group["sessions"]]
                    figures = [summary["best"]["val_accuracy"] for summary in found if summary and summary["best"]]
                    assert value["value"] == pytest.approx(np.mean(figures), rel=1e-6)

        page.open("about:blank")
        page.open(f"{address}/#scalars", width=1400, height=4000)
        page.until(f"{TEXT}.includes('best/val_loss') && {TEXT}.includes('val')")
        text = page.run(TEXT)
        assert {"best", "epochs", "gap", "test", "train", "val"} <= set(text)
        expected = [f"bands/{name}/{kind}" for name in _bands() for kind in ("mean", "mean+sd", "mean-sd")] + labels
        assert {word for word in text if word in expected} == set(expected)

        page.open("about:blank")
        page.open(f"{address}/#images", width=1400, height=6000)
        pictures = page.until(
            f"(() => {{ const all = {ELEMENTS}('IMG').filter(img => img.src.includes('individualImage')"
            " && img.complete && img.naturalWidth > 0); return all.length >= 6 && all.length; })()"
        )
        assert pictures >= len(labels)

        page.open("about:blank")
        page.open(f"{address}/#custom_scalars")
        page.until(f"{TEXT}.includes('loss: training and validation')")


def _bands() -> list[str]:
    return sorted(path.name for path in Path("outputs/default/bands").iterdir())


def test_without_runs_there_are_no_bands(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no runs"):
        compared(tmp_path)
