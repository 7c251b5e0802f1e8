/* Probes: reading what to probe, writing what was seen (docs/files.md, section 11).
 *
 * NEURONS is a list of items between semicolons: "7" or "3-9", the index in the recorded value;
 * "channel,token", or "channel,row,column", each a number, a range or *. */
#include "api/probes.h"

#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"
#include "support/file.h"
#include "support/name_hint.h"
#include "support/safetensors.h"

#define MOST_BYTES ((uint64_t)1 << 30)

spk_status probes_check(spk_context *c, const struct spk_probe_options *o)
{
    if ((o->n_probes > 0) == (o->output != NULL))
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0980",
                      o->output == NULL ? "probes need a file: --probe-out"
                                        : "--probe-out without --probe: nothing is probed");
}

spk_status probe_layers_of_image(const struct image *im, struct api_probes *out)
{
    for (uint32_t i = 0; i < im->n_layers; i++) {
        const struct img_layer *l = &im->layers[i];
        if (l->kind == IMG_LAYER_INPUT)
            continue;
        SPK_TRY(vec_push(&out->layers,
                         ((struct probe_layer){im->strings[l->name], i, l->channels, l->height,
                                               l->width, (enum ir_layout)l->layout})));
    }
    return SPK_OK;
}

spk_status probe_layers_of_module(const struct ir_module *m, struct api_probes *out)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_type *t = &m->node[i].type;
        if (m->node[i].op != IR_OP_NEURON)
            continue;
        SPK_TRY(vec_push(&out->layers, ((struct probe_layer){m->node[i].name, i, t->channels,
                                                             t->height, t->width, t->layout})));
    }
    return SPK_OK;
}

/* ---- reading ---- */

struct span {
    uint32_t first, last;
};

/* "3", "3-7" or "*" of `n`; false where it is none of these or beyond. */
static bool read_span(const char **at, uint32_t n, struct span *out)
{
    const char *p = *at;
    uint64_t v[2] = {0, 0};
    if (*p == '*') {
        *at = p + 1;
        *out = (struct span){0, n - 1};
        return n > 0;
    }
    for (int i = 0; i < 2; i++) {
        const char *begin = p;
        while (*p >= '0' && *p <= '9' && v[i] <= UINT32_MAX)
            v[i] = v[i] * 10 + (uint64_t)(*p++ - '0');
        if (p == begin)
            return false;
        if (i == 0 && *p != '-') {
            v[1] = v[0];
            break;
        }
        p += i == 0;
    }
    *at = p;
    *out = (struct span){(uint32_t)v[0], (uint32_t)v[1]};
    return v[0] <= v[1] && v[1] < n;
}

static spk_status add_point(struct api_probes *p, const struct probe_layer *l, uint32_t channel,
                            uint32_t position)
{
    return vec_push(&p->points, ((struct probe_point){l->id, channel, position}));
}

static spk_status add_index(struct api_probes *p, const struct probe_layer *l, uint32_t index)
{
    const uint32_t positions = l->height * l->width;
    if (l->layout == IR_NC)
        return add_point(p, l, index % l->channels, index / l->channels);
    return add_point(p, l, index / positions, index % positions);
}

static spk_status bad(spk_context *c, const struct probe_layer *l, const char *text)
{
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0939",
                                   "'%s' names no neurons of '%s'", text, l->name);
    const uint32_t all = l->channels * l->height * l->width;
    if (l->layout == IR_CHW)
        diag_help_set(
            &c->diags,
            "[0-%u] counts through it; [channel,row,column] goes up to [%u,%u,%u]; several "
            "with ; between",
            all - 1, l->channels - 1, l->height - 1, l->width - 1);
    else
        diag_help_set(
            &c->diags,
            "[0-%u] counts through it; [channel,token] goes up to [%u,%u]; several with ; "
            "between",
            all - 1, l->channels - 1, l->width - 1);
    return status;
}

/* One item up to ';' or ']'. */
static spk_status read_item(spk_context *c, struct api_probes *p, const struct probe_layer *l,
                            const char *text, const char **at)
{
    const uint32_t positions = l->height * l->width;
    struct span s[3];
    uint32_t n = 0;
    const char *end = *at + strcspn(*at, ";]");
    for (const char *q = *at; q < end; q++)
        n += *q == ',';
    const uint32_t size[3][3] = {{l->channels * positions, 0, 0},
                                 {l->channels, positions, 0},
                                 {l->channels, l->height, l->width}};
    bool good = n < 3 && (n == 0 || (n == 2) == (l->layout == IR_CHW));
    for (uint32_t i = 0; i <= n && good; i++) {
        good = read_span(at, size[n][i], &s[i]) && (i == n || **at == ',');
        *at += i < n;
    }
    if (!good || *at != end)
        return bad(c, l, text);
    for (uint32_t a = s[0].first; n == 0 && a <= s[0].last; a++)
        SPK_TRY(add_index(p, l, a));
    for (uint32_t a = s[0].first; n > 0 && a <= s[0].last; a++)
        for (uint32_t b = s[1].first; b <= s[1].last; b++)
            for (uint32_t d = n == 2 ? s[2].first : 0; d <= (n == 2 ? s[2].last : 0); d++)
                SPK_TRY(add_point(p, l, a, n == 2 ? b * l->width + d : b));
    return SPK_OK;
}

