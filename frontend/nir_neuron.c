/* Neurons of NIR as neuron programs, and delays (docs/nir.md, section 2).
 *
 * Forward Euler with step dt, the synaptic current before the membrane:
 *   LIF, LI    v <- v + (r I + v_leak - v) / (tau / dt)
 *   IF, I      v <- v + (r dt) I
 *   Cuba*      i <- i + (w_in I - i) / (tau_syn / dt);  v <- v + (r i + v_leak - v) / (tau_mem /
 * dt) Threshold  v <- I A spike where v > v_threshold, then v <- v_reset. Quotients and products of
 * parameters are formed in double precision and rounded once. A parameter that is the same for all
 * neurons is a constant of the program, so that usual graphs give the programs of usual models;
 * others are params.
 *
 * spikec writes models whose neurons fire on >=. Its files have v_threshold one float below and
 * tell the original in the node's metadata (`fire_at`), so that all readers compute the same and
 * spikec reads back what it wrote. */
#include <math.h>
#include <string.h>

#include "frontend/nir_lower.h"
#include "support/alloc.h"

#define MAX_CODE 32u

/* A quantity of every neuron: one constant, or param `param`. */
struct quantity {
    bool own;
    float k;
    uint8_t param;
};

struct equation {
    struct ir_eq code[MAX_CODE];
    uint32_t n;
};

struct program {
    struct nir_lower *l;
    const struct nir_node *node;
    const struct nir_value *in;
    uint32_t params[IR_MAX_NEURON_PARAMS], n_params;
    struct equation charge[2], lhs, rhs, reset;
    struct ir_neuron neuron;
};

static void emit(struct equation *e, uint8_t code, uint8_t arg, float k)
{
    if (e->n < MAX_CODE)
        e->code[e->n++] = (struct ir_eq){code, arg, k};
}

static void emit_quantity(struct equation *e, const struct quantity *q)
{
    emit(e, q->own ? IR_EQ_PARAM : IR_EQ_CONST, q->own ? q->param : 0, q->own ? 0.0f : q->k);
}

static bool is_constant(const struct quantity *q, float k)
{
    return !q->own && q->k == k;
}

static struct ir_expr expr(const struct equation *e)
{
    return (struct ir_expr){e->code, e->n};
}

/* ---- parameters ---- */

/* One number per neuron, or one for all. */
static spk_status read_parameter(struct program *p, const char *key, bool needed, double absent,
                                 struct nir_array *out)
{
    SPK_TRY(nir_array_read(p->l, p->node, key, needed, out));
    if (out->count == 0) {
        SPK_TRY(spk_alloc_array(1, sizeof *out->data, &out->data));
        out->data[0] = absent;
        out->count = 1;
    }
    const uint64_t neurons = nir_elements(p->in);
    if (out->count == 1 || out->count == neurons)
        return SPK_OK;
    struct strbuf shape = {0};
    nir_shape_text(p->in, &shape);
    spk_status status = nir_refuse(
        p->l->file, p->l->d, p->node, "E0284", "%s has %llu values, the layer %s has %llu neurons",
        key, (unsigned long long)out->count, strbuf_cstr(&shape), (unsigned long long)neurons);
    strbuf_fini(&shape);
    nir_array_fini(out);
    return status;
}

typedef bool (*convert_fn)(double x, double dt, float *out);

static bool as_it_is(double x, double dt, float *out)
{
    (void)dt;
    *out = (float)x;
    return isfinite(*out);
}

static bool over_dt(double x, double dt, float *out)
{
    *out = (float)(x / dt);
    return x > 0.0 && isfinite(*out) && *out > 0.0f;
}

static bool times_dt(double x, double dt, float *out)
{
    *out = (float)(x * dt);
    return isfinite(*out);
}

/* The largest float that is not above x: v > x is the same for every float v. */
static bool threshold(double x, double dt, float *out)
{
    (void)dt;
    *out = (float)x;
    if ((double)*out > x)
        *out = nextafterf(*out, -INFINITY);
    return isfinite(*out);
}

static spk_status make_quantity(struct program *p, const char *key, const struct nir_array *a,
                                convert_fn convert, struct quantity *out)
{
    float *data = NULL, first;
    bool fine = convert(a->data[0], p->l->dt, &first);
    *out = (struct quantity){false, first, 0};
    SPK_TRY(spk_alloc_array(a->count, sizeof *data, &data));
    for (uint64_t i = 0; i < a->count && fine; i++) {
        fine = convert(a->data[i], p->l->dt, &data[i]);
        out->own = out->own || memcmp(&data[i], &first, sizeof first) != 0;
    }
    if (!fine || !out->own) {
        spk_free(data);
        return fine
                   ? SPK_OK
                   : nir_refuse(p->l->file, p->l->d, p->node, "E0287",
                                "%s holds a value that has no meaning with step %g", key, p->l->dt);
    }
    const struct ir_type *t = &p->l->m->node[p->in->id].type;
    const uint32_t dim[3] = {t->channels, t->height, t->width};
    out->param = (uint8_t)p->n_params;
    return nir_param(p->l, p->node, key, ir_type_positions(t) == 1 ? 1 : 3, dim, data,
                     &p->params[p->n_params++]);
}

