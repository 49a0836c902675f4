// A Conv-TasNet with its gradients, in as few passes over memory as its norms allow: here a block and the convolutions around
// the blocks; waveforms.h has the encoder, the decoder and the loss, update.h the optimizer.
//
// The definition is model.py; fused.py puts these twins in its place. Signals lie as [items, frames, channels], so that
// a row is a frame. A tile of rows goes through all that needs no other row's result while it is in the core's cache,
// matrix products included; a global or cumulative norm has to see all rows before the next step can begin.
//
// A norm is y = gain (s p + t) + offset, p = prelu(x), with one s and one t per row: s = 1/sqrt(var + eps), t = -mean s,
// mean and var over all rows of the item (global), those up to this one (cumulative) or this one (frame). The gradient
// of p is then gain s dy + u + v p, with one u and one v per row. Gradients of weights are added to what is there, zeros.
//
// C++20, with OpenMP where the compiler has it, and no header of torch's: compiled within seconds when first used.

#include "kernels.h"
#include "update.h"
#include "waveforms.h"

namespace {

// What the entries are given: sizes, then addresses of tensors; of a tensor that is not there it is null. The structs, here and in
// waveforms.h, set their order: the Python beside has a record of the same name and fields for each, and a test compares them.
struct NarrowSizes { long half, items, frames, channels, norm, out; };
struct BlockSizes { long half, items, frames, width, channels, norm, taps, dilation, past, out, skip, first; };

// Of one block; T is constant for the weights themselves, and not for their gradients.
template <class T>
struct BlockWeights {
    T *widen, *widen_bias, *slope1, *gain1, *offset1, *depthwise, *depthwise_bias, *slope2, *gain2, *offset2;
    T *residual, *residual_bias, *skip, *skip_bias;
};
template <class T>
struct NarrowForward {
    const T *x, *slope, *gain, *offset, *w, *b;
    T *y, *s, *t;
};
template <class T>
struct NarrowBackward {
    const T *x, *slope, *gain, *offset, *w, *s, *t, *dy;
    T *dx, *dslope, *dgain, *doffset, *dw, *db;
};
template <class T>
struct BlockForward {
    const T* x;
    BlockWeights<const T> weights;
    T *y, *z, *s1, *t1, *s2, *t2, *after, *skips;
};
template <class T>
struct BlockBackward {
    const T* x;
    BlockWeights<const T> weights;
    const T *y, *z, *s1, *t1, *s2, *t2;
    T* dx;
    const T* dskips;
    T* dz;
    BlockWeights<T> gradients;
};
// A 1x1 convolution behind a PReLU and a norm: y = [past +] W norm(prelu(x)) + b. What is not there is null.
template <class T>
struct Out {
    long channels;
    const T *w, *b, *past;
    T* y;
};

// Up to two of them on the same signal, as one product: their weights below one another.
template <class T>
void narrow(const Products& multiply, const Activation<T>& activation, const T* x, std::initializer_list<Out<T>> outs) {
    const long channels = activation.channels;
    Values<T> w;
    for (const Out<T>& out : outs) w.insert(w.end(), out.w, out.w + out.channels * channels);
    const long width = w.size() / channels;
    each_tile(activation.items, activation.frames, channels, [&](Tile tile, int) {
        T *n = scratch<T, 0>(tile.rows * channels), *both = scratch<T, 1>(tile.rows * width);
        activation.apply(x, tile.row(), tile.rows, n);
        multiply('N', 'T', tile.rows, width, channels, n, w.data(), T(0), both);
        for (const Out<T>& out : outs) {
            for (long k = 0; k < tile.rows; ++k) {
                const long at = (tile.row() + k) * out.channels;
                add(both + k * width, out.b, out.past ? out.past + at : nullptr, out.channels, out.y + at);
            }
            both += out.channels;
        }
    });
}

// The gradients of such convolutions; those of W and b are added to.
template <class T>
struct Back {
    long channels;
    const T *w, *dy;
    T *dw, *db;
};

// The gradients of `narrow`. With h the signal before gain and offset, all that a norm's gradients need of the signal are, for
// each channel, the sums over rows of dn and of dn h; both are in the products of dy with h and in the sums of dy. So under
// a global norm dn, the gradient behind the norm, is never kept: it is made when its item's sums are known. `ready` is
// called with each tile of dx.
template <class T, class Ready>
void narrow_back(const Products& multiply, const Activation<T>& activation, const T* x, std::initializer_list<Back<T>> outs, T* dx,
                 T* dslope, T* dgain, T* doffset, Ready ready) {
    const Norm norm = activation.norm;
    const long items = activation.items, frames = activation.frames, channels = activation.channels;
    long width = 0;
    for (const Back<T>& out : outs) width += out.channels;
    Sums<T> products(width * channels, activation.parts()), sums(width, activation.parts()), of_slope(1);
    Values<T> v(items * frames), u(items * frames);
    const auto spread = [&](Tile tile) {
        T beta = 0;
        for (const Back<T>& out : outs) {
            multiply('N', 'N', tile.rows, channels, out.channels, out.dy + tile.row() * out.channels, out.w, beta,
                     dx + tile.row() * channels);
            beta = 1;
        }
    };
    const auto finish = [&](Tile tile, int thread) {
        for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
            *of_slope.of(thread) += activation.gradient(x + row * channels, row, v.data(), u.data(), dx + row * channels);
        ready(tile, thread);
    };
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        T *h = scratch<T, 0>(tile.rows * channels), *product = products.of(thread, tile.item), *sum = sums.of(thread, tile.item);
        activation.standardise(x, tile.row(), tile.rows, h);
        for (const Back<T>& out : outs) {
            const T* dy = out.dy + tile.row() * out.channels;
            multiply('T', 'N', out.channels, channels, tile.rows, dy, h, T(1), product);
            add_rows(dy, tile.rows, out.channels, sum);
            product += out.channels * channels, sum += out.channels;
        }
        if (norm != GLOBAL) spread(tile);
        if (norm == NONE) finish(tile, thread);
        if (norm == CUMULATIVE || norm == FRAME)
            for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
                activation.reduce(x + row * channels, dx + row * channels, v[row], u[row]);
    });
    Values<T> of_dn(channels), of_dnh(channels);
    for (long part = 0; part < activation.parts(); ++part) {
        const T *product = products.total(part), *sum = sums.total(part);
        std::fill(of_dn.begin(), of_dn.end(), T(0)), std::fill(of_dnh.begin(), of_dnh.end(), T(0));
        for (const Back<T>& out : outs)
            for (long o = 0; o < out.channels; ++o, ++sum, product += channels) {
                const T *w = out.w + o * channels, *gain = activation.gain.data(), *offset = activation.offset.data();
                T *dw = out.dw + o * channels, *dn = of_dn.data(), *dnh = of_dnh.data();
                out.db[o] += *sum;
#pragma omp simd
                for (long c = 0; c < channels; ++c) {
                    dn[c] += w[c] * *sum, dnh[c] += w[c] * product[c];
                    dw[c] += gain[c] * product[c] + offset[c] * *sum;
                }
            }
        activation.account(part, of_dn.data(), of_dnh.data(), dgain, doffset, v.data(), u.data());
    }
    if (norm != NONE) {
        scale_gradients(norm, items, frames, channels, activation.s, activation.t, v.data(), u.data());
        each_tile(items, frames, channels, [&](Tile tile, int thread) {
            if (norm == GLOBAL) spread(tile);
            finish(tile, thread);
        });
    }
    of_slope.into(dslope);
}

