// Three stretches of a Conv-TasNet with their gradients, each in as few passes over memory as its norms allow.
//
// The definition is model.py; fused.py puts these twins in its place. Signals lie as [items, frames, channels], so that
// a row is a frame. A tile of rows goes through all that needs no other row's result while it is in the core's cache,
// matrix products included; a global or cumulative norm has to see all rows before the next step can begin.
//
// A norm is y = gain (s p + t) + offset, p = prelu(x), with one s and one t per row: s = 1/sqrt(var + eps), t = -mean s,
// mean and var over all rows of the item (global), those up to this one (cumulative) or this one (frame). The gradient
// of p is then gain s dy + u + v p, with one u and one v per row.
//
// C++20 with OpenMP and no header of torch's: compiled within seconds when first used.

#include "fused_parts.h"

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

// PReLU, norm and up to two 1x1 convolutions, each added to a signal that passes by: y = past + W norm(prelu(x)) + b.
template <class T>
void narrow_forward(const long* sizes, void** given) {
    const auto [half, items, frames, channels, norm, out1, out2] = numbers<7>(sizes);
    const auto [x, slope, gain, offset, w1, b1, past1, y1, w2, b2, past2, y2, s, t] = tensors<T, 14>(given);
    const Products multiply{half != 0};
    const Activation<T> activation(channels, slope, gain, offset, s, t);
    if (norm != NONE) {
        each_tile(items, frames, channels, [&](Tile tile, int) {
            for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
                moments(x + row * channels, activation.slope, channels, s[row], t[row]);
        });
        scales(Norm(norm), items, frames, channels, s, t);
    }
    Scratch<T> scratch;
    struct Out { long channels; const T *w, *b, *past; T* y; };
    const Out outs[] = {{out1, w1, b1, past1, y1}, {out2, w2, b2, past2, y2}};
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        T* n = scratch.of(thread, tile.rows * channels);
        activation.apply(x, tile.row(), tile.rows, n);
        for (const Out& out : outs) {
            if (!out.w) continue;
            T* y = out.y + tile.row() * out.channels;
            const T* past = out.past + tile.row() * out.channels;
            for (long i = 0; i < tile.rows; ++i)
                for (long c = 0, at = i * out.channels; c < out.channels; ++c, ++at) y[at] = out.b[c] + (out.past ? past[at] : 0);
            multiply('N', 'T', tile.rows, out.channels, channels, n, out.w, T(1), y);
        }
    });
}

template <class T>
void narrow_backward(const long* sizes, void** given) {
    const auto [half, items, frames, channels, norm, out1, out2] = numbers<7>(sizes);
    const auto [x, slope, gain, offset, w1, dy1, w2, dy2, s, t, dx, dslope, dgain, doffset, dw1, db1, dw2, db2] =
        tensors<T, 18>(given);
    const Products multiply{half != 0};
    const Activation<T> activation(channels, slope, gain, offset, s, t);
    struct Out { long channels; const T *w, *dy; Sums<T> dw, db; };
    Out outs[] = {{out1, w1, dy1, Sums<T>(out1 * channels), Sums<T>(out1)},
                  {out2, w2, dy2, Sums<T>(out2 * channels), Sums<T>(out2)}};
    Sums<T> of_gain(channels), of_offset(channels), of_slope(1);
    std::vector<T> v(items * frames), u(items * frames);
    Scratch<T> scratch;
    const auto finish = [&](Tile tile, int thread) {
        for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
            *of_slope.of(thread) += activation.gradient(x + row * channels, row, v.data(), u.data(), dx + row * channels);
    };
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        T *n = scratch.of(thread, tile.rows * channels), *dn = dx + tile.row() * channels, beta = 0;
        activation.apply(x, tile.row(), tile.rows, n);
        for (Out& out : outs) {
            if (!out.dy) continue;
            const T* dy = out.dy + tile.row() * out.channels;
            multiply('N', 'N', tile.rows, channels, out.channels, dy, out.w, beta, dn);
            multiply('T', 'N', out.channels, channels, tile.rows, dy, n, T(1), out.dw.of(thread));
            add_rows(dy, tile.rows, out.channels, out.db.of(thread));
            beta = 1;
        }
        if (norm == NONE) return finish(tile, thread);
        for (long row = tile.row(); row < tile.row() + tile.rows; ++row)
            activation.reduce(x + row * channels, dx + row * channels, row, of_gain.of(thread), of_offset.of(thread), v[row], u[row]);
    });
    if (norm != NONE) {
        scale_gradients(Norm(norm), items, frames, channels, s, t, v.data(), u.data());
        each_tile(items, frames, channels, finish);
    }
    of_slope.into(dslope), of_gain.into(dgain), of_offset.into(doffset);
    outs[0].dw.into(dw1), outs[0].db.into(db1), outs[1].dw.into(dw2), outs[1].db.into(db2);
}

