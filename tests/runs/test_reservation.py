"""Which runs a command trains, resumes, shows or leaves to others: force=true, missing devices, and busy runs."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.claim_holders import hold_claim
from helpers.commands import SHORT, run_regexp

from regexp import load_run, run, sweep
from regexp.config.compose import compose_jobs
from regexp.errors import DeviceError, RunBusy, RunError
from regexp.execution.execute import SummaryReporter
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import Identity
from regexp.runs.reserving.busy_runs import MAX_BUSY_LINES, add_busy_runs
from regexp.runs.reserving.claims import Claim, Claims
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.reserving.run_index import RunIndex
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.device import available_kinds

DEFAULT = Path("outputs/default")
FORCED = ["force=true", "model.hidden_sizes=[8]", "early_stopping=none"]
# Where a request to stop comes in the first epoch, the first of these has finished and the second has not.
FORCED_SWEEP = [[*FORCED, "epochs=1"], [*FORCED, "epochs=3"]]


def interrupt(monkeypatch: pytest.MonkeyPatch, runs: Sequence[Sequence[str]]) -> None:
    """Train runs, and ask to stop in their first epoch."""
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            sweep(runs, quiet=True)


def forced_ids(overrides: Sequence[Sequence[str]]) -> list[str | None]:
    """Return, for each run, which command with force=true has trained it; None for none."""
    unforced = [[word for word in words if word != "force=true"] for words in overrides]
    return [load_run(planned.directory).record.get("forced", {}).get("id") for planned in plan(unforced)]


def plan(overrides: Sequence[Sequence[str]]) -> list[PlannedRun]:
    """Return the planned runs of these overrides, without writing anything."""
    return plan_runs(compose_jobs(overrides), Path("outputs"))


def test_a_forced_run_that_was_interrupted_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*FORCED, "epochs=3"]
    run(words[1:], quiet=True)
    interrupt(monkeypatch, [words])
    assert len(list(DEFAULT.glob("*.old-*"))) == 1
    resumed = run(words, quiet=True)
    assert len(resumed.record["resumed"]) == 1
    assert [row["epoch"] for row in resumed.metrics] == [1, 2, 3]
    assert len(list(DEFAULT.glob("*.old-*"))) == 1
    assert "resumed" not in run(words, quiet=True).record
    assert len(list(DEFAULT.glob("*.old-*"))) == 2


def test_a_forced_sweep_that_was_interrupted_goes_on_and_a_finished_one_is_trained_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep([words[1:] for words in FORCED_SWEEP], quiet=True)
    assert forced_ids(FORCED_SWEEP) == [None, None]
    interrupt(monkeypatch, FORCED_SWEEP)
    [first_id, second_id] = forced_ids(FORCED_SWEEP)
    assert first_id == second_id is not None
    finished, resumed = sweep(FORCED_SWEEP, quiet=True)
    assert forced_ids(FORCED_SWEEP) == [first_id, first_id]
    assert "resumed" not in finished.record
    assert len(resumed.record["resumed"]) == 1
    assert [row["epoch"] for row in resumed.metrics] == [1, 2, 3]
    sweep(FORCED_SWEEP, quiet=True)
    assert first_id not in forced_ids(FORCED_SWEEP)


def test_another_forced_command_trains_a_finished_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, FORCED_SWEEP)
    before = forced_ids(FORCED_SWEEP)
    run(FORCED_SWEEP[0], quiet=True)
    assert forced_ids(FORCED_SWEEP)[0] != before[0]
    assert forced_ids(FORCED_SWEEP)[1] == before[1]


@pytest.mark.slow
def test_a_forced_sweep_in_batches_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command is a process of its own, with a record of its own."""
    words = ["-m", *FORCED, "epochs=1,3", "hydra.sweeper.max_batch_size=1"]
    monkeypatch.setattr("regexp.execution.launcher._sweep", SweepRecord())
    with monkeypatch.context() as patch:
        patch.setattr("regexp.utils.signals.StopRequest.requested", True)
        with pytest.raises(KeyboardInterrupt):
            run_regexp(monkeypatch, *words)
    before = forced_ids(FORCED_SWEEP)
    monkeypatch.setattr("regexp.execution.launcher._sweep", SweepRecord())
    assert run_regexp(monkeypatch, *words) == 0
    assert forced_ids(FORCED_SWEEP) == before
    monkeypatch.setattr("regexp.execution.launcher._sweep", SweepRecord())
    assert run_regexp(monkeypatch, *words) == 0
    assert before[0] not in forced_ids(FORCED_SWEEP)


