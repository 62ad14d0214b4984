"""The study of a search, held by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna import Study

from regexp.errors import RunBusy
from regexp.execution.searching.search_plan import SearchPlan
from regexp.execution.terminal import Terminal
from regexp.runs.identity import Identity
from regexp.runs.reserving.claims import Claims
from regexp.search.journal import repair_journal
from regexp.search.samplers import make_pruner
from regexp.search.study import IDENTITY, open_study
from regexp.utils.processes import typed_command
from regexp.utils.storage_errors import explain_storage_errors


@contextmanager
def hold_study(plan: SearchPlan, terminal: Terminal) -> Iterator[tuple[Study, Path]]:
    """Open the study of a search for this process alone, and return it with its file; it goes on where it exists.

    Args:
        plan: the plan of the search.
        terminal: where to print that something takes long.

    Raises:
        ConfigError: the study belongs to another search.
        RunError: its file is broken.
        RunBusy: another process runs this search.
        StorageError: its file cannot be written.
    """
    name = plan.settings.study_name or f"search-{plan.identify_study()[:8]}"
    file = plan.experiment / "sweeps" / f"{name}.log"
    with Claims(terminal.print_line) as claims:
        try:
            with explain_storage_errors(plan.experiment):
                claims.acquire(plan.experiment, Identity(f"study {name}", "", ""))
                file.parent.mkdir(parents=True, exist_ok=True)
                if (copy := repair_journal(file)) is not None:
                    terminal.console.print_warning(
                        f"{file} was broken: the search goes on with what could be read before the broken line, and "
                        f"{copy.name} beside it is as the file was; runs that have finished are not trained again"
                    )
                study = open_planned_study(plan, file, name)
        except RunBusy as error:
            raise RunBusy(f"{file}: this search is run by {error}; wait for it, or stop it") from error
        yield study, file


def open_planned_study(plan: SearchPlan, file: Path | None, name: str) -> Study:
    """Return the study of a search.

    Args:
        plan: the plan of the search.
        file: its file; None for a study in memory.
        name: its name.
    """
    facts = {
        IDENTITY: plan.identify_study(),
        "command": typed_command(),
        "objectives": [objective.name for objective in plan.objectives],
        "fixed": list(plan.space.fixed),
        "num_seeds": plan.settings.num_seeds,
    }
    pruner = make_pruner(plan.settings.pruner, plan.max_epochs)
    return open_study(file, name, plan.objectives, pruner, facts)
