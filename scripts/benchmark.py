"""Speed against what people use instead, both sides interleaved in one process: uv run scripts/benchmark.py --help."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    commands = parser.add_subparsers(dest="command", required=True)
    single = commands.add_parser("single", help="one run of MNIST, per epoch with validation")
    augmentation = commands.add_parser("augmentation", help="an epoch's images of MNIST, for every option")
    for command in (single, augmentation):
        command.add_argument("--data-root", type=Path, default=Path(os.environ.get("REGEXP_DATA_ROOT", SHARED)))
        command.add_argument("--epochs", type=int, default=5, help="counted ones; one before and one after are not")
    startup = commands.add_parser("startup", help="from process start to --help and to the first optimizer step")
    startup.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    if arguments.command == "single":
        figures = {
            "with augmentation=lesson": benchmark_single(arguments.data_root, arguments.epochs, augment=True),
            "without augmentation": benchmark_single(arguments.data_root, arguments.epochs, augment=False),
        }
    elif arguments.command == "augmentation":
        figures = {"image streams": benchmark_augmentation(arguments.data_root, arguments.epochs)}
    else:
        figures = {"startup": benchmark_startup(arguments.repeats)}
    for title, rows in figures.items():
        show(title, rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    print(f"\n{title}")
    print(f"  {'':<44}{'median s':>10}{'ratio':>8}{'range':>16}")
    for name, row in rows.items():
        print(f"  {name:<44}{row['median']:>10.3f}{row['ratio']:>8.2f}{row['lowest']:>9.2f} - {row['highest']:<5.2f}")


def rows_of(seconds: dict[str, Sequence[float]], base: str) -> dict[str, dict[str, float]]:
    """Medians, and the ratio to `base` pair by pair: median, lowest, highest."""
    rows = {}
    for name, values in seconds.items():
        ratios = [value / other for value, other in zip(values, seconds[base], strict=True)]
        rows[name] = {
            "median": statistics.median(values),
            "ratio": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    return rows


def benchmark_single(root: Path, epochs: int, augment: bool) -> dict[str, dict[str, float]]:
    """Seconds an epoch of regexp, with all its measuring and recording, against loops that do neither."""
    others: dict[str, Callable[[], None]] = {
        "the lesson's loop (DataLoader, PIL transforms)": lesson_loop(root, augment)
    }
    if not augment:
        others["a bare loop (tensors in memory, fused Adam)"] = bare_loop(root)
    overrides = ["experiment=lesson"] if augment else ["experiment=lesson", "augmentation=none"]
    return interleaved(root, epochs, overrides, others)


def benchmark_augmentation(root: Path, epochs: int) -> dict[str, dict[str, float]]:
    """Seconds that the images of an epoch take, augmented by each option, beside a whole epoch of training without."""
    import torch

    from regexp.building import load_dataset, make_stream
    from regexp.composition import CONF, compose_job
    from regexp.streams import batches

    def images(option: str) -> Callable[[], None]:
        config = compose_job(["data=mnist", f"data.root={root}", f"augmentation={option}"]).config
        dataset = load_dataset(config)
        stream = make_stream(config, dataset)

        def epoch() -> None:
            for _ in batches(dataset.train, [stream], [1], config.batch_size, 1, torch.float32):
                pass

        return epoch

    others = {file.stem: images(file.stem) for file in sorted((CONF / "augmentation").glob("*.yaml"))}
    return interleaved(root, epochs, ["data=mnist", "normalization=batch"], others)


def interleaved(
    root: Path, epochs: int, overrides: Sequence[str], others: dict[str, Callable[[], None]]
) -> dict[str, dict[str, float]]:
    """Seconds of regexp's epochs, with all their measuring and recording, and of the others, each after each."""
    seconds: dict[str, list[float]] = {"regexp": [], **{name: [] for name in others}}

    class Interleaved:
        """After each of regexp's epochs, one of each other loop."""

        def __init__(self) -> None:
            self.began = time.perf_counter()

        def epoch(self, metrics: object) -> None:
            seconds["regexp"].append(time.perf_counter() - self.began)
            for name, loop in others.items():
                began = time.perf_counter()
                loop()
                seconds[name].append(time.perf_counter() - began)
            self.began = time.perf_counter()

    from regexp.building import build
    from regexp.claims import claim_all
    from regexp.composition import compose_job
    from regexp.interruption import Interruption
    from regexp.training import train

    job = compose_job([*overrides, f"data.root={root}", f"epochs={epochs + 2}", "early_stopping=none"])
    with tempfile.TemporaryDirectory() as folder:
        cohort = build(claim_all([job], Path(folder)))
        [member] = cohort.members
        member.recorder = timed = Timed(member.recorder)
        train(cohort, Interleaved(), Interruption())
    # The last epoch is left out as well: what a run writes once, at its end, is not an epoch's.
    counted = {name: values[1:-1] for name, values in seconds.items()}
    return rows_of({"regexp": counted["regexp"], "  of which recording": timed.seconds[1:-1], **counted}, "regexp")


class Timed:
    """A recorder that adds up, for each epoch, the seconds that recording takes."""

    def __init__(self, recorder: Any) -> None:
        self.recorder, self.seconds = recorder, []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            if name == "epoch":
                self.seconds.append(0.0)
            began = time.perf_counter()
            try:
                return getattr(self.recorder, name)(*arguments)
            finally:
                self.seconds[-1] += time.perf_counter() - began

        return timed


def lesson_loop(root: Path, augment: bool) -> Callable[[], None]:
    """One epoch of training and validation as a lesson would write it."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import MNIST

    steps = [transforms.RandomRotation(10), transforms.RandomHorizontalFlip()] if augment else []
    train_set = MNIST(str(root), train=True, transform=transforms.Compose([*steps, transforms.ToTensor()]))
    train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
    val_loader = DataLoader(MNIST(str(root), train=False, transform=transforms.ToTensor()), batch_size=256)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch() -> None:
        model.train()
        total = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in val_loader:
                logits = model(images)
                total += criterion(logits, labels).item()
                correct += (logits.argmax(1) == labels).sum().item()

    return epoch


def bare_loop(root: Path) -> Callable[[], None]:
    """One epoch over tensors in memory: nn.Module, fused Adam, a validation pass, nothing else."""
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torchvision.datasets import MNIST

    parts = [MNIST(str(root), train=train) for train in (True, False)]
    (images, labels), (val_images, val_labels) = ((part.data.flatten(1).float() / 255, part.targets) for part in parts)
    model = nn.Sequential(nn.Linear(784, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(labels)).split(64):
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
        model.eval()
        with torch.no_grad():
            for x, y in zip(val_images.split(256), val_labels.split(256), strict=True):
                (model(x).argmax(1) == y).sum()

    return epoch


# Runs the command and leaves after its first optimizer step. The step is patched when regexp.training is looked for,
# which is after everything it needs, so that imports happen in the order in which they would.
FIRST_STEP = """
import os, sys
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "regexp.training":
            sys.meta_path.remove(self)
            from regexp.cohort import Cohort
            step = Cohort.step
            Cohort.step = lambda *arguments: (step(*arguments), os._exit(0))
sys.meta_path.insert(0, Late())
sys.argv = ["regexp", "force=true"]
from regexp.__main__ import main
main()
"""


def benchmark_startup(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of whole processes; the ratio is to `import torch`."""
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "regexp --help": [sys.executable, "-m", "regexp", "--help"],
        "regexp, to the first step on digits": [sys.executable, "-c", FIRST_STEP],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - began)
    return rows_of({name: values[1:] for name, values in seconds.items()}, "import torch")


if __name__ == "__main__":
    main()
