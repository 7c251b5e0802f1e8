/* spikec: public C API. This header has contexts and jobs; objects.h, which it includes, has
 * networks, chips and mappings as objects in memory.
 *
 * A context holds diagnostics, threads and callbacks; one call does one job of the command line
 * (compile, run, simulate, verify, ...). Every job takes a struct of options, whose zero value is
 * the default, and gives a result with two renderings: JSON for machines and text for people. The
 * result of a job that fails half way is empty; the context then tells why.
 *
 * Thread safety: a context may be used by one thread at a time; different contexts are
 * independent. Ownership: strings given in stay the caller's; results belong to the caller and are
 * released with spk_result_free. Nothing here prints, exits or keeps global state.              */
#ifndef SPIKEC_SPIKEC_H
#define SPIKEC_SPIKEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Status of a job; the values 0 to 5 and 70 are the exit codes of the tool. */
enum {
    SPIKEC_OK = 0,
    SPIKEC_DIFFERENCE = 1, /* verify or check found a difference */
    SPIKEC_ERR_USAGE = 2,  /* wrong options */
    SPIKEC_ERR_INPUT = 3,  /* bad model, weights, target or input file */
    SPIKEC_ERR_NOFIT = 4,  /* does not fit on the target */
    SPIKEC_ERR_IO = 5,     /* file or system error */
    SPIKEC_ERR_NOMEM = 6,
    SPIKEC_ERR_CANCELLED = 7,
    SPIKEC_ERR_INTERNAL = 70
};

typedef struct spk_context spk_context;
typedef struct spk_result spk_result;

struct spk_context_options {
    uint32_t threads; /* 0: all online processors */
    /* Progress of long work; total 0: unknown. May be NULL. */
    void (*progress)(void *user, const char *label, uint64_t done, uint64_t total);
    /* Polled now and then, also from the context's own threads, one at a time; true ends the job
     * with SPIKEC_ERR_CANCELLED. place, partition, compile while it places, run, simulate, verify
     * and explore then still give a result, the best or what is finished so far, and write it. May
     * be NULL. */
    bool (*cancelled)(void *user);
    void *user;
    /* Seconds from the start of a job after which it ends likewise, but with SPIKEC_OK where it has
     * a result; 0: none. What such a result is depends on the machine's speed. */
    double time_limit;
};

/* "0.1.0" */
const char *spk_version(void);
/* How this library was built, as lines "what: how": compiler, build, processor, and the libraries
 * it was built with. */
const char *spk_build_facts(void);

int spk_context_create(const struct spk_context_options *options, spk_context **out_context);
void spk_context_destroy(spk_context *context); /* NULL is allowed */

/* Diagnostics of the last job: rendered with source lines and carets, or as a JSON array. Valid
 * until the next job of the context. */
const char *spk_context_diagnostics(spk_context *context);
const char *spk_context_diagnostics_json(spk_context *context);

/* The two renderings of a result; valid until spk_result_free. `text` may be empty. */
const char *spk_result_json(const spk_result *result);
const char *spk_result_text(const spk_result *result);
void spk_result_free(spk_result *result); /* NULL is allowed */

/* What every job with a model takes. `settings` are "NAME=VALUE", `binds` "FROM=TO" texts. */
struct spk_model_options {
    const char *model;   /* path, or name of a zoo model; where allowed a compiled folder */
    const char *weights; /* safetensors or PyTorch checkpoint; NULL: the zoo model's own */
    bool ema;            /* of a checkpoint the copy averaged over training */
    const char *const *settings;
    size_t n_settings;
    const char *const *binds;
    size_t n_binds;
    double dt; /* of a NIR graph: time step in seconds; 0: the file's */
};

/* How pictures and recordings of events become inputs; NULL and 0 are the defaults. */
struct spk_input_form {
    const char *interpolation; /* "bicubic" (default) or "bilinear" */
    const char *frames;        /* T frames of equal "time" (default) or equal "count" of events */
    const char *aedat;         /* addresses of AEDAT files: "dvs128" (default), "cifar10dvs" */
    uint32_t resize;           /* shorter side before the centre is cut; 0: model's size / 0.875 */
};

/* Images and labels; limit 0: all images. */
struct spk_data_options {
    const char *input, *labels;
    uint64_t limit;
    struct spk_input_form form;
    /* Of models that take a mask (docs/language.md): a safetensors or .npy file, or NULL and the
     * share of patches to hide, up to 1, drawn with a seed; below 0 nothing is hidden, 0 is no
     * mask. */
    const char *mask;
    double mask_ratio;
    uint64_t mask_seed;
};

