/* Reader of constraints: a YAML tree (yaml_tree.h) becomes struct constraints.
 *
 * Errors never stop the reading, so that one run shows them all. Everything is checked that the
 * file alone can tell; names of layers and sizes of meshes are the mapper's to know. Cost: linear
 * in the file. */
#include "frontend/constraints_yaml.h"

#include <string.h>

#include "frontend/yaml_tree.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/name_hint.h"
#include "support/sha256.h"

#define FORMAT_VERSION "1"
#define MAX_PLACE 67108863u /* chips, columns, rows, cores and clusters that can be named */
#define MAX_BITS 8u

static const char *const top_keys[] = {"spikec_constraints", "forbid", "reserve", "pin",
                                       "weight_bits",        NULL};
static const char *const forbid_keys[] = {"chip", "x", "y", "core", NULL};
static const char *const pin_keys[] = {"layer", "cluster", "part", "chip", "x", "y", "core", NULL};
static const char *const bits_keys[] = {"layer", "bits", NULL};

struct reader {
    struct constraints *c;
    struct diag_list *diags;
    spk_status status;
};

static void fail(struct reader *r, spk_status status)
{
    if (r->status == SPK_OK || status == SPK_ERR_NOMEM)
        r->status = status;
}

static void check_keys(struct reader *r, const struct yt_node *map, const char *what,
                       const char *const *keys)
{
    for (const struct yt_node *child = map->first; child != NULL; child = child->next) {
        struct name_hint hint;
        bool known = false;
        name_hint_init(&hint, child->key);
        for (const char *const *key = keys; *key != NULL; key++) {
            known = known || strcmp(*key, child->key) == 0;
            name_hint_offer(&hint, *key);
        }
        if (known)
            continue;
        fail(r, diag_error(r->diags, child->key_span, "E0551", "unknown key '%s' in %s", child->key,
                           what));
        if (name_hint_best(&hint) != NULL)
            diag_help_set(r->diags, "did you mean '%s'?", name_hint_best(&hint));
    }
}

/* A whole number at *at, which is moved behind it. */
static bool read_number(const char **at, uint32_t *out)
{
    uint64_t value = 0;
    const char *p = *at;
    while (*p >= '0' && *p <= '9' && value <= MAX_PLACE)
        value = value * 10 + (uint64_t)(*p++ - '0');
    if (p == *at || value > MAX_PLACE)
        return false;
    *at = p;
    *out = (uint32_t)value;
    return true;
}

/* "3" or "3-7". */
static bool range(struct reader *r, const struct yt_node *map, const char *key,
                  struct ctr_range *out)
{
    const struct yt_node *node = yt_get(map, key);
    *out = (struct ctr_range){0, CTR_ANY};
    if (node == NULL)
        return false;
    const char *at = node->kind == YT_SCALAR ? node->text : "";
    bool good = read_number(&at, &out->first);
    out->last = out->first;
    if (good && *at == '-') {
        at++;
        good = read_number(&at, &out->last);
    }
    if (!good || *at != '\0') {
        fail(r, diag_error(r->diags, node->span, "E0552",
                           "'%s' takes a number or a range, for instance 3 or 3-7", key));
        diag_help_set(r->diags, "numbers from 0 to %u", MAX_PLACE);
    } else if (out->last < out->first) {
        fail(r, diag_error(r->diags, node->span, "E0552", "the range of '%s' ends before it begins",
                           key));
        diag_help_set(r->diags, "%u-%u", out->last, out->first);
    }
    return true;
}

/* The place of an entry; false where it names none. */
static bool area(struct reader *r, const struct yt_node *map, struct ctr_area *out)
{
    const bool chip = range(r, map, "chip", &out->chip), x = range(r, map, "x", &out->x);
    const bool y = range(r, map, "y", &out->y), core = range(r, map, "core", &out->core);
    if (core && (x || y))
        fail(r, diag_error(r->diags, yt_get(map, "core")->key_span, "E0553",
                           "a place is given by 'x' and 'y' or by 'core' (y * columns + x), not by "
                           "both"));
    return chip || x || y || core;
}

