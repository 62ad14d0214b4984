"""Warnings about data and configurations reach the user wherever runs are trained, planned or previewed."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import SHORT, run_main, run_regexp
from helpers.data_files import write_arrays

from regexp import run, sweep, verify
from regexp.errors import DoubtfulResult
from regexp.preview import main as preview_main
from regexp.preview import preview

DARK = "data.scale=16"  # the advice about images that are nearly black
IDLE = "normalization.momentum"  # the key of a caution about the configuration


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Return the overrides of a run on images of 17 levels, as in scikit-learn's digits."""
    images = np.random.default_rng(0).integers(0, 17, (60, 4, 4), dtype=np.uint8)
    write_arrays(tmp_path / "digits.npz", images=images, labels=np.arange(60) % 2)
    return [*SHORT, "data=arrays", f"data.path={tmp_path / 'digits.npz'}"]


def make_idle(words: list[str]) -> list[str]:
    """Return the overrides with an option that has no effect: normalization without a layer to normalize."""
    return [word for word in words if not word.startswith("model.hidden_sizes")] + [
        "model.hidden_sizes=[]",
        "normalization=batch",
    ]


def test_a_command_prints_and_records_the_warning(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, *words) == 0
    assert DARK in capsys.readouterr().out
    [log] = Path("outputs/default").glob("*/run.log")
    assert any("  warning: " in line and DARK in line for line in log.read_text().splitlines())
    # Training such a run again to check it repeats no warning.
    assert run_main(monkeypatch, verify.main, "regexp.verify", "outputs/default") == 0
    assert DARK not in capsys.readouterr().err


@pytest.mark.slow
def test_a_forecast_and_a_preview_print_the_warning(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_regexp(monkeypatch, "-m", *words, "seed=0,1", "hydra.launcher.dry_run=true") == 0
    assert capsys.readouterr().out.replace("\n", "").count(DARK) == 1
    assert run_main(monkeypatch, preview_main, "regexp.preview", "-m", *words, "augmentation=none,shift") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2  # nothing but the pictures
    assert err.count(DARK) == 1


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_python_gets_a_warning_where_nothing_is_printed(
    words: list[str], workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(DoubtfulResult) as caught:
        sweep([[*make_idle(words), f"seed={seed}", f"batch_size={8 + seed}"] for seed in range(2)], "o", True, workers)
    assert capsys.readouterr() == ("", "")
    messages = [str(warning.message) for warning in caught]
    assert "normalization=batch" in messages[0]
    assert all(DARK in message for message in messages[1:])
    assert len(messages) > 1
    assert {warning.filename for warning in caught} == {__file__}


def test_python_prints_warnings_where_it_prints(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(make_idle(words))
    out = capsys.readouterr().out
    assert out.startswith("warning: normalization=batch")
    assert DARK in out


def test_pythons_preview_gives_warnings(words: list[str]) -> None:
    with pytest.warns(DoubtfulResult) as caught:
        preview(make_idle(words))
    assert ["normalization=batch" in str(caught[0].message), DARK in str(caught[1].message)] == [True, True]
    assert {warning.filename for warning in caught} == {__file__}
