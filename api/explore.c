/* explore: a model in many variants. Points are tried side by side, each in a context of its own
 * with one thread; a row is on disk before the next one of that thread begins, so that whatever
 * ends the run, what was finished stays. */
#include "api/explore.h"

#include <string.h>
#include <unistd.h>

#include "support/alloc.h"
#include "support/file.h"

static spk_status check_options(struct explore *x)
{
    const struct spk_explore_options *o = x->o;
    struct diag_list *d = &x->context->diags;
    if (o->base.output == NULL)
        return diag_usage(d, spk_span_none, "E0910", "no output folder: give it with -o DIR");
    if (o->n_vary == 0)
        return diag_usage(d, spk_span_none, "E0955",
                          "nothing to explore: give --vary NAME=VALUE,VALUE");
    if (o->data.input != NULL && !o->compile)
        return diag_usage(d, spk_span_none, "E0956",
                          "images are for compiled variants: give --compile, too");
    if (o->data.labels != NULL && o->data.input == NULL)
        return diag_usage(d, spk_span_none, "E0976", "labels without images: give --input, too");
    return SPK_OK;
}

struct todo {
    struct explore *x;
    uint32_t *point;
    uint32_t n;
};

static spk_status run_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct todo *t = ctx;
    (void)worker;
    return explore_run_point(t->x, t->point[chunk]);
}

static spk_status run_points(struct explore *x)
{
    struct todo t = {.x = x};
    SPK_TRY(spk_alloc_array_raw(x->n_points, sizeof *t.point, &t.point));
    for (uint32_t i = 0; i < x->n_points; i++)
        if (!x->point[i].done)
            t.point[t.n++] = i;
    api_progress_begin(x->context, "exploring", x->n_points);
    spk_status status = t.n > 0 ? pool_run(x->context->pool, t.n, run_chunk, &t) : SPK_OK;
    spk_free(t.point);
    return status;
}

static spk_status explore_all(struct explore *x, struct api_report *r)
{
    SPK_TRY(check_options(x));
    SPK_TRY(explore_axes(x));
    SPK_TRY(explore_points(x));
    SPK_TRY(explore_open(x));
    const spk_status ran = run_points(x);
    if (ran == SPK_ERR_CANCELLED ? !api_end_early(x->context) : ran != SPK_OK)
        return ran;
    explore_front(x);
    return explore_write(x, r);
}

static void explore_fini(struct explore *x)
{
    for (uint32_t i = 0; i < x->n_points && x->point != NULL; i++)
        spk_free(x->point[i].line);
    spk_free(x->point);
    spk_free(x->rows_path);
    if (x->fd >= 0)
        (void)close(x->fd);
    lock_destroy(x->lock);
    arena_fini(&x->arena);
}

int spk_explore(spk_context *c, const struct spk_explore_options *o, spk_result **out_result)
{
    struct explore x = {.context = c, .o = o, .fd = -1};
    struct api_report r;
    *out_result = NULL;
    api_begin(c);
    SPK_TRY(lock_create(&x.lock));
    arena_init(&x.arena, 0);
    spk_status status = api_report_begin(&r, "explore");
    if (status == SPK_OK)
        status = explore_all(&x, &r);
    explore_fini(&x);
    return api_report_end_early(c, &r, status, "the same command goes on from here", out_result);
}
