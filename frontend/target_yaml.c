/* Reader of target descriptions.
 *
 * The YAML tree (yaml_tree.h) is walked along the table of constants (target_fields.h): sections
 * and keys that the table does not know are errors with the nearest known name, constants that the
 * table requires and the file lacks are errors at their section. One constant is a mapping of
 * value, unit, basis and source; it is stored twice, typed in struct tgt and as a struct tgt_fact
 * with its text. Errors never stop the reading, so that one run shows them all; the contradictions
 * between constants (target_check.c) are looked for only when every constant could be read.
 * Invariants: a fact exists for every constant that is present, in the order of the table; the tree
 * lives in the target's arena. Cost: linear in the file times the few keys of a section. */
#include "frontend/target_yaml.h"

#include <math.h>
#include <string.h>

#include "support/name_hint.h"
#include "frontend/target_fields.h"
#include "frontend/yaml_tree.h"
#include "support/alloc.h"
#include "support/sha256.h"

#define FORMAT_VERSION 1
#define MAX_SYSTEMS 64u
#define MAX_CHIPS 1048576.0

_Static_assert(sizeof(enum tgt_neuron_model) == sizeof(unsigned) &&
                   sizeof(enum tgt_sharing) == sizeof(unsigned) &&
                   sizeof(enum tgt_routing) == sizeof(unsigned) &&
                   sizeof(enum tgt_message) == sizeof(unsigned),
               "words are stored as unsigned");

static const char *const top_keys[] = {"spikec_target", "name", "description", "systems"};
static const char *const constant_keys[] = {"value", "unit", "basis", "source"};
static const char *const system_keys[] = {"name", "chips", "barrier"};
#define COUNT_OF(a) (uint32_t)(sizeof(a) / sizeof((a)[0]))

struct loader {
    struct tgt *t;
    struct diag_list *diags;
    const struct yt_node *root;
    spk_status status;
};

/* One constant as read, before it is stored. */
struct constant {
    struct tgt_const c;
    const char *text;
    double second; /* second part of a pair */
    uint32_t set;  /* words */
};

static void fail(struct loader *l, spk_status status)
{
    if (l->status == SPK_OK || status == SPK_ERR_NOMEM)
        l->status = status;
}

/* Arena text or SPK_ERR_NOMEM in the loader. */
static const char *keep(struct loader *l, const char *text)
{
    if (!text)
        fail(l, SPK_ERR_NOMEM);
    return text;
}

/* Complains about keys of `map` that are in neither list. */
static void check_keys(struct loader *l, const struct yt_node *map, const char *what,
                       const char *const *keys, uint32_t n_keys, const char *const *more,
                       uint32_t n_more)
{
    for (const struct yt_node *child = map->first; child; child = child->next) {
        struct name_hint hint;
        bool known = false;
        name_hint_init(&hint, child->key);
        for (uint32_t i = 0; i < n_keys + n_more; i++) {
            const char *key = i < n_keys ? keys[i] : more[i - n_keys];
            known = known || strcmp(key, child->key) == 0;
            name_hint_offer(&hint, key);
        }
        if (known)
            continue;
        fail(l, diag_error(l->diags, child->key_span, "E0505", "unknown key '%s' in %s", child->key,
                           what));
        if (name_hint_best(&hint))
            diag_help_set(l->diags, "did you mean '%s'?", name_hint_best(&hint));
    }
}

/* The plain text `key` of a mapping; NULL and a complaint when it is missing or of another kind. */
static const char *text_member(struct loader *l, const struct yt_node *map, const char *what,
                               const char *key, struct spk_span at)
{
    const struct yt_node *node = yt_get(map, key);
    if (!node) {
        fail(l, diag_error(l->diags, at, "E0506", "%s has no '%s'", what, key));
        return NULL;
    }
    if (node->kind != YT_SCALAR || !node->text[0]) {
        fail(l, diag_error(l->diags, node->kind == YT_SCALAR ? node->key_span : node->span, "E0507",
                           "'%s' of %s must be a text that is not empty", key, what));
        return NULL;
    }
    if (strpbrk(node->text, "\n\r\t")) {
        fail(l,
             diag_error(l->diags, node->span, "E0507", "'%s' of %s must be one line", key, what));
        return NULL;
    }
    return node->text;
}

/* ---- values ---- */

/* "section.key" or "chips of system x"; used in messages. */
static const char *field_name(struct loader *l, const struct tf_field *f)
{
    const char *name = keep(l, arena_printf(&l->t->arena, "%s.%s", f->section, f->key));
    return name ? name : f->key;
}

