/* The closed form of a tile's usage against a walk over its axons, on random networks, targets and
 * tiles; the two share the definition of an axon (map_tile_axons, map_axon_key) and nothing else.
 */
#include <string.h>

#include "passes/map/block_map.h"
#include "passes/map/map.h"
#include "support/alloc.h"
#include "support/rng.h"
#include "unit.h"

struct walk {
    const struct map_net *net;
    struct map_usage u;
    struct block_map keys;
    bool format[8 * 256];
};

struct row {
    uint32_t synapses, end;
    bool dense;
};

static spk_status measure_piece(void *ctx, const struct map_piece *piece)
{
    struct row *r = ctx;
    r->dense = r->dense && piece->start == r->end;
    r->synapses += piece->length;
    r->end = piece->start + piece->length;
    return SPK_OK;
}

/* Rows first .. first + n - 1 of the axon's block as one block. */
static uint64_t block_bits(const struct walk *w, const struct map_tile *tile,
                           const struct map_axon *a, uint32_t first, uint32_t n)
{
    const struct tgt *t = w->net->target;
    const struct map_proj *p = &w->net->projs.data[a->proj];
    const uint32_t delay = map_delay_bits(p->source[a->source].delay);
    uint32_t last = 0;
    uint64_t bits = 0;
    bool dense = true;
    if (a->conv)
        return n * tgt_row_bits(&t->format, p->kernel * p->kernel_w * tile->nc,
                                t->arith.weight_bits, delay, 0);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < n; i++) {
            struct row r = {0, 0, true};
            assert_ok(map_row_pieces(w->net, tile, a, first + i, measure_piece, &r));
            dense = dense && r.dense;
            last = r.end > last ? r.end : last;
            if (pass == 1)
                bits +=
                    tgt_row_bits(&t->format, r.synapses, t->arith.weight_bits, delay,
                                 dense ? 0 : map_index_bits(&t->format, last > 0 ? last - 1 : 0));
        }
    }
    return bits;
}

static void add_format(struct walk *w, bool conv, uint32_t shift, uint32_t bits)
{
    bool *f = &w->format[(conv ? 1024 : 0) + shift * 8 + bits];
    w->u.formats += !*f;
    *f = true;
}

static spk_status walk_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct walk *w = ctx;
    const struct tgt *t = w->net->target;
    const struct map_proj *p = &w->net->projs.data[a->proj];
    const uint32_t pieces = t->axon_population ? 1 : a->n_atoms;
    w->u.in_axons += pieces;
    add_format(w, a->conv, p->shift, map_delay_bits(p->source[a->source].delay));
    for (uint32_t i = 0; i < pieces; i++) {
        struct map_block_key key = map_axon_key(w->net, tile, a);
        bool fresh = true;
        uint32_t value;
        if (!t->axon_population)
            key.channel = a->first_source_channel + i;
        if (t->sharing != TGT_SHARE_NONE)
            assert_ok(block_map_add(&w->keys, &key, 0, &value, &fresh));
        if (fresh && t->axon_population)
            w->u.synapse_bits += block_bits(w, tile, a, a->first_row_channel, a->n_rows);
        else if (fresh)
            w->u.synapse_bits += block_bits(w, tile, a, key.channel, 1);
    }
    return SPK_OK;
}

/* No two neurons share a compartment, and all lie in the tile's. */
static void assert_layout(const struct map_tile *tile)
{
    bool *taken;
    assert_ok(spk_alloc_array(tile->comps, sizeof *taken, &taken));
    for (uint32_t i = 0; i < tile->ny * tile->nx * tile->nc; i++) {
        const uint32_t p = i / tile->nc;
        const uint32_t comp = map_tile_comp(tile, p / tile->nx, p % tile->nx, i % tile->nc);
        assert_in_range(comp, tile->comp_first, tile->comp_first + tile->comps - 1);
        assert_false(taken[comp - tile->comp_first]);
        taken[comp - tile->comp_first] = true;
    }
    spk_free(taken);
}

static void assert_walk(const struct map_net *net, const struct map_tile *tile)
{
    struct walk w = {.net = net};
    struct map_usage closed;
    assert_ok(map_tile_axons(net, tile, walk_axon, &w));
    assert_ok(map_tile_usage(net, tile, &closed));
    assert_int_equal(closed.in_axons, w.u.in_axons);
    assert_int_equal(closed.synapse_bits, w.u.synapse_bits);
    assert_int_equal(closed.formats, w.u.formats);
    assert_int_equal(closed.neurons, tile->comps);
    assert_layout(tile);
    block_map_fini(&w.keys);
}

/* ---- random networks ---- */

