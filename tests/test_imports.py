"""The drawing of the house as a test: whose imports point where, and which file each outside thing enters by."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A wing is a folder of a package, or a file beside the folders. It may import wings of its own package on lower floors, and
# study all of tasnet_core, never back.
FLOORS = {
    "tasnet_core": {
        "errors": 0, "records": 0, "terminal": 0, "cells": 0, "worker_process": 0,
        "files": 1, "arguments": 2, "progress": 1, "network": 1,
        "audio": 2, "backend": 2, "checkpoints": 2, "cost": 2,
        "corpora": 3,
        "evaluation": 4,
        "training": 5, "inference": 5,
        "__main__": 6},
    "study": {
        "records": 0, "space": 1, "analysis": 2, "database": 3,
        "search": 4, "report": 4, "maintenance": 4, "devices": 4,
        "engines": 5, "planning": 6, "cli": 7,
        "api": 8, "__main__": 8},
}
# One door for each outside thing: the only files, or folders, that may import it.
DOORS = {
    "optuna": ["study/search/model_sampler.py", "study/search/optuna_study.py",
               "study/search/samplers.py", "study/search/scheduler.py", "study/space/space.py"],
    "sqlalchemy": ["study/database/", "study/maintenance/repairs.py"],
    "sqlite3": ["study/database/recover.py", "study/database/backup.py"],
    "filelock": ["study/database/connection.py", "tasnet_core/cost/measure.py", "tasnet_core/corpora/audio_cache.py"],
    "soundfile": ["tasnet_core/audio.py"], "soxr": ["tasnet_core/audio.py"],
    "thop": ["tasnet_core/cost/count.py"],
    "seaborn": ["study/report/figures/style.py"], "matplotlib": ["study/report/figures/"],
    "scipy": ["tasnet_core/backend/blas.py", "tasnet_core/evaluation/metric_workers.py", "study/analysis/"],
    "threadpoolctl": ["tasnet_core/backend/blas.py"],
    "pystoi": ["tasnet_core/evaluation/metric_workers.py"], "pesq": ["tasnet_core/evaluation/metric_workers.py"],
    "espeakng_loader": ["tasnet_core/corpora/espeak.py"],
    "rich": ["study/cli/terminal.py", "tasnet_core/progress.py"],
    "jinja2": ["study/report/page.py"], "regex": ["tasnet_core/corpora/speaker_names.py"],
    "ray": ["study/engines/ray_engine.py"],
    "pandas": ["study/database/export.py"], "pyarrow": ["study/database/export.py"],
    "onnx": ["tasnet_core/checkpoints/onnx_"],
    # What is copied beside exported networks runs there without this project.
    "onnxruntime": ["tasnet_core/checkpoints/onnx_file.py", "study/devices/standalone/"],
    "yaml": ["tasnet_core/checkpoints/yaml_file.py"],
    "safetensors": ["tasnet_core/checkpoints/safetensors_file.py"],
}
FILES = sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py")
NAMES = [path.relative_to(ROOT).as_posix() for path in FILES]


def wing(module: str) -> tuple[str, str]:
    """The package and the wing of a dotted module."""
    package, _, rest = module.partition(".")
    return package, rest.partition(".")[0]


def dotted(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def imports(path: Path) -> set[str]:
    """Every module a file imports anywhere, dotted; of `from a import b` both a and a.b, as b may be one."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_the_drawing_is_of_this_house():
    """Every wing has a floor and every floor a wing: a file that nobody looks at would break no rule."""
    assert {wing(dotted(name)) for name in NAMES} == {(package, name) for package in FLOORS for name in FLOORS[package]}


def test_the_picture_of_the_architecture_is_of_these_floors():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    lines = text.partition("## The picture")[2].split("```")[1].strip("\n").splitlines()
    middle = lines[0].index("tasnet_core")
    for package, column in (("study", slice(0, middle)), ("tasnet_core", slice(middle, None))):
        drawn = [line[column].split() for line in lines]
        assert drawn[0] == [package]
        found = {wing: int(floor) for floor, *wings in filter(None, drawn[1:]) for wing in wings}
        assert found == FLOORS[package], "draw the floors anew in ARCHITECTURE.md"


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_down_and_outside_things_have_one_door(name):
    package, here = wing(dotted(name))
    for module in imports(ROOT / name):
        top = module.partition(".")[0]
        assert top not in DOORS or any(name.startswith(door) for door in DOORS[top]), f"{name} imports {top}: only {DOORS[top]}"
        assert (package, top) != ("tasnet_core", "study"), f"{name} imports {module}: never back"
        there = wing(module)[1]
        if top == package and there in FLOORS[package] and there != here:
            assert FLOORS[package][there] < FLOORS[package][here], f"{name} imports {module}: imports point down"


@pytest.mark.parametrize("package", FLOORS)
def test_no_file_imports_itself_by_a_detour(package):
    known = {dotted(name): imports(ROOT / name) for name in NAMES if name.startswith(package)}
    left = {module: {one for one in known if one in found} for module, found in known.items()}
    while left:
        free = {module for module, needs in left.items() if not needs & left.keys()}
        assert free, f"a circle among {sorted(left)}"
        left = {module: needs for module, needs in left.items() if module not in free}


@pytest.mark.parametrize("folder", sorted({path.parent for path in FILES}), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_wing_says_what_it_knows(folder):
    found = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert found
    assert len(found) > 60
    if folder.parent != ROOT:
        assert not imports(folder / "__init__.py"), "a wing's door loads nothing"


@pytest.mark.parametrize("name", ["study/records.py", "tasnet_core/records.py", "tasnet_core/errors.py"])
def test_records_need_the_standard_library_alone(name):
    tops = {module.partition(".")[0] for module in imports(ROOT / name)}
    assert tops <= set(sys.stdlib_module_names) | {"tasnet_core"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "tasnet_core/terminal.py" and "/standalone/" not in name])
def test_only_the_terminal_prints(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    called = [node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    assert "print" not in called, "say or complain: tasnet_core.terminal"
    assert "Console" not in called or name == "tasnet_core/progress.py"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_imports_a_command_line(name):
    """`__main__` is where Python enters, no library."""
    if name != "study/__main__.py":
        assert not {module for module in imports(ROOT / name) if module.endswith("__main__")}