/* Neurons whose membranes and spikes are wanted, "LAYER[NEURONS]" each (docs/commands.md,
 * simulate), and the file for them: .csv, or safetensors. */
struct spk_probe_options {
    const char *const *probe;
    size_t n_probes;
    const char *output; /* needed where there are probes */
};

/* run: computes level R or Q; writes `out` (logits) and `spikes` where asked. */
struct spk_run_options {
    struct spk_model_options model;
    struct spk_data_options data;
    const char *level;      /* "R" (default) or "Q" (compiled folders) */
    const char *engine;     /* "reference" (default), "packed", "native" */
    const char *target_cpu; /* engine native: as of spk_build_options */
    const char *teacher;    /* expected values to force, or NULL */
    const char *out, *spikes, *rates_out;
    uint32_t repeat; /* timed runs; 0: one */
    bool profile;    /* time and additions of every projection; one image, engine packed */
    struct spk_probe_options probes; /* level Q, engine reference */
};
int spk_run(spk_context *context, const struct spk_run_options *options, spk_result **out_result);

/* build: a network as machine code, with a C header beside it that tells how to call it. `output`
 * says what: NAME.so, NAME.o or NAME.ll (LLVM's text); the header is NAME.h. */
struct spk_build_options {
    struct spk_model_options model; /* or a compiled folder */
    const char *level;              /* of a compiled folder: "R" (default) or "Q" */
    const char *quantised;          /* a target in whose integers a model is computed, or NULL */
    const char *calibrate;          /* images for that, or NULL */
    uint64_t calibrate_limit;       /* 0: 512 */
    struct spk_input_form form;
    const char *target_cpu; /* "native" (default), "generic", "x86-64-v3", ... */
    const char *output;
};
int spk_build(spk_context *context, const struct spk_build_options *options,
              spk_result **out_result);

/* synth: random weights and batch-norm statistics with which every spiking layer fires at about
 * `rate`, for planning before training; writes them to `output` (safetensors). Images: data.input,
 * or synthetic ones (data.limit many; 0: as many as are enough). */
struct spk_synth_options {
    struct spk_model_options model; /* weights are not read */
    struct spk_data_options data;   /* no labels */
    double rate;                    /* in (0, 1) */
    uint64_t seed;
    const char *output;
    const char *input_out; /* writes the images that were used, or NULL */
    const char *rates_out; /* writes the rates that were reached, or NULL */
};
int spk_synth(spk_context *context, const struct spk_synth_options *options,
              spk_result **out_result);

/* compile: model + weights + target -> folder `output` (replaced in one step). */
struct spk_compile_options {
    struct spk_model_options model;
    const char *target, *output;
    const char *calibrate;    /* images for calibration, or NULL */
    uint64_t calibrate_limit; /* 0: 512 */
    struct spk_input_form form;
    const char *attention; /* lowering; NULL: chosen */
    const char *schedule;  /* "pipelined" (default) */
    const char *objective; /* "cores" (default), "energy", "latency", "traffic" */
    const char *system, *rates;
    const char *placer;      /* as of spk_place_options */
    const char *constraints; /* file of places to avoid, pins, bits of weights (YAML), or NULL */
    const char *cut;         /* "auto" (default), "tiles", "neurons" */
    uint64_t seed;
    bool separate_cores; /* no core holds more than one tile */
    bool remarks;
};
int spk_compile(spk_context *context, const struct spk_compile_options *options,
                spk_result **out_result);

/* attention: operations and compute energy (45 nm, as the papers count) of every spiking attention
 * of a model, beside those of softmax attention of the same size. No weights needed. */
struct spk_attention_options {
    struct spk_model_options model; /* weights are not read */
    const char *rates;              /* firing rates by value name, or NULL: the declared one */
};
int spk_attention(spk_context *context, const struct spk_attention_options *options,
                  spk_result **out_result);

/* reconstruct: a masked autoencoder (an image and a mask of patches in, pixels of patches out) as a
 * picture: per image a row of the image, the image with hidden patches grey, and the hidden patches
 * reconstructed. data.limit 0: 8 images. */
struct spk_reconstruct_options {
    struct spk_model_options model;
    struct spk_data_options data; /* no labels */
    const char *output;           /* .png, replaced in one step */
    const char *out;              /* writes the model's outputs (safetensors), or NULL */
};
int spk_reconstruct(spk_context *context, const struct spk_reconstruct_options *options,
                    spk_result **out_result);

