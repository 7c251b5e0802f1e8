/* A chip, as data: what a target description (backends/targets/NAME.yaml) says.
 * Read by frontend/target_yaml.c; used by passes, cost, checker. The simulator does not use it:
 * what it needs of it (prices) is copied into the image.
 *
 * Every constant is a struct tgt_const: value, unit (fixed by the field, named in it), source
 * and basis. An absent constant (present == false) was never published: nobody may replace it
 * by a guess; results that would need it are null and listed as unpriced.                     */
#ifndef SPIKEC_IR_TARGET_H
#define SPIKEC_IR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"

enum tgt_basis { TGT_MEASURED, TGT_SIMULATED, TGT_DERIVED, TGT_ASSUMED };
const char *tgt_basis_name(enum tgt_basis b);

struct tgt_const {
    bool present;
    double value;
    enum tgt_basis basis;
    const char *source; /* citation or reasoning, one line */
    struct spk_span span;
};

/* Numbered so that loops (printing, YAML keys, reports) can run over them; names in target.c. */
enum tgt_limit {
    TGT_NEURONS,           /* compartments per core */
    TGT_SYNAPSE_BITS,      /* synaptic memory per core, bits */
    TGT_IN_AXONS,          /* in-axon entries per core */
    TGT_OUT_AXONS,         /* out-axon slots per core */
    TGT_CONFIGS,           /* distinct compartment configurations per core (thresholds) */
    TGT_SYNAPSE_FORMATS,   /* distinct synapse formats per core */
    TGT_DELAY,             /* largest synaptic delay, steps beyond the normal one step */
    TGT_AXON_BASE,         /* largest compartment base of a population axon */
    TGT_ATOMS,             /* largest number of atoms of a pop16 axon */
    TGT_EMBEDDED_PER_CHIP, /* embedded processors per chip */
    TGT_ROUTES,            /* destination cores that one core can address (routing table) */
    TGT_LIMIT_COUNT
};
/* Energies in pJ, per event. */
enum tgt_energy {
    TGT_E_SYNAPTIC_OP,
    TGT_E_NEURON_ACTIVE,
    TGT_E_NEURON_INACTIVE,
    TGT_E_NEURON_TOUCHED, /* at rest, with input that adds up to nothing; absent: inactive */
    TGT_E_SPIKE_WITHIN_TILE,
    TGT_E_HOP_X,
    TGT_E_HOP_Y,
    TGT_E_HOP_CHIP,
    TGT_E_MESSAGE_IN,
    TGT_E_MESSAGE_OUT,
    TGT_E_SPIKE_OUT,
    TGT_E_HOST_WRITE,
    TGT_E_EMBEDDED_OP,
    TGT_ENERGY_COUNT
};
/* Times in ns, per event. */
enum tgt_time {
    TGT_T_SYNAPTIC_OP,
    TGT_T_NEURON_ACTIVE,
    TGT_T_NEURON_INACTIVE,
    TGT_T_SPIKE_WITHIN_TILE,
    TGT_T_HOP_X,
    TGT_T_HOP_Y,
    TGT_T_HOP_CHIP,
    TGT_T_BARRIER_MIN,
    TGT_T_BARRIER_MAX, /* one tile .. all tiles of one chip */
    TGT_T_EMBEDDED_OP,
    /* Of messages and spikes, for simulators that follow them; not part of our times. */
    TGT_T_MESSAGE_IN,
    TGT_T_MESSAGE_OUT,
    TGT_T_SPIKE_OUT,
    TGT_TIME_COUNT
};

enum tgt_neuron_model {
    TGT_NEURON_FIXED,       /* hard-wired LIF: leak always runs, fires on v > mantissa << shift */
    TGT_NEURON_PROGRAMMABLE /* microcode: resets and gates itself, any integer threshold */
};
enum tgt_sharing {
    TGT_SHARE_NONE,       /* every in-axon has its own synapses */
    TGT_SHARE_POPULATION, /* axons may share a block, shifted by a base of 0..TGT_AXON_BASE */
    TGT_SHARE_CONVOLUTION /* a kernel is stored once per core, targets are computed */
};
/* What a spike to several cores is on the mesh. */
enum tgt_routing {
    TGT_UNICAST,  /* a message for each destination core */
    TGT_MULTICAST /* one message that routers copy where routes part */
};
/* What one message is for. */
enum tgt_message {
    TGT_MESSAGE_ENTRY, /* one spike and out-axon entry */
    TGT_MESSAGE_CORE   /* one spike and destination core, whatever its entries there */
};
enum tgt_attention {
    TGT_ATTN_AND_LIF = 1,
    TGT_ATTN_EMBEDDED = 2,
    TGT_ATTN_PRODUCT = 4,
    TGT_ATTN_SERIAL = 8,
    TGT_ATTN_PLASTIC = 16,
    TGT_ATTN_ENGINE = 32
};

