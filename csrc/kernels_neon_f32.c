#if defined(__aarch64__)
#define REAL_BITS 32
#include "isa_neon.h"
#include "kernels_impl.h"
#endif
