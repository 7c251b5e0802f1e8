/* Building the IR of a NIR graph; only the files nir*.c include this. */
#ifndef SPIKEC_FRONTEND_NIR_LOWER_H
#define SPIKEC_FRONTEND_NIR_LOWER_H

#include "frontend/nir_graph.h"

/* What a node hands on. NIR's tensors have 1 to 3 axes; the IR's value is [C, H, W] with the same
 * elements in the same (row-major) order: [n] is [n, 1, 1] and [c, l] is [c, 1, l], unless a
 * Flatten has joined axes, which moves no element and so leaves the IR's value as it is. */
struct nir_value {
    uint32_t id; /* IR_NONE: not built */
    uint32_t rank;
    uint64_t dim[3];
};

/* Numbers of a dataset. */
struct nir_array {
    double *data; /* heap */
    uint64_t count;
    uint32_t rank;
    uint64_t dims[H5_MAX_RANK];
};

struct nir_settings {
    uint32_t timesteps;
    double dt;          /* 0: unknown */
    bool fixed, analog; /* fixed: one frame for all steps */
    uint32_t n_norm;
    float mean[4], std[4]; /* of bytes, in files that spikec wrote */
};

/* The caller's settings, else the file's metadata. */
struct fe_options;
spk_status nir_settings_read(const struct h5_file *file, const struct fe_options *options,
                             struct diag_list *d, struct nir_settings *out) SPK_CHECKED;

struct nir_lower {
    const struct h5_file *file;
    struct diag_list *d;
    struct nir_graph *g;
    struct ir_module *m;
    struct nir_value *value; /* [nodes] */
    uint32_t *lag;           /* [edges] feedback node of an edge, IR_NONE */
    double dt;               /* 0: unknown */
};

/* Reads a dataset of finite numbers; `needed` false: a missing one has count 0. */
spk_status nir_array_read(struct nir_lower *l, const struct nir_node *n, const char *key,
                          bool needed, struct nir_array *out) SPK_CHECKED;
void nir_array_fini(struct nir_array *a);

/* Adds param "<node>.<key>" of these dims; data (heap, float) changes owner also on failure. */
spk_status nir_param(struct nir_lower *l, const struct nir_node *n, const char *key, uint32_t rank,
                     const uint32_t *dim, float *data, uint32_t *out) SPK_CHECKED;
/* Adds an IR node with the node's name (named: spikes are recorded) and place. */
spk_status nir_add(struct nir_lower *l, const struct nir_node *n, struct ir_node *node, bool named,
                   uint32_t *out) SPK_CHECKED;
/* SPK_ERR_INPUT where the step is not known. */
spk_status nir_need_dt(struct nir_lower *l, const struct nir_node *n) SPK_CHECKED;
uint64_t nir_elements(const struct nir_value *v);
/* "[2, 8, 8]" */
void nir_shape_text(const struct nir_value *v, struct strbuf *out);

/* Each builds the value of node n from `in` (the sum of what comes in): nir_linear.c, nir_neuron.c
 */
spk_status nir_affine(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                      struct nir_value *out) SPK_CHECKED;
spk_status nir_scale(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                     struct nir_value *out) SPK_CHECKED;
spk_status nir_conv(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                    struct nir_value *out) SPK_CHECKED;
spk_status nir_pool(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                    struct nir_value *out) SPK_CHECKED;
spk_status nir_flatten(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                       struct nir_value *out) SPK_CHECKED;
spk_status nir_neuron(struct nir_lower *l, const struct nir_node *n, const struct nir_value *in,
                      struct nir_value *out) SPK_CHECKED;
/* in: what comes in without feedback, or IR_NONE */
spk_status nir_delay_steps(struct nir_lower *l, const struct nir_node *n,
                           uint32_t *out) SPK_CHECKED;

#endif
