"""TensorBoard's HParams page and the table of a comparison mean the same: the same rows, columns and averages."""

import logging
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from helpers.data_files import write_arrays, write_image_folder
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from regexp import run, sweep
from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.formats.tables import tabulate_results
from regexp.comparison.grouping import ABSENT
from regexp.comparison.loading import collect
from regexp.comparison.rows import Row
from regexp.comparison.tensorboard import prepare_log_directory
from regexp.comparison.verdicts import format_metric
from regexp.config.metric_registry import CORRUPTION_METRICS, FINAL_TAGS, RUN_METRICS
from regexp.errors import RunError
from regexp.execution.run_recorder import RunRecorder
from regexp.runs.tensorboard.logdirs import make_current_logdir, make_logdir
from regexp.training import loop
from regexp.training.member import Member
from regexp.utils.messages import format_value

OUTPUTS = Path("outputs/default")
STATUSES = ("STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN")


@pytest.fixture(autouse=True)
def _silence_tensorboard() -> None:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)


def read_session_groups(log_directory: Path) -> list[Any]:
    """Return the rows of TensorBoard's HParams page on a log directory, as TensorBoard itself computes them."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(log_directory))
    multiplexer.Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(log_directory)))
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=999, allowed_statuses=[getattr(api_pb2, status) for status in STATUSES]
    )
    handler = list_session_groups.Handler(RequestContext(), backend_context.Context(context), "", request)
    return list(handler.run().session_groups)


def metric_values(group: Any) -> dict[str, float]:
    """Return the averages of a row of the HParams page, by tag."""
    return {value.name.tag: value.value for value in group.metric_values}


def hyperparameter(group: Any, key: str) -> str:
    """Return the value of a column of the HParams page as the table shows it; ABSENT where it is empty."""
    if key not in group.hparams:
        return ABSENT
    value = group.hparams[key]
    return format_value(getattr(value, value.WhichOneof("kind")))


def finished_runs(row: Row, outputs: Path) -> set[str]:
    """Return the names that TensorBoard has for the finished runs of a row of the table."""
    directories = [record.directory.resolve() for record in row.records if record.finished]
    return {directory.relative_to(outputs.resolve()).as_posix() for directory in directories}


def find_group(groups: list[Any], row: Row, outputs: Path = OUTPUTS) -> Any:
    """Return the row of the HParams page with the finished runs of a row of the table."""
    runs = finished_runs(row, outputs)
    [group] = [group for group in groups if {session.name for session in group.sessions} & runs]
    # The same runs: so every other column, such as the last value of a curve, is averaged over them as well.
    assert {session.name for session in group.sessions} == runs
    return group


def assert_equal_rows(comparison: Comparison, log_directory: Path = OUTPUTS) -> None:
    """Compare every row, column and average of the HParams page with the table."""
    groups = [
        group
        for group in read_session_groups(log_directory)
        if {session.status for session in group.sessions} == {api_pb2.STATUS_SUCCESS}
    ]
    rows = [row for row in comparison.rows if row.seed_count]
    assert len(groups) == len(rows)
    table = tabulate_results(comparison)
    for row in rows:
        group = find_group(groups, row, log_directory)
        recorded_keys = {**row.records[0].config, **row.records[0].data_paths}
        for key, value in row.values.items():
            # A group such as early_stopping has no key of its own: TensorBoard shows what its option sets.
            assert key not in recorded_keys or hyperparameter(group, key) == value, key
        averages = metric_values(group)
        for name, tag in FINAL_TAGS.items():
            estimate = row.estimate(name)
            assert (estimate is None) == (tag not in averages), name
            assert estimate is None or averages[tag] == pytest.approx(estimate.mean, rel=1e-6), name
        final_tags = {tag for tag in averages if not tag.startswith(("train/", "val/"))}
        assert final_tags <= set(FINAL_TAGS.values())
        assert not set(averages) & set(group.hparams)  # the page has one column for a name
        # The figures as they are printed.
        cells = dict(zip(table.columns[1:], table.rows[comparison.rows.index(row)][1:], strict=True))
        for column, name in (("validation %", "val_accuracy"), ("test %", "test_accuracy")):
            if (average := averages.get(FINAL_TAGS[name])) is not None:
                digits = len(cells[column].split()[0].partition(".")[2])
                assert cells[column].split()[0] == format_metric(RUN_METRICS[name], average, digits=digits)
        for column, name, digits in (("gap", "gap", 3), ("best", "best_epoch", 0), ("epochs", "epochs", 0)):
            assert cells[column] == f"{averages[FINAL_TAGS[name]]:.{digits}f}"


def overrides_of(*words: str, seeds: int = 3) -> list[list[str]]:
    """Return the overrides of short runs with these words, one for each seed."""
    common = ["epochs=6", "optimizer.lr=0.02", "model.hidden_sizes=[8]"]
    return [[*common, *words, f"seed={seed}"] for seed in range(seeds)]


@pytest.fixture
def _ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs with a dropout of 0.5 end badly: seed 1 diverges in epoch 2, and seed 2 fails in epoch 3."""
    find_status, record_epoch = loop._find_status, RunRecorder.record_epoch

    def diverge(member: Member, metrics: Any, stop: bool) -> str | None:
        is_chosen = member.settings.seed == 1 and member.settings.rates["dropout"] == 0.5 and metrics.epoch == 2
        return "diverged" if is_chosen else find_status(member, metrics, stop)

    def fail(self: RunRecorder, metrics: Any) -> None:
        config = self.planned.job.config
        assert not read_session_groups(self.directory), "a run in training is averaged with those that have ended"
        if config.seed == 2 and config.model.dropout == 0.5 and metrics.epoch == 3:
            raise RunError("the disk is gone")
        record_epoch(self, metrics)

    monkeypatch.setattr(loop, "_find_status", diverge)
    monkeypatch.setattr(RunRecorder, "record_epoch", fail)


