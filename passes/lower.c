/* Pass lower: from the model as written to what chips have (IR_STAGE_LOWERED).
 *
 *   - Residual streams. W(x + y) = Wx + Wy, so a projection of a sum of spikes becomes one
 *     projection with the summands as operands (aliases: one weight block, more axons). Sums of
 *     sums are flattened, also through reshape. The sum itself survives only where it is
 *     recorded, with the flat list as operands.
 *   - Head. linear(mean(x, tokens, time)) becomes one `readout` on the host over the summands of
 *     x, with divisor tokens * T: the chip's spikes are counted, the host does the rest.
 * Refused, with the value and the remedy: batch norms that could not be folded, max-pooling or
 * attention of a sum (an OR and a product of bits need spikes), sums of currents in front of a
 * neuron (membrane shortcuts), a mean that is not the head's, masks, softmax attention and other
 * ops of ordinary networks.
 *
 * Every recorded value keeps its name, shape and numbers. Float sums of the projections are
 * formed summand by summand afterwards, which for ordinary weights may move a last bit.
 * Algorithm: one forward sweep that carries, for every spiking source value, the list of
 * destination values it is the sum of. Cost: linear in nodes times summands.                   */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"
#include "support/strbuf.h"

struct terms {
    uint32_t *id; /* destination ids, in an arena of the pass */
    uint32_t n;
};

struct lowering {
    struct rewrite rw;
    struct arena arena;
    struct terms *terms; /* [src nodes] */
    bool remarks;
};

static spk_status fail(struct lowering *l, uint32_t id, const char *code, const char *what,
                       const char *help)
{
    char name[160];
    spk_status s = diag_nofit(l->rw.diags, l->rw.src->node[id].span, code, "%s: %s",
                              rw_value_name(l->rw.src, id, name, sizeof name), what);
    diag_help_set(l->rw.diags, "%s", help);
    return s;
}

static spk_status set_self(struct lowering *l, uint32_t id)
{
    uint32_t *list = ARENA_NEW(&l->arena, uint32_t);
    if (!list)
        return SPK_ERR_NOMEM;
    list[0] = l->rw.value[id];
    l->terms[id] = (struct terms){list, 1};
    return SPK_OK;
}

static spk_status copy_self(struct lowering *l, uint32_t id)
{
    SPK_TRY(rw_copy(&l->rw, id));
    return set_self(l, id);
}

/* Concatenates the terms of all operands of source node `id`. */
static spk_status gather(struct lowering *l, uint32_t id, struct terms *out)
{
    const struct ir_node *n = &l->rw.src->node[id];
    size_t total = 0;
    for (uint32_t k = 0; k < n->n_operands; k++)
        total += l->terms[n->operand[k]].n;
    if (total > IR_MANY)
        return fail(l, id, "E0620", "more than 65535 summands", "split the residual stream");
    uint32_t *list = ARENA_NEW_ARRAY(&l->arena, uint32_t, total ? total : 1);
    if (!list)
        return SPK_ERR_NOMEM;
    *out = (struct terms){list, 0};
    for (uint32_t k = 0; k < n->n_operands; k++) {
        const struct terms *t = &l->terms[n->operand[k]];
        memcpy(list + out->n, t->id, t->n * sizeof *list);
        out->n += t->n;
    }
    return SPK_OK;
}

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

static spk_status lower_add(struct lowering *l, uint32_t id)
{
    const struct ir_node *n = &l->rw.src->node[id];
    struct terms t;
    if (!rw_is_spiking(&n->type)) {
        for (uint32_t k = 0; k < n->n_operands; k++)
            if (!is_projection(&l->rw.src->node[n->operand[k]]))
                return fail(l, id, "E0621", "a sum of currents cannot be mapped",
                            "put the neuron before the shortcut, so that spikes are added");
        return copy_self(l, id); /* projections of different values in front of one neuron */
    }
    SPK_TRY(gather(l, id, &t));
    l->terms[id] = t;
    if (!n->recorded)
        return SPK_OK;
    return rw_copy_operands(&l->rw, id, t.id, t.n);
}

