/* The reference engine: preparation, the loop over images and nodes, delivery of results.
 *
 * A run takes images one after another with all threads inside each op, or, when an image is small
 * and the weights are re-laid once for all, several images at a time with one thread each. Both
 * compute the same numbers in the same order: an op's result does not depend on its chunks, and
 * recorded values, statistics and progress are delivered in image order on the caller's thread.
 * A value is freed after the last node that reads it.
 * Memory: the live values of an image (the widest layer, its currents and its operand's), lists
 * of nonzero inputs, and the re-laid weights of one layer (of all, where that is at most
 * CACHE_BYTES).                                                                              */
#include "runtime/reference.h"

#include <math.h>
#include <string.h>

#include "runtime/reference_internal.h"
#include "support/alloc.h"

/* Re-laid weights are kept for the life of the engine up to this size. */
#define CACHE_BYTES ((uint64_t)96 << 20)
/* Images are computed side by side while their values and records stay below this. */
#define SIDE_BYTES ((uint64_t)256 << 20)
/* Images of one round per thread: few threads wait at its end. */
#define ROUND 8u
#define MAX_EVENT 16777216.0f /* 2^24: counts are exact in float32 */

/* ---- preparation ---- */

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

/* What the ops rely on beyond a verified module. */
static spk_status check_node(const struct engine *e, uint32_t id, struct diag_list *d)
{
    const struct ir_node *n = &e->m->node[id];
    bool q = e->integer;

    for (uint32_t i = 0; i < n->n_params; i++) {
        const struct ir_param *p = &e->m->param[n->param[i]];

        if (!p->data) {
            diag_error(d, p->span, "E0802", "no values for '%s'", p->name);
            diag_help_set(d, "give the weights of the model");
            return SPK_ERR_INPUT;
        }
    }
    if (n->op == IR_OP_NEURON && q) {
        if (n->a.neuron.q.bits < 2 || n->a.neuron.q.bits > 24 || n->a.neuron.q.decay > 4096 ||
            n->n_params < 1)
            return diag_error(d, n->span, "E0803",
                              "integer neuron of %u bits, decay %u: states have 2 to 24 "
                              "bits, decays end at 4096, a threshold must be given",
                              n->a.neuron.q.bits, n->a.neuron.q.decay);
        if (ref_elem_of(&e->m->node[n->operand[0]]) == REF_F32)
            return diag_error(d, n->span, "E0803", "integer neuron with a real input");
    }
    if ((n->op == IR_OP_NEURON || n->op == IR_OP_MEMBRANE) && !q &&
        (n->a.neuron.program >= e->m->n_neurons ||
         !ref_program_valid(&e->m->neuron[n->a.neuron.program])))
        return diag_error(d, n->span, "E0803", "neuron program is not valid");
    if (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_CURRENT && !q)
        return diag_error(d, n->span, "E0803", "integer encoder in a float module");
    if (is_projection(n) && q && !ref_is_head(e->m, n))
        for (uint32_t i = 0; i < n->n_operands; i++)
            if (ref_elem_of(&e->m->node[n->operand[i]]) == REF_F32)
                return diag_error(d, n->span, "E0803", "integer projection of a real value");
    if (n->recorded && n->type.kind != IR_SPIKE && n->type.kind != IR_COUNT)
        return diag_error(d, n->span, "E0803", "only spikes and counts can be recorded");
    return SPK_OK;
}

/* Where the values of the outputs go; without an output the first read-out is one. */
static void plan_outputs(struct engine *e)
{
    const struct ir_module *m = e->m;
    const bool outputs = ir_output_values(m) > 0;
    uint32_t first = IR_NONE;

    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        e->logits_at[i] = UINT64_MAX;
        if (n->op == IR_OP_READOUT && first == IR_NONE)
            first = i;
        if (n->op != IR_OP_OUTPUT)
            continue;
        e->logits_at[i] = e->logits_values;
        e->logits_values += ir_type_elements(&n->type);
    }
    if (outputs || first == IR_NONE)
        return;
    e->logits_at[first] = 0;
    e->logits_values = ir_type_elements(&m->node[first].type);
}

