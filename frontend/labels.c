/* Reading labels: IDX bytes, an integer tensor or text, checked against the images and the classes.
 *
 * Invariant: as many labels as images are used are handed out, each below the number of classes.
 * Cost: one pass over the file. */
#include <string.h>

#include "frontend/container.h"
#include "frontend/inputs.h"
#include "support/alloc.h"
#include "support/file.h"

struct label_reader {
    const char *name;
    struct diag_list *diags;
    uint64_t n_available; /* images in the input file */
    uint32_t n, classes;
    uint32_t *label; /* [n] */
};

void fe_labels_fini(struct fe_labels *labels)
{
    spk_free(labels->label);
    *labels = (struct fe_labels){0};
}

static struct spk_span place(const struct label_reader *r)
{
    return diag_place(r->diags, "%s", r->name);
}

static spk_status check_count(const struct label_reader *r, uint64_t count)
{
    if (count < r->n_available)
        return diag_error(r->diags, place(r), "E0422", "%llu labels for %llu images",
                          (unsigned long long)count, (unsigned long long)r->n_available);
    if (count > r->n_available)
        diag_warning(r->diags, place(r), "W0422",
                     "%llu labels for %llu images; the first ones are used",
                     (unsigned long long)count, (unsigned long long)r->n_available);
    return SPK_OK;
}

static spk_status take_label(struct label_reader *r, uint32_t image, int64_t value)
{
    if (value < 0 || value >= r->classes)
        return diag_error(r->diags, place(r), "E0423",
                          "label %lld of image %u is no class; the model has classes 0 to %u",
                          (long long)value, image, r->classes - 1);
    r->label[image] = (uint32_t)value;
    return SPK_OK;
}

static spk_status take_idx(struct label_reader *r, const struct idx_array *a)
{
    if (a->rank != 1)
        return diag_error(r->diags, place(r), "E0421",
                          "labels must be one list of bytes, IDX [N]; this file has rank %u",
                          a->rank);
    SPK_TRY(check_count(r, a->dims[0]));
    for (uint32_t i = 0; i < r->n; i++)
        SPK_TRY(take_label(r, i, a->data[i]));
    return SPK_OK;
}

static spk_status take_tensor(struct label_reader *r, const struct st_file *file)
{
    const struct st_tensor *t;
    SPK_TRY(st_require(file, "labels", r->diags, &t));
    bool integer = t->dtype != ST_F16 && t->dtype != ST_BF16 && t->dtype != ST_F32 &&
                   t->dtype != ST_F64 && t->dtype != ST_BOOL;
    if (t->rank != 1 || !integer) {
        struct strbuf have = {0};
        st_describe(t, &have);
        spk_status status =
            diag_error(r->diags, st_place(file, t, r->diags), "E0421",
                       "labels must be integers of shape [N], found %s", strbuf_cstr(&have));
        strbuf_fini(&have);
        return status;
    }
    SPK_TRY(check_count(r, t->count));
    struct st_tensor used = *t;
    int64_t *values;
    used.shape[0] = used.count = r->n;
    used.size = (size_t)used.count * st_dtype_size(t->dtype);
    SPK_TRY(spk_alloc_array_raw(r->n, sizeof *values, &values));
    spk_status status = st_to_i64(&used, values, NULL);
    if (status == SPK_ERR_INPUT)
        status =
            diag_error(r->diags, st_place(file, t, r->diags), "E0423", "a label is beyond 64 bits");
    for (uint32_t i = 0; status == SPK_OK && i < r->n; i++)
        status = take_label(r, i, values[i]);
    spk_free(values);
    return status;
}

/* ---- text ---- */

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == ',' || c == ';' || c == '\r';
}

struct line {
    const char *name, *label; /* name NULL: a label alone */
    size_t name_length, label_length;
};

/* Cuts a line at its last gap; false where it is empty. */
static bool split_line(const char *text, size_t n, struct line *out)
{
    size_t begin;
    *out = (struct line){0};
    while (n > 0 && is_gap(text[n - 1]))
        n--;
    while (n > 0 && is_gap(*text))
        text++, n--;
    if (n == 0)
        return false;
    for (begin = n; begin > 0 && !is_gap(text[begin - 1]);)
        begin--;
    out->label = text + begin;
    out->label_length = n - begin;
    while (begin > 0 && is_gap(text[begin - 1]))
        begin--;
    if (begin > 0) {
        out->name = text;
        out->name_length = begin;
    }
    return true;
}

