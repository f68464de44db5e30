"""The order of answers: what the pattern says, how common groups are, and what the network adds."""

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from alphadiffract_plugin import crystal
from alphadiffract_plugin.crystal.bravais import Lattice
from alphadiffract_plugin.indexing.refine_cells import TrialCell
from alphadiffract_plugin.rank import Weights, log_frequency, rank, term_table, weights
from alphadiffract_plugin.records import Prediction
from alphadiffract_plugin.settings import RankSettings
from alphadiffract_plugin.whole_pattern.fit_pattern import fit_pattern

ANGLESITE = (8.480, 5.398, 6.958, 90.0, 90.0, 90.0)


def opinion(**share):
    """A network that gives such shares to some groups (``g62=0.9``) and the rest to all others alike."""
    given = {int(name[1:]): value for name, value in share.items()}
    probability = np.full(230, (1 - sum(given.values())) / (230 - len(given)))
    for number, value in given.items():
        probability[number - 1] = value
    return Prediction(np.full(7, 1 / 7), probability, (), probability[None], "made up")


@pytest.fixture(scope="module")
def answers(anglesite):
    """Anglesite's answers without a network."""
    return rank(anglesite.fits, anglesite.peak_fit, None, RankSettings())


def test_anglesite_comes_first_with_its_cell_and_space_group(answers):
    first = answers[0]
    assert (first.space_group, first.space_group_symbol, first.crystal_system) == (62, "P n m a", "orthorhombic")
    assert first.extinction_symbol == "P n - a"
    assert first.same_extinctions == (33, 62)
    assert first.cell == pytest.approx(ANGLESITE, rel=1e-3)
    assert first.probability > 0.5
    assert first.m20 > 40
    assert first.f20 > 50
    assert first.lines_used == 20
    assert first.unindexed == ()


def test_the_other_group_of_the_class_is_second_on_its_own_axes(answers):
    second = answers[1]
    a, b, c, *angles = answers[0].cell
    assert (second.space_group, second.space_group_symbol) == (33, "P n a 21")
    assert second.cell == pytest.approx((a, c, b, *angles))
    assert second.rwp == answers[0].rwp
    assert second.m20 == pytest.approx(answers[0].m20)


def test_probabilities_fall_and_leave_room_for_none_of_these(answers, anglesite):
    probability = [answer.probability for answer in answers]
    assert probability == sorted(probability, reverse=True)
    assert 0.9 < sum(probability) <= 1
    assert len(answers) == RankSettings().keep
    few = rank(anglesite.fits, anglesite.peak_fit, None, RankSettings(keep=3))
    assert few == answers[:3]


def test_no_cell_takes_more_than_six_places(answers):
    """So that other cells are seen too; volume and sorted edges distinguish cells here."""
    cells = [(round(answer.volume, 2), tuple(np.round(sorted(answer.cell[:3]), 3))) for answer in answers]
    assert max(cells.count(cell) for cell in cells) == 6
    assert len(set(cells)) >= 3


def test_uncertainties_of_the_cell_are_sane_and_zero_where_symmetry_fixes_it(answers):
    """The published cell is a few of them away, or 0.05 %."""
    for answer in answers[:2]:
        sigma = np.array(answer.cell_esd)
        assert (sigma[3:] == 0).all()
        assert ((sigma[:3] > 1e-4) & (sigma[:3] < 3e-3)).all()
    assert np.abs(np.array(answers[0].cell[:3]) / ANGLESITE[:3] - 1).max() < 5e-4


def test_an_oblique_cell_has_uncertain_angles(pbso4_xray, anglesite):
    """The same lattice taken for monoclinic: b unique, so beta alone is free."""
    trial = TrialCell(Lattice("monoclinic", "P"), crystal.metric_from_cell(ANGLESITE), 0.0, 0.0, "search")
    answer = rank(fit_pattern(pbso4_xray, anglesite.peak_fit, [trial]), anglesite.peak_fit, None, RankSettings())[0]
    assert answer.crystal_system == "monoclinic"
    alpha, beta, gamma = answer.cell_esd[3:]
    assert alpha == gamma == 0
    assert 1e-4 < beta < 0.1
    assert answer.cell[4] == pytest.approx(90, abs=0.1)


def test_more_symmetry_is_preferred_where_the_lines_are_the_same(pbso4_xray, anglesite):
    """Anglesite as orthorhombic and as monoclinic with an angle of 90 degrees."""
    fits = []
    for family in ("monoclinic", "orthorhombic"):
        lattice = Lattice(family, "P")
        trial = TrialCell(lattice, crystal.metric_from_cell(ANGLESITE), 0.0, 40 - 6.0 * lattice.free, "search")
        fits += fit_pattern(pbso4_xray, anglesite.peak_fit, [trial])
    answers = rank(fits, anglesite.peak_fit, None, RankSettings())
    assert answers[0].crystal_system == "orthorhombic"
    monoclinic = next(answer for answer in answers if answer.crystal_system == "monoclinic")
    assert monoclinic.probability < 0.2 * answers[0].probability


def test_the_network_parts_groups_that_the_lines_cannot(anglesite, answers):
    sure = rank(anglesite.fits, anglesite.peak_fit, opinion(g33=0.95), RankSettings())
    assert [answer.space_group for answer in sure[:2]] == [33, 62]
    assert sure[0].cell == answers[1].cell
    agreeing = rank(anglesite.fits, anglesite.peak_fit, opinion(g62=0.95), RankSettings())
    assert agreeing[0].space_group == 62
    assert agreeing[0].probability > answers[0].probability


