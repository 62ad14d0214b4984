"""A TensorBoard event file without a writer thread.

Records are appended whole, so that a checkpoint can say where to cut the file.
"""

import io
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

from regexp.runs.appended_file import AppendedFile
from regexp.utils.atomic_io import write_atomically
from regexp.utils.messages import show_bytes


class EventFile:
    """The TensorBoard event file of a run.

    Attributes:
        file: the file, to which records are appended.
    """

    def __init__(self, file: AppendedFile) -> None:
        self.file = file

    @classmethod
    def create(cls, directory: Path) -> "EventFile":
        """Create an event file without values in a directory, under a name that TensorBoard recognizes."""
        name = f"events.out.tfevents.{time.time_ns() // 10**9}.{socket.gethostname()}.{os.getpid()}.0"
        first_record = _encode(Event(wall_time=time.time(), file_version="brain.Event:2"))
        return cls(AppendedFile.create(directory / name, first_record))

    def write(self, step: int, *values: Summary.Value) -> None:
        """Append values of one step to the file."""
        self.file.append(_encode(Event(wall_time=time.time(), step=step, summary=Summary(value=values))))

    def replace_end(self, step: int, *values: Summary.Value) -> None:
        """Put values of one step in the place of all that was written after the checkpoint that the file was cut to."""
        self.file.replace_end(_encode(Event(wall_time=time.time(), step=step, summary=Summary(value=values))))


def split_records(content: bytes, left_out: str) -> Iterator[bytes]:
    """Yield the records of an event file without the one that begins it, and without the values of one tag.

    Args:
        content: the content of the file, in whole records.
        left_out: the tag whose records are left out.
    """
    position = 0
    while position < len(content):
        # The length of the event in 8 bytes, a checksum of 4, the event, and another checksum.
        end = position + 16 + int.from_bytes(content[position : position + 8], "little")
        event = Event.FromString(content[position + 12 : end - 4])
        if not event.file_version and all(value.tag != left_out for value in event.summary.value):
            yield content[position:end]
        position = end


def write_event_file(path: Path, *values: Summary.Value) -> None:
    """Write an event file with values of step 0, in the place of one that may be there."""
    first_record = _encode(Event(wall_time=time.time(), file_version="brain.Event:2"))
    write_atomically(
        path, first_record + _encode(Event(wall_time=time.time(), summary=Summary(value=values))), sync=False
    )


def _encode(event: Event) -> bytes:
    """Return an event as a record of a file."""
    record = io.BytesIO()
    RecordWriter(record).write(event.SerializeToString())
    return record.getvalue()


def scalar(tag: str, value: float) -> Summary.Value:
    """Return the summary value of a number."""
    return Summary.Value(tag=tag, simple_value=value)


def image(tag: str, png: bytes, width: int, height: int, channels: int) -> Summary.Value:
    """Return the summary value of a picture.

    Args:
        tag: the name of the picture in TensorBoard.
        png: the picture, encoded as PNG.
        width: its width in pixels.
        height: its height in pixels.
        channels: 1 for a gray picture, 3 for RGB.
    """
    return Summary.Value(
        tag=tag, image=Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
    )


def text(tag: str, markdown: str) -> Summary.Value:
    """Return the summary value of a text, which TensorBoard shows as Markdown."""
    tensor = TensorProto(
        dtype=DT_STRING,
        string_val=[show_bytes(markdown).encode()],
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]),
    )
    plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    return Summary.Value(tag=tag, metadata=plugin, tensor=tensor)


def hyperparameters(values: Mapping[str, float | bool | str], group: str, started: float) -> Summary.Value:
    """Return the start of a session on TensorBoard's HParams page.

    No run describes the page's columns, since TensorBoard takes the first description that it meets for all runs. That
    of a log directory is in a file of its own (see runs.tensorboard.hparams_columns).

    Args:
        values: the hyperparameters by name.
        group: the name of the seed group; the page averages the sessions of a group.
        started: the time at which the session started, in seconds since 1970.
    """
    start = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=started)
    for name, value in values.items():
        if isinstance(value, bool):
            start.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = show_bytes(value)
    return _session(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=start))


def experiment(columns: api_pb2.Experiment) -> Summary.Value:
    """Return the description of the columns of TensorBoard's HParams page, which holds for its log directory."""
    return _session(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=columns))


def session_end(success: bool) -> Summary.Value:
    """Return the end of a session on TensorBoard's HParams page."""
    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
    return _session(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=end))


def layout(bands: Mapping[str, Sequence[tuple[str, str, str]]], charts: Mapping[str, Sequence[str]]) -> Summary.Value:
    """Return the layout of TensorBoard's custom scalars page.

    Args:
        bands: for each chart of bands, by its title, the tags of each band's middle, lower and upper curve.
        charts: for each chart of plain curves, by its title, the tags whose curves it shows.
    """
    page = layout_pb2.Layout()
    if bands:
        category = page.category.add(title="mean and spread over seeds")
        for name, series in bands.items():
            margin = category.chart.add(title=name).margin
            for value, lower, upper in series:
                margin.series.add(value=value, lower=lower, upper=upper)
    category = page.category.add(title="training and validation", closed=bool(bands))
    for name, tags in charts.items():
        category.chart.add(title=name).multiline.tag.extend(f"^{re.escape(tag)}$" for tag in tags)
    tensor = TensorProto(dtype=DT_STRING, string_val=[page.SerializeToString()], tensor_shape=TensorShapeProto())
    plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="custom_scalars"))
    return Summary.Value(tag="custom_scalars__config__", metadata=plugin, tensor=tensor)


def _session(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Summary.Value:
    """Return a summary value that only the HParams page reads."""
    return Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)
