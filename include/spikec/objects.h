/* spikec: public C API, objects. What the jobs of spikec.h do with files, this does in memory:
 *
 *   spk_model     a network with its layers, parameters and, where bound, weights
 *   spk_weights   named arrays
 *   spk_target    a chip, as data
 *   spk_mapping   a network compiled for a chip: cores, layers, tiles
 *   spk_session   something that runs: a model, or a mapping at one of its levels
 *   spk_outputs   what one run gave
 *
 * Calls that take a context report into it: its diagnostics are those of its last call, also as
 * data (spk_context_diagnostic). All such calls return a status of spikec.h and set their last
 * argument on SPIKEC_OK, and only then; before anything else they set it to NULL. Objects are
 * whole: a call that is ended, by the callback or the time limit of its context, makes none.
 *
 * Ownership. An object belongs to who made it and is given back with its _destroy, in any order
 * and from any thread, also after its context: an object that needs another keeps it. What is
 * handed in (texts, arrays, structs) is copied and may go when the call returns, unless the call
 * says otherwise. Texts and arrays that are handed out belong to the object; they stay while it
 * does.
 *
 * Threads. Models, targets and mappings do not change once made: any number of threads may use one
 * at the same time, each with a context of its own. Weights do not change but by spk_weights_add.
 * A session is used by one thread at a time.
 *
 * Structs. The first member of every struct of this file is `struct_size`, which the caller sets:
 *     struct spk_batch b = {.struct_size = sizeof b};      C
 *     spk_batch b = {}; b.struct_size = sizeof b;          C++
 * Members are only ever added at the end, and zero means the default. A library that is older than
 * its caller refuses members that it does not know where they are not zero; one that is newer takes
 * those that it misses for zero, and writes no further than struct_size. A struct_size of 0, or one
 * that ends before the members of version 0.1 do, is SPIKEC_ERR_USAGE. The structs of spikec.h have
 * no size: the SONAME of the library changes when one of them grows. */
#ifndef SPIKEC_OBJECTS_H
#define SPIKEC_OBJECTS_H

#include "spikec.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct spk_model spk_model;
typedef struct spk_weights spk_weights;
typedef struct spk_target spk_target;
typedef struct spk_mapping spk_mapping;
typedef struct spk_session spk_session;
typedef struct spk_outputs spk_outputs;

/* ---- diagnostics ---- */

enum { SPIKEC_ERROR, SPIKEC_WARNING, SPIKEC_NOTE, SPIKEC_REMARK }; /* severity */

/* Texts are valid until the next call with the context. */
struct spk_diagnostic {
    size_t struct_size;
    int severity;
    const char *code; /* "E0404"; of a note "" */
    const char *message;
    const char *help;  /* remedy, or NULL */
    const char *file;  /* or a place in words, "net.safetensors: tensor x"; NULL: no place */
    uint32_t line;     /* from 1; 0: the place has no lines */
    uint32_t column;   /* from 1, in code points */
    uint32_t end_line; /* first place behind what is meant */
    uint32_t end_column;
    uint32_t n_notes;
};
/* Diagnostics of the last call with this context; errors beyond the first 20 and warnings beyond
 * the first 100 are not kept. */
size_t spk_context_diagnostic_count(const spk_context *context);
/* SPIKEC_ERR_USAGE where there is no such diagnostic or note. */
int spk_context_diagnostic(const spk_context *context, size_t index, struct spk_diagnostic *out);
int spk_context_diagnostic_note(const spk_context *context, size_t index, uint32_t note,
                                struct spk_diagnostic *out);

/* ---- arrays ---- */

#define SPIKEC_MAX_RANK 8

/* Element types; integers and floats little-endian, BOOL a byte of 0 or 1. */
enum {
    SPIKEC_BOOL,
    SPIKEC_U8,
    SPIKEC_I8,
    SPIKEC_I16,
    SPIKEC_U16,
    SPIKEC_F16,
    SPIKEC_BF16,
    SPIKEC_I32,
    SPIKEC_U32,
    SPIKEC_F32,
    SPIKEC_F64,
    SPIKEC_I64,
    SPIKEC_U64
};

