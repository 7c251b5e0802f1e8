/* The verifier: all rules that a module of its stage must keep (docs/ir.md lists them), all
 * violations reported.
 *
 * A node is checked in three steps: ids (operands before users, params that exist), its type
 * against a fresh inference, and the rules of the stage. A node with broken ids skips the rest, and
 * so does whoever the inference already complained about. Names are compared through a sorted
 * array, so the whole costs O(n log n) in nodes and params.                                      */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/ir.h"
#include "ir/ir_private.h"
#include "ir/ir_text.h"
#include "support/alloc.h"

struct verify {
    const struct ir_module *m;
    struct diag_list *d;
    uint32_t violations;
    bool *used_outside_add; /* [n_nodes] */
};

/* "%3 conv2d 'name'" for messages. */
struct label {
    char text[160];
};

static struct label label_of(const struct verify *v, uint32_t id)
{
    struct label l = {{0}};
    struct strbuf b = {0};
    const struct ir_node *n = &v->m->node[id];
    strbuf_printf(&b, "%%%u %s", id, ir_op_info(n->op)->name);
    if (n->name)
        strbuf_printf(&b, " '%.100s'", n->name);
    strncpy(l.text, strbuf_cstr(&b), sizeof l.text - 1);
    strbuf_fini(&b);
    return l;
}

static void broken(struct verify *v, uint32_t id, const char *code, const char *rule)
{
    v->violations++;
    (void)diag_error(v->d, v->m->node[id].span, code, "%s: %s", label_of(v, id).text, rule);
}

static void need(struct verify *v, uint32_t id, bool holds, const char *code, const char *rule)
{
    if (!holds)
        broken(v, id, code, rule);
}

static bool events(const struct ir_type *t)
{
    return t->kind == IR_SPIKE || t->kind == IR_COUNT;
}

/* ---- names ---- */

struct named {
    const char *name;
    uint32_t id;
};

static int compare_named(const void *pa, const void *pb)
{
    const struct named *a = pa, *b = pb;
    int order = strcmp(a->name, b->name);
    return order ? order : a->id < b->id ? -1 : a->id > b->id;
}

static spk_status check_unique(struct verify *v, bool params)
{
    const struct ir_module *m = v->m;
    uint32_t n = params ? m->n_params : m->n_nodes, used = 0;
    struct named *names;
    SPK_TRY(spk_alloc_array(n, sizeof *names, &names));
    for (uint32_t i = 0; i < n; i++) {
        const char *name = params ? m->param[i].name : m->node[i].name;
        if (name)
            names[used++] = (struct named){name, i};
    }
    qsort(names, used, sizeof *names, compare_named);
    for (uint32_t i = 1; i < used; i++) {
        if (strcmp(names[i - 1].name, names[i].name) != 0)
            continue;
        struct spk_span span = params ? m->param[names[i].id].span : m->node[names[i].id].span;
        v->violations++;
        (void)diag_error(v->d, span, "E0320", "%s '%s' is defined twice",
                         params ? "param" : "value", names[i].name);
    }
    spk_free(names);
    return SPK_OK;
}

/* ---- params and programs ---- */

static void check_param(struct verify *v, uint32_t id)
{
    const struct ir_param *p = &v->m->param[id];
    uint64_t n = 1;
    bool fits = p->rank <= IR_MAX_RANK;
    for (uint32_t i = 0; fits && i < p->rank; i++)
        fits = p->dim[i] && !__builtin_mul_overflow(n, (uint64_t)p->dim[i], &n) &&
               n <= IR_MAX_ELEMENTS;
    if (!p->name || !*p->name) {
        v->violations++;
        (void)diag_error(v->d, p->span, "E0320", "param %u has no name", id);
    }
    if (!fits) {
        v->violations++;
        (void)diag_error(v->d, p->span, "E0310",
                         "param '%s': at most %d axes, each at least 1, 2^40 elements in all",
                         p->name ? p->name : "", IR_MAX_RANK);
    }
    if ((unsigned)p->dtype > IR_DT_I32) {
        v->violations++;
        (void)diag_error(v->d, p->span, "E0306", "param '%s': unknown element type %d",
                         p->name ? p->name : "", (int)p->dtype);
    }
}