static bool number(struct loader *l, const struct tf_field *f, const char *name,
                   const struct yt_node *node, bool integer, double *out)
{
    int64_t whole;
    const char *kind = integer ? "an integer" : "a number";
    if (node->kind != YT_SCALAR || node->quoted) {
        fail(l, diag_error(l->diags, node->span, "E0507", "value of %s must be %s, this is %s",
                           name, kind, yt_kind_name(node->kind)));
        if (node->kind == YT_SCALAR)
            diag_help_set(l->diags, "write it without quotes");
        return false;
    }
    size_t length = strlen(node->text);
    if (integer && spk_parse_i64(node->text, length, &whole)) {
        *out = (double)whole;
    } else if (integer || !spk_parse_f64(node->text, length, out) || !isfinite(*out)) {
        fail(l, diag_error(l->diags, node->span, "E0507", "value of %s must be %s, found '%s'",
                           name, integer ? kind : "a finite number", node->text));
        diag_help_set(
            l->diags, "a value from %.15g to %.15g %s would fit%s", f->min, f->max, f->unit,
            f->need == TF_OPTIONAL ? "; leave the key out where nothing is published" : "");
        return false;
    }
    if (*out < f->min || *out > f->max) {
        fail(l,
             diag_error(l->diags, node->span, "E0509", "%s %s is out of range", name, node->text));
        diag_help_set(l->diags, "a value from %.15g to %.15g %s would fit", f->min, f->max,
                      f->unit);
        return false;
    }
    return true;
}

/* "a, b, c" of the words of a field, for help lines. */
static const char *word_list(struct loader *l, const struct tf_field *f)
{
    const char *list = f->words[0];
    for (uint32_t i = 1; list && i < f->n_words; i++)
        list = keep(l, arena_printf(&l->t->arena, "%s, %s", list, f->words[i]));
    return list ? list : "";
}

