/* The chip image: what the mapper's back end emits, the simulator executes and the checker
 * checks. Flat tables of fixed-size rows; every row refers to others by index; nothing is
 * stored per synapse except the weights themselves, and those once per content. The file
 * layout (image.h5) is these tables one to one and is documented in docs/chip-image.md.
 *
 * Numbers: core-local "compartment" indices 0..neurons-1; "position" = y * width + x of a
 * layer's logical map (tokens: height 1); logical neuron of a layer = (channel, position). Channels
 * are those of the image; the model's are a permutation of them where a layer has an order.
 *
 * Time. All steps are counted from the start of the run. Image k, frame t of a layer with
 * start step L happens at step k*interval + L + t: its compartments are updated and fire then.
 * A spike fired at step s is processed by its target core at step s + 1 + delay of the in-axon.
 * Host injections carry the step offset at which they count as fired.
 * A step has meta.ticks ticks. Neurons fire at tick 0 and each spike leaves at the tick that its
 * layer's phase gives it; a spike that leaves at tick j is processed at tick j + 1 of the step
 * (tick `ticks` is tick 0 of the next). Only learning synapses, ACCUMULATE and GATED neurons see a
 * difference between the ticks of a step.                                                     */
#ifndef SPIKEC_IR_IMAGE_H
#define SPIKEC_IR_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "support/arena.h"
#include "support/diag.h"
#include "support/status.h"

#define IMG_SCHEMA 5
#define IMG_NONE 0xffffffffu

struct img_core {
    uint32_t chip, x, y; /* x, y within the chip's mesh */
    uint32_t neurons;    /* compartments in use (incl. padding) */
    uint32_t group_first, n_groups;
    uint32_t config_first, n_configs;
    uint32_t in_axon_first, n_in_axons;
    uint32_t out_axon_first, n_out_axons;
    uint32_t block_first, n_blocks;
};

/* Neuron programs. FIXED and PROG share one update, see docs/integers.md:
 *   u = wrap(trunc(u*current_keep/4096) + acc + bias); v = clip(trunc(v*(4096-decay)/4096) + u);
 *   fire v >= vth.
 * FIXED (loihi1): runs at every step; the only bias is the one the host wrote; threshold is
 *   given as vth = (mantissa << threshold_shift) + 1.
 * PROG (loihi2): runs only on valid frames of its window, sets u = v = 0 before frame 0; adds the
 *   static bias of its channel.
 * SUM: no state; payload = acc, sent when not 0 (count relay, graded).
 * PRODUCT: no state; payload = acc of port 0 times acc of port 1, sent when not 0.
 * ACCUMULATE: at every tick sum += acc of port 0 times acc of port 1; payload = sum, which is then
 *   0; sent when not 0.
 * GATED: PROG, with the current that ACCUMULATE would send.
 * ENGINE: a neuron of an attention engine; the engine's task computes it (struct img_embedded). */
enum img_program {
    IMG_PROG_FIXED,
    IMG_PROG_PROG,
    IMG_PROG_SUM,
    IMG_PROG_PRODUCT,
    IMG_PROG_ACCUMULATE,
    IMG_PROG_GATED,
    IMG_PROG_ENGINE
};

static inline bool img_has_membrane(uint32_t program)
{
    return program == IMG_PROG_FIXED || program == IMG_PROG_PROG || program == IMG_PROG_GATED ||
           program == IMG_PROG_ENGINE;
}
/* Sends a number, not a spike. */
static inline bool img_is_graded(uint32_t program)
{
    return program == IMG_PROG_SUM || program == IMG_PROG_PRODUCT || program == IMG_PROG_ACCUMULATE;
}

struct img_config {
    int32_t vth;
    uint16_t decay;
    uint8_t program; /* enum img_program */
    uint8_t soft_reset;
    uint16_t current_keep; /* of PROG; 0 of others */
    uint16_t unused;       /* 0, not stored: rows have no gaps, they are compared byte by byte */
};

/* A compartment group: a tile of one layer on one core. Its channels are cut into slices, a plane
 * of compartments for each: channel c = c0 + p * slice + r of position (y, x) is compartment
 * comp_first + p * plane + ((y - y0) * pitch + (x - x0)) * slice + r. Compartments between and
 * around these are padding: they belong to no group and take synapses without effect.         */