static void check_program(struct verify *v, uint32_t id)
{
    const struct ir_neuron *n = &v->m->neuron[id];
    if (!ir_neuron_valid(n)) {
        v->violations++;
        (void)diag_error(v->d, n->span, "E0313",
                         "neuron program %u '%s': equations are not well formed", id,
                         n->name ? n->name : "");
        return;
    }
    for (uint32_t i = 0; i < id; i++) {
        if (!ir_neuron_valid(&v->m->neuron[i]) || !ir_neuron_equal(&v->m->neuron[i], n, false))
            continue;
        v->violations++;
        (void)diag_error(v->d, n->span, "E0313", "neuron programs %u and %u are equal", i, id);
    }
}

static void check_dtypes(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    bool quantised = v->m->stage == IR_STAGE_QUANTISED;
    for (uint32_t i = 0; i < n->n_params; i++) {
        const struct ir_param *p = &v->m->param[n->param[i]];
        enum ir_dtype want = IR_DT_F32;
        if (quantised && n->op == IR_OP_NEURON)
            want = IR_DT_I32;
        else if (quantised && n->op == IR_OP_ENCODE)
            want = i ? IR_DT_I32 : IR_DT_I16;
        else if (quantised && n->op != IR_OP_READOUT)
            want = IR_DT_I8;
        if (p->dtype == want)
            continue;
        v->violations++;
        (void)diag_error(v->d, n->span, "E0306", "%s: param '%s' is %s, must be %s here",
                         label_of(v, id).text, p->name ? p->name : "", ir_dtype_name(p->dtype),
                         ir_dtype_name(want));
    }
}

/* ---- nodes ---- */

static bool check_ids(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    bool ok = true;
    if ((unsigned)n->op >= IR_OP_COUNT) {
        broken(v, id, "E0301", "unknown op");
        return false;
    }
    for (uint32_t i = 0; i < n->n_operands; i++) {
        if (n->operand[i] < id)
            continue;
        ok = false;
        broken(v, id, "E0302",
               n->operand[i] < v->m->n_nodes ? "an operand comes after its user"
                                             : "an operand does not exist");
    }
    for (uint32_t i = 0; i < n->n_params; i++) {
        if (n->param[i] < v->m->n_params)
            continue;
        ok = false;
        broken(v, id, "E0302", "a param does not exist");
    }
    return ok;
}

static bool check_type(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    struct ir_type t;
    if (ir_infer(v->m, n, v->d, &t) != SPK_OK) {
        v->violations++;
        return false;
    }
    if (ir_type_equal(&t, &n->type))
        return true;
    struct strbuf have = {0}, want = {0};
    ir_type_text(&n->type, &have);
    ir_type_text(&t, &want);
    v->violations++;
    (void)diag_error(v->d, n->span, "E0321", "%s: has type %s, its operands give %s",
                     label_of(v, id).text, strbuf_cstr(&have), strbuf_cstr(&want));
    strbuf_fini(&have);
    strbuf_fini(&want);
    return false;
}

static void check_model_node(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    switch (n->op) {
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
        need(v, id, n->n_operands == 1, "E0322", "a projection has one operand in stage model");
        break;
    case IR_OP_DELAY:
    case IR_OP_ENCODE:
    case IR_OP_READOUT:
        broken(v, id, "E0322", "this op does not exist in stage model");
        break;
    default:
        break;
    }
}

static bool is_projection(const struct ir_node *n)
{
    return n->op == IR_OP_CONV2D || n->op == IR_OP_LINEAR;
}

