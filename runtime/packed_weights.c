/* Weights of the packed engine: planned when it is created, re-laid when a layer first runs.
 *
 * A block of output channels is as wide as the kernels' rows (64 float or 128 8-bit lanes, less
 * where there are fewer channels; missing ones are zero). Input channels are cut into slices whose
 * weights under a kernel row stay in a first-level cache for one block. Re-laying reads a file's
 * pages once, tile by tile, and gives them back; two runs that come first at once each do it, and
 * one copy is kept.  */
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/file.h"

#define TILE 64u /* taps of an output channel that are turned around together */

static uint32_t lanes_for(uint32_t out, bool integer)
{
    uint32_t lanes = integer ? PK_LANES_I8 : PK_LANES_F32;

    for (uint32_t i = 0; i < 2 && out <= lanes / 2; i++)
        lanes /= 2;
    return lanes;
}

bool pk_weights_plan(const struct ir_module *m, uint32_t id, uint32_t tile_bytes,
                     struct pk_weights *out)
{
    const struct ir_node *node = &m->node[id];
    const struct ir_param *p = &m->param[node->param[0]];
    bool conv = node->op == IR_OP_CONV2D, integer = m->stage == IR_STAGE_QUANTISED;
    const struct ir_type *in = &m->node[node->operand[0]].type;
    uint32_t in_w = conv ? in->width : 1, fit;
    uint64_t most = 0, taps;

    memset(out, 0, sizeof *out);
    out->integer = integer;
    out->kernel_h = conv ? node->a.conv.kernel_h : 1;
    out->kernel_w = conv ? node->a.conv.kernel_w : 1;
    taps = (uint64_t)out->kernel_h * out->kernel_w;
    out->in = in->channels;
    out->out = node->type.channels;
    for (uint32_t i = 0; i < node->n_operands; i++) {
        const struct ir_type *t = &m->node[node->operand[i]].type;

        if (t->kind != IR_SPIKE && t->kind != IR_COUNT)
            return false;
        if (t->bound == 0 && (integer || node->n_operands > 1))
            return false;
        most += t->bound;
    }
    if (p->dtype != (integer ? IR_DT_I8 : IR_DT_F32) || out->kernel_h > PK_MAX_KERNEL ||
        out->kernel_w > PK_MAX_KERNEL || node->type.timesteps > PK_MAX_FRAMES ||
        most > 1u << (PK_MAX_PLANES - 2))
        return false;
    /* The planes of a value hold up to twice its bound; all sums fit 32 bits. */
    if (integer && 2 * most * taps * out->in * 128 > INT32_MAX)
        return false;
    out->lanes = lanes_for(out->out, integer);
    out->blocks = (out->out + out->lanes - 1) / out->lanes;
    out->row_bytes = out->lanes * (integer ? 1 : 4);
    out->bytes = taps * out->row_bytes * out->in * out->blocks;
    /* Slices start on words; entries of a row have 16 bits. */
    fit = (tile_bytes ? tile_bytes : PK_TILE_BYTES) / (out->kernel_w * out->row_bytes);
    fit = fit > 65536 / in_w ? 65536 / in_w : fit;
    out->slice = fit / 64 * 64 > 0 ? fit / 64 * 64 : 64;
    if (out->slice > out->in)
        out->slice = out->in;
    out->n_slices = (out->in + out->slice - 1) / out->slice;
    return (uint64_t)in_w * out->slice <= 65536;
}

struct relay {
    const struct ir_param *p;
    const struct pk_weights *w;
    uint8_t *out;
    int32_t *abs_max; /* [blocks] */
};

/* Where the row of (in channel, tap) lies within a block. */
static uint64_t row_at(const struct pk_weights *w, uint32_t in, uint32_t tap)
{
    uint32_t slice = in / w->slice, first = slice * w->slice, taps = w->kernel_h * w->kernel_w;
    uint32_t channels = w->in - first < w->slice ? w->in - first : w->slice;

    return ((uint64_t)first * taps + (uint64_t)tap * channels + (in - first)) * w->row_bytes;
}

