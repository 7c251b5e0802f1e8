/* compile.c for other files of the room: compiling and estimating what is loaded already. */
#ifndef SPIKEC_API_COMPILE_INTERNAL_H
#define SPIKEC_API_COMPILE_INTERNAL_H

#include "api/api_internal.h"
#include "backends/chip/predict.h"

/* What compile makes of a model, before it is written. Zero-initialised; released with
 * api_built_fini. */
struct api_built {
    struct ir_module *quantised;     /* as mapped; shares tensor data with the model */
    struct constraints *constraints; /* or NULL */
    struct image image;
    bool has_image;
    struct chip_prediction prediction;
    struct strbuf mapping_json, cost_json;
};
void api_built_fini(struct api_built *b);

/* Loaded parts, all borrowed. */
struct api_parts {
    const struct api_model *model; /* with weights but for estimates, and with its hashes */
    struct tgt *target;
    const struct api_data *calibration; /* NULL: none */
    bool by_name; /* options.model can be loaded again, to tell what would fit */
    bool command; /* the options are all there is: the tool's command is told in the provenance */
};

/* `options` without model, target, output and calibration files, which serve for texts only. */
SPK_CHECKED spk_status api_compile_parts(spk_context *c, const struct api_parts *parts,
                                         const struct spk_compile_options *options,
                                         struct api_built *out);
/* spk_estimate; *out_keep: there is a result although the model does not fit. */
SPK_CHECKED spk_status api_estimate_parts(spk_context *c, const struct api_parts *parts,
                                          const struct spk_estimate_options *options,
                                          struct api_report *report, bool *out_keep);

#endif
