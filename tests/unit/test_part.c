/* Partitioner: changes against costs from nothing, contraction, legality, tight packings, fan-in
 * splitting, the cluster graph, determinism, refusals, failing allocations. */
#include "passes/part/part_internal.h"
#include "support/rng.h"
#include "unit.h"

static struct ir_cluster_graph begin_graph(uint32_t n, uint32_t edges, uint64_t pins)
{
    struct ir_cluster_graph g = {.n_clusters = n};
    assert_int_equal(spk_alloc_array(edges, sizeof *g.source, &g.source), SPK_OK);
    assert_int_equal(spk_alloc_array(edges, sizeof *g.weight, &g.weight), SPK_OK);
    assert_int_equal(spk_alloc_array(edges + 1, sizeof *g.first, &g.first), SPK_OK);
    assert_int_equal(spk_alloc_array(pins, sizeof *g.dest, &g.dest), SPK_OK);
    return g;
}

static void add_pin(struct ir_cluster_graph *g, uint32_t d)
{
    for (uint64_t k = g->first[g->n_edges]; k < g->first[g->n_edges + 1]; k++)
        if (g->dest[k] == d)
            return;
    g->dest[g->first[g->n_edges + 1]++] = d;
}

static void begin_edge(struct ir_cluster_graph *g, uint32_t source, double weight)
{
    g->source[g->n_edges] = source;
    g->weight[g->n_edges] = weight;
    g->first[g->n_edges + 1] = g->first[g->n_edges];
}

/* Neurons that send to `fan` neurons near them and to some anywhere; every seventh also to itself,
 * every fifth by a second axon, every eleventh to nobody. */
static struct ir_cluster_graph make_graph(uint32_t n, uint32_t fan, uint32_t far)
{
    struct rng rng;
    struct ir_cluster_graph g = begin_graph(n, 2 * n, 2 * (uint64_t)n * (fan + far + 1));
    rng_seed(&rng, 3);
    for (uint32_t v = 0; v < n; v++) {
        for (uint32_t axon = 0; axon < (v % 5 == 0 ? 2u : 1u); axon++) {
            begin_edge(&g, v, (double)(1 + rng_below(&rng, 100)));
            for (uint32_t i = 1; i <= fan && v % 11 != 3; i++)
                add_pin(&g, (v + i + axon) % n);
            for (uint32_t i = 0; i < far && v % 11 != 3; i++)
                add_pin(&g, (uint32_t)rng_below(&rng, n));
            if (v % 7 == 0)
                add_pin(&g, v);
            g.n_edges++;
        }
    }
    assert_int_equal(ir_cluster_graph_check(&g), SPK_OK);
    return g;
}

/* `layers` layers of `positions` x `channels`, each position heard by its neighbours. */
static struct ir_cluster_graph make_layers(uint32_t layers, uint32_t positions, uint32_t channels)
{
    const uint32_t width = positions * channels, n = layers * width;
    struct ir_cluster_graph g = begin_graph(n, n, (uint64_t)n * 3 * channels);
    for (uint32_t v = 0; v < n - width; v++) {
        const uint32_t layer = v / width, p = v % width / channels;
        begin_edge(&g, v, 1 + v % 13);
        for (uint32_t q = p > 0 ? p - 1 : 0; q <= p + 1 && q < positions; q++)
            for (uint32_t c = 0; c < channels; c++)
                add_pin(&g, (layer + 1) * width + q * channels + c);
        g.n_edges++;
    }
    return g;
}

static const struct part_limits FREE = {UINT64_MAX, UINT64_MAX, UINT64_MAX, 0};

static double cost_of(const struct ir_cluster_graph *g, const uint32_t *part, uint32_t k)
{
    const struct part_limits none = {0};
    struct part_metrics m;
    assert_int_equal(part_measure(g, NULL, &none, part, k, &m), SPK_OK);
    const double cost = m.connectivity;
    part_metrics_fini(&m);
    return cost;
}

