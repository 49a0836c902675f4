"""The notebook of examples/, executed: cut off by its timeout, then once more, as after a session that ended."""


import pytest

from study.database.store import open_database
from tests.support import ROOT, study_folder

nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
pytest.importorskip("ipykernel", reason="needs ipykernel")
pytestmark = pytest.mark.notebook
OPTIONS = {"trials": 2, "corpus": "folder:speech", "space": "tiny.toml", "device": "cpu", "workers": 1}


def execute(folder, monkeypatch, **options):
    """Run all cells, also behind one that raises: a report of nothing; what each shows."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook = nbformat.read(ROOT / "examples/colab.ipynb", as_version=4)
    nbformat.validate(notebook)
    parameters, = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    exec(parameters.source, {})     # it can be replaced: nothing but values
    parameters.source = f"PROJECT, FOLDER, OPTIONS = None, {str(folder)!r}, {OPTIONS | options}"
    client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True)
    client.execute()
    return ["".join(str(part) for out in cell.outputs for part in (out.get("text"), out.get("data"), out.get("evalue")) if part)
            for cell in notebook.cells if cell.cell_type == "code"]


def test_a_session_that_was_cut_off_goes_on_when_all_cells_are_run_again(tmp_path, monkeypatch, own_cache):
    study_folder.make(tmp_path)
    first = execute(tmp_path, monkeypatch, timeout=3)       # torch alone takes as long to load
    assert "time is up: run the same command again to continue" in first[2]
    second = execute(tmp_path, monkeypatch, timeout="11h")
    assert "2 of 2 trials trained" in second[2]
    assert "{'complete': 2}" in second[2]
    assert "iframe srcdoc=" in second[3]
    assert "SI-SNRi" in second[3]
    assert "si_snri_db" in second[4]
    with open_database(str(tmp_path / "results/study.db")) as database:
        assert [run["state"] for run in database.runs("tiny-folder")] == ["complete"] * 2