struct img_group {
    uint32_t core, layer;
    uint32_t comp_first;
    uint32_t y0, x0, c0;
    uint32_t ny, nx, nc;
    uint32_t pitch;          /* positions from one row to the next, at least nx */
    uint32_t slice;          /* channels of a plane: 1 .. nc; nc: one plane */
    uint32_t plane;          /* compartments from one plane to the next, a multiple of slice */
    uint32_t channel_config; /* first entry in channel_config[]: nc core-local config indices */
    uint32_t channel_bias;   /* first entry in biases[] (nc, PROG), or IMG_NONE */
    uint32_t host_current;   /* 1: its currents are written by the host encoder at window start */
    /* First of nc teacher compartments, one per channel, that learning synapses of the core take
     * their post-synaptic spikes from; IMG_NONE: none. They fire nothing themselves.          */
    uint32_t teach_first;
};

enum img_layer_kind {
    IMG_LAYER_NEURON,  /* a recorded neuron population of the model */
    IMG_LAYER_POOL,    /* OR of spikes */
    IMG_LAYER_RELAY,   /* delay or count relay */
    IMG_LAYER_AUX,     /* inner populations of an attention lowering */
    IMG_LAYER_INPUT,   /* host-injected event frames: no compartments */
    IMG_LAYER_EMBEDDED /* computed by embedded processors: no compartments */
};
struct img_layer {
    uint32_t name; /* index into strings[] */
    uint32_t kind;
    uint32_t channels, height, width; /* tokens: height 1 */
    uint32_t start;                   /* L: first step of its window for image 0 */
    uint32_t recorded;                /* 1: a value that `verify` compares */
    uint32_t layout;                  /* enum ir_layout of the recorded tensor */
    uint32_t payload_bound;           /* 1: binary; else the largest payload */
    /* Tick at which the spike of a neuron leaves: phase_base + phase_position * position +
     * channel / phase_div % phase_mod (nothing of the kind where phase_mod is 0).             */
    uint32_t phase_base, phase_position, phase_div, phase_mod;
    /* First entry in orders[] (one per channel): channel c of this image is channel orders[order +
     * c] of the model; IMG_NONE: channel c. */
    uint32_t order;
};

/* The latest tick at which a spike of the layer leaves, or UINT64_MAX beyond 64 bits. */
static inline uint64_t img_layer_last_phase(const struct img_layer *l)
{
    const uint64_t positions = (uint64_t)l->height * l->width;
    uint64_t tick = 0;
    if (positions > 0 && __builtin_mul_overflow((uint64_t)l->phase_position, positions - 1, &tick))
        return UINT64_MAX;
    if (l->phase_mod > 0)
        tick = tick > UINT64_MAX / 2 ? UINT64_MAX / 2 : tick + l->phase_mod - 1;
    return tick > UINT64_MAX / 2 ? UINT64_MAX : tick + l->phase_base;
}

/* PLASTIC: a list whose weights are state: 0 at the start of every step, unsigned, clipped to
 * weight_bits; they grow by 1 where a LEARN spike of their row and a TEACH spike of their column's
 * teacher are processed at the same tick, after what that tick reads.                         */
enum img_block_kind { IMG_BLOCK_LIST, IMG_BLOCK_CONV, IMG_BLOCK_PLASTIC };
/* Synapses of one block on one core (memory is charged per block per core). A weight q stands
 * for q << shift membrane units per unit of payload.                                          */
struct img_block {
    uint32_t core;
    uint32_t content; /* index into contents[] */
    uint8_t kind;     /* enum img_block_kind, equal to the content's */
    uint8_t shift;
    uint8_t weight_bits, delay_bits;
    uint32_t format; /* core-local synapse format id (distinct shift/bits/kind) */
};
/* Shared storage, by content. LIST and PLASTIC (weights all 0): n_rows rows (one per atom) of runs.
 * CONV: weights [n_rows = source channels][kernel_h][kernel_w][nc]. */
struct img_content {
    uint8_t kind;
    uint8_t kernel_h, kernel_w, stride, pad;
    uint32_t n_rows;
    uint32_t nc;           /* CONV: target channels */
    uint64_t row_first;    /* LIST: index into rows[] */
    uint64_t weight_first; /* CONV: index into weights[] */
};
struct img_row {
    uint64_t run_first;
    uint32_t n_runs;
};
/* Targets base + start .. base + start + length - 1 with consecutive weights. */
struct img_run {
    uint32_t start, length;
    uint64_t weight_first;
};