/* Last readers, special nodes, sizes. */
static spk_status plan(struct engine *e, struct diag_list *d)
{
    const struct ir_module *m = e->m;

    e->input_node = ir_input(m);
    e->input_values = ir_input_values(m);
    e->features_node = IR_NONE;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        uint64_t items = n->type.timesteps * ir_type_elements(&n->type);

        SPK_TRY(check_node(e, i, d));
        e->last_use[i] = i;
        for (uint32_t k = 0; k < n->n_operands; k++)
            e->last_use[n->operand[k]] = i;
        if ((n->op == IR_OP_MEAN && !n->a.over_time) || n->op == IR_OP_READOUT)
            e->features_node = i;
        e->value_bytes += items * ref_elem_size(ref_elem_of(n));
        if (n->recorded)
            e->record_bytes += items * (ref_record_is_i32(&n->type) ? 4 : 1);
        if (is_projection(n) && !ref_is_head(m, n) && (!e->kind || e->kind->wants_weights(e, i)))
            SPK_TRY(ref_weights_plan(e, n, d, &e->weight[i]));
    }
    plan_outputs(e);
    ref_loops_plan(e);
    if (e->input_node == IR_NONE)
        return diag_error(d, spk_span_none, "E0803", "module %s has no input", m->name);
    return SPK_OK;
}

/* Re-lays all weights now, or finds the size of the scratch memory for doing it later. */
static spk_status prepare_weights(struct engine *e)
{
    uint64_t total = 0;
    struct ref_job job = {.e = e};

    for (uint32_t i = 0; i < e->m->n_nodes; i++) {
        uint64_t bytes = ref_weights_bytes(&e->weight[i]);

        total += bytes;
        e->scratch_bytes = bytes > e->scratch_bytes ? bytes : e->scratch_bytes;
    }
    e->cached = total <= CACHE_BYTES;
    for (uint32_t i = 0; e->cached && i < e->m->n_nodes; i++) {
        struct ref_weights *w = &e->weight[i];

        if (!w->out)
            continue;
        w->data = spk_alloc_aligned(ref_weights_bytes(w) + 64, 64);
        if (!w->data)
            return SPK_ERR_NOMEM;
        SPK_TRY(ref_weights_relay(&job, &e->m->node[i], w, w->data));
    }
    return SPK_OK;
}

void ref_engine_destroy(struct engine *e)
{
    if (!e)
        return;
    if (e->kind && e->own)
        e->kind->destroy(e);
    for (uint32_t i = 0; e->weight && i < e->m->n_nodes; i++)
        spk_free(e->weight[i].data);
    spk_free(e->weight);
    spk_free(e->last_use);
    spk_free(e->loop_end);
    spk_free(e->logits_at);
    spk_free(e);
}

spk_status ref_engine_create(const struct ir_module *m, const struct ref_kind *kind, void *own,
                             struct diag_list *d, struct engine **out)
{
    struct engine *e = NULL;
    spk_status status;

    *out = NULL;
    SPK_TRY(ir_verify(m, d));
    SPK_TRY(spk_alloc_array(1, sizeof *e, &e));
    e->m = m;
    e->kind = kind;
    e->own = own;
    e->integer = m->stage == IR_STAGE_QUANTISED;
    status = spk_alloc_array(m->n_nodes, sizeof *e->last_use, &e->last_use);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *e->weight, &e->weight);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *e->loop_end, &e->loop_end);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *e->logits_at, &e->logits_at);
    if (status == SPK_OK)
        status = plan(e, d);
    if (status == SPK_OK)
        status = prepare_weights(e);
    if (status != SPK_OK) {
        e->own = NULL;
        ref_engine_destroy(e);
        return status;
    }
    *out = e;
    return SPK_OK;
}

static spk_status reference_create(const struct ir_module *m, struct diag_list *d,
                                   struct engine **out)
{
    return ref_engine_create(m, NULL, NULL, d, out);
}

/* ---- one image ---- */

spk_status ref_compute(struct ref_job *job, uint32_t id)
{
    const struct ir_node *n = &job->e->m->node[id];

    switch (n->op) {
    case IR_OP_INPUT:
        return ref_input(job, id);
    case IR_OP_CONV2D:
        return ref_project(job, id);
    case IR_OP_LINEAR:
        return ref_is_head(job->e->m, n) ? ref_head(job, id) : ref_project(job, id);
    case IR_OP_BATCHNORM:
        return ref_batchnorm(job, id);
    case IR_OP_SCALE:
        return ref_scale(job, id);
    case IR_OP_NEURON:
    case IR_OP_MEMBRANE:
        return ref_neuron(job, id);
    case IR_OP_LAG:
        return ref_lag(job, id);
    case IR_OP_ADD:
        return ref_sum(job, id);
    case IR_OP_DELAY:
        if (n->n_operands > 1)
            return ref_sum(job, id);
        ref_value_alias(job, id, n->operand[0]);
        return SPK_OK;
    case IR_OP_REPEAT:
    case IR_OP_RESHAPE:
    case IR_OP_OUTPUT:
        ref_value_alias(job, id, n->operand[0]);
        return SPK_OK;
    case IR_OP_MAXPOOL:
        return ref_maxpool(job, id);
    case IR_OP_ATTENTION:
        return ref_attention(job, id);
    case IR_OP_ENCODE:
        return ref_encode(job, id);
    case IR_OP_MASK:
        return ref_mask(job, id);
    case IR_OP_OFFSET:
        return ref_offset(job, id);
    case IR_OP_LAYERNORM:
        return ref_layernorm(job, id);
    case IR_OP_GELU:
        return ref_gelu(job, id);
    case IR_OP_SLICE:
        return ref_slice(job, id);
    case IR_OP_PATCHES:
        return ref_patches(job, id);
    case IR_OP_SOFTMAX_ATTENTION:
        return ref_softmax_attention(job, id);
    case IR_OP_MSE:
        return ref_mse(job, id);
    case IR_OP_MEAN:
        return n->a.over_time ? ref_mean_over_time(job, id) : ref_mean(job, id);
    case IR_OP_READOUT:
        return ref_readout(job, id);
    case IR_OP_COUNT:
        break;
    }
    return SPK_ERR_INTERNAL;
}

