/* "Did you mean …": the candidate nearest to a misspelt name. */
#ifndef SPIKEC_SUPPORT_NAME_HINT_H
#define SPIKEC_SUPPORT_NAME_HINT_H

#include <stddef.h>
#include <stdint.h>

struct name_hint {
    const char *wanted, *best; /* borrowed */
    size_t length;             /* of wanted */
    uint32_t distance;         /* of best; the bound until there is one */
};

/* Starts a search for `wanted`; both it and every candidate must outlive the search. */
void name_hint_init(struct name_hint *hint, const char *wanted);
/* The same for a name of `length` bytes that need not be NUL-terminated. */
void name_hint_init_n(struct name_hint *hint, const char *wanted, size_t length);
/* Offers a candidate; the first of several equally near ones is kept. */
void name_hint_offer(struct name_hint *hint, const char *candidate);
/* The nearest candidate, NULL when none is near enough to be worth naming (more than a third of the
 * name's letters differ). */
const char *name_hint_best(const struct name_hint *hint);

#endif
