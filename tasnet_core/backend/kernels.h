// What the fused layers are made of: matrix products, tiles, sums over threads, and a PReLU with its norm.

#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <new>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#else       // the compiler has none: one thread, and of the pragmas those alone that vectorise
inline int omp_get_thread_num() { return 0; }
inline int omp_get_max_threads() { return 1; }
#endif

constexpr double EPS = 1e-8;        // model.py's
constexpr long TILE = 1 << 16;      // values in a tile: with its neighbours it stays in a core's own cache
enum Norm : long { NONE, GLOBAL, CUMULATIVE, FRAME };

// What an entry of the library is given, as the record of its name.
template <class Record>
Record read(const void* given) {
    Record found;
    std::memcpy(&found, given, sizeof found);
    return found;
}

// Numbers that begin where torch's tensors may begin as well: BLAS rounds by where things lie, and results are to repeat.
template <class T>
struct Aligned {
    using value_type = T;
    T* allocate(size_t size) { return static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t(64))); }
    void deallocate(T* at, size_t) { ::operator delete(at, std::align_val_t(64)); }
    bool operator==(const Aligned&) const { return true; }
};
template <class T>
using Values = std::vector<T, Aligned<T>>;

// BLAS by address, as blas.py finds it: sgemm, dgemm, and the product of bfloat16 where there is one.
inline void* blas[3];

template <class In, class Out>
using Gemm = void(const char*, const char*, const int*, const int*, const int*, const Out*, const In*, const int*,
                  const In*, const int*, const Out*, Out*, const int*);

// Row-major c[m, n] = beta c + op(a) op(b), where 'T' transposes: BLAS sees all three transposed.
template <class In, class Out>
void gemm(void* routine, char of_a, char of_b, int m, int n, int k, const In* a, const In* b, Out beta, Out* c) {
    const int lda = of_a == 'T' ? m : k, ldb = of_b == 'T' ? k : n;
    const Out one = 1;
    reinterpret_cast<Gemm<In, Out>*>(routine)(&of_b, &of_a, &n, &m, &k, &one, b, &ldb, a, &lda, &beta, c, &n);
}

// float32 rounded to the nearest bfloat16, as its upper half or as a whole; what is not a number stays none.
template <class To>
const To* rounded(const float* x, long size, Values<To>& into) {
    into.resize(size);
    To* y = into.data();
#pragma omp simd
    for (long i = 0; i < size; ++i) {
        uint32_t bits;
        std::memcpy(&bits, x + i, sizeof bits);
        const uint32_t nearest = x[i] == x[i] ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
        if constexpr (sizeof(To) == 2) {
            y[i] = nearest >> 16;
        } else {
            const uint32_t whole = nearest & 0xffff0000;
            std::memcpy(y + i, &whole, sizeof whole);
        }
    }
    return y;
}

template <class As>
void of_rounded(void* routine, char of_a, char of_b, long m, long n, long k, const float* a, const float* b, float beta, float* c) {
    thread_local Values<As> near_a, near_b;
    gemm(routine, of_a, of_b, m, n, k, rounded(a, m * k, near_a), rounded(b, k * n, near_b), beta, c);
}

// Matrix products; of float32 rounded to bfloat16 where `half` says so, their sums in float32 all the same.
struct Products {
    bool half;

    template <class T>
    void operator()(char of_a, char of_b, long m, long n, long k, const T* a, const T* b, T beta, T* c) const {
        if constexpr (std::is_same_v<T, float>)
            if (half) return blas[2] ? of_rounded<uint16_t>(blas[2], of_a, of_b, m, n, k, a, b, beta, c)
                                     : of_rounded<float>(blas[0], of_a, of_b, m, n, k, a, b, beta, c);
        gemm(blas[sizeof(T) / 8], of_a, of_b, m, n, k, a, b, beta, c);
    }
};

// Some frames of one item.
struct Tile {
    long item, first, rows, frames;
    long row() const { return item * frames + first; }      // its first row in the whole signal
};

// Calls work(tile, thread) for the tiles of a signal: the same ones for the same thread at every call.
template <class Work>
void each_tile(long items, long frames, long channels, Work work) {
    const long most = std::clamp(TILE / channels, 16L, 1024L);
    const long per_item = (frames + most - 1) / most, rows = (frames + per_item - 1) / per_item;
#pragma omp parallel for schedule(static)
    for (long i = 0; i < items * per_item; ++i) {
        const long first = i % per_item * rows;
        if (first < frames) work(Tile{i / per_item, first, std::min(rows, frames - first), frames}, omp_get_thread_num());
    }
}

