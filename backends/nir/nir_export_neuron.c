/* Neurons as nodes of NIR.
 *
 * NIR's neurons, discretised by forward Euler (docs/nir.md, section 2), are programs of a fixed
 * form. Programs of just that form are written parameter by parameter, so that reading the file
 * gives them back; other leaky integrators are brought to it by their closed form, which may move
 * last bits and is warned of. Neurons that fire on >= get a threshold one float below, since NIR
 * compares with >, and the original in their metadata. */
#include <math.h>
#include <string.h>

#include "backends/nir/nir_export_internal.h"
#include "ir/ir_text.h"
#include "support/alloc.h"

/* A constant of the program or a param of the node. */
struct quantity {
    bool own;
    double k;
    uint32_t param;
};

/* state <- state + (gain * source + offset - state) / tau; tau absent: state + gain * source */
struct leak {
    bool leaky;
    struct quantity gain, offset, tau;
};

struct form {
    uint32_t n_states;
    bool threshold; /* state <- input */
    struct leak current, membrane;
    struct quantity v_threshold, v_reset;
    bool spikes, at_least;
};

/* ---- matching ---- */

struct scan {
    const struct ir_eq *at, *end;
};

static struct scan scan_of(const struct ir_expr *e)
{
    return (struct scan){e->code, e->code + e->n};
}

static bool take(struct scan *s, uint8_t code)
{
    if (s->at == s->end || s->at->code != code)
        return false;
    s->at++;
    return true;
}

static bool take_state(struct scan *s, uint8_t state)
{
    return s->at < s->end && s->at->code == IR_EQ_STATE && s->at->arg == state && s->at++ != NULL;
}

static bool take_quantity(struct scan *s, struct quantity *q)
{
    if (s->at == s->end || (s->at->code != IR_EQ_CONST && s->at->code != IR_EQ_PARAM))
        return false;
    *q = (struct quantity){s->at->code == IR_EQ_PARAM, (double)s->at->k, s->at->arg};
    s->at++;
    return true;
}

static bool take_source(struct scan *s, bool input, uint8_t state)
{
    return input ? take(s, IR_EQ_INPUT) : take_state(s, state);
}

/* The charge of `state`, driven by the input or by state 0. */
static bool match_charge(const struct ir_expr *e, uint8_t state, bool input, struct leak *out)
{
    struct scan s = scan_of(e);
    *out = (struct leak){.gain = {false, 1.0, 0}, .offset = {false, 0.0, 0}};
    if (!take_state(&s, state))
        return false;
    const bool gain = take_quantity(&s, &out->gain);
    if (!take_source(&s, input, 0) || (gain && !take(&s, IR_EQ_MUL)))
        return false;
    if (take(&s, IR_EQ_ADD) && s.at == s.end)
        return input; /* an integrator */
    if (s.at[-1].code == IR_EQ_ADD)
        return false;
    if (take_quantity(&s, &out->offset) && !take(&s, IR_EQ_ADD))
        return false;
    out->leaky = true;
    return take_state(&s, state) && take(&s, IR_EQ_SUB) && take_quantity(&s, &out->tau) &&
           take(&s, IR_EQ_DIV) && take(&s, IR_EQ_ADD) && s.at == s.end;
}

static bool match_quantity(const struct ir_expr *e, struct quantity *out)
{
    struct scan s = scan_of(e);
    return take_quantity(&s, out) && s.at == s.end;
}

static bool match(const struct ir_neuron *n, bool spikes, struct form *f)
{
    const uint8_t v = (uint8_t)(n->n_states - 1);
    memset(f, 0, sizeof *f);
    f->n_states = n->n_states;
    f->spikes = spikes;
    f->at_least = n->cmp == IR_CMP_GE;
    for (uint32_t s = 0; s < n->n_states; s++)
        if (n->state_init[s] != 0.0f)
            return false;
    if (n->n_states < 1 || n->n_states > 2 || (v == 1 && n->reset[0].n > 0))
        return false;
    struct scan lhs = scan_of(&n->fire_lhs);
    if (!take_state(&lhs, v) || lhs.at != lhs.end)
        return false;
    if (spikes && (!match_quantity(&n->fire_rhs, &f->v_threshold) ||
                   !match_quantity(&n->reset[v], &f->v_reset)))
        return false;
    struct scan charge = scan_of(&n->charge[0]);
    if (v == 0 && spikes && take(&charge, IR_EQ_INPUT) && charge.at == charge.end) {
        f->threshold = true;
        return !f->v_reset.own && f->v_reset.k == 0.0;
    }
    if (v == 1 && !(match_charge(&n->charge[0], 0, true, &f->current) && f->current.leaky &&
                    !f->current.offset.own && f->current.offset.k == 0.0))
        return false;
    return match_charge(&n->charge[v], v, v == 0, &f->membrane) && (v == 0 || f->membrane.leaky);
}

