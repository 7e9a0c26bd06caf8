/* A small persistent team of threads. OpenMP is not used: its teams hang in a forked child, and its barriers collapse
 * when a core is taken away. Threads start with the first work that wants them, spin for a moment between two works,
 * then sleep. */
#ifndef FUSEDELTA_TEAM_H
#define FUSEDELTA_TEAM_H

#include <stddef.h>
#include <stdint.h>

struct team;
typedef void (*team_work)(void *argument, int thread);

/* A team of at most that many threads, the caller's among them; NULL without memory. It serves one caller at a time. */
struct team *team_new(int most);
void team_free(struct team *team);

/* work(argument, thread) for threads 0 (the caller) to team_active - 1, side by side; returns when all are done. */
void team_run(struct team *team, int threads, team_work work, void *argument);

/* Within work: how many share it, those asked for or as many as the system would start. */
int team_active(const struct team *team);

/* Within work: first..last-1, a thread's part of a total, the larger the faster it has been in the works before. All
 * through a work it is the same, and the threads' parts are the whole. */
void team_part(const struct team *team, int thread, ptrdiff_t total, ptrdiff_t *first, ptrdiff_t *last);

/* Within work: how long a thread's parts took it, waits left out, in any unit. A work in which some do not tell teaches
 * nothing. */
void team_took(struct team *team, int thread, int64_t time);

/* Between works: how fast a thread is beside the others, 1/4 to 4, until works tell; 1 by default. */
void team_expect(struct team *team, int thread, double speed);

/* Within work: wait until every thread is here. */
void team_barrier(struct team *team);

#endif