// 1x1 convolution, PReLU, norm and depthwise convolution: z = depthwise(norm(prelu(y))), y = W x + b, which is kept.
template <class T>
void widen_forward(const long* sizes, void** given) {
    const auto [half, items, frames, in, channels, norm, P, dilation, past] = numbers<9>(sizes);
    const auto [x, w, b, slope, gain, offset, wd, bd, y, s, t, z] = tensors<T, 12>(given);
    const Products multiply{half != 0};
    const Activation<T> activation(channels, slope, gain, offset, s, t);
    const Taps<T> taps(P, dilation, past, channels, wd);
    each_tile(items, frames, channels, [&](Tile tile, int) {
        T* here = y + tile.row() * channels;
        for (long k = 0; k < tile.rows; ++k) std::copy(b, b + channels, here + k * channels);
        multiply('N', 'T', tile.rows, channels, in, x + tile.row() * in, w, T(1), here);
        for (long k = 0; k < tile.rows; ++k)
            moments(here + k * channels, activation.slope, channels, s[tile.row() + k], t[tile.row() + k]);
    });
    scales(Norm(norm), items, frames, channels, s, t);
    Scratch<T> scratch;
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin;
        T* n = scratch.of(thread, rows * channels);
        activation.apply(y, tile.item * frames + begin, rows, n);
        for (long k = tile.first; k < tile.first + tile.rows; ++k) {
            T* out = z + (tile.item * frames + k) * channels;
            std::copy(bd, bd + channels, out);
            for (long tap = 0; tap < P; ++tap) {
                const long heard = k + taps.shift(tap);
                if (heard < 0 || heard >= frames) continue;
                const T *weight = taps.weight(tap), *from = n + (heard - begin) * channels;
#pragma omp simd
                for (long c = 0; c < channels; ++c) out[c] += weight[c] * from[c];
            }
        }
    });
}

// The gradients of a depthwise convolution at frame k of an item that begins at n's and dz's row 0: of its input there,
// and what the frame adds to those of the taps. n begins at frame `begin`.
template <class T>
void convolve_back(const Taps<T>& taps, long k, long frames, const T* n, long begin, const T* dz, T* dn, T* dtaps) {
    const long channels = taps.channels;
    const T* here = dz + k * channels;
    std::fill(dn, dn + channels, T(0));
    for (long tap = 0; tap < taps.count; ++tap) {
        const long heard = k + taps.shift(tap), hears = k - taps.shift(tap);
        if (heard >= 0 && heard < frames) {
            const T* from = n + (heard - begin) * channels;
            T* sum = dtaps + tap * channels;
#pragma omp simd
            for (long c = 0; c < channels; ++c) sum[c] += here[c] * from[c];
        }
        if (hears >= 0 && hears < frames) {
            const T *weight = taps.weight(tap), *from = dz + hears * channels;
#pragma omp simd
            for (long c = 0; c < channels; ++c) dn[c] += weight[c] * from[c];
        }
    }
}

