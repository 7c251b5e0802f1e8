/* Pass hoist-constant: computes what does not change over time once.
 *
 * A static image enters as one frame and is made T frames by `repeat`. An op that acts on each
 * time step alone commutes with it: f(repeat(x)) = repeat(f(x)). So `repeat` is moved behind
 * every such op all of whose operands are repeats of the same length; for Spikformer it comes to
 * rest in front of the first neuron, and the first convolution and batch norm run once per
 * image. (Loop-invariant code motion, with time as the loop.)
 *
 * The value's name and its being recorded stay with the repeated value, whose type is the old
 * one; the inner value is new and unnamed. Invariant: every value that existed keeps its name,
 * type and numbers. Repeats that lose their users are dropped, as by dce. Cost: linear.       */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

/* Whether the op commutes with repeat and all its (rebuilt) operands are repeats alike. */
static bool can_hoist(const struct rewrite *rw, const struct ir_node *n)
{
    if (!(ir_op_info(n->op)->flags & IR_F_POINTWISE_T) || n->n_operands == 0)
        return false;
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const struct ir_node *o = &rw->dst->node[rw->value[n->operand[k]]];
        if (o->op != IR_OP_REPEAT)
            return false;
        if (o->a.repeat != rw->dst->node[rw->value[n->operand[0]]].a.repeat)
            return false;
    }
    return true;
}

static spk_status hoist(struct rewrite *rw, uint32_t id)
{
    const struct ir_node *n = &rw->src->node[id];
    uint32_t *ids = NULL, inner = IR_NONE;
    SPK_TRY(spk_alloc_array((size_t)n->n_operands + n->n_params, sizeof *ids, &ids));
    uint32_t times = rw->dst->node[rw->value[n->operand[0]]].a.repeat;
    for (uint32_t k = 0; k < n->n_operands; k++)
        ids[k] = rw->dst->node[rw->value[n->operand[k]]].operand[0];
    spk_status s = SPK_OK;
    for (uint32_t k = 0; s == SPK_OK && k < n->n_params; k++)
        s = rw_param(rw, n->param[k], &ids[n->n_operands + k]);
    struct ir_node once = *n;
    once.name = NULL;
    once.recorded = false;
    once.operand = ids;
    once.param = ids + n->n_operands;
    if (s == SPK_OK)
        s = rw_add(rw, &once, &inner);
    struct ir_node repeat;
    memset(&repeat, 0, sizeof repeat);
    repeat.op = IR_OP_REPEAT;
    repeat.name = n->name;
    repeat.recorded = n->recorded;
    repeat.span = n->span;
    repeat.n_operands = 1;
    repeat.operand = &inner;
    repeat.a.repeat = times;
    if (s == SPK_OK)
        s = rw_add(rw, &repeat, &rw->value[id]);
    spk_free(ids);
    return s;
}

spk_status pass_hoist_constant(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = SPK_OK;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++)
        s = can_hoist(&rw, &in->node[i]) ? hoist(&rw, i) : rw_copy(&rw, i);
    if (s == SPK_OK) { /* repeats in the middle of a hoisted chain have lost their users */
        rw_patch(&rw);
        s = pass_dce(c, options, rw.dst, out);
    }
    rw_fini(&rw);
    return s;
}