static spk_status deliver(const struct ref_job *job, uint32_t id, const void *golden)
{
    const struct engine_recorder *r = job->run->recorder;
    const struct ir_type *type = &job->e->m->node[id].type;

    return r->value(r->ctx, job->image, id, type, golden, ref_record_is_i32(type));
}

/* Hands a recorded value on, or keeps it for later. */
static spk_status record(struct ref_job *job, uint32_t id)
{
    const struct ir_type *type = &job->e->m->node[id].type;
    bool is_i32 = ref_record_is_i32(type);
    uint64_t bytes = type->timesteps * ir_type_elements(type) * (is_i32 ? 4 : 1);
    void *golden = NULL;
    spk_status status;

    if (job->e->kind)
        SPK_TRY(job->e->kind->plain(job, id));
    if (job->kept) {
        ref_export(&job->value[id], type, job->kept + job->kept_used, is_i32);
        /* Every record starts where an int32 may. */
        job->kept_used += (bytes + 3) / 4 * 4;
        return SPK_OK;
    }
    SPK_TRY(spk_alloc_array_raw(bytes, 1, &golden));
    ref_export(&job->value[id], type, golden, is_i32);
    status = deliver(job, id, golden);
    spk_free(golden);
    return status;
}

/* An output's values in the layout of its type. */
static void store_logits(const struct ref_job *job, uint32_t id)
{
    const struct ref_value *v = &job->value[id];
    const bool turn = job->e->m->node[id].type.layout != IR_NC;
    const uint64_t size = ref_frame_size(v);

    if (!job->run->logits || v->elem != REF_F32)
        return;
    float *out = job->run->logits + job->image * job->e->logits_values + job->e->logits_at[id];
    for (uint64_t i = 0; i < size; i++)
        out[turn ? i % v->channels * v->positions + i / v->channels : i] = ref_f32(v)[i];
}

spk_status ref_compute_node(struct ref_job *job, uint32_t id)
{
    return job->e->kind ? job->e->kind->compute(job, id) : ref_compute(job, id);
}

void ref_release_node(struct ref_job *job, uint32_t id)
{
    if (job->e->kind)
        job->e->kind->release(job, id);
    ref_value_release(&job->value[id]);
}

static spk_status run_image(struct ref_job *job)
{
    const struct engine *e = job->e;
    const struct ir_module *m = e->m;
    spk_status status = SPK_OK;
    uint32_t computed = 0; /* nodes below this one */

    for (uint32_t id = 0; id < m->n_nodes && status == SPK_OK; id++) {
        const struct ir_node *n = &m->node[id];

        if (id >= computed && e->loop_end[id] != IR_NONE) {
            status = ref_loop_run(job, id);
            computed = e->loop_end[id] + 1;
        } else if (id >= computed) {
            status = ref_compute_node(job, id);
        }
        if (status == SPK_OK)
            status = e->kind ? e->kind->tally(job, id) : ref_tally_value(job, id);
        if (status == SPK_OK && n->recorded && job->run->recorder)
            status = record(job, id);
        if (status == SPK_OK && e->logits_at[id] != UINT64_MAX)
            store_logits(job, id);
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (e->last_use[n->operand[k]] == id)
                ref_release_node(job, n->operand[k]);
        if (e->last_use[id] == id)
            ref_release_node(job, id);
    }
    for (uint32_t id = 0; id < m->n_nodes; id++)
        ref_release_node(job, id);
    return status;
}

/* ---- statistics of one image ---- */

