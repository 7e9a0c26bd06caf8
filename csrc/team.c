#if !defined(_WIN32)
#define _POSIX_C_SOURCE 200809L
#endif

#include "team.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SPINS = 1000 }; /* looks before a thread yields its core or goes to sleep: on x86-64 some 20 to 50 us */

/* ---- the system's threads --------------------------------------------------------------------------------------- */

#if defined(_WIN32)
#include <process.h>
#include <windows.h>

typedef HANDLE thread_t;
typedef struct { CRITICAL_SECTION lock; CONDITION_VARIABLE woken; } bed_t;
#define THREAD_RESULT unsigned __stdcall

static int start_thread(thread_t *t, THREAD_RESULT (*run)(void *), void *argument)
{
    *t = (HANDLE)_beginthreadex(NULL, 0, run, argument, 0, NULL);
    return *t != 0;
}
static void join_thread(thread_t t) { WaitForSingleObject(t, INFINITE); CloseHandle(t); }
static void bed_new(bed_t *b) { InitializeCriticalSection(&b->lock); InitializeConditionVariable(&b->woken); }
static void bed_free(bed_t *b) { DeleteCriticalSection(&b->lock); }
static void bed_lock(bed_t *b) { EnterCriticalSection(&b->lock); }
static void bed_unlock(bed_t *b) { LeaveCriticalSection(&b->lock); }
static void bed_sleep(bed_t *b) { SleepConditionVariableCS(&b->woken, &b->lock, INFINITE); }
static void bed_wake(bed_t *b) { WakeAllConditionVariable(&b->woken); }
static void yield_core(void) { SwitchToThread(); }
static long fork_count(void) { return 0; }

#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>

typedef pthread_t thread_t;
typedef struct { pthread_mutex_t lock; pthread_cond_t woken; } bed_t;
#define THREAD_RESULT void *

