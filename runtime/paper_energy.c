/* The papers' energy figure from a module and the mean of each value, see the header.
 *
 * One pass in node order: rates of passed-on and summed values are filled in from their operands,
 * every projection and attention becomes one row. Counts of operations are 64-bit integers (the
 * sum over all published models stays below 2^40). Sums of SOPs run in node order.             */
#include "runtime/paper_energy.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

static bool is_events(const struct ir_type *t)
{
    return t->kind == IR_SPIKE || t->kind == IR_COUNT;
}

/* Rate of a value that is not given. */
static double derived(const struct ir_module *m, uint32_t id, const double *rate)
{
    const struct ir_node *n = &m->node[id];
    double sum = 0;

    switch (n->op) {
    case IR_OP_REPEAT:
    case IR_OP_RESHAPE:
        return rate[n->operand[0]];
    case IR_OP_ADD:
    case IR_OP_DELAY:
        for (uint32_t i = 0; i < n->n_operands; i++)
            sum += rate[n->operand[i]];
        return sum;
    default:
        return (double)NAN;
    }
}

/* The name under which a projection is listed. */
static char *op_name(const struct ir_module *m, uint32_t id)
{
    const struct ir_node *n = &m->node[id];
    const char *name = n->name, *tail = ".weight";

    if (n->n_params > 0) {
        const char *weight = m->param[n->param[0]].name;
        size_t length = strlen(weight), cut = strlen(tail);

        if (length > cut && strcmp(weight + length - cut, tail) == 0)
            return spk_strndup(weight, length - cut);
        return spk_strdup(weight);
    }
    for (uint32_t i = id + 1; !name && i < m->n_nodes; i++)
        for (uint32_t k = 0; k < m->node[i].n_operands; k++)
            if (m->node[i].operand[k] == id && !name)
                name = m->node[i].name;
    return spk_strdup(name ? name : ir_op_info(n->op)->name);
}

/* Behind the mean: counted once, not per step. */
static bool is_head(const struct ir_module *m, const struct ir_node *n)
{
    const struct ir_node *in = n->op == IR_OP_LINEAR ? &m->node[n->operand[0]] : n;

    return in->op == IR_OP_MEAN && !in->a.over_time && in != n;
}

/* Which values follow a mean over time: an ordinary network, computed once. */
static void mark_once(const struct ir_module *m, bool *once)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        once[i] = m->node[i].op == IR_OP_MEAN;
        for (uint32_t k = 0; k < m->node[i].n_operands && !once[i]; k++)
            once[i] = once[m->node[i].operand[k]];
    }
}

static void fill_projection(const struct ir_module *m, const struct ir_node *n, const double *rate,
                            struct paper_op *op)
{
    const struct ir_type *in = &m->node[n->operand[0]].type;
    uint64_t window = n->op == IR_OP_CONV2D ? (uint64_t)n->a.conv.kernel_h * n->a.conv.kernel_w : 1;

    op->macs = ir_type_elements(&n->type) * in->channels * window;
    op->spike = is_events(in);
    op->rate = rate[n->operand[0]];
    op->sops = op->spike ? op->rate * op->steps * (double)op->macs : 0.0;
}

static void fill_attention(const struct ir_node *n, const double *rate, struct paper_op *op)
{
    uint64_t d = n->type.channels / n->a.attention.heads;
    uint64_t product = ir_type_elements(&n->type) * d; /* h * n * d * d */

    op->macs = 2 * product;
    op->spike = true;
    op->rate = rate[n->operand[0]];
    op->rate_k = rate[n->operand[1]];
    op->rate_v = rate[n->operand[2]];
    op->sops = (double)op->steps * (double)product * (fmin(op->rate_k, op->rate_v) + op->rate);
    if (isnan(op->rate_k + op->rate_v)) /* which fmin passes over */
        op->sops = (double)NAN;
}

uint64_t paper_softmax_macs(const struct ir_type *q)
{
    return 2 * ir_type_elements(q) * ir_type_positions(q);
}

static spk_status add_op(const struct ir_module *m, uint32_t id, const double *rate, bool once,
                         struct paper_energy *out)
{
    const struct ir_node *n = &m->node[id];
    struct paper_op *op = &out->op[out->n_ops];

    *op = (struct paper_op){.node = id, .steps = once ? 1 : m->timesteps};
    if (n->op == IR_OP_ATTENTION)
        fill_attention(n, rate, op);
    else if (n->op == IR_OP_SOFTMAX_ATTENTION)
        op->macs = paper_softmax_macs(&n->type);
    else
        fill_projection(m, n, rate, op);
    op->name = op_name(m, id);
    if (!op->name)
        return SPK_ERR_NOMEM;
    out->n_ops++;
    out->macs_per_step += op->macs;
    if (!op->spike)
        out->macs_float += op->steps * op->macs;
    out->sops += op->sops;
    for (uint32_t i = 0; i < n->n_operands && op->spike && out->first_unknown == IR_NONE; i++)
        if (isnan(rate[n->operand[i]]))
            out->first_unknown = n->operand[i];
    return SPK_OK;
}

static bool multiplies(enum ir_op op)
{
    return op == IR_OP_CONV2D || op == IR_OP_LINEAR || op == IR_OP_ATTENTION ||
           op == IR_OP_SOFTMAX_ATTENTION;
}

static spk_status add_all(const struct ir_module *m, double *rate, bool *once,
                          struct paper_energy *out)
{
    mark_once(m, once);
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        if (isnan(rate[i]))
            rate[i] = derived(m, i, rate);
        if (is_head(m, n)) {
            uint64_t in = m->node[n->operand[0]].type.channels;

            out->macs_float += (in + 1) * n->type.channels;
        } else if (multiplies(n->op)) {
            SPK_TRY(add_op(m, i, rate, once[i], out));
        }
    }
    out->energy_mj = (PAPER_PJ_MAC * (double)out->macs_float + PAPER_PJ_SOP * out->sops) * 1e-9;
    return SPK_OK;
}

spk_status paper_energy_compute(const struct ir_module *m, const double *rate, struct diag_list *d,
                                struct paper_energy *out)
{
    double *all = NULL;
    bool *once = NULL;
    spk_status status;

    *out = (struct paper_energy){.first_unknown = IR_NONE};
    if (m->stage != IR_STAGE_MODEL)
        return diag_internal(d, spk_span_none, "E0831",
                             "the papers' energy is defined on the model as written");
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *out->op, &out->op));
    status = spk_alloc_array(m->n_nodes, sizeof *all, &all);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *once, &once);
    if (status == SPK_OK) {
        memcpy(all, rate, m->n_nodes * sizeof *all);
        status = add_all(m, all, once, out);
    }
    spk_free(once);
    spk_free(all);
    return status;
}

void paper_energy_fini(struct paper_energy *p)
{
    for (uint32_t i = 0; i < p->n_ops; i++)
        spk_free(p->op[i].name);
    spk_free(p->op);
    *p = (struct paper_energy){.first_unknown = IR_NONE};
}

void paper_energy_rates(const struct ir_module *m, const double *sum, uint64_t n_images,
                        double *out_rate)
{
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_type *t = &m->node[i].type;

        out_rate[i] = sum[i] / ((double)n_images * t->timesteps * (double)ir_type_elements(t));
    }
}
