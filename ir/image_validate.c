/* Checks that make the tables of an image safe to walk: every index lies inside its table, every
 * range inside what it is cut from, every enum and shift is known, and the places that routes name
 * have cores. Legality on a target (limits, memory, formats) is the checker's business.
 *
 * Everything is one pass over each table, in O(rows), plus a sorted index of the cores' places;
 * ranges of groups, blocks, axons and sum terms must follow each other without overlap, so that a
 * hostile file cannot make this quadratic. The target range of a list axon is checked against the
 * largest extent of all rows of its content, computed once per content. All violations are
 * reported up to a limit; a pass over a table that refers to another runs only when the other one
 * was sound.                                                                                   */
#include <inttypes.h>
#include <stdlib.h>

#include "ir/image_private.h"
#include "ir/image_validate.h"
#include "support/alloc.h"

#define MAX_SHIFT 24u

void img_report(struct check *c, const char *field, uint64_t value, const char *rule,
                uint64_t bound, const char *of)
{
    if (c->reports++ >= IMG_MAX_REPORTS)
        return;
    (void)diag_error(c->d, diag_place(c->d, "%s", c->name), "E0354",
                     "%s[%" PRIu64 "].%s: %" PRIu64 " is not %s %" PRIu64 "%s%s", c->table, c->row,
                     field, value, rule, bound, *of ? ", " : "", of);
}

/* Each returns whether the rule holds. */
bool img_below(struct check *c, const char *field, uint64_t value, uint64_t limit, const char *of)
{
    if (value < limit)
        return true;
    img_report(c, field, value, "below", limit, of);
    return false;
}

bool img_at_most(struct check *c, const char *field, uint64_t value, uint64_t limit, const char *of)
{
    if (value <= limit)
        return true;
    img_report(c, field, value, "at most", limit, of);
    return false;
}

bool img_at_least(struct check *c, const char *field, uint64_t value, uint64_t limit,
                  const char *of)
{
    if (value >= limit)
        return true;
    img_report(c, field, value, "at least", limit, of);
    return false;
}

bool img_equals(struct check *c, const char *field, uint64_t value, uint64_t wanted, const char *of)
{
    if (value == wanted)
        return true;
    img_report(c, field, value, "equal to", wanted, of);
    return false;
}

/* first .. first + n - 1 inside 0 .. limit - 1. */
bool img_range(struct check *c, const char *field, uint64_t first, uint64_t n, uint64_t limit,
               const char *of)
{
    if (n <= limit && first <= limit - n)
        return true;
    uint64_t end;
    if (__builtin_add_overflow(first, n, &end))
        end = UINT64_MAX;
    img_report(c, field, end, "at most", limit, of);
    return false;
}

bool img_row_is(struct check *c, const char *table, uint64_t row)
{
    c->table = table;
    c->row = row;
    return c->reports < IMG_MAX_REPORTS;
}

uint64_t img_positions(const struct img_layer *l)
{
    return (uint64_t)l->height * l->width;
}

/* The ranges of a core; those of groups, blocks and axons come one after the other. */
static void check_cores(struct check *c)
{
    const struct image *im = c->im;
    uint64_t groups = 0, blocks = 0, in = 0, out = 0;
    uint64_t chips = (uint64_t)im->meta.chips_x * im->meta.chips_y;
    for (uint64_t i = 0; i < im->n_cores && img_row_is(c, "cores", i); i++) {
        const struct img_core *k = &im->cores[i];
        img_below(c, "chip", k->chip, chips, "the number of chips");
        img_below(c, "x", k->x, im->meta.cores_x, "the width of the mesh");
        img_below(c, "y", k->y, im->meta.cores_y, "the height of the mesh");
        img_range(c, "group_first", k->group_first, k->n_groups, im->n_groups,
                  "the number of groups");
        img_range(c, "config_first", k->config_first, k->n_configs, im->n_configs,
                  "the number of configs");
        img_range(c, "block_first", k->block_first, k->n_blocks, im->n_blocks,
                  "the number of blocks");
        img_range(c, "in_axon_first", k->in_axon_first, k->n_in_axons, im->n_in_axons,
                  "the number of in_axons");
        img_range(c, "out_axon_first", k->out_axon_first, k->n_out_axons, im->n_out_axons,
                  "the number of out_axons");
        static const char *const follow = "the end of the core before";
        if (k->n_groups)
            img_at_least(c, "group_first", k->group_first, groups, follow);
        if (k->n_blocks)
            img_at_least(c, "block_first", k->block_first, blocks, follow);
        if (k->n_in_axons)
            img_at_least(c, "in_axon_first", k->in_axon_first, in, follow);
        if (k->n_out_axons)
            img_at_least(c, "out_axon_first", k->out_axon_first, out, follow);
        groups = k->n_groups ? (uint64_t)k->group_first + k->n_groups : groups;
        blocks = k->n_blocks ? (uint64_t)k->block_first + k->n_blocks : blocks;
        in = k->n_in_axons ? (uint64_t)k->in_axon_first + k->n_in_axons : in;
        out = k->n_out_axons ? (uint64_t)k->out_axon_first + k->n_out_axons : out;
    }
}

