/* Nearest names by edit distance.
 *
 * Algorithm: restricted Damerau-Levenshtein distance (insert, delete, replace, swap of neighbours,
 * each 1), row by row with three rows; a candidate whose length differs by the current bound or
 * more is skipped without looking at it. Cost: O(|a| |b|) per candidate. Limit: names longer than
 * HINT_MAX bytes are never suggested.                                                            */
#include "support/name_hint.h"

#include <string.h>

#define HINT_MAX 127u

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t m = a < b ? a : b;
    return m < c ? m : c;
}

static uint32_t edit_distance(const char *a, uint32_t na, const char *b, uint32_t nb)
{
    uint32_t rows[3][HINT_MAX + 1];
    uint32_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (uint32_t j = 0; j <= nb; j++) {
        before[j] = 0;
        last[j] = j;
    }
    for (uint32_t i = 1; i <= na; i++) {
        now[0] = i;
        for (uint32_t j = 1; j <= nb; j++) {
            uint32_t same = a[i - 1] == b[j - 1] ? 0 : 1;
            uint32_t d = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < d)
                d = before[j - 2] + 1;
            now[j] = d;
        }
        uint32_t *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[nb];
}

void name_hint_init_n(struct name_hint *hint, const char *wanted, size_t length)
{
    hint->wanted = wanted;
    hint->length = length;
    hint->best = NULL;
    hint->distance = length > HINT_MAX ? 0 : (uint32_t)(length + 5) / 3; /* exclusive bound */
}

void name_hint_init(struct name_hint *hint, const char *wanted)
{
    name_hint_init_n(hint, wanted, strlen(wanted));
}

void name_hint_offer(struct name_hint *hint, const char *candidate)
{
    size_t na = hint->length, nb = strlen(candidate);
    if (na > HINT_MAX || nb > HINT_MAX)
        return;
    size_t gap = na > nb ? na - nb : nb - na;
    if (gap >= hint->distance)
        return;
    uint32_t d = edit_distance(hint->wanted, (uint32_t)na, candidate, (uint32_t)nb);
    if (d < hint->distance) {
        hint->distance = d;
        hint->best = candidate;
    }
}

const char *name_hint_best(const struct name_hint *hint)
{
    return hint->best;
}
