"""The wheel: what is in it, and a study by it alone, from a folder of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT, study_folder

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, made from a copy: what an earlier build left in the tree is not in it."""
    folder = tmp_path_factory.mktemp("wheel")
    for package in ("study", "tasnet_core"):
        shutil.copytree(ROOT / package, folder / "tree" / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "tree")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder,
                    folder / "tree"], check=True)
    made, = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel):
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for package in ("study", "tasnet_core") for path in (ROOT / package).rglob("*") if path.is_file())
    assert packed == {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    assert {"study/report/templates/page.html", "study/report/published.csv", "tasnet_core/backend/kernels.cpp",
            "study/py.typed"} <= packed


def test_an_environment_with_the_wheel_alone_runs_a_study_from_another_folder(wheel, tmp_path):
    """The environment borrows the libraries of this one, whose own copy of the project it does not see."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    home = Path(subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
                               check=True, capture_output=True, text=True).stdout.strip())
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
                   check=True)
    (home / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    here = study_folder.make(tmp_path / "here")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for arguments in (["run", "--trials", "2", *study_folder.ARGUMENTS], ["report"]):
        done = subprocess.run([tmp_path / "venv/bin/tasnet-study", *arguments], cwd=here, env=environment, check=False,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert "<svg" in (here / "reports/index.html").read_text()
    told = subprocess.run([python, "-c", "import study; print(study.__file__)"], cwd=here, env=environment, check=True,
                          capture_output=True, text=True)
    assert told.stdout.startswith(str(home))
