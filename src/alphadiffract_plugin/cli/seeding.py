"""What the commands ``index`` and ``seed`` share: checks, and the folder that a seeder fills."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from alphadiffract_plugin.errors import InputError, SettingsError
from alphadiffract_plugin.hooks import Seeder
from alphadiffract_plugin.output import (
    check_absent,
    check_folder,
    emptied,
    make_folder,
    only_here,
    remove_leftovers,
    write_text,
)
from alphadiffract_plugin.records import Histogram, IndexingResult, SeedReport
from alphadiffract_plugin.registry import as_plugin_error, check_answer
from alphadiffract_plugin.settings import Settings


def check_able(seeders: Iterable[Seeder]) -> None:
    """Refuse, before any work, seeders that say that they cannot work here.

    Raises
    ------
    AlphaDiffractError : as the seeder says it.
    PluginError : the check of another package failed in a way of its own.
    """
    for seeder in seeders:
        if seeder.check is not None:
            with as_plugin_error("seeder", seeder.name, seeder.check):
                seeder.check()


def check_seeds(folder: Path, name: str, seeders: Sequence[Seeder], *, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, or that already holds what these seeders would make.

    Raises
    ------
    OutputError : names the place.
    """
    check_folder(folder)
    for seeder in seeders:
        target = folder / name / seeder.name
        remove_leftovers(target.parent, target.name)
        check_absent([target, target.with_name(f"{seeder.name}.json")], overwrite=overwrite)


def seed_into(
    folder: Path,
    name: str,
    seeder: Seeder,
    histogram: Histogram,
    result: IndexingResult,
    settings: Settings,
    *,
    overwrite: bool = False,
) -> SeedReport:
    """Seed into FOLDER/NAME/SEEDER/, and write the report beside it as FOLDER/NAME/SEEDER.json.

    With ``overwrite`` the files of the earlier report are replaced; other files in that folder stay. After a failure
    the folder is as it was before.

    Raises
    ------
    OutputError : something is there already and ``overwrite`` is False, it cannot be written, or another process is
        writing there.
    PluginError : the seeder comes from another package and failed in a way of its own; or it returned no report
        that can be written down.
    """
    target = make_folder(folder / name) / seeder.name
    report_file = target.with_name(f"{seeder.name}.json")
    with only_here(target.parent):
        remove_leftovers(target.parent, target.name)
        check_absent([target, report_file], overwrite=overwrite)
        try:
            with emptied(target, made_before=_files_of(report_file)):
                with as_plugin_error("seeder", seeder.name, seeder.seed):
                    report = seeder.seed(histogram, result, target, settings)
                check_answer("seeder", seeder.name, report, SeedReport)
        except BaseException:
            for left in (target, target.parent):
                if left.is_dir() and not any(left.iterdir()):
                    left.rmdir()
            raise
        report = dataclasses.replace(report, settings=settings.to_dict())
        write_text(report_file, report.to_json(indent=1) + "\n")
    return report


def _files_of(report_file: Path) -> tuple[str, ...]:
    """The files that an earlier report lists; none if there is no such report."""
    try:
        return SeedReport.from_json(report_file.read_text(encoding="utf-8")).files
    except (OSError, UnicodeDecodeError, SettingsError):
        return ()


def answer_from_file(path: Path) -> IndexingResult:
    """The answer that ``index`` wrote into a JSON file.

    Raises
    ------
    InputError, SettingsError : there is no such file, or it holds no answer of this version.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "this is not a text file"
        raise InputError(
            f"cannot be read: {reason}", fix="give the file that `index --json` wrote", where=path
        ) from error
    try:
        return IndexingResult.from_json(text)
    except SettingsError as error:
        raise SettingsError(error.what, fix=error.fix, where=path) from error


def check_belongs(answer: IndexingResult, histogram: Histogram, path: Path) -> None:
    """Refuse to seed a pattern from an answer without candidates, or one found at another wavelength.

    Raises
    ------
    InputError : names the answer's file.
    """
    if not answer.candidates:
        raise InputError("this answer has no candidate", fix="index the pattern again", where=path)
    if abs(answer.wavelength / histogram.wavelength - 1) > 1e-3:
        raise InputError(
            f"was found at {answer.wavelength:.6g} Å, but the pattern is read as {histogram.wavelength:.6g} Å",
            fix="give the same --wavelength as to `index`",
            where=path,
        )


def seed_line(report: SeedReport) -> str:
    """One line that says what a seeder made."""
    outcome = "converged" if report.converged else "did not converge"
    fit = "" if report.converged is None else f", {report.method or 'fit'} {outcome} at Rwp {report.rwp:.2f} %"
    return f"seeded {report.target} ({report.seeder}: {len(report.phases)} phases{fit})"
