/* Cluster graphs from .cg files (docs/files.md), and placements to .pl files. */
#ifndef SPIKEC_FRONTEND_CLUSTER_FILE_H
#define SPIKEC_FRONTEND_CLUSTER_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ir/cluster_graph.h"
#include "support/diag.h"
#include "support/status.h"

#define FE_CLUSTER_NAME_MAX 127u

struct fe_clusters {
    char name[FE_CLUSTER_NAME_MAX + 1];
    uint32_t mesh_w, mesh_h; /* 1 to 65535 each, with room for all clusters */
    struct ir_cluster_graph graph;
};
/* A zero-initialised object is allowed. */
void fe_clusters_fini(struct fe_clusters *clusters);

/* Reads a graph. What is wrong is an error with file and line, SPK_ERR_INPUT; the first one ends
 * the reading. Memory is bounded by the size of the file plus four bytes per cell of the mesh.
 * *out is set only on SPK_OK and then passes ir_cluster_graph_check. */
SPK_CHECKED spk_status fe_clusters_load(const char *path, struct diag_list *diags,
                                        struct fe_clusters *out);
/* The same on text in memory; `name` is for messages. */
SPK_CHECKED spk_status fe_clusters_parse(const char *text, size_t length, const char *name,
                                         struct diag_list *diags, struct fe_clusters *out);

/* Writes "x y" for every cluster, a line each, in one step; cell = y * width + x. */
SPK_CHECKED spk_status fe_placement_write(const char *path, const uint32_t *cell, uint32_t n,
                                          uint32_t width, struct diag_list *diags);

#endif
