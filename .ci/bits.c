/* Trains small nets by the kernel tables of this machine alone, without Python, and prints what the weights end with:
 * a line for each instruction set, path and dtype. The same on every machine; see .ci/run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

enum { LAYERS = 3, STEPS = 20, MOST = 160, TALL = 4 }; /* TALL as in rows.py */
enum path { DENSE, NARROW_STEP, TINY_STEP, ONLINE_STEP, THIN_STEP, N_PATHS };
static const char *const PATHS[] = {"dense", "narrow", "tiny", "online", "thin"};
static const ptrdiff_t WIDTHS[][LAYERS + 1] = {
    {50, 70, 33, 4}, {7, 9, 16, 4}, {3, 4, 2, 3}, {50, 70, 33, 4}, {7, 4, 3, 4}};
static const ptrdiff_t SAMPLES[] = {37, 700, 4, 1, 1}; /* 700: in stretches */

static size_t itemsize;
static uint64_t drawn = 1;

static void put(void *at, ptrdiff_t i, double x)
{
    if (itemsize == sizeof(float)) ((float *)at)[i] = (float)x;
    else ((double *)at)[i] = x;
}

/* From -1/4 to 1/2, a quarter of them zeros, which single samples leave out; the same everywhere. */
static double draw(void)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    const double x = (double)(drawn >> 40) / (1 << 24) - 0.5;
    return x < -0.25 ? 0 : x;
}

static ptrdiff_t whole_blocks(ptrdiff_t n)
{
    const ptrdiff_t block = BLOCK_BYTES / (ptrdiff_t)itemsize;
    return (n + block - 1) / block * block;
}

static void *zeros(ptrdiff_t rows, ptrdiff_t ld)
{
    const size_t bytes = (size_t)((rows + 1) * ld) * itemsize;
    void *block = aligned_alloc(BLOCK_BYTES, bytes);
    if (!block) exit(1);
    return memset(block, 0, bytes);
}

static void *numbers(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t ld)
{
    void *block = zeros(rows, ld);
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++) put(block, i * ld + j, draw());
    return block;
}

static uint64_t digest(const void *block, size_t bytes, uint64_t hash)
{
    for (const unsigned char *p = block; bytes > 0; bytes--, p++) hash = (hash ^ *p) * 1099511628211u;
    return hash;
}

/* These are filled by hand below. A size that changed means a field that is new (one that fits into padding does not
 * show): give it what Program gives it (_program.pyx, _workspace.pyx) if a kernel called here looks at it, else leave
 * it zero; then write the new size here. */
_Static_assert(sizeof(struct row) == 240, "struct row: has `build` what is new in it?");
_Static_assert(sizeof(struct loss) == 176, "struct loss: has `build` what is new in it?");
_Static_assert(sizeof(struct net) == 96 + sizeof(struct loss), "struct net: has `build` what is new in it?");
_Static_assert(sizeof(struct share) == 48, "struct share: has `dense_step` what is new in it?");

