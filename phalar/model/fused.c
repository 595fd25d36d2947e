/* The residual branch of the harmonic backbone, fused: the fast twin of ResidualBranch.plain in backbone.py.
 *
 * Why it exists. The backbone has 8 to 60 channels and half a million positions a second: general convolution code
 * spends its time moving pictures to memory and back between tiny products. Here one item goes through
 *     y = x + gain * W2 silu(W1 * norm(x) + b1)
 * in bands of a few frequency rows that stay in the processor's own cache, and the backward pass computes the hidden
 * values again instead of reading them back. The products are plain: 4 channels by 4 vectors at a time in registers.
 *
 * How a band is laid out. Rows of T positions lie one after the other, each followed by one zero, in one line a
 * channel. A step along time is then a shift by 1 and a step along frequency a shift by T + 1, and both find zeros at
 * the borders: a convolution is a sum of shifted lines. Positions on such zeros are computed and thrown away.
 *
 * Pictures are float32, (items, channels, F, T), contiguous. Weights come packed so that the output channels of one
 * input line are neighbours, padded to a multiple of 4 (see fused.py). Each item's gradient sums are written apart and
 * added up by the caller: results do not depend on how items are spread over threads.
 */
#include <stdlib.h>
#include <string.h>
#include <math.h>

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX__)
#define VL 8
#else
#define VL 4
#endif
#define TILE (4 * VL)
#ifndef CACHE
#define CACHE (64 * 1024) /* floats of working space a band aims at: a quarter of a common second-level cache */
#endif

typedef float vec __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(4 * VL), aligned(4), may_alias));

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline float sum(vec v) {
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
}
/* Rows of a band: enough to amortise its borders, few enough for its lines to stay in the cache. */
static inline int rows_of_band(size_t row, int lines, int F) {
    size_t rows = CACHE / ((size_t)lines * row);
    return rows < 1 ? 1 : rows > (size_t)F ? F : (int)rows;
}
static inline size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

/* exp to single precision: 2^k times a polynomial on [-ln2/2, ln2/2] */
static inline vec exponential(vec x) {
    const vec zero = {0};
    vec low = zero - 87.0f, high = zero + 87.0f;
    ivec below = x < low, above = x > high;
    x = (vec)(((ivec)low & below) | ((ivec)x & ~below));
    x = (vec)(((ivec)high & above) | ((ivec)x & ~above));
    vec magic = zero + 12582912.0f;
    vec k = (x * 1.44269504f + magic) - magic;
    vec r = x - k * 0.693359375f + k * 2.12194440e-4f;
    vec p = zero + 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    ivec power = (__builtin_convertvector(k, ivec) + 127) << 23;
    return p * (vec)power;
}
static inline vec sigmoid(vec x) { return 1.0f / (1.0f + exponential(-x)); }

/* out[o] = bias[o] + sum_j w[j][o] in[j], for lines of `length` (a multiple of TILE); `outs` a multiple of 4 */
static void product(float *out, size_t stride, int outs, const float *w, const float *bias, const float *const *in,
                    int lines, size_t length) {
    for (size_t p = 0; p < length; p += TILE)
        for (int o = 0; o < outs; o += 4) {
            vec acc[4][4];
            for (int a = 0; a < 4; a++)
                for (int v = 0; v < 4; v++) acc[a][v] = (vec){0} + (bias ? bias[o + a] : 0.0f);
            for (int j = 0; j < lines; j++) {
                const float *q = in[j] + p, *u = w + (size_t)j * outs + o;
                vec x0 = load(q), x1 = load(q + VL), x2 = load(q + 2 * VL), x3 = load(q + 3 * VL);
                for (int a = 0; a < 4; a++) {
                    acc[a][0] += u[a] * x0;
                    acc[a][1] += u[a] * x1;
                    acc[a][2] += u[a] * x2;
                    acc[a][3] += u[a] * x3;
                }
            }
            for (int a = 0; a < 4; a++)
                for (int v = 0; v < 4; v++) store(out + (o + a) * stride + p + v * VL, acc[a][v]);
        }
}