static spk_status relay_block(void *ctx, uint32_t block, uint32_t worker)
{
    const struct relay *r = ctx;
    const struct pk_weights *w = r->w;
    uint32_t taps = w->kernel_h * w->kernel_w;
    uint32_t first = block * w->lanes, rows = w->in * taps;
    uint32_t n = w->out - first < w->lanes ? w->out - first : w->lanes;
    uint8_t *base = r->out + (uint64_t)rows * w->row_bytes * block;
    int32_t abs_max = 0;

    (void)worker;
    if (n < w->lanes)
        memset(base, 0, (size_t)rows * w->row_bytes);
    for (uint32_t s0 = 0; s0 < rows; s0 += TILE) {
        uint32_t tile = rows - s0 < TILE ? rows - s0 : TILE;
        uint64_t at[TILE];

        for (uint32_t s = 0; s < tile; s++)
            at[s] = row_at(w, (s0 + s) / taps, (s0 + s) % taps);
        for (uint32_t j = 0; j < n; j++) {
            uint64_t from = (uint64_t)(first + j) * rows + s0;

            if (w->integer) {
                const int8_t *x = (const int8_t *)r->p->data + from;

                for (uint32_t s = 0; s < tile; s++) {
                    base[at[s] + j] = (uint8_t)x[s];
                    abs_max = x[s] > abs_max ? x[s] : -x[s] > abs_max ? -x[s] : abs_max;
                }
            } else {
                const float *x = (const float *)r->p->data + from;

                for (uint32_t s = 0; s < tile; s++)
                    *(float *)(void *)(base + at[s] + 4 * j) = x[s];
            }
        }
    }
    r->abs_max[block] = abs_max;
    return SPK_OK;
}

static spk_status relay(struct ref_job *job, const struct ir_param *p, const struct pk_weights *w,
                        uint8_t *to, int32_t *out_abs_max)
{
    struct relay r = {p, w, to, NULL};
    spk_status status;

    *out_abs_max = 0;
    SPK_TRY(spk_alloc_array(w->blocks, sizeof *r.abs_max, &r.abs_max));
    status = ref_parallel(job, w->blocks, 1, relay_block, &r);
    for (uint32_t b = 0; status == SPK_OK && b < w->blocks; b++)
        *out_abs_max = r.abs_max[b] > *out_abs_max ? r.abs_max[b] : *out_abs_max;
    spk_free(r.abs_max);
    if (status == SPK_OK && p->mapped)
        file_pages_release(p->data, ir_param_elements(p) * ir_dtype_size(p->dtype));
    return status;
}

spk_status pk_weights_get(struct ref_job *job, uint32_t id, struct pk_relaid *out)
{
    const struct ir_module *m = job->e->m;
    const struct ir_param *p = &m->param[m->node[id].param[0]];
    struct pk_engine *pk = job->e->own;
    struct pk_weights *w = &pk->plan[id].w;
    int state = w->keep ? atomic_load(&w->state) : PK_BEING_RELAID;
    spk_status status;

    *out = (struct pk_relaid){.data = pk->kept + w->at};
    if (state == PK_RAW && atomic_compare_exchange_strong(&w->state, &state, PK_BEING_RELAID)) {
        status = relay(job, p, w, pk->kept + w->at, &w->abs_max);
        state = status == SPK_OK ? PK_READY : PK_RAW;
        atomic_store(&w->state, state);
        SPK_TRY(status);
    }
    if (state == PK_READY) {
        out->abs_max = w->abs_max;
        return SPK_OK;
    }
    /* Not kept, or in the hands of another run. */
    out->own = spk_alloc_huge(w->bytes);
    out->data = out->own;
    if (!out->own)
        return SPK_ERR_NOMEM;
    status = relay(job, p, w, out->own, &out->abs_max);
    if (status != SPK_OK)
        spk_free(out->own);
    return status;
}
