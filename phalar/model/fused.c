/* The harmonic backbone as a chain of residual branches and strided convolutions: the fast twin of what backbone.py
 * defines.
 *
 * Why it exists. The backbone has 8 to 60 channels and half a million positions a second: general convolution code
 * spends its time moving pictures to memory and back between tiny products. Here one item goes through
 *     y = x + gain * W2 silu(W1 * norm(x) + b1)
 * in bands of a few frequency rows that stay in the processor's own cache, and then through the next link of the chain
 * before another item begins: what a link reads was written a moment ago. On the way back hidden values are computed
 * again instead of read, and gradients between links never leave the cache. The products are plain: as many channels by
 * three vectors at a time as there are registers for.
 *
 * How a band is laid out. Rows of T positions lie one after the other in one line a channel, S = T apart, so that a step
 * along frequency is a shift by S; for a step along time, a shift by 1, each row is followed by a zero and S = T + 1.
 * At the borders are zeros: a convolution is a sum of shifted lines. What is computed on zeros between is thrown away.
 *
 * Pictures are float32, (items, channels, F, T), contiguous. Weights come packed so that the output channels of one
 * input line are neighbours, padded to a multiple of 4 (see fused.py). Each item's gradient sums are written apart and
 * added up by the caller: results do not depend on how items are spread over threads.
 */
#include <stdlib.h>
#include <string.h>
#include <math.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define VL 16
#elif defined(__AVX__)
#define VL 8
#else
#define VL 4
#endif
/* A product is computed in tiles of BLOCK output lines by TILE positions, as many as the registers hold sums for. */
#if defined(__AVX512F__)
#define BLOCK 8
#else
#define BLOCK 4
#endif
#define TILE (3 * VL)
#ifndef CACHE
#define CACHE (128 * 1024) /* floats of working space a band aims at: half of a common second-level cache */
#endif

typedef float vec __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(4 * VL), aligned(4), may_alias));

static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline vec choose(vec a, vec b, ivec places) { /* of both, one after the other */
#if defined(__clang__)
    vec chosen;
    for (int i = 0; i < VL; i++) chosen[i] = places[i] < VL ? a[places[i]] : b[places[i] - VL];
    return chosen;
#else
    return __builtin_shuffle(a, b, places);
#endif
}
/* Every second value of a and then of b: those at even places (0), or at odd ones (1). */
static inline vec every_second(vec a, vec b, const int odd) {
    ivec places;
    for (int i = 0; i < VL; i++) places[i] = 2 * i + odd;
    return choose(a, b, places);
}
/* Values of a and b in turn, from the first on (0), or from the middle on (1). */
static inline vec in_turn(vec a, vec b, const int second) {
    ivec places;
    for (int i = 0; i < VL; i++) places[i] = (second * VL + i) / 2 + i % 2 * VL;
    return choose(a, b, places);
}
/* Sums of neighbours: of a in the first half, of b in the second. */
static inline vec pairs(vec a, vec b) { return every_second(a, b, 0) + every_second(a, b, 1); }
static inline float sum(vec v) {
    for (int n = VL; n > 1; n /= 2) v = pairs(v, v);
    return v[0];
}
static inline size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }
/* Rows of a band: few enough for its lines to stay in the cache, and so many that the least is computed for nothing,
 * behind a band's end and in the last band. */
static inline int rows_of_band(size_t row, int lines, int F) {
    size_t most = CACHE / ((size_t)lines * row), best = 1, least = 0;
    if (most > (size_t)F) most = F;
    for (size_t rows = most / 2 + 1; rows <= most; rows++) {
        size_t computed = up(rows * row, TILE) * ((F + rows - 1) / rows);
        if (!least || computed <= least) least = computed, best = rows;
    }
    return (int)best;
}

/* 1 / (1 + exp(-x)) to single precision: 2^f on [-1/2, 1/2] by a polynomial of the least largest
 * relative error (9e-8) among those that are 1 at 0, times a power of two. */
