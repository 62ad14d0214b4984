"""Records of what was submitted to SLURM: outputs/.slurm/ID/submission.json. Imports no torch.

They are how the command finds the jobs of an earlier one: which runs each job trains, and where it tells its progress.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regexp.execution.executors.slurm.scheduler import read_queue
from regexp.runs.identity import Identity
from regexp.utils.atomic_io import read_text, write_atomically
from regexp.utils.processes import typed_command
from regexp.utils.storage_errors import explain_storage_errors

_FOLDER, _FILE = ".slurm", "submission.json"
# Others who may write to outputs/ must not write here: a job reads what it is to do from this folder.
_MODE = 0o700


@dataclass(frozen=True, eq=False)
class SubmittedJob:
    """A job of SLURM that trains a cohort.

    Attributes:
        id: its id, "17" or "17_3" in an array.
        folder: the folder of its submission.
        events: the file to which it writes its progress.
        runs: the `name` and the identity of each of its runs.
    """

    id: str
    folder: Path
    events: Path
    runs: Sequence[tuple[str, Identity]]

    @property
    def log(self) -> Path:
        """The file that has what the job prints."""
        return self.folder / f"{self.id}_0_log.out"


def make_folder(outputs: Path) -> Path:
    """Make the folder of a new submission, and return it.

    Raises:
        StorageError: it cannot be written.
    """
    now = time.time()
    name = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)) + f"-{now % 1 * 1e6:06.0f}"
    folder = outputs / _FOLDER / name
    with explain_storage_errors(folder):
        (outputs / _FOLDER).mkdir(mode=_MODE, parents=True, exist_ok=True)
        folder.mkdir(mode=_MODE)
    return folder


def events_path(folder: Path, number: int) -> Path:
    """Return the file to which the job of a cohort writes its progress, given the cohort's number in its submission."""
    return folder / f"{number}.events"


def record_submission(folder: Path, jobs: Sequence[SubmittedJob]) -> None:
    """Write the record of a submission.

    Raises:
        StorageError: it cannot be written.
    """
    record = {
        "command": typed_command(),
        "submitted": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "jobs": [
            {
                "id": job.id,
                "events": job.events.name,
                "runs": [{"name": name, **asdict(identity)} for name, identity in job.runs],
            }
            for job in jobs
        ],
    }
    with explain_storage_errors(folder):
        write_atomically(folder / _FILE, json.dumps(record, indent=2).encode())


def read_jobs(outputs: Path) -> Iterator[SubmittedJob]:
    """Yield the jobs of all submissions below outputs/, oldest first."""
    for file in sorted(outputs.glob(f"{_FOLDER}/*/{_FILE}")):
        with suppress(OSError, ValueError, LookupError, TypeError):  # a record that is broken leaves others alone
            for job in json.loads(read_text(file))["jobs"]:
                runs = [(run["name"], _read_identity(run)) for run in job["runs"]]
                yield SubmittedJob(str(job["id"]), file.parent, file.parent / Path(job["events"]).name, runs)


def find_queued(outputs: Path) -> dict[tuple[str, Identity], str]:
    """Return the runs that jobs of SLURM train, or will train; see executors.choice.find_queued.

    Raises:
        SetupError: SLURM is not installed here, or does not answer.
    """
    queue = read_queue()
    return {run: f"job {job.id} of SLURM" for job in read_jobs(outputs) if job.id in queue for run in job.runs}


def _read_identity(run: Mapping[str, Any]) -> Identity:
    return Identity(**{name: value for name, value in run.items() if name != "name"})
