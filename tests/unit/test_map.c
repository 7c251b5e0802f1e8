/* The mapper and the chip back end: closed forms against the emitted tables and against brute
 * force, limits, refusals, determinism, failing allocations. Networks are the zoo's, with the
 * weights of the golden cases. */
#include <string.h>

#include "backends/chip/emit.h"
#include "backends/chip/usage.h"
#include "map_fixture.h"
#include "passes/map/map.h"
#include "support/alloc.h"
#include "support/fault.h"
#include "support/strbuf.h"
#include "unit.h"

/* Distinct synapse formats among the blocks of a core. */
static uint32_t formats_of(const struct image *im, uint64_t core)
{
    uint32_t most = 0;
    for (uint32_t b = 0; b < im->cores[core].n_blocks; b++) {
        uint32_t f = im->blocks[im->cores[core].block_first + b].format + 1;
        most = f > most ? f : most;
    }
    return most;
}

static bool has_weights(const struct mapping *m, uint32_t tile)
{
    const struct map_pop *p = &m->net.pops.data[m->tiles.data[tile].pop];
    bool any = p->vth_param != IR_NONE;
    for (uint32_t i = 0; i < p->n_projs; i++)
        any |= m->net.projs.data[p->proj_first + i].weight_param != IR_NONE;
    return any;
}

/* What the mapper counted in closed form is what the tables hold. */
static void test_usage(void **state)
{
    size_t shared = 0;
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct net n;
        struct mapping m;
        struct image im;
        struct map_options o = {0};
        net_open(&n, KINDS[k].target, KINDS[k].attention);
        assert_ok(map_run(n.module, n.target, &o, &n.diags, &m));
        assert_ok(chip_emit(&m, "{}", NULL, &n.diags, &im));
        assert_int_equal(im.n_cores, m.n_cores);
        assert_int_equal(im.n_groups, m.tiles.len);
        shared += m.n_cores < m.tiles.len;
        struct chip_usage *u, *group;
        assert_ok(spk_alloc_array(im.n_cores, sizeof *u, &u));
        assert_ok(spk_alloc_array(im.n_groups, sizeof *group, &group));
        assert_ok(chip_usage_count(&im, n.target, u, group));
        for (uint32_t i = 0; i < im.n_cores; i++) {
            const struct map_usage sum = map_core_usage(&m, i);
            const bool alone = m.core_first[i + 1] - m.core_first[i] == 1;
            /* of weights the mapper counts what may come of any */
            const bool weights = has_weights(&m, m.core_tile[m.core_first[i]]);
            assert_int_equal(u[i].neurons, sum.neurons);
            assert_int_equal(u[i].in_axons, sum.in_axons);
            assert_int_equal(u[i].out_axons, sum.out_axons);
            assert_int_equal(u[i].synapse_bits, sum.synapse_bits);
            assert_true(u[i].configs <= sum.configs ||
                        tgt_limit_value(n.target, TGT_CONFIGS) == UINT64_MAX);
            assert_true(formats_of(&im, i) <= sum.formats);
            if (alone && !weights && tgt_limit_value(n.target, TGT_CONFIGS) != UINT64_MAX)
                assert_int_equal(u[i].configs, sum.configs);
            if (alone && !weights)
                assert_int_equal(formats_of(&im, i), sum.formats);
            for (uint32_t j = m.core_first[i]; j < m.core_first[i + 1]; j++) {
                const struct map_usage *t = &m.usage[m.core_tile[j]];
                const struct chip_usage *g = &group[im.cores[i].group_first + j - m.core_first[i]];
                assert_int_equal(g->in_axons, t->in_axons);
                assert_int_equal(g->out_axons, t->out_axons);
                assert_int_equal(g->synapse_bits, t->synapse_bits);
            }
            assert_true(u[i].neurons <= tgt_core_limit(n.target, TGT_NEURONS, u[i].engine));
            assert_true(u[i].in_axons <= tgt_limit_value(n.target, TGT_IN_AXONS));
            assert_true(u[i].out_axons <= tgt_limit_value(n.target, TGT_OUT_AXONS));
            assert_true(u[i].synapse_bits <=
                        tgt_core_limit(n.target, TGT_SYNAPSE_BITS, u[i].engine));
            assert_true(u[i].configs <= tgt_limit_value(n.target, TGT_CONFIGS));
        }
        spk_free(u);
        spk_free(group);
        image_fini(&im);
        map_fini(&m);
        net_close(&n);
    }
    assert_true(shared > N_KINDS / 2);
}

