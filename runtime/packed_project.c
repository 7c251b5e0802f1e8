/* Projections of the packed engine: conv2d and linear over event lists, with the batch norm and the
 * neuron behind them where these can be computed in one go.
 *
 * Positions are cut into chunks, output channels into blocks. For a few chunks at a time
 * the streams of every tile are made (packed_streams.c); then every block of every chunk is summed,
 * tile by tile: a tile stays in the first-level cache for all positions of the chunk, whose sums
 * stay in the second. At last the neurons of these positions run through all steps and leave one
 * word of spikes per step: currents are never stored. Where somebody needs them (teacher, extremes,
 * a neuron of another kind) they are written in the plain form instead. A linear layer is an image
 * of one column whose rows are the tokens. */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/time.h"

#define ACC_BYTES (128u << 10) /* of the sums of a chunk */
#define PART_BYTES (16u << 10) /* of the sums of a part of a chunk: stay in a first-level cache */
#define STREAM_BYTES (4ull << 20) /* of the streams that are held at a time */

struct project {
    struct ref_job *job;
    const struct ir_node *node;
    const struct pk_kernels *kernels;
    const struct pk_weights *w;
    const struct pk_relaid *relaid;
    const struct pk_lists *lists;
    struct pk_window window;
    uint32_t frames;
    uint64_t positions;
    uint32_t grain;       /* positions of a chunk */
    uint32_t part, parts; /* positions of a part of a chunk; parts of a chunk */
    /* Streams of the chunks in hand: [chunk][tile][part][room], ends [chunk][tile][part][groups].
     */
    uint64_t first_chunk;
    uint32_t n_chunks, n_tiles, room;
    struct pk_stream *stream, *scratch; /* scratch: [workers][room] */
    uint32_t *ends;
    uint64_t work_bytes;
    uint8_t *work;        /* [workers][work_bytes] */
    struct pk_fire *fire; /* or NULL: currents are stored */
    struct ref_value *out;
    const float *bias_f32;
    const struct ir_param *bias;
    uint32_t shift, row_limit;
    uint64_t *wraps; /* per chunk in hand and block */
};

/* What a worker needs for one block of one chunk. */
struct work {
    uint8_t *acc; /* [positions][frames][lanes] of float or int16 */
    int32_t *wide;
    int32_t *current; /* [frames][lanes] */
    int32_t *left;    /* [positions] */
    uint16_t *rows;
    uint8_t *spilled;
};

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Lays a worker's memory out; returns its size. */
static uint64_t lay_out(const struct project *p, uint8_t *memory, struct work *out)
{
    uint64_t targets = (uint64_t)p->grain * p->frames, lanes = p->w->lanes;
    uint64_t at = 0;
    bool integer = p->w->integer;
    struct work w;

    w.acc = memory;
    at += aligned(targets * lanes * (integer ? 2 : 4));
    w.wide = (int32_t *)(void *)(memory + at);
    at += integer ? aligned(targets * lanes * 4) : 0;
    w.current = (int32_t *)(void *)(memory + at);
    at += aligned(p->frames * lanes * 4);
    w.left = (int32_t *)(void *)(memory + at);
    at += aligned(p->grain * sizeof *w.left);
    w.rows = (uint16_t *)(void *)(memory + at);
    at += aligned(targets * sizeof *w.rows);
    w.spilled = memory + at;
    at += aligned(targets);
    *out = w;
    return at;
}

/* ---- what becomes of sums ---- */

static int64_t bias_at(const struct ir_param *p, uint32_t i)
{
    if (p->dtype == IR_DT_I8)
        return ((const int8_t *)p->data)[i];
    if (p->dtype == IR_DT_I16)
        return ((const int16_t *)p->data)[i];
    return ((const int32_t *)p->data)[i];
}

