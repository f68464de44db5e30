"""A phase importer for GSAS-II: *Import, Phase, from AlphaDiffract result*, with the ranked cells to choose from.

It belongs into GSAS-II's folder of user importers, ``~/.GSASII/imports``: ``alphadiffract-plugin gsasii install-hook``
copies it there, and ``remove-hook`` removes it. It runs within GSAS-II, needs only GSAS-II, and reads the JSON that
``alphadiffract-plugin index`` wrote (``.json``, or ``.jsonl`` of several patterns).

A script takes the first cell, or another by its rank:

    from GSASII import GSASIIscriptable as G2sc
    project.add_phase("pbso4.json", fmthint="AlphaDiffract")
    [reader] = [one for one in G2sc.Readers["Phase"] if "AlphaDiffract" in one.formatName]
    reader.rank = 2
    project.add_phase("pbso4.json", fmthint="AlphaDiffract")
"""

from __future__ import annotations

import json
import math
from typing import Any

try:
    from .. import GSASIIlattice as G2lat
    from .. import GSASIIobj as G2obj
    from .. import GSASIIspc as G2spc
except ImportError:  # a GSAS-II from before 2025, whose modules lie side by side
    import GSASIIlattice as G2lat
    import GSASIIobj as G2obj
    import GSASIIspc as G2spc

SCHEMA_VERSION = 1
"""Schema version of the JSON that this importer reads."""

_ANGLES = ("alpha", "beta", "gamma")

CLOSE = 1e-3
"""A cell fits its space group if lengths agree to this fraction, and angles to this number of degrees."""


class AlphaDiffractReader(G2obj.ImportPhase):
    """Reads cells and space groups, without atoms, from what ``alphadiffract-plugin index`` found."""

    rank = 1
    """Rank of the candidate that a script gets. In the window, the user chooses."""

    def __init__(self) -> None:
        G2obj.ImportPhase.__init__(
            self,
            formatName="AlphaDiffract result",
            longFormatName="Ranked unit cells and space groups found by alphadiffract-plugin index",
            extensionlist=(".json", ".jsonl"),
            strictExtension=True,
        )

    def ContentsValidator(self, filename: str) -> bool:
        """Whether the file holds an answer with a cell. If not, ``self.errors`` says how to fix it."""
        try:
            choices_from_file(filename)
        except NotReadableError as error:
            self._tell(error)
            return False
        return True

    def Reader(
        self,
        filename: str,
        ParentFrame: Any = None,
        buffer: dict[str, Any] | None = None,
        blocknum: int = 1,
        **unused: Any,
    ) -> bool:
        """Make a phase of the chosen candidate; while ``self.repeat`` is set, the next call takes the next one."""
        self.repeat = False
        buffer = {} if buffer is None else buffer
        try:
            if blocknum == 1 or "chosen" not in buffer:
                buffer["chosen"] = self._chosen(choices_from_file(filename), ParentFrame)
            choice = buffer["chosen"].pop(0)
            self.Phase = phase_from_choice(choice)
            self.SymOps = {"xyz": ["x,y,z"]}  # otherwise GSAS-II asks for the origin, which concerns only atoms
            self.repeat = bool(buffer["chosen"])
        except NotReadableError as error:
            self._tell(error)
            if ParentFrame is None:
                print(self.errors)
            return False
        if hasattr(ParentFrame, "AddToNotebook"):
            ParentFrame.CheckNotebook()
            ParentFrame.AddToNotebook(self.Phase["General"]["Provenance"])
        return True

    def _tell(self, error: NotReadableError) -> None:
        """Report a fault: GSAS-II prints the errors of a reader, and shows its warnings beside its own message."""
        self.errors = self.warnings = str(error)

    def _chosen(self, choices: list[dict[str, Any]], frame: Any) -> list[dict[str, Any]]:
        """Those of the candidates that the user, or the script, chooses."""
        if frame is None:
            wanted = [choice for choice in choices if choice["rank"] == self.rank][:1]
            if not wanted:
                raise NotReadableError(
                    f"no candidate of rank {self.rank} has a cell", "set the reader's rank to another"
                )
            return wanted
        if len(choices) == 1:
            return choices
        try:
            from .. import GSASIIctrlGUI as G2G
        except ImportError:
            import GSASIIctrlGUI as G2G
        selected = G2G.MultipleBlockSelector(
            [choice["label"] for choice in choices],
            ParentFrame=frame,
            title="Tick the cells to make phases of, the most probable first",
            header="AlphaDiffract result",
            size=(620, 420),
        )
        if not selected:
            raise NotReadableError("no cell was chosen", "import again and tick one")
        return [choices[index] for index in selected]


