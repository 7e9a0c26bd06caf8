/* Dropout: random words from a counter, and the values that they keep.
 *
 * Threefry-4x32-13 (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3, 2011) makes four words of
 * 32 bits from a key and a counter of four each: no state, nothing but additions, rotations and exclusive ors. Here
 * the counter is (feature, sample / 4, step), the four words are those of samples 4 q to 4 q + 3. */
#ifndef FUSEDELTA_DROPOUT_H
#define FUSEDELTA_DROPOUT_H

#include "elementwise.h"

typedef uint32_t words __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef uint32_t few_words __attribute__((vector_size(LANES * 4), may_alias)); /* as many as a vector has numbers */

enum { WORD_LANES = VECTOR_BYTES / 4, WORD_BLOCK = 16 };

INLINE words rotate(words x, int by) { return x << by | x >> (32 - by); }

INLINE void threefry(words x[4], const uint32_t key[4])
{
    static const int rotations[8][2] = {{10, 26}, {11, 21}, {13, 27}, {23, 5}, {6, 20}, {17, 11}, {25, 10}, {18, 20}};
    const uint32_t keys[5] = {key[0], key[1], key[2], key[3], 0x1BD11BDA ^ key[0] ^ key[1] ^ key[2] ^ key[3]};
    UNROLL for (int i = 0; i < 4; i++) x[i] += keys[i];
    UNROLL for (int turn = 0; turn < 13; turn++) {
        const int b = turn % 2 ? 3 : 1, d = turn % 2 ? 1 : 3;
        x[0] += x[b], x[b] = rotate(x[b], rotations[turn % 8][0]) ^ x[0];
        x[2] += x[d], x[d] = rotate(x[d], rotations[turn % 8][1]) ^ x[2];
        if (turn % 4 < 3) continue;
        const uint32_t shift = (uint32_t)turn / 4 + 1;
        UNROLL for (int i = 0; i < 4; i++) x[i] += keys[(shift + (uint32_t)i) % 5];
        x[3] += shift;
    }
}

/* The words of features j..j + 15 of samples 4 quad..4 quad + 3. */
static void draw(const struct noise *noise, uint32_t number, ptrdiff_t quad, ptrdiff_t j, uint32_t to[4][WORD_BLOCK])
{
    static const uint32_t index[WORD_BLOCK] __attribute__((aligned(BLOCK_BYTES))) = {
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    };
    const uint32_t key[4] = {(uint32_t)noise->key, (uint32_t)(noise->key >> 32), number, 0};
    for (int l = 0; l < WORD_BLOCK; l += WORD_LANES) {
        words x[4];
        x[0] = *(const words *)(index + l) + (uint32_t)j;
        x[1] = (words){0} + (uint32_t)quad;
        x[2] = (words){0} + (uint32_t)noise->step;
        x[3] = (words){0} + (uint32_t)(noise->step >> 32);
        threefry(x, key);
        UNROLL for (int i = 0; i < 4; i++) *(words *)(to[i] + l) = x[i];
    }
}

/* All ones where the word is at least the threshold. */
INLINE mask kept(const uint32_t *word, uint32_t threshold)
{
    return __builtin_convertvector(*(const few_words *)word >= threshold, mask);
}

/* The samples of one quad that lie in the share: to = from * mask / (1 - rate). */
static void drop_quad(const struct row *row, const struct share *share, const struct noise *noise, ptrdiff_t quad,
                      const real *from, real *to)
{
    const real scale = (real)(1 / (1 - row->rate));
    const ptrdiff_t ld = row->ld, first = quad * 4 < share->first ? share->first : quad * 4;
    const ptrdiff_t last = quad * 4 + 4 > share->last ? share->last : quad * 4 + 4;
    uint32_t drawn[4][WORD_BLOCK] __attribute__((aligned(BLOCK_BYTES)));
    for (ptrdiff_t j = 0; j < ld; j += WORD_BLOCK) {
        draw(noise, row->number, quad, j, drawn);
        for (ptrdiff_t i = first; i < last; i++)
            for (ptrdiff_t l = 0; l < WORD_BLOCK && j + l < ld; l += LANES) {
                const mask keep = kept(drawn[i - quad * 4] + l, row->threshold);
                store(to + i * ld + j + l, v_and(keep, load(from + i * ld + j + l) * scale));
            }
    }
}

static void dropout_forward(const struct row *row, const struct share *share, const struct noise *noise)
{
    for (ptrdiff_t quad = share->first / 4; quad * 4 < share->last; quad++)
        drop_quad(row, share, noise, quad, row->X, row->Y);
    for (ptrdiff_t i = share->first; i < share->last; i++) activate_sample(row, i);
}

static void dropout_backward(const struct row *row, const struct share *share, const struct noise *noise)
{
    for (ptrdiff_t quad = share->first / 4; quad * 4 < share->last; quad++)
        drop_quad(row, share, noise, quad, row->D, row->Dx);
    for (ptrdiff_t i = share->first; i < share->last; i++) derive_sample(row, i);
}

#endif
