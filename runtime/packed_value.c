/* Values of the packed engine: bits, their plain form, sums of bit planes, statistics.
 *
 * Counts are bit planes: element = sum of 2^p * bit of plane p. Sums of counts are formed 64
 * channels at a time by ripple carry over the planes. Invariants: bits behind the last channel of a
 * row are zero; a value is written by the op that creates it only.                            */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/checked.h"

#define GRAIN 512u /* rows of a chunk */

spk_status pk_bits_create(uint32_t planes, uint32_t frames, uint64_t positions, uint32_t channels,
                          struct pk_bits **out)
{
    struct pk_bits shape = {1, planes, frames, channels, (channels + 63) / 64, positions, NULL};
    const uint64_t factor[] = {planes, frames, positions, shape.words, 8};
    uint64_t bytes;
    size_t size;
    struct pk_bits *b;

    *out = NULL;
    if (!checked_product_u64(factor, 5, &bytes) || !checked_add_u64(bytes, 64, &bytes) ||
        !checked_size_from_u64(bytes, &size))
        return SPK_ERR_NOMEM;
    b = spk_alloc_aligned(size, 64);
    if (!b)
        return SPK_ERR_NOMEM;
    *b = shape;
    b->data = (uint64_t *)(void *)((uint8_t *)b + 64);
    memset(b->data, 0, size - 64);
    *out = b;
    return SPK_OK;
}
_Static_assert(sizeof(struct pk_bits) <= 64, "the header is one cache line");

void pk_bits_release(struct pk_bits *b)
{
    if (b && --b->refs == 0)
        spk_free(b);
}

void pk_value_set(struct ref_job *job, uint32_t id, struct pk_bits *b)
{
    struct ref_value *v = &job->value[id];

    pk_job_of(job)->bits[id] = b;
    v->elem = ref_elem_of(&job->e->m->node[id]);
    v->frames = b->frames;
    v->channels = b->channels;
    v->positions = b->positions;
}

spk_status pk_value_create(struct ref_job *job, uint32_t id, uint32_t planes, uint32_t frames,
                           struct pk_bits **out)
{
    const struct ir_type *t = &job->e->m->node[id].type;

    SPK_TRY(pk_bits_create(planes, frames, ir_type_positions(t), t->channels, out));
    pk_value_set(job, id, *out);
    return SPK_OK;
}

/* ---- between the forms ---- */

struct convert {
    const struct ref_value *v;
    const struct pk_bits *b;
};

static inline int32_t element(const struct ref_value *v, uint64_t at)
{
    return v->elem == REF_U8 ? ref_u8(v)[at] : ref_i32(v)[at];
}

static spk_status pack_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct convert *c = ctx;
    struct ref_range range = ref_range_of(c->b->frames * c->b->positions, GRAIN, chunk);

    (void)worker;
    for (uint64_t r = range.begin; r < range.end; r++) {
        for (uint32_t i = 0; i < c->b->channels; i++) {
            uint32_t x = (uint32_t)element(c->v, r * c->b->channels + i);

            for (uint32_t p = 0; x; p++, x >>= 1)
                c->b->data[p * pk_plane_words(c->b) + r * c->b->words + i / 64] |= (uint64_t)(x & 1)
                                                                                   << (i % 64);
        }
    }
    return SPK_OK;
}

static uint32_t planes_of(const struct ref_value *v)
{
    uint32_t any = 0, planes = 1;

    for (uint64_t i = 0; i < v->frames * ref_frame_size(v); i++)
        any |= (uint32_t)element(v, i);
    while (planes < 32 && any >> planes)
        planes++;
    return planes;
}

