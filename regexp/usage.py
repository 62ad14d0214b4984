"""`regexp --help`: groups, options and keys, read from conf/ and the schema."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

from regexp.composition import CONF, show
from regexp.config import Config, leaves

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
  regexp --shell-completion install=bash   complete keys and options in the shell
  regexp --hydra-help                      Hydra's own flags
"""


def usage() -> str:
    """The whole text, at most 80 columns wide."""
    config = Config()
    lines = [_HEAD, "Groups (GROUP=OPTION)"]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        lines.append(f"  {folder.name}")
        for file in sorted(folder.glob("*.yaml")):
            lines += _entry(f"    {file.stem}", describe(file))
    lines.append("\nKeys (KEY=VALUE), with their defaults")
    top = [item.name for item in fields(config) if not is_dataclass(getattr(config, item.name))]
    for key, value, rule in leaves(config):
        if key in top and key != "augmentation":
            lines += _entry(f"  {key}={show(value)}", rule["help"])
    for key, value, rule in leaves(config):
        if key not in top and not key.endswith((".name", ".kind")):
            lines += _entry(f"  {key}={show(value)}", rule["help"])
    return "\n".join([*lines, "", _TAIL])


def describe(file: Path) -> str:
    """An option's own words: the first comment of its file that is not for Hydra."""
    comments = (line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def _entry(head: str, text: str, column: int = 32) -> Iterator[str]:
    """A name and its description, wrapped to 80 columns."""
    import textwrap

    if len(head) >= column:
        yield head
        head = ""
    for i, line in enumerate(textwrap.wrap(text, 80 - column) or [""]):
        yield f"{head if i == 0 else '':<{column}}{line}".rstrip()
