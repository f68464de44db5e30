"""The commands ``models list``, ``models show`` and ``models add``: which networks there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from alphadiffract_plugin.models.catalogue import ModelInfo

models = typer.Typer(no_args_is_help=True, help="List, show and add networks.")


@models.command("list")
def list_models() -> None:
    """List the models that can be used by name."""
    from alphadiffract_plugin.models.catalogue import list_models, user_folder
    from alphadiffract_plugin.report.tables import print_report

    print_report(models_report(list_models(), user_folder()))


@models.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="NAME_OR_DIR", help="A name from 'models list', or a model folder.")],
) -> None:
    """Print the card of a model, then its configuration as JSON."""
    import json

    from alphadiffract_plugin.models import catalogue

    details = catalogue.show(model)
    print(details.card.rstrip() or "This model has no card.")
    print()
    print(json.dumps(details.config, indent=2))


@models.command("add")
def add(
    source: Annotated[
        str, typer.Argument(metavar="DIR_OR_HUB_ID", help="A model folder, or OWNER/NAME on the Hugging Face hub.")
    ],
) -> None:
    """Check a model and copy it to your models folder, so that it can be used by name."""
    from alphadiffract_plugin.models import catalogue

    info = catalogue.add(source)
    print(f"added {info.name} to {info.folder.parent}; use it with --model {info.name}")


def models_report(models: Sequence[ModelInfo], user_folder: Path) -> Iterator[RenderableType]:
    """The models that can be used by name, and the folder of the user's own models."""
    from alphadiffract_plugin.report.tables import styled_table

    table = styled_table("models")
    for column in ("name", "architecture", "MB", "where"):
        table.add_column(column, justify="right" if column == "MB" else "left")
    for info in models:
        name = f"{info.name} (default)" if info.default else info.name
        architecture = f"{info.members} × {info.architecture}" if info.members > 1 else info.architecture
        table.add_row(name, architecture, f"{info.size / 1e6:.1f}", str(info.folder))
    yield table
    yield f"'models add' copies models to {user_folder}."
