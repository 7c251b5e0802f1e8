/* The tile search over the zoo: never more cores than the layer-by-layer greedy search that it
 * replaced (its counts stand here), never fewer than the lower bound, every limit kept, the same
 * result twice; objectives reach what they are for. */
#include <string.h>

#include "frontend/model.h"
#include "frontend/target_yaml.h"
#include "passes/map/bound.h"
#include "passes/map/shapes.h"
#include "passes/pass.h"
#include "runtime/reference.h"
#include "unit.h"

struct net {
    struct diag_list diags;
    struct ir_module *module;
    struct tgt *target;
    struct mapping m;
};

static spk_status net_map(struct net *n, const char *model, const struct fe_setting *sets,
                          uint32_t n_sets, const char *target, enum tgt_attention attention,
                          const struct map_options *o)
{
    struct fe_options options = {.sets = sets, .n_sets = n_sets};
    struct fe_model fe = {0};
    memset(n, 0, sizeof *n);
    diag_init(&n->diags);
    const bool discrete = strcmp(target, "loihi1-discrete") == 0;
    assert_ok(fe_target_load(discrete ? "loihi1" : target, &n->diags, &n->target));
    n->diags.max_warnings = 0;
    if (discrete) {
        n->target->axon_population = false;
        n->target->sharing = TGT_SHARE_NONE;
    }
    assert_ok(fe_model_open(model, &options, &n->diags, &fe));
    n->module = fe.module;
    fe.module = NULL;
    fe_model_fini(&fe);
    struct pass_context pc = {
        .target = n->target, .engine = &rt_reference_engine, .diags = &n->diags};
    assert_ok(passes_compile_pipeline(&pc, PASSES_PREPARED, NULL, NULL, &n->module));
    assert_ok(passes_compile_pipeline(&pc, PASSES_BALANCED, tgt_attention_name(attention), NULL,
                                      &n->module));
    return map_run(n->module, n->target, o, &n->diags, &n->m);
}

static void net_close(struct net *n)
{
    map_fini(&n->m);
    ir_module_destroy(n->module);
    tgt_destroy(n->target);
    diag_fini(&n->diags);
}

static const struct {
    const char *model, *target;
    enum tgt_attention attention;
    uint64_t greedy; /* cores */
} ZOO[] = {
    {"spikformer_v1_cifar10", "loihi1", TGT_ATTN_EMBEDDED, 2932},
    {"spikformer_v1_cifar10", "loihi2", TGT_ATTN_EMBEDDED, 219},
    {"spikformer_v1_cifar10", "loihi2", TGT_ATTN_PRODUCT, 1019},
    {"spikformer_v1_cifar10dvs", "loihi1", TGT_ATTN_EMBEDDED, 1840},
    {"spikformer_v1_cifar10dvs", "loihi2", TGT_ATTN_EMBEDDED, 202},
    {"spikformer_v1_cifar10dvs", "loihi2", TGT_ATTN_PRODUCT, 340},
    {"spikformer_v1_imagenet", "loihi1", TGT_ATTN_EMBEDDED, 33959},
    {"spikformer_v1_imagenet", "loihi2", TGT_ATTN_EMBEDDED, 2232},
    {"spikformer_v1_imagenet", "loihi2", TGT_ATTN_PRODUCT, 15016},
    {"spikformer_v2", "loihi2", TGT_ATTN_EMBEDDED, 13608},
    {"spikformer_v2", "loihi2", TGT_ATTN_PRODUCT, 26392},
    {"spikformer_v2_events", "loihi1", TGT_ATTN_EMBEDDED, 9572},
    {"spikformer_v2_events", "loihi2", TGT_ATTN_EMBEDDED, 290},
    {"spikformer_v2_events", "loihi2", TGT_ATTN_PRODUCT, 556},
    {"spikformer_v2_fashion", "loihi1", TGT_ATTN_EMBEDDED, 202},
    {"spikformer_v2_fashion", "loihi2", TGT_ATTN_EMBEDDED, 30},
    {"spikformer_v2_fashion", "loihi2", TGT_ATTN_PRODUCT, 64},
};

static void assert_limits(const struct mapping *m)
{
    uint32_t tiles = 0;
    for (size_t i = 0; i < m->tiles.len; i++)
        assert_int_equal(map_usage_violation(m->net.target, &m->usage[i]), MAP_N_LIMITS);
    for (uint32_t i = 0; i < m->n_cores; i++) {
        const struct map_usage u = map_core_usage(m, i);
        assert_int_equal(map_usage_violation(m->net.target, &u), MAP_N_LIMITS);
        for (uint32_t k = m->core_first[i]; k < m->core_first[i + 1]; k++, tiles++)
            assert_int_equal(m->tiles.data[m->core_tile[k]].core, i);
    }
    assert_int_equal(tiles, m->tiles.len);
}

