/* Placing of a mapping: the graph of expected messages against the emitted out-axons, pair by pair
 * and neuron by neuron; the block of chips and its grid; placers; the figures that are reported. */
#include <math.h>
#include <string.h>

#include "backends/chip/emit.h"
#include "map_fixture.h"
#include "passes/map/mesh.h"
#include "support/alloc.h"
#include "unit.h"

struct placed {
    struct net n;
    struct mapping m;
    struct image im;
};

/* Many tiles on several small chips; every node has a rate of its own. */
static void map_kind(struct placed *p, size_t kind, enum tgt_routing routing,
                     enum place_engine placer, bool cut)
{
    struct map_rate *node_rate;
    double *rate;
    net_open(&p->n, KINDS[kind].target, KINDS[kind].attention);
    p->n.target->routing = routing;
    if (cut) {
        p->n.target->limit[TGT_NEURONS].value /= 4;
        p->n.target->limit[TGT_SYNAPSE_BITS].value /= 4;
    }
    if (p->n.target->engine.per_chip == 0) {
        p->n.target->cores_x = 4;
        p->n.target->cores_y = 4;
        p->n.target->cores_per_chip = 13;
    }
    const uint32_t nodes = p->n.module->n_nodes;
    assert_ok(spk_alloc_array(nodes, sizeof *rate, &rate));
    assert_ok(spk_alloc_array(nodes, sizeof *node_rate, &node_rate));
    for (uint32_t i = 0; i < nodes; i++) {
        rate[i] = 0.03 + 0.01 * (i % 7);
        node_rate[i] = (struct map_rate){1, &rate[i]};
    }
    const struct map_options o = {.placer = placer, .node_rate = node_rate, .separate_cores = cut};
    assert_ok(map_run(p->n.module, p->n.target, &o, &p->n.diags, &p->m));
    assert_ok(chip_emit(&p->m, "{}", NULL, &p->n.diags, &p->im));
    spk_free(rate);
    spk_free(node_rate);
}

static void fini(struct placed *p)
{
    image_fini(&p->im);
    map_fini(&p->m);
    net_close(&p->n);
}

static void assert_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 1e-6 * fabs(expected) + 1e-9))
        fail_msg("%.12g instead of %.12g", got, expected);
}

/* ---- what the image says ---- */

static uint32_t core_at(const struct image *im, const struct img_route *r)
{
    for (uint32_t c = 0; c < im->n_cores; c++)
        if (im->cores[c].chip == r->chip && im->cores[c].x == r->x && im->cores[c].y == r->y)
            return c;
    fail_msg("no core at chip %u, x %u, y %u", r->chip, r->x, r->y);
    return IMG_NONE;
}

static double rate_of(const struct placed *p, const struct img_core *core, uint32_t comp)
{
    uint32_t g = core->group_first;
    while (g + 1 < core->group_first + core->n_groups && p->im.groups[g + 1].comp_first <= comp)
        g++;
    return map_pop_sends(&p->m.net.pops.data[p->im.groups[g].layer], 0, 1);
}

struct expected {
    double *flow; /* [cores][cores] */
    struct map_placing placing;
};

static void walk_image(const struct placed *p, struct expected *x)
{
    const struct image *im = &p->im;
    memset(x, 0, sizeof *x);
    assert_ok(spk_alloc_array((size_t)im->n_cores * im->n_cores, sizeof *x->flow, &x->flow));
    for (uint32_t c = 0; c < im->n_cores; c++) {
        const struct img_core *core = &im->cores[c];
        for (uint32_t i = core->out_axon_first; i < core->out_axon_first + core->n_out_axons; i++) {
            const struct img_out_axon *a = &im->out_axons[i];
            const struct img_route *r = &im->routes[a->route];
            const double n = a->comp_count * rate_of(p, core, a->comp_first);
            const uint32_t hops = r->hops_x + r->hops_y + r->hops_chip;
            if (r->dest != IMG_DEST_CORE)
                continue;
            const uint32_t dest = core_at(im, r);
            x->flow[(size_t)c * im->n_cores + dest] += n;
            x->placing.traffic += n * hops;
            x->placing.messages += dest == c ? 0 : n;
            x->placing.over_chips += r->hops_chip > 0 ? n : 0;
            x->placing.max_hop = hops > x->placing.max_hop ? hops : x->placing.max_hop;
        }
    }
}

