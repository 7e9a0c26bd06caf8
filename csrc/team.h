/* A small persistent team of threads. OpenMP is not used: its teams hang in a forked child, and its barriers collapse when a
 * core is taken away. Threads start with the first work, spin for a moment between two works, then sleep. */
#ifndef FUSEDELTA_TEAM_H
#define FUSEDELTA_TEAM_H

struct team;
typedef void (*team_work)(void *argument, int thread);

/* A team of that many threads, the caller's among them; NULL without memory. One caller at a time may use it. */
struct team *team_new(int threads);
void team_free(struct team *team);

/* work(argument, thread) for threads 0 (the caller) to team_threads - 1, side by side; returns when all are done. */
void team_run(struct team *team, team_work work, void *argument);

/* Within work: wait until every thread is here. */
void team_barrier(struct team *team);

/* Threads at work: as asked for, or as many as the system would start. Known from the first team_start on. */
int team_start(struct team *team);

#endif
