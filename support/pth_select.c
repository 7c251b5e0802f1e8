/* Which values of a checkpoint are the weights.
 *
 * The way down from the saved value leads through the wrapping keys of pth.h; what lies beside it
 * is listed in words. Values in the state dict that are no tensors are listed too if they are plain
 * or known to be harmless; an unknown global there is an error. */
#include <string.h>

#include "support/pth_internal.h"
#include "support/strbuf.h"

enum { MAX_DEPTH = 16, MAX_NAME = 1024 };

static const char *const wrappers[] = {"state_dict", "model_state_dict", "model",
                                       "net",        "network",          "module"};
static const char *const averages[] = {"state_dict_ema",       "model_ema", "ema_state_dict",
                                       "model_state_dict_ema", "ema_model", "ema"};
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* ---- words ---- */

static bool is_name(const struct pickle_value *key)
{
    size_t step;
    if (key->kind != PICKLE_STRING || key->text.length > MAX_NAME)
        return false;
    for (size_t i = 0; i < key->text.length; i += step) {
        step = spk_utf8_decode(key->text.data + i, key->text.length - i, NULL);
        if (step == 0 || (unsigned char)key->text.data[i] < 0x20 || key->text.data[i] == 0x7f)
            return false;
    }
    return true;
}

static void describe_global(const struct pickle_value *v, struct strbuf *out)
{
    if (v->kind == PICKLE_CALL)
        v = v->list.item[0];
    if (v->kind == PICKLE_PERSISTENT && v->list.item[0]->kind == PICKLE_TUPLE &&
        v->list.item[0]->list.n > 1)
        v = v->list.item[0]->list.item[1]; /* a class in the old format */
    if (v->kind == PICKLE_GLOBAL)
        strbuf_printf(out, "%s.%s", v->global.module, v->global.name);
    else
        strbuf_append(out, "unknown object");
}

static void describe(const struct pickle_value *v, struct strbuf *out)
{
    switch (v->kind) {
    case PICKLE_NONE:
        strbuf_append(out, "None");
        break;
    case PICKLE_BOOL:
        strbuf_append(out, v->boolean ? "True" : "False");
        break;
    case PICKLE_INT:
        strbuf_i64(out, v->integer);
        break;
    case PICKLE_LONG:
        strbuf_append(out, "a number");
        break;
    case PICKLE_FLOAT:
        strbuf_f64(out, v->real);
        break;
    case PICKLE_STRING:
    case PICKLE_BYTES:
        strbuf_append(out, "text");
        break;
    case PICKLE_TUPLE:
    case PICKLE_LIST:
        strbuf_printf(out, "list of %zu", v->list.n);
        break;
    case PICKLE_DICT:
        strbuf_printf(out, "dict of %zu", v->list.n / 2);
        break;
    case PICKLE_CALL:
    case PICKLE_GLOBAL:
        if (pth_is_tensor(v))
            strbuf_append(out, "tensor");
        else
            describe_global(v, out);
        break;
    case PICKLE_PERSISTENT:
        strbuf_append(out, "storage");
        break;
    }
}

static spk_status list_other(struct pth *f, const struct pickle_value *key,
                             const struct pickle_value *v)
{
    struct strbuf text = {0};
    if (is_name(key))
        strbuf_append_n(&text, key->text.data, key->text.length);
    else
        describe(key, &text);
    strbuf_append(&text, " (");
    describe(v, &text);
    strbuf_char(&text, ')');
    const char *copy = arena_strdup(&f->arena, strbuf_cstr(&text));
    spk_status status = text.status;
    strbuf_fini(&text);
    if (status != SPK_OK || !copy)
        return SPK_ERR_NOMEM;
    return vec_push(&f->others, copy);
}

static spk_status list_others(struct pth *f, const struct pickle_value *dict,
                              const struct pickle_value *chosen)
{
    for (size_t i = 0; i + 1 < dict->list.n; i += 2) {
        if (dict->list.item[i + 1] != chosen)
            SPK_TRY(list_other(f, dict->list.item[i], dict->list.item[i + 1]));
    }
    return SPK_OK;
}