static spk_status find_layer(spk_context *c, const struct api_probes *p, const char *text,
                             size_t length, const struct probe_layer **out)
{
    struct name_hint hint;
    name_hint_init_n(&hint, text, length);
    for (size_t i = 0; i < p->layers.len; i++) {
        *out = &p->layers.data[i];
        if (strlen((*out)->name) == length && memcmp((*out)->name, text, length) == 0)
            return SPK_OK;
        name_hint_offer(&hint, (*out)->name);
    }
    spk_status status = diag_usage(&c->diags, spk_span_none, "E0969",
                                   "there is no layer '%.*s' to probe", (int)length, text);
    if (name_hint_best(&hint) != NULL)
        diag_help_set(&c->diags, "did you mean '%s'?", name_hint_best(&hint));
    return status;
}

static spk_status read_probe(spk_context *c, struct api_probes *p, const char *text,
                             struct probe_layer *out)
{
    const size_t length = strcspn(text, "[");
    const struct probe_layer *l = NULL;
    SPK_TRY(find_layer(c, p, text, length, &l));
    *out = *l;
    const char *at = text + length;
    if (*at == '\0') {
        for (uint32_t i = 0; i < l->channels * l->height * l->width; i++)
            SPK_TRY(add_index(p, l, i));
        return SPK_OK;
    }
    do {
        at++;
        SPK_TRY(read_item(c, p, l, text, &at));
    } while (*at == ';');
    return at[0] == ']' && at[1] == '\0' ? SPK_OK : bad(c, l, text);
}

static spk_status make_room(spk_context *c, struct api_probes *p)
{
    const uint64_t factors[] = {p->n_images, p->run.timesteps, p->points.len, 5};
    uint64_t bytes;
    if (!checked_product_u64(factors, 4, &bytes) || bytes > MOST_BYTES) {
        spk_status status =
            diag_usage(&c->diags, spk_span_none, "E0980",
                       "probes of %zu neurons over %u images take more than %llu MiB",
                       p->points.len, p->n_images, (unsigned long long)(MOST_BYTES >> 20));
        diag_help_set(&c->diags, "fewer neurons, or fewer images (--limit)");
        return status;
    }
    const size_t values = (size_t)(bytes / 5);
    SPK_TRY(spk_alloc_array(values, sizeof *p->run.membrane, &p->run.membrane));
    SPK_TRY(spk_alloc_array(values, sizeof *p->run.fired, &p->run.fired));
    return spk_alloc_array(p->points.len, sizeof *p->run.threshold, &p->run.threshold);
}

spk_status probes_read(spk_context *c, const char *const *texts, size_t n, uint32_t n_images,
                       uint32_t timesteps, struct api_probes *p)
{
    struct api_probes found = {.n_images = n_images};
    spk_status status = vec_push(&found.first, 0);
    for (size_t i = 0; i < n && status == SPK_OK; i++) {
        struct probe_layer layer;
        status = read_probe(c, p, texts[i], &layer);
        for (size_t k = 0; k < found.layers.len && status == SPK_OK; k++)
            if (found.layers.data[k].id == layer.id)
                status =
                    diag_usage(&c->diags, spk_span_none, "E0939",
                               "'%s' is probed twice; list its neurons with ; between", layer.name);
        if (status == SPK_OK)
            status = vec_push(&found.layers, layer);
        if (status == SPK_OK)
            status = vec_push(&found.first, (uint32_t)p->points.len);
    }
    vec_fini(&p->layers);
    p->layers.data = found.layers.data;
    p->layers.len = found.layers.len;
    p->layers.cap = found.layers.cap;
    p->first.data = found.first.data;
    p->first.len = found.first.len;
    p->first.cap = found.first.cap;
    p->n_images = n_images;
    SPK_TRY(status);
    p->run.timesteps = timesteps;
    p->run.n_points = (uint32_t)p->points.len;
    p->run.point = p->points.data;
    return make_room(c, p);
}

void probes_fini(struct api_probes *p)
{
    spk_free(p->run.membrane);
    spk_free(p->run.fired);
    spk_free(p->run.threshold);
    vec_fini(&p->layers);
    vec_fini(&p->first);
    vec_fini(&p->points);
    memset(p, 0, sizeof *p);
}

