// Where a network touches waveforms, with gradients: the encoder, masks with the decoder, and the loss.
//
// Frame k of a signal are its samples from k hop - front on, L = 2 hop of them, zeros where there are none. Frames are made and
// added up tile by tile, and never lie in memory.

#pragma once

#include <limits>
#include <numeric>

#include "kernels.h"

namespace {

struct EncodeSizes { long items, frames, samples, front, filters, length, rectify; };
struct DecodeSizes { long items, frames, samples, front, speakers, filters, length, mask; };
struct LossSizes { long items, speakers, samples; };

template <class T>
struct EncodeForward {
    const T *mixture, *w;
    T* y;
};
template <class T>
struct EncodeBackward {
    const T *mixture, *y, *dy;
    T* dw;
};
template <class T>
struct DecodeForward {
    const T *x, *encoded, *w;
    T* signals;
};
template <class T>
struct DecodeBackward {
    const T *x, *encoded, *w, *dsignals;
    T *dx, *dencoded, *dw;
};
template <class T>
struct Loss {
    const T *reference, *estimate, *valid;
    T *loss, *gradient;
};

// `length` samples of a signal from `start` on, zeros where it has none.
template <class T>
void cut(const T* signal, long samples, long start, long length, T* to) {
    const long begin = std::clamp(-start, 0L, length), end = std::clamp(samples - start, begin, length);
    std::fill(to, to + begin, T(0));
    std::copy(signal + start + begin, signal + start + end, to + begin);
    std::fill(to + end, to + length, T(0));
}

// The samples of a tile's frames: [rows, L].
template <class T>
void cut_frames(const T* mixture, const EncodeSizes& n, Tile tile, T* to) {
    const long L = n.length;
    for (long k = 0; k < tile.rows; ++k)
        cut(mixture + tile.item * n.samples, n.samples, (tile.first + k) * (L / 2) - n.front, L, to + k * L);
}

// frames[items, frames, N] = Wd (samples of the frame), rectified where the encoder is.
template <class T>
void encode_forward(const long* sizes, void** given) {
    const auto n = read<EncodeSizes>(sizes);
    const auto at = read<EncodeForward<T>>(given);
    const long N = n.filters, L = n.length;
    const Products multiply{false};
    each_tile(n.items, n.frames, N, [&](Tile tile, int) {
        T *pieces = scratch<T, 0>(tile.rows * L), *y = at.y + tile.row() * N;
        cut_frames(at.mixture, n, tile, pieces);
        multiply('N', 'T', tile.rows, N, L, pieces, at.w, T(0), y);
        if (n.rectify)
            for (long i = 0; i < tile.rows * N; ++i) y[i] = rectified(y[i], T(0));
    });
}

template <class T>
void encode_backward(const long* sizes, void** given) {
    const auto n = read<EncodeSizes>(sizes);
    const auto at = read<EncodeBackward<T>>(given);
    const long N = n.filters, L = n.length;
    const Products multiply{false};
    Sums<T> of_w(N * L);
    each_tile(n.items, n.frames, N, [&](Tile tile, int thread) {
        T *pieces = scratch<T, 0>(tile.rows * L), *behind = scratch<T, 1>(tile.rows * N);
        const T *y = at.y + tile.row() * N, *dy = at.dy + tile.row() * N;
        cut_frames(at.mixture, n, tile, pieces);
        if (n.rectify) {
            for (long i = 0; i < tile.rows * N; ++i) behind[i] = y[i] > 0 ? dy[i] : T(0);
            dy = behind;
        }
        multiply('T', 'N', N, L, tile.rows, dy, pieces, T(1), of_w.of(thread));
    });
    of_w.into(at.dw);
}

// What a mask's values are made of, by model.py's words: as they are (softmax is over several), sigmoid, ReLU.
enum Mask : long { AS_IS, SIGMOID, RELU };

template <class T>
void mask_of(long mask, const T* x, long count, T* to) {
    if (mask == SIGMOID)
#pragma omp simd
        for (long f = 0; f < count; ++f) to[f] = sigmoid(x[f]);
    else
        for (long f = 0; f < count; ++f) to[f] = mask == RELU ? std::max(x[f], T(0)) : x[f];
}

// Masks on the frames, the decoder's filters and overlap-add: signals[items, C, samples] of mask(x) frames. A sample is in two
// frames, so that a tile begins with the frame before its own.
template <class T>
void decode_forward(const long* sizes, void** given) {
    const auto n = read<DecodeSizes>(sizes);
    const auto at = read<DecodeForward<T>>(given);
    const long C = n.speakers, N = n.filters, L = n.length, hop = L / 2;
    const Products multiply{false};
    each_tile(n.items, n.frames, C * N, [&](Tile tile, int) {
        const long first = std::max(0L, tile.first - 1), end = tile.first + tile.rows, rows = end - first;
        const long row = tile.item * n.frames + first;
        T *masked = scratch<T, 0>(rows * C * N), *pieces = scratch<T, 1>(rows * C * L);
        mask_of(n.mask, at.x + row * C * N, rows * C * N, masked);
        for (long i = 0; i < rows * C; ++i) {
            T* out = masked + i * N;
            const T* frame = at.encoded + (row + i / C) * N;
#pragma omp simd
            for (long f = 0; f < N; ++f) out[f] *= frame[f];
        }
        multiply('N', 'N', rows * C, L, N, masked, at.w, T(0), pieces);
        for (long c = 0; c < C; ++c) {
            T* signal = at.signals + (tile.item * C + c) * n.samples;
            for (long k = tile.first; k < end + (end == n.frames); ++k) {      // the last frame's second half as well
                const T *now = k < end ? pieces + ((k - first) * C + c) * L : nullptr,
                        *before = k > first ? pieces + ((k - 1 - first) * C + c) * L + hop : nullptr;
                const long start = k * hop - n.front, from = std::clamp(-start, 0L, hop);
                const long to = std::clamp(n.samples - start, from, hop);
                for (long i = from; i < to; ++i) signal[start + i] = (now ? now[i] : T(0)) + (before ? before[i] : T(0));
            }
        }
    });
}

template <class T>
void decode_backward(const long* sizes, void** given) {
    const auto n = read<DecodeSizes>(sizes);
    const auto at = read<DecodeBackward<T>>(given);
    const long C = n.speakers, N = n.filters, L = n.length, mask = n.mask;
    const Products multiply{false};
    Sums<T> of_w(N * L);
    each_tile(n.items, n.frames, C * N, [&](Tile tile, int thread) {
        T *masked = scratch<T, 0>(tile.rows * C * N), *ds = scratch<T, 1>(tile.rows * C * L), *dx = at.dx + tile.row() * C * N;
        for (long i = 0; i < tile.rows * C; ++i)
            cut(at.dsignals + (tile.item * C + i % C) * n.samples, n.samples, (tile.first + i / C) * (L / 2) - n.front, L,
                ds + i * L);
        multiply('N', 'T', tile.rows * C, N, L, ds, at.w, T(0), dx);
        mask_of(mask, at.x + tile.row() * C * N, tile.rows * C * N, masked);
        std::fill(at.dencoded + tile.row() * N, at.dencoded + (tile.row() + tile.rows) * N, T(0));
        for (long i = 0; i < tile.rows * C; ++i) {
            const long row = tile.row() + i / C;
            const T* frame = at.encoded + row * N;
            T *m = masked + i * N, *dmask = dx + i * N, *dframe = at.dencoded + row * N;
#pragma omp simd
            for (long f = 0; f < N; ++f) {
                const T now = m[f], dmasked = dmask[f];
                dframe[f] += dmasked * now;
                dmask[f] = dmasked * frame[f] * (mask == SIGMOID ? now * (1 - now) : mask == RELU ? T(now > 0) : T(1));
                m[f] = now * frame[f];
            }
        }
        multiply('T', 'N', N, L, tile.rows * C, masked, ds, T(1), of_w.of(thread));
    });
    of_w.into(at.dw);
}

// x with its mean over the valid samples taken away, and zeros elsewhere.
template <class T>
void centre(const T* x, const T* valid, long samples, T* to) {
    double sum = 0, count = valid ? 0 : samples;
    if (valid)
#pragma omp simd reduction(+ : sum, count)
        for (long i = 0; i < samples; ++i) sum += x[i] * valid[i], count += valid[i];
    else
#pragma omp simd reduction(+ : sum)
        for (long i = 0; i < samples; ++i) sum += x[i];
    const T mean = sum / count;
#pragma omp simd
    for (long i = 0; i < samples; ++i) to[i] = valid ? (x[i] * valid[i] - mean) * valid[i] : x[i] - mean;
}

template <class T>
double dot(const T* a, const T* b, long samples) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < samples; ++i) sum += double(a[i]) * b[i];
    return sum;
}