/* ---- the way down ---- */

/* Whether a dict holds tensors, itself or in dicts of its own; `budget` bounds the search. */
static bool holds_tensors(const struct pickle_value *dict, int depth, size_t *budget)
{
    if (dict->kind != PICKLE_DICT || depth == 0)
        return false;
    for (size_t i = 1; i<dict->list.n && * budget> 0; i += 2) {
        const struct pickle_value *v = dict->list.item[i];
        (*budget)--;
        if (pth_is_tensor(v) || holds_tensors(v, depth - 1, budget))
            return true;
    }
    return false;
}

/* Value of the first of the keys that holds tensors; NULL when there is none. */
static const struct pickle_value *find_inner(const struct pickle_value *dict,
                                             const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct pickle_value *v = pickle_get(dict, keys[i]);
        size_t budget = PTH_MAX_TENSORS;
        if (v && v != dict && holds_tensors(v, MAX_DEPTH, &budget))
            return v;
    }
    return NULL;
}

static bool has_tensor(const struct pickle_value *dict)
{
    for (size_t i = 1; i < dict->list.n; i += 2) {
        if (pth_is_tensor(dict->list.item[i]))
            return true;
    }
    return false;
}

static spk_status no_tensors(struct pth *f, const struct pickle_value *v)
{
    struct strbuf text = {0};
    describe(v, &text);
    spk_status status =
        pth_fail(f, v->offset, "no dict of tensors was found, but: %s", strbuf_cstr(&text));
    diag_help_set(f->diags, "only tensors are read, no code is run: save model.state_dict(), not "
                            "the model itself");
    strbuf_fini(&text);
    return status;
}

static spk_status find_dict(struct pth *f, bool ema, const struct pickle_value **out_dict)
{
    const struct pickle_value *v = f->value, *inner;
    size_t budget = PTH_MAX_TENSORS;
    if (!holds_tensors(v, MAX_DEPTH, &budget))
        return no_tensors(f, v);
    inner = find_inner(v, averages, COUNT(averages));
    if (ema && !inner) {
        spk_status status = pth_fail(f, v->offset, "there is no averaged copy of the weights");
        diag_help_set(f->diags, "leave out --ema; `spikec weights list` tells what there is");
        return status;
    }
    if (!ema && inner && !has_tensor(v) && !find_inner(v, wrappers, COUNT(wrappers))) {
        spk_status status = pth_fail(f, inner->offset,
                                     "there is only an averaged copy of the "
                                     "weights");
        diag_help_set(f->diags, "read it with --ema");
        return status;
    }
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        if (depth > 0 || !ema)
            inner = find_inner(v, wrappers, COUNT(wrappers));
        if (!inner)
            break;
        SPK_TRY(list_others(f, v, inner));
        v = inner;
        inner = NULL;
    }
    *out_dict = v;
    return SPK_OK;
}

/* ---- names and tensors ---- */

/* Objects that may stand beside tensors of a state dict. */
static bool is_harmless(const struct pickle_value *v)
{
    static const char *const known[][2] = {
        {"argparse", "Namespace"},
        {"numpy.core.multiarray", "scalar"},
        {"numpy._core.multiarray", "scalar"},
        {"numpy", "dtype"},
        {"torch", "Size"},
        {"torch", "device"},
    };
    if (v->kind != PICKLE_CALL && v->kind != PICKLE_GLOBAL)
        return v->kind != PICKLE_PERSISTENT;
    if (v->kind == PICKLE_CALL)
        v = v->list.item[0];
    for (size_t i = 0; i < COUNT(known); i++) {
        if (pickle_is_global(v, known[i][0], known[i][1]))
            return true;
    }
    return false;
}

