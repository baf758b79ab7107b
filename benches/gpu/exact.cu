// Exact kernels for a graphics card: the arithmetic of `src/compute/kernel`, number for number.
//
// One thread owns an output, or a tile of outputs, and adds their terms in the order that the CPU
// adds them; every multiply-add is `__fmaf_rn`, every other operation is rounded by itself
// (`-fmad=false`; division and square root are IEEE's). No sum is split, no atomics, no tensor
// cores. `exact.py` compares bits; docs/adr/0024-exact-on-a-card.md has the numbers.

#define FMA(a, b, c) __fmaf_rn((a), (b), (c))

typedef unsigned int u32;

// ---- elementary functions (`elementary.rs`, `gelu.rs`) ----

__device__ __forceinline__ float power_of_two(int n) {
    return __int_as_float((int)((u32)(n + 127) << 23));
}

__device__ __forceinline__ float quiet() { return __int_as_float(0x7fc00000); }

__device__ float exp_(float x) {
    const float HIGH = 88.72284f, LOW = -103.972084f, ROUND = 12582912.0f;
    float bounded = x > HIGH ? HIGH : x;
    bounded = bounded < LOW ? LOW : bounded;
    float shifted = FMA(bounded, 1.44269504088896340736f, ROUND);
    float n = shifted - ROUND;
    float r = FMA(n, 2.1219444e-4f, FMA(n, -0.6933594f, bounded));
    const float C[6] = {1.9875691e-4f, 1.3981999e-3f, 8.333452e-3f, 4.1665796e-2f, 1.6666665e-1f, 0.5f};
    float tail = 0.0f;
    for (int i = 0; i < 6; i++) tail = FMA(r, tail, C[i]);
    float value = FMA(r * r, tail, r) + 1.0f;
    int whole = __float_as_int(shifted) - __float_as_int(ROUND);
    int half = whole >> 1;
    value = value * power_of_two(half) * power_of_two(whole - half);
    value = x > HIGH ? __int_as_float(0x7f800000) : value;
    value = x < LOW ? 0.0f : value;
    return isnan(x) ? quiet() : value;
}

__device__ float ln_(float x) {
    bool tiny = x < 1.17549435e-38f;
    float normal = tiny ? x * 8388608.0f : x;
    int bits = (int)((u32)__float_as_int(normal) - 0x3f3504f3u);
    float exponent = (float)((bits >> 23) - (tiny ? 23 : 0));
    float mantissa = __int_as_float((int)((u32)(bits & 0x007fffff) + 0x3f3504f3u));
    float r = mantissa - 1.0f;
    float square = r * r;
    const float C[9] = {7.0376836e-2f, -1.151461e-1f, 1.16769987e-1f, -1.2420141e-1f, 1.4249323e-1f,
                        -1.6668058e-1f, 2.0000715e-1f, -2.4999994e-1f, 3.333333e-1f};
    float tail = 0.0f;
    for (int i = 0; i < 9; i++) tail = FMA(r, tail, C[i]);
    float small = FMA(r * square, tail, exponent * -2.1219444e-4f);
    float value = FMA(exponent, 0.6933594f, r + FMA(square, -0.5f, small));
    value = x == __int_as_float(0x7f800000) ? __int_as_float(0x7f800000) : value;
    value = x == 0.0f ? __int_as_float(0xff800000) : value;
    return isnan(x) || x < 0.0f ? quiet() : value;
}

__device__ float tanh_(float x) {
    float size = fabsf(x);
    float square = x * x;
    const float C[5] = {-5.704989e-3f, 2.063909e-2f, -5.373971e-2f, 1.3331442e-1f, -3.333328e-1f};
    float tail = 0.0f;
    for (int i = 0; i < 5; i++) tail = FMA(square, tail, C[i]);
    float near = FMA(square * size, tail, size);
    float far = 1.0f - 2.0f / (exp_(size + size) + 1.0f);
    float value = copysignf(size < 0.625f ? near : far, x);
    return isnan(x) ? quiet() : value;
}

__device__ float sigmoid_(float x) { return 1.0f / (1.0f + exp_(-x)); }

struct Tail { float r, bell; };

