/* PyTorch checkpoints (.pth, .pt, .pth.tar), read and written without PyTorch.
 *
 * Both formats of torch.save: the zip archive, and the plain pickle stream from before 1.6. The
 * pickle is read as data (support/pickle.h): no code of the file is ever run. What a tensor is made
 * of is a fixed list of names (torch._utils._rebuild_tensor_v2 and its kin, torch.FloatStorage …);
 * any other name is an error with its place where it stands for a tensor, and is left aside where
 * it stands beside the state dict (optimizer, arguments).
 *
 * Which dict: the value of `state_dict`, `model_state_dict`, `model`, `net`, `network` or `module`,
 * the first that holds tensors, again within it; else the whole. Dicts in it are flattened, names
 * joined by '.'. A beginning `module.` or `_orig_mod.` that all names have is taken off. Copies
 * averaged over training (`state_dict_ema`, `model_ema`, …) are read on request. */
#ifndef SPIKEC_SUPPORT_PTH_H
#define SPIKEC_SUPPORT_PTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/file.h"
#include "support/safetensors.h"
#include "support/status.h"

#define PTH_MAX_TENSORS ((size_t)1 << 18)

/* Whether bytes begin as a checkpoint does: zip, or a pickle of torch.save's magic number. */
bool pth_is_checkpoint(const uint8_t *data, size_t size);

/* Reads a checkpoint in memory, which must outlive the object. Contiguous tensors lie where they
 * are in `data`, others are copied. Checksums of all storages in use are compared. `ema`: the
 * averaged copy instead of the weights. */
SPK_CHECKED spk_status pth_open_memory(const uint8_t *data, size_t size, const char *name, bool ema,
                                       struct diag_list *diags, struct st_file **out_file);
/* The same on a mapped file; closes the map, on error at once. */
SPK_CHECKED spk_status pth_open_map(struct file_map map, const char *name, bool ema,
                                    struct diag_list *diags, struct st_file **out_file);

/* Writes a zip archive that torch.load reads, also with weights_only: an OrderedDict of the
 * tensors, each with a storage of its own. U16, U32 and U64 have no such storage: an error. Atomic;
 * the same tensors give the same bytes. */
SPK_CHECKED spk_status pth_save(const struct st_tensor *tensors, size_t n, const char *path,
                                struct diag_list *diags);

/* A file of tensors, safetensors or checkpoint: told by its content. `ema` as above; an error where
 * there is no such copy. */
SPK_CHECKED spk_status tensor_file_open(const char *path, bool ema, struct diag_list *diags,
                                        struct st_file **out_file);
SPK_CHECKED spk_status tensor_file_open_memory(const void *data, size_t size, const char *name,
                                               bool ema, struct diag_list *diags,
                                               struct st_file **out_file);

#endif