/* The graph carries what is expected between every pair of cores. */
static void assert_flows(const struct placed *p, const double *flow, double tolerance)
{
    struct ir_cluster_graph g;
    double *left;
    assert_ok(map_flows_build(&p->m, PLACE_UNICAST, &g));
    assert_ok(ir_cluster_graph_check(&g));
    const size_t pairs = (size_t)g.n_clusters * g.n_clusters;
    assert_ok(spk_alloc_array(pairs, sizeof *left, &left));
    memcpy(left, flow, pairs * sizeof *left);
    for (uint32_t e = 0; e < g.n_edges; e++)
        for (uint64_t i = g.first[e]; i < g.first[e + 1]; i++)
            left[(size_t)g.source[e] * g.n_clusters + g.dest[i]] -= g.weight[e];
    for (size_t i = 0; i < pairs; i++)
        assert_true(fabs(left[i]) <= tolerance);
    spk_free(left);
    ir_cluster_graph_fini(&g);
}

/* The same with two cores made one: it may then read a position by two axons. */
static void assert_shared_flows(struct placed *p, const double *flow, double tolerance)
{
    const uint32_t n = p->m.n_cores, shared = (n + 1) / 2;
    double *sum;
    assert_ok(spk_alloc_array((size_t)shared * shared, sizeof *sum, &sum));
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            sum[(size_t)(a / 2) * shared + b / 2] += flow[(size_t)a * n + b];
    for (size_t i = 0; i < p->m.tiles.len; i++)
        p->m.tiles.data[i].core /= 2;
    p->m.n_cores = shared;
    assert_flows(p, sum, tolerance);
    spk_free(sum);
}

/* Every pair of cores exchanges what the out-axons of the image carry at the layers' rates, and the
 * reported figures are sums over their routes. */
static void test_flows_are_the_images(void **state)
{
    (void)state;
    for (size_t k = 0; k < 2 * N_KINDS; k++) {
        struct placed p;
        struct expected x;
        map_kind(&p, k / 2, TGT_UNICAST, PLACE_SPIKEC, k % 2);
        walk_image(&p, &x);
        assert_near(p.m.placed.traffic, x.placing.traffic);
        assert_near(p.m.placed.messages, x.placing.messages);
        assert_near(p.m.placed.over_chips, x.placing.over_chips);
        assert_int_equal(p.m.placed.max_hop, x.placing.max_hop);
        assert_true(x.placing.traffic > 0);
        assert_flows(&p, x.flow, 1e-6 * x.placing.messages);
        assert_shared_flows(&p, x.flow, 1e-6 * x.placing.messages);
        spk_free(x.flow);
        fini(&p);
    }
}

/* ---- multicast ---- */

struct per_neuron {
    VEC(uint32_t) source;
    VEC(double) weight;
    VEC(uint64_t) first;
    VEC(uint32_t) dest;
};

/* One edge per compartment: the cores that its out-axons lead to. */
static void add_compartment(const struct placed *p, uint32_t c, uint32_t comp, struct per_neuron *g)
{
    const struct image *im = &p->im;
    const struct img_core *core = &im->cores[c];
    const size_t begin = g->dest.len;
    for (uint32_t i = core->out_axon_first; i < core->out_axon_first + core->n_out_axons; i++) {
        const struct img_out_axon *a = &im->out_axons[i];
        if (comp < a->comp_first || comp >= a->comp_first + a->comp_count ||
            im->routes[a->route].dest != IMG_DEST_CORE)
            continue;
        const uint32_t dest = core_at(im, &im->routes[a->route]);
        bool there = false;
        for (size_t k = begin; k < g->dest.len; k++)
            there = there || g->dest.data[k] == dest;
        if (!there)
            assert_ok(vec_push(&g->dest, dest));
    }
    if (g->dest.len == begin)
        return;
    assert_ok(vec_push(&g->source, c));
    assert_ok(vec_push(&g->weight, rate_of(p, core, comp)));
    assert_ok(vec_push(&g->first, g->dest.len));
}

