/* What is varied: names and values of --vary, their combinations, the descriptions of varied
 * targets, and the key of each point, which is a hash of all that its row follows from: another
 * version of the tool, the model, its weights or the target is another point. */
#include <string.h>

#include "api/explore.h"
#include "config.h"
#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "support/alloc.h"
#include "support/file.h"

static const char *const OPTIONS[] = {"target", "system", "attention", "objective",
                                      "placer", "seed",   "weights",   "constraints"};

static bool is_option(const char *name)
{
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++)
        if (strcmp(OPTIONS[i], name) == 0)
            return true;
    return false;
}

/* ---- axes ---- */

static spk_status bad_vary(struct explore *x, const char *text, const char *why)
{
    spk_status status =
        diag_usage(&x->context->diags, spk_span_none, "E0957", "--vary '%s' %s", text, why);
    diag_help_set(&x->context->diags, "for instance --vary dim=384,512 --vary weight_bits=4,8");
    return status;
}

/* "a,b,c" behind '=': no value may be empty or given twice. */
static spk_status read_values(struct explore *x, const char *text, const char *list,
                              struct explore_axis *a)
{
    uint32_t most = 1;
    for (const char *c = list; *c != '\0'; c++)
        most += *c == ',';
    a->value = ARENA_NEW_ARRAY(&x->arena, const char *, most);
    if (a->value == NULL)
        return SPK_ERR_NOMEM;
    for (const char *at = list;; at++) {
        const size_t length = strcspn(at, ",");
        if (length == 0)
            return bad_vary(x, text, "has an empty value");
        char *value = arena_strndup(&x->arena, at, length);
        if (value == NULL)
            return SPK_ERR_NOMEM;
        for (uint32_t i = 0; i < a->n; i++)
            if (strcmp(a->value[i], value) == 0)
                return bad_vary(x, text, "gives a value twice");
        a->value[a->n++] = value;
        at += length;
        if (*at == '\0')
            return SPK_OK;
    }
}

static spk_status find_kind(struct explore *x, const struct fe_param_list *params,
                            struct explore_axis *a)
{
    a->kind = EXPLORE_OPTION;
    if (strcmp(a->name, "weights") == 0 && !x->o->compile)
        return diag_usage(&x->context->diags, spk_span_none, "E0956",
                          "estimates know no weights: give --compile, too");
    if (is_option(a->name))
        return SPK_OK;
    a->kind = EXPLORE_PARAMETER;
    for (uint32_t i = 0; i < params->n; i++)
        if (strcmp(params->param[i].name, a->name) == 0)
            return SPK_OK;
    if (params->model == NULL && strcmp(a->name, "timesteps") == 0)
        return SPK_OK; /* a graph declares no parameters; its steps are set */
    a->kind = EXPLORE_CONSTANT;
    if (fe_target_find_constant(a->name, &a->section, &a->key))
        return SPK_OK;
    struct diag_list *d = &x->context->diags;
    spk_status status = diag_usage(d, spk_span_none, "E0958",
                                   "nothing to vary is named '%s': no option, no parameter of "
                                   "model '%s', no constant of targets",
                                   a->name, x->o->base.model.model);
    diag_help_set(d, "options: target, system, attention, objective, placer, seed, weights");
    return status;
}

static spk_status read_axis(struct explore *x, const struct fe_param_list *params, const char *text,
                            struct explore_axis *a)
{
    const char *eq = strchr(text, '=');
    if (eq == NULL || eq == text)
        return bad_vary(x, text, "is not of the form NAME=VALUE,VALUE");
    a->name = arena_strndup(&x->arena, text, (size_t)(eq - text));
    if (a->name == NULL)
        return SPK_ERR_NOMEM;
    for (const struct explore_axis *other = x->axis; other < a; other++)
        if (strcmp(other->name, a->name) == 0)
            return bad_vary(x, text, "varies what another one does");
    SPK_TRY(find_kind(x, params, a));
    return read_values(x, text, eq + 1, a);
}

spk_status explore_axes(struct explore *x)
{
    struct fe_param_list params = {0};
    uint64_t n = 1;
    if (x->o->base.model.model == NULL)
        return diag_usage(&x->context->diags, spk_span_none, "E0927", "no model was named");
    SPK_TRY(fe_model_params(x->o->base.model.model, &x->context->diags, &params));
    x->n_axes = (uint32_t)x->o->n_vary;
    x->axis = ARENA_NEW_ARRAY(&x->arena, struct explore_axis, x->n_axes);
    spk_status status = x->axis ? SPK_OK : SPK_ERR_NOMEM;
    for (uint32_t i = 0; i < x->n_axes && status == SPK_OK; i++) {
        status = read_axis(x, &params, x->o->vary[i], &x->axis[i]);
        if (status == SPK_OK && (n *= x->axis[i].n) > EXPLORE_MAX_POINTS)
            status = diag_usage(&x->context->diags, spk_span_none, "E0978", "more than %u variants",
                                EXPLORE_MAX_POINTS);
    }
    fe_param_list_fini(&params);
    x->n_points = (uint32_t)n;
    return status;
}