static int compare_places(const void *pa, const void *pb)
{
    const struct place *a = pa, *b = pb;
    if (a->chip != b->chip)
        return a->chip < b->chip ? -1 : 1;
    if (a->y != b->y)
        return a->y < b->y ? -1 : 1;
    if (a->x != b->x)
        return a->x < b->x ? -1 : 1;
    return 0;
}

static spk_status index_places(struct check *c)
{
    const struct image *im = c->im;
    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *c->places, &c->places));
    for (uint64_t i = 0; i < im->n_cores; i++) {
        const struct img_core *k = &im->cores[i];
        c->places[i] = (struct place){k->chip, k->y, k->x, (uint32_t)i};
    }
    qsort(c->places, im->n_cores, sizeof *c->places, compare_places);
    for (uint64_t i = 1; i < im->n_cores; i++) {
        if (compare_places(&c->places[i - 1], &c->places[i]) != 0)
            continue;
        uint32_t a = c->places[i - 1].core, b = c->places[i].core;
        (void)img_row_is(c, "cores", a < b ? b : a);
        img_report(c, "x", c->places[i].x, "free: its place belongs to core", a < b ? a : b, "");
    }
    return SPK_OK;
}

/* The core at a place, IMG_NONE where there is none. */
static uint32_t core_at(const struct check *c, uint32_t chip, uint32_t x, uint32_t y)
{
    struct place key = {chip, y, x, 0};
    const struct place *p =
        bsearch(&key, c->places, c->im->n_cores, sizeof *c->places, compare_places);
    return p ? p->core : IMG_NONE;
}

static void check_configs(struct check *c)
{
    for (uint64_t i = 0; i < c->im->n_configs && img_row_is(c, "configs", i); i++) {
        const struct img_config *k = &c->im->configs[i];
        img_at_most(c, "decay", k->decay, 4096, "");
        img_at_most(c, "current_keep", k->current_keep, k->program == IMG_PROG_PROG ? 4096 : 0, "");
        img_at_most(c, "program", k->program, IMG_PROG_ENGINE, "");
        img_at_most(c, "soft_reset", k->soft_reset, 1, "");
    }
}

/* Rows and planes that do not overlap. */
static bool check_group_layout(struct check *c, const struct img_group *g)
{
    bool ok = img_at_least(c, "pitch", g->pitch, g->nx, "the columns of the group");
    ok &= img_at_least(c, "slice", g->slice, 1, "");
    ok &= img_at_most(c, "slice", g->slice, g->nc, "the channels of the group");
    if (!ok || g->slice == g->nc)
        return ok;
    return img_at_least(c, "plane", g->plane, ((uint64_t)(g->ny - 1) * g->pitch + g->nx) * g->slice,
                        "the compartments of a slice") &&
           img_equals(c, "plane", g->plane % g->slice, 0, "0 modulo the slice");
}

/* Whether all compartments of an entry lie on its core; those of a sliced group also inside the
 * channels of one position. */
static void check_out_comps(struct check *c, const struct img_out_axon *a, const struct img_core *k)
{
    if (!img_range(c, "comp_first", a->comp_first, a->comp_count, k->neurons,
                   "the compartments of the core"))
        return;
    for (uint32_t i = k->group_first; i < k->group_first + k->n_groups; i++) {
        const struct img_group *g = &c->im->groups[i];
        const uint32_t neuron = img_group_neuron(g, a->comp_first);
        if (neuron != IMG_NONE && g->slice < g->nc)
            img_range(c, "comp_count", neuron % g->nc, a->comp_count, g->nc,
                      "the channels of its group");
    }
}