/* Signals stay with the threads that Python knows, but for those of a fault of this thread's own. */
static int start_thread(thread_t *t, THREAD_RESULT (*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV), sigdelset(&all, SIGBUS), sigdelset(&all, SIGFPE), sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(t, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !failed;
}
static void join_thread(thread_t t) { pthread_join(t, NULL); }
static void bed_new(bed_t *b) { pthread_mutex_init(&b->lock, NULL); pthread_cond_init(&b->woken, NULL); }
static void bed_free(bed_t *b) { pthread_mutex_destroy(&b->lock); pthread_cond_destroy(&b->woken); }
static void bed_lock(bed_t *b) { pthread_mutex_lock(&b->lock); }
static void bed_unlock(bed_t *b) { pthread_mutex_unlock(&b->lock); }
static void bed_sleep(bed_t *b) { pthread_cond_wait(&b->woken, &b->lock); }
static void bed_wake(bed_t *b) { pthread_cond_broadcast(&b->woken); }
static void yield_core(void) { sched_yield(); }

/* A forked child has the memory of the team, but none of its threads. */
static atomic_long forks;
static void count_fork(void) { atomic_fetch_add(&forks, 1); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }
static long fork_count(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return atomic_load(&forks);
}
#endif

/* A short wait; how long isb's is has not been measured here. ARM's own hint, yield, mostly does nothing. */
static void pause_core(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* ---- the team --------------------------------------------------------------------------------------------------- */

struct member {
    struct team *team;
    int thread;
    long long seen; /* the works given out before it started */
    double speed;   /* beside the others' */
    int64_t took;   /* the time for its parts of the work at hand, 0 until it is told */
    atomic_int asleep;
    thread_t handle;
};

/* What workers look at: the count of works, above the number of threads that the last one is for. */
enum { ACTIVE_BITS = 16, ACTIVE = (1 << ACTIVE_BITS) - 1 };

struct team {
    int most;    /* threads wanted at the most */
    int started; /* threads there are, the caller's among them; 0 before the first work */
    int active;  /* in the work at hand */
    long forks;  /* fork_count() at the start */
    team_work work;
    void *argument;
    atomic_llong works;
    atomic_int stopping;
    atomic_int arrived;    /* at the barrier */
    atomic_ulong barriers; /* passed so far */
    bed_t bed;
    struct member *members;
};

int team_active(const struct team *team) { return team->active; }

void team_barrier(struct team *team)
{
    const unsigned long before = atomic_load_explicit(&team->barriers, memory_order_relaxed);
    const int active = team->active; /* now: after the last one has come, there may be another work */
    if (atomic_fetch_add(&team->arrived, 1) + 1 == active) {
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->barriers, before + 1, memory_order_release);
        return;
    }
    for (long long looks = 0; atomic_load_explicit(&team->barriers, memory_order_acquire) == before; looks++)
        looks < SPINS ? pause_core() : yield_core();
}

/* ---- who takes how much ----------------------------------------------------------------------------------------- */

/* Cores differ: large and small ones, those that other programs or a host's other guests slow down; what is cut into
 * halves waits for the slower one. So a speed moves, after each work, by LEARNING of what the work says, which counts
 * up to a factor of BOUND: a core that is taken away for a slice of time would seem ten times slower. On two cores of a
 * shared host, which slow down now and then by up to 1.7 times, training takes 0.90 (mnist128 of
 * benchmarks/workloads.py), 0.93 (tabular), 0.94 (wide) of the time with halves, where both are equal 1.00; huge, whose
 * steps are as long as such phases, 0.99; without the bound up to 1.3 times as long while cores are taken away. */
#define LEARNING 0.25
#define BOUND 1.25
#define FASTEST 4.0

static double speed_before(const struct team *team, int thread)
{
    double sum = 0;
    for (int before = 0; before < thread; before++) sum += team->members[before].speed;
    return sum;
}

/* Where a thread's part begins; of enough, at whole fours: kernels are slower with single rows. */
static ptrdiff_t start_of(const struct team *team, int thread, ptrdiff_t total)
{
    if (thread == team->active) return total;
    const ptrdiff_t grain = total < 16 * team->active ? 1 : 4;
    const double part = speed_before(team, thread) / speed_before(team, team->active);
    const ptrdiff_t start = (ptrdiff_t)((double)total * part / (double)grain + 0.5) * grain;
    return start < total ? start : total;
}

void team_part(const struct team *team, int thread, ptrdiff_t total, ptrdiff_t *first, ptrdiff_t *last)
{
    *first = start_of(team, thread, total);
    *last = start_of(team, thread + 1, total);
}

void team_took(struct team *team, int thread, int64_t time) { team->members[thread].took = time; }

static double within(double x, double most) { return x > most ? most : x < 1 / most ? 1 / most : x; }

void team_expect(struct team *team, int thread, double speed)
{
    team->members[thread].speed = within(speed, FASTEST);
}

/* After a work whose parts were as the speeds. */
static void learn_speeds(struct team *team)
{
    double rates = 0;
    for (int thread = 0; thread < team->active; thread++) {
        const struct member *member = &team->members[thread];
        if (member->took <= 0) return;
        rates += member->speed / (double)member->took;
    }
    const double time = speed_before(team, team->active) / rates; /* what each would have taken with the right parts */
    for (int thread = 0; thread < team->active; thread++) {
        const struct member *member = &team->members[thread];
        const double faster = within(time / (double)member->took, BOUND);
        team_expect(team, thread, member->speed * (1 + LEARNING * (faster - 1)));
    }
}

/* ---- works ------------------------------------------------------------------------------------------------------ */

/* The works once there are more than `seen`: awake for a while, then asleep. */
static long long wait_for_work(struct member *me, long long seen)
{
    struct team *team = me->team;
    long long works;
    for (int looks = 0; looks < SPINS; looks++) {
        if ((works = atomic_load_explicit(&team->works, memory_order_acquire)) != seen) return works;
        pause_core();
    }
    bed_lock(&team->bed);
    atomic_store(&me->asleep, 1); /* before the look: the giver looks the other way round */
    while ((works = atomic_load(&team->works)) == seen) bed_sleep(&team->bed);
    atomic_store(&me->asleep, 0);
    bed_unlock(&team->bed);
    return works;
}

/* For the first `threads` members; the others sleep on. */
static void give_work(struct team *team, int threads, team_work work, void *argument)
{
    int asleep = 0;
    team->work = work;
    team->argument = argument;
    atomic_store(&team->works, (((atomic_load(&team->works) >> ACTIVE_BITS) + 1) << ACTIVE_BITS) | threads);
    for (int thread = 1; thread < threads; thread++) asleep |= atomic_load(&team->members[thread].asleep);
    if (!asleep) return;
    bed_lock(&team->bed);
    bed_wake(&team->bed);
    bed_unlock(&team->bed);
}

static THREAD_RESULT member_main(void *argument)
{
    struct member *me = argument;
    struct team *team = me->team;
    for (long long seen = me->seen;;) {
        seen = wait_for_work(me, seen);
        if (atomic_load(&team->stopping)) return 0;
        if (me->thread >= (seen & ACTIVE)) continue;
        team->work(team->argument, me->thread);
        team_barrier(team);
    }
}

struct team *team_new(int most)
{
    struct team *team = calloc(1, sizeof *team);
    if (!team) return NULL;
    team->most = most < ACTIVE ? most : ACTIVE;
    team->members = calloc((size_t)team->most, sizeof *team->members);
    if (!team->members) {
        free(team);
        return NULL;
    }
    for (int thread = 0; thread < team->most; thread++) team_expect(team, thread, 1);
    return team;
}

/* Threads for a work: as many as wanted, or as the system would start. */
static int start_threads(struct team *team, int wanted)
{
    if (!team->started || team->forks != fork_count()) {
        team->forks = fork_count();
        team->started = 1;
        atomic_store(&team->works, 0);
        atomic_store(&team->arrived, 0);
        bed_new(&team->bed);
    }
    for (; team->started < wanted && team->started < team->most; team->started++) {
        struct member *member = &team->members[team->started];
        member->team = team;
        member->thread = team->started;
        member->seen = atomic_load(&team->works);
        atomic_store(&member->asleep, 0);
        if (!start_thread(&member->handle, member_main, member)) team->most = team->started--;
    }
    return wanted < team->started ? wanted : team->started;
}

void team_run(struct team *team, int threads, team_work work, void *argument)
{
    team->active = start_threads(team, threads);
    for (int thread = 0; thread < team->active; thread++) team->members[thread].took = 0;
    if (team->active > 1) give_work(team, team->active, work, argument);
    work(argument, 0);
    if (team->active == 1) return;
    team_barrier(team);
    learn_speeds(team);
}

void team_free(struct team *team)
{
    if (team->started && team->forks == fork_count()) {
        atomic_store(&team->stopping, 1);
        give_work(team, team->started, NULL, NULL);
        for (int thread = 1; thread < team->started; thread++) join_thread(team->members[thread].handle);
        bed_free(&team->bed);
    }
    free(team->members);
    free(team);
}
