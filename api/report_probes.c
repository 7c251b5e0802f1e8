/* Reads probes for the report. Both formats end in `take_layer`, which checks every value of a
 * layer against the folder and keeps a sample; a CSV file is read one layer at a time. */
#include "api/report_probes.h"

#include <string.h>

#include "support/alloc.h"
#include "support/file.h"
#include "support/safetensors.h"
#include "support/vec.h"

static const char HEADER[] = "layer,channel,row,column,image,step,membrane,threshold,spike";

struct reader {
    const struct rep_folder *f;
    struct diag_list *d;
    const char *path;
    struct rep_probes *out; /* its layer has room for all of the folder */
};

/* All probed values of a layer. */
struct values {
    uint64_t n;           /* neurons */
    const int32_t *place; /* [n][3] channel, row, column */
    const int32_t *threshold;
    const int32_t *membrane;
    const uint8_t *fired;
    uint64_t neuron, image, step; /* strides of membrane and fired */
};

static spk_status no_probes(const struct reader *r)
{
    spk_status status =
        diag_error(r->d, spk_span_none, "E1070", "'%s' holds no probes", path_base(r->path));
    diag_help_set(r->d, "simulate --probe LAYER[NEURONS] --probe-out FILE writes such a file");
    return status;
}

/* A layer of the folder that the file has not named before. */
static spk_status find_layer(const struct reader *r, const char *name, size_t length,
                             uint32_t *out_layer)
{
    uint32_t i = 0;
    while (i < r->f->n_layers && (strlen(r->f->layer[i].name) != length ||
                                  memcmp(r->f->layer[i].name, name, length) != 0))
        i++;
    if (i == r->f->n_layers)
        return diag_error(r->d, spk_span_none, "E1071",
                          "'%s' has probes of '%.*s', which is no layer of the folder",
                          path_base(r->path), (int)length, name);
    for (uint32_t k = 0; k < r->out->n_layers; k++)
        if (r->out->layer[k].layer == i)
            return diag_error(r->d, spk_span_none, "E1071", "'%s' has probes of '%s' twice",
                              path_base(r->path), r->f->layer[i].name);
    *out_layer = i;
    return SPK_OK;
}

/* ---- a layer ---- */

static spk_status check_values(const struct reader *r, const struct rep_layer *l,
                               const struct values *v)
{
    const uint32_t size[3] = {l->channels, l->height, l->width};
    for (uint64_t i = 0; i < 3 * v->n; i++)
        if (v->place[i] < 0 || (uint32_t)v->place[i] >= size[i % 3])
            return diag_error(r->d, spk_span_none, "E1073",
                              "'%s' has no neuron %d,%d,%d; its shape is %u,%u,%u", l->name,
                              v->place[i / 3 * 3], v->place[i / 3 * 3 + 1], v->place[i / 3 * 3 + 2],
                              size[0], size[1], size[2]);
    const uint64_t n = v->n * r->out->images * r->out->timesteps;
    for (uint64_t i = 0; i < n; i++)
        if (v->fired[i] > 1)
            return diag_error(r->d, spk_span_none, "E1073", "spikes of '%s' are 0 or 1, not %u",
                              l->name, v->fired[i]);
    return SPK_OK;
}

static bool tile_holds(const struct rep_tile *t, const uint32_t place[3])
{
    return place[0] >= t->range[4] && place[0] < t->range[5] && place[1] >= t->range[0] &&
           place[1] < t->range[1] && place[2] >= t->range[2] && place[2] < t->range[3];
}

static void find_cores(const struct rep_folder *f, struct rep_probed_layer *l)
{
    for (uint32_t t = 0; t < f->n_tiles; t++)
        for (uint32_t i = 0; i < l->n_shown && f->tile[t].layer == l->layer; i++)
            if (l->neuron[i].core < 0 && tile_holds(&f->tile[t], l->neuron[i].place))
                l->neuron[i].core = f->tile[t].core;
}

