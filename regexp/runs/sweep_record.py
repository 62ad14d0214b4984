"""What a sweep leaves: outputs/NAME/sweeps/ID.json, its command, its grid and its members. Imports no torch."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regexp.runs.directories import PlannedRun
from regexp.utils.atomic_io import storage_errors, write_atomically
from regexp.utils.processes import command


class SweepRecord:
    """Runs that were asked for together, in one batch or in several.

    Attributes:
        id: when it started, to the microsecond: its file's name.
        max_runs: of a cohort; None: as many as find room.
    """

    def __init__(self, max_runs: int | None = None) -> None:
        self.max_runs = max_runs
        now = time.time()
        self.id = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{now % 1 * 1e6:06.0f}"
        self.started = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
        self.claims: dict[PlannedRun, None] = {}

    def add(self, claims: Sequence[PlannedRun], outputs: Path) -> None:
        """Note more members, in a file for each NAME. Raises StorageError."""
        self.claims |= dict.fromkeys(claims)
        by_name: dict[str, list[PlannedRun]] = defaultdict(list)
        for claim in self.claims:
            by_name[claim.job.config.name].append(claim)
        for name, members in by_name.items():
            folder = outputs / name / "sweeps"
            facts = {
                "id": self.id,
                "command": command(),
                "started": self.started,
                **grid([claim.job.overrides for claim in members]),
                "members": [
                    {
                        "directory": claim.directory.name,
                        "overrides": list(claim.job.overrides),
                        "config_hash": claim.identity.config,
                    }
                    for claim in members
                ],
            }
            with storage_errors(folder):
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / f"{self.id}.json", json.dumps(facts, indent=2).encode())


def grid(runs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Of the runs' overrides, `common`: those that all have, and `grid`: the other keys with their values, in order."""
    values: dict[str, dict[str, None]] = {}
    for overrides in runs:
        for override in overrides:
            key, _, value = override.partition("=")
            values.setdefault(key, {})[value] = None
    common = [override for override in runs[0] if all(override in overrides for overrides in runs)]
    shared = {override.partition("=")[0] for override in common}
    return {"grid": {key: list(own) for key, own in values.items() if key not in shared}, "common": common}
