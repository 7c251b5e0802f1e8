/* What the floor plan marks of the constraints that a folder was compiled with: places that are
 * forbidden or reserved, cores that are pinned. From member "constraints" of mapping.json. */
#include <string.h>

#include "backends/report/report_internal.h"
#include "support/alloc.h"

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
static void mark_layer(const struct rep_folder *f, uint32_t layer, uint32_t part, uint8_t *seen,
                       struct rep_marks *m)
{
    uint32_t n = 0;
    memset(seen, 0, f->n_cores);
    for (uint32_t i = 0; i < f->n_tiles; i++) {
        const uint32_t core = f->tile[i].core;
        if (f->tile[i].layer != layer || seen[core])
            continue;
        seen[core] = 1;
        if (part == CTR_ANY || part == n)
            m->pinned[core] = 1;
        n++;
    }
}

static spk_status read_pins(const struct rep_folder *f, const struct json_cursor *pins,
                            struct rep_marks *m)
{
    uint8_t *seen;
    size_t n;
    SPK_TRY(js_array_length(pins, &n));
    SPK_TRY(spk_alloc_array(f->n_cores, 1, &seen));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < n && status == SPK_OK; i++) {
        struct json_cursor pin;
        const char *layer = "";
        uint32_t part = CTR_ANY;
        status = js_element(pins, i, &pin);
        if (status == SPK_OK)
            status = js_get_string(&pin, "layer", &layer);
        if (status == SPK_OK && js_has(&pin, "part"))
            status = js_get_u32(&pin, "part", CTR_ANY - 1, &part);
        for (uint32_t l = 0; l < f->n_layers && status == SPK_OK; l++)
            if (ctr_name_matches(layer, f->layer[l].name))
                mark_layer(f, l, part, seen, m);
    }
    spk_free(seen);
    return status;
}

static spk_status read_forbidden(const struct json_cursor *list, struct rep_marks *m)
{
    size_t n;
    SPK_TRY(js_array_length(list, &n));
    SPK_TRY(spk_alloc_array(n, sizeof *m->forbid, &m->forbid));
    for (size_t i = 0; i < n; i++) {
        struct json_cursor at;
        SPK_TRY(js_element(list, i, &at));
        SPK_TRY(read_area(&at, &m->forbid[i].area));
        SPK_TRY(js_get_bool(&at, "reserved", &m->forbid[i].reserved));
        m->n_forbid++;
    }
    return SPK_OK;
}

spk_status rep_marks_read(const struct rep_folder *f, struct rep_marks *out)
{
    const struct json_cursor root = js_root(f->mapping, "mapping.json", NULL);
    struct json_cursor constraints, list;
    memset(out, 0, sizeof *out);
    SPK_TRY(spk_alloc_array(f->n_cores, 1, &out->pinned));
    if (!js_has(&root, "constraints"))
        return SPK_OK;
    SPK_TRY(js_member(&root, "constraints", &constraints));
    SPK_TRY(js_member(&constraints, "forbid", &list));
    SPK_TRY(read_forbidden(&list, out));
    SPK_TRY(js_member(&constraints, "pin", &list));
    return read_pins(f, &list, out);
}

void rep_marks_fini(struct rep_marks *m)
{
    spk_free(m->forbid);
    spk_free(m->pinned);
    memset(m, 0, sizeof *m);
}

const struct ctr_forbid *rep_marks_at(const struct rep_marks *m, const struct rep_folder *f,
                                      uint32_t chip, uint32_t x, uint32_t y)
{
    for (uint32_t i = 0; i < m->n_forbid; i++)
        if (ctr_area_has(&m->forbid[i].area, f->cores_x, chip, x, y))
            return &m->forbid[i];
    return NULL;
}
