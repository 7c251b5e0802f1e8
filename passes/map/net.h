/* The network as the mapper sees it: populations and projections.
 *
 * Built from a quantised module whose delays are balanced (every operand of a projection fires at
 * the same step). A population is a layer of neurons that fire at step `start` + frame; a
 * projection is a regular connection pattern: a map of positions times a map of channels, so that
 * nothing is stored per synapse; only a network that is cut neuron by neuron has lists. Sources of
 * one projection share its weights ("aliases": a sum of residual summands is the same synapse rows
 * addressed by more axons). Attention becomes inner populations by the chosen lowering. */
#ifndef SPIKEC_PASSES_MAP_NET_H
#define SPIKEC_PASSES_MAP_NET_H

#include "ir/image.h"
#include "ir/ir.h"
#include "ir/target.h"
#include "support/arena.h"
#include "support/vec.h"

/* How source positions reach target positions. */
enum map_pos {
    MAP_POS_WINDOW,  /* convolution window: kernel, stride, pad over the source's view */
    MAP_POS_GATHER,  /* every source position reaches the one target position */
    MAP_POS_SPREAD,  /* the one source position reaches every target position */
    MAP_POS_TEACHER, /* every source position reaches the tile's teachers (one per channel) */
    MAP_POS_ENGINE   /* every source position reaches the engine core's memory: no synapses */
};

/* How source channels reach target channels. */
enum map_chan {
    MAP_CHAN_FULL,   /* every source channel to every target channel, by a weight tensor */
    MAP_CHAN_SAME,   /* c -> c */
    MAP_CHAN_EXPAND, /* c -> c*r .. c*r + r - 1 */
    MAP_CHAN_STRIDE, /* (h, j) -> (h, i, j) for every i < d: channel h*d + j to (h*d + i)*d + j */
    MAP_CHAN_HEAD,   /* (h, i) -> (h, j) for every j < d: all channels of a head to all of it */
    MAP_CHAN_REDUCE, /* (h, i, j, theta) -> (h, j): channel ((h*d + i)*d + j)*r + theta to h*d + j
                      */
    MAP_CHAN_LIST    /* synapse by synapse, as the source's list says (struct map_list) */
};

/* Synapses of one source of a projection onto populations of one position, in a network that is cut
 * neuron by neuron (neuron_cut.h). A row is a source neuron, position * channels + channel;
 * channels are those of the chip (struct map_pop.order). */
struct map_list {
    uint64_t *first;  /* [rows + 1] */
    uint32_t *target; /* target[first[r] .. first[r + 1]): channels that row r reaches, rising */
    uint64_t *need_first; /* [tiles of the target + 1] */
    uint32_t *need;       /* need[need_first[g] .. ): rows that reach tile g at all, rising */
};

struct map_source {
    uint32_t pop;
    uint32_t delay; /* steps beyond the normal one */
    uint32_t lag;   /* frame t reads the source's frame t - lag */
    uint32_t list;  /* MAP_CHAN_LIST: index into net->lists */
};

struct map_proj {
    uint32_t target; /* population */
    enum map_pos pos;
    enum map_chan chan;
    uint32_t r, d;                /* parameters of the channel map */
    uint32_t kernel, stride, pad; /* WINDOW; square, as the language has it */
    uint32_t kernel_w, stride_w, pad_w;
    uint32_t view_h, view_w; /* the source's map as this projection sees it */
    uint32_t weight_param;   /* FULL: i8 [out, in, kh, kw] or [out, in]; else IR_NONE */
    int8_t weight;           /* other maps: every synapse has this weight */
    uint8_t shift;           /* weight q stands for q << shift membrane units */
    uint8_t port;            /* enum img_port */
    bool plastic;            /* learning synapses: weights are state */
    uint8_t weight_bits;     /* fewer than the target's, or 0 */
    uint32_t block_proj;     /* projection whose blocks it addresses: itself, or the one that reads
                                what this one learns */
    uint32_t n_sources;
    struct map_source *source;
    const char *weight_name; /* for messages; NULL where weights are constant */
};

/* Expected spikes (sum of payloads) of a value per neuron and frame. n 1: of all channels alike,
 * else one per channel. */
struct map_rate {
    uint32_t n;
    const double *rate;
};

