/* Reading the layers of a lava-dl network; only the files netx*.c include this. */
#ifndef SPIKEC_FRONTEND_NETX_LAYER_H
#define SPIKEC_FRONTEND_NETX_LAYER_H

#include "ir/ir.h"
#include "support/arena.h"
#include "support/diag.h"
#include "support/h5.h"

#define NETX_MAX_ELEMENTS ((uint64_t)1 << 27) /* of one tensor */

struct netx {
    const struct h5_file *file;
    struct diag_list *d;
    struct ir_module *m;
    struct arena arena;
    const char *path; /* of the layer, "layer/3" */
    uint32_t index;
    uint32_t at; /* the value of the layer before */
    bool flat;   /* its map has been flattened */
};

/* Reports an error at a dataset of the layer ("": the layer itself); SPK_ERR_INPUT. */
spk_status netx_refuse(const struct netx *x, const char *key, const char *code, const char *format,
                       ...) SPK_PRINTF(4, 5);
/* Path of a dataset of the layer, NULL when out of memory. */
const char *netx_path(struct netx *x, const char *key);
/* Whole numbers in a range, on the heap; count 0 where `needed` is false and there are none. */
spk_status netx_whole(struct netx *x, const char *key, bool needed, double least, double most,
                      struct h5_info *info, double **out) SPK_CHECKED;
/* `count` of them, given as one each or one for all; `absent` where there are none, an error where
 * that is below 0. */
spk_status netx_few(struct netx *x, const char *key, int64_t absent, double least, double most,
                    uint32_t count, int64_t *out) SPK_CHECKED;
/* A string, of rank 0 or alone in a list. */
spk_status netx_word(struct netx *x, const char *key, const char **out) SPK_CHECKED;
/* Refuses datasets that are not among the blank-separated `known`. */
spk_status netx_keys(struct netx *x, const char *type, const char *known) SPK_CHECKED;
/* Adds param "layer.<i>.<key>"; data (heap) changes owner also on failure. */
spk_status netx_param(struct netx *x, const char *key, enum ir_dtype type, uint32_t rank,
                      const uint32_t *dim, void *data, uint32_t *out) SPK_CHECKED;
/* Adds a node on the value of the layer before, which it then is. name may be NULL. */
spk_status netx_node(struct netx *x, struct ir_node *n, const char *name) SPK_CHECKED;

/* netx_layer.c: the layers with neurons. */
spk_status netx_dense(struct netx *x) SPK_CHECKED;
spk_status netx_conv(struct netx *x) SPK_CHECKED;

#endif