/* ---- writing ---- */

static void place_of(const struct probe_layer *l, const struct probe_point *at, int32_t out[3])
{
    out[0] = (int32_t)at->channel;
    out[1] = (int32_t)(at->position / l->width);
    out[2] = (int32_t)(at->position % l->width);
}

static spk_status write_csv(spk_context *c, const struct api_probes *p, uint32_t n_images,
                            const char *path)
{
    const struct probe_run *r = &p->run;
    struct file_writer *writer;
    struct strbuf text = {0};
    SPK_TRY(file_writer_create(path, &c->diags, &writer));
    strbuf_append(&text, "layer,channel,row,column,image,step,membrane,threshold,spike\n");
    spk_status status = SPK_OK;
    for (size_t l = 0; l < p->layers.len && status == SPK_OK; l++) {
        for (uint32_t i = p->first.data[l]; i < p->first.data[l + 1] && status == SPK_OK; i++) {
            int32_t at[3];
            place_of(&p->layers.data[l], &r->point[i], at);
            for (uint32_t k = 0; k < n_images && status == SPK_OK; k++) {
                for (uint32_t t = 0; t < r->timesteps; t++)
                    strbuf_printf(&text, "%s,%d,%d,%d,%u,%u,%d,%d,%u\n", p->layers.data[l].name,
                                  at[0], at[1], at[2], k, t, r->membrane[probe_at(r, k, t, i)],
                                  r->threshold[i], r->fired[probe_at(r, k, t, i)]);
                status = file_writer_text(writer, &text, false);
            }
        }
    }
    if (status == SPK_OK)
        status = file_writer_text(writer, &text, true);
    strbuf_fini(&text);
    if (status == SPK_OK)
        return file_writer_commit(writer);
    file_writer_abort(writer);
    return status;
}

/* Tensors of one layer, from the arrays of all points. */
static spk_status add_layer(const struct api_probes *p, size_t l, uint32_t n_images,
                            struct arena *arena, struct st_writer *w)
{
    const struct probe_run *r = &p->run;
    const uint32_t first = p->first.data[l], n = p->first.data[l + 1] - first;
    const size_t rows = (size_t)n_images * r->timesteps;
    const uint64_t shape[3] = {n_images, r->timesteps, n}, places[2] = {n, 3}, one[1] = {n};
    int32_t *membrane = ARENA_NEW_ARRAY(arena, int32_t, rows * n + 1);
    uint8_t *fired = ARENA_NEW_ARRAY(arena, uint8_t, rows * n + 1);
    int32_t *at = ARENA_NEW_ARRAY(arena, int32_t, 3 * (size_t)n + 1);
    const char *name = p->layers.data[l].name;
    if (membrane == NULL || fired == NULL || at == NULL)
        return SPK_ERR_NOMEM;
    for (size_t k = 0; k < rows; k++) {
        memcpy(membrane + k * n, r->membrane + k * r->n_points + first, n * sizeof *membrane);
        memcpy(fired + k * n, r->fired + k * r->n_points + first, n);
    }
    for (uint32_t i = 0; i < n; i++)
        place_of(&p->layers.data[l], &r->point[first + i], at + 3 * (size_t)i);
    const struct {
        const char *suffix;
        enum st_dtype dtype;
        uint32_t rank;
        const uint64_t *shape;
        const void *data;
    } tensors[] = {{"membrane", ST_I32, 3, shape, membrane},
                   {"spikes", ST_U8, 3, shape, fired},
                   {"neurons", ST_I32, 2, places, at},
                   {"threshold", ST_I32, 1, one, r->threshold + first}};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const char *full = arena_printf(arena, "%s.%s", name, tensors[i].suffix);
        if (full == NULL)
            return SPK_ERR_NOMEM;
        SPK_TRY(st_writer_add(w, full, tensors[i].dtype, tensors[i].rank, tensors[i].shape,
                              tensors[i].data));
    }
    return SPK_OK;
}

spk_status probes_write(spk_context *c, const struct api_probes *p, uint32_t n_images,
                        const char *level, const char *path)
{
    struct st_writer *w = NULL;
    struct arena arena;
    if (path_has_suffix(path, ".csv"))
        return write_csv(c, p, n_images, path);
    arena_init(&arena, 0);
    spk_status status = st_writer_create(&w);
    for (size_t l = 0; l < p->layers.len && status == SPK_OK; l++)
        status = add_layer(p, l, n_images, &arena, w);
    if (status == SPK_OK)
        status = st_writer_meta(w, "spikec_probes", "1");
    if (status == SPK_OK)
        status = st_writer_meta(w, "level", level);
    if (status == SPK_OK)
        status = st_writer_save(w, path, &c->diags);
    st_writer_destroy(w);
    arena_fini(&arena);
    return status;
}
