/* One point: its options, its run, its row. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/explore.h"
#include "support/alloc.h"
#include "support/file.h"

const char *const explore_figure_key[EXPLORE_FIGURES] = {
    "cores",         "chips",          "neurons",   "synapse_bits", "latency_steps",
    "latency_ticks", "interval_ticks", "energy_pj", "busy_ns",      "time_ns",
    "messages",      "hops",           "top1"};

/* ---- options ---- */

static spk_status set_option(const struct explore *x, const char *name, const char *value,
                             struct spk_compile_options *o)
{
    char *end = NULL;
    if (strcmp(name, "system") == 0)
        o->system = value;
    else if (strcmp(name, "attention") == 0)
        o->attention = value;
    else if (strcmp(name, "objective") == 0)
        o->objective = value;
    else if (strcmp(name, "placer") == 0)
        o->placer = value;
    else if (strcmp(name, "constraints") == 0)
        o->constraints = value;
    else if (strcmp(name, "weights") == 0)
        o->model.weights = value;
    else if (strcmp(name, "seed") == 0) {
        o->seed = value[0] >= '0' && value[0] <= '9' ? strtoull(value, &end, 10) : 0;
        if (end == NULL || *end != '\0')
            return diag_usage(&x->context->diags, spk_span_none, "E0977",
                              "a seed is a number, not '%s'", value);
    }
    return SPK_OK; /* the target is set by explore_points */
}

spk_status explore_options_of(const struct explore *x, uint32_t point, struct arena *arena,
                              struct spk_compile_options *out)
{
    const struct spk_model_options *m = &x->o->base.model;
    const char **settings = ARENA_NEW_ARRAY(arena, const char *, m->n_settings + x->n_axes);
    size_t n = m->n_settings;
    if (settings == NULL)
        return SPK_ERR_NOMEM;
    *out = x->o->base;
    out->target = x->point[point].target;
    out->output = NULL;
    out->remarks = false;
    for (size_t i = 0; i < n; i++)
        settings[i] = m->settings[i];
    for (uint32_t a = 0; a < x->n_axes; a++) {
        const char *value = explore_value(x, point, a);
        if (x->axis[a].kind == EXPLORE_OPTION) {
            SPK_TRY(set_option(x, x->axis[a].name, value, out));
        } else if (x->axis[a].kind == EXPLORE_PARAMETER) {
            settings[n] = arena_printf(arena, "%s=%s", x->axis[a].name, value);
            if (settings[n++] == NULL)
                return SPK_ERR_NOMEM;
        }
    }
    out->model.settings = settings;
    out->model.n_settings = n;
    return SPK_OK;
}

/* ---- figures ---- */

/* The number at "outer.inner"; NaN where there is none. */
static double number_at(const struct json_cursor *root, const char *path)
{
    struct json_cursor chain[4] = {*root};
    char key[64];
    size_t depth = 0;
    double v;
    for (;;) {
        const size_t length = strcspn(path, ".");
        spk_snprintf(key, sizeof key, "%.*s", (int)length, path);
        if (depth + 1 == sizeof chain / sizeof chain[0] || !js_has(&chain[depth], key) ||
            js_member(&chain[depth], key, &chain[depth + 1]) != SPK_OK)
            return NAN;
        depth++;
        if (path[length] == '\0')
            return js_f64(&chain[depth], &v) == SPK_OK ? v : (double)NAN;
        path += length + 1;
    }
}

