"""Messages that promise what a command will do: each has a test that the command does it."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.claim_holders import hold_claim
from helpers.commands import SHORT

import regexp
from regexp import load_run, run, sweep
from regexp.comparison.compare import compare_collection
from regexp.comparison.loading import collect
from regexp.comparison.missing_runs import list_unfinished
from regexp.errors import RunBusy, RunError
from regexp.execution.run_recorder import RunRecorder
from regexp.runs.reserving.run_index import recorded_identity
from regexp.utils.next_commands import command_prefix

PACKAGE = Path(regexp.__file__).parent
TESTS = Path(__file__).parent
DEFAULT = Path("outputs/default")

# What a message says of a command that is typed later.
PROMISE = re.compile(
    r"same (command|call)|(command|call) again|trains? (it|them|the run|those) .*again|and trained again|run again; its"
    r"|to resume:|to train again:|run goes on from|keeps $|wait for it"
)
# Each such message, and the test that the command does what it says.
RESERVATION = "runs/test_reservation.py::"
KEPT = {
    "interrupted; the same command starts again or goes on": "cli/test_main.py::test_a_killed_run_is_resumed",
    "interrupted: run the same command again to resume": "test_promises.py::test_the_commands_that_a_comparison_lists",
    "to resume: ": "test_promises.py::test_the_commands_that_a_comparison_lists",
    "to train again: ": "test_promises.py::test_the_commands_that_a_comparison_lists",
    "train a finished run again; its old results": RESERVATION + "test_a_forced_sweep_that_was_interrupted",
    "this process can no longer use it. Type the same": "execution/test_device_errors.py::test_a_lost_gpu",
    "The run goes on from the checkpoint before it": "faults/test_damaged_files.py::test_a_run_goes_on",
    ". Run the same command again to resume.": "cli/test_main.py::test_an_interruption_stops_a_run",
    "Interrupted. Run the same command again to resume.": RESERVATION + "test_a_forced_sweep_that_was_interrupted",
    "interrupted: make the same call again to resume": "test_promises.py::test_the_commands_that_a_comparison_lists",
    ". Make the same call again to resume.": "test_api.py::test_an_interrupted_run_raises",
    "Interrupted. Make the same call again to resume.": "test_api.py::test_an_interrupted_run_raises",
    "Make the same call again": "execution/test_local_workers.py::test_a_worker_that_dies",
    "the same call returns them with the others": RESERVATION + "test_a_sweep_goes_on_without_the_runs_that_are_busy",
    "Run the same command again": "execution/test_local_workers.py::test_a_worker_that_dies",
    "make the same call again to train those that failed": "test_promises.py::test_a_forced_sweep_trains_those_that",
    "; force=true trains it again.": RESERVATION + "test_it_is_said_that_another_device",
    "set aside and trained again; the old data bring ": "runs/test_run_index.py::test_runs_on_data_that_have",
    "set aside and trained again; keep=true keeps ": "runs/test_run_index.py::test_keep_restores_runs",
    "; keep=true keeps ": "runs/test_run_index.py::test_keep_counts_runs_of_other_code",
    "ago; force=true trains it again.": "test_api.py::test_force",
    "while its run trained. Run the same command again.": "faults/test_storage.py::test_a_file_that_is_changed",
    "while its run trained. Make the same call again.": "faults/test_storage.py::test_a_file_that_is_changed",
    "this process can no longer use it. Restart Python": "execution/test_device_errors.py::test_a_lost_gpu",
    "The same call then goes on from what is stored": "faults/test_storage.py::test_a_run_on_a_full_disk_goes_on",
    "; wait for it, or stop it": "test_promises.py::test_a_busy_run_is_free",
    "the same command shows them with the others": RESERVATION + "test_a_sweep_goes_on_without_the_runs_that_are_busy",
    "force=true trains the run again.": "faults/test_damaged_files.py::test_broken_weights",
    "run the same command again to train those that failed": "test_promises.py::test_a_forced_sweep_trains_those_that",
    "The same command then goes on from what is stored": "faults/test_storage.py::test_a_run_on_a_full_disk_goes_on",
    "trials. The same command goes on.": "execution/test_search.py::test_the_same_command_goes_on_and_repeats",
    "the same command goes on with them": "execution/test_search.py::test_a_search_that_is_killed_again_and_again",
    " trains it again.": "test_api.py::test_force",
    "again with predictions=true": "runs/test_kept_logits.py::test_a_finished_run_gets_its_logits",
    "again with predictions=True": "runs/test_kept_logits.py::test_a_finished_run_gets_its_logits",
    "run the same command again to submit them anew": "execution/test_slurm.py::test_a_job_that_dies",
    "The same command shows what has become of them.": "execution/test_slurm.py::test_the_same_command_shows",
    "The jobs go on: the same command follows them": "execution/test_slurm.py::test_runs_in_the_queue",
    "type the command again": "test_api.py::test_a_finished_run_is_not_trained_again",
}


def find_promises() -> Iterator[str]:
    """Yield the texts in the package, but for docstrings, that promise something."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
            if is_text and PROMISE.search(node.value):
                yield node.value