static void test_zoo(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ZOO / sizeof ZOO[0]; i++) {
        const struct map_options o = {.no_places = true};
        struct map_bound bound;
        struct net n;
        assert_ok(net_map(&n, ZOO[i].model, NULL, 0, ZOO[i].target, ZOO[i].attention, &o));
        if (n.m.n_cores > ZOO[i].greedy)
            fail_msg("%s on %s: %u cores, greedily %llu", ZOO[i].model, ZOO[i].target, n.m.n_cores,
                     (unsigned long long)ZOO[i].greedy);
        assert_limits(&n.m);
        assert_ok(map_bound(&n.m.net, &bound));
        assert_true(bound.cores > n.m.n_cores / 8);
        assert_true(bound.cores <= bound.unshared);
        assert_true(bound.unshared <= n.m.tiles.len);
        assert_true(bound.cores <= n.m.n_cores && n.m.n_cores <= n.m.tiles.len);
        net_close(&n);
    }
}

/* Sharing saves cores, finer cuts of what has no weights save more, and neither is done where it is
 * not wanted. */
static void test_shared_cores(void **state)
{
    static const char *const targets[] = {"loihi1", "loihi2", "engine-mesh"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct map_options o = {.no_places = true, .separate_cores = true};
        const enum tgt_attention attention = i == 2 ? TGT_ATTN_ENGINE : TGT_ATTN_EMBEDDED;
        struct net apart, shared, latency;
        uint32_t packed = 0;
        assert_ok(net_map(&apart, "spikformer_v2", NULL, 0, targets[i], attention, &o));
        assert_int_equal(apart.m.n_cores, apart.m.tiles.len);
        assert_ok(map_count_cores(&apart.m, &packed)); /* what packing alone gives */
        assert_limits(&apart.m);
        o.separate_cores = false;
        assert_ok(net_map(&shared, "spikformer_v2", NULL, 0, targets[i], attention, &o));
        assert_limits(&shared.m);
        assert_true(packed < apart.m.n_cores - apart.m.n_engines);
        /* on loihi1 weighted tiles may need all configurations of a core, and take no guests */
        assert_true(shared.m.n_cores - shared.m.n_engines < (i == 0 ? 0.99 : 0.98) * packed);
        assert_true(shared.m.tiles.len > apart.m.tiles.len);
        o.objective = MAP_LATENCY;
        if (i == 0) {
            assert_ok(
                net_map(&latency, "spikformer_v2_fashion", NULL, 0, targets[i], attention, &o));
            assert_int_equal(latency.m.n_cores, latency.m.tiles.len);
            net_close(&latency);
        }
        net_close(&apart);
        net_close(&shared);
    }
}

/* Every tile begins where short axons can address it, however large the one before it is. */
static void test_first_compartments(void **state)
{
    struct map_options o = {.no_places = true, .separate_cores = true};
    uint32_t uneven = 0;
    struct net n;
    (void)state;
    assert_ok(net_map(&n, "spikformer_v2_fashion", NULL, 0, "loihi2", TGT_ATTN_EMBEDDED, &o));
    struct mapping *m = &n.m;
    for (size_t i = 0; i < m->tiles.len; i++) { /* one compartment of padding more */
        m->tiles.data[i].comps++;
        m->usage[i].neurons++;
    }
    spk_free(m->core_first);
    spk_free(m->core_tile);
    o.separate_cores = false;
    assert_ok(map_assign_cores(m, &o));
    assert_limits(m);
    for (uint32_t i = 0; i < m->n_cores; i++) {
        uint32_t end = 0;
        for (uint32_t k = m->core_first[i]; k < m->core_first[i + 1]; k++) {
            const struct map_tile *t = &m->tiles.data[m->core_tile[k]];
            assert_int_equal(t->comp_first % 4, 0);
            assert_in_range(t->comp_first, end, end + 3);
            uneven += t->comp_first != end;
            end = t->comp_first + t->comps;
        }
    }
    assert_true(uneven > 0);
    net_close(&n);
}

/* Expected messages: what traffic and energy are for. */
static double messages(const struct mapping *m)
{
    double sum = 0;
    for (size_t i = 0; i < m->tiles.len; i++)
        sum += (double)m->usage[i].out_axons * m->net.pops.data[m->tiles.data[i].pop].rate *
               m->net.pops.data[m->tiles.data[i].pop].tc;
    return sum;
}

/* Updates and expected synaptic events of the busiest core per step, at loihi1's times. */
static double busiest(const struct mapping *m)
{
    double most = 0;
    for (size_t i = 0; i < m->tiles.len; i++) {
        const struct map_pop *p = &m->net.pops.data[m->tiles.data[i].pop];
        double events = 0;
        for (uint32_t k = 0; k < p->n_projs; k++) {
            const struct map_proj *j = &m->net.projs.data[p->proj_first + k];
            for (uint32_t a = 0; a < j->n_sources; a++)
                events +=
                    m->net.pops.data[j->source[a].pop].rate * j->kernel * j->kernel_w *
                    (j->chan == MAP_CHAN_FULL ? m->net.pops.data[j->source[a].pop].channels : 1);
        }
        const double work = m->usage[i].neurons * (8.4 + 3.5 * events);
        most = work > most ? work : most;
    }
    return most;
}