/* A dense array, row-major, outermost axis first. */
struct spk_tensor {
    size_t struct_size;
    const char *name; /* of weights and values; else NULL */
    int dtype;
    uint32_t rank; /* 0: one number */
    uint64_t shape[SPIKEC_MAX_RANK];
    const void *data; /* any alignment; NULL where there is none (parameters without weights) */
    uint64_t size;    /* bytes: shape times element size. Checked where an array is handed in */
};

/* ---- weights ---- */

/* Empty; filled by spk_weights_add. */
int spk_weights_create(spk_context *context, spk_weights **out_weights);
/* A safetensors file or PyTorch checkpoint; `ema`: a checkpoint's copy averaged over training. */
int spk_weights_load(spk_context *context, const char *path, bool ema, spk_weights **out_weights);
/* Copies an array and its name. A name that is there already is SPIKEC_ERR_USAGE, as is an array
 * whose size is not that of its shape. Not for weights of a file. */
int spk_weights_add(spk_context *context, spk_weights *weights, const struct spk_tensor *tensor);
size_t spk_weights_count(const spk_weights *weights);
/* In the order of adding, or of the file. */
int spk_weights_at(const spk_weights *weights, size_t index, struct spk_tensor *out);
/* Writes a safetensors file, or a PyTorch checkpoint where the name ends in .pth, .pt or
 * .pth.tar. */
int spk_weights_save(spk_context *context, const spk_weights *weights, const char *path);
void spk_weights_destroy(spk_weights *weights); /* NULL is allowed, here and below */

/* ---- models ---- */

/* Loads a description (.spk, NIR, netx) by path, or a model of the zoo by name. Weights are bound
 * where options->weights names them or the description ships some; with "" for weights, none are.
 */
int spk_model_load(spk_context *context, const struct spk_model_options *options,
                   spk_model **out_model);
/* The same of a description in memory; `name` stands in messages for its path, and imports are
 * relative to its folder. Of the options only settings, binds and weights count; may be NULL. */
int spk_model_parse(spk_context *context, const char *name, const char *text, size_t length,
                    const struct spk_model_options *options, spk_model **out_model);
/* A model like `model` with these weights, bound by name: shapes agree but for trailing ones, all
 * number types are converted to F32, values are finite. All that is wrong is reported at once. */
int spk_model_with_weights(spk_context *context, spk_model *model, spk_weights *weights,
                           spk_model **out_model);
/* The model after a pipeline of passes, "a,b{x=1}" (spk_opt lists them); target NULL where no pass
 * needs one. */
int spk_model_run_passes(spk_context *context, spk_model *model, const char *passes,
                         spk_target *target, spk_model **out_model);
void spk_model_destroy(spk_model *model);

struct spk_model_info {
    size_t struct_size;
    const char *name;
    const char *stage; /* "model", "lowered" or "quantised" */
    uint32_t timesteps, classes;
    uint32_t n_values;     /* spk_model_value */
    uint32_t n_parameters; /* spk_model_parameter */
    uint32_t n_ignored;    /* spk_model_ignored */
    bool has_weights;      /* every parameter has data */
    bool framed;           /* input is a frame per time step [B,T,C,H,W], else [B,C,H,W] */
    bool normalised;       /* the description normalises bytes: U8 input is raw pixels */
    uint32_t channels, height, width; /* of the input */
};
int spk_model_describe(const spk_model *model, struct spk_model_info *out);

/* A value of the network, in the order in which they are computed. */
struct spk_value {
    size_t struct_size;
    const char *name; /* NULL: has none */
    const char *op;   /* "conv2d", "neuron", ... */
    bool recorded;    /* spikes and counts that a run can give out */
    uint32_t rank;    /* of one frame */
    uint32_t shape[3];
    uint32_t timesteps; /* 1: the same at every step */
};
int spk_model_value(const spk_model *model, uint32_t index, struct spk_value *out);
/* Its data is NULL where no weights are bound. */
int spk_model_parameter(const spk_model *model, uint32_t index, struct spk_tensor *out);
/* A tensor of the weights that the model did not ask for; NULL where there is no such index. */
const char *spk_model_ignored(const spk_model *model, uint32_t index);
/* The module as text (docs/ir.md). */
int spk_model_print(spk_context *context, const spk_model *model, spk_result **out_result);

/* ---- targets ---- */

/* A path, or the name of a target that comes with spikec. */
int spk_target_load(spk_context *context, const char *name, spk_target **out_target);
/* A description in memory (docs/targets.md); `name` stands in messages for its path. */
int spk_target_parse(spk_context *context, const char *name, const char *text, size_t length,
                     spk_target **out_target);
