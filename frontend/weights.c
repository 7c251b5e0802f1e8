/* Binding weights.
 *
 * Algorithm: (1) the tensors of the file are sorted by name; (2) every param looks its tensor up,
 * compares shapes without trailing ones, takes the data in place or converts it, and looks at every
 * value; (3) only when all went well does the module get pointers, converted buffers and the open
 * file.
 * Invariants: after an error the module is unchanged; data handed to the module is finite f32.
 * Cost: O(tensors log tensors + values); each value is read once. In place needs a little-endian
 * host and data aligned to 4 bytes.                                                              */
#include "frontend/weights.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "support/name_hint.h"
#include "support/alloc.h"
#include "support/checked.h"
#include "support/pth.h"
#include "support/safetensors.h"

#define MAX_HINTS 20u /* missing tensors that get a suggestion; later ones are a flood */

struct entry {
    const struct st_tensor *tensor;
    size_t order; /* in the file */
    bool used;
};

struct binding {
    const float *data;
    float *converted; /* owned until the module takes it */
};

struct binder {
    struct ir_module *m;
    struct diag_list *diags;
    struct st_file *file;
    struct arena scratch;
    struct entry *entry; /* sorted by name */
    size_t n_entries;
    struct binding *binding; /* per param */
    bool *variance;          /* per param: a running variance */
    uint32_t n_missing;
    spk_status status;
};

void fe_weights_report_fini(struct fe_weights_report *report)
{
    for (uint32_t i = 0; i < report->n_ignored; i++)
        spk_free(report->ignored[i]);
    spk_free(report->ignored);
    *report = (struct fe_weights_report){0};
}

static void fail(struct binder *b, spk_status status)
{
    if (b->status == SPK_OK || status == SPK_ERR_NOMEM)
        b->status = status;
}

/* ---- names ---- */

static int compare_entries(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    return strcmp(a->tensor->name, b->tensor->name);
}

static spk_status collect_entries(struct binder *b)
{
    b->n_entries = st_count(b->file);
    b->entry = ARENA_NEW_ARRAY(&b->scratch, struct entry, b->n_entries);
    if (!b->entry)
        return SPK_ERR_NOMEM;
    for (size_t i = 0; i < b->n_entries; i++)
        b->entry[i] = (struct entry){.tensor = st_at(b->file, i), .order = i};
    if (b->n_entries)
        qsort(b->entry, b->n_entries, sizeof *b->entry, compare_entries);
    return SPK_OK;
}

static struct entry *find_entry(const struct binder *b, const char *name)
{
    size_t low = 0, high = b->n_entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(b->entry[middle].tensor->name, name);
        if (order == 0)
            return &b->entry[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- complaints ---- */

static void describe_param(const struct ir_param *p, struct strbuf *out)
{
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < p->rank; i++)
        strbuf_printf(out, "%s%u", i ? "," : "", p->dim[i]);
    strbuf_char(out, ']');
}

static void missing(struct binder *b, const struct ir_param *p)
{
    struct name_hint hint;
    struct strbuf shape = {0};
    size_t length = strlen(p->name);
    const char *suffix = NULL;
    describe_param(p, &shape);
    fail(b, diag_error(b->diags, diag_place(b->diags, "%s", st_name(b->file)), "E0403",
                       "tensor '%s' %s is missing", p->name, strbuf_cstr(&shape)));
    strbuf_fini(&shape);
    if (p->span.file)
        diag_note_add(b->diags, p->span, "the model uses it here");
    if (b->n_missing++ >= MAX_HINTS)
        return;
    name_hint_init(&hint, p->name);
    for (size_t i = 0; i < b->n_entries; i++) {
        const char *name = b->entry[i].tensor->name;
        size_t n = strlen(name);
        if (b->entry[i].used)
            continue;
        name_hint_offer(&hint, name);
        if (!suffix && n > length + 1 && name[n - length - 1] == '.' &&
            strcmp(name + n - length, p->name) == 0)
            suffix = name;
    }
    if (suffix)
        diag_help_set(b->diags, "the file has '%s': bind its prefix with --bind %.*s=", suffix,
                      (int)(strlen(suffix) - length - 1), suffix);
    else if (name_hint_best(&hint))
        diag_help_set(b->diags, "the file has '%s'; another name is bound with --bind FROM=TO",
                      name_hint_best(&hint));
}

/* "[1,0,2,2]" of a flat index. */
static void describe_index(const struct st_tensor *t, uint64_t index, struct strbuf *out)
{
    uint64_t at[ST_MAX_RANK];
    for (uint32_t i = t->rank; i-- > 0;) {
        at[i] = index % t->shape[i];
        index /= t->shape[i];
    }
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < t->rank; i++) {
        strbuf_append(out, i ? "," : "");
        strbuf_u64(out, at[i]);
    }
    strbuf_char(out, ']');
}

