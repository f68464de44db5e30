"""Find plugins and list their indexers and seeders by name; a broken plugin does not affect the others."""

from __future__ import annotations

import difflib
import functools
import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, TypeVar, cast

from pluggy import HookImpl, PluginManager

from alphadiffract_plugin.hooks import specs
from alphadiffract_plugin.hooks.specs import Indexer, Seeder

Offer = TypeVar("Offer", Indexer, Seeder)


class PluginError(Exception):
    """An indexer or seeder that does not exist or is offered twice; the message says how to fix it."""

    exit_code = 2


@dataclass
class RietveldPlugins:
    """The plugins of one process; they are imported when one is first asked for."""

    builtin: Iterable[tuple[str, ModuleType | str | Any]] = ()
    """Pairs (name, module) of plugins without an entry point; a module may be given by its dotted name."""
    broken: dict[str, str] = field(default_factory=dict)
    """Plugins that failed to import or raised an error, with the reason."""

    @functools.cached_property
    def pluggy(self) -> PluginManager:
        """The pluggy manager, with every importable plugin registered."""
        manager = PluginManager(specs.PROJECT)
        manager.add_hookspecs(specs)
        for name, module in self.builtin:
            manager.register(importlib.import_module(module) if isinstance(module, str) else module, name)
        for point in sorted(entry_points(group=specs.PROJECT), key=lambda p: p.name):
            self._register(manager, point)
        return manager

    def _register(self, manager: PluginManager, point: EntryPoint) -> None:
        known = manager.get_plugin(point.name)
        if known is not None:
            if getattr(known, "__name__", "") != point.module:
                self.broken[point.name] = f"another plugin of this name, {point.module}, was ignored"
            return
        try:
            plugin = point.load()
            manager.register(plugin, point.name)
        except KeyboardInterrupt:
            raise
        except BaseException as reason:  # a plugin may raise anything, even SystemExit
            self.broken[point.name] = f"{type(reason).__name__}: {reason}"
            return
        unknown = [caller.name for caller in manager.get_hookcallers(plugin) or () if not caller.has_spec()]
        if unknown:
            self.broken[point.name] = f"it implements {', '.join(unknown)}, but there is no such hook"

    @functools.cached_property
    def indexers(self) -> dict[str, Indexer]:
        """Indexers by name, sorted."""
        return self._collect("rietveld_indexers", Indexer)

    @functools.cached_property
    def seeders(self) -> dict[str, Seeder]:
        """Seeders by name, sorted."""
        return self._collect("rietveld_seeders", Seeder)

    def indexer(self, name: str) -> Indexer:
        """The indexer of that name; PluginError names those that exist."""
        return self._select("indexer", self.indexers, name)

    def seeder(self, name: str) -> Seeder:
        """The seeder of that name; PluginError names those that exist."""
        return self._select("seeder", self.seeders, name)

    def add_commands(self, app: Any) -> None:
        """Let every plugin add its commands to a typer application."""
        for plugin in self._implementing("rietveld_commands"):
            try:
                plugin.function(app=app)
            except Exception as reason:
                self.broken[plugin.plugin_name] = f"{type(reason).__name__}: {reason}"

    def provider(self, offer: Indexer | Seeder) -> str:
        """The name of the plugin that offers an indexer or seeder."""
        return self._providers[type(offer), offer.name]

    @functools.cached_property
    def _providers(self) -> dict[tuple[type, str], str]:
        return {}

    def _implementing(self, hook: str) -> list[HookImpl]:
        return sorted(getattr(self.pluggy.hook, hook).get_hookimpls(), key=lambda plugin: plugin.plugin_name)

    def _collect(self, hook: str, kind: type[Offer]) -> dict[str, Offer]:
        found: dict[str, Offer] = {}
        for plugin in self._implementing(hook):
            try:
                offers: list[object] = list(cast(Iterable[object], plugin.function()))
            except Exception as reason:
                self.broken[plugin.plugin_name] = f"{type(reason).__name__}: {reason}"
                continue
            for offer in offers:
                if not isinstance(offer, kind):
                    self.broken[plugin.plugin_name] = (
                        f"{hook} yielded {offer!r}, which is not of the type {kind.__name__}"
                    )
                    continue
                if offer.name in found:
                    raise PluginError(
                        f"two plugins offer '{offer.name}': {self._providers[kind, offer.name]} and "
                        f"{plugin.plugin_name}\n  How to fix it: uninstall one of them"
                    )
                found[offer.name] = offer
                self._providers[kind, offer.name] = plugin.plugin_name
        return dict(sorted(found.items()))

    def _select(self, what: str, offers: dict[str, Offer], name: str) -> Offer:
        if name in offers:
            return offers[name]
        near = difflib.get_close_matches(name, offers, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        broken = f" Broken plugins: {'; '.join(f'{k} ({v})' for k, v in self.broken.items())}." if self.broken else ""
        raise PluginError(
            f"there is no {what} called '{name}'.{hint}{broken}\n  How to fix it: choose one of {', '.join(offers)}"
        )