static inline vec sigmoid(vec x) {
    const vec zero = {0};
    const vec magic = zero + 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to an integer */
#if defined(__AVX512F__)
    x = (vec)_mm512_max_ps((__m512)x, _mm512_set1_ps(-87.0f));
#else
    vec low = zero - 87.0f, high = zero + 87.0f;
    ivec below = x < low, above = x > high;
    x = (vec)(((ivec)low & below) | ((ivec)x & ~below));
    x = (vec)(((ivec)high & above) | ((ivec)x & ~above));
#endif
    vec k = (x * -1.44269504f + magic) - magic;
    vec f = x * -1.44269504f - k;
    vec p = zero + 1.32647088e-3f;
    p = p * f + 9.67151147e-3f;
    p = p * f + 5.55073378e-2f;
    p = p * f + 2.40222421e-1f;
    p = p * f + 6.93146978e-1f;
    p = p * f + 1.0f;
#if defined(__AVX512F__)
    __m512 d = _mm512_add_ps(_mm512_scalef_ps((__m512)p, (__m512)k), _mm512_set1_ps(1.0f));
    __m512 r = _mm512_rcp14_ps(d); /* 14 bits, then once Newton's way */
    return (vec)_mm512_mul_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(2.0f)));
#else
    ivec power = (__builtin_convertvector(k, ivec) + 127) << 23;
    return 1.0f / (1.0f + p * (vec)power);
#endif
}

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

/* `outs` lines from out on, TILE positions of each: bias[o] + sum_j w[j][o] in[j] */
INLINE void tile(float *out, size_t stride, const int outs, const float *w, int step, const float *bias,
                 const float *const *in, int lines, size_t p) {
    vec acc[BLOCK][3];
    UNROLL for (int o = 0; o < outs; o++) acc[o][0] = acc[o][1] = acc[o][2] = (vec){0} + (bias ? bias[o] : 0.0f);
    for (int j = 0; j < lines; j++, w += step) {
        const float *q = in[j] + p;
        vec x0 = load(q), x1 = load(q + VL), x2 = load(q + 2 * VL);
        UNROLL for (int o = 0; o < outs; o++) {
            acc[o][0] += w[o] * x0;
            acc[o][1] += w[o] * x1;
            acc[o][2] += w[o] * x2;
        }
    }
    UNROLL for (int o = 0; o < outs; o++)
        UNROLL for (int v = 0; v < 3; v++) store(out + o * stride + p + v * VL, acc[o][v]);
}

/* out[o] = bias[o] + sum_j w[j][o] in[j], for lines of `length` (a multiple of TILE); `outs` a multiple of 4 */
static void product(float *out, size_t stride, int outs, const float *w, const float *bias, const float *const *in,
                    int lines, size_t length) {
    for (size_t p = 0; p < length; p += TILE) {
        int o = 0;
        for (; o + BLOCK <= outs; o += BLOCK)
            tile(out + o * stride, stride, BLOCK, w + o, outs, bias ? bias + o : 0, in, lines, p);
        for (; o < outs; o += 4) tile(out + o * stride, stride, 4, w + o, outs, bias ? bias + o : 0, in, lines, p);
    }
}

/* g[o][j] += sum_p left[o][p] right[j][p] for `outs` o and three j; beyond `o_left` and `j_left` nothing is added. */
INLINE void correlate(float *g, int lines, const int outs, int o_left, int j_left, const float *left, size_t stride,
                      const float *const *right, size_t length) {
    vec acc[BLOCK][4] = {{{0}}}; /* the fourth stays zero: sums are added up by twos */
    const float *l[BLOCK], *r0 = right[0], *r1 = right[j_left > 1 ? 1 : 0], *r2 = right[j_left > 2 ? 2 : 0];
    UNROLL for (int o = 0; o < outs; o++) l[o] = left + (o < o_left ? o : 0) * stride;
    for (size_t p = 0; p < length; p += VL) {
        vec x0 = load(r0 + p), x1 = load(r1 + p), x2 = load(r2 + p);
        UNROLL for (int o = 0; o < outs; o++) {
            vec x = load(l[o] + p);
            acc[o][0] += x * x0;
            acc[o][1] += x * x1;
            acc[o][2] += x * x2;
        }
    }
    vec *v = acc[0];
    for (int n = VL, many = 4 * BLOCK; n > 1; n /= 2, many /= 2)
        for (int i = 0; i < many / 2; i++) v[i] = pairs(v[2 * i], v[2 * i + 1]);
    const float *sums = (const float *)v;
    for (int o = 0; o < outs && o < o_left; o++)
        for (int j = 0; j < 3 && j < j_left; j++) g[(size_t)o * lines + j] += sums[4 * o + j];
}

