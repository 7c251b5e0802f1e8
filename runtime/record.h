/* Recorded values of several images, in memory and as safetensors.
 *
 * A record holds one tensor [T, B, axes...] per named value, u8 or i32, laid out as in the golden
 * cases: B images between time and the value's own axes. It is filled by an engine's recorder or
 * with record_put, or opened from a file (then its data are mapped). It serves as what is saved by
 * `--spikes`, as EXPECTED of teacher forcing, and as one side of a comparison.                 */
#ifndef SPIKEC_RUNTIME_RECORD_H
#define SPIKEC_RUNTIME_RECORD_H

#include "ir/engine.h"

/* Largest record that is collected unless the caller says otherwise. */
#define RECORD_DEFAULT_BYTES ((uint64_t)4 << 30)

struct record_tensor {
    const char *name;
    bool is_i32;
    bool neuron; /* spikes of a neuron layer; false: sums, and tensors of a file */
    uint32_t timesteps;
    uint32_t n_axes; /* of one frame */
    uint64_t axis[3];
    uint64_t frame_elements; /* product of the axes */
    const uint8_t *data;     /* [T][B][frame_elements]; i32 data may be unaligned */
};

struct record;

/* Axes of one frame of a value as files have them; returns how many. */
uint32_t record_axes(const struct ir_type *type, uint64_t axis[3]);

/* An empty record for n_images images; more than limit_bytes of data (0: the default above) are
 * refused with SPK_ERR_INPUT and a remedy. */
spk_status record_create(uint32_t n_images, uint64_t limit_bytes, struct record **out) SPK_CHECKED;
void record_destroy(struct record *r); /* NULL is allowed */

/* Adds a zero-filled tensor; SPK_ERR_INTERNAL when the name is there already. */
spk_status record_add(struct record *r, const char *name, const struct ir_type *type, bool neuron,
                      struct diag_list *d, uint32_t *out_index) SPK_CHECKED;
/* Adds a tensor for every recorded value of the module, in node order, and binds the record to it:
 * record_recorder then takes its values. The module must outlive the record. */
spk_status record_add_module(struct record *r, const struct ir_module *m,
                             struct diag_list *d) SPK_CHECKED;
/* Recorder of the module bound last. */
struct engine_recorder record_recorder(struct record *r);
/* All frames of one image: [T][frame_elements], u8 or i32 as the tensor says. */
spk_status record_put(struct record *r, uint32_t index, uint32_t image,
                      const void *data) SPK_CHECKED;

/* Leaves only the first n images, of a record in memory; n at most its images. */
void record_keep_first(struct record *r, uint32_t n);

uint32_t record_images(const struct record *r);
uint32_t record_count(const struct record *r);
const struct record_tensor *record_at(const struct record *r, uint32_t index);
uint32_t record_index(const struct record *r, const char *name); /* IR_NONE: no such tensor */
const struct record_tensor *record_find(const struct record *r, const char *name); /* or NULL */
/* Element i of a frame. */
int32_t record_get(const struct record *r, const struct record_tensor *t, uint32_t step,
                   uint32_t image, uint64_t i);

/* Writes all tensors, then `features` [B, channels] and `logits` [B, classes] (either may be
 * NULL), atomically. With a module, `logits` holds the values of all its outputs, image by image,
 * and each output is written under its own name, [B, axes...]. */
struct record_outputs {
    const float *features, *logits;
    uint32_t channels, classes;
    const struct ir_module *module; /* or NULL */
};
spk_status record_save(const struct record *r, const struct record_outputs *outputs,
                       const char *path, struct diag_list *d) SPK_CHECKED;

/* Opens EXPECTED: all U8 and I32 tensors of rank 3 to 5; others (features, logits) are skipped.
 * Tensors with different numbers of images are an error. */
spk_status record_open(const char *path, struct diag_list *d, struct record **out) SPK_CHECKED;

/* Teacher forcing from a record: every recorded neuron value of the module must be there with its
 * shape and at least n_images images; what is wrong is reported with name and both shapes. The
 * record must outlive the teacher. Image k of the run is image first + k of the record. */
struct record_teacher;
spk_status record_teacher_create(const struct record *r, const struct ir_module *m, uint32_t first,
                                 uint32_t n_images, struct diag_list *d,
                                 struct record_teacher **out) SPK_CHECKED;
void record_teacher_destroy(struct record_teacher *t); /* NULL is allowed */
struct engine_teacher record_teacher_engine(struct record_teacher *t);

#endif
