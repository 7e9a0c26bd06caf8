/* What an optimiser does with a velocity or a gradient: one pass over elements first..last-1, whole vectors, of blocks
 * laid out as the parameters. Padding is zero in all of them and stays zero. Formulae: rules.py and adaptive.py.
 *
 * Roots are v_root's, which leaves the processor's divider to the quotients: on an Emerald Rapids adam takes per weight
 * in L1 0.41 ns instead of 0.47 (float32), 0.96 instead of 1.68 (float64), with avx2 0.58 instead of 0.47 and 1.46
 * instead of 1.68; a step of 784-128-64-10 with 32 samples 0.94 of the time.
 *
 * What decays is freed of denormals, see v_normal.
 */
#ifndef FUSEDELTA_FINISH_H
#define FUSEDELTA_FINISH_H

#include "elementary.h"

/* w -= decay w, then w -= rate step. */
struct descent {
    vec rate, decay; /* negative */
};

INLINE struct descent descent_of(const struct moments *s)
{
    return (struct descent){splat((real)-s->rate), splat((real)-s->decay)};
}

INLINE void descend(const struct descent *by, real *w, vec step)
{
    const vec old = load(w);
    store(w, v_fma(by->rate, step, v_fma(by->decay, old, old)));
}

/* How a running mean goes on: left mean + (1 - left) x. */
struct running {
    vec left, rest;
};

INLINE struct running running_of(double left) { return (struct running){splat((real)left), splat((real)(1 - left))}; }

INLINE vec mean_of(const struct running *r, real *mean, vec x)
{
    const vec now = v_normal(v_fma(r->left, load(mean), r->rest * x));
    store(mean, now);
    return now;
}

INLINE vec mean_of_squares(const struct running *r, real *mean, vec x)
{
    const vec now = v_normal(v_fma(r->left, load(mean), r->rest * x * x));
    store(mean, now);
    return now;
}

/* w -= rate g */
static void descent_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    real *w = s->w;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) descend(&by, w + i, load(g + i));
}

/* w -= rate v, for a v that the update has left in place; or v = momentum v + g first. It is freed of denormals here,
 * not in the update, where plain SGD would pay for it with up to 0.6 % more instructions. */
static void momentum_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const vec momentum = splat((real)s->momentum);
    real *w = s->w, *v = s->velocity;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec old = load(v + i), velocity = v_normal(g ? v_fma(momentum, old, load(g + i)) : old);
        store(v + i, velocity);
        descend(&by, w + i, velocity);
    }
}

/* v = momentum v + g;  w -= rate (g + momentum v) */
static void nesterov_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const vec momentum = splat((real)s->momentum);
    real *w = s->w, *v = s->velocity;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i), velocity = v_normal(v_fma(momentum, load(v + i), gradient));
        store(v + i, velocity);
        descend(&by, w + i, v_fma(momentum, velocity, gradient));
    }
}

/* w -= rate sign(beta_1 m + (1 - beta_1) g);  m = beta_2 m + (1 - beta_2) g */
static void lion_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const struct running one = running_of(s->beta_1), two = running_of(s->beta_2);
    real *w = s->w, *m = s->m;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i);
        descend(&by, w + i, v_sign(v_fma(one.left, load(m + i), one.rest * gradient)));
        mean_of(&two, m + i, gradient);
    }
}

/* m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;  w -= rate m / (sqrt(v) + epsilon);
 * amsgrad: u = max(u, v) under the root;  nadam: mean_part m + gradient_part g in the place of m */
INLINE void adam(const int amsgrad, const int nadam, const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const struct running one = running_of(s->beta_1), two = running_of(s->beta_2);
    const vec epsilon = splat((real)s->epsilon);
    const vec mean_part = splat((real)s->mean_part), gradient_part = splat((real)s->gradient_part);
    real *w = s->w, *m = s->m, *v = s->v, *u = s->u;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i);
        vec mean = mean_of(&one, m + i, gradient), square = mean_of_squares(&two, v + i, gradient);
        if (amsgrad) {
            square = v_max(load(u + i), square);
            store(u + i, square);
        }
        if (nadam) mean = v_fma(mean_part, mean, gradient_part * gradient);
        descend(&by, w + i, mean / (v_root(square) + epsilon));
    }
}

static void adam_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last) { adam(0, 0, s, first, last); }
static void amsgrad_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last) { adam(1, 0, s, first, last); }
static void nadam_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last) { adam(0, 1, s, first, last); }

/* m = beta_1 m + (1 - beta_1) g;  u = max(beta_2 u, |g|);  w -= rate m / (u + epsilon) */
static void adamax_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const struct running one = running_of(s->beta_1);
    const vec epsilon = splat((real)s->epsilon), left = splat((real)s->beta_2);
    real *w = s->w, *m = s->m, *u = s->u;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i), mean = mean_of(&one, m + i, gradient);
        const vec largest = v_max(v_normal(left * load(u + i)), v_abs(gradient));
        store(u + i, largest);
        descend(&by, w + i, mean / (largest + epsilon));
    }
}

/* v = rho v + (1 - rho) g^2;  where there is an m: m = rho m + (1 - rho) g, and v - m^2 for v from here;
 * x = g / (sqrt(v) + epsilon);  where there is a velocity: x = velocity = momentum velocity + x;  w -= rate x */
INLINE void rmsprop(const int centered, const int moving, const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const struct running one = running_of(s->rho);
    const vec epsilon = splat((real)s->epsilon), momentum = splat((real)s->momentum);
    real *w = s->w, *v = s->v, *m = s->m, *velocity = s->velocity;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i);
        vec square = mean_of_squares(&one, v + i, gradient);
        if (centered) {
            const vec mean = mean_of(&one, m + i, gradient);
            square = v_normal(v_max(splat(0), v_fma(-mean, mean, square)));
        }
        vec step = gradient / (v_root(square) + epsilon);
        if (moving) {
            step = v_normal(v_fma(momentum, load(velocity + i), step));
            store(velocity + i, step);
        }
        descend(&by, w + i, step);
    }
}

static void rmsprop_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    if (s->m && s->velocity)
        rmsprop(1, 1, s, first, last);
    else if (s->m)
        rmsprop(1, 0, s, first, last);
    else if (s->velocity)
        rmsprop(0, 1, s, first, last);
    else
        rmsprop(0, 0, s, first, last);
}

/* v = v + g^2;  w -= rate g / (sqrt(v) + epsilon) */
static void adagrad_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const vec epsilon = splat((real)s->epsilon);
    real *w = s->w, *v = s->v;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i), sum = v_normal(v_fma(gradient, gradient, load(v + i)));
        store(v + i, sum);
        descend(&by, w + i, gradient / (v_root(sum) + epsilon));
    }
}

/* v = rho v + (1 - rho) g^2;  x = sqrt(d + epsilon) / sqrt(v + epsilon) g;  d = rho d + (1 - rho) x^2;  w -= rate x */
static void adadelta_finish(const struct moments *s, ptrdiff_t first, ptrdiff_t last)
{
    const struct descent by = descent_of(s);
    const struct running one = running_of(s->rho);
    const vec epsilon = splat((real)s->epsilon);
    real *w = s->w, *v = s->v, *d = s->d;
    const real *g = s->g;
    for (ptrdiff_t i = first; i < last; i += LANES) {
        const vec gradient = load(g + i), square = mean_of_squares(&one, v + i, gradient);
        const vec step = v_root(load(d + i) + epsilon) / v_root(square + epsilon) * gradient;
        mean_of_squares(&one, d + i, step);
        descend(&by, w + i, step);
    }
}

#endif
