/* Table of the constants of a target description (see the header).
 *
 * Keys of the sections limits, energy and time are the names that ir/target.h gives its enums (a
 * unit test compares them). Ranges are there to catch typing errors and to keep later arithmetic
 * from overflowing, not to describe chips. The offsets point into struct tgt. */
#include "frontend/target_fields.h"

#include <string.h>

#define LIMIT(name, e, unit_, need_, lo, hi)                                                    \
    {                                                                                           \
        "limits", name, unit_, TF_COUNT, need_, lo, hi, offsetof(struct tgt, limit[e]), NULL, 0 \
    }
#define ENERGY(name, e)                                                                         \
    {                                                                                           \
        "energy", name, "pJ", TF_REAL, TF_OPTIONAL, 0, 1e9, offsetof(struct tgt, energy_pj[e]), \
            NULL, 0                                                                             \
    }
#define TIME(name, e)                                                                              \
    {                                                                                              \
        "time", name, "ns", TF_REAL, TF_OPTIONAL, 0, 1e12, offsetof(struct tgt, time_ns[e]), NULL, \
            0                                                                                      \
    }
#define NUMBER(section_, name, member, unit_, kind_, need_, lo, hi)                        \
    {                                                                                      \
        section_, name, unit_, kind_, need_, lo, hi, offsetof(struct tgt, member), NULL, 0 \
    }
#define FLAG(section_, name, member)                                                              \
    {                                                                                             \
        section_, name, "flag", TF_FLAG, TF_REQUIRED, 0, 1, offsetof(struct tgt, member), NULL, 0 \
    }
#define WORDS(section_, name, member, unit_, kind_, list)                                    \
    {                                                                                        \
        section_, name, unit_, kind_, TF_REQUIRED, 0, 0, offsetof(struct tgt, member), list, \
            sizeof(list) / sizeof((list)[0])                                                 \
    }
#define OPTIONAL_WORD(section_, name, member, unit_, list)                                     \
    {                                                                                          \
        section_, name, unit_, TF_WORD, TF_OPTIONAL, 0, 0, offsetof(struct tgt, member), list, \
            sizeof(list) / sizeof((list)[0])                                                   \
    }

/* In the order of the enums of ir/target.h. */
static const char *const neuron_words[] = {"fixed", "programmable"};
static const char *const routing_words[] = {"unicast", "multicast"};
static const char *const message_words[] = {"entry", "core"};
static const char *const sharing_words[] = {"none", "population", "convolution"};
static const char *const attention_words[] = {"and_lif", "embedded", "product",
                                              "serial",  "plastic",  "engine"};

const char *const tf_sections[] = {
    "limits", "arithmetic", "synapse_format", "axons", "attention", "learning",
    "engine", "mesh",       "energy",         "time",  "power",
};
const uint32_t tf_n_sections = sizeof(tf_sections) / sizeof(tf_sections[0]);

