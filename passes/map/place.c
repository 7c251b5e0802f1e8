/* Placement: a system and a place for every tile (docs/mapping.md, section 4).
 *
 * The cores of all chips form one grid; chips are filled in the order of the system's grid, row by
 * row in alternating direction, cores of a chip along a serpentine over router tiles, so that
 * consecutive tiles of a layer sit together. Then swaps with exact cost differences (simulated
 * annealing with a fixed schedule and the seed) reduce the traffic: sum over flows of spikes per
 * frame times distance, where distance counts hops between routers (0 inside a router's tile) and
 * CHIP_HOPS for a chip border. Deterministic: one thread, seeded generator. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "passes/map/map.h"
#include "support/alloc.h"
#include "support/rng.h"

/* A chip border is slower and narrower than a link on the mesh; no factor is published, so this
 * one only steers the placement and enters no reported figure. */
#define CHIP_HOPS 8

struct flow {
    uint32_t a, b; /* tiles */
    float weight;
};
struct flow_vec VEC_FIELDS(struct flow);

struct placer {
    struct mapping *m;
    uint32_t n_tiles; /* on neuron cores: the first so many */
    struct flow_vec flows;
    float *from;               /* build_flows, per source tile: what it sends to the tile at hand */
    VEC(uint32_t) senders;     /* those that send */
    uint32_t *adj_first, *adj; /* flows of each tile */
    uint32_t *slot_of;         /* tile -> slot */
    uint32_t *tile_at;         /* slot -> tile or IR_NONE */
    struct map_place *slot;    /* slots in fill order */
    uint32_t n_slots;
};

struct sender_ctx {
    struct placer *pl;
    const struct map_pop *source;
};

static spk_status add_sender(void *ctx, uint32_t tile, uint32_t channel, uint32_t n)
{
    const struct sender_ctx *c = ctx;
    struct placer *pl = c->pl;
    if (tile == IR_NONE || pl->m->tiles.data[tile].core >= pl->n_tiles)
        return SPK_OK; /* engines are placed afterwards */
    tile = pl->m->tiles.data[tile].core;
    if (pl->from[tile] == 0)
        SPK_TRY(vec_push(&pl->senders, tile));
    pl->from[tile] += (float)map_pop_sends(c->source, channel, n);
    return SPK_OK;
}

static spk_status add_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct placer *pl = ctx;
    const struct map_net *net = &pl->m->net;
    struct sender_ctx c = {pl, &net->pops.data[net->projs.data[a->proj].source[a->source].pop]};
    (void)tile;
    return map_axon_senders(net, a, add_sender, &c);
}

/* Flows into one tile, each pair once. */
static spk_status add_flows(struct placer *pl, uint32_t tile)
{
    vec_clear(&pl->senders);
    for (uint32_t i = pl->m->core_first[tile]; i < pl->m->core_first[tile + 1]; i++)
        SPK_TRY(map_tile_axons(&pl->m->net, &pl->m->tiles.data[pl->m->core_tile[i]], add_axon, pl));
    for (size_t i = 0; i < pl->senders.len; i++) {
        const uint32_t src = pl->senders.data[i];
        if (src != tile && pl->from[src] != 0)
            SPK_TRY(vec_push(&pl->flows, (struct flow){src, tile, pl->from[src]}));
        pl->from[src] = 0;
    }
    return SPK_OK;
}

static int compare_flow(const void *x, const void *y)
{
    const struct flow *a = x, *b = y;
    if (a->a != b->a)
        return a->a < b->a ? -1 : 1;
    return (a->b > b->b) - (a->b < b->b);
}

/* Flows between pairs of tiles and the adjacency of each tile. */
static spk_status build_flows(struct placer *pl)
{
    struct mapping *m = pl->m;
    size_t n = 0;
    SPK_TRY(spk_alloc_array(m->n_cores, sizeof *pl->from, &pl->from));
    for (uint32_t i = 0; i < pl->n_tiles; i++)
        SPK_TRY(add_flows(pl, i));
    if (pl->flows.len > 0)
        qsort(pl->flows.data, pl->flows.len, sizeof *pl->flows.data, compare_flow);
    n = pl->flows.len;
    SPK_TRY(spk_alloc_array(m->n_cores + 1, sizeof *pl->adj_first, &pl->adj_first));
    SPK_TRY(spk_alloc_array(2 * n + 1, sizeof *pl->adj, &pl->adj));
    for (size_t i = 0; i < n; i++) {
        pl->adj_first[pl->flows.data[i].a]++;
        pl->adj_first[pl->flows.data[i].b]++;
    }
    uint32_t sum = 0;
    for (size_t i = 0; i <= m->n_cores; i++) {
        sum += pl->adj_first[i];
        pl->adj_first[i] = sum;
    }
    for (size_t i = n; i-- > 0;) {
        pl->adj[--pl->adj_first[pl->flows.data[i].a]] = (uint32_t)i;
        pl->adj[--pl->adj_first[pl->flows.data[i].b]] = (uint32_t)i;
    }
    return SPK_OK;
}

