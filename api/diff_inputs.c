/* The causes: what two folders were made from and how. Options are read from the commands that the
 * folders keep (command_text.c wrote them), files are told apart by their hashes, constants of the
 * targets one by one. Contents of files that have no hash are seen by what they did. */
#include <string.h>

#include "api/diff.h"
#include "support/alloc.h"

/* ---- options ---- */

struct option {
    const char *name, *value; /* value NULL: a flag */
};
struct options VEC_FIELDS(struct option);

static const struct {
    const char *name;
    uint32_t acts_on;
} OPTIONS[] = {
    {"model", 0}, /* as of files: the contents tell */
    {"--set", DIFF_ALL},
    {"--weights", 0},
    {"--bind", DIFF_WEIGHTS | DIFF_INTEGERS | DIFF_COST},
    {"--ema", DIFF_WEIGHTS | DIFF_INTEGERS | DIFF_COST},
    {"--target", 0}, /* its constants are told */
    {"--calibrate", DIFF_INTEGERS | DIFF_COST},
    {"--calibrate-limit", DIFF_INTEGERS | DIFF_COST},
    {"--resize", DIFF_INTEGERS | DIFF_COST},
    {"--interpolation", DIFF_INTEGERS | DIFF_COST},
    {"--frames", DIFF_INTEGERS | DIFF_COST},
    {"--aedat", DIFF_INTEGERS | DIFF_COST},
    {"--attention", DIFF_CUT | DIFF_PLACES | DIFF_COST},
    {"--objective", DIFF_CUT | DIFF_PLACES | DIFF_COST},
    {"--rates", DIFF_CUT | DIFF_PLACES | DIFF_COST},
    {"--cut", DIFF_CUT | DIFF_PLACES | DIFF_COST},
    {"--separate-cores", DIFF_CUT | DIFF_PLACES | DIFF_COST},
    {"--system", DIFF_PLACES | DIFF_COST},
    {"--constraints", 0}, /* as of files */
    {"--placer", DIFF_PLACES | DIFF_COST},
    {"--seed", DIFF_PLACES | DIFF_COST},
};

static uint32_t option_acts_on(const char *name)
{
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++)
        if (strcmp(OPTIONS[i].name, name) == 0)
            return OPTIONS[i].acts_on;
    return DIFF_ALL;
}

/* The next word of a command as command_word wrote it; NULL at the end or where memory ran out
 * (*out_status). */
static char *next_word(struct arena *arena, const char **text, spk_status *out_status)
{
    struct strbuf word = {0};
    const char *at = *text;
    bool quoted = false;
    while (*at == ' ')
        at++;
    if (*at == '\0')
        return NULL;
    for (; *at != '\0' && (quoted || *at != ' '); at++) {
        if (*at == '\'')
            quoted = !quoted;
        else if (*at == '\\' && !quoted && at[1] != '\0')
            strbuf_char(&word, *++at);
        else
            strbuf_char(&word, *at);
    }
    *text = at;
    char *out = word.status == SPK_OK ? arena_strdup(arena, strbuf_cstr(&word)) : NULL;
    strbuf_fini(&word);
    if (out == NULL)
        *out_status = SPK_ERR_NOMEM;
    return out;
}

/* "spikec COMMAND MODEL --name value --flag …"; the model is an option of the name "model". */
static spk_status read_options(struct diff *d, const char *text, struct options *out)
{
    spk_status status = SPK_OK;
    char *word = NULL;
    for (int i = 0; i < 2; i++)
        (void)next_word(&d->arena, &text, &status);
    if ((word = next_word(&d->arena, &text, &status)) != NULL)
        SPK_TRY(vec_push(out, ((struct option){"model", word})));
    while ((word = next_word(&d->arena, &text, &status)) != NULL) {
        if (word[0] == '-')
            SPK_TRY(vec_push(out, ((struct option){word, NULL})));
        else if (out->len > 0)
            vec_last(out).value = word;
    }
    return status;
}

static spk_status add_input(struct diff *d, const char *kind, const char *name, const char *unit,
                            const char *a, const char *b, uint32_t acts_on)
{
    if (a == b || (a != NULL && b != NULL && strcmp(a, b) == 0))
        return SPK_OK;
    return diff_add(d, &(struct diff_change){.kind = kind,
                                             .name = name,
                                             .unit = unit,
                                             .first = diff_text(a),
                                             .second = diff_text(b),
                                             .acts_on = acts_on});
}

static bool same_option(const struct option *x, const struct option *y)
{
    return strcmp(x->name, y->name) == 0 &&
           (x->value == NULL ? y->value == NULL
                             : y->value != NULL && strcmp(x->value, y->value) == 0);
}