/* sum: [frames][stride] of float or int32. */
static void store_currents(const struct project *p, const void *sum, uint32_t stride,
                           uint64_t position, uint32_t first)
{
    uint32_t n = p->w->out - first < stride ? p->w->out - first : stride;

    for (uint32_t t = 0; t < p->frames; t++) {
        uint64_t at = ref_frame_at(p->out, t) + position * p->w->out + first;

        if (p->w->integer) {
            const int32_t *x = (const int32_t *)sum + (size_t)t * stride;

            for (uint32_t j = 0; j < n; j++)
                ref_i32(p->out)[at + j] = ref_current((int64_t)x[j] * ((int64_t)1 << p->shift) +
                                                      (p->bias ? bias_at(p->bias, first + j) : 0));
        } else {
            const float *x = (const float *)sum + (size_t)t * stride;

            for (uint32_t j = 0; j < n; j++)
                ref_f32(p->out)[at + j] = p->bias_f32 ? x[j] + p->bias_f32[first + j] : x[j];
        }
    }
}

/* The sums of a position of a chunk become spikes or currents. */
static uint64_t finish(const struct project *p, const struct work *w, uint32_t in_chunk,
                       uint64_t position, uint32_t first, uint32_t lanes)
{
    size_t target = (size_t)in_chunk * p->frames;
    uint64_t wraps = 0;
    const void *sum = (const float *)(const void *)w->acc + target * lanes;

    if (p->w->integer) {
        const int16_t *narrow = (const int16_t *)(const void *)w->acc;

        for (uint32_t t = 0; t < p->frames; t++)
            p->kernels->widen(w->current + (size_t)t * lanes, narrow + (target + t) * lanes,
                              w->spilled[target + t] ? w->wide + (target + t) * lanes : NULL,
                              lanes);
        sum = w->current;
    }
    if (!p->fire) {
        store_currents(p, sum, lanes, position, first);
        return 0;
    }
    for (uint32_t c = 0; c < lanes && first + c < p->w->out; c += PK_WORD)
        wraps +=
            pk_fire_word(p->fire, position, first + c, lanes - c < PK_WORD ? lanes - c : PK_WORD,
                         (const float *)sum + c, p->frames == 1 ? 0 : lanes);
    return wraps;
}

/* ---- sums ---- */

/* All tiles of one block of output channels. */
static void sum_block(const struct project *p, struct pk_sum *s, uint32_t chunk, uint32_t block)
{
    const struct pk_weights *w = p->w;
    const uint8_t *tile =
        p->relaid->data + (uint64_t)w->in * w->kernel_h * w->kernel_w * w->row_bytes * block;
    uint64_t first_part = (uint64_t)chunk * p->n_tiles * p->parts;
    const uint32_t *ends = p->ends + first_part * p->lists->n_groups;
    const struct pk_stream *stream = p->stream + first_part * p->room;

    for (uint32_t t = 0; t < p->n_tiles; t++) {
        uint32_t q = t / w->kernel_h, rest = w->in - q * w->slice;

        s->entry = p->lists->part[q].entry;
        s->channels = rest < w->slice ? rest : w->slice;
        s->weights = tile;
        tile += (uint64_t)w->kernel_w * s->channels * w->row_bytes;
        for (uint32_t i = 0; i < p->parts; i++, stream += p->room) {
            uint32_t begin = 0;

            for (uint32_t g = 0; g < p->lists->n_groups; g++, begin = *ends++) {
                s->cls = &p->lists->cls[p->lists->group[g].first];
                s->size = s->cls->n;
                s->stream = stream + begin;
                s->n_streams = *ends - begin;
                if (s->n_streams == 0)
                    continue;
                if (w->integer)
                    p->kernels->sum_i8(s);
                else
                    p->kernels->sum_f32(s);
            }
        }
    }
}

