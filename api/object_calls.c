/* What all objects share: arguments, sized structs, arrays, source texts, owners. */
#include <string.h>

#include "api/object_internal.h"
#include "support/alloc.h"
#include "support/checked.h"

_Static_assert(SPIKEC_MAX_RANK == ST_MAX_RANK, "public and internal arrays have the same rank");
_Static_assert(SPIKEC_BOOL == (int)ST_BOOL && SPIKEC_U8 == (int)ST_U8 && SPIKEC_I8 == (int)ST_I8 &&
                   SPIKEC_I16 == (int)ST_I16 && SPIKEC_U16 == (int)ST_U16 &&
                   SPIKEC_F16 == (int)ST_F16 && SPIKEC_BF16 == (int)ST_BF16 &&
                   SPIKEC_I32 == (int)ST_I32 && SPIKEC_U32 == (int)ST_U32 &&
                   SPIKEC_F32 == (int)ST_F32 && SPIKEC_F64 == (int)ST_F64 &&
                   SPIKEC_I64 == (int)ST_I64 && SPIKEC_U64 == (int)ST_U64,
               "public and internal element types are the same numbers");

/* ---- owners ---- */

spk_model *api_model_keep(spk_model *model)
{
    if (model != NULL)
        (void)atomic_fetch_add_explicit(&model->owners, 1, memory_order_relaxed);
    return model;
}

spk_target *api_target_keep(spk_target *target)
{
    if (target != NULL)
        (void)atomic_fetch_add_explicit(&target->owners, 1, memory_order_relaxed);
    return target;
}

spk_mapping *api_mapping_keep(spk_mapping *mapping)
{
    if (mapping != NULL)
        (void)atomic_fetch_add_explicit(&mapping->owners, 1, memory_order_relaxed);
    return mapping;
}

bool api_drop(atomic_uint *owners)
{
    return atomic_fetch_sub_explicit(owners, 1, memory_order_acq_rel) == 1;
}

/* ---- calls ---- */

/* Copies sources in their order, so that their numbers stay. */
static spk_status copy_sources(const struct diag_list *from, struct diag_list *to)
{
    for (size_t i = 0; i < from->sources.len; i++) {
        const struct source_file *s = &from->sources.data[i];
        uint32_t file;
        if (s->text != NULL)
            SPK_TRY(diag_source_add(to, s->name, s->text, s->length, &file));
        else
            file = diag_place(to, "%s", s->name).file;
        if (file != i + 1)
            return SPK_ERR_NOMEM;
    }
    return SPK_OK;
}

spk_status api_sources_keep(const spk_context *c, struct diag_list *out)
{
    diag_init(out);
    return copy_sources(&c->diags, out);
}

spk_status api_sources_adopt(spk_context *c, const struct diag_list *sources)
{
    return copy_sources(sources, &c->diags);
}

/* ---- sized structs ---- */

static bool is_zero(const unsigned char *bytes, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++)
        any |= bytes[i];
    return any == 0;
}

spk_status api_take(spk_context *c, const void *given, size_t first, size_t known, void *out)
{
    size_t size;
    memset(out, 0, known);
    if (given == NULL)
        return SPK_OK;
    memcpy(&size, given, sizeof size);
    if (size < first)
        return diag_usage(&c->diags, spk_span_none, "E1051",
                          "struct_size is %zu, the struct has %zu bytes: set it to sizeof the "
                          "struct",
                          size, first);
    const unsigned char *bytes = given;
    if (size > known && !is_zero(bytes + known, size - known))
        return diag_usage(&c->diags, spk_span_none, "E1051",
                          "a member behind byte %zu of the struct is set: this is version %s of "
                          "the library, which does not know it",
                          known, spk_version());
    memcpy(out, given, size < known ? size : known);
    return SPK_OK;
}

spk_status api_give(const void *filled, size_t first, size_t known, void *out)
{
    size_t size;
    if (out == NULL)
        return SPK_ERR_USAGE;
    memcpy(&size, out, sizeof size);
    if (size < first)
        return SPK_ERR_USAGE;
    memcpy(out, filled, size < known ? size : known);
    memcpy(out, &size, sizeof size);
    return SPK_OK;
}

