/* Partitioning of neurons into cores: public header of the room.
 *
 * In: a hypergraph of neurons (an edge is an axon: a source, its spikes per inference, and the set
 * of neurons that receive them) and what a core holds. Out: a core for every neuron. The room knows
 * nothing of models, layers or targets, so any network that is a plain list of synapses can go
 * through it. docs/partition.md describes the algorithm and has the measured figures.
 *
 * An axon occupies one entry of every core in which at least one of its destinations lies, the core
 * of its source included. The same graph, options and seed give the same parts at any number of
 * threads. */
#ifndef SPIKEC_PASSES_PART_PART_H
#define SPIKEC_PASSES_PART_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/cluster_graph.h"
#include "support/diag.h"
#include "support/pool.h"
#include "support/progress.h"
#include "support/status.h"

/* What a core holds; 0: no limit. */
struct part_limits {
    uint64_t neurons;  /* sum of the sizes of its neurons */
    uint64_t axons;    /* distinct axons that reach it */
    uint64_t synapses; /* pairs of an axon and a neuron of the core that it reaches */
    uint32_t cores;    /* most cores that may be used */
};

enum part_objective {
    PART_CONNECTIVITY, /* sum over axons of spikes x destination cores other than the source's */
    PART_CORES         /* as few cores as are found, then connectivity */
};

enum part_engine {
    PART_SPIKEC,     /* annealing over groups of like neurons, the default */
    PART_SEQUENTIAL, /* neurons in order, a new core where one does not fit */
    PART_OVERLAP     /* next the neuron with the fewest axons that the core does not have yet */
};

struct part_options {
    struct part_limits limits;
    enum part_objective objective;
    enum part_engine engine;
    uint64_t seed;
    double effort;                   /* of the search, 1 is the default; 0 stands for 1 */
    struct pool *pool;               /* or NULL */
    const struct progress *progress; /* or NULL */
    bool *out_ended_early; /* set where the search was cancelled: the parts are the best so far, and
                              as legal as ever. NULL: cancelling is SPK_ERR_CANCELLED */
};

/* Cuts the graph: part[v] below *out_parts, parts numbered in the order of their first neuron.
 * `size` [n_clusters] says how much of limits.neurons each neuron takes, NULL: 1. The graph must
 * pass ir_cluster_graph_check. SPK_ERR_NOFIT with a message where one neuron alone exceeds a core
 * (part_split helps) or more cores than allowed are needed; SPK_ERR_CANCELLED. */
SPK_CHECKED spk_status part_run(const struct ir_cluster_graph *graph, const uint32_t *size,
                                const struct part_options *options, struct diag_list *diags,
                                uint32_t *out_part, uint32_t *out_parts);

/* ---- fan-in ---- */

/* A graph in which every neuron has at most as many inputs as a core has axons (and synapses): a
 * neuron with more gets partial-sum neurons, each with a run of its inputs of equal length, and
 * hears only those (in as many levels as it takes). The neurons of the old graph keep their ids;
 * the added ones follow. Neurons with the same inputs get the same runs, so that their parts share
 * axons. The axon of a partial sum has the largest weight among its inputs: it fires at least that
 * often. */
struct part_split {
    struct ir_cluster_graph graph; /* owned; empty where nothing was split */
    uint32_t *size;                /* [graph.n_clusters], owned */
    uint32_t n_split;              /* neurons with too many inputs */
    uint32_t n_added;              /* partial-sum neurons */
    uint32_t levels;               /* most levels of partial sums before a neuron */
    uint32_t max_fan_in;           /* of the old graph */
};
/* A zero-initialised object is allowed. */
void part_split_fini(struct part_split *split);
SPK_CHECKED spk_status part_split_fan_in(const struct ir_cluster_graph *graph, const uint32_t *size,
                                         const struct part_limits *limits, struct diag_list *diags,
                                         struct part_split *out_split);

/* ---- what a partition costs, counted anew ---- */

struct part_core {
    uint64_t neurons, axons, synapses;
};
struct part_metrics {
    double connectivity;   /* messages: sum of w |D| */
    double cut_net;        /* sum of w over axons with |D| > 0 */
    double remote_events;  /* sum of w over destinations outside the source's core */
    double synaptic_reuse; /* mean over cores with axons of synapses / axons */
    uint64_t synapses;
    uint32_t used_axons;                           /* axons with a destination */
    uint64_t max_neurons, max_axons, max_synapses; /* of a core */
    uint64_t total_axons;                          /* sum over cores */
    uint32_t violations;                           /* cores beyond a limit */
    uint32_t cores_bound;                          /* no fewer cores can hold it */
    struct part_core *core;                        /* [n_parts], owned */
};
void part_metrics_fini(struct part_metrics *metrics);
SPK_CHECKED spk_status part_measure(const struct ir_cluster_graph *graph, const uint32_t *size,
                                    const struct part_limits *limits, const uint32_t *part,
                                    uint32_t n_parts, struct part_metrics *out_metrics);

/* The graph between parts: axons of one source part with the same destination parts (other than
 * the source's own) are one edge that carries the sum of their spikes. In the order of their first
 * axon. */
SPK_CHECKED spk_status part_cluster_graph(const struct ir_cluster_graph *graph,
                                          const uint32_t *part, uint32_t n_parts,
                                          struct ir_cluster_graph *out_clusters);

/* Names as of the command line; false where there is none of that name. */
bool part_engine_find(const char *name, enum part_engine *out_engine);
const char *part_engine_name(enum part_engine engine);

#endif
