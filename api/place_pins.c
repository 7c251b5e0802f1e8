/* Constraints of a plain graph: see the header. A cluster that several pins name may go where all
 * of them allow it. */
#include "api/place_pins.h"

#include <string.h>

#include "frontend/constraints_yaml.h"
#include "support/alloc.h"

/* Cells that all regions together may list. */
#define MOST_CELLS (1u << 26)

struct loader {
    const struct constraints *c;
    uint32_t n, width, height;
    struct diag_list *diags;
    struct place_pins *out;
    VEC(struct ctr_area) areas;
};

static spk_status check_range(const struct loader *l, struct ctr_range r, const char *what,
                              uint64_t n, struct spk_span span)
{
    if (ctr_is_any(r) || r.last < n)
        return SPK_OK;
    return diag_error(l->diags, span, "E0677", "there is no %s %u: they end at %llu", what, r.last,
                      (unsigned long long)(n - 1));
}

static spk_status check_area(const struct loader *l, const struct ctr_area *a, struct spk_span span)
{
    SPK_TRY(check_range(l, a->chip, "chip", 1, span));
    SPK_TRY(check_range(l, a->x, "column", l->width, span));
    SPK_TRY(check_range(l, a->y, "row", l->height, span));
    return check_range(l, a->core, "cell", (uint64_t)l->width * l->height, span);
}

static spk_status block_cells(struct loader *l)
{
    const size_t cells = (size_t)l->width * l->height;
    if (l->c->n_forbid == 0)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(cells, 1, &l->out->blocked));
    for (uint32_t i = 0; i < l->c->n_forbid; i++) {
        const struct ctr_area *a = &l->c->forbid[i].area;
        SPK_TRY(check_area(l, a, l->c->forbid[i].span));
        for (size_t k = 0; k < cells; k++)
            if (ctr_area_has(a, l->width, 0, (uint32_t)(k % l->width), (uint32_t)(k / l->width)))
                l->out->blocked[k] = 1;
    }
    return SPK_OK;
}

/* The region of what a cluster's area and a pin's have in common. */
static spk_status narrow(struct loader *l, uint32_t cluster, const struct ctr_pin *pin)
{
    uint32_t *of = &l->out->of[cluster], k = 0;
    struct ctr_area area = pin->area;
    if (*of != PLACE_NONE && !ctr_area_meet(&l->areas.data[*of], &pin->area, &area))
        return diag_error(l->diags, pin->span, "E0649",
                          "cluster %u is pinned here and elsewhere, and the two have no place in "
                          "common",
                          cluster);
    while (k < l->areas.len && memcmp(&l->areas.data[k], &area, sizeof area) != 0)
        k++;
    if (k == l->areas.len)
        SPK_TRY(vec_push(&l->areas, area));
    *of = k;
    return SPK_OK;
}

static spk_status read_pins(struct loader *l)
{
    SPK_TRY(spk_alloc_array_raw(l->n, sizeof *l->out->of, &l->out->of));
    memset(l->out->of, 0xff, l->n * sizeof *l->out->of);
    for (uint32_t i = 0; i < l->c->n_pins; i++) {
        const struct ctr_pin *pin = &l->c->pin[i];
        if (pin->layer != NULL)
            return diag_error(l->diags, pin->layer_span, "E0646",
                              "a plain graph has no layers; pin a 'cluster'");
        SPK_TRY(check_range(l, pin->cluster, "cluster", l->n, pin->span));
        SPK_TRY(check_area(l, &pin->area, pin->span));
        for (uint32_t v = pin->cluster.first; v <= pin->cluster.last; v++)
            SPK_TRY(narrow(l, v, pin));
    }
    return SPK_OK;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static spk_status list_cells(struct loader *l)
{
    struct place_pins *o = l->out;
    SPK_TRY(vec_push(&o->first, 0));
    for (size_t i = 0; i < l->areas.len; i++) {
        const struct ctr_area *a = &l->areas.data[i];
        const uint32_t y0 = most(a->y.first, a->core.first / l->width);
        const uint32_t y1 = least(l->height - 1, least(a->y.last, a->core.last / l->width));
        const uint32_t x1 = least(l->width - 1, a->x.last);
        for (uint32_t y = y0; y <= y1; y++) {
            for (uint32_t x = a->x.first; x <= x1; x++) {
                const uint32_t cell = y * l->width + x;
                if (!ctr_area_has(a, l->width, 0, x, y) || (o->blocked && o->blocked[cell]))
                    continue;
                if (o->cell.len == MOST_CELLS)
                    return diag_nofit(l->diags, spk_span_none, "E0679",
                                      "the pins name more than %u places", MOST_CELLS);
                SPK_TRY(vec_push(&o->cell, cell));
            }
        }
        SPK_TRY(vec_push(&o->first, (uint32_t)o->cell.len));
    }
    o->regions = (struct place_regions){(uint32_t)l->areas.len, o->first.data, o->cell.data, o->of};
    return SPK_OK;
}

spk_status place_pins_load(const char *path, uint32_t n, uint32_t width, uint32_t height,
                           struct diag_list *diags, struct place_pins *out)
{
    struct constraints *c = NULL;
    memset(out, 0, sizeof *out);
    SPK_TRY(fe_constraints_load(path, diags, &c));
    struct loader l = {
        .c = c, .n = n, .width = width, .height = height, .diags = diags, .out = out};
    spk_status status = SPK_OK;
    if (c->n_bits > 0)
        status = diag_error(diags, c->bits[0].span, "E0646", "a plain graph has no weights");
    if (status == SPK_OK)
        status = block_cells(&l);
    if (status == SPK_OK)
        status = read_pins(&l);
    if (status == SPK_OK)
        status = list_cells(&l);
    vec_fini(&l.areas);
    constraints_destroy(c);
    return status;
}

void place_pins_fini(struct place_pins *p)
{
    spk_free(p->blocked);
    spk_free(p->of);
    vec_fini(&p->first);
    vec_fini(&p->cell);
    memset(p, 0, sizeof *p);
}
