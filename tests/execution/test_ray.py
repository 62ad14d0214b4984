"""The executor that trains cohorts as tasks of Ray."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers.remote_sweeps import (
    GRID,
    LONG,
    SECONDS,
    assert_equal_figures,
    command,
    count,
    finish,
    read_figures,
    start,
    wait_for,
)

from regexp.execution.executors.ray_tasks import ray_cluster
from regexp.execution.executors.ray_tasks.mailbox import Mailbox
from regexp.execution.executors.ray_tasks.transfer import pack, unpack

RAY = ["hydra.launcher.executor=ray", "hydra.launcher.workers=2"]
needs_ray = pytest.mark.usefixtures("_ray")


@pytest.fixture
def _ray() -> None:
    pytest.importorskip("ray", reason="uv sync --extra ray installs Ray")
    if sys.platform != "linux":
        pytest.skip("finds processes in /proc")


@pytest.fixture
def far() -> Iterator[Path]:
    """A directory for temporary files whose path is short: Ray's sockets lie below it, and their paths have a limit."""
    with TemporaryDirectory(prefix="far", dir="/tmp") as directory:
        yield Path(directory)


def find_processes(session: int, name: str = "") -> list[int]:
    """Return the processes of a session whose command begins with a name."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == session and (path / "cmdline").read_bytes().startswith(name.encode()):
                pids.append(int(path.name))
        except OSError:  # it has just ended
            continue
    return pids


def list_addresses(session: int) -> set[str]:
    """Return the addresses at which the processes of a session listen: 127.0.0.1 and others, without ports."""
    sockets = set()
    for pid in find_processes(session):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(os.readlink(file).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:  # 0A: listens
                addresses.add(fields[1].partition(":")[0])
    return addresses


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@needs_ray
@pytest.mark.slow
def test_a_sweep_on_ray_equals_the_local_one_while_a_worker_is_killed() -> None:
    finish(command("here", *GRID, "hydra.launcher.workers=1"))
    with start(command("there", *GRID, *RAY)) as process:
        wait_for(lambda: count("there", "checkpoint.safetensors") >= 12, process)
        addresses = list_addresses(process.pid)
        names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in find_processes(process.pid)]
        os.kill(find_processes(process.pid, "ray::train_cohort")[0], signal.SIGKILL)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, out
    assert addresses
    assert addresses <= LOOPBACK
    assert not any(b"--include-dashboard=true" in name.lower() for name in names)
    assert "A worker of Ray has died. Its " in out
    assert "resuming after epoch" in out
    assert "epoch 500/500" in out
    assert_equal_figures("here", "there", runs=48)
    assert count("there", "failure.json") == 0


@needs_ray
@pytest.mark.slow
def test_results_are_fetched_where_machines_share_no_folder(monkeypatch: pytest.MonkeyPatch, far: Path) -> None:
    """A worker is killed and goes on from its files, then the command is interrupted, and another executor goes on."""
    monkeypatch.setenv("TMPDIR", str(far))
    words = [*LONG, "epochs=1200", "seed=0,1", "device.precision=float64"]
    fetch = ["hydra.launcher.executor=ray", "hydra.launcher.ray.fetch=true"]

    def find_checkpoint_times() -> list[int]:
        return [path.stat().st_mtime_ns for path in far.glob("regexp-*/*/checkpoint.safetensors")]

    with start(command("fetched", *words, *fetch)) as process:
        wait_for(lambda: len(find_checkpoint_times()) == 2, process)
        assert count("fetched", "metrics.csv") == 0
        os.kill(find_processes(process.pid, "ray::train_cohort")[0], signal.SIGKILL)
        last_time = max(find_checkpoint_times())
        wait_for(lambda: min(find_checkpoint_times()) > last_time, process)  # another worker has gone on
        os.killpg(process.pid, signal.SIGINT)
        out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 130, out
    assert "A worker of Ray has died. Its 2 runs go on from their checkpoints." in out
    assert "resuming after epoch" in out
    assert out.count("Interrupted. Run the same command again to resume.") == 1
    assert count("fetched", "checkpoint.safetensors") == 2
    assert list(far.glob("regexp-*")) == []
    out = finish(command("fetched", *words, *fetch))
    assert "2 to train (2 to resume)" in out
    finish(command("apart", *words, "hydra.launcher.workers=1"))
    assert_equal_figures("apart", "fetched", runs=2)


@contextmanager
def start_cluster(nodes: int) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """Start a Ray of several logical nodes, on the loopback address; a line to its process kills one of them."""
    code = (
        "import logging, os, sys\n"
        "from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 0, 'include_dashboard': False})\n"
        f"nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20) for _ in range({nodes})]\n"
        "print(cluster.address, flush=True)\n"
        "sys.stdin.readline()\n"
        "cluster.remove_node(nodes[0], allow_graceful=False)\n"
        "print('removed', flush=True)\n"
        "sys.stdin.read()\n"
        "cluster.shutdown()\n"
    )
    loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | loopback | {"RAY_USAGE_STATS_ENABLED": "0"},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
        process.stdin.close()
        process.wait(timeout=60)
    finally:
        for pid in find_processes(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


@needs_ray
@pytest.mark.slow
def test_a_sweep_of_500_runs_on_a_cluster_of_which_a_machine_is_lost() -> None:
    with start_cluster(nodes=3) as (address, cluster):
        assert list_addresses(cluster.pid) <= LOOPBACK
        grid = [*LONG, "epochs=30", "optimizer.lr=0.001,0.002,0.003,0.004,0.005", "seed=range(100)"]
        ray = ["hydra.launcher.executor=ray", f"hydra.launcher.ray.address={address}", "hydra.launcher.workers=10"]
        with start(command("outputs", *grid, *ray)) as process:
            wait_for(lambda: count("outputs", "checkpoint.safetensors") >= 30, process)
            assert cluster.stdin is not None
            cluster.stdin.write("\n")
            cluster.stdin.flush()
            out = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 0, out
    assert "A worker of Ray has died." in out
    assert len(read_figures("outputs")) == 500
    assert count("outputs", "failure.json") == 0


@needs_ray
@pytest.mark.slow
def test_what_ray_cannot_do_is_one_line() -> None:
    out = finish(command("outputs", *LONG, "seed=0,1", *RAY, "hydra.launcher.ray.num_gpus=0.5"), status=2)
    assert "hydra.launcher.ray.num_gpus=0.5: this machine has 0 GPUs; choose at most 0, or a cluster by" in out
    assert "Traceback" not in out


# Without Ray -----------------------------------------------------------------------------------------------------


def test_fractions_of_a_gpu_let_several_tasks_share_it() -> None:
    machine = {"CPU": 16.0, "GPU": 2.0}
    assert ray_cluster.count_machine_slots(machine, num_cpus=1, num_gpus=0) == 16
    assert ray_cluster.count_machine_slots(machine, num_cpus=1, num_gpus=0.25) == 8
    assert ray_cluster.count_machine_slots(machine, num_cpus=4, num_gpus=0.25) == 4
    assert ray_cluster.count_machine_slots({"CPU": 16.0}, num_cpus=1, num_gpus=0.25) == 0


def test_a_mailbox_gives_each_event_once() -> None:
    mailbox = Mailbox()
    assert mailbox.put(1, ["a", "b"]) == 0
    mailbox.request_stop(15)
    assert mailbox.put(2, ["c"]) == 15
    assert mailbox.take() == [(1, "a"), (1, "b"), (2, "c")]
    assert mailbox.take() == []
    mailbox.put_snapshot(1, b"files")
    assert (mailbox.read_snapshot(1), mailbox.read_snapshot(2)) == (b"files", None)


def test_directories_arrive_as_they_were_packed(tmp_path: Path) -> None:
    near, far = [tmp_path / "near" / name for name in "ab"], [tmp_path / "far" / name for name in "ab"]
    for directory in near:
        (directory / ".hydra").mkdir(parents=True)
        (directory / ".hydra" / "config.yaml").write_text(directory.name)
        (directory / "summary.json").write_text("{}")
        (directory / "checkpoint.safetensors").write_bytes(b"\0\1")
        (directory / "metrics.csv.1.part").write_text("half")
    far[0].mkdir(parents=True)
    (far[0] / "failure.json").write_text("an earlier one")
    unpack(pack(near), far)
    for source, target in zip(near, far, strict=True):
        names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
        assert names == {".hydra/config.yaml", "summary.json", "checkpoint.safetensors"}
        assert (target / ".hydra" / "config.yaml").read_text() == source.name
