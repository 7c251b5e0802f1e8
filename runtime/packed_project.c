/* Projections of the packed engine: conv2d and linear over event lists, with the batch norm and the
 * neuron behind them where these can be computed in one go.
 *
 * A chunk of work is a block of output channels and a range of positions. Its sums of all time
 * steps lie in a few hundred kilobytes; slice by slice of the input channels the events under each
 * window add their weight rows to them (packed_sum_*.h). Then the neurons of these positions run
 * through all steps and leave one word of spikes per step: currents are never stored. Where
 * somebody needs them (teacher, extremes, a neuron of another kind) they are written in the plain
 * form instead. A linear layer is an image of one column whose rows are the tokens. */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/time.h"

#define ACC_BYTES (256u << 10) /* of the sums of a chunk */
#define POSITIONS 64u          /* of a chunk whose weights are one slice */

struct project {
    struct ref_job *job;
    const struct ir_node *node;
    const struct pk_kernels *kernels;
    const struct pk_weights *w;
    const struct pk_relaid *relaid;
    const struct pk_lists *lists;
    struct pk_sum sum; /* geometry */
    uint64_t positions, grain, chunks_per_block, acc_bytes;
    uint8_t *acc;         /* [workers][acc_bytes] */
    struct pk_fire *fire; /* or NULL: currents are stored */
    struct ref_value *out;
    const float *bias_f32;
    const struct ir_param *bias;
    uint32_t shift;
    uint64_t *wraps; /* per chunk */
};

static int64_t bias_at(const struct ir_param *p, uint32_t i)
{
    if (p->dtype == IR_DT_I8)
        return ((const int8_t *)p->data)[i];
    if (p->dtype == IR_DT_I16)
        return ((const int16_t *)p->data)[i];
    return ((const int32_t *)p->data)[i];
}

static void store_currents(const struct project *p, const uint8_t *acc, uint64_t position,
                           uint32_t first)
{
    uint32_t n = p->w->out - first < p->w->lanes ? p->w->out - first : p->w->lanes;

    for (uint32_t t = 0; t < p->sum.frames; t++) {
        uint64_t at = ref_frame_at(p->out, t) + position * p->w->out + first;
        const uint8_t *row = acc + (size_t)t * p->w->lanes * 4;

        if (p->w->integer) {
            const int32_t *x = (const int32_t *)(const void *)row;

            for (uint32_t j = 0; j < n; j++)
                ref_i32(p->out)[at + j] = ref_current((int64_t)x[j] * ((int64_t)1 << p->shift) +
                                                      (p->bias ? bias_at(p->bias, first + j) : 0));
        } else {
            const float *x = (const float *)(const void *)row;

            for (uint32_t j = 0; j < n; j++)
                ref_f32(p->out)[at + j] = p->bias_f32 ? x[j] + p->bias_f32[first + j] : x[j];
        }
    }
}

static uint64_t finish(const struct project *p, const uint8_t *acc, uint64_t position,
                       uint32_t block)
{
    uint32_t first = block * p->w->lanes;
    uint64_t stride = p->sum.frames == 1 ? 0 : p->w->lanes, wraps = 0;

    if (!p->fire) {
        store_currents(p, acc, position, first);
        return 0;
    }
    for (uint32_t c = 0; c < p->w->lanes && first + c < p->w->out; c += PK_WORD) {
        uint32_t lanes = p->w->lanes - c < PK_WORD ? p->w->lanes - c : PK_WORD;

        wraps += pk_fire_word(p->fire, position, first + c, lanes, acc + 4 * (size_t)c, stride);
    }
    return wraps;
}

