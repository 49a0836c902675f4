"""What is measured is written once: every metric is wherever scores are shown."""

from dataclasses import fields

import pytest

from study.analysis import cost_axes
from study.analysis.replicates import BESIDE, SCORE, SCORES
from study.analysis.wording import SCORE_WORDS, TITLES, cell
from study.cli.terminal import outcome
from study.database import schema
from study.records import COST_WORDS, COSTS, OBJECTIVES, QUALITY_WORDS, Result
from study.report import page, tables
from study.report.write import FIGURES
from tasnet_core.evaluation.metric_workers import SLOW
from tasnet_core.records import METRICS, MixtureScore, Scores


def test_every_score_has_words_and_a_field_of_run_and_mixture():
    assert set(SCORE_WORDS) == set(SCORES)
    for record in (MixtureScore, Scores):
        assert set(SCORES) <= {field.name for field in fields(record)}
    assert {f"{metric}_unscored" for metric in SLOW} <= {field.name for field in fields(Scores)}
    assert {"si_snr", *SLOW} == set(METRICS)


@pytest.mark.parametrize("column", [SCORE, *BESIDE])
def test_a_score_is_in_every_table_and_printed_when_a_trial_ends(column):
    for shown in (tables.FRONT_COLUMNS, tables.FRONT_READ, tables.RUNS_READ, page.FRONT, page.VARIANTS, page.RUNS,
                  tuple(schema.TIDY["runs"].kinds), TITLES):
        assert column in shown
    assert column in schema.VIEWS["results"]
    text = outcome(Result("complete", scores=Scores(**{column: 0.5})))
    assert SCORE_WORDS[column].title in text
    assert SCORE_WORDS[column].value(0.5) in text


def test_scores_have_two_decimals_in_tables_and_their_own_where_they_stand_alone():
    assert [cell(name, 0.8125) for name in ("sdri_db", "stoi", "pesq")] == ["0.81", "0.81", "0.81"]
    assert [SCORE_WORDS[name].text(1.25) for name in ("sdri_db", "stoi", "pesq")] == ["1.25 dB SDRi", "STOI 1.250", "PESQ 1.25"]


def test_every_cost_that_variants_are_drawn_against_can_be_pursued_and_is_written_everywhere():
    assert set(cost_axes.KNOWN) <= set(COSTS) <= set(OBJECTIVES)
    assert set(COSTS) == set(COST_WORDS.values()) == {name for name in OBJECTIVES if name not in QUALITY_WORDS.values()}
    for name in COSTS:
        for shown in (tables.FRONT_COLUMNS, page.FRONT, page.VARIANTS, tuple(schema.TIDY["runs"].kinds), TITLES):
            assert name in shown
    assert {axis.figure for axis in cost_axes.KNOWN.values()} <= set(FIGURES)