static bool word(struct loader *l, const struct tf_field *f, const char *name,
                 const struct yt_node *node, uint32_t *out)
{
    for (uint32_t i = 0; node->kind == YT_SCALAR && i < f->n_words; i++) {
        if (strcmp(node->text, f->words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    if (node->kind == YT_SCALAR)
        fail(l, diag_error(l->diags, node->span, "E0507", "%s cannot be '%s'", name, node->text));
    else
        fail(l, diag_error(l->diags, node->span, "E0507", "value of %s must be a word, this is %s",
                           name, yt_kind_name(node->kind)));
    diag_help_set(l->diags, "one of: %s", word_list(l, f));
    return false;
}

static bool set(struct loader *l, const struct tf_field *f, const char *name,
                const struct yt_node *node, struct constant *out)
{
    if (node->kind != YT_LIST) {
        fail(l, diag_error(l->diags, node->span, "E0507", "value of %s must be a list of words",
                           name));
        diag_help_set(l->diags, "for instance [%s]", word_list(l, f));
        return false;
    }
    bool good = true;
    out->text = NULL;
    for (const struct yt_node *item = node->first; item; item = item->next) {
        uint32_t index;
        if (!word(l, f, name, item, &index)) {
            good = false;
            continue;
        }
        if (out->set & (1u << index)) {
            fail(l, diag_error(l->diags, item->span, "E0504", "'%s' is listed twice", item->text));
            good = false;
        }
        out->set |= 1u << index;
        out->text = keep(l, out->text ? arena_printf(&l->t->arena, "%s, %s", out->text, item->text)
                                      : item->text);
    }
    if (!out->text)
        out->text = "none";
    return good;
}

static bool pair(struct loader *l, const struct tf_field *f, const char *name,
                 const struct yt_node *node, struct constant *out)
{
    if (node->kind != YT_LIST || node->n_children != 2) {
        fail(l, diag_error(l->diags, node->span, "E0507",
                           "value of %s must be two integers, [x, y]", name));
        return false;
    }
    const struct yt_node *x = node->first, *y = x->next;
    bool first = number(l, f, name, x, true, &out->c.value);
    bool second = number(l, f, name, y, true, &out->second);
    if (!first || !second)
        return false;
    out->text = keep(l, arena_printf(&l->t->arena, "%s x %s", x->text, y->text));
    return true;
}

static bool value(struct loader *l, const struct tf_field *f, const char *name,
                  const struct yt_node *node, struct constant *out)
{
    out->c.span = node->span;
    out->text = node->text;
    switch (f->kind) {
    case TF_REAL:
        return number(l, f, name, node, false, &out->c.value);
    case TF_FLAG:
        if (node->kind == YT_SCALAR && !node->quoted &&
            (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) {
            out->c.value = node->text[0] == 't' ? 1 : 0;
            return true;
        }
        fail(l,
             diag_error(l->diags, node->span, "E0507", "value of %s must be true or false", name));
        return false;
    case TF_WORD:
        return word(l, f, name, node, &out->set);
    case TF_SET:
        return set(l, f, name, node, out);
    case TF_PAIR:
        return pair(l, f, name, node, out);
    default:
        return number(l, f, name, node, true, &out->c.value);
    }
}

static bool basis(struct loader *l, const char *name, const struct yt_node *map,
                  struct constant *out)
{
    const char *text = text_member(l, map, name, "basis", map->key ? map->key_span : map->span);
    if (!text)
        return false;
    for (unsigned b = TGT_MEASURED; b <= TGT_ASSUMED; b++) {
        if (strcmp(text, tgt_basis_name((enum tgt_basis)b)) == 0) {
            out->c.basis = (enum tgt_basis)b;
            return true;
        }
    }
    fail(l, diag_error(l->diags, yt_get(map, "basis")->span, "E0510", "basis of %s cannot be '%s'",
                       name, text));
    diag_help_set(l->diags, "one of: measured, simulated, derived, assumed");
    return false;
}

/* Reads {value, unit, basis, source}; every part is looked at even after an error in another. */
static bool read_constant(struct loader *l, const struct tf_field *f, const char *name,
                          const struct yt_node *node, struct constant *out)
{
    *out = (struct constant){.c = {.present = true}};
    if (node->kind != YT_MAP) {
        fail(l, diag_error(l->diags, node->span, "E0507",
                           "%s must be a mapping with value, unit, basis and source", name));
        diag_help_set(l->diags, "%s: {value: %s, unit: %s, basis: assumed, source: \"…\"}", f->key,
                      node->kind == YT_SCALAR && node->text[0] ? node->text : "…", f->unit);
        return false;
    }
    check_keys(l, node, name, constant_keys, COUNT_OF(constant_keys), NULL, 0);
    struct spk_span at = node->key ? node->key_span : node->span;
    bool good = true;
    const struct yt_node *v = yt_get(node, "value");
    if (v) {
        good = value(l, f, name, v, out);
    } else {
        fail(l, diag_error(l->diags, at, "E0506", "%s has no 'value'", name));
        good = false;
    }
    const char *unit = text_member(l, node, name, "unit", at);
    if (unit && strcmp(unit, f->unit) != 0) {
        fail(l, diag_error(l->diags, yt_get(node, "unit")->span, "E0508", "%s is given in '%s'",
                           name, unit));
        diag_help_set(l->diags, "the unit of this constant is '%s'; convert the value", f->unit);
        good = false;
    }
    good = basis(l, name, node, out) && good;
    out->c.source = text_member(l, node, name, "source", at);
    return good && unit && out->c.source;
}

/* ---- storing ---- */

static void store(struct loader *l, const struct tf_field *f, const struct constant *c)
{
    char *at = (char *)l->t + f->offset;
    int64_t whole = (int64_t)c->c.value; /* every range of the table fits */
    uint32_t both[2] = {(uint32_t)whole, (uint32_t)(int64_t)c->second};
    uint8_t u8 = (uint8_t)whole;
    uint16_t u16 = (uint16_t)whole;
    int8_t i8 = (int8_t)whole;
    bool flag = c->c.value != 0;
    switch (f->kind) {
    case TF_COUNT:
    case TF_REAL:
        memcpy(at, &c->c, sizeof c->c);
        break;
    case TF_U8:
        memcpy(at, &u8, sizeof u8);
        break;
    case TF_U16:
        memcpy(at, &u16, sizeof u16);
        break;
    case TF_U32:
        memcpy(at, &both[0], sizeof both[0]);
        break;
    case TF_I8:
        memcpy(at, &i8, sizeof i8);
        break;
    case TF_FLAG:
        memcpy(at, &flag, sizeof flag);
        break;
    case TF_WORD:
    case TF_SET:
        memcpy(at, &c->set, sizeof c->set);
        break;
    case TF_PAIR:
        memcpy(at, both, sizeof both);
        break;
    }
}

/* Span of a section's key, or of the whole file's first key when it is missing. */
static struct spk_span section_span(const struct loader *l, const struct yt_node *section)
{
    return section ? section->key_span : l->root->span;
}

static void read_field(struct loader *l, const struct tf_field *f)
{
    const struct yt_node *section = yt_get(l->root, f->section);
    const struct yt_node *node = section ? yt_get(section, f->key) : NULL;
    struct constant c;
    if (!node) {
        if (f->need == TF_REQUIRED && (!section || section->kind == YT_MAP)) {
            fail(l, diag_error(l->diags, section_span(l, section), "E0506", "%s.%s is missing",
                               f->section, f->key));
            diag_help_set(l->diags, "%s: {value: …, unit: %s, basis: …, source: \"…\"}", f->key,
                          f->unit);
        }
        return;
    }
    if (!read_constant(l, f, field_name(l, f), node, &c))
        return;
    store(l, f, &c);
    l->t->fact[l->t->n_facts++] = (struct tgt_fact){f->section, f->key, f->unit, c.text, c.c};
}

static void check_section(struct loader *l, const char *name)
{
    const struct yt_node *section = yt_get(l->root, name);
    const char *keys[32];
    uint32_t n = 0;
    if (!section)
        return;
    if (section->kind != YT_MAP) {
        fail(l, diag_error(l->diags, section->key_span, "E0507",
                           "section '%s' must be a mapping, this is %s", name,
                           yt_kind_name(section->kind)));
        return;
    }
    for (uint32_t i = 0; i < tf_n_fields && n < COUNT_OF(keys); i++) {
        if (strcmp(tf_fields[i].section, name) == 0)
            keys[n++] = tf_fields[i].key;
    }
    check_keys(l, section, name, keys, n, NULL, 0);
}

/* Hard-wired neurons need the constants of their threshold, programmable ones have none. */
static void check_fixed(struct loader *l)
{
    const struct tgt_fact *neuron = tf_fact(l->t, "arithmetic", "neuron");
    for (uint32_t i = 0; neuron && i < tf_n_fields; i++) {
        const struct tf_field *f = &tf_fields[i];
        if (f->need != TF_FIXED)
            continue;
        const struct yt_node *section = yt_get(l->root, f->section);
        const struct yt_node *node = section ? yt_get(section, f->key) : NULL;
        if (l->t->arith.neuron == TGT_NEURON_FIXED && !node)
            fail(l, diag_error(l->diags, section_span(l, section), "E0506",
                               "%s.%s is missing; fixed neurons need it", f->section, f->key));
        if (l->t->arith.neuron == TGT_NEURON_PROGRAMMABLE && node) {
            fail(l,
                 diag_error(l->diags, node->key_span, "E0505",
                            "%s.%s has no meaning for programmable neurons", f->section, f->key));
            diag_note_add(l->diags, neuron->constant.span, "the neuron is declared here");
        }
    }
}

/* ---- systems ---- */

static void read_system(struct loader *l, const struct yt_node *node, struct tgt_system *s)
{
    static const struct tf_field chips_field = {.section = "systems",
                                                .key = "chips",
                                                .unit = "chips",
                                                .kind = TF_PAIR,
                                                .min = 1,
                                                .max = 65536};
    static const struct tf_field barrier_field = {.section = "systems",
                                                  .key = "barrier",
                                                  .unit = "ns",
                                                  .kind = TF_REAL,
                                                  .need = TF_OPTIONAL,
                                                  .max = 1e12};
    struct constant c;
    if (node->kind != YT_MAP) {
        fail(l, diag_error(l->diags, node->span, "E0507",
                           "a system must be a mapping with name and chips"));
        return;
    }
    check_keys(l, node, "a system", system_keys, COUNT_OF(system_keys), NULL, 0);
    s->name = text_member(l, node, "a system", "name", node->span);
    const char *label = s->name ? s->name : "?";
    s->span = s->name ? yt_get(node, "name")->span : node->span;
    const char *what = keep(l, arena_printf(&l->t->arena, "chips of system %s", label));
    const struct yt_node *chips = yt_get(node, "chips");
    if (!chips)
        fail(l, diag_error(l->diags, node->span, "E0506", "system %s has no 'chips'", label));
    else if (what && read_constant(l, &chips_field, what, chips, &c)) {
        s->chips_x = (uint32_t)c.c.value;
        s->chips_y = (uint32_t)c.second;
        s->source = c.c.source;
        s->basis = c.c.basis;
        if (c.c.value * c.second > MAX_CHIPS)
            fail(l,
                 diag_error(l->diags, c.c.span, "E0509", "%s are more than %.0f", what, MAX_CHIPS));
    }
    const struct yt_node *barrier = yt_get(node, "barrier");
    what = keep(l, arena_printf(&l->t->arena, "barrier of system %s", label));
    if (barrier && what && read_constant(l, &barrier_field, what, barrier, &c))
        s->barrier_ns = c.c;
}

static void read_systems(struct loader *l)
{
    const struct yt_node *list = yt_get(l->root, "systems");
    uint32_t n = 0;
    if (!list || list->kind != YT_LIST || list->n_children == 0) {
        fail(l, diag_error(l->diags, section_span(l, list), "E0506",
                           "systems must be a list of at least one system"));
        diag_help_set(l->diags, "- name: one-chip\\n  chips: {value: [1, 1], unit: chips, …}");
        return;
    }
    if (list->n_children > MAX_SYSTEMS) {
        fail(l, diag_error(l->diags, list->key_span, "E0502", "%u systems, at most %u are read",
                           list->n_children, MAX_SYSTEMS));
        return;
    }
    l->t->system = ARENA_NEW_ARRAY(&l->t->arena, struct tgt_system, list->n_children);
    if (!l->t->system) {
        fail(l, SPK_ERR_NOMEM);
        return;
    }
    for (const struct yt_node *item = list->first; item; item = item->next)
        read_system(l, item, &l->t->system[n++]);
    l->t->n_systems = n;
}

/* ---- the file ---- */

static void read_head(struct loader *l)
{
    static const struct tf_field version_field = {.section = "",
                                                  .key = "spikec_target",
                                                  .unit = "(format version)",
                                                  .min = FORMAT_VERSION,
                                                  .max = FORMAT_VERSION};
    struct spk_span at = l->root->span;
    double version;
    const struct yt_node *node = yt_get(l->root, "spikec_target");
    if (!node) {
        fail(l, diag_error(l->diags, at, "E0506", "this is no target description"));
        diag_help_set(l->diags, "it begins with 'spikec_target: %d', the version of the format",
                      FORMAT_VERSION);
    } else {
        (void)number(l, &version_field, "spikec_target", node, true, &version);
    }
    check_keys(l, l->root, "a target description", top_keys, COUNT_OF(top_keys), tf_sections,
               tf_n_sections);
    l->t->name = text_member(l, l->root, "the target", "name", at);
    l->t->description = text_member(l, l->root, "the target", "description", at);
    if (l->t->name && l->t->name[strspn(l->t->name, "abcdefghijklmnopqrstuvwxyz0123456789-_")]) {
        fail(l, diag_error(l->diags, yt_get(l->root, "name")->span, "E0507",
                           "the name '%s' has characters other than a-z, 0-9, '-' and '_'",
                           l->t->name));
    }
}

static spk_status read_target(struct loader *l)
{
    if (l->root->kind != YT_MAP)
        return diag_error(l->diags, l->root->span, "E0507",
                          "a target description is a mapping, this is %s",
                          yt_kind_name(l->root->kind));
    l->t->fact = ARENA_NEW_ARRAY(&l->t->arena, struct tgt_fact, tf_n_fields);
    if (!l->t->fact)
        return SPK_ERR_NOMEM;
    read_head(l);
    for (uint32_t i = 0; i < tf_n_sections; i++)
        check_section(l, tf_sections[i]);
    for (uint32_t i = 0; i < tf_n_fields; i++)
        read_field(l, &tf_fields[i]);
    check_fixed(l);
    read_systems(l);
    if (l->t->sharing == TGT_SHARE_POPULATION && !l->t->axon_population)
        l->t->sharing = TGT_SHARE_NONE; /* what shares by a base has no axon with one */
    return l->status == SPK_OK ? fe_target_check(l->t, l->diags) : l->status;
}

spk_status fe_target_parse(const char *name, const char *text, size_t length,
                           struct diag_list *diags, struct tgt **out_target)
{
    struct yt_node *root = NULL;
    struct tgt *t = spk_alloc_zero(sizeof *t);
    if (!t)
        return SPK_ERR_NOMEM;
    arena_init(&t->arena, 0);
    sha256_bytes(text, length, t->sha256);
    t->path = arena_strdup(&t->arena, name);
    t->text = arena_strndup(&t->arena, text, length);
    t->length = length;
    spk_status status = t->path && t->text ? SPK_OK : SPK_ERR_NOMEM;
    if (status == SPK_OK)
        status = yt_parse(name, text, length, &t->arena, diags, &root);
    if (status == SPK_OK) {
        struct loader l = {.t = t, .diags = diags, .root = root};
        status = read_target(&l);
    }
    if (status == SPK_OK)
        *out_target = t;
    else
        tgt_destroy(t);
    return status;
}