/* g[o][j] += sum_p left[o][p] right[j][p] */
static void correlation(float *g, const float *left, size_t stride, int outs, const float *const *right, int lines,
                        size_t length) {
    for (int o = 0; o < outs;) {
        int wide = outs - o > 4 ? BLOCK : 4;
        for (int j = 0; j < lines; j += 3) {
            float *to = g + (size_t)o * lines + j;
            const float *from = left + o * stride;
            if (wide == BLOCK) correlate(to, lines, BLOCK, outs - o, lines - j, from, stride, right + j, length);
            else correlate(to, lines, 4, outs - o, lines - j, from, stride, right + j, length);
        }
        o += wide;
    }
}

/* Two a thread, kept: asking the system anew each time costs more. What is in it is left from before. */
static float *workspace(int which, size_t floats) {
    static __thread float *memory[2] = {0, 0};
    static __thread size_t held[2] = {0, 0};
    if (floats > held[which]) {
        free(memory[which]);
        memory[which] = 0;
        if (posix_memalign((void **)&memory[which], 64, floats * sizeof(float))) memory[which] = 0;
        held[which] = memory[which] ? floats : 0;
    }
    return memory[which];
}
static inline void clear(float *p, size_t floats) { memset(p, 0, floats * sizeof(float)); }

/* Ones where the last VL of n values are not among the whole vectors before them: n from VL on, not a multiple. */
INLINE vec fresh(int n) {
    vec ones;
    for (int i = 0; i < VL; i++) ones[i] = i >= VL - n % VL;
    return ones;
}

/* Sums of values less a number, and of their products with others less another. */
typedef struct {
    vec first, second;
} Sums;
/* Counts n values v less a, and their products with x less b. Rows may be short: the last vector ends with the row, and
 * what it shares with the one before is not counted again. */
INLINE void count_row(Sums *sums, const float *v, float a, const float *x, float b, int n) {
    int t = 0;
    for (; t + VL <= n; t += VL) {
        vec d = load(v + t) - a;
        sums->first += d;
        sums->second += d * (load(x + t) - b);
    }
    if (t < n && n >= VL) {
        vec d = (load(v + n - VL) - a) * fresh(n);
        sums->first += d;
        sums->second += d * (load(x + n - VL) - b);
    } else
        for (; t < n; t++) {
            float d = v[t] - a;
            sums->first[0] += d, sums->second[0] += d * (x[t] - b);
        }
}

/* to[t] = base[t] + g * x[t] for n values; no two of them overlap. The last vector ends with the row. */
INLINE void add_row(float *to, const float *base, const float *x, float g, int n) {
    int t = 0;
    for (; t + VL < n; t += VL) store(to + t, load(base + t) + g * load(x + t));
    if (n >= VL) store(to + n - VL, load(base + n - VL) + g * load(x + n - VL));
    else
        for (; t < n; t++) to[t] = base[t] + g * x[t];
}
/* to[t] = g * x[t] + d */
INLINE void scale_row(float *to, const float *x, float g, float d, int n) {
    int t = 0;
    for (; t + VL < n; t += VL) store(to + t, g * load(x + t) + d);
    if (n >= VL) store(to + n - VL, g * load(x + n - VL) + d);
    else
        for (; t < n; t++) to[t] = g * x[t] + d;
}

/* Rows as they lie in a line: each by itself, or one long one where there is no gap between them. */
typedef struct {
    int count, width;
} Strips;
static inline Strips strips(int rows, size_t S, int T) {
    return S > (size_t)T ? (Strips){rows, T} : (Strips){rows > 0, rows * T};
}