// Whether a signal is more than one number throughout: loss.py's `speaks`.
template <class T>
bool varies(const T* x, const T* valid, long samples) {
    const T first = valid ? x[0] * valid[0] : x[0];
    for (long i = 1; i < samples; ++i)
        if ((valid ? x[i] * valid[i] : x[i]) != first) return true;
    return false;
}

// SI-SNR in dB of a centred estimate e against a centred reference s, with the floors of loss.py, and the gradient for e:
// of_s s + of_e e. With d = <e, s>, S = |s|^2 and E = |e|^2 the target is a s, a = d / (S + tiny).
template <class T>
double si_snr(const T* s, const T* e, double d, double S, double E, long samples, double& of_s, double& of_e) {
    const double rounding = std::numeric_limits<T>::epsilon(), tiny = std::numeric_limits<T>::min() / rounding;
    const double a = d / (S + tiny), floor = rounding * E;
    double noise = 0;
#pragma omp simd reduction(+ : noise)
    for (long i = 0; i < samples; ++i) noise += (e[i] - a * s[i]) * (e[i] - a * s[i]);
    const double target_energy = a * a * S + floor + tiny, noise_energy = noise + floor + tiny / rounding, k = 10 / std::log(10);
    // Of the noise along s nothing is left but by the floor of S.
    of_s = k * (2 * a * S / (S + tiny) / target_energy + (2 * a + 2 * (d - a * S) / (S + tiny)) / noise_energy);
    of_e = k * (2 * rounding / target_energy - (2 + 2 * rounding) / noise_energy);
    return k * (std::log(target_energy) - std::log(noise_energy));
}

