import numpy as np
import pytest

from study.analysis import pareto
from study.analysis.predicted_front import Sizes, dearest, limited, predicted_front
from study.analysis.proposals import believed, gains, neighbours, proposals, suggestions
from study.analysis.score_surface import Coding, Surface, Trained
from study.records import Budget, Estimate
from study.space.points import fixed, index_of, points
from study.space.presets import FULL, QUICK
from study.space.searched import TUNED
from tasnet_core.cost import count
from tasnet_core.records import Variant

SPACE = points(QUICK, np.arange(len(QUICK)))
CODING = Coding.of(fixed(QUICK), SPACE.fields)
INPUTS = CODING.inputs(SPACE.fields)
REFERENCE = len(QUICK) - 1


def fields_of(places):
    return {name: column[places] for name, column in SPACE.fields.items()}


def trained(places, rng=None):
    rng = rng or np.random.default_rng(0)
    scores = 6.5 + 0.5 * INPUTS.octaves[places] + 0.3 * INPUTS.ways[places, 4] + rng.normal(0, 0.15, len(places))
    return Trained(fields_of(places), scores, np.ones(len(places)))


def some(count, seed=0):
    return np.append(np.random.default_rng(seed).choice(REFERENCE, count - 1, replace=False), REFERENCE)


def test_the_best_at_each_size_is_the_best_of_all_within_it():
    rng = np.random.default_rng(1)
    places = some(60)
    pool = points(QUICK, places)
    sizes = Sizes.of(pool, dearest(QUICK, Budget()))
    scores = rng.normal(size=60)
    found = iter(sizes.best(scores))
    for costs, limits in zip((pool.parameters, pool.macs_per_s), sizes.limits, strict=True):
        for limit in limits:
            within = np.log(costs) <= limit
            assert scores[next(found)] == scores[within].max()
    assert next(found, None) is None


def test_sizes_go_from_the_cheapest_to_the_reference_or_to_the_budget():
    reference = count.exact(QUICK.reference)
    for budget, ends in ((Budget(), (reference.parameters, reference.macs_per_s)),
                         (Budget(max_parameters=60_000), (60_000, reference.macs_per_s))):
        sizes = Sizes.of(SPACE, dearest(QUICK, budget))
        np.testing.assert_allclose(np.exp(sizes.limits[:, -1]), ends)
        np.testing.assert_allclose(np.exp(sizes.limits[:, 0]), [SPACE.parameters.min(), SPACE.macs_per_s.min()])
        assert np.ptp(np.diff(sizes.limits), axis=1).max() < 1e-9


def test_gains_are_what_a_training_brings_on_average():
    places = np.random.default_rng(2).choice(REFERENCE, 40, replace=False)
    inputs, pool = CODING.inputs(fields_of(places)), points(QUICK, places)
    surface = Surface(CODING, trained(some(8)))
    sizes = Sizes.of(pool, dearest(QUICK, Budget()))
    candidate = int(np.argmax(gains(surface, inputs, sizes, list(range(40))).rise_db))
    found = gains(surface, inputs, sizes, [candidate])
    mean, covariance = surface.joint(inputs)
    before = mean[sizes.best(mean)].sum()
    noisy = covariance[candidate, candidate] + surface.noise_variance
    rng, rises = np.random.default_rng(3), []
    for outcome in rng.normal(0, np.sqrt(noisy), 4000):
        after = mean + covariance[:, candidate] / noisy * outcome     # a normal distribution, given one more value
        rises.append(after[sizes.best(after)].sum() - before)
    left = np.diag(covariance - np.outer(covariance[:, candidate], covariance[candidate]) / noisy)
    less = (np.diag(covariance) - left)[sizes.best(mean)].sum()
    assert found.variance[0] == pytest.approx(less)
    # Five outcomes stand for all: a little less of the tails.
    assert found.rise_db[0] == pytest.approx(np.mean(rises), rel=0.25)
    assert found.rise_db[0] > 0


