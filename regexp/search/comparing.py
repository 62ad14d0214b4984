"""A search as regexp-compare shows it: its best trials, the importance of its keys, and Optuna's plots."""

from collections.abc import Iterator
from pathlib import Path

import optuna

from regexp.comparison.formats.terminal import Report
from regexp.comparison.formats.text_table import TextTable
from regexp.search.findings import count_outcomes
from regexp.search.outcomes import COMPLETE
from regexp.search.plots import draw_plots
from regexp.search.study import load_study, quiet_optuna
from regexp.search.summary import describe_study, list_warnings, tabulate_best
from regexp.utils.storage_errors import explain_storage_errors

# Fewer complete trials say nothing about the importance of keys.
_MIN_TRIALS = 4
# So many of the best trials are listed.
_MAX_ROWS = 10


def print_search(report: Report, file: Path, is_confirmed: bool, directory: Path | None) -> None:
    """Print what a search has found, and write its plots.

    Args:
        report: where to print.
        file: the file of its study.
        is_confirmed: whether its best have been trained with other seeds.
        directory: where plots go; None for none.

    Raises:
        RunError: the file is gone or broken.
        StorageError: a plot cannot be written.
    """
    with quiet_optuna():
        study = load_study(file)
        report.print_line(str(study.user_attrs.get("command", file)))
        report.print_line(describe_study(study))
        for table in (tabulate_best(study, _MAX_ROWS), tabulate_importance(study)):
            if table is not None and table.rows:
                report.console.print()
                report.console.print(f"[bold]{table.title}[/bold]")
                report.print_rows(table)
        report.console.print()
        report.print_notes(list(list_warnings(study, is_confirmed)))
        report.console.print()
        if directory is not None:
            for path in _write_plots(study, directory):
                report.print_aside(f"written  {path}")


def tabulate_importance(study: optuna.Study) -> TextTable | None:
    """Return a table of the importance of each key (PED-ANOVA, Watanabe et al. 2023); None with too few trials."""
    if count_outcomes(study).get(COMPLETE, 0) < _MIN_TRIALS:
        return None
    importances = optuna.importance.get_param_importances(study)
    rows = [[name.lstrip("+"), f"{100 * share:.0f} %"] for name, share in importances.items()]
    return TextTable("importance of keys, among the better trials", ["key", "share"], rows)


def _write_plots(study: optuna.Study, directory: Path) -> Iterator[Path]:
    """Write Optuna's plots of a study to a directory as PNG, and yield their paths."""
    with explain_storage_errors(directory, "choose another directory: --output DIR"):
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in draw_plots(study):
            path = directory / f"{name}.png"
            path.write_bytes(content)
            yield path
