/* Modules: life cycle, building, look-up by name, deep copy, equality.
 *
 * Nodes, params and programs are dense arrays in creation order on the module's arena; they double
 * when full, the old array stays in the arena until the module dies (at most one more size in
 * total), so pointers into them are valid only until the next addition. Names are found through
 * two open-addressing tables (linear probing, FNV-1a, load at most 1/2), one for values and one
 * for params, so that building costs O(1) per addition. A pass may overwrite a name by hand: a
 * look-up that misses the table falls back to one scan in id order.
 *
 * Invariants: a node's operand and param arrays, all names and all equations are copies owned by
 * the arena; the first value of a name is the one that is found.                               */
#include "ir/ir.h"

#include <string.h>

#include "ir/ir_private.h"
#include "support/alloc.h"

struct name_table {
    uint32_t *slot; /* id + 1, 0 = empty */
    uint32_t cap, used;
};
struct ir_names {
    struct name_table values, params;
};

static uint32_t hash_name(const char *name)
{
    uint32_t h = 2166136261u;
    for (const char *c = name; *c; c++)
        h = (h ^ (uint8_t)*c) * 16777619u;
    return h ^ (h >> 15);
}

static const char *name_of(const struct ir_module *m, bool params, uint32_t id)
{
    if (params)
        return id < m->n_params ? m->param[id].name : NULL;
    return id < m->n_nodes ? m->node[id].name : NULL;
}

static uint32_t table_find(const struct ir_module *m, bool params, const char *name)
{
    const struct name_table *t = params ? &m->names->params : &m->names->values;
    if (!t->cap)
        return IR_NONE;
    for (uint32_t i = hash_name(name) & (t->cap - 1); t->slot[i]; i = (i + 1) & (t->cap - 1)) {
        const char *have = name_of(m, params, t->slot[i] - 1);
        if (have && strcmp(have, name) == 0)
            return t->slot[i] - 1;
    }
    return IR_NONE;
}

static void table_put(struct name_table *t, const char *name, uint32_t id)
{
    uint32_t i = hash_name(name) & (t->cap - 1);
    while (t->slot[i])
        i = (i + 1) & (t->cap - 1);
    t->slot[i] = id + 1;
    t->used++;
}

/* Room for one more entry; rehashing leaves out entries whose names were taken away. */
static spk_status table_reserve(const struct ir_module *m, bool params)
{
    struct name_table *t = params ? &m->names->params : &m->names->values;
    if (t->cap && (t->used + 1) * 2 <= t->cap)
        return SPK_OK;
    struct name_table bigger = {NULL, t->cap ? t->cap * 2 : 64, 0};
    SPK_TRY(spk_alloc_array(bigger.cap, sizeof *bigger.slot, &bigger.slot));
    uint32_t n = params ? m->n_params : m->n_nodes;
    for (uint32_t i = 0; i < n; i++) {
        const char *name = name_of(m, params, i);
        if (name && bigger.used * 2 < bigger.cap)
            table_put(&bigger, name, i);
    }
    spk_free(t->slot);
    *t = bigger;
    return SPK_OK;
}

/* Makes room for one more item of an array on the arena. */
static spk_status grow(struct arena *arena, void *array, uint32_t n, uint32_t *cap, size_t item,
                       size_t align)
{
    if (n < *cap)
        return SPK_OK;
    if (n >= UINT32_MAX / 4)
        return SPK_ERR_NOMEM;
    uint32_t bigger = *cap ? *cap * 2 : 16;
    void *old;
    memcpy(&old, array, sizeof old);
    void *fresh = arena_alloc_array(arena, bigger, item, align);
    if (!fresh)
        return SPK_ERR_NOMEM;
    if (n)
        memcpy(fresh, old, (size_t)n * item);
    memcpy(array, &fresh, sizeof fresh);
    *cap = bigger;
    return SPK_OK;
}

spk_status ir_module_create(const char *name, struct ir_module **out)
{
    *out = NULL;
    struct ir_module *m = spk_alloc_zero(sizeof *m);
    if (!m)
        return SPK_ERR_NOMEM;
    arena_init(&m->arena, 0);
    m->names = spk_alloc_zero(sizeof *m->names);
    m->name = arena_strdup(&m->arena, name ? name : "");
    if (!m->names || !m->name) {
        ir_module_destroy(m);
        return SPK_ERR_NOMEM;
    }
    m->stage = IR_STAGE_MODEL;
    m->timesteps = 1;
    *out = m;
    return SPK_OK;
}

struct ir_module_hook {
    void (*destroy)(void *object);
    void *object;
    struct ir_module_hook *next;
};

