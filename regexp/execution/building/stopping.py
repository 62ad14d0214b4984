"""The rule that ends a run early, from its configuration."""

import math

from regexp.config.schemas.early_stopping import EarlyStoppingConfig, GeneralizationLossConfig, ProgressConfig
from regexp.training.early_stopping import StoppingRule


def make_stopping_rule(config: EarlyStoppingConfig) -> StoppingRule:
    """Return the rule of a run, given its keys."""
    patience = math.inf if config.patience is None else config.patience
    if isinstance(config, ProgressConfig):
        return StoppingRule(patience, config.min_delta, max_quotient=config.alpha, strip=config.strip)
    if isinstance(config, GeneralizationLossConfig):
        return StoppingRule(patience, config.min_delta, max_generalization_loss=config.alpha)
    return StoppingRule(patience, config.min_delta)
