"""Hydra's argument parser in a form that Python 3.14 accepts.

Hydra 1.3 gives --shell-completion a help object that becomes text only when it is shown. argparse of Python 3.14 looks
into every help text as soon as its option is added, and refuses that object: "badly formed help string"
(facebookresearch/hydra issue 3121).
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

from hydra._internal import utils


class HydraArgumentParser(argparse.ArgumentParser):
    """An argument parser that takes help objects which are not text.

    Attributes:
        words: the words that Hydra reads instead of those in `sys.argv`; None for those.
    """

    words: ClassVar[Sequence[str] | None] = None

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return the arguments of a command line, as argparse does."""
        return super().parse_args(self.words if args is None else args, namespace)

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


@contextmanager
def give_words(words: Sequence[str]) -> Iterator[None]:
    """Let Hydra read these words instead of those in `sys.argv`, which remain as they were typed."""
    HydraArgumentParser.words = words
    try:
        yield
    finally:
        HydraArgumentParser.words = None
