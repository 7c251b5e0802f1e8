/* The search for tile shapes of all populations together: what its files share. */
#ifndef SPIKEC_PASSES_MAP_SEARCH_H
#define SPIKEC_PASSES_MAP_SEARCH_H

#include "passes/map/shapes.h"

#define SEARCH_SHAPES 64 /* shapes of one population that the search looks at */

/* The shapes of a population that its neighbours could live with; equal populations between equal
 * neighbours share a set. */
struct search_set {
    uint32_t *key, n_key;
    uint32_t n, n_projs;
    struct map_shape shape[SEARCH_SHAPES];
    uint64_t *window; /* [n][n_projs]: source positions that the largest tile reads */
    double *reach;    /* [n][n_projs]: source neurons times tiles that read them, per alias */
    uint64_t fixed[SEARCH_SHAPES]; /* in-axons of a tile that no neighbour's cut changes */
};

/* Populations that are alike but for their neighbours. */
struct search_class {
    uint32_t *key, n_key;
    struct shape_vec shapes;
    uint32_t blocks; /* the fewest channel blocks of any of its shapes */
};

/* What one alias costs for a pair of shapes: in-axons per source position of the largest consumer
 * tile, and out-axon slots of the fullest source tile. */
struct search_pair {
    uint32_t in, out;
};

struct search_table {
    const struct search_set *source, *target;
    const struct map_proj *proj;
    struct search_pair *pair; /* [source shapes][target shapes] */
};

/* One alias between populations with compartments. */
struct search_edge {
    uint32_t proj, source, src, dst;
    uint32_t k; /* of the projection within dst */
    const struct search_pair *pair;
};

struct search {
    struct map_net *net;
    enum map_objective objective;
    struct diag_list *diags;
    VEC(struct search_class) classes;
    VEC(struct search_set *) sets;
    VEC(struct search_table) tables;
    VEC(struct search_edge) edges; /* by consumer */
    uint32_t *class_of;            /* [pops]; IR_NONE without compartments */
    struct search_set **set;       /* [pops] */
    uint32_t *in_first;            /* [pops + 1]: edges into each */
    uint32_t *out_first, *out;     /* edges out of each */
    uint32_t *ports;               /* [pops]: out-axons per position for read-out and processors */
    uint64_t *alive;               /* [pops]: set of shapes still in the race */
    uint32_t (*least_in)[SEARCH_SHAPES]; /* [edges][consumer's shape]: least pair.in, living ones */
    uint64_t (*least_axons)[SEARCH_SHAPES]; /* [pops][shape]: search_least_in */
    uint32_t (*least_out)[SEARCH_SHAPES];   /* [edges][source's shape]: least pair.out */
};

/* search_sets.c: classes, sets, edges and pair tables. */
SPK_CHECKED spk_status search_prepare(struct search *s);
void search_fini(struct search *s);
/* Out-axons of the largest tile to the host and embedded processors. */
uint64_t search_port_axons(const struct search *s, uint32_t pop, const struct map_shape *shape);
/* search_pairs.c: sets e->pair. */
SPK_CHECKED spk_status search_table_of(struct search *s, struct search_edge *e);
/* One pair: shapes a of the source and b of the consumer. */
SPK_CHECKED spk_status search_pair_price(const struct map_net *net, const struct map_proj *p,
                                         const struct map_pop *src, const struct map_shape *a,
                                         const struct map_pop *dst, const struct map_shape *b,
                                         struct search_pair *out);
/* First shape of a set with the same rows, columns and channels per tile as each: what follows from
 * one of them alone is computed once. */
struct search_firsts {
    uint8_t rows[SEARCH_SHAPES], columns[SEARCH_SHAPES], channels[SEARCH_SHAPES];
};

void search_find_firsts(const struct search_set *set, struct search_firsts *out);
/* search_prune.c: removes shapes that no choice of the neighbours makes legal. SPK_ERR_NOFIT,
 * reported, where a population is left without. */
SPK_CHECKED spk_status search_prune(struct search *s);
/* In-axons of the largest tile of shape b of pop, and out-axons of the fullest tile of shape a,
 * with the best of the neighbours' living shapes. */
uint64_t search_least_in(const struct search *s, uint32_t pop, uint32_t b);
uint64_t search_least_out(const struct search *s, uint32_t pop, uint32_t a);
/* Living shapes of the consumer that can be legal together with the source's shape a. */
uint64_t search_partners(const struct search *s, uint32_t edge, uint32_t a);
/* search_beam.c: the best assignment found, as index into each population's set. */
SPK_CHECKED spk_status search_beam(struct search *s, uint32_t width, uint8_t *out_choice,
                                   bool *out_found);
/* search_polish.c: makes a legal assignment locally optimal; it stays legal and gets no dearer. */
SPK_CHECKED spk_status search_polish(struct search *s, uint8_t *inout_choice);
/* recut.c: cuts populations without weights finer where that saves cores that tiles share. */
SPK_CHECKED spk_status map_recut(struct mapping *m, const struct search *s);
/* search_cost.c: what the objective counts for shape b of pop whose sources have these shapes. */
struct search_cost {
    double first, second; /* compared in this order */
};
struct search_cost search_cost_of(const struct search *s, uint32_t pop, uint32_t b,
                                  const uint8_t *choice);
/* The same at least, whatever the sources' shapes. */
struct search_cost search_cost_least(const struct search *s, uint32_t pop, uint32_t b);

#endif
