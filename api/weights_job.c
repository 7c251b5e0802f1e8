/* weights list, weights convert: files of tensors looked at and rewritten. */
#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/half.h"
#include "support/pth.h"
#include "support/safetensors.h"

struct weights {
    spk_context *c;
    const struct spk_weights_options *o;
    struct st_file *file;
    struct st_tensor *tensor; /* as they are written */
    void **converted;         /* per tensor; NULL: as it is */
    size_t n;
};

static void weights_fini(struct weights *w)
{
    for (size_t i = 0; i < w->n && w->converted; i++)
        spk_free(w->converted[i]);
    spk_free(w->converted);
    spk_free(w->tensor);
    st_close(w->file);
}

static spk_status open_input(struct weights *w)
{
    SPK_TRY(tensor_file_open(w->o->input, w->o->ema, &w->c->diags, &w->file));
    w->n = st_count(w->file);
    SPK_TRY(spk_alloc_array(w->n, sizeof *w->tensor, &w->tensor));
    SPK_TRY(spk_alloc_array(w->n, sizeof *w->converted, &w->converted));
    for (size_t i = 0; i < w->n; i++)
        w->tensor[i] = *st_at(w->file, i);
    return SPK_OK;
}

/* ---- what is in a file ---- */

static void report_tensors(const struct weights *w, struct api_report *r)
{
    struct strbuf *t = &r->result->text, shape = {0};
    uint64_t bytes = 0;
    jw_string(&r->w, "format", st_format(w->file));
    jw_array_begin(&r->w, "tensors");
    for (size_t i = 0; i < w->n; i++) {
        const struct st_tensor *x = &w->tensor[i];
        jw_object_begin(&r->w, NULL);
        jw_string(&r->w, "name", x->name);
        jw_string(&r->w, "dtype", st_dtype_name(x->dtype));
        jw_array_begin(&r->w, "shape");
        for (uint32_t k = 0; k < x->rank; k++)
            jw_u64(&r->w, NULL, x->shape[k]);
        jw_array_end(&r->w);
        jw_u64(&r->w, "bytes", x->size);
        jw_object_end(&r->w);
        strbuf_clear(&shape);
        st_describe(x, &shape);
        strbuf_printf(t, "%-44s %-22s %12zu\n", x->name, strbuf_cstr(&shape), x->size);
        bytes += x->size;
    }
    jw_array_end(&r->w);
    jw_array_begin(&r->w, "others");
    for (size_t i = 0; i < st_other_count(w->file); i++) {
        jw_string(&r->w, NULL, st_other_at(w->file, i));
        strbuf_printf(t, "beside the tensors: %s\n", st_other_at(w->file, i));
    }
    jw_array_end(&r->w);
    jw_u64(&r->w, "bytes", bytes);
    strbuf_printf(t, "%s: %zu tensors, %llu bytes\n", st_format(w->file), w->n,
                  (unsigned long long)bytes);
    strbuf_fini(&shape);
}

int spk_weights_list(spk_context *c, const struct spk_weights_options *o, spk_result **out_result)
{
    struct weights w = {.c = c, .o = o};
    struct api_report report;
    SPK_TRY(api_job(c, out_result, o != NULL && o->input != NULL, "spk_weights_list"));
    spk_status status = api_report_begin(&report, "weights");
    if (status == SPK_OK)
        status = open_input(&w);
    if (status == SPK_OK)
        report_tensors(&w, &report);
    weights_fini(&w);
    return api_report_end(&report, status, false, out_result);
}

/* ---- conversion ---- */

static bool is_float(enum st_dtype dtype)
{
    return dtype == ST_F16 || dtype == ST_BF16 || dtype == ST_F32 || dtype == ST_F64;
}

/* Through f32, which holds F16 and BF16 exactly. A finite value that becomes infinite is an
 * error: such weights are of no use, and nobody would see why. */