def test_a_network_that_is_wrong_does_not_overrule_the_lines(anglesite):
    """It is sure of rock salt; nothing cubic explains the pattern."""
    answers = rank(anglesite.fits, anglesite.peak_fit, opinion(g225=0.999), RankSettings())
    assert (answers[0].space_group, answers[0].crystal_system) == (62, "orthorhombic")


def test_wrong_cells_alone_are_given_little_probability(pbso4_xray, anglesite):
    wrong = [(8.65, 5.398, 6.958, 90.0, 90.0, 90.0), (8.48, 5.30, 7.05, 90.0, 90.0, 90.0)]
    trials = [TrialCell(Lattice("orthorhombic", "P"), crystal.metric_from_cell(c), 0.0, 0.0, "search") for c in wrong]
    answers = rank(fit_pattern(pbso4_xray, anglesite.peak_fit, trials), anglesite.peak_fit, None, RankSettings())
    assert sum(answer.probability for answer in answers) < 0.05
    assert len(answers[0].unindexed) > 3


def test_where_no_cell_is_good_the_network_s_groups_come_first_without_a_cell(pbso4_xray, anglesite):
    """Wrong cells alone again; the network, asked about a mineral, is for P n m a and a little for P 21/c and P -1."""
    cell = (8.65, 5.30, 7.05, 90.0, 90.0, 90.0)
    trials = [TrialCell(Lattice("orthorhombic", "P"), crystal.metric_from_cell(cell), 0.0, 0.0, "search")]
    fits = fit_pattern(pbso4_xray, anglesite.peak_fit, trials)
    answers = rank(fits, anglesite.peak_fit, opinion(g62=0.6, g14=0.2, g2=0.15), RankSettings())
    groups = [answer.space_group for answer in answers if not answer.has_cell]
    assert len(groups) == 3
    assert set(groups[:3]) == {62, 14, 2}
    assert not answers[0].has_cell
    assert np.isnan(answers[0].volume)
    assert sum(answer.probability for answer in answers) <= 1
    low, high = (next(a.probability for a in answers if a.space_group == g and not a.has_cell) for g in (2, 62))
    assert low / high > 0.15 / 0.6  # cells of low symmetry are missed more often


def test_where_a_cell_is_good_the_network_s_groups_stay_behind(anglesite):
    answers = rank(anglesite.fits, anglesite.peak_fit, opinion(g2=0.9), RankSettings())
    assert answers[0].has_cell
    assert answers[0].space_group in (33, 62)
    assert sum(answer.probability for answer in answers if not answer.has_cell) < 0.1


def test_no_fits_no_answers_but_the_network_s(anglesite):
    assert rank([], anglesite.peak_fit, None, RankSettings()) == ()
    alone = rank([], anglesite.peak_fit, opinion(g62=0.6, g14=0.2, g2=0.15), RankSettings())
    assert [answer.has_cell for answer in alone] == [False] * 3


def test_the_shifts_of_the_fit_are_handed_on(answers, anglesite):
    fit = next(f for f in anglesite.fits if f.extinction.space_groups == (33, 62) and not f.unexplained)
    assert answers[0].zero_shift == fit.trial.zero_shift
    assert answers[0].displacement == fit.displacement
    assert answers[0].origin in ("search", "network")


# what the ranking knows beforehand


def test_common_groups_are_common():
    """P 21/c, P n m a, F m -3 m and their like lead; no group is impossible."""
    share = np.exp(log_frequency())
    assert share.sum() == pytest.approx(1)
    assert (share > 0).all()
    leading = {int(i) + 1 for i in np.argsort(-share)[:12]}
    assert {62, 14, 225} <= leading
    assert share[62 - 1] > 3 * share[33 - 1]


def test_the_weights_have_the_signs_that_reason_asks():
    """More lines explained is better; misfit, free parameters and shifts are worse; common groups are likelier."""
    fitted = weights()
    assert isinstance(fitted, Weights)
    assert fitted.lines > 0
    assert fitted.frequency > 0
    assert fitted.network > 0
    assert fitted.misfit <= 0
    assert fitted.parameters < 0
    assert fitted.zero <= 0
    assert fitted.absent < 0
    assert fitted.foreign < 0


def test_the_weights_come_with_how_they_were_fitted():
    document = json.loads(files("alphadiffract_plugin").joinpath("data/ranking.json").read_text())
    assert {"what", "fitted_on", "seed", "weights", "without_own_part"} <= set(document)
    assert all(figures["patterns"] > 150 for figures in document["without_own_part"].values())
    assert len(document["without_own_part"]) == 2


def test_the_score_is_the_weighted_sum_of_its_terms(anglesite, answers):
    """Differences of scores, tempered, are differences of logarithms of probabilities."""
    table, owner = term_table(anglesite.fits, None)
    fitted = weights()
    score = table @ fitted.of_terms
    best = int(score.argmax())
    assert owner[best][1].space_group == 62
    second = next(i for i in np.argsort(-score) if owner[i][1].space_group == 33)
    ratio = np.log(answers[0].probability / answers[1].probability)
    assert fitted.temper * (score[best] - score[second]) == pytest.approx(ratio)


def test_a_pattern_with_worse_lines_raises_the_share_of_none(anglesite):
    """The same fits with a sixth of the evidence of the lines."""
    weaker = [replace(f, evidence=replace(f.evidence, lines=f.evidence.lines / 6)) for f in anglesite.fits]
    total = [
        sum(answer.probability for answer in rank(fits, anglesite.peak_fit, None, RankSettings()))
        for fits in (anglesite.fits, weaker)
    ]
    assert total[1] < total[0]
