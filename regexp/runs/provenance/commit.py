"""The commit of the git repository in which a command was typed. Imports no torch."""

import os
import subprocess
from pathlib import Path
from typing import Any

# So long may git take; without its answer a run is trained all the same.
_TIMEOUT_SECONDS = 2.0
# It writes nothing to the repository, and starts no program that the repository names.
_COMMAND = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "status")
_OPTIONS = ("--porcelain=v2", "--branch", "--untracked-files=no")


def read_commit(directory: Path | None = None) -> dict[str, Any] | None:
    """Return the commit that is checked out, as run.json records it; None where git knows of none, or does not answer.

    Args:
        directory: a directory of the repository; None for the current one.

    Returns:
        `commit`: its hash; `clean`: whether the files that git tracks are as they were committed.
    """
    place = (directory or Path.cwd()).absolute()
    if "GIT_DIR" not in os.environ and not any((parent / ".git").exists() for parent in (place, *place.parents)):
        return None  # without the milliseconds of a process
    try:
        process = subprocess.run(
            [*_COMMAND, *_OPTIONS],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = process.stdout.decode(errors="replace").splitlines()
    hashes = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not hashes or hashes[0] == "(initial)":
        return None
    return {"commit": hashes[0], "clean": all(line.startswith("#") for line in lines)}


def format_commit(git: Any) -> str:
    """Return the first digits of a recorded commit, with "+" where files had been changed since; "" without one."""
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return f"{str(git['commit'])[:8]}{'' if git.get('clean') else '+'}"
