"""Notes on planned runs: what happened, or would, to recorded runs before training starts. Imports no torch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from regexp.config.schema import list_targets
from regexp.runs.directories import PlannedRun, ShorterRun
from regexp.runs.identity import split_code_hash
from regexp.runs.run import Run
from regexp.utils.next_commands import relative_path

# The number of directories that are reported one by one.
MAX_NOTES = 10


def list_notes(planned_runs: Sequence[PlannedRun], dry_run: bool = False) -> list[str]:
    """Return what the user should know about runs before they train, a sentence or two a line.

    That is what trained the finished ones, from where others go on, and what happened (or would) to directories.

    Args:
        planned_runs: all runs of the command.
        dry_run: whether nothing is trained, so that nothing happened yet.
    """
    distinct_runs = list(dict.fromkeys(planned_runs))
    lines = [
        *_describe_other_devices(distinct_runs),
        *list_retrainings(distinct_runs, dry_run),
        *_describe_tags(distinct_runs, dry_run),
        *_describe_measured(distinct_runs, dry_run),
        *_describe_continued(distinct_runs, dry_run),
        *_describe_obstacles(distinct_runs, dry_run),
    ]
    notes = [planned.note for planned in distinct_runs if planned.note]
    lines += notes[:MAX_NOTES]
    if len(notes) > MAX_NOTES:
        lines.append(f"and {len(notes) - MAX_NOTES} more directories like these")
    return lines


def list_retrainings(planned_runs: Sequence[PlannedRun], dry_run: bool = False) -> list[str]:
    """Return which recorded runs are (or would be) trained again because code or data have changed.

    Args:
        planned_runs: all runs of the command.
        dry_run: whether nothing is trained, so that nothing happened yet.
    """
    distinct_runs = list(dict.fromkeys(planned_runs))
    return [*_describe_other_code(distinct_runs, dry_run), *_describe_outdated(distinct_runs, dry_run)]


def _describe_other_devices(planned_runs: Sequence[PlannedRun]) -> Iterator[str]:
    """Yield which other kinds of device trained finished runs for which the user has typed one."""
    kinds: dict[str, None] = {}
    for planned in planned_runs:
        if planned.finished and planned.job.config.device.kind != "auto":
            summary: dict[str, Any] = Run(planned.directory).summary or {}
            kind = str(summary.get("device", "")).partition(" ")[0].partition(":")[0]
            if kind and kind != planned.job.config.device.kind:
                kinds[kind] = None
    if kinds:
        yield (
            f"A finished run is shown whatever device trained it, here {' and '.join(kinds)}; "
            "force=true trains it again."
        )


def _describe_other_code(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield how many finished runs were trained by other code than this, and what happens (or would) to them."""
    other_code = [planned for planned in planned_runs if planned.other_code]
    if not other_code:
        return
    one = len(other_code) == 1
    they, them = ("It", "it") if one else ("They", "them")
    subject = f"{len(other_code)} finished {'run was' if one else 'runs were'} trained by {_name_code(other_code)}"
    if other_code[0].finished:
        yield f"{subject}; keep=true keeps {them}."
    else:
        verb = "would be" if dry_run else "is" if one else "are"
        yield f"{subject}. {they} {verb} set aside and trained again; keep=true keeps {them}."


