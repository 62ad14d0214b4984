"""Claims: of several processes exactly one trains a run, and exactly one takes over what a dead one left."""

import json
import multiprocessing
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.claim_holders import hold_claim

from regexp.errors import RunBusy, RunError
from regexp.runs.identity import Identity
from regexp.runs.reserving import claims as claims_module
from regexp.runs.reserving import heartbeats
from regexp.runs.reserving.claims import Claims, claim_directory, find_holder
from regexp.utils.processes import describe_this_process

EXPERIMENT = Path("outputs/default")
IDENTITY = Identity("config", "data", "code")
PROCESSES = 8


def leave_dead_claim(process: dict[str, Any]) -> Path:
    """Leave the claim of a process that has ended without releasing it, and return its heartbeat."""
    directory = claim_directory(EXPERIMENT, IDENTITY)
    directory.mkdir(parents=True)
    (directory / "holder").touch()
    heartbeat = directory.parent / "holder.json"
    heartbeat.write_text(json.dumps({**describe_this_process(), **process}))
    return heartbeat


@contextmanager
def beat(heartbeat: Path, offset: float) -> Iterator[None]:
    """Beat as a process does whose clock is ahead by so many seconds."""
    ended = threading.Event()

    def beat_once() -> None:
        now = time.time() + offset
        os.utime(heartbeat, (now, now))

    def keep_beating() -> None:
        while not ended.wait(0.02):
            beat_once()

    beat_once()
    thread = threading.Thread(target=keep_beating)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def race(start: Any, end: Any, results: Any, rounds: int) -> None:
    """Claim one run in each round at the same time as other processes, and report whether that succeeded."""
    try:
        for number in range(rounds):
            identity = Identity(f"config{number}", "data", "code")
            with Claims(print) as claims:
                start.wait()
                with suppress(RunBusy):
                    claims.acquire(EXPERIMENT, identity)
                    results.put(number)
                end.wait()  # until all have tried
    except Exception:
        for barrier in (start, end):
            barrier.abort()  # the others do not wait for this process
        raise


def test_exactly_one_of_several_processes_gets_a_claim() -> None:
    """In half of the rounds a dead process holds it."""
    rounds = 40
    with subprocess.Popen(["true"]) as ended_process:
        pass
    for number in range(0, rounds, 2):
        directory = claim_directory(EXPERIMENT, Identity(f"config{number}", "data", "code"))
        directory.mkdir(parents=True)
        (directory / "holder").touch()
    record = {**describe_this_process(), "pid": ended_process.pid}
    (EXPERIMENT / ".claims" / "holder.json").write_text(json.dumps(record))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # imported once, and not by each process
    start, end, results = context.Barrier(PROCESSES), context.Barrier(PROCESSES), context.Queue()
    processes = [context.Process(target=race, args=(start, end, results, rounds)) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    winners = [results.get() for _ in range(rounds)]
    assert sorted(winners) == list(range(rounds))
    assert results.empty()
    assert list(EXPERIMENT.iterdir()) == []  # no claim, no heartbeat and no draft is left


def test_a_claim_is_held_against_others_in_the_same_process() -> None:
    with Claims(print) as claims, Claims(print) as others:
        claim = claims.acquire(EXPERIMENT, IDENTITY)
        assert claims.acquire(EXPERIMENT, IDENTITY) == claim
        with pytest.raises(RunBusy, match=f"process {os.getpid()} on "):
            others.acquire(EXPERIMENT, IDENTITY)
        others.acquire(EXPERIMENT, Identity("config", "other", "code"))
        with pytest.raises(RunBusy):  # whatever its code, it has the same directory
            others.acquire(EXPERIMENT, Identity("config", "data", "other"))
    with Claims(print) as others:
        others.acquire(EXPERIMENT, IDENTITY)


def test_a_process_that_could_not_release_a_claim_releases_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "INTERVAL_SECONDS", 0.05)
    with monkeypatch.context() as patch, Claims(print) as claims:
        heartbeat = claims.acquire(EXPERIMENT, IDENTITY).heartbeat
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: os.unlink(path / "read-only"))
    assert heartbeat.exists()
    with Claims(print) as others:  # in the same process
        others.acquire(EXPERIMENT, IDENTITY)
    deadline = time.monotonic() + 10
    while heartbeat.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not heartbeat.exists()  # so that other processes can claim the run


def test_a_claim_that_is_held_for_a_moment_is_released() -> None:
    with Claims(print) as claims, Claims(print) as others:
        with claims.hold(EXPERIMENT, IDENTITY), pytest.raises(RunBusy):
            others.acquire(EXPERIMENT, IDENTITY)
        others.acquire(EXPERIMENT, IDENTITY)
        with others.hold(EXPERIMENT, IDENTITY):
            pass
        with pytest.raises(RunBusy):  # it was held before, and stays held
            claims.acquire(EXPERIMENT, IDENTITY)


def test_the_claim_of_a_killed_process_of_this_machine_is_taken_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "watch", lambda heartbeat: pytest.fail("there is nothing to wait for"))
    with Claims(print) as claims:
        with hold_claim(EXPERIMENT, IDENTITY) as pid, pytest.raises(RunBusy, match=f"process {pid} "):
            claims.acquire(EXPERIMENT, IDENTITY)
        claims.acquire(EXPERIMENT, IDENTITY)


