"""Write docs/configuration.md, every group, option and key, from conf/ and the schema, to standard output."""

from collections.abc import Iterable, Iterator

from regexp.cli.help import describe_option
from regexp.config.compose import CONF
from regexp.config.constraints import describe_constraints
from regexp.config.keys import Key, list_keys, list_step_keys
from regexp.config.schema import OPTIONS
from regexp.utils.messages import format_value

_HEAD = """\
# Configuration

Every group, option and key, as `uv run scripts/configuration_reference.py > docs/configuration.md` writes them. The
[guide](guide.md) says what the techniques do and when to use them.

Groups are chosen by name (`normalization=batch`), keys are set by value (`optimizer.lr=0.01`). Options of your own go
into a folder beside each other, `mine/augmentation/wild.yaml`, and are found with `--config-dir mine`.

Where *cohort* says "may differ", runs that differ in this key train together; where it says "agree", they train in
cohorts of their own. A key that only some options of its group have names them.
"""
_STEPS_HEAD = """\
A pipeline is a mapping of named steps, applied in order. Set a key with `augmentation.STEP.KEY=VALUE`, add a step with
`+`, drop one with `~`:

```sh
uv run regexp augmentation=lesson augmentation.rotate.degrees=15 ~augmentation.flip +augmentation.noise.std=0.1
```

A step of any other name says with `_target_` what it is: one of ours (`regexp.augmentation.RandomRotation`), or a class
of torchvision's transforms (`torchvision.transforms.RandomSolarize`), which is applied image by image and takes far
longer.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    lines = [_HEAD]
    lines += ["## Top level", "", *_table(key for key in list_keys() if _group(key) not in OPTIONS)]
    for folder in sorted(path for path in CONF.iterdir() if path.is_dir()):
        group = folder.name
        lines += ["", f"## {group}", "", "| option | what it is |", "| --- | --- |"]
        lines += [f"| `{file.stem}` | {describe_option(file)} |" for file in sorted(folder.glob("*.yaml"))]
        if group == "augmentation":
            lines += ["", _STEPS_HEAD, *_table(list_step_keys())]
        elif group in OPTIONS:
            lines += ["", *_table(key for key in list_keys() if _group(key) == group)]
    return "\n".join(lines) + "\n"


def _group(key: Key) -> str:
    return key.name.partition(".")[0]


def _table(rows: Iterable[Key]) -> Iterator[str]:
    yield "| key | default | values | meaning | cohort |"
    yield "| --- | --- | --- | --- | --- |"
    for key in rows:
        values = "; ".join([key.type_description, *describe_constraints(key.metadata)]).replace("|", "\\|")
        only = f"({', '.join(key.options)}) " if key.options else ""
        cohort = "may differ" if key.metadata["mark"] == "per_run" else "agree"
        yield f"| `{key.name}` | `{format_value(key.default)}` | {values} | {only}{key.metadata['help']} | {cohort} |"


if __name__ == "__main__":
    print(reference(), end="")
