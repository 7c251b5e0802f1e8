/* Public entry points of the .spk front end: open, load, list parameters.
 *
 * The order of work: read and parse all files, check names, apply settings, evaluate. Each stage
 * runs only when the one before found no error, so that messages do not build on guesses.       */
#include "frontend/model.h"

#include <string.h>

#include "frontend/netx.h"
#include "frontend/nir.h"
#include "frontend/sema.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/h5.h"

/* A program with its symbols, ready to be evaluated. */
struct fe_loaded {
    struct fe_program program;
    struct fe_symbols symbols;
};

static void fe_loaded_fini(struct fe_loaded *l)
{
    fe_symbols_fini(&l->symbols);
    fe_program_fini(&l->program);
}

static spk_status fe_loaded_init(struct fe_loaded *l, const char *path, const char *text,
                                 size_t length, struct diag_list *d)
{
    fe_program_init(&l->program);
    l->symbols = (struct fe_symbols){0};
    SPK_TRY(fe_program_load(&l->program, path, text, length, d));
    spk_status names = fe_symbols_init(&l->symbols, &l->program, &l->program.arena, true, d);
    if (names != SPK_OK && names != SPK_ERR_INPUT)
        return names;
    spk_status checked = fe_sema(&l->symbols, d);
    return names != SPK_OK ? names : checked;
}

/* Path of the weights, relative to the description; NULL in *out where none are named. */
static spk_status fe_weights_path(const char *path, const char *weights, char **out)
{
    *out = NULL;
    if (!weights)
        return SPK_OK;
    size_t folder = (size_t)(path_base(path) - path);
    char *prefix = spk_strndup(path, folder > 1 ? folder - 1 : folder);
    *out = prefix ? path_join(prefix, weights) : NULL;
    spk_free(prefix);
    return *out ? SPK_OK : SPK_ERR_NOMEM;
}

static spk_status fe_evaluate(const char *path, const char *text, size_t length,
                              const struct fe_options *options, struct diag_list *d,
                              struct ir_module **out, char **out_weights)
{
    static const struct fe_options none;
    const struct fe_options *o = options ? options : &none;
    struct fe_loaded l;
    struct fe_value values[FE_MAX_FORMALS + 1];
    const char *weights = NULL;
    spk_status status = fe_loaded_init(&l, path, text, length, d);
    if (status == SPK_OK)
        status = fe_apply_settings(l.symbols.model, o->sets, o->n_sets, d, values);
    if (status == SPK_OK)
        status =
            fe_lower(&l.symbols, values, o->binds, o->n_binds, &l.program.arena, d, out, &weights);
    if (status == SPK_OK && out_weights) {
        status = fe_weights_path(path, weights, out_weights);
        if (status != SPK_OK) {
            ir_module_destroy(*out);
            *out = NULL;
        }
    }
    fe_loaded_fini(&l);
    return d->out_of_memory ? SPK_ERR_NOMEM : status;
}

/* Lends a list to a caller who has none: the front end needs one for its sources. */
static struct diag_list *fe_diags(struct diag_list *given, struct diag_list *own)
{
    diag_init(own);
    return given ? given : own;
}

