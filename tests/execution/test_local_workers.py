"""Sweeps that train in worker processes: the same figures, and nothing lost when processes die or are interrupted."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.cohorts import DOUBLE

from regexp import sweep
from regexp.errors import RegexpError
from regexp.execution.executors import local_workers
from regexp.execution.executors.worker_process import WorkerProcess
from regexp.runs.listing.finding import find_runs

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")

# Long enough to be interrupted, and with a checkpoint at almost every epoch.
LONG = ["epochs=3000", "model.hidden_sizes=[16]", "data.train_size=300", "early_stopping=none"]
COMMAND = [sys.executable, "-m", "regexp", "-m", *LONG, "seed=range(4)", "hydra.launcher.workers=2"]
SECONDS = 60.0


@contextmanager
def start(command: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    """Start a command in a process group of its own, and end all its processes at the end of the block."""
    # The background jobs of a shell ignore Ctrl-C.
    command = ["env", "--default-signal=INT", *command]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # also a worker that has lost its parent
        process.communicate()


def read_stat(pid: int) -> list[str]:
    """Return the state and what follows in /proc/PID/stat; nothing where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Return whether a process runs, and is no zombie."""
    return read_stat(pid)[:1] not in ([], ["Z"])


def workers_of(pid: int) -> list[int]:
    """Return the worker processes that a process has started and that run."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    children = [child for child in pids if read_stat(child)[1:2] == [str(pid)] and is_running(child)]
    return [child for child in children if b"popen_loky" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.02)


def count(pattern: str) -> int:
    """Return the number of files below outputs/ that a pattern matches."""
    return len(list(Path("outputs").glob(pattern)))


def wait_for_checkpoints(number: int = 4) -> None:
    """Wait until so many runs have a checkpoint."""
    wait_for(lambda: count("default/*/checkpoint.safetensors") >= number)