static void check_groups(struct check *c)
{
    const struct image *im = c->im;
    for (uint64_t i = 0; i < im->n_groups && img_row_is(c, "groups", i); i++) {
        const struct img_group *g = &im->groups[i];
        if (!img_below(c, "core", g->core, im->n_cores, "the number of cores") ||
            !img_below(c, "layer", g->layer, im->n_layers, "the number of layers"))
            continue;
        const struct img_core *k = &im->cores[g->core];
        const struct img_layer *l = &im->layers[g->layer];
        img_at_least(c, "core", i, k->group_first, "the first group of its core");
        img_below(c, "core", i, (uint64_t)k->group_first + k->n_groups,
                  "the end of the groups of its core");
        bool inside = img_range(c, "y0", g->y0, g->ny, l->height, "the height of the layer");
        inside &= img_range(c, "x0", g->x0, g->nx, l->width, "the width of the layer");
        inside &= img_range(c, "c0", g->c0, g->nc, l->channels, "the channels of the layer");
        if (!inside)
            continue; /* now ny * nx * nc fits 32 bits, as the layer does */
        if (!check_group_layout(c, g))
            continue;
        img_range(c, "comp_first", g->comp_first, img_group_extent(g), k->neurons,
                  "the compartments of the core");
        if (img_range(c, "channel_config", g->channel_config, g->nc, im->n_channel_config,
                      "the number of channel_config")) {
            for (uint32_t j = 0; j < g->nc; j++)
                img_below(c, "channel_config", im->channel_config[g->channel_config + j],
                          k->n_configs, "the configs of the core");
        }
        if (g->channel_bias != IMG_NONE)
            img_range(c, "channel_bias", g->channel_bias, g->nc, im->n_biases,
                      "the number of biases");
        img_at_most(c, "host_current", g->host_current, 1, "");
        if (g->teach_first != IMG_NONE)
            img_range(c, "teach_first", g->teach_first, g->nc, k->neurons,
                      "the compartments of the core");
        if (g->host_current) {
            img_equals(c, "host_current", im->encoder.present, 1, "an encoder in the image");
            img_equals(c, "layer", g->layer, im->encoder.layer, "the layer of the encoder");
        }
    }
}

/* The converse of group.core and block.core: what a core claims is its own. */
static void check_owners(struct check *c)
{
    const struct image *im = c->im;
    for (uint64_t i = 0; i < im->n_cores && img_row_is(c, "cores", i); i++) {
        const struct img_core *k = &im->cores[i];
        for (uint32_t j = 0; j < k->n_groups; j++) {
            const struct img_group *g = &im->groups[k->group_first + j];
            img_equals(c, "group_first", g->core, i, "the core that claims the group");
            if (j > 0)
                img_at_least(c, "group_first", g->comp_first, g[-1].comp_first,
                             "the compartments of the group before it");
        }
        for (uint32_t j = 0; j < k->n_blocks; j++)
            img_equals(c, "block_first", im->blocks[k->block_first + j].core, i,
                       "the core that claims the block");
    }
}

static void check_synapses(struct check *c)
{
    const struct image *im = c->im;
    for (uint64_t i = 0; i < im->n_runs && img_row_is(c, "runs", i); i++)
        img_range(c, "weight_first", im->runs[i].weight_first, im->runs[i].length, im->n_weights,
                  "the number of weights");
    for (uint64_t i = 0; i < im->n_rows && img_row_is(c, "rows", i); i++)
        img_range(c, "run_first", im->rows[i].run_first, im->rows[i].n_runs, im->n_runs,
                  "the number of runs");
    uint64_t rows = 0;
    for (uint64_t i = 0; i < im->n_contents && img_row_is(c, "contents", i); i++) {
        const struct img_content *k = &im->contents[i];
        if (!img_at_most(c, "kind", k->kind, IMG_BLOCK_PLASTIC, ""))
            continue;
        if (k->kind != IMG_BLOCK_CONV) {
            img_range(c, "row_first", k->row_first, k->n_rows, im->n_rows, "the number of rows");
            if (k->n_rows)
                img_at_least(c, "row_first", k->row_first, rows, "the end of the content before");
            rows = k->n_rows ? k->row_first + k->n_rows : rows;
            continue;
        }
        img_at_least(c, "kernel_h", k->kernel_h, 1, "");
        img_at_least(c, "kernel_w", k->kernel_w, 1, "");
        img_at_least(c, "stride", k->stride, 1, "");
        img_at_least(c, "nc", k->nc, 1, "");
        const uint64_t size[] = {k->n_rows, k->kernel_h, k->kernel_w, k->nc};
        uint64_t n = 1;
        for (size_t j = 0; j < 4; j++)
            n = __builtin_mul_overflow(n, size[j], &n) ? UINT64_MAX : n;
        img_range(c, "weight_first", k->weight_first, n, im->n_weights, "the number of weights");
    }
    for (uint64_t i = 0; i < im->n_blocks && img_row_is(c, "blocks", i); i++) {
        const struct img_block *b = &im->blocks[i];
        if (img_below(c, "core", b->core, im->n_cores, "the number of cores")) {
            const struct img_core *k = &im->cores[b->core];
            img_at_least(c, "core", i, k->block_first, "the first block of its core");
            img_below(c, "core", i, (uint64_t)k->block_first + k->n_blocks,
                      "the end of the blocks of its core");
        }
        if (img_below(c, "content", b->content, im->n_contents, "the number of contents"))
            img_equals(c, "kind", b->kind, im->contents[b->content].kind,
                       "the kind of its content");
        img_at_most(c, "shift", b->shift, MAX_SHIFT, "");
        img_at_least(c, "weight_bits", b->weight_bits, 1, "");
        img_at_most(c, "weight_bits", b->weight_bits, 8, "");
        img_at_most(c, "delay_bits", b->delay_bits, 16, "");
    }
}

