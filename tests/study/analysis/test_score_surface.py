import numpy as np
import pytest
from scipy import stats

from study.analysis.score_surface import GRID, Coding, Setting, Surface, Trained
from study.space.points import fixed, of_variants, points
from study.space.presets import QUICK
from study.space.searched import DEFAULTS
from tasnet_core.records import Variant

SPACE = points(QUICK, np.arange(len(QUICK)))
BASE = fixed(QUICK)
CODING = Coding.of(BASE, SPACE.fields)
SOME = np.random.default_rng(1).choice(len(QUICK), 12, replace=False)
SETTING = Setting(hyperparameter=0.3, bend=0.2, left_over=0.4, length=0.7, noise=0.25)


def fields_of(places):
    return {name: column[places] for name, column in SPACE.fields.items()}


def trained(places, scores, seeds=None, squares=0.0, freedom=0):
    return Trained(fields_of(places), np.asarray(scores), np.ones(len(places)) if seeds is None else np.asarray(seeds, float),
                   squares, freedom)


def covariance(inputs, setting):
    """As the module's docstring has it, one pair at a time."""
    def pair(a, b):
        distance = np.sqrt(5) * np.linalg.norm(inputs.ways[a] - inputs.ways[b]) / setting.length
        left_over = (1 + distance + distance**2 / 3) * np.exp(-distance)
        return (3.0**2 + 0.5**2 * inputs.octaves[a] * inputs.octaves[b]
                + setting.hyperparameter**2 * (inputs.ways[a] @ inputs.ways[b])
                + setting.bend**2 * (inputs.bends[a] @ inputs.bends[b]) + setting.left_over**2 * left_over)
    count = len(inputs.octaves)
    return np.array([[pair(a, b) for b in range(count)] for a in range(count)])


def scores_of(places, rng, noise=0.15):
    inputs = CODING.inputs(fields_of(places))
    return 6 + 0.6 * inputs.octaves + 0.2 * inputs.ways[:, 1] + rng.normal(0, noise, len(places))


def test_hyperparameters_are_octaves_from_the_reference_and_words_columns():
    variants = [Variant(N=64, B=128, H=512, Sc=0, X=4, R=3), Variant(norm="frame")]
    coding = Coding.of(DEFAULTS, of_variants(variants, [{}, {}]))
    names = [name for columns in coding.columns.values() for name in columns]
    assert names == ["N", "Sc=0", "X", "norm=frame"]
    inputs = coding.inputs(of_variants(variants, [{}, {}]))
    assert inputs.ways.tolist() == [[-3, 1, -1, 0], [0, 0, 0, 1]]
    assert inputs.bends[:, 0].tolist() == [0, 0]


def test_predictions_are_those_of_a_normal_distribution_given_the_scores():
    rng = np.random.default_rng(0)
    scores = scores_of(SOME[:8], rng)
    surface = Surface(CODING, trained(SOME[:8], scores), [SETTING])
    inputs = CODING.inputs(fields_of(SOME))
    prior = covariance(inputs, SETTING)
    known, rest = slice(0, 8), slice(8, None)
    noisy = prior[known, known] + SETTING.noise**2 * np.eye(8)
    weights = prior[rest, known] @ np.linalg.inv(noisy)
    residuals = scores - scores.mean()
    scale = (4 + residuals @ np.linalg.inv(noisy) @ residuals) / (4 + 8)
    mean, joint = surface.joint(inputs.only(rest))
    np.testing.assert_allclose(mean, scores.mean() + weights @ residuals)
    np.testing.assert_allclose(joint, scale * (prior[rest, rest] - weights @ prior[known, rest]), atol=1e-10)
    again, variance = surface.predict(inputs.only(rest))
    np.testing.assert_allclose(again, mean)
    np.testing.assert_allclose(variance, np.diag(joint))


def test_settings_are_weighted_by_the_likelihood_of_the_scores():
    scores = scores_of(SOME, np.random.default_rng(2))
    surface = Surface(CODING, trained(SOME, scores))
    inputs = CODING.inputs(fields_of(SOME))
    # A normal distribution whose variance has an inverse gamma prior is Student's.
    likelihood = np.array([stats.multivariate_t(
        np.full(len(SOME), scores.mean()), covariance(inputs, setting) + setting.noise**2 * np.eye(len(SOME)), df=4,
    ).logpdf(scores) for setting in GRID])
    weights = np.exp(likelihood - likelihood.max())
    np.testing.assert_allclose([part.weight for part in surface.parts], weights / weights.sum(), atol=1e-9)


def test_means_over_seeds_say_what_their_trainings_say_one_by_one():
    rng = np.random.default_rng(3)
    seeds = [3, 1, 2, 1, 1, 4]
    places = SOME[:6]
    each = np.repeat(places, seeds)
    scores = scores_of(each, rng)
    groups = np.split(scores, np.cumsum(seeds)[:-1])
    squares = sum(float(((group - group.mean())**2).sum()) for group in groups)
    means = [group.mean() for group in groups]
    apart, together = Surface(CODING, trained(each, scores)), Surface(
        CODING, trained(places, means, seeds, squares, sum(seeds) - len(seeds)))
    # Around the same mean a priori, which is that of what was given.
    one = Surface(CODING, trained(each, scores - scores.mean() + np.mean(means)))
    assert together.freedom == apart.freedom
    inputs = CODING.inputs(fields_of(SOME))
    shift = np.mean(means) - scores.mean()
    for mine, its in zip(together.predict(inputs), (one.predict(inputs)[0] - shift, one.predict(inputs)[1]), strict=True):
        np.testing.assert_allclose(mine, its, rtol=0.02, atol=0.01)


def test_intervals_hold_what_they_say_where_scores_are_of_another_kind():
    rng, inside = np.random.default_rng(4), []
    for _ in range(16):
        bottleneck = rng.dirichlet(np.ones(6))
        values = np.column_stack([SPACE.fields[name] for name in ("N", "B", "H", "Sc", "X", "R")])
        shortage = (bottleneck * (values.max(axis=0) / values)).sum(axis=1)
        true = 6.5 - 1.5 * np.log2(shortage)
        places = rng.choice(len(QUICK), 16, replace=False)
        surface = Surface(CODING, trained(places, true[places] + rng.normal(0, 0.15, 16)))
        mean, variance = surface.predict(CODING.inputs(SPACE.fields))
        inside.append(np.mean(np.abs(true - mean) <= surface.quantile * np.sqrt(variance)))
    assert 0.92 < np.mean(inside) <= 0.99


@pytest.mark.parametrize("most", [1, 3])
def test_the_likeliest_settings_alone_predict_nearly_the_same(most):
    surface = Surface(CODING, trained(SOME, scores_of(SOME, np.random.default_rng(5))))
    inputs = CODING.inputs(SPACE.fields)
    whole, part = surface.predict(inputs)[0], surface.simplified(most).predict(inputs)[0]
    assert np.abs(whole - part).mean() < 0.2 * whole.std()
    assert len(surface.simplified(most).parts) == most
