"""Write docs/configuration.md, with every group, option and key of conf/ and the schema, to standard output."""

from collections.abc import Iterable, Iterator

from regexp.cli.help import describe_option
from regexp.config.constraints import describe_constraints
from regexp.config.hydra_config.key_rules import GROUP_RULES, KEY_RULES
from regexp.config.hydra_config.search_path import CONF
from regexp.config.keys import Key, list_keys, list_step_keys
from regexp.config.schema import OPTIONS
from regexp.utils.messages import format_value

_HEAD = """\
# Configuration

This page lists every group, option and key. `uv run scripts/configuration_reference.py > docs/configuration.md` writes
it. The [guide](guide.md) explains what the techniques do and when to use them.

A group is set by the name of an option (`normalization=batch`), a key by its value (`optimizer.lr=0.01`). To add
options, put files such as `mine/augmentation/wild.yaml` into a directory, and name it with `--config-dir mine`.

The column *cohort* says which runs can train together: runs that differ only in keys marked "may differ" share a
cohort, and keys marked "agree" must be the same in a cohort. Where only some options of a group have a key, their names
stand in parentheses before its meaning.
"""
_STEPS_HEAD = """\
An augmentation is a mapping of named steps, which are applied in order. Set a key with `augmentation.STEP.KEY=VALUE`,
add a step with `+`, and remove one with `~`:

```sh
uv run regexp augmentation=lesson augmentation.rotate.degrees=15 ~augmentation.flip +augmentation.noise.std=0.1
```

A step with another name needs a `_target_`: one of regexp's transforms (`regexp.augmentation.RandomRotation`), one of
torchvision's (`torchvision.transforms.RandomSolarize`), which is applied image by image and takes far longer, or
[one of your own](guide.md#a-transform-of-your-own) (`aug.py:Invert`).
"""
_HYDRA_HEAD = """\
## Hydra's own keys

Each of Hydra's keys works as [its manual](https://hydra.cc/docs/1.3/configure_hydra/intro/) says, or is refused with a
reason; the keys below a key follow it. With `-m`, `hydra.job_logging` and `hydra.verbose` have all runs train in the
process of the command, since worker processes do not log.
"""


def make_reference() -> str:
    """Return the whole page in Markdown."""
    lines = [_HEAD]
    lines += ["## Top level", "", *_table(key for key in list_keys() if _group(key) not in OPTIONS)]
    for directory in sorted(path for path in CONF.iterdir() if path.is_dir()):
        group = directory.name
        lines += ["", f"## {group}", "", "| option | meaning |", "| --- | --- |"]
        lines += [f"| `{file.stem}` | {describe_option(file)} |" for file in sorted(directory.glob("*.yaml"))]
        if group == "augmentation":
            lines += ["", _STEPS_HEAD, *_table(list_step_keys())]
        elif group in OPTIONS:
            lines += ["", *_table(key for key in list_keys() if _group(key) == group)]
    lines += ["", _HYDRA_HEAD, *_hydra_table()]
    return "\n".join(lines) + "\n"


def _hydra_table() -> Iterator[str]:
    """Yield the lines of a table of Hydra's own keys and groups."""
    yield "| key | single run | sweep (`-m`) | where it has no effect, it is refused |"
    yield "| --- | --- | --- | --- |"
    rules = {**KEY_RULES, **{f"hydra/{group}": rule for group, rule in GROUP_RULES.items()}}
    for key, rule in rules.items():
        run, sweep = ("works" if works else "-" for works in (rule.run, rule.sweep))
        yield f"| `{key}` | {run} | {sweep} | {rule.reason} |"


def _group(key: Key) -> str:
    return key.name.partition(".")[0]


def _table(keys: Iterable[Key]) -> Iterator[str]:
    """Yield the lines of a table of keys."""
    yield "| key | default | values | meaning | cohort |"
    yield "| --- | --- | --- | --- | --- |"
    for key in keys:
        values = "; ".join([key.type_description, *describe_constraints(key.metadata)]).replace("|", "\\|")
        options = f"({', '.join(key.options)}) " if key.options else ""
        meaning = f"{options}{key.metadata['help']}"
        cohort = "may differ" if key.metadata["mark"] == "per_run" else "agree"
        yield f"| `{key.name}` | `{format_value(key.default)}` | {values} | {meaning} | {cohort} |"


if __name__ == "__main__":
    print(make_reference(), end="")
