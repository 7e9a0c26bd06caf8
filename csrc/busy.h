/* A flag that one thread at a time can take. A lock of the system's takes 200 instructions, of 5000 that predict a
 * sample. */
#ifndef FUSEDELTA_BUSY_H
#define FUSEDELTA_BUSY_H

/* Whether the flag was free; now it is taken. */
static inline int busy_take(int *flag) { return !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE); }

static inline void busy_release(int *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }

#endif