/* Largest start + length over all runs of each list content; contents own disjoint rows, rows may
 * share runs only as far as the file is long, so the sum of runs is limited below. */
static spk_status measure_contents(struct check *c)
{
    const struct image *im = c->im;
    uint64_t budget = 64 * (im->n_runs + im->n_rows) + ((uint64_t)1 << 30);
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *c->extent, &c->extent));
    for (uint64_t i = 0; i < im->n_contents && img_row_is(c, "contents", i); i++) {
        const struct img_content *k = &im->contents[i];
        for (uint64_t r = 0; k->kind != IMG_BLOCK_CONV && r < k->n_rows; r++) {
            const struct img_row *row = &im->rows[k->row_first + r];
            if (row->n_runs > budget) {
                img_report(c, "row_first", k->row_first + r,
                           "a row whose runs are its own; uses left:", budget, "");
                return SPK_OK;
            }
            budget -= row->n_runs;
            for (uint64_t j = 0; j < row->n_runs; j++) {
                const struct img_run *run = &im->runs[row->run_first + j];
                uint64_t end = (uint64_t)run->start + run->length;
                c->extent[i] = end > c->extent[i] ? end : c->extent[i];
            }
        }
    }
    return SPK_OK;
}

/* An operand of an attention engine's task. */
static void check_engine_axon(struct check *c, const struct img_in_axon *a,
                              const struct img_embedded *e)
{
    const uint64_t d = e->channels / e->heads;
    const bool v = a->port == IMG_PORT_V;
    const uint64_t first = e->head_first * d + (v ? e->column_first : 0);
    if (!img_at_least(c, "port", a->port, IMG_PORT_Q, "as its core is an attention engine"))
        return;
    img_equals(c, "block", a->block, IMG_NONE, "none, as its core is an attention engine");
    img_equals(c, "group", a->group, IMG_NONE, "none, as its core is an attention engine");
    img_at_least(c, "atoms", a->atoms, 1, "");
    img_below(c, "base", a->base, e->tokens, "the tokens of the task");
    img_at_least(c, "row", a->row, first, "the first channel of the task");
    img_range(c, "row", a->row, a->atoms, first + e->head_count * (v ? (uint64_t)e->columns : d),
              "the end of the channels of the task");
}

