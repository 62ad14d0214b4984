"""One output of a notebook's cell that is updated in place, and the console that prints on it.

IPython is imported only here, and only in a notebook, which has it.
"""

import io
import time
from collections.abc import Mapping
from typing import Any

import rich.console

from regexp.execution.events import EpochSummary
from regexp.utils.console import Console

# The least time between two updates of what changes all the time, in seconds.
UPDATE_SECONDS = 0.15
# What is shown until there is something to show.
_READY = "<div>getting ready</div>"
# The width of printed tables and lines, in characters.
_WIDTH = 100
_TEXT_STYLE = (
    "white-space: pre-wrap; overflow-x: auto; line-height: 1.35; margin: .3em 0; background: none; "
    "font-family: Menlo, Consolas, 'DejaVu Sans Mono', monospace; font-size: .92em;"
)


class Page:
    """An output of a cell: blocks of HTML one below the other, and below them a live one that is replaced.

    Attributes:
        epochs: the epochs of each cohort so far, by its number.
        max_epochs: the largest number of epochs of a run in each cohort.
        facts: the facts of the last header.
    """

    def __init__(self) -> None:
        """Show that something has begun."""
        from IPython.display import HTML, display

        self.epochs: dict[int, list[EpochSummary]] = {}
        self.max_epochs: dict[int, int] = {}
        self.facts: Mapping[str, str] = {}
        self._make_html: Any = HTML
        self._blocks: list[str] = []
        self._text = ""  # printed lines, in HTML, that may grow
        self._live = _READY  # importing torch takes seconds
        self._last_update = 0.0
        self._handle: Any = display(HTML(_READY), display_id=True)

    def add_text(self, html: str) -> None:
        """Add printed lines, in HTML, below the others."""
        self._text += html
        self._update()

    def add(self, html: str) -> None:
        """Add a block below the others, in the place of the live one."""
        self._blocks += [self._make_text_block(), html]
        self._text = self._live = ""
        self._update()

    def set_live(self, html: str) -> None:
        """Replace the live block, now or with one of the next calls."""
        self._live = html
        if time.monotonic() - self._last_update >= UPDATE_SECONDS:
            self._update()

    def show(self) -> None:
        """Show the live block as it is now."""
        self._update()

    def _make_text_block(self) -> str:
        return f'<pre style="{_TEXT_STYLE}">{self._text}</pre>' if self._text.strip() else ""

    def _update(self) -> None:
        self._last_update = time.monotonic()
        blocks = [*self._blocks, self._make_text_block(), self._live]
        self._handle.update(self._make_html("\n".join(block for block in blocks if block)))


class PageConsole(Console):
    """A console that prints on a page of a notebook.

    Attributes:
        page: the page.
    """

    def __init__(self, page: Page) -> None:
        super().__init__(highlight=False, soft_wrap=True, width=_WIDTH, force_jupyter=False, file=io.StringIO())
        self.page = page

    def print(self, *objects: Any, **options: Any) -> None:
        """Print on the page what would be printed on a terminal."""
        recorder = rich.console.Console(
            record=True, file=io.StringIO(), width=self.width, highlight=False, soft_wrap=True, force_jupyter=False
        )
        recorder.print(*objects, **options)
        self.page.add_text(recorder.export_html(inline_styles=True, code_format="{code}"))