// A thread's own buffer, one per purpose; it stays for the next call.
template <class T, int purpose>
T* scratch(long size) {
    thread_local Values<T> buffer;
    if (long(buffer.size()) < size) buffer.resize(size);
    return buffer.data();
}

// Sums that every thread adds to for itself: `parts` of them (one per item, or one in all), put together in the threads' order.
template <class T>
struct Sums {
    long size, parts;
    Values<T> values;
    explicit Sums(long size, long parts = 1) : size(size), parts(parts), values(size * parts * omp_get_max_threads()) {}
    T* of(int thread, long item = 0) { return values.data() + (thread * parts + item % parts) * size; }
    // The sum of all threads, in the place of the first one's.
    T* total(long part = 0) {
        T* sum = values.data() + part * size;
        for (size_t at = parts * size; at < values.size(); at += parts * size)
            for (long i = 0; i < size; ++i) sum[i] += sum[at + i];
        return sum;
    }
    void into(T* sum) {
        if (sum) std::copy_n(total(), size, sum);
    }
};

// sum += the rows of x.
template <class T>
void add_rows(const T* x, long rows, long channels, T* sum) {
    for (long k = 0; k < rows; ++k)
#pragma omp simd
        for (long c = 0; c < channels; ++c) sum[c] += x[k * channels + c];
}

// y = a + b, and more where there is more.
template <class T>
void add(const T* a, const T* b, const T* more, long channels, T* y) {
    if (more)
#pragma omp simd
        for (long c = 0; c < channels; ++c) y[c] = a[c] + b[c] + more[c];
    else
#pragma omp simd
        for (long c = 0; c < channels; ++c) y[c] = a[c] + b[c];
}

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The same in operations that a loop is vectorised with: e^-x = 2^n e^r with |r| <= ln 2 / 2, and e^r by the polynomial of
// Cephes' expf, good to 2e-7. From 88 on the result is 1 or, as near as matters, 0.
inline float sigmoid(float x) {
    const float y = -x < -88 ? -88 : -x > 88 ? 88 : -x;     // what is not a number stays none
    const float n = y * 1.44269504f + 12582912.0f - 12582912.0f, r = y - n * 0.693359375f + n * 2.12194440e-4f;
    float e = 1.9875691500e-4f;
    for (const float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f, 1.0f, 1.0f})
        e = e * r + next;
    const uint32_t bits = uint32_t(int32_t(n) + 127) << 23;
    float power;
    std::memcpy(&power, &bits, sizeof power);
    return 1 / (1 + e * power);
}

template <class T>
T rectified(T x, T slope) { return x > 0 ? x : slope * x; }

// Mean of a row of p = prelu(x), and the sum of squares around it.
template <class T>
void moments(const T* x, T slope, long channels, T& mean, T& squares) {
    T sum = 0, around = 0;
#pragma omp simd reduction(+ : sum)
    for (long c = 0; c < channels; ++c) sum += rectified(x[c], slope);
    const T middle = sum / channels;
#pragma omp simd reduction(+ : around)
    for (long c = 0; c < channels; ++c) {
        const T d = rectified(x[c], slope) - middle;
        around += d * d;
    }
    mean = middle, squares = around;
}

// The same of each of some rows. A global norm needs no row for itself: of several together, all get their mean, and each its share
// of the squares. Sums along short rows are slow, and those along very long ones are not exact.
template <class T>
void moments(Norm norm, const T* x, T slope, long rows, long channels, T* mean, T* squares) {
    const long together = norm == GLOBAL ? std::max(1L, 1024 / channels) : 1;
    for (long k = 0; k < rows; k += together) {
        const long some = std::min(together, rows - k);
        T middle, around;
        moments(x + k * channels, slope, some * channels, middle, around);
        std::fill(mean + k, mean + k + some, middle);
        std::fill(squares + k, squares + k + some, around / some);
    }
}

