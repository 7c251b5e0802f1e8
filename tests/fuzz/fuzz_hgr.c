/* hMETIS hypergraphs from arbitrary bytes; what is read can be cut. The first byte says which pin
 * sends. */
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
    uint32_t part[256], parts = 0;
    if (size == 0)
        return 0;
    diag_init(&diags);
    if (fe_hgr_parse((const char *)data + 1, size - 1, "fuzz", data[0] % 3, &diags, &h) == SPK_OK &&
        h.graph.n_clusters <= 256) {
        const struct part_options options = {.limits = {.neurons = 5, .axons = 9}, .effort = 0.001};
        struct part_metrics m = {0};
        if (ir_cluster_graph_check(&h.graph) != SPK_OK)
            abort();
        const spk_status status = part_run(&h.graph, h.size, &options, &diags, part, &parts);
        if (status == SPK_OK &&
            (part_measure(&h.graph, h.size, &options.limits, part, parts, &m) != SPK_OK ||
             m.violations != 0))
            abort();
        part_metrics_fini(&m);
    }
    fe_hypergraph_fini(&h);
    diag_fini(&diags);
    return 0;
}
