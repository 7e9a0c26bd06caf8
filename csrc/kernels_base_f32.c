#define REAL_BITS 32
#include "isa_base.h"
#include "kernels_impl.h"
