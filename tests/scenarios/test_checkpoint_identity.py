"""Whose a checkpoint is: its corpus, its study; and the folders of studies, of which no two are one."""

import os
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from study.database.store import open_database
from study.database.study_names import check_name, claim
from study.records import Settings
from study.search.runner import Runner
from study.space.plan import StudyPlan
from tasnet_core.checkpoints.checkpoint import Origin
from tasnet_core.errors import CheckpointError, Foreign, UserError
from tasnet_core.records import Epoch
from tasnet_core.training.slimmable import Lineage
from tasnet_core.training.trainer import train
from tests.support.made_up_search import SETTINGS, Messages, untimed
from tests.support.tiny import RECIPE, TINY, Tiny

SHORT = replace(RECIPE, epochs=1)
CURVE = [Epoch(number, -1.0, 0.1 * number, 1e-3, 1.0, 0.1) for number in (1, 2, 3)]


class Other(Tiny):
    """The same people with their voices exchanged for others: as many mixtures of the same names."""

    fingerprint = "other"

    def draw(self, key, name, length, samples):
        return super().draw((*key, 1), name, length, samples)


def scores(folder, corpus, study="s", storage="study.db", lines=None):
    """What one trial of a study comes to."""
    messages, one = Messages(), replace(SETTINGS, recipe=SHORT)
    with open_database(str(folder / storage), read_only=False) as database:
        database.register(study, one, fingerprint=corpus.fingerprint)
        Runner(StudyPlan.of(study, one), database, corpus, messages, evaluate=untimed).run(1)
        if lines is not None:
            lines += messages
        return [row["si_snri_db"] for row in database.mixtures(study)]


def unstamped(path):
    """Make a checkpoint one of before they said whose they are."""
    content = torch.load(path, weights_only=True)
    torch.save({name: value for name, value in content.items() if name not in ("corpus", "study")}, path)


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("said", "how"), [
    ({"corpus": "c", "study": "s"}, ""), ({"corpus": "c", "study": "base"}, ""),
    ({"corpus": "d", "study": "s"}, "trained on another corpus (fingerprint d, not c)"),
    ({"corpus": "c", "study": "t"}, "of another study"), ({"corpus": "c", "study": ""}, "of no study")])
def test_a_checkpoint_is_of_a_study_when_it_says_its_corpus_and_its_identity(said, how):
    assert Origin("c", "s", "base").foreign({**said, "epochs": []}) == how


def test_a_checkpoint_that_says_nothing_is_known_by_the_curve_of_its_run():
    curve = [epoch.valid_si_snri_db for epoch in CURVE]
    assert not Origin("c", "s", curve=curve[:2]).foreign({"epochs": CURVE})     # killed before its last epoch was a row
    assert not Origin("c", "s", curve=curve).foreign({"epochs": CURVE[:2]})     # kept from before the decay
    for known, saved in ((curve[:2], [CURVE[0], CURVE[2]]), ([], CURVE), (curve, [])):
        assert "its curve is not this run's" in Origin("c", "s", curve=known).foreign({"epochs": saved})
    assert not Origin("c").foreign({"epochs": CURVE})       # without a study there is nothing to know it by


def test_without_a_study_the_corpus_is_compared_and_what_says_nothing_is_gone_on_with_and_told(tmp_path):
    path, said = tmp_path / "a.pt", []
    whole = list(train(TINY, SHORT, Tiny(), path))
    with pytest.raises(Foreign, match=r"a\.pt: trained on another corpus \(fingerprint tiny, not other\); choose another"):
        list(train(TINY, SHORT, Other(), path))
    assert list(train(TINY, SHORT, Tiny(), path, log=said.append)) == whole
    assert said == []
    unstamped(path)
    assert list(train(TINY, SHORT, Tiny(), path, log=said.append)) == whole
    assert ["before checkpoints named their corpus" in line for line in said] == [True]


def test_of_two_copies_of_a_study_in_one_folder_one_is_told_to_leave(tmp_path):
    path, kin = tmp_path / "trial-0001.pt", Lineage(origin=Origin(study="s"))
    list(train(TINY, SHORT, Tiny(), path, lineage=kin))
    whole = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"pt: trained with N: 8, not 4; by a copy of this study's data.*of its own"):
        list(train(replace(TINY, N=4), SHORT, Tiny(), path, lineage=kin))
    with pytest.raises(CheckpointError, match=r"pt: trained with N: 8, not 4; choose another checkpoint file"):
        list(train(replace(TINY, N=4), SHORT, Tiny(), path))
    assert path.read_bytes() == whole


