/* Neurons and attention of the pass quantise (docs/integers.md, sections 1 and 4).
 *
 * A leaky integrator with reset value r is moved by v' = v - r: then v' <- retain*v' + gain*I +
 * (offset + (retain - 1) r), theta' = theta - r, and the reset is to 0, as the integer neuron's.
 *
 * Attention. Counts are integers and the unit is a power of two, so after t steps with a decay of
 * one half the membrane is a multiple of unit / 2^(t-1); with unit >= 64 * 2^(T-1) it is a
 * multiple of 64 at every step, no truncation ever loses anything, and comparing with the largest
 * 64 k + 1 that is not above the threshold decides ties as >= does.                           */
#include <math.h>

#include "passes/quantise.h"

static spk_status refuse(const struct ir_module *m, uint32_t id, struct diag_list *d,
                         const char *what, const char *help)
{
    char name[160];
    const struct ir_node *n = &m->node[id];
    spk_status s = diag_nofit(d, n->span, "E0630", "neuron %s: %s",
                              rw_value_name(m, id, name, sizeof name), what);
    diag_help_set(d, "%s", help);
    return s;
}

/* The decaying synaptic current; programmable neurons have a state for it. */
static spk_status current_keep(const struct ir_module *m, uint32_t id, const struct tgt *t,
                               struct diag_list *d, const struct ir_lif *lif, struct quant_lif *out)
{
    const double keep = nearbyint(4096.0 * lif->current_retain);
    out->current_keep = 0;
    if (lif->current_retain == 0.0)
        return SPK_OK;
    if (t->arith.neuron != TGT_NEURON_PROGRAMMABLE)
        return refuse(m, id, d,
                      "its synaptic current decays over steps, which spikec maps to "
                      "programmable neurons only",
                      "choose a target with programmable neurons");
    if (out->offset != 0.0)
        return refuse(m, id, d, "its synaptic current decays and its membrane has a constant input",
                      "give leak and reset the same value, and put the constant into the bias");
    if (!(keep >= 0.0 && keep <= 4096.0))
        return refuse(m, id, d, "its synaptic current grows or swings by itself",
                      "choose a time constant that is not below the time step");
    out->current_keep = (uint16_t)keep;
    return SPK_OK;
}

spk_status quant_lif_of(const struct ir_module *m, uint32_t id, const struct ir_neuron *program,
                        const struct tgt *t, struct diag_list *d, struct quant_lif *out)
{
    struct ir_lif lif;
    if (!ir_neuron_as_lif(program, &lif))
        return refuse(m, id, d,
                      "its equations are no leaky integrate-and-fire with "
                      "constant leak, threshold and reset",
                      "use equations of the form "
                      "v = a*v + b*input + c; fire v >= d; reset v = e");
    double reset = lif.soft_reset ? 0.0 : lif.v_reset;
    if (lif.v_init != reset)
        return refuse(m, id, d, "it does not start from the value it is reset to",
                      "give the state and the reset the same value");
    out->retain = lif.retain;
    out->gain = lif.gain;
    out->offset = lif.offset + (lif.retain - 1.0) * reset;
    if (fabs(out->offset) <= 1e-6 * fabs(reset)) /* rounding of the model's constants */
        out->offset = 0.0;
    out->theta = lif.v_th - reset;
    out->soft_reset = lif.soft_reset;
    out->strict = lif.cmp == IR_CMP_GT;
    if (!(out->theta > 0.0) || !isfinite(out->theta) || !isfinite(out->gain) ||
        !isfinite(out->offset))
        return refuse(m, id, d, "its threshold is not above its reset value",
                      "give a threshold above the reset value");
    SPK_TRY(current_keep(m, id, t, d, &lif, out));
    double decay = nearbyint(4096.0 * (1.0 - lif.retain));
    if (!(decay >= 0.0) || decay > (double)t->arith.decay_max) {
        char name[160];
        spk_status s = diag_nofit(d, m->node[id].span, "E0631",
                                  "neuron %s: its leak needs the decay constant %.0f, "
                                  "%s allows 0 to %u",
                                  rw_value_name(m, id, name, sizeof name), decay, t->name,
                                  (unsigned)t->arith.decay_max);
        diag_help_set(d, "choose tau so that 4096 / tau lies in that range");
        return s;
    }
    out->decay = (uint16_t)decay;
    return SPK_OK;
}

int32_t quant_exact_threshold(const struct tgt_arith *a, double x, bool strict)
{
    /* Model constants are floats: a product a hair off an integer is meant to be it. */
    double near = nearbyint(x);
    if (fabs(x - near) <= 1e-6 * fabs(x))
        x = near;
    if (a->neuron == TGT_NEURON_PROGRAMMABLE)
        return (int32_t)(strict ? floor(x) + 1.0 : ceil(x));
    double step = (double)(1u << a->threshold_shift);
    double k = strict ? ceil(x / step) : floor((x - 1.0) / step);
    if (k < 0.0)
        k = 0.0;
    return (int32_t)(k * step) + 1;
}

/* Whether unit is one weight: q << shift with q a power of two in range. */
static bool is_one_weight(const struct tgt_arith *a, int64_t unit)
{
    int base = a->current_shift + (a->weight_even ? 1 : 0);
    int lowest = a->weight_exp_min > 0 ? a->weight_exp_min : 0;
    int64_t smallest = (int64_t)1 << (base + lowest);
    int64_t largest = ((int64_t)1 << (a->weight_bits - 2)) << (base + a->weight_exp_max);
    return unit >= smallest && unit <= largest;
}

spk_status quant_attention(const struct ir_node *attention, uint32_t timesteps,
                           const struct quant_lif *lif, const struct tgt *t, const char *name,
                           struct diag_list *d, int32_t *out_unit, int32_t *out_vth)
{
    const struct ir_type *q = &attention->type;
    const struct tgt_arith *a = &t->arith;
    uint64_t largest = ir_type_positions(q) * (q->channels / attention->a.attention.heads);
    int64_t limit = (int64_t)1 << (a->state_bits - 1);
    int64_t unit = 1024;
    if (lif->offset != 0.0) {
        spk_status s = diag_nofit(d, attention->span, "E0632",
                                  "neuron %s: a neuron behind "
                                  "attention cannot have a constant input",
                                  name);
        diag_help_set(d, "take the constant out of its equations");
        return s;
    }
    while (unit < limit && unit < 64LL << (timesteps < 24 ? timesteps - 1 : 23))
        unit *= 2;
    while (unit > 1 && ((uint64_t)unit * largest >= (uint64_t)limit || !is_one_weight(a, unit)))
        unit /= 2;
    double x = (double)unit * lif->theta / ((double)attention->a.attention.scale * lif->gain);
    if (!is_one_weight(a, unit) || !(x > 0.0) || x >= (double)limit) {
        spk_status s =
            diag_nofit(d, attention->span, "E0633",
                       "neuron %s: attention "
                       "counts of up to %llu do not fit the %u-bit state of "
                       "%s",
                       name, (unsigned long long)largest, (unsigned)a->state_bits, t->name);
        diag_help_set(d, "use fewer tokens or more heads");
        return s;
    }
    *out_unit = (int32_t)unit;
    *out_vth = quant_exact_threshold(a, x, lif->strict);
    return SPK_OK;
}
