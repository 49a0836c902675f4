"""Names, the front, losses and the three kinds of table from rows whose answer is known."""

import csv
import io
import math

import pytest

from study.analysis import trials, wording
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import per_trial
from study.analysis.wording import Table
from study.report import tables
from tests.support.fakes import failed, mixture, row, stopped


def test_a_name_is_the_letters_that_differ_from_the_reference_in_the_papers_order():
    rows = [row(0), row(1, X=4, R=1, H=64), row(2, norm="batch", causal=True), row(3)]
    assert list(trials.names(rows).values()) == ["reference", "H64 X4 R1", "norm=batch causal=true", "as the reference"]


def test_without_a_reference_a_name_is_what_varies():
    assert trials.names([row(3, X=4), row(5, X=6)]) == {3: "X4", 5: "X6"}


def test_only_complete_runs_with_a_finite_score_and_costs_are_compared():
    rows = [row(0), failed(1), row(2, si_snri_db=math.nan), row(3, si_snri_db=None), row(4, state="running"),
            row(5, si_snri_db=math.inf), row(6, parameters=None)]
    assert [one["trial"] for one in trials.finished(rows)] == [0]


def test_the_front_counts_score_parameters_and_macs_and_keeps_equals():
    rows = [row(0), row(1, parameters=100), row(2, parameters=100), row(3, macs_per_s=100),
            row(4, parameters=200), row(5, si_snri_db=8.0)]
    assert [one["trial"] for one in trials.front(rows)] == [1, 2, 3, 5]
    assert [one["trial"] for one in trials.front(rows, ("parameters",))] == [1, 2, 5]
    assert trials.front([failed(0)]) == []


def test_loss_is_how_far_below_the_reference_and_costs_are_fractions_of_it():
    rows = [row(0, si_snri_db=7.0, parameters=1000, macs_per_s=4000),
            row(1, si_snri_db=6.5, parameters=250, macs_per_s=1000), row(2, si_snri_db=7.25), failed(3)]
    found = trials.compared(rows, rows[0])
    assert [one["loss_db"] for one in found] == [0.0, 0.5, -0.25, None]
    assert (found[1]["parameters_fraction"], found[1]["macs_fraction"]) == (0.25, 0.25)


@pytest.mark.parametrize("rows", [[failed(0), row(1)], [row(0, state="stopped"), row(1)], [row(1), row(2)]],
                         ids=["failed", "stopped", "missing"])
def test_without_the_references_score_losses_are_empty(rows):
    assert all(one["loss_db"] is None for one in trials.compared(rows, trials.reference(rows)))


def test_no_table_holds_nan_or_infinity():
    rows = [row(0), row(1, pesq=math.nan, stoi=math.inf, sdri_db=-math.inf), failed(2, si_snri_db=math.nan)]
    for table in (tables.front_table(rows), tables.runs_table(rows)):
        for text in (tables.as_csv(table), tables.as_markdown(table), tables.as_tex(table)):
            assert "nan" not in text.lower()
            assert "inf" not in text.lower()


def test_csv_gives_every_digit_back_and_markdown_two_decimals():
    rows = [row(0, si_snri_db=7.123456789012345)]
    read = list(csv.DictReader(io.StringIO(tables.as_csv(tables.runs_table(rows)))))
    assert float(read[0]["si_snri_db"]) == 7.123456789012345
    assert read[0]["pesq"] == ""
    text = tables.as_markdown(tables.readable(tables.runs_table(rows), ("trial", "si_snri_db", "pesq")))
    assert text == "| trial | SI-SNRi (dB) |\n| ---: | ---: |\n| 0 | 7.12 |\n"


def test_markdown_and_tex_survive_what_a_reason_may_hold():
    table = Table(("trial", "reason"), [[1, "50 % | a_b & #1\nC:\\x {y} ~^$"]])
    assert tables.as_markdown(table).count("\n") == 3
    assert "\\|" in tables.as_markdown(table)
    line = tables.as_tex(table).splitlines()[5]
    assert line == (r"1 & 50 \% | a\_b \& \#1 C:\textbackslash{}x \{y\} "
                    r"\textasciitilde{}\textasciicircum{}\$ \\")


def test_markdown_links_nothing_and_holds_no_element():
    line = tables.as_markdown(Table(("reason",), [["[a](javascript:b) <img src=x> `c` \x1b[31m"]])).splitlines()[2]
    assert line == r"| \[a\](javascript:b) \<img src=x\> \`c\` \\x1b\[31m |"


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers():
    text = tables.as_csv(Table(("reason", "loss_db"), [["=1+1", -3.2], ["plain", None], ["'=1", 0]]))
    assert text == "reason,loss_db\n'=1+1,-3.2\nplain,\n''=1,0\n"


def test_tex_is_a_booktabs_table_with_numbers_to_the_right():
    lines = tables.as_tex(Table(("name", "loss_db"), [["X4", -0.5]])).splitlines()
    assert lines == [r"\begin{tabular}{lr}", r"\toprule", r"variant & loss \\",
                     r"against the reference & dB below the reference \\", r"\midrule", r"X4 & $-$0.50 \\",
                     r"\bottomrule", r"\end{tabular}"]


@pytest.mark.parametrize(("value", "text"), [
    (0, "0"), (12.3, "12.3"), (999.4, "999"), (999.6, "1.00k"), (1234, "1.23k"), (52_400_000, "52.4M"),
    (999_960, "1.00M"), (341e6, "341M"), (2.5e9, "2.50G"), (4.2e12, "4,200G")])
def test_engineering_numbers_have_three_digits(value, text):
    assert wording.engineering(value) == text


