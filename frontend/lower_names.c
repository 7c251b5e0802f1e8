/* Names of values and weights.
 *
 * A block is called with a scope (`in "…"`). A scope with a '*' is a pattern: the inner name takes
 * the place of the star ("fc1_*" and "conv" give "fc1_conv"); any other scope is a prefix
 * ("block.0.attn" and "q_*" give "block.0.attn.q_*"). Values and weights have one name space each;
 * a name is given once. Look-up by hash, entries on the arena.                                 */
#include <string.h>

#include "frontend/lower.h"
#include "support/alloc.h"

#define uthash_malloc(size) spk_alloc(size)
#define uthash_free(pointer, size) spk_free(pointer)
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->lost = true)
#include <uthash.h>

struct fe_names {
    const char *name;     /* first byte tells the name space: 'v' or 'w' */
    struct spk_span site; /* in the model: the call that led to it */
    bool lost;
    UT_hash_handle hh;
};

spk_status fe_join(struct fe_eval *ev, const char *scope, const char *local, struct spk_span span,
                   const char **out)
{
    const char *star = strchr(scope, '*');
    if (!*scope)
        *out = arena_strdup(ev->arena, local);
    else if (star)
        *out = arena_printf(ev->arena, "%.*s%s%s", (int)(star - scope), scope, local, star + 1);
    else
        *out = arena_printf(ev->arena, "%s.%s", scope, local);
    if (!*out)
        return SPK_ERR_NOMEM;
    if (strlen(*out) > FE_MAX_NAME)
        return fe_stop(ev, span, "E0250", "name is longer than %u characters", FE_MAX_NAME);
    return SPK_OK;
}

static const struct fe_value *fe_find_variable(const struct fe_eval *ev, const char *name)
{
    for (size_t i = ev->variables.len; i-- > ev->frame->base;) {
        if (strcmp(ev->variables.data[i].name, name) == 0)
            return &ev->variables.data[i].value;
    }
    return NULL;
}

spk_status fe_interpolate(struct fe_eval *ev, const struct fe_string *s, const char **out)
{
    struct strbuf text = {0};
    *out = NULL;
    for (const struct fe_piece *p = s->first; p; p = p->next) {
        const struct fe_value *v = p->is_name ? fe_find_variable(ev, p->text) : NULL;
        if (!p->is_name) {
            strbuf_append(&text, p->text);
        } else if (v && v->kind == FE_V_INT) {
            strbuf_i64(&text, v->i);
        } else if (v && v->kind == FE_V_STRING) {
            strbuf_append(&text, v->text);
        } else {
            strbuf_fini(&text);
            if (!v || v->kind == FE_V_ERROR)
                return SPK_OK;
            fe_error(ev, p->span, "E0251", "%s cannot be put into a string",
                     fe_value_kind_name(v->kind));
            return SPK_OK;
        }
        if (text.len > FE_MAX_NAME * 4u) {
            strbuf_fini(&text);
            return fe_stop(ev, s->span, "E0250", "string is too long");
        }
    }
    *out = arena_strdup(ev->arena, strbuf_cstr(&text));
    spk_status status = *out ? text.status : SPK_ERR_NOMEM;
    strbuf_fini(&text);
    return status;
}

static bool fe_name_valid(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool fine = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
                    (*c >= '0' && *c <= '9') || strchr("._-/:", *c);
        if (!fine)
            return false;
    }
    return *name != '\0';
}

spk_status fe_take_name(struct fe_eval *ev, const char *name, bool param, struct spk_span span,
                        bool *out_taken)
{
    *out_taken = false;
    if (!fe_name_valid(name)) {
        fe_error(ev, span, "E0252", "'%s' is not a name for a value", name);
        diag_help_set(ev->d, strchr(name, '*') ? "'*' belongs into the scope of a block: in \"…\""
                                               : "names have letters, digits and . _ - / :");
        return SPK_OK;
    }
    const char *key = arena_printf(ev->arena, "%c%s", param ? 'w' : 'v', name);
    struct fe_names *have = NULL;
    if (!key)
        return SPK_ERR_NOMEM;
    HASH_FIND_STR(ev->names, key, have);
    if (have) {
        fe_error(ev, span, "E0253", "the %s name '%s' is given twice", param ? "weight" : "value",
                 name);
        diag_note_add(ev->d, have->site, "the first one comes from here");
        diag_help_set(ev->d, "call the block with another scope: in \"…\", or name the value: "
                             "as \"…\"");
        return SPK_OK;
    }
    struct fe_names *entry = ARENA_NEW(ev->arena, struct fe_names);
    if (!entry)
        return SPK_ERR_NOMEM;
    entry->name = key;
    entry->site = span;
    for (const struct fe_frame *f = ev->frame; f->parent; f = f->parent)
        entry->site = f->call;
    HASH_ADD_KEYPTR(hh, ev->names, entry->name, strlen(entry->name), entry);
    *out_taken = !entry->lost;
    return entry->lost ? SPK_ERR_NOMEM : SPK_OK;
}

void fe_names_fini(struct fe_eval *ev)
{
    HASH_CLEAR(hh, ev->names);
}

spk_status fe_layer_name(struct fe_eval *ev, const struct fe_hint *hint, const char *local,
                         struct spk_span span, struct fe_hint *out)
{
    *out = *hint;
    if (hint->text)
        return SPK_OK;
    out->span = span;
    return fe_join(ev, ev->frame->scope, local, span, &out->text);
}
