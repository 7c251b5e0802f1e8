/* Checker, part 9: whether the image keeps what the user fixed (docs/constraints.md).
 *
 * Nothing of the mapper's is used: patterns are matched anew, the parts of a layer are its cores in
 * the order of their first neuron by row, column and channel, places are those of the image's
 * cores. Cost: cores times forbidden places, and layers times pins. */
#include "check/check_internal.h"

#include <stdlib.h>

#include "ir/constraints.h"
#include "support/alloc.h"

static bool inside(struct ctr_range r, uint32_t v)
{
    return r.first <= v && v <= r.last;
}

static bool covers(const struct check *c, const struct ctr_area *a, uint32_t core)
{
    const struct img_core *k = &c->im->cores[core];
    return inside(a->chip, k->chip) && inside(a->x, k->x) && inside(a->y, k->y) &&
           inside(a->core, k->y * c->t->cores_x + k->x);
}

/* * stands for any letters. */
static bool matches(const char *pattern, const char *name)
{
    for (; *pattern != '\0' && *pattern != '*'; pattern++, name++)
        if (*pattern != *name)
            return false;
    if (*pattern == '\0')
        return *name == '\0';
    while (pattern[1] == '*')
        pattern++;
    for (; *name != '\0'; name++)
        if ((pattern[1] == '\0' || pattern[1] == *name) && matches(pattern + 1, name))
            return true;
    return pattern[1] == '\0';
}

static void check_forbidden(struct check *c, const struct ctr_forbid *f)
{
    const struct ctr_range *x = &f->area.x, *y = &f->area.y, *core = &f->area.core;
    for (uint32_t i = 0; i < c->im->n_cores; i++)
        if (covers(c, &f->area, i))
            check_violation(c, "E0926", IMG_NONE, i, "in a place that is %s",
                            f->reserved ? "reserved" : "forbidden");
    if (x->last != CTR_ANY || y->last != CTR_ANY || core->last != CTR_ANY || x->first > 0 ||
        y->first > 0 || core->first > 0)
        return;
    for (uint64_t i = 0; i < c->im->n_embedded; i++)
        if (c->im->embedded[i].core == IMG_NONE && inside(f->area.chip, c->im->embedded[i].chip))
            check_violation(c, "E0926", c->im->embedded[i].layer, IMG_NONE,
                            "computed on chip %u, which is %s", c->im->embedded[i].chip,
                            f->reserved ? "reserved" : "forbidden");
}

/* A core of a layer and its first neuron there. */
struct seat {
    uint32_t layer, y, x, c, core;
};

static int compare_seats(const void *a, const void *b)
{
    const struct seat *p = a, *q = b;
    const uint32_t u[5] = {p->layer, p->y, p->x, p->c, p->core};
    const uint32_t v[5] = {q->layer, q->y, q->x, q->c, q->core};
    for (int i = 0; i < 5; i++)
        if (u[i] != v[i])
            return u[i] < v[i] ? -1 : 1;
    return 0;
}

static void check_layer_pin(struct check *c, const struct ctr_pin *pin, const struct seat *seat,
                            uint32_t n, uint32_t layer)
{
    uint32_t part = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool seen = false;
        for (uint32_t k = i; k-- > 0 && !seen;)
            seen = seat[k].core == seat[i].core;
        if (seen)
            continue;
        if ((pin->part == CTR_ANY || pin->part == part) && !covers(c, &pin->area, seat[i].core))
            check_violation(c, "E0926", layer, seat[i].core, "part %u is not where it is pinned to",
                            part);
        part++;
    }
    if (pin->part != CTR_ANY && pin->part >= part)
        check_violation(c, "E0926", layer, IMG_NONE, "part %u is pinned, the layer has %u cores",
                        pin->part, part);
}

static void check_pin(struct check *c, const struct ctr_pin *pin, const struct seat *seat,
                      uint32_t n)
{
    bool found = false;
    for (uint32_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && seat[end].layer == seat[i].layer;)
            end++;
        if (pin->layer == NULL || !matches(pin->layer, check_layer_name(c, seat[i].layer)))
            continue;
        found = true;
        check_layer_pin(c, pin, seat + i, end - i, seat[i].layer);
    }
    if (!found)
        check_violation(c, "E0926", IMG_NONE, IMG_NONE, "no layer '%s', which is pinned",
                        pin->layer ? pin->layer : "(a cluster)");
}

/* Whether a layer is a neuron behind projections (sums of them included), whose synapses are
 * weights of the model; those of all others are constants. */
static bool has_weights(const struct check *c, uint32_t layer)
{
    const uint32_t id = c->m ? ir_find_value(c->m, check_layer_name(c, layer)) : IR_NONE;
    if (id == IR_NONE || c->m->node[id].op != IR_OP_NEURON)
        return false;
    const struct ir_node *n = &c->m->node[c->m->node[id].operand[0]];
    while (n->op == IR_OP_ADD)
        n = &c->m->node[n->operand[0]];
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

/* Bits of weights: blocks of a layer, but for those that carry its bias, have no more than allowed
 * (that the weights fit them is checked elsewhere). */
static void check_bits(struct check *c, const struct constraints *k)
{
    for (uint32_t core = 0; core < c->im->n_cores; core++) {
        const struct img_core *at = &c->im->cores[core];
        for (uint32_t i = at->in_axon_first; i < at->in_axon_first + at->n_in_axons; i++) {
            const struct img_in_axon *a = &c->im->in_axons[i];
            const struct ctr_bits *bits = NULL;
            bool enable = false;
            if (a->block == IMG_NONE || c->im->blocks[a->block].kind == IMG_BLOCK_PLASTIC)
                continue;
            for (uint64_t f = c->feeder_first[i]; f < c->feeder_first[i + 1]; f++)
                enable = enable || check_is_enable(c, c->feeders[f]);
            const uint32_t layer = c->im->groups[img_axon_group(c->im, core, a)].layer;
            for (uint32_t b = 0; b < k->n_bits && !enable; b++)
                if (matches(k->bits[b].layer, check_layer_name(c, layer)))
                    bits = &k->bits[b];
            if (bits != NULL && has_weights(c, layer) &&
                c->im->blocks[a->block].weight_bits > bits->bits)
                check_violation(c, "E0926", layer, core, "weights of %u bits, %u are asked for",
                                c->im->blocks[a->block].weight_bits, bits->bits);
        }
    }
}

spk_status check_constraints(struct check *c)
{
    const struct constraints *k = c->o.constraints;
    const struct image *im = c->im;
    struct seat *seat;
    uint32_t n = 0;
    if (k == NULL)
        return SPK_OK;
    for (uint32_t i = 0; i < k->n_forbid; i++)
        check_forbidden(c, &k->forbid[i]);
    if (k->n_bits > 0)
        check_bits(c, k);
    SPK_TRY(spk_alloc_array(im->n_groups, sizeof *seat, &seat));
    for (uint64_t i = 0; i < im->n_groups; i++) {
        const struct img_group *g = &im->groups[i];
        if (c->core_task[g->core] == IMG_NONE)
            seat[n++] = (struct seat){g->layer, g->y0, g->x0, g->c0, g->core};
    }
    if (n > 0)
        qsort(seat, n, sizeof *seat, compare_seats);
    for (uint32_t i = 0; i < k->n_pins; i++)
        check_pin(c, &k->pin[i], seat, n);
    spk_free(seat);
    return SPK_OK;
}
