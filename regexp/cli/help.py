"""The text of `regexp --help`, made from the options in conf/ and the keys of the schema."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

from regexp.config.hydra_config.search_path import Options
from regexp.config.keys import Key, list_keys, list_step_keys
from regexp.utils.atomic_io import read_text
from regexp.utils.messages import format_value

_WIDTH = 79
_TEXT_COLUMN = 32
_HEAD = """\
regexp: regularization experiments

  regexp [OVERRIDES]       train one run
  regexp -m [OVERRIDES]    train every combination of a,b,c values together

Examples
  regexp normalization=batch model.dropout=0.2
  regexp experiment=lesson data.root=DIR
  regexp -m normalization=none,batch,layer seed=0,1,2
  regexp augmentation=lesson augmentation.rotate.degrees=15 ~augmentation.flip
"""
_TAIL = """\
Also
  regexp-compare [DIR...]                  compare runs: which configuration is
                                           better, and is the difference real?
  regexp --cfg job [OVERRIDES]             show the configuration, train nothing
  regexp -m hydra.launcher.dry_run=true [OVERRIDES]
                                           show what a sweep would train, and
                                           the time and memory it would take
  regexp -m hydra.launcher.max_runs=N [OVERRIDES]
                                           train at most N runs together
  regexp -m hydra.launcher.workers=N [OVERRIDES]
                                           train in N processes at once
  regexp -m hydra/sweeper=optuna [OVERRIDES]
                                           search instead of trying all
  regexp -m hydra.launcher.executor=slurm [OVERRIDES]
                                           train in jobs of SLURM; ray: in tasks
                                           of Ray
  regexp -m hydra.sweeper.until=decided hydra.sweeper.max_seeds=N [OVERRIDES]
                                           add seeds where a verdict is open
  python -m regexp.preview [OVERRIDES]     write a picture of augmented images
  python -m regexp.verify DIR              train runs of a sweep again, alone
  eval "$(regexp -sc install=bash)"        complete keys and options in bash
  regexp --hydra-help                      show Hydra's own flags
"""


def format_help(options: Options) -> str:
    """Return the whole help text, at most 80 columns wide.

    Args:
        options: the options that can be chosen.
    """
    lines = [_HEAD, "Groups (GROUP=OPTION)"]
    for group, names in sorted(options.groups.items()):
        lines.append(f"  {group}")
        for name in names:
            file = options.find_file(group, name)
            lines += _format_entry(f"    {name}", "" if file is None else describe_option(file))
    lines.append("\nKeys (KEY=VALUE), with their defaults")
    for key in list_keys():
        lines += _format_entry(f"  {key.name}={format_value(key.default)}", _describe_key(key))
    lines.append("\nAugmentation steps (augmentation.STEP.KEY=VALUE; + adds a step, ~ drops one)")
    for key in list_step_keys():
        name = key.name.removeprefix("augmentation.")
        lines += _format_entry(f"  {name}={format_value(key.default)}", _describe_key(key))
    return "\n".join([*lines, "", _TAIL])


def describe_option(file: Path) -> str:
    """Return the first comment of an option's file that is not an instruction to Hydra."""
    comments = (line[1:].strip() for line in read_text(file).splitlines() if line.startswith("#"))
    return next((comment for comment in comments if not comment.startswith("@")), "")


def _describe_key(key: Key) -> str:
    """Return the description of a key: the options that have it, its help text, and its choices."""
    options = f"({', '.join(key.options)}) " if key.options else ""
    choices = f"; one of {', '.join(key.metadata['choices'])}" if "choices" in key.metadata else ""
    return f"{options}{key.metadata['help']}{choices}"


def _format_entry(name: str, text: str) -> Iterator[str]:
    """Yield the lines of a name and its description, wrapped to the width of the help text."""
    if len(name) >= _TEXT_COLUMN:
        yield name
        name = ""
    for i, line in enumerate(textwrap.wrap(text, _WIDTH - _TEXT_COLUMN) or [""]):
        yield f"{name if i == 0 else '':<{_TEXT_COLUMN}}{line}".rstrip()
