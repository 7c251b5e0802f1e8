/* The pass manager: reads pipeline texts and runs them.
 *
 * A pipeline is parsed completely (names, options, values) into a list of steps before anything
 * runs; standard pipelines are replaced by their text, to one level. Steps then run in order.
 * Between steps the manager checks the stage, verifies and calls back; the old module stays alive
 * behind the new one where it owns tensor data, which a pass that did not change it shares.
 * Invariant: the module behind *m is always complete: it is replaced only after a pass and its
 * verification succeeded. Cost: that of the passes.                                           */
#include <string.h>

#include "passes/attention.h"
#include "passes/pass.h"
#include "passes/pass_options.h"
#include "support/name_hint.h"
#include "support/alloc.h"

struct step {
    const struct pass *pass;
    int64_t option[PASS_MAX_OPTIONS];
};
struct step_list VEC_FIELDS(struct step);

static spk_status unknown_name(struct diag_list *d, const char *name, size_t length)
{
    size_t n_passes = 0, n_aliases = 0;
    const struct pass *pass = pass_registry(&n_passes);
    const struct pass_alias *alias = pass_aliases(&n_aliases);
    struct name_hint hint;
    name_hint_init_n(&hint, name, length);
    for (size_t i = 0; i < n_passes; i++)
        name_hint_offer(&hint, pass[i].name);
    for (size_t i = 0; i < n_aliases; i++)
        name_hint_offer(&hint, alias[i].name);
    spk_status s = diag_usage(d, spk_span_none, "E0601", "unknown pass '%.*s'", (int)length, name);
    if (name_hint_best(&hint) != NULL)
        diag_help_set(d, "did you mean '%s'?", name_hint_best(&hint));
    return s;
}

/* One item: [name, name_length) and, when it has braces, the text between them. */
struct item {
    const char *name, *options;
    size_t name_length, options_length;
};

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n')
        p++;
    return p;
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Reads one item at *at and moves behind it and its comma. */
static spk_status read_item(const char *text, const char **at, struct diag_list *d,
                            struct item *out)
{
    const char *p = skip_blanks(*at);
    memset(out, 0, sizeof *out);
    out->name = p;
    while (is_name_char(*p))
        p++;
    out->name_length = (size_t)(p - out->name);
    if (out->name_length == 0)
        return diag_usage(d, spk_span_none, "E0602",
                          "a pass name is expected at character %zu of the pipeline '%s'",
                          (size_t)(p - text) + 1, text);
    p = skip_blanks(p);
    if (*p == '{') {
        const char *end = strchr(p, '}');
        if (!end)
            return diag_usage(d, spk_span_none, "E0602",
                              "'{' without '}' in the "
                              "pipeline '%s'",
                              text);
        out->options = p + 1;
        out->options_length = (size_t)(end - p - 1);
        p = skip_blanks(end + 1);
    }
    if (*p == ',') {
        *at = skip_blanks(p + 1);
        return SPK_OK;
    }
    if (*p != '\0')
        return diag_usage(d, spk_span_none, "E0602",
                          "',' or '{' is expected at character %zu of the pipeline '%s'",
                          (size_t)(p - text) + 1, text);
    *at = p;
    return SPK_OK;
}

static spk_status parse(const char *text, struct diag_list *d, struct step_list *out, int depth)
{
    const char *at = skip_blanks(text);
    while (*at) {
        struct item item;
        struct step step;
        size_t n_aliases = 0;
        const struct pass_alias *alias = pass_aliases(&n_aliases), *match = NULL;
        SPK_TRY(read_item(text, &at, d, &item));
        for (size_t i = 0; i < n_aliases && depth == 0; i++)
            if (strlen(alias[i].name) == item.name_length &&
                strncmp(alias[i].name, item.name, item.name_length) == 0)
                match = &alias[i];
        if (match) {
            if (item.options)
                return diag_usage(d, spk_span_none, "E0603",
                                  "the standard pipeline '%s' takes no options", match->name);
            SPK_TRY(parse(match->text, d, out, depth + 1));
            continue;
        }
        step.pass = pass_find(item.name, item.name_length);
        if (!step.pass)
            return unknown_name(d, item.name, item.name_length);
        SPK_TRY(pass_options_parse(step.pass, item.options, item.options_length, d, step.option));
        SPK_TRY(vec_push(out, step));
    }
    return SPK_OK;
}

