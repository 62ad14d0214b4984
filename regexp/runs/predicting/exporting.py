"""Export of a run's network, with what prepares its input, to a file that other programs can run."""

import io
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.errors import ConfigError, RunError, SetupError
from regexp.runs.predicting.input_format import InputFormat
from regexp.runs.predicting.trained_model import TrainedModel
from regexp.utils.atomic_io import write_atomically
from regexp.utils.messages import first_line
from regexp.utils.storage_errors import explain_storage_errors

if TYPE_CHECKING:
    from torch import Tensor, nn

# The file in a .pt2 archive that holds what an .onnx file holds as its metadata.
EXTRA_FILE = "regexp.json"
# How far the probabilities of the exported network may differ from those of the run, on as many random inputs as its
# largest sample has. Another runtime adds in another order, and a float64 run is exported in float32.
TOLERANCE = 1e-4
_SAMPLE_SIZES = (1, 5)  # one alone is what a service gets, and what a fixed batch size would break


def export_model(model: TrainedModel, form: InputFormat, path: Path, facts: Mapping[str, Any]) -> None:
    """Write a network to an .onnx or .pt2 file, if the exported network agrees with it on random inputs.

    It takes images [n, C, H, W] in uint8, of the size before a crop, and returns probabilities [n, classes]: scaling,
    crop and softmax are part of it. For a table it takes features [n, F] in float32.

    Args:
        model: the network.
        form: what the run takes.
        path: the file; it is replaced as a whole.
        facts: further metadata, beside the classes and the description of the input.

    Raises:
        ConfigError: the name of the file says no format.
        SetupError: a package is not installed.
        RunError: torch cannot export the network, or the exported one gives other probabilities.
        StorageError: the file cannot be written.
    """
    import torch

    if path.suffix.lower() not in _FORMATS:
        raise ConfigError(f"export({str(path)!r}): must end in {' or '.join(_FORMATS)}")
    samples = [_draw_sample(form, size) for size in _SAMPLE_SIZES]
    with torch.no_grad():
        network = _make_network(model, form)
        expected = [network(sample) for sample in samples]
    network = _make_network(TrainedModel(model.module.float(), model.input_shape, torch.float32), form)
    encode = _FORMATS[path.suffix.lower()]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch's own, about itself
        try:
            content, run_exported = encode(network, samples[-1], _describe(form, facts))
            found = [run_exported(sample) for sample in samples]
        except SetupError:
            raise
        except Exception as error:  # torch, onnx and its runtime raise almost anything
            raise RunError(f"{path}: the network cannot be exported: {first_line(error)}") from error
    difference = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    if not difference <= TOLERANCE:
        raise RunError(
            f"{path}: was not written, because the exported network gives probabilities that differ from those of the "
            f"run by {difference:.1g}; a network that draws at random or depends on the batch cannot be exported"
        )
    with explain_storage_errors(path.parent, "choose another file"):
        write_atomically(path, content)


def _make_network(model: TrainedModel, form: InputFormat) -> "nn.Module":
    """Return the network with what prepares its input, and the softmax."""
    from torch import nn

    module, dtype = model.module, model.dtype
    crop = None if form.features is not None else (form.image_shape[1:], model.input_shape[1:])

    class ExportedNetwork(nn.Module):
        """The network as it is exported."""

        def __init__(self) -> None:
            super().__init__()
            self.network = module

        def forward(self, inputs: "Tensor") -> "Tensor":
            inputs = inputs.to(dtype)
            if crop is not None:
                (height, width), (out_height, out_width) = crop
                top, left = round((height - out_height) / 2), round((width - out_width) / 2)
                inputs = inputs[:, :, top : top + out_height, left : left + out_width] / 255
            logits: Tensor = self.network(inputs)
            return logits.float().softmax(-1)

    return ExportedNetwork().eval()


def _draw_sample(form: InputFormat, size: int) -> "Tensor":
    import torch

    generator = torch.Generator().manual_seed(size)
    if form.features is not None:
        return torch.randn((size, len(form.features)), generator=generator)
    return torch.randint(0, 256, (size, *form.image_shape), dtype=torch.uint8, generator=generator)


def _describe(form: InputFormat, facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of the exported file; lists are JSON."""
    if form.features is None:
        shape = ", ".join(map(str, form.image_shape))
        takes = f"uint8 [n, {shape}]: images, 0 is black and 255 is white"
    else:
        takes = f"float32 [n, {len(form.features)}]: (x - mean) / std of a number, 1 or 0 for a category"
    features = {} if form.features is None else {"features": json.dumps([item.record() for item in form.features])}
    texts = {name: str(fact) for name, fact in facts.items()}
    return {"classes": json.dumps(form.classes, ensure_ascii=False), "input": takes, **features, **texts}


def _export_onnx(
    network: "nn.Module", sample: "Tensor", metadata: Mapping[str, str]
) -> "tuple[bytes, Callable[[Tensor], Tensor]]":
    """Return the content of an .onnx file, and a function that runs it in ONNX Runtime."""
    import torch

    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SetupError(
            "ONNX files are written by onnxscript and checked by onnxruntime, which are not installed; type: uv sync "
            '--extra onnx, or export to "model.pt2", torch\'s own format'
        ) from error
    name = "images" if sample.dtype == torch.uint8 else "features"
    program = torch.onnx.export(
        network,
        (sample,),
        input_names=[name],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props.update(metadata)
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, lambda inputs: torch.from_numpy(session.run(None, {name: inputs.numpy()})[0])


def _export_pt2(
    network: "nn.Module", sample: "Tensor", metadata: Mapping[str, str]
) -> "tuple[bytes, Callable[[Tensor], Tensor]]":
    """Return the content of a .pt2 file, and a function that runs it."""
    import torch

    program = torch.export.export(network, (sample,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={EXTRA_FILE: json.dumps(metadata, indent=2, ensure_ascii=False)})
    exported = torch.export.load(io.BytesIO(content.getvalue())).module()
    return content.getvalue(), exported


_FORMATS = {".onnx": _export_onnx, ".pt2": _export_pt2}
