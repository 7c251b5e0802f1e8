/* The packed engine: which kernels, which nodes go together, the walk through a module.
 *
 * Algorithm: create finds, for every projection, the batch norm and the neuron behind it that
 * nobody else reads; the three are then one step that never stores currents. Layers are computed
 * one after another for all time steps. Whatever has no kernel here is computed by the reference on
 * plain values: ops, neurons under a teacher, neurons of other equations. Cost: about one addition
 * of a vector lane per event and output channel, less where time steps share sums; memory: bits of
 * the live values, the lists of one layer, the re-laid weights.      */
#include "runtime/packed.h"

#include <string.h>

#include "runtime/packed_internal.h"
#include "support/alloc.h"
#include "support/time.h"

/* ---- paths ---- */

static const struct pk_kernels *kernels_of(enum pk_path path)
{
    const struct pk_kernels *best = pk_kernels_avx512();

    switch (path) {
    case PK_PATH_AVX512:
        return best;
    case PK_PATH_AVX2:
        return pk_kernels_avx2();
    case PK_PATH_PORTABLE:
        return &pk_kernels_portable;
    default:
        best = best ? best : pk_kernels_avx2();
        return best ? best : &pk_kernels_portable;
    }
}

bool pk_path_available(enum pk_path path)
{
    return kernels_of(path) != NULL;
}

const char *pk_path_name(enum pk_path path)
{
    static const char *const names[] = {"best", "portable", "avx2", "avx512"};

    return path < PK_PATH_COUNT ? names[path] : "unknown";
}

/* ---- planning ---- */

struct use {
    uint32_t n, last; /* readers, the last of them */
};

/* The only reader of a node that nobody sees otherwise, or IR_NONE. */
static uint32_t sole_reader(const struct ir_module *m, const struct use *use, uint32_t id)
{
    return use[id].n == 1 && !m->node[id].recorded ? use[id].last : IR_NONE;
}

/* Finds the batch norm and neuron behind projection id. */
static void fuse(const struct ir_module *m, const struct use *use, struct pk_plan *plan,
                 uint32_t id)
{
    uint32_t norm = IR_NONE, at = id;

    for (;;) {
        at = sole_reader(m, use, at);
        if (at == IR_NONE)
            return;
        if (m->node[at].op == IR_OP_BATCHNORM && norm == IR_NONE)
            norm = at;
        else if (m->node[at].op != IR_OP_RESHAPE && m->node[at].op != IR_OP_REPEAT)
            break;
    }
    if (m->node[at].op != IR_OP_NEURON || !plan[at].lif_valid)
        return;
    plan[id].neuron = at;
    plan[id].norm = norm;
}

/* Feedback: values are formed again and again until they settle, which the reference's forms of
 * them allow. */
static bool has_feedback(const struct ir_module *m)
{
    bool any = false;

    for (uint32_t i = 0; i < m->n_nodes && !any; i++)
        any = m->node[i].op == IR_OP_LAG && m->node[i].n_operands == 0;
    return any;
}

static spk_status make_plan(const struct ir_module *m, struct pk_engine *pk)
{
    const bool plain = has_feedback(m);
    uint64_t room = pk->options.keep_bytes ? pk->options.keep_bytes : PK_KEEP_BYTES;
    uint64_t kept = 0;
    struct use *use = NULL;

    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *use, &use));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];
        struct pk_plan *p = &pk->plan[i];

        for (uint32_t k = 0; k < n->n_operands; k++) {
            use[n->operand[k]].n++;
            use[n->operand[k]].last = i;
        }
        p->neuron = p->norm = IR_NONE;
        if (n->op == IR_OP_NEURON)
            p->lif_valid = !plain && pk_neuron_plan(m, n, &p->lif);
        if (n->op != IR_OP_CONV2D && n->op != IR_OP_LINEAR)
            continue;
        p->packed =
            !plain && !ref_is_head(m, n) && pk_weights_plan(m, i, pk->options.tile_bytes, &p->w);
        p->w.keep = p->packed && kept + p->w.bytes <= room;
        p->w.at = kept;
        /* Blocks start on cache lines. */
        kept += p->w.keep ? (p->w.bytes + 63) / 64 * 64 : 0;
        pk->n_layers++;
    }
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (pk->plan[i].packed)
            fuse(m, use, pk->plan, i);
    spk_free(use);
    pk->kept = spk_alloc_huge(kept + 64);
    return pk->kept ? SPK_OK : SPK_ERR_NOMEM;
}

/* ---- one node ---- */