/* The target with other constants, "KEY=VALUE" or "SECTION.KEY=VALUE", for experiments. Basis and
 * source of a varied constant say so, and the name tells. Only what the description states can be
 * varied. */
int spk_target_vary(spk_context *context, const spk_target *target, const char *const *settings,
                    size_t n_settings, spk_target **out_target);
void spk_target_destroy(spk_target *target);

struct spk_target_info {
    size_t struct_size;
    const char *name, *description, *path;
    uint32_t cores_per_chip;
    uint32_t n_systems; /* spk_target_system */
    uint32_t n_facts;   /* spk_target_fact */
};
int spk_target_describe(const spk_target *target, struct spk_target_info *out);

/* Chips in a grid, the smallest first. */
struct spk_system {
    size_t struct_size;
    const char *name;
    uint32_t chips_x, chips_y;
};
int spk_target_system(const spk_target *target, uint32_t index, struct spk_system *out);

/* A published constant; what nobody published is not there. */
struct spk_fact {
    size_t struct_size;
    const char *section, *key; /* "limits", "neurons" */
    const char *unit, *text;   /* "compartments", "1024" */
    double value;              /* NaN where the text is no number */
    const char *basis;         /* "measured", "simulated", "derived", "assumed" */
    const char *source;
};
int spk_target_fact(const spk_target *target, uint32_t index, struct spk_fact *out);
/* SPIKEC_ERR_INPUT where it is not published, or no constant of the format. */
int spk_target_find(const spk_target *target, const char *section, const char *key,
                    struct spk_fact *out);

/* ---- mappings ---- */

/* As of spk_compile_options. */
struct spk_mapping_options {
    size_t struct_size;
    const char *attention, *schedule, *objective, *cut, *system, *placer;
    const char *rates, *constraints; /* files */
    uint64_t seed;
    bool separate_cores, remarks;
    /* Images for calibration, as of spk_batch; NULL: weights and statistics alone. */
    const struct spk_tensor *calibrate;
};
/* Compiles in memory; options may be NULL. The model needs weights. The same files and options
 * give what the tool's `compile` gives, byte for byte once saved. */
int spk_mapping_compile(spk_context *context, spk_model *model, spk_target *target,
                        const struct spk_mapping_options *options, spk_mapping **out_mapping);
/* Estimates without weights: result as of spk_estimate, also with SPIKEC_ERR_NOFIT. Of the options
 * seed, placer, schedule and calibrate do not count. */
int spk_mapping_estimate(spk_context *context, spk_model *model, spk_target *target,
                         const struct spk_mapping_options *options, spk_result **out_result);
/* A compiled folder, read or written (replaced in one step). */
int spk_mapping_load(spk_context *context, const char *folder, spk_mapping **out_mapping);
int spk_mapping_save(spk_context *context, const spk_mapping *mapping, const char *folder);
void spk_mapping_destroy(spk_mapping *mapping);

struct spk_mapping_info {
    size_t struct_size;
    const char *target, *system;
    uint32_t n_cores, n_layers, n_tiles;
    uint32_t timesteps, classes;
    uint32_t interval; /* steps from one image to the next */
    uint32_t latency;  /* steps from an image to its result */
    uint64_t neurons, synapses;
};
int spk_mapping_describe(const spk_mapping *mapping, struct spk_mapping_info *out);

/* Counted from the chip image. A limit of UINT64_MAX: the target states none. */
struct spk_core {
    size_t struct_size;
    uint32_t chip, x, y; /* x, y on the chip's mesh */
    bool engine;         /* an attention engine */
    uint32_t first_tile, n_tiles;
    uint64_t neurons, neurons_limit;
    uint64_t in_axons, in_axons_limit;
    uint64_t out_axons, out_axons_limit; /* slots */
    uint64_t synapse_bits, synapse_bits_limit;
    uint64_t synapses; /* stored weights */
};
int spk_mapping_core(const spk_mapping *mapping, uint32_t index, struct spk_core *out);

/* A block of one layer on one core: rows y0 .. y0 + ny - 1, columns x0 .. of channels c0 .., which
 * are counted in the layer's order. */
