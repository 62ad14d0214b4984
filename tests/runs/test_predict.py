"""Predictions of trained runs: the recorded test accuracy from pictures and rows, ensembles, and the command."""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.commands import run_main
from helpers.data_files import CLASSES, make_pixels, write_image_folder, write_table
from helpers.run_directories import write_run
from PIL import Image

from regexp import Arrays, load_run, run, sweep
from regexp.data.decode import decode_pictures
from regexp.data.stratification import stratified_indices
from regexp.data.tables.encoding import Feature
from regexp.errors import ConfigError, DataError, DoubtfulResult, RunError
from regexp.predict import main, predict
from regexp.runs.predicting.array_inputs import read_array
from regexp.runs.predicting.ensemble import choose_runs
from regexp.runs.predicting.input_format import InputFormat
from regexp.runs.predicting.picture_inputs import MAX_IMAGES, read_pictures
from regexp.runs.predicting.table_inputs import encode_rows
from regexp.runs.run import Run

SHORT = ["epochs=2", "model.hidden_sizes=[8]", "early_stopping=none", "optimizer.lr=0.01"]
FORM = InputFormat("image_folder", CLASSES, (3, 5, 5), None, None, False)


class Trained(NamedTuple):
    """Runs that several tests ask.

    Attributes:
        outputs: the directory with all of them.
        digits: runs of two seeds on digits.
        pictures: a run on a folder of pictures that are not square.
        folder: that folder.
        table: a run on a table, whose missing values are filled in.
        file: that table.
    """

    outputs: Path
    digits: list[Run]
    pictures: Run
    folder: Path
    table: Run
    file: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    directory = tmp_path_factory.mktemp("trained")
    folder = write_image_folder(directory / "my pictures", ("train", "test"))
    file = write_table(directory / "own.csv")
    with file.open("a") as lines:
        lines.write(f",,{CLASSES[0]}\n,a,{CLASSES[1]}\n")
    outputs = directory / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGEXP_CACHE", str(directory / "cache"))
        digits = sweep([[*SHORT, "name=digits", f"seed={seed}"] for seed in (0, 1)], outputs, quiet=True, workers=1)
        pictures = run([*SHORT, "data=image_folder", f"data.root='{folder}'"], outputs, quiet=True)
        words = [*SHORT, "data=table", f"data.path={file}", "data.label=class", "data.missing=fill"]
        yield Trained(outputs, digits, pictures, folder, run(words, outputs, quiet=True), file)


def accuracy_of(trained_run: Run) -> float:
    """Return the recorded accuracy on the test set."""
    assert trained_run.summary is not None
    return float(trained_run.summary["test"]["accuracy"])


def test_a_folder_of_pictures_gives_the_recorded_test_accuracy(trained: Trained) -> None:
    predictions = trained.pictures.predict(trained.folder / "test")
    assert predictions.classes == trained.pictures.classes == CLASSES
    labels = [Path(name).parent.name for name in predictions.inputs]
    assert len(labels) == 30
    assert np.mean([a == b for a, b in zip(predictions.labels, labels, strict=True)]) == accuracy_of(trained.pictures)
    assert predictions.probabilities.sum(1) == pytest.approx(1)
    [first, *_] = predictions.records()
    assert first["input"] == predictions.inputs[0]
    assert first["probability"] == first[f"p_{first['class']}"] == predictions.probabilities[0].max()


def test_the_rows_of_a_table_give_the_recorded_test_accuracy(trained: Trained) -> None:
    predictions = trained.table.predict(str(trained.file))
    rows = list(csv.DictReader(trained.file.read_text().splitlines()))
    assert predictions.inputs[:2] == ("line 2", "line 3")
    assert len(predictions) == len(rows) == 62
    labels = torch.tensor([CLASSES.index(row["class"]) for row in rows])
    test_indices = stratified_indices(labels, ceil(len(rows) / 5), seed=0, name="test", spare_last=True).numpy()
    hits = predictions.indices == labels.numpy()
    assert hits[test_indices].mean() == accuracy_of(trained.table)
    # As records, as columns with numbers, and without the labels.
    assert np.array_equal(trained.table.predict(rows).probabilities, predictions.probabilities)
    columns = {"kind": [row["kind"] for row in rows], "x": [float(row["x"] or "nan") for row in rows]}
    assert np.array_equal(trained.table.predict(columns).probabilities, predictions.probabilities)


