/* Where model descriptions are found: a path is taken as it is, a zoo name is looked up in the
 * folders of frontend/share.h; the first that has NAME.spk wins. What zoo files import lies in
 * sub-folders, so that every NAME.spk of a folder is a model.                                   */
#include <stdlib.h>
#include <string.h>

#include "frontend/model.h"
#include "frontend/share.h"
#include "support/name_hint.h"
#include "support/alloc.h"
#include "support/file.h"

#define SUFFIX ".spk"

bool fe_model_is_zoo_name(const char *model)
{
    return *model && !strchr(model, '/') && !path_has_suffix(model, SUFFIX) &&
           !path_has_suffix(model, ".nir") && !path_has_suffix(model, ".net");
}

static spk_status fe_folders(const char *const *dirs, uint32_t n_dirs, struct file_names *out)
{
    for (uint32_t i = 0; dirs && i < n_dirs; i++) {
        char *folder = spk_strdup(dirs[i]);
        if (!folder || vec_push(out, folder) != SPK_OK) {
            spk_free(folder);
            return SPK_ERR_NOMEM;
        }
    }
    return dirs ? SPK_OK : fe_share_folders(FE_SHARE_MODELS, out);
}

static int fe_compare_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Sorted, each once. */
static void fe_sort_names(struct fe_model_names *names)
{
    uint32_t kept = 0;
    if (names->n > 1)
        qsort(names->name, names->n, sizeof *names->name, fe_compare_text);
    for (uint32_t i = 0; i < names->n; i++) {
        if (kept > 0 && strcmp(names->name[kept - 1], names->name[i]) == 0)
            spk_free(names->name[i]);
        else
            names->name[kept++] = names->name[i];
    }
    names->n = kept;
}

static spk_status fe_collect(const char *folder, struct diag_list *d, struct fe_model_names *out)
{
    struct file_names files = {0};
    if (!file_is_directory(folder))
        return SPK_OK;
    SPK_TRY(file_list(folder, SUFFIX, d, &files));
    spk_status status = spk_realloc_array(out->n + files.len, sizeof *out->name, &out->name);
    for (size_t i = 0; i < files.len && status == SPK_OK; i++) {
        size_t length = strlen(files.data[i]) - strlen(SUFFIX);
        if (files.data[i][0] == '.' || length == 0)
            continue;
        out->name[out->n] = spk_strndup(files.data[i], length);
        status = out->name[out->n] ? SPK_OK : SPK_ERR_NOMEM;
        out->n += status == SPK_OK;
    }
    file_names_fini(&files);
    return status;
}

spk_status fe_model_list(const char *const *dirs, uint32_t n_dirs, struct diag_list *d,
                         struct fe_model_names *out)
{
    struct file_names folders = {0};
    *out = (struct fe_model_names){0};
    spk_status status = fe_folders(dirs, n_dirs, &folders);
    for (size_t i = 0; i < folders.len && status == SPK_OK; i++)
        status = fe_collect(folders.data[i], d, out);
    file_names_fini(&folders);
    if (status != SPK_OK)
        fe_model_names_fini(out);
    else
        fe_sort_names(out);
    return status;
}

void fe_model_names_fini(struct fe_model_names *names)
{
    for (uint32_t i = 0; i < names->n; i++)
        spk_free(names->name[i]);
    spk_free(names->name);
    *names = (struct fe_model_names){0};
}

static spk_status fe_unknown_model(const char *name, const char *const *dirs, uint32_t n_dirs,
                                   struct diag_list *d)
{
    struct fe_model_names names;
    struct strbuf known = {0};
    struct name_hint hint;
    SPK_TRY(fe_model_list(dirs, n_dirs, NULL, &names));
    name_hint_init(&hint, name);
    for (uint32_t i = 0; i < names.n; i++) {
        strbuf_printf(&known, "%s%s", i ? ", " : "", names.name[i]);
        name_hint_offer(&hint, names.name[i]);
    }
    spk_status status = diag_error(d, spk_span_none, "E0120", "there is no model named '%s'", name);
    if (name_hint_best(&hint))
        diag_note_add(d, spk_span_none, "did you mean '%s'?", name_hint_best(&hint));
    diag_help_set(d, "known models: %s; a file is given with its path, such as ./%s" SUFFIX,
                  names.n ? strbuf_cstr(&known) : "none", name);
    if (known.status != SPK_OK)
        status = known.status;
    strbuf_fini(&known);
    fe_model_names_fini(&names);
    return status;
}

/* folder/name.spk where that is a file, else NULL. */
static spk_status fe_try_folder(const char *folder, const char *name, char **out)
{
    struct strbuf path = {0};
    strbuf_printf(&path, "%s/%s" SUFFIX, folder, name);
    spk_status status = path.status;
    if (status == SPK_OK && file_exists(strbuf_cstr(&path)) &&
        !file_is_directory(strbuf_cstr(&path)))
        status = strbuf_detach(&path, out);
    strbuf_fini(&path);
    return status;
}

spk_status fe_model_find(const char *model, const char *const *dirs, uint32_t n_dirs,
                         struct diag_list *d, char **out_path)
{
    *out_path = NULL;
    if (!*model)
        return diag_usage(d, spk_span_none, "E0120", "the name of the model is empty");
    if (!fe_model_is_zoo_name(model)) {
        *out_path = spk_strdup(model);
        return *out_path ? SPK_OK : SPK_ERR_NOMEM;
    }
    struct file_names folders = {0};
    spk_status status = fe_folders(dirs, n_dirs, &folders);
    for (size_t i = 0; i < folders.len && status == SPK_OK && !*out_path; i++)
        status = fe_try_folder(folders.data[i], model, out_path);
    file_names_fini(&folders);
    if (status == SPK_OK && !*out_path)
        status = fe_unknown_model(model, dirs, n_dirs, d);
    return status;
}