__device__ Tail tail_(float t) {
    const float R[9] = {0.030272832f, -0.012877512f, -0.073127784f, 0.066000804f, 0.13621978f,
                        -0.39875212f, 0.51221406f, -0.4241936f, 0.2458431f};
    float inverse = 1.0f / (t + 3.75f);
    float u = FMA(t, inverse, -0.375f);
    float r = 0.0f;
    for (int i = 0; i < 9; i++) r = FMA(u, r, R[i]);
    float square = t * t;
    float rest = FMA(t, t, -square);
    float bell = exp_(-0.5f * square);
    bell = FMA(-0.5f * rest, bell, bell);
    return {3.75f * inverse * r, bell};
}

__device__ __forceinline__ float size_(float x) {
    float t = fabsf(x);
    return t > 15.0f ? 15.0f : t;
}

__device__ float gelu_(float x) {
    float t = size_(x);
    Tail tail = tail_(t);
    float lost = (t * tail.r) * tail.bell;
    float value = x < 0.0f ? -lost : x - lost;
    return isnan(x) ? quiet() : value;
}

__device__ float gelu_slope_(float x) {
    float t = size_(x);
    Tail tail = tail_(t);
    float q = tail.r * tail.bell, hill = t * (tail.bell * 0.3989423f);
    float value = x < 0.0f ? q - hill : (1.0f - q) + hill;
    return isnan(x) ? quiet() : value;
}

// What a function gives for the bit patterns `first + i`. A card has a NaN of its own
// (0x7fffffff); the kernels' is the quiet one of IEEE.
#define SWEEP(name, f)                                                        \
    extern "C" __global__ void sweep_##name(u32 first, u32 *out, u32 n) {     \
        u32 i = blockIdx.x * blockDim.x + threadIdx.x;                        \
        if (i >= n) return;                                                   \
        u32 bits = (u32)__float_as_int(f(__int_as_float((int)(first + i))));  \
        out[i] = (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : bits;        \
    }
SWEEP(exp, exp_)
SWEEP(ln, ln_)
SWEEP(tanh, tanh_)
SWEEP(sigmoid, sigmoid_)
SWEEP(gelu, gelu_)
SWEEP(gelu_slope, gelu_slope_)

// ---- products (`matmul.rs`): every element one chain over ascending k ----

// out (m × n) = A (m × k) · B (k × n), A[i][l] = a[i·ai + l·al], B[l][j] = b[l·bl + j·bj].
// A block makes TILE × TILE elements with (TILE/EACH)² threads, each EACH × EACH of them.
template <int TILE, int EACH, int DEPTH>
__device__ __forceinline__ void product(const float *__restrict__ a, const float *__restrict__ b,
                                        float *__restrict__ out, int m, int n, int k, int ai,
                                        int al, int bl, int bj) {
    constexpr int SIDE = TILE / EACH, THREADS = SIDE * SIDE;
    __shared__ float pa[2][DEPTH][TILE + 4], pb[2][DEPTH][TILE + 4];
    const int row0 = blockIdx.y * TILE, col0 = blockIdx.x * TILE;
    const int t = threadIdx.x, tr = t / SIDE, tc = t % SIDE;
    float sum[EACH][EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) sum[i][j] = 0.0f;
    // Neighbouring threads read neighbouring addresses, whichever way a matrix lies. What comes next
    // is read into registers while this is computed.
    constexpr int LOADS = DEPTH * TILE / THREADS;
    float na[LOADS], nb[LOADS];
    auto place = [&](int at, bool deep_first, int &i, int &l) {
        i = deep_first ? at / DEPTH : at % TILE;
        l = deep_first ? at % DEPTH : at / TILE;
    };
    auto fetch = [&](int first) {
#pragma unroll
        for (int s = 0; s < LOADS; s++) {
            int i, l, j;
            place(t + s * THREADS, al == 1, i, l);
            int row = row0 + i, deep = first + l;
            na[s] = row < m && deep < k ? a[(size_t)row * ai + (size_t)deep * al] : 0.0f;
            place(t + s * THREADS, bj != 1, j, l);
            int col = col0 + j;
            deep = first + l;
            nb[s] = col < n && deep < k ? b[(size_t)deep * bl + (size_t)col * bj] : 0.0f;
        }
    };
    auto keep = [&](int stage) {
#pragma unroll
        for (int s = 0; s < LOADS; s++) {
            int i, l;
            place(t + s * THREADS, al == 1, i, l);
            pa[stage][l][i] = na[s];
            place(t + s * THREADS, bj != 1, i, l);
            pb[stage][l][i] = nb[s];
        }
    };
    fetch(0);
    keep(0);
    __syncthreads();
    int stage = 0;
    for (int first = 0; first < k; first += DEPTH) {
        if (first + DEPTH < k) fetch(first + DEPTH);
        auto step = [&](int l) {
            float x[EACH], y[EACH];
#pragma unroll
            for (int i = 0; i < EACH; i++) x[i] = pa[stage][l][tr + i * SIDE];
#pragma unroll
            for (int j = 0; j < EACH; j++) y[j] = pb[stage][l][tc + j * SIDE];
#pragma unroll
            for (int i = 0; i < EACH; i++)
#pragma unroll
                for (int j = 0; j < EACH; j++) sum[i][j] = FMA(x[i], y[j], sum[i][j]);
        };
        // The last pass may be short: a term of zeros would turn −0 into +0.
        if (first + DEPTH <= k) {
#pragma unroll
            for (int l = 0; l < DEPTH; l++) step(l);
        } else {
            for (int l = 0; l < k - first; l++) step(l);
        }
        if (first + DEPTH < k) keep(stage ^ 1);
        __syncthreads();
        stage ^= 1;
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            int row = row0 + tr + i * SIDE, col = col0 + tc + j * SIDE;
            if (row < m && col < n) out[(size_t)row * n + col] = sum[i][j];
        }
}

