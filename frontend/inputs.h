/* Input images and their labels, as an engine takes them. */
#ifndef SPIKEC_FRONTEND_INPUTS_H
#define SPIKEC_FRONTEND_INPUTS_H

#include <stddef.h>
#include <stdint.h>

#include "ir/engine.h"
#include "ir/ir.h"
#include "support/diag.h"
#include "support/events.h"
#include "support/raster.h"
#include "support/status.h"

/* Largest buffer that images are converted into, bytes; more is an error that names the --limit
 * that fits. F32 tensors need no buffer: they are used where they lie in the mapped file. */
#define FE_INPUT_MAX_BYTES ((uint64_t)8 << 30)

struct st_file;
struct st_tensor;

/* How pictures and recordings become inputs; all zero is the default. */
enum fe_frames { FE_FRAMES_TIME, FE_FRAMES_COUNT };
struct fe_input_options {
    uint64_t limit;            /* images; 0: all */
    uint32_t resize;           /* shorter side before the centre is cut out; 0: see fe_input_read */
    enum raster_filter filter; /* bicubic */
    enum fe_frames frames;     /* T frames of equal time, or of equal numbers of events */
    enum event_layout layout;  /* of AEDAT addresses: DVS128 */
    /* Of models that take masks: a safetensors file with a tensor of the mask's name, or `mask`,
     * or a NumPy array (.npy): [h,w] or [N] for all images, [B,h,w] or [B,N]; or NULL, and where
     * draws_mask is set, a share mask_ratio of the positions, drawn with mask_seed. */
    const char *mask;
    bool draws_mask;
    double mask_ratio;
    uint64_t mask_seed;
};

struct fe_input {
    struct engine_input input; /* what an engine takes; borrows from the two below */
    uint64_t n_available;      /* images in the file; input.n_images of them are used */
    struct st_file *file;      /* kept open when the data is used in place, else NULL */
    float *converted;          /* else owned */
    char **names;              /* of the files of a folder, [n_available]; else NULL */
};
/* A zero-initialised input is allowed. */
void fe_input_fini(struct fe_input *input);

/* Loads the first `limit` images (0 = all) of a file for the input of a module:
 *  - safetensors with tensor `input`: [B,C,H,W] for still images, [B,T,C,H,W] for event frames, T
 *    and the rest as in the model. Element types: F32, F16, BF16, F64 and U8; for event frames also
 *    I8, I16, U16 and I32. U8 images of a model that declares a normalisation are normalised, all
 *    other values are taken as they are.
 *  - IDX of unsigned bytes, gzip accepted: [N,H,W] or [N,H,W,C], for a model of still images whose
 *    input declares a normalisation: x = (byte/255 - mean[c]) / std[c], each step rounded to f32.
 * A wrong rank, size or element type is an error that names what was found and what is wanted; so
 * is a value that is not finite. *out_input is set only on SPK_OK; released with fe_input_fini. */
SPK_CHECKED spk_status fe_input_load(const char *path, const struct ir_module *m, uint64_t limit,
                                     struct diag_list *diags, struct fe_input *out_input);
/* The same on a file in memory, which must outlive the input; `name` is for messages. */
SPK_CHECKED spk_status fe_input_parse(const void *data, size_t size, const char *name,
                                      const struct ir_module *m, uint64_t limit,
                                      struct diag_list *diags, struct fe_input *out_input);

/* The same on one tensor, whatever its name; its data must outlive the input. */
SPK_CHECKED spk_status fe_input_tensor(const struct st_tensor *tensor, const char *name,
                                       const struct ir_module *m, struct diag_list *diags,
                                       struct fe_input *out_input);

/* The same, with options, and also for
 *  - a picture (PNG, JPEG, PPM, PGM), for still images with a declared normalisation. One of the
 *    model's size is taken as it is. Another is resized so that it just covers the model's size
 *    divided by 0.875 (for a square model: its shorter side has that length, rounded down), or so
 *    that its shorter side is options.resize, and the centre is cut out, as torchvision's Resize
 * and CenterCrop do;
 *  - a recording (support/events.h), for event frames: counts per pixel in T frames. Two channels
 *    are the polarities (0: darker, 1: brighter), one channel holds both. By time, a frame takes
 *    (last - first) / T rounded down, at least 1; by count, N / T events rounded down; the last
 *    frame takes the rest;
 *  - a folder of such files, in the order of their names. Files whose names begin with a dot are
 *    left out. */
SPK_CHECKED spk_status fe_input_read(const char *path, const struct ir_module *m,
                                     const struct fe_input_options *options,
                                     struct diag_list *diags, struct fe_input *out_input);

struct fe_labels {
    uint32_t n;      /* = images used */
    uint32_t *label; /* class of each, below the model's number of classes */
};
/* A zero-initialised object is allowed. */
void fe_labels_fini(struct fe_labels *labels);

/* Loads the labels of the images of `input`: IDX of unsigned bytes [N], gzip accepted, safetensors
 * with an integer tensor `labels` [N], or text: a line `name label` for each file of a folder, in
 * any order, or a label per line; blanks or a comma between. Fewer labels than images in the input
 * file is an error, more a warning; a label that is no class of the model is an error. */
SPK_CHECKED spk_status fe_labels_load(const char *path, const struct ir_module *m,
                                      const struct fe_input *input, struct diag_list *diags,
                                      struct fe_labels *out_labels);
/* The same on a file in memory. */
SPK_CHECKED spk_status fe_labels_parse(const void *data, size_t size, const char *name,
                                       const struct ir_module *m, const struct fe_input *input,
                                       struct diag_list *diags, struct fe_labels *out_labels);

#endif
