"""Keys that are added later, at values with which they do nothing: older runs are like newer ones."""

from types import SimpleNamespace
from typing import cast

import pytest

from regexp.config.fields import iterate_fields
from regexp.config.schema import OPTIONS, Config, flatten
from regexp.runs.run import Run
from regexp.runs.run_record import read_configuration


def record(config: dict[str, object]) -> Run:
    """Return a run that has recorded a flat configuration."""
    return cast(Run, SimpleNamespace(record={"config": config, "identity": {"data": "fingerprint"}}))


@pytest.mark.parametrize(("group", "option"), [(group, option) for group in OPTIONS for option in OPTIONS[group]])
def test_a_run_without_added_keys_has_the_configuration_of_a_newer_one(group: str, option: str) -> None:
    config = Config(**{group: OPTIONS[group][option]()})
    newer = flatten(config)
    idle_keys = {
        key.removesuffix(".name")
        for key, value, metadata in iterate_fields(config)
        if value == metadata.get("omitted", ...)
    }
    assert {"mixing", "averaging"} & idle_keys
    older = {key: value for key, value in newer.items() if key not in idle_keys}
    assert len(older) < len(newer)
    assert read_configuration(record(older)) == read_configuration(record(newer))
