"""Sweeps whose GPU stops working."""

from pathlib import Path

import pytest
import torch
from helpers.commands import SHORT, read_summaries, run_regexp

from regexp.training.cohort import Cohort

WORDS = ["-m", *SHORT, "normalization=none,batch", "seed=0,1", "hydra.launcher.workers=1"]


def test_a_lost_gpu_ends_the_sweep_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """CUDA repeats such an error at every further operation, so the cohorts that follow would fail as well."""
    forward, failures = Cohort.forward, []

    def lose_gpu(self: Cohort, images: torch.Tensor) -> torch.Tensor:
        if self.epoch == 2:
            failures.append(self)
            raise RuntimeError(
                "CUDA error: an illegal memory access was encountered\nCompile with device-side assertions"
            )
        return forward(self, images)

    with monkeypatch.context() as patch:
        patch.setattr(Cohort, "forward", lose_gpu)
        assert run_regexp(monkeypatch, *WORDS) == 4
    assert len(failures) == 1
    assert len(list(Path("outputs").rglob("failure.json"))) == 2
    message = capsys.readouterr().err
    assert message.count("the GPU stopped working (CUDA error: an illegal memory access was encountered)") == 1
    assert "Traceback" not in message
    assert run_regexp(monkeypatch, *WORDS) == 0
    assert len(read_summaries()) == 4
    assert "resumes after epoch 1" in "".join(path.read_text() for path in Path("outputs").rglob("run.log"))
