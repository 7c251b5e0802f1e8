/* Neurons of the packed engine: leaky integrators written as v = v + (input - v) / tau with a
 * constant threshold, and the integer neuron of docs/integers.md. Every other program is run by the
 * reference's interpreter of equations, as is everything a teacher corrects.                    */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"

#define GRAIN 64u /* positions of a chunk */

/* ---- which neurons ---- */

static bool is_code(const struct ir_expr *x, const uint8_t *code, uint32_t n)
{
    if (x->n != n)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (x->code[i].code != code[i] || (code[i] == IR_EQ_STATE && x->code[i].arg != 0))
            return false;
    return true;
}

/* The exact order of operations matters: results must round as the interpreter's do. */
static bool lif_of(const struct ir_neuron *n, struct pk_lif *out)
{
    static const uint8_t charge[] = {IR_EQ_STATE, IR_EQ_INPUT, IR_EQ_STATE, IR_EQ_SUB,
                                     IR_EQ_CONST, IR_EQ_DIV,   IR_EQ_ADD};
    static const uint8_t state[] = {IR_EQ_STATE}, constant[] = {IR_EQ_CONST};
    static const uint8_t soft[] = {IR_EQ_STATE, IR_EQ_CONST, IR_EQ_SUB};
    int exponent;

    if (n->n_states != 1 || !is_code(&n->charge[0], charge, 7) ||
        !is_code(&n->fire_lhs, state, 1) || !is_code(&n->fire_rhs, constant, 1))
        return false;
    *out = (struct pk_lif){.tau = n->charge[0].code[4].k,
                           .threshold = n->fire_rhs.code[0].k,
                           .v_init = n->state_init[0],
                           .greater = n->cmp == IR_CMP_GT};
    out->tau_is_power = fabsf(frexpf(out->tau, &exponent)) == 0.5f && abs(exponent) < 100;
    if (is_code(&n->reset[0], constant, 1)) {
        out->v_reset = n->reset[0].code[0].k;
        return true;
    }
    out->soft = is_code(&n->reset[0], soft, 3);
    if (out->soft)
        out->v_reset = n->reset[0].code[1].k;
    return out->soft;
}

bool pk_neuron_plan(const struct ir_module *m, const struct ir_node *node, struct pk_lif *lif)
{
    if (node->type.timesteps > PK_MAX_FRAMES)
        return false;
    if (m->stage != IR_STAGE_QUANTISED)
        return lif_of(&m->neuron[node->a.neuron.program], lif);
    const struct ir_neuron_q *q = &node->a.neuron.q;
    const int32_t *vth = m->param[node->param[0]].data;
    if (!vth || q->bits < 2 || q->bits > 24 || q->decay > 4096 || q->current_keep != 0)
        return false;
    /* So that v - vth stays within 26 bits. */
    for (uint32_t c = 0; c < node->type.channels; c++)
        if (vth[c] > 1 << 24 || vth[c] < -(1 << 24))
            return false;
    return true;
}

/* ---- constants ---- */

static void copy_padded(void *to, const void *from, uint32_t n)
{
    memcpy(to, from, (size_t)n * 4);
}

/* alpha and beta of a batch norm, as the reference rounds them. */
static void norm_constants(const struct ir_module *m, const struct ir_node *node, float *alpha,
                           float *beta)
{
    const float *weight = m->param[node->param[0]].data, *bias = m->param[node->param[1]].data;
    const float *mean = m->param[node->param[2]].data, *var = m->param[node->param[3]].data;

    for (uint32_t c = 0; c < node->type.channels; c++) {
        float inverse = 1.0f / sqrtf(var[c] + node->a.eps);

        alpha[c] = inverse * weight[c];
        beta[c] = bias[c] - mean[c] * alpha[c];
    }
}

static void init_f32(const struct ref_job *job, uint32_t neuron, uint32_t norm, uint32_t projection,
                     uint32_t padded, struct pk_fire *f)
{
    const struct ir_module *m = job->e->m;
    float *constants = f->constants;

    f->f.lif = &pk_of(job->e)->plan[neuron].lif;
    f->f.frames = m->node[neuron].type.timesteps;
    if (projection != IR_NONE && m->node[projection].n_params > 1) {
        copy_padded(constants, m->param[m->node[projection].param[1]].data, f->channels);
        f->f.bias = constants;
    }
    if (norm != IR_NONE) {
        norm_constants(m, &m->node[norm], constants + padded, constants + 2 * (size_t)padded);
        f->f.alpha = constants + padded;
        f->f.beta = constants + 2 * (size_t)padded;
    }
}

static void init_q(const struct ref_job *job, uint32_t neuron, uint32_t projection, uint32_t padded,
                   struct pk_fire *f)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[neuron];
    const struct ir_neuron_q *q = &node->a.neuron.q;
    int32_t *vth = f->constants, *bias = vth + padded, *add = bias + padded;

    copy_padded(vth, m->param[node->param[0]].data, f->channels);
    f->q.vth = vth;
    f->q.frames = node->type.timesteps;
    f->q.keep = 4096 - (int32_t)q->decay;
    f->q.bits = q->bits;
    f->q.soft = q->soft_reset;
    if (node->n_params > 1) {
        copy_padded(bias, m->param[node->param[1]].data, f->channels);
        f->q.bias = bias;
    }
    if (projection == IR_NONE)
        return;
    f->q.shift = m->node[projection].a.conv.shift;
    if (m->node[projection].n_params > 1) {
        const struct ir_param *p = &m->param[m->node[projection].param[1]];

        for (uint32_t c = 0; c < f->channels; c++)
            add[c] = p->dtype == IR_DT_I32   ? ((const int32_t *)p->data)[c]
                     : p->dtype == IR_DT_I16 ? ((const int16_t *)p->data)[c]
                                             : ((const int8_t *)p->data)[c];
        f->q.add = add;
    }
}

