/* NEON with FMA, which every 64-bit ARM has: thirty-two registers of 16 bytes. */
#include <arm_neon.h>

#define ISA neon
#define VECTOR_BYTES 16
#define ACCUMULATORS 24
#if REAL_BITS == 32
#define FMA(a, b, c) ((vec)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define LANE_BITS(m) vaddvq_u32((uint32x4_t)(m) & (uint32x4_t){1, 2, 4, 8})
#else
#define FMA(a, b, c) ((vec)vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b)))
#define LANE_BITS(m) vaddvq_u64((uint64x2_t)(m) & (uint64x2_t){1, 2})
#endif
