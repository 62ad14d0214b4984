"""Sessions on TensorBoard's HParams page: one for each run that has ended. Imports no torch.

The page averages all sessions of a seed group, whatever became of them. So that its rows mean what the rows of a
comparison mean, a run gets its session only when it ends, and runs that diverged or failed have groups of their own.
"""

from tensorboard.compat.proto.summary_pb2 import Summary

from regexp.config.fields import iterate_fields
from regexp.config.schema import Config, flatten
from regexp.runs.identity import data_paths, seed_group
from regexp.runs.run_record import FINISHED_STATUSES
from regexp.runs.tensorboard import event_file
from regexp.utils.messages import format_value

# The tag of the table of all keys and values.
CONFIGURATION_TAG = "configuration"


def describe_configuration(config: Config) -> Summary.Value:
    """Return the summary value that shows a configuration as a table."""
    values = flatten(config)
    cells = {key: format_value(value, mark_fractions=True).replace("|", "\\|") for key, value in values.items()}
    rows = "\n".join(f"| {key} | {cell} |" for key, cell in cells.items())
    return event_file.text(CONFIGURATION_TAG, f"| key | value |\n| --- | --- |\n{rows}")


def make_session(config: Config, fingerprint: str, status: str, started: float) -> list[Summary.Value]:
    """Return the summary values with which the event file of a run that has ended ends.

    Args:
        config: the configuration of the run.
        fingerprint: the fingerprint of the data set's files.
        status: how the run ended, one of run_record.FINISHED_STATUSES or EXCLUDED_STATUSES.
        started: the time at which it started or resumed, in seconds since 1970.
    """
    is_finished = status in FINISHED_STATUSES
    group = seed_group(config, fingerprint) + ("" if is_finished else f" {status}")
    columns: dict[str, float | bool | str] = {}
    for key, value, metadata in iterate_fields(config):
        if metadata.get("identity", True) and key != "seed":
            # 1 and 1.0 are one image and all images, and the same number.
            is_number = isinstance(value, bool | int | float) and not ("whole_from" in metadata and value == 1)
            columns[key.removesuffix(".name")] = value if is_number else format_value(value, mark_fractions=True)
    columns["augmentation"] = "+".join(config.augmentation) or "none"
    columns |= {"data.fingerprint": fingerprint, **data_paths(flatten(config))}
    return [event_file.hyperparameters(columns, group, started), event_file.session_end(is_finished)]