// s and t of each row, in place of its moments. Means are measured from the first one, so that nothing cancels.
template <class T>
void scales(Norm norm, long items, long frames, long channels, T* mean_s, T* squares_t) {
#pragma omp parallel for schedule(static)
    for (long item = 0; item < items; ++item) {
        T *s = mean_s + item * frames, *t = squares_t + item * frames;
        double start = s[0], means = 0, spread = 0, within = 0;
        const auto put = [&](long k, double rows) {
            const double mean = means / rows, between = std::max(0.0, spread / rows - mean * mean);
            const double scale = 1 / std::sqrt(within / (rows * channels) + between + EPS);
            s[k] = scale, t[k] = -(start + mean) * scale;
        };
        for (long k = 0; k < frames; ++k) {
            if (norm == FRAME) start = s[k], within = 0;
            const double mean = s[k] - start;
            means += mean, spread += mean * mean, within += t[k];
            if (norm != GLOBAL) put(k, norm == FRAME ? 1 : k + 1);
        }
        if (norm == GLOBAL) {
            put(0, frames);
            std::fill(s, s + frames, s[0]);
            std::fill(t, t + frames, t[0]);
        }
    }
}

// v and u of each row, in place of the gradients of its s and t. Every row k that heard this one adds
// d var_k 2 (p - mean_k) / count_k + d mean_k / count_k to the gradient of its p: the later ones, or itself. (For a global norm,
// where all rows do, see `Activation::account`.)
template <class T>
void scale_gradients(Norm norm, long items, long frames, long channels, const T* s, const T* t, T* ds_v, T* dt_u) {
    if (norm == GLOBAL) return;
#pragma omp parallel for schedule(static)
    for (long item = 0; item < items; ++item) {
        const long row = item * frames;
        double u = 0, v = 0;
        for (long k = row + frames - 1; k >= row; --k) {
            if (norm == FRAME) u = v = 0;
            const double scale = s[k], mean = -t[k] / scale, ds = ds_v[k], dt = dt_u[k];
            const double count = double(channels) * (norm == FRAME ? 1 : k - row + 1);
            const double of_var = -scale * scale * scale * (ds - mean * dt) / count;
            u += -scale * dt / count - of_var * mean, v += of_var;
            ds_v[k] = v, dt_u[k] = u;
        }
    }
}

// y = gain h + offset with h = s prelu(x) + t, a row at a time. Without a PReLU the slope is 1, without a norm s and t are null.
// The loops run over locals: a store to y might change a member, for all that the compiler knows.
template <class T>
struct Activation {
    Norm norm;
    long items, frames, channels;
    T slope;
    const T *s, *t;
    Values<T> gain, offset;

    Activation(Norm norm, long items, long frames, long channels, const T* slope, const T* gains, const T* offsets, const T* s,
               const T* t)
        : norm(norm), items(items), frames(frames), channels(channels), slope(slope ? *slope : 1), s(s), t(t),
          gain(channels, 1), offset(channels, 0) {
        if (gains) gain.assign(gains, gains + channels), offset.assign(offsets, offsets + channels);
    }

    // Rows [first, first + rows) of the whole signal x, into y's first ones.
    void apply(const T* x, long first, long rows, T* y) const {
        const T below = slope, *gains = gain.data(), *offsets = offset.data();
        for (long k = 0; k < rows; ++k) {
            const T scale = s ? s[first + k] : 1, shift = s ? t[first + k] : 0, *from = x + (first + k) * channels;
            T* to = y + k * channels;
#pragma omp simd
            for (long c = 0; c < channels; ++c) to[c] = gains[c] * (rectified(from[c], below) * scale + shift) + offsets[c];
        }
    }

    // The same without gain and offset: h.
    void standardise(const T* x, long first, long rows, T* h) const {
        const T below = slope;
        for (long k = 0; k < rows; ++k) {
            const T scale = s ? s[first + k] : 1, shift = s ? t[first + k] : 0, *from = x + (first + k) * channels;
            T* to = h + k * channels;
#pragma omp simd
            for (long c = 0; c < channels; ++c) to[c] = rectified(from[c], below) * scale + shift;
        }
    }

    // The gradients of a row's own s and t.
    void reduce(const T* x, const T* dy, T& ds, T& dt) const {
        const T below = slope, *gains = gain.data();
        T of_s = 0, of_t = 0;
#pragma omp simd reduction(+ : of_s, of_t)
        for (long c = 0; c < channels; ++c) {
            const T g = gains[c] * dy[c];
            of_s += g * rectified(x[c], below), of_t += g;
        }
        ds = of_s, dt = of_t;
    }

    // Of how many parts the sums over rows are kept: of every item, where a global norm asks for them.
    long parts() const { return norm == GLOBAL ? items : 1; }

