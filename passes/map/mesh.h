/* What placing shares: the grid of the chips in use, and who sends how much to whom.
 *
 * A cell of the grid is a core position: x = column of the chip * cores_x + x within it, y alike,
 * so cell = y * width + x. The grid is the block of chips in use; what holds no neuron core is
 * blocked: engines, positions beyond the usable cores, chips of the block that are not in use. */
#ifndef SPIKEC_PASSES_MAP_MESH_H
#define SPIKEC_PASSES_MAP_MESH_H

#include "passes/map/map.h"
#include "passes/place/place.h"

struct map_mesh {
    struct place_grid grid;
    uint8_t *blocked;
    uint32_t *slot, n_slots;     /* cells of neuron cores, in the order in which they are filled */
    uint32_t *engine, n_engines; /* cells of attention engines, likewise */
};

/* mesh.c: the grid of m->system's chips in use. */
SPK_CHECKED spk_status map_mesh_build(const struct mapping *m, struct map_mesh *out);
void map_mesh_fini(struct map_mesh *mesh);
struct map_place map_mesh_place(const struct mapping *m, const struct map_mesh *mesh,
                                uint32_t cell);
/* Distance of two cells in the grid's costs. */
double map_mesh_distance(const struct place_grid *grid, uint32_t a, uint32_t b);
/* The same grid with a hop for every step between routers, chip borders included. */
struct place_grid map_mesh_in_hops(const struct map_mesh *mesh);

/* flows.c: expected messages per frame between the cores (all of them, engines too). An edge is
 * what a tile sends from positions that the same cores read: for unicast, one destination per
 * message, an axon that a core has twice counts twice; for multicast, one message to the set of
 * cores that read a position. Host and embedded processors have no place and are left out. */
SPK_CHECKED spk_status map_flows_build(const struct mapping *m, enum place_objective objective,
                                       struct ir_cluster_graph *out);

/* Messages of all edges, one for each destination other than the source; trees: one for each edge.
 */
SPK_CHECKED spk_status map_flows_messages(const struct mapping *m, enum place_objective objective,
                                          double *out_messages);

/* place_engines.c: engine cells for the last m->n_engines cores; those of all others are set. */
SPK_CHECKED spk_status map_place_engines(const struct mapping *m, const struct map_mesh *mesh,
                                         const struct ir_cluster_graph *flows, uint32_t *cell);

#endif