/* Integer arithmetic of the neuron and of the synapse, see docs/integers.md. */
struct tgt_arith {
    enum tgt_neuron_model neuron;
    uint8_t state_bits;                    /* u and v: 24 */
    uint8_t weight_bits;                   /* stored bits of a weight: 8 */
    bool weight_even;                      /* mixed-sign weights are even: effective 2*q */
    uint8_t current_shift;                 /* currents enter the membrane shifted by this: 6 */
    int8_t weight_exp_min, weight_exp_max; /* weight exponent of a synapse format */
    uint8_t threshold_shift;               /* FIXED: threshold = mantissa << shift */
    uint8_t threshold_mant_bits;           /* FIXED: 17; PROGRAMMABLE: ignored */
    uint8_t bias_mant_bits;   /* signed mantissa bits of a host-written bias incl. sign: 13 */
    uint8_t bias_exp_max;     /* 7 */
    uint16_t decay_max;       /* largest decay constant: 4095 (12 bits) or 4096 */
    uint8_t payload_bits;     /* graded spike payload; 0 = binary spikes only */
    bool two_ports;           /* neurons may multiply two inputs */
    uint8_t embedded_latency; /* steps from reading spikes to injecting the result */
    uint8_t plastic_bits;     /* unsigned bits of a learning synapse's weight; 0: nothing learns */
    uint8_t plastic_tag_bits; /* stored beside it */
};

/* Attention engines: cores of their own class on the mesh. They take the last per_chip positions
 * of a chip's mesh in row order (position y * cores_x + x); neuron cores the ones before.      */
struct tgt_engine {
    uint32_t per_chip;     /* 0: none */
    uint32_t memory_bits;  /* per engine core: q, k, v of a frame, counts, membranes */
    uint32_t word_bits;    /* AND and popcount work on words of so many tokens or channels */
    uint32_t ops_per_step; /* word operations and additions that an engine does in a step */
    uint8_t latency;       /* steps from q, k, v to the neurons behind attention */
};

/* Synaptic memory format: blocks of up to `block_synapses` synapses per row, each padded to
 * word_bits; bits = n * (weight + delay + tag + (index if sparse)) + header_bits.             */
struct tgt_format {
    uint16_t word_bits;                     /* 64 */
    uint16_t block_synapses;                /* 64 */
    uint16_t header_bits;                   /* 10 */
    uint8_t tag_bits;                       /* 0 */
    uint8_t index_bits_min, index_bits_max; /* 6..12, smallest that addresses the core */
};

struct tgt_system {
    const char *name;
    uint32_t chips_x, chips_y;
    const char *source;
    enum tgt_basis basis;
    struct tgt_const barrier_ns; /* barrier over all chips of the system */
    struct spk_span span;        /* its name in the description */
};

/* One constant as it stands in the description: for reports, which repeat unit and basis of every
 * constant, also of those that the structs below hold as plain numbers.                         */
struct tgt_fact {
    const char *section, *key; /* "arithmetic", "weight_bits" */
    const char *unit;          /* "bits" */
    const char *text;          /* the value as text: "8", "true", "and_lif product", "16 x 8" */
    struct tgt_const constant; /* value is 0 for words and sets, 0/1 for flags */
};

struct tgt {
    struct arena arena;
    const char *name, *description, *path;
    uint8_t sha256[32]; /* of the text */
    const char *text;   /* the description itself, [length] */
    size_t length;
    struct tgt_const limit[TGT_LIMIT_COUNT];
    struct tgt_const energy_pj[TGT_ENERGY_COUNT];
    struct tgt_const time_ns[TGT_TIME_COUNT];
    struct tgt_arith arith;
    struct tgt_format format;
    enum tgt_sharing sharing;
    bool axon_discrete, axon_population; /* which axon kinds exist */
    uint32_t pop16_slots, pop32_slots;   /* out-axon slots an entry takes: 1, 2 */
    uint32_t attention;                  /* set of enum tgt_attention */
    struct tgt_engine engine;
    /* Mesh of one chip: cores_x * cores_y positions, tile_w * tile_h cores share a router. */
    uint32_t cores_x, cores_y, tile_w, tile_h;
    enum tgt_routing routing;
    enum tgt_message message;
    uint32_t cores_per_chip; /* usable cores, <= cores_x * cores_y */
    uint32_t n_systems;
    struct tgt_system *system;  /* smallest first */
    struct tgt_const static_mw; /* static power of one chip, mW */
    uint32_t n_facts;
    struct tgt_fact *fact; /* every constant that is present, in the format's order */
};

const char *tgt_limit_name(enum tgt_limit l);   /* "neurons", "synapse_bits", ... */
const char *tgt_energy_name(enum tgt_energy e); /* "synaptic_op", ... (pJ) */
const char *tgt_time_name(enum tgt_time t);
const char *tgt_attention_name(enum tgt_attention a); /* "and_lif", ... */
/* Value of a limit; UINT64_MAX where the target states none. */
uint64_t tgt_limit_value(const struct tgt *t, enum tgt_limit l);
void tgt_destroy(struct tgt *t); /* t was created on the heap by the YAML reader */

/* The same for a core of a class: on an attention engine compartments are membranes and synaptic
 * memory is its memory, which holds both; configurations and formats are not limited. */
uint64_t tgt_core_limit(const struct tgt *t, enum tgt_limit l, bool engine);
/* Whether a mesh position of a chip is an attention engine. */
bool tgt_is_engine(const struct tgt *t, uint32_t x, uint32_t y);

/* Bits that one row (the synapses of one atom of one axon) of a list block takes in the chip's
 * own format: n_synapses in one contiguous run (dense, no index), else sparse with index_bits. */
uint64_t tgt_row_bits(const struct tgt_format *f, uint32_t n_synapses, uint32_t weight_bits,
                      uint32_t delay_bits, uint32_t index_bits);

#endif