/* Cost and counters after random moves are those of a state made anew. */
static void test_changes_are_exact(void **unused)
{
    struct ir_cluster_graph g = make_graph(120, 5, 3);
    struct part_level l;
    struct part_state s, anew;
    struct rng rng;
    uint32_t part[120];
    (void)unused;
    rng_seed(&rng, 7);
    for (uint32_t v = 0; v < 120; v++)
        part[v] = (uint32_t)rng_below(&rng, 6);
    assert_int_equal(part_level_build(&g, NULL, &l), SPK_OK);
    assert_int_equal(part_state_init(&l, &FREE, part, 6, &s), SPK_OK);
    for (uint32_t i = 0; i < 5000; i++) {
        const uint32_t v = (uint32_t)rng_below(&rng, 120), to = (uint32_t)rng_below(&rng, 6);
        if (s.part[v] == to)
            continue;
        const struct part_change change = part_state_change(&s, v, to);
        assert_int_equal(part_state_move(&s, v, to, &change), SPK_OK);
        if (i % 50 != 0)
            continue;
        assert_int_equal(part_state_init(&l, &FREE, s.part, 6, &anew), SPK_OK);
        assert_true(s.cost == anew.cost);
        assert_true(s.cost == cost_of(&g, s.part, 6));
        assert_memory_equal(s.axons, anew.axons, 6 * sizeof *s.axons);
        assert_memory_equal(s.size, anew.size, 6 * sizeof *s.size);
        assert_memory_equal(s.synapses, anew.synapses, 6 * sizeof *s.synapses);
        for (uint32_t u = 0; u < 120; u++)
            assert_int_equal(s.member[s.part[u]].data[s.at[u]], u);
        part_state_fini(&anew);
    }
    part_state_fini(&s);
    part_level_fini(&l);
    ir_cluster_graph_fini(&g);
}

/* A partition of groups costs what that of their neurons costs, axon by axon. */
static void test_contraction_is_exact(void **unused)
{
    struct ir_cluster_graph g = make_graph(300, 6, 2);
    struct part_level fine, coarse;
    struct part_state a, b;
    uint32_t up[300], part[300], n = 0, of[300];
    (void)unused;
    assert_int_equal(part_level_build(&g, NULL, &fine), SPK_OK);
    assert_int_equal(part_group_pairs(&fine, NULL, 4, 40, 5, up, &n), SPK_OK);
    assert_in_range(n, 150, 220);
    assert_int_equal(part_level_contract(&fine, up, n, &coarse), SPK_OK);
    for (uint32_t v = 0; v < n; v++)
        of[v] = v * 7 % 5;
    for (uint32_t v = 0; v < 300; v++)
        part[v] = of[up[v]];
    assert_int_equal(part_state_init(&fine, &FREE, part, 5, &a), SPK_OK);
    assert_int_equal(part_state_init(&coarse, &FREE, of, 5, &b), SPK_OK);
    assert_true(a.cost == b.cost);
    assert_memory_equal(a.axons, b.axons, 5 * sizeof *a.axons);
    assert_memory_equal(a.size, b.size, 5 * sizeof *a.size);
    assert_memory_equal(a.synapses, b.synapses, 5 * sizeof *a.synapses);
    part_state_fini(&a);
    part_state_fini(&b);
    part_level_fini(&coarse);
    part_level_fini(&fine);
    ir_cluster_graph_fini(&g);
}

/* All channels of a position are twins, up to the largest group, and only within a part. */
static void test_twins(void **unused)
{
    struct ir_cluster_graph g = make_layers(3, 10, 6);
    struct part_level l;
    uint32_t up[180], part[180], n = 0;
    (void)unused;
    assert_int_equal(part_level_build(&g, NULL, &l), SPK_OK);
    assert_int_equal(part_group_twins(&l, NULL, 100, up, &n), SPK_OK);
    assert_int_equal(n, 30);
    for (uint32_t v = 0; v < 180; v++)
        assert_int_equal(up[v], up[v / 6 * 6]);
    assert_int_equal(part_group_twins(&l, NULL, 2, up, &n), SPK_OK);
    assert_int_equal(n, 90);
    for (uint32_t v = 0; v < 180; v++)
        part[v] = v % 2;
    assert_int_equal(part_group_twins(&l, part, 100, up, &n), SPK_OK);
    assert_int_equal(n, 60);
    part_level_fini(&l);
    ir_cluster_graph_fini(&g);
}