def test_nothing_is_inherited_from_the_teacher_of_another_study(tmp_path):
    list(train(TINY, replace(SHORT, init="teacher"), Tiny(), tmp_path / "teacher.pt",
               lineage=Lineage(origin=Origin(study="one"))))
    for study in ("one", "two"):
        heir = train(replace(TINY, N=4), replace(SHORT, init="inherit", epochs=0), Tiny(), tmp_path / f"{study}.pt",
                     lineage=Lineage(tmp_path / "teacher.pt", origin=Origin(study=study)))
        if study == "one":
            assert list(heir) == []
        else:
            with pytest.raises(CheckpointError, match=r"teacher\.pt: of another study, so nothing can be inherited"):
                list(heir)
    assert (tmp_path / "teacher.pt").exists()


# ── studies ──────────────────────────────────────────────────────────────────────────────────────────────


def test_after_its_database_is_deleted_a_study_of_that_name_trains_for_itself_and_nothing_is_lost(tmp_path):
    scores(tmp_path, Tiny())
    old, lines = tmp_path / "checkpoints" / "s" / "trial-0000.pt", []
    before = old.read_bytes()
    for file in tmp_path.glob("study.db*"):
        file.unlink()
    assert scores(tmp_path, Other(), lines=lines) == scores(tmp_path / "fresh", Other())
    assert old.read_bytes() == before
    assert ["stays as it is, and checkpoints of study 's' go to" in line for line in lines] == [True]


@pytest.mark.parametrize(("names", "storages"), [
    (("a b", "a_b"), ("study.db", "study.db")), (("s", "s"), ("one.db", "two.db")), (("Ab", "aB"), ("study.db", "study.db"))])
def test_studies_whose_names_look_alike_share_no_checkpoint(tmp_path, names, storages):
    corpora = (Tiny(), Other())
    for corpus, name, storage in zip(corpora, names, storages, strict=True):
        assert scores(tmp_path, corpus, name, storage) == scores(tmp_path / "fresh" / corpus.fingerprint, corpus)
    assert len(list((tmp_path / "checkpoints").glob("*/trial-0000.pt"))) == 2


def test_a_study_of_before_goes_on_from_its_own_checkpoints_and_from_no_others(tmp_path):
    found, path, lines = scores(tmp_path, Tiny()), tmp_path / "checkpoints" / "s" / "trial-0000.pt", []
    for strange in (False, True):
        with open_database(str(tmp_path / "study.db"), read_only=False) as database, database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE study_settings SET identity = NULL, folder = NULL")
            connection.exec_driver_sql("UPDATE runs SET state = 'running'")
            connection.exec_driver_sql("DELETE FROM mixtures")
            if strange:
                connection.exec_driver_sql("UPDATE epochs SET valid_si_snri_db = valid_si_snri_db + 1e-9")
        unstamped(path)
        os.utime(path, (1, 1))
        assert scores(tmp_path, Tiny(), lines=lines) == found
        assert (path.stat().st_mtime == 1, len(lines)) == ((True, 0) if not strange else (False, 1))
    assert "says not which study it is of" in lines[0]
    assert path.with_name("trial-0000.pt.foreign-1").stat().st_mtime == 1


@given(st.lists(st.one_of(st.text("aAbB _-.é", min_size=1, max_size=3), st.text(min_size=1, max_size=8)), max_size=8))
@settings(max_examples=25, deadline=None)
def test_no_two_names_have_folders_that_any_file_system_takes_for_one(tmp_path_factory, names):
    parent, usable = tmp_path_factory.mktemp("checkpoints"), []
    for name in names:
        try:
            check_name(name)
            usable.append(name)
        except UserError:
            pass
    forms = [form for name in usable for form in (name, unicodedata.normalize("NFD", name))]
    made = [claim(parent, name, f"{number:08}") for number, name in enumerate(forms)]
    seen = {unicodedata.normalize("NFC", path.name.casefold()) for path in made}
    assert len(seen) == len(forms)
    assert all(path.parent == parent and path.is_dir() and not path.name.startswith(".") for path in made)


@pytest.mark.parametrize(("name", "why"), [
    ("", "is empty"), ("  ", "is empty"), (".", "means a folder"), ("..", "means a folder"), ("a/b", "separator"),
    ("..\\b", "separator"), ("a\nb", "cannot be printed"), ("a\x1b[2J", "cannot be printed"), ("a\u202eb", "cannot be printed"),
    ("a\udc80", "cannot be printed"), ("ä" * 76, "152 bytes, more than 150")])
def test_a_new_study_is_not_called_what_is_no_name(tmp_path, name, why):
    with open_database(str(tmp_path / "study.db"), read_only=False) as database:
        with pytest.raises(UserError, match=why) as error:
            database.register(name, Settings())
        assert str(error.value).isprintable()
        assert database.studies() == []
    assert not Path(tmp_path / "checkpoints").exists()
