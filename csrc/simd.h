/* Vectors of the dtype and width at hand, on top of GCC's and Clang's vector extensions.
 *
 * In: REAL_BITS (32 or 64), VECTOR_BYTES, FMA and, where the machine has them, INTRINSIC and SCALE (from isa_*.h).
 * Arithmetic and comparisons are plain operators; a comparison gives a mask, all ones or all zeros a lane.
 */
#ifndef FUSEDELTA_SIMD_H
#define FUSEDELTA_SIMD_H

#include <stddef.h>
#include <stdint.h>

#include "kernels.h"

#if REAL_BITS == 32
typedef float real;
typedef int32_t bits;
#else
typedef double real;
typedef int64_t bits;
#endif

typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef bits mask __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real loose_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define LANES (VECTOR_BYTES * 8 / REAL_BITS)
#define BLOCK (BLOCK_BYTES * 8 / REAL_BITS) /* elements of a 64-byte block ... */
#define WIDE (BLOCK_BYTES / VECTOR_BYTES)   /* ... and the vectors it takes */
#define STRETCH 256 /* samples in the lanes that go through all passes before others, and ... */
#define SPAN 16384  /* ... whose sums are added up at a time: more would lose digits of float32 */

#define NAME_OF_KERNELS(isa, bits) kernels_##isa##_f##bits
#define KERNELS_OF(isa, bits) NAME_OF_KERNELS(isa, bits) /* the kernels of an instruction set */
/* Leaves a kernel to the instruction set of half the width, where there is one and so little is to do. */
#ifdef HALF_ISA
extern const struct kernels KERNELS_OF(HALF_ISA, REAL_BITS);
#define LEAVE_TO_HALF(entry, lanes, ...)                                                                               \
    if ((lanes) <= LANES / 2) {                                                                                        \
        KERNELS_OF(HALF_ISA, REAL_BITS).entry(__VA_ARGS__);                                                            \
        return;                                                                                                        \
    }
#else
#define LEAVE_TO_HALF(entry, lanes, ...)
#endif

#define INLINE static inline __attribute__((always_inline))
/* Takes and returns no vectors but by pointer: of a function that is given one, GCC 12 neither clears the upper halves
 * of the registers at its end nor expects its caller to, and all that follows is slow on Intel's processors. */
#define APART static __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 32")

/* n in whole blocks; a stride may be a block more (rows.py). */
INLINE ptrdiff_t whole(ptrdiff_t n) { return (n + BLOCK - 1) / BLOCK * BLOCK; }

/* How many of m samples the stretch that begins at `at` has: little is left for none, but in the next span. */
INLINE ptrdiff_t stretch_at(ptrdiff_t at, ptrdiff_t m)
{
    return m - at < STRETCH + STRETCH / 2 && at / SPAN == (m - 1) / SPAN ? m - at : STRETCH;
}

/* What is read is read here, once, and not again with each operation that takes it. */
#if defined(__x86_64__)
#define IN_REGISTER(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define IN_REGISTER(x) __asm__("" : "+w"(x))
#else
#define IN_REGISTER(x)
#endif

INLINE vec load(const real *p) { return *(const vec *)p; }
INLINE vec load_loose(const real *p) { return *(const loose_vec *)p; }
INLINE void store(real *p, vec x) { *(vec *)p = x; }
INLINE void store_loose(real *p, vec x) { *(loose_vec *)p = x; }

/* x in every lane. Written with minus: x + 0 would have to turn -0 into 0, a real instruction. */
INLINE vec splat(real x) { return x - (vec){0}; }
INLINE mask splat_bits(bits x) { return x - (mask){0}; }