template <class T>
void widen_backward(const long* sizes, void** given) {
    const auto [half, items, frames, in, channels, norm, P, dilation, past] = numbers<9>(sizes);
    const auto [x, w, slope, gain, offset, wd, y, s, t, dz, dn, dx, dw, db, dslope, dgain, doffset, dwd, dbd] =
        tensors<T, 19>(given);
    const Products multiply{half != 0};
    const Activation<T> activation(channels, slope, gain, offset, s, t);
    const Taps<T> taps(P, dilation, past, channels, wd);
    Sums<T> of_w(channels * in), of_b(channels), of_slope(1), of_gain(channels), of_offset(channels), of_taps(P * channels),
        of_bd(channels);
    std::vector<T> v(items * frames), u(items * frames), by_tap(P * channels);
    Scratch<T> scratch;
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        const long begin = taps.first(tile), rows = taps.end(tile) - begin, item = tile.item * frames;
        T* n = scratch.of(thread, rows * channels);
        activation.apply(y, item + begin, rows, n);
        add_rows(dz + tile.row() * channels, tile.rows, channels, of_bd.of(thread));
        for (long row = tile.row(); row < tile.row() + tile.rows; ++row) {
            convolve_back(taps, row - item, frames, n, begin, dz + item * channels, dn + row * channels, of_taps.of(thread));
            activation.reduce(y + row * channels, dn + row * channels, row, of_gain.of(thread), of_offset.of(thread), v[row], u[row]);
        }
    });
    scale_gradients(Norm(norm), items, frames, channels, s, t, v.data(), u.data());
    each_tile(items, frames, channels, [&](Tile tile, int thread) {
        const long first = tile.row();
        for (long row = first; row < first + tile.rows; ++row)
            *of_slope.of(thread) += activation.gradient(y + row * channels, row, v.data(), u.data(), dn + row * channels);
        add_rows(dn + first * channels, tile.rows, channels, of_b.of(thread));
        multiply('N', 'N', tile.rows, in, channels, dn + first * channels, w, T(0), dx + first * in);
        multiply('T', 'N', channels, in, tile.rows, dn + first * channels, x + first * in, T(1), of_w.of(thread));
    });
    of_w.into(dw), of_b.into(db), of_slope.into(dslope), of_gain.into(dgain), of_offset.into(doffset), of_bd.into(dbd);
    of_taps.into(by_tap.data());
    for (long i = 0; i < P * channels; ++i) dwd[i] = by_tap[i % P * channels + i / P];
}

// Masks on the frames, and the decoder's filters: signals[items, frames, C, L] = (masks frames) Wd, before overlap-add.
template <class T>
void decode_forward(const long* sizes, void** given) {
    const auto [items, frames, C, N, L] = numbers<5>(sizes);
    const auto [masks, encoded, w, signals] = tensors<T, 4>(given);
    const Products multiply{false};
    Scratch<T> scratch;
    each_tile(items, frames, C * N, [&](Tile tile, int thread) {
        T* masked = scratch.of(thread, tile.rows * C * N);
        for (long i = 0; i < tile.rows * C; ++i) {
            const T *mask = masks + (tile.row() * C + i) * N, *frame = encoded + (tile.row() + i / C) * N;
#pragma omp simd
            for (long n = 0; n < N; ++n) masked[i * N + n] = mask[n] * frame[n];
        }
        multiply('N', 'N', tile.rows * C, L, N, masked, w, T(0), signals + tile.row() * C * L);
    });
}

template <class T>
void decode_backward(const long* sizes, void** given) {
    const auto [items, frames, C, N, L] = numbers<5>(sizes);
    const auto [masks, encoded, w, dsignals, dmasks, dencoded, dw] = tensors<T, 7>(given);
    const Products multiply{false};
    Sums<T> of_w(N * L);
    Scratch<T> scratch;
    each_tile(items, frames, C * N, [&](Tile tile, int thread) {
        const T* ds = dsignals + tile.row() * C * L;
        T *masked = scratch.of(thread, tile.rows * C * N), *dmasked = dmasks + tile.row() * C * N;
        multiply('N', 'T', tile.rows * C, N, L, ds, w, T(0), dmasked);
        std::fill(dencoded + tile.row() * N, dencoded + (tile.row() + tile.rows) * N, T(0));
        for (long i = 0; i < tile.rows * C; ++i) {
            const long row = tile.row() + i / C;
            const T *mask = masks + (tile.row() * C + i) * N, *frame = encoded + row * N;
            T *out = masked + i * N, *dmask = dmasked + i * N, *dframe = dencoded + row * N;
#pragma omp simd
            for (long n = 0; n < N; ++n) {
                out[n] = mask[n] * frame[n];
                dframe[n] += dmask[n] * mask[n];
                dmask[n] *= frame[n];
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
ENTRY(narrow_forward) ENTRY(narrow_backward) ENTRY(widen_forward) ENTRY(widen_backward)
ENTRY(decode_forward) ENTRY(decode_backward)
}