static bool exists(struct ref_job *job, uint32_t id)
{
    return pk_job_of(job)->bits[id] || job->value[id].buffer;
}

static void alias(struct ref_job *job, uint32_t id, uint32_t operand)
{
    struct pk_bits *b = pk_job_of(job)->bits[operand];

    if (job->value[operand].buffer)
        ref_value_alias(job, id, operand);
    if (b) {
        struct ref_buffer *plain = job->value[id].buffer;

        b->refs++;
        pk_value_set(job, id, b);
        job->value[id].buffer = plain;
    }
}

/* Whether the operands are counts whose sum is known to be small enough for bit planes. */
static bool small_counts(const struct ir_module *m, const struct ir_node *n)
{
    uint64_t bound = 0;

    for (uint32_t k = 0; k < n->n_operands; k++) {
        const struct ir_type *t = &m->node[n->operand[k]].type;

        if ((t->kind != IR_SPIKE && t->kind != IR_COUNT) || !t->bound)
            return false;
        bound += t->bound;
    }
    return bound <= 1u << (PK_MAX_PLANES - 2);
}

/* Sums of counts as bits where their bound is known. */
static spk_status sum(struct ref_job *job, uint32_t id)
{
    const struct ir_module *m = job->e->m;
    const struct ir_node *n = &m->node[id];
    struct pk_bits *b = NULL;

    if (!small_counts(m, n)) {
        for (uint32_t k = 0; k < n->n_operands; k++)
            SPK_TRY(pk_value_plain(job, n->operand[k]));
        return ref_sum(job, id);
    }
    SPK_TRY(pk_operands(job, n->operand, n->n_operands, &b));
    b->refs++;
    pk_value_set(job, id, b);
    return SPK_OK;
}

/* By the reference, on plain values. */
static spk_status plainly(struct ref_job *job, uint32_t id)
{
    const struct ir_node *n = &job->e->m->node[id];

    for (uint32_t k = 0; k < n->n_operands; k++)
        SPK_TRY(pk_value_plain(job, n->operand[k]));
    return ref_compute(job, id);
}

static spk_status compute_node(struct ref_job *job, uint32_t id)
{
    const struct pk_plan *plan = &pk_of(job->e)->plan[id];
    const struct ir_node *n = &job->e->m->node[id];

    if (job->e->loops)
        return plainly(job, id);
    /* Computed with its projection, or a link between the two. */
    if (exists(job, id) || (n->n_operands > 0 && !exists(job, n->operand[0])))
        return SPK_OK;
    switch (n->op) {
    case IR_OP_INPUT:
        pk_forget(pk_job_of(job));
        return ref_input(job, id);
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
        return plan->packed ? pk_project(job, id) : plainly(job, id);
    case IR_OP_NEURON:
        return pk_neuron(job, id);
    case IR_OP_ATTENTION:
        return pk_attention(job, id);
    case IR_OP_MAXPOOL:
        return pk_maxpool(job, id);
    case IR_OP_ADD:
        return sum(job, id);
    case IR_OP_DELAY:
        if (n->n_operands > 1)
            return sum(job, id);
        alias(job, id, n->operand[0]);
        return SPK_OK;
    case IR_OP_REPEAT:
    case IR_OP_RESHAPE:
    case IR_OP_OUTPUT:
        alias(job, id, n->operand[0]);
        return SPK_OK;
    case IR_OP_ENCODE:
        return pk_encode(job, id);
    case IR_OP_MEAN:
    case IR_OP_READOUT:
        if (n->op == IR_OP_MEAN && n->a.over_time)
            return plainly(job, id);
        return small_counts(job->e->m, n) ? pk_read(job, id) : plainly(job, id);
    default:
        return plainly(job, id);
    }
}

static spk_status compute(struct ref_job *job, uint32_t id)
{
    struct pk_engine *pk = job->e->own;
    uint64_t start, taken;
    spk_status status;

    if (!pk->nanoseconds)
        return compute_node(job, id);
    pk->counting_ns = 0;
    start = spk_time_ns();
    status = compute_node(job, id);
    taken = spk_time_ns() - start - pk->counting_ns;
    if (pk->nanoseconds[id] == 0 || taken < pk->nanoseconds[id])
        pk->nanoseconds[id] = taken;
    return status;
}

/* ---- what the reference asks of a kind ---- */

static bool wants_weights(const struct engine *e, uint32_t id)
{
    return !pk_of(e)->plan[id].packed;
}