/* g[o][j] += sum_p left[o][p] right[j][p] */
static void correlation(float *g, const float *left, size_t stride, int outs, const float *const *right, int lines,
                        size_t length) {
    for (int o = 0; o < outs; o += 4)
        for (int j = 0; j < lines; j += 4) {
            vec acc[4][4] = {{{0}}};
            const float *l[4], *r[4];
            for (int a = 0; a < 4; a++) {
                l[a] = left + (o + a < outs ? o + a : o) * stride;
                r[a] = right[j + a < lines ? j + a : j];
            }
            for (size_t p = 0; p < length; p += VL) {
                vec r0 = load(r[0] + p), r1 = load(r[1] + p), r2 = load(r[2] + p), r3 = load(r[3] + p);
                for (int a = 0; a < 4; a++) {
                    vec x = load(l[a] + p);
                    acc[a][0] += x * r0;
                    acc[a][1] += x * r1;
                    acc[a][2] += x * r2;
                    acc[a][3] += x * r3;
                }
            }
            for (int a = 0; a < 4 && o + a < outs; a++)
                for (int b = 0; b < 4 && j + b < lines; b++) g[(size_t)(o + a) * lines + j + b] += sum(acc[a][b]);
        }
}

static float *workspace(size_t floats) { /* one a thread, kept: asking the system anew each time costs more */
    static __thread float *memory = 0;
    static __thread size_t held = 0;
    if (floats > held) {
        free(memory);
        memory = 0;
        if (posix_memalign((void **)&memory, 64, floats * sizeof(float))) memory = 0;
        held = memory ? floats : 0;
    }
    if (memory) memset(memory, 0, floats * sizeof(float));
    return memory;
}

/* copy rows [first, first + rows) of one channel, times a plus d, into a line whose row 0 stands at `line` */
static void lay(float *line, const float *picture, int first, int rows, int F, int T, float a, float d) {
    size_t S = T + 1;
    for (int r = 0; r < rows; r++) {
        float *to = line + r * S;
        int f = first + r;
        if (f < 0 || f >= F) {
            memset(to, 0, T * sizeof(float));
            continue;
        }
        const float *from = picture + (size_t)f * T;
        for (int t = 0; t < T; t++) to[t] = a * from[t] + d;
    }
}

static void moments(const float *x, size_t n, float *mean, float *rstd) {
    vec s = {0};
    double total = 0;
    size_t p = 0;
    for (; p + VL <= n; p += VL) s += load(x + p);
    total = sum(s);
    for (; p < n; p++) total += x[p];
    float m = (float)(total / n);
    vec q = {0};
    for (p = 0; p + VL <= n; p += VL) {
        vec d = load(x + p) - m;
        q += d * d;
    }
    total = sum(q);
    for (; p < n; p++) total += (double)(x[p] - m) * (x[p] - m);
    *mean = m;
    *rstd = 1.0f / sqrtf((float)(total / n) + 1e-5f);
}

/* Shifts of the kernel's taps in a line: along frequency T + 1 apart, along time 1 apart. */
static void shifts(int along_frequency, int taps, int T, long *shift) {
    for (int k = 0; k < taps; k++) shift[k] = taps == 1 ? 0 : (k - 1) * (long)(along_frequency ? T + 1 : 1);
}

/* Items [first, last). w1: (taps * C, Hp); w2: (H, Cp); gain: (items, C); moments out: (items, 2, C). Returns 0, or 1
 * when there is no memory. */