const struct tf_field tf_fields[] = {
    LIMIT("neurons", TGT_NEURONS, "compartments", TF_REQUIRED, 1, 1 << 20),
    LIMIT("synapse_bits", TGT_SYNAPSE_BITS, "bits", TF_REQUIRED, 64, 1099511627776.0),
    LIMIT("in_axons", TGT_IN_AXONS, "entries", TF_REQUIRED, 1, 1 << 24),
    LIMIT("out_axons", TGT_OUT_AXONS, "slots", TF_REQUIRED, 1, 1 << 24),
    LIMIT("configs", TGT_CONFIGS, "configurations", TF_OPTIONAL, 1, 1 << 20),
    LIMIT("synapse_formats", TGT_SYNAPSE_FORMATS, "formats", TF_OPTIONAL, 1, 1 << 20),
    LIMIT("delay", TGT_DELAY, "steps", TF_REQUIRED, 0, 1 << 16),
    LIMIT("axon_base", TGT_AXON_BASE, "compartments", TF_OPTIONAL, 0, 1 << 20),
    LIMIT("atoms", TGT_ATOMS, "atoms", TF_OPTIONAL, 1, 1 << 20),
    LIMIT("embedded_per_chip", TGT_EMBEDDED_PER_CHIP, "processors", TF_OPTIONAL, 0, 1024),
    LIMIT("routes", TGT_ROUTES, "destinations", TF_OPTIONAL, 1, 1 << 24),

    WORDS("arithmetic", "neuron", arith.neuron, "word", TF_WORD, neuron_words),
    NUMBER("arithmetic", "state_bits", arith.state_bits, "bits", TF_U8, TF_REQUIRED, 8, 32),
    NUMBER("arithmetic", "weight_bits", arith.weight_bits, "bits", TF_U8, TF_REQUIRED, 1, 8),
    FLAG("arithmetic", "weight_even", arith.weight_even),
    NUMBER("arithmetic", "current_shift", arith.current_shift, "bits", TF_U8, TF_REQUIRED, 0, 15),
    NUMBER("arithmetic", "weight_exp_min", arith.weight_exp_min, "exponent", TF_I8, TF_REQUIRED, -8,
           7),
    NUMBER("arithmetic", "weight_exp_max", arith.weight_exp_max, "exponent", TF_I8, TF_REQUIRED, -8,
           7),
    NUMBER("arithmetic", "threshold_shift", arith.threshold_shift, "bits", TF_U8, TF_FIXED, 0, 15),
    NUMBER("arithmetic", "threshold_mant_bits", arith.threshold_mant_bits, "bits", TF_U8, TF_FIXED,
           1, 31),
    NUMBER("arithmetic", "bias_mant_bits", arith.bias_mant_bits, "bits", TF_U8, TF_REQUIRED, 2, 31),
    NUMBER("arithmetic", "bias_exp_max", arith.bias_exp_max, "exponent", TF_U8, TF_REQUIRED, 0, 15),
    NUMBER("arithmetic", "decay_max", arith.decay_max, "1/4096", TF_U16, TF_REQUIRED, 0, 4096),
    NUMBER("arithmetic", "payload_bits", arith.payload_bits, "bits", TF_U8, TF_REQUIRED, 0, 32),
    FLAG("arithmetic", "two_ports", arith.two_ports),

    NUMBER("synapse_format", "word_bits", format.word_bits, "bits", TF_U16, TF_REQUIRED, 8, 4096),
    NUMBER("synapse_format", "block_synapses", format.block_synapses, "synapses", TF_U16,
           TF_REQUIRED, 1, 4096),
    NUMBER("synapse_format", "header_bits", format.header_bits, "bits", TF_U16, TF_REQUIRED, 0,
           4096),
    NUMBER("synapse_format", "tag_bits", format.tag_bits, "bits", TF_U8, TF_REQUIRED, 0, 16),
    NUMBER("synapse_format", "index_bits_min", format.index_bits_min, "bits", TF_U8, TF_REQUIRED, 1,
           32),
    NUMBER("synapse_format", "index_bits_max", format.index_bits_max, "bits", TF_U8, TF_REQUIRED, 1,
           32),

    WORDS("axons", "sharing", sharing, "word", TF_WORD, sharing_words),
    FLAG("axons", "discrete", axon_discrete),
    FLAG("axons", "population", axon_population),
    NUMBER("axons", "pop16_slots", pop16_slots, "slots", TF_U32, TF_REQUIRED, 1, 16),
    NUMBER("axons", "pop32_slots", pop32_slots, "slots", TF_U32, TF_REQUIRED, 1, 16),

    WORDS("attention", "lowerings", attention, "words", TF_SET, attention_words),
    NUMBER("attention", "embedded_latency", arith.embedded_latency, "steps", TF_U8, TF_OPTIONAL, 1,
           255),

    NUMBER("learning", "weight_bits", arith.plastic_bits, "bits", TF_U8, TF_OPTIONAL, 1, 16),
    NUMBER("learning", "tag_bits", arith.plastic_tag_bits, "bits", TF_U8, TF_OPTIONAL, 0, 16),

    NUMBER("engine", "per_chip", engine.per_chip, "cores", TF_U32, TF_OPTIONAL, 1, 1 << 20),
    NUMBER("engine", "memory_bits", engine.memory_bits, "bits", TF_U32, TF_OPTIONAL, 64,
           4294967295.0),
    NUMBER("engine", "word_bits", engine.word_bits, "bits", TF_U32, TF_OPTIONAL, 1, 65536),
    NUMBER("engine", "ops_per_step", engine.ops_per_step, "operations", TF_U32, TF_OPTIONAL, 1,
           4294967295.0),
    NUMBER("engine", "latency", engine.latency, "steps", TF_U8, TF_OPTIONAL, 1, 255),

    NUMBER("mesh", "cores", cores_x, "cores", TF_PAIR, TF_REQUIRED, 1, 1024),
    NUMBER("mesh", "tile", tile_w, "cores", TF_PAIR, TF_REQUIRED, 1, 1024),
    OPTIONAL_WORD("mesh", "routing", routing, "word", routing_words),
    OPTIONAL_WORD("mesh", "message", message, "word", message_words),
    NUMBER("mesh", "cores_per_chip", cores_per_chip, "cores", TF_U32, TF_REQUIRED, 1, 1 << 20),

    ENERGY("synaptic_op", TGT_E_SYNAPTIC_OP),
    ENERGY("neuron_active", TGT_E_NEURON_ACTIVE),
    ENERGY("neuron_inactive", TGT_E_NEURON_INACTIVE),
    ENERGY("neuron_touched", TGT_E_NEURON_TOUCHED),
    ENERGY("spike_within_tile", TGT_E_SPIKE_WITHIN_TILE),
    ENERGY("hop_x", TGT_E_HOP_X),
    ENERGY("hop_y", TGT_E_HOP_Y),
    ENERGY("hop_chip", TGT_E_HOP_CHIP),
    ENERGY("message_in", TGT_E_MESSAGE_IN),
    ENERGY("message_out", TGT_E_MESSAGE_OUT),
    ENERGY("spike_out", TGT_E_SPIKE_OUT),
    ENERGY("host_write", TGT_E_HOST_WRITE),
    ENERGY("embedded_op", TGT_E_EMBEDDED_OP),

    TIME("synaptic_op", TGT_T_SYNAPTIC_OP),
    TIME("neuron_active", TGT_T_NEURON_ACTIVE),
    TIME("neuron_inactive", TGT_T_NEURON_INACTIVE),
    TIME("spike_within_tile", TGT_T_SPIKE_WITHIN_TILE),
    TIME("hop_x", TGT_T_HOP_X),
    TIME("hop_y", TGT_T_HOP_Y),
    TIME("hop_chip", TGT_T_HOP_CHIP),
    TIME("barrier_min", TGT_T_BARRIER_MIN),
    TIME("barrier_max", TGT_T_BARRIER_MAX),
    TIME("embedded_op", TGT_T_EMBEDDED_OP),
    TIME("message_in", TGT_T_MESSAGE_IN),
    TIME("message_out", TGT_T_MESSAGE_OUT),
    TIME("spike_out", TGT_T_SPIKE_OUT),

    NUMBER("power", "static_per_chip", static_mw, "mW", TF_REAL, TF_OPTIONAL, 0, 1e9),
};
const uint32_t tf_n_fields = sizeof(tf_fields) / sizeof(tf_fields[0]);

const struct tgt_fact *tf_fact(const struct tgt *t, const char *section, const char *key)
{
    for (uint32_t i = 0; i < t->n_facts; i++) {
        if (strcmp(t->fact[i].section, section) == 0 && strcmp(t->fact[i].key, key) == 0)
            return &t->fact[i];
    }
    return NULL;
}
