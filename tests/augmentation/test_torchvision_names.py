"""torchvision's own transforms, applied image by image: what is accepted and refused, and what results."""

import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.cohorts import QuietReporter, make_cohort
from torch import Tensor
from torch.testing import assert_close
from torchvision import transforms
from torchvision.transforms import v2

from regexp.augmentation import RandomCrop, RandomHorizontalFlip
from regexp.augmentation.image_by_image import ImageByImage, wrap_torchvision_transform
from regexp.augmentation.pipeline import Pipeline
from regexp.augmentation.torchvision_names import instantiate, needs_uint8
from regexp.config.compose import compose_job
from regexp.config.schema import Config
from regexp.config.schemas.augmentation import TorchvisionConfig
from regexp.errors import ConfigError
from regexp.execution.building.stream_builders import make_pipeline
from regexp.execution.displays.sequential import SequentialDisplay
from regexp.execution.execute import describe_cohort
from regexp.training.loop import train
from regexp.utils.console import Console
from regexp.utils.rng import random_stream
from regexp.utils.signals import StopRequest

V1, V2 = "torchvision.transforms.", "torchvision.transforms.v2."
NESTED = {"transforms": [{"_target_": V1 + "RandomPosterize", "bits": 2, "p": 1.0}], "p": 0.5}
SHAPES = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 10)], ids=str)


def quantized_images(shape: Sequence[int], count: int = 12) -> Tensor:
    """Return images in [0, 1] that have 256 levels."""
    return torch.randint(256, (count, *shape), generator=torch.Generator().manual_seed(1)).float() / 255


