/* AxonFlow graphs from arbitrary bytes; what is read can have its fan-in split. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "frontend/hypergraph_file.h"
#include "passes/part/part.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fe_hypergraph h = {0};
    struct diag_list diags;
    diag_init(&diags);
    if (fe_snn_parse(data, size, "fuzz", &diags, &h) == SPK_OK) {
        const struct part_limits limits = {.axons = 2};
        struct part_split split;
        if (ir_cluster_graph_check(&h.graph) != SPK_OK)
            abort();
        if (part_split_fan_in(&h.graph, NULL, &limits, &diags, &split) != SPK_OK ||
            ir_cluster_graph_check(&split.graph) != SPK_OK)
            abort();
        part_split_fini(&split);
    }
    fe_hypergraph_fini(&h);
    diag_fini(&diags);
    return 0;
}
