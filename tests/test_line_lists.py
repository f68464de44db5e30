"""Lists of lines, as people have them: from a table in d, from another program in 1/d², from our own answer, edited.

The lines are those of anglesite, P n m a, 8.480 5.398 6.958 Å, as found in the laboratory pattern.
"""

import json

import numpy as np
import pytest

from alphadiffract_plugin.errors import InputError, PeaksError, SettingsError, WavelengthError
from alphadiffract_plugin.load import peaks_from_arrays, peaks_from_file
from alphadiffract_plugin.part_of_pattern import part_of_pattern
from alphadiffract_plugin.peaks import find_peaks
from alphadiffract_plugin.pipeline import index_peaks
from alphadiffract_plugin.readers.selection import Selection, selection_from_text
from alphadiffract_plugin.settings import PeakSettings, Settings

ANGLESITE = (8.479, 5.398, 6.959, 90, 90, 90)


@pytest.fixture(scope="module")
def found(pbso4_xray):
    """The first 30 lines of the pattern."""
    peaks = find_peaks(pbso4_xray, PeakSettings())
    return peaks_from_arrays(peaks.two_theta[:30], peaks.area[:30] / peaks.fwhm[:30], wavelength=1.5405)


def written(tmp_path, text):
    path = tmp_path / "lines.txt"
    path.write_text(text)
    return path


def rows(*columns, form):
    return "".join(form.format(*row) for row in zip(*columns, strict=True))


def first_cell(peaks):
    result = index_peaks(peaks, Settings(), "anglesite")
    first = result.candidates[0]
    return first.space_group, first.cell


def test_a_list_in_d_without_intensities(found, tmp_path):
    path = written(tmp_path, rows(found.inv_d2**-0.5, form="{:.4f}\n"))
    group, cell = first_cell(peaks_from_file(path))
    assert group == 62
    assert cell == pytest.approx(ANGLESITE, rel=1e-3)


def test_a_list_in_inverse_d_squared_with_esds(found, tmp_path):
    esd = np.full(30, 2e-5)
    path = written(tmp_path, "1/d2  esd\n" + rows(found.inv_d2, esd, form="{:.6f} {:.6f}\n"))
    peaks = peaks_from_file(path)
    # d(1/d²)/d(2θ) = 2 sin 2θ / λ² · π/180
    slope = 2 * np.sin(np.radians(peaks.two_theta)) / peaks.wavelength**2 * np.pi / 180
    assert peaks.two_theta_esd == pytest.approx(2e-5 / slope)
    group, cell = first_cell(peaks)
    assert group == 62
    assert cell == pytest.approx(ANGLESITE, rel=1e-3)


def test_the_lines_of_an_answer_with_two_deleted(found, tmp_path):
    answer = json.loads(index_peaks(found, Settings(), "anglesite").to_json())
    lines = answer["peaks"]
    for values in lines.values():
        if isinstance(values, list):
            del values[7], values[3]
    path = written(tmp_path, json.dumps({"peaks": lines}, indent=1))
    peaks = peaks_from_file(path)
    assert len(peaks) == 28
    assert peaks.wavelength == found.wavelength
    assert np.array_equal(peaks.two_theta, np.delete(found.two_theta, [3, 7]))
    assert np.allclose(peaks.area, np.delete(found.area, [3, 7]))
    assert first_cell(peaks)[0] == 62


def test_an_answer_as_it_is_and_less_two_lines(found, tmp_path):
    path = written(tmp_path, index_peaks(found, Settings(), "anglesite").to_json(indent=1))
    assert len(peaks_from_file(path)) == 30
    part = Selection(lines=tuple(found.two_theta[[3, 7]].round(2)))
    assert np.array_equal(peaks_from_file(path, selection=part).two_theta, np.delete(found.two_theta, [3, 7]))


