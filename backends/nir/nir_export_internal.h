/* What the files of the back end `nir` share. */
#ifndef SPIKEC_BACKENDS_NIR_NIR_EXPORT_INTERNAL_H
#define SPIKEC_BACKENDS_NIR_NIR_EXPORT_INTERNAL_H

#include "backends/nir/nir_export.h"
#include "support/arena.h"
#include "support/h5.h"
#include "support/vec.h"

struct nirx_edge {
    uint32_t from, to;
};
struct nirx_ids VEC_FIELDS(uint32_t);

/* One graph being written. */
struct nirx {
    const struct ir_module *m;
    struct diag_list *d;
    double dt;
    struct h5_file *file;
    struct arena arena;
    VEC(const char *) name; /* of the NIR nodes */
    VEC(struct nirx_edge) edge;
    uint32_t *node;  /* [values] NIR node of an IR value, IR_NONE: none of its own */
    uint32_t *first; /* [values] NIR node that takes its operands, where it is another one */
};

/* The shape that a value has in NIR: [c], [c, n] or [c, h, w]; returns the rank. */
uint32_t nirx_shape(const struct ir_type *t, uint64_t dims[3]);

/* Adds a node called `name`, or that with a number where it is taken. */
spk_status nirx_node(struct nirx *x, const char *name, const char *type, uint32_t *out) SPK_CHECKED;
spk_status nirx_edge(struct nirx *x, uint32_t from, uint32_t to) SPK_CHECKED;
/* Datasets of a node. numbers: F32 where that keeps every value, else F64. */
spk_status nirx_numbers(struct nirx *x, uint32_t node, const char *key, uint32_t rank,
                        const uint64_t *dims, const double *data) SPK_CHECKED;
spk_status nirx_floats(struct nirx *x, uint32_t node, const char *key, uint32_t rank,
                       const uint64_t *dims, const float *data) SPK_CHECKED;
spk_status nirx_integers(struct nirx *x, uint32_t node, const char *key, uint32_t count,
                         const int64_t *data) SPK_CHECKED; /* count 0: a scalar */
/* The same value for every element of the shape. */
spk_status nirx_filled(struct nirx *x, uint32_t node, const char *key, const struct ir_type *t,
                       double value) SPK_CHECKED;
/* Reports an error at IR node `id`; SPK_ERR_INPUT. */
spk_status nirx_refuse(struct nirx *x, uint32_t id, const char *code, const char *format, ...)
    SPK_PRINTF(4, 5);

/* nir_export_neuron.c: the node of a neuron or membrane. */
spk_status nirx_neuron(struct nirx *x, uint32_t id) SPK_CHECKED;
/* nir_export_linear.c: nodes of conv2d, linear, scale, reshape and lag. */
spk_status nirx_linear(struct nirx *x, uint32_t id) SPK_CHECKED;
/* Whether a scale does nothing but make currents of spikes, as the reader does by itself. */
bool nirx_is_identity(const struct ir_module *m, const struct ir_node *n);

#endif
