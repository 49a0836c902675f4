"""Functions of our ONNX files, in ONNX's own textual syntax; runtimes inline them."""

from tasnet_core.network.model import EPS

SUMS = 3        # numbers in the state of a cumulative norm

# What a norm of network.model does before `weight`: x minus its mean, by its standard deviation.
# `share`, [1, channels] of 1 / channels, makes means over channels matrix products, which runtimes
# compute fastest; means over frames are taken in float64. InstanceNormalization over everything is
# shorter, but onnxruntime adds in float32 one by one: up to 1 % off after a minute.
FUNCTIONS = {
    "GlobalNorm": f"""(x, share) => (y) {{
        eps = Constant <value = double[1] {{{EPS}}}> ()
        narrow_means = MatMul (share, x)
        means = Cast <to = 11> (narrow_means)
        wide_mean = ReduceMean <axes = [2]> (means)
        mean = Cast <to = 1> (wide_mean)
        centred = Sub (x, mean)
        squares = Mul (centred, centred)
        narrow_powers = MatMul (share, squares)
        powers = Cast <to = 11> (narrow_powers)
        variance = ReduceMean <axes = [2]> (powers)
        above = Add (variance, eps)
        deviation = Sqrt (above)
        wide_scale = Reciprocal (deviation)
        scale = Cast <to = 1> (wide_scale)
        y = Mul (centred, scale)
    }}""",
    "FrameNorm": f"""(x, share) => (y) {{
        eps = Constant <value_float = {EPS}> ()
        means = MatMul (share, x)
        centred = Sub (x, means)
        squares = Mul (centred, centred)
        variance = MatMul (share, squares)
        above = Add (variance, eps)
        deviation = Sqrt (above)
        scale = Reciprocal (deviation)
        y = Mul (centred, scale)
    }}""",
    # `past`, and `next` for the frames that follow, [B, 3, 1]: the number of frames so far, and
    # the sums of their means and of their mean squares; all 0 before the first frame. They are
    # float64: what E[x²] − E[x]² loses there is less than what the float32 frames have lost.
    "CumulativeNorm": f"""(x, share, past) => (y, next) {{
        eps = Constant <value = double[1] {{{EPS}}}> ()
        none = Constant <value = double[1] {{0.0}}> ()
        unit = Constant <value = double[1] {{1.0}}> ()
        last = Constant <value_ints = [-1]> ()
        along = Constant <value_int = 2> ()
        narrow_mean = MatMul (share, x)
        centred = Sub (x, narrow_mean)
        squared = Mul (centred, centred)
        narrow_within = MatMul (share, squared)
        within = Cast <to = 11> (narrow_within)
        mean = Cast <to = 11> (narrow_mean)
        square = Mul (mean, mean)
        power = Add (within, square)
        nought = Mul (mean, none)
        count = Add (nought, unit)
        each = Concat <axis = 1> (count, mean, power)
        summed = CumSum (each, along)
        sums = Add (summed, past)
        next = Gather <axis = 2> (sums, last)
        frames, means, powers = Split <axis = 1> (sums)
        wide_centre = Div (means, frames)
        mean_power = Div (powers, frames)
        centre_power = Mul (wide_centre, wide_centre)
        spread = Sub (mean_power, centre_power)
        variance = Max (spread, none)
        above = Add (variance, eps)
        deviation = Sqrt (above)
        wide_scale = Reciprocal (deviation)
        scale = Cast <to = 1> (wide_scale)
        centre = Cast <to = 1> (wide_centre)
        moved = Sub (x, centre)
        y = Mul (moved, scale)
    }}""",
    # As network.model.mirrored: frames more on both sides, mirrored as often as it takes.
    "Mirror": """(x, frames) => (y) {
        axis = Constant <value_ints = [0]> ()
        one = Constant <value_int = 1> ()
        two = Constant <value_int = 2> ()
        lengths = Shape <start = 2> (x)
        length = Squeeze (lengths, axis)
        last = Sub (length, one)
        first = Neg (frames)
        end = Add (length, frames)
        places = Range (first, end, one)
        distances = Abs (places)
        period = Mul (last, two)
        periods = Max (period, one)
        here = Mod (distances, periods)
        back = Sub (period, here)
        inside = Min (here, back)
        y = Gather <axis = 2> (x, inside)
    }""",
    # The frames before x, joined to it, and those before what follows; -start is their number.
    "Remember": """(past, x, start) => (joined, next) {
        end = Constant <value_ints = [2147483647]> ()
        two = Constant <value_ints = [2]> ()
        joined = Concat <axis = 2> (past, x)
        next = Slice (joined, start, end, two)
    }""",
}