def _describe_outdated(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield how many runs were trained on data that have changed, or had begun with other code."""
    outdated_runs = [planned.outdated_run for planned in planned_runs if planned.outdated_run]
    num_finished = sum(outdated_run.finished for outdated_run in outdated_runs)
    if num_finished:
        one = num_finished == 1
        subject = f"{num_finished} finished {'run was' if one else 'runs were'} trained on data that have changed since"
        verb = "would be" if dry_run else "is" if one else "are"
        they, them = ("It", "it") if one else ("They", "them")
        yield f"{subject}. {they} {verb} set aside and trained again; the old data bring {them} back."
    changes = [outdated_run.change for outdated_run in outdated_runs if not outdated_run.finished]
    for change, start in (("code", "with other code"), ("data", "on data that have changed since")):
        if count := changes.count(change):
            subject, they = ("1 run", "It") if count == 1 else (f"{count} runs", "They")
            verb = "would start" if dry_run else "starts" if count == 1 else "start"
            yield f"{subject} had begun {start}. {they} {verb} from the beginning."


def _describe_tags(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield which tags finished runs have got (or would)."""
    tagged_runs = [planned for planned in planned_runs if planned.new_tags]
    if tagged_runs:
        tags = list(dict.fromkeys(tag for planned in tagged_runs for tag in planned.new_tags))
        noun = "finished run" if len(tagged_runs) == 1 else "finished runs"
        verb = "would get" if dry_run else "gets" if len(tagged_runs) == 1 else "get"
        words = "the tag" if len(tags) == 1 else "the tags"
        yield f"{len(tagged_runs)} {noun} {verb} {words} {', '.join(tags)}."


def _describe_measured(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield of how many finished runs more is measured (or would be), and of how many it cannot be, and why."""
    if num_measured := sum(planned.adds_measures and planned.is_to_train for planned in planned_runs):
        subject = "1 finished run" if num_measured == 1 else f"{num_measured} finished runs"
        verb = "would be" if dry_run else "is" if num_measured == 1 else "are"
        yield f"{subject} {verb} evaluated on corrupted images with the weights kept; nothing is trained for that."
    obstacles = Counter(planned.unmeasured for planned in planned_runs if planned.unmeasured)
    for obstacle, count in obstacles.items():
        subject = "1 finished run is" if count == 1 else f"{count} finished runs are"
        yield f"{subject} not evaluated on corrupted images ({obstacle}); force=true trains again."


def _describe_continued(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield which runs go on from the end of finished runs of fewer epochs."""
    shorter_runs = [planned.shorter_run for planned in planned_runs if planned.continues and planned.shorter_run]
    if not shorter_runs:
        return
    after = _describe_epochs([shorter_run for shorter_run in shorter_runs if not shorter_run.is_over])
    num_over = sum(shorter_run.is_over for shorter_run in shorter_runs)
    if len(planned_runs) == 1:
        verb = "Would go" if dry_run else "Goes"
        place = relative_path(shorter_runs[0].directory)
        if num_over:
            yield f"{place} stopped early after epoch {shorter_runs[0].epoch}, which more epochs do not change."
        else:
            yield f"{verb} on from {place}, {after}; that run stays as it is."
        return
    if num_going_on := len(shorter_runs) - num_over:
        goes = "would go" if dry_run else "goes" if num_going_on == 1 else "go"
        subject, origin = (
            ("1 run", "a finished run") if num_going_on == 1 else (f"{num_going_on} runs", "finished runs")
        )
        stays = "that run stays as it is" if num_going_on == 1 else "those runs stay as they are"
        yield f"{subject} {goes} on from {origin} of fewer epochs, {after}; {stays}."
    if num_over:
        subject = "1 run has" if num_over == 1 else f"{num_over} runs have"
        yield f"{subject} stopped early with fewer epochs, which more epochs do not change: nothing is left to train."


def _describe_epochs(shorter_runs: Sequence[ShorterRun]) -> str:
    """Return after which epochs runs go on: "after epoch 8", "after epochs 4 to 8"."""
    epochs = sorted({shorter_run.epoch for shorter_run in shorter_runs})
    if len(epochs) < 2:
        return f"after epoch {''.join(map(str, epochs))}"
    return f"after epochs {epochs[0]} to {epochs[-1]}"


def _describe_obstacles(planned_runs: Sequence[PlannedRun], dry_run: bool) -> Iterator[str]:
    """Yield why runs start anew although finished runs of fewer epochs are there, a line for each reason."""
    directories: dict[str, list[str]] = {}
    for planned in planned_runs:
        if planned.is_to_train and planned.shorter_run is not None and planned.shorter_run.obstacle:
            place = relative_path(planned.shorter_run.directory)
            directories.setdefault(planned.shorter_run.obstacle, []).append(place)
    for obstacle, places in directories.items():
        if len(places) == 1:
            verb = "Would start" if dry_run else "Starts"
            yield f"{verb} from the beginning, not from where {places[0]} ended ({obstacle})."
        else:
            verb = "would start" if dry_run else "start"
            origin = "finished runs of fewer epochs"
            yield f"{len(places)} runs {verb} from the beginning, not from where {origin} ended ({obstacle})."


def _name_code(planned_runs: Sequence[PlannedRun]) -> str:
    """Return what has changed since finished runs were trained: the user's own code alone, or other code."""
    targets: set[str] = set()
    for planned in planned_runs:
        if split_code_hash(planned.other_code)[0] != split_code_hash(planned.identity.code)[0]:
            return "other code"
        targets.update(list_targets(planned.job.config))
    return f"another version of {', '.join(sorted(targets))}"