/* estimate: cores and the paper's energy figure, no weights needed. Fails with SPIKEC_ERR_NOFIT,
 * and still gives a result (with the energy figure), where the model does not fit. */
struct spk_estimate_options {
    struct spk_model_options model;
    const char *target, *attention, *objective, *system, *rates;
    const char *constraints; /* as of spk_compile_options */
    const char *cut;         /* as of spk_compile_options */
    bool separate_cores;
    bool remarks;
};
int spk_estimate(spk_context *context, const struct spk_estimate_options *options,
                 spk_result **out_result);

/* check: independent legality and completeness check of a compiled folder. */
int spk_check(spk_context *context, const char *folder, spk_result **out_result);

/* simulate: the chip image of a folder on images; writes the dynamic figures into the folder's
 * cost.json. */
struct spk_simulate_options {
    const char *folder;
    struct spk_data_options data;
    const char *out, *spikes;
    struct spk_probe_options probes;
};
int spk_simulate(spk_context *context, const struct spk_simulate_options *options,
                 spk_result **out_result);

/* verify: R, Q and M on the same images, compared. SPIKEC_DIFFERENCE where M differs from Q. */
struct spk_verify_options {
    const char *folder;
    struct spk_data_options data;
    const char *levels; /* "R,Q,M" (default) */
    const char *engine; /* of levels R and Q: as of run */
};
int spk_verify(spk_context *context, const struct spk_verify_options *options,
               spk_result **out_result);

/* export: a compiled folder for another program, into folder `output` (replaced in one step). To
 * netx and nir the folder may be a model: then `model` has its weights, settings and bindings. */
struct spk_export_options {
    const char *folder, *to, *output; /* to: "brian", "netx", "nir", "sanafe" */
    struct spk_data_options data;     /* no labels; only for formats that are driven by images */
    uint32_t segment, segments;       /* sanafe: part 1 .. segments of the network; 0: all */
    struct spk_model_options model;   /* of formats that take models; model.model is not used */
};
int spk_export(spk_context *context, const struct spk_export_options *options,
               spk_result **out_result);

/* compare-sanafe: results of SANA-FE (its folder) against what the exported folder expects.
 * SPIKEC_DIFFERENCE where a spike differs or an energy by more than 0.1 %. */
int spk_compare_sanafe(spk_context *context, const char *folder, const char *results,
                       spk_result **out_result);

/* opt: runs passes on a model or a .sir file; the text of the result is the printed module. */
struct spk_opt_options {
    struct spk_model_options model;
    const char *passes;      /* "a,b{x=1}" */
    const char *target;      /* for passes that need one */
    const char *print_after; /* name of a pass, "all", or NULL */
    bool list;               /* list the passes instead */
};
int spk_opt(spk_context *context, const struct spk_opt_options *options, spk_result **out_result);

/* partition: cuts a graph of neurons into cores. A limit of 0 is none. At least one of output,
 * write and clusters is needed, and a limit for output and clusters. */
struct spk_partition_options {
    const char *graph;    /* .hgr, .snn or .cg file */
    const char *output;   /* the core of each neuron, a line each; or NULL */
    const char *write;    /* the graph that was cut (with partial sums): .hgr, .snn, .cg; or NULL */
    const char *clusters; /* the graph of the cores: .cg, .hgr, .snn; or NULL */
    const char *source;   /* of a .hgr hyperedge: "first" (default), "last", "none" */
    const char *objective;             /* "connectivity" (default) or "cores" */
    const char *partitioner;           /* "spikec" (default), "sequential", "overlap" */
    uint64_t neurons, axons, synapses; /* that a core holds */
    uint32_t cores;                    /* most cores */
    bool no_split; /* refuse a neuron with more inputs than a core has axons instead of splitting */
    uint64_t seed;
    double effort; /* of the search; 0: 1 */
};
int spk_partition(spk_context *context, const struct spk_partition_options *options,
                  spk_result **out_result);

