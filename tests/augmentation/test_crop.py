"""Random crops from end to end: the network's input gets smaller, and evaluation takes the centre of images."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torchvision.transforms.functional as TF
from helpers.cohorts import DOUBLE, make_cohort, train_runs
from PIL import Image

from regexp import load_run, run, sweep
from regexp.config.compose import compose_job
from regexp.data.dataset import Dataset, Images, scale
from regexp.errors import ConfigError
from regexp.execution.builders import load_dataset, load_uncropped_dataset
from regexp.execution.building.stream_builders import make_pipeline, make_stream
from regexp.execution.images import draw_augmentation_grid
from regexp.preview import preview

SHORT = ["epochs=2", "model.hidden_sizes=[8]"]


@pytest.mark.parametrize("height", [1, 2, 4, 6, 9])
@pytest.mark.parametrize("width", [1, 2, 7, 10])
def test_center_crop_is_torchvisions(height: int, width: int) -> None:
    images = torch.randint(256, (3, 2, 9, 10), dtype=torch.uint8)
    cropped = Images(images, torch.arange(3)).center_crop(height, width)
    assert torch.equal(cropped.images, TF.center_crop(images, [height, width]))
    assert cropped.labels.tolist() == [0, 1, 2]


def test_training_images_stay_whole_and_evaluated_images_are_cropped() -> None:
    whole = load_dataset(compose_job([]).config)
    cropped = load_dataset(compose_job(["augmentation=crop"]).config)
    assert (whole.shape, whole.input_shape) == ((1, 8, 8), (1, 8, 8))
    assert (cropped.shape, cropped.input_shape) == ((1, 8, 8), (1, 7, 7))
    assert torch.equal(cropped.train.images, whole.train.images)
    for name in ("measured", "validation", "test"):
        cropped_split: Images | None = getattr(cropped, name)
        whole_split: Images | None = getattr(whole, name)
        assert cropped_split is not None
        assert whole_split is not None
        assert torch.equal(cropped_split.images, TF.center_crop(whole_split.images, [7, 7]))
    validated_on_test: Dataset = load_dataset(compose_job(["augmentation=crop", "data.validation=test"]).config)
    assert validated_on_test.test is None
    assert validated_on_test.validation.images.shape[2:] == (7, 7)


@pytest.mark.parametrize(
    "steps",
    [
        ["+augmentation.crop.size=6"],
        ["+augmentation.crop.size=6", "+augmentation.noise.std=0.1", "+augmentation.blur.kernel_size=3"],
        ["augmentation=strong", "+augmentation.crop.size=6", "+augmentation.flip.p=0.5"],
        ["+augmentation.erase.p=1", "+augmentation.crop.size=6", "+augmentation.elastic={}"],
    ],
    ids=str,
)
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_run_with_crops_trains_and_can_be_loaded(steps: list[str], normalization: str) -> None:
    finished_run = run([*SHORT, *steps, f"normalization={normalization}"], quiet=True)
    assert finished_run.status == "completed"
    model = finished_run.model()
    assert model(torch.rand(3, 1, 6, 6)).shape == (3, 10)
    test = load_dataset(compose_job(steps).config).test
    assert test is not None
    assert test.images.shape[2:] == (6, 6)
    assert finished_run.summary is not None
    accuracy = (model(scale(test.images, torch.float32)).argmax(1) == test.labels).double().mean()
    assert abs(float(accuracy) - finished_run.summary["test"]["accuracy"]) < 1e-6
    whole_test = load_uncropped_dataset(compose_job(steps).config).test
    assert whole_test is not None
    predictions = finished_run.predict(whole_test.images)
    assert (predictions.indices == test.labels.numpy()).mean() == finished_run.summary["test"]["accuracy"]
    with Image.open(finished_run.directory / "augmentation.png") as picture:
        assert picture.height > 5 * 84


def test_the_preview_enlarges_crops_to_the_size_of_the_originals() -> None:
    config = compose_job(["+augmentation.crop.size=2"]).config
    dataset = load_dataset(config)
    picture = draw_augmentation_grid(dataset, make_stream(config, dataset))
    plain = compose_job([]).config
    assert picture.size == draw_augmentation_grid(load_dataset(plain), make_stream(plain, load_dataset(plain))).size
    # A tile of the first row has 8 columns, a tile of the other rows 2.
    tiles = [[picture.getpixel((76 + x, y)) for x in range(84)] for y in (24 + 42, 24 + 88 + 20)]
    color_changes = [sum(left != right for left, right in pairwise(tile)) for tile in tiles]
    assert color_changes[0] > 1 >= color_changes[1]
    assert preview(["+augmentation.crop.size=2"]).exists()


def test_crops_larger_than_the_images_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.crop\.size=24: images .*8x8; use"):
        sweep([[*SHORT, "seed=1"], [*SHORT, "+augmentation.crop.size=24"]], quiet=True)
    assert not Path("outputs").exists()


def test_the_augmentation_of_every_run_of_a_cohort_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"augmentation\.blur\.kernel_size=17: is too large for images of 8x8"):
        sweep([["augmentation=blur", f"augmentation.blur.kernel_size={size}", *SHORT] for size in (5, 17)], quiet=True)
    paths = Path("outputs/default").glob("*/run.json")
    status_by_label = {path.parent.name: load_run(path.parent).status for path in paths}
    assert {status for label, status in status_by_label.items() if "=17" in label} == {"failed"}
    assert "failed" not in {status for label, status in status_by_label.items() if "=5" in label}


def test_a_step_sees_the_size_that_the_step_before_returns() -> None:
    config = compose_job(["+augmentation.crop.size=0.5", "+augmentation.shift.padding=0.25"]).config
    pipeline = make_pipeline(config, (1, 8, 8))
    matrix = pipeline.draw(500, 0, 1).parameters[0]["matrix"]
    # A crop to 4 of 8 is at most 2 pixels off the centre, and a shift by a quarter of 4 is one pixel.
    offsets = (matrix[:, 0, 2] * 4).round().unique().tolist()
    assert offsets == [-3, -2, -1, 0, 1, 2, 3]


COMMON = [DOUBLE, "epochs=3", "model.hidden_sizes=[8]"]


@pytest.mark.parametrize(
    "runs",
    [
        [["augmentation=crop", "seed=1"], ["augmentation=crop", "seed=2", "+augmentation.noise.std=0.2"]],
        [["augmentation=strong"], ["augmentation=strong", "augmentation.elastic.alpha=50"], ["augmentation=elastic"]],
        [["augmentation=noise"], ["augmentation=blur"], ["augmentation=erase"], ["augmentation=perspective"]],
    ],
    ids=["crop", "strengths", "kinds"],
)
def test_streams_of_one_cohort_may_have_different_pipelines(runs: Sequence[list[str]]) -> None:
    recorders = train_runs(*([*COMMON, *overrides] for overrides in runs))
    for overrides, together in zip(runs, recorders, strict=True):
        [alone] = train_runs([*COMMON, *overrides])
        for column in ("objective", "train_loss", "val_loss"):
            assert together.column(column) == pytest.approx(alone.column(column), rel=0, abs=1e-9)
    assert len({tuple(recorder.column("objective")) for recorder in recorders}) == len(runs)


def test_the_network_is_trained_on_crops() -> None:
    cohort, _ = make_cohort([*SHORT, "augmentation=crop"])
    assert cohort.model.architecture.in_features == 49
    cohort.begin_epoch()
    assert next(iter(cohort.batches())).images.shape == (1, 64, 1, 7, 7)
