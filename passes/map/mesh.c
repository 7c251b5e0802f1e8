/* The system, its chips in use, and the grid of their cores (docs/mapping.md, section 4).
 *
 * As few chips as hold the cores, in a block whose sides together are shortest: distances are sums
 * of an x and a y part. Of equal blocks the first one counts, which is that at the system's first
 * chip unless places are forbidden or layers pinned; its rows are filled in
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

/* What chips have to offer, or a network needs of them. */
struct room {
    uint64_t cores, engines, processors;
};

static struct room need_of(const struct mapping *m)
{
    struct room need = {.cores = m->n_cores - m->n_engines, .engines = m->n_engines};
    for (size_t i = 0; i < m->net.pops.len; i++)
        need.processors += m->net.pops.data[i].kind == IMG_LAYER_EMBEDDED;
    return need;
}

static void add_room(struct room *sum, const struct room *r)
{
    sum->cores += r->cores;
    sum->engines += r->engines;
    sum->processors += r->processors;
}

static bool is_enough(const struct room *have, const struct room *need)
{
    return have->cores >= need->cores && have->engines >= need->engines &&
           have->processors >= need->processors;
}

/* Places of one chip: router tiles row by row in alternating direction. */
static void visit_chip(const struct tgt *t, void (*visit)(void *ctx, uint32_t x, uint32_t y),
                       void *ctx)
{
    const uint32_t tiles_x = t->cores_x / t->tile_w, tiles_y = t->cores_y / t->tile_h;
    for (uint32_t i = 0; i < tiles_x * tiles_y; i++) {
        const uint32_t ty = i / tiles_x, k = i % tiles_x, tx = ty % 2 ? tiles_x - 1 - k : k;
        for (uint32_t c = 0; c < t->tile_w * t->tile_h; c++)
            visit(ctx, tx * t->tile_w + c % t->tile_w, ty * t->tile_h + c / t->tile_w);
    }
}

struct free_room {
    const struct mapping *m;
    uint32_t chip, used;
    struct room room;
};

static void count_place(void *ctx, uint32_t x, uint32_t y)
{
    struct free_room *f = ctx;
    const bool engine = tgt_is_engine(f->m->net.target, x, y);
    if (!engine && f->used++ >= f->m->net.target->cores_per_chip)
        return;
    if (!map_forbidden(f->m, f->chip, x, y))
        *(engine ? &f->room.engines : &f->room.cores) += 1;
}

/* Room of a chip of a system. */
static struct room room_of(const struct mapping *m, uint32_t chip)
{
    const struct tgt *t = m->net.target;
    const uint64_t procs = tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP);
    struct free_room f = {.m = m, .chip = chip};
    f.room = (struct room){t->cores_per_chip, t->engine.per_chip, 0};
    if (m->constraints != NULL && m->constraints->n_forbid > 0) {
        f.room = (struct room){0, 0, 0};
        visit_chip(t, count_place, &f);
    }
    if (!map_chip_forbidden(m,
                            chip)) /* a limit of 0 or none is one of nothing: no layer is there */
        f.room.processors = procs == UINT64_MAX || procs == 0 ? 1 : procs;
    return f.room;
}

/* Chips of a network as if nothing were forbidden, for messages. */
static uint64_t chips_for(const struct mapping *m, const struct room *need)
{
    const struct tgt *t = m->net.target;
    const uint64_t procs = tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP);
    const uint64_t each = procs == UINT64_MAX || procs == 0 ? 1 : procs;
    uint64_t chips = (need->cores + t->cores_per_chip - 1) / t->cores_per_chip;
    if ((need->processors + each - 1) / each > chips)
        chips = (need->processors + each - 1) / each;
    if (need->engines > 0 && (need->engines + t->engine.per_chip - 1) / t->engine.per_chip > chips)
        chips = (need->engines + t->engine.per_chip - 1) / t->engine.per_chip;
    return chips;
}

/* Sums over the chips of a system left of x and above y, [(chips_y + 1) * (chips_x + 1)]. */
struct sums {
    uint32_t wide;
    struct room *room;
    uint32_t *pinned;
    uint32_t all_pinned;
};