static void check_in_axon(struct check *c, const struct img_in_axon *a, uint32_t core)
{
    const struct image *im = c->im;
    const struct img_core *k = &im->cores[core];
    img_at_most(c, "kind", a->kind, IMG_AXON_POP32, "");
    img_at_most(c, "port", a->port, IMG_PORT_V, "");
    img_at_most(c, "delay", a->delay, 65535, "");
    if (c->task_of[core] != IMG_NONE) {
        check_engine_axon(c, a, &im->embedded[c->task_of[core]]);
        return;
    }
    if (!img_at_most(c, "port", a->port, IMG_PORT_TEACH, "as its core is no attention engine"))
        return;
    if (!img_below(c, "block", a->block, im->n_blocks, "the number of blocks"))
        return;
    const struct img_block *b = &im->blocks[a->block];
    const struct img_content *t = &im->contents[b->content];
    img_equals(c, "block", b->core, core, "the core of the axon");
    img_at_least(c, "atoms", a->atoms, 1, "");
    img_range(c, "row", a->row, a->atoms, t->n_rows, "the rows of its content");
    if (a->port == IMG_PORT_LEARN)
        img_equals(c, "port", b->kind, IMG_BLOCK_PLASTIC, "the kind of a block that learns");
    if (b->kind == IMG_BLOCK_PLASTIC && a->port != IMG_PORT_MAIN)
        img_equals(c, "port", a->port, IMG_PORT_LEARN, "the other port of a block that learns");
    if (a->port == IMG_PORT_TEACH)
        img_equals(c, "port", b->kind, IMG_BLOCK_LIST, "the kind of a block that teaches");
    if (b->kind != IMG_BLOCK_CONV) {
        img_equals(c, "group", a->group, IMG_NONE, "none, as its block is a list");
        if (c->extent[b->content])
            img_range(c, "base", a->base, c->extent[b->content], k->neurons,
                      "the compartments of the core");
        return;
    }
    img_below(c, "base", a->base, (uint64_t)a->src_width * a->src_height,
              "the positions of the source map");
    if (!img_below(c, "group", a->group, im->n_groups, "the number of groups"))
        return;
    img_equals(c, "group", im->groups[a->group].core, core, "the core of the axon");
    img_equals(c, "group", im->groups[a->group].nc, t->nc, "the target channels of the content");
    img_equals(c, "group", im->groups[a->group].slice, t->nc, "the channels of the group's slice");
}

static void check_atoms(struct check *c, const struct img_out_axon *a, uint32_t atoms,
                        const char *of)
{
    if (img_at_most(c, "comp_count", a->comp_count, atoms, of))
        img_range(c, "atom_first", a->atom_first, a->comp_count, atoms, of);
}

static void check_out_axon(struct check *c, const struct img_out_axon *a, uint32_t core)
{
    const struct image *im = c->im;
    img_at_most(c, "kind", a->kind, IMG_AXON_POP32, "");
    img_at_least(c, "comp_count", a->comp_count, 1, "");
    check_out_comps(c, a, &im->cores[core]);
    if (!img_below(c, "route", a->route, im->n_routes, "the number of routes"))
        return;
    const struct img_route *r = &im->routes[a->route];
    img_equals(c, "route", r->src_core, core, "the core of the axon");
    if (r->dest == IMG_DEST_CORE) {
        uint32_t to = core_at(c, r->chip, r->x, r->y);
        if (to == IMG_NONE)
            return; /* reported with the route */
        const struct img_core *k = &im->cores[to];
        if (img_below(c, "dest_axon", a->dest_axon, k->n_in_axons,
                      "the in-axons of the destination"))
            check_atoms(c, a, im->in_axons[k->in_axon_first + a->dest_axon].atoms,
                        "the atoms of the in-axon");
    } else if (r->dest == IMG_DEST_EMBEDDED && r->x < im->n_embedded) {
        const struct img_embedded *e = &im->embedded[r->x];
        bool ok =
            img_at_least(c, "dest_axon", a->dest_axon, e->port_first, "the first port of the task");
        ok &= img_below(c, "dest_axon", a->dest_axon, (uint64_t)e->port_first + e->n_ports,
                        "the end of the ports of the task");
        if (ok)
            check_atoms(c, a, im->embedded_ports[a->dest_axon].n_channels,
                        "the channels of the port");
    } else if (r->dest == IMG_DEST_HOST) {
        if (img_below(c, "dest_axon", a->dest_axon, im->n_host_ports, "the number of host_ports"))
            check_atoms(c, a, im->host_ports[a->dest_axon].n_channels, "the channels of the port");
    }
}

/* All in-axons, or all out-axons, core by core. */
static void check_axons(struct check *c, bool in)
{
    const struct image *im = c->im;
    for (uint64_t i = 0; i < im->n_cores; i++) {
        const struct img_core *k = &im->cores[i];
        uint64_t first = in ? k->in_axon_first : k->out_axon_first;
        uint64_t n = in ? k->n_in_axons : k->n_out_axons;
        for (uint64_t j = first; j < first + n; j++) {
            if (!img_row_is(c, in ? "in_axons" : "out_axons", j))
                return;
            if (in)
                check_in_axon(c, &im->in_axons[j], (uint32_t)i);
            else
                check_out_axon(c, &im->out_axons[j], (uint32_t)i);
        }
    }
}

