/* What the readers of inputs share (private to frontend/inputs.c and pictures.c). */
#ifndef SPIKEC_FRONTEND_INPUT_READER_H
#define SPIKEC_FRONTEND_INPUT_READER_H

#include "frontend/inputs.h"

struct input_reader {
    const struct ir_node *node; /* the model's input */
    const char *name;           /* of the file or folder */
    struct fe_input_options options;
    struct diag_list *diags;
    struct fe_input *out;
};

/* Values of one image, over all its frames. */
uint64_t input_elements(const struct input_reader *r);
/* Settles how many of `available` images are used; with `convert`, allocates their buffer. */
SPK_CHECKED spk_status input_begin(struct input_reader *r, uint64_t available, bool convert);
/* table[c][byte], by the model's normalisation; without one the byte itself. spk_free. */
SPK_CHECKED spk_status input_byte_tables(const struct input_reader *r, float (**out_tables)[256]);
/* An error where the model declares no normalisation for the bytes of `what`. */
SPK_CHECKED spk_status input_need_norm(const struct input_reader *r, const char *what);
/* One frame of bytes, [H,W,C] where interleaved, else [C,H,W]; returns the end of the output. */
float *input_frame(const struct ir_type *type, float (*tables)[256], const uint8_t *bytes,
                   bool interleaved, float *out);

/* masks.c: puts the masks of the model behind every image; without a model of masks an error where
 * there is one. */
SPK_CHECKED spk_status input_add_masks(struct input_reader *r, const struct ir_module *m);

/* pictures.c: whether a path is a folder, a picture or a recording; loads it. */
SPK_CHECKED spk_status input_is_picture(const char *path, struct diag_list *diags, bool *out_is);
SPK_CHECKED spk_status input_load_pictures(struct input_reader *r);

#endif
