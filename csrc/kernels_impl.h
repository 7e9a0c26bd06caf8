/* One instruction set's kernels for one dtype. A kernels_<isa>_f<bits>.c sets REAL_BITS, includes its isa_<isa>.h,
 * which opens the target region, and this file; everything but the table stays inside. */
#include "kernels.h"
#include "categorical.h"
#include "dense.h"
#include "dropout.h"
#include "elementwise.h"
#include "finish.h"
#include "losses.h"
#include "narrow.h"
#include "normalize.h"
#include "online.h"
#include "step.h"
#include "tall.h"
#include "tensors.h"

static void apply(int kind, double slope, const void *x, void *y, void *s, ptrdiff_t count)
{
    const real *from = x;
    real *to = y;
    if (kind == EXP)
        for (ptrdiff_t j = 0; j < count; j += LANES) store(to + j, v_exp(load(from + j)));
    else if (kind == LOG1P)
        for (ptrdiff_t j = 0; j < count; j += LANES) store(to + j, v_log1p(load(from + j)));
    else if (kind == ROOT)
        for (ptrdiff_t j = 0; j < count; j += LANES) store(to + j, v_root(load(from + j)));
    else
        activate_all((struct activation){kind, slope}, from, to, s, count);
}

static int all_within(const void *x, ptrdiff_t count, double low, double high)
{
    const real *p = x;
    const real least = (real)low, most = (real)high;
    mask good = ~(mask){0};
    ptrdiff_t j = 0;
    for (; j + LANES <= count; j += LANES) {
        const vec v = load_loose(p + j);
        good &= (v >= least) & (v <= most);
    }
    bits all = -1;
    UNROLL for (int l = 0; l < LANES; l++) all &= good[l];
    for (; j < count; j++) all &= -(bits)(p[j] >= least && p[j] <= most);
    return all != 0;
}

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
extern const struct kernels KERNELS_OF(ISA, REAL_BITS);
const struct kernels KERNELS_OF(ISA, REAL_BITS) = {
    .isa = TEXT(ISA),
    .itemsize = sizeof(real),
#define ENTRY(entry, arguments) .entry = entry,
    KERNELS(ENTRY)
#undef ENTRY
    .all_within = all_within,
    .dense_scratch = dense_scratch,
};

#ifdef TARGET_REGION
#pragma clang attribute pop
#endif
