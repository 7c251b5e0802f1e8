/* The objects of include/spikec/objects.h from inside.
 *
 * Every object counts its owners: the caller's handle is one, each object that needs it another.
 * It is freed when the last one lets go, so that callers may destroy in any order. Objects hold no
 * context: what they report goes to the context of the call. Source texts, which spans of a module
 * point into, are kept with the object and given to the context at the beginning of a call.      */
#ifndef SPIKEC_API_OBJECT_INTERNAL_H
#define SPIKEC_API_OBJECT_INTERNAL_H

#include <stdatomic.h>

#include "api/api_internal.h"
#include "api/compile_internal.h"
#include "backends/chip/usage.h"
#include "support/safetensors.h"
#include "support/vec.h"

struct spk_weights {
    atomic_uint owners;
    char *path; /* of a file, else NULL */
    bool ema;
    struct st_file *file; /* tensors lie in it; NULL: in blocks of their own */
    struct arena names;   /* of tensors that were added */
    VEC(struct st_tensor) tensors;
    VEC(void *) owned; /* data of tensors that were added */
};

struct spk_model {
    atomic_uint owners;
    spk_model *base;             /* whose tensor data the module shares, or NULL */
    struct api_model loaded;     /* hashes stay empty, they are found when compiling */
    char *named, *named_weights; /* as the caller named them; NULL: parsed, shipped or none */
    char text_sha256[65];        /* of a parsed description, else empty */
    bool arrays;                 /* weights are arrays of the caller */
    bool ema;
    double dt;
    struct arena texts; /* of the options below */
    const char **settings, **binds;
    size_t n_settings, n_binds;
    struct diag_list sources;
};

struct spk_target {
    atomic_uint owners;
    struct tgt *target; /* its spans are not used: nothing is reported of it after loading */
    char *named; /* as the caller named it; NULL: of memory */
};

struct spk_mapping {
    atomic_uint owners;
    spk_model *model; /* NULL: of a folder; then `folder` owns its parts */
    spk_target *target;
    struct api_folder folder; /* every part; model and target borrowed from the two above */
    struct strbuf mapping_json, cost_json;
    struct chip_usage *core, *group; /* [cores], [groups] */
    struct diag_list sources;
};

/* Lets an object be used by one more owner. NULL is allowed. */
spk_model *api_model_keep(spk_model *model);
spk_target *api_target_keep(spk_target *target);
spk_mapping *api_mapping_keep(spk_mapping *mapping);
/* True for the last owner. */
bool api_drop(atomic_uint *owners);

/* ---- calls ---- */

/* Copies the sources that the context knows now, in their order, to an empty list, or back. */
SPK_CHECKED spk_status api_sources_keep(const spk_context *c, struct diag_list *out);
SPK_CHECKED spk_status api_sources_adopt(spk_context *c, const struct diag_list *sources);

/* Takes a struct of the caller (its first member is its size) into `out`, of `known` bytes, by the
 * rule of objects.h: SPK_ERR_USAGE (E1051) where the size is below `first`, the bytes of version
 * 0.1, or a member beyond `known` is not zero. NULL gives all zero. */
SPK_CHECKED spk_status api_take(spk_context *c, const void *given, size_t first, size_t known,
                                void *out);
/* The other way: fills the caller's struct up to its own size, which it keeps. */
SPK_CHECKED spk_status api_give(const void *filled, size_t first, size_t known, void *out);
#define API_TAKE(c, given, out) api_take(c, given, sizeof *(out), sizeof *(out), out)
#define API_GIVE(filled, out) api_give(filled, sizeof *(filled), sizeof *(filled), out)

/* ---- arrays ---- */

/* The caller's array as a tensor that borrows its data. SPK_ERR_USAGE (E1052): no data, unknown
 * type, rank, size; named: it needs a name. */
SPK_CHECKED spk_status api_tensor_take(spk_context *c, const struct spk_tensor *given, bool named,
                                       struct st_tensor *out);
/* What is handed out of it. */
struct spk_tensor api_tensor_view(const struct st_tensor *tensor);

/* The weights as a file of tensors, which is one more owner of them until it is closed. */
SPK_CHECKED spk_status api_weights_open(spk_context *c, spk_weights *w, struct st_file **out_file);

/* Images of a batch for a module; labels where they are given. Released with api_data_fini; the
 * caller's array is used where it lies. */
SPK_CHECKED spk_status api_batch_load(spk_context *c, const struct spk_batch *batch,
                                      const struct ir_module *m, struct api_data *out);

#endif
