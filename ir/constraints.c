/* Areas, names and texts of constraints. */
#include "ir/constraints.h"

#include <string.h>

#include "support/alloc.h"

void constraints_destroy(struct constraints *c)
{
    if (c == NULL)
        return;
    arena_fini(&c->arena);
    spk_free(c);
}

bool ctr_area_has(const struct ctr_area *a, uint32_t cores_x, uint32_t chip, uint32_t x, uint32_t y)
{
    return ctr_in_range(a->chip, chip) && ctr_in_range(a->x, x) && ctr_in_range(a->y, y) &&
           ctr_in_range(a->core, y * cores_x + x);
}

static bool meet(struct ctr_range a, struct ctr_range b, struct ctr_range *out)
{
    out->first = a.first > b.first ? a.first : b.first;
    out->last = a.last < b.last ? a.last : b.last;
    return out->first <= out->last;
}

bool ctr_area_meet(const struct ctr_area *a, const struct ctr_area *b, struct ctr_area *out)
{
    struct ctr_area area;
    const bool chip = meet(a->chip, b->chip, &area.chip), x = meet(a->x, b->x, &area.x);
    const bool y = meet(a->y, b->y, &area.y), core = meet(a->core, b->core, &area.core);
    *out = area;
    return chip && x && y && core;
}

bool ctr_name_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *from = NULL; /* the last star, and where its letters end so far */
    while (*name != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            from = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star != NULL) {
            pattern = star + 1;
            name = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

uint32_t ctr_bits_of(const struct constraints *c, const char *name, uint32_t most)
{
    uint32_t bits = most;
    for (uint32_t i = 0; c != NULL && name != NULL && i < c->n_bits; i++)
        if (ctr_name_matches(c->bits[i].layer, name))
            bits = c->bits[i].bits;
    return bits < most ? bits : most;
}

static void range_text(struct strbuf *out, const char *name, struct ctr_range r, bool *io_any)
{
    if (ctr_is_any(r))
        return;
    strbuf_printf(out, "%s%s %u", *io_any ? ", " : "", name, r.first);
    if (r.last == CTR_ANY)
        strbuf_append(out, " and up");
    else if (r.last != r.first)
        strbuf_printf(out, "-%u", r.last);
    *io_any = true;
}

void ctr_area_text(const struct ctr_area *a, struct strbuf *out)
{
    bool any = false;
    range_text(out, "chip", a->chip, &any);
    range_text(out, "x", a->x, &any);
    range_text(out, "y", a->y, &any);
    range_text(out, "core", a->core, &any);
    if (!any)
        strbuf_append(out, "any place");
}
