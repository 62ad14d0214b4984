"""`regexp --help`: groups, options and keys, read from conf/ and the schema."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regexp.composition import CONF, show
from regexp.config import OPTIONS, Config, Loss
from regexp.fields import leaves
from regexp.steps import STEPS

_HEAD = """\
regexp: regularization experiments

  regexp [OVERRIDES]       train one run
  regexp -m [OVERRIDES]    train one run for every combination of a,b,c values

Examples
  regexp normalization=batch model.dropout=0.2
  regexp experiment=lesson data.root=DIR
  regexp -m normalization=none,batch,layer seed=0,1,2
  regexp augmentation=lesson augmentation.rotate.degrees=15 ~augmentation.flip
"""
_TAIL = """\
Also
  regexp --cfg job [OVERRIDES]             show the configuration, train nothing
  python -m regexp.preview [OVERRIDES]     write a picture of augmented images
  eval "$(regexp -sc install=bash)"        complete keys and options in bash
  regexp --hydra-help                      Hydra's own flags
"""


def usage() -> str:
    """The whole text, at most 80 columns wide."""
    lines = [_HEAD, "Groups (GROUP=OPTION)"]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        lines.append(f"  {folder.name}")
        for file in sorted(folder.glob("*.yaml")):
            lines += _entry(f"    {file.stem}", describe(file))
    lines.append("\nKeys (KEY=VALUE), with their defaults")
    for key, value, rule in keys():
        choices = f"; one of {', '.join(rule['choices'])}" if "choices" in rule else ""
        lines += _entry(f"  {key}={show(value)}", rule["help"] + choices)
    lines.append("\nAugmentation steps (augmentation.STEP.KEY=VALUE, + adds, ~ drops)")
    for name, step in STEPS.items():
        for key, value, rule in leaves(step()):
            lines += _entry(f"  {name}.{key}={show(value)}", rule["help"])
    return "\n".join([*lines, "", _TAIL])


def keys() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(dotted key, default, metadata) of every key that is not a choice of group, those of single options included."""
    own = [leaf for leaf in leaves(Config()) if "." not in leaf[0] and leaf[0] != "augmentation"]
    grouped = [(f"loss.{key}", value, rule) for key, value, rule in leaves(Loss())]
    for group, options in OPTIONS.items():
        found: dict[str, tuple[Any, dict[str, Any]]] = {}
        where: dict[str, list[str]] = {}
        for option, node in options.items():
            for key, value, rule in leaves(node()):
                found.setdefault(key, (value, rule))
                where.setdefault(key, []).append(option)
        for key, (value, rule) in found.items():
            only = "" if len(where[key]) == len(options) else f"({', '.join(where[key])}) "
            if key not in ("name", "kind"):
                grouped.append((f"{group}.{key}", value, rule | {"help": only + rule["help"]}))
    yield from own
    yield from grouped


def describe(file: Path) -> str:
    """An option's own words: the first comment of its file that is not for Hydra."""
    comments = (line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def _entry(head: str, text: str, column: int = 32) -> Iterator[str]:
    """A name and its description, wrapped to 80 columns."""
    if len(head) >= column:
        yield head
        head = ""
    for i, line in enumerate(textwrap.wrap(text, 79 - column) or [""]):
        yield f"{head if i == 0 else '':<{column}}{line}".rstrip()
