"""A study of three trained networks, and its bundle: made once, since exporting takes seconds."""

import shutil

import pytest

from study.__main__ import main as study
from tests.support.commands import RUN


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of results."""
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert study([*RUN, "--trials", "3"]) == 0
    return folder / "results"


@pytest.fixture(scope="session")
def bundled(finished):
    folder = finished.parent / "bundle"
    assert study(["bundle", "--storage", str(finished / "study.db"), "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A folder to stand in, with results of its own."""
    shutil.copytree(finished, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path