static bool single(struct reader *r, const struct yt_node *map, const char *key, uint32_t most,
                   uint32_t *out)
{
    const struct yt_node *node = yt_get(map, key);
    const char *at = node != NULL && node->kind == YT_SCALAR ? node->text : "";
    if (node == NULL)
        return false;
    if (!read_number(&at, out) || *at != '\0' || *out > most) {
        fail(r, diag_error(r->diags, node->span, "E0552", "'%s' takes a number from 0 to %u", key,
                           most));
        return false;
    }
    return true;
}

static const char *layer_name(struct reader *r, const struct yt_node *map, struct spk_span *out)
{
    const struct yt_node *node = yt_get(map, "layer");
    if (node == NULL)
        return NULL;
    *out = node->span;
    if (node->kind == YT_SCALAR && node->text[0] != '\0') {
        const char *name = arena_strdup(&r->c->arena, node->text);
        if (name == NULL)
            fail(r, SPK_ERR_NOMEM);
        return name;
    }
    fail(r, diag_error(r->diags, node->kind == YT_SCALAR ? node->key_span : node->span, "E0552",
                       "'layer' takes the name of a layer, or a pattern with *"));
    return NULL;
}

static void read_forbid(struct reader *r, const struct yt_node *map, struct ctr_forbid *out)
{
    check_keys(r, map, "a place", forbid_keys);
    out->span = map->span;
    if (!area(r, map, &out->area))
        fail(r, diag_error(r->diags, map->span, "E0554", "a place without chip, x, y or core"));
}

static void read_pin(struct reader *r, const struct yt_node *map, struct ctr_pin *out)
{
    check_keys(r, map, "a pin", pin_keys);
    out->span = map->span;
    out->part = CTR_ANY;
    out->layer = layer_name(r, map, &out->layer_span);
    const bool cluster = range(r, map, "cluster", &out->cluster);
    (void)single(r, map, "part", MAX_PLACE, &out->part);
    if (cluster == (yt_get(map, "layer") != NULL) || (cluster && yt_get(map, "part") != NULL))
        fail(r, diag_error(r->diags, map->span, "E0554",
                           "a pin names a 'layer' (and perhaps its 'part'), or of a plain graph a "
                           "'cluster'"));
    if (!area(r, map, &out->area))
        fail(r,
             diag_error(r->diags, map->span, "E0554", "a pin without a place: chip, x, y or core"));
}

static void read_bits(struct reader *r, const struct yt_node *map, struct ctr_bits *out)
{
    check_keys(r, map, "an entry of weight_bits", bits_keys);
    out->span = map->span;
    out->layer = layer_name(r, map, &out->layer_span);
    if (yt_get(map, "layer") == NULL)
        fail(r, diag_error(r->diags, map->span, "E0554", "an entry of weight_bits names no layer"));
    if (yt_get(map, "bits") == NULL)
        fail(r, diag_error(r->diags, map->span, "E0554", "an entry of weight_bits has no bits"));
    else if (single(r, map, "bits", MAX_BITS, &out->bits) && out->bits < 2)
        fail(r, diag_error(r->diags, yt_get(map, "bits")->span, "E0552",
                           "'bits' takes a number from 2 to %u", MAX_BITS));
}

/* The list under a key; NULL where there is none. */
static const struct yt_node *list(struct reader *r, const struct yt_node *root, const char *key)
{
    const struct yt_node *node = yt_get(root, key);
    if (node == NULL)
        return NULL;
    bool good = node->kind == YT_LIST;
    for (const struct yt_node *i = good ? node->first : NULL; i != NULL; i = i->next)
        good = good && i->kind == YT_MAP;
    if (good)
        return node;
    fail(r, diag_error(r->diags, node->key_span, "E0555", "'%s' must be a list of mappings", key));
    diag_help_set(r->diags, "%s: [{%schip: 0, x: 3, y: 4}]", key,
                  strcmp(key, "pin") == 0 ? "layer: …, " : "");
    return NULL;
}