static bool repeats(const char *name)
{
    return strcmp(name, "--set") == 0 || strcmp(name, "--bind") == 0;
}

/* The value that the other command gives the option, or NULL. */
static const char *value_of(const struct options *o, const char *name)
{
    for (size_t i = 0; i < o->len; i++)
        if (strcmp(o->data[i].name, name) == 0)
            return o->data[i].value != NULL ? o->data[i].value : "given";
    return NULL;
}

static bool has_option(const struct options *o, const struct option *x)
{
    for (size_t i = 0; i < o->len; i++)
        if (same_option(&o->data[i], x))
            return true;
    return false;
}

/* Options of a command that the other gives otherwise; side 1 only those that side 0 has not. */
static spk_status compare_options(struct diff *d, const struct options *o, uint32_t only)
{
    for (uint32_t s = 0; s < 2; s++) {
        for (size_t i = 0; i < o[s].len; i++) {
            const struct option *x = &o[s].data[i];
            const char *here = x->value != NULL ? x->value : "given";
            if (strcmp(x->name, "-o") == 0 || has_option(&o[1 - s], x))
                continue;
            const char *there = repeats(x->name) ? NULL : value_of(&o[1 - s], x->name);
            if (s == 1 && there != NULL)
                continue;
            SPK_TRY(add_input(d, only ? "images" : "option", x->name, NULL, s == 0 ? here : there,
                              s == 0 ? there : here, only ? only : option_acts_on(x->name)));
        }
    }
    return SPK_OK;
}

static spk_status compare_commands(struct diff *d, const char *a, const char *b, uint32_t only)
{
    struct options o[2] = {{0}, {0}};
    spk_status status = read_options(d, a, &o[0]);
    if (status == SPK_OK)
        status = read_options(d, b, &o[1]);
    if (status == SPK_OK)
        status = compare_options(d, o, only);
    vec_fini(&o[0]);
    vec_fini(&o[1]);
    return status;
}

/* ---- constants ---- */

/* What a constant of the target may act on. Prices and times decide nothing for objectives that do
 * not ask for them, but for the prices of hops, which every placement minimises. */
static uint32_t constant_acts_on(const struct tgt_fact *f)
{
    if (strcmp(f->section, "energy") == 0)
        return DIFF_CUT | DIFF_PLACES | DIFF_COST;
    if (strcmp(f->section, "time") == 0)
        return DIFF_CUT | DIFF_PLACES | DIFF_COST;
    if (strcmp(f->section, "power") == 0)
        return DIFF_COST;
    if (strcmp(f->section, "arithmetic") == 0)
        return DIFF_INTEGERS | DIFF_CUT | DIFF_PLACES | DIFF_COST;
    return DIFF_CUT | DIFF_PLACES | DIFF_COST;
}

static const struct tgt_fact *find_fact(const struct tgt *t, const struct tgt_fact *f)
{
    for (uint32_t i = 0; i < t->n_facts; i++)
        if (strcmp(t->fact[i].section, f->section) == 0 && strcmp(t->fact[i].key, f->key) == 0)
            return &t->fact[i];
    return NULL;
}

static spk_status compare_constants(struct diff *d)
{
    for (uint32_t s = 0; s < 2; s++) {
        const struct tgt *t = d->side[s].target;
        for (uint32_t i = 0; i < t->n_facts; i++) {
            const struct tgt_fact *f = &t->fact[i], *g = find_fact(d->side[1 - s].target, f);
            if (s == 1 && g != NULL)
                continue;
            const char *name = arena_printf(&d->arena, "%s.%s", f->section, f->key);
            if (name == NULL)
                return SPK_ERR_NOMEM;
            const char *here = f->text, *there = g ? g->text : NULL;
            SPK_TRY(add_input(d, "constant", name, f->unit, s == 0 ? here : there,
                              s == 0 ? there : here, constant_acts_on(f)));
        }
    }
    return SPK_OK;
}

static spk_status systems_text(struct diff *d, const struct tgt *t, const char **out)
{
    struct strbuf text = {0};
    for (uint32_t i = 0; i < t->n_systems; i++)
        strbuf_printf(&text, "%s%s %u x %u", i ? ", " : "", t->system[i].name, t->system[i].chips_x,
                      t->system[i].chips_y);
    spk_status status = text.status;
    if (status == SPK_OK && (*out = arena_strdup(&d->arena, strbuf_cstr(&text))) == NULL)
        status = SPK_ERR_NOMEM;
    strbuf_fini(&text);
    return status;
}