def test_rows_that_cannot_be_read_are_named_and_the_others_answered(trained: Trained) -> None:
    rows = [{"x": 1.5, "kind": "a"}, {"x": "much", "kind": "b"}, {"x": -2, "kind": "new"}, {"x": float("inf")}]
    with pytest.warns(DoubtfulResult) as warnings:
        predictions = trained.table.predict(rows)
    assert predictions.inputs == ("0", "2")
    assert list(predictions.problems) == ["1", "3"]
    assert "holds 'much' in column x, which is no finite number" in predictions.problems["1"]
    assert "2 of 4 inputs cannot be read" in str(warnings[0].message)
    assert "1 row holds a category that no training row has" in str(warnings[1].message)
    with pytest.raises(DataError, match="have no column kind, on which the run was trained; they have x"):
        trained.table.predict({"x": [1.0]})
    whole = InputFormat("table", CLASSES, (), None, (Feature("zip", "3"), Feature("zip", "4")), fills_missing=False)
    [(_, features)] = encode_rows(["0", "1", "2"], {"zip": [3.0, "4", np.int64(3)]}, whole, {}, [])
    assert features.tolist() == [[1, 0], [0, 1], [1, 0]]
    form = trained.table.input_format
    problems: dict[str, str] = {}
    strict = InputFormat("table", CLASSES, (), None, form.features, fills_missing=False)
    assert list(encode_rows(["0"], {"x": [None], "kind": ["a"]}, strict, problems, [])) == []
    assert problems == {"0": "has no value in column x, and the run was trained without missing values"}


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_read_as_in_training(channels: int, tmp_path: Path) -> None:
    color = Image.fromarray(make_pixels(1, 0, 9, 7, 3))
    alpha = Image.fromarray(make_pixels(2, 1, 9, 7))
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {"color": color, "gray": color.convert("L"), "palette": color.quantize(16), "bits": color.convert("1")}
    pictures["deep"] = Image.fromarray(make_pixels(1, 2, 9, 7).astype(np.uint16) * 257)
    transparent = color.copy()
    transparent.putalpha(alpha)
    for name, picture in {**pictures, "transparent": transparent}.items():
        picture.save(tmp_path / f"{name}.png")
    color.save(tmp_path / "turned.jpg", exif=turned)
    files = sorted(tmp_path.glob("*.*"))
    expected, _ = decode_pictures(files, 5, channels == 1)
    problems: dict[str, str] = {}
    form = InputFormat("image_folder", CLASSES, (channels, 5, 5), None, None, False)
    [(names, images)] = read_pictures(files, form, problems)
    assert (names, problems) == ([str(file) for file in files], {})
    assert np.array_equal(images, expected)


def test_the_scale_of_pictures_is_that_of_training_and_the_scale_of_arrays_says_nothing_of_them(tmp_path: Path) -> None:
    Image.fromarray(make_pixels(0, 0, 5, 5, 3)).save(tmp_path / "dark.png")
    for data, scale in (("image_folder", 100.0), ("arrays", None)):
        [(_, images)] = read_pictures([tmp_path / "dark.png"], replace(FORM, data=data, scale=100.0), {})
        assert np.array_equal(images, decode_pictures([tmp_path / "dark.png"], 5, False, scale)[0])


