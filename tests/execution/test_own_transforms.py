"""Augmentation steps of the user's own: what they may be, their draws, and what is said of those that do not work."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.commands import read_summaries, run_main, run_regexp
from torch import Tensor

from regexp import compare, load_run, run
from regexp.config.compose import compose_job
from regexp.config.schema import Config
from regexp.config.schemas.augmentation import UserTransformConfig
from regexp.errors import ConfigError, Interrupted
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_pipeline, make_stream
from regexp.preview import preview
from regexp.training.batches import draw_epoch
from regexp.utils.signals import StopRequest
from regexp.verify import main as verify_main

SOURCE = '''
import random

import numpy as np
import torch

sizes = []


class Invert:
    """Inversion with probability p, and brightness drawn once for a batch, from all global generators."""

    def __init__(self, p=0.5):
        self.p = p

    def __call__(self, images):
        sizes.append(len(images))
        chosen = torch.rand(len(images), 1, 1, 1) < self.p
        factor = (random.random() + np.random.rand()) / 2
        return torch.where(chosen, 1 - images, images) * factor


def darken(image, strength=0.5):
    channels, height, width = image.shape
    return image * (1 - strength * torch.rand(()))


def scale(images, factor=1.0):
    return images * factor


class Bare:
    pass


class Refusing:
    def __init__(self, p):
        raise ValueError("p is too small")


def change(images, kind, after=0):
    sizes.append(len(images))
    if len(sizes) <= after:
        return images
    if kind == "raises":
        raise ValueError("a mistake of the user's")
    results = {"list": [1], "crop": images[:, :, 1:], "undefined": images / 0 - images / 0, "whole": images.long()}
    return results[kind]


open("code_has_run", "a").close()
'''
SOURCE_FILE = "aug.py"
MARKER = Path("code_has_run")
INVERT, DARKEN = "_target_: aug.py:Invert", "_target_: aug.py:darken, _batched_: false"
WORDS = ["data.train_size=100", "early_stopping=none", "epochs=1", "model.hidden_sizes=[8]"]


@pytest.fixture(autouse=True)
def _source() -> None:
    Path(SOURCE_FILE).write_text(SOURCE)


def step(content: str) -> str:
    return f"+augmentation.mine={{{content}}}"


def draw_images(runs: Sequence[Sequence[str]], epoch: int = 1) -> list[Tensor]:
    """Return the images of an epoch of each stream, [N, C, H, W], drawn together."""
    configs = [compose_job([*WORDS, *words]).config for words in runs]
    dataset = load_dataset(configs[0])
    streams = {str(i): make_stream(config, dataset) for i, config in enumerate(configs)}
    batches = draw_epoch(dataset.train, streams, configs[0].batch_size, epoch, torch.float32).batches([1] * len(runs))
    return list(torch.cat([batch.images.clone() for batch in batches], 1))


@pytest.mark.parametrize("content", [INVERT, DARKEN])
def test_a_stream_has_the_same_images_alone_and_in_company(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [["seed=3", step(content)], ["seed=4", step(content)], ["seed=4"], ["seed=5", step(content)]]
    alone = []
    for run_words in words:
        random.seed(7)
        alone += draw_images([run_words])
    torch.manual_seed(1)
    for streams_at_once in (1, 8):
        monkeypatch.setattr("regexp.training.batches.BYTES_AT_ONCE", {"cpu": streams_at_once * 100 * 64 * 4})
        together = draw_images(words)
        assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True)), streams_at_once
    assert not torch.equal(together[0].sort(0)[0], together[1].sort(0)[0])
    assert not torch.equal(draw_images(words[:1], epoch=2)[0].sort(0)[0], together[0].sort(0)[0])


@pytest.mark.parametrize("content", [INVERT, DARKEN])
def test_the_callers_generators_are_left_as_they_are(content: str) -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed_all() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed_all()
    expected = draw()
    seed_all()
    draw_images([[step(content)]])
    assert draw() == expected


def test_it_is_called_with_the_batches_of_the_optimizer_steps() -> None:
    done = run([*WORDS, step(INVERT), "data.train_size=193", "epochs=1"], quiet=True)
    assert done.status == "completed"
    from regexp.user_code.loading import load_target

    sizes = load_target("aug.py:Invert").__call__.__globals__["sizes"]
    assert sizes[-3:] == [64, 64, 65]


def test_a_transform_of_single_images_says_that_it_is_applied_image_by_image(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run([*WORDS, step(DARKEN)])
    output = capsys.readouterr().out
    assert "aug.py:darken, image by image" in output
    assert "0.1 ms each: aug.py:darken" in output
    run([*WORDS, step(INVERT)])
    output = capsys.readouterr().out
    assert "aug.py:Invert" in output
    assert "image by image" not in output


@pytest.mark.slow
def test_an_interrupted_run_resumes_to_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*WORDS, step(INVERT), "epochs=2"]
    expected = run(words, "undisturbed", quiet=True)
    with monkeypatch.context() as patch:
        has_begun = property(lambda self: any(Path("outputs").glob("*/*/metrics.csv")))
        patch.setattr(StopRequest, "requested", has_begun)
        with pytest.raises(Interrupted):
            run(words, quiet=True)
    resumed = run(words, quiet=True)
    assert "resumed" in resumed.record
    assert [{**row, "seconds": 0} for row in resumed.metrics] == [{**row, "seconds": 0} for row in expected.metrics]


SWEEP = [*WORDS, step(INVERT), "+augmentation.mine.p=0,0.5", "seed=0,1"]


@pytest.mark.slow
def test_runs_of_different_arguments_train_together(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *SWEEP, "hydra.launcher.workers=1") == 0
    assert [summary["cohort"]["size"] for summary in read_summaries().values()] == [4, 4, 4, 4]
    assert {str(row["augmentation.mine.p"]) for row in compare("outputs/default")} == {"0", "0.5"}


@pytest.mark.slow
def test_workers_load_the_file_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_regexp(monkeypatch, "-m", *SWEEP, "hydra.launcher.workers=1") == 0
    summaries = read_summaries()
    shutil.rmtree("outputs")
    assert run_regexp(monkeypatch, "-m", *SWEEP, "hydra.launcher.workers=2") == 0
    in_workers = read_summaries()
    assert in_workers.keys() == summaries.keys()
    for label, summary in in_workers.items():
        assert summary["last"]["val_loss"] == pytest.approx(summaries[label]["last"]["val_loss"], rel=1e-4)


@pytest.mark.slow
def test_an_edit_trains_anew_and_nothing_below_outputs_runs_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run([*WORDS, step(INVERT)], quiet=True)
    MARKER.unlink()
    monkeypatch.setattr("regexp.user_code.loading._loaded_targets", {})
    load_run(done.directory).model()
    assert run_main(monkeypatch, verify_main, "regexp.verify", "outputs/default") == 2
    assert "which runs only with --code aug.py:Invert" in capsys.readouterr().out
    assert not MARKER.exists()
    assert run_main(monkeypatch, verify_main, "regexp.verify", "outputs/default", "--code", "aug.py:Invert") == 0
    Path("aug.py").write_text(SOURCE.replace("1 - images", "0.9 - 0.9 * images"))
    run([*WORDS, step(INVERT)])
    assert "1 finished run was trained by another version of aug.py:Invert. It is set aside" in capsys.readouterr().out


def test_a_file_of_a_config_dir_names_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine/augmentation").mkdir(parents=True)
    Path("mine/augmentation/inverted.yaml").write_text("# @package augmentation\nmine: {_target_: aug.py:Invert}\n")
    assert run_regexp(monkeypatch, "--config-dir", "mine", *WORDS, "augmentation=inverted") == 0
    assert MARKER.exists()


def test_the_preview_shows_it() -> None:
    pictures = [preview([*WORDS, *words]).read_bytes() for words in ([], [step(DARKEN)], [step(INVERT)])]
    assert len(set(pictures)) == 3
    with pytest.raises(ConfigError, match=r"aug\.py:change: ValueError: a mistake of the user's \(aug\.py, line "):
        preview([step("_target_: aug.py:change, kind: raises, after: 3")])


def test_it_follows_a_crop_and_keeps_its_place() -> None:
    config = compose_job([*WORDS, "+augmentation.crop.size=6", step(INVERT), "+augmentation.flip.p=1"]).config
    pipeline = make_pipeline(config, (3, 8, 8))
    assert [type(transform).__name__ for transform in pipeline.transforms][1] == "UserTransform"
    images = torch.rand(5, 3, 8, 8)
    assert pipeline(images, pipeline.draw(5, 0, 1)).shape == (5, 3, 6, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "_target_: aug.py:Invertt",
            "mine._target_=aug.py:Invertt: aug.py has no Invertt; did you mean aug.py:Invert?",
        ),
        ("_target_: gone.py:Invert", "mine._target_=gone.py:Invert: there is no such file"),
        ("_target_: aug.py", "mine._target_=aug.py: must be FILE.py:NAME or MODULE:NAME"),
        ("_target_: aug.Invert", "or your own as FILE.py:NAME or MODULE:NAME"),
        ("_target_: aug.py:Invert, _batched_: maybe", "augmentation.mine._batched_=maybe: must be true or false"),
        ("_target_: aug.py:Invert, p: {_target_: aug.py:Bare}", "mine.p._target_=aug.py:Bare: the arguments of your"),
        ("_target_: aug.py:Invert, p: [{_target_: os.system}]", "mine.p[0]._target_=os.system: the arguments of your"),
        ("_target_: aug.py:Invert, 3: 4", "augmentation.mine.3: must be the name of a keyword argument"),
    ],
)
def test_mistakes_of_the_configuration_are_found_before_any_code_runs(content: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job([step(content)])
    assert message in str(error.value)
    assert str(error.value).startswith("augmentation.mine")
    assert not MARKER.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("aug.py:Invert, q: 1", "augmentation.mine.q: aug.py:Invert has no such parameter; its parameters are p"),
        ("aug.py:Invert, pp: 1", "augmentation.mine.pp: aug.py:Invert has no such parameter; did you mean augm"),
        ("aug.py:darken, image: 1", "augmentation.mine.image: aug.py:darken has no such parameter"),
        ("aug.py:change", "aug.py:change: needs a value for kind; type augmentation.mine.kind=VALUE"),
        ("aug.py:Bare", "aug.py:Bare: its instances cannot be called; define __call__(self, images)"),
        ("aug.py:Refusing, p: 0", "aug.py:Refusing: ValueError: p is too small (aug.py, line "),
        ("aug.py:sizes", "aug.py:sizes: is list; must be a class or a function"),
        ("aug.py:darken", "does not work on batches [B, C, H, W] such as [8, 1, 8, 8]: ValueError: too many values to"),
        (
            "aug.py:darken",
            "in darken: channels, height, width = image.shape); if it takes one image [C, H, W] at a tim",
        ),
        ("aug.py:change, kind: raises", "_target_=aug.py:change: does not work on batches [B, C, H, W] such as [8, 1"),
        ("aug.py:change, kind: raises, _batched_: false", "does not work on images [C, H, W] such as [1, 8, 8]: Va"),
        ("aug.py:change, kind: list", "returns list for [8, 1, 8, 8]; must return a tensor of the same shape"),
        ("aug.py:change, kind: crop", "returns [8, 1, 7, 8] for [8, 1, 8, 8]; must return a tensor of the same shape"),
        ("aug.py:change, kind: undefined", "augmentation.mine._target_=aug.py:change: returns NaN or infinity"),
        ("aug.py:change, kind: whole", "returns torch.int64; must return floating point in [0, 1]"),
        ("aug.py:scale, factor: -2", "returns values from -2 to -0.00247; images must stay in [0, 1]"),
    ],
)
def test_what_cannot_be_applied_is_told_with_what_was_seen(
    content: str, message: str, shared_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_directory)
    target, *arguments = content.split(", ")
    options = yaml.safe_load("\n".join(arguments)) or {}
    config = UserTransformConfig(target, options.pop("_batched_", True), options)
    with pytest.raises(ConfigError) as error:
        make_pipeline(Config(augmentation={"mine": config}), (1, 8, 8))
    assert message in str(error.value)


def test_its_mistakes_end_the_command_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *WORDS, step("_target_: aug.py:change, kind: list")) == 2
    assert "returns list for [8, 1, 8, 8]" in capsys.readouterr().err


def test_a_mistake_that_comes_later_is_the_users_as_well() -> None:
    with pytest.raises(ConfigError) as error:
        run([*WORDS, step("_target_: aug.py:change, kind: raises, after: 4")], quiet=True)
    assert "aug.py:change: ValueError: a mistake of the user's (aug.py, line " in str(error.value)
    shutil.copy("aug.py", "other.py")  # which has counted no calls
    with pytest.raises(ConfigError, match=r"^other\.py:change: returns \[\d+, 1, 7, 8\] for"):
        run([*WORDS, step("_target_: other.py:change, kind: crop, after: 4")], quiet=True)


def test_an_argument_that_the_step_does_not_set_needs_a_plus() -> None:
    with pytest.raises(ConfigError, match=r"there is no such key; did you mean \+augmentation\.mine\.p=0\.3\?"):
        compose_job([step(INVERT), "augmentation.mine.p=0.3"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["device.graphs=true"], "device.graphs=true with augmentation.mine: aug.py:Invert is code of your own"),
        (["data=wine"], "augmentation.mine with data=wine: needs images, and a table has none"),
    ],
)
def test_what_it_does_not_go_with(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose_job([step(INVERT), *words])
    assert message in str(error.value)
