"""Spaces in files: what is read, what is written back, and every refusal as one line that names the file."""

import json
import re
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.records import Budget
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import SEARCHED, Grid, VariantList
from study.space.toml import as_dict, as_toml, describe_space, parse_space, read_space, space_named
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.records import METRICS, NORMS, Recipe, Variant
from tests.support import ROOT

QUICK = SPACES["quick"]
PRESETS = [SPACES[name] for name in ("quick", "full", "causal", "thesis", "table2")]


@st.composite
def spaces(draw):
    """Any space of ranges: a reference and, around some of its letters and its recipe, values it takes."""
    def around(own, step, least):
        others = draw(st.sets(st.integers(-3, 5).map(lambda k: own + k * step).filter(lambda value: value >= least), max_size=5))
        return sorted({own, *others})

    reference = Variant(N=draw(st.integers(1, 99)), L=2 * draw(st.integers(1, 20)), norm=draw(st.sampled_from(NORMS[1:])),
                        causal=draw(st.booleans()), dropout=draw(st.floats(0, 0.9)), P=draw(st.sampled_from([3, 5])))
    recipe = Recipe(epochs=draw(st.integers(1, 9)), learning_rate=draw(st.floats(1e-9, 1e3)), segment_s=draw(st.floats(0.1, 9)))
    letters = draw(st.sets(st.sampled_from(SEARCHED), min_size=1, max_size=4))
    choices = {letter: around(getattr(reference, letter), 2 if letter in "LP" else 1,
                              0 if letter in ("Sc", "extra_dilation") else 1) for letter in letters}
    space = Grid(draw(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)), reference, choices, recipe,
                  draw(st.sampled_from([("si_snr",), tuple(METRICS)])), draw(st.sampled_from(
                      [("si_snri_db", "parameters"), ("peak_memory_bytes", "si_snri_db", "receptive_field_s")])),
                  Budget(draw(st.none() | st.integers(10**9, 10**12))))
    return space.tuned(draw(st.lists(st.sampled_from(list(TUNED)), unique=True)), recipe)


@given(spaces())
@settings(max_examples=60, deadline=None)
def test_a_space_survives_toml_and_json(space):
    assert parse_space(tomllib.loads(as_toml(space)), "x.toml") == space
    assert parse_space(json.loads(json.dumps(as_dict(space), sort_keys=True)), "x") == space


@pytest.mark.parametrize("space", PRESETS, ids=lambda space: space.name)
def test_every_preset_survives_a_file_and_its_description_is_one(space, tmp_path):
    for number, text in enumerate((as_toml(space), describe_space(space))):
        path = tmp_path / f"{number}.toml"
        path.write_text(text, "utf-8")
        assert read_space(path) == space
    tuned = space.tuned(list(TUNED), space.recipe)
    assert parse_space(as_dict(tuned), "x") == tuned


def test_what_a_file_does_not_say_is_the_bases():
    space = parse_space({"base": "quick", "reference": {"norm": "frame"}, "recipe": {"epochs": 2}}, "folder/mine.toml")
    assert space == replace(QUICK, name="mine", reference=replace(QUICK.reference, norm="frame"),
                            recipe=replace(QUICK.recipe, epochs=2))


def test_choices_replace_those_of_the_base():
    space = parse_space({"base": "quick", "choices": {"X": [6, 2, 4], "H": {"from": 32, "to": 128, "step": 32},
                                                      "P": {"from": 3, "to": 3}, "batch_size": [4, 8]}}, "mine.toml")
    assert space.choices == {"H": range(32, 129, 32), "P": range(3, 4), "X": range(2, 7, 2), "batch_size": range(4, 9, 4)}


def test_without_a_base_the_reference_is_the_papers_best_network():
    space = parse_space({"choices": {"R": [1, 2, 3]}}, "mine.toml")
    assert space == Grid("mine", Variant.v3(), {"R": range(1, 4)}, Recipe())


def test_si_snr_is_always_measured_and_sdr_may_be_pursued_where_it_is():
    space = parse_space({"base": "quick", "metrics": ["sdr"], "objectives": ["sdri", "receptive_field"]}, "mine.toml")
    assert (space.metrics, space.objectives) == (("si_snr", "sdr"), ("sdri_db", "receptive_field_s"))