static void read_cost(const struct json_cursor *c, double *figure)
{
    static const char *const common[] = {"totals.cores",        "totals.chips",  "totals.neurons",
                                         "totals.synapse_bits", "latency_steps", "latency_ticks",
                                         "interval_ticks"};
    static const char *const predicted[] = {"totals.predicted.energy_priced_pj",
                                            "totals.predicted.busy_ns", "totals.time_ns",
                                            "totals.predicted.messages", "totals.predicted.hops"};
    static const char *const simulated[] = {"totals.energy_pj.total_priced", "totals.busy_ns",
                                            "totals.time_ns", "totals.messages", "totals.hops"};
    const bool dynamic = number_at(c, "images") > 0;
    for (size_t i = 0; i < EXPLORE_ENERGY; i++)
        figure[i] = number_at(c, common[i]);
    for (size_t i = 0; i < sizeof predicted / sizeof predicted[0]; i++)
        figure[EXPLORE_ENERGY + i] = number_at(c, dynamic ? simulated[i] : predicted[i]);
    figure[EXPLORE_TOP1] = number_at(c, "top1");
}

static spk_status read_figures(const char *json, size_t length, double *figure, bool *out_dynamic)
{
    struct json_value *v = NULL;
    SPK_TRY(js_parse(json, length, "cost", NULL, NULL, &v));
    const struct json_cursor c = js_root(v, "cost", NULL);
    read_cost(&c, figure);
    *out_dynamic = number_at(&c, "images") > 0;
    js_free(v);
    return SPK_OK;
}

/* ---- rows ---- */

static spk_status write_row(const struct explore *x, uint32_t at, bool simulated,
                            struct strbuf *out)
{
    const struct explore_point *p = &x->point[at];
    struct json_writer w;
    jw_init(&w, out, 0);
    jw_object_begin(&w, NULL);
    jw_string(&w, "key", p->key);
    jw_object_begin(&w, "point");
    for (uint32_t a = 0; a < x->n_axes; a++)
        jw_string(&w, x->axis[a].name, explore_value(x, at, a));
    jw_object_end(&w);
    jw_bool(&w, "fits", p->fits);
    jw_string(&w, "reason", p->reason);
    jw_string(&w, "basis", !p->fits ? NULL : simulated ? "simulated" : "predicted");
    for (int f = 0; f < EXPLORE_FIGURES; f++)
        jw_f64_or_null(&w, explore_figure_key[f], p->fits ? p->figure[f] : (double)NAN);
    jw_string(&w, "folder", p->fits ? p->folder : NULL);
    jw_object_end(&w);
    return jw_finish(&w);
}

spk_status explore_read_line(struct explore *x, struct explore_point *p, const char *line,
                             size_t length, bool *out_known)
{
    struct json_value *v = NULL;
    const char *key, *reason = NULL;
    *out_known = false;
    spk_status status = js_parse(line, length, EXPLORE_ROWS, NULL, NULL, &v);
    if (status != SPK_OK)
        return status == SPK_ERR_NOMEM ? status : SPK_OK;
    const struct json_cursor c = js_root(v, EXPLORE_ROWS, NULL);
    if (js_get_string(&c, "key", &key) == SPK_OK && strlen(key) == SHA256_HEX_BYTES - 1 &&
        js_get_bool(&c, "fits", &p->fits) == SPK_OK) {
        memcpy(p->key, key, sizeof p->key);
        for (int f = 0; f < EXPLORE_FIGURES; f++)
            p->figure[f] = number_at(&c, explore_figure_key[f]);
        if (js_has(&c, "reason") && js_get_string(&c, "reason", &reason) == SPK_OK &&
            (p->reason = arena_strdup(&x->arena, reason)) == NULL)
            status = SPK_ERR_NOMEM;
        *out_known = true;
    }
    js_free(v);
    return status;
}

/* ---- running ---- */

static bool is_cancelled(void *user)
{
    struct explore *x = user;
    if (atomic_load(&x->context->cancel) != 0)
        return true;
    lock_take(x->lock);
    const bool cancelled = api_cancelled(x->context);
    lock_give(x->lock);
    return cancelled;
}

