/* Lags and feedback of the reference engine.
 *
 * A feedback is a `lag` without operand: frame t is frame t - steps of a later node. Everything
 * between the two is a loop (loops that overlap are one). The engine computes all T frames of a
 * node before the next node, so a loop is computed again and again: first with feedbacks of zero,
 * then with those that the last round gave, until they stay as they are. Every op is causal, so
 * round k gives the first k frames as a step-by-step simulation would, and after at most T + 1
 * rounds all of them (waveform relaxation; Lelarasmee, Ruehli and Sangiovanni-Vincentelli 1982, in
 * discrete time). The values are the fixed point, whatever the number of rounds, and do not depend
 * on threads. Cost: rounds times the loop; rounds are often far fewer than T, as silent loops
 * settle at once. Memory: all values of a loop live until its end. */
#include "runtime/reference_internal.h"

#include <string.h>

#include "support/alloc.h"

static bool is_feedback(const struct ir_node *n)
{
    return n->op == IR_OP_LAG && n->n_operands == 0;
}

void ref_loops_plan(struct engine *e)
{
    const struct ir_module *m = e->m;

    e->loops = false;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        e->loop_end[i] = IR_NONE;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        uint32_t end = i;

        if (!is_feedback(&m->node[i]))
            continue;
        for (uint32_t k = i; k <= end; k++)
            if (is_feedback(&m->node[k]) && m->node[k].a.lag.source > end)
                end = m->node[k].a.lag.source;
        e->loop_end[i] = end;
        e->loops = true;
        for (uint32_t k = i; k <= end; k++) {
            const struct ir_node *n = &m->node[k];

            for (uint32_t o = 0; o < n->n_operands; o++)
                if (e->last_use[n->operand[o]] < end)
                    e->last_use[n->operand[o]] = end;
            if (e->last_use[k] < end)
                e->last_use[k] = end;
        }
        i = end;
    }
}

static uint64_t frame_bytes(const struct ref_value *v)
{
    return ref_frame_size(v) * ref_elem_size(v->elem);
}

/* Frame t of `out` becomes frame t - steps of `in`; tells whether anything changed. */
static bool shift(const struct ref_value *in, uint32_t steps, struct ref_value *out)
{
    const uint64_t bytes = frame_bytes(out), size = ref_elem_size(out->elem);
    bool changed = false;

    for (uint32_t t = steps; t < out->frames; t++) {
        uint8_t *to = ref_u8(out) + ref_frame_at(out, t) * size;
        const uint8_t *from = ref_u8(in) + ref_frame_at(in, t - steps) * size;

        if (memcmp(to, from, bytes) == 0)
            continue;
        memcpy(to, from, bytes);
        changed = true;
    }
    return changed;
}

static spk_status create_silent(struct ref_job *job, uint32_t id)
{
    struct ref_value *v = &job->value[id];

    SPK_TRY(ref_value_create(job, id, job->e->m->node[id].type.timesteps));
    memset(ref_u8(v), 0, v->frames * frame_bytes(v));
    return SPK_OK;
}

spk_status ref_lag(struct ref_job *job, uint32_t id)
{
    const struct ir_node *n = &job->e->m->node[id];

    SPK_TRY(create_silent(job, id));
    if (n->n_operands > 0)
        (void)shift(&job->value[n->operand[0]], n->a.lag.steps, &job->value[id]);
    return SPK_OK;
}

/* What the last round counted does not count. */
static void forget_counts(struct ref_job *job, uint32_t id)
{
    if (job->tally.flips)
        job->tally.flips[id] = 0;
    if (job->tally.flips_outside)
        job->tally.flips_outside[id] = 0;
    if (job->tally.wraps)
        job->tally.wraps[id] = 0;
}

static spk_status compute_round(struct ref_job *job, uint32_t first, uint32_t end)
{
    for (uint32_t id = first; id <= end; id++) {
        if (is_feedback(&job->e->m->node[id]))
            continue;
        ref_release_node(job, id);
        forget_counts(job, id);
        SPK_TRY(ref_compute_node(job, id));
    }
    return SPK_OK;
}

spk_status ref_loop_run(struct ref_job *job, uint32_t first)
{
    const struct ir_module *m = job->e->m;
    const uint32_t end = job->e->loop_end[first];
    const bool keeps = job->keeps_operands;
    spk_status status = SPK_OK;
    bool changed = true;

    job->keeps_operands = true; /* operands are read again in the next round */
    for (uint32_t id = first; id <= end && status == SPK_OK; id++)
        if (is_feedback(&m->node[id]))
            status = ref_compute_node(job, id);
    for (uint32_t round = 0; changed && status == SPK_OK; round++) {
        if (round > m->timesteps) {
            status = SPK_ERR_INTERNAL; /* an op that looks into the future */
            break;
        }
        status = compute_round(job, first, end);
        changed = false;
        for (uint32_t id = first; id <= end && status == SPK_OK; id++) {
            const struct ir_node *n = &m->node[id];

            if (is_feedback(n) &&
                shift(&job->value[n->a.lag.source], n->a.lag.steps, &job->value[id]))
                changed = true;
        }
    }
    job->keeps_operands = keeps;
    return status;
}
