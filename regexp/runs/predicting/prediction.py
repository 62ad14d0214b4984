"""The way from pictures, arrays or rows to the probabilities of classes."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.config.words.homes import expand_home
from regexp.data.picture_files import holds_pillow_images, is_picture, stack_images
from regexp.errors import ConfigError, DataError, RunError
from regexp.runs.predicting.array_inputs import SUFFIXES, load_array, read_array
from regexp.runs.predicting.input_format import InputFormat
from regexp.runs.predicting.picture_inputs import list_pictures, read_pictures
from regexp.runs.predicting.predictions import Predictions
from regexp.runs.predicting.table_inputs import encode_rows, read_table_file, read_table_value
from regexp.runs.predicting.trained_model import TrainedModel
from regexp.utils.messages import list_first

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The names and the images [n, C, H, W] or features [n, F] of a batch.
Batches = Iterator[tuple[list[str], "NDArray[np.uint8] | NDArray[np.float32]"]]


def predict_inputs(
    models: Sequence[TrainedModel], form: InputFormat, inputs: Any, has_diverged: bool = False
) -> Predictions:
    """Return the mean of what models of one configuration say about inputs, which are read batch by batch.

    Args:
        models: the models, of the same architecture and classes.
        form: what they take.
        inputs: what `Run.predict` takes.
        has_diverged: whether one of the runs diverged, which a note says.

    Raises:
        DataError: no input can be read, or an array or table as a whole does not fit the models.
        ConfigError: the inputs are of a kind that the models do not take.
        RunError: a model gives no finite numbers.
    """
    import numpy as np
    import torch

    from regexp.data.dataset import Images, scale

    problems: dict[str, str] = {}
    notes = ["the run diverged, and predicts with the weights that it had before"] if has_diverged else []
    names: list[str] = []
    probabilities: list[NDArray[np.float64]] = []
    for batch_names, batch in _read_batches(inputs, form, problems, notes):
        tensor = torch.from_numpy(np.require(batch, requirements=["C_CONTIGUOUS", "WRITEABLE"]))
        if form.features is None:
            height, width = models[0].input_shape[1:]
            tensor = Images(tensor, torch.zeros(len(tensor))).center_crop(height, width).images
        with torch.no_grad():
            logits = [model.module(scale(tensor, model.dtype)) for model in models]  # [runs][n, classes]
        names += batch_names
        probabilities.append(torch.stack(logits).double().softmax(-1).mean(0).numpy())
    if not names:
        raise DataError(f"no input can be read:{list_first([f'{name} {text}' for name, text in problems.items()])}")
    table = np.concatenate(probabilities)
    if not np.isfinite(table).all():
        raise RunError("the weights of the run give no finite numbers: it has diverged; choose another run")
    return Predictions(tuple(names), form.classes, table, problems, tuple(notes))


def _read_batches(inputs: Any, form: InputFormat, problems: dict[str, str], notes: list[str]) -> Batches:
    """Yield the inputs in batches; see `predict_inputs`."""
    paths = _list_paths(inputs)
    if paths is not None and not paths:
        raise ConfigError("there is nothing to predict: name one or more " + _name_kind(form))
    if form.features is None and holds_pillow_images(inputs):
        mode = "RGB" if form.image_shape[0] == 3 else "L"
        remedy = f"give the paths of their files, or {stack_images(mode)}"
        raise ConfigError(f"images of Pillow cannot be predicted as they are: {remedy}")
    if form.features is not None:
        yield from _read_rows(inputs, paths, form, problems, notes)
    elif paths is not None:
        yield from _read_files(paths, form, problems, notes)
    elif hasattr(inputs, "shape") or (isinstance(inputs, Sequence) and not isinstance(inputs, Mapping)):
        yield from read_array(inputs, form, notes)
    else:
        raise ConfigError(f"a {type(inputs).__name__} cannot be predicted: give {_name_kind(form)}")


def _read_files(paths: Sequence[Path], form: InputFormat, problems: dict[str, str], notes: list[str]) -> Batches:
    """Yield pictures, and the images in files of arrays; files of one kind that stand together share batches."""
    pictures: list[Path] = []
    for path in paths:
        try:
            if path.suffix.lower() not in SUFFIXES:
                pictures += list_pictures(path, problems)
                continue
            array = load_array(path)
            yield from read_pictures(pictures, form, problems)
            pictures = []
            yield from read_array(array, form, notes, str(path))
        except DataError as error:
            problems[str(path)] = str(error).removeprefix(f"{path}: ")
    yield from read_pictures(pictures, form, problems)


def _read_rows(
    inputs: Any, paths: Sequence[Path] | None, form: InputFormat, problems: dict[str, str], notes: list[str]
) -> Batches:
    """Yield the rows of tables, in files or in memory, as features."""
    if paths is None:
        table = read_table_value(inputs)
        if table is None:
            raise ConfigError(f"a {type(inputs).__name__} cannot be predicted: give {_name_kind(form)}")
        yield from encode_rows(*table, form, problems, notes)
        return
    for path in paths:
        if is_picture(path):
            problems[str(path)] = f"is a picture, but the run was trained on a table: give {_name_kind(form)}"
            continue
        try:
            places, cells = read_table_file(path, is_alone=len(paths) == 1)
        except DataError as error:
            problems[str(path)] = str(error).removeprefix("data=table: ").removeprefix(f"{path}: ")
            continue
        yield from encode_rows(places, cells, form, problems, notes)


def _list_paths(inputs: Any) -> list[Path] | None:
    """Return the paths among the inputs; None if these are arrays or rows."""
    if isinstance(inputs, str | PathLike):
        inputs = [inputs]
    is_list = isinstance(inputs, Sequence) and all(isinstance(item, str | PathLike) for item in inputs)
    return [expand_home(fspath(path)) for path in inputs] if is_list else None


def _name_kind(form: InputFormat) -> str:
    if form.features is not None:
        return "CSV or Parquet files, a DataFrame, a mapping of columns, or a list of records"
    return "pictures, folders of pictures, or arrays of images"
