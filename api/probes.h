/* Probes as a user names them, and the files that they are written to. */
#ifndef SPIKEC_API_PROBES_H
#define SPIKEC_API_PROBES_H

#include "api/api_internal.h"
#include "ir/probe.h"

/* A layer that may be probed. */
struct probe_layer {
    const char *name;
    uint32_t id; /* of the points: layer of the image, or node */
    uint32_t channels, height, width;
    enum ir_layout layout;
};

struct api_probes {
    struct probe_run run; /* arrays owned, by union with what is below */
    uint32_t n_images;
    VEC(struct probe_layer) layers;
    VEC(uint32_t) first; /* [layers + 1] points of each */
    VEC(struct probe_point) points;
};

/* Whether probes and their file were given together. */
SPK_CHECKED spk_status probes_check(spk_context *c, const struct spk_probe_options *o);
/* The layers of an image, or the neurons of a quantised module; `out` is zeroed. */
SPK_CHECKED spk_status probe_layers_of_image(const struct image *im, struct api_probes *out);
SPK_CHECKED spk_status probe_layers_of_module(const struct ir_module *m, struct api_probes *out);
/* Reads "LAYER[NEURONS]" texts, makes room for n_images; layers that are not probed are dropped.
 * SPK_ERR_USAGE tells what would fit. */
SPK_CHECKED spk_status probes_read(spk_context *c, const char *const *texts, size_t n,
                                   uint32_t n_images, uint32_t timesteps, struct api_probes *io);
/* Writes the first n_images: .csv, else safetensors. `level`: "Q" or "M". */
SPK_CHECKED spk_status probes_write(spk_context *c, const struct api_probes *p, uint32_t n_images,
                                    const char *level, const char *path);
void probes_fini(struct api_probes *p);

#endif
