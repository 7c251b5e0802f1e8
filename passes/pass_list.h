/* Entry points of all passes, for the registry only (pass_registry.c). Contracts of the function
 * type: pass.h; of each pass: the registry row and the head of its file.                      */
#ifndef SPIKEC_PASSES_PASS_LIST_H
#define SPIKEC_PASSES_PASS_LIST_H

#include "passes/pass.h"

spk_status pass_infer_shapes(const struct pass_context *c, const int64_t *options,
                             const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_encoder(const struct pass_context *c, const int64_t *options,
                        const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_hoist_constant(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_cse(const struct pass_context *c, const int64_t *options,
                    const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_dce(const struct pass_context *c, const int64_t *options,
                    const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_fold_batchnorm(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_fuse_linear(const struct pass_context *c, const int64_t *options,
                            const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_lower(const struct pass_context *c, const int64_t *options,
                      const struct ir_module *in, struct ir_module **out) SPK_CHECKED;

enum order_option { ORDER_AUTO, ORDER_KV_FIRST, ORDER_QK_FIRST };
spk_status pass_order_attention(const struct pass_context *c, const int64_t *options,
                                const struct ir_module *in, struct ir_module **out) SPK_CHECKED;

enum quantise_option { QUANTISE_CLIP, QUANTISE_CORRECT, QUANTISE_IMAGES, QUANTISE_THRESHOLDS };
spk_status pass_quantise(const struct pass_context *c, const int64_t *options,
                         const struct ir_module *in, struct ir_module **out) SPK_CHECKED;

enum choose_option { CHOOSE_LOWERING, CHOOSE_OBJECTIVE };
enum choose_lowering {
    CHOOSE_AUTO,
    CHOOSE_AND_LIF,
    CHOOSE_EMBEDDED,
    CHOOSE_PRODUCT,
    CHOOSE_SERIAL,
    CHOOSE_PLASTIC,
    CHOOSE_ENGINE
};
spk_status pass_choose_attention(const struct pass_context *c, const int64_t *options,
                                 const struct ir_module *in, struct ir_module **out) SPK_CHECKED;

spk_status pass_fan_out(const struct pass_context *c, const int64_t *options,
                        const struct ir_module *in, struct ir_module **out) SPK_CHECKED;
spk_status pass_balance_delays(const struct pass_context *c, const int64_t *options,
                               const struct ir_module *in, struct ir_module **out) SPK_CHECKED;

#endif