@pytest.mark.parametrize(
    "text",
    [
        lambda x, y: "2theta I\n" + rows(x, y, form="{:.3f} {:.1f}\n"),
        lambda x, y: "# two_theta, intensity\n" + rows(x, y, form="{:.3f}, {:.1f}\n"),
        lambda x, y: "# anglesite, card 36-1461\n" + rows(x, y, form="{:.3f} {:.1f}\n"),
        lambda x, y: "No  I/I0  2-Theta\n" + rows(range(30), y, x, form="{} {:.1f} {:.3f}\n"),
        lambda x, y: json.dumps([[float(f"{a:.3f}"), float(b)] for a, b in zip(x, y, strict=True)]),
        lambda x, y: json.dumps({"two_theta": x.round(3).tolist(), "intensity": y.tolist()}),
    ],
    ids=["named", "commented", "a comment", "another order", "JSON of pairs", "JSON by name"],
)
def test_however_angles_and_intensities_are_written(text, found, tmp_path):
    height = found.area / found.fwhm
    peaks = peaks_from_file(written(tmp_path, text(found.two_theta, height)), wavelength=1.5405)
    assert np.allclose(peaks.two_theta, found.two_theta, atol=6e-4)
    assert np.allclose(peaks.area / peaks.fwhm, height, atol=0.06)


def test_a_key_with_its_numbers_pasted_from_an_answer(found, tmp_path):
    text = json.dumps({"two_theta": found.two_theta.tolist()}, indent=1)
    path = written(tmp_path, text.strip("{}\n") + ",\n")
    assert np.array_equal(peaks_from_file(path, wavelength=1.5405).two_theta, found.two_theta)


def test_uncertainties_in_brackets_and_those_of_the_last_decimal_place(found, tmp_path):
    path = written(tmp_path, rows(found.two_theta, form="{:.3f}(4)\n"))
    assert peaks_from_file(path, wavelength=1.5405).two_theta_esd == pytest.approx(0.004)
    rounded = peaks_from_file(written(tmp_path, rows(found.two_theta, form="{:.1f}\n")), wavelength=1.5405)
    assert rounded.two_theta_esd == pytest.approx(0.1 / np.sqrt(12))
    usual = peaks_from_file(written(tmp_path, rows(found.two_theta, form="{:.3f}\n")), wavelength=1.5405)
    assert usual.two_theta_esd == pytest.approx(0.01, rel=1e-4)


def test_a_doublet_for_a_list_means_its_first_line(found, tmp_path):
    path = written(tmp_path, rows(found.two_theta, form="{:.3f}\n"))
    assert peaks_from_file(path, wavelength="CuKa").wavelength == 1.5405929
    said = written(tmp_path, "# wavelength = 1.5405\n# two_theta\n" + rows(found.two_theta, form="{:.3f}\n"))
    assert peaks_from_file(said).wavelength == 1.5405


@pytest.mark.parametrize(
    ("text", "kind", "what", "fix"),
    [
        ("", InputError, "no list of lines", "one line a row"),
        ("# nothing yet\n", InputError, "no list of lines", "one line a row"),
        ("[]", InputError, "no list of lines", "one line a row"),
        ('{"note": "see below"}', InputError, "no list of lines", "one line a row"),
        ("two_theta\n20\n25\n30\n", PeaksError, "a list of 3 lines", "more lines"),
        ("two_theta\n20\n25\n25\n30\n33\n", InputError, "25 is given twice", "delete one"),
        ("two_theta\n20\n25\n190\n30\n33\n", InputError, "190 of line 3", "below 180"),
        ("d\n8\n5\n-3\n2\n1.5\n", InputError, "-3 of line 3", "above 0"),
        ("inv_d2\n1.2\n1.5\n1.55\n1.6\n1.65\n", InputError, "d from 0.7785 to 0.9129", "check whether"),
        ("d\n8000\n5000\n4000\n3000\n2000\n", InputError, "not a powder's", "check whether"),
        ("0.05\n0.07\n0.09\n0.12\n0.15\n", InputError, "does not say whether", "--peaks-in"),
        ("colour size\n20 1\n25 2\n30 3\n35 4\n40 5\n", InputError, "none of the columns colour, size", "two_theta, d"),
        ("20 1 2 3\n25 1 2 3\n30 1 2 3\n35 1 2 3\n40 1 2 3\n", InputError, "4 columns and no heading", "name them"),
        ("20 1\n25\n30 3\n", InputError, "1 numbers, the rows above have 2", "same columns"),
        ("20\nabout 25\n30\n", InputError, "text: 'about 25'", "delete the line"),
        ("two_theta I\n20 1\n25 2\n30 0\n35 4\n40 5\n", InputError, "intensity of line 3 is 0", "no intensity at all"),
        ('{"two_theta": [20, 25, 30], "area": [1, 2]}', InputError, "has 3 values, area has 2", "--exclude"),
        ('{"two_theta": [20, null, 30, 35, 40]}', InputError, "nan of line 2", "above 0"),
    ],
)
def test_what_is_no_list_is_refused(text, kind, what, fix, tmp_path):
    with pytest.raises(kind) as raised:
        peaks_from_file(written(tmp_path, text), wavelength=1.5406)
    assert what in raised.value.what
    assert fix in raised.value.fix


