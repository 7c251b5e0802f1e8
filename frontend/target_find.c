/* Where target descriptions are found: a path is opened, a name is looked up in the folders of
 * frontend/share.h; the first that has NAME.yaml wins.
 * Invariant: a description found by name carries that name.                                      */
#include <string.h>

#include "frontend/share.h"
#include "support/name_hint.h"
#include "frontend/target_yaml.h"
#include "frontend/yaml_tree.h"
#include "support/alloc.h"
#include "support/file.h"

#define SUFFIX ".yaml"

/* Calls `visit` for every folder in order until it returns other than SPK_OK or sets *stop. */
struct folder_visit {
    spk_status (*visit)(struct folder_visit *v, const char *folder);
    bool stop;
    struct diag_list *diags;
    const char *name;         /* looked for */
    char *found;              /* path, owned */
    struct file_names *names; /* collected */
};

static spk_status visit_folders(struct folder_visit *v)
{
    struct file_names folders = {0};
    spk_status status = fe_share_folders(FE_SHARE_TARGETS, &folders);
    for (size_t i = 0; i < folders.len && status == SPK_OK && !v->stop; i++)
        status = v->visit(v, folders.data[i]);
    file_names_fini(&folders);
    return status;
}

static spk_status look_for(struct folder_visit *v, const char *folder)
{
    struct strbuf path = {0};
    strbuf_printf(&path, "%s/%s" SUFFIX, folder, v->name);
    spk_status status = path.status;
    if (status == SPK_OK && file_exists(strbuf_cstr(&path))) {
        v->stop = true;
        status = strbuf_detach(&path, &v->found);
    }
    strbuf_fini(&path);
    return status;
}

static spk_status add_name(struct file_names *names, const char *file)
{
    size_t length = strlen(file) - strlen(SUFFIX), at = 0;
    while (at < names->len && strncmp(names->data[at], file, length) < 0)
        at++;
    if (at < names->len && strncmp(names->data[at], file, length) == 0 &&
        names->data[at][length] == 0)
        return SPK_OK;
    char *name = spk_strndup(file, length);
    if (!name || vec_push(names, name) != SPK_OK) {
        spk_free(name);
        return SPK_ERR_NOMEM;
    }
    for (size_t i = names->len - 1; i > at; i--)
        names->data[i] = names->data[i - 1];
    names->data[at] = name;
    return SPK_OK;
}

static spk_status collect(struct folder_visit *v, const char *folder)
{
    struct file_names files = {0};
    if (!file_is_directory(folder))
        return SPK_OK;
    spk_status status = file_list(folder, SUFFIX, v->diags, &files);
    for (size_t i = 0; status == SPK_OK && i < files.len; i++) {
        if (files.data[i][0] != '.')
            status = add_name(v->names, files.data[i]);
    }
    file_names_fini(&files);
    return status;
}

spk_status fe_target_list(struct diag_list *diags, struct file_names *out_names)
{
    struct folder_visit v = {.visit = collect, .diags = diags, .names = out_names};
    *out_names = (struct file_names){0};
    spk_status status = visit_folders(&v);
    if (status != SPK_OK)
        file_names_fini(out_names);
    return status;
}

/* Says which names there are and which one is meant. */
static spk_status unknown_name(const char *name, struct diag_list *diags)
{
    struct file_names names = {0};
    struct strbuf known = {0};
    struct name_hint hint;
    spk_status status = fe_target_list(NULL, &names);
    if (status == SPK_ERR_NOMEM)
        return status;
    name_hint_init(&hint, name);
    for (size_t i = 0; i < names.len; i++) {
        strbuf_printf(&known, "%s%s", i ? ", " : "", names.data[i]);
        name_hint_offer(&hint, names.data[i]);
    }
    status = diag_error(diags, spk_span_none, "E0512", "there is no target named '%s'", name);
    if (name_hint_best(&hint))
        diag_note_add(diags, spk_span_none, "did you mean '%s'?", name_hint_best(&hint));
    diag_help_set(diags, "known targets: %s; a file is given with its path, such as ./%s" SUFFIX,
                  names.len ? strbuf_cstr(&known) : "none", name);
    if (known.status != SPK_OK)
        status = known.status;
    strbuf_fini(&known);
    file_names_fini(&names);
    return status;
}

static spk_status load_file(const char *path, struct diag_list *diags, struct tgt **out_target)
{
    char *text = NULL;
    size_t size = 0;
    SPK_TRY(file_read(path, YT_MAX_BYTES, diags, &text, &size));
    spk_status status = fe_target_parse(path, text, size, diags, out_target);
    spk_free(text);
    return status;
}

spk_status fe_target_load(const char *path_or_name, struct diag_list *diags,
                          struct tgt **out_target)
{
    struct folder_visit v = {.visit = look_for, .diags = diags, .name = path_or_name};
    struct tgt *t = NULL;
    if (strchr(path_or_name, '/') || path_has_suffix(path_or_name, SUFFIX))
        return load_file(path_or_name, diags, out_target);
    if (!path_or_name[0])
        return diag_usage(diags, spk_span_none, "E0512", "the name of the target is empty");
    spk_status status = visit_folders(&v);
    if (status == SPK_OK && !v.found)
        status = unknown_name(path_or_name, diags);
    else if (status == SPK_OK)
        status = load_file(v.found, diags, &t);
    if (status == SPK_OK && strcmp(t->name, path_or_name) != 0) {
        status = diag_error(diags, diag_place(diags, "%s", v.found), "E0512",
                            "the target found as '%s' calls itself '%s'", path_or_name, t->name);
        diag_help_set(diags, "the file name and the key 'name' must agree");
        tgt_destroy(t);
        t = NULL;
    }
    if (status == SPK_OK)
        *out_target = t;
    spk_free(v.found);
    return status;
}
