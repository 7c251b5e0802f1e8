/* Compiled folders: what `compile` leaves for `run`, `check`, `simulate` and `verify`.
 *
 *   image.h5                the chip image
 *   quantised.sir           the module at level Q, as mapped; quantised.safetensors its integers
 *   model.sir               the float module at level R; model.safetensors its weights
 *   target.yaml             the chip description it was made for
 *   constraints.yaml        what the user fixed, where there was something
 *   mapping.json, cost.json what went where, and what it costs
 * The folder is written under another name and renamed as a whole. */
#include <string.h>

#include "api/api_internal.h"
#include "frontend/constraints_yaml.h"
#include "frontend/target_yaml.h"
#include "support/json.h"
#include "support/alloc.h"
#include "support/file.h"

const char *api_layer_kind(uint32_t kind)
{
    static const char *const names[] = {"neuron",    "pool",  "relay",
                                        "attention", "input", "embedded"};
    return kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

bool api_is_folder(const char *path)
{
    return file_is_directory(path);
}

void api_folder_fini(struct api_folder *f)
{
    ir_module_destroy(f->model);
    ir_module_destroy(f->quantised);
    if (f->has_image)
        image_fini(&f->image);
    if (f->target != NULL)
        tgt_destroy(f->target);
    constraints_destroy(f->constraints);
    memset(f, 0, sizeof *f);
}

spk_status api_folder_text(spk_context *c, const char *path, const char *name, char **out_text,
                           size_t *out_length)
{
    char *file = path_join(path, name);
    *out_text = NULL;
    if (file == NULL)
        return SPK_ERR_NOMEM;
    spk_status status = file_read(file, 0, &c->diags, out_text, out_length);
    spk_free(file);
    return status;
}

static spk_status open_module(spk_context *c, const char *path, const char *stem,
                              struct ir_module **out)
{
    char name[64], *text = NULL, *file = NULL;
    size_t length = 0;
    spk_snprintf(name, sizeof name, "%s.sir", stem);
    SPK_TRY(api_folder_text(c, path, name, &text, &length));
    file = path_join(path, name);
    spk_status status = file ? ir_parse(file, text, length, &c->diags, out) : SPK_ERR_NOMEM;
    spk_free(file);
    spk_free(text);
    SPK_TRY(status);
    spk_snprintf(name, sizeof name, "%s.safetensors", stem);
    file = path_join(path, name);
    status = file ? ir_params_load(*out, file, &c->diags) : SPK_ERR_NOMEM;
    spk_free(file);
    if (status == SPK_OK)
        status = ir_verify(*out, &c->diags);
    if (status != SPK_OK) {
        ir_module_destroy(*out);
        *out = NULL;
    }
    return status;
}

static spk_status open_image(spk_context *c, const char *path, struct api_folder *f)
{
    char *file = path_join(path, "image.h5");
    spk_status status = file ? image_load(file, &c->diags, &f->image) : SPK_ERR_NOMEM;
    spk_free(file);
    f->has_image = status == SPK_OK;
    return status;
}

static spk_status open_target(spk_context *c, const char *path, struct api_folder *f)
{
    char *file = path_join(path, "target.yaml");
    spk_status status = file ? fe_target_load(file, &c->diags, &f->target) : SPK_ERR_NOMEM;
    spk_free(file);
    return status;
}

static spk_status open_constraints(spk_context *c, const char *path, struct api_folder *f)
{
    char *file = path_join(path, "constraints.yaml");
    spk_status status = file ? SPK_OK : SPK_ERR_NOMEM;
    if (status == SPK_OK && file_exists(file))
        status = fe_constraints_load(file, &c->diags, &f->constraints);
    spk_free(file);
    return status;
}

spk_status api_folder_check(spk_context *c, const char *path)
{
    if (path == NULL)
        return diag_usage(&c->diags, spk_span_none, "E1060", "no folder was named");
    char *marker = path_join(path, DIR_MARKER), *image = path_join(path, "image.h5");
    spk_status status = marker && image ? SPK_OK : SPK_ERR_NOMEM;
    if (status == SPK_OK && !file_exists(path))
        status = diag_io(&c->diags, spk_span_none, "E0928", "there is no folder '%s'", path);
    else if (status == SPK_OK && !file_exists(marker) && !file_exists(image))
        status = diag_error(&c->diags, spk_span_none, "E0905",
                            "'%s' is not a folder made by 'spikec compile'", path);
    spk_free(marker);
    spk_free(image);
    return status;
}

spk_status api_folder_open(spk_context *c, const char *path, uint32_t parts, struct api_folder *out)
{
    spk_status status = SPK_OK;
    memset(out, 0, sizeof *out);
    SPK_TRY(api_folder_check(c, path));
    if (parts & API_FOLDER_TARGET)
        status = open_target(c, path, out);
    if (status == SPK_OK && (parts & API_FOLDER_CONSTRAINTS))
        status = open_constraints(c, path, out);
    if (status == SPK_OK && (parts & API_FOLDER_MODEL))
        status = open_module(c, path, "model", &out->model);
    if (status == SPK_OK && (parts & API_FOLDER_QUANTISED))
        status = open_module(c, path, "quantised", &out->quantised);
    if (status == SPK_OK)
        status = api_poll(c);
    if (status == SPK_OK && (parts & API_FOLDER_IMAGE))
        status = open_image(c, path, out);
    if (status != SPK_OK)
        api_folder_fini(out);
    return status;
}

/* ---- writing ---- */

static spk_status write_text(spk_context *c, const struct dir_writer *dir, const char *name,
                             const char *text, size_t length)
{
    char *file = NULL;
    SPK_TRY(dir_file(dir, name, &file));
    spk_status status = file_write_all(file, text, length, &c->diags);
    spk_free(file);
    return status;
}

static spk_status write_module(spk_context *c, const struct dir_writer *dir, const char *stem,
                               const struct ir_module *m)
{
    struct strbuf text = {0};
    char name[64], *file = NULL;
    ir_print(m, &text);
    spk_status status = text.status;
    spk_snprintf(name, sizeof name, "%s.sir", stem);
    if (status == SPK_OK)
        status = write_text(c, dir, name, text.data, text.len);
    strbuf_fini(&text);
    SPK_TRY(status);
    spk_snprintf(name, sizeof name, "%s.safetensors", stem);
    SPK_TRY(dir_file(dir, name, &file));
    status = ir_params_save(m, file, &c->diags);
    spk_free(file);
    return status;
}

static spk_status write_parts(spk_context *c, const struct dir_writer *dir,
                              const struct api_compiled *p)
{
    char *file = NULL;
    SPK_TRY(write_text(c, dir, "target.yaml", p->target->text, p->target->length));
    if (p->constraints != NULL)
        SPK_TRY(
            write_text(c, dir, "constraints.yaml", p->constraints->text, p->constraints->length));
    SPK_TRY(write_module(c, dir, "model", p->model));
    SPK_TRY(api_poll(c));
    SPK_TRY(write_module(c, dir, "quantised", p->quantised));
    SPK_TRY(write_text(c, dir, "mapping.json", p->mapping_json, strlen(p->mapping_json)));
    SPK_TRY(write_text(c, dir, "cost.json", p->cost_json, strlen(p->cost_json)));
    SPK_TRY(api_poll(c));
    SPK_TRY(dir_file(dir, "image.h5", &file));
    spk_status status = image_save(p->image, file, &c->diags);
    spk_free(file);
    return status;
}

spk_status api_folder_write(spk_context *c, const char *path, const struct api_compiled *parts)
{
    struct dir_writer *dir = NULL;
    SPK_TRY(dir_begin(path, &c->diags, &dir));
    spk_status status = write_parts(c, dir, parts);
    if (status == SPK_OK)
        status = api_poll(c);
    if (status != SPK_OK) {
        dir_abort(dir);
        return status;
    }
    return dir_commit(dir);
}

#define MAX_JSON_BYTES ((size_t)1 << 30)

spk_status api_folder_json(spk_context *c, const char *folder, const char *name, char **out_path,
                           struct json_value **out)
{
    static const struct json_limits limits = {MAX_JSON_BYTES, 0};
    *out_path = path_join(folder, name);
    if (*out_path == NULL)
        return SPK_ERR_NOMEM;
    return js_parse_file(*out_path, &limits, &c->diags, out);
}
