"""Hydra's argument parser in a form that Python 3.14 accepts.

Hydra 1.3 gives --shell-completion a help object that becomes text only when it is shown. argparse of Python 3.14 looks
into every help text as soon as its option is added, and refuses that object: "badly formed help string"
(facebookresearch/hydra issue 3121).
"""

import argparse
from types import SimpleNamespace
from typing import Any

from hydra._internal import utils


class HydraArgumentParser(argparse.ArgumentParser):
    """An argument parser that takes help objects which are not text."""

    def add_argument(self, *flags: Any, help: Any = None, **options: Any) -> argparse.Action:
        """Add an option as argparse does; a help object that is not text is attached once argparse has looked."""
        if help is None or isinstance(help, str):
            return super().add_argument(*flags, help=help, **options)
        action = super().add_argument(*flags, **options)
        action.help = help
        return action


def get_args_parser() -> argparse.ArgumentParser:
    """Return Hydra's parser, and make Hydra itself create its parsers in the same way from now on."""
    utils.argparse = SimpleNamespace(ArgumentParser=HydraArgumentParser)  # type: ignore[attr-defined, assignment]
    return utils.get_args_parser()
