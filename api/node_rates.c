/* Rates by node: a walk in node order, operands first. A rate of one number stays one number; a sum
 * is per channel where an operand is. Max-pools of spikes are taken as independent, which
 * neighbours are not: where three by three neurons of rate 0.1 pool to 0.39 to 0.42 (Spikformer V1
 * with synthetic weights), this says 0.6, and their own rate would say 0.1. Memory: one double per
 * channel of the values given. */
#include "api/node_rates.h"

#include <math.h>

void node_rates_fini(struct node_rates *r)
{
    arena_fini(&r->arena);
    *r = (struct node_rates){0};
}

static double rate_at(const struct map_rate *r, uint32_t channel)
{
    return r->rate[r->n > 1 ? channel : 0];
}

static spk_status sum_rates(struct node_rates *r, const struct ir_node *n, struct map_rate *out)
{
    uint32_t wide = 1;
    for (uint32_t k = 0; k < n->n_operands; k++)
        wide = r->of_node[n->operand[k]].n > 1 ? n->type.channels : wide;
    double *sum = ARENA_NEW_ARRAY(&r->arena, double, wide);
    if (sum == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t c = 0; c < wide; c++)
        for (uint32_t k = 0; k < n->n_operands; k++)
            sum[c] += rate_at(&r->of_node[n->operand[k]], c);
    *out = (struct map_rate){wide, sum};
    return SPK_OK;
}

/* A window spikes unless all of it is silent, as if its spikes came independently. */
static spk_status pool_rate(struct node_rates *r, const struct ir_node *n, struct map_rate *out)
{
    const struct map_rate *in = &r->of_node[n->operand[0]];
    const double window = (double)n->a.pool.kernel * n->a.pool.kernel;
    double *rate = ARENA_NEW_ARRAY(&r->arena, double, in->n);
    if (rate == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t c = 0; c < in->n; c++)
        rate[c] = in->rate[c] < 1 ? 1 - pow(1 - in->rate[c], window) : 1;
    *out = (struct map_rate){in->n, rate};
    return SPK_OK;
}

static spk_status given_rate(struct node_rates *r, const struct fe_rate *f, struct map_rate *out)
{
    out->rate = arena_memdup(&r->arena, f->rate, f->n * sizeof *f->rate, _Alignof(double));
    out->n = f->n;
    return out->rate != NULL ? SPK_OK : SPK_ERR_NOMEM;
}

spk_status node_rates_init(const struct ir_module *m, const struct fe_rates *given,
                           const struct ir_module *named, struct node_rates *out)
{
    struct node_rates r = {.of_node = NULL};
    spk_status status = SPK_OK;
    arena_init(&r.arena, 0);
    r.of_node = ARENA_NEW_ARRAY(&r.arena, struct map_rate, m->n_nodes);
    double *declared = ARENA_NEW(&r.arena, double);
    if (r.of_node == NULL || declared == NULL)
        status = SPK_ERR_NOMEM;
    else
        *declared = map_declared_rate(m);
    for (uint32_t i = 0; i < m->n_nodes && status == SPK_OK; i++) {
        const struct ir_node *n = &m->node[i];
        uint32_t id = n->name && given ? ir_find_value(named, n->name) : IR_NONE;
        r.of_node[i] = (struct map_rate){1, declared};
        if (id != IR_NONE && given->of_node[id].n > 0)
            status = given_rate(&r, &given->of_node[id], &r.of_node[i]);
        else if (n->op == IR_OP_DELAY || n->op == IR_OP_ADD)
            status = sum_rates(&r, n, &r.of_node[i]);
        else if (n->op == IR_OP_MAXPOOL)
            status = pool_rate(&r, n, &r.of_node[i]);
        else if (n->op == IR_OP_RESHAPE || n->op == IR_OP_REPEAT)
            r.of_node[i] = r.of_node[n->operand[0]];
    }
    if (status == SPK_OK)
        *out = r;
    else
        node_rates_fini(&r);
    return status;
}
