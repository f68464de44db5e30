"""The commands ``gsasii install-hook``, ``remove-hook`` and ``check``, for those who work in GSAS-II.

``index-for-window`` is run by the menu entry that ``install-hook`` adds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

gsasii = typer.Typer(
    no_args_is_help=True, help="Add entries to GSAS-II's menu, and check its files before it opens them."
)

FolderOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the files; ~/.GSASII/imports and ~/.GSASII/exports if not given."),
]


@gsasii.command("install-hook")
def install_hook(folder: FolderOption = None) -> None:
    """Add 'Index with AlphaDiffract' and 'Import, Phase, from AlphaDiffract result' to GSAS-II's menu.

    The first indexes a histogram of the project that is open there, in a process of its own with the Python that runs
    this command: GSAS-II's Python needs no package for it. After you moved this package, run the command again.
    """
    from alphadiffract_plugin.gsasii import installation
    from alphadiffract_plugin.gsasii.importer import install, looks_there
    from alphadiffract_plugin.progress import say

    for path, done in install(folder.expanduser() if folder else None):
        print(f"{done}: {path}")
    print(
        "Restart GSAS-II; then choose\n"
        "  Export, Powder data as, (user) Index with AlphaDiffract, to index a histogram of the open project;\n"
        "  Import, Phase, (user) from AlphaDiffract result file, to read a NAME.json that 'index' wrote."
    )
    found = installation.find()
    if found and folder is None and not looks_there(found.folder):
        say(
            f"the GSAS-II that was found ({found}) is too old to look for these files: update it",
            "note:",
            "yellow",
        )


@gsasii.command("remove-hook")
def remove_hook(folder: FolderOption = None) -> None:
    """Remove both entries from GSAS-II's menu."""
    from alphadiffract_plugin.gsasii.importer import remove

    for path, was_there in remove(folder.expanduser() if folder else None):
        print(f"removed: {path}" if was_there else f"nothing to remove: there is no {path}")


@gsasii.command("index-for-window", hidden=True)
def index_for_window(
    task: Annotated[Path, typer.Argument(metavar="TASK", help="The histogram, as the menu entry writes it.")],
    answer: Annotated[Path, typer.Argument(metavar="ANSWER", help="File for what the window shows and takes over.")],
) -> None:
    """Index the histogram that 'Index with AlphaDiffract' in GSAS-II's menu hands over; it is run from there alone."""
    from alphadiffract_plugin.gsasii.window import answer_task

    answer_task(task, answer)


@gsasii.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Projects (.gpx) and instruments (.instprm).")],
) -> None:
    """Check that GSAS-II can open these files without running code that is in them; GSAS-II itself is not used."""
    from alphadiffract_plugin.errors import AlphaDiffractError
    from alphadiffract_plugin.gsasii.trust import check_file
    from alphadiffract_plugin.progress import say

    refused = 0
    for file in files:
        try:
            check_file(file)
            print(f"safe: {file}")
        except AlphaDiffractError as error:
            refused += 1
            say(str(error), "error:", "bold red")
    if refused:
        raise typer.Exit(2)
