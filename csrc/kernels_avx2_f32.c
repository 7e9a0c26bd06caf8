#if defined(__x86_64__) || defined(_M_X64)
#define REAL_BITS 32
#include "isa_avx2.h"
#include "kernels_impl.h"
#endif
