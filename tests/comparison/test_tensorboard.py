"""What TensorBoard shows of runs and comparisons, read from event files and seen in a browser."""

import logging
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers.browser import browser, serve_tensorboard
from helpers.run_directories import write_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from regexp import sweep
from regexp.comparison import tensorboard
from regexp.comparison.compare import compare_collection
from regexp.comparison.curves import Curves
from regexp.comparison.loading import collect
from regexp.errors import ConfigError
from regexp.runs.tensorboard.logdirs import make_logdir

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
    assert _list_bands(tmp_path / "runs") == {"norm=none,dropout=0", "norm=batch,dropout=0"}
    curves = read_scalars(tmp_path / "runs/bands/norm=batch,dropout=0")
    means = {f"{split}/{metric}" for split in ("train", "val") for metric in ("loss", "accuracy")}
    edges = {f"values_of_seeds/{tag.replace('/', '_')}_{edge}" for tag in means for edge in ("lower", "upper")}
    assert set(curves) == means | edges
    # The curves end with the shortest run, after 4 epochs.
    losses = np.array([[1 / epoch + seed / 100 for seed in (0, 1, 2)] for epoch in range(1, 5)])
    mean, sd = losses.mean(axis=1), losses.std(axis=1, ddof=1)
    for tag, expected in (
        ("val/loss", mean),
        ("values_of_seeds/val_loss_lower", mean - sd),
        ("values_of_seeds/val_loss_upper", mean + sd),
    ):
        assert curves[tag] == [(i + 1, pytest.approx(value)) for i, value in enumerate(expected)]


def _list_bands(directory: Path) -> set[str]:
    """Return the names of the runs that are bands of the runs in a directory."""
    return {path.parent.name for path in (directory / "bands").rglob("events*")}


def test_writing_bands_replaces_old_bands_and_keeps_other_files(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "runs", ["normalization=batch"], seed)
        write_run(tmp_path / "runs", ["normalization=none"], seed)
    write_bands(tmp_path / "runs")
    other_file = tmp_path / "runs/bands/none/mine.txt"
    other_file.write_text("")
    for kind in ("mean", "mean+sd", "mean-sd"):  # an earlier version had three runs for each configuration
        (tmp_path / "runs/bands/group" / kind).mkdir(parents=True)
        (tmp_path / "runs/bands/group" / kind / "events.out.tfevents.1.x.1.0").write_text("")
    write_run(tmp_path / "runs", ["normalization=layer"], 0)
    write_run(tmp_path / "runs", ["normalization=layer"], 1)
    assert write_bands(tmp_path / "runs")[0] == 3
    assert _list_bands(tmp_path / "runs") == {"none", "batch", "layer"}
    assert len(list((tmp_path / "runs/bands").rglob("events*"))) == 3
    assert other_file.exists()


def _read_layouts(directory: Path) -> list[layout_pb2.Layout]:
    """Return the layouts of the Custom Scalars page in the bands of a directory."""
    return [
        layout_pb2.Layout.FromString(value.tensor.string_val[0])
        for file in (directory / "bands").rglob("events*")
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "custom_scalars"
    ]


def test_the_layout_has_bands_and_charts_of_training_and_validation(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / "several", [], seed)
    write_run(tmp_path / "one", [], 0)
    for name, band_count in (("several", 1), ("one", 0)):
        assert write_bands(tmp_path / name)[0] == band_count
        [layout] = _read_layouts(tmp_path / name)
        *margins, category = layout.category
        charts = {chart.title: list(chart.multiline.tag) for chart in category.chart}
        assert charts == {name: [f"^train/{name}$", f"^val/{name}$"] for name in ("loss", "accuracy")}
        assert len(margins) == band_count
        for margin in margins:
            tags = [tag for chart in margin.chart for s in chart.margin.series for tag in (s.value, s.lower, s.upper)]
            [run] = _list_bands(tmp_path / name)
            assert sorted(tags) == sorted(read_scalars(tmp_path / name / "bands" / run))


@pytest.mark.parametrize(
    ("num_dropouts", "num_seeds", "expected"),
    [
        (2, 2, "http://localhost:6006/#custom_scalars"),
        (4, 10, "http://localhost:6006/#custom_scalars&regexInput=^bands/"),
        (
            41,
            2,
            "http://localhost:6006/#custom_scalars&regexInput=^bands/norm%3Dbatch,dropout%3D0$ "
            "(1 of 82; clear its filter for more)",
        ),
    ],
)
def test_the_address_shows_bands_at_once(tmp_path: Path, num_dropouts: int, num_seeds: int, expected: str) -> None:
    """It is typed into a browser: the page splits it at & and =, and reads its filter as a pattern."""
    grid = product(("batch", "none"), range(num_dropouts), range(num_seeds))
    for normalization, i, seed in grid:
        write_run(tmp_path / "runs", [f"normalization={normalization}", f"model.dropout={i / 100:g}"], seed, epochs=1)
    comparison = compare_collection(collect([tmp_path / "runs"]), sort="model.dropout")
    assert tensorboard.address_of_bands(comparison, Curves(comparison.rows)) == expected
    assert tensorboard.advise_on_ticks(comparison) is None
    many_runs = replace(comparison, cells=comparison.cells * 150)
    assert "tick the box beside Run" in (tensorboard.advise_on_ticks(many_runs) or "")


