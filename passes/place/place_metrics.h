/* Figures of a placement, as of docs/placement.md. Hops are cells of the mesh, whatever they cost.
 */
#ifndef SPIKEC_PASSES_PLACE_METRICS_H
#define SPIKEC_PASSES_PLACE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "ir/cluster_graph.h"
#include "support/status.h"

#define PLACE_HOT_LINKS 8

enum place_direction { PLACE_EAST, PLACE_WEST, PLACE_SOUTH, PLACE_NORTH };

struct place_hot_link {
    uint32_t x, y; /* router it leaves */
    enum place_direction direction;
    double load;
};

struct place_loads {
    double max, variance; /* over all links of the mesh */
    uint32_t n_hot;
    struct place_hot_link hot[PLACE_HOT_LINKS]; /* the most loaded ones, heaviest first */
};

struct place_metrics {
    uint64_t pairs;     /* sources and destinations other than the source */
    uint64_t links;     /* of the mesh, both directions */
    double messages;    /* sum of w |D| */
    double cut_net;     /* sum of w over edges that leave their source */
    double hops;        /* U */
    double average_hop; /* U / messages; 0 where there are none */
    uint32_t max_hop;
    double jin_energy;      /* sum of w ((d + 1) JIN_ROUTER + d JIN_WIRE) */
    double average_routers; /* sum of w (d + 1) / messages: latency in routers */
    uint32_t max_routers;
    bool has_congestion;   /* false: the mesh is too large for it to be worked out */
    double congestion_sum; /* over routers; equals sum of w (d + 1) */
    double max_congestion;
    double multicast_hops; /* M */
    struct place_loads unicast, multicast;
    double composite;       /* M + 0.10 max + 0.01 variance of the multicast loads (HySMap) */
    double hops_bound;      /* of U: every source amid its destinations on an empty mesh */
    double multicast_bound; /* of M: messages */
    double max_load_bound;  /* of the largest multicast load: M / links */
};
#define PLACE_JIN_ROUTER 1.0
#define PLACE_JIN_WIRE 0.1

/* cell[c] = y * width + x, all different. Linear in pairs + cells, plus for congestion the areas
 * between sources and destinations, up to a limit. */
SPK_CHECKED spk_status place_measure(const struct ir_cluster_graph *graph, uint32_t width,
                                     uint32_t height, const uint32_t *cell,
                                     struct place_metrics *out);

const char *place_direction_name(enum place_direction direction);

#endif
