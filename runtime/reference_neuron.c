/* Neurons of the reference engine.
 *
 * Float programs (level R): the postfix equations of the model are evaluated one instruction at a
 * time over REF_LANES neurons, in exactly the written order and in float32, so that
 * v + (input - v) / tau rounds as written. All T steps of a block of neurons run before the next
 * block, hence states live in a few cache lines and are never stored. A `membrane` is charged in
 * the same way and hands on the left side of its comparison.
 * Integer neurons (level Q): section 1 of docs/integers.md, in 64-bit scalars.
 *
 * Teacher forcing: the spike that the equations give is compared with the expected one; the reset
 * and the value handed on follow the expected one. A difference counts as `outside` when the two
 * sides of the comparison are 1e-5 or more apart.
 * Invariants: blocks are independent, their counts are summed in block order.                  */
#include "runtime/reference_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

#define STACK 16u
#define GRAIN (16u * REF_LANES)
#define TIE 1e-5

struct counts {
    uint64_t flips, outside, wraps;
};

struct neuron_work {
    const struct ir_node *node;
    const struct ir_neuron *program; /* float */
    const struct ref_value *in;
    struct ref_value *out;
    const uint8_t *expected;   /* [frames][neuron], engine order; NULL: run free */
    const int32_t *vth, *bias; /* integer; bias may be NULL */
    const struct ir_param *param[IR_MAX_NEURON_PARAMS]; /* float, those that the program reads */
    uint32_t n_params;
    struct counts *counts; /* per chunk */
    uint64_t neurons;
};

/* ---- float programs ---- */

struct lanes {
    float stack[STACK][REF_LANES];
    float state[IR_MAX_STATES][REF_LANES];
    float input[REF_LANES];
    float param[IR_MAX_NEURON_PARAMS][REF_LANES];
    float rhs[REF_LANES];
    uint8_t fired[REF_LANES];
};

bool ref_program_valid(const struct ir_neuron *n)
{
    const struct ir_expr *all[2 * IR_MAX_STATES + 2] = {&n->fire_lhs, &n->fire_rhs};

    if (n->n_states > IR_MAX_STATES)
        return false;
    for (uint32_t s = 0; s < IR_MAX_STATES; s++) {
        all[2 + s] = s < n->n_states ? &n->charge[s] : NULL;
        all[2 + IR_MAX_STATES + s] = s < n->n_states ? &n->reset[s] : NULL;
    }
    for (uint32_t i = 0; i < 2 * IR_MAX_STATES + 2; i++) {
        uint32_t depth = 0;

        if (!all[i] || (i >= 2 && all[i]->n == 0))
            continue;
        for (uint32_t k = 0; k < all[i]->n; k++) {
            const struct ir_eq *q = &all[i]->code[k];
            bool push = q->code <= IR_EQ_PARAM;
            bool unary = q->code == IR_EQ_NEG || q->code == IR_EQ_ABS;
            uint32_t takes = push ? 0 : unary ? 1 : 2;

            if (q->code > IR_EQ_ABS || depth < takes ||
                (q->code == IR_EQ_STATE && q->arg >= n->n_states) ||
                (q->code == IR_EQ_PARAM && q->arg >= IR_MAX_NEURON_PARAMS))
                return false;
            depth = depth - takes + 1;
            if (depth > STACK)
                return false;
        }
        if (depth != 1)
            return false;
    }
    return true;
}

static void binary(uint8_t code, float *restrict a, const float *restrict b, uint32_t n)
{
    switch (code) {
    case IR_EQ_ADD:
        for (uint32_t i = 0; i < n; i++)
            a[i] = a[i] + b[i];
        break;
    case IR_EQ_SUB:
        for (uint32_t i = 0; i < n; i++)
            a[i] = a[i] - b[i];
        break;
    case IR_EQ_MUL:
        for (uint32_t i = 0; i < n; i++)
            a[i] = a[i] * b[i];
        break;
    case IR_EQ_DIV:
        for (uint32_t i = 0; i < n; i++)
            a[i] = a[i] / b[i];
        break;
    case IR_EQ_MIN:
        for (uint32_t i = 0; i < n; i++)
            a[i] = b[i] < a[i] ? b[i] : a[i];
        break;
    default: /* IR_EQ_MAX */
        for (uint32_t i = 0; i < n; i++)
            a[i] = b[i] > a[i] ? b[i] : a[i];
        break;
    }
}

/* Result in l->stack[0]. */
static void evaluate(const struct ir_expr *x, struct lanes *l, const float *input, uint32_t n)
{
    uint32_t top = 0; /* items on the stack */

    for (uint32_t k = 0; k < x->n; k++) {
        const struct ir_eq *q = &x->code[k];

        switch (q->code) {
        case IR_EQ_CONST:
            for (uint32_t i = 0; i < n; i++)
                l->stack[top][i] = q->k;
            top++;
            break;
        case IR_EQ_INPUT:
            memcpy(l->stack[top++], input, n * sizeof *input);
            break;
        case IR_EQ_STATE:
            memcpy(l->stack[top++], l->state[q->arg], n * sizeof *input);
            break;
        case IR_EQ_PARAM:
            memcpy(l->stack[top++], l->param[q->arg], n * sizeof *input);
            break;
        case IR_EQ_NEG:
            for (uint32_t i = 0; i < n; i++)
                l->stack[top - 1][i] = -l->stack[top - 1][i];
            break;
        case IR_EQ_ABS:
            for (uint32_t i = 0; i < n; i++)
                l->stack[top - 1][i] = fabsf(l->stack[top - 1][i]);
            break;
        default:
            binary(q->code, l->stack[top - 2], l->stack[top - 1], n);
            top--;
        }
    }
}

