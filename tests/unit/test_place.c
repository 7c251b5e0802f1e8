/* Placement engine: differences against costs from nothing, legality, determinism, grids with
 * tiles, chips and blocked cells, refusals, failing allocations. */
#include "passes/place/place_internal.h"
#include "support/rng.h"
#include "unit.h"

/* A graph of `layers` layers of `width` clusters, all to all, with a residual link from each
 * cluster to the one two layers on, and `extra` random edges (some to themselves). */
static void make_graph(struct ir_cluster_graph *g, uint32_t layers, uint32_t width, uint32_t extra,
                       double unit)
{
    struct rng rng;
    rng_seed(&rng, 5);
    memset(g, 0, sizeof *g);
    g->n_clusters = layers * width;
    g->n_edges = (layers - 1) * width + extra;
    assert_int_equal(spk_alloc_array(g->n_edges, sizeof *g->source, &g->source), SPK_OK);
    assert_int_equal(spk_alloc_array(g->n_edges, sizeof *g->weight, &g->weight), SPK_OK);
    assert_int_equal(spk_alloc_array(g->n_edges + 1, sizeof *g->first, &g->first), SPK_OK);
    assert_int_equal(spk_alloc_array((size_t)g->n_edges * (width + 4), sizeof *g->dest, &g->dest),
                     SPK_OK);
    uint64_t k = 0;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        const bool layered = e < (layers - 1) * width;
        g->source[e] = layered ? e : (uint32_t)rng_below(&rng, g->n_clusters);
        g->weight[e] = unit * (double)(1 + rng_below(&rng, 100));
        for (uint32_t i = 0; layered && i < width; i++)
            g->dest[k++] = (e / width + 1) * width + i;
        if (layered && e / width % 3 == 0 && e + 2 * width < g->n_clusters)
            g->dest[k++] = e + 2 * width;
        const uint32_t base = (uint32_t)rng_below(&rng, g->n_clusters);
        for (uint32_t i = 0; !layered && i < 3; i++)
            g->dest[k++] = (base + i * 7) % g->n_clusters;
        g->first[e + 1] = k;
    }
    assert_int_equal(ir_cluster_graph_check(g), SPK_OK);
}

static void assert_legal(const struct place_grid *grid, const uint32_t *cell, uint32_t n)
{
    const uint32_t cells = grid->width * grid->height;
    uint8_t *used = calloc(cells, 1);
    assert_non_null(used);
    for (uint32_t c = 0; c < n; c++) {
        assert_in_range(cell[c], 0, cells - 1);
        assert_int_equal(used[cell[c]]++, 0);
        assert_true(grid->blocked == NULL || !grid->blocked[cell[c]]);
    }
    free(used);
}

/* State of a level with nodes in random free cells. */
static void scatter(const struct place_level *l, struct place_state *state, uint64_t seed)
{
    struct rng rng;
    struct place_wish *wish;
    rng_seed(&rng, seed);
    assert_int_equal(spk_alloc_array(l->n, sizeof *wish, &wish), SPK_OK);
    assert_int_equal(spk_alloc_array(l->n, sizeof *state->pos, &state->pos), SPK_OK);
    assert_int_equal(spk_alloc_array((size_t)l->axes.w * l->axes.h, sizeof *state->at, &state->at),
                     SPK_OK);
    for (uint32_t v = 0; v < l->n; v++)
        wish[v] = (struct place_wish){(float)(rng_f64(&rng) * l->axes.w),
                                      (float)(rng_f64(&rng) * l->axes.h), v};
    assert_int_equal(place_legalise(&l->axes, NULL, NULL, wish, l->n, state), SPK_OK);
    spk_free(wish);
}

static void check_changes(const struct place_level *l, uint64_t seed)
{
    struct place_state state;
    int64_t before, after, change;
    const struct place_schedule plan = {.moves = 20000,
                                        .acceptance = 0.5,
                                        .cooling = 0.8,
                                        .range = 5,
                                        .descend = true,
                                        .seed = seed};
    scatter(l, &state, seed);
    assert_int_equal(place_level_cost(l, &state, &before), SPK_OK);
    assert_int_equal(place_anneal(l, true, &plan, NULL, &state, &change), SPK_OK);
    assert_int_equal(place_level_cost(l, &state, &after), SPK_OK);
    assert_true(after < before);
    assert_int_equal(before + change, after);
    for (uint32_t v = 0; v < l->n; v++)
        assert_int_equal(state.at[(size_t)state.pos[v].y * l->axes.w + state.pos[v].x], v);
    spk_free(state.pos);
    spk_free(state.at);
}