def test_a_whole_pattern_and_a_picture_are_no_lists(examples, tmp_path):
    with pytest.raises(InputError, match=r"6001 lines are too many.*\n.*not with --peaks"):
        peaks_from_file(examples / "pbso4_xray.xye", wavelength=1.5405)
    (tmp_path / "lines.png").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(InputError, match="a binary file, not a list"):
        peaks_from_file(tmp_path / "lines.png")


def test_wavelengths_that_do_not_go_with_a_list():
    angles, spacings = [20.0, 25, 30, 35, 40], [5.0, 4, 3, 2, 1.5]
    with pytest.raises(WavelengthError, match=r"there is no wavelength.*\n.*CuKa1"):
        peaks_from_arrays(angles)
    with pytest.raises(WavelengthError, match=r"with 3.5 Å no line can have d = 1.5 Å"):
        peaks_from_arrays(spacings, kind="d", wavelength=3.5)
    with pytest.raises(InputError, match=r"'q' is not what positions may be.*\n.*two_theta, d, inv_d2"):
        peaks_from_arrays(spacings, kind="q")
    with pytest.raises(InputError, match="have shapes"):
        peaks_from_arrays(spacings, [1, 2], kind="d")


def test_the_unit_that_is_given_and_the_one_in_the_heading(tmp_path):
    path = written(tmp_path, "0.05\n0.07\n0.09\n0.12\n0.15\n")
    assert np.allclose(peaks_from_file(path, kind="inv_d2").inv_d2, [0.05, 0.07, 0.09, 0.12, 0.15])
    with pytest.raises(InputError, match="the heading says d, and inv_d2 was given"):
        peaks_from_file(written(tmp_path, "d\n8\n5\n4\n3\n2\n"), kind="inv_d2")


def test_a_foreign_line_is_left_unexplained(found):
    # one line of a contaminant among the others: the cell stays, the line is listed
    foreign = 22.10
    assert np.abs(found.two_theta - foreign).min() > 0.5
    lines = np.sort(np.append(found.two_theta, foreign))
    first = index_peaks(peaks_from_arrays(lines, wavelength=1.5405), Settings()).candidates[0]
    assert first.cell == pytest.approx(ANGLESITE, rel=1e-3)
    assert pytest.approx(foreign) in first.unindexed
    assert np.isnan(first.rwp)


SELECTIONS = {
    ("10-80", None): Selection((10, 80)),
    (None, "26.6,44.7-45.2"): Selection(excluded=((44.7, 45.2),), lines=(26.6,)),
    ("1.5 - 8", " 3.34 "): Selection((1.5, 8), lines=(3.34,)),
}


@pytest.mark.parametrize("text", SELECTIONS)
def test_ranges_and_lines_to_ignore_as_they_are_written(text):
    assert selection_from_text(*text) == SELECTIONS[text]


@pytest.mark.parametrize(
    ("within", "exclude", "what"),
    [
        ("80-10", None, "--range: '80-10' does not ascend"),
        ("ten", None, "--range: 'ten' is no range"),
        (None, "26.6,,45", "--exclude: '' is neither"),
        (None, "26.6;45", "--exclude: '26.6;45' is neither"),
        (None, "-26", "--exclude: '-26' is no position"),
    ],
)
def test_what_is_no_range_is_refused(within, exclude, what):
    with pytest.raises(SettingsError, match=what):
        selection_from_text(within, exclude)