static const char *const stage_name[] = {"model", "lowered", "quantised"};

static spk_status check_step(const struct pass_context *c, const struct pass *p,
                             const struct ir_module *m)
{
    if (!(p->stages & (1u << m->stage))) {
        spk_status s = diag_error(c->diags, spk_span_none, "E0604",
                                  "pass '%s' does not apply to a module at stage '%s'", p->name,
                                  stage_name[m->stage]);
        diag_help_set(c->diags, "it expects %s", p->expects);
        return s;
    }
    if (p->needs_target && !c->target)
        return diag_usage(c->diags, spk_span_none, "E0605",
                          "pass '%s' needs a target: give --target", p->name);
    return SPK_OK;
}

static void destroy_module(void *module)
{
    ir_module_destroy(module);
}

/* Ends the life of `old` no sooner than that of `next`, which may share its tensor data. */
static spk_status retire(struct ir_module *old, struct ir_module *next)
{
    if (old->n_owned || old->hooks)
        return ir_module_on_destroy(next, destroy_module, old);
    ir_module_destroy(old);
    return SPK_OK;
}

static spk_status run_step(const struct pass_context *c, const struct step *step,
                           struct ir_module **m)
{
    struct ir_module *next = NULL;
    SPK_TRY(check_step(c, step->pass, *m));
    SPK_TRY(step->pass->run(c, step->option, *m, &next));
    if (c->verify_each) {
        spk_status s = ir_verify(next, c->diags);
        if (s != SPK_OK) {
            ir_module_destroy(next);
            if (s == SPK_ERR_NOMEM)
                return s;
            return diag_internal(c->diags, spk_span_none, "E0691",
                                 "pass '%s' made a module that breaks the rules of "
                                 "the IR",
                                 step->pass->name);
        }
    }
    spk_status s = retire(*m, next);
    if (s != SPK_OK) {
        ir_module_destroy(next);
        return s;
    }
    *m = next;
    if (c->after)
        c->after(c->after_ctx, step->pass->name, next);
    return SPK_OK;
}

spk_status passes_check(const char *pipeline, struct diag_list *d)
{
    struct step_list steps = {0};
    spk_status s = parse(pipeline, d, &steps, 0);
    vec_fini(&steps);
    return s;
}

spk_status passes_run(const struct pass_context *c, const char *pipeline, struct ir_module **m)
{
    struct step_list steps = {0};
    spk_status s = parse(pipeline, c->diags, &steps, 0);
    for (size_t i = 0; s == SPK_OK && i < steps.len; i++)
        s = run_step(c, &steps.data[i], m);
    vec_fini(&steps);
    return s;
}

spk_status passes_compile_pipeline(const struct pass_context *c, enum passes_level level,
                                   const char *attention, const char *objective,
                                   struct ir_module **m)
{
    enum ir_attn_lowering known;
    if (attention && strcmp(attention, "auto") != 0 && !attn_by_name(attention, &known)) {
        spk_status s = diag_usage(c->diags, spk_span_none, "E0641",
                                  "unknown attention lowering '%s'", attention);
        diag_help_set(c->diags,
                      "possible are auto, and_lif, embedded, product, serial, plastic, engine");
        return s;
    }
    if ((*m)->stage == IR_STAGE_MODEL)
        SPK_TRY(passes_run(c, "prepare", m));
    if (level == PASSES_PREPARED)
        return SPK_OK;
    if ((*m)->stage == IR_STAGE_LOWERED)
        SPK_TRY(passes_run(c, "quantise", m));
    if (level == PASSES_QUANTISED)
        return SPK_OK;
    const bool latency = objective && strcmp(objective, "latency") == 0; /* relays take steps */
    struct strbuf text = {0};
    strbuf_printf(&text, "choose-attention{attention=%s,objective=%s},%sbalance-delays",
                  attention ? attention : "auto", objective ? objective : "cores",
                  latency ? "" : "fan-out,");
    spk_status s = text.status;
    if (s == SPK_OK)
        s = passes_run(c, strbuf_cstr(&text), m);
    strbuf_fini(&text);
    return s;
}
