"""What a variant needs, from closed formulas alone: nothing is built, and torch is not loaded.

The figures are sums over `layers(variant)`, which follows the network layer by layer:

    parameters = 2NL + 2N + (NB + B)
               + X·R·[(BH + H) + 1 + 2H + (HP + H) + 1 + 2H + (HB + B) + (H·Sc + Sc)]
               + 1 + (Sc·C·N + C·N)
    MACs per frame = NL + NB + X·R·(BH + HP + HB + H·Sc) + Sc·C·N + C·N·L

less HB + B and HB for the last block's residual convolution where the variant leaves it out, with B
in place of Sc behind the blocks where there is no skip path, and with HP + H and HP more per block
where it has an extra dilation. All norms have a gain and a bias per channel. MACs are those of the
convolutions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tasnet_core.records import Cost, Variant


class Layer(NamedTuple):
    """One line of `describe`: a layer's output, its cost, and the receptive field behind it."""

    name: str
    channels: tuple[int, ...]  # of its output, before the frames K; () for a waveform of T samples
    parameters: int
    macs_per_frame: int
    receptive_field_samples: int


def layers(variant: Variant) -> list[Layer]:
    """Every layer in order, from the closed formulas alone: nothing is built."""
    v = variant
    reach = v.L
    rows = [Layer("encoder", (v.N,), v.N * v.L, v.N * v.L, reach),
            Layer("norm", (v.N,), 2 * v.N, 0, reach),
            Layer("bottleneck", (v.B,), v.N * v.B + v.B, v.N * v.B, reach)]
    for r in range(v.R):
        for x in range(v.X):
            last = (r, x) == (v.R - 1, v.X - 1)
            rows += _block_layers(v, f"repeat {r + 1} block {x + 1}", 2**x, reach,
                                  residual=v.has_last_residual or not last)
            reach = rows[-1].receptive_field_samples
    width = v.Sc or v.B
    return [*rows,
            Layer("prelu", (width,), 1, 0, reach),
            Layer("masks", (v.C, v.N), width * v.C * v.N + v.C * v.N, width * v.C * v.N, reach),
            Layer("decoder", (v.C,), v.N * v.L, v.C * v.N * v.L, reach)]


def _block_layers(v: Variant, name: str, dilation: int, reach: int, residual: bool) -> list[Layer]:
    wider = reach
    rows = [Layer(f"{name}: widen", (v.H,), v.B * v.H + v.H, v.B * v.H, reach),
            Layer(f"{name}: prelu, norm", (v.H,), 1 + 2 * v.H, 0, reach)]
    for apart in [dilation, v.extra_dilation * dilation][:2 if v.extra_dilation else 1]:
        wider += (v.P - 1) * apart * v.hop
        layer = f"{name}: depthwise, dilation {apart}"
        rows.append(Layer(layer, (v.H,), v.H * v.P + v.H, v.H * v.P, wider))
    rows.append(Layer(f"{name}: prelu, norm", (v.H,), 1 + 2 * v.H, 0, wider))
    if residual:
        rows.append(Layer(f"{name}: residual", (v.B,), v.H * v.B + v.B, v.H * v.B, wider))
    if v.Sc:
        rows.append(Layer(f"{name}: skip", (v.Sc,), v.H * v.Sc + v.Sc, v.H * v.Sc, wider))
    return rows


def exact(variant: Variant) -> Cost:
    """The part of the cost that formulas give; memory and speed stay None."""
    rows = layers(variant)
    # Frames per second may be a fraction (L=24 at 8 kHz); the MACs are rounded to the nearest whole
    # one.
    per_s = round(
        sum(layer.macs_per_frame for layer in rows) * variant.sample_rate_hz / variant.hop)
    return Cost(parameters=sum(layer.parameters for layer in rows), macs_per_s=per_s,
                receptive_field_s=variant.receptive_field_samples / variant.sample_rate_hz)


def totals(fields: Mapping[str, Any]) -> tuple[Any, Any]:
    """Parameters and MACs per second of many variants at once, from the sums above.

    `fields` has those of `Variant`, each a number for all variants or an array [variants]. MACs are
    not rounded.
    """
    f = fields
    N, L, B, H, P, C = (f[letter] for letter in "NLBHPC")
    blocks, has_skip = f["X"] * f["R"], f["Sc"] > 0
    width = f["Sc"] + B * (1 - has_skip)
    # Without a skip path the last block's residual is the output.
    residuals = blocks - has_skip * (1 - f["last_residual"])
    depthwise = 1 + (f["extra_dilation"] > 0)
    within = B * H + depthwise * H * P + H * f["Sc"]
    weights = N * B + blocks * within + residuals * H * B + width * C * N
    per_frame = N * L + weights + C * N * L
    biases = B + blocks * (H + depthwise * H + f["Sc"]) + residuals * B + C * N
    norms_and_slopes = 2 * N + blocks * (4 * H + 2) + 1
    parameters = 2 * N * L + weights + biases + norms_and_slopes
    return parameters, per_frame * f["sample_rate_hz"] / (L // 2)