    // From each channel's sums of dy and of dy h over a part's rows: what they add to the gradients of gain and offset, and
    // for a global norm the v and u of all the item's rows: what `scale_gradients` finds for the others, with nothing subtracted.
    void account(long part, const T* of_dy, const T* of_dyh, T* dgain, T* doffset, T* v, T* u) const {
        if (norm == NONE) return;
        double of_h = 0, of_t = 0;
        for (long c = 0; c < channels; ++c) {
            dgain[c] += of_dyh[c], doffset[c] += of_dy[c];
            of_h += gain[c] * of_dyh[c], of_t += gain[c] * of_dy[c];
        }
        if (norm != GLOBAL) return;
        const long first = part * frames;
        const double scale = s[first], mean = -t[first] / scale, count = double(channels) * frames;
        const double of_var = -scale * scale * of_h / count;
        std::fill(v + first, v + first + frames, T(of_var));
        std::fill(u + first, u + first + frames, T(-scale * of_t / count - of_var * mean));
    }

    // The gradient of a row of x, in place of that of y; returns what the row adds to the slope's.
    T gradient(const T* x, long row, const T* v, const T* u, T* dy) const {
        const T scale = s ? s[row] : 1, times = s ? v[row] : 0, add = s ? u[row] : 0, below = slope, *gains = gain.data();
        T dslope = 0;
#pragma omp simd reduction(+ : dslope)
        for (long c = 0; c < channels; ++c) {
            const T above = x[c] > 0, factor = above + below * (1 - above);
            const T dp = gains[c] * scale * dy[c] + add + times * factor * x[c];
            dslope += dp * x[c] * (1 - above);
            dy[c] = dp * factor;
        }
        return dslope;
    }
};

// A depthwise convolution's taps: weights [P][channels], and the frame each hears, counted from the present one.
template <class T>
struct Taps {
    static constexpr long AT_ONCE = 3;
    long count, dilation, past, channels;
    Values<T> weights, silence;    // as many taps as three at a time need, those beyond `count` 0
    Taps(long count, long dilation, long past, long channels, const T* w)
        : count(count), dilation(dilation), past(past), channels(channels), weights((count + 2) * channels), silence(channels) {
        for (long i = 0; i < count * channels; ++i) weights[i % count * channels + i / count] = w[i];
    }
    long shift(long tap) const { return tap * dilation - past; }
    const T* weight(long tap) const { return weights.data() + tap * channels; }
    // The frames that a tile hears: from first to end.
    long first(const Tile& tile) const { return std::max(0L, tile.first - past); }
    long end(const Tile& tile) const { return std::min(tile.frames, tile.first + tile.rows + (count - 1) * dilation - past); }
    // The row that a tap hears at frame k, with direction 1, or is heard at, with -1; rows begin at frame `begin`.
    const T* row(long tap, long k, long frames, int direction, const T* rows, long begin) const {
        const long heard = k + direction * shift(tap);
        return tap < count && heard >= 0 && heard < frames ? rows + (heard - begin) * channels : silence.data();
    }
    // y = start + the weighted rows.
    void convolve(long k, long frames, int direction, const T* rows, long begin, const T* start, T* y) const {
        for (long tap = 0; tap < count; tap += AT_ONCE, start = y) {
            const T *a = row(tap, k, frames, direction, rows, begin), *b = row(tap + 1, k, frames, direction, rows, begin),
                    *c = row(tap + 2, k, frames, direction, rows, begin), *wa = weight(tap), *wb = wa + channels,
                    *wc = wb + channels;
#pragma omp simd
            for (long i = 0; i < channels; ++i) y[i] = start[i] + wa[i] * a[i] + wb[i] * b[i] + wc[i] * c[i];
        }
    }
    // What frame k adds to each tap's sum of dz h and to that of the dz whose tap hears nothing. h begins at frame `begin`.
    void correlate(long k, long frames, const T* dz, const T* h, long begin, T* products, T* unheard) const {
        for (long tap = 0; tap < count; tap += AT_ONCE) {
            const T *a = row(tap, k, frames, 1, h, begin), *b = row(tap + 1, k, frames, 1, h, begin),
                    *c = row(tap + 2, k, frames, 1, h, begin);
            T *pa = products + tap * channels, *pb = pa + channels, *pc = pb + channels;
#pragma omp simd
            for (long i = 0; i < channels; ++i) pa[i] += dz[i] * a[i], pb[i] += dz[i] * b[i], pc[i] += dz[i] * c[i];
            for (long one = tap; one < std::min(tap + AT_ONCE, count); ++one)
                if (row(one, k, frames, 1, h, begin) == silence.data()) add_rows(dz, 1, channels, unheard + one * channels);
        }
    }
};
