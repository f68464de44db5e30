"""The command line: which commands there are, and what becomes of an error.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 2 an error whose message says how to fix it,
130 interrupted.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from alphadiffract_plugin import __version__, registry
from alphadiffract_plugin.errors import AlphaDiffractError
from alphadiffract_plugin.hooks import PluginError
from alphadiffract_plugin.progress import say

NAME = "alphadiffract-plugin"
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process; ``argv`` without the program's name, None for ``sys.argv``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        application()(args=argv, prog_name=NAME)
    except (AlphaDiffractError, PluginError) as error:
        say(str(error), "error:", "bold red")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as leaving:  # typer makes the first into the second
        if isinstance(leaving, SystemExit) and leaving.code != INTERRUPTED:
            raise
        say("every result that was already written is complete", "interrupted:", "bold red")
        sys.exit(INTERRUPTED)


def application() -> typer.Typer:
    """The commands of this package and of every plugin."""
    from alphadiffract_plugin.cli.doctor import doctor
    from alphadiffract_plugin.cli.index import index
    from alphadiffract_plugin.cli.models import models
    from alphadiffract_plugin.cli.plugins import list_plugins
    from alphadiffract_plugin.cli.seed import seed
    from alphadiffract_plugin.cli.settings import list_settings

    app = typer.Typer(
        name=NAME, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, callback=_top
    )
    app.command("index")(index)
    app.command("seed")(seed)
    app.command("settings")(list_settings)
    app.command("plugins")(list_plugins)
    app.command("doctor")(doctor)
    app.add_typer(models, name="models")
    registry.plugins().add_commands(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {__version__}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """From a measured powder pattern to a ranked cell and space group, and a seeded GSAS-II refinement."""
