"""The commands ``structures build``, ``stats`` and ``filter``: crystal structures for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alphadiffract_plugin.cli.options import OverwriteOption

if TYPE_CHECKING:
    import pyarrow

    from alphadiffract_plugin.models.structures.build import Reported

structures = typer.Typer(no_args_is_help=True, help="Build, count and filter files of crystal structures for training.")

MATERIALS_PROJECT = "mp"
"""The source that stands for the Materials Project in place of a folder."""

FilesArgument = Annotated[list[Path], typer.Argument(metavar="FILE", help="Structure files (.parquet).")]
OutputOption = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The .parquet file to write.")]


@structures.command("build")
def build(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Folders of CIFs, CIFs, or 'mp' for the Materials Project (MP_API_KEY)."),
    ],
    output: OutputOption,
    origin: Annotated[
        str, typer.Option(metavar="NAME", help="Origin of the CIFs: experiment, dft_known, dft or dft_hypothetical.")
    ] = "experiment",
    elements: Annotated[
        str | None, typer.Option(metavar="A,B", help="With mp: only crystals that contain all of these elements.")
    ] = None,
    ids: Annotated[str | None, typer.Option(metavar="ID,ID", help="With mp: only the crystals of these ids.")] = None,
    stable: Annotated[bool, typer.Option("--stable", help="With mp: only stable crystals.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as cores if not given.")] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Make a structure file from CIFs or from the Materials Project.

    Each crystal is brought to its standard setting. Crystals that fail a check are counted, and listed with the reason
    in NAME.rejected.csv beside the output.
    """
    import os

    from alphadiffract_plugin.errors import SettingsError, StructureError
    from alphadiffract_plugin.models.structures import build as making
    from alphadiffract_plugin.models.structures.columns import ORIGINS
    from alphadiffract_plugin.models.structures.table import require_pyarrow, write
    from alphadiffract_plugin.output import check_file
    from alphadiffract_plugin.progress import say
    from alphadiffract_plugin.report.structures import rejected_report
    from alphadiffract_plugin.report.tables import print_report

    listed = output.with_suffix(".rejected.csv")
    if origin not in ORIGINS:
        raise SettingsError(f"there is no origin {origin!r}", fix=f"give one of {', '.join(ORIGINS)}")
    if (elements or ids or stable) and MATERIALS_PROJECT not in sources:
        raise SettingsError(
            "--elements, --ids and --stable select from the Materials Project, which is not among the sources",
            fix="add the source mp",
        )
    _check_name(output)
    for path in (output, listed):
        check_file(path, overwrite=overwrite)
    require_pyarrow()
    reported: list[Reported] = []
    for source in sources:
        if source == MATERIALS_PROJECT:
            from alphadiffract_plugin.models.structures.materials_project import reported_by_materials_project

            reported += reported_by_materials_project(elements=_words(elements), ids=_words(ids), stable=stable)
        else:
            reported += making.cifs_in(Path(source), origin)
    built = making.build(reported, workers=workers or os.cpu_count() or 1)
    making.write_rejected(built.rejected, listed)
    if built.rejected:
        print_report([rejected_report(built.reasons, len(reported))])
        say(f"{listed} lists each of them with the reason")
    if not built.rows:
        raise StructureError("none of the structures was kept", fix=f"read the reasons in {listed}")
    write(making.table_from_rows(built.rows), output)
    print(f"{output}: {len(built.rows):,} structure{'s' * (len(built.rows) != 1)}")


@structures.command("stats")
def stats(
    files: FilesArgument,
    json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Count structures by origin, split and crystal system, and list space groups with few structures."""
    import dataclasses
    import json as json_module

    from alphadiffract_plugin.models.structures.stats import statistics
    from alphadiffract_plugin.models.structures.table import read_table
    from alphadiffract_plugin.report.structures import statistics_report
    from alphadiffract_plugin.report.tables import print_report

    found = statistics({path: read_table([path]) for path in files})
    if json:
        print(json_module.dumps(dataclasses.asdict(found), indent=2))
    else:
        print_report(statistics_report(found))


@structures.command("filter")
def filter_structures(
    files: FilesArgument,
    output: OutputOption,
    benchmark: Annotated[
        Path | None,
        typer.Option(metavar="INDEX.csv", help="Remove structures with the lattice and the space group of a pattern."),
    ] = None,
    source: Annotated[str | None, typer.Option(metavar="A,B", help="Keep only structures of these sources.")] = None,
    per_system: Annotated[
        int | None,
        typer.Option(min=1, help="Keep at most so many of each crystal system, of all its groups."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Remove structures that are in a benchmark, or keep a part of them; several files become one."""
    from alphadiffract_plugin.errors import SettingsError, StructureError
    from alphadiffract_plugin.models.structures.leaks import leaks, read_benchmark, stamped
    from alphadiffract_plugin.models.structures.select import spread
    from alphadiffract_plugin.models.structures.table import read_table, unpack, write
    from alphadiffract_plugin.output import check_file
    from alphadiffract_plugin.progress import say

    if benchmark is None and source is None and per_system is None:
        raise SettingsError("no filter was given", fix="give --benchmark INDEX.csv, --source or --per-system")
    _check_name(output)
    check_file(output, overwrite=overwrite)
    known = read_benchmark(benchmark) if benchmark else None
    table = read_table(files)
    total = len(table)
    if source:
        table = _of_sources(table, _words(source))
    if known:
        found = leaks(unpack(table), known)
        table = stamped(table.filter(~found), known, int(found.sum()))
        removed = f"{found.sum():,} of {len(found):,} structures were removed"
        print(f"{removed}: {known.path.name} has their lattice and space group")
        if known.without_cell:
            say(
                f"{known.without_cell} of its {known.rows} rows have no cell: their structures cannot be recognised",
                "note:",
                "yellow",
            )
    if per_system and len(table):
        group = unpack(table)
        table = table.take(spread(group.id, group.space_group, per_system))
    if not len(table):
        raise StructureError("no structure passes the filters", fix="use fewer filters, or name other files")
    write(table, output)
    print(f"{output}: {len(table):,} of {total:,} structures")


def _check_name(output: Path) -> None:
    """Refuse a name that does not end in .parquet."""
    from alphadiffract_plugin.errors import OutputError

    if output.suffix.lower() != ".parquet":
        raise OutputError("does not end in .parquet", fix=f"give -o {output.stem}.parquet", where=output)


def _of_sources(table: pyarrow.Table, wanted: list[str]) -> pyarrow.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    from alphadiffract_plugin.errors import StructureError

    names = pc.list_element(pc.split_pattern(table["id"], ":", max_splits=1), 0)
    there = sorted(set(names.unique().to_pylist()))
    for name in wanted:
        if name not in there:
            raise StructureError(
                f"no structure comes from the source {name!r}", fix=f"choose among the sources {', '.join(there)}"
            )
    return table.filter(pc.is_in(names, pa.array(wanted)))


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]
