// The update of a network's weights from their gradients: clipping, and Adam.
//
// The tensors of a network are many and small; each function goes through all of them. sizes: how many, then how long each is.

#pragma once

#include "kernels.h"

namespace {

// torch's clip_grad_norm_: gradients times min(1, most / (norm + 1e-6)). given: the gradients, then a double: most.
template <class T>
void clip(const long* sizes, void** given) {
    const long count = *sizes++;
    Values<double> squares(count);
#pragma omp parallel for schedule(static)
    for (long one = 0; one < count; ++one) {
        const T* g = static_cast<const T*>(given[one]);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (long i = 0; i < sizes[one]; ++i) sum += double(g[i]) * g[i];
        squares[one] = sum;
    }
    double sum = 0;
    for (const double square : squares) sum += square;
    const double wanted = *static_cast<const double*>(given[count]) / (std::sqrt(sum) + 1e-6);
    if (wanted >= 1) return;
    const T factor = wanted;
#pragma omp parallel for schedule(static)
    for (long one = 0; one < count; ++one) {
        T* g = static_cast<T*>(given[one]);
        for (long i = 0; i < sizes[one]; ++i) g[i] *= factor;
    }
}

// Adam (Kingma and Ba 2015, algorithm 1). given: weights, gradients, means, means of squares, numbers of steps, each a float32;
// then four doubles: the rate, both betas, epsilon.
template <class T>
void adam(const long* sizes, void** given) {
    const long count = *sizes++;
    const double* settings = static_cast<const double*>(given[5 * count]);
    const double rate = settings[0], beta1 = settings[1], beta2 = settings[2], epsilon = settings[3];
#pragma omp parallel for schedule(static)
    for (long one = 0; one < count; ++one) {
        T *w = static_cast<T*>(given[one]), *m = static_cast<T*>(given[2 * count + one]);
        T* v = static_cast<T*>(given[3 * count + one]);
        const T* g = static_cast<const T*>(given[count + one]);
        const double step = *static_cast<float*>(given[4 * count + one]) += 1;
        const T by = rate / (1 - std::pow(beta1, step)), root = 1 / std::sqrt(1 - std::pow(beta2, step)), least = epsilon;
        const T new1 = 1 - beta1, old2 = beta2, new2 = 1 - beta2;
#pragma omp simd
        for (long i = 0; i < sizes[one]; ++i) {
            m[i] += new1 * (g[i] - m[i]);
            v[i] = old2 * v[i] + new2 * g[i] * g[i];
            w[i] -= by * m[i] / (std::sqrt(v[i]) * root + least);
        }
    }
}

}  // namespace
