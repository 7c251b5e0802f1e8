/* Inside of the partitioner: levels, state, and the steps that part_run.c puts together. */
#ifndef SPIKEC_PASSES_PART_PART_INTERNAL_H
#define SPIKEC_PASSES_PART_PART_INTERNAL_H

#include "passes/part/part.h"
#include "support/rng.h"

/* ---- levels (part_level.c) ---- */

/* A graph whose nodes stand for groups of neurons. Edges with one source node and equal destination
 * nodes are one: weights and axons are summed, so costs and axon counts stay exact. */
struct part_level {
    uint32_t n, e;
    uint64_t *size;     /* [n] neurons */
    uint64_t *synapses; /* [n] synapses onto its neurons */
    uint32_t *source;   /* [e] */
    double *weight;     /* [e] */
    uint32_t *axons;    /* [e] axons that the edge stands for */
    uint64_t *first;    /* [e + 1] */
    uint32_t *dest;     /* distinct within an edge, at least one */
    uint64_t *in_first; /* [n + 1] edges that reach a node */
    uint32_t *in;
    uint64_t *out_first; /* [n + 1] edges that start at a node */
    uint32_t *out;
    uint8_t *own; /* [e] the source is among the destinations */
};
void part_level_fini(struct part_level *level);
/* The finest level: a node for each neuron; axons without destinations are left out. */
SPK_CHECKED spk_status part_level_build(const struct ir_cluster_graph *graph, const uint32_t *size,
                                        struct part_level *out_level);
/* The coarser level of n nodes; up [fine->n] says which node of it each one becomes. */
SPK_CHECKED spk_status part_level_contract(const struct part_level *fine, const uint32_t *up,
                                           uint32_t n, struct part_level *out_coarse);

/* ---- coarsening (part_coarsen.c) ---- */

/* Both say in out_up [n] which of *out_n groups each node joins; groups have at most `most`
 * neurons, and nodes of one part (part NULL: of any). Groups are numbered by their first node. */

/* Twins have the same inputs and send to the same nodes. */
SPK_CHECKED spk_status part_group_twins(const struct part_level *level, const uint32_t *part,
                                        uint64_t most, uint32_t *out_up, uint32_t *out_n);
/* Pairs of nodes by shared axons; together they have at most most_axons. */
SPK_CHECKED spk_status part_group_pairs(const struct part_level *level, const uint32_t *part,
                                        uint64_t most, uint64_t most_axons, uint64_t seed,
                                        uint32_t *out_up, uint32_t *out_n);

/* ---- state (part_state.c) ---- */

struct part_count {
    uint32_t part, count; /* destinations of an edge in a part */
};
struct part_members VEC_FIELDS(uint32_t);

/* What a change has to know of an edge, in half a cache line. */
struct part_edge {
    uint64_t first; /* of its counts in the list */
    double weight;
    uint32_t len; /* parts that it reaches */
    uint32_t axons;
    uint32_t source, home; /* node, and the part that it lies in */
};

/* A partition of a level with its counters. Cost is connectivity. */
struct part_state {
    const struct part_level *level;
    struct part_limits limits; /* UINT64_MAX: none */
    uint32_t k;
    uint32_t *part;
    struct part_edge *edge; /* [e] */
    struct part_count *list;
    uint64_t *size, *axons, *synapses; /* [k] */
    struct part_members *member;       /* [k] nodes, in no order */
    uint32_t *at;                      /* [n] index among the members */
    double cost;
};
void part_state_fini(struct part_state *state);
SPK_CHECKED spk_status part_state_init(const struct part_level *level,
                                       const struct part_limits *limits, const uint32_t *part,
                                       uint32_t k, struct part_state *out_state);

struct part_change {
    double cost;
    int64_t from, to; /* axons of the part that is left, of the part that is entered */
    uint64_t looks;   /* entries of lists that were read */
};
/* What moving v to another part changes. */
struct part_change part_state_change(const struct part_state *state, uint32_t v, uint32_t to);
/* Moves v; the change must be that of the present state. */
SPK_CHECKED spk_status part_state_move(struct part_state *state, uint32_t v, uint32_t to,
                                       const struct part_change *change);
/* Whether every part is within the limits. */
bool part_state_legal(const struct part_state *state);

/* ---- annealing (part_anneal.c) ---- */

struct part_schedule {
    double hot;     /* share of worsening single moves accepted at the start, in (0, 1) */
    double range;   /* first temperature / last temperature */
    uint64_t looks; /* entries of lists that may be read, in all */
    uint32_t steps; /* temperatures */
    uint64_t seed;
    bool strict;     /* the state is legal and never leaves the limits */
    bool keep_legal; /* end with the cheapest legal partition that was seen, if there was one */
};
/* Anneals from the state, which may exceed limits; that costs more and more, so that it should be
 * legal in the end. */
SPK_CHECKED spk_status part_anneal(struct part_state *state, const struct part_schedule *schedule,
                                   const struct progress *progress);

/* ---- starts (part_construct.c) ---- */

/* Both cut the nodes of a level; SPK_ERR_NOFIT where one node exceeds the limits. */
SPK_CHECKED spk_status part_sequential(const struct part_level *level,
                                       const struct part_limits *limits, uint32_t *out_part,
                                       uint32_t *out_k);
SPK_CHECKED spk_status part_overlap(const struct part_level *level,
                                    const struct part_limits *limits, uint32_t *out_part,
                                    uint32_t *out_k);

#endif
