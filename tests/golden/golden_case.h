/* A golden case (tests/data/golden/NAME): its manifest, its files, and its network built by hand
 * through the IR builder, hence independent of the model descriptions and their reader.        */
#ifndef SPIKEC_TESTS_GOLDEN_CASE_H
#define SPIKEC_TESTS_GOLDEN_CASE_H

#include "ir/ir.h"
#include "support/json.h"
#include "support/safetensors.h"

struct golden_config {
    bool v1, events, linear, exact;
    bool qkv_bias, proj_bias, mlp_bias, pool[4];
    uint32_t height, width, in_channels, dim, depth, heads, mlp_ratio, timesteps, classes;
    float scale, attn_vth, vth, tau;
};

struct golden_case {
    char folder[512];
    struct golden_config config;
    struct json_value *manifest;
    struct st_file *weights, *input, *expected; /* NULL where the case is a manifest alone */
    struct ir_module *module;                   /* stage MODEL; no data without weights */
    float *image;                               /* [n_images, image_stride] */
    uint32_t n_images;
    uint64_t image_stride;
};

/* Opens everything; what fails leaves a diagnostic. */
spk_status golden_open(const char *name, struct diag_list *d, struct golden_case *out) SPK_CHECKED;
void golden_close(struct golden_case *g);

/* Sorted names of all cases; released with file_names_fini. */
struct file_names;
spk_status golden_list(struct diag_list *d, struct file_names *out) SPK_CHECKED;

#endif
