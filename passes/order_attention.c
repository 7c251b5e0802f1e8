/* Pass order-attention: chooses the order in which q (k^T v) is evaluated.
 *
 * All factors are integers, so both orders give the same numbers; only the work differs. With N
 * tokens, width D and d = D / heads channels per head, (q k^T) v takes 2 N^2 D accumulations and
 * N^2 entries of state per head, q (k^T v) takes 2 N D d and d^2. The second wins by N / d when
 * d < N; at a tie it is taken because its state does not grow with the image.
 * Only attention whose order is still open is changed, unless an order is forced. Cost: linear. */
#include "passes/pass_list.h"
#include "passes/rewrite.h"

static enum ir_attn_order choose(const struct ir_type *t, uint32_t heads, int64_t option)
{
    if (option == ORDER_KV_FIRST)
        return IR_ATTN_KV_FIRST;
    if (option == ORDER_QK_FIRST)
        return IR_ATTN_QK_FIRST;
    uint64_t n = ir_type_positions(t), per_head = t->channels / (heads ? heads : 1);
    return per_head <= n ? IR_ATTN_KV_FIRST : IR_ATTN_QK_FIRST;
}

spk_status pass_order_attention(const struct pass_context *c, const int64_t *options,
                                const struct ir_module *in, struct ir_module **out)
{
    struct rewrite rw;
    SPK_TRY(rw_init(&rw, in, in->stage, c->diags));
    spk_status s = SPK_OK;
    for (uint32_t i = 0; s == SPK_OK && i < in->n_nodes; i++) {
        s = rw_copy(&rw, i);
        if (s != SPK_OK || in->node[i].op != IR_OP_ATTENTION)
            continue;
        struct ir_node *n = &rw.dst->node[rw.value[i]];
        if (n->a.attention.order == IR_ATTN_AUTO || options[0] != ORDER_AUTO)
            n->a.attention.order = choose(&n->type, n->a.attention.heads, options[0]);
    }
    if (s == SPK_OK)
        *out = rw_take(&rw);
    rw_fini(&rw);
    return s;
}
