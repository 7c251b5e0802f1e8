/* Which batch norms set which layer.
 *
 * From every neuron one goes back through ops that change neither kind nor meaning of a current
 * (reshape, repeat, delay, add, max-pool) to batch norms and attentions. Batch norms that no layer
 * before has claimed are the layer's own: what an earlier layer claimed is set already and must not
 * move (in a residual stream of currents, the branch of the last block is claimed by the first
 * neuron behind it). Params shared by two norms belong to the first.
 * A layer without norms of its own behind exactly one attention is set through q, k and v. An
 * operand can be used for that if a layer with norms gives it and nothing but this attention reads
 * it. A value is needed until the last layer whose search may compute it again, or its reader, is
 * done. Cost: neurons times the length of the way back; a few hundred nodes in all. */
#include "passes/synth_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

static bool passes_on(enum ir_op op)
{
    return op == IR_OP_RESHAPE || op == IR_OP_REPEAT || op == IR_OP_DELAY || op == IR_OP_ADD ||
           op == IR_OP_MAXPOOL || op == IR_OP_MASK;
}

struct planner {
    struct synth_plan *p;
    bool *seen;      /* [n_nodes] on the way back from the neuron at hand */
    bool *depends;   /* [n_nodes] on a norm of its own */
    bool *claimed;   /* [n_params] */
    uint32_t *users; /* [n_nodes] */
};

/* Marks everything between the neuron and norms, attentions or other ends. Operands come before
 * their users, so one descending pass finds all. */
static void mark_way_back(struct planner *pl, uint32_t neuron)
{
    const struct ir_module *m = pl->p->m;

    memset(pl->seen, 0, m->n_nodes * sizeof *pl->seen);
    memset(pl->depends, 0, m->n_nodes * sizeof *pl->depends);
    pl->seen[neuron] = true;
    for (uint32_t id = neuron + 1; id-- > 0;) {
        const struct ir_node *n = &m->node[id];

        if (!pl->seen[id] || (id != neuron && !passes_on(n->op)))
            continue;
        for (uint32_t k = 0; k < n->n_operands; k++)
            pl->seen[n->operand[k]] = true;
    }
}

/* The marked nodes of an op; those of norms only where nobody claimed their params. */
static uint32_t collect(struct planner *pl, uint32_t neuron, enum ir_op op, uint32_t *out)
{
    const struct ir_module *m = pl->p->m;
    uint32_t n = 0;

    for (uint32_t id = 0; id < neuron; id++)
        if (pl->seen[id] && m->node[id].op == op &&
            (op != IR_OP_BATCHNORM || !pl->claimed[m->node[id].param[0]]))
            out[n++] = id;
    return n;
}

/* Marked nodes between `from` and the neuron whose values follow from `depends`. */
static void path_of(struct planner *pl, struct synth_group *g)
{
    const struct ir_module *m = pl->p->m;

    for (uint32_t id = 0; id <= g->neuron; id++) {
        for (uint32_t k = 0; pl->seen[id] && k < m->node[id].n_operands; k++)
            pl->depends[id] |= pl->depends[m->node[id].operand[k]];
        if (pl->seen[id] && pl->depends[id])
            g->path[g->n_path++] = id;
    }
}

/* The group that gives operand k of an attention, IR_NONE where it may not be touched. */
static uint32_t operand_group(const struct planner *pl, uint32_t attention, uint32_t k)
{
    const struct ir_module *m = pl->p->m;
    uint32_t id = m->node[attention].operand[k];

    while (pl->users[id] == 1 && m->node[id].n_operands == 1 && passes_on(m->node[id].op) &&
           m->node[id].op != IR_OP_MAXPOOL)
        id = m->node[id].operand[0];
    if (m->node[id].op != IR_OP_NEURON || pl->users[id] != 1)
        return IR_NONE;
    uint32_t g = pl->p->group_of[id];
    return pl->p->group[g].means == SYNTH_BATCHNORM ? g : IR_NONE;
}

static void plan_attention(struct planner *pl, struct synth_group *g, uint32_t attention)
{
    bool any = false;

    for (uint32_t k = 0; k < 3; k++) {
        g->operand[k] = operand_group(pl, attention, k);
        any |= g->operand[k] != IR_NONE;
    }
    if (!any)
        return;
    g->means = SYNTH_ATTENTION;
    /* Everything from the operands' neurons on: reshapes in front of the attention too. */
    const struct ir_module *m = pl->p->m;
    pl->seen[attention] = pl->depends[attention] = true;
    for (uint32_t k = 0; k < 3; k++) {
        uint32_t id = m->node[attention].operand[k];

        for (; passes_on(m->node[id].op) && m->node[id].n_operands == 1;
             id = m->node[id].operand[0])
            pl->seen[id] = pl->depends[id] = true;
    }
    path_of(pl, g);
}