/* One block of output channels of one chunk. */
static spk_status sum_item(void *ctx, uint32_t item, uint32_t worker)
{
    const struct project *p = ctx;
    uint32_t chunk = item / p->w->blocks, block = item % p->w->blocks;
    struct ref_range range =
        ref_range_of(p->positions, p->grain, (uint32_t)(p->first_chunk + chunk));
    uint32_t n = (uint32_t)(range.end - range.begin), lanes = p->w->lanes;
    struct pk_sum s = {.row_bytes = p->w->row_bytes,
                       .frames = p->frames,
                       .lanes = lanes,
                       .row_limit = p->row_limit};
    struct work w;

    (void)lay_out(p, p->work + worker * p->work_bytes, &w);
    memset(w.acc, 0, (size_t)n * p->frames * lanes * (p->w->integer ? 2 : 4));
    memset(w.rows, 0, (size_t)n * p->frames * sizeof *w.rows);
    memset(w.spilled, 0, (size_t)n * p->frames);
    for (uint32_t i = 0; i < n; i++)
        w.left[i] = (int32_t)((int64_t)((range.begin + i) % p->window.out_w) * p->window.stride_w -
                              p->window.pad_w);
    s.left = w.left;
    s.acc = w.acc;
    s.rows = w.rows;
    s.wide = w.wide;
    s.spilled = w.spilled;
    sum_block(p, &s, chunk, block);
    p->wraps[item] = 0;
    for (uint32_t i = 0; i < n; i++)
        p->wraps[item] += finish(p, &w, i, range.begin + i, block * lanes, lanes);
    return SPK_OK;
}

static spk_status make_streams(void *ctx, uint32_t item, uint32_t worker)
{
    const struct project *p = ctx;
    uint32_t chunk = item / p->n_tiles, tile = item % p->n_tiles;
    struct ref_range range =
        ref_range_of(p->positions, p->grain, (uint32_t)(p->first_chunk + chunk));

    for (uint32_t i = 0; i < p->parts; i++) {
        uint64_t at = (uint64_t)item * p->parts + i, begin = range.begin + (uint64_t)i * p->part;
        struct ref_range part = {begin < range.end ? begin : range.end,
                                 range.end - begin < p->part ? range.end : begin + p->part};

        if (begin >= range.end)
            part.end = part.begin;
        pk_streams_make(p->lists, &p->window, part, range.begin, tile / p->w->kernel_h,
                        tile % p->w->kernel_h, p->scratch + (uint64_t)worker * p->room,
                        p->stream + at * p->room, p->ends + at * p->lists->n_groups);
    }
    return SPK_OK;
}

/* ---- a whole projection ---- */

static void geometry(struct project *p, const struct ir_type *in)
{
    const struct ir_node *node = p->node;
    struct pk_window *w = &p->window;
    bool conv = node->op == IR_OP_CONV2D;

    p->positions = ir_type_positions(&node->type);
    w->in_h = conv ? in->height : (uint32_t)ir_type_positions(in);
    w->in_w = conv ? in->width : 1;
    w->out_w = conv ? node->type.width : 1;
    w->kernel_h = p->w->kernel_h;
    w->kernel_w = p->w->kernel_w;
    w->stride_h = conv ? node->a.conv.stride_h : 1;
    w->stride_w = conv ? node->a.conv.stride_w : 1;
    w->pad_h = conv ? node->a.conv.pad_h : 0;
    w->pad_w = conv ? node->a.conv.pad_w : 0;
    p->shift = p->w->integer ? node->a.conv.shift : 0;
    if (node->n_params > 1) {
        p->bias = &p->job->e->m->param[node->param[1]];
        p->bias_f32 = p->w->integer ? NULL : p->bias->data;
    }
}

