// A Conv-TasNet with its gradients, in as few passes over memory as its norms allow: what is around the blocks, a block, and
// masks with the decoder.
//
// The definition is model.py; fused.py puts these twins in its place. Signals lie as [items, frames, channels], so that
// a row is a frame. A tile of rows goes through all that needs no other row's result while it is in the core's cache,
// matrix products included; a global or cumulative norm has to see all rows before the next step can begin.
//
// A norm is y = gain (s p + t) + offset, p = prelu(x), with one s and one t per row: s = 1/sqrt(var + eps), t = -mean s,
// mean and var over all rows of the item (global), those up to this one (cumulative) or this one (frame). The gradient
// of p is then gain s dy + u + v p, with one u and one v per row. Gradients of weights are added to what is there, zeros.
//
// C++20 with OpenMP and no header of torch's: compiled within seconds when first used.

#include "kernels.h"

namespace {

// What an entry is given: sizes in order, then tensors in order; one that is not there is null.
template <size_t n>
const std::array<long, n>& numbers(const long* given) { return *reinterpret_cast<const std::array<long, n>*>(given); }
template <class T, size_t n>
std::array<T*, n> tensors(void** given) {
    std::array<T*, n> found;
    for (size_t i = 0; i < n; ++i) found[i] = static_cast<T*>(given[i]);
    return found;
}

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
    const auto [half, items, frames, channels, norm, out] = numbers<6>(sizes);
    const auto [x, slope, gain, offset, w, b, y, s, t] = tensors<T, 9>(given);
    const Activation<T> activation(Norm(norm), items, frames, channels, slope, gain, offset, s, t);
    if (norm != NONE) {
        each_tile(items, frames, channels, [&](Tile tile, int) {
            for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
                moments(x + row * channels, activation.slope, channels, s[row], t[row]);
        });
        scales(Norm(norm), items, frames, channels, s, t);
    }
    narrow<T>({half != 0}, activation, x, {{out, w, b, nullptr, y}});
}

template <class T>
void narrow_backward(const long* sizes, void** given) {
    const auto [half, items, frames, channels, norm, out] = numbers<6>(sizes);
    const auto [x, slope, gain, offset, w, s, t, dy, dx, dslope, dgain, doffset, dw, db] = tensors<T, 14>(given);
    const Activation<T> activation(Norm(norm), items, frames, channels, slope, gain, offset, s, t);
    narrow_back<T>({half != 0}, activation, x, {{out, w, dy, dw, db}}, dx, dslope, dgain, doffset, [](Tile, int) {});
}

// A block: y = W x + b and z = depthwise(norm(prelu(y))), which are kept, then x + residual and skips + skip of
// norm(prelu(z)). A block without one of the two convolutions has no output there.
template <class T>
void block_forward(const long* sizes, void** given) {
    const auto [half, items, frames, in, channels, norm, P, dilation, past, out, skip, first] = numbers<12>(sizes);
    const auto [x, w, b, slope1, gain1, offset1, wd, bd, slope2, gain2, offset2, wr, br, ws, bs, y, z, s1, t1, s2, t2, after,
                skips] = tensors<T, 23>(given);
    const Products multiply{half != 0};
    const Activation<T> one(Norm(norm), items, frames, channels, slope1, gain1, offset1, s1, t1),
        two(Norm(norm), items, frames, channels, slope2, gain2, offset2, s2, t2);
    const Taps<T> taps(P, dilation, past, channels, wd);
    each_tile(items, frames, channels, [&](Tile tile, int) {
        T* here = y + tile.row() * channels;
        for (long k = 0; k < tile.rows; ++k) std::copy(b, b + channels, here + k * channels);
        multiply('N', 'T', tile.rows, channels, in, x + tile.row() * in, w, T(1), here);
        for (long k = 0; k < tile.rows; ++k)
            moments(here + k * channels, one.slope, channels, s1[tile.row() + k], t1[tile.row() + k]);
    });
    scales(Norm(norm), items, frames, channels, s1, t1);
    each_tile(items, frames, channels, [&](Tile tile, int) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin, item = tile.item * frames;
        T* n = scratch<T, 0>(rows * channels);
        one.apply(y, item + begin, rows, n);
        for (long k = tile.first; k < tile.first + tile.rows; ++k) {
            T* here = z + (item + k) * channels;
            taps.convolve(k, frames, 1, n, begin, bd, here);
            moments(here, two.slope, channels, s2[item + k], t2[item + k]);
        }
    });
    scales(Norm(norm), items, frames, channels, s2, t2);
    const Out<T> residual{out, wr, br, x, after}, skipping{skip, ws, bs, first ? nullptr : skips, skips};
    if (!skip) narrow(multiply, two, z, {residual});
    else if (!out) narrow(multiply, two, z, {skipping});
    else narrow(multiply, two, z, {residual, skipping});
}

