"""The commands of an experiment, each in a process of its own."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from regexp.errors import SUCCESS
from regexp.utils.messages import join_words
from reproducing.experiment import Experiment
from reproducing.selection import needs_mnist


def run_commands(experiment: Experiment, outputs: Path, data: Path | None, small: bool) -> int:
    """Run the commands of an experiment, and return the status of the first that fails, or else 0.

    Args:
        experiment: the experiment.
        outputs: the directory below which it is trained.
        data: the directory that holds MNIST/raw; None to let regexp find it.
        small: whether to train in seconds.
    """
    for words in experiment.list_commands(small):
        places = [f"hydra.sweep.dir={outputs}"] if outputs != Path("outputs") else []
        if data is not None and needs_mnist(words):
            places.append(f"data.root={data}")
        print(f"\n{experiment.name}: regexp {join_words([*words, *places])}", flush=True)
        if (status := _run([sys.executable, "-m", "regexp", *words, *places])) != SUCCESS:
            return status
    return SUCCESS


def _run(command: Sequence[str]) -> int:
    """Run a command and return its exit status; 128 + n where signal n ended it.

    Ctrl-C reaches the command as well, which then stops after its epoch: this process waits for it. A request to
    terminate is passed on.
    """
    process = subprocess.Popen(command)
    handler = signal.signal(signal.SIGTERM, lambda number, frame: process.send_signal(number))
    try:
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:
                continue
            return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGTERM, handler)