spk_status pk_value_bits(struct ref_job *job, uint32_t id, struct pk_bits **out)
{
    struct ref_value *v = &job->value[id];
    struct pk_bits *b = pk_job_of(job)->bits[id];
    struct convert c = {v, b};

    *out = b;
    if (b)
        return SPK_OK;
    if (v->elem == REF_F32 || planes_of(v) > PK_MAX_PLANES)
        return SPK_ERR_INTERNAL; /* create and the check of the input see to this */
    SPK_TRY(pk_bits_create(planes_of(v), v->frames, v->positions, v->channels, &b));
    pk_job_of(job)->bits[id] = b;
    c.b = *out = b;
    return ref_parallel(job, (uint64_t)b->frames * b->positions, GRAIN, pack_chunk, &c);
}

static spk_status plain_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct convert *c = ctx;
    const struct pk_bits *b = c->b;
    struct ref_range range = ref_range_of(b->frames * b->positions, GRAIN, chunk);

    (void)worker;
    for (uint64_t r = range.begin; r < range.end; r++) {
        for (uint32_t i = 0; i < b->channels; i++) {
            uint32_t x = 0;

            for (uint32_t p = 0; p < b->planes; p++)
                x |= (uint32_t)(b->data[p * pk_plane_words(b) + r * b->words + i / 64] >> (i % 64) &
                                1)
                     << p;
            if (c->v->elem == REF_U8)
                ref_u8(c->v)[r * b->channels + i] = (uint8_t)x;
            else
                ref_i32(c->v)[r * b->channels + i] = (int32_t)x;
        }
    }
    return SPK_OK;
}

spk_status pk_value_plain(struct ref_job *job, uint32_t id)
{
    struct convert c = {&job->value[id], pk_job_of(job)->bits[id]};

    if (c.v->buffer)
        return SPK_OK;
    if (!c.b)
        return SPK_ERR_INTERNAL;
    SPK_TRY(ref_value_create(job, id, c.b->frames));
    return ref_parallel(job, (uint64_t)c.b->frames * c.b->positions, GRAIN, plain_chunk, &c);
}

/* ---- sums ---- */

struct adder {
    struct pk_bits **operand;
    uint32_t n;
    struct pk_bits *out;
};

/* Words [.) of one frame. */
static spk_status add_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct adder *a = ctx;
    const struct pk_bits *out = a->out;
    uint64_t words = out->positions * out->words, pieces = ref_chunks(words, GRAIN);
    uint32_t t = (uint32_t)(chunk / pieces);
    struct ref_range range = ref_range_of(words, GRAIN, (uint32_t)(chunk % pieces));
    uint64_t sum[PK_MAX_PLANES][GRAIN];
    uint64_t n = range.end - range.begin;

    (void)worker;
    for (uint32_t p = 0; p < out->planes; p++)
        memset(sum[p], 0, n * sizeof sum[p][0]);
    for (uint32_t o = 0; o < a->n; o++) {
        for (uint32_t k = 0; k < a->operand[o]->planes; k++) {
            const uint64_t *x = pk_frame(a->operand[o], k, t) + range.begin;
            uint64_t carry[GRAIN], any = 0;

            for (uint64_t i = 0; i < n; i++)
                any |= carry[i] = x[i];
            for (uint32_t p = k; any && p < out->planes; p++) {
                any = 0;
                for (uint64_t i = 0; i < n; i++) {
                    uint64_t old = sum[p][i];

                    sum[p][i] = old ^ carry[i];
                    any |= carry[i] &= old;
                }
            }
        }
    }
    for (uint32_t p = 0; p < out->planes; p++)
        memcpy(pk_frame(out, p, t) + range.begin, sum[p], n * sizeof sum[p][0]);
    return SPK_OK;
}

static bool plane_empty(const struct pk_bits *b, uint32_t p)
{
    const uint64_t *x = b->data + p * pk_plane_words(b);

    for (uint64_t i = 0; i < pk_plane_words(b); i++)
        if (x[i])
            return false;
    return true;
}

static spk_status add_up(struct ref_job *job, struct pk_bits **operand, uint32_t n,
                         struct pk_bits **out)
{
    struct adder a = {operand, n, NULL};
    uint64_t most = 0;
    uint32_t planes = 1, frames = 1;
    spk_status status;