/* By the closed form; false: NIR cannot express it. */
static bool from_closed_form(const struct ir_neuron *n, struct form *f)
{
    struct ir_lif lif;
    memset(f, 0, sizeof *f);
    if (n->n_states != 1 || !ir_neuron_as_lif(n, &lif) || lif.soft_reset || lif.v_init != 0.0 ||
        !(lif.retain >= 0.0 && lif.retain <= 1.0) || (lif.retain == 1.0 && lif.offset != 0.0))
        return false;
    const double tau = 1.0 / (1.0 - lif.retain);
    f->n_states = 1;
    f->spikes = true;
    f->at_least = lif.cmp == IR_CMP_GE;
    f->v_threshold.k = (double)(float)lif.v_th;
    f->v_reset.k = (double)(float)lif.v_reset;
    f->membrane.leaky = lif.retain < 1.0;
    f->membrane.tau.k = f->membrane.leaky ? tau : 0.0;
    f->membrane.gain.k = f->membrane.leaky ? lif.gain * tau : lif.gain;
    f->membrane.offset.k = f->membrane.leaky ? lif.offset * tau : 0.0;
    return true;
}

/* ---- writing ---- */

/* factor * quantity for every neuron; below: the float before. */
static spk_status write_quantity(struct nirx *x, uint32_t id, const char *key,
                                 const struct quantity *q, double factor, bool below)
{
    const struct ir_node *n = &x->m->node[id];
    uint64_t dims[3];
    const uint32_t rank = nirx_shape(&n->type, dims);
    const uint64_t count = ir_type_elements(&n->type), positions = ir_type_positions(&n->type);
    const struct ir_param *p = q->own ? &x->m->param[n->param[q->param]] : NULL;
    const float *own = p ? p->data : NULL;
    double *data = NULL;
    if (p && !own)
        return nirx_refuse(x, id, "E0772", "param '%s' has no data", p->name);
    SPK_TRY(spk_alloc_array(count, sizeof *data, &data));
    for (uint64_t i = 0; i < count; i++) {
        double k = !p ? q->k : (double)own[p->rank > 1 ? i : i / positions];
        data[i] = below ? (double)nextafterf((float)k, -INFINITY) : k * factor;
    }
    spk_status status = nirx_numbers(x, x->node[id], key, rank, dims, data);
    spk_free(data);
    return status;
}

static spk_status write_threshold(struct nirx *x, uint32_t id, const char *key,
                                  const struct form *f)
{
    SPK_TRY(write_quantity(x, id, key, &f->v_threshold, 1.0, f->at_least));
    if (!f->at_least)
        return SPK_OK;
    return write_quantity(x, id, "metadata/fire_at", &f->v_threshold, 1.0, false);
}

static spk_status write_form(struct nirx *x, uint32_t id, const struct form *f)
{
    const struct leak *v = &f->membrane;
    if (f->threshold)
        return write_threshold(x, id, "threshold", f);
    if (f->n_states == 2) {
        SPK_TRY(write_quantity(x, id, "tau_syn", &f->current.tau, x->dt, false));
        SPK_TRY(write_quantity(x, id, "w_in", &f->current.gain, 1.0, false));
    }
    if (v->leaky) {
        SPK_TRY(write_quantity(x, id, f->n_states == 2 ? "tau_mem" : "tau", &v->tau, x->dt, false));
        SPK_TRY(write_quantity(x, id, "r", &v->gain, 1.0, false));
        SPK_TRY(write_quantity(x, id, "v_leak", &v->offset, 1.0, false));
    } else {
        SPK_TRY(write_quantity(x, id, "r", &v->gain, 1.0 / x->dt, false));
    }
    if (!f->spikes)
        return SPK_OK;
    SPK_TRY(write_threshold(x, id, "v_threshold", f));
    return write_quantity(x, id, "v_reset", &f->v_reset, 1.0, false);
}

static const char *type_of(const struct form *f)
{
    if (f->threshold)
        return "Threshold";
    if (f->n_states == 2)
        return f->spikes ? "CubaLIF" : "CubaLI";
    if (f->membrane.leaky)
        return f->spikes ? "LIF" : "LI";
    return f->spikes ? "IF" : "I";
}

spk_status nirx_neuron(struct nirx *x, uint32_t id)
{
    const struct ir_node *n = &x->m->node[id];
    const struct ir_neuron *program = &x->m->neuron[n->a.neuron.program];
    const char *name = n->name ? n->name : arena_printf(&x->arena, "neuron.%u", id);
    struct form f;
    if (name == NULL)
        return SPK_ERR_NOMEM;
    if (!match(program, n->op == IR_OP_NEURON, &f)) {
        if (n->op != IR_OP_NEURON || !from_closed_form(program, &f)) {
            spk_status status = nirx_refuse(
                x, id, "E0770",
                "'%s': NIR has no neuron with these equations (leaky integrators of one or two "
                "states that start at 0 and are reset to a value)",
                name);
            return status;
        }
        diag_warning(x->d, n->span, "W0770",
                     "'%s' is written by its closed form: last bits of its membrane may differ",
                     name);
    }
    SPK_TRY(nirx_node(x, name, type_of(&f), &x->node[id]));
    return write_form(x, id, &f);
}
