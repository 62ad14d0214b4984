"""The columns of TensorBoard's HParams page: what varied between the runs, then their final metrics. Imports no torch.

Without this description TensorBoard shows columns by name: five hyperparameters at least, constants among them, and
then the first five tags of the runs, which are curves. It takes one description for all runs of a log directory, so
this one is made whenever a command has ended runs there.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import api_pb2

from regexp.config.metric_registry import Metric, list_final_tags, list_metrics, list_run_metrics
from regexp.errors import StorageError
from regexp.runs.identity import DATA_PATH_KEYS, short_names
from regexp.runs.listing.finding import find_runs
from regexp.runs.run_record import READ_ERRORS, read_configuration
from regexp.runs.tensorboard import event_file
from regexp.runs.tensorboard.logdirs import COLUMNS_DIRECTORY
from regexp.utils.messages import format_value, show_bytes
from regexp.utils.storage_errors import explain_storage_errors

_FILE_NAME = "events.out.tfevents.0.columns"


def write_columns(
    log_directory: Path,
    columns: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Metric],
    measured: Collection[str],
) -> None:
    """Write the columns of the HParams page of a log directory, in the place of those that were there.

    Args:
        log_directory: a directory that TensorBoard shows.
        columns: the hyperparameters of each run by name, as its session has them.
        metrics: the metrics that are measured on images, of any of the runs, by name.
        measured: the names of the metrics of finished runs that any of the runs has.

    Raises:
        StorageError: the file cannot be written.
    """
    keys = dict.fromkeys(key for values in columns for key in values)
    # A key that only some of the runs have, with one value, comes with an option, and says no more than its name does.
    varied_keys = [key for key in keys if len({str(values[key]) for values in columns if key in values}) > 1]
    if set(varied_keys) & {"data", *DATA_PATH_KEYS}:  # these tell data apart, too, and in words
        varied_keys = [key for key in varied_keys if key != "data.fingerprint"]
    shown_keys = varied_keys or list(keys)  # a page without any says that there are no data
    names = short_names(shown_keys)
    experiment = api_pb2.Experiment()
    for key in shown_keys:
        info = experiment.hparam_infos.add(name=key, display_name=names[key], differs=key in varied_keys)
        _describe_values(info, [values[key] for values in columns if key in values])
    run_metrics = list_run_metrics(metrics)
    for name, tag in list_final_tags(metrics).items():
        if name.startswith("test_") and name not in measured:
            continue
        title = "epochs trained" if name == "epochs" else run_metrics[name].title
        experiment.metric_infos.add(name=api_pb2.MetricName(tag=tag), display_name=title)
    directory = log_directory / COLUMNS_DIRECTORY
    with explain_storage_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        event_file.write_event_file(directory / _FILE_NAME, event_file.experiment(experiment))


def refresh_columns(directory: Path) -> None:
    """Describe the columns of the HParams page for all runs in a directory, outputs/NAME, if there are several.

    Where the file cannot be written, the page is less clear, and nothing is lost.
    """
    columns: list[dict[str, Any]] = []
    metrics: dict[str, Metric] = {}
    measured: set[str] = set()
    for run in find_runs(directory):
        with suppress(*READ_ERRORS):
            configuration, paths = read_configuration(run)
            columns.append({**configuration, **paths})
            metrics |= list_metrics(run.config)
            measured |= {f"test_{name}" for name in (run.summary or {}).get("test") or ()}
    if len(columns) > 1:
        with suppress(StorageError):
            write_columns(directory, columns, metrics, measured)


def _describe_values(info: api_pb2.HParamInfo, values: Sequence[Any]) -> None:
    """Add the type of a hyperparameter to its description, and its values where they are not numbers.

    Args:
        info: the description, which is changed.
        values: its values in all runs that have it.
    """
    if all(isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_BOOL
        info.domain_discrete.extend(sorted(set(values)))
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_FLOAT64
    else:
        info.type = api_pb2.DATA_TYPE_STRING
        info.domain_discrete.extend(sorted({show_bytes(format_value(value, mark_fractions=True)) for value in values}))
