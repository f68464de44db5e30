"""The commands ``gsasii install-hook``, ``remove-hook`` and ``check``, for those who work in GSAS-II."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

gsasii = typer.Typer(
    no_args_is_help=True, help="Add an importer to GSAS-II's menu, and check its files before it opens them."
)

FolderOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder where GSAS-II looks for importers; ~/.GSASII/imports if not given."),
]


@gsasii.command("install-hook")
def install_hook(folder: FolderOption = None) -> None:
    """Add 'Import, Phase, from AlphaDiffract result' to GSAS-II's menu."""
    from alphadiffract_plugin.gsasii import installation
    from alphadiffract_plugin.gsasii.importer import install, looks_there, user_folder
    from alphadiffract_plugin.progress import say

    path, done = install(folder.expanduser() if folder else user_folder())
    print(f"{done}: {path}")
    print(
        "Restart GSAS-II; then choose Import, Phase, (user) from AlphaDiffract result file, and a NAME.json that "
        "'index' wrote"
    )
    found = installation.find()
    if found and folder is None and not looks_there(found.folder):
        say(
            f"the GSAS-II that was found ({found}) is too old to look for importers in this folder: update it",
            "note:",
            "yellow",
        )


@gsasii.command("remove-hook")
def remove_hook(folder: FolderOption = None) -> None:
    """Remove the importer from GSAS-II's menu."""
    from alphadiffract_plugin.gsasii.importer import remove, user_folder

    path, was_there = remove(folder.expanduser() if folder else user_folder())
    print(f"removed: {path}" if was_there else f"nothing to remove: there is no {path}")


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
