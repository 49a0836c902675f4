"""The words of figures: numbers in them, and sentences that hold for what is drawn."""

import math

from study.analysis.effects import Importance
from study.analysis.hypervolume_curve import Progress
from study.analysis.replicates import per_trial
from study.records import Estimate
from study.report.figures import captions
from study.report.figures.effects import effects_data
from study.report.figures.front import Published, front_data
from study.report.figures.hyperparameters import hyperparameters_data, parallel_data
from study.report.figures.learning import curves_data, hypervolume_data
from study.report.figures.mixtures import Condition, Mean, Pairs, Spread, Trend
from tests.support.fakes import FRONT_ROWS as ROWS
from tests.support.fakes import epoch, row, stopped
from tests.support.made_up_effects import EFFECTS, TOGETHER


def test_a_front_is_told_in_numbers_from_its_cheapest_to_its_best_and_the_reference():
    alt, caption = captions.front(front_data(ROWS, "parameters"), 0)
    assert alt == ("SI-SNRi against parameters: 3 variants Pareto-optimal, 1 dominated; the best rises from 6.00 dB at 400 to "
                   "7.00 dB at 1.00k; the reference has 7.00 dB at 1.00k.")
    assert "dotted line" in caption
    assert not any(word in caption for word in ("95 %", "disc", "diamonds", "Without"))


def test_a_caption_speaks_of_intervals_chances_and_publications_only_where_they_are_drawn():
    data = front_data([{**one, "peak_memory_bytes": 3_000_000 if one["trial"] else None} for one in ROWS], "peak_memory_bytes",
                      {2: Estimate(6, 5, 7)}, {2: 0.4}, [Published("large", 5e6, 15.3)])
    alt, caption = captions.front(data._replace(published=[("large", 5e6, 15.3)]), 2)
    assert "6.00 dB at 3 MB" in alt
    assert "1 published result" in alt
    for words in ("A bar is the 95 % interval of a score.", "pale disc", "Hollow diamonds are published", "1 variant.",
                  "2 variants of the front."):
        assert words in caption


def test_only_a_front_whose_bars_are_not_all_drawn_says_so():
    rows = [row(trial, parameters=1000 + trial, si_snri_db=5.0) for trial in range(70)]
    data = front_data(rows, "parameters", {trial: Estimate(5, 4, 6) for trial in range(70)})
    assert "for the front and the reference only" in captions.front(data, 0).caption


def test_the_growth_says_where_it_is_measured_from_and_when_nine_tenths_are_there():
    point = {"si_snri_db": 0.0, "parameters": 2e6, "macs_per_s": 1e9}
    data = hypervolume_data(Progress([1, 2], [3600.0, 7200.0], [5.0, 10.0], point))
    alt, caption = captions.hypervolume(data)
    assert "10 after 2 trials and 2 hours; 90 % of that is there after 2 trials" in alt
    assert "from 0 dB, 2.00M parameters, 1.00G MACs per s" in caption


def test_each_hyperparameter_has_its_effect_in_words_and_a_refused_model_with_its_cause():
    words = captions.effects(effects_data(EFFECTS, {}), EFFECTS)
    assert "Sc +1.9 dB [1.2, 2.6] per doubling" in words.alt
    assert "90 % of the variance between 20 variants" in words.caption
    bare = captions.hyperparameters(hyperparameters_data(ROWS), "too few variants")
    assert "holds the others fixed: too few variants." in bare.caption


def test_two_hyperparameters_together_are_told_from_the_worst_to_the_best_pair():
    alt, caption = captions.interaction(TOGETHER)
    assert "from 1.00 dB at X2 R1 to 8.00 dB at X8 R2. Doubling both" in alt
    assert "hatched" in caption
    full = TOGETHER._replace(mean_db=[[1.0, 2.0], [3.0, 3.5], [4.5, 8.0]])
    assert "hatched" not in captions.interaction(full).caption


def test_importance_is_told_in_per_cent():
    one = Importance("X", Estimate(0.3, 0.1, 0.5), Estimate(0.6, 0.4, 0.9))
    assert captions.importance([one]).alt == "Importance of the hyperparameters: X 60 % by main effects and 30 % by PED-ANOVA."


def test_mixtures_are_told_by_medians_and_what_is_missing():
    data = [Spread(1, "X4", 10, [1.0], 1.0, 2), Spread(0, "reference", 20, [3.0], 3.0, 0)]
    alt, caption = captions.mixtures(data, thinned=True, replicated=False)
    assert alt.endswith("for 2 variants; medians from 1.00 to 3.00 dB.")
    assert "an even choice of the front" in caption
    assert caption.endswith("2 scores.")
    assert captions.mixtures([], thinned=False, replicated=False).alt.endswith("for 0 variants.")


def test_sexes_are_told_by_the_range_of_each_pair():
    data = [Pairs(0, "reference", [Mean("FF", 2, Estimate(3, 2, 4))]), Pairs(1, "X4", [Mean("FF", 2, Estimate(1, 0, 2))])]
    assert captions.sexes(data).alt == "SI-SNRi by the sexes of the speakers for 2 variants: FF from 1.00 to 3.00 dB."


def test_conditions_are_told_from_the_first_to_the_last_mean_of_each_role():
    data = [Condition("duration_s", "duration (s)", [Trend(0, "reference", "reference", [], [(1.0, 4.0), (2.0, 5.0)])])]
    assert captions.conditions(data).alt.endswith("against duration (s): reference from 4.00 to 5.00 dB.")


def test_parallel_lines_are_counted_by_kind():
    assert captions.parallel(parallel_data(ROWS)).alt.endswith("2 Pareto-optimal, 1 dominated, and the reference.")


def test_curves_mention_seeds_and_early_ends_only_where_there_are_some():
    plain = curves_data([row(0)], [row(0)], [epoch(0, 1, -1.0, math.nan)])
    assert not any(word in captions.curves(plain).caption for word in ("seeds", "stopped", "Not drawn"))
    runs = [row(0), row(0, seed=1), stopped(1)]
    both = curves_data(per_trial(runs), runs, [epoch(run["trial"], 1, -1.0, 1.0, run["seed"]) for run in runs])
    assert all(word in captions.curves(both).caption for word in ("seeds", "stopped"))


def test_importance_without_ped_anova_names_the_main_effects_alone():
    words = captions.importance([Importance("X", None, Estimate(0.6, 0.4, 0.9))])
    assert words.alt == "Importance of the hyperparameters: X 60 % by main effects."
    assert "PED-ANOVA" not in words.caption