static void check_lowered_node(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    bool quantised = v->m->stage == IR_STAGE_QUANTISED;
    switch (n->op) {
    case IR_OP_BATCHNORM:
        broken(v, id, "E0322", "batch norm must be folded before this stage");
        break;
    case IR_OP_MEAN:
        need(v, id, !quantised, "E0322", "mean must have become a read-out");
        need(v, id, !n->a.over_time, "E0322", "a mean over time alone exists in stage model only");
        break;
    case IR_OP_ADD:
        if (n->type.kind == IR_CURRENT) {
            for (uint32_t i = 0; i < n->n_operands; i++)
                need(v, id, is_projection(&v->m->node[n->operand[i]]), "E0322",
                     "a sum of currents is one of projections");
            break;
        }
        need(v, id, n->recorded, "E0322", "a sum survives only where it is recorded");
        need(v, id, !v->used_outside_add[id], "E0322",
             "a recorded sum has no users but other sums: they take its summands");
        break;
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
        for (uint32_t i = 0; i < n->n_operands; i++) {
            const struct ir_type *t = &v->m->node[n->operand[i]].type;
            if (quantised)
                need(v, id, events(t), "E0323",
                     "a projection takes spikes or counts; the first one on an "
                     "analog input must be an encoder");
            else
                need(v, id, events(t) || (t->kind == IR_REAL && t->timesteps == 1), "E0323",
                     "a projection takes spikes or counts; on an analog input it "
                     "must stand before repeat");
        }
        break;
    case IR_OP_NEURON:
        need(v, id, v->m->node[n->operand[0]].type.kind == IR_CURRENT, "E0323",
             "a neuron takes a current");
        break;
    case IR_OP_MAXPOOL:
        need(v, id, n->type.kind == IR_SPIKE, "E0323", "only spikes can be pooled");
        break;
    case IR_OP_LAG:
        need(v, id, events(&n->type), "E0323", "only spikes and counts can lag");
        break;
    case IR_OP_SCALE:
    case IR_OP_MEMBRANE:
    case IR_OP_MASK:
    case IR_OP_OFFSET:
    case IR_OP_LAYERNORM:
    case IR_OP_GELU:
    case IR_OP_SLICE:
    case IR_OP_PATCHES:
    case IR_OP_SOFTMAX_ATTENTION:
    case IR_OP_MSE:
        broken(v, id, "E0322", "this op exists in stage model only");
        break;
    default:
        break;
    }
}

static void check_quantised_node(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    switch (n->op) {
    case IR_OP_CONV2D:
    case IR_OP_LINEAR:
        need(v, id, n->n_params == 1, "E0322",
             "the bias of a quantised projection belongs to its neuron");
        need(v, id, n->a.conv.shift <= 24, "E0307", "shift is above 24");
        break;
    case IR_OP_NEURON:
        need(v, id, n->a.neuron.program == IR_NONE, "E0322",
             "a quantised neuron has no float program");
        need(v, id, n->n_params >= 1, "E0322", "a quantised neuron has its thresholds as param 0");
        need(v, id, n->a.neuron.q.decay <= 4096, "E0307", "decay is above 4096");
        need(v, id, n->a.neuron.q.current_keep <= 4096, "E0307", "current_keep is above 4096");
        need(v, id, n->a.neuron.q.bits >= 2 && n->a.neuron.q.bits <= 32, "E0307",
             "bits must be 2..32");
        break;
    case IR_OP_ATTENTION:
        need(v, id, n->a.attention.unit > 0, "E0307", "unit must be above 0");
        break;
    case IR_OP_ENCODE:
        need(v, id, n->a.encode.x_shift <= 30, "E0307", "x_shift is above 30");
        need(v, id, n->a.encode.out_shift <= 62, "E0307", "out_shift is above 62");
        need(v, id, n->a.encode.m_exp <= 24, "E0307", "m_exp is above 24");
        need(v, id, n->a.encode.m_max >= 0, "E0307", "m_max is negative");
        break;
    default:
        break;
    }
    for (uint32_t i = 0; i < n->n_operands; i++) {
        const struct ir_type *t = &v->m->node[n->operand[i]].type;
        if (n->op != IR_OP_ENCODE && n->op != IR_OP_OUTPUT)
            need(v, id, t->num == IR_I32, "E0323",
                 "a quantised op takes integers; host values come through encode");
    }
}

