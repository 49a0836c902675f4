"""The published tables, and the runs that repeat their rows."""

from study.analysis.replicates import per_trial
from study.report import published, tables
from study.report.published import FORMS, form_of, table_of
from tests.support.fakes import row

THESIS, TABLE2 = FORMS["thesis"], FORMS["table2"]


def lines(form, rows):
    table = table_of(form, per_trial(rows))
    return [dict(zip(table.columns, line, strict=True)) for line in table.rows]


def test_the_thesis_is_printed_in_its_order_with_the_runs_that_repeat_it():
    found = lines(THESIS, [row(0, X=8, R=4, segment_s=4.0, sdr_db=3.0, stoi=0.7, pesq=1.5),
                           row(1, X=6, R=2, segment_s=4.0, sdr_db=2.0), row(2, X=3, R=1, segment_s=4.0, sdr_db=1.0)])
    assert [(one["X"], one["R"], one["segment_s"], one["published_sdr_db"]) for one in found] == [
        (8, 4, 4.0, 12.45), (8, 2, 4.0, 12.71), (6, 4, 4.0, 10.69), (6, 3, 4.0, 10.78), (6, 2, 4.0, 10.8), (4, 4, 4.0, 9.23),
        (8, 4, 2.0, 12.49), (3, 1, 4.0, None)]
    assert [(one["trial"], one["sdr_db"], one["stoi"], one["pesq"]) for one in found if one["trial"] is not None] == [
        (0, 3.0, 0.7, 1.5), (1, 2.0, None, None), (2, 1.0, None, None)]


def test_segments_of_two_seconds_repeat_the_last_row_and_other_lengths_the_first_that_agrees():
    for segment_s, place in ((2.0, 6), (0.5, 0)):
        trials = [one["trial"] for one in lines(THESIS, [row(0, X=8, R=4, segment_s=segment_s, sdr_db=1.0)])]
        assert trials == [0 if i == place else None for i in range(7)]


def test_seeds_share_a_line_with_their_mean():
    rows = [row(0, X=8, R=4, segment_s=4.0, seed=seed, sdr_db=3.0 + seed) for seed in (0, 1)]
    assert [(one["trial"], one["sdr_db"], one["seeds"]) for one in lines(THESIS, rows)[:2]] == [(0, 3.5, 2), (None, None, None)]


def test_table_ii_has_every_row_once_and_the_causal_one_is_not_its_twin():
    base = {"N": 512, "L": 16, "B": 128, "H": 512, "Sc": 128, "P": 3, "X": 8, "R": 3}
    found = lines(TABLE2, [row(0, **base), row(1, **base, norm="cumulative", causal=True)])
    assert len(found) == 15
    assert [(one["trial"], one["causal"], one["published_si_snri_db"]) for one in found if one["trial"] is not None] == [
        (0, False, 15.3), (1, True, 10.6)]
    assert {one["published_parameters"] for one in found} >= {5_050_545, 1_472_157}


def test_every_form_is_of_a_space_and_only_those_have_one():
    from study.space.presets import SPACES
    assert set(FORMS) <= set(SPACES)
    assert form_of("quick") is form_of(None) is None


def test_without_the_files_only_the_runs_are_printed(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    published.published.cache_clear()
    assert [one["trial"] for one in lines(THESIS, [row(0, X=8, R=4)])] == [0]
    published.published.cache_clear()


def test_it_can_be_written_in_all_three_kinds():
    table = table_of(THESIS, per_trial([row(0, X=8, R=4, segment_s=4.0, sdr_db=3.0)]))
    titles = published.titles(THESIS)
    assert "SDR (as published)" in tables.as_markdown(table, titles)
    assert "as published" in tables.as_tex(table, titles)
    assert tables.as_csv(table).startswith("trial,X,R,segment_s,sdr_db,stoi,pesq,published_sdr_db,")


def test_people_read_yes_or_no_under_causal():
    rows = [row(0, N=512, L=16, B=128, H=512, Sc=128, P=3, X=8, R=3, causal=causal, norm="cumulative") for causal in (0, 1)]
    for one in rows:
        text = tables.as_markdown(table_of(TABLE2, per_trial([one])))
        column = text.splitlines()[0].split(" | ").index("causal")
        assert {line.split(" | ")[column] for line in text.splitlines()[2:]} == {"yes", "no"}
