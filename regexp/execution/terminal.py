"""What a person sees while runs train, and at their end. Readable at 80 columns; imports no torch."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from regexp.runs.identity import short_names
from regexp.runs.logdirs import logdir
from regexp.runs.run import Run
from regexp.training.metrics import EpochMetrics
from regexp.utils import next_commands
from regexp.utils.console import Console

if TYPE_CHECKING:
    from regexp.execution.forecast import Forecast
    from regexp.runs.directories import PlannedRun
    from regexp.training.cohort import Cohort

# Cohorts that a plan lists.
MOST_ROWS = 30
# Lines of progress that a cohort may print where there is no terminal to redraw.
LINES = 20


class Terminal:
    """Shows cohorts as they train: a progress bar on a terminal, a few plain lines elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.epochs = 0
        self.together = False
        self.best: EpochMetrics | None = None

    def print_line(self, message: str) -> None:
        """A line of its own."""
        self.console.print(escape(message))

    def print_counts(self, claims: Sequence["PlannedRun"]) -> None:
        """How many runs there are, and how many of them are new."""
        different = list(dict.fromkeys(claims))
        finished = sum(claim.finished for claim in different)
        going_on = sum((claim.directory / "checkpoint.safetensors").exists() for claim in different) - finished
        said = [f"{len(different) - finished} to train" + (f" ({going_on} go on)" if going_on > 0 else "")]
        said += [f"{finished} finished before"] if finished else []
        said += [f"{len(claims) - len(different)} given twice"] if len(different) < len(claims) else []
        self.print_line(f"{len(claims)} run{'s' if len(claims) > 1 else ''}: {', '.join(said)}")

    def print_plan(self, forecasts: Sequence["Forecast"]) -> None:
        """Which cohorts will train one after the other, each in one loop, and what they will take."""
        keys = list(dict.fromkeys(key for forecast in forecasts for key in forecast.separating))
        names = short_names(keys)
        table = Table(box=None, pad_edge=False)
        table.add_column("cohort")
        for name in ("runs", "image streams", "memory", "at most"):
            table.add_column(name, justify="right")
        for key in keys:
            table.add_column(escape(names[key]), overflow="fold")
        for i, cohort in enumerate(forecasts[:MOST_ROWS], 1):
            figures = [str(i), str(cohort.runs), str(cohort.streams), _size(cohort.memory), _duration(cohort.seconds)]
            table.add_row(*figures, *(escape(cohort.separating[key]) for key in keys))
        self.console.print(table)
        if len(forecasts) > MOST_ROWS:
            self.print_line(f"and {len(forecasts) - MOST_ROWS} more cohorts")
        for i, cohort in enumerate(forecasts, 1):
            if cohort.problem:
                self.print_line(f"cohort {i} could not be tried: {cohort.problem}")
        if len(forecasts) > 1:
            known = [cohort.seconds for cohort in forecasts if cohort.seconds is not None]
            total = f"at most {_duration(sum(known))}" if len(known) == len(forecasts) else "more than can be told"
            self.print_line(f"{len(forecasts)} cohorts, one after the other: {total}")

    def start(self, cohort: "Cohort") -> None:
        """What is about to train, in four lines (five for more than one run)."""
        plans = [member.plan for member in cohort.members]
        parameters = sum(parameter[0].numel() for parameter in cohort.model.parameters())
        augmentations = dict.fromkeys(plan.stream.pipeline.describe() for plan in plans)
        lines = {
            "device": cohort.compute.describe(),
            "data": cohort.dataset.describe(),
            "model": f"{cohort.model.architecture.describe()}; {parameters:,} parameters",
            "augmentation": "; ".join(augmentations),
        }
        if slow := sorted({name for plan in plans for name in plan.stream.pipeline.slow()}):
            lines["note"] = f"image by image, some 0.1 ms each: {', '.join(slow)}"
        if len(plans) > 1:
            streams = len(cohort.streams)
            lines["runs"] = f"{len(plans)} together, {streams} image stream{'s' if streams > 1 else ''}"
        header = Table.grid(padding=(0, 2, 0, 0))
        for name, text in lines.items():
            header.add_row(f"[bold]{name}[/bold]", escape(text))
        self.console.print(header)
        if cohort.epoch:
            self.print_line(f"goes on after epoch {cohort.epoch}")
        self.epochs = max(plan.epochs for plan in plans)
        self.together, self.best = len(plans) > 1, None
        if self.console.is_terminal and not self.console.quiet:
            columns = (
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(bar_width=None),
                TextColumn("{task.description}"),
                TimeRemainingColumn(compact=True),
            )
            self.progress = Progress(*columns, console=self.console, expand=True)
            self.progress.start()
            self.task = self.progress.add_task("", total=self.epochs, completed=cohort.epoch)

    def epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        """An epoch ended; `metrics` of every run that took part."""
        epoch = metrics[0].epoch
        lowest = min(metrics, key=lambda m: (m.val_loss != m.val_loss, m.val_loss))  # NaN last
        figures = f"loss {lowest.train_loss:.4f}, validation {lowest.val_loss:.4f} ({lowest.val_accuracy:.2%})"
        if self.together:
            self.best = lowest if self.best is None or not lowest.val_loss > self.best.val_loss else self.best
            still = f"{len(metrics)} run{'s' if len(metrics) > 1 else ''} training"
            figures = f"{still}, best so far {self.best.val_loss:.4f} ({self.best.val_accuracy:.2%})"
        if self.progress is not None:
            self.progress.update(self.task, completed=epoch, description=figures)
        elif epoch in (1, self.epochs) or epoch % -(-self.epochs // LINES) == 0:
            self.print_line(f"epoch {epoch}/{self.epochs}  {figures}")

    @contextmanager
    def watch(self, cohort: "Cohort") -> Iterator[None]:
        """Say what trains, and put the terminal back whatever happens."""
        self.start(cohort)
        try:
            yield
        finally:
            if self.progress is not None:
                self.progress.stop()
                self.progress = None

    def announce_stop(self) -> None:
        """A signal came."""
        self.print_line("Stopping after this epoch; once more stops at once.")

    def print_interruption(self, cohort: "Cohort") -> None:
        """Training stopped before its end."""
        self.print_line(f"Interrupted after epoch {cohort.epoch}. The same command goes on from there.")

    def report(self, runs: Sequence[Run], shown: Sequence[bool]) -> None:
        """How runs ended, where they are, and what to type next; `shown` says which had ended before."""
        if len(runs) == 1 and runs[0].summary is not None:
            self._report_one(runs[0], runs[0].summary, shown[0])
        elif len(runs) > 1:
            from regexp.comparison.compare import compare_all  # scipy takes a moment, which training need not wait for
            from regexp.comparison.loading import of_runs
            from regexp.comparison.report import Report

            self.console.print()
            Report(self.console).overview(compare_all(of_runs(runs, "the sweep")))
            self.console.print()
            folders = [run.directory for run in runs]
            self.print_line(f"curves   {next_commands.tensorboard(logdir(folders))}")
            self.print_line(f"compare  {next_commands.compare(folders)}")

    def _report_one(self, run: Run, summary: dict[str, Any], shown: bool) -> None:
        if shown:
            self.print_line(f"Finished {_age(run.directory / 'summary.json')} ago; force=true trains it anew.")
        self.console.print()
        self.console.print(_table(run, summary))
        if summary["status"] == "diverged":
            self.print_line(
                f"Diverged in epoch {summary['epochs']}: the loss is not finite at a learning rate "
                f"of {summary['lr']:g}. Try a smaller optimizer.lr, or optimizer.clip_norm=1."
            )
        if summary["validation"] == "test":
            self.print_line("Validated on the test set, as in the lesson: there is no separate test figure.")
        self.console.print()
        self.print_line(f"results  {next_commands.nearby(run.directory)}")
        self.print_line(f"curves   {next_commands.tensorboard(run.directory.parent.parent)}")
        self.print_line(f"try      {next_commands.prefix()}regexp {_suggestion(run)}")


def _table(run: Run, summary: dict[str, Any]) -> Table:
    """Losses and accuracies of the epoch whose weights the run keeps."""
    shown = summary["best"] if run.keeps_best else summary["last"]
    epoch = summary["best_epoch"] if run.keeps_best else summary["epochs"]
    how = {"completed": "all epochs", "stopped_early": "stopped early", "diverged": "diverged"}[summary["status"]]
    title = f"epoch {epoch} of {summary['epochs']} ({how}), {summary['seconds']:.1f} s"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    table.add_column("loss", justify="right")
    table.add_column("accuracy", justify="right")
    train = {name: shown[f"train_{name}"] for name in ("loss", "accuracy")}
    validation = {name: shown[f"val_{name}"] for name in ("loss", "accuracy")}
    table.add_row("training", *_figures(train))
    table.add_row("validation", *_figures(validation))
    if None not in (*train.values(), *validation.values()):
        loss, accuracy = (abs(validation[name] - train[name]) for name in ("loss", "accuracy"))
        signs = [
            "-" if validation["loss"] < train["loss"] else "",
            "-" if validation["accuracy"] > train["accuracy"] else "",
        ]
        table.add_row("gap", f"{signs[0]}{loss:.4f}", f"{signs[1]}{accuracy:.2%}")
    if summary["test"] is not None:
        table.add_row("test", *_figures(summary["test"]))
    return table


def _figures(scores: dict[str, float | None]) -> tuple[str, str]:
    loss, accuracy = scores["loss"], scores["accuracy"]
    return "-" if loss is None else f"{loss:.4f}", "-" if accuracy is None else f"{accuracy:.2%}"


def _suggestion(run: Run) -> str:
    """The same command with another normalization: the comparison that a newcomer would make next."""
    typed = sys.argv[1:] if Path(sys.argv[0]).name in ("regexp", "__main__.py") else run.record["overrides"]
    if {"-m", "--multirun"} & set(typed):  # by a launcher that trains run by run
        typed = run.record["overrides"]
    kept = [word for word in typed if not word.startswith(("normalization", "force"))]
    other = "layer" if run.config["normalization"] == "batch" else "batch"
    return " ".join(shlex.quote(word) for word in [*kept, f"normalization={other}"])


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{max(1, round(size / 1e6))} MB"


def _duration(seconds: float | None) -> str:
    """Two figures are more than a forecast knows."""
    if seconds is None:
        return "?"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _age(path: Path) -> str:
    seconds = time.time() - path.stat().st_mtime
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(1, int(seconds))} second{'s' if seconds >= 2 else ''}"