def test_a_list_of_networks_is_measured_in_its_order():
    space = parse_space({"listed": [{"X": 6}, {"X": 4, "norm": "frame"}], "recipe": {"epochs": 3}}, "mine.toml")
    assert space == VariantList.of("mine", (Variant(X=6), Variant(X=4, norm="frame")), Recipe(epochs=3))


def test_a_preset_is_named_and_a_file_is_found_by_its_ending_or_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "narrow.toml").write_bytes(b'\xef\xbb\xbfbase = "quick"\r\n[choices]\r\nX = [4, 6]\r\n')     # as Windows saves it
    (tmp_path / "other").write_text("choices = {X = [8]}")
    assert space_named("quick") is QUICK
    assert space_named("narrow.toml") == replace(QUICK, name="narrow", choices={"X": range(4, 7, 2)})
    assert space_named("./other").name == "other"


@pytest.mark.parametrize("space", PRESETS[:4], ids=lambda space: space.name)
def test_a_description_says_how_large_the_space_is_and_what_it_spans(space):
    said = describe_space(space)
    if space.name == "quick":       # enumerated
        every = [count.exact(variant) for variant in space.variants()]
        for axis in ("parameters", "macs_per_s"):
            ends = [f"{getattr(least_most, axis):,}" for least_most in (
                min(every, key=lambda one: getattr(one, axis)), max(every, key=lambda one: getattr(one, axis)))]
            assert f": {ends[0]} to {ends[1]}\n" in said
        assert "# quick: 2,560 variants\n" in said
        assert "# receptive field in seconds: 0.008 to 0.254\n" in said      # 8 hops of 1 ms; 2 x 2 x 63 + 2
    if isinstance(space, VariantList):
        sizes = [count.exact(variant).parameters for variant in space.listed]
        assert f"# parameters: {min(sizes):,} to {max(sizes):,}\n" in said
        assert [int(found.replace(",", "")) for found in re.findall(r"^# .*: ([\d,]+) parameters,", said, re.M)] == sizes


def test_a_description_counts_variants_apart_from_recipes():
    said = describe_space(QUICK.tuned(["batch_size", "learning_rate"], QUICK.recipe))
    assert said.startswith("# quick: 2,560 variants times 45 recipes\n")


def test_the_example_of_the_manual_is_read(tmp_path):
    example, = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/reference/space-files.md").read_text("utf-8"), re.S)
    path = tmp_path / "mine.toml"
    path.write_text(example, "utf-8")
    space = read_space(path)
    assert space.name == "narrow"
    assert space.choices == {"H": range(32, 129, 32), "X": range(2, 7, 2)}
    assert space.objectives == ("si_snri_db", "parameters", "macs_per_s")
    assert space.budget == Budget(300_000, 200_000_000)
    assert space.recipe == replace(QUICK.recipe, epochs=4)
    assert space.reference == replace(QUICK.reference, norm="frame")