#define PRODUCT(name, TILE, EACH, DEPTH)                                                        \
    extern "C" __global__ void __launch_bounds__((TILE / EACH) * (TILE / EACH), 2)              \
        name(const float *a, const float *b, float *out, int m, int n, int k, int ai, int al,   \
             int bl, int bj) {                                                                  \
        product<TILE, EACH, DEPTH>(a, b, out, m, n, k, ai, al, bl, bj);                         \
    }
PRODUCT(product_large, 128, 8, 8)
PRODUCT(product_middle, 64, 4, 16)
PRODUCT(product_small, 16, 1, 32)

// ---- a step of a perceptron ----

// y += b, then ReLU where `bends`.
extern "C" __global__ void bend(float *y, const float *bias, int rows, int width, int bends) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * width) return;
    float x = y[i] + bias[i % width];
    y[i] = bends && x < 0.0f ? 0.0f : x;
}

extern "C" __global__ void unbend(float *gradient, const float *y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) gradient[i] = y[i] > 0.0f ? gradient[i] : 0.0f;
}

// A chain over the rows of each column.
extern "C" __global__ void column_sums(const float *x, float *out, int rows, int width) {
    int j = blockIdx.x * blockDim.x + threadIdx.x;
    if (j >= width) return;
    float sum = 0.0f;
    for (int i = 0; i < rows; i++) sum += x[(size_t)i * width + j];
    out[j] = sum;
}

// Lane l of 16 takes the items i ≡ l (mod 16); the lanes are folded 8-4-2-1.
__device__ float folded_sum(const float *x, int n) {
    float lanes[16];
    for (int l = 0; l < 16; l++) lanes[l] = 0.0f;
    for (int i = 0; i < n; i++) lanes[i % 16] += x[i];
    for (int half = 8; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

// The gradient of the mean cross-entropy by rows of logits, in place; a thread has a row.
extern "C" __global__ void entropy_gradient(float *logits, const int *labels, int rows, int width,
                                            float scale) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    float *x = logits + (size_t)row * width;
    float most = __int_as_float(0xff800000);
    for (int j = 0; j < width; j++) most = x[j] > most ? x[j] : most;
    for (int j = 0; j < width; j++) x[j] = exp_(x[j] - most);
    float sum = folded_sum(x, width);
    for (int j = 0; j < width; j++) x[j] = x[j] / sum;
    x[labels[row]] -= 1.0f;
    for (int j = 0; j < width; j++) x[j] *= scale;
}

// Zero once it is below the normal range, as on the CPU.
__device__ float spent(float moment) {
    return fabsf(moment) < __int_as_float(0x00800000) ? 0.0f : moment;
}

extern "C" __global__ void adamw(float *theta, float *m, float *v, const float *gradient, int n,
                                 float lr, float beta1, float rest1, float beta2, float rest2,
                                 float correction1, float correction2, float eps, float keep) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float g = gradient[i];
    float first = spent(FMA(rest1, g, beta1 * m[i]));
    float second = spent(FMA(rest2, g * g, beta2 * v[i]));
    m[i] = first;
    v[i] = second;
    float step = (first * correction1) / (__fsqrt_rn(second * correction2) + eps);
    theta[i] = FMA(-lr, step, theta[i] * keep);
}