spk_status fe_model_parse_text(const char *name, const char *text, size_t length,
                               const struct fe_options *options, struct diag_list *d,
                               struct ir_module **out)
{
    struct diag_list own;
    *out = NULL;
    spk_status status = fe_evaluate(name, text, length, options, fe_diags(d, &own), out, NULL);
    diag_fini(&own);
    if (status != SPK_OK) {
        ir_module_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* Whether the file begins as HDF5 files do. */
static spk_status fe_is_hdf5(const char *path, struct diag_list *d, bool *out)
{
    struct file_map map;
    SPK_TRY(file_map_open(path, d, &map));
    *out = map.size >= 8 && memcmp(map.data, "\x89HDF\r\n\x1a\n", 8) == 0;
    file_map_close(&map);
    return SPK_OK;
}

static spk_status fe_graph_open(const char *path, const struct fe_options *options,
                                struct diag_list *d, struct ir_module **out)
{
    static const struct fe_options none;
    const char *base = path_base(path), *dot = strrchr(base, '.');
    char *name = spk_strndup(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
    struct h5_file *file = NULL;
    spk_status status = name ? h5_open(path, d, &file) : SPK_ERR_NOMEM;
    if (status == SPK_OK && h5_exists(file, "node"))
        status = fe_nir_load(file, name, options ? options : &none, d, out);
    else if (status == SPK_OK && h5_exists(file, "layer"))
        status = fe_netx_load(file, name, options ? options : &none, d, out);
    else if (status == SPK_OK)
        status = diag_error(d, diag_place(d, "%s", path), "E0280",
                            "this HDF5 file is neither a NIR graph (it has no 'node') nor a netx "
                            "network (no 'layer')");
    h5_destroy(file);
    spk_free(name);
    return d->out_of_memory ? SPK_ERR_NOMEM : status;
}

spk_status fe_model_open(const char *model, const struct fe_options *options, struct diag_list *d,
                         struct fe_model *out)
{
    struct diag_list own;
    *out = (struct fe_model){0};
    struct diag_list *list = fe_diags(d, &own);
    bool hdf5 = false;
    spk_status status = fe_model_find(model, NULL, 0, list, &out->path);
    if (status == SPK_OK)
        status = fe_is_hdf5(out->path, list, &hdf5);
    if (status == SPK_OK && hdf5)
        status = fe_graph_open(out->path, options, list, &out->module);
    else if (status == SPK_OK)
        status = fe_evaluate(out->path, NULL, 0, options, list, &out->module, &out->weights);
    diag_fini(&own);
    if (status != SPK_OK)
        fe_model_fini(out);
    return status;
}

void fe_model_fini(struct fe_model *model)
{
    ir_module_destroy(model->module);
    spk_free(model->path);
    spk_free(model->weights);
    *model = (struct fe_model){0};
}

spk_status fe_model_load(const char *model, const struct fe_setting *sets, uint32_t n_sets,
                         const struct fe_binding *binds, uint32_t n_binds, struct diag_list *d,
                         struct ir_module **out)
{
    struct fe_options options = {
        .sets = sets, .n_sets = n_sets, .binds = binds, .n_binds = n_binds};
    struct fe_model opened;
    *out = NULL;
    SPK_TRY(fe_model_open(model, &options, d, &opened));
    *out = opened.module;
    opened.module = NULL;
    fe_model_fini(&opened);
    return SPK_OK;
}

/* ---- parameters ---- */

static spk_status fe_collect_params(const struct fe_def *model, struct fe_param_list *out)
{
    uint32_t n = 0;
    for (const struct fe_parameter *q = model->params; q; q = q->next)
        n++;
    out->model = spk_strdup(model->name.text);
    if (!out->model)
        return SPK_ERR_NOMEM;
    SPK_TRY(spk_alloc_array(n, sizeof *out->param, &out->param));
    for (const struct fe_parameter *q = model->params; q; q = q->next) {
        struct fe_param *p = &out->param[out->n];
        struct fe_value v;
        p->name = spk_strdup(q->name.text);
        if (!p->name)
            return SPK_ERR_NOMEM;
        out->n++;
        if (!fe_literal(q->value, &v))
            return SPK_ERR_INTERNAL;
        p->type = v.kind == FE_V_INT     ? FE_PARAM_INT
                  : v.kind == FE_V_FLOAT ? FE_PARAM_FLOAT
                                         : FE_PARAM_BOOL;
        p->i = v.i;
        p->f = v.f;
        p->b = v.b;
    }
    return SPK_OK;
}

spk_status fe_model_params(const char *model, struct diag_list *d, struct fe_param_list *out)
{
    struct diag_list own;
    struct fe_loaded l;
    char *path = NULL;
    *out = (struct fe_param_list){0};
    struct diag_list *list = fe_diags(d, &own);
    bool hdf5 = false;
    spk_status status = fe_model_find(model, NULL, 0, list, &path);
    if (status == SPK_OK)
        status = fe_is_hdf5(path, list, &hdf5); /* graphs have no parameters of their own */
    if (status == SPK_OK && !hdf5) {
        status = fe_loaded_init(&l, path, NULL, 0, list);
        if (status == SPK_OK)
            status = fe_collect_params(l.symbols.model, out);
        fe_loaded_fini(&l);
    }
    spk_free(path);
    diag_fini(&own);
    if (status != SPK_OK)
        fe_param_list_fini(out);
    return status;
}

void fe_param_list_fini(struct fe_param_list *list)
{
    for (uint32_t i = 0; i < list->n; i++)
        spk_free(list->param[i].name);
    spk_free(list->param);
    spk_free(list->model);
    *list = (struct fe_param_list){0};
}