REFUSED = {
    "unknown key": ('bases = "quick"', "key 'bases': unknown (did you mean 'base'?); choose from name, base"),
    "unknown table": ('[reference]\n[choises]\nX = [8]', "key 'choises': unknown (did you mean 'choices'?)"),
    "no table": ('choices = 3', "choices = 3: a table is wanted; begin it with a line [choices]"),
    "name": ('name = ""\n[choices]\nX = [8]', "name = '': a name in one line is wanted"),
    "name of two lines": ('name = "a\\nb"\n[choices]\nX = [8]', r"name = 'a\nb': a name in one line"),
    "unknown base": ('base = "quik"', "base = 'quik': unknown (did you mean 'quick'?); choose from quick, full, causal"),
    "base is no word": ('base = 3', "base = 3: unknown; choose from quick"),
    "listed base": ('base = "table2"', "base = 'table2': a list of networks has no choices"),
    "unknown letter": ('[reference]\nn = 64\n[choices]\nX = [8]', "[reference] 'n': unknown (did you mean 'N'?); choose from"),
    "unknown word": ('[reference]\nnorm = "gLN"\n[choices]\nX = [8]', "[reference]: Variant: norm='gLN' is unknown; choose from"),
    "word without quotes": ('[reference]\nnorm = 3\n[choices]\nX = [8]', "[reference] norm = 3: a word in quotes is wanted"),
    "reference": ('[reference]\nL = 15\n[choices]\nX = [8]', "[reference]: Variant: L=15 must be even"),
    "causal": ('[reference]\ncausal = true\n[choices]\nX = [8]', "that norm hears the future; use norm='cumulative'"),
    "unknown recipe field": ('[recipe]\nepoch = 3\n[choices]\nX = [8]', "[recipe] 'epoch': unknown (did you mean 'epochs'?)"),
    "recipe": ('[recipe]\nepochs = 0\n[choices]\nX = [8]', "[recipe]: Recipe: epochs=0 must be at least 1"),
    "recipe's number": ('[recipe]\nclip_norm = true\n[choices]\nX = [8]', "[recipe] clip_norm: True is no number"),
    "endless number": (
        f'[recipe]\nclip_norm = 1{"0" * 400}\n[choices]\nX = [8]', "[recipe] clip_norm: a number of 401 digits is too"),
    "no choices": ('[reference]\nX = 4', "[choices]: none; a space wants values for at least one letter"),
    "empty choices": ('base = "quick"\n[choices]', "[choices]: none"),
    "unknown choice": ('[choices]\nXX = [8]', "[choices] 'XX': unknown (did you mean 'X'?); choose from N, L, B, H, Sc"),
    "words as choices": ('[choices]\nnorm = ["global", "frame"]', "[choices] norm: not searched; set it in [reference]"),
    "speakers": ('[choices]\nC = [2, 3]', "[choices] C: not searched; set it in [reference]"),
    "recipe field as choice": ('[choices]\nepochs = [1, 2]', "[choices] epochs: not searched; set it in [recipe]"),
    "one number": ('[choices]\nX = 8', "[choices] X = 8: a list or a range is wanted, such as [2, 4] or {from = 2"),
    "empty list": ('[choices]\nX = []', "[choices] X: 0 values; from 1 to 10000 are wanted"),
    "empty range": ('[choices]\nX = {from = 8, to = 4}', "[choices] X: from 8 to 4 is empty; exchange them"),
    "half a range": ('[choices]\nX = {from = 8}', "[choices] X: no 'to'; a range is {from = 2, to = 6, step = 2}"),
    "unknown key of a range": ('[choices]\nX = {from = 4, to = 8, by = 2}', "X 'by': unknown; choose from from, to, step"),
    "step": ('[choices]\nH = {from = 32, to = 512, step = 50}', "steps of 50 from 32 do not lead to 512; take to = 482 or 532"),
    "step of nothing": ('[choices]\nH = {from = 32, to = 512, step = 0}', "[choices] H: step 0; at least 1 is wanted"),
    "range of fractions": ('[choices]\nH = {from = 32.0, to = 512}', "[choices] H, from: 32.0 is no whole number"),
    "endless range": ('[choices]\nH = {from = 1, to = 9999999999999999999999}', "at most 10,000 are wanted; take a larger step"),
    "odd L in a range": ('[choices]\nL = {from = 15, to = 16}', "[choices] L: Variant: L=15 must be even, the hop is L/2"),
    "even P in a list": ('[choices]\nP = [3, 4]', "[choices] P: Variant: P=4 must be odd"),
    "zero": ('[choices]\nX = [0, 8]', "[choices] X: Variant: X=0 must be at least 1"),
    "no number": ('[choices]\nX = ["4", 8]', "[choices] X: '4' is no whole number"),
    "no whole number": ('[choices]\nX = [4.5, 8]', "[choices] X: 4.5 is no whole number"),
    "truth": ('[choices]\nX = [true, 8]', "[choices] X: True is no whole number"),
    "doubles": ('[choices]\nX = [4, 8, 4]', "[choices] X: 4 is there twice; leave one out"),
    "reference outside": ('[choices]\nX = [2, 4]', "2 to 4 without the reference's 8, which is measured first; add it, or set X"),
    "reference outside its base": ('base = "quick"\n[reference]\nX = 8', "[choices] X: 2 to 6 without the reference's 8"),
    "recipe outside": ('[choices]\nlearning_rate = [0.1, 0.2]', "0.1 to 0.2 without the recipe's 0.001"),
    "learning rate": ('[choices]\nlearning_rate = [0.001, "fast"]', "[choices] learning_rate: 'fast' is no number"),
    "learning rate of nothing": ('[choices]\nlearning_rate = [0.001, 0]', "Recipe: learning_rate=0.0 must be a number above 0"),
    "objectives": ('objectives = ["si_snri", "size"]\n[choices]\nX = [8]', "objectives: 'size' is unknown; choose from si_snri"),
    "objectives no list": ('objectives = "si_snri"\n[choices]\nX = [8]', "objectives = 'si_snri': a list of words in quotes"),
    "objective not measured": ('base = "quick"\nobjectives = ["sdri", "macs"]', 'objectives: sdri wants the metric sdr'),
    "metrics": ('metrics = ["sdri"]\n[choices]\nX = [8]', "metrics 'sdri': unknown (did you mean 'sdr'?)"),
    "metrics twice": ('metrics = ["sdr", "sdr"]\n[choices]\nX = [8]', "metrics: 'sdr' is there twice"),
    "unknown limit": ('[choices]\nX = [8]\n[budget]\nmax_macs = 3', "'max_macs': unknown (did you mean 'max_macs_per_s'?)"),
    "limit": ('[choices]\nX = [8]\n[budget]\nmax_parameters = 3e6', "[budget] max_parameters: 3000000.0 is no whole number"),
    "limit of nothing": ('[choices]\nX = [8]\n[budget]\nmax_parameters = 0', "max_parameters = 0: at least 1 is wanted"),
    "budget": ('[choices]\nX = [8]\n[budget]\nmax_parameters = 4_000_000',
               "[budget]: no variant fits: the cheapest variant, N512 L16 B128 H512 Sc128 P3 X8 R3 C2, has 4,984,881 parameters, "
               "984,881 more than max_parameters = 4,000,000 allows (24.6% more); raise the budget or lower the choices"),
    "empty list of networks": ('listed = []', "listed: at least one network is wanted"),
    "no networks": ('listed = [3]', "listed: at least one network is wanted"),
    "wrong network": ('listed = [{X = 4}, {P = 4}]', "listed network 2: Variant: P=4 must be odd"),
    "network twice": ('listed = [{X = 4}, {X = 8}, {}]', "listed network 3: the same as network 2; leave one out"),
    "network of three speakers": ('listed = [{X = 4}, {C = 3}]', "listed network 2: C=3, but 2 in the first"),
    "list and reference": ('listed = [{X = 4}]\n[reference]\nX = 4', "listed and reference: a list is measured as it is"),
    "list and base": ('base = "quick"\nlisted = [{X = 4}]', "listed and base: a list is measured as it is"),
    "list and choices": ('listed = [{X = 4}]\n[choices]\nX = [4]', "listed and [choices] X: a list has no other networks"),
    "no TOML": ('base = "quick"\nX = [', "not TOML: Invalid value (at end of document); `python -m study space quick`"),
    "no TOML in line 2": ('name = "a"\nbase = quick\n', "not TOML: Invalid value (at line 2, column 8)"),
    "a key twice": ('base = "quick"\nbase = "full"\n', "not TOML: Cannot overwrite a value (at line 2, column 14)"),
}


@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED)
def test_what_describes_no_space_is_refused_in_one_line_that_names_the_file(text, said, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError) as refusal:
        read_space(path)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert said in message
    assert "\n" not in message


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.toml: no such file; the spaces without a file are quick, full"):
        space_named(str(tmp_path / "nowhere.toml"))
    with pytest.raises(UserError, match=r"Is a directory; a TOML file is wanted"):
        space_named(f"{tmp_path}/")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(UserError, match=r"latin.toml: not TOML: byte 8 is no UTF-8; save the file as UTF-8"):
        read_space(tmp_path / "latin.toml")
