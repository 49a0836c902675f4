import numpy as np
import pytest

from study.analysis.predicted_front import Sizes, believed, dearest, gains, neighbours, proposals
from study.analysis.score_surface import Coding, Surface, Trained
from study.records import Budget
from study.space.points import fixed, points
from study.space.presets import FULL, QUICK
from tasnet_core.cost import count

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
