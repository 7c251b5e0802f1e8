/* Contradictions between the constants of a target.
 *
 * Every check stands alone and is reported with the place of a constant that takes part in it and
 * the values that would fit; the spans come from the facts kept by the reader. Targets built by
 * hand (no facts) are checked just the same, without places. Cost: constant, plus n^2 in the few
 * systems. */
#include <string.h>

#include "frontend/target_fields.h"
#include "frontend/target_yaml.h"

struct checker {
    const struct tgt *t;
    struct diag_list *diags;
    spk_status status;
};

static struct spk_span place(const struct checker *c, const char *section, const char *key)
{
    const struct tgt_fact *fact = tf_fact(c->t, section, key);
    return fact ? fact->constant.span : spk_span_none;
}

#define COMPLAIN_AT(c, span, ...) ((c)->status = diag_error((c)->diags, span, "E0511", __VA_ARGS__))
#define COMPLAIN(c, section, key, ...) COMPLAIN_AT(c, place(c, section, key), __VA_ARGS__)

static void check_mesh(struct checker *c)
{
    const struct tgt *t = c->t;
    uint64_t positions = (uint64_t)t->cores_x * t->cores_y;
    if (t->engine.per_chip >= positions)
        COMPLAIN(c, "engine", "per_chip", "%u engine cores on a mesh of %u x %u",
                 t->engine.per_chip, t->cores_x, t->cores_y);
    else
        positions -= t->engine.per_chip;
    if (t->cores_per_chip > positions) {
        COMPLAIN(c, "mesh", "cores_per_chip", "%u cores per chip on a mesh of %u x %u%s",
                 t->cores_per_chip, t->cores_x, t->cores_y,
                 t->engine.per_chip ? " with engine cores" : "");
        diag_help_set(c->diags, "at most %llu would fit", (unsigned long long)positions);
    }
    if (t->tile_w && t->tile_h && (t->cores_x % t->tile_w || t->cores_y % t->tile_h)) {
        COMPLAIN(c, "mesh", "tile", "tiles of %u x %u cores do not divide the mesh of %u x %u",
                 t->tile_w, t->tile_h, t->cores_x, t->cores_y);
    }
}

static void check_arithmetic(struct checker *c)
{
    const struct tgt_arith *a = &c->t->arith;
    if (a->weight_exp_min > a->weight_exp_max)
        COMPLAIN(c, "arithmetic", "weight_exp_min", "weight_exp_min %d is above weight_exp_max %d",
                 a->weight_exp_min, a->weight_exp_max);
    if (a->weight_even && a->weight_bits < 2)
        COMPLAIN(c, "arithmetic", "weight_bits", "even weights need at least 2 bits");
    if (a->current_shift + a->weight_exp_min < 0)
        COMPLAIN(c, "arithmetic", "weight_exp_min",
                 "weight_exp_min %d shifts weights below current_shift %u", a->weight_exp_min,
                 a->current_shift);
    int largest = a->weight_bits - 1 + a->weight_even + a->current_shift + a->weight_exp_max;
    if (largest > a->state_bits - 1)
        COMPLAIN(c, "arithmetic", "weight_exp_max",
                 "the largest weight takes %d bits, the state has %u", largest + 1, a->state_bits);
    if (a->neuron == TGT_NEURON_FIXED &&
        a->threshold_mant_bits + a->threshold_shift > a->state_bits - 1)
        COMPLAIN(c, "arithmetic", "threshold_mant_bits",
                 "a threshold of %u << %u bits does not fit a state of %u bits",
                 a->threshold_mant_bits, a->threshold_shift, a->state_bits);
    if (a->bias_mant_bits - 1 + a->bias_exp_max > a->state_bits - 1)
        COMPLAIN(c, "arithmetic", "bias_mant_bits",
                 "a bias of %u << %u bits does not fit a state of %u bits", a->bias_mant_bits,
                 a->bias_exp_max, a->state_bits);
}

static void check_synapses(struct checker *c)
{
    const struct tgt *t = c->t;
    const struct tgt_format *f = &t->format;
    uint64_t neurons = tgt_limit_value(t, TGT_NEURONS), bits = tgt_limit_value(t, TGT_SYNAPSE_BITS);
    if (f->index_bits_min > f->index_bits_max)
        COMPLAIN(c, "synapse_format", "index_bits_min",
                 "index_bits_min %u is above index_bits_max %u", f->index_bits_min,
                 f->index_bits_max);
    if (f->index_bits_max < 32 && (1ull << f->index_bits_max) < neurons)
        COMPLAIN(c, "synapse_format", "index_bits_max",
                 "an index of %u bits cannot address %llu compartments", f->index_bits_max,
                 (unsigned long long)neurons);
    if (f->word_bits && bits % f->word_bits)
        COMPLAIN(c, "limits", "synapse_bits",
                 "synaptic memory of %llu bits is no whole number of "
                 "%u-bit words",
                 (unsigned long long)bits, f->word_bits);
    if (!t->axon_discrete && !t->axon_population)
        COMPLAIN(c, "axons", "discrete", "there is neither a discrete nor a population axon");
    if (t->sharing == TGT_SHARE_POPULATION && !t->limit[TGT_AXON_BASE].present)
        COMPLAIN(c, "axons", "sharing", "sharing by population needs limits.axon_base");
}

