/* Target descriptions: names of their constants, limits, and the size of synapse rows.
 *
 * A row (the synapses of one atom of one axon) is cut into blocks of at most block_synapses; a
 * block takes header_bits plus, per synapse, weight, delay and tag bits, and its index where the
 * row is sparse; every block is padded to whole memory words.                                  */
#include "ir/target.h"

#include "support/alloc.h"

#define NAME_OF(names, value)                                                                    \
    ((size_t)(value) < sizeof(names) / sizeof((names)[0]) && (names)[(value)] ? (names)[(value)] \
                                                                              : "?")

const char *tgt_basis_name(enum tgt_basis b)
{
    static const char *const names[] = {"measured", "simulated", "derived", "assumed"};
    return NAME_OF(names, b);
}

const char *tgt_limit_name(enum tgt_limit l)
{
    static const char *const names[TGT_LIMIT_COUNT] = {
        [TGT_NEURONS] = "neurons",   [TGT_SYNAPSE_BITS] = "synapse_bits",
        [TGT_IN_AXONS] = "in_axons", [TGT_OUT_AXONS] = "out_axons",
        [TGT_CONFIGS] = "configs",   [TGT_SYNAPSE_FORMATS] = "synapse_formats",
        [TGT_DELAY] = "delay",       [TGT_AXON_BASE] = "axon_base",
        [TGT_ATOMS] = "atoms",       [TGT_EMBEDDED_PER_CHIP] = "embedded_per_chip",
        [TGT_ROUTES] = "routes",
    };
    return NAME_OF(names, l);
}

const char *tgt_energy_name(enum tgt_energy e)
{
    static const char *const names[TGT_ENERGY_COUNT] = {
        [TGT_E_SYNAPTIC_OP] = "synaptic_op",
        [TGT_E_NEURON_ACTIVE] = "neuron_active",
        [TGT_E_NEURON_INACTIVE] = "neuron_inactive",
        [TGT_E_NEURON_TOUCHED] = "neuron_touched",
        [TGT_E_SPIKE_WITHIN_TILE] = "spike_within_tile",
        [TGT_E_HOP_X] = "hop_x",
        [TGT_E_HOP_Y] = "hop_y",
        [TGT_E_HOP_CHIP] = "hop_chip",
        [TGT_E_MESSAGE_IN] = "message_in",
        [TGT_E_MESSAGE_OUT] = "message_out",
        [TGT_E_SPIKE_OUT] = "spike_out",
        [TGT_E_HOST_WRITE] = "host_write",
        [TGT_E_EMBEDDED_OP] = "embedded_op",
    };
    return NAME_OF(names, e);
}

const char *tgt_time_name(enum tgt_time t)
{
    static const char *const names[TGT_TIME_COUNT] = {
        [TGT_T_SYNAPTIC_OP] = "synaptic_op",
        [TGT_T_NEURON_ACTIVE] = "neuron_active",
        [TGT_T_NEURON_INACTIVE] = "neuron_inactive",
        [TGT_T_SPIKE_WITHIN_TILE] = "spike_within_tile",
        [TGT_T_HOP_X] = "hop_x",
        [TGT_T_HOP_Y] = "hop_y",
        [TGT_T_HOP_CHIP] = "hop_chip",
        [TGT_T_BARRIER_MIN] = "barrier_min",
        [TGT_T_BARRIER_MAX] = "barrier_max",
        [TGT_T_EMBEDDED_OP] = "embedded_op",
        [TGT_T_MESSAGE_IN] = "message_in",
        [TGT_T_MESSAGE_OUT] = "message_out",
        [TGT_T_SPIKE_OUT] = "spike_out",
    };
    return NAME_OF(names, t);
}

const char *tgt_attention_name(enum tgt_attention a)
{
    switch (a) {
    case TGT_ATTN_AND_LIF:
        return "and_lif";
    case TGT_ATTN_EMBEDDED:
        return "embedded";
    case TGT_ATTN_PRODUCT:
        return "product";
    case TGT_ATTN_SERIAL:
        return "serial";
    case TGT_ATTN_PLASTIC:
        return "plastic";
    case TGT_ATTN_ENGINE:
        return "engine";
    }
    return "?";
}

uint64_t tgt_limit_value(const struct tgt *t, enum tgt_limit l)
{
    if ((unsigned)l >= TGT_LIMIT_COUNT || !t->limit[l].present)
        return UINT64_MAX;
    double v = t->limit[l].value;
    if (!(v > 0.0))
        return 0;
    return v < 18446744073709551616.0 ? (uint64_t)v : UINT64_MAX;
}

uint64_t tgt_core_limit(const struct tgt *t, enum tgt_limit l, bool engine)
{
    if (!engine)
        return tgt_limit_value(t, l);
    switch (l) {
    case TGT_NEURONS:
        return t->engine.memory_bits / (t->arith.state_bits ? t->arith.state_bits : 1);
    case TGT_SYNAPSE_BITS:
        return t->engine.memory_bits;
    case TGT_IN_AXONS:
    case TGT_OUT_AXONS:
        return tgt_limit_value(t, l);
    default:
        return UINT64_MAX;
    }
}

bool tgt_is_engine(const struct tgt *t, uint32_t x, uint32_t y)
{
    const uint64_t at = (uint64_t)y * t->cores_x + x, all = (uint64_t)t->cores_x * t->cores_y;
    return at < all && all - at <= t->engine.per_chip;
}

void tgt_destroy(struct tgt *t)
{
    if (!t)
        return;
    arena_fini(&t->arena);
    spk_free(t);
}

static uint64_t block_bits(const struct tgt_format *f, uint64_t n, uint64_t bits_each)
{
    uint64_t word = f->word_bits ? f->word_bits : 1;
    return (n * bits_each + f->header_bits + word - 1) / word * word;
}

uint64_t tgt_row_bits(const struct tgt_format *f, uint32_t n_synapses, uint32_t weight_bits,
                      uint32_t delay_bits, uint32_t index_bits)
{
    uint64_t each = (uint64_t)weight_bits + delay_bits + f->tag_bits + index_bits;
    if (!n_synapses)
        return 0;
    if (!f->block_synapses)
        return block_bits(f, n_synapses, each);
    uint64_t full = n_synapses / f->block_synapses, rest = n_synapses % f->block_synapses;
    return full * block_bits(f, f->block_synapses, each) + (rest ? block_bits(f, rest, each) : 0);
}
