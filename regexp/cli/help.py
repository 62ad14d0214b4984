"""`regexp --help`: groups, options and keys, read from conf/ and the schema."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from regexp.config.compose import CONF
from regexp.config.keys import Key, keys, step_keys
from regexp.config.validation import format_value

_HEAD = """\
regexp: regularization experiments

  regexp [OVERRIDES]       train one run
  regexp -m [OVERRIDES]    train all combinations of a,b,c values, together

Examples
  regexp normalization=batch model.dropout=0.2
  regexp experiment=lesson data.root=DIR
  regexp -m normalization=none,batch,layer seed=0,1,2
  regexp augmentation=lesson augmentation.rotate.degrees=15 ~augmentation.flip
"""
_TAIL = """\
Also
  regexp-compare [DIR...]                  which is better, and is it real?
  regexp --cfg job [OVERRIDES]             show the configuration, train nothing
  regexp -m hydra.launcher.dry_run=true [OVERRIDES]
                                           say what a sweep would take
  regexp -m hydra.launcher.max_runs=N [OVERRIDES]
                                           train no more than N at once
  python -m regexp.preview [OVERRIDES]     write a picture of augmented images
  python -m regexp.verify DIR              train runs of a sweep again, alone
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
    for key in keys():
        lines += _entry(f"  {key.name}={format_value(key.default)}", meaning(key))
    lines.append("\nAugmentation steps (augmentation.STEP.KEY=VALUE, + adds, ~ drops)")
    for key in step_keys():
        lines += _entry(f"  {key.name.removeprefix('augmentation.')}={format_value(key.default)}", meaning(key))
    return "\n".join([*lines, "", _TAIL])


def meaning(key: Key) -> str:
    """What a key decides, which options have it, and what can be chosen."""
    only = f"({', '.join(key.options)}) " if key.options else ""
    choices = f"; one of {', '.join(key.rule['choices'])}" if "choices" in key.rule else ""
    return f"{only}{key.rule['help']}{choices}"


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
