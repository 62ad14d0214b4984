"""The terminal output around training: the plan before it, and a report at the end.

Everything is readable at 80 columns. This module imports no torch.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from regexp.config.schema import OPTIONS
from regexp.config.schemas.model import NetworkConfig
from regexp.execution.displays.page import Page, PageConsole
from regexp.execution.planning import PlannedCohort, distinguishing_values, forecast_seconds
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import short_names
from regexp.runs.listing.cards import make_run_results
from regexp.runs.listing.scores import tabulate_scores
from regexp.runs.reserving.planned_notes import list_notes, list_retrainings
from regexp.runs.run import Run
from regexp.runs.tensorboard.logdirs import make_current_logdir
from regexp.runs.weights import LAST
from regexp.user_code.targets import PYTHON_PREFIX
from regexp.utils import next_commands
from regexp.utils.console import Console
from regexp.utils.messages import format_age, join_words, speaks_python

# The number of cohorts that a printed plan lists.
MAX_PLAN_ROWS = 30


class Terminal:
    """The terminal on which a command prints its plan and its results.

    Attributes:
        console: what is printed on.
        is_brief: whether plans and results are left out: of the batches of a search, which tells of them itself.
    """

    def __init__(self, quiet: bool = False, is_brief: bool = False) -> None:
        self.is_brief = is_brief
        self.console = Console(quiet=quiet, highlight=False, soft_wrap=True)
        if self.console.is_jupyter and not quiet:
            self.console = PageConsole(Page())
        self.console.hides_progress = is_brief

    def print_line(self, message: str) -> None:
        """Print a message on a line of its own."""
        self.console.print(escape(message))

    def print_counts(self, planned_runs: Sequence[PlannedRun]) -> None:
        """Print how many runs were asked for, and how many of them are new, unfinished, finished or duplicates."""
        if self.is_brief:
            return
        distinct_runs = list(dict.fromkeys(planned_runs))
        num_unstorable = sum(planned.problem is not None for planned in distinct_runs)
        num_finished = sum(planned.finished for planned in distinct_runs)
        runs_to_train = [planned for planned in distinct_runs if planned.is_to_train]
        num_busy = sum(planned.trained_by != "" and not planned.finished for planned in distinct_runs)
        num_measured = sum(planned.adds_measures for planned in runs_to_train)
        num_continuing = sum(planned.continues for planned in runs_to_train)
        num_resumable = sum((planned.directory / LAST).exists() for planned in runs_to_train if not planned.continues)
        num_resumable -= num_measured
        num_duplicates = len(planned_runs) - len(distinct_runs)
        counts = [f"{len(runs_to_train) - num_measured} to train"]
        additions = [f"{num_resumable} to resume"] if num_resumable else []
        additions += [f"{num_continuing} from where fewer epochs ended"] if num_continuing else []
        if additions:
            counts[0] += f" ({', '.join(additions)})"
        if num_measured:
            counts.append(f"{num_measured} finished to evaluate")
        if num_queued := sum(planned.queued_as != "" for planned in runs_to_train):
            counts.append(f"{num_queued} of them in jobs that were submitted before")
        if num_finished:
            counts.append(f"{num_finished} already finished")
        if num_unstorable:
            counts.append(f"{num_unstorable} that cannot be stored")
        if num_busy:
            counts.append(f"{num_busy} being trained by other processes")
        if num_duplicates:
            counts.append(f"{num_duplicates} duplicate{'s' if num_duplicates > 1 else ''}")
        self.print_line(f"{len(planned_runs)} run{'s' if len(planned_runs) > 1 else ''}: {', '.join(counts)}")

    def print_notes(self, planned_runs: Sequence[PlannedRun], dry_run: bool = False) -> None:
        """Print what the user should know about runs before they train.

        Where nothing is printed, what was trained before and is trained again goes to Python's `warnings`.
        """
        for note in list_notes(planned_runs, dry_run):
            self.print_line(note)
        for warning in list_retrainings([planned for planned in planned_runs if not planned.finished], dry_run):
            self.console.warn_if_silent(warning)

    def print_plan(self, cohorts: Sequence[PlannedCohort], num_workers: int) -> None:
        """Print the cohorts in the order in which they will start, with the memory and time that each will need.

        Args:
            cohorts: the planned cohorts.
            num_workers: how many of them train at the same time.
        """
        if not cohorts:
            return
        are_rough = any(cohort.costs is not None and cohort.costs.are_rough for cohort in cohorts)
        at_most = "roughly" if are_rough else "at most"
        all_values = distinguishing_values(cohorts)
        keys = list(all_values[0])
        names = short_names(keys)
        table = Table(box=None, pad_edge=False)
        table.add_column("cohort")
        for name in ("runs", "image streams", "memory", at_most):
            table.add_column(name, justify="right")
        for key in keys:
            table.add_column(escape(names[key]), overflow="fold")
        for i, (cohort, values) in enumerate(zip(cohorts, all_values, strict=True), 1):
            if i <= MAX_PLAN_ROWS:
                memory, duration = _format_bytes(cohort.memory_bytes), _format_duration(cohort.seconds)
                runs, streams = str(len(cohort.runs)), str(cohort.num_streams)
                table.add_row(str(i), runs, streams, memory, duration, *(escape(values[key]) for key in keys))
        self.console.print(table)
        if len(cohorts) > MAX_PLAN_ROWS:
            self.print_line(f"and {len(cohorts) - MAX_PLAN_ROWS} more cohorts")
        for i, cohort in enumerate(cohorts, 1):
            if cohort.problem:
                self.print_line(f"cohort {i} could not be tried: {cohort.problem}")
        if len(cohorts) > 1:
            seconds = forecast_seconds(cohorts, num_workers)
            total = "total time unknown" if seconds is None else f"{at_most} {_format_duration(seconds)}"
            order = f"on {num_workers} workers" if num_workers > 1 else "one after the other"
            self.print_line(f"{len(cohorts)} cohorts, {order}: {total}")
        if are_rough:
            self.print_line("The times are rough: other programs kept the processor busy meanwhile.")

    def report(self, runs: Sequence[Run], finished_before: bool, margin: float | None = None) -> None:
        """Print how the runs ended, where their results are, and what to type next.

        Args:
            runs: the runs, in the order in which they were asked for.
            finished_before: whether all of them had already finished before this command.
            margin: the difference that does not matter, in the unit of the tables; None: that of earlier sweeps.
        """
        if self.is_brief:
            return
        if len(runs) == 1 and runs[0].summary is not None:
            self._report_run(runs[0], runs[0].summary, finished_before)
        elif len(runs) > 1:
            from regexp.comparison.compare import compare_collection  # imports scipy, which training need not wait for
            from regexp.comparison.formats.notebook import show_overview
            from regexp.comparison.formats.terminal import Report
            from regexp.comparison.loading import collect_runs
            from regexp.comparison.tensorboard import advise_on_ticks, prepare_log_directory

            comparison = compare_collection(collect_runs(runs, "the sweep"), margin=margin)
            if isinstance(self.console, PageConsole):
                self.console.page.add(show_overview(comparison))
            else:
                self.console.print()
                Report(self.console).print_overview(comparison)
                self.console.print()
            # The runs of the table and no others, so that TensorBoard's averages are those of the table.
            self._print_curves_command(prepare_log_directory(comparison))
            if (advice := advise_on_ticks(comparison)) is not None:
                self.print_line(f"tick     {advice}")
            self.print_line(f"compare  {next_commands.compare_command([run.directory for run in runs])}")

    def _report_run(self, run: Run, summary: dict[str, Any], finished_before: bool) -> None:
        if finished_before:
            age = time.time() - (run.directory / "summary.json").stat().st_mtime
            self.print_line(f"Finished {format_age(age)} ago; force=true trains it again.")
        if isinstance(self.console, PageConsole):
            self.console.page.add(make_run_results(run))
        else:
            self.console.print()
            self.console.print(_scores_table(run, summary))
        if summary["status"] == "diverged":
            self.print_line(
                f"Diverged in epoch {summary['epochs']}: the loss is not finite at a learning rate "
                f"of {summary['lr']:g}. Try a smaller optimizer.lr, or optimizer.clip_norm=1."
            )
        if summary["validation"] == "test":
            self.print_line("Validated on the test set, as in the lesson, so there is no separate test score.")
        if not isinstance(self.console, PageConsole):
            self.console.print()
        self.print_line(f"results  {next_commands.relative_path(run.directory)}")
        if run.tags:
            self.print_line(f"tags     {', '.join(run.tags)}")
        if not finished_before and not self.console.quiet:
            from regexp.runs.tensorboard.hparams_columns import (
                refresh_columns,
            )  # importing protocol buffers takes 0.2 s

            refresh_columns(run.directory.parent)
        logs = make_current_logdir(run.directory.parent.parent)
        self._print_curves_command(logs)
        if speaks_python():
            self.print_line(f"load     {next_commands.load_call(run.directory)}")
        elif not any(text.startswith(PYTHON_PREFIX) for text in map(str, run.config.values())):  # only Python has it
            self.print_line(f"try      {next_commands.command_prefix()}regexp {_suggest_overrides(run)}")

    def _print_curves_command(self, logs: Path) -> None:
        """Print what shows a directory of logs in TensorBoard, in a notebook as its magic command."""
        command = next_commands.tensorboard_command(logs)
        if isinstance(self.console, PageConsole):
            command = f"%reload_ext tensorboard\n         %{command.removeprefix(next_commands.command_prefix())}"
        self.print_line(f"curves   {command}")


def _scores_table(run: Run, summary: dict[str, Any]) -> Table:
    """Return a table of the losses and accuracies of the epoch whose weights the run keeps."""
    scores = tabulate_scores(run, summary)
    table = Table(title=scores.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for column in scores.columns:
        table.add_column(column, justify="right")
    for name, values in scores.rows.items():
        table.add_row(name, *values)
    return table


def _suggest_overrides(run: Run) -> str:
    """Return the words of the comparison that a newcomer would make next.

    That is the run with another normalization or, where its model has none, with more seeds.
    """
    words = sys.argv[1:] if Path(sys.argv[0]).name in ("regexp", "__main__.py") else run.record["overrides"]
    if {"-m", "--multirun"} & set(words):  # the launcher trains run by run
        words = run.record["overrides"]
    kept_words = [word for word in words if not word.startswith(("normalization", "force"))]
    if not issubclass(OPTIONS["model"][run.config["model"]], NetworkConfig):
        return join_words(["-m", *(word for word in kept_words if not word.startswith("seed=")), "seed=0,1,2"])
    normalization = "layer" if run.config.get("normalization") == "batch" else "batch"  # run.json may be damaged
    return join_words([*kept_words, f"normalization={normalization}"])


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
