/* Values of the reference engine: buffers, conversions, the golden layout, statistics.
 *
 * Invariants: a buffer is shared by reference count; only its first owner writes it, and only
 * while it is computed. Converting to and from the golden layout is a blocked transposition, so
 * that both sides stay within a few cache lines. Statistics are taken per channel in position
 * order, in double precision, hence independent of threads; sums of spikes and counts are exact.
 * Cost: one pass over a value for statistics, one for recording, none where nobody asks.      */
#include "runtime/reference_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"
#include "support/checked.h"

enum ref_elem ref_elem_of(const struct ir_node *node)
{
    const struct ir_type *t = &node->type;

    if (t->kind == IR_SPIKE || t->kind == IR_COUNT)
        return t->bound >= 1 && t->bound <= UINT8_MAX ? REF_U8 : REF_I32;
    return t->num == IR_I32 ? REF_I32 : REF_F32;
}

uint32_t ref_elem_size(enum ref_elem elem)
{
    return elem == REF_U8 ? 1 : 4;
}

bool ref_record_is_i32(const struct ir_type *type)
{
    return type->bound < 1 || type->bound > UINT8_MAX;
}

int32_t ref_current(int64_t exact)
{
    const int64_t beyond = (int64_t)1 << 30, mask = ((int64_t)1 << 24) - 1;

    if (exact > INT32_MAX)
        return (int32_t)(beyond + (exact & mask));
    if (exact < INT32_MIN)
        return (int32_t)(-beyond - (-exact & mask));
    return (int32_t)exact;
}

spk_status ref_value_create(struct ref_job *job, uint32_t id, uint32_t frames)
{
    const struct ir_node *node = &job->e->m->node[id];
    struct ref_value *v = &job->value[id];
    uint64_t bytes = frames;
    size_t size = 0;

    v->elem = ref_elem_of(node);
    v->frames = frames;
    v->channels = node->type.channels;
    v->positions = ir_type_positions(&node->type);
    if (!checked_mul_u64(bytes, ref_frame_size(v) * ref_elem_size(v->elem), &bytes) ||
        !checked_add_u64(bytes, 64, &bytes) || !checked_size_from_u64(bytes, &size))
        return SPK_ERR_NOMEM;
    v->buffer = spk_alloc_aligned(size, 64);
    if (!v->buffer)
        return SPK_ERR_NOMEM;
    v->buffer->refs = 1;
    v->buffer->data = (uint8_t *)v->buffer + 64;
    return SPK_OK;
}

void ref_value_alias(struct ref_job *job, uint32_t id, uint32_t operand)
{
    job->value[id] = job->value[operand];
    /* The same elements under another shape: reshape keeps channels and positions. */
    job->value[id].buffer->refs++;
}

void ref_value_release(struct ref_value *v)
{
    if (v->buffer && --v->buffer->refs == 0)
        spk_free(v->buffer);
    v->buffer = NULL;
}

uint32_t ref_frames(const struct ref_job *job, const struct ir_node *node)
{
    uint32_t frames = 1;

    for (uint32_t i = 0; i < node->n_operands; i++) {
        uint32_t f = job->value[node->operand[i]].frames;

        frames = f > frames ? f : frames;
    }
    return frames;
}

const float *ref_as_f32(const struct ref_value *v, uint64_t at, uint32_t n, float *scratch)
{
    if (v->elem == REF_F32)
        return ref_f32(v) + at;
    if (v->elem == REF_U8) {
        const uint8_t *x = ref_u8(v) + at;

        for (uint32_t i = 0; i < n; i++)
            scratch[i] = (float)x[i];
    } else {
        const int32_t *x = ref_i32(v) + at;

        for (uint32_t i = 0; i < n; i++)
            scratch[i] = (float)x[i];
    }
    return scratch;
}

int32_t ref_as_i32(const struct ref_value *v, uint64_t at)
{
    if (v->elem == REF_U8)
        return ref_u8(v)[at];
    return v->elem == REF_I32 ? ref_i32(v)[at] : (int32_t)ref_f32(v)[at];
}

spk_status ref_parallel(struct ref_job *job, uint64_t total, uint64_t grain, pool_fn fn, void *ctx)
{
    uint64_t chunks = ref_chunks(total, grain);

    if (chunks > UINT32_MAX)
        return SPK_ERR_NOMEM; /* 2^32 chunks of a value: nothing of that size was allocated */
    return pool_run(job->pool, (uint32_t)chunks, fn, ctx);
}

/* ---- golden layout ---- */