spk_status ir_module_on_destroy(struct ir_module *m, void (*destroy)(void *object), void *object)
{
    struct ir_module_hook *hook = ARENA_NEW(&m->arena, struct ir_module_hook);
    if (!hook)
        return SPK_ERR_NOMEM;
    *hook = (struct ir_module_hook){destroy, object, m->hooks};
    m->hooks = hook;
    return SPK_OK;
}

void ir_module_destroy(struct ir_module *m)
{
    if (!m)
        return;
    for (const struct ir_module_hook *h = m->hooks; h; h = h->next)
        h->destroy(h->object);
    for (uint32_t i = 0; i < m->n_owned; i++)
        spk_free(m->owned[i]);
    if (m->names) {
        spk_free(m->names->values.slot);
        spk_free(m->names->params.slot);
        spk_free(m->names);
    }
    arena_fini(&m->arena);
    spk_free(m);
}

spk_status ir_module_own(struct ir_module *m, void *heap_block)
{
    SPK_TRY(
        grow(&m->arena, &m->owned, m->n_owned, &m->cap_owned, sizeof *m->owned, _Alignof(void *)));
    m->owned[m->n_owned++] = heap_block;
    return SPK_OK;
}

static spk_status copy_ids(struct arena *arena, uint32_t n, const uint32_t *ids, uint32_t **out)
{
    *out = NULL;
    if (!n)
        return SPK_OK;
    *out = arena_memdup(arena, ids, (size_t)n * sizeof *ids, _Alignof(uint32_t));
    return *out ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status copy_name(struct arena *arena, const char *name, const char **out)
{
    *out = NULL;
    if (!name)
        return SPK_OK;
    *out = arena_strdup(arena, name);
    return *out ? SPK_OK : SPK_ERR_NOMEM;
}

/* Appends a node whose type is already right. */
static spk_status node_append(struct ir_module *m, const struct ir_node *node, uint32_t *out_id)
{
    SPK_TRY(grow(&m->arena, &m->node, m->n_nodes, &m->cap_nodes, sizeof *m->node,
                 _Alignof(struct ir_node)));
    struct ir_node n = *node;
    SPK_TRY(copy_ids(&m->arena, node->n_operands, node->operand, &n.operand));
    SPK_TRY(copy_ids(&m->arena, node->n_params, node->param, &n.param));
    SPK_TRY(copy_name(&m->arena, node->name, &n.name));
    if (n.name && table_find(m, false, n.name) == IR_NONE) {
        SPK_TRY(table_reserve(m, false));
        table_put(&m->names->values, n.name, m->n_nodes);
    }
    m->node[m->n_nodes] = n;
    *out_id = m->n_nodes++;
    return SPK_OK;
}

spk_status ir_add_node(struct ir_module *m, const struct ir_node *node, struct diag_list *d,
                       uint32_t *out_id)
{
    *out_id = IR_NONE;
    struct ir_node typed = *node;
    SPK_TRY(ir_infer(m, node, d, &typed.type));
    return node_append(m, &typed, out_id);
}

static bool same_shape(const struct ir_param *a, const struct ir_param *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           memcmp(a->dim, b->dim, a->rank * sizeof a->dim[0]) == 0;
}

spk_status ir_add_param(struct ir_module *m, const struct ir_param *p, uint32_t *out_id)
{
    *out_id = IR_NONE;
    if (!p->name || p->rank > IR_MAX_RANK)
        return SPK_ERR_INPUT;
    uint32_t have = table_find(m, true, p->name);
    if (have != IR_NONE) {
        if (!same_shape(&m->param[have], p))
            return SPK_ERR_INPUT;
        if (!m->param[have].data)
            m->param[have].data = p->data;
        *out_id = have;
        return SPK_OK;
    }
    SPK_TRY(grow(&m->arena, &m->param, m->n_params, &m->cap_params, sizeof *m->param,
                 _Alignof(struct ir_param)));
    struct ir_param copy = *p;
    memset(copy.dim + p->rank, 0, (IR_MAX_RANK - p->rank) * sizeof copy.dim[0]);
    SPK_TRY(copy_name(&m->arena, p->name, &copy.name));
    SPK_TRY(table_reserve(m, true));
    table_put(&m->names->params, copy.name, m->n_params);
    m->param[m->n_params] = copy;
    *out_id = m->n_params++;
    return SPK_OK;
}

static spk_status copy_expr(struct arena *arena, const struct ir_expr *e, struct ir_expr *out)
{
    *out = (struct ir_expr){NULL, 0};
    if (!e->n)
        return SPK_OK;
    out->code = arena_memdup(arena, e->code, e->n * sizeof *e->code, _Alignof(struct ir_eq));
    out->n = e->n;
    return out->code ? SPK_OK : SPK_ERR_NOMEM;
}

spk_status ir_neuron_append(struct ir_module *m, const struct ir_neuron *n, uint32_t *out_id)
{
    *out_id = IR_NONE;
    if (!ir_neuron_valid(n))
        return SPK_ERR_INPUT;
    SPK_TRY(grow(&m->arena, &m->neuron, m->n_neurons, &m->cap_neurons, sizeof *m->neuron,
                 _Alignof(struct ir_neuron)));
    struct ir_neuron copy;
    memset(&copy, 0, sizeof copy);
    copy.n_states = n->n_states;
    copy.cmp = n->cmp;
    copy.span = n->span;
    SPK_TRY(copy_name(&m->arena, n->name ? n->name : "", &copy.name));
    for (uint32_t i = 0; i < n->n_states; i++) {
        copy.state_init[i] = n->state_init[i];
        SPK_TRY(
            copy_name(&m->arena, n->state_name[i] ? n->state_name[i] : "", &copy.state_name[i]));
        SPK_TRY(copy_expr(&m->arena, &n->charge[i], &copy.charge[i]));
        SPK_TRY(copy_expr(&m->arena, &n->reset[i], &copy.reset[i]));
    }
    SPK_TRY(copy_expr(&m->arena, &n->fire_lhs, &copy.fire_lhs));
    SPK_TRY(copy_expr(&m->arena, &n->fire_rhs, &copy.fire_rhs));
    m->neuron[m->n_neurons] = copy;
    *out_id = m->n_neurons++;
    return SPK_OK;
}

spk_status ir_add_neuron(struct ir_module *m, const struct ir_neuron *n, uint32_t *out_id)
{
    for (uint32_t i = 0; i < m->n_neurons; i++) {
        if (ir_neuron_equal(&m->neuron[i], n, false)) {
            *out_id = i;
            return SPK_OK;
        }
    }
    return ir_neuron_append(m, n, out_id);
}

static uint32_t find(const struct ir_module *m, bool params, const char *name)
{
    if (!name)
        return IR_NONE;
    uint32_t id = table_find(m, params, name);
    if (id != IR_NONE)
        return id;
    uint32_t n = params ? m->n_params : m->n_nodes;
    for (uint32_t i = 0; i < n; i++) {
        const char *have = name_of(m, params, i);
        if (have && strcmp(have, name) == 0)
            return i;
    }
    return IR_NONE;
}

uint32_t ir_find_value(const struct ir_module *m, const char *name)
{
    return find(m, false, name);
}

uint32_t ir_find_param(const struct ir_module *m, const char *name)
{
    return find(m, true, name);
}

uint32_t ir_input(const struct ir_module *m)
{
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_INPUT && !m->node[i].a.input.mask)
            return i;
    return IR_NONE;
}

