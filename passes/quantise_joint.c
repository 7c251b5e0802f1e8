/* Joining the projections of one neuron for quantisation, and taking them apart again: their
 * currents add, so they share the scale of every output channel and the weight exponent. */
#include <string.h>

#include "passes/quantise.h"
#include "support/alloc.h"

static uint64_t columns_of(const struct ir_param *w)
{
    return w->rank == 4 ? (uint64_t)w->dim[1] * w->dim[2] * w->dim[3] : w->dim[1];
}

void quant_joint_fini(struct quant_joint *j)
{
    spk_free(j->w);
    spk_free(j->b);
    spk_free(j->rate);
    spk_free(j->columns);
    *j = (struct quant_joint){0};
}

static const float *data_of(const struct ir_module *m, const struct ir_node *p, uint32_t k)
{
    return k < p->n_params ? m->param[p->param[k]].data : NULL;
}

static void fill(const struct ir_module *m, const struct ir_node *sum, uint32_t out,
                 struct quant_joint *j)
{
    uint64_t at = 0;
    for (uint32_t k = 0; k < sum->n_operands; k++) {
        const struct ir_node *p = &m->node[sum->operand[k]];
        const float *w = data_of(m, p, 0), *b = data_of(m, p, 1);
        const uint64_t n = j->columns[k];
        for (uint32_t o = 0; o < out; o++) {
            memcpy(j->w + o * (uint64_t)j->in + at, w + o * n, n * sizeof *w);
            if (b)
                j->b[o] += b[o];
        }
        at += n;
    }
}

spk_status quant_joint_create(const struct ir_module *m, const struct ir_node *sum,
                              struct diag_list *d, struct quant_joint *out)
{
    const uint32_t rows = sum->type.channels;
    uint64_t total = 0;
    bool data = true;
    *out = (struct quant_joint){.n = sum->n_operands};
    SPK_TRY(spk_alloc_array(out->n, sizeof *out->columns, &out->columns));
    for (uint32_t k = 0; k < out->n; k++) {
        const struct ir_node *p = &m->node[sum->operand[k]];
        out->columns[k] = columns_of(&m->param[p->param[0]]);
        total += out->columns[k];
        out->has_bias = out->has_bias || p->n_params > 1;
        data = data && data_of(m, p, 0) && (p->n_params < 2 || data_of(m, p, 1));
    }
    if (total > UINT32_MAX)
        return diag_nofit(d, sum->span, "E0639", "a neuron with more than 2^32 inputs");
    out->in = (uint32_t)total;
    SPK_TRY(spk_alloc_array(total, sizeof *out->rate, &out->rate));
    SPK_TRY(spk_alloc_array(rows, sizeof *out->b, &out->b));
    if (!data)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(total, rows * sizeof *out->w, &out->w));
    fill(m, sum, rows, out);
    return SPK_OK;
}

spk_status quant_joint_part(const struct quant_joint *j, const struct quant_layer *l, uint32_t k,
                            int8_t **out)
{
    uint64_t at = 0;
    *out = NULL;
    for (uint32_t i = 0; i < k; i++)
        at += j->columns[i];
    if (l->q == NULL)
        return SPK_OK;
    SPK_TRY(spk_alloc_array_raw(l->out, j->columns[k], out));
    for (uint32_t o = 0; o < l->out; o++)
        memcpy(*out + o * j->columns[k], l->q + o * (uint64_t)l->in + at, j->columns[k]);
    return SPK_OK;
}