static spk_status take(struct program *p, const char *key, double absent, convert_fn convert,
                       struct quantity *out)
{
    struct nir_array a = {0};
    SPK_TRY(read_parameter(p, key, isnan(absent), isnan(absent) ? 0.0 : absent, &a));
    spk_status status = make_quantity(p, key, &a, convert, out);
    nir_array_fini(&a);
    return status;
}

/* ---- equations ---- */

/* e: state + (gain * input [+ offset] - state) / tau, input being code `source`. */
static void leaky(struct equation *e, uint8_t state, uint8_t source, uint8_t source_arg,
                  const struct quantity *gain, const struct quantity *offset,
                  const struct quantity *tau)
{
    emit(e, IR_EQ_STATE, state, 0.0f);
    if (!is_constant(gain, 1.0f))
        emit_quantity(e, gain);
    emit(e, source, source_arg, 0.0f);
    if (!is_constant(gain, 1.0f))
        emit(e, IR_EQ_MUL, 0, 0.0f);
    if (offset != NULL && !is_constant(offset, 0.0f)) {
        emit_quantity(e, offset);
        emit(e, IR_EQ_ADD, 0, 0.0f);
    }
    emit(e, IR_EQ_STATE, state, 0.0f);
    emit(e, IR_EQ_SUB, 0, 0.0f);
    emit_quantity(e, tau);
    emit(e, IR_EQ_DIV, 0, 0.0f);
    emit(e, IR_EQ_ADD, 0, 0.0f);
}

/* e: state + gain * input */
static void integrator(struct equation *e, const struct quantity *gain)
{
    emit(e, IR_EQ_STATE, 0, 0.0f);
    if (!is_constant(gain, 1.0f))
        emit_quantity(e, gain);
    emit(e, IR_EQ_INPUT, 0, 0.0f);
    if (!is_constant(gain, 1.0f))
        emit(e, IR_EQ_MUL, 0, 0.0f);
    emit(e, IR_EQ_ADD, 0, 0.0f);
}

static void warn_large_step(struct program *p, const struct quantity *tau, const char *key)
{
    if (!tau->own && tau->k < 1.0f)
        diag_warning(p->l->d, h5_place(p->l->file, p->node->path), "W0280",
                     "%s is shorter than the step %g: the discrete neuron overshoots", key,
                     p->l->dt);
}

static spk_status charge_membrane(struct program *p)
{
    const enum nir_type type = p->node->type;
    struct quantity tau, r, leak, tau_syn, w_in;
    if (type == NIR_THRESHOLD) {
        emit(&p->charge[0], IR_EQ_INPUT, 0, 0.0f);
        return SPK_OK;
    }
    SPK_TRY(nir_need_dt(p->l, p->node));
    if (type == NIR_IF || type == NIR_I) {
        SPK_TRY(take(p, "r", NAN, times_dt, &r));
        integrator(&p->charge[0], &r);
        return SPK_OK;
    }
    SPK_TRY(take(p, "r", NAN, as_it_is, &r));
    SPK_TRY(take(p, "v_leak", NAN, as_it_is, &leak));
    if (type == NIR_LIF || type == NIR_LI) {
        SPK_TRY(take(p, "tau", NAN, over_dt, &tau));
        warn_large_step(p, &tau, "tau");
        leaky(&p->charge[0], 0, IR_EQ_INPUT, 0, &r, &leak, &tau);
        return SPK_OK;
    }
    SPK_TRY(take(p, "tau_syn", NAN, over_dt, &tau_syn));
    SPK_TRY(take(p, "tau_mem", NAN, over_dt, &tau));
    SPK_TRY(take(p, "w_in", 1.0, as_it_is, &w_in));
    warn_large_step(p, &tau_syn, "tau_syn");
    warn_large_step(p, &tau, "tau_mem");
    p->neuron.n_states = 2;
    leaky(&p->charge[0], 0, IR_EQ_INPUT, 0, &w_in, NULL, &tau_syn);
    leaky(&p->charge[1], 1, IR_EQ_STATE, 0, &r, &leak, &tau);
    return SPK_OK;
}

/* The `fire_at` of a file that spikec wrote, where it says the same as the thresholds `th`, which
 * then become it: fires on >=. */
static spk_status read_fire_at(struct program *p, struct nir_array *th, bool *out_found)
{
    struct nir_array a = {0};
    *out_found = false;
    SPK_TRY(nir_array_read(p->l, p->node, "metadata/fire_at", false, &a));
    bool same = a.count > 0 && a.count == th->count;
    for (uint64_t i = 0; i < a.count && same; i++)
        same = (double)(float)a.data[i] == a.data[i] &&
               (double)nextafterf((float)a.data[i], -INFINITY) == th->data[i];
    for (uint64_t i = 0; i < a.count && same; i++)
        th->data[i] = a.data[i];
    *out_found = same;
    nir_array_fini(&a);
    return SPK_OK;
}

