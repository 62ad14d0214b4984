"""Labels of runs, which name their directories: what a sweep varied comes first. Imports no torch.

A label is a name and decides nothing: runs are found again by their identity.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from regexp.config.job import Job
from regexp.config.schema import OPTIONS, flatten
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS, short_names
from regexp.utils.messages import format_value

# File systems allow 255 bytes for a name, of which a directory that is set aside needs some more. A Chinese character
# has three. What varied may take this many bytes, and with what all runs share a label has MAX_SHARED at most.
MAX_LENGTH, MAX_SHARED = 200, 100
# The lengths to which values are cut, in bytes: the first with which a label fits.
_VALUE_LENGTHS = (48, 32, 20, 12, 8)
# Groups whose options are files, which the configuration does not name.
_FILE_GROUPS = ("augmentation", "experiment")
_TARGET = re.compile(r"(?:^|[{,])\s*_target_:\s*([^,}]+)")


def make_label(job: Job) -> str:
    """Return the label of a run that belongs to no sweep; see `make_labels`."""
    return make_labels([job])[0]


def make_labels(jobs: Sequence[Job], others: Sequence[Job] = (), swept_keys: Collection[str] = ()) -> list[str]:
    """Return a short name for each run of a sweep, safe as a directory's name: "normalization=batch,lr=0.01,seed=1".

    The keys that vary come first, in the order typed, then the seed, and then what all runs share, as far as there is
    room for it. Of a single run all keys come first. Keys that cannot change the result are left out, except the path
    of the user's own data. Dotted keys are shortened (see `short_names`), and numbers are spelled as tables spell them.
    A run with which nothing was changed is called "defaults".

    Args:
        jobs: the jobs of the runs.
        others: jobs of the same sweep whose runs have their labels already.
        swept_keys: the keys that vary as far as the sweep's command says, which may have more batches of jobs.
    """
    changes = [_list_changes(job) for job in [*others, *jobs]]
    texts_by_key: dict[str, dict[str, str]] = {}
    for run_changes in changes:
        for key, text in run_changes.items():
            texts_by_key.setdefault(key, {})[text] = ""
    varied_keys = {
        key
        for key, texts in texts_by_key.items()
        if key in swept_keys or len(texts) > 1 or any(key not in run_changes for run_changes in changes)
    }
    if not varied_keys - {"seed"} and len(changes) == 1:
        varied_keys = set(texts_by_key)
    keys = [key for key in texts_by_key if key != "seed"]
    leading_keys = [*(key for key in keys if key in varied_keys), "seed"]
    order = [*leading_keys, *(key for key in keys if key not in varied_keys)]
    names = short_names([key.removesuffix("._target_") for key in order])
    parts_by_length = [
        {
            key: _name_values(key, names[key.removesuffix("._target_")], texts, length)
            for key, texts in texts_by_key.items()
        }
        for length in _VALUE_LENGTHS
    ]
    return [
        _join_parts([key for key in order if key in run_changes], leading_keys, run_changes, parts_by_length)
        for run_changes in changes[len(others) :]
    ]


def _list_changes(job: Job) -> dict[str, str]:
    """Return what the overrides of a run changed, as text by key in the order typed; "" for a step that is dropped.

    Texts are equal where values are, however they were typed: 1e5 is 100000.
    """
    path_keys = DATA_PATH_KEYS if job.config.data.name == "image_folder" else ("data.path",)
    values = flatten(job.config)
    changes = {}
    for override in job.overrides:
        typed_key, _, text = override.partition("=")
        key = typed_key.lstrip("+~")
        if (key in IGNORED_KEYS and key not in path_keys) or key.startswith("hydra"):
            continue
        is_option = key in OPTIONS or key in _FILE_GROUPS
        has_value = key in values and not is_option and not typed_key.startswith("~")
        changes[key] = format_value(values[key], mark_fractions=True) if has_value else re.sub(r"\\(.)", r"\1", text)
    return changes


def _join_parts(
    keys: Sequence[str],
    leading_keys: Collection[str],
    changes: Mapping[str, str],
    parts_by_length: Sequence[Mapping[str, Mapping[str, str]]],
) -> str:
    """Return the label of a run.

    Args:
        keys: the keys that the run changed, in the order of labels.
        leading_keys: the keys that vary, and the seed.
        changes: the values of the keys as text.
        parts_by_length: for each of _VALUE_LENGTHS, the part of the label for each value of each key.
    """
    leading: list[str] = []
    for parts in parts_by_length:
        leading = [parts[key][changes[key]] for key in keys if key in leading_keys]
        if _size(leading) <= MAX_LENGTH:
            break
    while _size(leading) > MAX_LENGTH:  # with very many keys; the seed stays
        del leading[-2 if "seed" in keys and len(leading) > 1 else -1]
    label = leading
    for key in keys:
        part = parts_by_length[0][key][changes[key]]
        if key not in leading_keys and _size([*label, part]) <= MAX_SHARED:
            label = [*label, part]
    return ",".join(label) or "defaults"


def _size(parts: Sequence[str]) -> int:
    return len(",".join(parts).encode())


def _name_values(key: str, name: str, texts: Collection[str], length: int) -> dict[str, str]:
    """Return the part of a label for each value of a key: "lr=0.01".

    The short form of a value stands for it where that tells the values apart, and else its full form. Values whose
    beginnings are the same get numbers: "Random...~2".

    Args:
        key: the key.
        name: its short name.
        texts: its values as text.
        length: the length to which values are cut, in bytes.
    """
    forms: list[str] = []
    for forms in ([_shorten(key, text) for text in texts], [_clean(text) for text in texts]):
        if len(set(forms)) == len(texts):
            break
    named: dict[str, str] = {}
    for text, form in zip(texts, _number_repetitions([_cut(form, length) for form in forms]), strict=True):
        named[text] = f"{name}={form}" if text else f"~{name}"
    return named


def _number_repetitions(words: Sequence[str]) -> Iterator[str]:
    """Yield words, and a word that has come before with the number of times: "a", "b", "a~2"."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
        yield word if counts[word] == 1 else f"{word}~{counts[word]}"


def _shorten(key: str, text: str) -> str:
    """Return the short form of a value: the name of a class, the last part of a path, all of another value."""
    from regexp.data.sources import arrays_directory

    if key in DATA_PATH_KEYS:
        # Arrays in memory are in a file that is named by a hash.
        return _clean(Path(text).stem[:8] if Path(text).parent == arrays_directory() else Path(text).name)
    if key.endswith(("target", "_target_")):
        return _clean(_last_name(text))
    if (match := _TARGET.search(text)) is not None:
        arguments = _TARGET.sub("", text).strip("{}, ")
        return _clean(",".join([_last_name(match[1]), *([arguments] if arguments else [])]))
    return _clean(text)


def _last_name(target: str) -> str:
    """Return the name of the class or function in a target such as "net.py:Net" or "package.module.Net"."""
    name = target.strip().strip("'\"").rpartition(":")[2]
    return Path(name).name if name.endswith(".py") else name.rpartition(".")[2]


def _clean(text: str) -> str:
    """Return a value without the brackets, quotes, commas and other characters that a file's name should not hold."""
    if text == "[]":
        return "none"
    text = re.sub(r"""["'\[\]{}()\s]""", "", text.replace("_target_:", "")).replace(",", "-").replace(":", "=")
    return re.sub(r"[^\w.=~+-]", "-", text) or "-"


def _cut(text: str, length: int) -> str:
    return text.encode()[:length].decode(errors="ignore")
