"""The compiled layers of a network against the plain ones, which are the definition."""

import ctypes
import gc
import os
import re
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tasnet_core.backend import blas, build, fused, fused_loss
from tasnet_core.backend.fused import Blocks, Decode, Encode, Narrow, Plan, Reach, Where, speed_up, supports
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import seeded
from tasnet_core.records import Variant
from tests.support.tiny import TINY
from tests.support.variants import variants

compiled = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())
SMALL = Variant(N=20, L=16, B=9, H=33, Sc=7, X=4, R=2)      # no number a multiple of a vector's


RECORDS = {name: value for module in (fused, fused_loss) for name, value in vars(module).items()
           if hasattr(value, "_fields") and name not in ("Plan", "Reach", "Kept", "Where")}


def structs():
    """The fields of every struct in the C++ that there is a record of here, in order, by the struct's name."""
    source = "".join(path.read_text() for path in build.SOURCES)
    found = {}
    for name, body in re.findall(r"struct (\w+) \{(.*?)\};", source, re.DOTALL):
        if name in RECORDS:
            declared = re.sub(r"BlockWeights<[^>]*>|\b(?:const|long|T)\b|\*", "", body)
            found[name] = [field.strip() for field in re.split("[,;]", declared) if field.strip()]
    return found


def enum(name):
    source = "".join(path.read_text() for path in build.SOURCES)
    return {word.strip().lower(): number for number, word in enumerate(
        re.search(rf"enum {name} : long \{{(.*?)\}}", source)[1].split(","))}


def test_the_arguments_of_the_compiled_functions_have_one_order():
    """Kernels read them by position: one exchanged would be silent damage to memory."""
    assert structs() == {name: list(record._fields) for name, record in RECORDS.items()}