uint64_t ir_input_values(const struct ir_module *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_INPUT)
            n += m->node[i].type.timesteps * ir_type_elements(&m->node[i].type);
    return n;
}

uint64_t ir_output_values(const struct ir_module *m)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++)
        if (m->node[i].op == IR_OP_OUTPUT)
            n += ir_type_elements(&m->node[i].type);
    return n;
}

static spk_status clone_data(struct ir_module *c, struct ir_param *p)
{
    if (!p->data)
        return SPK_OK;
    size_t size;
    if (__builtin_mul_overflow((size_t)ir_param_elements(p), (size_t)ir_dtype_size(p->dtype),
                               &size))
        return SPK_ERR_NOMEM;
    void *copy = spk_alloc(size);
    if (!copy)
        return SPK_ERR_NOMEM;
    memcpy(copy, p->data, size);
    spk_status s = ir_module_own(c, copy);
    if (s != SPK_OK) {
        spk_free(copy);
        return s;
    }
    p->data = copy;
    return SPK_OK;
}

static spk_status clone_into(const struct ir_module *m, bool with_data, struct ir_module *c)
{
    uint32_t id;
    c->stage = m->stage;
    c->timesteps = m->timesteps;
    c->declared_rate = m->declared_rate;
    SPK_TRY(copy_name(&c->arena, m->target, &c->target));
    for (uint32_t i = 0; i < m->n_params; i++) {
        struct ir_param p = m->param[i];
        if (with_data)
            SPK_TRY(clone_data(c, &p));
        SPK_TRY(ir_add_param(c, &p, &id));
    }
    for (uint32_t i = 0; i < m->n_neurons; i++)
        SPK_TRY(ir_neuron_append(c, &m->neuron[i], &id));
    for (uint32_t i = 0; i < m->n_nodes; i++)
        SPK_TRY(node_append(c, &m->node[i], &id));
    return SPK_OK;
}

spk_status ir_module_clone(const struct ir_module *m, bool with_data, struct ir_module **out)
{
    struct ir_module *c;
    *out = NULL;
    SPK_TRY(ir_module_create(m->name, &c));
    spk_status s = clone_into(m, with_data, c);
    if (s != SPK_OK) {
        ir_module_destroy(c);
        return s;
    }
    *out = c;
    return SPK_OK;
}