/* Differences add up to the change of the cost worked out from nothing: with groups and without, on
 * coarser levels (nodes on both sides of a group), with tiles, chips and missing cells. */
static void test_changes_are_exact(void **unused)
{
    struct ir_cluster_graph g;
    uint8_t blocked[14 * 12] = {0};
    (void)unused;
    for (int i = 0; i < 14 * 12; i += 13)
        blocked[i] = 1;
    const struct place_grid grids[] = {
        {.width = 12, .height = 13},
        {.width = 14, .height = 12, .blocked = blocked},
        {.width = 16, .height = 10, .tile_w = 2, .tile_h = 2, .x_cost = 3.0, .y_cost = 4.2},
        {.width = 20,
         .height = 9,
         .chip_w = 5,
         .chip_h = 3,
         .chip_x_cost = 8,
         .chip_y_cost = 2,
         .x_cost = 1,
         .y_cost = 1}};
    make_graph(&g, 6, 25, 40, 1.0);
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        for (int links = 0; links < 2; links++) {
            struct place_level fine, coarse;
            assert_int_equal(place_level_build(&g, links ? PLACE_NO_GROUPS : 64, NULL, &fine),
                             SPK_OK);
            assert_int_equal(fine.n_groups, links ? 0 : 5);
            assert_int_equal(place_axes_of_grid(&grids[i], &fine.axes), SPK_OK);
            check_changes(&fine, 3 + i);
            assert_int_equal(place_coarsen(&fine, 2, 9, &coarse), SPK_OK);
            assert_in_range(coarse.n, 75, 90);
            assert_int_equal(place_axes_coarse(&fine.axes, coarse.n, &coarse.axes), SPK_OK);
            check_changes(&coarse, 4 + i);
            place_level_fini(&coarse);
            place_level_fini(&fine);
        }
    }
    ir_cluster_graph_fini(&g);
}

/* The moves of a large graph are made window by window. */
static void test_large_graph(void **unused)
{
    const struct place_grid grid = {.width = 300, .height = 240};
    const uint32_t n = 70000;
    struct ir_cluster_graph g;
    struct place_level level;
    (void)unused;
    make_graph(&g, 7000, n / 7000, 3, 0.003);
    assert_int_equal(place_level_build(&g, 540, NULL, &level), SPK_OK);
    assert_int_equal(level.n, n);
    assert_int_equal(place_axes_of_grid(&grid, &level.axes), SPK_OK);
    check_changes(&level, 11);
    place_level_fini(&level);
    ir_cluster_graph_fini(&g);
}

/* The cost of a level is U, whatever is grouped. */
static void test_level_cost_is_unicast(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 15, .height = 11};
    uint32_t cell[150];
    (void)unused;
    make_graph(&g, 6, 25, 40, 1.0);
    for (int links = 0; links < 2; links++) {
        struct place_level l;
        struct place_state state;
        int64_t cost;
        double u;
        assert_int_equal(place_level_build(&g, links ? PLACE_NO_GROUPS : 64, NULL, &l), SPK_OK);
        assert_int_equal(place_axes_of_grid(&grid, &l.axes), SPK_OK);
        scatter(&l, &state, 8);
        for (uint32_t v = 0; v < l.n; v++)
            cell[v] = state.pos[v].y * 15u + state.pos[v].x;
        assert_int_equal(place_level_cost(&l, &state, &cost), SPK_OK);
        assert_int_equal(place_cost(&g, &grid, PLACE_UNICAST, cell, &u), SPK_OK);
        assert_true((double)cost == u);
        spk_free(state.pos);
        spk_free(state.at);
        place_level_fini(&l);
    }
    ir_cluster_graph_fini(&g);
}