def test_a_part_of_a_pattern(pbso4_xray):
    part = part_of_pattern(pbso4_xray, Selection((15, 80), excluded=((44.7, 45.2),)), PeakSettings())
    assert part.two_theta[[0, -1]] == pytest.approx([15, 80])
    assert not np.any((part.two_theta >= 44.7) & (part.two_theta <= 45.2))
    assert "from 15 to 80, without 44.7 to 45.2" in part.source


@pytest.mark.parametrize("line", [43.74, 44.55, 20.78])
def test_a_line_is_taken_out_and_its_neighbours_stay(line, pbso4_xray):
    # a strong one with weak neighbours, the weak one beside it, and one of the strongest of all
    before = find_peaks(pbso4_xray, PeakSettings()).two_theta
    assert np.abs(before - line).min() < 0.05
    part = part_of_pattern(pbso4_xray, Selection(lines=(line,)), PeakSettings())
    assert len(part.two_theta) == len(pbso4_xray.two_theta)
    after = find_peaks(part, PeakSettings()).two_theta
    assert np.abs(after - line).min() > 0.15
    others = before[np.abs(before - line) > 0.05]
    assert np.abs(after[:, None] - others[:40]).min(0).max() < 0.03
    assert np.abs(others[:, None] - after[:40]).min(0).max() < 0.03


@pytest.mark.parametrize(
    ("selection", "what"),
    [
        (Selection((170, 175)), "0 of 6001 points are left from 170 to 175"),
        (Selection((20, 80), excluded=((10, 90),)), "points are left from 20 to 80, without 10 to 90"),
        (Selection(lines=(12.0,)), "there is no line at 12 .*the nearest is at"),
    ],
)
def test_a_part_without_anything_is_refused(selection, what, pbso4_xray):
    with pytest.raises(InputError, match=what):
        part_of_pattern(pbso4_xray, selection, PeakSettings())


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--peaks", "LIST", "--range", "1-2"], "none of the 30 lines is left from 1 to 2"),
        (["--peaks", "LIST", "--exclude", "12"], "there is no line at 12"),
        (["--peaks", "LIST", "--exclude", "10-90"], "none of the 30 lines is left"),
        (["--peaks", "LIST", "PATTERN"], "not both"),
        ([], "a list of lines with --peaks"),
        (["--peaks", "LIST", "--indexer", "instant"], "takes no list"),
        (["--peaks", "LIST", "--seed", "bundle", "-o", "OUT"], "needs a pattern"),
        (["PATTERN", "--range", "100-101"], "of 6001 points are left"),
        (["PATTERN", "--exclude", "what"], "neither a position nor a range"),
    ],
)
def test_the_command_line_refuses_with_code_2(arguments, what, cli, found, examples, tmp_path):
    path = written(tmp_path, rows(found.two_theta, form="{:.3f}\n"))
    names = {"LIST": path, "PATTERN": examples / "pbso4_xray.xye", "OUT": tmp_path / "out"}
    shown = cli("index", "--wavelength", 1.5405, *(names.get(word, word) for word in arguments))
    assert shown.code == 2
    assert what in " ".join(shown.err.replace("│", " ").split())
    assert "Traceback" not in shown.err


def test_the_command_line_indexes_a_list_and_keeps_the_answer(cli, found, tmp_path):
    path = written(tmp_path, "d\n" + rows(found.inv_d2**-0.5, form="{:.4f}\n"))
    shown = cli("index", "--peaks", path, "--exclude", f"{found.inv_d2[3] ** -0.5:.2f}", "-o", tmp_path / "out")
    assert shown.code == 0
    assert "P n m a (62)" in shown.out
    assert "Only a part of the lines or points was used: without" in shown.out
    answer = json.loads((tmp_path / "out" / "lines.json").read_text())
    assert len(answer["peaks"]["two_theta"]) == 29
    again = cli("index", "--peaks", tmp_path / "out" / "lines.json", "--range", "10-60", "--json", "-")
    assert again.code == 0
    assert json.loads(again.out)["candidates"][0]["space_group"] == 62