struct spk_tile {
    size_t struct_size;
    uint32_t core, layer;
    uint32_t c0, y0, x0;
    uint32_t nc, ny, nx;
};
int spk_mapping_tile(const spk_mapping *mapping, uint32_t index, struct spk_tile *out);

struct spk_layer {
    size_t struct_size;
    const char *name;
    const char *kind; /* "neuron", "pool", "relay", "attention", "input", "embedded" */
    uint32_t channels, height, width;
    uint32_t start; /* step of its first frame for image 0 */
    uint32_t n_tiles;
    uint64_t neurons, in_axons, out_axons, synapse_bits, synapses; /* sums over its tiles */
    const uint32_t *order; /* [channels] the model's channel of each; NULL: the model's order */
};
int spk_mapping_layer(const spk_mapping *mapping, uint32_t index, struct spk_layer *out);

/* Expected costs: JSON as cost.json (docs/files.md); text: the table with at most max_cores cores.
 * After spk_mapping_load it is what the folder holds. */
int spk_mapping_cost(spk_context *context, const spk_mapping *mapping, size_t max_cores,
                     spk_result **out_result);
/* As of spk_check. */
int spk_mapping_check(spk_context *context, const spk_mapping *mapping, spk_result **out_result);

/* ---- runs ---- */

/* What to run on. Used by runs and verification. */
struct spk_batch {
    size_t struct_size;
    /* [B,C,H,W], or [B,T,C,H,W] where the model takes frames, B at least 1. F32, F16, BF16, F64; U8
     * (raw pixels where the description normalises); of frames also I8, I16, U16, I32. Finite. F32
     * is used where it lies. The name does not count. */
    const struct spk_tensor *input;
    /* Runs: names of values whose spikes are wanted; or all that are recorded. */
    const char *const *record;
    size_t n_record;
    bool record_all;
    /* Verification: class of each image, or NULL. */
    const uint32_t *labels;
    size_t n_labels;
};

struct spk_session_options {
    size_t struct_size;
    const char *level;      /* of a mapping: "R", "Q" or "M" (default) */
    const char *engine;     /* of R and Q: "reference" (default), "packed", "native" */
    const char *target_cpu; /* engine native: as of spk_build_options */
};
/* Level R of a model with weights (Q of a quantised one); options may be NULL. */
int spk_session_create(spk_context *context, spk_model *model,
                       const struct spk_session_options *options, spk_session **out_session);
/* Level M is the chip image in the simulator. */
int spk_session_create_mapped(spk_context *context, spk_mapping *mapping,
                              const struct spk_session_options *options, spk_session **out_session);
void spk_session_destroy(spk_session *session);

/* Runs a batch; can be called again. Images do not depend on each other. */
int spk_session_run(spk_context *context, spk_session *session, const struct spk_batch *batch,
                    spk_outputs **out_outputs);
/* Level M: what the last run cost, as of spk_simulate (per image). SPIKEC_ERR_USAGE before a run
 * and at other levels. */
int spk_session_cost(spk_context *context, const spk_session *session, spk_result **out_result);

/* Level M: what a core did in the last run, over all its images. */
struct spk_core_activity {
    size_t struct_size;
    uint64_t synaptic_events, neuron_updates, spikes_out, messages_out, messages_in, hops;
    double energy_pj; /* of what is priced; 0 where nothing is */
    double busy_ns;   /* likewise */
};
int spk_session_core_activity(const spk_session *session, uint32_t core,
                              struct spk_core_activity *out);

/* [B, classes], F32. */
int spk_outputs_logits(const spk_outputs *outputs, struct spk_tensor *out);
/* Recorded values [T, B, axes of a frame]: U8, or I32 where counts exceed 255. */
size_t spk_outputs_count(const spk_outputs *outputs);
int spk_outputs_at(const spk_outputs *outputs, size_t index, struct spk_tensor *out);
/* SPIKEC_ERR_INPUT where none has that name. */
int spk_outputs_find(const spk_outputs *outputs, const char *name, struct spk_tensor *out);
void spk_outputs_destroy(spk_outputs *outputs);

/* Levels R, Q and M on a batch, as of spk_verify. options->level does not count. */
int spk_mapping_verify(spk_context *context, const spk_mapping *mapping,
                       const struct spk_batch *batch, const struct spk_session_options *options,
                       spk_result **out_result);

#ifdef __cplusplus
}
#endif

#endif