@pytest.fixture
def missing_device() -> str:
    """Return a device that this machine lacks."""
    return next(kind for kind in ("cuda", "mps") if kind not in available_kinds())


@pytest.mark.parametrize(
    ("workers", "state"),
    [
        *((1, state) for state in ("nothing", "finished", "interrupted")),
        (2, "interrupted"),
        *(pytest.param(2, state, marks=pytest.mark.slow) for state in ("nothing", "finished")),
    ],
)
def test_a_missing_device_leaves_all_as_it_was(
    state: str, workers: int, missing_device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [[*SHORT, "epochs=2", f"seed={seed}"] for seed in range(workers)]
    if state == "finished":
        sweep(words, quiet=True)
    elif state == "interrupted":
        interrupt(monkeypatch, words)
    files = {path for path in DEFAULT.rglob("*") if path.parent.name != "sweeps"}
    with pytest.raises(DeviceError, match=f"device={missing_device}: not available on this machine"):
        sweep([[*run_words, f"device={missing_device}", "force=true"] for run_words in words], workers=workers)
    assert {path for path in DEFAULT.rglob("*") if path.parent.name != "sweeps"} - {DEFAULT / "sweeps"} == files - {
        DEFAULT / "sweeps"
    }
    assert {recorded.status for recorded in sweep(words, quiet=True)} == {"completed"}


def test_it_is_said_that_another_device_trained_a_finished_run(
    missing_device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run([*SHORT, "device=cpu"])
    assert "whatever device" not in capsys.readouterr().out
    run([*SHORT, "device=cpu"])
    assert "whatever device" not in capsys.readouterr().out
    run([*SHORT, f"device={missing_device}"])
    assert "A finished run is shown whatever device trained it, here cpu; force=true trains" in capsys.readouterr().out


def test_a_sweep_goes_on_without_the_runs_that_are_busy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In each batch, one run is busy."""
    words = ["-m", *SHORT, "seed=range(4)", "hydra.sweeper.max_batch_size=2"]
    seeds = [[*SHORT, f"seed={seed}"] for seed in range(4)]
    identities = [planned.identity for planned in plan(seeds)]
    with hold_claim(DEFAULT, identities[1]) as first, hold_claim(DEFAULT, identities[2]) as second:
        assert run_regexp(monkeypatch, *words) == 5
        out, err = capsys.readouterr()
        assert err.count("1 run is being trained by other processes:\n") == 2
        assert f"  outputs/default/{plan(seeds)[1].directory.name}: process {first} on " in err
        assert f"process {second} on " in err
        assert "2 runs: 1 to train, 1 being trained by other processes" in out
        assert sorted(path.parent.name[:6] for path in DEFAULT.glob("*/summary.json")) == ["seed=0", "seed=3"]
        with pytest.raises(RunBusy, match="2 runs are being trained by other processes"):
            sweep(seeds, quiet=True)
        with pytest.raises(RunBusy, match=rf"seed=1 is being trained by process {first} on .*; wait for it, or stop"):
            run(seeds[1], quiet=True)
        assert run_regexp(monkeypatch, "-m", *SHORT, "seed=0,1", "hydra.launcher.dry_run=true") == 0
        assert "2 runs: 0 to train, 1 already finished, 1 being trained" in capsys.readouterr().out
    assert run_regexp(monkeypatch, *words) == 0
    assert len(list(DEFAULT.glob("*/summary.json"))) == 4


def test_a_failure_has_a_higher_status_than_a_busy_run(monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*SHORT, "optimizer=sgd", "optimizer.lr=1e30,0.1"]
    [_, planned] = plan([[*words[:-1], f"optimizer.lr={lr}"] for lr in ("1e30", "0.1")])
    with hold_claim(DEFAULT, planned.identity):
        assert run_regexp(monkeypatch, "-m", *words) == 3


def test_a_message_lists_some_of_many_busy_runs() -> None:
    runs = plan([[*SHORT, f"seed={seed}"] for seed in range(MAX_BUSY_LINES + 2)])
    for planned in runs:
        object.__setattr__(planned, "trained_by", "process 1 on node3")
    [error] = add_busy_runs([], runs)
    assert str(error).count("process 1 on node3") == MAX_BUSY_LINES
    assert "and 2 more" in str(error)


def test_a_run_that_another_process_took_over_is_written_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    show_epoch = SummaryReporter.show_epoch

    def lose_claims(reporter: SummaryReporter, metrics: Sequence[object]) -> None:
        show_epoch(reporter, metrics)  # type: ignore[arg-type]
        for path in DEFAULT.glob(".claims/*.json"):
            path.unlink()

    monkeypatch.setattr(SummaryReporter, "show_epoch", lose_claims)
    with pytest.raises(RunError, match="gave no sign of life"):
        run([*SHORT, "epochs=3"], quiet=True)
    [directory] = [path.parent for path in DEFAULT.glob("*/run.json")]
    assert len(load_run(directory).metrics) == 1
    assert load_run(directory).status == "unfinished"
    monkeypatch.setattr(SummaryReporter, "show_epoch", show_epoch)
    assert [row["epoch"] for row in run([*SHORT, "epochs=3"], quiet=True).metrics] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_of_commands_that_start_at_the_same_time_exactly_one_trains_each_run(attempt: int) -> None:
    """They spell one run in two ways, so that it has two labels."""
    words = ["model.hidden_sizes=[8]", "early_stopping=none", "epochs=200", f"seed={attempt}"]
    commands = [[sys.executable, "-m", "regexp", *words, f"model.dropout={zero}"] for zero in ("0", "0.0")] * 4
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert sum("epoch 1/200" in out for out, _ in outputs) == 1
    for process, (out, err) in zip(processes, outputs, strict=True):
        is_late = "already" in out or "ago; force=true trains it again" in out
        assert process.returncode == (0 if "epoch 1/200" in out or is_late else 5), err
        assert ("is being trained by process" in err) == (process.returncode == 5)
    [file] = DEFAULT.glob("*/metrics.csv")
    assert [line.partition(",")[0] for line in file.read_text().splitlines()[1:]] == [str(n) for n in range(1, 201)]
    assert [path.name for path in DEFAULT.iterdir()] == [file.parent.name]


def test_a_run_that_ends_while_another_command_begins_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends under another label after the second command has looked for it, and before that claims it."""
    acquire = Claims.acquire

    def train_before(claims: Claims, experiment: Path, identity: Identity) -> Claim:
        monkeypatch.setattr(Claims, "acquire", acquire)
        run(["model.dropout=0.0", *SHORT], quiet=True)
        return acquire(claims, experiment, identity)

    monkeypatch.setattr(Claims, "acquire", train_before)
    shown = run([*SHORT, "model.dropout=0"], quiet=True)
    assert list(DEFAULT.iterdir()) == [shown.directory]
    assert shown.directory.name.startswith("dropout=0,")


def test_a_directory_is_not_set_aside_while_another_process_trains_the_run_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The data have changed since that run began, so it is another one."""
    interrupt(monkeypatch, [SHORT])
    [planned] = plan([SHORT])
    monkeypatch.setattr(
        "regexp.runs.reserving.plan.identify",
        lambda config, fingerprint: replace(planned.identity, data="changed"),
    )
    with hold_claim(DEFAULT, planned.identity) as pid:
        with pytest.raises(RunBusy, match=f"is being trained by process {pid} "):
            run(SHORT, quiet=True)
        assert load_run(planned.directory).record["identity"]["data"] == planned.identity.data
    assert list(DEFAULT.glob("*.old-*")) == []


def test_a_directory_that_appears_at_the_last_moment_is_left_to_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two configurations have one label."""
    monkeypatch.setattr("regexp.runs.reserving.plan.make_labels", lambda jobs, *_: ["label"] * len(jobs))
    free_directory = RunIndex.free_directory

    def train_after(run_index: RunIndex, directory: Path, config_hash: str, claims: Claims) -> Path:
        free = free_directory(run_index, directory, config_hash, claims)
        monkeypatch.setattr(RunIndex, "free_directory", free_directory)
        run([*SHORT, "seed=1"], quiet=True)
        return free

    monkeypatch.setattr(RunIndex, "free_directory", train_after)
    second = run([*SHORT, "seed=2"], quiet=True)
    assert second.directory.name.startswith("label-")
    assert load_run(DEFAULT / "label").config["seed"] == 1
    assert list(DEFAULT.glob("*.old-*")) == []
