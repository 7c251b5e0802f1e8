/* The interface between whoever wants a network run (calibration, run, verify, synth) and the
 * engines that can run it. An engine computes a whole module, image by image.                  */
#ifndef SPIKEC_IR_ENGINE_H
#define SPIKEC_IR_ENGINE_H

#include "ir/ir.h"
#include "ir/probe.h"

struct pool;

/* Input images: f32, [n, T, C, H, W] for event models (T as in the module), else [n, C, H, W];
 * behind each image the values of the module's masks, in node order (ir_input_values in all). */
struct engine_input {
    uint32_t n_images;
    const float *data;
    uint64_t image_stride; /* floats per image */
};

/* Sees every recorded value of every image, in node order within an image, images in order.
 * data is in the golden layout without the batch axis: [T, axes...], u8 or i32 elements.
 * bound <= 255: u8, else i32. Called from one thread at a time.                              */
struct engine_recorder {
    void *ctx;
    spk_status (*value)(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                        const void *data, bool is_i32);
};

/* Teacher forcing: gives, for a recorded neuron value of an image, the expected data in the
 * same layout (u8), or NULL to run free. The engine then compares, resets by the expected
 * spikes and hands the expected values on.                                                    */
struct engine_teacher {
    void *ctx;
    const uint8_t *(*expected)(void *ctx, uint32_t image, uint32_t node);
};

/* Running statistics the caller may ask for; all arrays [n_nodes], allocated by the caller,
 * zeroed by the engine's caller, accumulated over images. NULL members are skipped.           */
struct engine_stats {
    double *sum;     /* sum of all elements over T and images (rate = sum / elements) */
    double *abs_max; /* largest |x| of currents and reals */
    double *min, *max;
    uint64_t *flips;         /* teacher: spikes that differ */
    uint64_t *flips_outside; /* teacher: differ with |H - v_th| >= 1e-5 */
    uint64_t *wraps;         /* quantised: currents that left the state width */
    /* Per-channel sums for rates: [n_nodes] pointers to [channels] doubles, or NULL. */
    double **channel_sum;
};

struct engine_run {
    struct engine_input input;
    float *logits;       /* [n_images, classes]: all outputs in node order, may be NULL */
    int64_t *features;   /* quantised: [n_images, channels] counts, may be NULL */
    float *features_f32; /* float: [n_images, channels] means, may be NULL */
    const struct engine_recorder *recorder;
    const struct engine_teacher *teacher;
    struct engine_stats *stats;
    const struct probe_run *probe; /* integer neurons; NULL: none. Only of the reference engine */
    struct pool *pool;             /* NULL: serial */
    bool (*cancelled)(void *ctx);  /* may be NULL; polled between images */
    void (*progress)(void *ctx, uint64_t done, uint64_t total);
    void *progress_ctx;
};

struct engine; /* a module made ready: weights re-laid, buffers planned */

/* A run in the hands of the caller, who says which node is computed next, for all images at once,
 * looks at values in between, changes the data of params and computes nodes again. For work that
 * sets a layer by what reaches it (passes/synth.h). Float modules only.
 *   - A node may be computed once its operands have been and were not dropped since; computing it
 *     again replaces its value. Values are those of `run`.
 *   - Params are read when a node that uses them is computed, but weights of conv2d and linear may
 *     be read once for all when the engine is created: those must not change after that.
 *   - Values stay until they are dropped, or the walk ends.                                     */
struct engine_walk;
struct engine_walk_vtable {
    /* Input and pool must outlive the walk. */
    spk_status (*begin)(struct engine *e, const struct engine_input *input, struct pool *pool,
                        struct diag_list *d, struct engine_walk **out);
    spk_status (*compute)(struct engine_walk *w, uint32_t node);
    /* Per channel the mean of a value over images, steps and positions, and the mean of squares of
     * the distance to it (may be NULL); arrays [channels]. The same at any number of threads.   */
    spk_status (*moments)(struct engine_walk *w, uint32_t node, double *out_mean,
                          double *out_variance);
    void (*drop)(struct engine_walk *w, uint32_t node);
    void (*end)(struct engine_walk *w); /* NULL is allowed */
};

struct engine_vtable {
    const char *name; /* "reference", "packed", "native" */
    spk_status (*create)(const struct ir_module *m, struct diag_list *d, struct engine **out);
    spk_status (*run)(struct engine *e, const struct engine_run *r, struct diag_list *d);
    void (*destroy)(struct engine *e);
    const struct engine_walk_vtable *walk; /* NULL: this engine has none */
};

#endif