/* Comparison and teacher: sets l->fired to what counts as fired. */
static void fire(const struct neuron_work *w, struct lanes *l, const float *input,
                 const uint8_t *expected, uint32_t n, struct counts *counts)
{
    const struct ir_neuron *p = w->program;
    const float *lhs = l->stack[0];

    evaluate(&p->fire_rhs, l, input, n);
    memcpy(l->rhs, l->stack[0], n * sizeof *l->rhs);
    evaluate(&p->fire_lhs, l, input, n);
    if (p->cmp == IR_CMP_GE) {
        for (uint32_t i = 0; i < n; i++)
            l->fired[i] = lhs[i] >= l->rhs[i];
    } else {
        for (uint32_t i = 0; i < n; i++)
            l->fired[i] = lhs[i] > l->rhs[i];
    }
    for (uint32_t i = 0; expected && i < n; i++) {
        uint8_t wanted = expected[i] != 0;

        if (l->fired[i] != wanted) {
            counts->flips++;
            /* Negated, so that a NaN counts as outside. */
            if (!(fabs((double)lhs[i] - (double)l->rhs[i]) < TIE))
                counts->outside++;
        }
        l->fired[i] = wanted;
    }
}

/* The neurons' own params; [channels], or [channels, height, width] of the type's layout. */
static void take_params(const struct neuron_work *w, struct lanes *l, uint64_t at, uint32_t n)
{
    for (uint32_t k = 0; k < w->n_params; k++) {
        const float *data = w->param[k]->data;
        bool own = w->param[k]->rank > 1;

        for (uint32_t i = 0; i < n; i++) {
            uint64_t c = (at + i) % w->in->channels, position = (at + i) / w->in->channels;

            l->param[k][i] = data[own ? c * w->in->positions + position : c];
        }
    }
}

static void charge(const struct ir_neuron *p, struct lanes *l, const float *input, uint32_t n)
{
    for (uint32_t s = 0; s < p->n_states; s++) {
        if (p->charge[s].n == 0)
            continue;
        evaluate(&p->charge[s], l, input, n);
        memcpy(l->state[s], l->stack[0], n * sizeof *input);
    }
}

/* All steps of neurons [at, at + n). */
static void run_lanes(const struct neuron_work *w, struct lanes *l, uint64_t at, uint32_t n,
                      struct counts *counts)
{
    const struct ir_neuron *p = w->program;

    take_params(w, l, at, n);
    for (uint32_t s = 0; s < p->n_states; s++)
        for (uint32_t i = 0; i < n; i++)
            l->state[s][i] = p->state_init[s];
    for (uint32_t t = 0; t < w->out->frames; t++) {
        const float *input = ref_as_f32(w->in, ref_frame_at(w->in, t) + at, n, l->input);
        uint64_t out = ref_frame_at(w->out, t) + at;

        charge(p, l, input, n);
        if (w->node->op == IR_OP_MEMBRANE) {
            evaluate(&p->fire_lhs, l, input, n);
            memcpy(ref_f32(w->out) + out, l->stack[0], n * sizeof *input);
            continue;
        }
        fire(w, l, input, w->expected ? w->expected + out : NULL, n, counts);
        memcpy(ref_u8(w->out) + out, l->fired, n);
        for (uint32_t s = 0; s < p->n_states; s++) {
            if (p->reset[s].n == 0)
                continue;
            evaluate(&p->reset[s], l, input, n);
            for (uint32_t i = 0; i < n; i++)
                l->state[s][i] = l->fired[i] ? l->stack[0][i] : l->state[s][i];
        }
    }
}

static spk_status float_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct neuron_work *w = ctx;
    struct ref_range range = ref_range_of(w->neurons, GRAIN, chunk);
    struct lanes l;

    (void)worker;
    for (uint64_t at = range.begin; at < range.end; at += REF_LANES) {
        uint32_t n = (uint32_t)(range.end - at < REF_LANES ? range.end - at : REF_LANES);

        run_lanes(w, &l, at, n, &w->counts[chunk]);
    }
    return SPK_OK;
}

/* ---- integer neurons ---- */

/* trunc(v * keep / 4096), towards zero. */
static inline int64_t decayed(int64_t v, int64_t keep)
{
    return v < 0 ? -((-v * keep) >> 12) : (v * keep) >> 12;
}

/* All steps of neuron `at`; a point of a probe (NULL: none) takes the membranes that are compared.
 */
