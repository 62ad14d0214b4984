"""The check of metrics of the user's own."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf

from regexp.config.constraints import can_convert, describe_wrong_type
from regexp.config.keys import Key, closest_match, list_schema_keys
from regexp.config.metric_registry import METRICS, MONITORS, list_metrics, list_monitors
from regexp.config.schema import Config, flatten
from regexp.config.schemas.early_stopping import GeneralizationLossConfig
from regexp.config.schemas.metrics import UserMetricConfig
from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean, format_value

# Words that already mean something where metrics are shown.
_RESERVED_NAMES = (*METRICS, "objective", "lr", "seconds", "gap", "epoch", "epochs", "best_epoch", "gradient_norm")


def make_metric(name: str, node: Any) -> UserMetricConfig:
    """Return a metric of the user's own as a typed object.

    Args:
        name: its name.
        node: the value of metrics.NAME in the configuration.

    Raises:
        ConfigError: lists every problem of the metric.
    """
    key = f"metrics.{name}"
    if name in _RESERVED_NAMES:
        raise ConfigError(f"{key}: there is a {name} already; give your metric another name")
    if not (name.isidentifier() and name.isascii()):
        raise ConfigError(f"{key}: a name consists of letters, digits and _, and does not begin with a digit")
    if not isinstance(node, dict):
        raise ConfigError(f"{key}={format_value(node)}: must be a mapping of keys; type {key}.target=FILE.py:NAME")
    schema_keys = {schema_key.name: schema_key for schema_key in list_schema_keys(UserMetricConfig(), f"{key}.")}
    problems = list(_find_problems(key, node, schema_keys))
    if node.get("target") is None and not problems:
        problems.append(f"{key}: needs a function or class; type {key}.target=FILE.py:NAME")
    if problems:
        raise ConfigError("\n".join(problems))
    metric = OmegaConf.to_object(OmegaConf.merge(UserMetricConfig, node))
    assert isinstance(metric, UserMetricConfig)
    return metric


def _find_problems(key: str, node: dict[str, Any], schema_keys: dict[str, Key]) -> Iterator[str]:
    """Yield the problems of the keys of a metric, whose dotted key this is."""
    names = [item.name for item in fields(UserMetricConfig)]
    for name, value in node.items():
        schema_key = schema_keys.get(f"{key}.{name}")
        if schema_key is None:
            match = closest_match(str(name), names)
            suggestion = did_you_mean([f"{key}.{match}" if match else f"{key}.options.{name}"])
            yield f"{key}.{name}: there is no such key{suggestion}"
        elif name == "options" and not isinstance(value, dict):
            yield f"{key}.options={format_value(value)}: must be a mapping; type {key}.options.NAME=VALUE"
        elif name != "options" and not can_convert(value, schema_key):
            yield describe_wrong_type(f"{key}.{name}", value, schema_key)


def find_monitor_problem(config: Config) -> Iterator[str]:
    """Yield the problem of an early_stopping.monitor that is no metric of this configuration, or does not suit it."""
    monitor, needs_loss = config.early_stopping.monitor, isinstance(config.early_stopping, GeneralizationLossConfig)
    if monitor in MONITORS and not needs_loss:  # without metrics of the user's own; the rest takes longer
        return
    monitors = list_monitors(list_metrics(flatten(config)))
    if monitor not in monitors:
        match = closest_match(monitor, list(monitors))
        suggestion = did_you_mean([f"early_stopping.monitor={match}"] if match else [])
        yield f"early_stopping.monitor={monitor}: must be one of {', '.join(monitors)}{suggestion}"
    elif needs_loss and monitors[monitor].better > 0:
        yield (
            f"early_stopping.monitor={monitor} with early_stopping={config.early_stopping.name}: its formula needs a "
            "loss, of which lower values are better; use early_stopping.monitor=val_loss"
        )
