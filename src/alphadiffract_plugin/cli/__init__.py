"""The command line: ``app`` collects the commands, ``options`` holds what they share, and each command has a module."""

from alphadiffract_plugin.cli.app import main

__all__ = ["main"]
