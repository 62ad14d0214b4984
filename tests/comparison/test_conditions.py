"""Keys and values as they are typed: which of those that runs have they name."""

import pytest

from regexp.comparison.conditions import resolve_values
from regexp.errors import ConfigError


@pytest.mark.parametrize(
    ("typed", "existing", "named"),
    [
        ("a,b", ["a", "b", "c"], ["a", "b"]),
        ("a,b", ["a", "a,b"], ["a,b"]),
        ("b c", ["a", "b c"], ["b c"]),
        ("b c,a", ["a", "b c"], ["b c", "a"]),
        ("[64, 32]", ["[64,32]"], ["[64,32]"]),
        ("range(2)", ["0", "1", "2"], ["0", "1"]),
        ("1e-3", ["0.001"], ["0.001"]),
    ],
)
def test_values_with_commas_and_blanks_are_found(typed: str, existing: list[str], named: list[str]) -> None:
    assert resolve_values(typed, existing, "condition") == named


def test_a_condition_within_a_value_is_told() -> None:
    with pytest.raises(ConfigError, match="the values are none, batch; every key needs a condition with a flag"):
        resolve_values("none,dropout=0", ["none", "batch"], "condition")