static uint32_t between(struct rng *rng, uint32_t lo, uint32_t hi)
{
    return lo + (uint32_t)rng_below(rng, hi - lo + 1);
}

static void random_target(struct rng *rng, struct tgt *t)
{
    memset(t, 0, sizeof *t);
    t->name = "random";
    t->sharing = (enum tgt_sharing)between(rng, TGT_SHARE_NONE, TGT_SHARE_CONVOLUTION);
    t->axon_discrete = true;
    t->axon_population = t->sharing == TGT_SHARE_CONVOLUTION || between(rng, 0, 3) > 0;
    t->pop16_slots = 1;
    t->pop32_slots = between(rng, 1, 2);
    t->format = (struct tgt_format){64, 64, 10, 0, 6, 12};
    t->arith.weight_bits = (uint8_t)between(rng, 2, 8);
    if (between(rng, 0, 1))
        t->limit[TGT_AXON_BASE] =
            (struct tgt_const){.present = true, .value = between(rng, 0, 2) * 16 + 15};
    if (between(rng, 0, 1))
        t->limit[TGT_ATOMS] = (struct tgt_const){.present = true, .value = 24};
}

static void cut(struct rng *rng, struct map_pop *p)
{
    p->th = between(rng, 1, p->height);
    p->tw = between(rng, 1, p->width);
    p->tc = between(rng, 1, p->channels);
    if (between(rng, 0, 1) && p->tc > 4)
        p->tc -= p->tc % 4;
    p->gh = (p->height + p->th - 1) / p->th;
    p->gw = (p->width + p->tw - 1) / p->tw;
    p->gc = (p->channels + p->tc - 1) / p->tc;
    p->slice = between(rng, 0, 2) ? between(rng, 0, p->tc + 1) : 0;
    p->pad_y = between(rng, 0, 1);
    p->pad_x = between(rng, 0, 1);
}

static struct map_pop *push_pop(struct map_net *net, uint32_t channels, uint32_t h, uint32_t w)
{
    struct map_pop p;
    memset(&p, 0, sizeof p);
    p.name = "pop";
    p.channels = channels;
    p.height = h;
    p.width = w;
    p.has_compartments = true;
    p.vth_param = p.bias_param = IR_NONE;
    p.q = p.k = p.v = IR_NONE;
    p.proj_first = (uint32_t)net->projs.len;
    assert_ok(vec_push(&net->pops, p));
    return &vec_last(&net->pops);
}

static const struct {
    enum map_chan chan;
    uint32_t source, target; /* channels with r = 3, d = 4, 2 heads */
} CHANS[] = {{MAP_CHAN_FULL, 7, 12},   {MAP_CHAN_FULL, 24, 10},  {MAP_CHAN_SAME, 12, 12},
             {MAP_CHAN_EXPAND, 8, 24}, {MAP_CHAN_STRIDE, 8, 32}, {MAP_CHAN_REDUCE, 96, 8}};

/* One to three sources of one projection; every map of positions and of channels. */
static void random_net(struct rng *rng, const struct tgt *t, struct map_net *net)
{
    const size_t kind = between(rng, 0, sizeof CHANS / sizeof CHANS[0] - 1);
    const uint32_t h = between(rng, 1, 9), w = between(rng, 1, 9), n = between(rng, 1, 3);
    struct map_proj p;
    memset(net, 0, sizeof *net);
    arena_init(&net->arena, 0);
    net->target = t;
    memset(&p, 0, sizeof p);
    p.chan = CHANS[kind].chan;
    p.pos = (enum map_pos)between(rng, MAP_POS_WINDOW, MAP_POS_SPREAD);
    p.r = 3;
    p.d = 4;
    p.weight_param = IR_NONE;
    p.shift = (uint8_t)between(rng, 0, 3);
    p.kernel = between(rng, 1, 4);
    p.kernel_w = between(rng, 0, 1) ? p.kernel : between(rng, 1, 4);
    p.stride = p.stride_w = between(rng, 1, 3);
    p.pad = between(rng, 0, p.kernel - 1);
    p.pad_w = between(rng, 0, p.kernel_w - 1);
    uint32_t th = (h + 2 * p.pad - p.kernel) / p.stride + 1;
    uint32_t tw = (w + 2 * p.pad_w - p.kernel_w) / p.stride_w + 1;
    p.view_h = h;
    p.view_w = w;
    if (p.pos == MAP_POS_WINDOW && (h + 2 * p.pad < p.kernel || w + 2 * p.pad_w < p.kernel_w)) {
        p.kernel = p.kernel_w = p.stride = p.stride_w = 1;
        p.pad = p.pad_w = 0;
        th = h;
        tw = w;
    }
    if (p.pos == MAP_POS_GATHER)
        th = tw = 1;
    if (p.pos == MAP_POS_SPREAD) {
        p.view_h = p.view_w = 1;
        th = h;
        tw = w;
    }
    p.source = ARENA_NEW_ARRAY(&net->arena, struct map_source, n);
    assert_non_null(p.source);
    p.n_sources = n;
    for (uint32_t i = 0; i < n; i++) {
        cut(rng, push_pop(net, CHANS[kind].source, p.view_h, p.view_w));
        p.source[i] = (struct map_source){.pop = i, .delay = between(rng, 0, 3)};
    }
    struct map_pop *target = push_pop(net, CHANS[kind].target, th, tw);
    cut(rng, target);
    target->n_projs = 1;
    p.target = n;
    assert_ok(vec_push(&net->projs, p));
}

