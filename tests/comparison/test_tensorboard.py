"""What TensorBoard shows of runs and comparisons, read from event files and seen in a browser."""

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
from helpers.run_directories import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from regexp import load_run, sweep
from regexp.comparison import tensorboard
from regexp.comparison.compare import compare_collection
from regexp.comparison.curves import Curves
from regexp.comparison.loading import collect
from regexp.errors import ConfigError
from regexp.runs.logdirs import make_logdir

SHORT = ["epochs=3", "model.hidden_sizes=[8]", "early_stopping=none"]


def write_bands(directory: Path | str) -> tuple[int, Path]:
    """Compare the runs of a directory, write their bands, and return their number and directory."""
    comparison = compare_collection(collect([Path(directory)]))
    return tensorboard.write_bands(comparison, Curves(comparison.rows)), tensorboard.bands_directory(comparison)


def read_scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the steps and values of each tag in the event files of a directory."""
    events = EventAccumulator(str(directory))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def read_sessions(directory: Path) -> list[plugin_data_pb2.HParamsPluginData]:
    """Return what the event files of a run say to the HParams page, in order."""
    return [
        plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
        for file in directory.glob("events.*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == metadata.PLUGIN_NAME
    ]


@pytest.fixture(autouse=True)
def _silence_tensorboard() -> None:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)


def test_bands_are_means_and_standard_deviations(tmp_path: Path) -> None:
    for normalization in ("none", "batch"):
        for seed, epochs in ((0, 4), (1, 6), (2, 5)):
            write_run(tmp_path / "runs", [f"normalization={normalization}"], seed, epochs=epochs)
    write_run(tmp_path / "runs", ["model.dropout=0.5"], 0)
    assert write_bands(tmp_path / "runs") == (2, tmp_path / "runs" / "bands")
    written = {path.relative_to(tmp_path / "runs/bands").as_posix() for path in (tmp_path / "runs/bands").glob("*/*")}
    assert written == {f"{n},0/{kind}" for n in ("none", "batch") for kind in ("mean", "mean+sd", "mean-sd")}
    for kind, sign in (("mean", 0), ("mean+sd", 1), ("mean-sd", -1)):
        curves = read_scalars(tmp_path / "runs/bands/batch,0" / kind)
        assert set(curves) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
        # The curves end with the shortest run, after 4 epochs.
        losses = np.array([[1 / epoch + seed / 100 for seed in (0, 1, 2)] for epoch in range(1, 5)])
        expected = losses.mean(axis=1) + sign * losses.std(axis=1, ddof=1)
        assert curves["val/loss"] == [(i + 1, pytest.approx(value)) for i, value in enumerate(expected)]


def test_writing_bands_replaces_old_bands_and_keeps_other_files(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "runs", ["normalization=batch"], seed)
        write_run(tmp_path / "runs", ["normalization=none"], seed)
    write_bands(tmp_path / "runs")
    other_file = tmp_path / "runs/bands/none/mean/mine.txt"
    other_file.write_text("")
    old_files = set((tmp_path / "runs/bands").rglob("events*"))
    write_run(tmp_path / "runs", ["normalization=layer"], 0)
    write_run(tmp_path / "runs", ["normalization=layer"], 1)
    assert write_bands(tmp_path / "runs")[0] == 3
    files = list((tmp_path / "runs/bands").rglob("events*"))
    assert len(files) == 9
    assert other_file.exists()
    assert len(old_files) == 6


def test_training_and_validation_share_a_chart(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "several", [], seed)
    write_run(tmp_path / "one", [], 0)
    for name, band_count in (("several", 1), ("one", 0)):
        assert write_bands(tmp_path / name)[0] == band_count
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


def test_seeds_of_a_configuration_share_a_seed_group_and_leave_no_other_event_files() -> None:
    runs = sweep([[*SHORT, f"normalization={n}", f"seed={s}"] for n in ("none", "batch") for s in (0, 1)], quiet=True)
    groups: dict[str, list[str]] = {}
    for run in runs:
        start, end = read_sessions(run.directory)
        groups.setdefault(start.session_start_info.group_name, []).append(run.directory.name)
        assert end.session_end_info.status == api_pb2.STATUS_SUCCESS
        assert "seed" not in start.session_start_info.hparams
        assert len(list(run.directory.glob("events.*"))) == 1
    assert sorted(map(len, groups.values())) == [2, 2]
    assert {path.parent for path in Path("outputs").rglob("events.*")} == {run.directory for run in runs}


def test_the_gap_is_measured_with_the_kept_weights() -> None:
    [run] = sweep(
        [["epochs=12", "optimizer.lr=0.3", "early_stopping.patience=3", "model.hidden_sizes=[32]"]], quiet=True
    )
    assert run.summary is not None
    assert run.summary["best_epoch"] < run.summary["epochs"]
    best = run.metrics[run.summary["best_epoch"] - 1]
    [(_, gap)] = read_scalars(run.directory)["gap"]
    assert gap == pytest.approx(best["val_loss"] - best["train_loss"], rel=1e-6)


def test_a_diverged_run_is_marked_as_failed() -> None:
    diverged = sweep([[*SHORT, "optimizer.lr=1e38"]], quiet=True)[0]
    assert read_sessions(diverged.directory)[-1].session_end_info.status == api_pb2.STATUS_FAILURE


def test_a_failed_run_is_marked_as_failed_until_it_is_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    from regexp.execution.run_recorder import RunRecorder

    record_epoch = RunRecorder.record_epoch

    def fail_in_epoch_2(self: RunRecorder, metrics: object) -> None:
        if getattr(metrics, "epoch") == 2:  # noqa: B009
            raise ValueError("a test failure")
        record_epoch(self, metrics)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "record_epoch", fail_in_epoch_2)
        with pytest.raises(ValueError, match="a test failure"):
            sweep([SHORT], quiet=True)
    [directory] = Path("outputs/default").iterdir()
    assert read_sessions(directory)[-1].session_end_info.status == api_pb2.STATUS_FAILURE
    sweep([SHORT], quiet=True)
    ends = [data for data in read_sessions(directory) if data.HasField("session_end_info")]
    assert [end.session_end_info.status for end in ends] == [api_pb2.STATUS_SUCCESS]


def test_the_log_directory_holds_exactly_the_runs_asked_for(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, [], seed) for name in ("one", "two") for seed in (0, 1)]
    for run in runs:
        (run / "events.out.tfevents.1.x.1.0").write_text("")
    assert make_logdir(runs[:2]) == tmp_path / "one"
    assert make_logdir(runs) == tmp_path
    log_directory = make_logdir(runs[:1])
    assert [path.resolve() for path in log_directory.iterdir()] == [runs[0]]
    assert make_logdir(runs[:1]) == log_directory
    (tmp_path / "one" / "bands").mkdir()
    with_bands = make_logdir(runs[:1], tmp_path / "one" / "bands")
    assert {path.name for path in with_bands.iterdir()} == {runs[0].name, "bands"}
    assert {path.parent.name for path in make_logdir([runs[0], runs[2]]).glob("*/*")} == {"one", "two"}


def test_the_log_directory_is_that_of_the_runs_where_links_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [write_run(tmp_path / "one", [], seed) for seed in (0, 1)]
    for run in runs:
        (run / "events.out.tfevents.1.x.1.0").write_text("")

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert make_logdir(runs[:1]) == tmp_path / "one"


@contextmanager
def serve_tensorboard(log_directory: Path, run_count: int) -> Iterator[str]:
    """Start TensorBoard, wait until it has read this many runs, and yield its address."""
    with socket.socket() as unused:
        unused.bind(("localhost", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(log_directory), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{address}/data/runs", timeout=10) as answer:
                    if len(json.load(answer)) >= run_count:
                        break
            except OSError:
                assert process.poll() is None, "TensorBoard has ended"
            time.sleep(0.3)
        yield address
    finally:
        process.terminate()
        process.wait()


# JavaScript that returns all texts on a page, also those in the shadow roots of its elements.
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
# JavaScript that returns all elements with a tag, also those in shadow roots.
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
def test_tensorboards_pages_in_a_browser(tmp_path: Path) -> None:
    """Two configurations with two seeds each, a run with another key, a diverged run and bands are all shown."""
    runs = sweep([[*SHORT, f"normalization={n}", f"seed={s}"] for n in ("none", "batch") for s in (0, 1)], quiet=True)
    runs += sweep([[*SHORT, "model.dropout=0.5", "seed=0"]], quiet=True)
    runs += sweep([[*SHORT, "optimizer.lr=1e38", "seed=0"]], quiet=True)
    assert write_bands("outputs/default")[0] == 2
    run_names = [run.directory.name for run in runs]
    with browser(tmp_path / "profile") as page, serve_tensorboard(Path("outputs/default"), len(runs) + 6) as address:
        page.open(f"{address}/#hparams")
        page.wait_until(f"{TEXT}.filter(text => / \\([0-9a-f]{{6}}\\)( diverged)?$/.test(text)).length >= 4")
        text = page.evaluate(TEXT)
        header = text[text.index("Trial ID") :]
        columns = header[: next(i for i, word in enumerate(header) if word.endswith(")"))]
        # The keys that differ come first, then exactly those metrics that are written at the end of a run.
        joined = "".join(columns)
        varied_keys = ["model.dropout", "normalization", "optimizer.lr"]
        final_metrics = ["gap", "kept/val_accuracy", "kept/val_loss", "test/accuracy", "test/loss"]
        positions = [joined.index(name) for name in (*varied_keys, *final_metrics)]
        assert positions == sorted(positions)
        assert "train/loss" not in joined
        rows = {word.rpartition(" (")[0] for word in header if word.endswith((")", ") diverged")) and " (" in word}
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
                if value["name"]["tag"] == "kept/val_accuracy":
                    summaries = [load_run(Path("outputs/default", s["name"])).summary for s in group["sessions"]]
                    accuracies = [summary["last"]["val_accuracy"] for summary in summaries if summary]
                    assert value["value"] == pytest.approx(np.mean(accuracies), rel=1e-6)

        page.open("about:blank")
        page.open(f"{address}/#scalars", width=1400, height=4000)
        page.wait_until(f"{TEXT}.includes('kept/val_loss') && {TEXT}.includes('val')")
        text = page.evaluate(TEXT)
        assert {"gap", "kept", "test", "train", "val"} <= set(text)
        expected = [
            f"bands/{name}/{kind}" for name in _band_names() for kind in ("mean", "mean+sd", "mean-sd")
        ] + run_names
        assert {line for line in text if line in expected} == set(expected)

        page.open("about:blank")
        page.open(f"{address}/#images", width=1400, height=6000)
        pictures = page.wait_until(
            f"(() => {{ const all = {ELEMENTS}('IMG').filter(img => img.src.includes('individualImage')"
            " && img.complete && img.naturalWidth > 0); return all.length >= 6 && all.length; })()"
        )
        assert pictures >= len(run_names)

        page.open("about:blank")
        page.open(f"{address}/#custom_scalars")
        page.wait_until(f"{TEXT}.includes('loss: training and validation')")


def _band_names() -> list[str]:
    return sorted(path.name for path in Path("outputs/default/bands").iterdir())


def test_bands_need_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no runs"):
        write_bands(tmp_path)
