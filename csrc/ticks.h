/* A clock that costs some nanoseconds to read: the processor's own counter, which runs at one speed on any machine of
 * the last fifteen years, and where there is none the system's. Its unit is found by reading a real clock beside it. */
#ifndef FUSEDELTA_TICKS_H
#define FUSEDELTA_TICKS_H

#include <stdint.h>
#include <time.h>

/* The counter, after everything before it is done. */
static inline int64_t ticks(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_lfence();
    return (int64_t)__builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    int64_t now;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

#endif
