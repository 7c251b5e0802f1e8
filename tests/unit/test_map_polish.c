/* Polishing of a tile assignment: what only changes together is found, a repaired source is paid
 * for, and on whole networks it beats the beam, is never dearer and keeps every limit. */
#include "unit.h"

#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "passes/map/search.h"
#include "passes/pass.h"
#include "runtime/reference.h"

/* ---- a hub with two consumers, by hand ---- */

/* Cores per shape are grids of one row, out-axons per pair as given, 60 slots per core. Hub: 10
 * cores, or 12 whose tiles have fewer entries. Consumer: 5 cores in many blocks, or 20 in few. */
struct hand {
    struct tgt target;
    struct map_net net;
    struct search_set hub, consumer;
    struct search_edge edges[2];
    struct search_pair pair[4]; /* [hub's shape][consumer's shape] */
    struct search s;
    struct map_pop pops[3];
    struct search_set *set[3];
    uint32_t in_first[4], out_first[4], out[2], ports[3];
    uint64_t alive[3];
    uint64_t window[2];
};

static void grid(struct search_set *set, uint32_t at, uint32_t tiles)
{
    set->shape[at] = (struct map_shape){.th = 1, .tw = 1, .tc = 1, .gh = 1, .gw = tiles, .gc = 1};
}

static void hand_init(struct hand *h)
{
    memset(h, 0, sizeof *h);
    h->target.tile_w = h->target.tile_h = 1;
    h->target.axon_population = true;
    h->target.limit[TGT_OUT_AXONS] = (struct tgt_const){.present = true, .value = 60};
    h->net.target = &h->target;
    h->net.pops.data = h->pops;
    h->net.pops.len = 3;
    h->hub.n = h->consumer.n = 2;
    h->consumer.n_projs = 1;
    h->consumer.window = h->window;
    grid(&h->hub, 0, 10);
    grid(&h->hub, 1, 12);
    grid(&h->consumer, 0, 5);
    grid(&h->consumer, 1, 20);
    h->pair[0].out = 50;
    h->pair[1].out = 30;
    h->pair[2].out = 20;
    h->pair[3].out = 10;
    for (uint32_t i = 0; i < 2; i++) {
        h->edges[i] = (struct search_edge){.src = 0, .dst = i + 1, .pair = h->pair};
        h->out[i] = i;
        h->in_first[i + 2] = i + 1;
    }
    h->out_first[1] = h->out_first[2] = h->out_first[3] = 2;
    h->set[0] = &h->hub;
    h->set[1] = h->set[2] = &h->consumer;
    h->alive[0] = h->alive[1] = h->alive[2] = 3;
    h->s = (struct search){.net = &h->net,
                           .set = h->set,
                           .in_first = h->in_first,
                           .out_first = h->out_first,
                           .out = h->out,
                           .ports = h->ports,
                           .alive = h->alive};
    h->s.edges.data = h->edges;
    h->s.edges.len = 2;
}

static void test_hub_with_consumers(void **state)
{
    struct hand h;
    uint8_t choice[3] = {0, 1, 1}; /* 10 + 20 + 20; 30 + 30 slots are all there are */
    (void)state;
    hand_init(&h);
    grid(&h.hub, 1, 35); /* more than one consumer saves, less than both */
    assert_ok(search_polish(&h.s, choice));
    assert_int_equal(choice[0], 1);
    assert_int_equal(choice[1], 0);
    assert_int_equal(choice[2], 0);
    /* A consumer alone has to have its source changed. */
    grid(&h.hub, 1, 12);
    choice[0] = 0;
    choice[1] = choice[2] = 1;
    h.alive[2] = 2;
    assert_ok(search_polish(&h.s, choice));
    assert_int_equal(choice[0], 1);
    assert_int_equal(choice[1], 0);
    assert_int_equal(choice[2], 1);
}

static void test_stays_where_it_must(void **state)
{
    struct hand h;
    uint8_t choice[3] = {0, 1, 1};
    (void)state;
    hand_init(&h);
    h.alive[0] = 1; /* the hub cannot change: neither can who reads it */
    assert_ok(search_polish(&h.s, choice));
    assert_int_equal(choice[0] * 100 + choice[1] * 10 + choice[2], 11);
    h.alive[0] = 3;
    grid(&h.hub, 1, 50); /* more than the consumers save */
    assert_ok(search_polish(&h.s, choice));
    assert_int_equal(choice[0] * 100 + choice[1] * 10 + choice[2], 11);
}

static spk_status polish_hand(struct hand *h)
{
    uint8_t choice[3] = {0, 1, 1};
    return search_polish(&h->s, choice);
}

static void test_out_of_memory(void **state)
{
    struct hand h;
    spk_status status;
    (void)state;
    hand_init(&h);
    for_each_failing_alloc(status, status = polish_hand(&h));
}

/* ---- whole networks ---- */

struct whole {
    struct diag_list diags;
    struct ir_module *module;
    struct tgt *target;
    struct mapping m;
    struct search s;
    uint8_t *choice;
};