static spk_status make_arrays(struct constraints *c, uint32_t forbids, uint32_t pins, uint32_t bits)
{
    c->forbid = ARENA_NEW_ARRAY(&c->arena, struct ctr_forbid, forbids + 1u);
    c->pin = ARENA_NEW_ARRAY(&c->arena, struct ctr_pin, pins + 1u);
    c->bits = ARENA_NEW_ARRAY(&c->arena, struct ctr_bits, bits + 1u);
    return c->forbid && c->pin && c->bits ? SPK_OK : SPK_ERR_NOMEM;
}

static void read_root(struct reader *r, const struct yt_node *root)
{
    const struct yt_node *version = yt_get(root, "spikec_constraints");
    struct constraints *c = r->c;
    if (root->kind != YT_MAP || version == NULL || version->kind != YT_SCALAR ||
        strcmp(version->text, FORMAT_VERSION) != 0) {
        fail(r, diag_error(r->diags, root->span, "E0550",
                           "constraints begin with 'spikec_constraints: " FORMAT_VERSION "'"));
        return;
    }
    check_keys(r, root, "constraints", top_keys);
    const struct yt_node *forbid = list(r, root, "forbid"), *reserve = list(r, root, "reserve");
    const struct yt_node *pin = list(r, root, "pin"), *bits = list(r, root, "weight_bits");
    spk_status status =
        make_arrays(c, (forbid ? forbid->n_children : 0) + (reserve ? reserve->n_children : 0),
                    pin ? pin->n_children : 0, bits ? bits->n_children : 0);
    if (status != SPK_OK) {
        fail(r, status);
        return;
    }
    for (const struct yt_node *i = forbid ? forbid->first : NULL; i != NULL; i = i->next)
        read_forbid(r, i, &c->forbid[c->n_forbid++]);
    for (const struct yt_node *i = reserve ? reserve->first : NULL; i != NULL; i = i->next) {
        c->forbid[c->n_forbid].reserved = true;
        read_forbid(r, i, &c->forbid[c->n_forbid++]);
    }
    for (const struct yt_node *i = pin ? pin->first : NULL; i != NULL; i = i->next)
        read_pin(r, i, &c->pin[c->n_pins++]);
    for (const struct yt_node *i = bits ? bits->first : NULL; i != NULL; i = i->next)
        read_bits(r, i, &c->bits[c->n_bits++]);
}

spk_status fe_constraints_parse(const char *name, const char *text, size_t length,
                                struct diag_list *diags, struct constraints **out)
{
    struct yt_node *root = NULL;
    struct reader r = {.diags = diags, .status = SPK_OK};
    *out = NULL;
    SPK_TRY(spk_alloc_array(1, sizeof *r.c, &r.c));
    arena_init(&r.c->arena, 0);
    r.status = yt_parse(name, text, length, &r.c->arena, diags, &root);
    if (r.status == SPK_OK) {
        sha256_bytes(text, length, r.c->sha256);
        r.c->path = arena_strdup(&r.c->arena, name);
        r.c->text = arena_strndup(&r.c->arena, text, length);
        r.c->length = length;
        r.status = r.c->path != NULL && r.c->text != NULL ? SPK_OK : SPK_ERR_NOMEM;
    }
    if (r.status == SPK_OK)
        read_root(&r, root);
    if (r.status == SPK_OK)
        *out = r.c;
    else
        constraints_destroy(r.c);
    return r.status;
}

spk_status fe_constraints_load(const char *path, struct diag_list *diags, struct constraints **out)
{
    char *text = NULL;
    size_t length = 0;
    *out = NULL;
    SPK_TRY(file_read(path, YT_MAX_BYTES, diags, &text, &length));
    spk_status status = fe_constraints_parse(path, text, length, diags, out);
    spk_free(text);
    return status;
}