class NotReadableError(Exception):
    """The file cannot be used: the fault, and how to fix it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}.")


def choices_from_file(filename: str) -> list[dict[str, Any]]:
    """Every candidate with a cell in a file, in order: rank, label, cell, symbol, number, name, provenance.

    Raises
    ------
    NotReadableError : the file is not an answer of ``alphadiffract-plugin index``, or has no candidate with a cell.
    """
    results = _results(filename)
    choices = []
    for result in results:
        for rank, candidate in enumerate(result["candidates"], start=1):
            try:
                if any(value is None or not math.isfinite(value) for value in candidate["cell"]):
                    continue
                a, b, c, alpha, beta, gamma = (float(value) for value in candidate["cell"])
                choice = {"rank": rank, "cell": [a, b, c, alpha, beta, gamma]}
                choice["symbol"], choice["number"] = str(candidate["space_group_symbol"]), int(candidate["space_group"])
                probability = float(candidate["probability"])
            except (KeyError, TypeError, ValueError, OverflowError):
                raise NotReadableError(
                    f"candidate {rank} of {result['histogram']} has a form that this importer does not know",
                    "write the file again, and run 'alphadiffract-plugin gsasii install-hook' of the same version",
                ) from None
            chance = "p <0.01" if probability < 0.005 else f"p {probability:.2f}"
            label = f"{rank}: {choice['symbol']}, {_cell_in_words(choice['cell'])}, {chance}"
            choice["label"] = f"{result['histogram']} {label}" if len(results) > 1 else label
            choice["name"] = f"{result['histogram']} {rank}"
            choice["provenance"] = (
                f"Cell and space group: {label}; candidate {rank} of {len(result['candidates'])} for "
                f"{result['histogram']}, found by alphadiffract-plugin "
                f"{result.get('versions', {}).get('alphadiffract-plugin', '')} (indexer {result.get('indexer')}), read "
                f"from {filename}"
            )
            choices.append(choice)
    if not choices:
        raise NotReadableError(
            "this answer has no candidate with a cell", "read its notes; measure longer, or try another wavelength"
        )
    return choices


def phase_from_choice(choice: dict[str, Any]) -> dict[str, Any]:
    """A phase of GSAS-II with the cell and space group of a choice, and no atoms.

    Raises
    ------
    NotReadableError : GSAS-II does not know the space group, or the cell does not have its symmetry.
    """
    cell = choice["cell"]
    group = _space_group(choice)
    volume = float(G2lat.calc_V(G2lat.cell2A(cell))) if _possible(cell) else math.nan
    if not volume > 1 or not _fits(cell, group):
        raise NotReadableError(
            f"no crystal of {choice['symbol']} has the cell {_cell_in_words(cell)}", "choose another candidate"
        )
    phase = G2obj.SetNewPhase(Name=choice["name"], SGData=group, cell=[*cell, volume])
    phase["General"]["Provenance"] = choice["provenance"]
    return phase


def _results(filename: str) -> list[dict[str, Any]]:
    """The answers in a file: one, or one per line."""
    fix = "give the NAME.json that 'alphadiffract-plugin index PATTERN -o DIR' wrote"
    try:
        with open(filename, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadableError(f"this file cannot be read as text ({error})", fix) from None
    try:
        documents = [json.loads(text)]
    except (ValueError, RecursionError) as error:
        try:
            documents = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError):
            documents = []
        if not documents:
            raise NotReadableError(f"this file is not JSON ({str(error)[:80]})", fix) from None
    for document in documents:
        kind = document.get("record") if isinstance(document, dict) else None
        if kind != "IndexingResult":
            what = f"a {kind}" if isinstance(kind, str) else "something else"
            raise NotReadableError(f"this JSON holds {what}, not an answer of alphadiffract-plugin", fix)
        if document.get("schema_version") != SCHEMA_VERSION or not isinstance(document.get("candidates"), list):
            raise NotReadableError(
                f"this answer has schema version {document.get('schema_version')}; {SCHEMA_VERSION} can be read",
                "index again, and run 'alphadiffract-plugin gsasii install-hook' of the same version",
            )
        document.setdefault("histogram", "pattern")
        if not isinstance(document.get("versions"), dict):
            document["versions"] = {}
    return documents


def _space_group(choice: dict[str, Any]) -> dict[str, Any]:
    """GSAS-II's description of the group. An R group has hexagonal axes, unless the cell is a rhombohedron."""
    suffix = " R" if choice["symbol"].startswith("R") and abs(choice["cell"][5] - 120) > CLOSE else ""
    for symbol in (choice["symbol"], G2spc.spgbyNum[choice["number"]] if 0 < choice["number"] <= 230 else ""):
        fault, group = G2spc.SpcGroup(symbol.rsplit(" R", 1)[0] + suffix if suffix else symbol) if symbol else (1, {})
        if not fault and group:
            return group
    raise NotReadableError(f"GSAS-II knows no space group {choice['symbol']!r}", "choose another candidate")


def _possible(cell: list[float]) -> bool:
    """Whether six numbers are a cell at all."""
    angles = cell[3:]
    return min(cell) > 0 and sum(angles) < 360 and all(2 * angle < sum(angles) for angle in angles)


def _fits(cell: list[float], group: dict[str, Any]) -> bool:
    """Whether a cell has the shape that its crystal system requires; GSAS-II does not check that."""
    a, b, c = cell[:3]
    system, unique = group["SGSys"], group.get("SGUniq", "b") or "b"
    equal = {"cubic": (b, c), "rhombohedral": (b, c), "tetragonal": (b,), "hexagonal": (b,), "trigonal": (b,)}
    right = [90.0, 90.0, 120.0 if system in ("hexagonal", "trigonal") else 90.0]
    if system == "triclinic":
        right = cell[3:]
    elif system == "rhombohedral":
        right = [cell[3]] * 3
    elif system == "monoclinic":
        right["abc".index(unique[-1])] = cell[3 + "abc".index(unique[-1])]
    return all(abs(length / a - 1) < CLOSE for length in equal.get(system, ())) and all(
        abs(cell[3 + index] - angle) < CLOSE for index, angle in enumerate(right)
    )


def _cell_in_words(cell: list[float]) -> str:
    """Lengths with three decimals, and the angles that are not 90 (120 for gamma)."""
    texts = [f"{angle:.2f}" for angle in cell[3:]]
    usual = (("90.00",), ("90.00",), ("90.00", "120.00"))
    odd = [f"{name} {texts[place]}" for place, name in enumerate(_ANGLES) if texts[place] not in usual[place]]
    return " ".join([f"{length:.3f}" for length in cell[:3]] + odd)