enum img_axon_kind { IMG_AXON_DISCRETE, IMG_AXON_POP16, IMG_AXON_POP32 };
enum img_port {
    IMG_PORT_MAIN,
    IMG_PORT_SECOND, /* second factor of PRODUCT, ACCUMULATE, GATED */
    IMG_PORT_LEARN,  /* PLASTIC block: pre-synaptic spike; base: the teachers */
    IMG_PORT_TEACH,  /* LIST block onto teachers: post-synaptic spike */
    IMG_PORT_Q,
    IMG_PORT_K,
    IMG_PORT_V /* engine core: no block; base: the token, row: the channel
                  of atom 0 */
};
struct img_in_axon {
    uint32_t block;     /* index into blocks[], same core; IMG_NONE on engine cores */
    uint32_t base;      /* LIST: compartment base; CONV: source position (y * src_width + x) */
    uint32_t group;     /* CONV: target group; LIST: IMG_NONE */
    uint16_t src_width; /* CONV: width of the source map */
    uint16_t src_height;
    uint16_t atoms; /* atom 0 .. atoms - 1 address rows row .. row + atoms - 1 */
    uint8_t kind;   /* enum img_axon_kind */
    uint8_t port;   /* enum img_port */
    uint32_t delay; /* extra steps */
    uint32_t row;   /* row of the content that the first sending compartment addresses */
};

/* comp_count compartments from comp_first (in a sliced group: the following channels of the same
 * position, img_out_comp) share one entry; a spike of the i-th is sent along the route to in-axon
 * dest_axon of the destination with atom atom_first + i and addresses row in_axon.row + atom
 * there. Several entries, also of several cores, may address one in-axon with different atoms. */
struct img_out_axon {
    uint32_t comp_first, comp_count, atom_first;
    uint32_t route;
    uint32_t dest_axon; /* core: core-local in-axon index; embedded, host: index into
                           embedded_ports[] (inside the task's range), host_ports[] */
    uint8_t kind;       /* enum img_axon_kind */
};
enum img_dest { IMG_DEST_CORE, IMG_DEST_EMBEDDED, IMG_DEST_HOST };
/* One row per (source core, destination); spikes travel XY: first x, then y, chips likewise.   */
struct img_route {
    uint32_t src_core;
    uint32_t dest;       /* enum img_dest */
    uint32_t chip, x, y; /* destination core's place; embedded: chip, task index in x; host: 0 */
    uint32_t hops_x, hops_y, hops_chip, within_tile;
};

/* What the host (or an embedded processor) injects. */
enum img_injection_kind {
    IMG_INJECT_EVENTS,  /* source position of an IMG_LAYER_INPUT: payload = event count */
    IMG_INJECT_ENABLE,  /* one spike per valid frame (carries a bias) */
    IMG_INJECT_EMBEDDED /* result of an embedded attention layer */
};
struct img_injection {
    uint32_t kind;
    uint32_t layer;    /* EVENTS, EMBEDDED: source layer; ENABLE: layer it serves */
    uint32_t position; /* EVENTS, EMBEDDED */
    uint32_t channel_first, n_channels; /* atoms = channel - channel_first */
    uint32_t start;                     /* step that counts as "fired" for frame 0 of image 0 */
    uint32_t core, axon;                /* destination, core-local in-axon */
};

/* Attention computed as a task: reads q, k, v of one layer, computes unit * q (k^T v) per head,
 * then the integer LIF (vth, decay), reset at window start; the result fires at step start. On an
 * embedded processor a task computes the whole layer; on an engine core `head_count` heads from
 * head_first, of each the `columns` channels from column_first, which are the compartments of the
 * core's one group.                                                                            */
struct img_embedded {
    uint32_t layer; /* processor: the IMG_LAYER_EMBEDDED it computes */
    uint32_t core;  /* engine core, IMG_NONE: an embedded processor */
    uint32_t chip, processor;
    uint32_t heads, channels, tokens; /* of the layer */
    uint32_t head_first, head_count, column_first, columns;
    uint32_t qk_first; /* 1: (q k^T) v is what it computes, else q (k^T v): only the work differs */
    int32_t unit, vth;
    uint32_t decay, bits;
    uint32_t q_layer, k_layer, v_layer;
    uint32_t port_first, n_ports;
};
/* Port of an embedded task: atoms are channels channel_first.. of operand at a token. */
struct img_embedded_port {
    uint32_t operand; /* 0 q, 1 k, 2 v */
    uint32_t position, channel_first, n_channels;
};
/* Port of the host read-out: spikes of a layer, counted per channel over positions and window. */
struct img_host_port {
    uint32_t layer;
    uint32_t position, channel_first, n_channels;
};
/* A recorded sum (residual value): name and the layers it is formed from. */
struct img_sum {
    uint32_t name, layout;
    uint32_t term_first, n_terms; /* into sum_terms[] */
    uint32_t bound;
};