const char *explore_value(const struct explore *x, uint32_t point, uint32_t a)
{
    for (uint32_t i = x->n_axes; i-- > a + 1;)
        point /= x->axis[i].n;
    return x->axis[a].value[point % x->axis[a].n];
}

/* ---- targets ---- */

/* The text of a description by name or path. */
static spk_status target_text(struct explore *x, const char *name, struct diag_list *diags,
                              char **out_text, size_t *out_length)
{
    struct tgt *t = NULL;
    (void)x;
    SPK_TRY(fe_target_load(name, diags, &t));
    spk_status status = file_read(t->path, 0, diags, out_text, out_length);
    tgt_destroy(t);
    return status;
}

/* "targets/loihi2+weight_bits=4.yaml" below the output, unless it is there with the same text. */
static spk_status write_target(struct explore *x, const char *base, const struct fe_variation *v,
                               uint32_t n, const struct strbuf *text, const char **out)
{
    struct strbuf name = {0};
    char *old = NULL;
    size_t length = 0;
    strbuf_printf(&name, "%s/targets/%s", x->o->base.output, path_base(base));
    if (path_has_suffix(base, ".yaml"))
        name.len -= strlen(".yaml");
    for (uint32_t i = 0; i < n; i++)
        strbuf_printf(&name, "+%s=%s", v[i].key, v[i].value);
    strbuf_append(&name, ".yaml");
    *out = name.status == SPK_OK ? arena_strdup(&x->arena, strbuf_cstr(&name)) : NULL;
    strbuf_fini(&name);
    if (*out == NULL)
        return SPK_ERR_NOMEM;
    if (file_exists(*out) && file_read(*out, 0, NULL, &old, &length) == SPK_OK &&
        length == text->len && memcmp(old, text->data, length) == 0) {
        spk_free(old);
        return SPK_OK;
    }
    spk_free(old);
    return file_write_all(*out, text->data, text->len, &x->context->diags);
}

/* Values of constants become part of a file's name and of a YAML text. */
static bool is_plain(const char *value)
{
    return strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.") ==
           strlen(value);
}

/* The first error of a list as one line in the arena of the exploration. */
static const char *first_error(struct explore *x, const struct diag_list *diags)
{
    for (size_t i = 0; i < diags->items.len; i++) {
        const struct diag *d = diags->items.data[i];
        if (d->severity == DIAG_ERROR)
            return arena_printf(&x->arena, "%s: %s", d->code, d->message);
    }
    return arena_strdup(&x->arena, "refused");
}

static spk_status vary_target(struct explore *x, uint32_t at, const char *base,
                              const struct fe_variation *v, uint32_t n)
{
    struct explore_point *p = &x->point[at];
    struct diag_list diags;
    struct strbuf text = {0};
    char *old = NULL;
    size_t length = 0;
    diag_init(&diags);
    spk_status status = target_text(x, base, &diags, &old, &length);
    if (status == SPK_OK)
        status = fe_target_vary(base, old, length, v, n, &diags, &text);
    if (status == SPK_ERR_INPUT) { /* no such constant there: not a point, and not a failure */
        p->refusal = first_error(x, &diags);
        status = p->refusal ? SPK_OK : SPK_ERR_NOMEM;
    } else if (status == SPK_OK) {
        status = write_target(x, base, v, n, &text, &p->target);
    }
    spk_free(old);
    strbuf_fini(&text);
    diag_fini(&diags);
    return status;
}

static spk_status point_target(struct explore *x, uint32_t at)
{
    struct fe_variation *v = ARENA_NEW_ARRAY(&x->arena, struct fe_variation, x->n_axes);
    const char *base = x->o->base.target;
    uint32_t n = 0;
    if (v == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t a = 0; a < x->n_axes; a++) {
        const char *value = explore_value(x, at, a);
        if (x->axis[a].kind == EXPLORE_OPTION && strcmp(x->axis[a].name, "target") == 0)
            base = value;
        if (x->axis[a].kind != EXPLORE_CONSTANT)
            continue;
        if (!is_plain(value))
            return diag_usage(&x->context->diags, spk_span_none, "E0977",
                              "'%s' is no value of a constant", value);
        v[n++] = (struct fe_variation){x->axis[a].section, x->axis[a].key, value};
    }
    if (base == NULL)
        return diag_usage(&x->context->diags, spk_span_none, "E0918",
                          "no target: give it with --target T");
    x->point[at].target = base;
    return n > 0 ? vary_target(x, at, base, v, n) : SPK_OK;
}

/* ---- keys ---- */

static void add_text(struct sha256 *h, const char *name, const char *value)
{
    sha256_update(h, name, strlen(name) + 1);
    sha256_update(h, value ? value : "", value ? strlen(value) + 1 : 0);
}