// dx comes in as the gradient of the residual's output, if there is one, and goes out as that of x.
template <class T>
void block_backward(const long* sizes, void** given) {
    const auto [half, items, frames, in, channels, norm, P, dilation, past, out, skip] = numbers<11>(sizes);
    const auto [x, w, b, slope1, gain1, offset1, wd, bd, slope2, gain2, offset2, wr, br, ws, bs, y, z, s1, t1, s2, t2, dx, dskips,
                dz, dw, db, dslope1, dgain1, doffset1, dwd, dbd, dslope2, dgain2, doffset2, dwr, dbr, dws, dbs] =
        tensors<T, 38>(given);
    const Products multiply{half != 0};
    const Activation<T> one(Norm(norm), items, frames, channels, slope1, gain1, offset1, s1, t1),
        two(Norm(norm), items, frames, channels, slope2, gain2, offset2, s2, t2);
    const Taps<T> taps(P, dilation, past, channels, wd);
    Sums<T> products((P + 2) * channels, one.parts()), unheard(P * channels, one.parts()), sums(channels, one.parts());
    const auto correlate = [&](Tile tile, int thread) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin, item = tile.item * frames;
        T* h = scratch<T, 0>(rows * channels);
        one.standardise(y, item + begin, rows, h);
        for (long k = tile.first; k < tile.first + tile.rows; ++k)
            taps.correlate(k, frames, dz + (item + k) * channels, h, begin, products.of(thread, tile.item),
                           unheard.of(thread, tile.item));
        add_rows(dz + tile.row() * channels, tile.rows, channels, sums.of(thread, tile.item));
    };
    const Back<T> residual{out, wr, dx, dwr, dbr}, skipping{skip, ws, dskips, dws, dbs};
    const auto second = [&](std::initializer_list<Back<T>> outs) {
        narrow_back<T>(multiply, two, z, outs, dz, dslope2, dgain2, doffset2, correlate);
    };
    if (!skip) second({residual});
    else if (!out) second({skipping});
    else second({residual, skipping});

    Values<T> v(items * frames), u(items * frames), nothing(channels), of_dn(channels), of_dnh(channels);
    const auto spread = [&](Tile tile, T* dn) {
        for (long k = 0; k < tile.rows; ++k)
            taps.convolve(tile.first + k, frames, -1, dz + tile.item * frames * channels, 0, nothing.data(), dn + k * channels);
    };
    if (norm != GLOBAL)
        each_tile(items, frames, channels, [&](Tile tile, int) {
            T* dn = scratch<T, 0>(tile.rows * channels);
            spread(tile, dn);
            for (long k = 0, row = tile.row(); k < tile.rows; ++k, ++row)
                one.reduce(y + row * channels, dn + k * channels, v[row], u[row]);
        });
    for (long part = 0; part < one.parts(); ++part) {
        const T *product = products.total(part), *missed = unheard.total(part), *sum = sums.total(part);
        std::fill(of_dn.begin(), of_dn.end(), T(0)), std::fill(of_dnh.begin(), of_dnh.end(), T(0));
        for (long i = 0; i < P * channels; ++i) {
            const long tap = i / channels, c = i % channels;
            const T heard = sum[c] - missed[i];
            of_dn[c] += taps.weights[i] * heard, of_dnh[c] += taps.weights[i] * product[i];
            dwd[c * P + tap] += one.gain[c] * product[i] + one.offset[c] * heard;
        }
        one.account(part, of_dn.data(), of_dnh.data(), dgain1, doffset1, v.data(), u.data());
        add_rows(sum, 1, channels, dbd);
    }
    scale_gradients(Norm(norm), items, frames, channels, s1, t1, v.data(), u.data());
    Sums<T> of_w(channels * in), of_b(channels), of_slope(1);
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        const long first = tile.row();
        T* dn = scratch<T, 0>(tile.rows * channels);
        spread(tile, dn);
        for (long k = 0, row = first; k < tile.rows; ++k, ++row)
            *of_slope.of(thread) += one.gradient(y + row * channels, row, v.data(), u.data(), dn + k * channels);
        add_rows(dn, tile.rows, channels, of_b.of(thread));
        multiply('N', 'N', tile.rows, in, channels, dn, w, T(out != 0), dx + first * in);
        multiply('T', 'N', channels, in, tile.rows, dn, x + first * in, T(1), of_w.of(thread));
    });
    of_w.into(dw), of_b.into(db), of_slope.into(dslope1);
}

