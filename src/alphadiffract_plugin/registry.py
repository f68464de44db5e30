"""The plugins of this process: the built-in one, and every installed package with a ``rietveld`` entry point."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from alphadiffract_plugin.errors import AlphaDiffractError, SettingsError
from alphadiffract_plugin.hooks import Indexer, PluginError, RietveldPlugins
from alphadiffract_plugin.json_record import Record
from alphadiffract_plugin.records import Histogram, IndexingResult
from alphadiffract_plugin.settings import Settings


@functools.cache
def plugins() -> RietveldPlugins:
    """The one plugin manager of this process; entry points are looked up when first asked.

    >>> sorted(plugins().indexers)[:2]
    ['alphadiffract', 'alphadiffract-net']
    """
    return RietveldPlugins(builtin=[("alphadiffract", "alphadiffract_plugin.plugin")])


_OPTION = {"indexer": "indexer", "seeder": "seed"}


def call(indexer: Indexer, histogram: Histogram, settings: Settings) -> IndexingResult:
    """What an indexer answers, checked to be an answer.

    Raises
    ------
    PluginError : it comes from another package and failed in a way of its own; or it returned no answer that
        can be written down.
    """
    with blaming("indexer", indexer.name, indexer.index):
        result = indexer.index(histogram, settings)
    check_answer("indexer", indexer.name, result, IndexingResult)
    return result


@contextlib.contextmanager
def blaming(kind: str, name: str, function: Callable) -> Iterator[None]:
    """Raise whatever fails in a function of another package as PluginError; a fault of ours stays as it is."""
    try:
        yield
    except (AlphaDiffractError, PluginError):
        raise
    except Exception as error:
        if function.__module__.partition(".")[0] == "alphadiffract_plugin":
            raise
        raise PluginError(
            f"the {kind} '{name}' of {function.__module__} failed: {type(error).__name__}: {error}\n"
            f"  How to fix it: choose another --{_OPTION[kind]}, and tell the authors of this one"
        ) from error


def check_answer(kind: str, name: str, answer: object, wanted: type[Record]) -> None:
    """Refuse, as PluginError, what is no such record or cannot be written down."""
    fault = "" if isinstance(answer, wanted) else f"a {type(answer).__name__}, no {wanted.__name__}"
    if not fault:
        try:
            answer.to_json()
        except (SettingsError, TypeError, ValueError, AttributeError) as error:
            fault = f"what cannot be written as JSON ({error.__cause__ or error})"
    if fault:
        raise PluginError(
            f"the {kind} '{name}' returned {fault}\n"
            f"  How to fix it: choose another --{_OPTION[kind]}, and tell the authors of this one"
        )