static spk_status make_sums(const struct mapping *m, const struct tgt_system *s, struct sums *out)
{
    out->wide = s->chips_x + 1;
    SPK_TRY(spk_alloc_array((size_t)out->wide * (s->chips_y + 1), sizeof *out->room, &out->room));
    SPK_TRY(
        spk_alloc_array((size_t)out->wide * (s->chips_y + 1), sizeof *out->pinned, &out->pinned));
    for (uint32_t y = 0; y < s->chips_y; y++) {
        struct room row = {0, 0, 0};
        uint32_t pins = 0;
        for (uint32_t x = 0; x < s->chips_x; x++) {
            const struct room r = room_of(m, y * s->chips_x + x);
            const size_t at = (size_t)(y + 1) * out->wide + x + 1;
            add_room(&row, &r);
            pins += map_chip_pinned(m, y * s->chips_x + x);
            out->room[at] = out->room[at - out->wide];
            add_room(&out->room[at], &row);
            out->pinned[at] = out->pinned[at - out->wide] + pins;
        }
    }
    out->all_pinned = out->pinned[(size_t)out->wide * (s->chips_y + 1) - 1] +
                      map_pinned_beyond(m, (uint64_t)s->chips_x * s->chips_y);
    return SPK_OK;
}

/* Whether the block at (x, y) has room enough, and all chips that something is pinned to. */
static bool block_serves(const struct sums *s, const struct room *need, uint32_t x, uint32_t y,
                         uint32_t w, uint32_t h)
{
    const size_t a = (size_t)y * s->wide + x, b = a + w, c = a + (size_t)h * s->wide, d = c + w;
    const struct room have = {
        s->room[d].cores + s->room[a].cores - s->room[b].cores - s->room[c].cores,
        s->room[d].engines + s->room[a].engines - s->room[b].engines - s->room[c].engines,
        s->room[d].processors + s->room[a].processors - s->room[b].processors -
            s->room[c].processors};
    return is_enough(&have, need) &&
           s->pinned[d] + s->pinned[a] - s->pinned[b] - s->pinned[c] == s->all_pinned;
}

/* Shortest block that serves; of equal ones the one with fewest chips, then the narrowest, then the
 * first. False where there is none. */
static bool choose_block(struct mapping *m, const struct tgt_system *s, const struct sums *sums,
                         const struct room *need)
{
    const struct tgt *t = m->net.target;
    struct place_grid g;
    double best = INFINITY;
    set_costs(t, &g);
    for (uint32_t w = 1; w <= s->chips_x; w++) {
        for (uint32_t h = 1; h <= s->chips_y; h++) {
            const double length = w * (g.x_cost * (t->cores_x / t->tile_w) + g.chip_x_cost) +
                                  h * (g.y_cost * (t->cores_y / t->tile_h) + g.chip_y_cost);
            bool serves = false;
            if (length > best || (length == best && w * h >= m->block_w * m->block_h))
                continue;
            for (uint32_t y = 0; y + h <= s->chips_y && !serves; y++) {
                for (uint32_t x = 0; x + w <= s->chips_x && !serves; x++) {
                    serves = block_serves(sums, need, x, y, w, h);
                    if (!serves)
                        continue;
                    best = length;
                    m->block_x = x;
                    m->block_y = y;
                    m->block_w = w;
                    m->block_h = h;
                }
            }
        }
    }
    return isfinite(best);
}

/* Number of the i-th chip of the block: its rows in alternating direction. */
static uint32_t chip_in_block(const struct mapping *m, uint32_t i)
{
    const uint32_t y = i / m->block_w, k = i % m->block_w, x = y % 2 ? m->block_w - 1 - k : k;
    return (m->block_y + y) * m->system->chips_x + m->block_x + x;
}