static void test_objectives(void **state)
{
    struct net cores, traffic, energy, latency, again;
    struct map_options o = {.no_places = true};
    (void)state;
    assert_ok(net_map(&cores, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    o.objective = MAP_TRAFFIC;
    assert_ok(net_map(&traffic, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    assert_ok(net_map(&again, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    o.objective = MAP_ENERGY;
    assert_ok(net_map(&energy, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    o.objective = MAP_LATENCY;
    assert_ok(net_map(&latency, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    assert_true(messages(&traffic.m) < messages(&cores.m));
    assert_true(messages(&energy.m) < messages(&cores.m));
    assert_true(busiest(&latency.m) < busiest(&cores.m) / 2);
    assert_true(cores.m.n_cores <= traffic.m.n_cores);
    assert_int_equal(traffic.m.tiles.len, again.m.tiles.len);
    assert_memory_equal(traffic.m.tiles.data, again.m.tiles.data,
                        again.m.tiles.len * sizeof *again.m.tiles.data);
    assert_limits(&traffic.m);
    assert_limits(&latency.m);
    net_close(&cores);
    net_close(&traffic);
    net_close(&energy);
    net_close(&latency);
    net_close(&again);
}

/* Where every layer is less than a core, the bounds are what they must be. */
static void test_bound_is_tight(void **state)
{
    static const struct fe_setting sets[] = {{"height", "32"}, {"width", "32"}, {"dim", "32"},
                                             {"depth", "1"},   {"heads", "2"},  {"classes", "10"}};
    const struct map_options o = {.no_places = true};
    struct map_bound bound;
    struct net n;
    (void)state;
    assert_ok(net_map(&n, "spikformer_v2", sets, 6, "loihi2", TGT_ATTN_EMBEDDED, &o));
    uint64_t neurons = 0;
    for (size_t i = 0; i < n.m.net.pops.len; i++) {
        const struct map_pop *p = &n.m.net.pops.data[i];
        neurons += p->has_compartments ? (uint64_t)p->channels * p->height * p->width : 0;
    }
    assert_ok(map_bound(&n.m.net, &bound)); /* neurons alone give this much, and nothing less */
    assert_true(bound.cores >= (neurons + 8191) / 8192);
    assert_int_equal(bound.unshared, n.m.tiles.len); /* every layer is less than a core */
    assert_true(n.m.n_cores < n.m.tiles.len / 3);    /* which they share */
    net_close(&n);
}

/* What is said of a refusal or a layer. */
static void assert_said(struct net *n, const char *text)
{
    struct strbuf all = {0};
    diag_render(&n->diags, NULL, &all);
    if (strstr(strbuf_cstr(&all), text) == NULL)
        fail_msg("'%s' is not in: %s", text, strbuf_cstr(&all));
    strbuf_fini(&all);
}

/* Discrete axons only: the first convolution with more inputs per neuron than in-axons. */
static void test_fan_in(void **state)
{
    const struct map_options o = {.no_places = true};
    struct net n;
    (void)state;
    assert_int_equal(
        net_map(&n, "spikformer_v2", NULL, 0, "loihi1-discrete", TGT_ATTN_EMBEDDED, &o),
        SPK_ERR_NOFIT);
    assert_said(&n, "layer 'patch_embed.stage1.block0.lif2' does not fit");
    assert_said(&n, "need 4608 in-axons, a core has 4096");
    assert_said(&n, "patch_embed.stage1.block0.conv2.weight: 3 x 3 positions of 512 channels");
    assert_said(&n, "would not compute the same");
    assert_said(&n, "at most 455 channels instead of 512");
    net_close(&n);
}

/* Remarks: why the tile is no larger, with numbers, and what would be next. */
static void test_remarks(void **state)
{
    static const struct fe_setting sets[] = {{"depth", "1"}};
    const struct map_options o = {.no_places = true, .remarks = true};
    struct net n;
    (void)state;
    assert_ok(net_map(&n, "spikformer_v2_fashion", NULL, 0, "loihi1", TGT_ATTN_EMBEDDED, &o));
    assert_said(&n, "R0601");
    assert_said(&n, "compartments, a core has 1024");
    assert_said(&n, "next best: ");
    net_close(&n);
    assert_ok(net_map(&n, "spikformer_v2", sets, 1, "loihi1", TGT_ATTN_EMBEDDED, &o));
    assert_said(&n, "bits of synaptic memory, a core has 1048576");
    net_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_zoo),
                                       cmocka_unit_test(test_shared_cores),
                                       cmocka_unit_test(test_first_compartments),
                                       cmocka_unit_test(test_objectives),
                                       cmocka_unit_test(test_bound_is_tight),
                                       cmocka_unit_test(test_fan_in),
                                       cmocka_unit_test(test_remarks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