def test_decibels_have_a_real_minus_and_no_negative_zero():
    assert [wording.decibels(value) for value in (7.126, -0.5, -0.001)] == [
        "7.13", "\N{MINUS SIGN}0.50", "0.00"]


def test_per_cents():
    assert [wording.percent(value) for value in (1, 0.216, 0.0996, 0.0345, 0)] == [
        "100 %", "22 %", "10 %", "3.5 %", "0.0 %"]


def pair(trial, index, sexes, score, **more):
    return {**mixture(trial, index, score), "sexes": sexes, "seed": 0, **more}


SPOKEN = [pair(0, 0, "FM", 6.0, pesq=2.0), pair(0, 1, "MF", 8.0, pesq=3.0), pair(0, 2, "FF", 4.0),
          pair(0, 3, "FF", None, reason="a source is silent"), pair(1, 0, "FM", 1.0), pair(2, 0, "FM", 9.0)]


def heard(rows, mixtures=SPOKEN):
    return from_rows(mixtures).per_trial(rows)


def test_by_sexes_mf_is_fm_and_what_has_no_score_is_in_no_mean():
    rows = [row(0), row(1, X=4), failed(2)]
    table = tables.sexes_table(rows, heard(rows))
    found = [dict(zip(table.columns, line, strict=True)) for line in table.rows]
    assert [(one["trial"], one["sexes"], one["scored"], one["si_snri_db"], one["pesq"]) for one in found] == [
        (0, "FF", 1, 4.0, None), (0, "FM", 2, 7.0, 2.5), (1, "FM", 1, 1.0, None)]


def test_without_any_known_sex_there_is_no_table_of_them():
    unknown = [{**one, "sexes": "??"} for one in SPOKEN]
    assert tables.sexes_table([row(0)], heard([row(0)], unknown)).rows == []
    assert tables.pairs_beside_each_other([row(0)], heard([row(0)], unknown))[0].rows == []


def test_pairs_stand_beside_each_other_for_the_reference_and_the_front():
    rows = [row(0), row(1, X=4, parameters=10), row(2, H=64, si_snri_db=1.0)]
    table, titles = tables.pairs_beside_each_other(rows, heard(rows))
    assert table == Table(("trial", "name", "FF_db", "FM_db"), [[0, "reference", 4.0, 7.0], [1, "X4", None, 1.0]])
    assert titles == {"FF_db": ("FF", "dB, 1 mixture"), "FM_db": ("FM", "dB, 2 mixtures")}


def test_causes_of_missing_scores_are_counted_and_their_mixtures_named():
    some = [{"mixture": f"m{i}", "reason": reason} for i, reason in enumerate(
        ["PESQ: source 1: too short; STOI: source 2: too short", "PESQ: source 2: too short", "", None])]
    assert trials.unscored(some) == ["PESQ: too short: 2 of the scores, in m0, m1", "STOI: too short: 1 of the scores, in m0"]
    many = [{"mixture": f"m{i}", "reason": "a source is silent"} for i in range(7)]
    assert trials.unscored(many * 2) == ["a source is silent: 14 of the scores, in m0, m1, m2, m3, m4 and 2 more"]


def test_a_run_has_a_line_of_its_own_and_loses_against_the_references_mean():
    runs = [row(0, si_snri_db=7.0), row(0, seed=1, si_snri_db=8.0), row(1, X=4, si_snri_db=7.0), failed(1, X=4, seed=1)]
    table = tables.runs_table(runs)
    found = [dict(zip(table.columns, line, strict=True)) for line in table.rows]
    assert [(one["trial"], one["seed"], one["name"], one["loss_db"]) for one in found] == [
        (0, 0, "reference", 0.5), (0, 1, "reference", -0.5), (1, 0, "X4", 0.5), (1, 1, "X4", None)]


def test_seeds_have_columns_where_a_variant_has_several():
    alone, several = (tables.readable(tables.front_table(per_trial(runs)), tables.FRONT_READ)
                      for runs in ([row(0)], [row(0), row(0, seed=1, si_snri_db=8.0), failed(0, seed=2)]))
    assert set(several.columns) - set(alone.columns) == {"seeds", "si_snri_sd_db"}
    assert several.rows[0][:5] == [0, "reference", 7.5, 2, pytest.approx(0.5**0.5)]


def test_what_is_spared_is_the_rest_of_the_recipe_of_every_stopped_run():
    runs = [row(0), failed(1), stopped(2, after=3), stopped(3, after=8), stopped(4, audio_s=None)]
    assert trials.spared_s(runs) == 5 * 400 + 0 + 8 * 400      # 8 epochs of 200 segments of 2 s


def test_causal_is_yes_or_no():
    assert [wording.cell("causal", value) for value in (True, 1, False, 0, None)] == ["yes", "yes", "no", "no", ""]


def test_the_best_of_a_column_is_bold_in_print_and_nothing_else():
    table = Table(("trial", "si_snri_db", "parameters", "loss_db"),
                  [[0, 7.001, 900, 0.0], [1, 6.999, 100, 0.0], [2, 5.0, 100, 2.0], [3, None, None, None]])
    assert tables.best(table) == {(0, "si_snri_db"), (1, "si_snri_db"), (1, "parameters"), (2, "parameters")}
    assert r"0 & \textbf{7.00} & 900 & 0.00 \\" in tables.as_tex(table)
    assert "| 2 | 5.00 | **100** | 2.00 |" in tables.as_markdown(table)
    assert tables.best(Table(("si_snri_db",), [[7.0]])) == set()         # alone, it is not the best of any