static inline void integer_neuron(const struct neuron_work *w, uint64_t at, struct counts *counts,
                                  const struct probe_run *probe, uint64_t point)
{
    const struct ir_neuron_q *q = &w->node->a.neuron.q;
    const int64_t half = (int64_t)1 << (q->bits - 1), limit = half - 1;
    const int64_t keep = 4096 - (int64_t)q->decay;
    const uint32_t c = (uint32_t)(at % w->in->channels);
    int64_t u = 0, v = 0;

    for (uint32_t t = 0; t < w->out->frames; t++) {
        int64_t sum = ref_as_i32(w->in, ref_frame_at(w->in, t) + at);
        uint64_t out = ref_frame_at(w->out, t) + at;
        uint8_t fired;

        sum += decayed(u, q->current_keep) + (w->bias ? w->bias[c] : 0);
        u = ((sum + half) & (2 * half - 1)) - half;
        counts->wraps += u != sum;
        v = decayed(v, keep) + u;
        v = v > limit ? limit : v < -limit ? -limit : v;
        fired = v >= w->vth[c];
        if (probe != NULL)
            probe->membrane[point + (uint64_t)t * probe->n_points] = (int32_t)v;
        if (w->expected && fired != (w->expected[out] != 0)) {
            counts->flips++;
            counts->outside += v != w->vth[c];
            fired = !fired;
        }
        if (fired)
            v = q->soft_reset ? v - w->vth[c] : 0;
        ref_u8(w->out)[out] = fired;
        if (probe != NULL)
            probe->fired[point + (uint64_t)t * probe->n_points] = fired;
    }
}

static spk_status integer_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct neuron_work *w = ctx;
    struct ref_range range = ref_range_of(w->neurons, GRAIN, chunk);

    (void)worker;
    for (uint64_t at = range.begin; at < range.end; at++)
        integer_neuron(w, at, &w->counts[chunk], NULL, 0);
    return SPK_OK;
}

/* The points of a node once more, this time with their membranes. */
static void probe_node(const struct ref_job *job, uint32_t id, const struct neuron_work *w)
{
    const struct probe_run *p = job->run->probe;
    struct counts unused = {0, 0, 0};

    for (uint32_t i = 0; p != NULL && i < p->n_points; i++) {
        if (p->point[i].layer != id)
            continue;
        integer_neuron(w, (uint64_t)p->point[i].position * w->in->channels + p->point[i].channel,
                       &unused, p, probe_at(p, job->image, 0, i));
        if (job->image == 0)
            p->threshold[i] = w->vth[p->point[i].channel];
    }
}

/* ---- entry ---- */

static void add_counts(struct ref_job *job, uint32_t id, const struct neuron_work *w)
{
    for (uint64_t i = 0; i < ref_chunks(w->neurons, GRAIN); i++) {
        if (job->tally.flips)
            job->tally.flips[id] += w->counts[i].flips;
        if (job->tally.flips_outside)
            job->tally.flips_outside[id] += w->counts[i].outside;
        if (job->tally.wraps)
            job->tally.wraps[id] += w->counts[i].wraps;
    }
}

/* The expected spikes of this image in engine order, or NULL. */
static spk_status take_expected(struct ref_job *job, uint32_t id, uint8_t **out)
{
    const struct engine_teacher *teacher = job->run->teacher;
    const struct ir_node *node = &job->e->m->node[id];
    const uint8_t *golden;

    *out = NULL;
    if (!teacher || !node->recorded)
        return SPK_OK;
    golden = teacher->expected(teacher->ctx, job->image, id);
    if (!golden)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(node->type.timesteps, ir_type_elements(&node->type), out));
    ref_import(golden, &node->type, *out);
    return SPK_OK;
}

spk_status ref_neuron(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *node = &m->node[id];
    struct neuron_work w = {.node = node, .in = &job->value[node->operand[0]]};
    uint8_t *expected = NULL;
    spk_status status = ref_value_create(job, id, node->type.timesteps);

    w.out = &job->value[id];
    w.neurons = ref_frame_size(w.out);
    if (status == SPK_OK)
        status = take_expected(job, id, &expected);
    if (status == SPK_OK)
        status = spk_alloc_array(ref_chunks(w.neurons, GRAIN), sizeof *w.counts, &w.counts);
    w.expected = expected;
    if (status == SPK_OK && job->e->integer) {
        w.vth = m->param[node->param[0]].data;
        w.bias = node->n_params > 1 ? m->param[node->param[1]].data : NULL;
        status = ref_parallel(job, w.neurons, GRAIN, integer_chunk, &w);
        if (status == SPK_OK)
            probe_node(job, id, &w);
    } else if (status == SPK_OK) {
        w.program = &m->neuron[node->a.neuron.program];
        w.n_params = node->n_params;
        for (uint32_t k = 0; k < node->n_params && k < IR_MAX_NEURON_PARAMS; k++)
            w.param[k] = &m->param[node->param[k]];
        status = ref_parallel(job, w.neurons, GRAIN, float_chunk, &w);
    }
    if (status == SPK_OK)
        add_counts(job, id, &w);
    spk_free(w.counts);
    spk_free(expected);
    return status;
}