int branch_forward(const float *x, float *y, float *moment, const float *gamma, const float *beta, const float *w1,
                   const float *b1, const float *w2, const float *gain, int first, int last, int C, int H, int F, int T,
                   int taps, int along_frequency) {
    size_t S = T + 1, P = (size_t)F * T;
    int R = rows_of_band(S, 2 * C + 2 * H, F), Hp = up(H, 4), Cp = up(C, 4);
    size_t L = up(R * S, TILE), margin = up(S + VL, VL), N = L + 2 * margin;
    float *n = workspace(C * N + (Hp + Cp) * L);
    if (!n) return 1;
    float *h = n + C * N, *o = h + Hp * L;
    long shift[3];
    shifts(along_frequency, taps, T, shift);
    const float *in[3 * 64 + 3 * 128];
    for (int k = 0; k < taps; k++)
        for (int c = 0; c < C; c++) in[k * C + c] = n + c * N + margin + shift[k];
    const float *hidden[128];
    for (int i = 0; i < H; i++) hidden[i] = h + i * L;
    int halo = along_frequency && taps > 1;
    for (int b = first; b < last; b++) {
        float *mean = moment + (size_t)b * 2 * C, *rstd = mean + C;
        for (int c = 0; c < C; c++) moments(x + ((size_t)b * C + c) * P, P, mean + c, rstd + c);
        for (int f = 0; f < F; f += R) {
            int rows = f + R > F ? F - f : R;
            for (int c = 0; c < C; c++) {
                float a = gamma[c] * rstd[c];
                lay(n + c * N + margin - halo * S, x + ((size_t)b * C + c) * P, f - halo, R + 2 * halo, F, T, a,
                    beta[c] - mean[c] * a);
            }
            product(h, L, Hp, w1, b1, in, taps * C, L);
            for (size_t p = 0; p < H * L; p += VL) {
                vec v = load(h + p);
                store(h + p, v * sigmoid(v));
            }
            product(o, L, Cp, w2, 0, hidden, H, L);
            for (int c = 0; c < C; c++) {
                float g = gain[(size_t)b * C + c];
                const float *from = x + ((size_t)b * C + c) * P + (size_t)f * T;
                float *to = y + ((size_t)b * C + c) * P + (size_t)f * T;
                for (int r = 0; r < rows; r++)
                    for (int t = 0; t < T; t++) to[r * T + t] = from[r * T + t] + g * o[c * L + r * S + t];
            }
        }
    }
    return 0;
}

/* Gradients of items [first, last). w1t: (taps * H, Cp), w2t: (C, Hp). Sums per item: dw1 (items, H, taps * C),
 * db1 (items, H), m2 (items, C, H) = sum dy silu(h), dnorm (items, 2, C) = gradients of gamma and beta. */