/* A reshape of a sum is the sum of reshaped summands. */
static spk_status lower_reshape(struct lowering *l, uint32_t id)
{
    const struct ir_node *n = &l->rw.src->node[id];
    const struct terms in = l->terms[n->operand[0]];
    if (in.n <= 1)
        return copy_self(l, id);
    struct terms t = {ARENA_NEW_ARRAY(&l->arena, uint32_t, in.n), in.n};
    if (!t.id)
        return SPK_ERR_NOMEM;
    for (uint32_t k = 0; k < in.n; k++) {
        struct ir_node one = *n;
        one.name = NULL;
        one.recorded = false;
        one.n_operands = 1;
        one.operand = &in.id[k];
        SPK_TRY(rw_add(&l->rw, &one, &t.id[k]));
    }
    l->terms[id] = t;
    if (!n->recorded)
        return SPK_OK;
    /* A recorded reshape of a sum becomes the recorded sum of the reshaped. */
    struct ir_node sum;
    memset(&sum, 0, sizeof sum);
    sum.op = IR_OP_ADD;
    sum.name = n->name;
    sum.recorded = true;
    sum.span = n->span;
    sum.n_operands = t.n;
    sum.operand = t.id;
    return rw_add(&l->rw, &sum, &l->rw.value[id]);
}

static spk_status lower_projection(struct lowering *l, uint32_t id)
{
    struct terms t;
    SPK_TRY(gather(l, id, &t));
    SPK_TRY(rw_copy_operands(&l->rw, id, t.id, t.n));
    return set_self(l, id);
}

static bool is_head(const struct lowering *l, uint32_t id)
{
    const struct ir_node *n = &l->rw.src->node[id];
    return n->op == IR_OP_LINEAR && n->n_operands == 1 &&
           l->rw.src->node[n->operand[0]].op == IR_OP_MEAN;
}

static spk_status lower_head(struct lowering *l, uint32_t id)
{
    const struct ir_module *m = l->rw.src;
    const struct ir_node *n = &m->node[id], *mean = &m->node[n->operand[0]];
    const struct ir_type *x = &m->node[mean->operand[0]].type;
    uint32_t params[2];
    struct terms t;
    SPK_TRY(gather(l, n->operand[0], &t));
    uint64_t divisor = ir_type_positions(x) * x->timesteps;
    if (divisor > UINT32_MAX)
        return fail(l, id, "E0622", "tokens times time steps exceed 32 bits", "use fewer tokens");
    for (uint32_t k = 0; k < n->n_params; k++)
        SPK_TRY(rw_param(&l->rw, n->param[k], &params[k]));
    struct ir_node out = *n;
    memset(&out.a, 0, sizeof out.a);
    out.op = IR_OP_READOUT;
    out.n_operands = t.n;
    out.operand = t.id;
    out.param = params;
    out.a.readout.divisor = (uint32_t)divisor;
    SPK_TRY(rw_add(&l->rw, &out, &l->rw.value[id]));
    return set_self(l, id);
}

static spk_status check_mean(struct lowering *l, uint32_t id)
{
    const struct ir_module *m = l->rw.src;
    if (!rw_is_spiking(&m->node[m->node[id].operand[0]].type))
        return fail(l, id, "E0623", "the mean of currents cannot be read out",
                    "take the mean of spikes");
    for (uint32_t i = id + 1; i < m->n_nodes; i++)
        for (uint32_t k = 0; k < m->node[i].n_operands; k++)
            if (m->node[i].operand[k] == id && !is_head(l, i))
                return fail(l, id, "E0623",
                            "the mean over time is used other than "
                            "by the linear head",
                            "end the model with "
                            "linear(mean(x, tokens, time), classes)");
    return SPK_OK;
}

static spk_status need_spikes(struct lowering *l, uint32_t id, const char *what)
{
    const struct ir_node *n = &l->rw.src->node[id];
    for (uint32_t k = 0; k < n->n_operands; k++)
        if (l->terms[n->operand[k]].n > 1)
            return fail(l, id, "E0624", what,
                        "apply it to the spikes of a neuron, before the residual sum");
    SPK_TRY(rw_copy(&l->rw, id));
    return set_self(l, id);
}

/* A chip's host gives one output, the linear head on counts of spikes. */
static spk_status check_output(struct lowering *l, uint32_t id)
{
    const struct ir_module *m = l->rw.src;
    for (uint32_t i = 0; i < id; i++)
        if (m->node[i].op == IR_OP_OUTPUT)
            return fail(l, id, "E0735", "a second output cannot be read out",
                        "a chip's host computes one; run the model with 'spikec run'");
    if (is_head(l, m->node[id].operand[0]) || m->node[m->node[id].operand[0]].op == IR_OP_READOUT)
        return SPK_OK;
    return fail(l, id, "E0734", "an output that is not the head's cannot be read out",
                "end the model with linear(mean(x, tokens, time), classes)");
}

