/* Hypergraphs of neurons or clusters from files, and to files: hMETIS (.hgr), the binary exchange
 * format of AxonFlow (.snn) and cluster graphs (.cg); docs/files.md describes all three. */
#ifndef SPIKEC_FRONTEND_HYPERGRAPH_FILE_H
#define SPIKEC_FRONTEND_HYPERGRAPH_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "frontend/cluster_file.h"
#include "ir/cluster_graph.h"
#include "support/diag.h"
#include "support/status.h"

struct fe_hypergraph {
    char name[FE_CLUSTER_NAME_MAX + 1]; /* of a .cg file, else made from the file's name */
    uint32_t mesh_w, mesh_h;            /* of a .cg file, else 0 */
    struct ir_cluster_graph graph;
    uint32_t *size; /* [n_clusters] vertex weights of a .hgr file; NULL: all 1 */
};
/* A zero-initialised object is allowed. */
void fe_hypergraph_fini(struct fe_hypergraph *hypergraph);

/* Which pin of a line of a .hgr file sends: hMETIS knows no direction. */
enum fe_hgr_source {
    FE_SOURCE_FIRST,
    FE_SOURCE_LAST,
    FE_SOURCE_NONE /* all pins receive; the first stands for the source, so that messages are
                    * hMETIS' sum of w (lambda - 1) */
};

enum fe_hypergraph_format { FE_FORMAT_NONE, FE_FORMAT_HGR, FE_FORMAT_SNN, FE_FORMAT_CG };
/* By the end of the name. */
enum fe_hypergraph_format fe_hypergraph_format_of(const char *path);

/* Reads a file in the format of its name, one of another name as `other` (FE_FORMAT_NONE: refused,
 * SPK_ERR_USAGE). What is wrong is an error with its place, SPK_ERR_INPUT; the first one ends the
 * reading. Memory is bounded by the size of the file. *out is set only on SPK_OK and its graph then
 * passes ir_cluster_graph_check. */
SPK_CHECKED spk_status fe_hypergraph_load(const char *path, enum fe_hypergraph_format other,
                                          enum fe_hgr_source source, struct diag_list *diags,
                                          struct fe_hypergraph *out);
/* The same on bytes in memory; `name` is for messages. */
SPK_CHECKED spk_status fe_hgr_parse(const char *text, size_t length, const char *name,
                                    enum fe_hgr_source source, struct diag_list *diags,
                                    struct fe_hypergraph *out);
SPK_CHECKED spk_status fe_snn_parse(const uint8_t *data, size_t length, const char *name,
                                    struct diag_list *diags, struct fe_hypergraph *out);

/* Writes a file in the format of its name, in one step. What the format cannot hold is an error
 * that names it, SPK_ERR_INPUT: .hgr has whole weights from 0 to 2^31 - 1 and no source among its
 * own destinations, .snn has weights that are exact in 32-bit floats and no vertex weights, .cg no
 * vertex weights. A .cg file gets the mesh, or where that is 0 the smallest nearly square one. */
SPK_CHECKED spk_status fe_hypergraph_write(const char *path, const struct fe_hypergraph *hypergraph,
                                           struct diag_list *diags);

/* The smallest nearly square mesh for n clusters. */
void fe_mesh_for(uint32_t n, uint32_t *out_width, uint32_t *out_height);

#endif