@SHAPES
@pytest.mark.parametrize(
    ("target", "arguments", "torchvision_transform"),
    [
        (V1 + "RandomInvert", {"p": 0.5}, transforms.RandomInvert(0.5)),
        (V1 + "RandomVerticalFlip", {}, transforms.RandomVerticalFlip()),
        (V2 + "RandomAdjustSharpness", {"sharpness_factor": 2}, v2.RandomAdjustSharpness(2)),
        (
            V1 + "RandomRotation",
            {"degrees": 30, "interpolation": "bilinear"},
            transforms.RandomRotation(30, transforms.InterpolationMode.BILINEAR),
        ),
        (V1 + "TrivialAugmentWide", {}, transforms.TrivialAugmentWide()),
        (V2 + "RandAugment", {"num_ops": 3}, v2.RandAugment(3)),
        (V1 + "AutoAugment", {"policy": "svhn"}, transforms.AutoAugment(transforms.AutoAugmentPolicy.SVHN)),
        (V1 + "RandomApply", NESTED, transforms.RandomApply([transforms.RandomPosterize(2, 1.0)], 0.5)),
    ],
)
def test_each_image_is_torchvisions_result_with_its_seed(
    target: str, arguments: Mapping[str, Any], torchvision_transform: Any, shape: tuple[int, int, int]
) -> None:
    images, pipeline = (
        quantized_images(shape),
        Pipeline([wrap_torchvision_transform(target, arguments, shape)], *shape[1:]),
    )
    draws = pipeline.draw(len(images), 3, 1)
    result = pipeline(images, draws)
    seeds = draws.parameters[0]["seed"].tolist()
    assert len(set(seeds)) == len(seeds)
    as_uint8 = needs_uint8(target, arguments)
    for image, transformed, seed in zip(images, result, seeds, strict=True):
        torch.manual_seed(seed)
        if as_uint8:
            expected = torchvision_transform((image * 255).round().byte()) / 255
        else:
            expected = torchvision_transform(image)
        assert torch.equal(transformed, expected)
    assert not torch.equal(result, images)
    assert torch.equal(result, pipeline(images, pipeline.draw(len(images), 3, 1)))
    assert not torch.equal(result, pipeline(images, pipeline.draw(len(images), 3, 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_transforms_of_uint8_images_are_applied_to_these_and_converted_back(dtype: torch.dtype) -> None:
    images = quantized_images((1, 8, 8)).to(dtype)
    for target in ("RandomPosterize", "RandomEqualize", "AugMix", "RandAugment", "AutoAugment"):
        arguments: dict[str, Any] = {"bits": 8, "p": 1.0} if target == "RandomPosterize" else {}
        pipeline = Pipeline([wrap_torchvision_transform(V1 + target, arguments, (1, 8, 8))], 8, 8)
        result = pipeline(images, pipeline.draw(len(images), 0, 1))
        assert result.dtype == dtype
        assert (result * 255 - (result * 255).round()).abs().max() < 1e-4
        if target == "RandomPosterize":  # 8 of 8 bits: neither this nor the conversions change anything
            assert_close(result, images, rtol=0, atol=1e-7)


def test_images_are_rounded_to_the_nearest_level_and_results_keep_their_precision() -> None:
    step = wrap_torchvision_transform(V1 + "RandomPosterize", {"bits": 8, "p": 1.0}, (1, 8, 8))
    images, seeds = torch.rand(4, 1, 8, 8), {"seed": torch.arange(4)}
    assert_close(step.apply(images, seeds), images, rtol=0, atol=0.5001 / 255)
    returns_double = ImageByImage("x.Y", "", False, lambda image: image.double())
    result = returns_double.apply(images, seeds)
    assert result.dtype == torch.float32
    assert torch.equal(result, images)


def test_the_callers_random_generators_are_restored() -> None:
    # RandomOrder in torchvision.transforms shuffles with Python's generator.
    order = {"transforms": [{"_target_": V1 + "RandomInvert"}, {"_target_": V1 + "RandomSolarize", "threshold": 0.5}]}
    torch.manual_seed(4)
    random.seed(4)
    expected = torch.rand(3), random.random()
    torch.manual_seed(4)
    random.seed(4)
    images = quantized_images((1, 8, 8))
    pipeline = Pipeline([wrap_torchvision_transform(V1 + "RandomOrder", order, (1, 8, 8))], 8, 8)
    first = pipeline(images, pipeline.draw(len(images), 0, 1))
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    assert torch.equal(first, pipeline(images, pipeline.draw(len(images), 0, 1)))


def test_the_callers_random_generator_is_restored_after_an_error() -> None:
    def fail(image: Tensor) -> Tensor:
        raise ValueError("broken")

    step, images = ImageByImage("x.Y", "", False, fail), quantized_images((1, 8, 8), 2)
    torch.manual_seed(4)
    original_state = torch.get_rng_state()
    with pytest.raises(ValueError, match="broken"):
        step.apply(images, step.draw(2, 8, 8, random_stream(0, "x")))
    assert torch.equal(torch.get_rng_state(), original_state)


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("os.system", {"command": "x"}, ["os.system", "torchvision.transforms.NAME"]),
        (V1 + "functional.rotate", {}, ["functional.rotate", "torchvision.transforms.NAME"]),
        (V2 + "functional.rotate", {}, ["functional.rotate", "torchvision.transforms.NAME"]),
        (V1 + "functional", {}, ["is not a transform"]),
        (V2 + "check_type", {}, ["is not a transform"]),
        (V1 + "_presets", {}, ["torchvision.transforms.NAME"]),
        (V1 + "InterpolationMode", {}, ["is not a transform"]),
        (V1 + "AutoAugmentPolicy", {}, ["is not a transform"]),
        (V1 + "Lambda", {"lambd": "print"}, ["is not a transform"]),
        (V2 + "Lambda", {"function": "print"}, ["is not a transform"]),
        (V1 + "Nonsense", {}, ["has no Nonsense"]),
        (V1 + "RandomRotation", {"degres": 3}, ["torchvision says", "degres"]),
        (V1 + "RandomRotation", {}, ["torchvision says", "degrees"]),
        (V1 + "RandomRotation", {"degrees": 9, "interpolation": "cubic"}, ["interpolation=cubic", "bicubic"]),
        (V1 + "AutoAugment", {"policy": "mnist"}, ["policy=mnist", "cifar10"]),
        (V1 + "RandomApply", {"transforms": [{"_target_": "os.system", "command": "x"}]}, ["os.system"]),
        (V1 + "RandomApply", {"transforms": [{"_target_": V1 + "Lambda", "lambd": "x"}]}, ["Lambda"]),
        (V1 + "RandomApply", {"transforms": {"a": {"_target_": "builtins.eval"}}}, ["builtins.eval"]),
        (V1 + "FiveCrop", {"size": 8}, ["returns tuple instead of an image"]),
        (V1 + "ToPILImage", {}, ["returns Image instead of an image"]),
        (V1 + "ConvertImageDtype", {"dtype": "float"}, ["does not work on images"]),
        (V2 + "Transform", {}, ["does not work on images", "NotImplementedError"]),
        (V1 + "Resize", {"size": 4}, ["turns an image of [1, 8, 8] into one of [1, 4, 4]", "augmentation.crop"]),
        (V2 + "RandomZoomOut", {}, ["augmentation.crop"]),
        (V1 + "Normalize", {"mean": [0.5], "std": [0.5]}, ["returns values outside [0, 1]"]),
    ],
)
def test_anything_but_a_transform_of_images_is_refused(
    target: str, arguments: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        wrap_torchvision_transform(target, arguments, (1, 8, 8))
    assert len(str(caught.value).splitlines()) == 1
    for word in ["=", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("module", [transforms, v2])
def test_every_transform_of_torchvision_works_or_raises_a_config_error(module: Any) -> None:
    working = set()
    for name in dir(module):
        if name[0].isupper() and isinstance(getattr(module, name), type):
            with suppress(ConfigError):
                wrap_torchvision_transform(f"{module.__name__}.{name}", {}, (3, 16, 16))
                working.add(name)
    assert {"RandAugment", "TrivialAugmentWide", "AugMix", "RandomHorizontalFlip", "ColorJitter"} <= working


def test_instantiate_makes_the_transform_with_its_arguments() -> None:
    transform = instantiate(V1 + "RandomErasing", {"p": 0.3, "scale": (0.1, 0.2)})
    assert isinstance(transform, transforms.RandomErasing)
    assert (transform.p, list(transform.scale)) == (0.3, [0.1, 0.2])
    assert not needs_uint8(V1 + "RandomErasing", {})
    assert needs_uint8(V1 + "RandomApply", NESTED)


def config_with_steps(*overrides: str, **steps: TorchvisionConfig) -> Config:
    """Return a configuration with further augmentation steps."""
    config = compose_job(overrides).config  # whose parts other jobs share
    return replace(config, augmentation={**config.augmentation, **steps})


def test_a_pipeline_applies_it_as_a_step_with_the_users_name() -> None:
    config = config_with_steps("augmentation=shift", mine=TorchvisionConfig(V1 + "RandAugment", {"num_ops": 1}))
    pipeline = make_pipeline(config, (1, 8, 8))
    assert pipeline.describe().endswith(", RandAugment, image by image")
    assert pipeline.unbatched_transforms() == ["RandAugment"]
    assert Pipeline([RandomHorizontalFlip()], 8, 8).unbatched_transforms() == []
    assert "num_ops" in repr(pipeline.transforms)  # tells image streams with other arguments apart
    with pytest.raises(ConfigError, match=r"^augmentation\.mine\._target_=.*has no Nope"):
        make_pipeline(config_with_steps(mine=TorchvisionConfig(V1 + "Nope")), (1, 8, 8))
    # A step after a crop gets the cropped images.
    config = config_with_steps("+augmentation.crop.size=6", mine=TorchvisionConfig(V1 + "CenterCrop", {"size": 6}))
    assert make_pipeline(config, (1, 8, 8)).output_size == (6, 6)
    assert isinstance(make_pipeline(config, (1, 8, 8)).transforms[0], RandomCrop)


def test_a_run_trains_with_it_and_the_header_says_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["epochs=2", "model.hidden_sizes=[8]", f"+augmentation.mine={{_target_: {V1}TrivialAugmentWide}}"]
    cohort, [recorder] = make_cohort(overrides)
    SequentialDisplay(Console()).start(describe_cohort(cohort))
    train(cohort, QuietReporter(), StopRequest())
    assert recorder.final_result.status == "completed"
    lines = capsys.readouterr().out.splitlines()
    [note] = [line for line in lines if line.startswith("note")]
    assert "0.1 ms each: TrivialAugmentWide" in note
    assert all(len(line) <= 80 for line in lines)