static double axis(uint32_t a, uint32_t b, uint32_t chip_a, uint32_t chip_b, uint32_t cores,
                   uint32_t tile)
{
    /* positions on the whole system's axis, in router coordinates */
    const uint32_t routers = cores / tile;
    double x = (double)(chip_a * routers + a / tile), y = (double)(chip_b * routers + b / tile);
    double chips = chip_a > chip_b ? chip_a - chip_b : chip_b - chip_a;
    return fabs(x - y) + CHIP_HOPS * chips;
}

static double distance(const struct placer *pl, uint32_t s, uint32_t d)
{
    const struct tgt *t = pl->m->net.target;
    const uint32_t cx = pl->m->system->chips_x;
    const struct map_place *a = &pl->slot[s], *b = &pl->slot[d];
    return axis(a->x, b->x, a->chip % cx, b->chip % cx, t->cores_x, t->tile_w) +
           axis(a->y, b->y, a->chip / cx, b->chip / cx, t->cores_y, t->tile_h);
}

static double tile_cost(const struct placer *pl, uint32_t tile, uint32_t slot, uint32_t other,
                        uint32_t other_slot)
{
    double cost = 0;
    for (uint32_t i = pl->adj_first[tile]; i < pl->adj_first[tile + 1]; i++) {
        const struct flow *f = &pl->flows.data[pl->adj[i]];
        uint32_t peer = f->a == tile ? f->b : f->a;
        if (peer != other)
            cost += (double)f->weight * distance(pl, slot, pl->slot_of[peer]);
        else
            cost += 0.5 * (double)f->weight * distance(pl, slot, other_slot);
    }
    return cost;
}

static double total_cost(const struct placer *pl)
{
    double cost = 0;
    for (size_t i = 0; i < pl->flows.len; i++) {
        const struct flow *f = &pl->flows.data[i];
        cost += (double)f->weight * distance(pl, pl->slot_of[f->a], pl->slot_of[f->b]);
    }
    return cost;
}

/* Exact change of the total when the contents of slots s and d are exchanged. */
static double swap_delta(const struct placer *pl, uint32_t s, uint32_t d)
{
    uint32_t a = pl->tile_at[s], b = pl->tile_at[d];
    double delta = 0;
    if (a != IR_NONE)
        delta += tile_cost(pl, a, d, b, s) - tile_cost(pl, a, s, b, d);
    if (b != IR_NONE)
        delta += tile_cost(pl, b, s, a, d) - tile_cost(pl, b, d, a, s);
    return delta;
}

static void swap_slots(struct placer *pl, uint32_t s, uint32_t d)
{
    uint32_t a = pl->tile_at[s], b = pl->tile_at[d];
    pl->tile_at[s] = b;
    pl->tile_at[d] = a;
    if (a != IR_NONE)
        pl->slot_of[a] = d;
    if (b != IR_NONE)
        pl->slot_of[b] = s;
}

/* Geometric schedule from the mean uphill step to a hundredth of it. */
static spk_status anneal(struct placer *pl, uint64_t seed, const struct progress *progress)
{
    const uint32_t n = pl->n_tiles;
    const uint64_t moves = (uint64_t)n * 200;
    struct rng rng;
    double uphill = 0, temperature;
    uint32_t n_up = 0;
    spk_status status = SPK_OK;
    if (n < 2)
        return SPK_OK;
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < 256; i++) {
        double d =
            swap_delta(pl, pl->slot_of[rng_below(&rng, n)], (uint32_t)rng_below(&rng, pl->n_slots));
        if (d > 0) {
            uphill += d;
            n_up++;
        }
    }
    temperature = n_up ? 0.3 * uphill / n_up : 0.0;
    progress_begin(progress, "placing", 60);
    for (uint32_t round = 0; round < 60 && status == SPK_OK; round++) {
        for (uint64_t i = 0; i < moves / 60 + 1; i++) {
            uint32_t s = pl->slot_of[rng_below(&rng, n)];
            uint32_t d = (uint32_t)rng_below(&rng, pl->n_slots);
            double u = rng_f64(&rng), delta;
            if (s == d)
                continue;
            delta = swap_delta(pl, s, d);
            if (delta < 0 || (round < 59 && temperature > 0 && u < exp(-delta / temperature)))
                swap_slots(pl, s, d);
        }
        temperature *= 0.88;
        status = progress_update(progress, round + 1);
    }
    progress_end(progress);
    return status;
}

/* ---- slots ---- */