static spk_status refuse(struct pth *f, const struct pickle_value *v, const char *name)
{
    struct strbuf text = {0};
    describe_global(v, &text);
    spk_status status = pth_fail(f, v->offset,
                                 "'%s' is made by '%s', which is no known kind of "
                                 "tensor",
                                 name, strbuf_cstr(&text));
    diag_help_set(f->diags, "only tensors are read, no code of the file is run");
    strbuf_fini(&text);
    return status;
}

static spk_status join_name(struct pth *f, const char *prefix, const struct pickle_value *key,
                            const char **out_name)
{
    const char *dot = prefix[0] ? "." : "", *name = NULL;
    if (is_name(key))
        name =
            arena_printf(&f->arena, "%s%s%.*s", prefix, dot, (int)key->text.length, key->text.data);
    else if (key->kind == PICKLE_INT)
        name = arena_printf(&f->arena, "%s%s%lld", prefix, dot, (long long)key->integer);
    else
        return pth_fail(f, key->offset, "a key of the state dict is no name");
    if (!name)
        return SPK_ERR_NOMEM;
    if (strlen(name) > MAX_NAME)
        return pth_fail(f, key->offset, "a name of more than %d bytes", MAX_NAME);
    *out_name = name;
    return SPK_OK;
}

static spk_status add_tensor(struct pth *f, const struct pickle_value *v, const char *name)
{
    struct st_tensor tensor;
    if (f->tensors.len >= PTH_MAX_TENSORS)
        return pth_fail(f, v->offset, "more than %zu tensors", PTH_MAX_TENSORS);
    SPK_TRY(pth_tensor_read(f, v, name, &tensor));
    return vec_push(&f->tensors, tensor);
}

/* Whether a dict beside the weights at the top holds what an optimiser remembers. */
static bool is_optimizer(const struct pickle_value *key)
{
    return key->kind == PICKLE_STRING && key->text.length >= 5 &&
           memcmp(key->text.data, "optim", 5) == 0;
}

static spk_status collect(struct pth *f, const struct pickle_value *dict, const char *prefix,
                          int depth, size_t *budget)
{
    if (depth == 0)
        return pth_fail(f, dict->offset, "dicts within dicts, more than %d deep", MAX_DEPTH);
    for (size_t i = 0; i + 1 < dict->list.n; i += 2) {
        const struct pickle_value *key = dict->list.item[i], *v = dict->list.item[i + 1];
        const char *name = NULL;
        if ((*budget)-- == 0)
            return pth_fail(f, dict->offset, "more than %zu entries", PTH_MAX_TENSORS);
        if (depth == MAX_DEPTH && v->kind == PICKLE_DICT && is_optimizer(key)) {
            SPK_TRY(list_other(f, key, v));
            continue;
        }
        SPK_TRY(join_name(f, prefix, key, &name));
        if (pth_is_tensor(v))
            SPK_TRY(add_tensor(f, v, name));
        else if (v->kind == PICKLE_DICT)
            SPK_TRY(collect(f, v, name, depth - 1, budget));
        else if (is_harmless(v))
            SPK_TRY(list_other(f, key, v));
        else
            return refuse(f, v, name);
    }
    return SPK_OK;
}

/* Takes off a beginning that all names have; whether there was one. */
static bool strip(struct pth *f, const char *prefix)
{
    size_t n = strlen(prefix);
    for (size_t i = 0; i < f->tensors.len; i++) {
        const char *name = f->tensors.data[i].name;
        if (strncmp(name, prefix, n) != 0 || !name[n])
            return false;
    }
    for (size_t i = 0; i < f->tensors.len; i++)
        f->tensors.data[i].name += n;
    return f->tensors.len > 0;
}

spk_status pth_select(struct pth *f, bool ema)
{
    const struct pickle_value *dict = NULL;
    size_t budget = PTH_MAX_TENSORS;
    SPK_TRY(find_dict(f, ema, &dict));
    SPK_TRY(collect(f, dict, "", MAX_DEPTH, &budget));
    while (strip(f, "module.") || strip(f, "_orig_mod."))
        continue;
    return SPK_OK;
}