def test_one_broken_picture_does_not_keep_the_others(tmp_path: Path) -> None:
    (folder := tmp_path / "pictures").mkdir()
    for i in range(MAX_IMAGES + 20):
        Image.fromarray(make_pixels(1, i, 5, 5, 3)).save(folder / f"{i:04}.png")
    (folder / "0007.png").write_bytes((folder / "0007.png").read_bytes()[:40])
    (folder / "0008.heic").write_bytes(b"x")
    files = [*sorted(folder.iterdir()), folder / "gone.png"]
    problems: dict[str, str] = {}
    batches = list(read_pictures(files, FORM, problems))
    assert max(len(images) for _, images in batches) <= MAX_IMAGES
    names = [name for batch_names, _ in batches for name in batch_names]
    assert len(names) == len(set(names)) == MAX_IMAGES + 19
    assert {Path(name).name: text.partition(",")[0] for name, text in problems.items()} == {
        "0007.png": "is broken",
        "0008.heic": "is in a format that is not read",
        "gone.png": "cannot be read: No such file or directory",
    }


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_files_of_arrays_stand_among_pictures(trained: Trained, suffix: str, tmp_path: Path) -> None:
    pictures = sorted((trained.folder / "test").rglob("*.png"))[:3]
    array = np.stack([np.asarray(Image.open(picture)) for picture in pictures])
    path = tmp_path / f"images{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez(path, images=array, labels=[0, 1, 2])
    predictions = trained.pictures.predict([*pictures, path])
    assert predictions.inputs[3:] == tuple(f"{path}[{i}]" for i in range(3))
    assert np.array_equal(predictions.probabilities[:3], predictions.probabilities[3:])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 8, 9)), r"has the shape \[2, 8, 9\], but the run takes \[n, 3, 5, 5\] or \[n, 5, 5, 3\]$"),
        (np.zeros((5, 5, 3)), r"but the run takes .*; for a single image give images\[None\]$"),
        (
            np.full((1, 3, 5, 5), 255.0),
            "255.0, but float64 is 0 to 1; if 255 is white, give images / 255$",
        ),
        (np.full((1, 3, 5, 5), 16), None),
        (np.full((1, 3, 5, 5), np.nan), "holds NaN or infinity"),
        (np.full((1, 3, 5, 5), np.inf), "holds NaN or infinity[^;]*;[^;]*$"),
        (np.full((1, 3, 5, 5), "a"), "holds <U1; images are whole numbers or floating point"),
        (np.zeros((0, 3, 5, 5)), "holds no images"),
    ],
)
def test_arrays_that_do_not_fit_say_what_to_give(images: "np.ndarray", message: str | None) -> None:
    notes: list[str] = []
    if message is None:
        assert len(list(read_array(images, FORM, notes))) == 1
        assert "the highest number is 16" in notes[0]
        assert "if 16 is white, give images / 16" in notes[0]
    else:
        with pytest.raises(DataError, match=message):
            list(read_array(images, FORM, notes))


def test_black_images_are_said_to_be_black() -> None:
    notes: list[str] = []
    assert len(list(read_array(np.zeros((1, 3, 5, 5), np.uint8), FORM, notes))) == 1
    assert notes == ["images: every pixel is 0, which is black"]


def test_the_last_axis_is_the_channels_where_it_can_be() -> None:
    form = InputFormat("arrays", CLASSES, (3, 3, 3), None, None, False)
    images = np.arange(27, dtype=np.uint8).reshape(1, 3, 3, 3) * 9
    [(_, batch)] = read_array(images, form, [])
    assert np.array_equal(batch, images.transpose(0, 3, 1, 2))


def test_an_ensemble_is_the_mean_over_seeds(trained: Trained) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    each = [digits_run.predict(images).probabilities for digits_run in trained.digits]
    together = predict(trained.outputs / "digits", images)
    assert np.allclose(together.probabilities, (each[0] + each[1]) / 2, rtol=0, atol=1e-12)
    assert not np.allclose(each[0], each[1])
    assert np.array_equal(predict(trained.digits, images).probabilities, together.probabilities)
    assert np.array_equal(predict(trained.digits[1], images).probabilities, each[1])