static void bad_value(struct binder *b, const struct st_tensor *t, uint64_t index, float value,
                      const char *why)
{
    struct strbuf text = {0};
    strbuf_f32(&text, value);
    strbuf_append(&text, " at ");
    describe_index(t, index, &text);
    fail(b, diag_error(b->diags, st_place(b->file, t, b->diags), "E0405", "value %s %s",
                       strbuf_cstr(&text), why));
    strbuf_fini(&text);
}

/* ---- data ---- */

static bool shapes_agree(const struct ir_param *p, const struct st_tensor *t)
{
    uint32_t at = 0, np = p->rank, nt = t->rank;
    while (np > 0 && p->dim[np - 1] == 1)
        np--;
    while (nt > 0 && t->shape[nt - 1] == 1)
        nt--;
    while (nt > np && t->shape[at] == 1) /* a batch of one: mask_token, pos_embed */
        at++, nt--;
    if (np != nt)
        return false;
    for (uint32_t i = 0; i < np; i++) {
        if (p->dim[i] != t->shape[at + i])
            return false;
    }
    return true;
}

static bool in_place(const struct st_tensor *t)
{
    return t->dtype == ST_F32 && ((uintptr_t)t->data % _Alignof(float)) == 0 &&
           __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
}

/* Looks at every value; in blocks, so that the common case has no branch per value. */
static void check_values(struct binder *b, const struct st_tensor *t, const float *data,
                         bool variance)
{
    for (uint64_t begin = 0; begin < t->count; begin += 4096) {
        uint64_t end = t->count - begin < 4096 ? t->count : begin + 4096;
        bool bad = false;
        for (uint64_t i = begin; i < end; i++)
            bad |= (!isfinite(data[i])) | (variance & (data[i] < 0.0f));
        for (uint64_t i = begin; bad && i < end; i++) {
            if (!isfinite(data[i])) {
                bad_value(b, t, i, data[i], "is not finite");
                return;
            }
            if (variance && data[i] < 0.0f) {
                bad_value(b, t, i, data[i], "is negative, but a variance is not");
                return;
            }
        }
    }
}

static spk_status take_data(const struct st_tensor *t, struct binding *binding)
{
    if (in_place(t)) {
        const void *data = t->data;
        binding->data = data;
        return SPK_OK;
    }
    size_t count;
    if (!checked_size_from_u64(t->count, &count))
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw(count, sizeof(float), &binding->converted));
    binding->data = binding->converted;
    return st_to_f32(t, binding->converted);
}

static spk_status bind_param(struct binder *b, uint32_t id)
{
    const struct ir_param *p = &b->m->param[id];
    struct entry *e = find_entry(b, p->name);
    if (!e) {
        missing(b, p);
        return SPK_OK;
    }
    e->used = true;
    const struct st_tensor *t = e->tensor;
    if (!shapes_agree(p, t)) {
        struct strbuf have = {0}, want = {0};
        st_describe(t, &have);
        describe_param(p, &want);
        fail(b, diag_error(b->diags, st_place(b->file, t, b->diags), "E0404",
                           "the tensor is %s, the model wants %s", strbuf_cstr(&have),
                           strbuf_cstr(&want)));
        if (p->span.file)
            diag_note_add(b->diags, p->span, "'%s' is used here", p->name);
        strbuf_fini(&have);
        strbuf_fini(&want);
        return SPK_OK;
    }
    if (t->dtype == ST_BOOL) {
        fail(b, diag_error(b->diags, st_place(b->file, t, b->diags), "E0404",
                           "a weight cannot be of type BOOL"));
        diag_help_set(b->diags, "float types and integers up to 64 bits are accepted");
        return SPK_OK;
    }
    SPK_TRY(take_data(t, &b->binding[id]));
    check_values(b, t, b->binding[id].data, b->variance[id]);
    return SPK_OK;
}

/* ---- the module ---- */

static void close_file(void *file)
{
    st_close(file);
}

/* Hands buffers, file and pointers to the module. */
static spk_status commit(struct binder *b, struct fe_weights_report *report)
{
    const bool mapped = st_is_mapped(b->file);
    bool keep_open = false;
    for (uint32_t i = 0; i < b->m->n_params; i++) {
        struct binding *binding = &b->binding[i];
        b->m->param[i].mapped = !binding->converted && mapped;
        if (!binding->converted) {
            keep_open = true;
            report->n_in_place++;
        } else {
            SPK_TRY(ir_module_own(b->m, binding->converted));
            binding->converted = NULL;
            report->n_converted++;
        }
        report->elements += ir_param_elements(&b->m->param[i]);
    }
    if (keep_open) {
        SPK_TRY(ir_module_on_destroy(b->m, close_file, b->file));
        b->file = NULL;
    }
    for (uint32_t i = 0; i < b->m->n_params; i++)
        b->m->param[i].data = b->binding[i].data;
    report->n_bound = b->m->n_params;
    return SPK_OK;
}