def test_what_is_in_training_is_expected_to_score_as_predicted_and_is_known_better():
    surface = Surface(CODING, trained(some(8)))
    pending = fields_of([17])
    more = believed(surface, trained(some(8)), pending)
    assert len(more.scores_db) == 9
    assert more.scores_db[-1] == surface.predict(CODING.inputs(pending))[0]
    _, before = surface.predict(CODING.inputs(pending))
    _, after = Surface(CODING, more).predict(CODING.inputs(pending))
    assert after < before / 2


def test_proposals_are_new_differ_and_keep_to_the_budget():
    tried, limit = some(10), 100_000
    found = proposals(QUICK, Budget(max_parameters=limit), trained(tried), tried, np.random.default_rng(0), count=3)
    assert len(set(found)) == 3
    assert not set(found) & set(tried.tolist())
    assert all(SPACE.parameters[place] <= limit for place in found)
    again = proposals(QUICK, Budget(max_parameters=limit), trained(tried), tried, np.random.default_rng(0), count=3)
    assert again == found


def test_both_rules_have_their_turn_however_many_were_trained():
    rng, tried = np.random.default_rng, some(400)
    surface_of = trained(tried)
    found = [proposals(QUICK, Budget(), surface_of, tried[:number], rng(0))[0] for number in (398, 399, 400)]
    assert found[0] != found[1]


def test_a_space_that_is_used_up_has_no_proposal_left():
    everything = range(len(QUICK))
    left = proposals(QUICK, Budget(), trained(some(10)), set(everything) - {5, 9}, np.random.default_rng(0), count=4)
    assert sorted(left) == [5, 9]


def test_of_a_large_space_the_front_is_found_by_its_neighbours():
    reference = len(FULL) - 1
    places = np.append(np.random.default_rng(1).choice(reference, 11, replace=False), reference)
    pool = points(FULL, places)
    scores = 10 + np.log2(pool.parameters / pool.parameters[-1])
    found = proposals(FULL, Budget(), Trained(pool.fields, scores, np.ones(12)), places, np.random.default_rng(0))
    assert len(found) == 1
    assert found[0] not in places


