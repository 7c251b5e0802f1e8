/* What the files of the checker share. check.c: entry, reports, index; check_core.c: limits of a
 * core; check_chip.c: mesh, routes, schedule; check_rules.c: what the module says about each layer;
 * check_attention.c: the same for attention; check_plastic.c: learning synapses;
 * check_engine.c: attention engines; check_constraints.c: what the user fixed;
 * check_layers.c: neurons and their parameters; check_synapses.c, check_expected.c, check_sums.c:
 * synapses; * check_host.c: ports, encoder, head, sums. */
#ifndef SPIKEC_CHECK_CHECK_INTERNAL_H
#define SPIKEC_CHECK_CHECK_INTERNAL_H

#include "check/check.h"
#include "support/vec.h"

/* What a layer must be, derived from the module. */
enum rule_kind {
    RULE_NONE,
    RULE_INPUT,     /* event frames */
    RULE_HOST,      /* neurons with currents written by the host */
    RULE_PROJECT,   /* neurons behind conv2d or linear */
    RULE_POOL,      /* OR over a window */
    RULE_RELAY,     /* delay: identity, or sum on graded chips */
    RULE_AND,       /* attention: k AND v per (h, i, j, token), or product */
    RULE_SUM,       /* product lowering: count over tokens */
    RULE_THERM,     /* and_lif lowering: thermometer of that count */
    RULE_GATE,      /* q AND thermometer, or q times count */
    RULE_QRELAY,    /* q, some steps later */
    RULE_ATTENTION, /* attention neuron fed by gates */
    RULE_EMBEDDED,  /* attention neuron computed by an embedded processor */
    RULE_ACC,       /* serial lowering: sum over tokens of k times v, token by token */
    RULE_GATED,     /* attention neuron that multiplies those with q, row by row */
    RULE_PLASTIC,   /* attention neuron that reads learning synapses */
    RULE_ENGINE,    /* attention neuron computed by attention engines */
    RULE_PARTIAL    /* sums of parts of what the neurons of another layer hear */
};
/* When spikes of a layer leave: the fields of struct img_layer. */
struct phase {
    uint32_t base, position, div, mod;
};
struct rule {
    enum rule_kind kind;
    bool product;                     /* attention: product lowering, else and_lif */
    uint32_t node;                    /* neuron, pool, delay, encode */
    uint32_t op;                      /* attention, maxpool node */
    uint32_t source_first, n_sources; /* layers, into sources[]; of projections: of all parts */
    uint32_t part_first, n_parts;     /* of projections: into parts[] */
    uint32_t heads, d, tokens;        /* attention */
    uint32_t whole;                   /* partial sums: the layer that hears them */
};

/* A projection in front of neurons and what it reads, a range of sources[]. */
struct part {
    uint32_t op; /* conv2d, linear */
    uint32_t source_first, n_sources;
    uint64_t *kernel; /* see check_expected.c */
};

/* One source neuron. */
struct source {
    uint32_t layer, channel, position;
};

/* A source whose layer is found after its readers. */
struct feedback {
    uint32_t source, node;
};

struct check {
    const struct image *im;
    const struct tgt *t;
    const struct ir_module *m;
    struct check_options o;
    struct diag_list *d;
    struct check_report *r;
    bool completeness;      /* which counter a violation adds to */
    uint32_t *axon_core;    /* [n_in_axons] owner */
    uint32_t *out_core;     /* [n_out_axons] owner */
    uint32_t *route_core;   /* [n_routes] destination core or IMG_NONE */
    uint64_t *feeder_first; /* CSR by in-axon: out-axon i, or n_out_axons + injection */
    uint64_t *feeders;
    uint32_t *core_task;  /* [n_cores] task of an attention engine, IMG_NONE: a neuron core */
    uint32_t *layer_of;   /* [n_nodes] layer that fires the value, IMG_NONE */
    struct rule *rules;   /* [n_layers] */
    struct phase *phases; /* [n_layers] */
    uint32_t ticks;       /* of a step, as the lowerings of attention need them */
    VEC(uint32_t) sources;
    VEC(uint32_t) lags; /* per source: its frame t - lag is seen in frame t; empty: none has any */
    VEC(struct part) parts;
    VEC(struct feedback) feedbacks;
    uint64_t **partial; /* [layers] of partial sums: [channels] hash of what each hears */
    uint32_t *span_first, *span_last; /* [n_contents] first and last target offset of a list */
};

/* Counts a violation and, below the limit, reports it. layer and core may be IMG_NONE. */
void check_violation(struct check *c, const char *code, uint32_t layer, uint32_t core,
                     const char *format, ...) SPK_PRINTF(5, 6);
/* Counts n more without text. */
void check_count(struct check *c, uint64_t n);

const char *check_layer_name(const struct check *c, uint32_t layer);
uint32_t check_find_layer(const struct check *c, const char *name);
/* The neuron on compartment `comp` of a core; false for padding. out_group may be NULL. */
bool check_neuron_of(const struct check *c, uint32_t core, uint32_t comp, struct source *out,
                     uint32_t *out_group);

/* Compartment of the i-th source of an out-axon entry. */
uint32_t check_out_comp(const struct check *c, uint64_t out_axon, uint32_t i);

/* check_core.c, check_chip.c */
spk_status check_cores(struct check *c) SPK_CHECKED;
spk_status check_chips(struct check *c) SPK_CHECKED;

/* check_constraints.c */
spk_status check_constraints(struct check *c) SPK_CHECKED;