static void tally_fini(struct ref_tally *t, uint32_t n_nodes)
{
    for (uint32_t i = 0; t->channel_sum && i < n_nodes; i++)
        spk_free(t->channel_sum[i]);
    spk_free(t->channel_sum);
    spk_free(t->sum);
    spk_free(t->abs_max);
    spk_free(t->min);
    spk_free(t->max);
    spk_free(t->flips);
    spk_free(t->flips_outside);
    spk_free(t->wraps);
    *t = (struct ref_tally){0};
}

static spk_status tally_init(struct ref_tally *t, const struct engine_stats *s,
                             const struct ir_module *m)
{
    uint32_t n = m->n_nodes;

    *t = (struct ref_tally){0};
    if (!s)
        return SPK_OK;
    t->wanted = s->sum || s->abs_max || s->min || s->max || s->channel_sum;
    if (t->wanted) {
        SPK_TRY(spk_alloc_array(n, sizeof *t->sum, &t->sum));
        SPK_TRY(spk_alloc_array(n, sizeof *t->abs_max, &t->abs_max));
        SPK_TRY(spk_alloc_array(n, sizeof *t->min, &t->min));
        SPK_TRY(spk_alloc_array(n, sizeof *t->max, &t->max));
    }
    if (s->channel_sum) {
        SPK_TRY(spk_alloc_array(n, sizeof *t->channel_sum, &t->channel_sum));
        for (uint32_t i = 0; i < n; i++)
            if (s->channel_sum[i])
                SPK_TRY(
                    spk_alloc_array(m->node[i].type.channels, sizeof(double), &t->channel_sum[i]));
    }
    SPK_TRY(spk_alloc_array(n, sizeof *t->flips, &t->flips));
    SPK_TRY(spk_alloc_array(n, sizeof *t->flips_outside, &t->flips_outside));
    return spk_alloc_array(n, sizeof *t->wraps, &t->wraps);
}

/* Adds an image to the caller's arrays and clears its own. */
static void tally_merge(struct ref_tally *t, const struct engine_stats *s,
                        const struct ir_module *m)
{
    for (uint32_t i = 0; s && i < m->n_nodes; i++) {
        if (s->sum)
            s->sum[i] += t->sum[i];
        if (s->abs_max)
            s->abs_max[i] = fmax(s->abs_max[i], t->abs_max[i]);
        if (s->min)
            s->min[i] = fmin(s->min[i], t->min[i]);
        if (s->max)
            s->max[i] = fmax(s->max[i], t->max[i]);
        if (s->flips)
            s->flips[i] += t->flips[i];
        if (s->flips_outside)
            s->flips_outside[i] += t->flips_outside[i];
        if (s->wraps)
            s->wraps[i] += t->wraps[i];
        t->flips[i] = t->flips_outside[i] = t->wraps[i] = 0;
        for (uint32_t c = 0; s->channel_sum && s->channel_sum[i] && c < m->node[i].type.channels;
             c++)
            s->channel_sum[i][c] += t->channel_sum[i][c];
    }
}

/* ---- a run ---- */

spk_status ref_check_input(const struct engine *e, const struct engine_input *in,
                           struct diag_list *d)
{
    const struct ir_node *n = &e->m->node[e->input_node];
    uint64_t items = e->input_values, own = n->type.timesteps * ir_type_elements(&n->type);
    bool counts = n->type.kind == IR_COUNT || n->type.kind == IR_SPIKE;
    float most =
        counts && n->type.bound && n->type.bound < MAX_EVENT ? (float)n->type.bound : MAX_EVENT;

    if (in->image_stride < items && in->n_images)
        return diag_internal(d, n->span, "E0804", "images of %llu values, the model needs %llu",
                             (unsigned long long)in->image_stride, (unsigned long long)items);
    for (uint32_t k = 0; k < in->n_images; k++) {
        const float *x = in->data + k * in->image_stride;

        for (uint64_t i = 0; i < items; i++) {
            if (!isfinite(x[i]))
                return diag_error(d, n->span, "E0804", "image %u: element %llu is not finite", k,
                                  (unsigned long long)i);
            if (i >= own && x[i] != 0.0f && x[i] != 1.0f)
                return diag_error(d, n->span, "E0804",
                                  "image %u: element %llu of the mask is %g, it must be 0 or 1", k,
                                  (unsigned long long)(i - own), (double)x[i]);
            if (i < own && counts && !(x[i] >= 0.0f && x[i] <= most && x[i] == floorf(x[i])))
                return diag_error(d, n->span, "E0804",
                                  "image %u: element %llu is %g, event counts are "
                                  "whole numbers from 0 to %g",
                                  k, (unsigned long long)i, (double)x[i], (double)most);
        }
    }
    return SPK_OK;
}

