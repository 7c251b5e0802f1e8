/* A walk through the reference engine: the nodes of a module one by one, for a batch of images.
 *
 * The batch lies side by side as one job per image; a node is computed for one image after the
 * other with all threads inside the op. Nothing is written in place, so that a node can be computed
 * again as long as its operands are there.
 * Moments are formed in two passes (mean, then squares of distances, without the cancellation of a
 * difference of sums), per channel in position order within fixed chunks of rows, chunks added in
 * index order: independent of threads.
 * Cost of moments: two passes over a value. Memory: all values that the caller keeps, of all
 * images; one buffer of re-laid weights for all images. */
#include "runtime/reference_internal.h"

#include <string.h>

#include "support/alloc.h"

/* Rows (positions of a frame) of one partial sum. */
#define GRAIN_ROWS 1024u

struct engine_walk {
    const struct engine *e;
    struct engine_run run; /* what the jobs see: input and pool */
    struct ref_job *job;   /* [n_images] */
    void *scratch;         /* shared: one image at a time is computed */
    double *partial;       /* sums of the chunks of one image, see moments */
    uint64_t partial_size;
};

static void walk_end(struct engine_walk *w)
{
    if (!w)
        return;
    for (uint32_t k = 0; w->job && k < w->run.input.n_images; k++) {
        struct ref_job *job = &w->job[k];

        for (uint32_t id = 0; job->value && id < w->e->m->n_nodes; id++)
            ref_value_release(&job->value[id]);
        job->scratch = NULL;
        if (job->e)
            ref_job_fini(job);
    }
    spk_free(w->job);
    spk_free(w->scratch);
    spk_free(w->partial);
    spk_free(w);
}

static spk_status start_jobs(struct engine_walk *w)
{
    SPK_TRY(spk_alloc_array(w->run.input.n_images, sizeof *w->job, &w->job));
    for (uint32_t k = 0; k < w->run.input.n_images; k++) {
        struct ref_job *job = &w->job[k];

        *job = (struct ref_job){.e = w->e, .run = &w->run, .pool = w->run.pool, .image = k};
        job->keeps_operands = true;
        SPK_TRY(spk_alloc_array(w->e->m->n_nodes, sizeof *job->value, &job->value));
    }
    if (w->e->cached)
        return SPK_OK;
    w->scratch = spk_alloc_aligned(w->e->scratch_bytes + 64, 64);
    for (uint32_t k = 0; k < w->run.input.n_images; k++)
        w->job[k].scratch = w->scratch;
    return w->scratch ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status walk_begin(struct engine *e, const struct engine_input *input, struct pool *pool,
                             struct diag_list *d, struct engine_walk **out)
{
    struct engine_walk *w = NULL;
    spk_status status;

    if (e->integer)
        return diag_internal(d, spk_span_none, "E0805", "a walk through a quantised module");
    if (e->loops)
        return diag_error(
            d, spk_span_none, "E0806",
            "module %s has feedback: its nodes cannot be computed one after the other", e->m->name);
    SPK_TRY(ref_check_input(e, input, d));
    SPK_TRY(spk_alloc_array(1, sizeof *w, &w));
    w->e = e;
    w->run.input = *input;
    w->run.pool = pool;
    status = start_jobs(w);
    if (status == SPK_OK)
        *out = w;
    else
        walk_end(w);
    return status;
}

static spk_status walk_compute(struct engine_walk *w, uint32_t id)
{
    const struct ir_node *n = &w->e->m->node[id];

    for (uint32_t k = 0; k < w->run.input.n_images; k++) {
        for (uint32_t o = 0; o < n->n_operands; o++)
            if (!w->job[k].value[n->operand[o]].buffer)
                return SPK_ERR_INTERNAL;
        ref_value_release(&w->job[k].value[id]);
        SPK_TRY(ref_compute(&w->job[k], id));
    }
    return SPK_OK;
}

static void walk_drop(struct engine_walk *w, uint32_t id)
{
    for (uint32_t k = 0; k < w->run.input.n_images; k++)
        ref_value_release(&w->job[k].value[id]);
}

/* ---- moments ---- */

struct moment_work {
    const struct ref_value *v;
    const double *mean; /* NULL: plain sums, else squares of the distances */
    double *partial;    /* [chunks][channels] */
    uint64_t rows;
};

static inline void add_moment(double *sum, const double *mean, uint32_t c, double x)
{
    double from = mean ? x - mean[c] : 0.0;

    sum[c] += mean ? from * from : x;
}

static spk_status moment_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct moment_work *w = ctx;
    struct ref_range range = ref_range_of(w->rows, GRAIN_ROWS, chunk);
    uint32_t channels = w->v->channels;
    double *sum = w->partial + (uint64_t)chunk * channels;

    (void)worker;
    memset(sum, 0, channels * sizeof *sum);
    for (uint64_t r = range.begin; r < range.end; r++) {
        uint64_t at = r * channels;

        if (w->v->elem == REF_F32)
            for (uint32_t c = 0; c < channels; c++)
                add_moment(sum, w->mean, c, (double)ref_f32(w->v)[at + c]);
        else if (w->v->elem == REF_U8)
            for (uint32_t c = 0; c < channels; c++)
                add_moment(sum, w->mean, c, ref_u8(w->v)[at + c]);
        else
            for (uint32_t c = 0; c < channels; c++)
                add_moment(sum, w->mean, c, ref_i32(w->v)[at + c]);
    }
    return SPK_OK;
}

/* out[c] = mean over images, frames and positions of x, or of (x - mean)^2. */
static spk_status one_moment(struct engine_walk *w, uint32_t id, const double *mean, double *out)
{
    const struct ref_value *v = &w->job[0].value[id];
    struct moment_work work = {.mean = mean, .rows = v->frames * v->positions};
    uint64_t chunks = ref_chunks(work.rows, GRAIN_ROWS), count = 0;

    if (chunks * v->channels > w->partial_size) {
        w->partial_size = chunks * v->channels;
        SPK_TRY(spk_realloc_array(w->partial_size, sizeof *w->partial, &w->partial));
    }
    work.partial = w->partial;
    memset(out, 0, v->channels * sizeof *out);
    for (uint32_t k = 0; k < w->run.input.n_images; k++) {
        work.v = &w->job[k].value[id];
        SPK_TRY(ref_parallel(&w->job[k], work.rows, GRAIN_ROWS, moment_chunk, &work));
        for (uint64_t i = 0; i < chunks; i++)
            for (uint32_t c = 0; c < v->channels; c++)
                out[c] += w->partial[i * v->channels + c];
        count += work.rows;
    }
    for (uint32_t c = 0; c < v->channels; c++)
        out[c] /= (double)count;
    return SPK_OK;
}

static spk_status walk_moments(struct engine_walk *w, uint32_t id, double *out_mean,
                               double *out_variance)
{
    if (w->run.input.n_images == 0 || !w->job[0].value[id].buffer)
        return SPK_ERR_INTERNAL;
    SPK_TRY(one_moment(w, id, NULL, out_mean));
    return out_variance ? one_moment(w, id, out_mean, out_variance) : SPK_OK;
}

const struct engine_walk_vtable ref_walk = {
    .begin = walk_begin,
    .compute = walk_compute,
    .moments = walk_moments,
    .drop = walk_drop,
    .end = walk_end,
};