static double run(const struct ir_cluster_graph *g, const uint32_t *size,
                  const struct part_options *options, uint32_t *part, uint32_t *out_k)
{
    struct part_metrics m;
    assert_int_equal(part_run(g, size, options, NULL, part, out_k), SPK_OK);
    assert_int_equal(part_measure(g, size, &options->limits, part, *out_k, &m), SPK_OK);
    assert_int_equal(m.violations, 0);
    assert_true(*out_k >= m.cores_bound);
    for (uint32_t p = 0; p < *out_k; p++)
        assert_true(m.core[p].neurons > 0 || size != NULL);
    const double cost = m.connectivity;
    part_metrics_fini(&m);
    return cost;
}

static void test_better_than_constructions(void **unused)
{
    struct ir_cluster_graph graphs[] = {make_graph(900, 12, 4), make_layers(5, 40, 8)};
    uint32_t part[1600];
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        struct part_options o = {.limits = {.neurons = 100, .axons = 400, .synapses = 2500},
                                 .effort = 0.1};
        uint32_t k[3];
        double cost[3];
        for (int e = PART_SPIKEC; e <= PART_OVERLAP; e++) {
            o.engine = (enum part_engine)e;
            cost[e] = run(&graphs[i], NULL, &o, part, &k[e]);
        }
        assert_true(k[0] <= k[1] && k[0] <= k[2]);
        assert_true(cost[0] < cost[1] && cost[0] < cost[2]);
        ir_cluster_graph_fini(&graphs[i]);
    }
}

/* Cores that must be full to the last neuron, and neurons of different sizes. */
static void test_tight(void **unused)
{
    struct ir_cluster_graph g = make_graph(400, 8, 0);
    uint32_t part[400], size[400], k, total = 0;
    struct part_options o = {.limits = {.neurons = 50}, .effort = 0.2};
    (void)unused;
    const double free_cost = run(&g, NULL, &o, part, &k);
    assert_int_equal(k, 8);
    o.engine = PART_SEQUENTIAL;
    assert_true(free_cost <= run(&g, NULL, &o, part, &k)); /* a ring in order is hard to beat */
    o.engine = PART_SPIKEC;
    for (uint32_t v = 0; v < 400; v++) {
        size[v] = v % 4;
        total += size[v];
    }
    o.objective = PART_CORES;
    run(&g, size, &o, part, &k);
    assert_int_equal(k, total / 50);
    ir_cluster_graph_fini(&g);
}

/* Shuffled, the constructions need far more cores than there have to be. */
static void test_fewer_cores(void **unused)
{
    struct ir_cluster_graph g = make_graph(600, 6, 0);
    uint32_t part[600], k, few;
    struct part_options o = {.limits = {.neurons = 100, .axons = 170}, .effort = 0.1};
    (void)unused;
    for (uint32_t e = 0; e < g.n_edges; e++) { /* 7919 has no common divisor with 600 */
        g.source[e] = (uint32_t)(g.source[e] * UINT64_C(7919) % 600);
        for (uint64_t i = g.first[e]; i < g.first[e + 1]; i++)
            g.dest[i] = (uint32_t)(g.dest[i] * UINT64_C(7919) % 600);
    }
    o.engine = PART_OVERLAP;
    run(&g, NULL, &o, part, &k);
    o.engine = PART_SPIKEC;
    o.objective = PART_CORES;
    run(&g, NULL, &o, part, &few);
    assert_true(few <= k);
    o.objective = PART_CONNECTIVITY;
    o.limits.cores = few;
    run(&g, NULL, &o, part, &k);
    assert_true(k <= few);
    o.limits.cores = 5; /* 600 neurons take 6 */
    assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_ERR_NOFIT);
    o.limits = (struct part_limits){.axons = 5};
    assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_ERR_NOFIT);
    ir_cluster_graph_fini(&g);
}

