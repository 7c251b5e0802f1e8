/* The system, its chips in use, and the grid of their cores (docs/mapping.md, section 4).
 *
 * As few chips as hold the cores, in a block whose sides together are shortest: distances are sums
 * of an x and a y part. The block starts at the system's first chip; its rows are filled in
 * alternating direction, so consecutive chips touch. Distances are priced by the target's energies
 * of hops where those of both directions are published, else a hop is 1. */
#include <math.h>
#include <string.h>

#include "passes/map/mesh.h"
#include "support/alloc.h"

/* A chip border is slower and narrower than a link on the mesh. Where no price of it is published
 * it counts as so many more hops; that only steers the placement and enters no reported figure. */
#define CHIP_HOPS 8

static double price(const struct tgt *t, enum tgt_energy e)
{
    return t->energy_pj[e].present ? t->energy_pj[e].value : 0;
}

static void set_costs(const struct tgt *t, struct place_grid *g)
{
    const double x = price(t, TGT_E_HOP_X), y = price(t, TGT_E_HOP_Y);
    const double chip = price(t, TGT_E_HOP_CHIP);
    const bool priced = x > 0 && y > 0;
    g->x_cost = priced ? x : 1;
    g->y_cost = priced ? y : 1;
    g->chip_x_cost = priced && chip > 0 ? fmax(chip - x, 0) : CHIP_HOPS * g->x_cost;
    g->chip_y_cost = priced && chip > 0 ? fmax(chip - y, 0) : CHIP_HOPS * g->y_cost;
}

/* ---- system and chips ---- */

static uint32_t chips_for_cores(const struct mapping *m)
{
    return (m->n_cores - m->n_engines + m->net.target->cores_per_chip - 1) /
           m->net.target->cores_per_chip;
}

static uint64_t chips_needed(const struct mapping *m)
{
    const struct tgt *t = m->net.target;
    const uint64_t procs = tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP);
    uint64_t embedded = 0, chips = chips_for_cores(m);
    for (size_t i = 0; i < m->net.pops.len; i++)
        embedded += m->net.pops.data[i].kind == IMG_LAYER_EMBEDDED;
    if (procs != UINT64_MAX && procs > 0 && (embedded + procs - 1) / procs > chips)
        chips = (embedded + procs - 1) / procs;
    if (m->n_engines > 0 && ceil((double)m->n_engines / t->engine.per_chip) > (double)chips)
        chips = (m->n_engines + t->engine.per_chip - 1) / t->engine.per_chip;
    return chips;
}

/* Shortest block of at least `chips` chips; of equal ones the one with fewest chips, then the
 * narrowest. */
static void choose_block(struct mapping *m, uint32_t chips)
{
    const struct tgt *t = m->net.target;
    const struct tgt_system *s = m->system;
    struct place_grid g;
    double best = INFINITY;
    set_costs(t, &g);
    m->n_chips = chips;
    for (uint32_t w = 1; w <= s->chips_x; w++) {
        const uint32_t h = (chips + w - 1) / w;
        const double length = w * (g.x_cost * (t->cores_x / t->tile_w) + g.chip_x_cost) +
                              h * (g.y_cost * (t->cores_y / t->tile_h) + g.chip_y_cost);
        if (h > s->chips_y || length > best || (length == best && w * h >= m->block_w * m->block_h))
            continue;
        best = length;
        m->block_w = w;
        m->block_h = h;
    }
}

/* The system that was asked for is too small. */
static spk_status refuse_system(const struct tgt *t, const struct tgt_system *s, uint64_t cores,
                                uint64_t chips, struct diag_list *diags)
{
    spk_status status = diag_nofit(
        diags, spk_span_none, "E0666",
        "the model needs %llu cores on %llu chips, system '%s' has %u chips",
        (unsigned long long)cores, (unsigned long long)chips, s->name, s->chips_x * s->chips_y);
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const struct tgt_system *o = &t->system[i];
        if ((uint64_t)o->chips_x * o->chips_y < chips)
            continue;
        diag_help_set(diags, "the smallest listed system that fits: '%s', %u chips", o->name,
                      o->chips_x * o->chips_y);
        return status;
    }
    diag_help_set(diags, "no listed system of '%s' fits: it takes one of at least %llu chips",
                  t->name, (unsigned long long)chips);
    return status;
}

spk_status map_choose_system(struct mapping *m, const char *forced, struct diag_list *diags)
{
    const struct tgt *t = m->net.target;
    const uint64_t need = m->n_cores - m->n_engines, chips = chips_needed(m);
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const struct tgt_system *s = &t->system[i];
        if (forced != NULL && strcmp(forced, s->name) != 0)
            continue;
        if ((uint64_t)s->chips_x * s->chips_y >= chips) {
            m->system = s;
            choose_block(m, (uint32_t)chips);
            return SPK_OK;
        }
        if (forced != NULL)
            return refuse_system(t, s, need, chips, diags);
    }
    if (forced != NULL)
        return diag_error(diags, spk_span_none, "E0667", "'%s' has no system '%s'", t->name,
                          forced);
    spk_status status = diag_nofit(
        diags, spk_span_none, "E0668",
        "the model needs %llu cores on %llu chips of '%s'; its largest listed system, '%s', has %u "
        "chips",
        (unsigned long long)need, (unsigned long long)chips, t->name,
        t->n_systems ? t->system[t->n_systems - 1].name : "none",
        t->n_systems ? t->system[t->n_systems - 1].chips_x * t->system[t->n_systems - 1].chips_y
                     : 0);
    diag_help_set(diags,
                  "the smallest change that fits: a system of at least %llu chips, a smaller dim, "
                  "or fewer blocks",
                  (unsigned long long)chips);
    return status;
}

