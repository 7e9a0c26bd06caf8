/* AVX-512 F, DQ, VL and BW (Skylake-X, Zen 4 and later): thirty-two registers of 64 bytes. */
#include <immintrin.h>
#if defined(__clang__)
#define TARGET_REGION
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,fma,prefer-vector-width=512")
#endif

#define ISA avx512
#define VECTOR_BYTES 64
#define ACCUMULATORS 24
#if REAL_BITS == 32
#define INTRINSIC(op) _mm512_##op##_ps
#define INTRINSIC_MASK(op) _mm512_##op##_ps_mask
#define LANE_BITS(m) _mm512_movepi32_mask((__m512i)(m))
#else
#define INTRINSIC(op) _mm512_##op##_pd
#define INTRINSIC_MASK(op) _mm512_##op##_pd_mask
#define LANE_BITS(m) _mm512_movepi64_mask((__m512i)(m))
#endif
#define SCALE(x, power) ((vec)INTRINSIC(scalef)(x, power))
/* x, or x ^ x where it is denormal or -0, which others make 0 too: two operations for three. */
#define DENORMAL_OR_MINUS_0 (32 | 4)
#define NORMAL(x) INTRINSIC(mask_xor)(x, INTRINSIC_MASK(fpclass)(x, DENORMAL_OR_MINUS_0), x, x)
#define FMA(a, b, c) ((vec)INTRINSIC(fmadd)(a, b, c))
/* What needs half a vector at most is left to AVX2, with the same bits: steps of such nets are bound by latency, and
 * 64-byte vectors slow down the clock, divisions and shuffles. 2-2-1 and 5-3-5-4 take 0.8 of the time so. */
#define HALF_ISA avx2