static spk_status compile_point(struct explore *x, spk_context *c, struct spk_compile_options *o,
                                const struct explore_point *p, struct strbuf *out_cost)
{
    spk_result *result = NULL;
    char *folder = path_join(x->o->base.output, p->folder);
    if (folder == NULL)
        return SPK_ERR_NOMEM;
    o->output = folder;
    spk_status status = (spk_status)spk_compile(c, o, &result);
    if (status == SPK_OK && x->o->data.input != NULL) {
        const struct spk_simulate_options s = {.folder = folder, .data = x->o->data};
        spk_result_free(result);
        result = NULL;
        status = (spk_status)spk_simulate(c, &s, &result);
    }
    if (status == SPK_OK)
        strbuf_append(out_cost, spk_result_json(result));
    spk_result_free(result);
    spk_free(folder);
    return status == SPK_OK ? out_cost->status : status;
}

/* The first error, "E0668: text". */
static const char *first_error(struct arena *arena, const spk_context *c)
{
    for (size_t i = 0; i < c->diags.items.len; i++) {
        const struct diag *d = c->diags.items.data[i];
        if (d->severity == DIAG_ERROR)
            return arena_printf(arena, "%s: %s", d->code, d->message);
    }
    return "refused";
}

/* The row goes to disk, and is then known. Only one thread at a time. */
static spk_status finish(struct explore *x, uint32_t at, bool simulated, const char *reason)
{
    struct explore_point *p = &x->point[at];
    struct strbuf line = {0};
    if (reason != NULL && (p->reason = arena_strdup(&x->arena, reason)) == NULL)
        return SPK_ERR_NOMEM;
    spk_status status = write_row(x, at, simulated, &line);
    if (status == SPK_OK)
        status = explore_append(x, strbuf_cstr(&line));
    if (status == SPK_OK)
        status = strbuf_detach(&line, &p->line);
    strbuf_fini(&line);
    SPK_TRY(status);
    p->done = true;
    api_progress(x->context, ++x->n_done, x->n_points);
    return SPK_OK;
}

/* What was refused for a reason of its own is a row; a full disk or memory ends the whole. */
static bool is_refusal(spk_status status)
{
    return status == SPK_ERR_NOFIT || status == SPK_ERR_INPUT || status == SPK_ERR_USAGE;
}

static spk_status run_in(struct explore *x, uint32_t at, spk_context *c, struct arena *arena)
{
    struct explore_point *p = &x->point[at];
    struct spk_compile_options o;
    struct strbuf cost = {0};
    const char *reason = p->refusal;
    bool simulated = false;
    spk_status status = SPK_OK;
    if (reason == NULL) {
        status = explore_options_of(x, at, arena, &o);
        if (status == SPK_OK)
            status = x->o->compile ? compile_point(x, c, &o, p, &cost) : api_expect(c, &o, &cost);
        if (status == SPK_OK)
            status = read_figures(strbuf_cstr(&cost), cost.len, p->figure, &simulated);
        if (is_refusal(status) && (reason = first_error(arena, c)) == NULL)
            status = SPK_ERR_NOMEM;
    }
    strbuf_fini(&cost);
    if (status != SPK_OK && !is_refusal(status))
        return status;
    p->fits = reason == NULL;
    lock_take(x->lock);
    status = finish(x, at, simulated, reason);
    lock_give(x->lock);
    return status;
}

spk_status explore_run_point(struct explore *x, uint32_t point)
{
    const struct spk_context_options options = {.threads = 1, .cancelled = is_cancelled, .user = x};
    spk_context *c = NULL;
    struct arena arena;
    if (is_cancelled(x))
        return SPK_ERR_CANCELLED;
    SPK_TRY((spk_status)spk_context_create(&options, &c));
    c->whole = true; /* a row is of a variant that is finished */
    arena_init(&arena, 0);
    spk_status status = run_in(x, point, c, &arena);
    if (status == SPK_ERR_IO || status == SPK_ERR_INTERNAL) {
        const char *text = first_error(&arena, c);
        lock_take(x->lock);
        if (!diag_has_errors(&x->context->diags))
            (void)diag_io(&x->context->diags, spk_span_none, "E0968", "variant %u: %s", point + 1,
                          text ? text : "failed");
        lock_give(x->lock);
    }
    arena_fini(&arena);
    spk_context_destroy(c);
    return status;
}
