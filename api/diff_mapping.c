/* Layers, tiles and places of two folders: matched by name, and by what a tile holds. */
#include <stdlib.h>
#include <string.h>

#include "api/diff.h"
#include "support/alloc.h"

struct tile {
    const char *layer;
    int64_t range[6]; /* rows, columns, channels, half-open */
    int64_t chip, x, y;
};
struct tiles VEC_FIELDS(struct tile);

/* ---- layers ---- */

/* Layers that the mapper adds; their coming and going is no change of the model. */
static bool is_made(const char *kind)
{
    return strcmp(kind, "relay") == 0 || strcmp(kind, "attention") == 0 ||
           strcmp(kind, "embedded") == 0;
}

static spk_status find_layer(const struct json_cursor *layers, const char *name, bool *out_found,
                             struct json_cursor *out)
{
    size_t n;
    const char *other;
    *out_found = false;
    SPK_TRY(js_array_length(layers, &n));
    for (size_t i = 0; i < n; i++) {
        SPK_TRY(js_element(layers, i, out));
        SPK_TRY(js_get_string(out, "name", &other));
        if (strcmp(name, other) == 0) {
            *out_found = true;
            return SPK_OK;
        }
    }
    return SPK_OK;
}

/* "28 x 28 x 64", or NULL where there is no such member. */
static spk_status numbers_text(struct diff *d, const struct json_cursor *at, const char *key,
                               const char **out)
{
    struct json_cursor list, item;
    struct strbuf text = {0};
    size_t n;
    *out = NULL;
    if (!js_has(at, key))
        return SPK_OK;
    SPK_TRY(js_member(at, key, &list));
    SPK_TRY(js_array_length(&list, &n));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < n && status == SPK_OK; i++) {
        int64_t v = 0;
        status = js_element(&list, i, &item);
        if (status == SPK_OK)
            status = js_i64(&item, 0, INT64_MAX, &v);
        strbuf_printf(&text, "%s%lld", i > 0 ? " x " : "", (long long)v);
    }
    if (status == SPK_OK)
        status = text.status;
    if (status == SPK_OK && (*out = arena_strdup(&d->arena, strbuf_cstr(&text))) == NULL)
        status = SPK_ERR_NOMEM;
    strbuf_fini(&text);
    return status;
}

/* "conv1, conv2 + 3" (delays behind +). */
static spk_status sources_text(struct diff *d, const struct json_cursor *at, const char **out)
{
    struct json_cursor list, item;
    struct strbuf text = {0};
    size_t n;
    SPK_TRY(js_member(at, "sources", &list));
    SPK_TRY(js_array_length(&list, &n));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < n && status == SPK_OK; i++) {
        const char *name = "";
        int64_t delay = 0;
        status = js_element(&list, i, &item);
        if (status == SPK_OK)
            status = js_get_string(&item, "name", &name);
        if (status == SPK_OK)
            status = js_get_i64(&item, "delay", 0, INT64_MAX, &delay);
        strbuf_printf(&text, "%s%s", i > 0 ? ", " : "", name);
        if (delay > 0)
            strbuf_printf(&text, " + %lld", (long long)delay);
    }
    if (status == SPK_OK)
        status = text.status;
    if (status == SPK_OK && (*out = arena_strdup(&d->arena, strbuf_cstr(&text))) == NULL)
        status = SPK_ERR_NOMEM;
    strbuf_fini(&text);
    return status;
}

static spk_status add_texts(struct diff *d, enum diff_part part, const char *layer,
                            const char *name, const char *a, const char *b)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return SPK_OK;
    return diff_add(d, &(struct diff_change){.part = part,
                                             .layer = layer,
                                             .name = name,
                                             .first = diff_text(a),
                                             .second = diff_text(b)});
}

static spk_status optional_text(const struct json_cursor *at, const char *key, const char **out)
{
    *out = NULL;
    return js_has(at, key) ? js_get_string(at, key, out) : SPK_OK;
}