/* ---- arrays ---- */

static spk_status bad_tensor(spk_context *c, const struct spk_tensor *t, const char *why)
{
    return diag_usage(&c->diags, spk_span_none, "E1052", "array '%s': %s", t->name ? t->name : "",
                      why);
}

spk_status api_tensor_take(spk_context *c, const struct spk_tensor *given, bool named,
                           struct st_tensor *out)
{
    struct spk_tensor t;
    uint64_t bytes = 1;
    SPK_TRY(API_TAKE(c, given, &t));
    if (named && (t.name == NULL || t.name[0] == '\0'))
        return bad_tensor(c, &t, "it has no name");
    if (t.dtype < 0 || t.dtype >= (int)ST_DTYPE_COUNT)
        return bad_tensor(c, &t, "its dtype is none of the element types");
    if (t.rank > SPIKEC_MAX_RANK)
        return bad_tensor(c, &t, "its rank is above 8");
    if (t.data == NULL)
        return bad_tensor(c, &t, "it has no data");
    *out = (struct st_tensor){.name = t.name,
                              .dtype = (enum st_dtype)t.dtype,
                              .rank = t.rank,
                              .data = t.data,
                              .count = 1};
    for (uint32_t i = 0; i < t.rank; i++) {
        out->shape[i] = t.shape[i];
        if (!checked_mul_u64(out->count, t.shape[i], &out->count))
            return bad_tensor(c, &t, "its shape is too large");
    }
    if (!checked_mul_u64(out->count, st_dtype_size(out->dtype), &bytes) ||
        !checked_size_from_u64(bytes, &out->size))
        return bad_tensor(c, &t, "its shape is too large");
    if (bytes == t.size)
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E1052",
                      "array '%s': its shape and type make %llu bytes, its size says %llu",
                      t.name ? t.name : "", (unsigned long long)bytes, (unsigned long long)t.size);
}

struct spk_tensor api_tensor_view(const struct st_tensor *t)
{
    struct spk_tensor v = {
        .name = t->name, .dtype = (int)t->dtype, .rank = t->rank, .data = t->data, .size = t->size};
    for (uint32_t i = 0; i < t->rank; i++)
        v.shape[i] = t->shape[i];
    return v;
}

/* ---- batches ---- */

static spk_status take_labels(spk_context *c, const struct spk_batch *b, const struct ir_module *m,
                              struct api_data *out)
{
    const uint32_t classes = api_classes(m), n = out->input.input.n_images;
    if (b->labels == NULL)
        return SPK_OK;
    if (b->n_labels != n)
        return diag_usage(&c->diags, spk_span_none, "E1053", "%zu labels for %u images",
                          b->n_labels, n);
    for (uint32_t i = 0; i < n; i++)
        if (b->labels[i] >= classes)
            return diag_error(&c->diags, spk_span_none, "E1062",
                              "label %u of image %u: the model has %u classes", b->labels[i], i,
                              classes);
    SPK_TRY(spk_alloc_array(n, sizeof *out->labels.label, &out->labels.label));
    memcpy(out->labels.label, b->labels, n * sizeof *b->labels);
    out->labels.n = n;
    return SPK_OK;
}

spk_status api_batch_load(spk_context *c, const struct spk_batch *batch, const struct ir_module *m,
                          struct api_data *out)
{
    struct st_tensor input;
    memset(out, 0, sizeof *out);
    if (batch->input == NULL)
        return diag_usage(&c->diags, spk_span_none, "E1050", "the batch has no input");
    SPK_TRY(api_tensor_take(c, batch->input, false, &input));
    SPK_TRY(fe_input_tensor(&input, "the batch", m, &c->diags, &out->input));
    if (m->stage == IR_STAGE_QUANTISED)
        api_warn_clipped(c, m, &out->input.input);
    spk_status status = take_labels(c, batch, m, out);
    if (status != SPK_OK)
        api_data_fini(out);
    return status;
}
