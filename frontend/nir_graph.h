/* A NIR graph as it stands in the file, sub-graphs inlined. Only the files nir*.c include this. */
#ifndef SPIKEC_FRONTEND_NIR_GRAPH_H
#define SPIKEC_FRONTEND_NIR_GRAPH_H

#include "ir/ir.h"
#include "support/arena.h"
#include "support/diag.h"
#include "support/h5.h"
#include "support/vec.h"

#define NIR_MAX_NODES 65536u
#define NIR_MAX_EDGES ((size_t)1 << 20)
#define NIR_MAX_NAME 256u
#define NIR_MAX_DEPTH 16u
#define NIR_MAX_ELEMENTS ((uint64_t)1 << 27) /* of one tensor */
#define NIR_MAX_FEEDBACKS 4096u

enum nir_type {
    NIR_INPUT,
    NIR_OUTPUT,
    NIR_PASS, /* input or output of an inlined sub-graph: hands its input on */
    NIR_AFFINE,
    NIR_LINEAR,
    NIR_SCALE,
    NIR_CONV1D,
    NIR_CONV2D,
    NIR_SUM_POOL,
    NIR_AVG_POOL,
    NIR_FLATTEN,
    NIR_IF,
    NIR_LIF,
    NIR_LI,
    NIR_I,
    NIR_CUBA_LIF,
    NIR_CUBA_LI,
    NIR_DELAY,
    NIR_THRESHOLD
};

struct nir_node {
    enum nir_type type;
    const char *type_name;
    const char *path; /* of its group in the file */
    const char *name; /* "block.lif": of the value it becomes */
    uint32_t n_in;    /* edges into it */
};

/* feedback: carries the value of the step before. */
struct nir_edge {
    uint32_t from, to;
    bool feedback;
};

struct nir_graph {
    struct arena arena;
    VEC(struct nir_node) nodes;
    VEC(struct nir_edge) edges;
    uint32_t input, output; /* ids; IR_NONE before they are found */
    uint32_t *order;        /* [nodes], arena: every edge but feedbacks leads forward in it */
};

/* Whether a node of this type keeps state from step to step. */
bool nir_has_state(enum nir_type type);

/* Reads nodes and edges of /node and of its sub-graphs. */
spk_status nir_graph_read(const struct h5_file *file, struct diag_list *d,
                          struct nir_graph *out) SPK_CHECKED;
/* Marks feedbacks and fills `order`. A cycle without a neuron is refused. */
spk_status nir_graph_sort(const struct h5_file *file, struct diag_list *d,
                          struct nir_graph *g) SPK_CHECKED;
void nir_graph_fini(struct nir_graph *g);

/* Path of a dataset of a node, on the graph's arena; NULL when out of memory. */
const char *nir_key(struct nir_graph *g, const struct nir_node *n, const char *key);
/* Reports an error at a node of the file; SPK_ERR_INPUT. */
spk_status nir_refuse(const struct h5_file *file, struct diag_list *d, const struct nir_node *n,
                      const char *code, const char *format, ...) SPK_PRINTF(5, 6);

#endif