static void check_routes(struct check *c)
{
    const struct image *im = c->im;
    uint64_t chips = (uint64_t)im->meta.chips_x * im->meta.chips_y;
    for (uint64_t i = 0; i < im->n_routes && img_row_is(c, "routes", i); i++) {
        const struct img_route *r = &im->routes[i];
        img_below(c, "src_core", r->src_core, im->n_cores, "the number of cores");
        if (!img_at_most(c, "dest", r->dest, IMG_DEST_HOST, ""))
            continue;
        if (r->dest == IMG_DEST_CORE && core_at(c, r->chip, r->x, r->y) == IMG_NONE)
            img_report(c, "x", r->x, "the x of a core; its chip is", r->chip,
                       "no core has this place");
        if (r->dest == IMG_DEST_EMBEDDED) {
            img_below(c, "chip", r->chip, chips, "the number of chips");
            img_below(c, "x", r->x, im->n_embedded, "the number of embedded tasks");
        }
    }
}

/* Tables that others index are u32-indexed: one more row than that could not be named. */
static void check_counts(struct check *c)
{
    const struct image *im = c->im;
    const struct {
        const char *table;
        uint64_t n;
    } counts[] = {
        {"cores", im->n_cores},           {"groups", im->n_groups},
        {"configs", im->n_configs},       {"layers", im->n_layers},
        {"blocks", im->n_blocks},         {"contents", im->n_contents},
        {"in_axons", im->n_in_axons},     {"routes", im->n_routes},
        {"embedded", im->n_embedded},     {"embedded_ports", im->n_embedded_ports},
        {"host_ports", im->n_host_ports},
    };
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        img_row_is(c, counts[i].table, 0);
        img_below(c, "rows", counts[i].n, IMG_NONE, "the 32-bit indices");
    }
}

/* The task of each attention engine; an engine's neurons are its task's, and no others have that
 * program. */
static spk_status index_tasks(struct check *c)
{
    const struct image *im = c->im;
    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *c->task_of, &c->task_of));
    for (uint64_t i = 0; i < im->n_cores; i++)
        c->task_of[i] = IMG_NONE;
    for (uint64_t i = 0; i < im->n_embedded && img_row_is(c, "embedded", i); i++) {
        const uint32_t core = im->embedded[i].core;
        if (core == IMG_NONE)
            continue;
        img_equals(c, "core", c->task_of[core], IMG_NONE, "none, for each core has one task");
        c->task_of[core] = (uint32_t)i;
    }
    for (uint64_t i = 0; i < im->n_groups && img_row_is(c, "groups", i); i++) {
        const struct img_group *g = &im->groups[i];
        const struct img_config *k = &im->configs[im->cores[g->core].config_first];
        for (uint32_t j = 0; j < g->nc; j++) {
            const bool engine =
                k[im->channel_config[g->channel_config + j]].program == IMG_PROG_ENGINE;
            if (!img_equals(c, "channel_config", engine, c->task_of[g->core] != IMG_NONE,
                            "whether its core is an attention engine"))
                break;
        }
    }
    return SPK_OK;
}

static spk_status check_all(struct check *c)
{
    check_counts(c);
    img_check_meta(c);
    SPK_TRY(img_check_layers(c));
    check_cores(c);
    check_configs(c);
    img_check_encoder(c);
    img_check_head(c);
    if (c->reports)
        return SPK_OK;
    SPK_TRY(index_places(c));
    check_groups(c);
    check_synapses(c);
    if (c->reports)
        return SPK_OK;
    check_owners(c);
    img_check_sums(c);
    SPK_TRY(measure_contents(c));
    img_check_tasks(c);
    if (c->reports)
        return SPK_OK;
    SPK_TRY(index_tasks(c));
    check_axons(c, true);
    img_check_host(c);
    check_routes(c);
    if (!c->reports)
        check_axons(c, false);
    return SPK_OK;
}

spk_status image_check_tables(const struct image *im, const char *name, struct diag_list *d)
{
    struct check c = {.im = im, .name = name, .d = d, .table = ""};
    spk_status s = check_all(&c);
    spk_free(c.places);
    spk_free(c.extent);
    spk_free(c.task_of);
    if (s != SPK_OK)
        return s;
    return c.reports ? SPK_ERR_INPUT : SPK_OK;
}