spk_status pk_fire_init(struct ref_job *job, uint32_t neuron, uint32_t norm, uint32_t projection,
                        uint32_t padded, struct pk_fire *out)
{
    out->kernels = pk_of(job->e)->kernels;
    out->channels = job->e->m->node[neuron].type.channels;
    out->integer = job->e->integer;
    SPK_TRY(spk_alloc_array(3 * (size_t)padded + PK_WORD, 4, &out->constants));
    if (out->integer)
        init_q(job, neuron, projection, padded, out);
    else
        init_f32(job, neuron, norm, projection, padded, out);
    return SPK_OK;
}

void pk_fire_fini(struct pk_fire *f)
{
    spk_free(f->constants);
    f->constants = NULL;
}

/* ---- one word ---- */

static inline const void *behind(const void *p, uint32_t first)
{
    return p ? (const uint8_t *)p + 4 * (size_t)first : NULL;
}

uint64_t pk_fire_word(const struct pk_fire *f, uint64_t position, uint32_t first, uint32_t lanes,
                      const void *current, uint64_t frame_stride)
{
    const struct pk_bits *out = f->out;
    uint32_t valid = f->channels - first < lanes ? f->channels - first : lanes;
    uint64_t mask = valid == 64 ? ~(uint64_t)0 : ((uint64_t)1 << valid) - 1, wraps = 0;
    uint64_t *word = out->data + position * out->words + first / PK_WORD;
    uint64_t stride = out->positions * out->words;

    if (f->integer) {
        struct pk_fire_q q = f->q;

        q.current = current;
        q.frame_stride = frame_stride;
        q.lanes = lanes;
        q.valid = valid;
        q.add = behind(q.add, first);
        q.bias = behind(q.bias, first);
        q.vth = behind(q.vth, first);
        q.out = word;
        q.out_stride = stride;
        f->kernels->fire_q(&q);
        wraps = q.wraps;
    } else {
        struct pk_fire_f32 x = f->f;

        x.current = current;
        x.frame_stride = frame_stride;
        x.lanes = lanes;
        x.bias = behind(x.bias, first);
        x.alpha = behind(x.alpha, first);
        x.beta = behind(x.beta, first);
        x.out = word;
        x.out_stride = stride;
        f->kernels->fire_f32(&x);
    }
    for (uint32_t t = 0; mask != ~(uint64_t)0 && t < out->frames; t++)
        word[t * stride] &= mask;
    return wraps;
}

/* ---- neurons behind anything but a projection ---- */

struct neuron_work {
    struct pk_fire fire;
    const struct ref_value *in;
    uint64_t *wraps; /* per chunk */
};

/* Lanes are padded in a copy where the channels of a row end within a word. */
static uint64_t fire_position(const struct neuron_work *w, uint64_t position, uint32_t first)
{
    const struct ref_value *in = w->in;
    uint32_t n = in->channels - first < PK_WORD ? in->channels - first : PK_WORD;
    const uint8_t *from = (const uint8_t *)in->buffer->data + 4 * (position * in->channels + first);
    uint64_t stride = in->frames == 1 ? 0 : ref_frame_size(in);
    uint32_t copy[PK_MAX_FRAMES * PK_WORD] = {0};

    if (n == PK_WORD)
        return pk_fire_word(&w->fire, position, first, PK_WORD, from, stride);
    for (uint32_t t = 0; t < in->frames; t++)
        memcpy(copy + t * PK_WORD, from + 4 * t * stride, 4 * (size_t)n);
    return pk_fire_word(&w->fire, position, first, PK_WORD, copy, stride ? PK_WORD : 0);
}

static spk_status neuron_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct neuron_work *w = ctx;
    struct ref_range range = ref_range_of(w->in->positions, GRAIN, chunk);

    (void)worker;
    for (uint64_t i = range.begin; i < range.end; i++)
        for (uint32_t c = 0; c < w->in->channels; c += PK_WORD)
            w->wraps[chunk] += fire_position(w, i, c);
    return SPK_OK;
}

spk_status pk_neuron(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    const struct ref_value *in = &job->value[node->operand[0]];
    uint64_t chunks;
    struct neuron_work w = {.in = in};
    spk_status status;

    if (!pk_of(job->e)->plan[id].lif_valid || job->run->teacher || !in->buffer ||
        in->elem != (job->e->integer ? REF_I32 : REF_F32)) {
        SPK_TRY(pk_value_plain(job, node->operand[0]));
        return ref_neuron(job, id);
    }
    chunks = ref_chunks(in->positions, GRAIN);
    SPK_TRY(pk_value_create(job, id, 1, node->type.timesteps, &w.fire.out));
    SPK_TRY(pk_fire_init(job, id, IR_NONE, IR_NONE, (in->channels + 63) / 64 * 64, &w.fire));
    status = spk_alloc_array(chunks, sizeof *w.wraps, &w.wraps);
    if (status == SPK_OK)
        status = ref_parallel(job, in->positions, GRAIN, neuron_chunk, &w);
    for (uint64_t i = 0; status == SPK_OK && job->tally.wraps && i < chunks; i++)
        job->tally.wraps[id] += w.wraps[i];
    spk_free(w.wraps);
    pk_fire_fini(&w.fire);
    return status;
}
