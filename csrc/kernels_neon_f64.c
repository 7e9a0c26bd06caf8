#if defined(__aarch64__)
#define REAL_BITS 64
#include "isa_neon.h"
#include "kernels_impl.h"
#endif
