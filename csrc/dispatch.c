/* Which tables this machine can run, and how large its nearest cache is. Own CPUID and XGETBV: compilers' built-in
 * probes differ, some fail silently. */
#include "kernels.h"

#include <string.h>

#define TABLES(isa) extern const struct kernels kernels_##isa##_f32, kernels_##isa##_f64;
TABLES(base)

enum { LARGE_L1 = 48 << 10 };
int fusedelta_large_l1;

static int always(void) { return 1; }

#if defined(__x86_64__) || defined(_M_X64)
#include <cpuid.h>
TABLES(avx2)
TABLES(avx512)

static uint64_t enabled_state(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The feature words: leaf 1 ecx, leaf 7 ebx, and what the operating system saves (XCR0), zero without OSXSAVE. */
struct features {
    unsigned ecx1, ebx7;
    uint64_t xcr0;
};

static struct features probe(void)
{
    struct features f = {0, 0, 0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
    f.ecx1 = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) f.ebx7 = b;
    if (f.ecx1 & 1u << 27) f.xcr0 = enabled_state();
    return f;
}

static int is_avx2(struct features f)
{
    const unsigned fma_and_avx = 1u << 12 | 1u << 28;
    return (f.ecx1 & fma_and_avx) == fma_and_avx && f.ebx7 & 1u << 5 && (f.xcr0 & 0x6) == 0x6;
}

static int has_avx2(void) { return is_avx2(probe()); }

static int has_avx512(void)
{
    const unsigned f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const struct features f = probe();
    return is_avx2(f) && (f.ebx7 & f_dq_bw_vl) == f_dq_bw_vl && (f.xcr0 & 0xe6) == 0xe6;
}

/* Bytes of the nearest data cache, 0 if unknown. Intel's leaf 4 and AMD's 0x8000001d say it in the same way. */
static size_t l1_bytes(void)
{
    static const unsigned leaves[] = {4, 0x8000001d};
    enum { DATA = 1, MOST_CACHES = 8 };
    unsigned a, b, c, d;
    for (int i = 0; i < 2; i++)
        for (unsigned cache = 0; cache < MOST_CACHES; cache++) {
            if (!__get_cpuid_count(leaves[i], cache, &a, &b, &c, &d)) break;
            const unsigned type = a & 31, level = a >> 5 & 7;
            const size_t ways = (b >> 22) + 1, parts = (b >> 12 & 1023) + 1, line = (b & 4095) + 1, sets = c + 1;
            if (type == DATA && level == 1) return ways * parts * line * sets;
        }
    return 0;
}

/* Whether the processor tells what of the state in XCR0 is in use (CPUID 13, 1). */
static int tells_use(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(13, 1, &a, &b, &c, &d) && a & 1u << 2;
}

/* Whether the vector registers hold anything beyond their first 16 bytes. */
static int uppers_used(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(1));
    return (low & (1u << 2 | 1u << 6)) != 0;
}

static void clear_uppers(void) { __asm__ volatile("vzeroupper" ::: "memory"); }
static void use_uppers(void) { __asm__ volatile("vpcmpeqd %%ymm15, %%ymm15, %%ymm15" ::: "xmm15"); }
#else
static size_t l1_bytes(void) { return 0; }
static int tells_use(void) { return 0; }
static int uppers_used(void) { return 0; }
static void clear_uppers(void) {}
static void use_uppers(void) {}
#if defined(__aarch64__)
TABLES(neon)
#endif
#endif

static const struct isa {
    int (*available)(void);
    const struct kernels *f32, *f64;
} isas[] = {
#if defined(__x86_64__) || defined(_M_X64)
    {has_avx512, &kernels_avx512_f32, &kernels_avx512_f64},
    {has_avx2, &kernels_avx2_f32, &kernels_avx2_f64},
#elif defined(__aarch64__)
    {always, &kernels_neon_f32, &kernels_neon_f64},
#endif
    {always, &kernels_base_f32, &kernels_base_f64},
};
enum { N_ISAS = sizeof isas / sizeof isas[0] };

const struct kernels *fusedelta_kernels(const char *isa, size_t itemsize)
{
    for (int i = 0; i < N_ISAS; i++)
        if (strcmp(isas[i].f32->isa, isa) == 0 && isas[i].available())
            return itemsize == sizeof(float) ? isas[i].f32 : isas[i].f64;
    return NULL;
}

void fusedelta_isas(const char *names[FUSEDELTA_MAX_ISAS + 1])
{
    int count = 0;
    for (int i = 0; i < N_ISAS; i++)
        if (isas[i].available()) names[count++] = isas[i].f32->isa;
    names[count] = NULL;
}

static int knows_uppers;

void fusedelta_probe(void)
{
    fusedelta_large_l1 = l1_bytes() >= LARGE_L1;
    knows_uppers = tells_use();
}

int fusedelta_uppers_left(void)
{
    if (!knows_uppers || !uppers_used()) return 0;
    clear_uppers();
    return !uppers_used(); /* a processor that does not see even that they were cleared says nothing */
}

int fusedelta_sees_uppers(void)
{
    if (!knows_uppers) return 0;
    use_uppers();
    return fusedelta_uppers_left();
}

const char *const *fusedelta_kernel_names(void)
{
    static const char *const names[] = {
#define NAME(entry, arguments) #entry,
        KERNELS(NAME)
#undef NAME
        NULL,
    };
    return names;
}

const char *fusedelta_compiler(void)
{
#if defined(__clang__)
    return __VERSION__;
#else
    return "gcc " __VERSION__;
#endif
}