// PReLU, norm and 1x1 convolution alone: around the blocks.
template <class T>
void narrow_forward(const long* sizes, void** given) {
    const auto n = read<NarrowSizes>(sizes);
    const auto at = read<NarrowForward<T>>(given);
    const Norm norm = Norm(n.norm);
    const Activation<T> activation(norm, n.items, n.frames, n.channels, at.slope, at.gain, at.offset, at.s, at.t);
    if (norm != NONE) {
        each_tile(n.items, n.frames, n.channels, [&](Tile tile, int) {
            const long row = tile.row();
            moments(norm, at.x + row * n.channels, activation.slope, tile.rows, n.channels, at.s + row, at.t + row);
        });
        scales(norm, n.items, n.frames, n.channels, at.s, at.t);
    }
    narrow<T>({n.half != 0}, activation, at.x, {{n.out, at.w, at.b, nullptr, at.y}});
}

template <class T>
void narrow_backward(const long* sizes, void** given) {
    const auto n = read<NarrowSizes>(sizes);
    const auto at = read<NarrowBackward<T>>(given);
    const Activation<T> activation(Norm(n.norm), n.items, n.frames, n.channels, at.slope, at.gain, at.offset, at.s, at.t);
    narrow_back<T>({n.half != 0}, activation, at.x, {{n.out, at.w, at.dy, at.dw, at.db}}, at.dx, at.dslope, at.dgain, at.doffset,
                   [](Tile, int) {});
}