static void test_multicast_changes_are_exact(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grids[] = {{.width = 12, .height = 13},
                                       {.width = 20,
                                        .height = 9,
                                        .chip_w = 5,
                                        .chip_h = 3,
                                        .chip_x_cost = 8,
                                        .chip_y_cost = 2,
                                        .x_cost = 1,
                                        .y_cost = 1}};
    uint32_t cell[150];
    (void)unused;
    make_graph(&g, 6, 25, 40, 1.0);
    for (size_t i = 0; i < 2; i++) {
        struct place_level l;
        struct place_state state;
        double before, after, change;
        const struct place_schedule plan = {
            .moves = 4000, .acceptance = 0.5, .cooling = 0.8, .range = 5, .seed = 2};
        assert_int_equal(place_level_build(&g, 64, NULL, &l), SPK_OK);
        assert_int_equal(place_axes_of_grid(&grids[i], &l.axes), SPK_OK);
        scatter(&l, &state, 8);
        for (uint32_t v = 0; v < l.n; v++)
            cell[v] = state.pos[v].y * grids[i].width + state.pos[v].x;
        assert_int_equal(place_cost(&g, &grids[i], PLACE_MULTICAST, cell, &before), SPK_OK);
        assert_int_equal(place_anneal_multicast(&g, &l.axes, NULL, &plan, NULL, &state, &change),
                         SPK_OK);
        for (uint32_t v = 0; v < l.n; v++)
            cell[v] = state.pos[v].y * grids[i].width + state.pos[v].x;
        assert_int_equal(place_cost(&g, &grids[i], PLACE_MULTICAST, cell, &after), SPK_OK);
        assert_true(after < before);
        assert_true(before + change == after);
        spk_free(state.pos);
        spk_free(state.at);
        place_level_fini(&l);
    }
    ir_cluster_graph_fini(&g);
}

/* Every engine gives legal cells, the same ones again, and at any number of threads. */
static void test_engines(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 25, .height = 25};
    uint32_t first[600], again[600];
    struct pool *pool;
    (void)unused;
    make_graph(&g, 24, 25, 40, 0.37);
    assert_int_equal(pool_create(3, &pool), SPK_OK);
    for (int e = PLACE_SPIKEC; e <= PLACE_SNAKE; e++) {
        for (int objective = 0; objective < (e == PLACE_SPIKEC ? 2 : 1); objective++) {
            struct place_options o = {.engine = (enum place_engine)e,
                                      .objective = (enum place_objective)objective,
                                      .effort = 0.05,
                                      .seed = 11};
            memset(first, 0xff, sizeof first);
            assert_int_equal(place_run(&g, &grid, &o, NULL, first), SPK_OK);
            assert_legal(&grid, first, g.n_clusters);
            o.pool = pool;
            assert_int_equal(place_run(&g, &grid, &o, NULL, again), SPK_OK);
            assert_memory_equal(first, again, sizeof first);
        }
    }
    pool_destroy(pool);
    ir_cluster_graph_fini(&g);
}

/* Regions that are the six chips of 8 x 8 cells of a grid of 24 x 16, without blocked cells. */
struct chips {
    uint32_t first[7], cell[24 * 16], of[300];
    struct place_regions regions;
};

static void make_chips(struct chips *c, const uint8_t *blocked)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < 6; k++) {
        c->first[k] = n;
        for (uint32_t i = 0; i < 24 * 16; i++)
            if (i / 24 / 8 * 3 + i % 24 / 8 == k && !blocked[i])
                c->cell[n++] = i;
    }
    c->first[6] = n;
    c->regions = (struct place_regions){6, c->first, c->cell, c->of};
}

/* Blocked cells stay empty and clusters in their regions, with every placer and objective, whether
 * there are chip borders or not. */