/* Marks what neuron v hears, through partial sums where `split`. */
static void hears(const struct ir_cluster_graph *g, uint32_t v, uint32_t n, uint32_t edges,
                  uint8_t *heard)
{
    for (uint32_t e = 0; e < g->n_edges; e++) {
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            if (g->dest[k] != v)
                continue;
            if (e < edges)
                assert_int_equal(heard[e]++, 0);
            else if (g->source[e] >= n)
                hears(g, g->source[e], n, edges, heard);
        }
    }
}

static void test_split(void **unused)
{
    struct ir_cluster_graph g = make_graph(90, 30, 8);
    (void)unused;
    for (uint64_t most = 2; most <= 64; most += most < 4 ? 1 : 20) {
        const struct part_limits limits = {.axons = most};
        struct part_split split;
        uint32_t fan_in[5000] = {0};
        uint8_t plain[180], through[180];
        assert_int_equal(part_split_fan_in(&g, NULL, &limits, NULL, &split), SPK_OK);
        if (most >= split.max_fan_in) {
            assert_int_equal(split.n_added, 0);
            continue;
        }
        assert_int_equal(ir_cluster_graph_check(&split.graph), SPK_OK);
        assert_int_equal(split.graph.n_clusters, 90 + split.n_added);
        assert_in_range(split.graph.n_clusters, 91, 5000);
        for (uint64_t k = 0; k < split.graph.first[split.graph.n_edges]; k++)
            fan_in[split.graph.dest[k]]++;
        for (uint32_t v = 0; v < split.graph.n_clusters; v++)
            assert_in_range(fan_in[v], v < 90 ? 0 : 1, most);
        for (uint32_t v = 0; v < 90; v++) {
            memset(plain, 0, sizeof plain);
            memset(through, 0, sizeof through);
            hears(&g, v, 90, g.n_edges, plain);
            hears(&split.graph, v, 90, g.n_edges, through);
            assert_memory_equal(plain, through, g.n_edges);
        }
        part_split_fini(&split);
    }
    const struct part_limits one = {.axons = 1};
    struct part_split split;
    assert_int_equal(part_split_fan_in(&g, NULL, &one, NULL, &split), SPK_ERR_NOFIT);
    ir_cluster_graph_fini(&g);
}

/* The graph of the parts has the messages of the partition. */
static void test_cluster_graph(void **unused)
{
    struct ir_cluster_graph g = make_graph(200, 9, 4), clusters;
    uint32_t part[200];
    double messages = 0;
    (void)unused;
    for (uint32_t v = 0; v < 200; v++)
        part[v] = v / 3 % 9;
    assert_int_equal(part_cluster_graph(&g, part, 9, &clusters), SPK_OK);
    assert_int_equal(ir_cluster_graph_check(&clusters), SPK_OK);
    assert_int_equal(clusters.n_clusters, 9);
    assert_true(clusters.n_edges < g.n_edges);
    for (uint32_t e = 0; e < clusters.n_edges; e++) {
        messages += clusters.weight[e] * (double)(clusters.first[e + 1] - clusters.first[e]);
        for (uint64_t k = clusters.first[e]; k < clusters.first[e + 1]; k++)
            assert_int_not_equal(clusters.dest[k], clusters.source[e]);
    }
    assert_true(messages == cost_of(&g, part, 9));
    ir_cluster_graph_fini(&clusters);
    ir_cluster_graph_fini(&g);
}

