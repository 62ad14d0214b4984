"""Notebooks: those of the examples, and what a cell shows while it trains and when it ends with a run."""

import base64
import io
import json
import re
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import notebooks
import numpy as np
import pytest
from helpers.commands import SHORT
from PIL import Image

from regexp import compare, load_run, run, sweep
from regexp.augmentation.geometry import RandomRotation
from regexp.augmentation.pipeline import Pipeline
from regexp.errors import ConfigError, Interrupted
from regexp.execution.displays.bars import NotebookBar, open_bar
from regexp.execution.displays.page import Page, PageConsole
from regexp.execution.events import EpochSummary
from regexp.execution.terminal import Terminal
from regexp.runs.predicting.predictions import Predictions

SCRIPTS = notebooks.find_scripts()


class Outputs:
    """What a cell shows: the outputs in order, each as the HTML that it shows in the end."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.updates = 0

    def display(self, html: str, display_id: bool) -> Any:
        """Show another output, and return its handle."""
        place = len(self.pages)
        self.pages.append(html)

        def update(new_html: str) -> None:
            self.pages[place] = new_html
            self.updates += 1

        return types.SimpleNamespace(update=update)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    """Have the test run as a cell of a notebook."""
    outputs = Outputs()
    module: Any = types.ModuleType("IPython.display")
    module.HTML, module.display = str, outputs.display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    return outputs


def without_tags(html: str) -> str:
    """Return the text of HTML, without pictures."""
    return re.sub(r"<svg.*?</svg>|<[^>]*>", " ", html, flags=re.DOTALL)


def test_a_call_has_one_output_that_is_updated(cell: Outputs, capsys: pytest.CaptureFixture[str]) -> None:
    done = run({"epochs": 12, "model.hidden_sizes": [8]})
    assert len(cell.pages) == 1
    text = without_tags(cell.pages[0])
    assert "64-8-10" in text
    assert f"results  {done.directory}" in text
    assert f"load_run(&quot;{done.directory}&quot;)" in text
    assert "%tensorboard --logdir outputs" in text
    assert "epoch 12/12" not in text  # the bar gave way to the results
    assert "<svg" in cell.pages[0]
    assert capsys.readouterr().out == ""
    sweep({"seed": [0, 1], "normalization": ["none", "batch"]}, epochs=2, workers=1)
    assert len(cell.pages) == 2
    text = without_tags(cell.pages[1])
    assert "4 runs: 4 to train" in text
    assert text.count("digits: 1,150") == 1  # the second cohort repeats nothing
    assert re.search(r"batch\s+2\s+2\s", text)
    assert "compare()" in text


def test_a_quiet_call_has_no_output(cell: Outputs) -> None:
    run(SHORT, quiet=True)
    assert cell.pages == []


def test_the_bar_shows_curves_and_a_row_for_each_cohort(cell: Outputs) -> None:
    console = PageConsole(Page())
    bar = open_bar(console, "epoch", 20)
    assert isinstance(bar, NotebookBar)
    for epoch in (1, 2, 3):
        bar.show_epoch(1, EpochSummary(epoch, 4, 0.5, 1 / epoch, 0.9), 20)
        bar.update(epoch, "4 runs training")
    bar.show_epoch(2, EpochSummary(1, 2, 0.5, float("nan"), 0.1), 30)
    bar.update(4, "2 runs training")
    bar.close()
    [page] = cell.pages
    text = without_tags(page)
    assert "epoch 4/20" in text
    assert re.search(r"1\s+4\s+3/20\s+0.5000\s+0.3333\s+90.00%\s+3: 0.3333", text)
    assert re.search(r"2\s+2\s+1/30", text)
    assert page.count("<polyline") == 1  # a cohort that diverged has no curve
    console.page.add("<p>results</p>")
    assert "epoch 4/20" not in cell.pages[0]


def test_an_interrupted_cell_says_how_to_go_on(cell: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(Interrupted) as interruption:
            run(SHORT)
    assert interruption.value._render_traceback_()[-1] == "Interrupted: run the cell again to go on."
    assert "epoch 1/2" in without_tags(cell.pages[0])  # how far it came stays there
    assert "resuming after epoch 1" in (run(SHORT), without_tags(cell.pages[1]))[1]


def test_an_interruption_at_any_moment_is_told_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("regexp.execution.train.choose_executor", interrupt)
    with pytest.raises(Interrupted):
        run(SHORT, quiet=True)


def test_a_notebook_shows_an_error_as_the_users_line_and_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        run(epoch=3)
    *lines, message = caught.value._render_traceback_()
    assert message == "ConfigError: epoch=3: there is no such key; did you mean epochs=3?"
    assert "run(epoch=3)" in lines[-1]
    assert "api" not in "".join(lines)


def test_runs_and_comparisons_have_html(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = sweep({"augmentation": ["none", "shift"], "seed": [0, 1]}, epochs=2, quiet=True)
    card = runs[-1]._repr_html_()
    for part in (str(runs[-1].directory), "completed", "augmentation=shift", "<svg", "data:image/png", "batch_size"):
        assert part in card
    assert "data:image/png" not in runs[0]._repr_html_()
    table = without_tags(runs._repr_html_())
    assert [name in table for name in ("augmentation", "seed", "completed", "test accuracy", "lr")] == [True] * 4 + [
        False
    ]
    comparison = without_tags(compare(runs)._repr_html_())
    assert re.search(r"shift\s", comparison)
    assert "4 runs (4 finished)" in comparison
    (runs[0].directory / "summary.json").unlink()
    assert "unfinished" in load_run(runs[0].directory)._repr_html_()
    (runs[0].directory / "metrics.csv").write_text("broken\n1\n")
    assert "unfinished" in load_run(runs[0].directory)._repr_html_()
    assert "unfinished" in runs._repr_html_()


def test_html_shows_texts_as_they_are() -> None:
    done = run([*SHORT, "tags=['<b>']"], quiet=True)
    assert "&lt;b&gt;" in done._repr_html_()
    assert "<b>'" not in done._repr_html_()


def test_a_terminal_is_no_notebook() -> None:
    assert not isinstance(Terminal().console, PageConsole)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_notebook_is_built_from_its_script_and_has_no_outputs(script: Path) -> None:
    text = script.with_suffix(".ipynb").read_text()
    assert text == notebooks.build_notebook(script.read_text()), "type uv run scripts/notebooks.py"
    assert not any(cell.get("outputs") for cell in json.loads(text)["cells"])


def test_every_notebook_has_a_script() -> None:
    assert {path.with_suffix(".py") for path in notebooks.EXAMPLES.rglob("*.ipynb")} == set(SCRIPTS) != set()


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_notebook_runs_in_jupyter(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    shutil.copytree(script.parent, Path.cwd(), dirs_exist_ok=True)
    notebook = nbformat.read(script.with_suffix(".ipynb").name, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code_cells:
        assert sum(output.output_type == "display_data" for output in cell.outputs) <= 1, cell.source
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.outputs
    summaries = {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")}
    assert len(summaries) >= 6
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()  # nothing is trained a second time
    assert {path: path.stat().st_mtime_ns for path in Path("outputs").rglob("summary.json")} == summaries


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 12)])
def test_a_pipeline_shows_what_it_does_to_a_pattern(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    plain = Pipeline([], height, width, channels)._repr_html_()
    rotated = Pipeline([RandomRotation(30.0, "bilinear")], height, width, channels)._repr_html_()
    assert "rotation" in rotated
    images = [
        Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0]))) for html in (plain, rotated)
    ]
    assert images[0].size == images[1].size
    tile = (0, 0, round(72 * width / height), 72)
    assert images[0].crop(tile).tobytes() == images[1].crop(tile).tobytes()  # the pattern itself
    assert images[0].tobytes() != images[1].tobytes()


@pytest.mark.slow
def test_an_interrupted_cell_goes_on_in_jupyter() -> None:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", cwd=str(Path.cwd()))
    code = 'regexp.run({"model.hidden_sizes": [256]}, epochs=100, early_stopping="none");'

    def execute(code: str, interrupts: bool = False) -> tuple[list[str], list[str]]:
        """Run a cell, interrupt it once it shows an epoch, and return what it shows in the end, and its errors."""
        request = client.execute(code)
        pages: dict[str, str] = {}
        errors = []
        while True:
            message = client.get_iopub_msg(timeout=120)
            content, kind = message["content"], message["msg_type"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind in ("display_data", "update_display_data"):
                page = pages[content["transient"]["display_id"]] = content["data"]["text/html"]
                if interrupts and re.search(r"epoch [1-9]\d*/100", page):
                    manager.interrupt_kernel()
                    interrupts = False
            elif kind == "error":
                errors += content["traceback"]
            elif kind == "status" and content["execution_state"] == "idle":
                return [without_tags(page) for page in pages.values()], errors

    try:
        execute("import regexp")
        [page], errors = execute(code, interrupts=True)
        assert errors[-1] == "Interrupted: run the cell again to go on."
        stopped = re.search(r"Interrupted after epoch (\d+)\. Make the same call again", page)
        assert stopped is not None
        [page], errors = execute(code)
        assert errors == []
        assert f"resuming after epoch {stopped[1]}" in page
        assert "of 100 (all epochs)" in page
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_predictions_are_a_table() -> None:
    probabilities = np.array([[0.25, 0.75]] * 21)
    names = tuple(f"<{i}>.png" for i in range(21))
    html = Predictions(names, ("cat", "dog"), probabilities, {"x.png": "is no picture"}, ())._repr_html_()
    assert re.search(r"&lt;0&gt;\.png\s+dog\s+75\.0%", without_tags(html))
    assert "and 1 more" in html
    assert "x.png is no picture" in html