static spk_status build_slots(struct placer *pl, uint32_t n_chips)
{
    const struct tgt *t = pl->m->net.target;
    const uint32_t cx = pl->m->system->chips_x;
    const uint32_t tiles_x = t->cores_x / t->tile_w, tiles_y = t->cores_y / t->tile_h;
    SPK_TRY(spk_alloc_array((size_t)n_chips * t->cores_per_chip, sizeof *pl->slot, &pl->slot));
    for (uint32_t i = 0; i < n_chips; i++) {
        uint32_t row = i / cx, col = i % cx, used = 0;
        uint32_t chip = row * cx + (row % 2 ? cx - 1 - col : col);
        for (uint32_t ty = 0; ty < tiles_y; ty++) {
            for (uint32_t k = 0; k < tiles_x; k++) {
                uint32_t tx = ty % 2 ? tiles_x - 1 - k : k;
                for (uint32_t c = 0; c < t->tile_w * t->tile_h; c++) {
                    const uint32_t x = tx * t->tile_w + c % t->tile_w;
                    const uint32_t y = ty * t->tile_h + c / t->tile_w;
                    if (tgt_is_engine(t, x, y) || used++ >= t->cores_per_chip)
                        continue;
                    pl->slot[pl->n_slots++] = (struct map_place){chip, x, y};
                }
            }
        }
    }
    return SPK_OK;
}

static spk_status choose_system(struct mapping *m, const char *forced, struct diag_list *diags,
                                uint32_t *out_chips)
{
    const struct tgt *t = m->net.target;
    const uint64_t per_chip = t->cores_per_chip, need = m->n_cores - m->n_engines;
    uint64_t embedded = 0, chips = (need + per_chip - 1) / per_chip;
    const uint64_t procs = tgt_limit_value(t, TGT_EMBEDDED_PER_CHIP);
    for (size_t i = 0; i < m->net.pops.len; i++)
        embedded += m->net.pops.data[i].kind == IMG_LAYER_EMBEDDED;
    if (procs != UINT64_MAX && procs > 0 && (embedded + procs - 1) / procs > chips)
        chips = (embedded + procs - 1) / procs;
    if (m->n_engines > 0 && ceil((double)m->n_engines / t->engine.per_chip) > (double)chips)
        chips = (m->n_engines + t->engine.per_chip - 1) / t->engine.per_chip;
    for (uint32_t i = 0; i < t->n_systems; i++) {
        const struct tgt_system *s = &t->system[i];
        if (forced != NULL && strcmp(forced, s->name) != 0)
            continue;
        if ((uint64_t)s->chips_x * s->chips_y >= chips) {
            m->system = s;
            *out_chips = forced ? s->chips_x * s->chips_y : (uint32_t)chips;
            return SPK_OK;
        }
        if (forced != NULL)
            return diag_nofit(diags, spk_span_none, "E0666",
                              "the model needs %llu cores on %llu chips, system '%s' has %u chips",
                              (unsigned long long)need, (unsigned long long)chips, s->name,
                              s->chips_x * s->chips_y);
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
    diag_help_set(diags, "the smallest change that fits: a smaller dim, fewer blocks, or a target "
                         "with more neurons per core");
    return status;
}

spk_status map_place_tiles(struct mapping *m, const struct map_options *options,
                           struct diag_list *diags)
{
    const uint32_t n = m->n_cores - m->n_engines;
    struct placer pl = {.m = m, .n_tiles = n};
    uint32_t chips = 0;
    SPK_TRY(choose_system(m, options->system, diags, &chips));
    if (options->no_places)
        return SPK_OK;
    spk_status status = build_slots(&pl, chips);
    if (status == SPK_OK)
        status = spk_alloc_array(m->n_cores, sizeof *m->place, &m->place);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(n, sizeof *pl.slot_of, &pl.slot_of);
    if (status == SPK_OK)
        status = spk_alloc_array_raw(pl.n_slots, sizeof *pl.tile_at, &pl.tile_at);
    if (status == SPK_OK)
        status = build_flows(&pl);
    if (status == SPK_OK) {
        memset(pl.tile_at, 0xff, pl.n_slots * sizeof *pl.tile_at);
        for (uint32_t i = 0; i < n; i++)
            pl.slot_of[i] = pl.tile_at[i] = i;
        m->traffic_before = total_cost(&pl);
        status = anneal(&pl, options->seed, options->progress);
    }
    if (status == SPK_OK) {
        m->traffic_after = total_cost(&pl);
        for (uint32_t i = 0; i < n; i++)
            m->place[i] = pl.slot[pl.slot_of[i]];
        status = map_place_engines(m, chips);
    }
    vec_fini(&pl.flows);
    vec_fini(&pl.senders);
    spk_free(pl.from);
    spk_free(pl.adj_first);
    spk_free(pl.adj);
    spk_free(pl.slot_of);
    spk_free(pl.tile_at);
    spk_free(pl.slot);
    return status;
}