static void pick(const struct rep_probes *p, const struct values *v, struct rep_probed_layer *l)
{
    uint64_t at = 0;
    for (uint32_t s = 0; s < l->n_shown; s++) {
        const uint64_t i = s * v->n / l->n_shown;
        l->neuron[s].core = -1;
        l->neuron[s].threshold = v->threshold[i];
        for (size_t k = 0; k < 3; k++)
            l->neuron[s].place[k] = (uint32_t)v->place[3 * i + k];
        for (uint32_t image = 0; image < p->images_shown; image++)
            for (uint32_t t = 0; t < p->timesteps; t++, at++) {
                const uint64_t from = i * v->neuron + image * v->image + t * v->step;
                l->membrane[at] = v->membrane[from];
                if (v->fired[from])
                    l->fired[at / 8] |= (uint8_t)(1u << at % 8);
            }
    }
}

static spk_status take_layer(const struct reader *r, uint32_t layer, const struct values *v)
{
    struct rep_probes *p = r->out;
    struct rep_probed_layer *l = &p->layer[p->n_layers];
    SPK_TRY(check_values(r, &r->f->layer[layer], v));
    p->n_layers++;
    p->images_shown = rep_shown_images(p->images, p->timesteps);
    l->layer = layer;
    l->neurons = v->n;
    l->n_shown = v->n < REP_SAMPLED ? (uint32_t)v->n : REP_SAMPLED;
    const size_t values = (size_t)l->n_shown * p->images_shown * p->timesteps;
    SPK_TRY(spk_alloc_array(l->n_shown, sizeof *l->neuron, &l->neuron));
    SPK_TRY(spk_alloc_array(values, sizeof *l->membrane, &l->membrane));
    SPK_TRY(spk_alloc_array((values + 7) / 8, 1, &l->fired));
    pick(p, v, l);
    find_cores(r->f, l);
    return SPK_OK;
}

/* ---- safetensors ---- */

/* Tensor LAYER.suffix of that type and rank, and with sizes [0] to [rank - 1]; 0: any. */
static spk_status find_tensor(const struct reader *r, const struct st_file *file, const char *layer,
                              const char *suffix, enum st_dtype dtype, uint32_t rank,
                              const uint64_t *sizes, const struct st_tensor **out)
{
    struct strbuf name = {0}, found = {0};
    strbuf_printf(&name, "%s.%s", layer, suffix);
    spk_status status = name.status;
    if (status == SPK_OK)
        status = st_require(file, strbuf_cstr(&name), r->d, out);
    bool good = status == SPK_OK && (*out)->dtype == dtype && (*out)->rank == rank;
    for (uint32_t i = 0; i < rank && good; i++)
        good = (*out)->shape[i] > 0 && (sizes[i] == 0 || (*out)->shape[i] == sizes[i]);
    if (status == SPK_OK && !good) {
        st_describe(*out, &found);
        strbuf_clear(&name);
        for (uint32_t i = 0; i < rank; i++)
            if (sizes[i] > 0)
                strbuf_printf(&name, "%s%llu", i ? "," : "", (unsigned long long)sizes[i]);
            else
                strbuf_append(&name, i ? ",N" : "N");
        status = diag_error(r->d, st_place(file, *out, r->d), "E1072",
                            "this is %s; the folder's probes are %s[%s]", strbuf_cstr(&found),
                            st_dtype_name(dtype), strbuf_cstr(&name));
    }
    strbuf_fini(&name);
    strbuf_fini(&found);
    return status;
}

/* A copy as int32_t; released with spk_free. */
static spk_status copy_of(const struct st_tensor *t, int32_t **out)
{
    SPK_TRY(spk_alloc_array(t->count, sizeof **out, out));
    return st_to_i32(t, *out, NULL);
}

