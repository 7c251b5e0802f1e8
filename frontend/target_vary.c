/* A chip description with other values of some constants, for experiments: the text is kept but for
 * these constants, whose basis becomes `assumed` and whose source says what they are, and for the
 * name, so that nobody takes it for the chip it was. */
#include <stdlib.h>
#include <string.h>

#include "frontend/target_fields.h"
#include "frontend/target_yaml.h"
#include "frontend/yaml_tree.h"
#include "support/strbuf.h"

struct edit {
    struct spk_span span;
    const char *text;
};
struct edits VEC_FIELDS(struct edit);

static int compare_edits(const void *a, const void *b)
{
    const struct edit *x = a, *y = b;
    return (x->span.begin > y->span.begin) - (x->span.begin < y->span.begin);
}

static spk_status add_edit(struct edits *edits, const struct yt_node *node, const char *text)
{
    return text != NULL ? vec_push(edits, ((struct edit){node->span, text})) : SPK_ERR_NOMEM;
}

/* Whether the description has that value already. */
static bool is_same(const struct yt_node *root, const struct fe_variation *v)
{
    const struct yt_node *section = yt_get(root, v->section);
    const struct yt_node *node = section ? yt_get(section, v->key) : NULL;
    const struct yt_node *value = node ? yt_get(node, "value") : NULL;
    return value != NULL && value->kind == YT_SCALAR && strcmp(value->text, v->value) == 0;
}

static spk_status edit_constant(const struct yt_node *root, const struct fe_variation *v,
                                struct arena *arena, struct diag_list *diags, struct edits *edits)
{
    const struct yt_node *section = yt_get(root, v->section);
    const struct yt_node *node = section ? yt_get(section, v->key) : NULL;
    const struct yt_node *value = node ? yt_get(node, "value") : NULL;
    const struct yt_node *basis = node ? yt_get(node, "basis") : NULL;
    const struct yt_node *source = node ? yt_get(node, "source") : NULL;
    if (value == NULL || basis == NULL || source == NULL || value->kind != YT_SCALAR)
        return diag_error(diags, root->span, "E0515",
                          "the target states no %s.%s that one number "
                          "or word could replace",
                          v->section, v->key);
    if (is_same(root, v))
        return SPK_OK;
    SPK_TRY(add_edit(edits, value, v->value));
    SPK_TRY(add_edit(edits, basis, "assumed"));
    return add_edit(edits, source,
                    arena_printf(arena,
                                 "\"varied for an experiment; %s in the description that "
                                 "it was made from\"",
                                 value->text));
}

/* "loihi1_weight_bits_4": names have no other characters than these. */
static spk_status edit_name(const struct yt_node *root, const struct fe_variation *v, uint32_t n,
                            struct arena *arena, struct edits *edits)
{
    const struct yt_node *name = yt_get(root, "name");
    if (name == NULL || edits->len == 0)
        return SPK_OK;
    char *text = arena_strdup(arena, name->text);
    for (uint32_t i = 0; i < n && text != NULL; i++)
        if (!is_same(root, &v[i]))
            text = arena_printf(arena, "%s_%s_%s", text, v[i].key, v[i].value);
    for (char *c = text; c != NULL && *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
        else if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '_'))
            *c = '-';
    return add_edit(edits, name, text);
}

static spk_status vary(const char *name, const char *text, size_t length,
                       const struct fe_variation *v, uint32_t n, struct arena *arena,
                       struct diag_list *diags, struct edits *edits, struct strbuf *out)
{
    struct yt_node *root = NULL;
    SPK_TRY(yt_parse(name, text, length, arena, diags, &root));
    for (uint32_t i = 0; i < n; i++)
        SPK_TRY(edit_constant(root, &v[i], arena, diags, edits));
    SPK_TRY(edit_name(root, v, n, arena, edits));
    if (edits->len > 0)
        qsort(edits->data, edits->len, sizeof *edits->data, compare_edits);
    size_t at = 0;
    for (size_t i = 0; i < edits->len; i++) {
        strbuf_append_n(out, text + at, edits->data[i].span.begin - at);
        strbuf_append(out, edits->data[i].text);
        at = edits->data[i].span.end;
    }
    strbuf_append_n(out, text + at, length - at);
    return out->status;
}

spk_status fe_target_vary(const char *name, const char *text, size_t length,
                          const struct fe_variation *variations, uint32_t n,
                          struct diag_list *diags, struct strbuf *out_text)
{
    struct arena arena;
    struct edits edits = {0};
    arena_init(&arena, 0);
    spk_status status = vary(name, text, length, variations, n, &arena, diags, &edits, out_text);
    vec_fini(&edits);
    arena_fini(&arena);
    return status;
}

bool fe_target_find_constant(const char *name, const char **out_section, const char **out_key)
{
    const char *dot = strchr(name, '.');
    for (uint32_t i = 0; i < tf_n_fields; i++) {
        const struct tf_field *f = &tf_fields[i];
        const size_t n = strlen(f->section);
        const bool here =
            dot != NULL ? n == (size_t)(dot - name) && strncmp(f->section, name, n) == 0 : true;
        if (!here || strcmp(f->key, dot != NULL ? dot + 1 : name) != 0)
            continue;
        *out_section = f->section;
        *out_key = f->key;
        return true;
    }
    return false;
}