def test_named_runs_that_do_not_predict_are_named(trained: Trained, tmp_path: Path) -> None:
    directory = shutil.copytree(trained.digits[1].directory, tmp_path / "killed")
    (directory / "summary.json").unlink()
    images = np.zeros((1, 8, 8), np.uint8)
    with pytest.warns(DoubtfulResult, match=r"1 of 2 runs diverged or have not finished.*\n.*killed"):
        together = predict([trained.digits[0], directory], images)
    assert np.array_equal(together.probabilities, trained.digits[0].predict(images).probabilities)


def test_only_the_seeds_of_one_configuration_predict_together(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path, ["model.dropout=0.5"], seed, val_accuracy=0.8 + seed / 100)
        write_run(tmp_path, ["model.dropout=0.0"], seed, val_accuracy=0.7)
    write_run(tmp_path, ["model.dropout=0.5"], 2, status="unfinished")
    with pytest.raises(ConfigError, match=r"the 4 finished runs .* 2 configurations.*model\.dropout;") as error:
        choose_runs([tmp_path])
    example = f"{tmp_path}/model.dropout=0.5,seed=0 {tmp_path}/model.dropout=0.5,seed=1,"
    assert example in str(error.value)
    assert "--best (in Python best=True)" in str(error.value)
    suggested = shlex.split(str(error.value).partition("such as ")[2].partition(", or take")[0])
    assert len(choose_runs(suggested)) == 2
    assert [item.config["seed"] for item in choose_runs(sorted(tmp_path.glob("*0.5,seed=*"), reverse=True))] == [0, 1]
    assert choose_runs([tmp_path], best=True)[0].directory.name == "model.dropout=0.5,seed=1"
    write_run(tmp_path, ["model.dropout=0.5"], 7, data="other")
    with pytest.raises(ConfigError, match="are of different data"):
        choose_runs([tmp_path], best=True)
    with pytest.raises(ConfigError, match="there are no runs to predict with"):
        choose_runs([])
    with pytest.raises(ConfigError, match="nowhere: there is no such directory of a run"):
        choose_runs(["nowhere"])
    (tmp_path / "begun").mkdir()
    for seed in (0, 1):
        write_run(tmp_path / "begun", [], seed, status="unfinished")
    with pytest.raises(RunError, match="no run there has finished"):
        choose_runs([tmp_path / "begun"])


def test_a_run_that_has_diverged_does_not_predict(tmp_path: Path) -> None:
    images = np.zeros((20, 4, 4), np.uint8)
    diverged = run(["optimizer.lr=1e30", "epochs=3"], data=Arrays(images + 9, np.arange(20) % 2), quiet=True)
    with pytest.raises(RunError, match="give no finite numbers: it has diverged"):
        diverged.predict(images, weights="last")


def test_a_run_that_has_diverged_says_so_where_it_predicts(trained: Trained, tmp_path: Path) -> None:
    directory = shutil.copytree(trained.digits[0].directory, tmp_path / "diverged")
    summary = json.loads((directory / "summary.json").read_text())
    (directory / "summary.json").write_text(json.dumps({**summary, "status": "diverged"}))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8), np.uint8)
    for call in (load_run(directory).predict, lambda inputs: predict(directory, inputs)):
        with pytest.warns(DoubtfulResult, match="the run diverged, and predicts with the weights that it had before"):
            assert len(call(images)) == 2


PALETTE = Image.new("P", (8, 8))  # an array of it would hold the numbers of its colors


@pytest.mark.parametrize("inputs", [[], "", {}, {"size": 1}, 3, None, PALETTE, [PALETTE]])
def test_what_cannot_be_predicted_is_refused(trained: Trained, inputs: object) -> None:
    for trained_run in (trained.pictures, trained.table):
        with pytest.raises((ConfigError, DataError), match=r"predict|read|no columns"):
            trained_run.predict(inputs)


