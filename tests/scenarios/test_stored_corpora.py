"""The commands of docs/how-to/wsj0-librimix.md on real speech in the layouts of WSJ0-2mix and LibriMix, to a report on both."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from study.__main__ import main as study
from study.database.store import open_database
from tasnet_core.__main__ import main as core
from tests.support import ROOT, tiny_study
from tests.support.librimix_script import write_all
from tests.support.recordings import ORDERS

PAGE = ROOT / "docs/how-to/wsj0-librimix.md"
SHORT = ("--space", "tiny", "--device", "cpu", "--workers", "1", "--epochs", "1", "--epoch-segments", "4")
FEW = 8     # mixtures of the 120 and 40 that `mix` writes

pytestmark = [pytest.mark.long, pytest.mark.skipif(not ORDERS.is_dir(), reason="there are no real recordings")]


def documented(corpus):
    """The commands of the page on a corpus, in their order."""
    lines = re.findall(r"^python -m (.*?)(?: +#.*)?$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines if corpus in line]


@pytest.fixture
def layouts(tmp_path, own_cache, monkeypatch):
    """Both corpora under the path of the page."""
    monkeypatch.chdir(tmp_path)
    table = ORDERS.parent / "speakers.csv"
    assert core(["mix", f"folder:{ORDERS}?speakers={table}", "--out", "PATH/2speakers/wav8k/min", "--train", "12",
                 "--seconds", "2"]) == 0
    for part in ("cv", "tt"):
        for folder in Path("PATH/2speakers/wav8k/min", part).iterdir():
            files = sorted(folder.iterdir())
            for path in set(files) - set(files[:: len(files) // FEW]):
                path.unlink()
    with open(table, encoding="utf-8", newline="") as file:
        sexes = {row["speaker"]: row["sex"] for row in csv.DictReader(file)}
    write_all(ORDERS, sexes, tmp_path / "made")
    return tmp_path


@pytest.mark.parametrize(("corpus", "test_mixtures", "says"), [
    ("wsj0mix", FEW, "train    "), ("librimix", 8, "note: trained on train-100")])
def test_the_documented_commands_run_to_a_report(layouts, corpus, test_mixtures, says, capsys):
    commands = documented(corpus)
    assert [command[1] for command in commands] == ["check", "run", "report"]
    for package, *arguments in commands:
        words = [word.replace("PATH", "made") if corpus == "librimix" else word for word in arguments]
        words = [word.replace("quick-", "tiny-") for word in words]
        ended = (study if package == "study" else core)([*words, *(SHORT if words[0] == "run" else ())])
        assert ended == 0, words
    printed = capsys.readouterr().out
    assert says in printed
    assert "every file can be used" in printed
    with open_database("results/study.db") as database:
        rows = database.results(f"tiny-{corpus}")
        assert {row["state"] for row in rows} == {"complete"}
        assert {row["mixtures"] for row in rows} == {test_mixtures}
        assert {one["sexes"] for one in database.mixtures(f"tiny-{corpus}")} & {"FM", "MF", "FF", "MM"}
    page = Path("reports", corpus, "index.html").read_text(encoding="utf-8")
    assert f"corpus {corpus}:" in page or f">{corpus}:" in page


def test_the_space_that_stands_in_has_the_rate_of_the_recordings():
    assert tiny_study.SPACE.reference.sample_rate_hz == 8000