def test_neighbours_differ_by_one_step_on_one_axis():
    found = neighbours(QUICK, np.array([0]))
    ranges = QUICK.ranges()
    start = QUICK.point(0)
    apart = [sum(abs(QUICK.point(int(one))[name] - start[name]) // ranges[name].step for name in ranges) for one in found]
    assert apart == [1] * len(ranges)       # the corner has one on each axis


def rows_of(places, scores, **columns):
    """As `per_trial` makes them; the reference is trial 0."""
    found = []
    for place, score in zip(places.tolist(), scores, strict=True):
        variant = QUICK.variant_of(QUICK.point(place))
        recipe = {name: getattr(QUICK.recipe, name) for name in TUNED}
        found.append({
            **vars(variant), **recipe, **columns, "trial": 0 if place == REFERENCE else place + 1, "state": "complete",
            "seeds": 1, "si_snri_sd_db": None, "si_snri_db": float(score), "parameters": int(SPACE.parameters[place]),
            "macs_per_s": float(SPACE.macs_per_s[place])})
    return found


@pytest.fixture(scope="module")
def known():
    places = some(16)
    rows = rows_of(places, trained(places).scores_db)
    return rows, predicted_front(QUICK, Budget(), rows)


def test_the_front_takes_better_variants_at_larger_sizes_and_says_who_trained_them(known):
    rows, found = known
    assert (found.variants, found.trained) == (len(QUICK), 16)
    for cost, steps in found.steps.items():
        costs = [getattr(step, cost) for step in steps]
        scores = [step.score.value for step in steps]
        assert costs == sorted(costs)
        assert scores == sorted(scores)
        for step in steps:
            trained_by = next((row["trial"] for row in rows if row["trial"] and Variant.of(row) == step.variant), None)
            assert step.trial == (0 if step.variant == QUICK.reference else trained_by)
            exact = count.exact(step.variant)
            assert (step.parameters, round(step.macs_per_s)) == (exact.parameters, exact.macs_per_s)
    assert found.untrained


def test_losses_are_against_the_reference_and_know_what_both_share(known):
    rows, found = known
    base = next(row["si_snri_db"] for row in rows if row["trial"] == 0)
    for step in found.steps["parameters"]:
        if step.variant == QUICK.reference:
            assert (step.loss, step.near) == (Estimate(0.0, 0.0, 0.0), 1.0)
            continue
        assert step.score.low < step.score.value < step.score.high
        assert step.loss.value == pytest.approx(base - step.score.value, abs=0.5)
        assert 0 <= step.near <= 1
        assert (step.near > 0.5) == (step.loss.value < 0.5)


def test_the_band_holds_the_best_score_within_each_size():
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        # Of another kind than the model: what is shortest decides, in part.
        shortage = rng.dirichlet(np.ones(INPUTS.ways.shape[1])) @ 2.0 ** -INPUTS.ways.T
        true = 6.5 - 1.5 * np.log2(shortage)
        places = some(16, seed)
        found = predicted_front(QUICK, Budget(), rows_of(places, true[places] + rng.normal(0, 0.1, 16)))
        for cost, column in (("parameters", SPACE.parameters), ("macs_per_s", SPACE.macs_per_s)):
            band = found.bands[cost]
            best = np.array([true[column <= size].max() for size in band.sizes])
            inside.append(np.mean((band.low <= best) & (best <= band.high)))
            assert (np.diff(band.expected) >= 0).all()
    assert np.mean(inside) > 0.9


def test_more_trainings_know_the_front_better():
    widths = []
    for number in (8, 16, 64):
        places = some(number)
        widths.append(predicted_front(QUICK, Budget(), rows_of(places, trained(places).scores_db)).half_width_db)
    assert widths == sorted(widths, reverse=True)


def test_too_few_variants_foretell_nothing():
    places = some(5)
    rows = rows_of(places, trained(places).scores_db)
    assert predicted_front(QUICK, Budget(), rows) is None
    assert suggestions(QUICK, Budget(), rows, 3) == []


def test_suggested_are_variants_that_nobody_has_trained_queued_or_trains(known):
    rows, _ = known
    first = suggestions(QUICK, Budget(), rows, 3)
    assert all(step.trial is None for step in first)
    running = rows_of(np.array([index_of(QUICK, QUICK.parameters_of(first[0].variant))]), [0.0], state="running")[0]
    running["state"] = "running"
    other = suggestions(QUICK, Budget(), [*rows, running], 2, [(first[1].variant, {})])
    assert not {step.variant for step in other} & {first[0].variant, first[1].variant}


def test_what_is_suggested_is_chosen_by_scores_on_the_validation_mixtures(known):
    rows, _ = known
    valid = [{**row, "valid_si_snri_db": row["si_snri_db"]} for row in rows]
    other_test = [{**row, "si_snri_db": 9 - row["si_snri_db"]} for row in valid]

    def chosen(some):
        return [step.variant for step in suggestions(QUICK, Budget(), some, 3)]
    assert chosen(valid) == chosen(other_test)
    assert chosen(rows) != chosen([{**row, "si_snri_db": 9 - row["si_snri_db"]} for row in rows])


def test_of_very_many_trained_the_reference_the_front_and_the_newest_are_looked_at():
    places = np.append(REFERENCE, np.random.default_rng(3).choice(REFERENCE, 799, replace=False))
    known = trained(places)
    found = limited(known, 100)
    kept = [int(np.flatnonzero(known.scores_db == score)[0]) for score in found.scores_db]
    points_of = np.column_stack([-known.scores_db, np.log(SPACE.parameters[places]), np.log(SPACE.macs_per_s[places])])
    best = set(np.flatnonzero(pareto.front(points_of)).tolist())
    assert len(best) < 50
    assert {0, *best, *range(800 - (100 - len(best)), 800)} == set(kept)
    assert limited(known, 800) is known
    crowd = limited(known._replace(scores_db=np.log(SPACE.parameters[places]) + np.arange(800) * 1e-9), 20)
    assert len(crowd.scores_db) <= 21