static spk_status project_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct project *p = ctx;
    uint32_t block = (uint32_t)(chunk / p->chunks_per_block);
    struct ref_range range =
        ref_range_of(p->positions, p->grain, (uint32_t)(chunk % p->chunks_per_block));
    size_t position_bytes = (size_t)p->sum.frames * p->w->lanes * 4;
    uint8_t *acc = p->acc + worker * p->acc_bytes;
    const uint8_t *weights =
        p->relaid->data + (uint64_t)p->w->in * p->w->taps * p->w->row_bytes * block;
    struct pk_sum s = p->sum;

    s.begin = range.begin;
    s.end_position = range.end;
    s.acc = acc;
    s.end = (uint32_t *)(void *)(acc + p->grain * position_bytes);
    s.window = s.end + s.n_classes;
    memset(acc, 0, (range.end - range.begin) * position_bytes);
    for (uint32_t q = 0; q < p->w->n_slices; q++) {
        uint32_t first = q * p->w->slice;

        s.channels = p->w->in - first < p->w->slice ? p->w->in - first : p->w->slice;
        s.row = p->lists->row[q];
        s.weights = weights + (uint64_t)first * p->w->taps * p->w->row_bytes;
        if (p->w->integer)
            p->kernels->sum_i8(&s);
        else
            p->kernels->sum_f32(&s);
    }
    p->wraps[chunk] = 0;
    for (uint64_t i = range.begin; i < range.end; i++)
        p->wraps[chunk] += finish(p, acc + (i - range.begin) * position_bytes, i, block);
    return SPK_OK;
}

static void geometry(struct project *p, const struct ir_type *in)
{
    const struct ir_node *node = p->node;
    struct pk_sum *s = &p->sum;
    bool conv = node->op == IR_OP_CONV2D;

    p->positions = ir_type_positions(&node->type);
    s->in_h = conv ? in->height : (uint32_t)ir_type_positions(in);
    s->in_w = conv ? in->width : 1;
    s->out_w = conv ? node->type.width : 1;
    s->kernel_h = conv ? node->a.conv.kernel_h : 1;
    s->kernel_w = conv ? node->a.conv.kernel_w : 1;
    s->stride_h = conv ? node->a.conv.stride_h : 1;
    s->stride_w = conv ? node->a.conv.stride_w : 1;
    s->pad_h = conv ? node->a.conv.pad_h : 0;
    s->pad_w = conv ? node->a.conv.pad_w : 0;
    s->row_bytes = p->w->row_bytes;
    p->shift = p->w->integer ? node->a.conv.shift : 0;
    if (node->n_params > 1) {
        p->bias = &p->job->e->m->param[node->param[1]];
        p->bias_f32 = p->w->integer ? NULL : p->bias->data;
    }
}

/* Whether shifted sums and a bias stay within 32 bits, as the fused neurons need it. */
static bool fits_narrow(const struct project *p, const struct pk_bits *in)
{
    uint64_t most =
        (((uint64_t)1 << in->planes) - 1) * p->w->in * p->w->taps * (uint64_t)p->relaid->abs_max;

    if (!p->w->integer)
        return true;
    if (p->shift > 30 || most > (uint64_t)INT32_MAX >> p->shift)
        return false;
    most <<= p->shift;
    for (uint32_t i = 0; p->bias && i < p->w->out; i++) {
        int64_t b = bias_at(p->bias, i);

        if ((uint64_t)(b < 0 ? -b : b) + most > INT32_MAX)
            return false;
    }
    return true;
}

/* Events and additions of the whole projection. */
static void count_additions(const struct project *p, struct pk_layer *layer)
{
    const struct pk_sum *s = &p->sum;
    const struct pk_lists *l = p->lists;

    for (uint64_t position = 0; position < p->positions; position++) {
        int64_t y0 = (int64_t)(position / s->out_w) * s->stride_h - s->pad_h;
        int64_t x0 = (int64_t)(position % s->out_w) * s->stride_w - s->pad_w;
        int64_t left = x0 < 0 ? 0 : x0, right = x0 + s->kernel_w;

        right = right > s->in_w ? s->in_w : right;
        for (uint32_t ky = 0; left < right && ky < s->kernel_h; ky++) {
            int64_t y = y0 + ky;

            for (uint32_t q = 0; y >= 0 && y < s->in_h && q < l->n_slices; q++) {
                const uint32_t *row = l->row[q][y].first;

                for (uint32_t k = 0; k < l->n_classes; k++) {
                    uint64_t n = row[(uint64_t)right * l->n_classes + k] -
                                 row[(uint64_t)left * l->n_classes + k];

                    layer->additions += n * p->w->out;
                    layer->events += n * l->cls[k].n * p->w->out;
                }
            }
        }
    }
}