/* check_rules.c */
spk_status check_build_rules(struct check *c) SPK_CHECKED;
/* Layers whose spikes sum to a value, appended to out; false (with a violation) where there are
 * none.                                                                                         */
struct check_layers VEC_FIELDS(uint32_t);
spk_status check_sources_of(struct check *c, uint32_t value, struct check_layers *out,
                            bool *out_ok) SPK_CHECKED;

/* The layer BASE.SUFFIX of an attention lowering, of which r is the rule; sources IMG_NONE: none.
 */
spk_status check_set_inner(struct check *c, const char *base, const char *suffix, struct rule r,
                           uint32_t channels, uint32_t tokens, uint32_t source0, uint32_t source1,
                           uint32_t *out_layer) SPK_CHECKED;
/* check_attention.c: rule of the neuron behind attention `op`, its inner layers and phases. */
spk_status check_attention_rule(struct check *c, uint32_t layer, uint32_t neuron,
                                uint32_t op) SPK_CHECKED;

/* check_engine.c: memory of an engine's task, its limits, what reaches it. */
uint64_t check_engine_bits(const struct check *c, const struct img_embedded *e);
void check_engine_task(struct check *c, uint32_t task);
spk_status check_engine_inputs(struct check *c, uint32_t task) SPK_CHECKED;

/* check_plastic.c: learning blocks and teachers of all cores. */
spk_status check_plastic(struct check *c) SPK_CHECKED;

/* check_layers.c */
spk_status check_neurons(struct check *c) SPK_CHECKED;
const int32_t *check_i32_param(const struct check *c, uint32_t node, uint32_t index);

/* check_expected.c: every synapse that the module gives neuron (channel, position) of a layer.
 * weight: as the rule fixes it; where the rule leaves it open, 1 (the caller scales).           */
typedef void (*expected_fn)(void *ctx, const struct source *s, uint32_t port, int64_t weight);
void check_expect(const struct check *c, uint32_t layer, uint32_t channel, uint32_t position,
                  expected_fn fn, void *ctx);
/* Fills the kernels of all parts. */
spk_status check_kernels_build(struct check *c) SPK_CHECKED;
void check_kernels_fini(struct check *c);
/* Adds the hashes of all synapses that a RULE_PROJECT layer gives the neurons of a group, in the
 * group's order.                                                                                */
void check_expect_group(const struct check *c, const struct img_group *g, uint64_t *hash);
/* Hash of a source neuron: the product of the two factors; of a partial sum: of what it hears. */
uint64_t check_hash(const struct check *c, const struct source *s);
uint64_t check_hash_channel(uint32_t channel);
uint64_t check_hash_place(uint32_t layer, uint32_t position);
/* Whether the rule leaves the weight open, so that all weights of a neuron must be equal. */
bool check_rule_uniform(const struct rule *r, const struct img_config *cfg);

/* check_partial.c: rules of layers of partial sums, when all others are there. */
spk_status check_partial_rules(struct check *c) SPK_CHECKED;
void check_partial_fini(struct check *c);
/* Whether a layer hears partial sums. */
bool check_has_partial(const struct check *c, uint32_t layer);

/* check_sums.c: a table that grows as it is asked; one per thread. */
struct check_sums {
    struct row_sum *slot;
    uint32_t capacity, used;
    VEC(uint64_t) values;
};
/* For each synapse of a row, in the row's order: the sum over k < n (at least 1) of the weight in
 * row + k times check_hash_channel(channel + k). NULL where the rows differ in their targets.
 * Valid until the next call. */
spk_status check_sums_find(struct check_sums *m, const struct image *im, uint32_t content,
                           uint32_t row, uint32_t n, uint32_t channel,
                           const uint64_t **out) SPK_CHECKED;
void check_sums_fini(struct check_sums *m);

/* check_synapses.c. The source neurons of a feeder: atom i is channel first + i (or compartment
 * first + i); false for padding. */
bool check_feeder_source(const struct check *c, uint64_t id, uint32_t atom, struct source *out);
uint32_t check_feeder_atoms(const struct check *c, uint64_t id);
/* The atom of the feeder's first source. */
uint32_t check_feeder_atom(const struct check *c, uint64_t id);
/* Calls fn for every run of synapses of an axon's row: compartments first .. first + n - 1, whose
 * weights begin `at` synapses behind the start of the row.                                      */
typedef void (*check_run_fn)(void *ctx, uint32_t first, uint32_t n, const int8_t *weights,
                             size_t at);
void check_each_run(const struct check *c, const struct img_in_axon *a, uint32_t atom,
                    check_run_fn fn, void *ctx);
/* check_reach.c: targets of all lists; groups that a core's axon can reach, those between included.
 */
spk_status check_find_spans(struct check *c) SPK_CHECKED;
void check_axon_groups(const struct check *c, uint32_t core, const struct img_in_axon *a,
                       uint32_t *out_first, uint32_t *out_last);
/* check_times.c: whether a feeder of an axon is seen when all groups from first to last start; the
 * times of all connections of a core, in the order of its in-axons. */
bool check_time_plain(const struct check *c, const struct img_in_axon *a, uint32_t first_group,
                      uint32_t last_group, uint64_t feeder);
void check_core_times(struct check *c, uint32_t core);
/* How many frames late the spikes of layer `from` are seen by layer `to`, by the module. */
uint32_t check_lag(const struct check *c, uint32_t from, uint32_t to);
bool check_is_enable(const struct check *c, uint64_t id);
spk_status check_synapses(struct check *c) SPK_CHECKED;

/* check_host.c */
spk_status check_host(struct check *c) SPK_CHECKED;

#endif