static spk_status take_tensors(const struct reader *r, const struct st_file *file, uint32_t layer)
{
    const char *name = r->f->layer[layer].name;
    const struct st_tensor *membrane, *fired, *place, *threshold;
    int32_t *copy[3] = {NULL, NULL, NULL};
    uint64_t size[3] = {r->out->images, r->out->timesteps, 0};
    SPK_TRY(find_tensor(r, file, name, "membrane", ST_I32, 3, size, &membrane));
    memcpy(size, membrane->shape, sizeof size);
    const uint64_t places[2] = {size[2], 3};
    SPK_TRY(find_tensor(r, file, name, "spikes", ST_U8, 3, size, &fired));
    SPK_TRY(find_tensor(r, file, name, "neurons", ST_I32, 2, places, &place));
    SPK_TRY(find_tensor(r, file, name, "threshold", ST_I32, 1, places, &threshold));
    r->out->images = size[0];
    spk_status status = copy_of(membrane, &copy[0]);
    if (status == SPK_OK)
        status = copy_of(place, &copy[1]);
    if (status == SPK_OK)
        status = copy_of(threshold, &copy[2]);
    if (status == SPK_OK) {
        const struct values v = {size[2],     copy[1], copy[2],           copy[0],
                                 fired->data, 1,       size[1] * size[2], size[2]};
        status = take_layer(r, layer, &v);
    }
    for (int i = 0; i < 3; i++)
        spk_free(copy[i]);
    return status;
}

static spk_status read_tensors(const struct reader *r, const struct st_file *file)
{
    static const char suffix[] = ".membrane";
    const char *version = st_meta(file, "spikec_probes"), *level = st_meta(file, "level");
    if (version == NULL || strcmp(version, "1") != 0)
        return no_probes(r);
    if (level != NULL)
        r->out->level = strcmp(level, "M") == 0 ? "M" : strcmp(level, "Q") == 0 ? "Q" : NULL;
    for (size_t i = 0; i < st_count(file); i++) {
        const char *name = st_at(file, i)->name;
        uint32_t layer;
        if (!path_has_suffix(name, suffix))
            continue;
        SPK_TRY(find_layer(r, name, strlen(name) - strlen(suffix), &layer));
        SPK_TRY(take_tensors(r, file, layer));
    }
    return SPK_OK;
}

/* ---- CSV ---- */

struct row {
    const char *name;
    size_t name_length;
    int32_t place[3], image, step, membrane, threshold, spike;
};

struct table {
    const struct reader *r;
    size_t line;
    struct row last; /* of the line before */
    uint64_t rows;   /* of the neuron so far */
    uint32_t layer;
    VEC(int32_t) place;
    VEC(int32_t) threshold;
    VEC(int32_t) membrane;
    VEC(uint8_t) fired;
};

static spk_status bad_line(const struct table *t, const char *what)
{
    return diag_error(t->r->d, diag_place(t->r->d, "%s:%zu", path_base(t->r->path), t->line),
                      "E1074", "%s", what);
}

/* Fields are read from the end: a layer's name may hold a comma. */
static bool read_row(const char *text, size_t length, struct row *out)
{
    int32_t *const field[8] = {&out->place[0], &out->place[1], &out->place[2],  &out->image,
                               &out->step,     &out->membrane, &out->threshold, &out->spike};
    for (int i = 8; i-- > 0;) {
        size_t begin = length;
        int64_t v;
        while (begin > 0 && text[begin - 1] != ',')
            begin--;
        if (begin == 0 || !spk_parse_i64(text + begin, length - begin, &v) || v < INT32_MIN ||
            v > INT32_MAX)
            return false;
        *field[i] = (int32_t)v;
        length = begin - 1;
    }
    out->name = text;
    out->name_length = length;
    return true;
}

static bool same_layer(const struct row *a, const struct row *b)
{
    return a->name_length == b->name_length && memcmp(a->name, b->name, a->name_length) == 0;
}

/* The first neuron tells how many images there are. */
static spk_status end_neuron(struct table *t)
{
    struct rep_probes *p = t->r->out;
    if (t->rows == 0)
        return SPK_OK;
    if (p->images == 0)
        p->images = t->rows / p->timesteps;
    if (t->rows != p->images * p->timesteps)
        return bad_line(t, "the neuron before has not all steps of all images");
    return SPK_OK;
}

static spk_status end_layer(struct table *t)
{
    const uint64_t row = t->r->out->images * t->r->out->timesteps;
    if (t->rows == 0)
        return SPK_OK;
    const struct values v = {
        t->threshold.len, t->place.data, t->threshold.data,    t->membrane.data,
        t->fired.data,    row,           t->r->out->timesteps, 1};
    SPK_TRY(take_layer(t->r, t->layer, &v));
    vec_clear(&t->place);
    vec_clear(&t->threshold);
    vec_clear(&t->membrane);
    vec_clear(&t->fired);
    return SPK_OK;
}

