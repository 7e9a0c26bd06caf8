/* AVX2 with FMA (Haswell, Zen and later): sixteen registers of 32 bytes. */
#include <immintrin.h>
#if defined(__clang__)
#define TARGET_REGION
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define ISA avx2
#define VECTOR_BYTES 32
#define ACCUMULATORS 12
#if REAL_BITS == 32
#define INTRINSIC(op) _mm256_##op##_ps
#else
#define INTRINSIC(op) _mm256_##op##_pd
#endif
#define FMA(a, b, c) ((vec)INTRINSIC(fmadd)(a, b, c))
#define LANE_BITS(m) INTRINSIC(movemask)((vec)(m))
/* As an operation of floating point, which GCC makes one of integers else: a cycle more from and to the others, 0.99 of
 * the time of a step of 2-2-1. */
#define AND(a, b) INTRINSIC(and)(a, b)