static void check_common(struct verify *v, uint32_t id)
{
    const struct ir_node *n = &v->m->node[id];
    bool quantised = v->m->stage == IR_STAGE_QUANTISED;
    if (n->recorded) {
        need(v, id, n->name && *n->name, "E0320", "a recorded value needs a name");
        need(v, id, events(&n->type), "E0323", "only spikes and counts are recorded");
    }
    need(v, id, n->type.timesteps == 1 || n->type.timesteps == v->m->timesteps, "E0312",
         "its time steps are neither 1 nor those of the module");
    if ((n->op == IR_OP_NEURON || n->op == IR_OP_MEMBRANE) && !quantised) {
        const uint32_t p = n->a.neuron.program;
        need(v, id, p != IR_NONE, "E0313", "a float neuron has a program");
        need(v, id, p >= v->m->n_neurons || n->n_params == ir_neuron_params(&v->m->neuron[p]),
             "E0322", "a float neuron has the params that its program reads");
    }
    if (n->op == IR_OP_LAG && n->n_operands == 0) {
        const uint32_t s = n->a.lag.source;
        need(v, id, s < v->m->n_nodes && s > id, "E0302", "a feedback has a later source");
        if (s < v->m->n_nodes && s > id) {
            struct ir_type t = v->m->node[s].type;
            t.timesteps = n->type.timesteps;
            need(v, id, ir_type_equal(&t, &n->type), "E0321",
                 "a feedback has the type of its source");
        }
    }
    if (n->op == IR_OP_READOUT) {
        const struct ir_type *t = &v->m->node[n->operand[0]].type;
        need(v, id, n->a.readout.divisor == ir_type_positions(t) * t->timesteps, "E0307",
             "divisor is not positions times time steps");
    }
    if (n->op == IR_OP_ATTENTION)
        need(v, id, (unsigned)n->a.attention.order <= IR_ATTN_QK_FIRST, "E0307",
             "unknown order of the products");
    check_dtypes(v, id);
}

static void check_node(struct verify *v, uint32_t id)
{
    if (!check_ids(v, id) || !check_type(v, id))
        return;
    check_common(v, id);
    if (v->m->stage == IR_STAGE_MODEL) {
        check_model_node(v, id);
        return;
    }
    check_lowered_node(v, id);
    if (v->m->stage == IR_STAGE_QUANTISED)
        check_quantised_node(v, id);
}

/* ---- module ---- */

static void module_need(struct verify *v, bool holds, const char *code, const char *rule)
{
    if (holds)
        return;
    v->violations++;
    (void)diag_error(v->d, spk_span_none, code, "module '%s': %s", v->m->name ? v->m->name : "",
                     rule);
}

static void check_module(struct verify *v)
{
    const struct ir_module *m = v->m;
    uint32_t inputs = 0, masks = 0, outputs = 0;
    bool model = m->stage == IR_STAGE_MODEL, order = true;
    module_need(v, (unsigned)m->stage <= IR_STAGE_QUANTISED, "E0322", "unknown stage");
    module_need(v, m->timesteps >= 1 && m->timesteps <= IR_MAX_TIMESTEPS, "E0312",
                "time steps must be 1..65535");
    module_need(v, (m->stage == IR_STAGE_QUANTISED) == (m->target != NULL), "E0322",
                "a target is named exactly where the stage is quantised");
    module_need(v, m->declared_rate >= 0.0f && isfinite(m->declared_rate), "E0307",
                "the declared rate must be finite and not negative");
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        bool input = m->node[i].op == IR_OP_INPUT, mask = input && m->node[i].a.input.mask;
        order = order && !(input && !mask && masks);
        inputs += input && !mask;
        masks += mask;
        outputs += m->node[i].op == IR_OP_OUTPUT;
    }
    module_need(v, ir_output_values(m) <= UINT32_MAX, "E0310",
                "its outputs have 2^32 values or more");
    module_need(v, inputs <= 1, "E0322", "has more than one input");
    module_need(v, order, "E0322", "its input stands before the masks");
    module_need(v, model || masks == 0, "E0322", "masks exist in stage model only");
    module_need(v, model || outputs <= 1, "E0322", "has more than one output");
}

static spk_status verify_all(struct verify *v)
{
    const struct ir_module *m = v->m;
    check_module(v);
    SPK_TRY(check_unique(v, true));
    SPK_TRY(check_unique(v, false));
    for (uint32_t i = 0; i < m->n_params; i++)
        check_param(v, i);
    for (uint32_t i = 0; i < m->n_neurons; i++)
        check_program(v, i);
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        for (uint32_t j = 0; j < m->node[i].n_operands; j++) {
            if (m->node[i].op != IR_OP_ADD && m->node[i].operand[j] < m->n_nodes)
                v->used_outside_add[m->node[i].operand[j]] = true;
        }
    }
    for (uint32_t i = 0; i < m->n_nodes; i++)
        check_node(v, i);
    return SPK_OK;
}

spk_status ir_verify(const struct ir_module *m, struct diag_list *d)
{
    struct verify v = {m, d, 0, NULL};
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *v.used_outside_add, &v.used_outside_add));
    spk_status s = verify_all(&v);
    spk_free(v.used_outside_add);
    if (s != SPK_OK)
        return s;
    return v.violations ? SPK_ERR_INPUT : SPK_OK;
}