// A block: y = W x + b and z = depthwise(norm(prelu(y))), which are kept, then x + residual and skips + skip of
// norm(prelu(z)). A block without one of the two convolutions has no output there.
template <class T>
void block_forward(const long* sizes, void** given) {
    const auto n = read<BlockSizes>(sizes);
    const auto at = read<BlockForward<T>>(given);
    const BlockWeights<const T>& weights = at.weights;
    const Norm norm = Norm(n.norm);
    const long items = n.items, frames = n.frames, channels = n.channels;
    const Products multiply{n.half != 0};
    const Activation<T> one(norm, items, frames, channels, weights.slope1, weights.gain1, weights.offset1, at.s1, at.t1),
        two(norm, items, frames, channels, weights.slope2, weights.gain2, weights.offset2, at.s2, at.t2);
    const Taps<T> taps(n.taps, n.dilation, n.past, channels, weights.depthwise);
    each_tile(items, frames, channels, [&](Tile tile, int) {
        T* here = at.y + tile.row() * channels;
        for (long k = 0; k < tile.rows; ++k)
            std::copy(weights.widen_bias, weights.widen_bias + channels, here + k * channels);
        multiply('N', 'T', tile.rows, channels, n.width, at.x + tile.row() * n.width, weights.widen, T(1), here);
        moments(norm, here, one.slope, tile.rows, channels, at.s1 + tile.row(), at.t1 + tile.row());
    });
    scales(norm, items, frames, channels, at.s1, at.t1);
    each_tile(items, frames, channels, [&](Tile tile, int) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin, item = tile.item * frames;
        T *normed = scratch<T, 0>(rows * channels), *here = at.z + tile.row() * channels;
        one.apply(at.y, item + begin, rows, normed);
        for (long k = 0; k < tile.rows; ++k)
            taps.convolve(tile.first + k, frames, 1, normed, begin, weights.depthwise_bias, here + k * channels);
        moments(norm, here, two.slope, tile.rows, channels, at.s2 + tile.row(), at.t2 + tile.row());
    });
    scales(norm, items, frames, channels, at.s2, at.t2);
    const Out<T> residual{n.out, weights.residual, weights.residual_bias, at.x, at.after},
        skipping{n.skip, weights.skip, weights.skip_bias, n.first ? nullptr : at.skips, at.skips};
    if (!n.skip) narrow(multiply, two, at.z, {residual});
    else if (!n.out) narrow(multiply, two, at.z, {skipping});
    else narrow(multiply, two, at.z, {residual, skipping});
}

