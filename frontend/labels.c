/* Reading labels: IDX bytes or an integer tensor, checked against the images and the classes.
 *
 * Invariant: as many labels as images are used are handed out, each below the number of classes.
 * Cost: one pass over the file. */
#include <string.h>

#include "frontend/container.h"
#include "frontend/inputs.h"
#include "support/alloc.h"

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

static spk_status load(struct container *file, const struct ir_module *m,
                       const struct fe_input *input, struct diag_list *diags,
                       struct fe_labels *out_labels)
{
    struct label_reader r = {.name = file->name,
                             .diags = diags,
                             .n_available = input->n_available,
                             .n = input->input.n_images};
    SPK_TRY(container_look(file, diags));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (m->node[i].op == IR_OP_OUTPUT)
            r.classes = m->node[i].type.channels;
    }
    if (!r.classes)
        return diag_internal(diags, spk_span_none, "E0420", "the module has no output");
    SPK_TRY(spk_alloc_array(r.n, sizeof *r.label, &r.label));
    spk_status status;
    if (container_is_idx(file)) {
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