/* A file by its content; what cannot be read (or is a folder) by its name. */
static void add_file(struct sha256 *h, const char *name, const char *path)
{
    char hex[SHA256_HEX_BYTES];
    add_text(h, name,
             path != NULL && !file_is_directory(path) && file_sha256(path, NULL, hex) == SPK_OK
                 ? hex
                 : path);
}

static void add_number(struct sha256 *h, const char *name, uint64_t v)
{
    char text[32];
    spk_snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    add_text(h, name, text);
}

static bool holds_data(const struct ir_module *m)
{
    bool any = false;
    for (uint32_t i = 0; i < m->n_params; i++)
        any = any || m->param[i].data != NULL;
    return any;
}

/* The model as the point has it, imports and settings included; where it cannot be read its file.
 */
static spk_status add_model(struct explore *x, struct sha256 *h, const struct spk_model_options *o)
{
    struct api_model m;
    struct strbuf text = {0};
    spk_context *c = NULL;
    char dt[32];
    SPK_TRY((spk_status)spk_context_create(&(struct spk_context_options){.threads = 1}, &c));
    spk_status status = api_model_load(c, o, false, &m);
    if (status == SPK_OK) {
        ir_print(m.module, &text);
        add_text(h, "model", strbuf_cstr(&text));
        if (o->weights == NULL && x->o->compile)
            add_file(h, "weights", m.weights);
        if (holds_data(m.module)) /* a graph, whose text tells neither weights nor biases */
            add_file(h, "graph", m.path);
        api_model_fini(&m);
    } else {
        for (size_t i = 0; i < o->n_settings; i++)
            add_text(h, "set", o->settings[i]);
        add_text(h, "model", o->model);
    }
    spk_snprintf(dt, sizeof dt, "%.17g", o->dt);
    add_text(h, "dt", dt);
    for (size_t i = 0; i < o->n_binds && x->o->compile; i++)
        add_text(h, "bind", o->binds[i]);
    spk_context_destroy(c);
    if (status != SPK_ERR_NOMEM)
        status = text.status;
    strbuf_fini(&text);
    return status;
}

static void add_target(struct sha256 *h, const char *name)
{
    struct tgt *t = NULL;
    if (fe_target_load(name, NULL, &t) == SPK_OK) {
        sha256_update(h, t->sha256, sizeof t->sha256);
        tgt_destroy(t);
        return;
    }
    add_file(h, "target", name);
}

static spk_status point_key(struct explore *x, uint32_t at)
{
    struct explore_point *p = &x->point[at];
    const struct spk_data_options *data = &x->o->data;
    struct spk_compile_options o;
    struct arena arena;
    struct sha256 h;
    uint8_t digest[SHA256_BYTES];
    arena_init(&arena, 0);
    sha256_init(&h);
    add_text(&h, "spikec", SPIKEC_VERSION);
    for (uint32_t a = 0; a < x->n_axes; a++)
        add_text(&h, x->axis[a].name, explore_value(x, at, a));
    spk_status status = explore_options_of(x, at, &arena, &o);
    if (status == SPK_OK)
        status = add_model(x, &h, &o.model);
    if (status == SPK_OK) {
        add_target(&h, p->target);
        add_text(&h, "attention", o.attention);
        add_text(&h, "objective", o.objective);
        add_text(&h, "system", o.system);
        add_text(&h, "placer", o.placer);
        add_text(&h, "cut", o.cut);
        add_file(&h, "rates", o.rates);
        add_file(&h, "constraints", o.constraints);
        add_number(&h, "seed", o.seed);
        add_number(&h, "separate", o.separate_cores);
        add_number(&h, "compile", x->o->compile);
    }
    if (status == SPK_OK && x->o->compile) {
        add_file(&h, "weights", o.model.weights);
        add_number(&h, "ema", o.model.ema);
        add_file(&h, "calibrate", o.calibrate);
        add_number(&h, "calibrate-limit", o.calibrate_limit);
        add_file(&h, "input", data->input);
        add_file(&h, "labels", data->labels);
        add_number(&h, "limit", data->limit);
        add_number(&h, "resize", data->form.resize);
        add_text(&h, "interpolation", data->form.interpolation);
        add_text(&h, "frames", data->form.frames);
        add_text(&h, "aedat", data->form.aedat);
    }
    sha256_final(&h, digest);
    sha256_to_hex(digest, p->key);
    arena_fini(&arena);
    if (status == SPK_OK && x->o->compile)
        p->folder = arena_printf(&x->arena, "points/%.16s", p->key);
    return status == SPK_OK && x->o->compile && p->folder == NULL ? SPK_ERR_NOMEM : status;
}

spk_status explore_points(struct explore *x)
{
    SPK_TRY(explore_folders(x));
    SPK_TRY(spk_alloc_array(x->n_points, sizeof *x->point, &x->point));
    for (uint32_t i = 0; i < x->n_points; i++) {
        SPK_TRY(point_target(x, i));
        SPK_TRY(point_key(x, i));
        SPK_TRY(api_poll(x->context));
    }
    return SPK_OK;
}
