"""The cores and the memory that affinity and control groups leave to a process."""

import os
from pathlib import Path

import pytest

from regexp.utils import system_limits
from regexp.utils.system_limits import count_cores, count_memory_kills, read_available_bytes

V2 = "sys/fs/cgroup"


def write_files(root: Path, files: dict[str, str]) -> Path:
    """Write files below a directory, and return the directory."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_limits, "_count_usable_cores", lambda: 16)


@pytest.mark.usefixtures("_sixteen_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "max 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "5000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "9900000 100000\n"}, 16),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/cpu.max": "max 1\n", f"{V2}/a/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/a/b\n", f"{V2}/a/b/cpu.max": "2 1\n", f"{V2}/a/cpu.max": "3 1\n"}, 2),
        ({"proc/self/cgroup": "0::/../of/the/host\n", f"{V2}/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n",
                f"{V2}/cpu,cpuacct/job/cpu.cfs_quota_us": "700000\n",
                f"{V2}/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            },
            7,
        ),
        (
            {
                "proc/self/cgroup": "3:cpu:/job/step\n0::/\n",
                f"{V2}/cpu/job/step/cpu.cfs_quota_us": "-1\n",
                f"{V2}/cpu/job/step/cpu.cfs_period_us": "100000\n",
                f"{V2}/cpu/job/cpu.cfs_quota_us": "500000\n",
                f"{V2}/cpu/job/cpu.cfs_period_us": "100000\n",
            },
            5,
        ),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/cpu.max": "nonsense\n"}, 16),
    ],
)
def test_the_tightest_quota_limits_the_cores(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    assert count_cores(write_files(tmp_path, files)) == cores


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_affinity_limits_the_cores(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_cores(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores(tmp_path) == len(allowed)


MEMORY = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   1000 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MEMORY, 1_024_000),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "5\n"}, None),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "100\n", f"{V2}/memory.current": "60\n"}, 40),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "100\n", f"{V2}/memory.current": "160\n"}, 0),
        (
            MEMORY
            | {
                "proc/self/cgroup": "0::/a/b\n",
                f"{V2}/a/memory.max": "100\n",
                f"{V2}/a/memory.current": "60\n",
                f"{V2}/a/memory.stat": "anon 30\ninactive_file 25\n",
                f"{V2}/a/b/memory.max": "max\n",
                f"{V2}/a/b/memory.current": "1\n",
            },
            65,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/job\n",
                f"{V2}/memory/job/memory.limit_in_bytes": "100\n",
                f"{V2}/memory/job/memory.usage_in_bytes": "60\n",
                f"{V2}/memory/job/memory.stat": "inactive_file 5\ntotal_inactive_file 25\n",
                f"{V2}/memory/memory.limit_in_bytes": "9223372036854771712\n",
                f"{V2}/memory/memory.usage_in_bytes": "70\n",
            },
            65,
        ),
    ],
)
def test_the_tightest_limit_holds_for_the_memory(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert read_available_bytes(write_files(tmp_path, files)) == expected


def test_the_kernels_kills_are_counted(tmp_path: Path) -> None:
    assert count_memory_kills(tmp_path) == 0
    assert count_memory_kills(write_files(tmp_path, {"proc/vmstat": "oom_kill_disable 3\noom_kill 7\n"})) == 7


def test_this_machine_has_cores_and_memory() -> None:
    assert 1 <= count_cores() <= (os.cpu_count() or 1)
    available_bytes = read_available_bytes()
    assert available_bytes is None or 0 < available_bytes < 2**50