static void test_blocked_and_regions(void **unused)
{
    struct ir_cluster_graph g;
    struct place_grid grid = {.width = 24, .height = 16, .x_cost = 1, .y_cost = 1};
    uint8_t blocked[24 * 16] = {0};
    uint32_t cell[300];
    struct chips chips;
    struct place_options o = {.effort = 0.1, .regions = &chips.regions};
    (void)unused;
    make_graph(&g, 12, 25, 40, 1.0);
    for (int i = 0; i < 24 * 16; i += 5)
        blocked[i] = 1;
    grid.blocked = blocked;
    make_chips(&chips, blocked);
    for (uint32_t v = 0; v < 300; v++)
        chips.of[v] = v % 10 == 3 ? v / 60 : PLACE_NONE;
    for (int i = 0; i < 8; i++) {
        static const enum place_engine engines[] = {PLACE_SPIKEC, PLACE_HILBERT, PLACE_ROW,
                                                    PLACE_SNAKE};
        o.engine = engines[i / 2];
        o.objective = (enum place_objective)(i % 2);
        grid.chip_w = grid.chip_h = i % 2 ? 0 : 8;
        grid.chip_x_cost = grid.chip_y_cost = 5;
        assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
        assert_legal(&grid, cell, 300);
        for (uint32_t v = 0; v < 300; v++)
            if (chips.of[v] != PLACE_NONE)
                assert_int_equal(cell[v] / 24 / 8 * 3 + cell[v] % 24 / 8, chips.of[v]);
    }
    o.engine = PLACE_SPIKEC;
    for (uint32_t v = 0; v < 300; v++)
        chips.of[v] = v < 52 ? 0 : PLACE_NONE; /* chip 0 has 51 free cells */
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_ERR_NOFIT);
    o.regions = NULL;
    grid.height = 12;
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_ERR_NOFIT);
    grid.height = 0;
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_ERR_INPUT);
    ir_cluster_graph_fini(&g);
}

/* Regions that overlap in a chain: clusters find places only if others move on, all the way. */
static void test_regions_that_overlap(void **unused)
{
    enum { N = 20 };
    uint32_t first[N + 1], cells[2 * N], of[N], cell[N], lacking;
    const struct place_regions r = {N, first, cells, of};
    (void)unused;
    for (uint32_t k = 0; k < N; k++) { /* region k: cells k and k + 1 */
        first[k] = 2 * k;
        cells[2 * k] = k;
        cells[2 * k + 1] = k + 1;
        of[k] = k;
    }
    first[N] = 2 * N;
    for (int wished = 0; wished < 2; wished++) {
        uint32_t wish[N];
        for (uint32_t k = 0; k < N; k++)
            wish[k] = k; /* all want their first cell */
        of[N - 1] = 0;   /* two for the first region: all others must move up */
        assert_int_equal(place_regions_assign(&r, N, 64, wished ? wish : NULL, cell, &lacking),
                         SPK_OK);
        assert_int_equal(lacking, PLACE_NONE);
        for (uint32_t v = 0; v < N; v++) {
            assert_true(place_may_be_at(&r, v, cell[v]));
            for (uint32_t w = 0; w < v; w++)
                assert_int_not_equal(cell[v], cell[w]);
        }
    }
    of[N - 2] = 0; /* three for two cells: others can make room for them no more */
    assert_int_equal(place_regions_assign(&r, N, 64, NULL, cell, &lacking), SPK_OK);
    assert_int_equal(lacking, 0);
}

/* A large graph with pinned clusters goes through coarse levels that know the pins: what talks to
 * them follows them. */
static void test_regions_on_coarse_levels(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 40, .height = 32, .x_cost = 1, .y_cost = 1};
    static uint32_t cell[1200], of[1200], corner[30];
    uint32_t first[2] = {0, 30};
    const struct place_regions r = {1, first, corner, of};
    struct place_options o = {.effort = 0.3, .regions = &r};
    double pinned, free_cost;
    (void)unused;
    make_graph(&g, 12, 100, 40, 1.0);
    for (uint32_t i = 0; i < 30; i++)
        corner[i] = i / 6 * 40 + i % 6;
    for (uint32_t v = 0; v < 1200; v++)
        of[v] = v < 30 ? 0 : PLACE_NONE;
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
    assert_legal(&grid, cell, 1200);
    for (uint32_t v = 0; v < 30; v++)
        assert_true(cell[v] % 40 < 6 && cell[v] / 40 < 5);
    assert_int_equal(place_cost(&g, &grid, PLACE_UNICAST, cell, &pinned), SPK_OK);
    o.regions = NULL;
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
    assert_int_equal(place_cost(&g, &grid, PLACE_UNICAST, cell, &free_cost), SPK_OK);
    assert_true(pinned < 1.25 * free_cost);
    ir_cluster_graph_fini(&g);
}