/* Ops of ordinary networks: chips have cores for none of them. */
static spk_status refuse_ordinary(struct lowering *l, uint32_t id)
{
    struct strbuf what = {0};
    strbuf_printf(&what, "'%s' is an op of ordinary networks and cannot be mapped",
                  ir_op_info(l->rw.src->node[id].op)->name);
    spk_status status =
        what.status != SPK_OK
            ? what.status
            : fail(l, id, "E0714", strbuf_cstr(&what),
                   "chips run what leads to a mean(x, time); run the whole with 'spikec run'");
    strbuf_fini(&what);
    return status;
}

static spk_status lower_node(struct lowering *l, uint32_t id)
{
    switch (l->rw.src->node[id].op) {
    case IR_OP_ADD:
        return lower_add(l, id);
    case IR_OP_RESHAPE:
        return lower_reshape(l, id);
    case IR_OP_CONV2D:
        return lower_projection(l, id);
    case IR_OP_LINEAR:
        return is_head(l, id) ? lower_head(l, id) : lower_projection(l, id);
    case IR_OP_MEAN:
        if (l->rw.src->node[id].a.over_time)
            return fail(l, id, "E0715", "a mean over time alone cannot be read out",
                        "end the model with linear(mean(x, tokens, time), classes); pass encoder "
                        "does so with what leads here");
        return check_mean(l, id);
    case IR_OP_SOFTMAX_ATTENTION:
        return fail(l, id, "E0712",
                    "softmax attention cannot be mapped: it takes exponentials and quotients of "
                    "real numbers, which no core computes",
                    "attention(q, k, v, heads, scale) of spikes is what chips run; run this model "
                    "with 'spikec run'");
    case IR_OP_MASK:
        return fail(l, id, "E0713",
                    "a mask cannot be mapped: it is an input of training, and chips take one",
                    "run the model with 'spikec run'; pass encoder leaves masks out");
    case IR_OP_OFFSET:
    case IR_OP_LAYERNORM:
    case IR_OP_GELU:
    case IR_OP_SLICE:
    case IR_OP_PATCHES:
    case IR_OP_MSE:
        return refuse_ordinary(l, id);
    case IR_OP_BATCHNORM:
        return fail(l, id, "E0625",
                    "batch norm has no conv2d or linear before it to be "
                    "folded into",
                    "put it right behind a projection");
    case IR_OP_MAXPOOL:
        return need_spikes(l, id, "max-pooling of a sum of spikes is no OR");
    case IR_OP_ATTENTION:
        return need_spikes(l, id, "attention takes spikes, not sums of spikes");
    case IR_OP_NEURON:
        return need_spikes(l, id, "a neuron needs a projection between it and a sum");
    case IR_OP_REPEAT:
        return need_spikes(l, id, "a sum cannot be repeated over time");
    case IR_OP_SCALE:
        return fail(l, id, "E0626", "a scale without a projection cannot be mapped",
                    "fuse-linear folds it into one: put conv2d or linear before or behind it");
    case IR_OP_MEMBRANE:
        return fail(l, id, "E0627", "a neuron that does not spike cannot be mapped",
                    "leave it out, or run the model with 'spikec run'");
    case IR_OP_LAG:
        if (!rw_is_spiking(&l->rw.src->node[id].type))
            return fail(l, id, "E0628", "a delay of currents cannot be mapped",
                        "delay the spikes of a neuron");
        return need_spikes(l, id, "a delay of a sum of spikes cannot be mapped");
    case IR_OP_INPUT:
        if (l->rw.src->node[id].a.input.series)
            return fail(l, id, "E0629", "frames of real values cannot be brought onto a chip",
                        "a chip takes one image for all steps, or counts of events in each");
        break;
    case IR_OP_OUTPUT:
        SPK_TRY(check_output(l, id));
        break;
    case IR_OP_ENCODE:
    case IR_OP_READOUT:
    case IR_OP_DELAY:
    case IR_OP_COUNT:
        break;
    }
    return copy_self(l, id);
}

spk_status pass_lower(const struct pass_context *c, const int64_t *options,
                      const struct ir_module *in, struct ir_module **out)
{
    struct lowering l;
    memset(&l, 0, sizeof l);
    arena_init(&l.arena, 0);
    spk_status s = rw_init(&l.rw, in, IR_STAGE_LOWERED, c->diags);
    if (s == SPK_OK)
        s = spk_alloc_array(in->n_nodes, sizeof *l.terms, &l.terms);
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++)
        s = lower_node(&l, i);
    if (s == SPK_OK) { /* reshapes whose summands were spread may be left without users */
        rw_patch(&l.rw);
        s = pass_dce(c, options, l.rw.dst, out);
    }
    rw_fini(&l.rw);
    spk_free(l.terms);
    arena_fini(&l.arena);
    return s;
}