static void profile(const struct project *p, uint32_t id, const struct pk_bits *in)
{
    struct pk_engine *pk = p->job->e->own;
    uint64_t start = spk_time_ns();

    for (uint32_t i = 0; i < pk->n_layers; i++) {
        struct pk_layer *layer = &pk->layer[i];

        if (layer->node != id || layer->events)
            continue;
        layer->kernel = p->lists->shared ? "shared" : "events";
        layer->density = (double)pk->kernels->count(in->data, in->planes * pk_plane_words(in)) /
                         ((double)in->frames * (double)in->positions * in->channels);
        count_additions(p, layer);
    }
    pk->counting_ns += spk_time_ns() - start;
}

/* Sums, then neurons or currents. */
static spk_status run_chunks(struct project *p, uint32_t id, struct pk_bits *in)
{
    struct ref_job *job = p->job;
    uint64_t position_bytes = (uint64_t)p->sum.frames * p->w->lanes * 4, chunks;
    uint64_t window = (uint64_t)p->w->taps * p->w->slice * in->planes * in->frames;
    spk_status status;

    p->grain = ACC_BYTES / position_bytes + 1;
    if (p->w->n_slices == 1 && p->grain > POSITIONS)
        p->grain = POSITIONS;
    p->chunks_per_block = ref_chunks(p->positions, p->grain);
    chunks = p->chunks_per_block * p->w->blocks;
    p->sum.cls = p->lists->cls;
    p->sum.n_classes = p->lists->n_classes;
    p->acc_bytes = p->grain * position_bytes + 4 * ((uint64_t)p->sum.n_classes + window + PK_SLACK);
    p->acc_bytes = (p->acc_bytes + 63) / 64 * 64;
    p->sum.row_limit = p->relaid->abs_max ? (uint32_t)(INT16_MAX / p->relaid->abs_max) : INT16_MAX;
    if (pk_of(job->e)->nanoseconds)
        profile(p, id, in);
    p->acc = spk_alloc_aligned(p->acc_bytes * pool_threads(job->pool), 64);
    if (!p->acc)
        return SPK_ERR_NOMEM;
    status = spk_alloc_array(chunks, sizeof *p->wraps, &p->wraps);
    if (status == SPK_OK)
        status = ref_parallel(job, chunks, 1, project_chunk, p);
    for (uint64_t i = 0; status == SPK_OK && p->fire && job->tally.wraps && i < chunks; i++)
        job->tally.wraps[pk_of(job->e)->plan[id].neuron] += p->wraps[i];
    spk_free(p->wraps);
    spk_free(p->acc);
    return status;
}

static spk_status with_weights(struct project *p, uint32_t id, struct pk_bits *in)
{
    struct ref_job *job = p->job;
    const struct pk_plan *plan = &pk_of(job->e)->plan[id];
    bool fused = plan->neuron != IR_NONE && !job->run->teacher && !pk_wants_extremes(job) &&
                 fits_narrow(p, in);
    struct pk_fire fire = {0};
    spk_status status;

    if (!fused) {
        SPK_TRY(ref_value_create(job, id, p->sum.frames));
        p->out = &job->value[id];
        return run_chunks(p, id, in);
    }
    SPK_TRY(pk_value_create(job, plan->neuron, 1, job->e->m->node[plan->neuron].type.timesteps,
                            &fire.out));
    status = pk_fire_init(job, plan->neuron, plan->norm, id, p->w->blocks * p->w->lanes, &fire);
    p->fire = &fire;
    if (status == SPK_OK)
        status = run_chunks(p, id, in);
    pk_fire_fini(&fire);
    return status;
}

spk_status pk_project(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct pk_engine *pk = pk_of(job->e);
    struct project p = {.job = job, .node = &m->node[id], .kernels = pk->kernels};
    struct pk_relaid relaid;
    struct pk_bits *in = NULL;
    spk_status status;

    p.w = &pk->plan[id].w;
    SPK_TRY(pk_operands(job, p.node->operand, p.node->n_operands, &in));
    geometry(&p, &m->node[p.node->operand[0]].type);
    p.sum.frames = in->frames;
    SPK_TRY(pk_lists_make(job, in, p.w, p.sum.in_h, p.sum.in_w, p.sum.kernel_h));
    p.lists = &pk_job_of(job)->lists;
    SPK_TRY(pk_weights_get(job, id, &relaid));
    p.relaid = &relaid;
    status = with_weights(&p, id, in);
    spk_free(relaid.own);
    return status;
}
