"""The plugins of this process, and calls of their indexers and seeders that name the plugin where one fails."""

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
    """The plugin manager of this process: the built-in plugin and every package with a ``rietveld`` entry point.

    Entry points are looked up at the first use.

    >>> sorted(plugins().indexers)[:2]
    ['alphadiffract', 'alphadiffract-net']
    """
    return RietveldPlugins(builtin=[("alphadiffract", "alphadiffract_plugin.plugin")])


_OPTION = {"indexer": "indexer", "seeder": "seed"}


def call(indexer: Indexer, histogram: Histogram, settings: Settings) -> IndexingResult:
    """What an indexer answers, checked to be an answer.

    Raises
    ------
    PluginError : the indexer comes from another package and failed with an error of its own; or it returned something
        that is no answer, or that cannot be written as JSON.
    """
    with as_plugin_error("indexer", indexer.name, indexer.index):
        result = indexer.index(histogram, settings)
    check_answer("indexer", indexer.name, result, IndexingResult)
    return result


@contextlib.contextmanager
def as_plugin_error(kind: str, name: str, function: Callable[..., object]) -> Iterator[None]:
    """Turn an error in a function of another package into a PluginError that names it; our own errors stay as they are.

    Parameters
    ----------
    kind : ``indexer`` or ``seeder``.
    name : the name that the plugin gave it.
    function : what is called; its module tells whose it is.
    """
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
    """Refuse an answer that is not such a record, or that cannot be written as JSON.

    Raises
    ------
    PluginError : names the plugin and what it returned.
    """
    fault = ""
    if not isinstance(answer, wanted):
        fault = f"a {type(answer).__name__} in place of a {wanted.__name__}"
    else:
        try:
            answer.to_json()
        except (SettingsError, TypeError, ValueError, AttributeError) as error:
            fault = f"an answer that cannot be written as JSON ({error.__cause__ or error})"
    if fault:
        raise PluginError(
            f"the {kind} '{name}' returned {fault}\n"
            f"  How to fix it: choose another --{_OPTION[kind]}, and tell the authors of this one"
        )