@pytest.mark.usefixtures("_ends")
def test_the_hparams_page_and_the_table_have_the_same_rows_columns_and_averages() -> None:
    """Two data sets, best or last weights kept, with and without a test set, and some runs that end badly."""
    files = [write_arrays(Path(name), count=count) for name, count in (("a.npz", 60), ("b.npz", 90))]
    runs = []
    for file, stopping in product(files, (["early_stopping.patience=2"], ["early_stopping=none"])):
        runs += overrides_of("data=arrays", f"data.path={file}", *stopping)
    runs += overrides_of("data=arrays", "data.path=a.npz", "data.validation=test", seeds=2)
    runs += overrides_of("data=arrays", "data.path=a.npz", "model.dropout=0.5")
    with pytest.raises(RunError, match="the disk is gone"):
        sweep(runs, quiet=True, workers=1)
    comparison = compare_collection(collect([OUTPUTS]))
    assert comparison.keys[0] == "data.path"
    assert "data.fingerprint" not in comparison.keys
    assert sorted(row.seed_count for row in comparison.rows) == [1, 2, 3, 3, 3, 3]
    log_directory = make_logdir([record.directory for record in comparison.records])
    assert log_directory == OUTPUTS.resolve()
    assert_equal_rows(comparison)
    others = [group for group in read_session_groups(OUTPUTS) if group.sessions[0].status != api_pb2.STATUS_SUCCESS]
    assert sorted(group.name.rpartition(" ")[2] for group in others) == ["diverged", "failed"]
    for group in others:
        [session] = group.sessions
        assert session.status == api_pb2.STATUS_FAILURE
        # What has no place in the table's means is not offered for comparison.
        final_tags = {"values_of_run/epochs"} if group.name.endswith("diverged") else set()
        assert set(metric_values(group)) & set(FINAL_TAGS.values()) == final_tags


def read_experiment(log_directory: Path) -> api_pb2.Experiment:
    """Return the description of the columns of the HParams page, as TensorBoard itself computes it."""
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(log_directory))
    multiplexer.Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(log_directory)))
    backend = backend_context.Context(context)
    contents = backend.hparams_metadata(RequestContext(), "")
    return backend.experiment_from_metadata(RequestContext(), "", True, contents, None)


def test_the_columns_are_what_varied_and_then_the_final_metrics() -> None:
    words = (["normalization=batch", "augmentation=shift"], ["optimizer.lr=0.1"], ["early_stopping.patience=3"])
    sweep([["epochs=1", "model.hidden_sizes=[8]", *chosen, f"seed={seed}"] for chosen in words for seed in (0, 1)])
    experiment = read_experiment(OUTPUTS)
    # Not epochs or batch_size, which are constants, nor momentum or padding, which come with an option.
    keys = {info.name: info for info in experiment.hparam_infos}
    assert list(keys) == ["augmentation", "early_stopping.patience", "normalization", "optimizer.lr"]
    assert all(info.differs for info in keys.values())
    assert list(keys["normalization"].domain_discrete) == ["batch", "none"]
    assert keys["optimizer.lr"].display_name == "lr"
    measured = [tag for name, tag in FINAL_TAGS.items() if name.removeprefix("test_") not in CORRUPTION_METRICS]
    assert [info.name.tag for info in experiment.metric_infos] == measured
    names = [info.display_name for info in (*experiment.hparam_infos, *experiment.metric_infos)]
    assert len(set(names)) == len(names)
    assert names[4:7] == ["test accuracy", "validation accuracy", "test loss"]


