/* Trained weights: binds the tensors of a file, safetensors or PyTorch checkpoint, to the params of
 * a module. */
#ifndef SPIKEC_FRONTEND_WEIGHTS_H
#define SPIKEC_FRONTEND_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ir/ir.h"
#include "support/diag.h"
#include "support/status.h"

struct st_file;

struct fe_weights_report {
    uint32_t n_bound, n_in_place, n_converted; /* params; bound = in place + converted */
    uint64_t elements;                         /* of all bound params */
    uint32_t n_ignored;
    char **ignored; /* names of the file's tensors that nobody asked for, in the file's order; then
                     * what a checkpoint holds beside tensors, in words */
};
/* A zero-initialised report is allowed. */
void fe_weights_report_fini(struct fe_weights_report *report);

/* Binds every param of the module by name to a tensor of the file `path`. Shapes must agree but for
 * trailing ones: [O,I], [O,I,1] and [O,I,1,1] are the same. F32 data is used where it lies in the
 * mapped file, which the module then keeps open; every other number type is converted to f32.
 * Other names of a checkpoint are bound when the model is loaded (frontend/model.h): the module's
 * params then carry the checkpoint's names.
 * Errors, all reported in one run, each with the tensor's name: missing tensors, other shapes,
 * BOOL tensors, values that are not finite, running variances below zero. SPK_ERR_INPUT then, and
 * the module is unchanged. num_batches_tracked is skipped in silence, other tensors that nobody
 * asked for are listed in the report. out_report may be NULL; otherwise it is released with
 * fe_weights_report_fini (it is valid, and empty, on error). */
SPK_CHECKED spk_status fe_weights_bind(struct ir_module *m, const char *path,
                                       struct diag_list *diags,
                                       struct fe_weights_report *out_report);

/* The same; `ema`: a checkpoint's averaged copy of the weights (support/pth.h). */
SPK_CHECKED spk_status fe_weights_bind_ema(struct ir_module *m, const char *path, bool ema,
                                           struct diag_list *diags,
                                           struct fe_weights_report *out_report);

/* The same on a file in memory; `data` must outlive the module, `name` is for messages. */
SPK_CHECKED spk_status fe_weights_bind_memory(struct ir_module *m, const void *data, size_t size,
                                              const char *name, struct diag_list *diags,
                                              struct fe_weights_report *out_report);

/* The same on an open file, which is taken over, also on an error. */
SPK_CHECKED spk_status fe_weights_bind_tensors(struct ir_module *m, struct st_file *file,
                                               struct diag_list *diags,
                                               struct fe_weights_report *out_report);

#endif
