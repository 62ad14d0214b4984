"""Jobs that are one run and ask for different things, in one command and one command after the other: all is kept."""

import json
from dataclasses import asdict
from itertools import permutations
from pathlib import Path

import pytest

from regexp.config.compose import compose_job
from regexp.config.job import Job
from regexp.config.schema import flatten
from regexp.runs.directories import PlannedRun
from regexp.runs.files.kept_logits import PREDICTIONS
from regexp.runs.identity import IGNORED_KEYS
from regexp.runs.reserving.asked_measures import MEASURE_KEYS, list_asked
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.run import Run

BASE = ["model.hidden_sizes=[3]", "data.train_size=96", "data.val_size=32", "epochs=1", "early_stopping=none"]
WORDS = {key: f"{key}=true" for key in MEASURE_KEYS}
# What a command asks for, or says of its results, is no part of a run's identity. These keys ask for nothing.
OTHER_KEYS = {"name", "tags", "force", "keep", "keep_checkpoints"}


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    return {"": compose_job(BASE), **{key: compose_job([*BASE, word]) for key, word in WORDS.items()}}


def plan(jobs: list[Job], outputs: Path) -> PlannedRun:
    """Return the planned run of jobs, as a command reserves it that is interrupted at once."""
    with Claims(announce=print) as claims:
        planned_runs = plan_runs(jobs, outputs, claims)
    assert len(set(planned_runs)) == 1
    assert plan_runs(jobs, outputs)[0].job.config == planned_runs[0].job.config  # a dry run looks for the same
    return planned_runs[0]


def check(planned: PlannedRun, keys: set[str]) -> None:
    """Check that a planned run and its record ask for these things, and that the overrides in the record do so too."""
    record = json.loads((planned.directory / "run.json").read_text())
    composed_again = compose_job(record["overrides"])
    for config in (flatten(planned.job.config), record["config"], flatten(composed_again.config)):
        assert set(list_asked(config)) == keys
    assert record["config"] == json.loads(json.dumps(flatten(composed_again.config)))
    assert asdict(planned.identity) == record["identity"]


@pytest.mark.parametrize(
    "order", list(permutations(["", *MEASURE_KEYS])), ids=lambda order: "-".join(key or "nothing" for key in order)
)
def test_jobs_of_one_command_get_what_any_of_them_asks_for(
    jobs: dict[str, Job], order: tuple[str, ...], tmp_path: Path
) -> None:
    planned = plan([jobs[key] for key in order], tmp_path)
    check(planned, set(MEASURE_KEYS))
    for name, section in (("config.yaml", "corruptions: true"), ("overrides.yaml", "predictions=true")):
        assert section in (planned.directory / ".hydra" / name).read_text()


def test_commands_that_resume_a_run_get_what_any_of_them_asked_for(jobs: dict[str, Job], tmp_path: Path) -> None:
    asked: set[str] = set()
    for key in ("", *MEASURE_KEYS, "", *MEASURE_KEYS):
        asked |= {key} - {""}
        check(plan([jobs[key]], tmp_path), asked)
    assert len(list((tmp_path / "default").glob("*/run.json"))) == 1


def test_a_value_that_was_typed_gives_way(tmp_path: Path) -> None:
    typed = compose_job([*BASE, "predictions=false"])
    check(plan([typed, compose_job([*BASE, "predictions=true"])], tmp_path), {"predictions"})


def test_every_key_that_asks_for_more_is_among_them(jobs: dict[str, Job]) -> None:
    keys_of_the_machine = {key for key in IGNORED_KEYS if key.startswith(("device", "data."))}
    assert IGNORED_KEYS - keys_of_the_machine == OTHER_KEYS | set(MEASURE_KEYS)
    assert set(MEASURE_KEYS) <= set(flatten(jobs[""].config))


@pytest.mark.slow
def test_the_files_of_both_are_there_at_the_end(tmp_path: Path) -> None:
    from regexp import sweep

    sweep([[*BASE, "predictions=true"], [*BASE, "evaluation.corruptions=true"]], tmp_path, quiet=True)
    [directory] = [path.parent for path in tmp_path.glob("default/*/run.json")]
    summary = Run(directory).summary
    assert summary is not None
    assert "corruptions" in summary
    assert (directory / PREDICTIONS).exists()