static spk_status compare_layer(struct diff *d, const char *name, const struct json_cursor *a,
                                const struct json_cursor *b)
{
    static const char *const shape[] = {"channels", "height", "width"};
    const char *x, *y;
    double rate[2];
    SPK_TRY(js_get_string(a, "kind", &x));
    SPK_TRY(js_get_string(b, "kind", &y));
    SPK_TRY(add_texts(d, is_made(x) || is_made(y) ? DIFF_CUT : DIFF_MODEL, name, "kind", x, y));
    const enum diff_part part = is_made(x) ? DIFF_CUT : DIFF_MODEL;
    for (size_t i = 0; i < 4; i++) {
        const char *key = i < 3 ? shape[i] : "start_step";
        int64_t v, w;
        SPK_TRY(js_get_i64(a, key, 0, INT64_MAX, &v));
        SPK_TRY(js_get_i64(b, key, 0, INT64_MAX, &w));
        if (v != w)
            SPK_TRY(diff_add(d, &(struct diff_change){.part = i < 3 ? part : DIFF_CUT,
                                                      .layer = name,
                                                      .name = key,
                                                      .first = diff_number((double)v),
                                                      .second = diff_number((double)w)}));
    }
    SPK_TRY(sources_text(d, a, &x));
    SPK_TRY(sources_text(d, b, &y));
    SPK_TRY(add_texts(d, DIFF_CUT, name, "sources", x, y));
    SPK_TRY(optional_text(a, "attention", &x));
    SPK_TRY(optional_text(b, "attention", &y));
    SPK_TRY(add_texts(d, DIFF_CUT, name, "attention", x, y));
    for (size_t i = 0; i < 2; i++) {
        const char *key = i ? "grid" : "tile";
        SPK_TRY(numbers_text(d, a, key, &x));
        SPK_TRY(numbers_text(d, b, key, &y));
        SPK_TRY(add_texts(d, DIFF_CUT, name, key, x, y));
    }
    SPK_TRY(js_get_f64(a, "rate", &rate[0]));
    SPK_TRY(js_get_f64(b, "rate", &rate[1]));
    if (rate[0] != rate[1])
        return diff_add(d, &(struct diff_change){.part = DIFF_INPUT,
                                                 .kind = "rate",
                                                 .layer = name,
                                                 .name = "rate",
                                                 .first = diff_number(rate[0]),
                                                 .second = diff_number(rate[1]),
                                                 .acts_on = DIFF_CUT | DIFF_PLACES | DIFF_COST});
    return SPK_OK;
}

static spk_status compare_layers(struct diff *d)
{
    struct json_cursor list[2], at, other;
    bool found;
    for (int s = 0; s < 2; s++)
        SPK_TRY(js_member(&d->side[s].m, "layers", &list[s]));
    for (int s = 0; s < 2; s++) {
        size_t n;
        SPK_TRY(js_array_length(&list[s], &n));
        for (size_t i = 0; i < n; i++) {
            const char *name, *kind;
            SPK_TRY(js_element(&list[s], i, &at));
            SPK_TRY(js_get_string(&at, "name", &name));
            SPK_TRY(js_get_string(&at, "kind", &kind));
            SPK_TRY(find_layer(&list[1 - s], name, &found, &other));
            if (!found)
                SPK_TRY(add_texts(d, is_made(kind) ? DIFF_CUT : DIFF_MODEL, name, "layer",
                                  s == 0 ? kind : NULL, s == 0 ? NULL : kind));
            else if (s == 0)
                SPK_TRY(compare_layer(d, name, &at, &other));
        }
    }
    return SPK_OK;
}

/* ---- tiles ---- */

static int compare_tiles(const void *a, const void *b)
{
    const struct tile *x = a, *y = b;
    const int by_name = strcmp(x->layer, y->layer);
    if (by_name != 0)
        return by_name;
    for (int i = 0; i < 6; i++)
        if (x->range[i] != y->range[i])
            return x->range[i] < y->range[i] ? -1 : 1;
    return 0;
}