/* Lowerings whose steps have several ticks. */
static void check_ticked(struct checker *c)
{
    const struct tgt *t = c->t;
    const struct tgt_arith *a = &t->arith;
    static const char s[] = "attention", k[] = "lowerings";
    if ((t->attention & (TGT_ATTN_SERIAL | TGT_ATTN_PLASTIC)) &&
        a->neuron != TGT_NEURON_PROGRAMMABLE)
        COMPLAIN(c, s, k, "lowerings 'serial' and 'plastic' need programmable neurons");
    if ((t->attention & TGT_ATTN_SERIAL) && (!a->two_ports || a->payload_bits < 2))
        COMPLAIN(c, s, k, "lowering 'serial' needs arithmetic.two_ports and graded spikes");
    if (!(t->attention & TGT_ATTN_PLASTIC))
        return;
    if (a->plastic_bits == 0)
        COMPLAIN(c, s, k, "lowering 'plastic' needs learning.weight_bits");
    if (!t->axon_population || t->sharing == TGT_SHARE_NONE || t->limit[TGT_AXON_BASE].present)
        COMPLAIN(c, s, k,
                 "lowering 'plastic' needs population axons whose base is not limited "
                 "(limits.axon_base)");
}

static void check_attention(struct checker *c)
{
    const struct tgt *t = c->t;
    const struct tgt_arith *a = &t->arith;
    static const char s[] = "attention", k[] = "lowerings";
    if (t->attention & TGT_ATTN_EMBEDDED) {
        if (!t->limit[TGT_EMBEDDED_PER_CHIP].present ||
            tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP) == 0)
            COMPLAIN(c, s, k, "lowering 'embedded' needs limits.embedded_per_chip of 1 or more");
        if (a->embedded_latency == 0)
            COMPLAIN(c, s, k, "lowering 'embedded' needs attention.embedded_latency");
    }
    if (t->attention & TGT_ATTN_PRODUCT) {
        if (!a->two_ports)
            COMPLAIN(c, s, k, "lowering 'product' needs arithmetic.two_ports");
        if (a->payload_bits < 2)
            COMPLAIN(c, s, k, "lowering 'product' needs graded spikes, payload_bits is %u",
                     a->payload_bits);
        if (a->neuron != TGT_NEURON_PROGRAMMABLE)
            COMPLAIN(c, s, k, "lowering 'product' needs programmable neurons");
    }
    check_ticked(c);
    if (t->attention & TGT_ATTN_ENGINE) {
        const struct tgt_engine *e = &t->engine;
        if (!e->per_chip || !e->memory_bits || !e->word_bits || !e->ops_per_step || !e->latency)
            COMPLAIN(c, s, k,
                     "lowering 'engine' needs all of engine.per_chip, .memory_bits, .word_bits, "
                     ".ops_per_step and .latency");
        if (a->neuron != TGT_NEURON_PROGRAMMABLE)
            COMPLAIN(c, s, k, "lowering 'engine' needs programmable neurons");
    }
}

static void check_times(struct checker *c)
{
    const struct tgt_const *min = &c->t->time_ns[TGT_T_BARRIER_MIN];
    const struct tgt_const *max = &c->t->time_ns[TGT_T_BARRIER_MAX];
    if (min->present != max->present)
        COMPLAIN(c, "time", min->present ? "barrier_min" : "barrier_max",
                 "barrier_min and barrier_max are given together or not at all");
    else if (min->present && min->value > max->value)
        COMPLAIN(c, "time", "barrier_min", "barrier_min %.15g ns is above barrier_max %.15g ns",
                 min->value, max->value);
}

static void check_systems(struct checker *c)
{
    const struct tgt *t = c->t;
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const struct tgt_system *s = &t->system[i];
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(t->system[j].name, s->name) == 0)
                COMPLAIN_AT(c, s->span, "two systems are named '%s'", s->name);
        }
        if (i == 0)
            continue;
        const struct tgt_system *before = &t->system[i - 1];
        uint64_t smaller = (uint64_t)before->chips_x * before->chips_y;
        uint64_t chips = (uint64_t)s->chips_x * s->chips_y;
        if (chips < smaller) {
            COMPLAIN_AT(c, s->span, "system %s with %llu chips stands behind %s with %llu chips",
                        s->name, (unsigned long long)chips, before->name,
                        (unsigned long long)smaller);
            diag_help_set(c->diags, "list the systems from the smallest to the largest");
        }
    }
}

spk_status fe_target_check(const struct tgt *target, struct diag_list *diags)
{
    struct checker c = {.t = target, .diags = diags};
    check_mesh(&c);
    check_arithmetic(&c);
    check_synapses(&c);
    check_attention(&c);
    check_times(&c);
    check_systems(&c);
    return c.status;
}