    for (uint32_t i = 0; i < n; i++) {
        most += ((uint64_t)1 << operand[i]->planes) - 1;
        frames = operand[i]->frames > frames ? operand[i]->frames : frames;
    }
    while (most >> planes)
        planes++;
    planes = planes > PK_MAX_PLANES ? PK_MAX_PLANES : planes;
    SPK_TRY(pk_bits_create(planes, frames, operand[0]->positions, operand[0]->channels, &a.out));
    status = ref_parallel(job, frames * ref_chunks(a.out->positions * a.out->words, GRAIN), 1,
                          add_chunk, &a);
    while (status == SPK_OK && a.out->planes > 1 && plane_empty(a.out, a.out->planes - 1))
        a.out->planes--;
    if (status != SPK_OK) {
        pk_bits_release(a.out);
        return status;
    }
    *out = a.out;
    return SPK_OK;
}

void pk_forget(struct pk_job *p)
{
    pk_bits_release(p->sum);
    p->sum = NULL;
    spk_free(p->summed);
    p->summed = NULL;
    p->n_summed = 0;
    pk_lists_fini(&p->lists);
}

/* Operands that the remembered sum already holds: all of it, or nothing. */
static uint32_t remembered(const struct pk_job *p, const uint32_t *operand, uint32_t n)
{
    if (!p->sum || p->n_summed > n || memcmp(p->summed, operand, p->n_summed * sizeof *operand))
        return 0;
    return p->n_summed;
}

spk_status pk_operands(struct ref_job *job, const uint32_t *operand, uint32_t n,
                       struct pk_bits **out)
{
    struct pk_job *p = pk_job_of(job);
    uint32_t have = n > 1 ? remembered(p, operand, n) : 0, terms = 0, *summed = NULL;
    struct pk_bits **term = NULL, *sum = NULL;
    spk_status status = SPK_OK;

    if (n == 1)
        return pk_value_bits(job, operand[0], out);
    *out = p->sum;
    if (have == n)
        return SPK_OK;
    SPK_TRY(spk_alloc_array((size_t)n + 1, sizeof(struct pk_bits *), &term));
    if (have)
        term[terms++] = p->sum;
    for (uint32_t i = have; i < n && status == SPK_OK; i++)
        status = pk_value_bits(job, operand[i], &term[terms++]);
    if (status == SPK_OK)
        status = add_up(job, term, terms, &sum);
    spk_free(term);
    if (status == SPK_OK)
        status = spk_alloc_array(n, sizeof *summed, &summed);
    if (status != SPK_OK) {
        pk_bits_release(sum);
        return status;
    }
    memcpy(summed, operand, n * sizeof *summed);
    pk_forget(p);
    p->sum = *out = sum;
    p->summed = summed;
    p->n_summed = n;
    return SPK_OK;
}

/* ---- statistics ---- */

bool pk_wants_extremes(const struct ref_job *job)
{
    const struct engine_stats *s = job->run->stats;

    return s && (s->abs_max || s->min || s->max);
}

spk_status pk_tally(struct ref_job *job, uint32_t id)
{
    const struct pk_kernels *kernels = pk_of(job->e)->kernels;
    const struct pk_bits *b = pk_job_of(job)->bits[id];
    const struct ir_type *type = &job->e->m->node[id].type;
    double total = 0;

    if (!job->tally.wanted)
        return SPK_OK;
    if (pk_wants_extremes(job) || (job->tally.channel_sum && job->tally.channel_sum[id])) {
        SPK_TRY(pk_value_plain(job, id));
        return ref_tally_value(job, id);
    }
    if (!b && job->value[id].buffer && job->value[id].elem != REF_F32 && type->kind != IR_CURRENT)
        return ref_tally_value(job, id);
    for (uint32_t p = 0; b && p < b->planes; p++)
        total += (double)((uint64_t)1 << p) *
                 (double)kernels->count(b->data + p * pk_plane_words(b), pk_plane_words(b));
    job->tally.sum[id] = b && b->frames == 1 ? total * type->timesteps : total;
    return SPK_OK;
}