@pytest.mark.slow
def test_figures_do_not_depend_on_the_number_of_workers_and_the_parent_needs_no_torch() -> None:
    runs = [
        [DOUBLE, "normalization=batch", "model.dropout=0.2", "augmentation=shift", f"seed={seed}", f"epochs={epochs}"]
        for seed in range(3)
        for epochs in (3, 4)
    ]
    # A script without a guard against being imported again.
    Path("script.py").write_text(
        "import sys\nfrom regexp import sweep\n"
        f"runs = sweep({runs!r}, 'apart', quiet=True, workers=2)\n"
        "assert {run.status for run in runs} == {'completed'}\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "script.py"], check=True, timeout=SECONDS)
    together = sweep(runs, "together", quiet=True, workers=1)
    apart = {run.directory.name: run for run in find_runs(Path("apart/default"))}
    cohorts = {run.summary["cohort"]["id"] for run in apart.values() if run.summary}
    assert len(cohorts) >= 2
    for run in together:
        rows, rows_apart = run.metrics, apart[run.directory.name].metrics
        for row, row_apart in zip(rows, rows_apart, strict=True):
            assert {**row, "seconds": 0} == pytest.approx({**row_apart, "seconds": 0}, rel=0, abs=1e-9)


@pytest.mark.slow
def test_a_sweep_whose_worker_is_killed_ends_complete() -> None:
    command = [*COMMAND, "epochs=150"]
    with start(command) as process:
        wait_for_checkpoints()
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, out
    assert "A worker process was killed by SIGKILL. Its 2 runs go on from their checkpoints." in out
    assert out.count("resuming after epoch") >= 1
    assert count("default/*/summary.json") == 4
    assert count("default/*/failure.json") == 0
    for path in Path("outputs").glob("default/*/metrics.csv"):
        epochs = [int(line.split(",")[0]) for line in path.read_text().splitlines()[1:]]
        assert epochs == list(range(1, 151))


@pytest.mark.slow
def test_a_cohort_whose_worker_ran_out_of_memory_goes_on_in_halves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kills = 0
    monkeypatch.setattr(local_workers, "count_memory_kills", lambda: kills)

    def kill_a_worker() -> None:
        nonlocal kills
        wait_for_checkpoints()
        kills += 1
        os.kill(workers_of(os.getpid())[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    runs = sweep([[*LONG, "epochs=300", f"seed={seed}"] for seed in range(4)], workers=2)
    killer.join()
    assert [run.status for run in runs] == ["completed"] * 4
    out = capsys.readouterr().out
    message = "killed by SIGKILL because memory was short. Its 2 runs go on from their checkpoints, in two halves."
    assert message in out
    assert sorted(run.summary["cohort"]["size"] for run in runs if run.summary) == [1, 1, 2, 2]
    assert workers_of(os.getpid()) == []


@pytest.mark.parametrize(("kills", "name"), [(0, "WorkerDied"), (1, "OutOfMemory")])
def test_a_worker_that_dies_for_good_leaves_a_remedy(kills: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that plans is killed at once."""
    counts = iter([0, kills])
    monkeypatch.setattr(local_workers, "count_memory_kills", lambda: next(counts))
    request = WorkerProcess.request

    def kill_instead(self: WorkerProcess, *arguments: Any) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        request(self, *arguments)

    monkeypatch.setattr(WorkerProcess, "request", kill_instead)
    with pytest.raises(RegexpError) as raised:
        sweep([["seed=0"], ["seed=1"]], quiet=True, workers=2)
    assert type(raised.value).__name__ == name
    death, remedy = str(raised.value).splitlines()
    shortage = " because memory was short" if kills else ""
    assert death == f"the worker process that planned the sweep was killed by SIGKILL{shortage}"
    assert "workers=1" in remedy
    assert "hydra" not in remedy  # which a call from Python cannot set
    failures = [json.loads(path.read_text()) for path in Path("outputs/default").glob("*/failure.json")]
    assert [failure["message"] for failure in failures] == [death] * 2


@pytest.mark.slow
def test_runs_whose_workers_die_twice_have_failed_and_the_others_end() -> None:
    command = [*COMMAND[:-2], "seed=0,1", "hydra.launcher.workers=2"]
    with start(command) as process:
        wait_for_checkpoints(2)
        first_workers = workers_of(process.pid)
        os.kill(first_workers[0], signal.SIGKILL)
        wait_for(lambda: set(workers_of(process.pid)) - set(first_workers))
        [second] = set(workers_of(process.pid)) - set(first_workers)
        time.sleep(1)
        os.kill(second, signal.SIGKILL)
        wait_for(lambda: count("default/*/failure.json") == 1)
        os.killpg(process.pid, signal.SIGINT)
        out = process.communicate(timeout=SECONDS)[0]
    [path] = Path("outputs").glob("default/*/failure.json")
    failure = json.loads(path.read_text())
    assert failure["kind"] == "WorkerDied"
    assert failure["message"] == (
        "a worker process was killed by SIGKILL, after another one had died with the same runs"
    )
    assert process.returncode == 130, out


@pytest.mark.slow
def test_when_the_parent_is_killed_no_process_goes_on_and_the_command_resumes() -> None:
    with start(COMMAND) as process:
        wait_for_checkpoints()
        workers = workers_of(process.pid)
        assert len(workers) == 2
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not any(is_running(pid) for pid in workers))
    sizes = {path: path.stat().st_size for path in Path("outputs").glob("default/*/metrics.csv")}
    time.sleep(0.3)
    assert sizes == {path: path.stat().st_size for path in sizes}
    with start([*COMMAND, "hydra.launcher.dry_run=true"]) as process:
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, out
    assert "4 runs: 4 to train (4 to resume)" in out


@pytest.mark.slow
def test_an_idle_worker_ends_with_its_parent() -> None:
    code = (
        "import time; from regexp.execution.executors.worker_process import WorkerProcess\n"
        "process = WorkerProcess({}); time.sleep(60)"
    )
    with start([sys.executable, "-c", code]) as process:
        wait_for(lambda: workers_of(process.pid))
        [pid] = workers_of(process.pid)
        time.sleep(4)  # it has nothing to do, and so nothing to send
        os.kill(process.pid, signal.SIGKILL)
        wait_for(lambda: not is_running(pid))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_workers_once(number: signal.Signals) -> None:
    with start(COMMAND) as process:
        wait_for_checkpoints()
        if number == signal.SIGINT:  # as a terminal does
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 128 + number
    assert out.count("Stopping after this epoch; interrupt again to stop at once.") == 1
    assert out.count("Interrupted. Run the same command again to resume.") == 1
    assert "Traceback" not in out
    assert count("default/*/summary.json") == 0
    for path in Path("outputs").glob("default/*/run.log"):
        assert "interrupted after epoch" in path.read_text()
    assert not Path("outputs/default/.claims").exists()


@pytest.mark.slow
def test_a_second_signal_stops_at_once() -> None:
    with start(COMMAND) as process:
        wait_for_checkpoints()
        workers = workers_of(process.pid)
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)  # a worker that does not answer
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 130
    assert "Traceback" not in out
    assert not any(is_running(pid) for pid in workers)


@pytest.mark.slow
def test_a_mistake_that_only_workers_see_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "images.npz").write_bytes(b"nothing")
    words = ["data=arrays", f"data.path={tmp_path}/images.npz", "seed=0,1", "hydra.launcher.workers=2"]
    process = subprocess.run(
        [sys.executable, "-m", "regexp", "-m", *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert process.returncode == 4
    assert "Traceback" not in process.stderr
    assert process.stderr.count("images.npz") == 1
    assert count("default/*/failure.json") == 2


@pytest.mark.slow
def test_the_lines_of_several_workers_are_whole_and_in_order() -> None:
    command = [*COMMAND, "epochs=40", "hydra.launcher.max_runs=1"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    lines = [line for line in out.splitlines() if line.startswith("cohort ") and "epoch" in line]
    epochs: dict[str, list[int]] = {}
    for line in lines:
        _, number, _, epoch, *rest = line.split()
        assert " ".join(rest).startswith("1 run training, best of all so far 0.") or "training, best" in line
        epochs.setdefault(number, []).append(int(epoch.partition("/")[0]))
    assert sorted(epochs) == ["1", "2", "3", "4"]
    assert all(numbers == sorted(numbers) and numbers[-1] == 40 for numbers in epochs.values())
    assert "4 cohorts, on 2 workers: " in out
