"""What to type so that finished runs have figures that they lack. Imports no torch."""

from collections.abc import Sequence

from regexp.config.schemas.data import DATA_SOURCES
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import join_words, say, split_command
from regexp.utils.next_commands import command_prefix


def advise_on_predictions(records: Sequence[RunRecord]) -> str:
    """Return how finished runs get the predictions that they lack: by their command, if it is the same for all."""
    return _advise(records, "predictions", "them")


def advise_on_corruptions(records: Sequence[RunRecord]) -> str:
    """Return how finished runs get the accuracies on corrupted images that they lack; "" if none of them can."""
    able_records = [
        record
        for record in records
        if record.validation != "test" and not DATA_SOURCES[str(record.config["data"])].is_table
    ]
    return _advise(able_records, "evaluation.corruptions", "it") if able_records else ""


def _advise(records: Sequence[RunRecord], key: str, what: str) -> str:
    """Return what to type so that a key adds to finished runs what they lack.

    Args:
        records: the runs.
        key: the key, which is true where it adds something.
        what: the word for what it adds.
    """
    commands = {record.command for record in records}
    words = split_command(commands.pop()) if len(commands) == 1 else []
    if words[:1] != ["regexp"]:  # several commands, or runs trained from Python
        return say(
            f"to add {what} without training, type the commands of these runs again with {key}=true",
            f"to add {what} without training, make the calls of these runs again with {key.replace('.', '__')}=True",
        )
    words = [word for word in words if word.partition("=")[0] not in (key, "force")]
    return f"to add {what} without training: {command_prefix()}{join_words([*words, f'{key}=true'])}"
