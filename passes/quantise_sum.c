/* Several projections in front of one neuron: quantised as one layer, then taken apart. */
#include "ir/constraints.h"
#include "passes/quantise_internal.h"
#include "support/alloc.h"

/* Rates of the columns of a joint layer. */
static spk_status joint_rates(struct quantise *q, const struct ir_node *sum, struct quant_joint *j)
{
    uint64_t at = 0;
    for (uint32_t k = 0; k < sum->n_operands; k++) {
        const struct ir_node *p = &q->rw.src->node[sum->operand[k]];
        const uint32_t in = q->rw.src->param[p->param[0]].dim[1];
        double *rate = NULL;
        SPK_TRY(quant_input_rates(q, p, in, &rate));
        for (uint64_t i = 0; i < j->columns[k]; i++)
            j->rate[at + i] = rate[i / (j->columns[k] / in)];
        at += j->columns[k];
        spk_free(rate);
    }
    return SPK_OK;
}

/* The integer projections of a sum and the sum, from the weights of the joint layer. */
static spk_status split_joint(struct quantise *q, const struct ir_node *sum,
                              const struct quant_joint *j, const struct quant_layer *l,
                              uint32_t *out)
{
    struct ir_node n = *sum;
    uint32_t *operand = NULL;
    SPK_TRY(spk_alloc_array(sum->n_operands, sizeof *operand, &operand));
    spk_status s = SPK_OK;
    for (uint32_t k = 0; k < sum->n_operands && s == SPK_OK; k++) {
        int8_t *data = NULL;
        s = quant_joint_part(j, l, k, &data);
        if (s == SPK_OK)
            s = quant_add_projection(q, sum->operand[k], data, l->shift, &operand[k]);
    }
    n.operand = operand;
    if (s == SPK_OK)
        s = rw_add(&q->rw, &n, out);
    spk_free(operand);
    return s;
}

/* One scale for all projections of a neuron, since their currents add. */
spk_status quant_sum(struct quantise *q, uint32_t id, uint32_t add, const struct quant_lif *lif)
{
    const struct ir_node *sum = &q->rw.src->node[add];
    struct quant_joint j = {0};
    uint32_t current;
    struct quant_layer l = {
        .name = quant_label_of(q, id),
        .out = sum->type.channels,
        .taps = 1,
        .lif = lif,
        .arith = &q->t->arith,
        .weight_bits =
            ctr_bits_of(q->c->constraints, quant_label_of(q, id), q->t->arith.weight_bits),
        .max_thresholds = (uint32_t)q->options[QUANTISE_THRESHOLDS],
        .clip = q->options[QUANTISE_CLIP] != 0,
        .correct = q->options[QUANTISE_CORRECT] != 0,
        .pool = q->c->pool,
    };
    if (!l.name)
        return SPK_ERR_NOMEM;
    spk_status s = quant_joint_create(q->rw.src, sum, q->c->diags, &j);
    if (s == SPK_OK)
        s = joint_rates(q, sum, &j);
    struct quant_scaled scaled = {0};
    if (s == SPK_OK)
        s = quant_rows_apply(&q->rows, j.w, j.has_bias ? j.b : NULL, l.out, j.in, &scaled);
    l.w = scaled.w;
    l.b = scaled.b;
    l.in = j.in;
    l.rate = j.rate;
    l.has_bias = j.has_bias || lif->offset != 0.0 || q->rows.adds;
    if (s == SPK_OK)
        s = quant_layer_run(&l, q->c->diags);
    if (s == SPK_OK) {
        quant_remark_layer(q, &l, (uint64_t)l.out * l.in);
        s = split_joint(q, sum, &j, &l, &current);
        if (s == SPK_OK)
            s = quant_finish_layer(q, id, current, &l);
        quant_layer_fini(&l);
    }
    quant_scaled_fini(&scaled);
    quant_joint_fini(&j);
    return s;
}
