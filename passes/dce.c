/* Pass dce: drops what nobody sees.
 *
 * Seen are the output, the inputs and every recorded value, and what they need; a node is kept
 * when it is reached from those. Because operands precede their users one backward sweep marks
 * everything, and one more for every chain of feedbacks. Params and programs that only dropped
 * nodes used go with them. Cost: linear without feedback. */
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "support/alloc.h"

static bool is_root(const struct ir_node *n)
{
    return n->recorded || n->op == IR_OP_OUTPUT || n->op == IR_OP_INPUT;
}

spk_status pass_dce(const struct pass_context *c, const int64_t *options,
                    const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    bool *live = NULL;
    (void)options;
    SPK_TRY(spk_alloc_array(in->n_nodes, sizeof *live, &live));
    for (bool again = true; again;) { /* again: where a feedback has made its source live */
        again = false;
        for (uint32_t i = in->n_nodes; i-- > 0;) {
            const struct ir_node *n = &in->node[i];
            live[i] = live[i] || is_root(n);
            for (uint32_t k = 0; live[i] && k < n->n_operands; k++)
                live[n->operand[k]] = true;
            if (live[i] && n->op == IR_OP_LAG && n->n_operands == 0 && !live[n->a.lag.source])
                again = live[n->a.lag.source] = true;
        }
    }
    spk_status s = rw_init(&rw, in, in->stage, c->diags);
    if (s != SPK_OK) {
        spk_free(live);
        return s;
    }
    uint32_t dropped = 0;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++) {
        if (live[i])
            s = rw_copy(&rw, i);
        else
            dropped++;
    }
    if (s == SPK_OK && c->remarks && dropped)
        diag_remark(c->diags, spk_span_none, "R0610", "dce: %u of %u values dropped",
                    (unsigned)dropped, (unsigned)in->n_nodes);
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    spk_free(live);
    return s;
}