static spk_status begin_neuron(struct table *t, const struct row *row)
{
    SPK_TRY(end_neuron(t));
    if (t->rows == 0 || !same_layer(row, &t->last)) {
        SPK_TRY(end_layer(t));
        SPK_TRY(find_layer(t->r, row->name, row->name_length, &t->layer));
    }
    t->rows = 0;
    for (int k = 0; k < 3; k++)
        SPK_TRY(vec_push(&t->place, row->place[k]));
    return vec_push(&t->threshold, row->threshold);
}

static spk_status add_row(struct table *t, const struct row *row)
{
    const uint32_t steps = t->r->out->timesteps;
    const uint64_t images = t->r->out->images;
    if (row->spike != 0 && row->spike != 1)
        return bad_line(t, "a spike is 0 or 1");
    if (row->image == 0 && row->step == 0)
        SPK_TRY(begin_neuron(t, row));
    else if (t->rows == 0 || !same_layer(row, &t->last) || row->threshold != t->last.threshold ||
             memcmp(row->place, t->last.place, sizeof row->place) != 0)
        return bad_line(t, "a neuron begins at image 0, step 0");
    if (row->step < 0 || (uint32_t)row->step >= steps || row->image < 0 ||
        (uint64_t)row->image * steps + (uint64_t)row->step != t->rows ||
        (images > 0 && t->rows >= images * steps)) {
        spk_status status = bad_line(t, "images and steps of a neuron follow each other, as many "
                                        "as of the first");
        diag_help_set(t->r->d, "the folder has %u steps an image", steps);
        return status;
    }
    t->rows++;
    t->last = *row;
    SPK_TRY(vec_push(&t->membrane, row->membrane));
    return vec_push(&t->fired, (uint8_t)row->spike);
}

static spk_status read_lines(struct table *t, const char *text, size_t length)
{
    const char *const end = text + length;
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const char *next = stop != NULL ? stop + 1 : end;
        size_t n = (size_t)((stop != NULL ? stop : end) - text);
        struct row row;
        n -= n > 0 && text[n - 1] == '\r';
        if (t->line++ == 0) {
            if (n != strlen(HEADER) || memcmp(text, HEADER, n) != 0)
                return no_probes(t->r);
        } else if (!read_row(text, n, &row)) {
            return bad_line(t, "a line is the layer's name and eight 32-bit integers");
        } else {
            SPK_TRY(add_row(t, &row));
        }
        text = next;
    }
    SPK_TRY(end_neuron(t));
    return end_layer(t);
}

static spk_status read_table(const struct reader *r)
{
    struct table t = {.r = r};
    char *text = NULL;
    size_t length;
    SPK_TRY(file_read(r->path, 0, r->d, &text, &length));
    spk_status status = read_lines(&t, text, length);
    vec_fini(&t.place);
    vec_fini(&t.threshold);
    vec_fini(&t.membrane);
    vec_fini(&t.fired);
    spk_free(text);
    return status;
}

spk_status report_probes_read(const char *path, const struct rep_folder *f, struct diag_list *d,
                              struct rep_probes *out)
{
    const struct reader r = {f, d, path, out};
    struct st_file *file = NULL;
    spk_status status;
    memset(out, 0, sizeof *out);
    out->file = path_base(path);
    out->timesteps = f->timesteps;
    SPK_TRY(spk_alloc_array(f->n_layers, sizeof *out->layer, &out->layer));
    if (path_has_suffix(path, ".csv")) {
        status = read_table(&r);
    } else {
        status = st_open(path, d, &file);
        if (status == SPK_OK)
            status = read_tensors(&r, file);
        st_close(file);
    }
    if (status == SPK_OK && out->n_layers == 0)
        status = no_probes(&r);
    if (status != SPK_OK)
        report_probes_fini(out);
    return status;
}

void report_probes_fini(struct rep_probes *p)
{
    for (uint32_t i = 0; i < p->n_layers; i++) {
        spk_free(p->layer[i].neuron);
        spk_free(p->layer[i].membrane);
        spk_free(p->layer[i].fired);
    }
    spk_free(p->layer);
    memset(p, 0, sizeof *p);
}