/* Index of a file of the input's folder by name (they are sorted); -1 when there is none. */
static int64_t find_name(const struct fe_input *input, const char *name, size_t length)
{
    uint64_t low = 0, high = input->names ? input->n_available : 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = strncmp(input->names[middle], name, length);
        if (order == 0 && input->names[middle][length])
            order = 1;
        if (order == 0)
            return (int64_t)middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

/* One line; `count` are the labels before it. Names that are no file of the folder are passed over:
 * one list may serve for several folders. */
static spk_status take_line(struct label_reader *r, const struct fe_input *input,
                            const struct line *line, uint64_t count, bool *seen)
{
    int64_t label, at = (int64_t)count;
    if (!spk_parse_i64(line->label, line->label_length, &label)) {
        if (count == 0)
            return SPK_OK; /* a heading */
        return diag_error(r->diags, place(r), "E0424", "line %llu: '%.*s' is no label",
                          (unsigned long long)count + 1,
                          line->label_length < 60 ? (int)line->label_length : 60, line->label);
    }
    if (line->name)
        at = find_name(input, line->name, line->name_length);
    if (at < 0 || at >= r->n)
        return SPK_OK;
    if (seen[at])
        return diag_error(r->diags, place(r), "E0424", "'%.*s' has two labels",
                          line->name_length < 60 ? (int)line->name_length : 60, line->name);
    seen[at] = true;
    return take_label(r, (uint32_t)at, label);
}

static spk_status take_text(struct label_reader *r, const struct fe_input *input, const char *text,
                            size_t size)
{
    uint64_t count = 0;
    bool *seen;
    SPK_TRY(spk_alloc_array(r->n, sizeof *seen, &seen));
    spk_status status = SPK_OK;
    for (size_t at = 0, n; status == SPK_OK && at < size; at += n + 1) {
        struct line line;
        const char *end = memchr(text + at, '\n', size - at);
        n = end ? (size_t)(end - text) - at : size - at;
        if (!split_line(text + at, n, &line))
            continue;
        status = take_line(r, input, &line, count, seen);
        count++;
    }
    for (uint32_t i = 0; status == SPK_OK && i < r->n; i++) {
        if (!seen[i])
            status = diag_error(r->diags, place(r), "E0424", "image %u%s%s has no label", i,
                                input->names ? ", " : "", input->names ? input->names[i] : "");
    }
    spk_free(seen);
    return status;
}

static spk_status load_text(struct label_reader *r, const struct fe_input *input,
                            const struct container *file)
{
    char *text = NULL;
    size_t size = file->size;
    if (!file->data)
        SPK_TRY(file_read(file->name, 0, r->diags, &text, &size));
    spk_status status = take_text(r, input, text ? text : (const char *)file->data, size);
    spk_free(text);
    return status;
}

static spk_status load(struct container *file, const struct ir_module *m,
                       const struct fe_input *input, struct diag_list *diags,
                       struct fe_labels *out_labels)
{
    struct label_reader r = {.name = file->name,
                             .diags = diags,
                             .n_available = input->n_available,
                             .n = input->input.n_images};
    SPK_TRY(container_look(file, diags));
    uint32_t outputs = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op != IR_OP_OUTPUT)
            continue;
        outputs++;
        r.classes = m->node[i].type.channels;
        if (outputs > 1 || m->node[i].type.layout != IR_C)
            return diag_usage(diags, spk_span_none, "E0724",
                              "model '%s' tells no classes: it takes no labels", m->name);
    }
    if (!r.classes)
        return diag_internal(diags, spk_span_none, "E0420", "the module has no output");
    SPK_TRY(spk_alloc_array(r.n, sizeof *r.label, &r.label));
    spk_status status;
    if (container_is_text(file)) {
        status = load_text(&r, input, file);
    } else if (container_is_idx(file)) {
        struct idx_array array = {0};
        status = container_open_idx(file, diags, &array);
        if (status == SPK_OK)
            status = take_idx(&r, &array);
        idx_fini(&array);
    } else {
        struct st_file *tensors = NULL;
        status = container_open_tensors(file, diags, &tensors);
        if (status == SPK_OK)
            status = take_tensor(&r, tensors);
        st_close(tensors);
    }
    if (status == SPK_OK)
        *out_labels = (struct fe_labels){r.n, r.label};
    else
        spk_free(r.label);
    return status;
}

spk_status fe_labels_load(const char *path, const struct ir_module *m, const struct fe_input *input,
                          struct diag_list *diags, struct fe_labels *out_labels)
{
    struct container file = {.name = path};
    return load(&file, m, input, diags, out_labels);
}

spk_status fe_labels_parse(const void *data, size_t size, const char *name,
                           const struct ir_module *m, const struct fe_input *input,
                           struct diag_list *diags, struct fe_labels *out_labels)
{
    struct container file = {.name = name, .data = data, .size = size};
    return load(&file, m, input, diags, out_labels);
}
