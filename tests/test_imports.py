"""The drawing: which file may import which. The dictionary is ARCHITECTURE.md's table of levels."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A file may import files of its own package at a lower level; study may import tasnet_core as well.
LEVELS = {
    "tasnet_core": {"errors": 0, "terminal": 0, "processor": 0, "files": 1, "records": 1, "formulas": 2, "audio": 2, "voices": 2,
                    "loss": 2, "model": 2, "native": 3, "fused": 4, "saved": 2, "asteroid": 4, "weights": 3,
                    "stream": 3, "growth": 3, "cells": 0, "shelf": 2, "progress": 1, "mixture": 1, "speakers": 3, "listed": 3,
                    "layout": 3, "background": 3, "wsj0mix": 4, "librimix": 4, "folder": 4, "mixing": 4, "corpora": 5,
                    "tree": 3, "whose": 3, "doubles": 3,
                    "mixdown": 6, "batches": 6, "devices": 5, "slices": 3, "sandwich": 7, "checking": 6, "cost": 6, "metrics": 6,
                    "listeners": 2, "hub": 3, "export": 4, "memory": 1, "chunks": 2, "clips": 1, "capture": 1, "schedule": 2,
                    "checkpoint": 6, "separate": 6, "jobs": 7, "sounds": 7, "resident": 7, "measuring": 7,
                    "training": 8, "timing": 9, "__main__": 9},
    "study": {"records": 0, "pareto": 0, "replicates": 0, "testset": 1, "statistics": 2, "effects": 3, "progress": 1, "picks": 4,
              "learned": 3, "fidelity": 1, "inheritance": 1, "again": 4, "agreement": 5, "derived": 7, "advice": 4, "page": 5,
              "analysis": 6, "compare": 7,
              "leases": 0, "frozen": 0, "searched": 0, "names": 0, "watcher": 1, "options": 1, "space": 1,
              "schema": 1, "connection": 1,
              "environment": 1, "labels": 1, "ink": 1, "salvage": 2, "versions": 3, "reading": 2, "database": 4,
              "presets": 2, "evaluate": 2, "tables": 2,
              "spacefile": 3, "repairs": 5, "frames": 5, "samplers": 3, "display": 4, "published": 3, "answer": 4, "fronts": 3,
              "learning_figures": 3, "mixture_figures": 3, "letter_figures": 4, "effect_figures": 4, "captions": 5, "figures": 6,
              "watching": 5, "optunas": 5, "runner": 6, "settings": 4, "doctor": 6, "beforehand": 7,
              "report": 7, "engine": 6, "workers": 7, "cluster": 7, "rehearsal": 8,
              "forecast": 9, "dryrun": 10, "commands": 11, "api": 12, "__main__": 12},
}
# One door for each outside thing: the only files that may import it.
DOORS = {
    "optuna": {"study/optunas.py", "study/runner.py", "study/samplers.py", "study/space.py"},
    "sqlalchemy": {"study/connection.py", "study/schema.py", "study/database.py", "study/salvage.py",
                   "study/repairs.py", "study/versions.py", "study/reading.py"},
    "sqlite3": {"study/salvage.py"}, "filelock": {"study/connection.py", "tasnet_core/measuring.py",
                                              "tasnet_core/shelf.py"},
    "soundfile": {"tasnet_core/audio.py"}, "soxr": {"tasnet_core/audio.py"}, "thop": {"tasnet_core/cost.py"},
    "seaborn": {"study/ink.py"},
    "matplotlib": {"study/ink.py", "study/fronts.py", "study/figures.py", "study/learning_figures.py", "study/mixture_figures.py",
                   "study/letter_figures.py", "study/effect_figures.py"},
    "scipy": {"tasnet_core/listeners.py", "study/agreement.py", "study/statistics.py", "study/effects.py", "study/fidelity.py"},
    "pystoi": {"tasnet_core/listeners.py"}, "pesq": {"tasnet_core/listeners.py"},
    "espeakng_loader": {"tasnet_core/voices.py"}, "rich": {"study/display.py", "tasnet_core/progress.py"},
    "jinja2": {"study/page.py"}, "regex": {"tasnet_core/whose.py"},
    "ray": {"study/cluster.py"}, "pandas": {"study/frames.py"}, "pyarrow": {"study/frames.py"},
    "onnx": {"tasnet_core/export.py"}, "onnxruntime": {"tasnet_core/export.py"}, "safetensors": {"tasnet_core/hub.py"},
}
FILES = sorted(path for package in LEVELS for path in (ROOT / package).glob("*.py") if path.stem != "__init__")


def imports(path: Path) -> set[str]:
    """Every module a file imports anywhere, dotted."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_imports_point_down_and_outside_things_have_one_door(path):
    package, name = path.parent.name, f"{path.parent.name}/{path.name}"
    for module in imports(path):
        top, _, rest = module.partition(".")
        assert top not in DOORS or name in DOORS[top], f"{name} imports {top}: only {DOORS[top]} may"
        if top in LEVELS and rest.split(".")[0] in LEVELS[top]:
            assert (package, top) != ("tasnet_core", "study"), f"{name} imports {module}: never back"
            if top == package:
                there, here = LEVELS[top][rest.split(".")[0]], LEVELS[package][path.stem]
                assert there < here, f"{name} (level {here}) imports {module} (level {there}): imports point down"


@pytest.mark.parametrize("name", ["study/records.py", "tasnet_core/records.py", "tasnet_core/errors.py"])
def test_records_need_the_standard_library_alone(name):
    import sys
    tops = {module.partition(".")[0] for module in imports(ROOT / name)}
    assert tops <= set(sys.stdlib_module_names) | {"tasnet_core"}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "terminal"],
                         ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_only_the_terminal_prints(path):
    called = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert "print" not in [each.id for each in called if isinstance(each, ast.Name)], "say or complain: tasnet_core.terminal"
    assert "Console" not in [each.id for each in called if isinstance(each, ast.Name)] or path.stem == "progress"
