"""Exported networks: they give the run's probabilities, and are not written where they do not."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.data_files import write_table
from helpers.own_module import Drawing
from torch import Tensor, nn

from regexp import load_run, run
from regexp.errors import ConfigError, RunError, SetupError, StorageError
from regexp.runs.predicting import exporting
from regexp.runs.predicting.exporting import EXTRA_FILE
from regexp.runs.run import Run

SHORT = ["epochs=1", "data.train_size=100", "model.hidden_sizes=[8]"]
RUNS = {
    "mlp": ["model.residual=true", "model.hidden_sizes=[8,8]", "normalization=batch", "augmentation=crop"],
    "cnn": ["model=cnn", "model.channels=[2,4]", "normalization=group", "normalization.groups=2"],
    "resnet": ["model=resnet", "model.width=2", "normalization=rms", "device.precision=float64"],
    "module": [],
    "table": ["data=table", "data.label=class"],
}


def predict_by_onnx(path: Path, inputs: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    """Return what ONNX Runtime computes, and the metadata of a file."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    [(name, shape)] = [(item.name, item.shape) for item in session.get_inputs()]
    assert shape == ["batch", *inputs.shape[1:]]
    assert [item.name for item in session.get_outputs()] == ["probabilities"]
    return session.run(None, {name: inputs})[0], dict(session.get_modelmeta().custom_metadata_map)


def predict_by_torch(path: Path, inputs: np.ndarray) -> tuple[np.ndarray, dict[str, str]]:
    """Return what torch computes, and the metadata of a file."""
    extra = {EXTRA_FILE: ""}
    module = torch.export.load(path, extra_files=extra).module()
    return module(torch.from_numpy(inputs)).detach().numpy(), json.loads(extra[EXTRA_FILE])


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("ignore")  # torch's own
def test_an_exported_network_gives_the_probabilities_of_the_run(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    words = ["epochs=1", "data.train_size=30", *RUNS[name]]
    words += [f"data.path={write_table(tmp_path / 'own.csv')}"] if name == "table" else []
    target = Drawing if name == "module" else None
    trained_run = run(words, model=target, quiet=True)
    generator = np.random.default_rng(0)
    if name == "table":
        inputs = generator.normal(size=(7, 4)).astype(np.float32)
        expected = trained_run.model()(torch.from_numpy(inputs)).softmax(1).detach().numpy()
    else:
        inputs = generator.integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)
        expected = trained_run.predict(inputs, target=target).probabilities
    for suffix, predict in ((".onnx", predict_by_onnx), (".pt2", predict_by_torch)):
        path = trained_run.export(tmp_path / f"model{suffix}", target=target)
        for some in (inputs, inputs[:1]):  # any number of images
            probabilities, metadata = predict(path, some)
            np.testing.assert_allclose(probabilities, expected[: len(some)], rtol=0, atol=1e-5)
        assert tuple(json.loads(metadata["classes"])) == trained_run.classes
        assert metadata["run"] == trained_run.directory.name
        assert trained_run.summary is not None
        assert json.loads(metadata.get("features", "null")) == trained_run.summary.get("features")
    assert {path.name for path in tmp_path.glob("*.part")} == set()


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(SHORT, tmp_path_factory.mktemp("outputs"), quiet=True)


def encode_as(change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """Return formats of which one writes a few bytes for a network whose output is changed."""

    def encode(network: nn.Module, sample: Tensor, metadata: object) -> tuple[bytes, Callable[[Tensor], Tensor]]:
        return b"network", lambda inputs: change(network(inputs))

    return {".pt2": encode}


def test_a_network_that_agrees_is_written(digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_FORMATS", encode_as(lambda output: output + 1e-6))
    assert digits_run.export("model.pt2") == Path("model.pt2")
    assert Path("model.pt2").read_bytes() == b"network"
    with pytest.raises(StorageError, match="cannot be written"):
        digits_run.export(tmp_path / "nowhere" / "model.pt2")


@pytest.mark.parametrize("change", [lambda output: output + 1e-3, lambda output: output * float("nan")])
def test_a_network_that_differs_is_not_written(
    digits_run: Run, change: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("model.pt2").write_bytes(b"before")
    monkeypatch.setattr(exporting, "_FORMATS", encode_as(change))
    with pytest.raises(RunError, match=r"model\.pt2: was not written, because .* differ from those of the run by"):
        digits_run.export("model.pt2")
    assert Path("model.pt2").read_bytes() == b"before"


def test_what_torch_cannot_export_is_told_in_one_line(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(output: Tensor) -> Tensor:
        raise NotImplementedError("this operator\nand a long trace")

    monkeypatch.setattr(exporting, "_FORMATS", encode_as(fail))
    with pytest.raises(RunError, match=r"^model\.pt2: the network cannot be exported: this operator$"):
        digits_run.export("model.pt2")


def test_the_name_says_the_format(digits_run: Run) -> None:
    with pytest.raises(ConfigError, match=r"export\('model.bin'\): must end in .onnx or .pt2"):
        digits_run.export("model.bin")


def test_a_missing_package_is_named_with_its_command(digits_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(SetupError, match=r"not installed; type: uv sync --extra onnx, or export to \"model\.pt2\""):
        load_run(digits_run.directory).export("model.onnx")
    assert not Path("model.onnx").exists()