/* copy rows [first, first + rows) of one channel, times a plus d, into a line whose row 0 stands at `line`; zeros for
 * what lies outside of the picture and between rows */
static void lay(float *line, const float *picture, int first, int rows, int F, int T, size_t S, float a, float d) {
    int above = first < 0 ? -first : 0, below = first + rows > F ? first + rows - F : 0;
    clear(line, above * S);
    clear(line + (rows - below) * S, below * S);
    Strips all = strips(rows - above - below, S, T);
    float *to = line + above * S;
    const float *from = picture + (size_t)(first + above) * T;
    for (int r = 0; r < all.count; r++, to += S, from += T) {
        scale_row(to, from, a, d, all.width);
        if (S > (size_t)T) to[T] = 0;
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

/* The same of n values that were counted less `about`. */
static void moments_of(const double *sums, float about, size_t n, float *mean, float *rstd) {
    double first = sums[0] / n, second = sums[1] / n - first * first;
    *mean = (float)(about + first);
    *rstd = 1.0f / sqrtf((float)(second > 0 ? second : 0) + 1e-5f);
}

/* zeros in a line of `length` but for `rows` positions from `start` on, which rows will fill */
static void clear_ends(float *line, size_t length, size_t start, size_t rows) {
    clear(line, start);
    clear(line + start + rows, length - start - rows);
}

/* One link of a chain: a residual branch, or a strided convolution to O channels that halves time. */
typedef struct {
    float *x;      /* its input, (items, C, F, T); null where nobody asks for it afterwards */
    float *moment; /* of a branch: mean and 1 / deviation of its input's channels, (items, 2, C) */
    const float *gamma, *beta, *w1, *b1, *w2, *gain; /* w1: (taps * C, Hp); w2: (H, Cp); gain: (items, C) */
    const float *w1t, *w2t;                          /* backward: (taps * H, Cp) and (C, Hp) */
    float *dw1, *db1, *m2, *dnorm; /* sums an item: (H, taps * C), (H), (C, H) = sum dy silu(h), (2, C) = of gamma, beta */
    const float *w, *weven, *wodd; /* of a convolution: (3 * C, Op); its middle tap (O, Cp), and its last and first ones,
                                      which look a step on, (2 * O, Cp) */
    float *dw;                     /* sums an item, (O, 3 * C) */
    int C, O, T, H, taps, along_frequency; /* O is 0 for a branch */
} Link;
int size_of_link(void) { return sizeof(Link); } /* fused.py describes the same */

static inline size_t values_in(const Link *link, int F) { return (size_t)link->C * F * link->T; }
static inline size_t values_out(const Link *link, int F) {
    return link->O ? (size_t)link->O * F * ((link->T + 1) / 2) : values_in(link, F);
}

/* How the picture of a branch is cut: R rows a band, S apart; and the working space's lines. */
typedef struct {
    size_t S, P, L, margin, N; /* P: values of a channel; L: positions of a band; N: of an input line with its margins */
    int R, halo, Hp, Cp;       /* halo: rows beside a band that its convolution looks at */
    long shift[3];             /* of the kernel's taps */
} Bands;

static Bands bands(const Link *branch, int F) {
    const int C = branch->C, T = branch->T;
    Bands cut = {.P = (size_t)F * T, .Hp = up(branch->H, 4), .Cp = up(C, 4)};
    cut.halo = branch->taps > 1 && branch->along_frequency;
    cut.S = T + (branch->taps > 1 && !branch->along_frequency);
    cut.R = rows_of_band(cut.S, 2 * C + 2 * branch->H, F);
    cut.L = up(cut.R * cut.S, TILE);
    cut.margin = up(cut.halo * cut.S + VL, VL);
    cut.N = cut.L + 2 * cut.margin;
    for (int k = 0; k < branch->taps; k++)
        cut.shift[k] = branch->taps == 1 ? 0 : (k - 1) * (long)(branch->along_frequency ? cut.S : 1);
    return cut;
}

/* Item b's picture x to y; its moments are known, and those of y are found for the next branch, if there is one.
 * Returns 0, or 1 when there is no memory. */
static int branch_forward(const Link *branch, int b, const float *x, float *y, const Link *next, int F) {
    const Bands cut = bands(branch, F);
    const size_t S = cut.S, P = cut.P, L = cut.L, N = cut.N;
    const int C = branch->C, T = branch->T, H = branch->H, taps = branch->taps, R = cut.R, halo = cut.halo;
    float *n = workspace(0, C * N + (cut.Hp + cut.Cp) * L);
    if (!n) return 1;
    float *h = n + C * N, *o = h + cut.Hp * L;
    const float *gain = branch->gain + (size_t)b * C, *mean = branch->moment + (size_t)b * 2 * C, *rstd = mean + C;
    float about[64];
    double sums[64][2] = {{0}};
    const float *in[3 * 64], *hidden[128];
    for (int k = 0; k < taps; k++)
        for (int c = 0; c < C; c++) in[k * C + c] = n + c * N + cut.margin + cut.shift[k];
    for (int i = 0; i < H; i++) hidden[i] = h + i * L;
    for (int c = 0; c < C; c++) clear_ends(n + c * N, N, cut.margin - halo * S, (R + 2 * halo) * S);
    for (int f = 0; f < F; f += R) {
        int rows = f + R > F ? F - f : R;
        for (int c = 0; c < C; c++) {
            float a = branch->gamma[c] * rstd[c], d = branch->beta[c] - mean[c] * a;
            lay(n + c * N + cut.margin - halo * S, x + c * P, f - halo, R + 2 * halo, F, T, S, a, d);
        }
        product(h, L, cut.Hp, branch->w1, branch->b1, in, taps * C, L);
        for (size_t p = 0; p < H * L; p += VL) {
            vec v = load(h + p);
            store(h + p, v * sigmoid(v));
        }
        product(o, L, cut.Cp, branch->w2, 0, hidden, H, L);
        Strips all = strips(rows, S, T);
        for (int c = 0; c < C; c++) {
            Sums found = {{0}, {0}};
            if (f == 0) about[c] = x[c * P] + gain[c] * o[c * L]; /* one of the values is close enough to their mean */
            for (int r = 0; r < all.count; r++) {
                size_t at = c * P + (size_t)(f + r) * T;
                add_row(y + at, x + at, o + c * L + r * S, gain[c], all.width);
                if (next) count_row(&found, y + at, about[c], y + at, about[c], all.width);
            }
            sums[c][0] += sum(found.first);
            sums[c][1] += sum(found.second);
        }
    }
    for (int c = 0; next && c < C; c++) {
        float *moment = next->moment + (size_t)b * 2 * C;
        moments_of(sums[c], about[c], P, moment + c, moment + C + c);
    }
    return 0;
}

/* Gradients of an item: dy at the branch's output to dx at its input, and the sums. */
static int branch_backward(const Link *branch, int b, const float *dy, float *dx, int F) {
    const Bands cut = bands(branch, F);
    const size_t S = cut.S, P = cut.P, L = cut.L, N = cut.N, margin = cut.margin;
    const int C = branch->C, T = branch->T, H = branch->H, taps = branch->taps, R = cut.R, halo = cut.halo;
    const int Hp = cut.Hp, Cp = cut.Cp;
    /* Along frequency the transposed convolution looks a row ahead: it stays a row behind, and two rows are kept. */
    size_t M = up((R + halo) * S, TILE), kept = 2 * halo * S, before = up(margin + kept, VL);
    size_t D = before + M + L + 2 * margin;
    float *n = workspace(0, C * N + (Hp + Cp) * L + Cp * M + Hp * D + C * Hp);
    if (!n) return 1;
    float *h = n + C * N, *out = h + Hp * L, *dn = out + Cp * L, *w2g = dn + Cp * M,
          *dh = w2g + C * Hp + before; /* gradients at silu's input, from the band's first row on */
    const float *x = branch->x + b * C * P, *gain = branch->gain + (size_t)b * C;
    const float *mean = branch->moment + (size_t)b * 2 * C, *rstd = mean + C;
    float *gw1 = branch->dw1 + (size_t)b * H * taps * C, *gb1 = branch->db1 + (size_t)b * H;
    float *gm = branch->m2 + (size_t)b * C * H, *s2 = branch->dnorm + (size_t)b * 2 * C, *s1 = s2 + C;
    const float *in[3 * 64], *outs[64], *back[3 * 128], *hidden[128];
    for (int k = 0; k < taps; k++)
        for (int c = 0; c < C; c++) in[k * C + c] = n + c * N + margin + cut.shift[k];
    for (int c = 0; c < C; c++) outs[c] = out + c * L;
    for (int i = 0; i < H; i++) hidden[i] = h + i * L;
    for (int c = 0; c < C; c++) {
        clear_ends(n + c * N, N, margin - halo * S, (R + 2 * halo) * S);
        clear(out + c * L + R * S, L - R * S);
        for (int i = 0; i < Hp; i++) w2g[c * Hp + i] = gain[c] * branch->w2t[c * Hp + i];
    }
    for (int i = 0; i < H; i++) clear(dh + i * D - before, before);
    for (int f = 0; f < F; f += R) {
        int rows = f + R > F ? F - f : R;
        for (int c = 0; c < C; c++) {
            float a = branch->gamma[c] * rstd[c], d = branch->beta[c] - mean[c] * a;
            lay(n + c * N + margin - halo * S, x + c * P, f - halo, R + 2 * halo, F, T, S, a, d);
            lay(out + c * L, dy + c * P, f, R, F, T, S, 1.0f, 0.0f);
        }
        product(h, L, Hp, branch->w1, branch->b1, in, taps * C, L);
        product(dh, D, Hp, w2g, 0, outs, C, L); /* gradient at silu's output */
        for (int i = 0; i < H; i++) {
            float *to = dh + i * D, *at = h + i * L;
            vec total = {0};
            for (size_t p = 0; p < L; p += VL) {
                vec v = load(at + p), s = sigmoid(v);
                store(at + p, v * s);
                store(to + p, load(to + p) * s * (1.0f + v * (1.0f - s)));
            }
            for (int r = 0; r < rows && S > (size_t)T; r++) to[r * S + T] = 0; /* gradients exist only on the picture */
            clear(to + rows * S, L + halo * S + VL - rows * S);
            for (size_t p = 0; p < L; p += VL) total += load(to + p);
            gb1[i] += sum(total);
        }
        correlation(gm, out, L, C, hidden, H, L);
        correlation(gw1, dh, D, H, in, taps * C, L);
        int from = f > 0 ? f - halo : 0, until = f + rows < F ? f + rows - halo : F;
        for (int k = 0; k < taps; k++)
            for (int i = 0; i < H; i++) back[k * H + i] = dh + i * D + (from - f) * (long)S - cut.shift[k];
        product(dn, M, Cp, branch->w1t, 0, back, taps * H, up((until - from) * S, TILE));
        Strips all = strips(until - from, S, T);
        for (int c = 0; c < C; c++) {
            Sums found = {{0}, {0}};
            for (int r = 0; r < all.count; r++) {
                size_t at = c * P + (size_t)(from + r) * T;
                const float *row = dn + c * M + r * S;
                memcpy(dx + at, row, all.width * sizeof(float));
                count_row(&found, row, 0, x + at, mean[c], all.width);
            }
            s1[c] += sum(found.first);
            s2[c] += sum(found.second) * rstd[c];
        }
        for (int i = 0; i < H && f + rows < F; i++) /* the last two rows, of this band and the one before */
            memmove(dh + i * D - kept, dh + i * D + rows * S - kept, kept * sizeof(float));
    }
    for (int c = 0; c < C; c++) {
        float a = branch->gamma[c] * rstd[c], m1 = s1[c] / P, slope = s2[c] / P * rstd[c];
        const float *q = x + c * P, *g = dy + c * P;
        float *to = dx + c * P;
        for (size_t p = 0; p < P; p++) to[p] = g[p] + a * (to[p] - m1 - (q[p] - mean[c]) * slope);
    }
    return 0;
}

/* Even and odd places of n values apart, (n + 1) / 2 each; where there is no last odd one, a zero. What vectors from the
 * front leave over is done by one that ends with the row and, if n is odd, begins at an odd place. */
static void split_row(float *even, float *odd, const float *from, int n) {
    int half = (n + 1) / 2, t = 0;
    for (; 2 * (t + VL) <= n; t += VL) {
        vec a = load(from + 2 * t), b = load(from + 2 * t + VL);
        store(even + t, every_second(a, b, 0));
        store(odd + t, every_second(a, b, 1));
    }
    if (2 * t < n && n >= 2 * VL) {
        vec a = load(from + n - 2 * VL), b = load(from + n - VL);
        store(even + half - VL, every_second(a, b, n % 2));
        store(odd + n / 2 - VL, every_second(a, b, 1 - n % 2));
    } else
        for (; t < half; t++) {
            even[t] = from[2 * t];
            if (2 * t + 1 < n) odd[t] = from[2 * t + 1];
        }
    if (n % 2) odd[half - 1] = 0;
}
/* The way back. */
static void join_row(float *to, const float *even, const float *odd, int n) {
    int t = 0;
    for (; 2 * (t + VL) <= n; t += VL) {
        vec a = load(even + t), b = load(odd + t);
        store(to + 2 * t, in_turn(a, b, 0));
        store(to + 2 * t + VL, in_turn(a, b, 1));
    }
    if (2 * t < n && n >= 2 * VL) {
        vec a = load(even + (n + 1) / 2 - VL), b = load(odd + n / 2 - VL);
        store(to + n - 2 * VL, n % 2 ? in_turn(b, a, 0) : in_turn(a, b, 0));
        store(to + n - VL, n % 2 ? in_turn(b, a, 1) : in_turn(a, b, 1));
    } else
        for (t *= 2; t < n; t++) to[t] = (t & 1 ? odd : even)[t / 2];
}

/* Rows of a picture, even and odd positions in lines of their own. */
static void split(float *even, float *odd, const float *picture, int first, int rows, int F, int T, int T2) {
    for (int r = 0; r < rows; r++, even += T2 + 1, odd += T2 + 1) {
        if (first + r < F) split_row(even, odd, picture + (size_t)(first + r) * T, T);
        else clear(even, T2), clear(odd, T2);
    }
}

/* The strided convolution between stages, (1, 3) kernel, stride (1, 2), of an item; else as branch_forward. */
static int widen_forward(const Link *link, int b, const float *x, float *y, const Link *next, int F) {
    const int C = link->C, O = link->O, T = link->T, T2 = (T + 1) / 2, Op = up(O, 4);
    const size_t S = T2 + 1, P2 = (size_t)F * T2;
    const int R = rows_of_band(S, 4 * C + O, F);
    const size_t L = up(R * S, TILE), N = L + 2 * VL;
    float *lines = workspace(0, 2 * C * N + Op * L);
    if (!lines) return 1;
    float *o = lines + 2 * C * N, about[64];
    double sums[64][2] = {{0}};
    const float *in[3 * 64];
    for (int c = 0; c < C; c++) {
        in[c] = lines + (C + c) * N + VL - 1;
        in[C + c] = lines + c * N + VL;
        in[2 * C + c] = lines + (C + c) * N + VL;
    }
    clear(lines, 2 * C * N);
    for (int f = 0; f < F; f += R) {
        int rows = f + R > F ? F - f : R;
        for (int c = 0; c < C; c++)
            split(lines + c * N + VL, lines + (C + c) * N + VL, x + (size_t)c * F * T, f, R, F, T, T2);
        product(o, L, Op, link->w, 0, in, 3 * C, L);
        for (int i = 0; i < O; i++) {
            const float *from = o + i * L;
            Sums found = {{0}, {0}};
            if (f == 0) about[i] = from[0];
            for (int r = 0; r < rows; r++, from += S) {
                memcpy(y + i * P2 + (size_t)(f + r) * T2, from, T2 * sizeof(float));
                if (next) count_row(&found, from, about[i], from, about[i], T2);
            }
            sums[i][0] += sum(found.first);
            sums[i][1] += sum(found.second);
        }
    }
    for (int i = 0; next && i < O; i++) {
        float *moment = next->moment + (size_t)b * 2 * O;
        moments_of(sums[i], about[i], P2, moment + i, moment + O + i);
    }
    return 0;
}

static int widen_backward(const Link *link, int b, const float *dy, float *dx, int F) {
    const int C = link->C, O = link->O, T = link->T, T2 = (T + 1) / 2, Cp = up(C, 4);
    const size_t S = T2 + 1, P = (size_t)F * T, P2 = (size_t)F * T2;
    const int R = rows_of_band(S, 4 * C + O, F);
    const size_t L = up(R * S, TILE), N = L + 2 * VL;
    float *lines = workspace(0, 2 * C * N + O * N + 2 * Cp * L);
    if (!lines) return 1;
    const float *x = link->x + b * C * P;
    float *g = lines + 2 * C * N, *even = g + O * N, *odd = even + Cp * L, *dw = link->dw + (size_t)b * O * 3 * C;
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
    clear(lines, 2 * C * N + O * N);
    for (int f = 0; f < F; f += R) {
        int rows = f + R > F ? F - f : R;
        for (int c = 0; c < C; c++) split(lines + c * N + VL, lines + (C + c) * N + VL, x + c * P, f, R, F, T, T2);
        for (int i = 0; i < O; i++) lay(g + i * N + VL, dy + i * P2, f, R, F, T2, S, 1.0f, 0.0f);
        correlation(dw, g + VL, N, O, in, 3 * C, L);
        product(even, L, Cp, link->weven, 0, back, O, L);
        product(odd, L, Cp, link->wodd, 0, back, 2 * O, L);
        for (int c = 0; c < C; c++)
            for (int r = 0; r < rows; r++)
                join_row(dx + c * P + (size_t)(f + r) * T, even + c * L + r * S, odd + c * L + r * S, T);
    }
    return 0;
}

/* Links one after the other, each reading what the one before wrote: items [first, last), one through all of them
 * before the next, so that pictures are read back from a cache. y: what the last one makes. Returns 0, or 1 when there
 * is no memory. */
int chain_forward(const Link *links, int count, float *y, int first, int last, int F) {
    size_t largest = 0;
    for (int k = 0; k < count; k++)
        if (values_out(links + k, F) > largest) largest = up(values_out(links + k, F), VL);
    float *between = workspace(1, 2 * largest);
    if (!between) return 1;
    for (int b = first; b < last; b++) {
        const float *from = links->x + b * values_in(links, F);
        for (int c = 0; !links->O && c < links->C; c++) {
            float *moment = links->moment + (size_t)b * 2 * links->C + c;
            moments(from + (size_t)c * F * links->T, (size_t)F * links->T, moment, moment + links->C);
        }
        for (int k = 0; k < count; k++) {
            const Link *link = links + k, *next = k + 1 < count ? link + 1 : 0;
            float *to = between + k % 2 * largest;
            if (!next) to = y + b * values_out(link, F);
            else if (next->x) to = next->x + b * values_in(next, F);
            if (next && next->O) next = 0; /* moments are for branches */
            if ((link->O ? widen_forward : branch_forward)(link, b, from, to, next, F)) return 1;
            from = to;
        }
    }
    return 0;
}

/* dy at the last one's output to dx at the first one's input; what lies between stays in the working space. */
int chain_backward(const Link *links, int count, const float *dy, float *dx, int first, int last, int F) {
    size_t largest = 0;
    for (int k = 0; k < count; k++)
        if (values_in(links + k, F) > largest) largest = up(values_in(links + k, F), VL);
    float *between = workspace(1, 2 * largest);
    if (!between) return 1;
    for (int b = first; b < last; b++) {
        const float *from = dy + b * values_out(links + count - 1, F);
        for (int k = count - 1; k >= 0; k--) {
            const Link *link = links + k;
            float *to = k ? between + k % 2 * largest : dx + b * values_in(link, F);
            if ((link->O ? widen_backward : branch_backward)(link, b, from, to, F)) return 1;
            from = to;
        }
    }
    return 0;
}