static spk_status take_threshold(struct program *p, const char *key, struct quantity *out,
                                 bool *out_at_least)
{
    struct nir_array a = {0};
    SPK_TRY(read_parameter(p, key, true, 0.0, &a));
    spk_status status = read_fire_at(p, &a, out_at_least);
    if (status == SPK_OK)
        status = make_quantity(p, key, &a, threshold, out);
    nir_array_fini(&a);
    return status;
}

static spk_status fire_and_reset(struct program *p)
{
    const uint8_t v = (uint8_t)(p->neuron.n_states - 1);
    struct quantity th, reset = {false, 0.0f, 0};
    bool at_least;
    emit(&p->lhs, IR_EQ_STATE, v, 0.0f);
    if (p->node->type == NIR_LI || p->node->type == NIR_I || p->node->type == NIR_CUBA_LI) {
        emit(&p->rhs, IR_EQ_CONST, 0, 0.0f);
        return SPK_OK;
    }
    SPK_TRY(take_threshold(p, p->node->type == NIR_THRESHOLD ? "threshold" : "v_threshold", &th,
                           &at_least));
    emit_quantity(&p->rhs, &th);
    p->neuron.cmp = at_least ? IR_CMP_GE : IR_CMP_GT;
    if (p->node->type != NIR_THRESHOLD)
        SPK_TRY(take(p, "v_reset", 0.0, as_it_is, &reset));
    emit_quantity(&p->reset, &reset);
    p->neuron.reset[v] = expr(&p->reset);
    return SPK_OK;
}

static const char *program_name(enum nir_type type)
{
    switch (type) {
    case NIR_IF:
        return "if";
    case NIR_LIF:
        return "lif";
    case NIR_LI:
        return "li";
    case NIR_I:
        return "i";
    case NIR_CUBA_LIF:
        return "cuba_lif";
    case NIR_CUBA_LI:
        return "cuba_li";
    default:
        return "threshold";
    }
}

spk_status nir_neuron(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                      struct nir_value *out)
{
    struct program p;
    uint32_t operand = in->id;
    memset(&p, 0, sizeof p);
    p.l = l;
    p.node = n;
    p.in = in;
    p.neuron.name = program_name(n->type);
    p.neuron.n_states = 1;
    SPK_TRY(charge_membrane(&p));
    SPK_TRY(fire_and_reset(&p));
    p.neuron.state_name[0] = p.neuron.n_states == 2 ? "i" : "v";
    p.neuron.state_name[1] = p.neuron.n_states == 2 ? "v" : NULL;
    for (uint32_t s = 0; s < p.neuron.n_states; s++)
        p.neuron.charge[s] = expr(&p.charge[s]);
    p.neuron.fire_lhs = expr(&p.lhs);
    p.neuron.fire_rhs = expr(&p.rhs);
    p.neuron.span = h5_place(l->file, n->path);
    const bool spikes = p.neuron.reset[p.neuron.n_states - 1].n > 0;
    struct ir_node node = {.op = spikes ? IR_OP_NEURON : IR_OP_MEMBRANE,
                           .n_operands = 1,
                           .operand = &operand,
                           .n_params = p.n_params,
                           .param = p.params};
    SPK_TRY(ir_add_neuron(l->m, &p.neuron, &node.a.neuron.program));
    *out = *in;
    return nir_add(l, n, &node, true, &out->id);
}

/* ---- delays ---- */

spk_status nir_delay_steps(struct nir_lower *l, const struct nir_node *n, uint32_t *out)
{
    struct nir_array a = {0};
    SPK_TRY(nir_need_dt(l, n));
    SPK_TRY(nir_array_read(l, n, "delay", true, &a));
    spk_status status = SPK_OK;
    const double steps = a.count > 0 ? nearbyint(a.data[0] / l->dt) : -1.0;
    for (uint64_t i = 1; i < a.count && status == SPK_OK; i++)
        if (a.data[i] != a.data[0])
            status = nir_refuse(l->file, l->d, n, "E0288",
                                "its neurons have different delays, which spikec cannot express");
    if (status == SPK_OK && !(steps >= 0.0 && steps <= 65535.0))
        status = nir_refuse(l->file, l->d, n, "E0287", "the delay must be 0 to 65535 steps of %g",
                            l->dt);
    if (status == SPK_OK && fabs(a.data[0] - steps * l->dt) > 1e-3 * l->dt)
        status = nir_refuse(l->file, l->d, n, "E0288",
                            "the delay %g is no whole number of steps of %g", a.data[0], l->dt);
    if (status == SPK_OK)
        *out = (uint32_t)steps;
    nir_array_fini(&a);
    return status;
}
