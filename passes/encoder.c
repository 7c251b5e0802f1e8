/* Pass encoder: the spiking part of a masked autoencoder, as a network of its own.
 *
 * An autoencoder has one mean over time alone of spikes or counts; what leads there is the encoder,
 * which chips run, and what comes after it is an ordinary network, which stays on the host and is
 * thrown away after pre-training. The pass keeps the encoder. Masks that hide places are left out,
 * as they are of training: the result is what the autoencoder's encoder computes where no patch is
 * hidden. It reads out the mean of every channel over positions and time, through a linear layer
 * with the identity for weights, because a chip's host counts spikes for such a head.
 *
 * Invariant: where no patch is hidden, every value that is kept has the numbers that it had. Cost:
 * linear.                                                                                        */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

static bool is_boundary(const struct ir_module *m, uint32_t id)
{
    const struct ir_node *n = &m->node[id];
    return n->op == IR_OP_MEAN && n->a.over_time && rw_is_spiking(&m->node[n->operand[0]].type);
}

uint32_t passes_encoder_end(const struct ir_module *m)
{
    uint32_t found = IR_NONE;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (!is_boundary(m, i))
            continue;
        if (found != IR_NONE && m->node[found].operand[0] != m->node[i].operand[0])
            return IR_NONE;
        found = i;
    }
    return found == IR_NONE ? IR_NONE : m->node[found].operand[0];
}

/* A mask that hides: its value is then that of its first operand. */
static bool hides(const struct ir_node *n)
{
    return n->op == IR_OP_MASK && n->n_params == 0;
}

/* What leads to `end`, through feedbacks too, but not the masks. */
static void mark(const struct ir_module *m, uint32_t end, bool *live)
{
    live[end] = true;
    for (bool again = true; again;) {
        again = false;
        for (uint32_t i = m->n_nodes; i-- > 0;) {
            const struct ir_node *n = &m->node[i];
            for (uint32_t k = 0; live[i] && k < (hides(n) ? 1 : n->n_operands); k++)
                live[n->operand[k]] = true;
            if (live[i] && n->op == IR_OP_LAG && n->n_operands == 0 && !live[n->a.lag.source])
                again = live[n->a.lag.source] = true;
        }
    }
}

static spk_status identity(struct rewrite *rw, uint32_t n, uint32_t *out)
{
    const struct ir_param p = {
        .name = "encoding.weight", .dtype = IR_DT_F32, .rank = 2, .dim = {n, n}};
    float *one;
    SPK_TRY(spk_alloc_array((size_t)n * n, sizeof *one, &one));
    for (size_t i = 0; i < n; i++)
        one[i * n + i] = 1.0f;
    return rw_new_param(rw, &p, one, out);
}

/* mean, linear with the identity, output */
static spk_status read_out(struct rewrite *rw, uint32_t from)
{
    uint32_t at = rw->value[from], weight;
    const uint32_t channels = rw->src->node[from].type.channels;
    struct ir_node mean = {.op = IR_OP_MEAN, .n_operands = 1, .operand = &at};
    struct ir_node linear = {
        .op = IR_OP_LINEAR, .n_operands = 1, .operand = &at, .n_params = 1, .param = &weight};
    struct ir_node output = {
        .op = IR_OP_OUTPUT, .name = "encoding", .n_operands = 1, .operand = &at};
    mean.span = linear.span = output.span = rw->src->node[from].span;
    SPK_TRY(identity(rw, channels, &weight));
    SPK_TRY(rw_add(rw, &mean, &at));
    SPK_TRY(rw_add(rw, &linear, &at));
    return rw_add(rw, &output, &at);
}

static spk_status keep(struct rewrite *rw, uint32_t end, const bool *live)
{
    const struct ir_module *m = rw->src;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        if (live[i] && hides(&m->node[i]))
            rw->value[i] = rw->value[m->node[i].operand[0]];
        else if (live[i])
            SPK_TRY(rw_copy(rw, i));
    }
    return read_out(rw, end);
}

spk_status pass_encoder(const struct pass_context *c, const int64_t *options,
                        const struct ir_module *in, struct ir_module **out)
{
    const uint32_t end = passes_encoder_end(in);
    struct rewrite rw;
    bool *live = NULL;
    (void)options;
    if (end == IR_NONE) {
        spk_status status = diag_error(c->diags, spk_span_none, "E0725",
                                       "module '%s' is no autoencoder: it has no mean(x, time) of "
                                       "spikes, or several",
                                       in->name);
        diag_help_set(c->diags, "what leads to the mean is the encoder, what follows the decoder");
        return status;
    }
    SPK_TRY(spk_alloc_array(in->n_nodes, sizeof *live, &live));
    mark(in, end, live);
    spk_status s = rw_init(&rw, in, in->stage, c->diags);
    if (s == SPK_OK) {
        s = keep(&rw, end, live);
        if (s == SPK_OK)
            *out = rw_take(&rw);
        rw_fini(&rw);
    }
    spk_free(live);
    return s;
}
