/* Pass cse: computes equal values once.
 *
 * Value numbering over the whole graph (Cocke and Schwartz 1970; a module is one basic block):
 * two nodes are equal when op, attributes, params and rebuilt operands are. Candidates come from
 * a hash table with open addressing; order and result depend on node ids only. Neurons count as
 * functions too: with the same input and program they start from the same state and so spike
 * alike. Two recorded values are never merged, because each has a name that users read; where
 * only the later one is recorded its name moves to the earlier node. Cost: linear.            */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

static uint64_t mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    return h * 0xbf58476d1ce4e5b9u;
}

static uint64_t hash_node(const struct ir_node *n)
{
    uint64_t h = mix(0, n->op);
    for (uint32_t k = 0; k < n->n_operands; k++)
        h = mix(h, n->operand[k]);
    for (uint32_t k = 0; k < n->n_params; k++)
        h = mix(h, n->param[k]);
    return h ^ (h >> 29);
}

static bool same_conv(const struct ir_attr_conv *a, const struct ir_attr_conv *b)
{
    return a->kernel_h == b->kernel_h && a->kernel_w == b->kernel_w && a->stride_h == b->stride_h &&
           a->stride_w == b->stride_w && a->pad_h == b->pad_h && a->pad_w == b->pad_w &&
           a->shift == b->shift;
}

static bool same_encode(const struct ir_attr_encode *a, const struct ir_attr_encode *b)
{
    return a->kind == b->kind && same_conv(&a->conv, &b->conv) && a->x_shift == b->x_shift &&
           a->out_shift == b->out_shift && a->m_exp == b->m_exp && a->m_max == b->m_max;
}

