/* Rebuilding a module: see rewrite.h.
 *
 * Invariant: dst is in topological order because nodes are added in the order of the source and
 * a node may only refer to values that are already mapped. Cost: linear in nodes and operands;
 * tensor data is never touched.                                                               */
#include "passes/rewrite.h"

#include <stdio.h>
#include <string.h>

#include "support/alloc.h"
#include "support/strbuf.h"

bool rw_is_spiking(const struct ir_type *t)
{
    return t->kind == IR_SPIKE || t->kind == IR_COUNT;
}

const char *rw_value_name(const struct ir_module *m, uint32_t id, char *buffer, size_t size)
{
    if (m->node[id].name)
        snprintf(buffer, size, "'%s'", m->node[id].name);
    else
        snprintf(buffer, size, "value %u (%s)", (unsigned)id, ir_op_info(m->node[id].op)->name);
    return buffer;
}

static spk_status fill_ids(uint32_t n, uint32_t value, uint32_t **out)
{
    SPK_TRY(spk_alloc_array(n, sizeof **out, out));
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = value;
    return SPK_OK;
}

static spk_status init_parts(struct rewrite *rw, enum ir_stage stage)
{
    const struct ir_module *src = rw->src;
    SPK_TRY(ir_module_create(src->name, &rw->dst));
    rw->dst->stage = stage;
    rw->dst->timesteps = src->timesteps;
    rw->dst->declared_rate = src->declared_rate;
    if (src->target) {
        rw->dst->target = arena_strdup(&rw->dst->arena, src->target);
        if (!rw->dst->target)
            return SPK_ERR_NOMEM;
    }
    SPK_TRY(fill_ids(src->n_nodes, IR_NONE, &rw->value));
    SPK_TRY(fill_ids(src->n_params, IR_NONE, &rw->param));
    SPK_TRY(fill_ids(src->n_neurons, IR_NONE, &rw->neuron));
    SPK_TRY(fill_ids(src->n_nodes, 0, &rw->uses));
    for (uint32_t i = 0; i < src->n_nodes; i++) {
        const struct ir_node *n = &src->node[i];
        for (uint32_t k = 0; k < n->n_operands; k++)
            rw->uses[n->operand[k]]++;
    }
    return SPK_OK;
}

spk_status rw_init(struct rewrite *rw, const struct ir_module *src, enum ir_stage stage,
                   struct diag_list *d)
{
    memset(rw, 0, sizeof *rw);
    rw->src = src;
    rw->diags = d;
    spk_status s = init_parts(rw, stage);
    if (s != SPK_OK)
        rw_fini(rw);
    return s;
}

void rw_fini(struct rewrite *rw)
{
    spk_free(rw->value);
    spk_free(rw->param);
    spk_free(rw->neuron);
    spk_free(rw->uses);
    if (rw->dst)
        ir_module_destroy(rw->dst);
    memset(rw, 0, sizeof *rw);
}

/* Feedbacks were copied before their sources: names these in the destination's ids. */
void rw_patch(struct rewrite *rw)
{
    for (uint32_t i = 0; i < rw->src->n_nodes; i++) {
        const struct ir_node *n = &rw->src->node[i];
        if (n->op == IR_OP_LAG && n->n_operands == 0 && rw->value[i] != IR_NONE)
            rw->dst->node[rw->value[i]].a.lag.source = rw->value[n->a.lag.source];
    }
}

struct ir_module *rw_take(struct rewrite *rw)
{
    struct ir_module *m = rw->dst;
    rw_patch(rw);
    rw->dst = NULL;
    return m;
}

/* The wanted name, or the first of name.2, name.3, … that is free. NULL when out of memory. */
static const char *free_param_name(struct ir_module *m, const char *wanted)
{
    const char *name = arena_strdup(&m->arena, wanted);
    for (unsigned k = 2; name && ir_find_param(m, name) != IR_NONE; k++)
        name = arena_printf(&m->arena, "%s.%u", wanted, k);
    return name;
}