struct map_pop {
    const char *name;
    enum img_layer_kind kind;
    uint32_t node; /* IR node it stands for, IR_NONE for inner populations */
    struct spk_span span;
    uint32_t channels, height, width;
    enum ir_layout layout;
    uint32_t start;
    enum img_program program;
    uint16_t decay;
    uint16_t current_keep;
    bool soft_reset;
    int32_t vth;         /* where vth_param is IR_NONE */
    int32_t vth_period;  /* thermometer: vth of channel c is vth * (c % period + 1); 0: vth */
    uint32_t vth_param;  /* i32 [channels] or IR_NONE */
    uint32_t bias_param; /* i32 [channels] or IR_NONE */
    bool enable;         /* bias travels by enable spikes */
    bool coarse;         /* a second enable axon is needed */
    bool host_current, recorded, has_compartments;
    uint32_t payload_bound;
    double rate; /* expected spikes (payload) per neuron and frame: mean over channels */
    const double *channel_rate; /* [channels of the model] where known by channel, else NULL */
    uint32_t n_projs;           /* incoming projections: net->proj[proj_first ..] */
    uint32_t proj_first;
    uint32_t engine; /* runs on engine cores: channels of one task; 0: on neuron cores */
    /* computed by a task: EMBEDDED, or engine > 0 */
    uint32_t q, k, v, heads;
    int32_t unit;
    bool qk_first;
    bool readout; /* its spikes are counted by the host */
    /* Emission phase, see struct img_layer. */
    uint32_t phase_base, phase_position, phase_div, phase_mod;
    enum ir_attn_lowering lowering; /* of the attention before it; OPEN: none */
    bool
        teachers; /* every tile has one more compartment per channel, which learning synapses see */
    /* Tile shape and grid, set by partition. */
    uint32_t th, tw, tc, gh, gw, gc;
    /* Cut neuron by neuron: channel c on the chip is channel order[c] of the model, tile g has
     * channels cut[g] .. cut[g + 1] - 1, at most tc. NULL: the model's channels, tc in every tile.
     */
    const uint32_t *order, *cut;
    uint32_t *bridge;  /* [tiles] with cut: neurons that an out-axon entry of a tile may send over
                          though its destination does not need them */
    uint32_t slice;    /* channels of a plane, 0: all */
    bool pad_y, pad_x; /* padding along that axis */
    uint32_t fewest_tiles, recut_saves; /* cut finer (recut.c): tiles before, cores saved; else 0 */
    uint32_t tile_first;
    uint32_t pin_class; /* cores are shared within a class only; 0: nothing is pinned */
};

/* A recorded sum and the populations it is formed from. */
struct map_sum {
    const char *name;
    enum ir_layout layout;
    uint32_t bound, n_terms;
    uint32_t *term;
};

struct map_net {
    struct arena arena;
    const struct ir_module *module;
    const struct tgt *target;
    VEC(struct map_pop) pops;
    VEC(struct map_proj) projs;
    VEC(struct map_sum) sums;
    VEC(struct map_list) lists; /* not empty where the network is cut neuron by neuron */
    uint32_t encode_node;       /* IR node of the image encoder or IR_NONE */
    uint32_t readout_node;
    uint32_t timesteps, interval, latency;
    uint32_t ticks; /* of a step */
};

/* Builds the network. Refuses with SPK_ERR_NOFIT what the target cannot express (naming the
 * capability), and with SPK_ERR_INTERNAL a module whose delays are not balanced. */
SPK_CHECKED spk_status map_net_build(const struct ir_module *module, const struct tgt *target,
                                     const struct map_rate *node_rate, struct diag_list *diags,
                                     struct map_net *out);
void map_net_fini(struct map_net *net);
/* Frees the lists. */
void map_lists_clear(struct map_net *net);

/* Channel of the model that channel `channel` of the chip is. */
static inline uint32_t map_pop_channel(const struct map_pop *p, uint32_t channel)
{
    return p->order != NULL ? p->order[channel] : channel;
}

/* ---- rates (pop_rates.c) ---- */

/* Rate assumed where nothing was measured. */
double map_declared_rate(const struct ir_module *m);
/* Sets a population's rate; its channels must be set. The rates are copied. */
SPK_CHECKED spk_status map_pop_set_rate(struct map_net *net, struct map_pop *p,
                                        const struct map_rate *rate);
/* Messages that the neurons of channels [first, first + n) of one position send per out-axon and
 * frame, together. */
double map_pop_sends(const struct map_pop *p, uint32_t first, uint32_t n);

/* Threshold and bias of a channel of the chip. In an estimate (params without data) thresholds are
 * those of the pattern, 0 for model layers, and biases 0. */
int32_t map_pop_vth(const struct map_net *net, const struct map_pop *pop, uint32_t channel);
int32_t map_pop_bias(const struct map_net *net, const struct map_pop *pop, uint32_t channel);

#endif