int branch_backward(const float *x, const float *dy, float *dx, const float *moment, const float *gamma,
                    const float *beta, const float *w1, const float *b1, const float *w1t, const float *w2t,
                    const float *gain, float *dw1, float *db1, float *m2, float *dnorm, int first, int last, int C,
                    int H, int F, int T, int taps, int along_frequency) {
    size_t S = T + 1, P = (size_t)F * T;
    int R = rows_of_band(S, 2 * C + 2 * H, F), Hp = up(H, 4), Cp = up(C, 4);
    size_t L = up(R * S, TILE), margin = up(S + VL, VL), N = L + 2 * margin;
    /* hidden gradients of the whole item: the transposed convolution looks at the neighbouring bands */
    size_t D = up(F * S, TILE) + L + 2 * margin;
    float *n = workspace(C * N + (2 * Hp + 2 * Cp) * L + Hp * D + C * Hp);
    if (!n) return 1;
    float *h = n + C * N, *s = h + Hp * L, *out = s + Hp * L, *dn = out + Cp * L, *dh = dn + Cp * L,
          *w2g = dh + Hp * D;
    long shift[3];
    shifts(along_frequency, taps, T, shift);
    const float *in[3 * 64], *outs[64], *back[3 * 128], *hidden[128];
    for (int k = 0; k < taps; k++)
        for (int c = 0; c < C; c++) in[k * C + c] = n + c * N + margin + shift[k];
    for (int c = 0; c < C; c++) outs[c] = out + c * L;
    for (int i = 0; i < H; i++) hidden[i] = s + i * L;
    int halo = along_frequency && taps > 1;
    for (int b = first; b < last; b++) {
        const float *mean = moment + (size_t)b * 2 * C, *rstd = mean + C;
        float *gw1 = dw1 + (size_t)b * H * taps * C, *gb1 = db1 + (size_t)b * H, *gm = m2 + (size_t)b * C * H;
        for (int c = 0; c < C; c++)
            for (int i = 0; i < Hp; i++) w2g[c * Hp + i] = gain[(size_t)b * C + c] * w2t[c * Hp + i];
        for (int f = 0; f < F; f += R) {
            int rows = f + R > F ? F - f : R;
            for (int c = 0; c < C; c++) {
                float a = gamma[c] * rstd[c];
                lay(n + c * N + margin - halo * S, x + ((size_t)b * C + c) * P, f - halo, R + 2 * halo, F, T, a,
                    beta[c] - mean[c] * a);
                lay(out + c * L, dy + ((size_t)b * C + c) * P, f, R, F, T, 1.0f, 0.0f);
            }
            product(h, L, Hp, w1, b1, in, taps * C, L);
            product(s, L, Hp, w2g, 0, outs, C, L); /* gradient at silu's output */
            for (int i = 0; i < H; i++) {
                float *to = dh + i * D + margin + f * S;
                vec total = {0};
                for (size_t p = 0; p < L; p += VL) {
                    vec v = load(h + i * L + p), sig = sigmoid(v), ds = load(s + i * L + p);
                    store(s + i * L + p, v * sig);
                    store(to + p, ds * sig * (1.0f + v * (1.0f - sig)));
                }
                for (int r = 0; r < rows; r++) to[r * S + T] = 0; /* gradients exist only on the picture */
                memset(to + rows * S, 0, (L - rows * S) * sizeof(float));
                for (size_t p = 0; p < L; p += VL) total += load(to + p);
                gb1[i] += sum(total);
            }
            correlation(gm, out, L, C, hidden, H, L);
            correlation(gw1, dh + margin + f * S, D, H, in, taps * C, L);
        }
        float *s1 = dnorm + (size_t)b * 2 * C + C, *s2 = dnorm + (size_t)b * 2 * C;
        for (int f = 0; f < F; f += R) {
            int rows = f + R > F ? F - f : R;
            for (int k = 0; k < taps; k++)
                for (int i = 0; i < H; i++) back[k * H + i] = dh + i * D + margin + f * S - shift[k];
            product(dn, L, Cp, w1t, 0, back, taps * H, L);
            for (int c = 0; c < C; c++) {
                const float *from = x + ((size_t)b * C + c) * P + (size_t)f * T;
                float *to = dx + ((size_t)b * C + c) * P + (size_t)f * T, t1 = 0, t2 = 0;
                for (int r = 0; r < rows; r++) {
                    vec v1 = {0}, v2 = {0};
                    const float *g = dn + c * L + r * S, *q = from + r * T;
                    int t = 0;
                    for (; t + VL <= T; t += VL) {
                        vec d = load(g + t);
                        store(to + r * T + t, d);
                        v1 += d;
                        v2 += d * (load(q + t) - mean[c]);
                    }
                    for (; t < T; t++) {
                        to[r * T + t] = g[t];
                        t1 += g[t];
                        t2 += g[t] * (q[t] - mean[c]);
                    }
                    t1 += sum(v1);
                    t2 += sum(v2);
                }
                s1[c] += t1;
                s2[c] += t2 * rstd[c];
            }
        }
        for (int c = 0; c < C; c++) {
            float a = gamma[c] * rstd[c], m1 = s1[c] / P, slope = s2[c] / P * rstd[c];
            const float *q = x + ((size_t)b * C + c) * P, *g = dy + ((size_t)b * C + c) * P;
            float *to = dx + ((size_t)b * C + c) * P;
            for (size_t p = 0; p < P; p++) to[p] = g[p] + a * (to[p] - m1 - (q[p] - mean[c]) * slope);
        }
    }
    return 0;
}

/* The strided convolution between stages, (1, 3) kernel, stride (1, 2): even and odd positions in lines of their own.
 * x: (items, C, F, T); y: (items, O, F, T2), T2 = (T + 1) / 2; w: (3 * C, Op). */