def test_there_are_no_columns_of_a_test_set_where_there_is_none() -> None:
    sweep([["epochs=1", "model.hidden_sizes=[8]", "data.validation=test", f"optimizer.lr={lr}"] for lr in (0.1, 0.2)])
    titles = [info.display_name for info in read_experiment(OUTPUTS).metric_infos]
    assert titles == ["validation accuracy", "validation loss", "gap", "epochs trained", "best epoch"]


def test_the_columns_of_a_directory_follow_all_of_its_runs() -> None:
    words = ["epochs=1", "model.hidden_sizes=[8]"]
    sweep([[*words, f"optimizer.lr={lr}"] for lr in (0.1, 0.2)])
    sweep([[*words, f"model.dropout={dropout}"] for dropout in (0, 0.5)])
    assert [info.name for info in read_experiment(OUTPUTS).hparam_infos] == ["model.dropout", "optimizer.lr"]
    run([*words, "normalization=batch", "data.validation=test"])  # a single one
    keys = ["data.validation", "model.dropout", "normalization", "optimizer.lr"]
    assert [info.name for info in read_experiment(OUTPUTS).hparam_infos] == keys
    comparison = compare_collection(collect([]))  # the last sweep
    log_directory = prepare_log_directory(comparison)
    assert log_directory != OUTPUTS.resolve()
    assert [info.name for info in read_experiment(log_directory).hparam_infos] == ["model.dropout"]
    assert len(read_session_groups(log_directory)) == 2


def test_a_final_score_that_is_not_finite_is_in_no_average(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three runs has an infinite test loss although it has finished."""
    record_result = RunRecorder.record_result

    def spoil(self: RunRecorder, result: Any) -> None:
        if self.planned.job.config.seed == 1:
            object.__setattr__(result.measures, "test", {**result.test, "loss": float("inf")})
        record_result(self, result)

    monkeypatch.setattr(RunRecorder, "record_result", spoil)
    sweep(overrides_of("early_stopping=none"), quiet=True, workers=1)
    comparison = compare_collection(collect([OUTPUTS]))
    estimate = comparison.rows[0].estimate("test_loss")
    assert estimate is not None
    assert estimate.n == 2
    assert_equal_rows(comparison)


def test_data_are_named_by_their_folders_where_these_tell_them_apart() -> None:
    """Folders of pictures, one of them a copy: it holds the same data."""
    for name, count in (("one", 6), ("copy", 6), ("two", 9)):
        write_image_folder(Path(name), count=count, shape=(6, 6))
    words = ["data=image_folder", "epochs=1", "early_stopping=none"]
    seeds = {"one": 0, "copy": 1, "two": 0}
    sweep([[*words, f"data.root={name}", f"seed={seed}"] for name, seed in seeds.items()], quiet=True, workers=1)
    comparison = compare_collection(collect([OUTPUTS]))
    assert comparison.keys == ["data.root"]
    assert [(row.values["data.root"], row.seed_count) for row in comparison.cells] == [("one", 2), ("two", 1)]
    chosen = compare_collection(collect([OUTPUTS]), where=["data.root=two"])
    assert [row.seed_count for row in chosen.rows] == [1]
    groups = read_session_groups(OUTPUTS)
    assert len(groups) == 2
    for row in comparison.rows:
        find_group(groups, row)


def test_data_are_named_by_their_hash_where_a_file_has_changed() -> None:
    for count, batch_size, name in ((30, 30, "one"), (60, 60, "one"), (30, 60, "two")):
        write_arrays(Path("a.npz"), count=count)
        words = ["data=arrays", "data.path=a.npz", f"batch_size={batch_size}", f"name={name}"]
        run([*words, "epochs=1", "early_stopping=none"], quiet=True)
    comparison = compare_collection(collect([Path("outputs")]))
    assert set(comparison.keys) == {"batch_size", "data.fingerprint"}
    assert_equal_rows(comparison, Path("outputs"))


def test_a_run_that_was_set_aside_is_averaged_neither_here_nor_there() -> None:
    [trained] = sweep(overrides_of("early_stopping=none", seeds=1), quiet=True)
    assert make_current_logdir(Path("outputs")) == Path("outputs")
    run([*trained.record["overrides"], "force=true"], quiet=True)
    log_directory = make_current_logdir(Path("outputs"))
    assert log_directory == make_current_logdir(Path("outputs"))
    [group] = read_session_groups(log_directory)
    [row] = compare_collection(collect([OUTPUTS])).rows
    assert len(group.sessions) == row.seed_count == 1


def test_a_seed_that_was_trained_under_two_names_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The command at the end of a sweep shows the runs of its table."""
    words = ["epochs=1", "early_stopping=none"]
    sweep([[*words, f"name={name}"] for name in ("one", "two")], workers=1)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("curves")]
    [group] = read_session_groups(Path(line.rpartition(" ")[2]))
    assert len(group.sessions) == 1
