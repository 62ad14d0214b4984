"""The settings of a run's loss, from its configuration and the labels that it trains on."""

from dataclasses import fields
from functools import lru_cache

from torch import Tensor

from regexp.config.schemas.loss import LossConfig
from regexp.training.losses.class_weights import balance_classes
from regexp.training.losses.training_loss import LossSettings


def make_loss_settings(loss: LossConfig, labels: Tensor, num_classes: int) -> LossSettings:
    """Return the settings of a run's loss.

    Args:
        loss: its keys.
        labels: [N], the labels that the run trains on, wrong ones included: these are balanced.
        num_classes: the number of classes.
    """
    changes, penalties = (
        {item.metadata[kind]: getattr(loss, item.name) for item in fields(loss) if kind in item.metadata}
        for kind in ("change", "penalty")
    )
    class_weights = _balance_once(labels, num_classes) if loss.class_weights == "balanced" else None
    return LossSettings(changes, penalties, loss.label_smoothing, class_weights)


_balance_once = lru_cache(maxsize=16)(balance_classes)  # runs with the same labels share one tensor
