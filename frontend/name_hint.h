/* "Did you mean …": the candidate nearest to a misspelt name. */
#ifndef SPIKEC_FRONTEND_NAME_HINT_H
#define SPIKEC_FRONTEND_NAME_HINT_H

#include <stdint.h>

struct name_hint {
    const char *wanted, *best; /* borrowed */
    uint32_t distance;         /* of best; the bound until there is one */
};

/* Starts a search for `wanted`; both it and every candidate must outlive the search. */
void name_hint_init(struct name_hint *hint, const char *wanted);
/* Offers a candidate; the first of several equally near ones is kept. */
void name_hint_offer(struct name_hint *hint, const char *candidate);
/* The nearest candidate, NULL when none is near enough to be worth naming (more than a third of the
 * name's letters differ). */
const char *name_hint_best(const struct name_hint *hint);

#endif