static bool tracked(const char *name)
{
    static const char last[] = "num_batches_tracked";
    size_t n = strlen(name), k = sizeof last - 1;
    return n >= k && strcmp(name + n - k, last) == 0 && (n == k || name[n - k - 1] == '.');
}

static spk_status list_ignored(const struct binder *b, struct fe_weights_report *report)
{
    bool *ignored;
    SPK_TRY(spk_alloc_array(b->n_entries, sizeof *ignored, &ignored));
    size_t n = 0;
    for (size_t i = 0; i < b->n_entries; i++) {
        if (!b->entry[i].used && !tracked(b->entry[i].tensor->name)) {
            ignored[b->entry[i].order] = true;
            n++;
        }
    }
    size_t n_others = st_other_count(b->file);
    spk_status status = spk_alloc_array(n + n_others, sizeof *report->ignored, &report->ignored);
    for (size_t i = 0; status == SPK_OK && i < b->n_entries + n_others; i++) {
        if (i < b->n_entries && !ignored[i])
            continue;
        char *name = spk_strdup(i < b->n_entries ? st_at(b->file, i)->name
                                                 : st_other_at(b->file, i - b->n_entries));
        if (name)
            report->ignored[report->n_ignored++] = name;
        else
            status = SPK_ERR_NOMEM;
    }
    spk_free(ignored);
    return status;
}

static spk_status prepare(struct binder *b)
{
    b->binding = ARENA_NEW_ARRAY(&b->scratch, struct binding, b->m->n_params);
    b->variance = ARENA_NEW_ARRAY(&b->scratch, bool, b->m->n_params);
    if (!b->binding || !b->variance)
        return SPK_ERR_NOMEM;
    for (uint32_t i = 0; i < b->m->n_params; i++) {
        const struct ir_param *p = &b->m->param[i];
        if (p->dtype != IR_DT_F32)
            return diag_internal(b->diags, p->span, "E0400",
                                 "param '%s' of a trained model must be f32", p->name);
    }
    for (uint32_t i = 0; i < b->m->n_nodes; i++) {
        const struct ir_node *node = &b->m->node[i];
        if (node->op == IR_OP_BATCHNORM && node->n_params > 3)
            b->variance[node->param[3]] = true;
    }
    return SPK_OK;
}

spk_status fe_weights_bind_tensors(struct ir_module *m, struct st_file *file,
                                   struct diag_list *diags, struct fe_weights_report *out_report)
{
    struct binder b = {.m = m, .diags = diags, .file = file};
    struct fe_weights_report report = {0};
    if (out_report)
        *out_report = report;
    arena_init(&b.scratch, 0);
    spk_status status = prepare(&b);
    if (status == SPK_OK)
        status = collect_entries(&b);
    for (uint32_t i = 0; status == SPK_OK && i < m->n_params; i++)
        status = bind_param(&b, i);
    if (status == SPK_OK)
        status = b.status;
    if (status == SPK_OK)
        status = list_ignored(&b, &report);
    if (status == SPK_OK)
        status = commit(&b, &report);
    for (uint32_t i = 0; b.binding && i < m->n_params; i++)
        spk_free(b.binding[i].converted);
    arena_fini(&b.scratch);
    st_close(b.file);
    if (status == SPK_OK && out_report)
        *out_report = report;
    else
        fe_weights_report_fini(&report);
    return status;
}

spk_status fe_weights_bind(struct ir_module *m, const char *path, struct diag_list *diags,
                           struct fe_weights_report *out_report)
{
    return fe_weights_bind_ema(m, path, false, diags, out_report);
}

spk_status fe_weights_bind_ema(struct ir_module *m, const char *path, bool ema,
                               struct diag_list *diags, struct fe_weights_report *out_report)
{
    struct st_file *file = NULL;
    if (out_report)
        *out_report = (struct fe_weights_report){0};
    SPK_TRY(tensor_file_open(path, ema, diags, &file));
    return fe_weights_bind_tensors(m, file, diags, out_report);
}

spk_status fe_weights_bind_memory(struct ir_module *m, const void *data, size_t size,
                                  const char *name, struct diag_list *diags,
                                  struct fe_weights_report *out_report)
{
    struct st_file *file = NULL;
    if (out_report)
        *out_report = (struct fe_weights_report){0};
    SPK_TRY(tensor_file_open_memory(data, size, name, false, diags, &file));
    return fe_weights_bind_tensors(m, file, diags, out_report);
}
