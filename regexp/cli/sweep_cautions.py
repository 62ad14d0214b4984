"""Doubtful sweeps: several values of a key that cannot change a result are one run."""

from collections.abc import Iterator, Sequence

from regexp.config.words.hydra_words import make_hydra_word
from regexp.config.words.parsing import is_readable, parse_override
from regexp.runs.identity import IGNORED_KEYS

# Keys that change no result but where a run is stored, or which data it reads.
_DISTINGUISHING_KEYS = ("name", "data.root", "data.path")


def find_repeated_runs(overrides: Sequence[str]) -> Iterator[str]:
    """Yield a caution for each override of a sweep whose values are one run.

    Args:
        overrides: the overrides as they were typed.
    """
    for typed in overrides:
        text = make_hydra_word(typed, multirun=True)
        if not is_readable(text) or not parse_override(text).is_sweep_override():
            continue
        key = parse_override(text).key_or_group
        if key in IGNORED_KEYS and key not in _DISTINGUISHING_KEYS:
            yield (
                f"{typed}: {key} decides no result, so these are one run, which is trained once; "
                f"to train it for each value, run one command for each, with another name=NAME"
            )
