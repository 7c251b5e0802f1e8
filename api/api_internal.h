/* What the files of the api room share: context, results, loading, compiled folders. */
#ifndef SPIKEC_API_INTERNAL_H
#define SPIKEC_API_INTERNAL_H

#include "frontend/inputs.h"
#include "include/spikec/spikec.h"
#include "ir/constraints.h"
#include "ir/engine.h"
#include "ir/image.h"
#include "ir/ir.h"
#include "ir/target.h"
#include "passes/place/place.h"
#include "support/diag.h"
#include "support/json_writer.h"
#include "support/pool.h"
#include "support/progress.h"
#include "support/strbuf.h"

struct spk_context {
    struct spk_context_options options;
    struct diag_list diags;
    struct pool *pool;
    struct progress progress; /* forwards to options.progress */
    struct {
        char label[64];
        uint64_t total;
    } step;
    uint64_t deadline_ns; /* of the job; 0: none */
    atomic_int cancel;    /* enum api_end: why the job is to end */
    atomic_flag asking;   /* some thread is in options.cancelled */
    bool whole;           /* results that are not complete are worth nothing */
    enum api_end {
        API_GO_ON,
        API_CANCELLED,
        API_TIME_LIMIT
    } ended; /* why the job ended early; then nobody is asked any more */
    struct strbuf rendered;
};

/* Clears the diagnostics. */
void api_begin(spk_context *c);
/* Begins a call: SPK_ERR_USAGE, with a message (E1050) where there is a context, where an argument
 * is missing; `all` is false where a pointer that the call needs is NULL. */
SPK_CHECKED spk_status api_call(spk_context *c, bool all, const char *call);
/* The same of a job; *out becomes NULL. */
SPK_CHECKED spk_status api_job(spk_context *c, spk_result **out, bool all, const char *call);
/* Engine callbacks that forward to the context; label names the work. */
void api_progress_begin(spk_context *c, const char *label, uint64_t total);
void api_progress(void *context, uint64_t done, uint64_t total);
bool api_cancelled(void *context);
/* SPK_ERR_CANCELLED where the caller wants to stop: between the parts of a job. */
SPK_CHECKED spk_status api_poll(spk_context *c);
/* The job was to end and has a result all the same: what is left of it goes on to its end. False
 * where such a result is worth nothing. */
bool api_end_early(spk_context *c);
/* "time-limit", "cancelled"; NULL: the job did not end early. */
const char *api_ended(const spk_context *c);

struct spk_result {
    struct strbuf json, text;
};
/* A result with its JSON writer positioned inside the top object (indent 2). */
struct api_report {
    spk_result *result;
    struct json_writer w;
};
SPK_CHECKED spk_status api_report_begin(struct api_report *r, const char *command);
/* Closes the JSON and hands the result over where status is one that has a result (OK,
 * DIFFERENCE, NOFIT with keep); frees it otherwise. Returns the final status. */
spk_status api_report_end(struct api_report *r, spk_status status, bool keep, spk_result **out);
/* The same of a job that may end early: says so in member "ended_early" and in the text (`what`:
 * "the placement is the best so far"); SPK_OK becomes SPK_ERR_CANCELLED, with a result, where the
 * caller had cancelled it. */
spk_status api_report_end_early(spk_context *c, struct api_report *r, spk_status status,
                                const char *what, spk_result **out);

/* place_job.c: the placer of that name (NULL: the default). */
SPK_CHECKED spk_status api_placer(spk_context *c, const char *name, enum place_engine *out);

/* ---- loading ---- */

struct api_model {
    struct ir_module *module;                  /* stage MODEL, weights bound where asked for */
    char *path, *weights;                      /* heap; weights NULL when none */
    char model_sha256[65], weights_sha256[65]; /* empty until api_model_hash */
    uint32_t n_ignored;
    char **ignored;
    uint32_t host_ops; /* of an autoencoder whose encoder this is: ops that it has left out */
};
void api_model_fini(struct api_model *m);
SPK_CHECKED spk_status api_model_hash(spk_context *c, struct api_model *m);
/* The error where a job's model is NULL. */
SPK_CHECKED spk_status api_no_model(spk_context *c);
/* need_weights: error where there are none (neither given nor shipped). */
SPK_CHECKED spk_status api_model_load(spk_context *c, const struct spk_model_options *o,
                                      bool bind_weights, struct api_model *out);

