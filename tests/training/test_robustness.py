"""The accuracy of K runs on corrupted images against a plain loop over plain models, alone and in a cohort."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from helpers.cohorts import DOUBLE, QuietReporter, make_configured_cohort

from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS, corrupt, draw_corruptions
from regexp.config.compose import compose_job
from regexp.config.metric_registry import CORRUPTION_METRICS
from regexp.config.schema import Config
from regexp.config.schemas.evaluation import EvaluationConfig
from regexp.data.dataset import Images, scale
from regexp.models.initialization import initialize_stacked
from regexp.models.mlp import MLP, MLPArchitecture
from regexp.models.normalization import Normalization
from regexp.training import evaluation
from regexp.training.loop import train
from regexp.training.measures.robustness import measure_robustness
from regexp.training.member import FinalMeasures
from regexp.utils.device import choose_backend
from regexp.utils.signals import StopRequest

RUNS, IMAGE_COUNT, CLASSES = 3, 17, 4
ARCHITECTURE = MLPArchitecture(75, (9,), CLASSES, "relu", Normalization("batch"))
OFF = EvaluationConfig()


@pytest.mark.parametrize("images_at_once", [0, 4, 17])
def test_it_equals_a_plain_loop_in_chunks_of_any_size(images_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLP(ARCHITECTURE, {"dropout": torch.zeros(RUNS, dtype=torch.float64)}).double()
    initialize_stacked(model, ARCHITECTURE.init, range(RUNS))
    images = torch.randint(256, (IMAGE_COUNT, 3, 5, 5), dtype=torch.uint8)
    split = Images(images, torch.randint(CLASSES, (IMAGE_COUNT,)))
    monkeypatch.setitem(evaluation.BYTES_AT_ONCE, "cpu", images_at_once * 8 * (8 * 75 + RUNS * 13))
    results = measure_robustness(model, RUNS, split, choose_backend("cpu", None, "float64", None))
    draws, pixels = draw_corruptions(IMAGE_COUNT, 3, 5, 5), scale(images, torch.float64)
    for k, robustness in enumerate(results):
        plain_model = ARCHITECTURE.make_module().double().eval()
        plain_model.load_state_dict(model.run_state(k))
        means = []
        for i, name in enumerate(CORRUPTIONS):
            accuracies = []
            for level in range(NUM_STRENGTHS):
                corrupted = corrupt(pixels, name, level, draws)
                correct = [int(plain_model(image[None]).argmax()) for image in corrupted]
                accuracies.append((torch.tensor(correct) == split.labels).double().mean().item())
                assert torch.allclose(robustness.example[i, level], corrupted[0])
            assert robustness.by_corruption()[name] == pytest.approx(accuracies)
            means.append(sum(accuracies) / NUM_STRENGTHS)
        assert robustness.values() == {
            "corrupted_accuracy": pytest.approx(sum(means) / len(means)),
            "worst_corruption_accuracy": pytest.approx(min(means)),
        }
        assert robustness.values().keys() == CORRUPTION_METRICS.keys()


def train_together(configs: Sequence[Config]) -> list[FinalMeasures]:
    cohort, recorders = make_configured_cohort(configs)
    train(cohort, QuietReporter(), StopRequest())
    return [recorder.final_measures for recorder in recorders]


@pytest.mark.parametrize("model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_a_run_has_the_same_robustness_alone_and_beside_runs_that_do_not_ask(model: str) -> None:
    """One keeps its best weights, another its last ones; one does not ask, and one leaves before the others."""
    size = "model.hidden_sizes=[7]" if model == "mlp" else "model.channels=[3]"
    overrides = [DOUBLE, f"model={model}", size, "data.train_size=60", "optimizer.lr=0.3", "early_stopping=none"]
    config = compose_job([*overrides, "normalization=batch", "epochs=3"]).config
    on, keeps_last = EvaluationConfig(corruptions=True), replace(config.early_stopping, restore_best=False)
    configs = [
        replace(config, seed=1, evaluation=on),
        replace(config, seed=2),
        replace(config, seed=3, evaluation=on, early_stopping=keeps_last),
        replace(config, seed=4, evaluation=on, epochs=2),
    ]
    together = train_together(configs)
    assert together[1].robustness is None
    assert together[1].test is not None
    assert not set(CORRUPTION_METRICS) & set(together[1].test)
    for k in (0, 2, 3):
        [alone], [without] = train_together([configs[k]]), train_together([replace(configs[k], evaluation=OFF)])
        assert alone.robustness is not None
        assert together[k].robustness is not None
        assert torch.equal(alone.robustness.accuracies, together[k].robustness.accuracies)
        # It is measured with the weights that the run keeps, and changes no other figure.
        assert alone.test is not None
        assert without.test is not None
        assert alone.test == {**without.test, **alone.robustness.values()}