static spk_status convert_tensor(struct weights *w, size_t i, enum st_dtype to)
{
    struct st_tensor *t = &w->tensor[i];
    float *wide;
    uint16_t *narrow = NULL;
    bool overflow = false;
    SPK_TRY(spk_alloc_array_raw(t->count, sizeof *wide, &wide));
    w->converted[i] = wide;
    SPK_TRY(st_to_f32(t, wide));
    if (t->dtype == ST_F64) {
        for (uint64_t k = 0; k < t->count; k++) {
            double x;
            memcpy(&x, t->data + k * sizeof x, sizeof x);
            overflow |= isfinite(x) && !isfinite(wide[k]);
        }
    }
    if (to == ST_F16) {
        SPK_TRY(spk_alloc_array_raw(t->count, sizeof *narrow, &narrow));
        for (uint64_t k = 0; k < t->count; k++) {
            narrow[k] = half_from_f32(wide[k]);
            overflow |= isfinite(wide[k]) && !isfinite(half_to_f32(narrow[k]));
        }
        spk_free(wide);
        w->converted[i] = narrow;
    }
    if (overflow)
        return diag_error(&w->c->diags, st_place(w->file, t, &w->c->diags), "E0970",
                          "a value is too large for %s", st_dtype_name(to));
    t->dtype = to;
    t->size = (size_t)t->count * st_dtype_size(to);
    t->data = w->converted[i];
    return SPK_OK;
}

static spk_status convert_all(struct weights *w)
{
    enum st_dtype to = ST_F32;
    if (w->o->dtype == NULL)
        return SPK_OK;
    if (strcmp(w->o->dtype, "f16") == 0)
        to = ST_F16;
    else if (strcmp(w->o->dtype, "f32") != 0)
        return diag_usage(&w->c->diags, spk_span_none, "E0971", "--dtype is f32 or f16, not '%s'",
                          w->o->dtype);
    for (size_t i = 0; i < w->n; i++) {
        if (is_float(w->tensor[i].dtype) && w->tensor[i].dtype != to)
            SPK_TRY(convert_tensor(w, i, to));
    }
    return SPK_OK;
}

static spk_status save_safetensors(spk_context *c, const struct st_tensor *tensor, size_t n,
                                   const char *path)
{
    struct st_writer *writer;
    SPK_TRY(st_writer_create(&writer));
    spk_status status = st_writer_meta(writer, "format", "pt");
    for (size_t i = 0; status == SPK_OK && i < n; i++) {
        const struct st_tensor *t = &tensor[i];
        if (strcmp(t->name, "__metadata__") == 0)
            status = diag_error(&c->diags, diag_place(&c->diags, "%s: tensor %s", path, t->name),
                                "E0973", "safetensors reserves this name");
        else
            status = st_writer_add(writer, t->name, t->dtype, t->rank, t->shape, t->data);
    }
    if (status == SPK_OK)
        status = st_writer_save(writer, path, &c->diags);
    st_writer_destroy(writer);
    return status;
}

enum form { FORM_NONE, FORM_SAFETENSORS, FORM_CHECKPOINT };

static enum form form_of(const char *path)
{
    if (path_has_suffix(path, ".safetensors"))
        return FORM_SAFETENSORS;
    if (path_has_suffix(path, ".pth") || path_has_suffix(path, ".pt") ||
        path_has_suffix(path, ".pth.tar"))
        return FORM_CHECKPOINT;
    return FORM_NONE;
}

static spk_status check_form(spk_context *c, const char *path)
{
    if (form_of(path) != FORM_NONE)
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0972",
                      "'%s' ends neither in .safetensors nor in .pth, .pt or .pth.tar", path);
}

spk_status api_tensors_save(spk_context *c, const struct st_tensor *tensor, size_t n,
                            const char *path)
{
    SPK_TRY(check_form(c, path));
    if (form_of(path) == FORM_CHECKPOINT)
        return pth_save(tensor, n, path, &c->diags);
    return save_safetensors(c, tensor, n, path);
}

static spk_status convert(struct weights *w, struct api_report *r)
{
    SPK_TRY(check_form(w->c, w->o->output));
    SPK_TRY(open_input(w));
    SPK_TRY(convert_all(w));
    SPK_TRY(api_tensors_save(w->c, w->tensor, w->n, w->o->output));
    jw_string(&r->w, "output", w->o->output);
    report_tensors(w, r);
    return SPK_OK;
}

int spk_weights_convert(spk_context *c, const struct spk_weights_options *o,
                        spk_result **out_result)
{
    struct weights w = {.c = c, .o = o};
    struct api_report report;
    SPK_TRY(api_job(c, out_result, o != NULL && o->input != NULL && o->output != NULL,
                    "spk_weights_convert"));
    spk_status status = api_report_begin(&report, "weights");
    if (status == SPK_OK)
        status = convert(&w, &report);
    weights_fini(&w);
    return api_report_end(&report, status, false, out_result);
}