/* With weights where they are given (not as "") or shipped; else without. On an error, too, *out is
 * released with api_model_fini. */
SPK_CHECKED spk_status api_model_load_shipped(spk_context *c, const struct spk_model_options *o,
                                              struct api_model *out);
/* The same of a description in memory; out is zero but for its path. */
SPK_CHECKED spk_status api_model_parse(spk_context *c, const char *name, const char *text,
                                       size_t length, const struct spk_model_options *o,
                                       struct api_model *out);
/* Whether every param has data. */
bool api_has_data(const struct ir_module *m);
/* chip_model.c: the same of what a chip takes, of an autoencoder the encoder; then how many ops
 * stay on the host, where there are any. */
SPK_CHECKED spk_status api_chip_model_load(spk_context *c, const struct spk_model_options *o,
                                           bool bind_weights, struct api_model *out);
void api_report_host_ops(const struct api_model *m, struct api_report *r);

/* fe_target_load, with an error where no target was named. */
SPK_CHECKED spk_status api_target_load(spk_context *c, const char *name, struct tgt **out);
/* name NULL: the smallest that fits is chosen later. */
SPK_CHECKED spk_status api_system_check(spk_context *c, const struct tgt *target, const char *name);

/* Where a model is to fit; as of spk_estimate_options. */
struct api_fit_query {
    const char *target, *system, *attention, *objective, *constraints;
    bool separate_cores;
    const char *cut;
};
/* compile.c: whether a model fits, estimated in a context of its own; its cores. Fails only where
 * memory runs out. */
SPK_CHECKED spk_status api_fits(const struct api_fit_query *q,
                                const struct spk_model_options *model, bool *out_fits,
                                uint64_t *out_cores);
/* compile.c: what compile would cost, cost.json as text, without weights: biases count as zero.
 * Nothing is written; o->output, calibration and weights are not looked at. */
SPK_CHECKED spk_status api_expect(spk_context *c, const struct spk_compile_options *o,
                                  struct strbuf *out_cost);
/* what_fits.c: adds to the refusal of a model, the last diagnostic, what would fit. */
SPK_CHECKED spk_status api_note_what_fits(spk_context *c, const char *target_name,
                                          const struct api_fit_query *q,
                                          const struct spk_model_options *model);

struct api_data {
    struct fe_input input;
    struct fe_labels labels; /* n = 0: none given */
};
void api_data_fini(struct api_data *d);
/* Warns of input values that the integer encoder of a quantised module has to clip. */
void api_warn_clipped(spk_context *c, const struct ir_module *m, const struct engine_input *in);
SPK_CHECKED spk_status api_data_load(spk_context *c, const struct spk_data_options *o,
                                     const struct ir_module *module, struct api_data *out);
/* Leaves only the first n images, at most as many as there are. */
void api_data_keep_first(struct api_data *d, uint32_t n);
/* Fraction of images whose largest logit (the first of equals) is the label's. */
double api_top1(const float *logits, const struct fe_labels *labels, uint32_t classes);
/* Numbers that a network gives for an image: its classes, or the values of all its outputs. */
uint32_t api_classes(const struct ir_module *m);
/* Whether they are those of classes: one output without positions. */
bool api_classifies(const struct ir_module *m);

struct st_tensor;
/* weights_job.c: writes tensors as the form that the path's ending names. */
SPK_CHECKED spk_status api_tensors_save(spk_context *c, const struct st_tensor *tensor, size_t n,
                                        const char *path);

/* ---- compiled folders (docs/architecture.md) ---- */