static void test_multicast_sets(void **state)
{
    static const size_t kinds[] = {0, 5, 8, 9};
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct placed p;
        struct map_mesh mesh;
        struct per_neuron g = {0};
        uint32_t *cell;
        double trees, cost;
        map_kind(&p, kinds[k], TGT_MULTICAST, PLACE_SPIKEC, true);
        assert_ok(map_mesh_build(&p.m, &mesh));
        assert_ok(spk_alloc_array(p.m.n_cores, sizeof *cell, &cell));
        assert_ok(vec_push(&g.first, 0));
        for (uint32_t c = 0; c < p.im.n_cores; c++) {
            const struct map_place at = p.m.place[c];
            const uint32_t cx = p.m.system->chips_x;
            cell[c] = (at.chip / cx * p.n.target->cores_y + at.y) * mesh.grid.width +
                      at.chip % cx * p.n.target->cores_x + at.x;
            for (uint32_t comp = 0; comp < p.im.cores[c].neurons; comp++)
                add_compartment(&p, c, comp, &g);
        }
        const struct ir_cluster_graph exact = {p.m.n_cores,   (uint32_t)g.source.len, g.source.data,
                                               g.weight.data, g.first.data,           g.dest.data};
        const struct place_grid hops = map_mesh_in_hops(&mesh);
        assert_ok(place_cost(&exact, &hops, PLACE_MULTICAST, cell, &trees));
        assert_ok(place_cost(&exact, &mesh.grid, PLACE_MULTICAST, cell, &cost));
        assert_near(p.m.placed.traffic, trees);
        assert_near(p.m.placed.cost, cost);
        assert_true(p.m.placed.cost < p.m.layer_order.cost);
        vec_fini(&g.source);
        vec_fini(&g.weight);
        vec_fini(&g.first);
        vec_fini(&g.dest);
        spk_free(cell);
        map_mesh_fini(&mesh);
        fini(&p);
    }
}

/* ---- chips and grid ---- */