/* One entry per source tile that an axon's atoms lie on. */
static spk_status count_out(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct mapping *m = ctx;
    const struct map_proj *p = &m->net.projs.data[a->proj];
    const uint32_t pop = p->source[a->source].pop;
    uint32_t before = IR_NONE;
    (void)tile;
    for (uint32_t c = a->first_source_channel; c < a->first_source_channel + a->n_atoms; c++) {
        const uint32_t src = map_tile_of(&m->net, pop, a->pos, c);
        if (!m->net.target->axon_population)
            m->usage[src].out_axons += map_axon_slots(m->net.target, a->kind);
        else if (src != before)
            m->usage[src].out_axons += map_axon_slots(m->net.target, a->kind);
        before = src;
    }
    return SPK_OK;
}

/* What an axon reaches lies on compartments of the tile. */
static spk_status inside_tile(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    const struct map_net *net = ctx;
    for (uint32_t c = 0; c < a->n_rows && !a->conv; c++) {
        struct row r = {0, 0, true};
        assert_ok(map_row_pieces(net, tile, a, a->first_row_channel + c, measure_piece, &r));
        assert_true(r.end == 0 || a->base + r.end <= tile->comp_first + tile->comps);
    }
    return SPK_OK;
}

/* All tiles of a network: the copies that measure.c makes, and the out-axons. */
static void assert_measured(struct map_net *net)
{
    struct mapping m, walked;
    memset(&m, 0, sizeof m);
    m.net = *net;
    for (uint32_t i = 0; i < net->pops.len; i++) {
        struct map_pop *p = &net->pops.data[i];
        p->tile_first = (uint32_t)m.tiles.len;
        for (uint32_t y = 0; y < p->gh; y++)
            for (uint32_t x = 0; x < p->gw; x++)
                for (uint32_t c = 0; c < p->gc; c++)
                    assert_ok(vec_push(&m.tiles, map_tile_at(net, i, y, x, c)));
    }
    m.net = *net;
    assert_ok(map_measure(&m));
    walked = m;
    assert_ok(spk_alloc_array(m.tiles.len, sizeof *walked.usage, &walked.usage));
    for (size_t i = 0; i < m.tiles.len; i++)
        assert_ok(map_tile_axons(net, &m.tiles.data[i], count_out, &walked));
    for (size_t i = 0; i < m.tiles.len; i++) {
        struct map_usage u;
        assert_ok(map_tile_usage(net, &m.tiles.data[i], &u));
        assert_int_equal(m.usage[i].in_axons, u.in_axons);
        assert_int_equal(m.usage[i].synapse_bits, u.synapse_bits);
        assert_int_equal(m.usage[i].formats, u.formats);
        assert_int_equal(m.usage[i].neurons, u.neurons);
        assert_int_equal(m.usage[i].out_axons, walked.usage[i].out_axons);
    }
    spk_free(walked.usage);
    spk_free(m.usage);
    vec_fini(&m.tiles);
}

static void test_closed_form(void **state)
{
    struct rng rng;
    (void)state;
    rng_seed(&rng, 11);
    for (int i = 0; i < 4000; i++) {
        struct map_net net;
        struct tgt t;
        random_target(&rng, &t);
        random_net(&rng, &t, &net);
        const struct map_pop *p = &vec_last(&net.pops);
        for (int k = 0; k < 4; k++) {
            struct map_tile tile =
                map_tile_at(&net, (uint32_t)net.pops.len - 1, between(&rng, 0, p->gh - 1),
                            between(&rng, 0, p->gw - 1), between(&rng, 0, p->gc - 1));
            tile.comp_first = between(&rng, 0, 2) * 8;
            assert_walk(&net, &tile);
            assert_ok(map_tile_axons(&net, &tile, inside_tile, &net));
        }
        assert_measured(&net);
        map_net_fini(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_closed_form)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
