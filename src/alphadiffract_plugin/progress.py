"""The progress bar and the messages on stderr; stdout is for results."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

Item = TypeVar("Item")


@functools.cache
def console() -> Console:
    """The console on stderr, which all share so that messages stand above a running bar."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def say(message: str, label: str = "", style: str = "") -> None:
    """Print one message on stderr, with a coloured label such as ``error:`` before it; long lines stay whole."""
    from rich.text import Text

    text = Text.assemble((f"{label} ", style), message) if label else Text(message)
    console().print(text, soft_wrap=True)


def track(iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items while a bar on stderr shows how many are done and the time left; no bar without a terminal.

    Parameters
    ----------
    iterable : the items.
    description : what is done to them, in two or three words.
    total : number of items; taken from ``len(iterable)`` if it has one.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    quiet = not console().is_terminal
    with Progress(*columns, console=console(), disable=quiet, transient=True, redirect_stdout=False) as bar:
        yield from bar.track(iterable, total=total, description=description)