struct api_folder {
    struct ir_module *model;     /* float, stage MODEL, with weights; NULL if not asked for */
    struct ir_module *quantised; /* as mapped, with params; NULL if not asked for */
    struct image image;
    bool has_image;
    struct tgt *target;
    struct constraints *constraints; /* NULL: there were none, or not asked for */
};
enum api_folder_part {
    API_FOLDER_MODEL = 1,
    API_FOLDER_QUANTISED = 2,
    API_FOLDER_IMAGE = 4,
    API_FOLDER_TARGET = 8,
    API_FOLDER_CONSTRAINTS = 16
};
void api_folder_fini(struct api_folder *f);
SPK_CHECKED spk_status api_folder_open(spk_context *c, const char *path, uint32_t parts,
                                       struct api_folder *out);
bool api_is_folder(const char *path);
/* An error where `path` is no folder that compile made: it has neither its marker nor an image. */
SPK_CHECKED spk_status api_folder_check(spk_context *c, const char *path);

/* inspect.c: checks the image against target and quantised module; members and text of the result.
 */
SPK_CHECKED spk_status api_check_folder(spk_context *c, const struct api_folder *f,
                                        struct api_report *r);

/* verify_job.c: levels R, Q and M of a folder on images, both borrowed; as of spk_verify but for
 * the command line. engine: as of api_engine. */
SPK_CHECKED spk_status api_verify_folder(spk_context *c, const struct api_folder *f,
                                         struct api_data *data, const char *engine,
                                         struct api_report *rep);

/* Writes every part of a compiled folder through a directory writer. */
struct api_compiled {
    const struct ir_module *model;
    const struct ir_module *quantised;
    const struct image *image;
    const struct tgt *target;
    const struct constraints *constraints; /* or NULL */
    const char *mapping_json, *cost_json;
};
SPK_CHECKED spk_status api_folder_write(spk_context *c, const char *path,
                                        const struct api_compiled *parts);
struct json_value;
/* Reads a JSON member file of a folder; *out_path, its path for messages, is released with spk_free,
 * also on an error, *out with js_free. */
SPK_CHECKED spk_status api_folder_json(spk_context *c, const char *folder, const char *name,
                                       char **out_path, struct json_value **out);
/* Reads a member file of a folder (heap, spk_free). */
SPK_CHECKED spk_status api_folder_text(spk_context *c, const char *path, const char *name,
                                       char **out_text, size_t *out_length);

/* ---- what runs ---- */

struct api_network {
    struct api_model model;         /* where a model was named */
    struct api_folder folder;       /* where a compiled folder was named */
    struct ir_module *own;          /* level R: the model with its constant part hoisted */
    const struct ir_module *module; /* what runs */
};
void api_network_fini(struct api_network *n);
/* level: "R" (NULL) or "Q"; o->model may name a compiled folder. On an error, too, *out (zeroed by
 * the caller) is released with api_network_fini. */
SPK_CHECKED spk_status api_network_load(spk_context *c, const struct spk_model_options *o,
                                        const char *level, struct api_network *out);

/* The word for an enum img_layer_kind in JSON and tables. */
const char *api_layer_kind(uint32_t kind);

/* ---- rates ---- */

/* The file of `run --rates-out`: {"value name": [rate per channel], …}. */
void api_rates_begin(struct json_writer *w, struct strbuf *text);
void api_rates_add(struct json_writer *w, const struct ir_node *n, const double *channel_rate);
SPK_CHECKED spk_status api_rates_end(struct json_writer *w, const struct strbuf *text,
                                     const char *path, struct diag_list *diags);

/* ---- engines ---- */

/* The engine of that name (NULL: the default), or an error naming those there are. target_cpu: the
 * processor that a native engine makes code for (NULL: this one); other engines take none. */
SPK_CHECKED spk_status api_engine(spk_context *c, const char *name, const char *target_cpu,
                                  const struct engine_vtable **out);
SPK_CHECKED spk_status api_engine_create(spk_context *c, const struct engine_vtable *vtable,
                                         const char *target_cpu, const struct ir_module *m,
                                         struct engine **out);
/* The error of a build without native code. */
SPK_CHECKED spk_status api_no_native(spk_context *c);

#endif
