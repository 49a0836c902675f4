"""The figures of single test mixtures: the numbers."""

import numpy as np
import pytest

from study.analysis.mixture_scores import from_rows
from study.report.figures import mixtures as mixture_figures
from study.report.figures.mixtures import conditions_data, mixtures_data, sexes_data
from tests.support.fakes import FRONT_ROWS, mixture, row


def heard(mixtures, **facts):
    """Mixtures of one seed each; owners are trials."""
    found = from_rows([{**one, **{fact: values[int(one["mixture"][5:])] for fact, values in facts.items()}} for one in mixtures])
    return found._replace(owners=tuple(trial for trial, _ in found.owners))


def test_distributions_show_front_and_reference_by_size_and_count_what_has_no_score():
    scores = enumerate([1.0, 2.0, 6.0, None])
    data = mixtures_data(FRONT_ROWS, heard([mixture(trial, i, score) for i, score in scores for trial in range(4)]))
    assert [(run.trial, run.parameters) for run in data] == [(2, 400), (1, 500), (0, 1000)]
    assert data[0].si_snri_db == [1.0, 2.0, 6.0]
    assert (data[0].median_db, data[0].unscored) == (2.0, 1)


def test_a_long_front_is_thinned_evenly_but_keeps_both_ends_and_the_reference():
    rows = [row(trial, parameters=1000 - trial, si_snri_db=7 - trial / 10) for trial in range(40)]
    data = mixtures_data(rows, heard([mixture(trial, 0, 1.0) for trial in range(40)]))
    assert len(data) == mixture_figures.SHOWN_AT_MOST
    assert [data[0].trial, data[-2].trial, data[-1].trial] == [39, 1, 0]


def test_a_density_is_a_hill_with_its_top_at_one_even_for_one_value():
    for values in ([3.0], [2.0, 2.0, 2.0], [0.0, 10.0]):
        grid, density = mixture_figures.kernel_density(values)
        assert density.max() == 1
        assert grid[0] < min(values)
        assert max(values) < grid[-1]
    grid, density = mixture_figures.kernel_density([3.0])
    assert grid[np.argmax(density)] == pytest.approx(3, abs=0.01)


def test_a_pair_of_sexes_has_its_mean_and_its_standard_error_and_mf_is_fm():
    scores = [1.0, 3.0, 5.0, 2.0, 4.0]
    data = sexes_data(FRONT_ROWS, heard([mixture(0, i, score) for i, score in enumerate(scores)],
                                  sexes=["F+M", "M+F", "F+M", "M+M", "?+M"]))
    (means,) = [one.means for one in data]
    assert [(mean.pair, mean.mixtures, mean.db.value) for mean in means] == [("FM", 3, 3.0), ("MM", 1, 2.0)]
    assert means[0].db.high - means[0].db.value == pytest.approx(1.96 * 2 / 3**0.5)  # the standard deviation of 1, 3, 5 is 2
    assert means[1].db.low == means[1].db.high == 2.0


@pytest.mark.parametrize("sexes", [["?+M", ""], ["F+M", "F+M"]], ids=["unknown", "all alike"])
def test_where_no_sex_is_known_or_all_pairs_are_alike_there_is_nothing_to_compare(sexes):
    assert sexes_data(FRONT_ROWS, heard([mixture(0, i, 1.0) for i in range(2)], sexes=sexes)) == []


def test_only_facts_that_vary_have_a_panel_and_variants_are_the_reference_and_three_of_the_front():
    front = [row(trial, parameters=1000 - trial, si_snri_db=7 - trial / 10) for trial in range(9)]
    data = conditions_data(front, heard([mixture(trial, i, 1.0 + i) for trial in range(9) for i in range(2)],
                                        duration_s=[3.0, 4.0], level_difference_db=[None, None]))
    assert [condition.fact for condition in data] == ["duration_s"]  # input SI-SNR is 0 everywhere
    assert [(trend.trial, trend.role) for trend in data[0].trends] == [
        (0, "reference"), (8, "smallest"), (4, "middle"), (1, "best")]
    assert data[0].trends[0].points == [(3.0, 1.0), (4.0, 2.0)]
    assert data[0].trends[0].means == []  # two mixtures fill no two bins


def test_a_line_runs_through_the_means_of_bins_of_equally_many_mixtures():
    lengths = [float(i) for i in range(24)]
    data = conditions_data([row(0)], heard([mixture(0, i, i / 2) for i in range(24)], duration_s=lengths))
    assert data[0].trends[0].means == [(5.5, 2.75), (17.5, 8.75)]


def test_mixtures_of_the_same_length_are_in_the_same_bin():
    lengths = [3.0] * 30 + [4.0] * 6
    data = conditions_data([row(0)], heard([mixture(0, i, lengths[i] * 2) for i in range(36)], duration_s=lengths))
    assert data[0].trends[0].means == [(3.0, 6.0), (4.0, 8.0)]
