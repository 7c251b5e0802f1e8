/* Model descriptions: from a .spk file (docs/language.md), or a NIR graph in HDF5, to an IR module
 * of stage MODEL.
 *
 * MODEL is a path, or the name of a zoo model (no slash, no ".spk" or ".nir"), which is looked up
 * in the folders of frontend/share.h.
 *
 * Spans of the module refer to the diagnostic list's sources: keep the list as long as the module
 * is used with it. `d` may be NULL. Errors in the description, a setting or a binding are
 * SPK_ERR_INPUT, an unknown zoo name or setting is too; files that cannot be read SPK_ERR_IO.   */
#ifndef SPIKEC_FRONTEND_MODEL_H
#define SPIKEC_FRONTEND_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ir/ir.h"
#include "support/diag.h"
#include "support/status.h"
#include "support/strbuf.h"

/* NAME=VALUE from the command line. Values are read as the type of the parameter's default. The
 * last one of a name wins; all are applied before anything is checked or derived.             */
struct fe_setting {
    const char *name, *value;
};

/* The checkpoint's tensor (or prefix of tensor names, up to a '.') `from` is the model's `to`.
 * The module's params get the checkpoint's names. "" = every name. Where `from` names weights of
 * the model and `to` does not, the pair is read the other way round. The first binding that fits a
 * param counts; those of the caller come before those of the description. A binding that fits
 * nothing is an error.                                                                        */
struct fe_binding {
    const char *from, *to;
};

struct fe_options {
    const struct fe_setting *sets;
    uint32_t n_sets;
    const struct fe_binding *binds;
    uint32_t n_binds;
    double dt; /* NIR: time step in seconds, 0: the file's */
};

/* A loaded model. fe_model_fini frees what is left in it (take the module out by setting NULL). */
struct fe_model {
    struct ir_module *module;
    char *path;    /* of the description */
    char *weights; /* path of the weights that the description names, or NULL; not opened */
};
void fe_model_fini(struct fe_model *model);

spk_status fe_model_open(const char *model, const struct fe_options *options, struct diag_list *d,
                         struct fe_model *out) SPK_CHECKED;
/* The same without path and weights; *out belongs to the caller (ir_module_destroy). */
spk_status fe_model_load(const char *model, const struct fe_setting *sets, uint32_t n_sets,
                         const struct fe_binding *binds, uint32_t n_binds, struct diag_list *d,
                         struct ir_module **out) SPK_CHECKED;
/* From memory; `name` is the path shown in messages, imports are relative to its folder. */
spk_status fe_model_parse_text(const char *name, const char *text, size_t length,
                               const struct fe_options *options, struct diag_list *d,
                               struct ir_module **out) SPK_CHECKED;

/* ---- zoo ---- */

bool fe_model_is_zoo_name(const char *model);
/* Path of MODEL (heap, spk_free): a path is copied, a zoo name looked up in `dirs` (NULL: the
 * folders described above). An unknown name is an error that lists what there is.             */
spk_status fe_model_find(const char *model, const char *const *dirs, uint32_t n_dirs,
                         struct diag_list *d, char **out_path) SPK_CHECKED;
/* Sorted names of all zoo models, each once; freed by fe_model_names_fini. */
struct fe_model_names {
    char **name;
    uint32_t n;
};
spk_status fe_model_list(const char *const *dirs, uint32_t n_dirs, struct diag_list *d,
                         struct fe_model_names *out) SPK_CHECKED;
void fe_model_names_fini(struct fe_model_names *names);

/* ---- parameters ---- */

enum fe_param_type { FE_PARAM_INT, FE_PARAM_FLOAT, FE_PARAM_BOOL };
struct fe_param {
    char *name;
    enum fe_param_type type;
    int64_t i; /* default */
    double f;
    bool b;
};
struct fe_param_list {
    char *model; /* its name */
    struct fe_param *param;
    uint32_t n;
};
/* The settable parameters of MODEL, in the order of the description. */
spk_status fe_model_params(const char *model, struct diag_list *d,
                           struct fe_param_list *out) SPK_CHECKED;
void fe_param_list_fini(struct fe_param_list *list);

/* ---- formatter ---- */

/* Appends the text in canonical form: same tokens, comments kept, one statement a line, tabs for
 * indentation, at most one empty line in a row. fe_format(fe_format(x)) == fe_format(x). A text
 * with syntax errors is refused (SPK_ERR_INPUT, errors reported). `name` is for messages.     */
spk_status fe_format(const char *name, const char *text, size_t length, struct diag_list *d,
                     struct strbuf *out) SPK_CHECKED;

#endif