// loss.py's `pit_loss` with its gradient for the estimate, both [items, C, samples]; `valid` [items, samples] or null.
template <class T>
void pit_loss(const long* sizes, void** given) {
    const auto n = read<LossSizes>(sizes);
    const auto at = read<Loss<T>>(given);
    const long C = n.speakers, samples = n.samples;
    const double least = std::numeric_limits<T>::epsilon();
    Values<double> losses(n.items);
#pragma omp parallel for schedule(static)
    for (long item = 0; item < n.items; ++item) {
        const long first = item * C * samples;
        const T* valid = at.valid ? at.valid + item * samples : nullptr;
        T *s = scratch<T, 0>(C * samples), *e = scratch<T, 1>(C * samples);
        std::vector<double> S(C), E(C), products(C * C), scores(C * C);
        for (long c = 0; c < C; ++c) {
            centre(at.reference + first + c * samples, valid, samples, s + c * samples);
            centre(at.estimate + first + c * samples, valid, samples, e + c * samples);
            S[c] = dot(s + c * samples, s + c * samples, samples), E[c] = dot(e + c * samples, e + c * samples, samples);
        }
        for (long i = 0; i < C * C; ++i) {
            const double d = products[i] = dot(s + i / C * samples, e + i % C * samples, samples);
            const double share = std::clamp(d * d / (S[i / C] * E[i % C] + std::numeric_limits<T>::min()), least, 1 - least);
            scores[i] = std::log(share / (1 - share));
        }
        std::vector<long> order(C), best;
        std::iota(order.begin(), order.end(), 0L);
        double highest = 0;
        do {
            double score = 0;
            for (long c = 0; c < C; ++c) score += scores[c * C + order[c]];
            if (best.empty() || score > highest) best = order, highest = score;
        } while (std::next_permutation(order.begin(), order.end()));
        for (long c = 0; c < C; ++c) {
            const T *mine = s + c * samples, *theirs = e + best[c] * samples;
            T* gradient = at.gradient + first + best[c] * samples;
            double of_s, of_e;
            const double found = si_snr(mine, theirs, products[c * C + best[c]], S[c], E[best[c]], samples, of_s, of_e);
            const double share = varies(at.reference + first + c * samples, valid, samples) / double(n.items * C);
            losses[item] -= found * share;
            const T ds = -of_s * share, de = -of_e * share;
#pragma omp simd
            for (long i = 0; i < samples; ++i) gradient[i] = ds * mine[i] + de * theirs[i];
        }
    }
    *at.loss = std::accumulate(losses.begin(), losses.end(), 0.0);
}

}  // namespace