/* out[c][p] = in[p][c] for one frame, tile by tile. */
#define REF_TILE 32u
#define REF_TRANSPOSE(name, type)                                                                  \
    static void name(const type *restrict in, uint64_t rows, uint64_t columns, type *restrict out) \
    {                                                                                              \
        for (uint64_t r0 = 0; r0 < rows; r0 += REF_TILE) {                                         \
            uint64_t r1 = rows - r0 < REF_TILE ? rows : r0 + REF_TILE;                             \
                                                                                                   \
            for (uint64_t c0 = 0; c0 < columns; c0 += REF_TILE) {                                  \
                uint64_t c1 = columns - c0 < REF_TILE ? columns : c0 + REF_TILE;                   \
                                                                                                   \
                for (uint64_t c = c0; c < c1; c++)                                                 \
                    for (uint64_t r = r0; r < r1; r++)                                             \
                        out[c * rows + r] = in[r * columns + c];                                   \
            }                                                                                      \
        }                                                                                          \
    }
REF_TRANSPOSE(transpose_u8, uint8_t)
REF_TRANSPOSE(transpose_i32, int32_t)

void ref_export(const struct ref_value *v, const struct ir_type *type, void *out, bool is_i32)
{
    /* An NC tensor is the engine's own order: one row of positions * channels. */
    bool turn = type->layout != IR_NC;
    uint64_t rows = turn ? v->positions : 1;
    uint64_t columns = turn ? v->channels : ref_frame_size(v);
    uint64_t size = ref_frame_size(v);

    for (uint32_t t = 0; t < type->timesteps; t++) {
        uint64_t at = ref_frame_at(v, t);

        if (!is_i32)
            transpose_u8(ref_u8(v) + at, rows, columns, (uint8_t *)out + t * size);
        else
            transpose_i32(ref_i32(v) + at, rows, columns, (int32_t *)out + t * size);
    }
}

void ref_import(const uint8_t *golden, const struct ir_type *type, uint8_t *out)
{
    bool turn = type->layout != IR_NC;
    uint64_t size = ir_type_elements(type), positions = ir_type_positions(type);

    for (uint32_t t = 0; t < type->timesteps; t++) {
        if (turn)
            transpose_u8(golden + t * size, type->channels, positions, out + t * size);
        else
            memcpy(out + t * size, golden + t * size, size);
    }
}

/* ---- statistics ---- */

/* Sums per channel and extremes of a value's frames. */
struct ref_extent {
    double *sum; /* [channels] */
    double min, max;
};

static void extent_u8(const struct ref_value *v, struct ref_extent *x)
{
    uint64_t rows = v->frames * v->positions;
    uint8_t low = UINT8_MAX, high = 0;

    for (uint64_t r = 0; r < rows; r++) {
        const uint8_t *row = ref_u8(v) + r * v->channels;

        for (uint32_t c = 0; c < v->channels; c++) {
            x->sum[c] += row[c];
            low = row[c] < low ? row[c] : low;
            high = row[c] > high ? row[c] : high;
        }
    }
    x->min = low;
    x->max = high;
}

static void extent_wide(const struct ref_value *v, struct ref_extent *x)
{
    uint64_t rows = v->frames * v->positions;

    x->min = INFINITY;
    x->max = -INFINITY;
    for (uint64_t r = 0; r < rows; r++) {
        for (uint32_t c = 0; c < v->channels; c++) {
            uint64_t at = r * v->channels + c;
            double value = v->elem == REF_F32 ? (double)ref_f32(v)[at] : ref_i32(v)[at];

            x->sum[c] += value;
            x->min = value < x->min ? value : x->min;
            x->max = value > x->max ? value : x->max;
        }
    }
}

spk_status ref_tally_value(struct ref_job *job, uint32_t id)
{
    const struct ref_value *v = &job->value[id];
    const struct ir_type *type = &job->e->m->node[id].type;
    struct ref_tally *tally = &job->tally;
    double repeats = v->frames == 1 ? type->timesteps : 1;
    struct ref_extent x = {0};
    double total = 0;

    if (!tally->wanted)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(v->channels, sizeof *x.sum, &x.sum));
    if (v->elem == REF_U8)
        extent_u8(v, &x);
    else
        extent_wide(v, &x);
    for (uint32_t c = 0; c < v->channels; c++) {
        total += x.sum[c] * repeats;
        if (tally->channel_sum && tally->channel_sum[id])
            tally->channel_sum[id][c] = x.sum[c] * repeats;
    }
    spk_free(x.sum);
    tally->sum[id] = total;
    tally->min[id] = x.min;
    tally->max[id] = x.max;
    tally->abs_max[id] = fmax(fabs(x.min), fabs(x.max));
    return SPK_OK;
}