static spk_status job_init(struct ref_job *job)
{
    struct pk_job *p = NULL;

    SPK_TRY(spk_alloc_array(1, sizeof *p, &p));
    job->own = p;
    return spk_alloc_array(job->e->m->n_nodes, sizeof(struct pk_bits *), &p->bits);
}

static void job_fini(struct ref_job *job)
{
    struct pk_job *p = job->own;

    if (!p)
        return;
    pk_forget(p);
    for (uint32_t i = 0; p->bits && i < job->e->m->n_nodes; i++)
        pk_bits_release(p->bits[i]);
    spk_free(p->bits);
    spk_free(p);
    job->own = NULL;
}

static void release(struct ref_job *job, uint32_t id)
{
    struct pk_job *p = pk_job_of(job);

    pk_bits_release(p->bits[id]);
    p->bits[id] = NULL;
}

static void pk_engine_free(struct pk_engine *pk)
{
    if (!pk)
        return;
    spk_free(pk->kept);
    spk_free(pk->plan);
    spk_free(pk->layer);
    spk_free(pk->times);
    spk_free(pk);
}

static void kind_destroy(struct engine *e)
{
    pk_engine_free(e->own);
}

static const struct ref_kind kind = {.wants_weights = wants_weights,
                                     .job_init = job_init,
                                     .job_fini = job_fini,
                                     .compute = compute,
                                     .tally = pk_tally,
                                     .plain = pk_value_plain,
                                     .release = release,
                                     .destroy = kind_destroy};

/* ---- the engine ---- */

static void name_layers(const struct ir_module *m, struct pk_engine *pk)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_nodes; i++) {
        uint32_t neuron = pk->plan[i].neuron;
        const char *name = neuron != IR_NONE ? m->node[neuron].name : m->node[i].name;

        if (m->node[i].op == IR_OP_CONV2D || m->node[i].op == IR_OP_LINEAR)
            pk->layer[n++] =
                (struct pk_layer){.name = name ? name : "", .node = i, .kernel = "reference"};
    }
}

static spk_status engine_init(const struct ir_module *m, struct diag_list *d, struct pk_engine *pk)
{
    pk->kernels = kernels_of(pk->options.path);
    if (!pk->kernels)
        return diag_usage(d, spk_span_none, "E0807", "this machine has no %s kernels",
                          pk_path_name(pk->options.path));
    pk->n_nodes = m->n_nodes;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *pk->plan, &pk->plan));
    SPK_TRY(make_plan(m, pk));
    SPK_TRY(spk_alloc_array(pk->n_layers, sizeof *pk->layer, &pk->layer));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *pk->times, &pk->times));
    name_layers(m, pk);
    return SPK_OK;
}

spk_status pk_create(const struct ir_module *m, const struct pk_options *options,
                     struct diag_list *d, struct engine **out)
{
    struct pk_engine *pk = NULL;
    spk_status status;

    *out = NULL;
    SPK_TRY(ir_verify(m, d));
    SPK_TRY(spk_alloc_array(1, sizeof *pk, &pk));
    pk->options = *options;
    status = engine_init(m, d, pk);
    if (status == SPK_OK)
        status = ref_engine_create(m, &kind, pk, d, out);
    if (status != SPK_OK)
        pk_engine_free(pk);
    return status;
}

static spk_status create(const struct ir_module *m, struct diag_list *d, struct engine **out)
{
    const struct pk_options options = {0};

    return pk_create(m, &options, d, out);
}

void pk_profile(struct engine *e)
{
    struct pk_engine *pk = e->own;

    pk->nanoseconds = pk->times;
}

const struct pk_layer *pk_layers(const struct engine *e, uint32_t *out_n)
{
    const struct pk_engine *pk = pk_of(e);

    for (uint32_t i = 0; i < pk->n_layers; i++)
        pk->layer[i].nanoseconds = pk->times[pk->layer[i].node];
    *out_n = pk->n_layers;
    return pk->layer;
}

uint64_t pk_other_nanoseconds(const struct engine *e)
{
    const struct pk_engine *pk = pk_of(e);
    uint64_t total = 0;

    for (uint32_t i = 0; i < pk->n_nodes; i++)
        total += pk->times[i];
    for (uint32_t i = 0; i < pk->n_layers; i++)
        total -= pk->times[pk->layer[i].node];
    return total;
}

const char *pk_kernels_name(const struct engine *e)
{
    return pk_of(e)->kernels->name;
}

const struct engine_vtable rt_packed_engine = {
    .name = "packed",
    .create = create,
    .run = ref_engine_run,
    .destroy = ref_engine_destroy,
};
