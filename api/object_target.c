/* Targets as objects. */
#include <math.h>
#include <string.h>

#include "api/object_internal.h"
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

static spk_status load(spk_context *c, const char *name, spk_target *t)
{
    SPK_TRY(api_target_load(c, name, &t->target));
    t->named = spk_strdup(name);
    return t->named != NULL ? SPK_OK : SPK_ERR_NOMEM;
}

int spk_target_load(spk_context *c, const char *name, spk_target **out)
{
    spk_target *t;
    if (out != NULL)
        *out = NULL;
    SPK_TRY(api_call(c, out != NULL && name != NULL, "spk_target_load"));
    SPK_TRY(spk_alloc_array(1, sizeof *t, &t));
    atomic_init(&t->owners, 1);
    spk_status status = load(c, name, t);
    if (status == SPK_OK)
        *out = t;
    else
        spk_target_destroy(t);
    return status;
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