static void split(float *even, float *odd, const float *picture, int first, int rows, int F, int T, int T2) {
    size_t S = T2 + 1;
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < T2; t++) {
            const float *from = picture + (size_t)(first + r) * T;
            int inside = first + r < F;
            even[r * S + t] = inside ? from[2 * t] : 0;
            odd[r * S + t] = inside && 2 * t + 1 < T ? from[2 * t + 1] : 0;
        }
}

int widen_forward(const float *x, float *y, const float *w, int first, int last, int C, int O, int F, int T) {
    int T2 = (T + 1) / 2, Op = up(O, 4);
    size_t S = T2 + 1;
    int R = rows_of_band(S, 4 * C + O, F);
    size_t L = up(R * S, TILE), N = L + 2 * VL;
    float *lines = workspace(2 * C * N + Op * L);
    if (!lines) return 1;
    float *o = lines + 2 * C * N;
    const float *in[3 * 64];
    for (int c = 0; c < C; c++) {
        in[c] = lines + (C + c) * N + VL - 1;
        in[C + c] = lines + c * N + VL;
        in[2 * C + c] = lines + (C + c) * N + VL;
    }
    for (int b = first; b < last; b++)
        for (int f = 0; f < F; f += R) {
            int rows = f + R > F ? F - f : R;
            for (int c = 0; c < C; c++)
                split(lines + c * N + VL, lines + (C + c) * N + VL, x + ((size_t)b * C + c) * F * T, f, R, F, T, T2);
            product(o, L, Op, w, 0, in, 3 * C, L);
            for (int i = 0; i < O; i++)
                for (int r = 0; r < rows; r++)
                    memcpy(y + (((size_t)b * O + i) * F + f + r) * T2, o + i * L + r * S, T2 * sizeof(float));
        }
    return 0;
}

/* weven: (O, Cp), the middle tap; wodd: (2 * O, Cp), the last tap and then the first, which looks one step on. */
int widen_backward(const float *x, const float *dy, float *dx, const float *weven, const float *wodd, float *dw,
                   int first, int last, int C, int O, int F, int T) {
    int T2 = (T + 1) / 2, Cp = up(C, 4);
    size_t S = T2 + 1;
    int R = rows_of_band(S, 4 * C + O, F);
    size_t L = up(R * S, TILE), N = L + 2 * VL;
    float *lines = workspace(2 * C * N + O * N + 2 * Cp * L);
    if (!lines) return 1;
    float *g = lines + 2 * C * N, *even = g + O * N, *odd = even + Cp * L;
    const float *in[3 * 64], *back[2 * 64];
    for (int c = 0; c < C; c++) {
        in[c] = lines + (C + c) * N + VL - 1;
        in[C + c] = lines + c * N + VL;
        in[2 * C + c] = lines + (C + c) * N + VL;
    }
    for (int i = 0; i < O; i++) {
        back[i] = g + i * N + VL;
        back[O + i] = g + i * N + VL + 1;
    }
    for (int b = first; b < last; b++)
        for (int f = 0; f < F; f += R) {
            int rows = f + R > F ? F - f : R;
            for (int c = 0; c < C; c++)
                split(lines + c * N + VL, lines + (C + c) * N + VL, x + ((size_t)b * C + c) * F * T, f, R, F, T, T2);
            for (int i = 0; i < O; i++) lay(g + i * N + VL, dy + ((size_t)b * O + i) * F * T2, f, R, F, T2, 1.0f, 0.0f);
            correlation(dw + (size_t)b * O * 3 * C, g + VL, N, O, in, 3 * C, L);
            product(even, L, Cp, weven, 0, back, O, L);
            product(odd, L, Cp, wodd, 0, back, 2 * O, L);
            for (int c = 0; c < C; c++)
                for (int r = 0; r < rows; r++) {
                    float *to = dx + (((size_t)b * C + c) * F + f + r) * T;
                    for (int t = 0; t < T; t++) to[t] = (t & 1 ? odd : even)[c * L + r * S + t / 2];
                }
        }
    return 0;
}