static spk_status read_range(const struct json_cursor *tile, const char *key, int64_t *out)
{
    struct json_cursor list, item;
    SPK_TRY(js_member(tile, key, &list));
    for (size_t i = 0; i < 2; i++) {
        SPK_TRY(js_element(&list, i, &item));
        SPK_TRY(js_i64(&item, 0, INT64_MAX, &out[i]));
    }
    return SPK_OK;
}

static spk_status read_tiles(const struct json_cursor *root, struct tiles *out)
{
    static const char *const keys[3] = {"rows", "columns", "channels"};
    struct json_cursor tiles, cores, at, core;
    size_t n, n_cores;
    int64_t id;
    SPK_TRY(js_member(root, "tiles", &tiles));
    SPK_TRY(js_member(root, "cores", &cores));
    SPK_TRY(js_array_length(&tiles, &n));
    SPK_TRY(js_array_length(&cores, &n_cores));
    for (size_t i = 0; i < n; i++) {
        struct tile t;
        SPK_TRY(js_element(&tiles, i, &at));
        SPK_TRY(js_get_string(&at, "layer", &t.layer));
        for (size_t k = 0; k < 3; k++)
            SPK_TRY(read_range(&at, keys[k], &t.range[2 * k]));
        SPK_TRY(js_get_i64(&at, "core", 0, (int64_t)n_cores - 1, &id));
        SPK_TRY(js_element(&cores, (size_t)id, &core));
        SPK_TRY(js_get_i64(&core, "chip", 0, INT64_MAX, &t.chip));
        SPK_TRY(js_get_i64(&core, "x", 0, INT64_MAX, &t.x));
        SPK_TRY(js_get_i64(&core, "y", 0, INT64_MAX, &t.y));
        SPK_TRY(vec_push(out, t));
    }
    if (out->len > 0)
        qsort(out->data, out->len, sizeof *out->data, compare_tiles);
    return SPK_OK;
}

/* The tiles of one layer after the other, of both sides. */
static spk_status compare_places(struct diff *d, const struct tiles *a, const struct tiles *b)
{
    size_t j = 0;
    for (size_t i = 0; i < a->len;) {
        const char *layer = a->data[i].layer;
        uint64_t both = 0, moved = 0;
        for (; i < a->len && strcmp(a->data[i].layer, layer) == 0; i++) {
            const struct tile *t = &a->data[i];
            while (j < b->len && compare_tiles(&b->data[j], t) < 0)
                j++;
            if (j == b->len || compare_tiles(&b->data[j], t) != 0)
                continue;
            const struct tile *u = &b->data[j++];
            both++;
            moved += t->chip != u->chip || t->x != u->x || t->y != u->y;
        }
        d->tiles += both;
        d->tiles_moved += moved;
        if (moved > 0)
            SPK_TRY(diff_add(d, &(struct diff_change){.part = DIFF_PLACES,
                                                      .layer = layer,
                                                      .name = "moved",
                                                      .first = diff_number((double)both),
                                                      .second = diff_number((double)moved)}));
    }
    return SPK_OK;
}

spk_status diff_mapping(struct diff *d)
{
    struct tiles a = {0}, b = {0};
    const struct diff_side *s = d->side;
    const char *system[2];
    int64_t steps[2];
    for (int i = 0; i < 2; i++) {
        SPK_TRY(js_get_i64(&s[i].m, "timesteps", 0, INT64_MAX, &steps[i]));
        SPK_TRY(js_get_string(&s[i].m, "system", &system[i]));
    }
    if (steps[0] != steps[1])
        SPK_TRY(diff_add(d, &(struct diff_change){.part = DIFF_MODEL,
                                                  .name = "timesteps",
                                                  .first = diff_number((double)steps[0]),
                                                  .second = diff_number((double)steps[1])}));
    SPK_TRY(add_texts(d, DIFF_PLACES, NULL, "system", system[0], system[1]));
    SPK_TRY(compare_layers(d));
    spk_status status = read_tiles(&s[0].m, &a);
    if (status == SPK_OK)
        status = read_tiles(&s[1].m, &b);
    if (status == SPK_OK)
        status = compare_places(d, &a, &b);
    vec_fini(&a);
    vec_fini(&b);
    return status;
}