/* Chips cut where little is sent: two halves that talk little land on two chips. */
static void test_chips_are_respected(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 16,
                                    .height = 8,
                                    .chip_w = 8,
                                    .chip_h = 8,
                                    .chip_x_cost = 50,
                                    .chip_y_cost = 50,
                                    .x_cost = 1,
                                    .y_cost = 1};
    uint32_t cell[128];
    struct place_options o = {.seed = 4};
    (void)unused;
    make_graph(&g, 8, 16, 0, 1.0);
    for (uint32_t e = 0; e < g.n_edges; e++) /* layers 0 to 3 and 4 to 7 hardly talk */
        if (e / 16 == 3 || e / 16 == 2)
            g.weight[e] = 0.001 * g.weight[e];
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
    uint32_t across = 0;
    for (uint32_t e = 0; e < g.n_edges; e++)
        for (uint64_t k = g.first[e]; k < g.first[e + 1]; k++)
            across += g.weight[e] >= 1 && cell[g.source[e]] % 16 / 8 != cell[g.dest[k]] % 16 / 8;
    assert_int_equal(across, 0);
    ir_cluster_graph_fini(&g);
}

static void test_trivial(void **unused)
{
    struct ir_cluster_graph g = {0};
    uint64_t none = 0;
    const struct place_grid one = {.width = 1, .height = 1};
    uint32_t cell = 9;
    struct place_options o = {0};
    (void)unused;
    g.first = &none;
    for (int e = PLACE_SPIKEC; e <= PLACE_SNAKE; e++) {
        o.engine = (enum place_engine)e;
        g.n_clusters = 0;
        assert_int_equal(place_run(&g, &one, &o, NULL, &cell), SPK_OK);
        g.n_clusters = 1;
        cell = 9;
        assert_int_equal(place_run(&g, &one, &o, NULL, &cell), SPK_OK);
        assert_int_equal(cell, 0);
    }
}

static void test_cancelled(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 13, .height = 13};
    atomic_int cancel;
    const struct progress progress = {.cancel = &cancel};
    uint32_t cell[150];
    struct place_options o = {.progress = &progress};
    (void)unused;
    atomic_init(&cancel, 1);
    make_graph(&g, 6, 25, 40, 1.0);
    assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_ERR_CANCELLED);
    for (int objective = 0; objective < 2; objective++) { /* or what there is so far, and legal */
        bool early = false;
        o.objective = (enum place_objective)objective;
        o.out_ended_early = &early;
        memset(cell, 0xff, sizeof cell);
        assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
        assert_true(early);
        assert_legal(&grid, cell, 150);
        atomic_store(&cancel, 0);
        assert_int_equal(place_run(&g, &grid, &o, NULL, cell), SPK_OK);
        assert_false(early);
        atomic_store(&cancel, 1);
    }
    ir_cluster_graph_fini(&g);
}

static void test_failing_allocations(void **unused)
{
    struct ir_cluster_graph g;
    const struct place_grid grid = {.width = 25, .height = 24};
    uint32_t cell[600], of[600], first[2] = {0, 40}, corner[40];
    const struct place_regions regions = {1, first, corner, of};
    (void)unused;
    for (uint32_t v = 0; v < 600; v++)
        of[v] = v < 40 ? 0 : PLACE_NONE;
    for (uint32_t i = 0; i < 40; i++)
        corner[i] = i / 8 * 25 + i % 8;
    if (!spk_fault_available())
        skip();
    make_graph(&g, 24, 25, 40, 1.0);
    for (int objective = 0; objective < 2; objective++) {
        for (uint64_t n = 1;; n++) {
            const struct place_options o = {.effort = 0.01,
                                            .objective = (enum place_objective)objective,
                                            .regions = objective ? &regions : NULL};
            spk_fault_arm(SPK_FAULT_ALLOC, n);
            const spk_status status = place_run(&g, &grid, &o, NULL, cell);
            if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
                assert_int_equal(status, SPK_OK);
                assert_true(n > 50);
                break;
            }
            assert_int_equal(status, SPK_ERR_NOMEM);
        }
    }
    ir_cluster_graph_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes_are_exact),
        cmocka_unit_test(test_large_graph),
        cmocka_unit_test(test_level_cost_is_unicast),
        cmocka_unit_test(test_multicast_changes_are_exact),
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_blocked_and_regions),
        cmocka_unit_test(test_regions_that_overlap),
        cmocka_unit_test(test_regions_on_coarse_levels),
        cmocka_unit_test(test_chips_are_respected),
        cmocka_unit_test(test_trivial),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