/* X, Y, D and Dx of the rows share their memory with the neighbours'; feature-major, row n of Y is ones. */
static void build(struct net *net, struct row *rows, enum path path, const struct kernels *cpu)
{
    const int HIDDEN[] = {TANH, path == TINY_STEP ? SIGMOID : GELU, LINEAR};
    const ptrdiff_t m = SAMPLES[path], *widths = WIDTHS[path], lanes = whole_blocks(m);
    const int columns = path == NARROW_STEP || path == TINY_STEP, thin = path == THIN_STEP;
    *net = (struct net){.cpu = cpu, .n_rows = LAYERS, .rows = rows, .stage = TRAINING, .tall = path == ONLINE_STEP};
    for (int i = 0; i < LAYERS; i++) {
        const ptrdiff_t k = widths[i], n = widths[i + 1], ld = whole_blocks(n);
        const ptrdiff_t ldx = columns ? lanes : whole_blocks(k);
        const ptrdiff_t height = columns ? n : m, across = columns ? lanes : ld;
        struct row *row = &rows[i], *below = row - 1;
        const int tall = !columns && k > NARROW && n <= TALL;
        void *W = tall ? numbers(n + 1, k, whole_blocks(k)) : numbers(k + 1, n, ld);
        *row = (struct row){
            .k = k, .n = n, .tall = tall, .height = tall ? whole_blocks(k) / whole_blocks(1) + 1 : k + 1,
            .ldx = ldx, .ld = ld, .W = W, .target = W,
            .X = i ? below->Y : columns ? numbers(k + 1, m, ldx) : numbers(m, k, ldx),
            .Y = zeros(height, across), .D = zeros(height, across), .Dx = i ? below->D : NULL,
            .S = HIDDEN[i] >= SOFTPLUS ? zeros(height, across) : NULL,
            .act.kind = HIDDEN[i], .act_below.kind = i ? HIDDEN[i - 1] : LINEAR,
            .list = calloc((size_t)k + 4, sizeof *row->list),
            .kept = columns ? zeros(k + 1, n * whole_blocks(1) + NARROW) : NULL,
        };
        if (!row->list) exit(1);
        row->Sx = i && below->S ? below->S : row->X;
        for (ptrdiff_t l = 0; columns && l < lanes; l++) {
            put((void *)row->X, k * lanes + l, 1);
            put(row->Y, n * lanes + l, 1);
        }
    }
    const struct row *last = &rows[LAYERS - 1];
    const ptrdiff_t n = last->n, ld = columns ? lanes : last->ld;
    net->loss = (struct loss){
        .evaluate = columns || thin ? cpu->squared_error : cpu->kl_divergence,
        .n = columns ? m : n, .ld = ld, .Y = last->Y, .S = last->Y, .D = last->D, .widest = thin ? 4 : MOST, .by_lane = columns,
        .T = columns ? numbers(n, m, ld) : zeros(m, ld), .on = 1,
    };
    if (!columns)
        for (ptrdiff_t i = 0; i < m; i++) put((void *)net->loss.T, i * ld + i % n, 1);
}

static void dense_step(const struct net *net, ptrdiff_t m, double alpha, struct score *score, void *scratch)
{
    struct share share = {.m = m, .last = m, .scratch = scratch, .threads = 1};
    const struct kernels *cpu = net->cpu;
    for (int i = 0; i < LAYERS; i++)
        (net->rows[i].tall ? cpu->tall_forward : cpu->dense_forward)(&net->rows[i], &share);
    net->loss.evaluate(&net->loss, m, score);
    for (int i = LAYERS - 1; i >= 0; i--) {
        share.last = m;
        const struct row *row = &net->rows[i];
        if (i > 0) (row->tall ? cpu->tall_backward : cpu->dense_backward)(row, &share);
        share.last = row->height;
        (row->tall ? cpu->tall_update : cpu->dense_update)(row, &share, alpha, 1);
    }
}

static uint64_t train(enum path path, const struct kernels *cpu)
{
    struct net net;
    struct row rows[LAYERS];
    struct score score = {0, 0};
    drawn = 1;
    build(&net, rows, path, cpu);
    const ptrdiff_t m = SAMPLES[path];
    void *scratch = zeros(1, 1 << 20);
    for (int step = 0; step < STEPS; step++)
        if (path == NARROW_STEP || path == TINY_STEP) cpu->narrow_step(&net, m, -0.1 / (double)m, 1, &score, 1);
        else if (path == ONLINE_STEP || path == THIN_STEP) cpu->online_step(&net, -0.1, 1, &score);
        else dense_step(&net, m, -0.1 / (double)m, &score, scratch);
    free(scratch);
    uint64_t hash = digest(&score.sum, sizeof score.sum, 14695981039346656037u);
    for (int i = 0; i < LAYERS; i++)
        hash = digest(rows[i].W, (size_t)(rows[i].tall ? (rows[i].n + 1) * whole_blocks(rows[i].k)
                                                       : (rows[i].k + 1) * rows[i].ld) * itemsize, hash);
    return score.sum == score.sum ? hash : 0;
}

int main(void)
{
    const char *isas[FUSEDELTA_MAX_ISAS + 1];
    fusedelta_isas(isas);
    for (int i = 0; isas[i]; i++)
        for (itemsize = 4; itemsize <= 8; itemsize += 4)
            for (int path = DENSE; path < N_PATHS; path++)
                printf("%-6s float%d %-6s %016llx\n", isas[i], (int)itemsize * 8, PATHS[path],
                       (unsigned long long)train(path, fusedelta_kernels(isas[i], itemsize)));
    return 0;
}