/* Whether shifted sums and a bias stay within 32 bits, as the fused neurons need it. */
static bool fits_narrow(const struct project *p, const struct pk_bits *in)
{
    uint64_t most = (((uint64_t)1 << in->planes) - 1) * p->w->in * p->w->kernel_h * p->w->kernel_w *
                    (uint64_t)p->relaid->abs_max;

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
    const struct pk_window *w = &p->window;
    const struct pk_lists *l = p->lists;

    for (uint64_t position = 0; position < p->positions; position++) {
        int64_t top = (int64_t)(position / w->out_w) * w->stride_h - w->pad_h;
        int64_t left = (int64_t)(position % w->out_w) * w->stride_w - w->pad_w;

        for (int64_t y = top; y < top + w->kernel_h; y++) {
            for (uint32_t q = 0; y >= 0 && y < w->in_h && q < l->n_slices; q++) {
                for (uint32_t k = 0; k < l->n_classes; k++) {
                    uint64_t n = pk_piece(l, w, q, (uint32_t)y, k, left);

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

/* Sizes of chunks, and the memory for those that are in hand at a time. */
static spk_status plan_chunks(struct project *p)
{
    uint64_t position_bytes, chunk_bytes;
    uint32_t workers = pool_threads(p->job->pool);
    struct work w;

    position_bytes = (uint64_t)p->w->lanes * (p->w->integer ? 2 : 4) * p->frames;
    p->part = (uint32_t)(PART_BYTES / position_bytes);
    p->part = p->part < 4 ? 4 : p->part > 64 ? 64 : p->part;
    p->parts = (uint32_t)(ACC_BYTES / (position_bytes * p->part));
    p->parts = p->parts < 1 ? 1 : p->parts > 8 ? 8 : p->parts;
    if (p->positions < (uint64_t)p->parts * p->part)
        p->parts = (uint32_t)ref_chunks(p->positions, p->part);
    p->grain = p->parts * p->part;
    p->room = p->part * p->lists->n_classes;
    p->n_tiles = p->w->n_slices * p->w->kernel_h;
    chunk_bytes = (uint64_t)p->n_tiles * p->parts * p->room * sizeof *p->stream;
    p->n_chunks = (uint32_t)ref_chunks(p->positions, p->grain);
    if (p->n_chunks > 1 + STREAM_BYTES / chunk_bytes)
        p->n_chunks = (uint32_t)(1 + STREAM_BYTES / chunk_bytes);
    p->work_bytes = lay_out(p, NULL, &w);
    p->work = spk_alloc_aligned(p->work_bytes * workers, 64);
    if (!p->work)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array_raw((size_t)p->n_chunks * p->n_tiles * p->parts * p->room,
                                sizeof *p->stream, &p->stream));
    SPK_TRY(spk_alloc_array_raw((size_t)workers * p->room, sizeof *p->scratch, &p->scratch));
    SPK_TRY(spk_alloc_array_raw((size_t)p->n_chunks * p->n_tiles * p->parts * p->lists->n_groups,
                                sizeof *p->ends, &p->ends));
    return spk_alloc_array_raw((size_t)p->n_chunks * p->w->blocks, sizeof *p->wraps, &p->wraps);
}

/* Sums, then neurons or currents. */
static spk_status run_chunks(struct project *p, uint32_t id, struct pk_bits *in)
{
    struct ref_job *job = p->job;
    uint64_t chunks;
    spk_status status;

    p->row_limit = p->relaid->abs_max ? (uint32_t)(INT16_MAX / p->relaid->abs_max) : INT16_MAX;
    if (pk_of(job->e)->nanoseconds)
        profile(p, id, in);
    status = plan_chunks(p);
    chunks = ref_chunks(p->positions, p->grain);
    for (p->first_chunk = 0; status == SPK_OK && p->first_chunk < chunks;
         p->first_chunk += p->n_chunks) {
        uint64_t rest = chunks - p->first_chunk;
        uint64_t items;

        p->n_chunks = rest < p->n_chunks ? (uint32_t)rest : p->n_chunks;
        items = (uint64_t)p->n_chunks * p->w->blocks;
        status = ref_parallel(job, (uint64_t)p->n_chunks * p->n_tiles, 1, make_streams, p);
        if (status == SPK_OK)
            status = ref_parallel(job, items, 1, sum_item, p);
        for (uint64_t i = 0; status == SPK_OK && p->fire && job->tally.wraps && i < items; i++)
            job->tally.wraps[pk_of(job->e)->plan[id].neuron] += p->wraps[i];
    }
    spk_free(p->wraps);
    spk_free(p->ends);
    spk_free(p->scratch);
    spk_free(p->stream);
    spk_free(p->work);
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
        SPK_TRY(ref_value_create(job, id, p->frames));
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
    p.frames = in->frames;
    SPK_TRY(pk_lists_make(job, in, p.w, p.window.in_h, p.window.in_w));
    p.lists = &pk_job_of(job)->lists;
    SPK_TRY(pk_weights_get(job, id, &relaid));
    p.relaid = &relaid;
    status = with_weights(&p, id, in);
    spk_free(relaid.own);
    return status;
}
