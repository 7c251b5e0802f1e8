/* init and target new: files to begin with. Neither replaces a file that is there. */
#include <string.h>

#include "api/api_internal.h"
#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "frontend/yaml_tree.h"
#include "new_model.h"
#include "support/alloc.h"
#include "support/file.h"

static spk_status write_new(spk_context *c, const char *path, const struct strbuf *text,
                            struct api_report *r)
{
    SPK_TRY(text->status);
    if (file_exists(path)) {
        spk_status status =
            diag_usage(&c->diags, spk_span_none, "E0994", "'%s' is there already", path);
        diag_help_set(&c->diags, "give another name, or remove the file first");
        return status;
    }
    SPK_TRY(file_write_all(path, text->data, text->len, &c->diags));
    jw_string(&r->w, "output", path);
    return SPK_OK;
}

/* The file's name without folders and `suffix`; an error where it has another suffix or is no name
 * of the languages: letters, digits and '_', and '-' with `dashes`. Heap. */
static spk_status name_of_file(spk_context *c, const char *path, const char *suffix, bool dashes,
                               char **out)
{
    const char *base = path_base(path);
    size_t length = path_has_suffix(base, suffix) ? strlen(base) - strlen(suffix) : 0;
    bool good = length > 0 && (base[0] < '0' || base[0] > '9') && base[0] != '-';
    for (size_t i = 0; i < length && good; i++)
        good = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_", base[i]) ||
               (dashes && base[i] == '-');
    if (!good) {
        spk_status status = diag_usage(&c->diags, spk_span_none, "E0995",
                                       "'%s' is no name for a file of this kind", path);
        diag_help_set(&c->diags,
                      "it is called NAME%s, with letters, digits%s and '_' in NAME, "
                      "which is also the name inside the file",
                      suffix, dashes ? ", '-'" : "");
        return status;
    }
    *out = spk_strndup(base, length);
    return *out ? SPK_OK : SPK_ERR_NOMEM;
}

/* ---- a model ---- */

static spk_status model_text(spk_context *c, const char *path, const char *name,
                             struct strbuf *text)
{
    static const char placeholder[] = "my_model(";
    struct strbuf formatted = {0};
    const char *all = (const char *)new_model;
    const char *at = memmem(all, sizeof new_model, placeholder, sizeof placeholder - 1);
    if (at == NULL)
        return SPK_ERR_INTERNAL;
    size_t before = (size_t)(at - all), word = sizeof placeholder - 2;
    strbuf_append_n(text, all, before);
    strbuf_append(text, name);
    strbuf_append_n(text, at + word, sizeof new_model - before - word);
    SPK_TRY(text->status);
    /* A name that is a word of the language is found here. */
    spk_status status = fe_format(path, text->data, text->len, &c->diags, &formatted);
    strbuf_fini(&formatted);
    return status;
}

static spk_status init_all(spk_context *c, const char *path, struct api_report *r)
{
    char *name = NULL;
    struct strbuf text = {0};
    SPK_TRY(name_of_file(c, path, ".spk", false, &name));
    spk_status status = model_text(c, path, name, &text);
    if (status == SPK_OK)
        status = write_new(c, path, &text, r);
    if (status == SPK_OK) {
        const char *here = strchr(path, '/') ? "" : "./";
        jw_string(&r->w, "model", name);
        strbuf_printf(&r->result->text,
                      "%s: a small spiking transformer to change into your own model\n"
                      "next:  spikec estimate %s%s --target loihi2\n"
                      "       spikec synth %s%s --rate 0.1 -o %s.safetensors\n",
                      path, here, path, here, path, name);
    }
    strbuf_fini(&text);
    spk_free(name);
    return status;
}

int spk_init(spk_context *c, const char *path, spk_result **out_result)
{
    struct api_report r;
    SPK_TRY(api_job(c, out_result, path != NULL, "spk_init"));
    spk_status status = api_report_begin(&r, "init");
    if (status == SPK_OK)
        status = init_all(c, path, &r);
    return api_report_end(&r, status, false, out_result);
}

/* ---- a target ---- */

/* The description with another name and description; everything else, comments too, stays. */
static void target_text(const struct tgt *from, const char *name, const char *old,
                        struct strbuf *text)
{
    strbuf_printf(
        text,
        "# %s: made from %s. Every constant below is that of %s until you change it; then "
        "change\n# its basis and source too, for reports repeat them.\n",
        name, from->name, from->name);
    while (*old) {
        size_t length = strcspn(old, "\n");
        length += old[length] == '\n';
        if (strncmp(old, "name:", 5) == 0)
            strbuf_printf(text, "name: %s\n", name);
        else if (strncmp(old, "description:", 12) == 0)
            strbuf_printf(text, "description: made from %s\n", from->name);
        else
            strbuf_append_n(text, old, length);
        old += length;
    }
}

static spk_status target_new_all(spk_context *c, const char *from, const char *path,
                                 struct api_report *r)
{
    struct tgt *old = NULL, *made = NULL;
    char *name = NULL, *old_text = NULL;
    size_t length = 0;
    struct strbuf file = {0}, text = {0};
    if (from == NULL)
        return diag_usage(&c->diags, spk_span_none, "E0996",
                          "target new needs --from T: the target to begin with");
    spk_status status = fe_target_load(from, &c->diags, &old);
    if (status == SPK_OK && path == NULL) {
        strbuf_printf(&file, "my-%s.yaml", old->name);
        path = strbuf_cstr(&file);
        status = file.status;
    }
    if (status == SPK_OK)
        status = name_of_file(c, path, ".yaml", true, &name);
    if (status == SPK_OK)
        status = file_read(old->path, YT_MAX_BYTES, &c->diags, &old_text, &length);
    if (status == SPK_OK) {
        target_text(old, name, old_text, &text);
        status = text.status;
    }
    if (status == SPK_OK)
        status = fe_target_parse(path, text.data, text.len, &c->diags, &made);
    if (status == SPK_OK && strcmp(made->name, name) != 0)
        status = diag_error(&c->diags, diag_place(&c->diags, "%s", old->path), "E0997",
                            "the key 'name' must begin a line of its own to be replaced");
    if (status == SPK_OK)
        status = write_new(c, path, &text, r);
    if (status == SPK_OK) {
        jw_string(&r->w, "target", name);
        strbuf_printf(&r->result->text,
                      "%s: target '%s', so far the same as '%s'\n"
                      "next:  spikec target check %s%s\n",
                      path, name, old->name, strchr(path, '/') ? "" : "./", path);
    }
    strbuf_fini(&file);
    strbuf_fini(&text);
    spk_free(name);
    spk_free(old_text);
    if (old != NULL)
        tgt_destroy(old);
    if (made != NULL)
        tgt_destroy(made);
    return status;
}

int spk_target_new(spk_context *c, const char *from, const char *path, spk_result **out_result)
{
    struct api_report r;
    SPK_TRY(api_job(c, out_result, true, "spk_target_new"));
    spk_status status = api_report_begin(&r, "target new");
    if (status == SPK_OK)
        status = target_new_all(c, from, path, &r);
    return api_report_end(&r, status, false, out_result);
}