/* place: puts the clusters of a graph on a mesh and writes a .pl placement. */
struct spk_place_options {
    const char *graph;       /* .cg, .hgr or .snn file */
    const char *mesh;        /* "WxH" for .hgr and .snn; NULL: the smallest nearly square one */
    const char *output;      /* .pl file, replaced in one step */
    const char *objective;   /* "unicast" (default) or "multicast" */
    const char *placer;      /* "spikec" (default), "scotch", "metis", "hilbert", "row", "snake" */
    const char *constraints; /* file of cells to avoid and pins of clusters (YAML), or NULL */
    uint64_t seed;
    double effort; /* of the search; 0: 1 */
};
int spk_place(spk_context *context, const struct spk_place_options *options,
              spk_result **out_result);

/* fmt: the formatted text of a model file. */
int spk_format(spk_context *context, const char *path, spk_result **out_result);

/* targets */
int spk_target_list(spk_context *context, spk_result **out_result);
int spk_target_show(spk_context *context, const char *target, spk_result **out_result);
int spk_target_check(spk_context *context, const char *target, spk_result **out_result);

/* weights: the tensors of a file (safetensors, or a PyTorch checkpoint; told by its content). */
struct spk_weights_options {
    const char *input;
    const char *output; /* convert: .safetensors, or .pth, .pt, .pth.tar; replaced in one step */
    const char *dtype;  /* convert: of all float tensors, "f32" or "f16"; NULL: as they are */
    bool ema;           /* of a checkpoint the copy averaged over training */
};
int spk_weights_list(spk_context *context, const struct spk_weights_options *options,
                     spk_result **out_result);
int spk_weights_convert(spk_context *context, const struct spk_weights_options *options,
                        spk_result **out_result);

/* report: a compiled folder as one HTML page that opens offline. */
struct spk_report_options {
    const char *folder, *output;
    const char *spikes; /* a file of --spikes of simulate or run, or NULL */
    const char *probes; /* a file of --probe-out of simulate or run, or NULL */
};
int spk_report(spk_context *context, const struct spk_report_options *options,
               spk_result **out_result);

/* floorplan: the cores of a compiled folder in their places, as SVG. */
struct spk_floorplan_options {
    const char *folder, *output;
    const char *colour_by; /* "layer" (default), or a figure: "neurons", "energy", ... */
    bool one_chip;         /* only `chip` instead of all in use */
    uint32_t chip;
};
int spk_floorplan(spk_context *context, const struct spk_floorplan_options *options,
                  spk_result **out_result);

/* explore: a model in many variants, all combinations of `vary`, each estimated or compiled, and
 * the Pareto front of cores, energy, latency and, where labels are given, accuracy. Results are
 * appended to a file of folder `output` as they come; a call on the same folder skips what is
 * there. A variant that does not fit is a row with its reason. NAME in "NAME=VALUE[,VALUE...]" is
 * one of target, system, attention, objective, placer, seed, weights; else a parameter of the
 * model; else a constant of the target, KEY or SECTION.KEY. Variants run side by side on the
 * context's threads: its callbacks are then called from them, one at a time. SPIKEC_ERR_CANCELLED
 * still gives the result of what was finished. */
struct spk_explore_options {
    struct spk_compile_options base; /* output: the folder; remarks are not made */
    const char *const *vary;
    size_t n_vary;
    bool compile;                 /* compile every variant instead of estimating it */
    struct spk_data_options data; /* with compile: images to simulate, labels for accuracy */
};
int spk_explore(spk_context *context, const struct spk_explore_options *options,
                spk_result **out_result);

/* diff: two compiled folders: what changed in model, weights, target, mapping and cost, and which
 * options, files and constants may have caused it. SPIKEC_DIFFERENCE where they are not equal. */
int spk_diff(spk_context *context, const char *first, const char *second, spk_result **out_result);

/* The table of layers and cores of a compiled (or simulated) folder, from its cost.json. */
int spk_cost_table(spk_context *context, const char *folder, size_t max_cores,
                   spk_result **out_result);

/* doctor: what is installed, what is missing and what that costs. SPIKEC_ERR_IO, and still a
 * result, where what spikec itself ships (models, targets) is not found. */
int spk_doctor(spk_context *context, spk_result **out_result);

/* init: writes a small complete model to begin with; `path` is NAME.spk, and not there yet. */
int spk_init(spk_context *context, const char *path, spk_result **out_result);

/* target new: the target `from` under the name of the new file `path`, NAME.yaml; NULL:
 * my-FROM.yaml in the working directory. */
int spk_target_new(spk_context *context, const char *from, const char *path,
                   spk_result **out_result);

/* The names of the zoo models, one a line. */
int spk_model_list(spk_context *context, spk_result **out_result);

#ifdef __cplusplus
}
#endif

#include "objects.h"

#endif
