#define REAL_BITS 64
#include "isa_base.h"
#include "kernels_impl.h"
