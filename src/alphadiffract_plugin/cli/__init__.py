"""What a person types: the command line, one module a family of commands."""

from alphadiffract_plugin.cli.app import main

__all__ = ["main"]
