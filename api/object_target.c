/* Targets as objects. */
#include <math.h>
#include <string.h>

#include "api/object_internal.h"
#include "frontend/target_yaml.h"
#include "support/alloc.h"

void spk_target_destroy(spk_target *t)
{
    if (t == NULL || !api_drop(&t->owners))
        return;
    if (t->target != NULL)
        tgt_destroy(t->target);
    spk_free(t->named);
    spk_free(t);
}

/* Takes the loaded target over, also on an error. */
static spk_status make_target(struct tgt *loaded, const char *named, spk_target **out)
{
    spk_target *t;
    spk_status status = spk_alloc_array(1, sizeof *t, &t);
    if (status != SPK_OK) {
        tgt_destroy(loaded);
        return status;
    }
    atomic_init(&t->owners, 1);
    t->target = loaded;
    t->named = named != NULL ? spk_strdup(named) : NULL;
    if (named != NULL && t->named == NULL) {
        spk_target_destroy(t);
        return SPK_ERR_NOMEM;
    }
    *out = t;
    return SPK_OK;
}

int spk_target_load(spk_context *c, const char *name, spk_target **out)
{
    struct tgt *t;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && name != NULL, "spk_target_load"));
    SPK_TRY(api_target_load(c, name, &t));
    return make_target(t, name, out);
}

int spk_target_parse(spk_context *c, const char *name, const char *text, size_t length,
                     spk_target **out)
{
    struct tgt *t;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && name != NULL && text != NULL, "spk_target_parse"));
    SPK_TRY(fe_target_parse(name, text, length, &c->diags, &t));
    return make_target(t, NULL, out);
}

/* Settings as variations whose texts lie in the arena. */
static spk_status read_settings(spk_context *c, struct arena *arena, const char *const *settings,
                                size_t n, struct fe_variation *v)
{
    for (size_t i = 0; i < n; i++) {
        const char *eq = settings[i] != NULL ? strchr(settings[i], '=') : NULL;
        const char *key =
            eq != NULL ? arena_strndup(arena, settings[i], (size_t)(eq - settings[i])) : "";
        if (key == NULL)
            return SPK_ERR_NOMEM;
        if (eq == NULL || !fe_target_find_constant(key, &v[i].section, &v[i].key))
            return diag_usage(&c->diags, spk_span_none, "E1064",
                              "'%s' is not CONSTANT=VALUE with a constant of targets",
                              settings[i] != NULL ? settings[i] : "");
        v[i].value = eq + 1;
    }
    return SPK_OK;
}

static spk_status vary(spk_context *c, const struct tgt *t, const char *const *settings, size_t n,
                       struct arena *arena, struct tgt **out)
{
    struct fe_variation *v = ARENA_NEW_ARRAY(arena, struct fe_variation, n + 1);
    struct strbuf text = {0};
    if (v == NULL)
        return SPK_ERR_NOMEM;
    SPK_TRY(read_settings(c, arena, settings, n, v));
    spk_status status =
        fe_target_vary(t->path, t->text, t->length, v, (uint32_t)n, &c->diags, &text);
    if (status == SPK_OK)
        status = fe_target_parse(t->path, strbuf_cstr(&text), text.len, &c->diags, out);
    strbuf_fini(&text);
    return status;
}

int spk_target_vary(spk_context *c, const spk_target *target, const char *const *settings, size_t n,
                    spk_target **out)
{
    struct arena arena;
    struct tgt *t;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && target != NULL && (settings != NULL || n == 0),
                     "spk_target_vary"));
    arena_init(&arena, 0);
    spk_status status = vary(c, target->target, settings, n, &arena, &t);
    arena_fini(&arena);
    SPK_TRY(status);
    return make_target(t, NULL, out);
}

int spk_target_describe(const spk_target *target, struct spk_target_info *out)
{
    if (target == NULL)
        return SPK_ERR_USAGE;
    const struct tgt *t = target->target;
    const struct spk_target_info info = {.name = t->name,
                                         .description = t->description,
                                         .path = t->path,
                                         .cores_per_chip = t->cores_per_chip,
                                         .n_systems = t->n_systems,
                                         .n_facts = t->n_facts};
    return API_GIVE(&info, out);
}

int spk_target_system(const spk_target *target, uint32_t index, struct spk_system *out)
{
    if (target == NULL || index >= target->target->n_systems)
        return SPK_ERR_USAGE;
    const struct tgt_system *s = &target->target->system[index];
    const struct spk_system found = {.name = s->name, .chips_x = s->chips_x, .chips_y = s->chips_y};
    return API_GIVE(&found, out);
}

int spk_target_fact(const spk_target *target, uint32_t index, struct spk_fact *out)
{
    double value;
    if (target == NULL || index >= target->target->n_facts)
        return SPK_ERR_USAGE;
    const struct tgt_fact *f = &target->target->fact[index];
    const struct spk_fact found = {
        .section = f->section,
        .key = f->key,
        .unit = f->unit,
        .text = f->text,
        .value = spk_parse_f64(f->text, strlen(f->text), &value) ? value : (double)NAN,
        .basis = tgt_basis_name(f->constant.basis),
        .source = f->constant.source};
    return API_GIVE(&found, out);
}

int spk_target_find(const spk_target *target, const char *section, const char *key,
                    struct spk_fact *out)
{
    if (target == NULL || section == NULL || key == NULL)
        return SPK_ERR_USAGE;
    for (uint32_t i = 0; i < target->target->n_facts; i++) {
        const struct tgt_fact *f = &target->target->fact[i];
        if (strcmp(f->section, section) == 0 && strcmp(f->key, key) == 0)
            return spk_target_fact(target, i, out);
    }
    return SPK_ERR_INPUT;
}