/* Every neuron of a population lies on exactly one tile, and map_tile_of finds it. */
static void test_cover(void **state)
{
    struct net n;
    struct mapping m;
    struct map_options o = {0};
    (void)state;
    net_open(&n, "loihi2", TGT_ATTN_PRODUCT);
    assert_ok(map_run(n.module, n.target, &o, &n.diags, &m));
    uint64_t covered = 0, expected = 0;
    for (size_t i = 0; i < m.tiles.len; i++) {
        const struct map_tile *t = &m.tiles.data[i];
        const struct map_pop *p = &m.net.pops.data[t->pop];
        covered += (uint64_t)t->ny * t->nx * t->nc;
        for (uint32_t y = t->y0; y < t->y0 + t->ny; y++)
            for (uint32_t x = t->x0; x < t->x0 + t->nx; x++)
                for (uint32_t c = t->c0; c < t->c0 + t->nc; c += 7)
                    assert_int_equal(map_tile_of(&m.net, t->pop, y * p->width + x, c), i);
    }
    for (size_t i = 0; i < m.net.pops.len; i++) {
        const struct map_pop *p = &m.net.pops.data[i];
        expected += p->has_compartments ? (uint64_t)p->channels * p->height * p->width : 0;
    }
    assert_int_equal(covered, expected);
    map_fini(&m);
    net_close(&n);
}

/* ---- windows against brute force ---- */

struct reach {
    const struct map_proj *p;
    uint32_t seen;
    uint32_t hits[64 * 64];
};

static spk_status count_reach(void *ctx, const struct map_tile *t, const struct map_axon *a)
{
    struct reach *r = ctx;
    const uint32_t sy = a->pos / r->p->view_w, sx = a->pos % r->p->view_w;
    for (uint32_t y = 0; y < a->rows; y++) {
        for (uint32_t x = 0; x < a->cols; x++) {
            uint32_t ty = t->y0 + a->ty + y, tx = t->x0 + a->tx + x;
            uint32_t ky = a->ky - y * r->p->stride, kx = a->kx - x * r->p->stride_w;
            assert_int_equal(ty * r->p->stride + ky, sy + r->p->pad);
            assert_int_equal(tx * r->p->stride_w + kx, sx + r->p->pad_w);
            assert_true(ky < r->p->kernel && kx < r->p->kernel_w);
            r->seen++;
        }
    }
    return SPK_OK;
}

static void test_windows(void **state)
{
    struct net n;
    struct mapping m;
    struct map_options o = {0};
    uint32_t checked = 0;
    (void)state;
    net_open(&n, "loihi1", TGT_ATTN_EMBEDDED);
    assert_ok(map_run(n.module, n.target, &o, &n.diags, &m));
    for (size_t i = 0; i < m.tiles.len; i++) {
        const struct map_tile *t = &m.tiles.data[i];
        const struct map_pop *p = &m.net.pops.data[t->pop];
        if (p->n_projs != 1 || m.net.projs.data[p->proj_first].pos != MAP_POS_WINDOW)
            continue;
        struct reach r = {.p = &m.net.projs.data[p->proj_first]};
        uint32_t expected = 0;
        assert_ok(map_tile_axons(&m.net, t, count_reach, &r));
        for (uint32_t y = t->y0; y < t->y0 + t->ny; y++)
            for (uint32_t x = t->x0; x < t->x0 + t->nx; x++)
                for (uint32_t ky = 0; ky < r.p->kernel; ky++)
                    for (uint32_t kx = 0; kx < r.p->kernel_w; kx++) {
                        int64_t sy = (int64_t)y * r.p->stride + ky - r.p->pad;
                        int64_t sx = (int64_t)x * r.p->stride_w + kx - r.p->pad_w;
                        expected += sy >= 0 && sx >= 0 && sy < r.p->view_h && sx < r.p->view_w;
                    }
        uint32_t per = 0; /* axons per source position: aliases times chunks of atoms */
        for (uint32_t s = 0; s < r.p->n_sources; s++) {
            const struct map_pop *src = &m.net.pops.data[r.p->source[s].pop];
            uint32_t lo, hi, width = map_axon_atoms(n.target, src->channels, src->tc);
            map_source_channels(&m.net, r.p, t->c0, t->nc, &lo, &hi);
            per += (hi - 1) / width - lo / width + 1;
        }
        assert_int_equal(r.seen, expected * per);
        checked++;
    }
    assert_true(checked > 10);
    map_fini(&m);
    net_close(&n);
}