void ref_job_fini(struct ref_job *job)
{
    if (job->e->kind)
        job->e->kind->job_fini(job);
    tally_fini(&job->tally, job->e->m->n_nodes);
    spk_free(job->value);
    spk_free(job->scratch);
    spk_free(job->kept);
}

spk_status ref_job_init(struct ref_job *job, const struct engine *e, const struct engine_run *r,
                        bool keep)
{
    /* Records are padded to four bytes each. */
    uint64_t record_bytes = e->record_bytes + 4 * (uint64_t)e->m->n_nodes;

    *job = (struct ref_job){.e = e, .run = r, .pool = keep ? NULL : r->pool};
    SPK_TRY(tally_init(&job->tally, r->stats, e->m));
    SPK_TRY(spk_alloc_array(e->m->n_nodes, sizeof *job->value, &job->value));
    if (!e->cached) {
        job->scratch = spk_alloc_aligned(e->scratch_bytes + 64, 64);
        if (!job->scratch)
            return SPK_ERR_NOMEM;
    }
    if (keep && r->recorder)
        SPK_TRY(spk_alloc_array_raw(record_bytes, 1, &job->kept));
    return e->kind ? e->kind->job_init(job) : SPK_OK;
}

struct round {
    struct ref_job *job;
};

static spk_status round_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct round *r = ctx;

    (void)worker;
    return run_image(&r->job[chunk]);
}

/* Delivers the records of an image computed on the side. */
static spk_status deliver_kept(struct ref_job *job)
{
    const struct ir_module *m = job->e->m;
    uint64_t at = 0;

    for (uint32_t id = 0; job->kept && id < m->n_nodes; id++) {
        const struct ir_type *type = &m->node[id].type;
        uint64_t items = type->timesteps * ir_type_elements(type);

        if (!m->node[id].recorded)
            continue;
        SPK_TRY(deliver(job, id, job->kept + at));
        at += (items * (ref_record_is_i32(type) ? 4 : 1) + 3) / 4 * 4;
    }
    job->kept_used = 0;
    return SPK_OK;
}

/* How many images to compute at a time; 1 means one after another with all threads. */
static uint32_t round_size(const struct engine *e, const struct engine_run *r)
{
    uint32_t threads = pool_threads(r->pool), size = threads * ROUND;
    uint64_t bytes = e->value_bytes * threads + e->record_bytes * size;

    if (threads < 2 || !e->cached || r->teacher || r->input.n_images < threads ||
        bytes > SIDE_BYTES)
        return 1;
    return size < r->input.n_images ? size : r->input.n_images;
}

static spk_status run_round(struct ref_job *job, uint32_t n, const struct engine_run *r)
{
    struct round round = {job};

    if (n == 1)
        SPK_TRY(run_image(job));
    else
        SPK_TRY(pool_run(r->pool, n, round_chunk, &round));
    for (uint32_t i = 0; i < n; i++) {
        SPK_TRY(deliver_kept(&job[i]));
        tally_merge(&job[i].tally, r->stats, job[i].e->m);
    }
    return SPK_OK;
}

spk_status ref_engine_run(struct engine *e, const struct engine_run *r, struct diag_list *d)
{
    uint32_t n_images = r->input.n_images, size = round_size(e, r), ready = 0;
    struct ref_job *job = NULL;
    spk_status status;

    SPK_TRY(ref_check_input(e, &r->input, d));
    SPK_TRY(spk_alloc_array(size, sizeof *job, &job));
    for (status = SPK_OK; ready < size && status == SPK_OK; ready++)
        status = ref_job_init(&job[ready], e, r, size > 1);
    for (uint32_t k = 0; k < n_images && status == SPK_OK; k += size) {
        uint32_t n = n_images - k < size ? n_images - k : size;

        if (r->cancelled && r->cancelled(r->progress_ctx)) {
            status = SPK_ERR_CANCELLED;
            break;
        }
        for (uint32_t i = 0; i < n; i++)
            job[i].image = k + i;
        status = run_round(job, n, r);
        if (status == SPK_OK && r->progress)
            r->progress(r->progress_ctx, k + n, n_images);
    }
    for (uint32_t i = 0; i < ready; i++)
        ref_job_fini(&job[i]);
    spk_free(job);
    return status;
}

const struct engine_vtable rt_reference_engine = {
    .name = "reference",
    .create = reference_create,
    .run = ref_engine_run,
    .destroy = ref_engine_destroy,
    .walk = &ref_walk,
};
