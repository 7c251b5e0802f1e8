/* Calibration runs of the pass quantise: what an engine measures on the calibration images.
 *
 * Sums are formed per value and channel over images, steps and positions by the engine; here only
 * arrays are made and means formed. Cost: one inference per image, 8 bytes a channel.         */
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

static spk_status allocate(const struct ir_module *m, struct quant_stats *s)
{
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *s->abs_max, &s->abs_max));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *s->wraps, &s->wraps));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *s->channel_sum, &s->channel_sum));
    for (uint32_t i = 0; i < m->n_nodes; i++)
        SPK_TRY(spk_alloc_array(m->node[i].type.channels, sizeof(double), &s->channel_sum[i]));
    return SPK_OK;
}

/* The engine's callbacks, forwarded to the pass's listener. */
static void run_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct pass_context *c = ctx;
    (void)total;
    spk_status asked = progress_update(c->progress, done);
    (void)asked; /* the engine asks run_cancelled */
}

static bool run_cancelled(void *ctx)
{
    const struct pass_context *c = ctx;
    return progress_cancelled(c->progress);
}

spk_status quant_stats_run(const struct pass_context *c, const struct ir_module *m,
                           int64_t max_images, struct quant_stats *out)
{
    struct engine *engine = NULL;
    struct engine_run run;
    struct engine_stats stats;
    struct pass_context listener = *c;
    memset(out, 0, sizeof *out);
    memset(&run, 0, sizeof run);
    memset(&stats, 0, sizeof stats);
    out->m = m;
    SPK_TRY(allocate(m, out));
    run.input = *c->calibration;
    if ((int64_t)run.input.n_images > max_images)
        run.input.n_images = (uint32_t)max_images;
    out->n_images = run.input.n_images;
    stats.abs_max = out->abs_max;
    stats.wraps = out->wraps;
    stats.channel_sum = out->channel_sum;
    run.stats = &stats;
    run.pool = c->pool;
    run.progress = run_progress;
    run.cancelled = run_cancelled;
    run.progress_ctx = &listener;
    SPK_TRY(c->engine->create(m, c->diags, &engine));
    progress_begin(c->progress, "calibrating", run.input.n_images);
    spk_status s = c->engine->run(engine, &run, c->diags);
    progress_end(c->progress);
    c->engine->destroy(engine);
    return s;
}

void quant_stats_fini(struct quant_stats *s)
{
    for (uint32_t i = 0; s->channel_sum && i < s->m->n_nodes; i++)
        spk_free(s->channel_sum[i]);
    spk_free(s->channel_sum);
    spk_free(s->wraps);
    spk_free(s->abs_max);
    memset(s, 0, sizeof *s);
}

double quant_stats_mean(const struct quant_stats *s, uint32_t node, uint32_t channel)
{
    const struct ir_type *t = &s->m->node[node].type;
    double n = (double)s->n_images * (double)t->timesteps * (double)ir_type_positions(t);
    return n > 0.0 ? s->channel_sum[node][channel] / n : 0.0;
}