// What a mask's values are made of, by model.py's words: as they are (softmax is over several), sigmoid, ReLU.
enum Mask : long { AS_IS, SIGMOID, RELU };

// Masks on the frames, and the decoder's filters: signals[items, frames, C, L] = (mask(x) frames) Wd, before overlap-add.
template <class T>
void decode_forward(const long* sizes, void** given) {
    const auto [items, frames, C, N, L, mask] = numbers<6>(sizes);
    const auto [x, encoded, w, masks, signals] = tensors<T, 5>(given);
    const Products multiply{false};
    each_tile(items, frames, C * N, [&](Tile tile, int) {
        T* masked = scratch<T, 0>(tile.rows * C * N);
        for (long i = 0; i < tile.rows * C; ++i) {
            const T *from = x + (tile.row() * C + i) * N, *frame = encoded + (tile.row() + i / C) * N;
            T *to = masks + (tile.row() * C + i) * N, *out = masked + i * N;
            if (mask == SIGMOID)
#pragma omp simd
                for (long n = 0; n < N; ++n) to[n] = sigmoid(from[n]);
            else
                for (long n = 0; n < N; ++n) to[n] = mask == RELU ? std::max(from[n], T(0)) : from[n];
#pragma omp simd
            for (long n = 0; n < N; ++n) out[n] = to[n] * frame[n];
        }
        multiply('N', 'N', tile.rows * C, L, N, masked, w, T(0), signals + tile.row() * C * L);
    });
}

template <class T>
void decode_backward(const long* sizes, void** given) {
    const auto [items, frames, C, N, L, mask] = numbers<6>(sizes);
    const auto [masks, encoded, w, dsignals, dx, dencoded, dw] = tensors<T, 7>(given);
    const Products multiply{false};
    Sums<T> of_w(N * L);
    each_tile(items, frames, C * N, [&](Tile tile, int thread) {
        const T* ds = dsignals + tile.row() * C * L;
        T *masked = scratch<T, 0>(tile.rows * C * N), *dmasked = dx + tile.row() * C * N;
        multiply('N', 'T', tile.rows * C, N, L, ds, w, T(0), dmasked);
        std::fill(dencoded + tile.row() * N, dencoded + (tile.row() + tile.rows) * N, T(0));
        for (long i = 0; i < tile.rows * C; ++i) {
            const long row = tile.row() + i / C;
            const T *m = masks + (tile.row() * C + i) * N, *frame = encoded + row * N;
            T *out = masked + i * N, *dmask = dmasked + i * N, *dframe = dencoded + row * N;
#pragma omp simd
            for (long n = 0; n < N; ++n) {
                out[n] = m[n] * frame[n];
                dframe[n] += dmask[n] * m[n];
                dmask[n] *= frame[n] * (mask == SIGMOID ? m[n] * (1 - m[n]) : mask == RELU ? T(m[n] > 0) : T(1));
            }
        }
        multiply('T', 'N', N, L, tile.rows * C, masked, ds, T(1), of_w.of(thread));
    });
    of_w.into(dw);
}

}  // namespace

extern "C" {
void use_blas(void** routines) { std::copy(routines, routines + 3, blas); }
#define ENTRY(name) \
    void name##_float32(const long* sizes, void** given) { name<float>(sizes, given); } \
    void name##_float64(const long* sizes, void** given) { name<double>(sizes, given); }
ENTRY(narrow_forward) ENTRY(narrow_backward) ENTRY(block_forward) ENTRY(block_backward)
ENTRY(decode_forward) ENTRY(decode_backward)
}
