/* A small persistent team of threads. OpenMP is not used: its teams hang in a forked child, and its barriers collapse
 * when a core is taken away. Threads start with the first work that wants them, spin for a moment between two works,
 * then sleep. */
#ifndef FUSEDELTA_TEAM_H
#define FUSEDELTA_TEAM_H

struct team;
typedef void (*team_work)(void *argument, int thread);

/* A team of at most that many threads, the caller's among them; NULL without memory. It serves one caller at a time. */
struct team *team_new(int most);
void team_free(struct team *team);

/* work(argument, thread) for threads 0 (the caller) to team_active - 1, side by side; returns when all are done. */
void team_run(struct team *team, int threads, team_work work, void *argument);

/* Within work: how many share it, those asked for or as many as the system would start. */
int team_active(const struct team *team);

/* Within work: wait until every thread is here. */
void team_barrier(struct team *team);

#endif