// dx comes in as the gradient of the residual's output, if there is one, and goes out as that of x.
template <class T>
void block_backward(const long* sizes, void** given) {
    const auto n = read<BlockSizes>(sizes);
    const auto at = read<BlockBackward<T>>(given);
    const BlockWeights<const T>& weights = at.weights;
    const BlockWeights<T>& gradients = at.gradients;
    const Norm norm = Norm(n.norm);
    const long items = n.items, frames = n.frames, width = n.width, channels = n.channels;
    const Products multiply{n.half != 0};
    const Activation<T> one(norm, items, frames, channels, weights.slope1, weights.gain1, weights.offset1, at.s1, at.t1),
        two(norm, items, frames, channels, weights.slope2, weights.gain2, weights.offset2, at.s2, at.t2);
    const Taps<T> taps(n.taps, n.dilation, n.past, channels, weights.depthwise);
    Sums<T> products((n.taps + 2) * channels, one.parts()), unheard(n.taps * channels, one.parts()),
        sums(channels, one.parts());
    const auto correlate = [&](Tile tile, int thread) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin, item = tile.item * frames;
        T* h = scratch<T, 0>(rows * channels);
        one.standardise(at.y, item + begin, rows, h);
        for (long k = tile.first; k < tile.first + tile.rows; ++k)
            taps.correlate(k, frames, at.dz + (item + k) * channels, h, begin, products.of(thread, tile.item),
                           unheard.of(thread, tile.item));
        add_rows(at.dz + tile.row() * channels, tile.rows, channels, sums.of(thread, tile.item));
    };
    const Back<T> residual{n.out, weights.residual, at.dx, gradients.residual, gradients.residual_bias},
        skipping{n.skip, weights.skip, at.dskips, gradients.skip, gradients.skip_bias};
    const auto second = [&](std::initializer_list<Back<T>> outs) {
        narrow_back<T>(multiply, two, at.z, outs, at.dz, gradients.slope2, gradients.gain2, gradients.offset2, correlate);
    };
    if (!n.skip) second({residual});
    else if (!n.out) second({skipping});
    else second({residual, skipping});

    Values<T> v(items * frames), u(items * frames), nothing(channels), of_dn(channels), of_dnh(channels);
    const auto spread = [&](Tile tile, T* dn) {
        for (long k = 0; k < tile.rows; ++k)
            taps.convolve(tile.first + k, frames, -1, at.dz + tile.item * frames * channels, 0, nothing.data(),
                          dn + k * channels);
    };
    if (norm != GLOBAL)
        each_tile(items, frames, channels, [&](Tile tile, int) {
            T* dn = scratch<T, 0>(tile.rows * channels);
            spread(tile, dn);
            for (long k = 0, row = tile.row(); k < tile.rows; ++k, ++row)
                one.reduce(at.y + row * channels, dn + k * channels, v[row], u[row]);
        });
    for (long part = 0; part < one.parts(); ++part) {
        const T *product = products.total(part), *missed = unheard.total(part), *sum = sums.total(part);
        std::fill(of_dn.begin(), of_dn.end(), T(0)), std::fill(of_dnh.begin(), of_dnh.end(), T(0));
        for (long i = 0; i < n.taps * channels; ++i) {
            const long tap = i / channels, c = i % channels;
            const T heard = sum[c] - missed[i];
            of_dn[c] += taps.weights[i] * heard, of_dnh[c] += taps.weights[i] * product[i];
            gradients.depthwise[c * n.taps + tap] += one.gain[c] * product[i] + one.offset[c] * heard;
        }
        one.account(part, of_dn.data(), of_dnh.data(), gradients.gain1, gradients.offset1, v.data(), u.data());
        add_rows(sum, 1, channels, gradients.depthwise_bias);
    }
    scale_gradients(norm, items, frames, channels, at.s1, at.t1, v.data(), u.data());
    Sums<T> of_w(channels * width), of_b(channels), of_slope(1);
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        const long first = tile.row();
        T* dn = scratch<T, 0>(tile.rows * channels);
        spread(tile, dn);
        for (long k = 0, row = first; k < tile.rows; ++k, ++row)
            *of_slope.of(thread) += one.gradient(at.y + row * channels, row, v.data(), u.data(), dn + k * channels);
        add_rows(dn, tile.rows, channels, of_b.of(thread));
        multiply('N', 'N', tile.rows, width, channels, dn, weights.widen, T(n.out != 0), at.dx + first * width);
        multiply('T', 'N', channels, width, tile.rows, dn, at.x + first * width, T(1), of_w.of(thread));
    });
    of_w.into(gradients.widen), of_b.into(gradients.widen_bias), of_slope.into(gradients.slope1);
}

}  // namespace

extern "C" {
void use_blas(void** routines) { std::copy(routines, routines + 3, blas); }
#define ENTRY(name) \
    void name##_float32(const long* sizes, void** given) { name<float>(sizes, given); } \
    void name##_float64(const long* sizes, void** given) { name<double>(sizes, given); }
ENTRY(narrow_forward) ENTRY(narrow_backward) ENTRY(block_forward) ENTRY(block_backward)
ENTRY(encode_forward) ENTRY(encode_backward) ENTRY(decode_forward) ENTRY(decode_backward)
ENTRY(pit_loss) ENTRY(clip) ENTRY(adam)
}