spk_status rw_param(struct rewrite *rw, uint32_t src_param, uint32_t *out)
{
    if (rw->param[src_param] == IR_NONE) {
        /* The name is taken only by a param that a pass made: then this one gives way. */
        struct ir_param p = rw->src->param[src_param];
        p.name = free_param_name(rw->dst, p.name);
        if (!p.name)
            return SPK_ERR_NOMEM;
        SPK_TRY(ir_add_param(rw->dst, &p, &rw->param[src_param]));
    }
    *out = rw->param[src_param];
    return SPK_OK;
}

spk_status rw_neuron(struct rewrite *rw, uint32_t src_neuron, uint32_t *out)
{
    if (rw->neuron[src_neuron] == IR_NONE)
        SPK_TRY(ir_add_neuron(rw->dst, &rw->src->neuron[src_neuron], &rw->neuron[src_neuron]));
    *out = rw->neuron[src_neuron];
    return SPK_OK;
}

spk_status rw_add(struct rewrite *rw, const struct ir_node *node, uint32_t *out)
{
    uint32_t id = IR_NONE;
    SPK_TRY(ir_add_node(rw->dst, node, rw->diags, &id));
    if (out)
        *out = id;
    return SPK_OK;
}

spk_status rw_copy_operands(struct rewrite *rw, uint32_t id, const uint32_t *operand,
                            uint32_t n_operands)
{
    struct ir_node n = rw->src->node[id];
    const uint32_t *src_param = n.param;
    uint32_t *ids = NULL;
    SPK_TRY(spk_alloc_array((size_t)n_operands + n.n_params, sizeof *ids, &ids));
    if (n_operands)
        memcpy(ids, operand, n_operands * sizeof *ids);
    spk_status s = SPK_OK;
    for (uint32_t k = 0; s == SPK_OK && k < n.n_params; k++)
        s = rw_param(rw, src_param[k], &ids[n_operands + k]);
    if (s == SPK_OK && (n.op == IR_OP_NEURON || n.op == IR_OP_MEMBRANE) &&
        n.a.neuron.program != IR_NONE)
        s = rw_neuron(rw, n.a.neuron.program, &n.a.neuron.program);
    n.operand = ids;
    n.n_operands = n_operands;
    n.param = ids + n_operands;
    if (s == SPK_OK)
        s = rw_add(rw, &n, &rw->value[id]);
    spk_free(ids);
    return s;
}

spk_status rw_copy(struct rewrite *rw, uint32_t id)
{
    const struct ir_node *n = &rw->src->node[id];
    uint32_t *ids = NULL;
    SPK_TRY(spk_alloc_array(n->n_operands, sizeof *ids, &ids));
    spk_status s = SPK_OK;
    for (uint32_t k = 0; s == SPK_OK && k < n->n_operands; k++) {
        ids[k] = rw->value[n->operand[k]];
        if (ids[k] == IR_NONE) {
            char name[160];
            s = diag_internal(rw->diags, n->span, "E0690", "operand %u of %s was not rebuilt",
                              (unsigned)k, rw_value_name(rw->src, id, name, sizeof name));
        }
    }
    if (s == SPK_OK)
        s = rw_copy_operands(rw, id, ids, n->n_operands);
    spk_free(ids);
    return s;
}

spk_status rw_new_param(struct rewrite *rw, const struct ir_param *shape, void *data, uint32_t *out)
{
    struct ir_param p = *shape;
    if (data) {
        spk_status s = ir_module_own(rw->dst, data);
        if (s != SPK_OK) {
            spk_free(data);
            return s;
        }
    }
    p.data = data;
    p.name = free_param_name(rw->dst, shape->name);
    if (!p.name)
        return SPK_ERR_NOMEM;
    return ir_add_param(rw->dst, &p, out);
}