/* Host encoder of a static image (struct ir_attr_encode); enc_w, enc_b hold its integers. */
struct img_encoder {
    uint32_t present; /* 0: event model */
    uint32_t layer;   /* the host_current layer */
    uint32_t in_channels, in_height, in_width;
    uint32_t out_channels, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    uint32_t x_shift, out_shift, m_exp;
    int32_t m_max;
    uint32_t n_norm; /* IDX normalisation of the model, 0 if none */
    float mean[4], std[4];
};
struct img_head {
    uint32_t classes, channels, divisor;
};

struct img_meta {
    uint32_t schema, timesteps, interval, latency; /* latency: last start + T, steps */
    uint32_t state_bits, payload_bits, chips_x, chips_y, cores_x, cores_y, tile_w, tile_h;
    uint32_t threshold_shift;
    uint32_t ticks;     /* of a step */
    uint32_t word_bits; /* of an attention engine, 0: none */
    uint32_t message;   /* what one message is for: enum tgt_message */
    uint64_t seed;
    uint32_t target_name, system_name, provenance; /* strings[]; provenance: JSON text */
};

/* clang-format off */
#define IMG_TABLES(T) \
    T(struct img_core, cores) T(struct img_group, groups) T(struct img_config, configs) \
    T(uint16_t, channel_config) T(int32_t, biases) T(struct img_layer, layers) \
    T(uint32_t, orders) \
    T(struct img_block, blocks) T(struct img_content, contents) T(struct img_row, rows) \
    T(struct img_run, runs) T(int8_t, weights) T(struct img_in_axon, in_axons) \
    T(struct img_out_axon, out_axons) T(struct img_route, routes) \
    T(struct img_injection, injections) T(struct img_embedded, embedded) \
    T(struct img_embedded_port, embedded_ports) T(struct img_host_port, host_ports) \
    T(struct img_sum, sums) T(uint32_t, sum_terms) T(int16_t, enc_w) T(int32_t, enc_b) \
    T(float, head_w) T(float, head_b) T(double, prices)
/* clang-format on */

/* prices: energies (pJ) then times (ns) in the order of enum tgt_energy, enum tgt_time;
 * NaN where nothing was published.                                                            */
struct image {
    struct img_meta meta;
    struct img_encoder encoder;
    struct img_head head;
    uint32_t n_strings;
    char **strings;
#define T(type, name) \
    type *name;       \
    uint64_t n_##name;
    IMG_TABLES(T)
#undef T
};

/* The model's channel that channel `channel` of a layer of the image is. */
static inline uint32_t img_channel(const struct image *im, uint32_t layer, uint32_t channel)
{
    const uint32_t order = im->layers[layer].order;
    return order == IMG_NONE ? channel : im->orders[order + channel];
}

void image_init(struct image *im);
void image_fini(struct image *im); /* frees all tables and strings (heap) */
/* Compartments that a group spans, from comp_first on, padding inside included. */
uint64_t img_group_extent(const struct img_group *g);
/* Neuron number (y * nx + x) * nc + c within the group of the core's compartment `comp`; IMG_NONE
 * where it is none of the group's. */
uint32_t img_group_neuron(const struct img_group *g, uint32_t comp);
/* Compartment of neuron number `neuron`. */
uint32_t img_group_comp(const struct img_group *g, uint32_t neuron);
/* Compartments of its core that belong to a group: the first group's from 0 on, each to where the
 * next begins, the last to the end. */
uint32_t img_group_comps(const struct image *im, uint32_t group);
/* Group of the core (its first one where it has several) in which compartment `comp` lies: the last
 * that begins at or before it, so that padding belongs to the group before. */
uint32_t img_group_at(const struct image *im, uint32_t core, uint32_t comp);
/* Group in which the synapses of an in-axon of the core end. */
uint32_t img_axon_group(const struct image *im, uint32_t core, const struct img_in_axon *a);
/* i-th compartment of an out-axon entry that starts at comp_first; g: the group there, or NULL for
 * padding. */
uint32_t img_out_comp(const struct img_group *g, uint32_t comp_first, uint32_t i);
/* Appends a string, or finds it. */
spk_status image_string(struct image *im, const char *text, uint32_t *out) SPK_CHECKED;

/* Writes image.h5 (atomically, same bytes for the same image). */
spk_status image_save(const struct image *im, const char *path, struct diag_list *d) SPK_CHECKED;
/* Reads and checks what makes the tables safe to walk: every index and range lies inside its
 * table. Legality against a target is the checker's business, not done here.                   */
spk_status image_load(const char *path, struct diag_list *d, struct image *out) SPK_CHECKED;

#endif