static void test_blocks_of_chips(void **state)
{
    static const struct {
        const char *target, *system;
        uint32_t cores, chips, w, h;
    } cases[] = {
        {"loihi2", NULL, 122, 1, 1, 1},
        {"loihi2", NULL, 123, 2, 2, 1},       /* 8 columns are fewer than 16 rows */
        {"loihi2", NULL, 26 * 122, 26, 7, 4}, /* 7 x 16 + 4 x 24 is least */
        {"loihi2", "hala-point", 1, 1, 1, 1},
        {"loihi2", NULL, 1152 * 122, 1152, 36, 32},
        {"loihi1", NULL, 215 * 128, 215, 12, 18}, /* no more than 12 across */
        {"loihi1", NULL, 4 * 128, 4, 2, 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag_list diags;
        struct tgt *t;
        struct mapping m = {.n_cores = cases[i].cores};
        struct map_mesh mesh;
        diag_init(&diags);
        assert_ok(fe_target_load(cases[i].target, &diags, &t));
        m.net.target = t;
        assert_ok(map_choose_system(&m, cases[i].system, &diags));
        assert_int_equal(m.n_chips, cases[i].chips);
        assert_int_equal(m.block_w, cases[i].w);
        assert_int_equal(m.block_h, cases[i].h);
        assert_ok(map_mesh_build(&m, &mesh));
        assert_int_equal(mesh.n_slots, m.n_chips * t->cores_per_chip);
        uint32_t n_free = 0;
        for (uint32_t c = 0; c < mesh.grid.width * mesh.grid.height; c++)
            n_free += !mesh.blocked[c];
        assert_int_equal(n_free, mesh.n_slots);
        for (uint32_t s = 0; s < mesh.n_slots; s++) {
            const struct map_place at = map_mesh_place(&m, &mesh, mesh.slot[s]);
            assert_false(mesh.blocked[mesh.slot[s]]);
            assert_int_equal(at.chip, m.chip[s / t->cores_per_chip].number);
            assert_true(at.chip % m.system->chips_x < m.block_w);
            assert_true(at.chip / m.system->chips_x < m.block_h);
        }
        map_mesh_fini(&mesh);
        arena_fini(&m.net.arena);
        tgt_destroy(t);
        diag_fini(&diags);
    }
}

/* Hops cost what the target says; without a price of both directions a hop is 1; a chip border has
 * its published price, else 8 hops more. */
static void test_costs_of_the_grid(void **state)
{
    struct diag_list diags;
    struct tgt *t;
    struct mapping m = {.n_cores = 300};
    struct map_mesh mesh;
    (void)state;
    diag_init(&diags);
    assert_ok(fe_target_load("loihi1", &diags, &t));
    m.net.target = t;
    for (int i = 0; i < 3; i++) {
        assert_ok(map_choose_system(&m, NULL, &diags));
        assert_ok(map_mesh_build(&m, &mesh));
        const struct place_grid *g = &mesh.grid;
        const double x = i < 2 ? 3 : 1, y = i < 2 ? 4 : 1;
        const double border_x = i == 1 ? 21 - 3 : 8 * x;
        assert_near(map_mesh_distance(g, 0, 1), 0); /* one router */
        assert_near(map_mesh_distance(g, 0, 2), x);
        assert_near(map_mesh_distance(g, 5 * g->width + 2, 0), 2 * y + x);
        assert_near(map_mesh_distance(g, 15, 16), x + border_x);
        t->energy_pj[TGT_E_HOP_CHIP] = (struct tgt_const){.present = true, .value = 21};
        t->energy_pj[TGT_E_HOP_Y].present = i == 0;
        map_mesh_fini(&mesh);
    }
    arena_fini(&m.net.arena);
    tgt_destroy(t);
    diag_fini(&diags);
}

/* ---- placers ---- */

/* The default is better than every order, each gives legal places and figures of its own; METIS and
 * Scotch where they are built in (Scotch knows no blocked cells). */
static void test_placers(void **state)
{
    double cost[PLACE_SNAKE + 1];
    (void)state;
    for (unsigned e = PLACE_SPIKEC; e <= PLACE_SNAKE; e++) {
        struct placed p;
        if (e == PLACE_SCOTCH || e == PLACE_METIS)
            continue;
        map_kind(&p, 5, TGT_UNICAST, (enum place_engine)e, true);
        assert_true(p.m.n_chips > 2);
        for (uint32_t i = 0; i < p.m.n_cores; i++) {
            assert_true(p.m.place[i].x < 4 && p.m.place[i].y < 4);
            for (uint32_t j = 0; j < i; j++)
                assert_memory_not_equal(&p.m.place[i], &p.m.place[j], sizeof p.m.place[i]);
        }
        assert_int_equal(p.m.placer, e);
        cost[e] = p.m.placed.cost;
        fini(&p);
    }
    assert_true(cost[PLACE_SPIKEC] < 0.9 * cost[PLACE_SNAKE]);
    assert_true(cost[PLACE_SPIKEC] < 0.9 * cost[PLACE_ROW]);
    assert_true(cost[PLACE_SPIKEC] < 0.9 * cost[PLACE_HILBERT]);
    assert_true(cost[PLACE_SNAKE] != cost[PLACE_ROW]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_are_the_images),
        cmocka_unit_test(test_multicast_sets),
        cmocka_unit_test(test_blocks_of_chips),
        cmocka_unit_test(test_costs_of_the_grid),
        cmocka_unit_test(test_placers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
