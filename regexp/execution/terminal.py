"""The terminal output of training: a header, progress, and a report at the end.

Everything is readable at 80 columns. This module imports no torch.
"""

import math
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from regexp.config.metric_registry import METRICS
from regexp.runs.identity import short_names
from regexp.runs.logdirs import make_logdir
from regexp.runs.run import Run
from regexp.utils import next_commands
from regexp.utils.console import Console

if TYPE_CHECKING:
    from regexp.execution.forecast import Forecast
    from regexp.runs.directories import PlannedRun
    from regexp.training.cohort import Cohort
    from regexp.training.metrics import EpochMetrics

# The number of cohorts that a printed plan lists.
MAX_PLAN_ROWS = 30
# The number of progress lines that a cohort may print where the output is not a terminal that can be redrawn.
MAX_PROGRESS_LINES = 20


class Terminal:
    """The reporter that shows cohorts as they train: a progress bar on a terminal, a few plain lines elsewhere."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.epochs = 0
        self.several_runs = False
        self.best: Mapping[str, float] | None = None

    def print_line(self, message: str) -> None:
        """Print a message on a line of its own."""
        self.console.print(escape(message))

    def print_counts(self, planned_runs: Sequence["PlannedRun"]) -> None:
        """Print how many runs were asked for, and how many of them are new, unfinished, finished or duplicates."""
        distinct_runs = list(dict.fromkeys(planned_runs))
        num_finished = sum(planned.finished for planned in distinct_runs)
        num_checkpoints = sum((planned.directory / "checkpoint.safetensors").exists() for planned in distinct_runs)
        num_resumable = num_checkpoints - num_finished
        num_duplicates = len(planned_runs) - len(distinct_runs)
        counts = [f"{len(distinct_runs) - num_finished} to train"]
        if num_resumable > 0:
            counts[0] += f" ({num_resumable} to resume)"
        if num_finished:
            counts.append(f"{num_finished} already finished")
        if num_duplicates:
            counts.append(f"{num_duplicates} duplicate{'s' if num_duplicates > 1 else ''}")
        self.print_line(f"{len(planned_runs)} run{'s' if len(planned_runs) > 1 else ''}: {', '.join(counts)}")

    def print_other_code(self, planned_runs: Sequence["PlannedRun"], dry_run: bool = False) -> None:
        """Print how many finished runs were trained by other code than this, and what happens (or would) to them."""
        other_code = [planned for planned in dict.fromkeys(planned_runs) if planned.other_code]
        if not other_code:
            return
        one = len(other_code) == 1
        they, them = ("It", "it") if one else ("They", "them")
        subject = f"{len(other_code)} finished {'run was' if one else 'runs were'} trained by other code"
        if other_code[0].finished:
            self.print_line(f"{subject}; keep=true keeps {them}.")
        else:
            verb = "would be" if dry_run else "is" if one else "are"
            self.print_line(f"{subject}. {they} {verb} set aside and trained again; keep=true keeps {them}.")

    def print_plan(self, forecasts: Sequence["Forecast"]) -> None:
        """Print the cohorts in the order in which they will train, with the memory and time that each will need."""
        keys = list(dict.fromkeys(key for forecast in forecasts for key in forecast.distinguishing_values))
        names = short_names(keys)
        table = Table(box=None, pad_edge=False)
        table.add_column("cohort")
        for name in ("runs", "image streams", "memory", "at most"):
            table.add_column(name, justify="right")
        for key in keys:
            table.add_column(escape(names[key]), overflow="fold")
        for i, forecast in enumerate(forecasts[:MAX_PLAN_ROWS], 1):
            memory, duration = _format_bytes(forecast.memory_bytes), _format_duration(forecast.seconds)
            values = [escape(forecast.distinguishing_values[key]) for key in keys]
            table.add_row(str(i), str(forecast.runs), str(forecast.streams), memory, duration, *values)
        self.console.print(table)
        if len(forecasts) > MAX_PLAN_ROWS:
            self.print_line(f"and {len(forecasts) - MAX_PLAN_ROWS} more cohorts")
        for i, forecast in enumerate(forecasts, 1):
            if forecast.problem:
                self.print_line(f"cohort {i} could not be tried: {forecast.problem}")
        if len(forecasts) > 1:
            seconds = [forecast.seconds for forecast in forecasts if forecast.seconds is not None]
            all_timed = len(seconds) == len(forecasts)
            total = f"at most {_format_duration(sum(seconds))}" if all_timed else "total time unknown"
            self.print_line(f"{len(forecasts)} cohorts, one after the other: {total}")

    def start(self, cohort: "Cohort") -> None:
        """Print a header on the cohort that is about to train, and start its progress bar."""
        self._print_header(cohort)
        self.epochs = max(member.settings.epochs for member in cohort.members)
        self.several_runs = len(cohort.members) > 1
        self.best = None
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

    def _print_header(self, cohort: "Cohort") -> None:
        pipelines = [member.settings.stream.pipeline for member in cohort.members]
        parameters = sum(parameter[0].numel() for parameter in cohort.model.parameters())
        augmentations = dict.fromkeys(pipeline.describe() for pipeline in pipelines)
        lines = {
            "device": cohort.backend.describe(),
            "data": cohort.dataset.describe(),
            "model": f"{cohort.model.architecture.describe()}; {parameters:,} parameters",
            "augmentation": "; ".join(augmentations),
        }
        if slow_transforms := sorted({name for pipeline in pipelines for name in pipeline.unbatched_transforms()}):
            lines["note"] = f"image by image, about 0.1 ms each: {', '.join(slow_transforms)}"
        if len(cohort.members) > 1:
            streams = len(cohort.streams)
            lines["runs"] = f"{len(cohort.members)} together, {streams} image stream{'s' if streams > 1 else ''}"
        header = Table.grid(padding=(0, 2, 0, 0))
        for name, text in lines.items():
            header.add_row(f"[bold]{name}[/bold]", escape(text))
        self.console.print(header)
        if cohort.epoch:
            self.print_line(f"resuming after epoch {cohort.epoch}")

    def show_epoch(self, metrics: Sequence["EpochMetrics"]) -> None:
        """Show the progress after an epoch, given its metrics for every run that trained in it."""
        epoch, all_values = metrics[0].epoch, [run_metrics.values for run_metrics in metrics]
        lowest = min(all_values, key=lambda values: (math.isnan(values["val_loss"]), values["val_loss"]))  # NaN last
        validation = f"{lowest['val_loss']:.4f} ({lowest['val_accuracy']:.2%})"
        progress = f"loss {lowest['train_loss']:.4f}, validation {validation}"
        if self.several_runs:
            if self.best is None or not lowest["val_loss"] > self.best["val_loss"]:
                self.best = lowest
            training = f"{len(metrics)} run{'s' if len(metrics) > 1 else ''} training"
            progress = f"{training}, best so far {self.best['val_loss']:.4f} ({self.best['val_accuracy']:.2%})"
        if self.progress is not None:
            self.progress.update(self.task, completed=epoch, description=progress)
        elif epoch in (1, self.epochs) or epoch % math.ceil(self.epochs / MAX_PROGRESS_LINES) == 0:
            self.print_line(f"epoch {epoch}/{self.epochs}  {progress}")

    @contextmanager
    def watch(self, cohort: "Cohort") -> Iterator[None]:
        """Show a cohort while the body of the `with` statement trains it, and always remove the progress bar after."""
        self.start(cohort)
        try:
            yield
        finally:
            if self.progress is not None:
                self.progress.stop()
                self.progress = None

    def announce_stop(self) -> None:
        """Announce that a signal has arrived and that training stops after the current epoch."""
        self.print_line("Stopping after this epoch; interrupt again to stop at once.")

    def print_interruption(self, cohort: "Cohort") -> None:
        """Print after which epoch training was interrupted, and how to resume it."""
        self.print_line(f"Interrupted after epoch {cohort.epoch}. Run the same command again to resume.")

    def report(self, runs: Sequence[Run], finished_before: Sequence[bool]) -> None:
        """Print how the runs ended, where their results are, and what to type next.

        Args:
            runs: the runs, in the order in which they were asked for.
            finished_before: for each run, whether it had already finished before this command.
        """
        if len(runs) == 1 and runs[0].summary is not None:
            self._report_run(runs[0], runs[0].summary, finished_before[0])
        elif len(runs) > 1:
            from regexp.comparison.compare import compare_collection  # imports scipy, which training need not wait for
            from regexp.comparison.loading import collect_runs
            from regexp.comparison.report import Report

            self.console.print()
            Report(self.console).print_overview(compare_collection(collect_runs(runs, "the sweep")))
            self.console.print()
            directories = [run.directory for run in runs]
            self.print_line(f"curves   {next_commands.tensorboard_command(make_logdir(directories))}")
            self.print_line(f"compare  {next_commands.compare_command(directories)}")

    def _report_run(self, run: Run, summary: dict[str, Any], finished_before: bool) -> None:
        if finished_before:
            self.print_line(f"Finished {_format_age(run.directory / 'summary.json')} ago; force=true trains it again.")
        self.console.print()
        self.console.print(_scores_table(run, summary))
        if summary["status"] == "diverged":
            self.print_line(
                f"Diverged in epoch {summary['epochs']}: the loss is not finite at a learning rate "
                f"of {summary['lr']:g}. Try a smaller optimizer.lr, or optimizer.clip_norm=1."
            )
        if summary["validation"] == "test":
            self.print_line("Validated on the test set, as in the lesson, so there is no separate test score.")
        self.console.print()
        self.print_line(f"results  {next_commands.relative_path(run.directory)}")
        self.print_line(f"curves   {next_commands.tensorboard_command(run.directory.parent.parent)}")
        self.print_line(f"try      {next_commands.command_prefix()}regexp {_suggest_overrides(run)}")


def _scores_table(run: Run, summary: dict[str, Any]) -> Table:
    """Return a table of the losses and accuracies of the epoch whose weights the run keeps."""
    scores = summary["best"] if run.keeps_best else summary["last"]
    epoch = summary["best_epoch"] if run.keeps_best else summary["epochs"]
    ending = {"completed": "all epochs", "stopped_early": "stopped early", "diverged": "diverged"}[summary["status"]]
    title = f"epoch {epoch} of {summary['epochs']} ({ending}), {summary['seconds']:.1f} s"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for metric in METRICS.values():
        table.add_column(metric.title, justify="right")
    # A run of an earlier version may lack a metric that is new.
    train = {name: scores.get(f"train_{name}") for name in METRICS}
    validation = {name: scores.get(f"val_{name}") for name in METRICS}
    table.add_row("training", *_format_scores(train))
    table.add_row("validation", *_format_scores(validation))
    # A gap is positive where the validation images do worse than the training images.
    gaps: dict[str, float | None] = {}
    for name, metric in METRICS.items():
        train_value, val_value = train[name], validation[name]
        if train_value is None or val_value is None:
            gaps[name] = None
        else:
            gaps[name] = train_value - val_value if metric.better > 0 else val_value - train_value
    if all(gap is not None for gap in gaps.values()):
        table.add_row("gap", *_format_scores(gaps))
    if summary["test"] is not None:
        table.add_row("test", *_format_scores(summary["test"]))
    return table


def _format_scores(scores: Mapping[str, float | None]) -> list[str]:
    """Return the value of every metric as the table shows it."""
    texts = []
    for name, metric in METRICS.items():
        value = scores.get(name)
        if value is None:
            texts.append("-")
        else:
            texts.append(f"{value:.2%}" if metric.percent else f"{value:.4f}")
    return texts


def _suggest_overrides(run: Run) -> str:
    """Return the overrides of the run with another normalization, the comparison that a newcomer would make next."""
    words = sys.argv[1:] if Path(sys.argv[0]).name in ("regexp", "__main__.py") else run.record["overrides"]
    if {"-m", "--multirun"} & set(words):  # the launcher trains run by run
        words = run.record["overrides"]
    kept_words = [word for word in words if not word.startswith(("normalization", "force"))]
    normalization = "layer" if run.config["normalization"] == "batch" else "batch"
    return " ".join(shlex.quote(word) for word in [*kept_words, f"normalization={normalization}"])


def _format_bytes(size: int | None) -> str:
    if size is None:
        return "?"
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{max(1, round(size / 1e6))} MB"


def _format_duration(seconds: float | None) -> str:
    """Return a duration in seconds, minutes or hours, rounded to about two digits: a forecast knows no more."""
    if seconds is None:
        return "?"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def _format_age(path: Path) -> str:
    """Return how long ago a file was written, in whole days, hours, minutes or seconds."""
    seconds = time.time() - path.stat().st_mtime
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(1, int(seconds))} second{'s' if seconds >= 2 else ''}"
