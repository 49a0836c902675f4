"""YAML of other toolkits: what has tags is kept as it is, and what would run or grow is refused in one line."""

import pytest

from tasnet_core.checkpoints.yaml_file import LARGEST, Tagged, read_yaml
from tasnet_core.errors import CheckpointError
from tests.tasnet_core.checkpoints.test_hostile_files import within


def test_tags_are_kept_and_nothing_is_made(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: !new:os.system\n    command: touch hacked\nb: !apply:os.system [touch hacked]\nc: !ref <a>\n"
                    "d: [1, 2.5, true, null]\n")
    assert read_yaml(path) == {"a": Tagged("new:os.system", {"command": "touch hacked"}),
                               "b": Tagged("apply:os.system", ["touch hacked"]),
                               "c": Tagged("ref", "<a>"), "d": [1, 2.5, True, None]}


LAUGHS = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: 1}}\n" for n in range(1, 60))


@pytest.mark.parametrize(("text", "words"), [
    ("a: !!python/object/apply:os.system ['touch hacked']", "could not determine a constructor"),
    (LAUGHS, "constructor for the tag"), ("[" * 60_000, "or 1000 lists in brackets"),
    ("- " * 5_000, "RecursionError"), ("a: " + "9" * 10_000, "ValueError"), ("- 1", "a list, but a table is wanted"),
    ("a: [", "cannot be read as YAML"), ("a: b\0", "cannot be read as YAML"),
    ("#" * LARGEST + "\na: 1", "more than 65536 bytes")], ids=len)
def test_what_would_run_or_grow_is_refused_in_one_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with within(seconds=20), pytest.raises(CheckpointError, match=words) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hacked").exists()