/* Column and row in the block of the i-th chip in use. */
static void chip_in_block(const struct mapping *m, uint32_t i, uint32_t *x, uint32_t *y)
{
    *y = i / m->block_w;
    *x = *y % 2 ? m->block_w - 1 - i % m->block_w : i % m->block_w;
}

uint32_t map_chip_at(const struct mapping *m, uint32_t i)
{
    uint32_t x, y;
    chip_in_block(m, i, &x, &y);
    return y * m->system->chips_x + x;
}

/* ---- grid ---- */

/* Usable cores of one chip: router tiles row by row in alternating direction. */
static void fill_chip(const struct mapping *m, uint32_t chip, struct map_mesh *mesh)
{
    const struct tgt *t = m->net.target;
    const uint32_t tiles_x = t->cores_x / t->tile_w, tiles_y = t->cores_y / t->tile_h;
    const uint32_t cores_need = chips_for_cores(m);
    uint32_t at_x, at_y, used = 0;
    chip_in_block(m, chip, &at_x, &at_y);
    for (uint32_t i = 0; i < tiles_x * tiles_y; i++) {
        const uint32_t ty = i / tiles_x, k = i % tiles_x, tx = ty % 2 ? tiles_x - 1 - k : k;
        for (uint32_t c = 0; c < t->tile_w * t->tile_h; c++) {
            const uint32_t x = tx * t->tile_w + c % t->tile_w, y = ty * t->tile_h + c / t->tile_w;
            const uint32_t cell =
                (at_y * t->cores_y + y) * mesh->grid.width + at_x * t->cores_x + x;
            if (tgt_is_engine(t, x, y)) {
                mesh->engine[mesh->n_engines++] = cell;
            } else if (chip < cores_need && used < t->cores_per_chip) {
                used++;
                mesh->blocked[cell] = 0;
                mesh->slot[mesh->n_slots++] = cell;
            }
        }
    }
}

spk_status map_mesh_build(const struct mapping *m, struct map_mesh *out)
{
    const struct tgt *t = m->net.target;
    memset(out, 0, sizeof *out);
    struct place_grid *g = &out->grid;
    *g = (struct place_grid){.width = m->block_w * t->cores_x,
                             .height = m->block_h * t->cores_y,
                             .tile_w = t->tile_w,
                             .tile_h = t->tile_h,
                             .chip_w = t->cores_x,
                             .chip_h = t->cores_y};
    set_costs(t, g);
    const size_t cells = (size_t)g->width * g->height;
    spk_status status = spk_alloc_array_raw(cells, 1, &out->blocked);
    if (status == SPK_OK)
        status = spk_alloc_array_raw((size_t)m->n_chips * t->cores_per_chip, sizeof *out->slot,
                                     &out->slot);
    if (status == SPK_OK)
        status = spk_alloc_array_raw((size_t)m->n_chips * t->engine.per_chip, sizeof *out->engine,
                                     &out->engine);
    if (status != SPK_OK) {
        map_mesh_fini(out);
        return status;
    }
    memset(out->blocked, 1, cells);
    for (uint32_t i = 0; i < m->n_chips; i++)
        fill_chip(m, i, out);
    g->blocked = out->blocked;
    return SPK_OK;
}

void map_mesh_fini(struct map_mesh *mesh)
{
    spk_free(mesh->blocked);
    spk_free(mesh->slot);
    spk_free(mesh->engine);
    memset(mesh, 0, sizeof *mesh);
}

struct map_place map_mesh_place(const struct mapping *m, const struct map_mesh *mesh, uint32_t cell)
{
    const struct tgt *t = m->net.target;
    const uint32_t x = cell % mesh->grid.width, y = cell / mesh->grid.width;
    return (struct map_place){y / t->cores_y * m->system->chips_x + x / t->cores_x, x % t->cores_x,
                              y % t->cores_y};
}

static double gap(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

double map_mesh_distance(const struct place_grid *g, uint32_t a, uint32_t b)
{
    const uint32_t ax = a % g->width, ay = a / g->width, bx = b % g->width, by = b / g->width;
    return g->x_cost * gap(ax / g->tile_w, bx / g->tile_w) +
           g->y_cost * gap(ay / g->tile_h, by / g->tile_h) +
           g->chip_x_cost * gap(ax / g->chip_w, bx / g->chip_w) +
           g->chip_y_cost * gap(ay / g->chip_h, by / g->chip_h);
}

struct place_grid map_mesh_in_hops(const struct map_mesh *mesh)
{
    struct place_grid g = mesh->grid;
    g.x_cost = g.y_cost = 1;
    g.chip_x_cost = g.chip_y_cost = 0;
    return g;
}