def test_every_promise_has_a_test() -> None:
    promises = list(find_promises())
    assert len(promises) > 15
    assert [text for text in promises if not any(part in text for part in KEPT)] == []
    assert [part for part in KEPT if not any(part in text for text in promises)] == []
    for test in KEPT.values():
        file, name = test.split("::")
        assert f"def {name}" in (TESTS / file).read_text(), test


def test_a_busy_run_is_free_when_it_was_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(SHORT, quiet=True)
    (done.directory / "summary.json").unlink()
    with (
        hold_claim(DEFAULT, recorded_identity(done)),
        pytest.raises(RunBusy, match="wait for it, or stop"),
    ):
        run(SHORT, quiet=True)
    assert run(SHORT, quiet=True).status == "completed"


@pytest.mark.parametrize("force", [[], ["force=true"]])
def test_a_forced_sweep_trains_those_that_failed_and_keeps_the_others(
    force: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is the same with and without force=true."""
    runs = [[*SHORT, *force, f"seed={seed}"] for seed in range(2)]
    record_epoch = RunRecorder.record_epoch

    def fail(recorder: RunRecorder, metrics: object) -> None:
        if recorder.planned.job.config.seed == 1:
            raise ValueError("broken")
        record_epoch(recorder, metrics)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "record_epoch", fail)
        with pytest.raises(RunError, match="make the same call again to train those that failed"):
            sweep(runs, quiet=True)
    [kept] = DEFAULT.glob("*/summary.json")
    before = kept.stat().st_ino
    assert [recorded.status for recorded in sweep(runs, quiet=True)] == ["completed"] * 2
    assert kept.stat().st_ino == before


SCRIPT = "import regexp, sys; regexp.run([*sys.argv[1:], 'epochs=400', 'model.hidden_sizes=[8]'], outputs='results')"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["-m", "regexp", "hydra.run.dir=results"], ["script.py"], ["-c", SCRIPT]],
    ids=["module", "script", "code"],
)
def test_the_commands_that_a_comparison_lists_do_what_it_says(words: list[str]) -> None:
    """However a run was started, the command that is listed resumes it, also after it has failed."""
    Path("script.py").write_text(SCRIPT)
    overrides = ["early_stopping=none", "epochs=400", "model.hidden_sizes=[8]", "tags=[it's]"]
    if words[0] == "-c":
        overrides = overrides[:1]
    process = subprocess.Popen(
        [sys.executable, *words, *overrides], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not list(Path("results").glob("default/*/checkpoint.safetensors")):
        assert process.poll() is None
    process.terminate()
    assert process.wait(60) in (143, 1, -15)
    [directory] = [path.parent for path in Path("results/default").glob("*/run.json")]
    for label, failure in (("to resume: ", False), ("to train again: ", True)):
        if failure:
            (directory / "failure.json").write_text('{"message": "the data is gone"}')
        [group] = list_unfinished(compare_collection(collect([Path("results")])))
        assert group.purpose == label
        listed_command = shlex.split(group.command.removeprefix(command_prefix()))
        programs = {"regexp": [sys.executable, "-m", "regexp"], "python": [sys.executable]}
        again = [*programs[listed_command[0]], *listed_command[1:]]
    out = subprocess.run(again, capture_output=True, text=True, check=True).stdout
    assert "resuming after epoch" in out
    assert load_run(directory).status == "completed"
    assert [path.name for path in Path("results/default").iterdir()] == [directory.name]
