/* Cluster graphs from arbitrary bytes; what is read can be placed and priced. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "frontend/cluster_file.h"
#include "passes/place/place.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fe_clusters c = {0};
    struct diag_list diags;
    diag_init(&diags);
    if (fe_clusters_parse((const char *)data, size, "fuzz", &diags, &c) == SPK_OK &&
        c.graph.n_clusters <= 256 && (uint64_t)c.mesh_w * c.mesh_h <= 65536) {
        const struct place_grid grid = {.width = c.mesh_w, .height = c.mesh_h};
        const struct place_options options = {.engine = PLACE_SNAKE};
        uint32_t cell[256];
        double cost = 0;
        if (ir_cluster_graph_check(&c.graph) != SPK_OK ||
            place_run(&c.graph, &grid, &options, &diags, cell) != SPK_OK ||
            place_cost(&c.graph, &grid, PLACE_MULTICAST, cell, &cost) != SPK_OK || cost < 0)
            abort();
    }
    fe_clusters_fini(&c);
    diag_fini(&diags);
    return 0;
}