static void test_same_at_any_threads(void **unused)
{
    struct ir_cluster_graph g = make_graph(700, 3, 6);
    uint32_t first[700], again[700], k, other;
    struct part_options o = {.limits = {.neurons = 60, .axons = 300}, .effort = 0.05, .seed = 9};
    struct pool *pool;
    (void)unused;
    assert_int_equal(pool_create(3, &pool), SPK_OK);
    run(&g, NULL, &o, first, &k);
    o.pool = pool;
    run(&g, NULL, &o, again, &other);
    assert_int_equal(k, other);
    assert_memory_equal(first, again, sizeof first);
    o.seed = 10;
    run(&g, NULL, &o, again, &other);
    assert_memory_not_equal(first, again, sizeof first);
    pool_destroy(pool);
    ir_cluster_graph_fini(&g);
}

static void test_trivial(void **unused)
{
    uint64_t none = 0;
    struct ir_cluster_graph g = {.first = &none};
    uint32_t part[3] = {9, 9, 9}, k = 9;
    struct part_options o = {.limits = {.neurons = 2}};
    (void)unused;
    for (int e = PART_SPIKEC; e <= PART_OVERLAP; e++) {
        o.engine = (enum part_engine)e;
        g.n_clusters = 0;
        assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_OK);
        assert_int_equal(k, 0);
        g.n_clusters = 3;
        assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_OK);
        assert_int_equal(k, 2);
        assert_int_equal(part[0], 0);
    }
}

static void test_cancelled(void **unused)
{
    struct ir_cluster_graph g = make_graph(300, 9, 3);
    atomic_int cancel;
    const struct progress progress = {.cancel = &cancel};
    uint32_t part[300], k;
    struct part_options o = {.limits = {.neurons = 60}, .progress = &progress};
    struct part_metrics m = {0};
    bool early = false;
    (void)unused;
    atomic_init(&cancel, 1);
    assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_ERR_CANCELLED);
    o.out_ended_early = &early;
    for (int objective = 0; objective < 2; objective++) { /* what there is so far, and legal */
        o.objective = (enum part_objective)objective;
        memset(part, 0xff, sizeof part);
        assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_OK);
        assert_true(early);
        assert_int_equal(part_measure(&g, NULL, &o.limits, part, k, &m), SPK_OK);
        assert_int_equal(m.violations, 0);
        part_metrics_fini(&m);
    }
    o.limits.cores = 1; /* nothing legal */
    assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_ERR_CANCELLED);
    atomic_store(&cancel, 0);
    o.limits.cores = 0;
    assert_int_equal(part_run(&g, NULL, &o, NULL, part, &k), SPK_OK);
    assert_false(early);
    ir_cluster_graph_fini(&g);
}

static void test_failing_allocations(void **unused)
{
    struct ir_cluster_graph g = make_graph(60, 12, 3);
    const struct part_options o = {
        .limits = {.neurons = 16, .axons = 8}, .effort = 0.001, .objective = PART_CORES};
    (void)unused;
    if (!spk_fault_available())
        skip();
    for (uint64_t n = 1;; n++) {
        struct part_split split = {0};
        struct ir_cluster_graph clusters = {0};
        struct part_metrics m = {0};
        uint32_t part[2000], k = 0;
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status status = part_split_fan_in(&g, NULL, &o.limits, NULL, &split);
        if (status == SPK_OK)
            status = part_run(&split.graph, split.size, &o, NULL, part, &k);
        if (status == SPK_OK)
            status = part_measure(&split.graph, split.size, &o.limits, part, k, &m);
        if (status == SPK_OK)
            status = part_cluster_graph(&split.graph, part, k, &clusters);
        const bool failed = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(status, failed ? SPK_ERR_NOMEM : SPK_OK);
        part_split_fini(&split);
        part_metrics_fini(&m);
        ir_cluster_graph_fini(&clusters);
        if (!failed) {
            assert_true(n > 100);
            break;
        }
    }
    ir_cluster_graph_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_are_exact),
        cmocka_unit_test(test_contraction_is_exact),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_better_than_constructions),
        cmocka_unit_test(test_tight),
        cmocka_unit_test(test_fewer_cores),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_cluster_graph),
        cmocka_unit_test(test_same_at_any_threads),
        cmocka_unit_test(test_trivial),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