/* ---- refusals ---- */

static void test_does_not_fit(void **state)
{
    static const struct {
        enum tgt_limit limit;
        double value;
        const char *text;
    } cases[] = {
        {TGT_SYNAPSE_BITS, 3000, "bits of synaptic memory, a core has 3000"},
        {TGT_IN_AXONS, 3, "in-axons, a core has 3"},
        {TGT_OUT_AXONS, 2, "out-axon slots, a core has 2"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net n;
        struct mapping m;
        struct strbuf text = {0};
        struct map_options o = {0};
        net_open(&n, "loihi1", TGT_ATTN_EMBEDDED);
        n.target->limit[cases[i].limit].value = cases[i].value;
        assert_int_equal(map_run(n.module, n.target, &o, &n.diags, &m), SPK_ERR_NOFIT);
        diag_render(&n.diags, NULL, &text);
        if (strstr(strbuf_cstr(&text), cases[i].text) == NULL)
            fail_msg("'%s' is not in: %s", cases[i].text, strbuf_cstr(&text));
        assert_non_null(strstr(strbuf_cstr(&text), "layer 'patch_embed."));
        strbuf_fini(&text);
        net_close(&n);
    }
}

static void test_systems(void **state)
{
    struct net n;
    struct mapping m;
    struct map_options o = {.system = "nahuku-8"};
    (void)state;
    net_open(&n, "loihi1", TGT_ATTN_EMBEDDED);
    assert_ok(map_run(n.module, n.target, &o, &n.diags, &m));
    assert_string_equal(m.system->name, "nahuku-8");
    map_fini(&m);
    o.system = "no-such-system";
    assert_int_equal(map_run(n.module, n.target, &o, &n.diags, &m), SPK_ERR_INPUT);
    o.system = NULL;
    n.target->cores_per_chip = 1;
    n.target->n_systems = 1;
    assert_int_equal(map_run(n.module, n.target, &o, &n.diags, &m), SPK_ERR_NOFIT);
    net_close(&n);
}

/* The same seed gives the same places, every place once; refining never makes traffic worse. */
static void test_places(void **state)
{
    struct net n;
    struct mapping a, b;
    struct map_options o = {.seed = 7};
    (void)state;
    net_open(&n, "loihi2", TGT_ATTN_PRODUCT);
    assert_ok(map_run(n.module, n.target, &o, &n.diags, &a));
    assert_ok(map_run(n.module, n.target, &o, &n.diags, &b));
    assert_memory_equal(a.place, b.place, a.n_cores * sizeof *a.place);
    assert_true(a.placed.traffic <= a.layer_order.traffic);
    for (size_t i = 0; i < a.n_cores; i++) {
        assert_true(a.place[i].x < n.target->cores_x && a.place[i].y < n.target->cores_y);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(&a.place[i], &a.place[j], sizeof a.place[i]);
    }
    map_fini(&a);
    map_fini(&b);
    net_close(&n);
}

static void test_failing_allocations(void **state)
{
    struct net n;
    (void)state;
    net_open(&n, "loihi1", TGT_ATTN_EMBEDDED);
    for (uint64_t nth = 1; spk_fault_available(); nth += 1 + nth / 4) {
        struct mapping m;
        struct image im;
        struct map_options o = {0};
        spk_fault_arm(SPK_FAULT_ALLOC, nth);
        spk_status status = map_run(n.module, n.target, &o, &n.diags, &m);
        if (status == SPK_OK) {
            status = chip_emit(&m, "{}", NULL, &n.diags, &im);
            if (status == SPK_OK)
                image_fini(&im);
            map_fini(&m);
        }
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            assert_ok(status);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    net_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_does_not_fit),
        cmocka_unit_test(test_systems),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