/* Input that takes a resting neuron to its threshold in one step; 2 where the equations do not
 * tell, as for the leaky integrator with tau 2 and threshold 1. */
static double unit_of(const struct ir_module *m, const struct ir_node *n)
{
    struct ir_lif lif;

    if (n->a.neuron.program >= m->n_neurons ||
        !ir_neuron_as_lif(&m->neuron[n->a.neuron.program], &lif) || lif.gain == 0.0)
        return 2.0;
    double unit = fabs((lif.v_th - lif.retain * lif.v_init - lif.offset) / lif.gain);
    return unit > 0.0 && isfinite(unit) ? unit : 2.0;
}

static spk_status plan_neuron(struct planner *pl, uint32_t neuron)
{
    const struct ir_module *m = pl->p->m;
    uint32_t id = pl->p->n_groups++;
    struct synth_group *g = &pl->p->group[id];

    *g = (struct synth_group){.neuron = neuron, .means = SYNTH_NONE};
    g->operand[0] = g->operand[1] = g->operand[2] = IR_NONE;
    g->unit = unit_of(m, &m->node[neuron]);
    pl->p->group_of[neuron] = id;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *g->norm, &g->norm));
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *g->path, &g->path));
    mark_way_back(pl, neuron);
    g->n_norms = collect(pl, neuron, IR_OP_BATCHNORM, g->norm);
    for (uint32_t i = 0; i < g->n_norms; i++) {
        g->means = SYNTH_BATCHNORM;
        pl->depends[g->norm[i]] = true;
        pl->p->group_of[g->norm[i]] = id;
        pl->claimed[m->node[g->norm[i]].param[0]] = true;
    }
    if (g->n_norms > 0) {
        path_of(pl, g);
        return SPK_OK;
    }
    uint32_t *attention = NULL;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *attention, &attention));
    if (collect(pl, neuron, IR_OP_ATTENTION, attention) == 1)
        plan_attention(pl, g, attention[0]);
    spk_free(attention);
    return SPK_OK;
}

static void extend(struct synth_plan *p, const struct synth_group *g, uint32_t until)
{
    for (uint32_t i = 0; i < g->n_path; i++) {
        const struct ir_node *n = &p->m->node[g->path[i]];

        for (uint32_t k = 0; k < n->n_operands; k++)
            if (p->needed_until[n->operand[k]] < until)
                p->needed_until[n->operand[k]] = until;
    }
}

static spk_status plan_all(struct planner *pl)
{
    struct synth_plan *p = pl->p;
    const struct ir_module *m = p->m;

    for (uint32_t i = 0; i < m->n_nodes; i++) {
        p->group_of[i] = IR_NONE;
        p->needed_until[i] = i;
        for (uint32_t k = 0; k < m->node[i].n_operands; k++) {
            p->needed_until[m->node[i].operand[k]] = i;
            pl->users[m->node[i].operand[k]]++;
        }
    }
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_NEURON)
            SPK_TRY(plan_neuron(pl, i));
    for (uint32_t i = 0; i < p->n_groups; i++) {
        struct synth_group *g = &p->group[i];

        extend(p, g, g->neuron);
        for (uint32_t k = 0; k < 3; k++)
            if (g->operand[k] != IR_NONE)
                extend(p, &p->group[g->operand[k]], g->neuron);
    }
    return SPK_OK;
}

spk_status synth_plan_init(const struct ir_module *m, struct synth_plan *p)
{
    struct planner pl = {.p = p};
    spk_status status;
    uint32_t n = 0;

    *p = (struct synth_plan){.m = m};
    for (uint32_t i = 0; i < m->n_nodes; i++)
        n += m->node[i].op == IR_OP_NEURON;
    status = spk_alloc_array(n, sizeof *p->group, &p->group);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *p->group_of, &p->group_of);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *p->needed_until, &p->needed_until);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *pl.seen, &pl.seen);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *pl.depends, &pl.depends);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_nodes, sizeof *pl.users, &pl.users);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_params, sizeof *pl.claimed, &pl.claimed);
    if (status == SPK_OK)
        status = plan_all(&pl);
    spk_free(pl.seen);
    spk_free(pl.depends);
    spk_free(pl.users);
    spk_free(pl.claimed);
    return status;
}

void synth_plan_fini(struct synth_plan *p)
{
    for (uint32_t i = 0; i < p->n_groups; i++) {
        spk_free(p->group[i].norm);
        spk_free(p->group[i].path);
    }
    spk_free(p->group);
    spk_free(p->group_of);
    spk_free(p->needed_until);
    *p = (struct synth_plan){0};
}
