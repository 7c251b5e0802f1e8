/* What the floor plans mark of the constraints that a folder was compiled with: places that are
 * forbidden or reserved, cores that are pinned. From member "constraints" of mapping.json. */
#include <stdlib.h>
#include <string.h>

#include "backends/report/report_internal.h"
#include "support/alloc.h"

#define MOST_PLACES (1u << 24)

/* [first, last], or null: not limited. */
static spk_status read_range(const struct json_cursor *at, const char *key, struct ctr_range *out)
{
    struct json_cursor range, end;
    *out = (struct ctr_range){0, CTR_ANY};
    if (!js_has(at, key))
        return SPK_OK;
    SPK_TRY(js_member(at, key, &range));
    SPK_TRY(js_element(&range, 0, &end));
    SPK_TRY(js_u32(&end, CTR_ANY - 1, &out->first));
    SPK_TRY(js_element(&range, 1, &end));
    return js_u32(&end, CTR_ANY - 1, &out->last);
}

static spk_status read_area(const struct json_cursor *at, struct ctr_area *out)
{
    SPK_TRY(read_range(at, "chip", &out->chip));
    SPK_TRY(read_range(at, "x", &out->x));
    SPK_TRY(read_range(at, "y", &out->y));
    return read_range(at, "core", &out->core);
}

/* Cores of a layer that a pin names: all, or the one of that number. */
static void hold_layer(const struct rep_folder *f, uint32_t layer, uint32_t part, uint8_t *seen,
                       uint8_t *held)
{
    uint32_t n = 0;
    memset(seen, 0, f->n_cores);
    for (uint32_t i = 0; i < f->n_tiles; i++) {
        const uint32_t core = f->tile[i].core;
        if (f->tile[i].layer != layer || seen[core])
            continue;
        seen[core] = 1;
        if (part == CTR_ANY || part == n)
            held[core] = 1;
        n++;
    }
}

/* Adds the cores of one pin; `seen` and `held` have room for all cores. */
static spk_status add_pin(struct rep_folder *f, uint32_t pin, uint8_t *seen, uint8_t *held)
{
    const struct ctr_pin *p = &f->marks.pin[pin];
    memset(held, 0, f->n_cores);
    for (uint32_t l = 0; l < f->n_layers; l++)
        if (ctr_name_matches(p->layer, f->layer[l].name))
            hold_layer(f, l, p->part, seen, held);
    for (uint32_t i = 0; i < f->n_cores; i++)
        if (held[i])
            SPK_TRY(vec_push(&f->marks.pinned, ((struct rep_pinned){i, pin})));
    return SPK_OK;
}

static int by_core(const void *a, const void *b)
{
    const struct rep_pinned *p = a, *q = b;
    if (p->core != q->core)
        return p->core < q->core ? -1 : 1;
    return p->pin < q->pin ? -1 : p->pin > q->pin;
}

static spk_status find_pinned(struct rep_folder *f)
{
    uint8_t *seen;
    spk_status status = SPK_OK;
    SPK_TRY(spk_alloc_array(2 * (size_t)f->n_cores, 1, &seen));
    for (uint32_t i = 0; i < f->marks.n_pins && status == SPK_OK; i++)
        status = add_pin(f, i, seen, seen + f->n_cores);
    spk_free(seen);
    if (f->marks.pinned.len > 1)
        qsort(f->marks.pinned.data, f->marks.pinned.len, sizeof *f->marks.pinned.data, by_core);
    return status;
}

/* Places of the chips in use; a chip that is forbidden as a whole is none. */
static spk_status find_places(const struct json_cursor *forbid, struct rep_folder *f)
{
    struct rep_marks *m = &f->marks;
    const uint64_t all = (uint64_t)f->n_chips * f->cores_x * f->cores_y;
    if (m->n_forbid > 0 && all > MOST_PLACES)
        return diag_error(forbid->diags, js_place(forbid), "E0752",
                          "%llu places are more than the %u that are marked",
                          (unsigned long long)all, MOST_PLACES);
    for (uint32_t i = 0; i < f->n_chips && m->n_forbid > 0; i++)
        for (uint32_t k = 0; k < f->cores_x * f->cores_y; k++) {
            struct rep_place at = {f->chip[i].id, k % f->cores_x, k / f->cores_x, 0};
            while (at.forbid < m->n_forbid &&
                   !ctr_area_has(&m->forbid[at.forbid].area, f->cores_x, at.chip, at.x, at.y))
                at.forbid++;
            if (at.forbid < m->n_forbid)
                SPK_TRY(vec_push(&m->places, at));
        }
    return SPK_OK;
}

static spk_status read_pins(const struct json_cursor *list, struct rep_marks *m)
{
    size_t n;
    SPK_TRY(js_array_length(list, &n));
    SPK_TRY(spk_alloc_array(n, sizeof *m->pin, &m->pin));
    for (; m->n_pins < n; m->n_pins++) {
        struct ctr_pin *p = &m->pin[m->n_pins];
        struct json_cursor at;
        SPK_TRY(js_element(list, m->n_pins, &at));
        SPK_TRY(js_get_string(&at, "layer", &p->layer));
        p->part = CTR_ANY;
        if (js_has(&at, "part"))
            SPK_TRY(js_get_u32(&at, "part", CTR_ANY - 1, &p->part));
        SPK_TRY(read_area(&at, &p->area));
    }
    return SPK_OK;
}

static spk_status read_forbidden(const struct json_cursor *list, struct rep_marks *m)
{
    size_t n;
    SPK_TRY(js_array_length(list, &n));
    SPK_TRY(spk_alloc_array(n, sizeof *m->forbid, &m->forbid));
    for (; m->n_forbid < n; m->n_forbid++) {
        struct json_cursor at;
        SPK_TRY(js_element(list, m->n_forbid, &at));
        SPK_TRY(read_area(&at, &m->forbid[m->n_forbid].area));
        SPK_TRY(js_get_bool(&at, "reserved", &m->forbid[m->n_forbid].reserved));
    }
    return SPK_OK;
}

spk_status rep_marks_read(const struct json_cursor *mapping, struct rep_folder *f)
{
    struct json_cursor constraints, list;
    if (!js_has(mapping, "constraints"))
        return SPK_OK;
    SPK_TRY(js_member(mapping, "constraints", &constraints));
    SPK_TRY(js_member(&constraints, "forbid", &list));
    SPK_TRY(read_forbidden(&list, &f->marks));
    SPK_TRY(find_places(&list, f));
    SPK_TRY(js_member(&constraints, "pin", &list));
    SPK_TRY(read_pins(&list, &f->marks));
    return find_pinned(f);
}

void rep_marks_fini(struct rep_marks *m)
{
    spk_free(m->forbid);
    spk_free(m->pin);
    vec_fini(&m->places);
    vec_fini(&m->pinned);
    memset(m, 0, sizeof *m);
}