INLINE vec v_fma(vec a, vec b, vec c) { return FMA(a, b, c); }
#ifdef AND
INLINE vec v_and(mask m, vec x) { return (vec)AND((vec)m, x); }
#else
INLINE vec v_and(mask m, vec x) { return (vec)(m & (mask)x); }
#endif
INLINE vec v_select(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* a > b ? a : b, and a < b ? a : b: a NaN in b comes through, which is why constants go first.
 * So does a zero in b; NEON's own maximum of 0 and -0 is 0, so there it is a comparison and a selection. */
#ifdef INTRINSIC
INLINE vec v_max(vec a, vec b) { return (vec)INTRINSIC(max)(a, b); }
INLINE vec v_min(vec a, vec b) { return (vec)INTRINSIC(min)(a, b); }
#else
INLINE vec v_max(vec a, vec b) { return v_select(a > b, a, b); }
INLINE vec v_min(vec a, vec b) { return v_select(a < b, a, b); }
#endif

/* The square root, rounded once. */
INLINE vec v_sqrt(vec x)
{
#if defined(INTRINSIC)
    return (vec)INTRINSIC(sqrt)(x);
#else
    vec root;
    UNROLL for (int l = 0; l < LANES; l++)
        root[l] = REAL_BITS == 32 ? __builtin_sqrtf((float)x[l]) : __builtin_sqrt(x[l]);
    return root;
#endif
}

INLINE mask sign_bits(void) { return splat_bits((bits)((uint64_t)1 << (REAL_BITS - 1))); }
INLINE vec v_abs(vec x) { return v_and(~sign_bits(), x); }
/* A size, which has no sign, with that of x. */
INLINE vec v_signed(vec size, vec x) { return (vec)((mask)size | ((mask)x & sign_bits())); }

/* -1, 0 or 1; zeros and NaN come through. */
INLINE vec v_sign(vec x)
{
    return v_select((x < 0) | (x > 0), v_signed(splat(1), x), x);
}

/* x, with zero for denormal numbers. What decays, such as a velocity without gradients, would end as one and stay it,
 * as 0.9 times the smallest of them rounds to itself; and a processor may take 20 times as long for them. */
INLINE vec v_normal(vec x)
{
#ifdef NORMAL
    return (vec)NORMAL(x);
#else
    const vec infinity = splat((real)__builtin_inf());
    return v_and(((mask)x & (mask)infinity) != 0, x);
#endif
}

/* A delta, or zero where it is next to nothing, as of a class that is ruled out: its products would be denormal
 * numbers, and three of 384 took Intel's processors as long as all the rest of a step of 6-10-4. NaN stays. */
INLINE vec v_delta(vec x)
{
    const vec least = splat((real)(REAL_BITS == 32 ? 1e-35 : 1e-304));
    return v_and(~(v_abs(x) < least), x);
}

/* Which of the lanes j, j + 1, ... lie below n. */
INLINE mask lanes_below(ptrdiff_t j, ptrdiff_t n)
{
    mask index;
    UNROLL for (int l = 0; l < LANES; l++) index[l] = l;
    return index < splat_bits((bits)(n - j));
}

/* Bit l: whether lane l of m is set. */
INLINE unsigned lane_bits(mask m)
{
#ifdef LANE_BITS
    return (unsigned)LANE_BITS(m);
#else
    unsigned set = 0;
    UNROLL for (int l = 0; l < LANES; l++) set |= (unsigned)(m[l] & 1) << l;
    return set;
#endif
}

INLINE mask lane_is(ptrdiff_t j, ptrdiff_t at)
{
    mask index;
    UNROLL for (int l = 0; l < LANES; l++) index[l] = l;
    return index == splat_bits((bits)(at - j));
}

/* Shuffles want constant lane numbers: LANE_LIST(f, d) is f(0, d), f(1, d), ... for every lane. */
#if LANES == 2
#define LANE_LIST(f, d) f(0, d), f(1, d)
#elif LANES == 4
#define LANE_LIST(f, d) f(0, d), f(1, d), f(2, d), f(3, d)
#elif LANES == 8
#define LANE_LIST(f, d) f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d)
#else
#define LANE_LIST(f, d)                                                                                                \
    f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d), f(8, d), f(9, d), f(10, d), f(11, d),      \
        f(12, d), f(13, d), f(14, d), f(15, d)
