/* What every machine has: SSE2 on x86-64 (no FMA: product and sum, two roundings), NEON on ARM, plain C elsewhere. */
#define ISA base
#define VECTOR_BYTES 16

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define ACCUMULATORS 12
#if REAL_BITS == 32
#define INTRINSIC(op) _mm_##op##_ps
#else
#define INTRINSIC(op) _mm_##op##_pd
#endif
#define FMA(a, b, c) ((a) * (b) + (c))
#define LANE_BITS(m) INTRINSIC(movemask)((vec)(m))

#elif defined(__aarch64__)
#include <arm_neon.h>
#define ACCUMULATORS 24
#if REAL_BITS == 32
#define FMA(a, b, c) ((vec)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#else
#define FMA(a, b, c) ((vec)vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b)))
#endif

#else
#define ACCUMULATORS 12
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