def test_the_command_answers_and_names_what_it_cannot_read(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(next((trained.folder / "test").rglob("*.png")))
    words = ["regexp.predict", str(trained.pictures.directory)]
    assert run_main(monkeypatch, main, *words, picture) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert picture in output
    assert trained.pictures.predict(picture).labels[0] in output
    results = Path("results.csv")
    assert run_main(monkeypatch, main, *words, "--output", str(results), picture, "gone.png") == 4
    assert "1 input of 2 cannot be read:\n  gone.png cannot be read: No such file" in capsys.readouterr().err
    [record] = csv.DictReader(results.read_text().splitlines())
    assert float(record["probability"]) == trained.pictures.predict(picture).probabilities.max()
    assert run_main(monkeypatch, main, *words, picture, "--output", "results.json") == 0
    assert json.loads(Path("results.json").read_text()) == trained.pictures.predict(picture).records()
    seeds = str(trained.outputs / "digits")
    assert run_main(monkeypatch, main, "regexp.predict", seeds, "--best", picture) == 0
    assert run_main(monkeypatch, main, "regexp.predict", seeds, picture) == 0
    assert "the mean of 2 runs in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["nowhere", "a.png"],
            "nowhere: is no directory of a run; name the run first, such as outputs/default",
        ),
        (["RUN"], "name the pictures or tables to predict after the run"),
        (["RUN", "a.png", "--output", "a.xls"], "--output a.xls: must end in .csv or .json"),
        (["RUN", "a.png", "--outptu", "a.csv"], "--outptu: there is no such flag; did you mean --output?"),
        ([], "the following arguments are required"),
    ],
)
def test_a_mistyped_command_says_what_to_type(
    trained: Trained,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [str(trained.pictures.directory) if word == "RUN" else word for word in words]
    assert run_main(monkeypatch, main, "regexp.predict", *words) == 2
    assert message in capsys.readouterr().err


def test_a_folder_of_pictures_may_hold_outputs(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["regexp.predict", str(trained.pictures.directory), str(trained.folder.parent)]
    assert run_main(monkeypatch, main, *words) == 0
    assert "augmentation.png" not in capsys.readouterr().out


def test_a_run_of_an_earlier_version_predicts_while_its_data_is_there(trained: Trained, tmp_path: Path) -> None:
    old = trained.pictures.directory
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("run.json", "best.safetensors", "checkpoint.safetensors"):
        (copy / name).write_bytes((old / name).read_bytes())
    summary = json.loads((old / "summary.json").read_text())
    del summary["classes"], summary["image_shape"]
    (copy / "summary.json").write_text(json.dumps(summary))
    picture = next((trained.folder / "test").rglob("*.png"))
    assert load_run(copy).predict(picture).records() == trained.pictures.predict(picture).records()
    record = json.loads((copy / "run.json").read_text())
    record["config"]["data.root"] = str(tmp_path / "gone")
    (copy / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"its classes are not in its files.*its data cannot be read: data=im"):
        load_run(copy).classes  # noqa: B018


README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
SECTION = README.split("\n## What is on this picture?\n")[1].split("\n## ")[0]
COMMANDS = [shlex.split(line) for line in re.findall(r"^uv run python -m (regexp\.predict .*)$", SECTION, re.MULTILINE)]


def lay_out_readme(trained: Trained) -> None:
    """Make the runs and pictures that the README speaks of in the current directory."""
    Path("outputs/default").mkdir(parents=True)
    for digits_run in trained.digits:
        label = f"normalization=batch,seed={digits_run.config['seed']}"
        Path("outputs/default", label).symlink_to(digits_run.directory)
    Path("PICTURES").symlink_to(trained.folder)
    Image.fromarray(make_pixels(0, 0, 20, 30)).save("four.png")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_commands_of_the_readme_answer(trained: Trained, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out_readme(trained)
    assert run_main(monkeypatch, main, *words) == 0
    assert ("--output" in words) == Path("results.csv").exists()


def test_the_lines_of_python_in_the_readme_answer(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(COMMANDS) == 2
    lay_out_readme(trained)
    [block] = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    lines = list(filter(None, block.splitlines()))
    assert len(lines) == 3
    exec("\n".join(lines), {})
    assert re.match(r"\('\d',\) \[\[", capsys.readouterr().out)
