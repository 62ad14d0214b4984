"""More epochs than a finished run has: a new run begins where that one ended. Imports no torch.

The finished run stays as it is. The new one has a directory and an identity of its own, and once the files are copied
it is a run that was interrupted after the last epoch of the finished one. Because all random numbers are drawn for each
epoch afresh, it ends as if it had been trained from the beginning.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regexp.config.schema import Config, find_spanning_option
from regexp.errors import RunError
from regexp.runs.directories import ShorterRun
from regexp.runs.identity import Identity, hash_configuration
from regexp.runs.reserving.run_index import RunIndex, recorded_identity
from regexp.runs.run import Run
from regexp.runs.tensor_file import join_files
from regexp.runs.weights import LAST, explain_missing_checkpoint, read_checkpoint, read_state
from regexp.utils.atomic_io import append_to_log


@dataclass(frozen=True)
class Progress:
    """The progress of a finished run that another one takes over.

    Attributes:
        run: the finished run.
        checkpoint: the content of its checkpoint, with all weights.
        metadata: the metadata of the checkpoint but its state.
        state: the state of the run in the checkpoint: how far it came, and how it ended.
        metrics: the content of metrics.csv.
        events: the content of its event file up to its end.
    """

    run: Run
    checkpoint: bytes
    metadata: dict[str, str]
    state: dict[str, Any]
    metrics: bytes
    events: bytes

    def write(self, directory: Path, config: Config) -> None:
        """Write the files of a run that begins with this progress.

        Args:
            directory: the directory of the new run.
            config: its configuration.

        Raises:
            OSError: a file cannot be written.
        """
        from regexp.runs.appended_file import AppendedFile
        from regexp.runs.tensorboard.event_file import EventFile, split_records
        from regexp.runs.tensorboard.session import CONFIGURATION_TAG, describe_configuration

        events = EventFile.create(directory)
        events.write(0, describe_configuration(config))
        events.file.append(b"".join(split_records(self.events, left_out=CONFIGURATION_TAG)))
        metrics = AppendedFile.create(directory / "metrics.csv", self.metrics)
        state = {**self.state, "events": events.file.state(), "metrics": metrics.state()}
        metadata = {**self.metadata, "state": json.dumps(state)}
        (directory / LAST).write_bytes(join_files([("", self.checkpoint)], metadata))
        picture = self.run.directory / "augmentation.png"
        if picture.exists():
            (directory / picture.name).write_bytes(picture.read_bytes())
        append_to_log(directory, f"goes on from {self.run.directory.name} after its epoch {state['epoch']}")


def find_shorter_run(
    config: Config, identity: Identity, run_index: RunIndex
) -> tuple[ShorterRun | None, Progress | None]:
    """Find a finished run that differs from a new one in having fewer epochs only; of several that with the most.

    Args:
        config: the configuration of the new run.
        identity: its identity.
        run_index: the recorded runs.

    Returns:
        The finished run, None if there is none; and its progress, None where the new run cannot go on from it.
    """
    obstructed_run: ShorterRun | None = None
    for epochs in run_index.epoch_counts:
        if epochs >= config.epochs:
            continue
        config_hash = hash_configuration(replace(config, epochs=epochs))
        for run in run_index.find_finished(config_hash, identity):
            try:
                progress = _read_progress(run, config, identity)
            except RunError as error:
                obstructed_run = obstructed_run or ShorterRun(run.directory, epochs, obstacle=str(error))
                continue
            is_over = progress.state["status"] is not None
            return ShorterRun(run.directory, progress.state["epoch"], is_over=is_over), progress
    return obstructed_run, None


def _read_progress(run: Run, config: Config, identity: Identity) -> Progress:
    """Return the progress of a finished run, from which a run of this configuration and identity goes on.

    Raises:
        RunError: it cannot go on, for the reason in the message.
    """
    recorded = recorded_identity(run)
    if recorded is None or recorded.data != identity.data:
        raise RunError("trained on other data")
    if recorded.code != identity.code:
        raise RunError("trained by other code")
    if option := find_spanning_option(config):
        raise RunError(f"{option} depends on the number of epochs")
    if run.status == "diverged":
        raise RunError("it diverged")
    path = run.directory / LAST
    reason = explain_missing_checkpoint(run.record)
    if not path.exists():
        raise RunError(f"its checkpoint is gone{reason and f': {reason}'}")
    try:
        checkpoint, metadata = read_checkpoint(path)
        state = read_state(path, metadata)
        # What ended with its last epoch may be what early stopping ends when there are more.
        stops = state["status"] == "stopped_early" or state["early_stopping"]["stops"]
        state["status"] = "stopped_early" if stops else None
        metrics, events = (
            (run.directory / Path(state[name]["name"]).name).read_bytes()[: state[name]["size"]]
            for name in ("metrics", "events")
        )
    except (OSError, KeyError, TypeError, RunError) as error:
        raise RunError("its checkpoint is damaged, or of another version") from error
    if not stops and not state.get("goes_on", True):
        raise RunError(f"its checkpoint is cut down: {reason}")
    return Progress(run, checkpoint, metadata, state, metrics, events)