static void whole_open(struct whole *w, const char *model, const struct fe_setting *sets,
                       uint32_t n_sets, const char *target, enum map_objective objective)
{
    struct fe_options options = {.sets = sets, .n_sets = n_sets};
    struct fe_model fe = {0};
    const struct map_options o = {
        .no_places = true, .separate_cores = true, .objective = objective};
    memset(w, 0, sizeof *w);
    diag_init(&w->diags);
    w->diags.max_warnings = 0;
    assert_ok(fe_target_load(target, &w->diags, &w->target));
    assert_ok(fe_model_open(model, &options, &w->diags, &fe));
    w->module = fe.module;
    fe.module = NULL;
    fe_model_fini(&fe);
    struct pass_context pc = {
        .target = w->target, .engine = &rt_reference_engine, .diags = &w->diags};
    assert_ok(passes_compile_pipeline(&pc, PASSES_BALANCED, NULL, NULL, &w->module));
    assert_ok(map_run(w->module, w->target, &o, &w->diags, &w->m));
    w->s = (struct search){.net = &w->m.net, .objective = objective, .diags = &w->diags};
    assert_ok(search_prepare(&w->s));
    assert_ok(search_prune(&w->s));
    w->choice = spk_alloc(w->m.net.pops.len);
    assert_non_null(w->choice);
}

static void whole_close(struct whole *w)
{
    spk_free(w->choice);
    search_fini(&w->s);
    map_fini(&w->m);
    ir_module_destroy(w->module);
    tgt_destroy(w->target);
    diag_fini(&w->diags);
}

/* The objective of the whole, by the costs of its populations. */
static struct search_cost cost_of(const struct whole *w)
{
    struct search_cost sum = {0, 0};
    for (uint32_t i = 0; i < w->m.net.pops.len; i++) {
        if (w->s.set[i] == NULL)
            continue;
        const struct search_cost c = search_cost_of(&w->s, i, w->choice[i], w->choice);
        if (w->s.objective != MAP_LATENCY)
            sum.first += c.first;
        else
            sum.first = c.first > sum.first ? c.first : sum.first;
        sum.second += c.second;
    }
    return sum;
}

/* Counts every tile of the assignment. */
static void assert_legal(struct whole *w)
{
    struct map_net *net = &w->m.net;
    vec_clear(&w->m.tiles);
    for (uint32_t i = 0; i < net->pops.len; i++) {
        struct map_pop *p = &net->pops.data[i];
        if (w->s.set[i] == NULL)
            continue;
        map_shape_set(p, &w->s.set[i]->shape[w->choice[i]]);
        p->tile_first = (uint32_t)w->m.tiles.len;
        for (uint32_t y = 0; y < p->gh; y++)
            for (uint32_t x = 0; x < p->gw; x++)
                for (uint32_t c = 0; c < p->gc; c++)
                    assert_ok(vec_push(&w->m.tiles, map_tile_at(net, i, y, x, c)));
    }
    assert_ok(map_measure(&w->m));
    for (size_t i = 0; i < w->m.tiles.len; i++)
        assert_int_equal(map_usage_violation(net->target, &w->m.usage[i]), MAP_N_LIMITS);
}

/* Two equal blocks that the beam cuts differently. */
static void test_beats_the_beam(void **state)
{
    static const struct fe_setting sets[] = {{"dim", "384"}, {"heads", "6"}, {"depth", "4"}};
    struct whole w;
    bool found;
    (void)state;
    whole_open(&w, "spikformer_v2", sets, 3, "loihi1", MAP_CORES);
    assert_ok(search_beam(&w.s, 48, w.choice, &found));
    assert_true(found);
    const double beam = cost_of(&w).first;
    assert_ok(search_polish(&w.s, w.choice));
    const double polished = cost_of(&w).first;
    print_message("4 blocks on loihi1: %.0f cores by the beam, %.0f polished\n", beam, polished);
    assert_true(polished < beam - 100);
    assert_true((double)w.m.tiles.len < beam - 100); /* the mapper's own way polishes */
    assert_legal(&w);
    whole_close(&w);
}

static void test_never_worse(void **state)
{
    static const struct {
        const char *model, *target;
    } nets[] = {{"spikformer_v2_fashion", "loihi1"},
                {"spikformer_v2_fashion", "loihi2"},
                {"spikformer_v2_events", "loihi1"},
                {"spikformer_v1_cifar10", "engine-mesh"}};
    static const enum map_objective objectives[] = {MAP_CORES, MAP_TRAFFIC, MAP_ENERGY,
                                                    MAP_LATENCY};
    uint32_t better = 0;
    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        for (size_t o = 0; o < 4; o++) {
            for (uint32_t width = 1; width <= 4; width += 3) {
                struct whole w;
                bool found;
                whole_open(&w, nets[i].model, NULL, 0, nets[i].target, objectives[o]);
                assert_ok(search_beam(&w.s, width, w.choice, &found));
                if (found) {
                    const struct search_cost beam = cost_of(&w);
                    assert_ok(search_polish(&w.s, w.choice));
                    const struct search_cost c = cost_of(&w);
                    const double first = 1e-9 * beam.first;
                    assert_true(c.first <= beam.first + first);
                    assert_true(c.first < beam.first - first ||
                                c.second <= beam.second * (1 + 1e-9));
                    better += c.first < beam.first - first;
                    assert_legal(&w);
                }
                whole_close(&w);
            }
        }
    }
    assert_true(better > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hub_with_consumers), cmocka_unit_test(test_stays_where_it_must),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_beats_the_beam),
        cmocka_unit_test(test_never_worse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