@pytest.mark.parametrize("offset", [-3600, 0, 3600])
def test_a_process_on_another_machine_is_alive_while_its_heart_beats_whatever_its_clock(
    offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "STALE_SECONDS", 1.0)
    heartbeat = leave_dead_claim({"boot": "another", "host": "node3", "pid": 7})
    messages: list[str] = []
    with Claims(messages.append) as claims, beat(heartbeat, offset):
        for _ in range(2):  # what is alive is not watched twice
            with pytest.raises(RunBusy, match="process 7 on node3"):
                claims.acquire(EXPERIMENT, IDENTITY)
    assert len(messages) == (offset != 0)


def test_what_dead_processes_have_left_is_removed_with_the_last_claim() -> None:
    other = Identity("other", "data", "code")
    with hold_claim(EXPERIMENT, IDENTITY):
        pass
    with hold_claim(EXPERIMENT, other):
        with Claims(print) as claims:
            claims.make_draft(EXPERIMENT)
        assert [path.name for path in EXPERIMENT.glob(".claims/*/")] != []
        assert find_holder(EXPERIMENT, other) != ""
        assert not claim_directory(EXPERIMENT, IDENTITY).exists()
    with Claims(print) as claims:
        claims.make_draft(EXPERIMENT)
    assert list(EXPERIMENT.iterdir()) == []


@pytest.mark.parametrize("offset", [-3600, -2, 3600])
def test_a_process_on_another_machine_is_dead_once_its_heart_does_not_beat_for_a_while(
    offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "STALE_SECONDS", 0.5)
    heartbeat = leave_dead_claim({"boot": "another", "host": "node3", "pid": 7})
    now = time.time()
    os.utime(heartbeat, (now + offset, now + offset))
    with Claims(print) as claims:
        claims.acquire(EXPERIMENT, IDENTITY)
        assert not heartbeat.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_process_whose_record_cannot_be_read_is_alive_while_its_heart_beats(
    content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "STALE_SECONDS", 0.5)
    heartbeat = leave_dead_claim({})
    heartbeat.write_text(content)
    with Claims(print) as claims:
        with pytest.raises(RunBusy, match="another process"):
            claims.acquire(EXPERIMENT, IDENTITY)
        os.utime(heartbeat, (0, 0))
        claims.acquire(EXPERIMENT, IDENTITY)


def test_a_process_that_was_declared_dead_notices_it() -> None:
    with Claims(print) as claims:
        claim = claims.acquire(EXPERIMENT, IDENTITY)
        claim.refuse_if_lost()
        claim.heartbeat.unlink()
        with pytest.raises(RunError, match="gave no sign of life"):
            claim.refuse_if_lost()
        with Claims(print) as others:
            others.acquire(EXPERIMENT, IDENTITY)
            heartbeats.touch(claim.heartbeat)
            assert claim.is_lost()  # its heart does not begin to beat again


def test_a_deleted_folder_is_no_lost_claim() -> None:
    with Claims(print) as claims:
        claim = claims.acquire(EXPERIMENT, IDENTITY)
        shutil.rmtree(EXPERIMENT)
        claim.refuse_if_lost()  # writing fails, and says why


def test_the_heart_beats_until_the_claims_are_released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeats, "INTERVAL_SECONDS", 0.02)
    with Claims(print) as claims:
        heartbeat = claims.acquire(EXPERIMENT, IDENTITY).heartbeat
        os.utime(heartbeat, (0, 0))
        assert heartbeats.watch(heartbeat)
        assert find_holder(EXPERIMENT, IDENTITY).startswith(f"process {os.getpid()} on ")
    assert not EXPERIMENT.joinpath(".claims").exists()
    assert find_holder(EXPERIMENT, IDENTITY) == ""


def test_a_claim_in_a_folder_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"), Claims(print) as claims:
        claims.acquire(tmp_path / "file", IDENTITY)


def can_unshare(*options: str) -> bool:
    """Return whether this machine lets a test make namespaces."""
    program = shutil.which("unshare")
    return program is not None and subprocess.run([program, *options, "true"], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--uts"], ["--pid", "--fork", "--kill-child", "--mount-proc"]])
def test_a_container_sees_what_another_one_trains(options: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a host name of its own the processes are the same; with numbers of its own only the heartbeat tells."""
    if not can_unshare(*options):
        pytest.skip(f"needs `unshare {' '.join(options)}`, which this machine does not allow")
    monkeypatch.setattr(heartbeats, "STALE_SECONDS", 2.0)
    with Claims(print) as claims:
        with hold_claim(EXPERIMENT, IDENTITY, "unshare", *options), pytest.raises(RunBusy):
            claims.acquire(EXPERIMENT, IDENTITY)
        if "--pid" in options:
            with pytest.raises(RunBusy):  # for a moment it looks alive
                claims.acquire(EXPERIMENT, IDENTITY)
            for heartbeat in EXPERIMENT.glob(".claims/*.json"):
                os.utime(heartbeat, (0, 0))  # long ago
            claims._living_holders.clear()
        claims.acquire(EXPERIMENT, IDENTITY)
