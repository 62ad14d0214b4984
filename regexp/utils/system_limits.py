"""The processor cores and the memory that the system lets this process use. Imports no torch.

Linux limits a process by its affinity and by its control groups (cgroups), which containers, SLURM and systemd set. A
group lies within others, and the tightest limit of all of them holds.
"""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

# The value in version 1's files that stands for "no limit" is near 2^63.
_UNLIMITED_BYTES = 2**60


def count_cores(root: Path = Path("/")) -> int:
    """Return how many processor cores this process may keep busy, at least 1.

    Args:
        root: the root of the file system that describes the control groups.
    """
    quotas = [math.ceil(quota) for quota in _read_cpu_quotas(root)]
    return max(1, min([_count_usable_cores(), *quotas]))


def read_available_bytes(root: Path = Path("/")) -> int | None:
    """Return the bytes of memory that this process may still take; None where the system does not tell.

    Args:
        root: the root of the file system that describes the memory and the control groups.
    """
    limits = [*_read_memory_info(root), *_read_memory_limits(root)]
    return max(0, min(limits)) if limits else None


def count_memory_kills(root: Path = Path("/")) -> int:
    """Return how many processes the kernel has killed so far for lack of memory; 0 where it does not tell."""
    for line in _read_lines(root / "proc/vmstat"):
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def _count_usable_cores() -> int:
    if hasattr(os, "process_cpu_count"):  # since Python 3.13; PYTHON_CPU_COUNT and -X cpu_count change it
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the number of cores that each control group of this process allows, where it limits them."""
    for version, directory in _control_groups("cpu", root):
        if version == 2:
            quota, _, period = "".join(_read_lines(directory / "cpu.max")).partition(" ")
        else:
            quota = "".join(_read_lines(directory / "cpu.cfs_quota_us"))
            period = "".join(_read_lines(directory / "cpu.cfs_period_us"))
        if quota.isdigit() and period.isdigit() and int(period) > 0:  # "max" and -1 are no limits
            yield int(quota) / int(period)


def _read_memory_info(root: Path) -> Iterator[int]:
    """Yield the bytes that Linux could give to new programs."""
    for line in _read_lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield 1024 * int(line.split()[1])


def _read_memory_limits(root: Path) -> Iterator[int]:
    """Yield the bytes that the memory limit of each control group of this process leaves."""
    names = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
    for version, directory in _control_groups("memory", root):
        limit, usage = ("".join(_read_lines(directory / name)) for name in names[version])
        if limit.isdigit() and usage.isdigit() and int(limit) < _UNLIMITED_BYTES:
            # The usage includes cached files, which the system drops as soon as a program needs their memory.
            prefix = "inactive_file " if version == 2 else "total_inactive_file "
            stat = _read_lines(directory / "memory.stat")
            cached_bytes = sum(int(line.split()[1]) for line in stat if line.startswith(prefix))
            yield int(limit) - int(usage) + cached_bytes


def _control_groups(controller: str, root: Path) -> Iterator[tuple[int, Path]]:
    """Yield the version (1 or 2) and the directory of each control group of this process, the innermost first.

    Args:
        controller: "cpu" or "memory".
        root: the root of the file system that describes the control groups.
    """
    for line in _read_lines(root / "proc/self/cgroup"):
        number, controllers, group = line.split(":", 2)
        if number == "0":
            version, mounts = 2, ["", "unified"]
        elif controller in controllers.split(","):
            version, mounts = 1, [controllers, controller]
        else:
            continue
        for mount in (root / "sys/fs/cgroup" / name for name in mounts):
            if mount.is_dir():
                # Within a container the path may be one of the host's, which does not exist here.
                parts = [part for part in group.split("/") if part and part != ".."]
                for count in range(len(parts), -1, -1):
                    yield version, mount.joinpath(*parts[:count])
                break


def _read_lines(path: Path) -> Sequence[str]:
    """Return the lines of a file; none where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