def test_norms_and_masks_have_the_numbers_of_the_compiled_functions():
    assert enum("Norm") == {"none": fused.NO_NORM, **fused.NORMS}
    masks = enum("Mask")
    assert {"softmax": masks.pop("as_is"), **masks} == fused.MASKS


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@compiled
@pytest.mark.parametrize("norm", [1, 2, 3])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dilation", [1, 2, 7])     # 7: beyond the ends of five frames
@pytest.mark.parametrize("taps", [1, 3, 5])
def test_gradients_of_blocks_are_those_of_finite_differences(taps, dilation, causal, norm):
    torch.manual_seed(0)
    B, H, Sc = 3, 4, 2

    def weights(residual):
        yield from (double(H, B, 1), double(H), double(1), double(H), double(H), double(H, 1, taps), double(H),
                    double(1), double(H), double(H))
        yield from (double(B, H, 1), double(B)) if residual else (None, None)
        yield from (double(Sc, H, 1), double(Sc))
    reaches = tuple(Reach(each, each * (taps - 1) // (1 if causal else 2)) for each in (dilation, 1))
    given = double(2, 5, B), *weights(True), *weights(False)
    assert torch.autograd.gradcheck(lambda *tensors: Blocks.apply(Plan(False, norm, reaches, True), *tensors), given)


@compiled
@pytest.mark.parametrize("norm", [0, 1, 2, 3])
@pytest.mark.parametrize("mask", [0, 1, 2])
def test_gradients_around_the_blocks_are_those_of_finite_differences(norm, mask):
    torch.manual_seed(0)
    gains = (double(4), double(4)) if norm else (None, None)
    given = double(2, 5, 4), double(1), *gains, double(3, 4, 1), double(3)
    assert torch.autograd.gradcheck(lambda *tensors: Narrow.apply((False, norm), *tensors), given)
    given = double(2, 5, 2, 3), double(2, 5, 3), double(3, 1, 4)
    assert torch.autograd.gradcheck(lambda *tensors: Decode.apply(Where(9, 2), mask, *tensors), given)


@compiled
@pytest.mark.parametrize("rectify", [False, True])
def test_the_gradient_of_the_encoder_is_that_of_finite_differences(rectify):
    mixture = torch.randn(2, 9, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: Encode.apply(Where(9, 2), 5, rectify, mixture, w), double(3, 1, 4))


@compiled
def test_a_sigmoid_is_equal_to_one_part_in_a_million_wherever_it_is_not_as_good_as_nothing():
    x = torch.cat([torch.linspace(-100, 100, 20_001), torch.tensor([torch.inf, -torch.inf, torch.nan])])
    first = torch.tensor([[[1.0, 0.0]]])        # of each frame's two samples the first
    found = Decode.apply(Where(len(x), 0), 1, x[None, :, None, None], torch.ones(1, len(x), 1), first)[0, 0].double()
    assert torch.allclose(found, x.double().sigmoid(), rtol=1e-6, atol=1e-37, equal_nan=True)


def close(found, expected):
    # Norms over a value or two multiply rounding by up to 1e4 each; a wrong twin is off by its whole size.
    assert (found - expected).norm() <= 1e-3 * expected.norm() + 1e-4


def gradients(network, sources):
    pit_loss(sources, network(sources.sum(1))).backward()
    return [weight.grad for weight in network.parameters()]


@pytest.mark.usefixtures("each_blas")
@given(variants, st.integers(1, 120), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_whole_network_trains_on_the_same_numbers(variant, samples, seed):
    # Without dropout: chance would have to be the same. And with two channels at least: of one, a norm of each frame leaves
    # nothing, and every norm behind it multiplies the rounding of nothing by 1e4.
    variant = replace(variant, dropout=0.0, N=variant.N + 1, B=variant.B + 1, H=variant.H + 1)
    plain, fast = seeded(variant, seed).double(), speed_up(seeded(variant, seed).double())
    sources = torch.randn(2, variant.C, samples, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for one, other in zip(gradients(plain, sources), gradients(fast, sources), strict=True):
        if one is None:         # a last residual that was asked for
            assert other is None
        else:
            close(other, one)
    close(fast(sources.sum(1)), plain(sources.sum(1)))


@compiled
@pytest.mark.parametrize("changes", [{}, {"norm": "cumulative", "causal": True}, {"norm": "frame"}, {"Sc": 0},
                                     {"mask": "softmax"}, {"P": 5, "encoder": "relu", "input_norm": "frame"},
                                     {"mask": "relu"}], ids=str)
def test_tiles_and_neighbours_join_without_a_seam(changes):
    # 2500 frames' worth of audio is several tiles, the last one shorter, with dilations that reach over their ends.
    variant = replace(SMALL, **changes)
    plain, fast = seeded(variant, 0).double(), speed_up(seeded(variant, 0).double())
    sources = torch.randn(3, 2, 20_003, dtype=torch.float64)
    assert torch.allclose(fast(sources.sum(1)), plain(sources.sum(1)), rtol=1e-9, atol=1e-12)
    for one, other in zip(gradients(plain, sources), gradients(fast, sources), strict=True):
        assert (other - one).norm() <= 1e-9 * one.norm()


@pytest.mark.usefixtures("each_blas")
@pytest.mark.parametrize("variant", [TINY, SMALL, Variant(X=3, R=1)], ids=str)
def test_in_float32_the_output_is_equal_to_one_part_in_a_hundred_thousand(variant):
    sound = torch.randn(3, 4000)
    expected, found = seeded(variant, 0)(sound), speed_up(seeded(variant, 0))(sound)
    assert (found - expected).norm() <= 1e-5 * expected.norm()
    with torch.inference_mode():
        assert torch.equal(speed_up(seeded(variant, 0))(sound), found)


@pytest.mark.usefixtures("each_blas")
def test_the_same_threads_give_the_same_gradients_to_the_last_bit():
    sources = torch.randn(2, 2, 20_000)
    one, other = (gradients(speed_up(seeded(SMALL, 0)), sources) for _ in range(2))
    assert all(map(torch.equal, one, other))


@pytest.mark.usefixtures("each_blas")
def test_two_threads_multiply_at_the_same_time():
    sources = torch.randn(2, 2, 20_000)
    expected = gradients(speed_up(seeded(SMALL, 0)), sources)
    torch.set_num_threads(2)
    try:
        found = [gradients(speed_up(seeded(SMALL, 0)), sources) for _ in range(2)]
    finally:
        torch.set_num_threads(1)
    assert all(map(torch.equal, *found))
    for one, other in zip(found[0], expected, strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-6


@pytest.mark.usefixtures("each_blas")
def test_bf16_rounds_the_factors_of_products_and_nothing_else():
    x, w, b = torch.randn(2, 50, 12), torch.randn(7, 12), torch.randn(7)
    x[0, 0, 0] = float("nan")
    found = Narrow.apply((True, 0), x, None, None, None, w[..., None], b)
    expected = x.bfloat16().double() @ w.bfloat16().double().t() + b
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("variant", [SMALL, replace(SMALL, norm="batch")], ids=["fast", "plain"])
def test_in_bf16_an_output_is_the_same_to_a_hundredth_and_gradients_are_float32(variant):
    sources = torch.randn(2, 2, 4000)
    expected, network = seeded(variant, 0)(sources.sum(1)), speed_up(seeded(variant, 0), "bf16")
    found = network(sources.sum(1))
    assert found.dtype == torch.float32
    assert 1e-5 * expected.norm() < (found - expected).norm() <= 2e-2 * expected.norm()
    assert all(grad.dtype == torch.float32 for grad in gradients(network, sources))


@pytest.mark.parametrize("changes", [{"norm": "batch"}, {"dropout": 0.1}, {"extra_dilation": 2}, {"padding_mode": "reflect"}],
                         ids=str)
def test_what_has_no_twin_goes_by_the_plain_layers(changes):
    variant = replace(SMALL, **changes)
    sound = torch.randn(1, 100)
    assert supports(SMALL)
    assert not supports(variant)
    assert torch.equal(speed_up(seeded(variant, 0)).eval()(sound), seeded(variant, 0).eval()(sound))


@compiled
@pytest.mark.parametrize("mixture", [torch.randn(1, 100, dtype=torch.float64), torch.randn(100), torch.randn(1, 1, 100),
                                     torch.ones(1, 100, dtype=torch.int16)], ids=lambda each: f"{each.dtype} {each.dim()}")
def test_a_mixture_of_another_type_or_shape_is_refused_as_by_the_plain_layers(mixture):
    with pytest.raises((RuntimeError, IndexError, ValueError)) as plain:
        seeded(SMALL, 0)(mixture)
    with pytest.raises(plain.type, match=re.escape(str(plain.value))):
        speed_up(seeded(SMALL, 0))(mixture)


@compiled
def test_the_state_is_that_of_the_plain_network_and_no_plain_layer_is_called(monkeypatch):
    network = speed_up(seeded(TINY, 0))
    assert network.state_dict().keys() == seeded(TINY, 0).state_dict().keys()
    monkeypatch.setattr(nn.Conv1d, "forward", lambda *_: pytest.fail("the plain layer was called"))
    network(torch.randn(1, 20))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("norm", ["global", "batch"])
def test_a_network_is_gone_with_its_last_name(norm, precision):
    network = speed_up(seeded(replace(TINY, norm=norm), 0), precision)
    network(torch.randn(1, 20))
    known = weakref.ref(network)
    gc.disable()
    try:
        del network
        assert known() is None
    finally:
        gc.enable()


def reason(monkeypatch, **environment):
    """Why there are no compiled layers in a process with this environment and no other."""
    with monkeypatch.context() as patch:
        for name in os.environ.keys() - {"TMPDIR"}:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return build.compiled.__wrapped__()[1]


def test_without_a_compiler_one_line_says_so(tmp_path, monkeypatch):
    (tmp_path / "bad").write_text("#!/bin/sh\necho 'kernels.cpp:1: error: no such standard' >&2\nexit 1\n")
    (tmp_path / "bad").chmod(0o755)
    cache = str(tmp_path)
    assert "no C++ compiler" in reason(monkeypatch, PATH="", TASNET_CACHE=cache)
    assert "no such standard" in reason(monkeypatch, PATH="", CXX=str(tmp_path / "bad"), TASNET_CACHE=cache)
    assert reason(monkeypatch, TASNET_PLAIN="1") == "TASNET_PLAIN is set"
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]      # nothing half made


@pytest.mark.parametrize("failing", ["echo 'omp.h: error: no such file' >&2; exit 1", "echo nothing > $out"],
                         ids=["does not compile", "cannot be loaded"])
def test_a_compiler_without_the_openmp_of_torch_makes_layers_for_one_thread(library, tmp_path, failing):
    compiler = tmp_path / "c++"
    compiler.write_text(f"""#!/bin/sh
        for last; do out=$last; done
        case "$*" in
        *-fopenmp\\ *) {failing};;
        *-c*) : > $out;;
        *) object=${{out%so}}o; [ -s $object ] && cp $object $out || cp {library} $out;;
        esac""")
    compiler.chmod(0o755)
    build.compile_library(str(compiler), tmp_path / "made.so")
    assert (tmp_path / "made.so").read_bytes() == library.read_bytes()


@pytest.mark.long
def test_clang_without_openmp_makes_layers_with_the_same_numbers(tmp_path, monkeypatch):
    compiler = next(filter(None, map(shutil.which, ["clang++", *(f"clang++-{version}" for version in range(14, 30))])), None)
    if compiler is None:
        pytest.skip("no clang++")
    build._compile(compiler, "-fopenmp-simd", tmp_path / "made.so")
    made = ctypes.CDLL(str(tmp_path / "made.so"))
    build.use(made, blas.routines())
    sources = torch.randn(2, 2, 20_000)
    expected = gradients(seeded(SMALL, 0), sources)
    monkeypatch.setattr(build, "compiled", lambda: (made, ""))
    for found, wanted in zip(gradients(speed_up(seeded(SMALL, 0)), sources), expected, strict=True):
        assert (found - wanted).norm() <= 1e-4 * wanted.norm() + 1e-6


@pytest.fixture(scope="module")
def library():
    """The compiled layers in the cache, as the tests made them."""
    if build.why_not():
        pytest.skip(build.why_not())
    return Path(os.path.realpath(build.compiled()[0]._name))       # which may be a descriptor's


@pytest.fixture
def planted(library, tmp_path):
    """The library in a cache of the test's own."""
    place = tmp_path / build.FOLDER / library.name
    place.parent.mkdir(mode=0o700)
    place.write_bytes(library.read_bytes())
    place.chmod(0o755)
    return place


def loaded(place):
    """Whether the library is loaded from there as it is."""
    try:
        build.open_library(place)
    except OSError:
        return False
    return True


@pytest.fixture
def made(library, monkeypatch):
    """A compiler that makes the library at once."""
    monkeypatch.setattr(build, "compile_library", lambda compiler, made: made.write_bytes(library.read_bytes()))


def test_a_damaged_library_is_made_again(planted, library, made, monkeypatch):
    planted.write_bytes(b"")        # as after a power failure
    monkeypatch.setenv("TASNET_CACHE", str(planted.parents[1]))
    assert build.load_or_make()
    assert not build.to_compile()
    assert [path.name for path in planted.parent.iterdir()] == [library.name]
    assert planted.stat().st_size == library.stat().st_size


@pytest.mark.parametrize(("spoil", "safe"), [
    (lambda place: None, True), (lambda place: place.parent.parent.chmod(0o777), True),      # its own folder is ours alone
    (lambda place: place.chmod(0o775), False), (lambda place: place.chmod(0o757), False),
    (lambda place: place.parent.chmod(0o770), False), (lambda place: place.parent.chmod(0o1777), False),
    (lambda place: (place.unlink(), os.mkfifo(place)), False), (lambda place: (place.unlink(), place.mkdir()), False)],
    ids=["as made", "cache for all", "file for a group", "file for all", "folder for a group", "sticky folder", "pipe", "folder"])
def test_a_library_is_loaded_only_where_nobody_else_can_have_written_it(planted, spoil, safe):
    spoil(planted)
    assert loaded(planted) == safe


@pytest.mark.parametrize("which", ["the file", "the folder"])
def test_a_library_of_another_user_is_not_loaded(planted, which, monkeypatch):
    real, theirs = os.fstat, (planted if which == "the file" else planted.parent).stat().st_ino

    def owned_by_another(descriptor):
        found = list(real(descriptor))
        return os.stat_result([*found[:4], 4711, *found[5:]]) if found[1] == theirs else real(descriptor)
    monkeypatch.setattr(os, "fstat", owned_by_another)
    assert not loaded(planted)


def test_a_library_that_others_may_have_written_is_made_anew(planted, library, made, monkeypatch):
    planted.write_bytes(b"theirs")
    monkeypatch.setenv("TASNET_CACHE", str(planted.parents[1]))
    planted.chmod(0o777)
    assert build.load_or_make()
    assert (planted.read_bytes(), planted.stat().st_mode & 0o022) == (library.read_bytes(), 0)     # now it is ours
    planted.unlink()        # else the library that is loaded would change
    planted.write_bytes(b"theirs")
    planted.parent.chmod(0o777)
    assert build.load_or_make()                           # from a folder of its own
    assert planted.read_bytes() == b"theirs"


def test_a_cache_that_cannot_be_written_costs_the_compiled_layers_nothing_but_time(made, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path / "file"))
    assert build.to_compile()
    assert build.load_or_make()


def test_without_proc_no_folder_above_may_be_others_to_write(planted, monkeypatch):
    monkeypatch.setattr(build, "BY_DESCRIPTOR", "/nowhere/{}")
    planted.parents[1].chmod(0o777)
    assert not loaded(planted)