/* Bitwise, so that -0 and +0 differ and NaNs are equal to themselves. */
static bool same_float(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static bool same_attributes(const struct ir_node *a, const struct ir_node *b)
{
    switch (a->op) {
    case IR_OP_CONV2D:
        return same_conv(&a->a.conv, &b->a.conv);
    case IR_OP_LINEAR:
        return a->a.conv.shift == b->a.conv.shift;
    case IR_OP_MAXPOOL:
        return a->a.pool.kernel == b->a.pool.kernel && a->a.pool.stride == b->a.pool.stride &&
               a->a.pool.pad == b->a.pool.pad;
    case IR_OP_ATTENTION:
        return a->a.attention.heads == b->a.attention.heads &&
               same_float(a->a.attention.scale, b->a.attention.scale) &&
               a->a.attention.order == b->a.attention.order &&
               a->a.attention.unit == b->a.attention.unit;
    case IR_OP_ENCODE:
        return same_encode(&a->a.encode, &b->a.encode);
    case IR_OP_MEMBRANE:
    case IR_OP_NEURON:
        return a->a.neuron.program == b->a.neuron.program &&
               a->a.neuron.q.decay == b->a.neuron.q.decay &&
               a->a.neuron.q.current_keep == b->a.neuron.q.current_keep &&
               a->a.neuron.q.bits == b->a.neuron.q.bits &&
               a->a.neuron.q.soft_reset == b->a.neuron.q.soft_reset;
    case IR_OP_READOUT:
        return a->a.readout.divisor == b->a.readout.divisor;
    case IR_OP_RESHAPE:
        return a->a.reshape.to == b->a.reshape.to;
    case IR_OP_DELAY:
        return a->a.delay.steps == b->a.delay.steps;
    case IR_OP_BATCHNORM:
        return same_float(a->a.eps, b->a.eps);
    case IR_OP_REPEAT:
        return a->a.repeat == b->a.repeat;
    case IR_OP_LAG: /* feedbacks have no operands and are not merged */
        return a->a.lag.steps == b->a.lag.steps;
    case IR_OP_MEAN:
        return a->a.over_time == b->a.over_time;
    case IR_OP_LAYERNORM:
        return same_float(a->a.norm.eps, b->a.norm.eps) && a->a.norm.sample == b->a.norm.sample;
    case IR_OP_SLICE:
        return a->a.slice.begin == b->a.slice.begin && a->a.slice.count == b->a.slice.count;
    case IR_OP_PATCHES:
        return a->a.patch == b->a.patch;
    case IR_OP_SOFTMAX_ATTENTION:
        return a->a.attention.heads == b->a.attention.heads &&
               same_float(a->a.attention.scale, b->a.attention.scale);
    case IR_OP_ADD:
    case IR_OP_SCALE:
    case IR_OP_MASK:
    case IR_OP_OFFSET:
    case IR_OP_GELU:
    case IR_OP_MSE:
        return true;
    case IR_OP_INPUT: /* never merged */
    case IR_OP_OUTPUT:
    case IR_OP_COUNT:
        break;
    }
    return false;
}

static bool same_node(const struct ir_node *a, const struct ir_node *b)
{
    return a->op == b->op && a->n_operands == b->n_operands && a->n_params == b->n_params &&
           memcmp(a->operand, b->operand, a->n_operands * sizeof *a->operand) == 0 &&
           (a->n_params == 0 || memcmp(a->param, b->param, a->n_params * sizeof *a->param) == 0) &&
           same_attributes(a, b) && !(a->recorded && b->recorded);
}

struct table {
    uint32_t *slot; /* destination ids, IR_NONE: free */
    uint32_t mask;
};

/* Merges the just added node `id` (the last one) into an earlier equal one, or enters it. */
static uint32_t find_or_enter(struct table *t, struct ir_module *m, uint32_t id)
{
    struct ir_node *n = &m->node[id];
    if (n->n_operands == 0 || n->op == IR_OP_OUTPUT)
        return id;
    uint32_t at = (uint32_t)hash_node(n) & t->mask;
    while (t->slot[at] != IR_NONE) {
        struct ir_node *e = &m->node[t->slot[at]];
        if (same_node(e, n)) {
            if (n->recorded || !e->name) {
                e->name = n->name ? n->name : e->name;
                e->recorded = e->recorded || n->recorded;
            }
            /* The dead twin must not be found by name, nor recorded twice. */
            n->name = NULL;
            n->recorded = false;
            return t->slot[at];
        }
        at = (at + 1) & t->mask;
    }
    t->slot[at] = id;
    return id;
}

static spk_status number_values(struct rewrite *rw, struct table *t, uint32_t *merged)
{
    for (uint32_t i = 0; i < rw->src->n_nodes; i++) {
        SPK_TRY(rw_copy(rw, i));
        uint32_t id = rw->value[i];
        rw->value[i] = find_or_enter(t, rw->dst, id);
        *merged += rw->value[i] != id;
    }
    return SPK_OK;
}

spk_status pass_cse(const struct pass_context *c, const int64_t *options,
                    const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    struct table t = {NULL, 15};
    uint32_t merged = 0;
    (void)options;
    while (t.mask < 2 * (uint64_t)in->n_nodes)
        t.mask = 2 * t.mask + 1;
    SPK_TRY(spk_alloc_array((size_t)t.mask + 1, sizeof *t.slot, &t.slot));
    memset(t.slot, 0xff, ((size_t)t.mask + 1) * sizeof *t.slot);
    spk_status s = rw_init(&rw, in, in->stage, c->diags);
    if (s != SPK_OK) {
        spk_free(t.slot);
        return s;
    }
    s = number_values(&rw, &t, &merged);
    spk_free(t.slot);
    if (s == SPK_OK && c->remarks && merged)
        diag_remark(c->diags, spk_span_none, "R0611",
                    "cse: %u of %u values were equal to "
                    "earlier ones",
                    (unsigned)merged, (unsigned)in->n_nodes);
    /* The twins that were merged away are dead now: drop them. */
    if (s == SPK_OK) {
        rw_patch(&rw);
        s = pass_dce(c, options, rw.dst, out);
    }
    rw_fini(&rw);
    return s;
}