def test_one_run_of_each_image_stream_shows_its_augmentation() -> None:
    """None does where nothing augments. Batches of a sweep and cohorts of other shapes share the streams."""
    grid = product(("none", "batch"), ("none", "shift"), (0, 1))
    runs = sweep([[*SHORT, f"normalization={n}", f"augmentation={a}", f"seed={s}"] for n, a, s in grid], quiet=True)
    pictured = []
    for run in runs:
        events = EventAccumulator(str(run.directory))
        events.Reload()
        assert "visuals/confusion" in events.Tags()["images"]
        if "visuals/augmentation" in events.Tags()["images"]:
            pictured.append((run.config["normalization"], run.config["seed"]))
        assert (run.directory / "augmentation.png").exists() == ("augmentation=shift" in run.record["overrides"])
    assert pictured == [("none", 0), ("none", 1)]


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
    directories = {run.directory for run in runs} | {Path("outputs/default/hparams")}  # describes the columns
    assert {path.parent for path in Path("outputs").rglob("events.*")} == directories


def test_the_gap_is_measured_with_the_kept_weights() -> None:
    [run] = sweep(
        [["epochs=12", "optimizer.lr=0.3", "early_stopping.patience=3", "model.hidden_sizes=[32]"]], quiet=True
    )
    assert run.summary is not None
    assert run.summary["best_epoch"] < run.summary["epochs"]
    best = run.metrics[run.summary["best_epoch"] - 1]
    [(_, gap)] = read_scalars(run.directory)["values_kept/gap"]
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
    """Configurations with two seeds each, a run with another key, a diverged run and bands, more than 40 in all."""
    grid = list(product(("none", "batch"), (0, 0.1, 0.2, 0.3, 0.4), (0, 1)))
    runs = sweep([[*SHORT, f"normalization={n}", f"model.dropout={p}", f"seed={s}"] for n, p, s in grid], quiet=True)
    others = [[*SHORT, "model.dropout=0.5", "seed=0"], [*SHORT, "optimizer.lr=1e38", "seed=0"]]
    others += [[*SHORT, "augmentation=shift", f"seed={s}"] for s in range(10)]
    runs += sweep(others, quiet=True)
    comparison = compare_collection(collect([Path("outputs/default")]))
    num_bands = tensorboard.write_bands(comparison, Curves(comparison.rows))
    log_directory = tensorboard.prepare_log_directory(comparison, with_bands=True)
    assert log_directory == Path("outputs/default").resolve()
    assert num_bands == 11
    assert len(runs) + num_bands > tensorboard.MAX_TICKED
    fragment = tensorboard.address_of_bands(comparison, Curves(comparison.rows)).partition("/#")[2]
    with browser(tmp_path / "profile") as page, serve_tensorboard(log_directory, len(runs) + num_bands + 1) as address:
        page.open(f"{address}/#hparams", width=1750, height=1200)
        page.wait_until(f"{TEXT}.filter(text => / \\([0-9a-f]{{6}}\\)( diverged)?$/.test(text)).length >= 4")
        text = page.evaluate(TEXT)
        header = text[text.index("Trial ID") + 1 :]
        columns = header[: next(i for i, word in enumerate(header) if word.endswith((")", ") diverged")))]
        # Exactly the keys that differ, and then the metrics; no constants, and no keys that come with an option.
        expected = ["augmentation", "dropout", "normalization", "lr"]
        expected += ["test accuracy", "validation accuracy", "test loss", "validation loss", "gap"]
        assert [word for word in columns if word in expected] == expected
        assert not {"batch_size", "epochs", "momentum", "padding"} & set(columns)
        rows = {word.rpartition(" (")[0] for word in header if word.endswith((")", ") diverged")) and " (" in word}
        first_words = {row.replace(" hidden_sizes=[8]", "").partition(" patience")[0] for row in rows}
        assert {"batch dropout=0.1", "dropout=0.5", "batch"} <= first_words

        page.open("about:blank")
        page.open(f"{address}/", width=1750, height=1200)
        page.wait_until(f"{TEXT}.includes('6 cards')")
        text = page.evaluate(TEXT)
        groups = [text[i - 1] for i, word in enumerate(text) if word.endswith(" cards")]
        assert groups[:2] == ["train", "val"]
        assert groups == sorted(groups)

        page.open("about:blank")
        page.open(f"{address}/#{fragment}", width=1750, height=1200)
        page.wait_until(f"{TEXT}.filter(text => text === 'Matches (11)').length >= 4")
        assert "validation loss: mean ± sd over seeds" in page.evaluate(TEXT)


def test_bands_need_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no runs"):
        write_bands(tmp_path)