/* The chips of the block that are needed, those first that are filled first. */
static spk_status choose_chips(struct mapping *m, const struct room *need)
{
    const uint32_t most = m->block_w * m->block_h;
    struct room have = {0, 0, 0};
    m->n_chips = 0;
    m->chip = ARENA_NEW_ARRAY(&m->net.arena, struct map_chip, most);
    if (m->chip == NULL)
        return SPK_ERR_NOMEM;
    for (uint32_t i = 0; i < most; i++) {
        const struct map_chip c = {.number = chip_in_block(m, i),
                                   .neurons = have.cores < need->cores ||
                                              map_chip_pinned(m, chip_in_block(m, i))};
        const struct room r = room_of(m, c.number);
        if ((r.cores == 0 && r.engines == 0 && r.processors == 0) ||
            (!c.neurons && is_enough(&have, need)))
            continue;
        m->chip[m->n_chips++] = c;
        add_room(&have, &r);
    }
    return SPK_OK;
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

/* The system has chips enough, but not with what is forbidden on them or pinned beyond them. */
static spk_status refuse_constraints(const struct mapping *m, const struct tgt_system *s,
                                     const struct room *need, const struct sums *sums,
                                     struct diag_list *diags)
{
    const struct room *all = &sums->room[(size_t)sums->wide * (s->chips_y + 1) - 1];
    spk_status status = diag_nofit(
        diags, spk_span_none, "E0676",
        "the model needs %llu cores, %llu attention engines and %llu embedded processors; the "
        "constraints leave %llu, %llu and %llu of system '%s'",
        (unsigned long long)need->cores, (unsigned long long)need->engines,
        (unsigned long long)need->processors, (unsigned long long)all->cores,
        (unsigned long long)all->engines, (unsigned long long)all->processors, s->name);
    diag_help_set(diags,
                  "a larger system, fewer places that are forbidden or reserved, or pins to chips "
                  "that it has, in '%s'",
                  m->constraints->path);
    return status;
}

static spk_status try_system(struct mapping *m, const struct tgt_system *s, const struct room *need,
                             bool last, struct diag_list *diags, bool *out_fits)
{
    struct sums sums = {0};
    spk_status status = make_sums(m, s, &sums);
    *out_fits = status == SPK_OK && choose_block(m, s, &sums, need);
    if (*out_fits) {
        m->system = s;
        status = choose_chips(m, need);
    } else if (status == SPK_OK && last) {
        status = refuse_constraints(m, s, need, &sums, diags);
    }
    spk_free(sums.room);
    spk_free(sums.pinned);
    return status;
}

spk_status map_choose_system(struct mapping *m, const char *forced, struct diag_list *diags)
{
    const struct tgt *t = m->net.target;
    const struct room need = need_of(m);
    const uint64_t chips = chips_for(m, &need);
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const struct tgt_system *s = &t->system[i];
        const bool last = forced != NULL || i + 1 == t->n_systems;
        bool fits = false;
        if (forced != NULL && strcmp(forced, s->name) != 0)
            continue;
        if ((uint64_t)s->chips_x * s->chips_y >= chips)
            SPK_TRY(try_system(m, s, &need, last, diags, &fits));
        if (fits)
            return SPK_OK;
        if (forced != NULL)
            return refuse_system(t, s, need.cores, chips, diags);
    }
    if (forced != NULL)
        return diag_error(diags, spk_span_none, "E0667", "'%s' has no system '%s'", t->name,
                          forced);
    spk_status status = diag_nofit(
        diags, spk_span_none, "E0668",
        "the model needs %llu cores on %llu chips of '%s'; its largest listed system, '%s', has %u "
        "chips",
        (unsigned long long)need.cores, (unsigned long long)chips, t->name,
        t->n_systems ? t->system[t->n_systems - 1].name : "none",
        t->n_systems ? t->system[t->n_systems - 1].chips_x * t->system[t->n_systems - 1].chips_y
                     : 0);
    diag_help_set(diags,
                  "the smallest change that fits: a system of at least %llu chips, a smaller dim, "
                  "or fewer blocks",
                  (unsigned long long)chips);
    return status;
}

/* ---- grid ---- */

struct filling {
    const struct mapping *m;
    struct map_mesh *mesh;
    struct map_chip chip;
    uint32_t used; /* neuron cores seen; those beyond the usable number are left out */
};

static void fill_place(void *ctx, uint32_t x, uint32_t y)
{
    struct filling *f = ctx;
    const struct mapping *m = f->m;
    const struct tgt *t = m->net.target;
    const bool engine = tgt_is_engine(t, x, y);
    const uint32_t chip_x = f->chip.number % m->system->chips_x - m->block_x;
    const uint32_t chip_y = f->chip.number / m->system->chips_x - m->block_y;
    const uint32_t cell = (chip_y * t->cores_y + y) * f->mesh->grid.width + chip_x * t->cores_x + x;
    if (!engine && (!f->chip.neurons || f->used++ >= t->cores_per_chip))
        return;
    if (map_forbidden(m, f->chip.number, x, y))
        return;
    if (engine) {
        f->mesh->engine[f->mesh->n_engines++] = cell;
        return;
    }
    f->mesh->blocked[cell] = 0;
    f->mesh->slot[f->mesh->n_slots++] = cell;
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
    for (uint32_t i = 0; i < m->n_chips; i++) {
        struct filling f = {m, out, m->chip[i], 0};
        visit_chip(t, fill_place, &f);
    }
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
    const uint32_t chip_x = m->block_x + x / t->cores_x, chip_y = m->block_y + y / t->cores_y;
    return (struct map_place){chip_y * m->system->chips_x + chip_x, x % t->cores_x, y % t->cores_y};
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
