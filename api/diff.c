/* diff: two compiled folders compared. Reads mapping.json, cost.json, target.yaml and the tensors
 * of both; computes nothing anew. Folders are equal where network, weights, integers, constants of
 * the target, mapping and costs are: an input that differs without effect is told and no
 * difference. */
#include "api/diff.h"

#include <string.h>

#include "frontend/target_yaml.h"
#include "support/file.h"

struct diff_value diff_number(double v)
{
    return (struct diff_value){.present = true, .number = v};
}

struct diff_value diff_text(const char *text)
{
    return (struct diff_value){.present = text != NULL, .is_text = true, .text = text};
}

spk_status diff_add(struct diff *d, const struct diff_change *change)
{
    return vec_push(&d->changes, *change);
}

static spk_status open_side(spk_context *c, const char *folder, struct diff_side *s)
{
    int64_t images;
    s->folder = folder;
    SPK_TRY(api_folder_check(c, folder));
    SPK_TRY(api_folder_json(c, folder, "mapping.json", &s->mapping_path, &s->mapping));
    SPK_TRY(api_folder_json(c, folder, "cost.json", &s->cost_path, &s->cost));
    char *path = path_join(folder, "target.yaml");
    spk_status status = path ? fe_target_load(path, &c->diags, &s->target) : SPK_ERR_NOMEM;
    spk_free(path);
    SPK_TRY(status);
    s->m = js_root(s->mapping, s->mapping_path, &c->diags);
    s->c = js_root(s->cost, s->cost_path, &c->diags);
    SPK_TRY(js_get_i64(&s->c, "images", 0, INT64_MAX, &images));
    s->simulated = images > 0;
    return SPK_OK;
}

static void side_fini(struct diff_side *s)
{
    js_free(s->mapping);
    js_free(s->cost);
    spk_free(s->mapping_path);
    spk_free(s->cost_path);
    if (s->target != NULL)
        tgt_destroy(s->target);
}

static spk_status diff_all(struct diff *d, struct api_report *r)
{
    SPK_TRY(open_side(d->context, d->side[0].folder, &d->side[0]));
    SPK_TRY(open_side(d->context, d->side[1].folder, &d->side[1]));
    SPK_TRY(diff_mapping(d));
    SPK_TRY(api_poll(d->context));
    SPK_TRY(diff_tensors(d, "model", DIFF_WEIGHTS));
    SPK_TRY(diff_tensors(d, "quantised", DIFF_INTEGERS));
    SPK_TRY(api_poll(d->context));
    SPK_TRY(diff_cost(d));
    SPK_TRY(diff_inputs(d)); /* last: some are only seen by what they did */
    SPK_TRY(diff_write(d, r));
    return diff_equal(d) ? SPK_OK : SPK_DIFFERENCE;
}

int spk_diff(spk_context *c, const char *first, const char *second, spk_result **out_result)
{
    struct diff d = {.context = c, .side = {{.folder = first}, {.folder = second}}};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, first != NULL && second != NULL, "spk_diff"));
    arena_init(&d.arena, 0);
    spk_status status = api_report_begin(&r, "diff");
    if (status == SPK_OK)
        status = diff_all(&d, &r);
    side_fini(&d.side[0]);
    side_fini(&d.side[1]);
    vec_fini(&d.changes);
    arena_fini(&d.arena);
    return api_report_end(&r, status, false, out_result);
}
