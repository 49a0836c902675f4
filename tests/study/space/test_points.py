from dataclasses import asdict, replace

import numpy as np
import pytest

from study.records import Budget
from study.space.points import index_of, of_variants, points
from study.space.presets import SPACES
from study.space.searched import TUNED
from tasnet_core.cost import count
from tests.support.spaces import SMALL


@pytest.mark.parametrize("space", SMALL, ids=lambda space: space.name)
def test_points_have_the_fields_and_costs_of_their_variants(space):
    found = points(space, np.arange(len(space)))
    for place in range(0, len(space), max(1, len(space) // 50)):
        asked = space.point(place)
        variant, recipe = space.variant_of(asked), space.recipe_of(asked, space.recipe)
        fields = {name: column[place] for name, column in found.fields.items()}
        assert fields == {**asdict(variant), **{name: getattr(recipe, name) for name in TUNED}}
        exact = count.exact(variant)
        assert (found.parameters[place], round(found.macs_per_s[place])) == (exact.parameters, exact.macs_per_s)
        assert index_of(space, asked) == place


def test_those_within_a_budget():
    space, limit = SPACES["quick"], 60_000
    found = points(space, np.arange(len(space)))
    kept = found.within(Budget(max_parameters=limit))
    assert 0 < len(kept) < len(found)
    assert set(kept.indices) == {place for place in range(len(space))
                                 if count.exact(space.variant_of(space.point(place))).parameters <= limit}
    assert len(found.within(Budget())) == len(space)


def test_variants_and_points_have_equal_columns():
    space = SPACES["quick"]
    found = points(space, np.array([0, 7, 99]))
    variants = [space.variant_of(space.point(place)) for place in (0, 7, 99)]
    recipe = {"learning_rate": 3e-3, "batch_size": 4, "segment_s": 1.0}
    other = of_variants([*variants, replace(variants[0], norm="frame")], [recipe] * 4)
    assert {name: column[:3].tolist() for name, column in other.items()} == {
        name: column.tolist() for name, column in found.fields.items()}
    assert other["norm"].tolist() == ["global"] * 3 + ["frame"]