/* ---- costs ---- */

struct figures {
    struct diff *d;
    const char *layer;
    bool same_basis;
};

/* Numbers of one object that differ from those of the other, and of the objects in it by the name
 * "outer.inner". Swapped: a is the second folder's, and only what the first has not is looked at.
 */
static spk_status compare_numbers(const struct figures *f, const char *prefix,
                                  const struct json_cursor *a, const struct json_cursor *b,
                                  bool swapped)
{
    struct json_cursor at, other;
    void *it = NULL;
    while (js_next_member(a, &it, &at)) {
        const enum json_kind kind = js_kind(at.value);
        const bool both = js_has(b, at.key);
        if (kind != JS_INTEGER && kind != JS_REAL && kind != JS_OBJECT)
            continue;
        if ((swapped && both) || (!both && !f->same_basis))
            continue;
        const char *name = prefix[0] == '\0' ? arena_strdup(&f->d->arena, at.key)
                                             : arena_printf(&f->d->arena, "%s.%s", prefix, at.key);
        if (name == NULL)
            return SPK_ERR_NOMEM;
        if (both)
            SPK_TRY(js_member(b, at.key, &other));
        if (kind == JS_OBJECT) {
            if (both)
                SPK_TRY(compare_numbers(f, name, &at, &other, false));
            if (both)
                SPK_TRY(compare_numbers(f, name, &other, &at, true));
            continue;
        }
        double x, y = 0;
        SPK_TRY(js_f64(&at, &x));
        if (both)
            SPK_TRY(js_f64(&other, &y));
        if (both && x == y)
            continue;
        struct diff_value here = diff_number(x), there = both ? diff_number(y) : diff_text(NULL);
        SPK_TRY(diff_add(f->d, &(struct diff_change){.part = DIFF_COST,
                                                     .layer = f->layer,
                                                     .name = name,
                                                     .first = swapped ? there : here,
                                                     .second = swapped ? here : there}));
    }
    return SPK_OK;
}

static spk_status compare_objects(struct diff *d, const char *layer, const struct json_cursor *a,
                                  const struct json_cursor *b)
{
    const struct figures f = {d, layer, d->side[0].simulated == d->side[1].simulated};
    SPK_TRY(compare_numbers(&f, "", a, b, false));
    return compare_numbers(&f, "", b, a, true);
}

spk_status diff_cost(struct diff *d)
{
    struct json_cursor a, b, list[2];
    size_t n;
    bool found;
    d->cost_basis = d->side[0].simulated != d->side[1].simulated ? "static"
                    : d->side[0].simulated                       ? "simulated"
                                                                 : "predicted";
    static const char *const steps[] = {"latency_steps", "interval_steps", "ticks_per_step",
                                        "latency_ticks", "interval_ticks"};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        double v, w;
        SPK_TRY(js_get_f64(&d->side[0].c, steps[i], &v));
        SPK_TRY(js_get_f64(&d->side[1].c, steps[i], &w));
        if (v != w)
            SPK_TRY(diff_add(d, &(struct diff_change){.part = DIFF_COST,
                                                      .name = steps[i],
                                                      .first = diff_number(v),
                                                      .second = diff_number(w)}));
    }
    SPK_TRY(js_member(&d->side[0].c, "totals", &a));
    SPK_TRY(js_member(&d->side[1].c, "totals", &b));
    SPK_TRY(compare_objects(d, NULL, &a, &b));
    for (int s = 0; s < 2; s++)
        SPK_TRY(js_member(&d->side[s].c, "layers", &list[s]));
    SPK_TRY(js_array_length(&list[0], &n));
    for (size_t i = 0; i < n; i++) {
        const char *name;
        SPK_TRY(js_element(&list[0], i, &a));
        SPK_TRY(js_get_string(&a, "name", &name));
        SPK_TRY(find_layer(&list[1], name, &found, &b));
        if (found)
            SPK_TRY(compare_objects(d, name, &a, &b));
    }
    return SPK_OK;
}
