"""What a search prints at its end: the best trials, what to make of them, and what to type next."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from omegaconf import DictConfig
from optuna import Study

from regexp.comparison.formats.terminal import Report
from regexp.execution.searching.search_plan import SearchPlan
from regexp.execution.terminal import Terminal
from regexp.search.findings import MAX_BEST
from regexp.search.summary import describe_study, list_best_overrides, list_warnings, tabulate_best
from regexp.utils.messages import join_words
from regexp.utils.next_commands import command_prefix, compare_command, relative_path


def print_result(terminal: Terminal, study: Study, is_confirmed: bool) -> None:
    """Print what a search has found.

    Args:
        terminal: where to print.
        study: the study.
        is_confirmed: whether its best are compared with new seeds afterwards.
    """
    report = Report(terminal.console)
    terminal.console.print()
    terminal.print_line(describe_study(study))
    if (table := tabulate_best(study)).rows:
        terminal.console.print()
        report.print_rows(table)
    terminal.console.print()
    report.print_notes(list(list_warnings(study, is_confirmed)))
    terminal.console.print()


def print_next_commands(
    terminal: Terminal, study: Study, file: Path, plan: SearchPlan, confirmed: Sequence[str] | None
) -> None:
    """Print the command of the best configuration, and the commands that show the search.

    Args:
        terminal: where to print.
        study: the study.
        file: its file.
        plan: the plan of the search.
        confirmed: the overrides of the best configuration with new seeds, where some were confirmed.
    """
    best = list_best_overrides(study, 1 if len(study.directions) == 1 else MAX_BEST)
    for overrides in best if confirmed is None else [confirmed]:
        words = [*_list_flags(plan.config), *plan.space.fixed, *overrides]
        terminal.print_line(f"best     {command_prefix()}{join_words(['regexp', *words])}")
    terminal.print_line(f"watch    {join_words(['optuna-dashboard', relative_path(file)])}")
    terminal.print_line(f"compare  {compare_command([file.parent])}")


def _list_flags(config: DictConfig) -> Iterator[str]:
    """Yield the words of a command that say where options and results are, as far as they are not the usual places."""
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            yield from ("--config-dir", str(source.path))
    if str(config.hydra.sweep.dir) != "outputs":
        yield f"hydra.run.dir={config.hydra.sweep.dir}"
