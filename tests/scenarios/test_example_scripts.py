"""The scripts in examples/: those of queues are executed by stand-ins, the others read as their readers read them."""

import os
import re
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from study.cli.options import parser
from study.database.store import open_database
from tests.support import ROOT, study_folder

EXAMPLES = ROOT / "examples"


@pytest.fixture
def queue(tmp_path):
    """A folder in which `sbatch`, `qsub` and `python` are there: the first two stand-ins, the last this one."""
    tools = tmp_path / "bin"
    tools.mkdir()
    stand_in = f"{sys.executable} {ROOT}/tests/support/queue_stand_in.py"
    for name, command in (("python", sys.executable), ("sbatch", f"{stand_in} sbatch"), ("qsub", f"{stand_in} qsub")):
        (tools / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (tools / name).chmod(0o755)
    return study_folder.make(tmp_path / "here"), {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tools}:{os.environ['PATH']}"}


def submit(queue, storage, *command):
    here, environment = queue
    done = subprocess.run([*command, "--trials", "2", *study_folder.ARGUMENTS], cwd=here, env={**environment, "STORAGE": storage},
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, [path.read_text() for path in here.glob("task-*.log")] or done.stderr
    with open_database(storage) as database:
        runs = database.runs("tiny-folder")
        assert [run["state"] for run in runs] == ["complete"] * 2
        assert all(run["peak_memory_bytes"] and run["realtime_factor"] for run in runs)
    logs = [(here / f"task-{task}.log").read_text() for task in (1, 2)]
    assert all("2 of 2" in log or "elsewhere" in log for log in logs)
    assert any("2 of 2" in log for log in logs), "whoever ended last saw the study complete"


@pytest.mark.long
def test_tasks_of_a_slurm_array_are_workers_of_one_study_on_postgresql(queue, database_url):
    submit(queue, database_url, "sbatch", "--array=1-2", EXAMPLES / "slurm.sh")


@pytest.mark.long
def test_tasks_of_a_grid_engine_array_are_workers_of_one_study(queue):
    submit(queue, str(queue[0] / "shared.db"), "qsub", "-t", "1-2", EXAMPLES / "sge.sh")


def test_a_job_without_a_storage_ends_at_once_and_says_what_it_wants(queue):
    here, environment = queue
    done = subprocess.run(["sbatch", EXAMPLES / "slurm.sh"], cwd=here, check=False, env=environment)
    assert done.returncode
    assert "STORAGE" in (here / "task-16.log").read_text()


def run_command(words):
    """What `python -m study run …` is asked for; refuses what the command would."""
    python, *module = words[:3]
    assert (Path(python).name, module) == ("python", ["-m", "study"])
    return parser().parse_args(words[3:])


@pytest.mark.cluster
def test_the_kubernetes_job_is_one_that_kubernetes_knows_and_starts_workers():
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate, which holds the schemas")
    import yaml
    job = yaml.safe_load((EXAMPLES / "kubernetes.yaml").read_text())
    validate.validate(job, validate.latest_version(), strict=True)
    pod = job["spec"]["template"]["spec"]
    container, = pod["containers"]
    given = run_command(container["command"] + container["args"])
    assert given.storage.startswith("postgresql+psycopg://")
    assert given.workers == 1
    assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
    assert container["workingDir"] == container["volumeMounts"][0]["mountPath"]     # where results/ is made


def test_the_systemd_unit_starts_a_study_and_ends_with_its_statuses():
    unit = RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(EXAMPLES / "tasnet-study.service")
    service = unit["Service"]
    assert run_command(service["ExecStart"].split()).command == "run"
    from study.__main__ import INTERRUPTED
    assert int(service["SuccessExitStatus"]) == INTERRUPTED


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path):
    text = (EXAMPLES / "tasnet-study.service").read_text().replace("%h/study/.venv/bin/python", sys.executable)
    (tmp_path / "tasnet-study.service").write_text(text)
    told = subprocess.run(["systemd-analyze", "verify", "--user", "--man=no", tmp_path / "tasnet-study.service"], check=False,
                          capture_output=True, text=True, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    ours = [line for line in told.stderr.splitlines() if "tasnet-study.service" in line]
    assert not ours


def test_the_manual_names_every_example():
    page = (ROOT / "docs/running/clusters.md").read_text(encoding="utf-8")
    examples = {path.name for path in EXAMPLES.iterdir()} - {"ruff.toml", ".ruff_cache", "__pycache__"}
    assert examples == set(re.findall(r"/examples/([\w.-]+)\)", page))