#endif
/* Lanes l and l ^ d added up, in the place of both: for small d such a shuffle takes one cycle, a rotation three. */
#define FOLD(x, d) x += __builtin_shufflevector(x, x, LANE_LIST(PARTNER, d))
#define PARTNER(l, d) ((l) ^ (d))
#define FIRSTS(l, d) ((l) & (d) ? LANES + (l) - (d) : (l))
#define SECONDS(l, d) ((l) & (d) ? LANES + (l) : (l) + (d))

/* Lanes l and l + d, where l has no bit d, of a and b: the first ones to a, the second ones to b. */
#define EXCHANGE(a, b, d)                                                                                              \
    do {                                                                                                               \
        const vec firsts = __builtin_shufflevector(a, b, LANE_LIST(FIRSTS, d));                                        \
        b = __builtin_shufflevector(a, b, LANE_LIST(SECONDS, d));                                                      \
        a = firsts;                                                                                                    \
    } while (0)

/* The square of LANES vectors, transposed in place. */
INLINE void transpose_square(vec x[LANES])
{
#define STAGE(d)                                                                                                       \
    UNROLL for (int i = 0; i < LANES; i++)                                                                             \
        if (!(i & (d))) EXCHANGE(x[i], x[i + (d)], d);
    STAGE(1)
#if LANES >= 4
    STAGE(2)
#endif
#if LANES >= 8
    STAGE(4)
#endif
#if LANES >= 16
    STAGE(8)
#endif
#undef STAGE
}

/* The vectors of a 64-byte block of lanes, folded to one. */
INLINE vec block_fold(const int wide, const vec s[WIDE])
{
    vec fold[WIDE];
    UNROLL for (int w = 0; w < wide; w++) fold[w] = s[w];
    UNROLL for (int half = wide / 2; half > 0; half /= 2)
        UNROLL for (int w = 0; w < half; w++) fold[w] += fold[w + half];
    return fold[0];
}

/* Sum and maximum of a 64-byte block of lanes, folded by halves: the same tree on every instruction set. */
INLINE real block_sum(const vec s[WIDE])
{
    vec x = block_fold(WIDE, s);
#if LANES >= 16
    FOLD(x, 8);
#endif
#if LANES >= 8
    FOLD(x, 4);
#endif
#if LANES >= 4
    FOLD(x, 2);
#endif
    FOLD(x, 1);
    return x[0];
}

/* The sums of the first `count` vectors, a power of two, each folded by halves as in block_sum: lane l gets that of
 * vector l. Lanes from count on repeat them. Only the first `used` lanes need be looked at: the others hold zeros.
 * Uses x up. */
INLINE vec lane_sums(const int count, vec x[], ptrdiff_t used)
{
#define STAGE(d)                                                                                                       \
    if (count > (d))                                                                                                   \
        UNROLL for (int i = 0; i < (d); i++)                                                                           \
        {                                                                                                              \
            EXCHANGE(x[i], x[i + (d)], d);                                                                             \
            x[i] += x[i + (d)];                                                                                        \
        }                                                                                                              \
    else if (used > (d))                                                                                               \
        UNROLL for (int i = 0; i < count; i++) FOLD(x[i], d);
#if LANES >= 16
    STAGE(8)
#endif
#if LANES >= 8
    STAGE(4)
#endif
#if LANES >= 4
    STAGE(2)
#endif
    STAGE(1)
#undef STAGE
    return x[0];
}

INLINE real block_max(const vec s[WIDE])
{
    real best = s[0][0];
    UNROLL for (int w = 0; w < WIDE; w++)
        UNROLL for (int l = 0; l < LANES; l++)
            best = s[w][l] > best ? s[w][l] : best;
    return best;
}

#endif