/* ---- what was made from what ---- */

static const char *head_of(const char *hash)
{
    return hash[0] != '\0' ? hash : NULL;
}

static spk_status compare_files(struct diff *d, const struct json_cursor *p)
{
    static const struct {
        const char *key, *name;
        uint32_t acts_on;
    } files[] = {
        {"model_sha256", "model description", DIFF_ALL},
        {"weights_sha256", "weights", DIFF_WEIGHTS | DIFF_INTEGERS | DIFF_COST},
        {"target_sha256", "target description", 0},
        {"constraints_sha256", "constraints", DIFF_INTEGERS | DIFF_CUT | DIFF_PLACES | DIFF_COST}};
    const char *a, *b;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        const bool optional = strcmp(files[i].name, "constraints") == 0;
        a = b = "";
        if (!optional || js_has(&p[0], files[i].key))
            SPK_TRY(js_get_string(&p[0], files[i].key, &a));
        if (!optional || js_has(&p[1], files[i].key))
            SPK_TRY(js_get_string(&p[1], files[i].key, &b));
        SPK_TRY(
            add_input(d, "file", files[i].name, NULL, head_of(a), head_of(b), files[i].acts_on));
    }
    SPK_TRY(js_get_string(&p[0], "spikec", &a));
    SPK_TRY(js_get_string(&p[1], "spikec", &b));
    return add_input(d, "version", "spikec", NULL, a, b, DIFF_ALL);
}

static bool changed(const struct diff *d, uint32_t parts)
{
    for (size_t i = 0; i < d->changes.len; i++)
        if ((d->changes.data[i].part & parts) != 0)
            return true;
    return false;
}

static bool explained(const struct diff *d, uint32_t part)
{
    for (size_t i = 0; i < d->changes.len; i++)
        if (d->changes.data[i].part == DIFF_INPUT && (d->changes.data[i].acts_on & part) != 0)
            return true;
    return false;
}

/* What is known to differ by what it did only. */
static spk_status add_unseen(struct diff *d, const char *kind, const char *name, uint32_t acts_on)
{
    return diff_add(d, &(struct diff_change){.kind = kind, .name = name, .acts_on = acts_on});
}

/* Files that leave no hash: their names are the same, what they did is not. */
static spk_status compare_unhashed(struct diff *d, const struct json_cursor *p)
{
    int64_t images[2];
    if (changed(d, DIFF_MODEL) && !explained(d, DIFF_MODEL))
        SPK_TRY(add_unseen(d, "file", "imported model files", DIFF_ALL));
    for (int s = 0; s < 2; s++)
        SPK_TRY(js_get_i64(&p[s], "calibration_images", 0, INT64_MAX, &images[s]));
    if (images[0] > 0 && images[1] > 0 && changed(d, DIFF_INTEGERS) && !explained(d, DIFF_INTEGERS))
        SPK_TRY(add_unseen(d, "images", "content of --calibrate", DIFF_INTEGERS | DIFF_COST));
    if (d->side[0].simulated && d->side[1].simulated && changed(d, DIFF_COST) &&
        !explained(d, DIFF_COST))
        SPK_TRY(add_unseen(d, "images", "content of --input", DIFF_COST));
    return SPK_OK;
}

spk_status diff_inputs(struct diff *d)
{
    struct json_cursor p[2];
    const char *a = NULL, *b = NULL;
    for (int s = 0; s < 2; s++)
        SPK_TRY(js_member(&d->side[s].m, "provenance", &p[s]));
    SPK_TRY(js_get_string(&p[0], "command_line", &a));
    SPK_TRY(js_get_string(&p[1], "command_line", &b));
    SPK_TRY(compare_commands(d, a, b, 0));
    SPK_TRY(compare_files(d, p));
    SPK_TRY(compare_constants(d));
    SPK_TRY(systems_text(d, d->side[0].target, &a));
    SPK_TRY(systems_text(d, d->side[1].target, &b));
    SPK_TRY(add_input(d, "constant", "systems", NULL, a, b, DIFF_PLACES | DIFF_COST));
    if (d->side[0].simulated && d->side[1].simulated && js_has(&d->side[0].c, "command_line") &&
        js_has(&d->side[1].c, "command_line")) {
        SPK_TRY(js_get_string(&d->side[0].c, "command_line", &a));
        SPK_TRY(js_get_string(&d->side[1].c, "command_line", &b));
        SPK_TRY(compare_commands(d, a, b, DIFF_COST));
    }
    return compare_unhashed(d, p);
}
