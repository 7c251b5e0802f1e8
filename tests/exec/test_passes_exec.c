/* Passes by what their results compute: recorded spikes before == recorded spikes after.
 *
 * Every golden network whose arithmetic is exact is run as written and compared with the case's
 * expected spikes; then every pass and the standard pipeline are applied and the result must spike
 * alike, bit for bit, and give logits within 1e-4. Relays are tested on float modules: in frame
 * time they are the identity. Quantised modules are not equal by design; for them the tests check a
 * floor for the teacher-forced agreement with the float network, in the first layer (the host's
 * encoder) a higher one, and the independence of the number of threads.                  */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/passes_fixture.h"
#include "golden_case.h"
#include "passes/depth.h"
#include "passes/pass.h"
#include "runtime/compare.h"
#include "runtime/record.h"
#include "runtime/reference.h"
#include "support/file.h"
#include "support/pool.h"

static void check(spk_status status, struct diag_list *d)
{
    if (status != SPK_OK) {
        struct strbuf text = {0};
        diag_render(d, NULL, &text);
        print_error("status %s\n%s\n", spk_status_name(status), strbuf_cstr(&text));
        strbuf_fini(&text);
    }
    assert_int_equal(status, SPK_OK);
}

struct result {
    struct record *record;
    float *logits;
    uint64_t *wraps, *flips;
};

/* Runs m on all images of the case; teacher (may be NULL) forces its neurons. */
static void run(const struct golden_case *g, const struct ir_module *m,
                const struct engine_teacher *teacher, struct result *out, struct diag_list *d)
{
    struct engine *e = NULL;
    struct engine_recorder recorder;
    struct engine_stats stats = {0};
    struct engine_run r = {.input = {g->n_images, g->image, g->image_stride}};
    check(record_create(g->n_images, 0, &out->record), d);
    check(record_add_module(out->record, m, d), d);
    recorder = record_recorder(out->record);
    check(spk_alloc_array((size_t)g->n_images * g->config.classes, 4, &out->logits), d);
    check(spk_alloc_array(m->n_nodes, 8, &out->wraps), d);
    check(spk_alloc_array(m->n_nodes, 8, &out->flips), d);
    stats.wraps = out->wraps;
    stats.flips = out->flips;
    r.logits = out->logits;
    r.recorder = &recorder;
    r.teacher = teacher;
    r.stats = &stats;
    check(rt_reference_engine.create(m, d, &e), d);
    check(rt_reference_engine.run(e, &r, d), d);
    rt_reference_engine.destroy(e);
}

static void result_fini(struct result *r)
{
    record_destroy(r->record);
    spk_free(r->logits);
    spk_free(r->wraps);
    spk_free(r->flips);
}

static void expect_equal(const struct golden_case *g, const struct result *a,
                         const struct result *b, const char *what, struct diag_list *d)
{
    struct compare c;
    check(compare_records(a->record, 0, b->record, 0, g->n_images, d, &c), d);
    if (c.mismatches || c.sum_mismatches)
        print_error("%s: %s: %llu spikes and %llu sums differ, first in %s\n", g->folder, what,
                    (unsigned long long)c.mismatches, (unsigned long long)c.sum_mismatches,
                    c.first.found ? c.layer[c.first.layer].name : "?");
    assert_int_equal(c.mismatches, 0);
    assert_int_equal(c.sum_mismatches, 0);
    assert_true(c.values_compared > 0);
    assert_int_equal(record_count(a->record), record_count(b->record));
    assert_int_equal(compare_logits(a->logits, b->logits, g->n_images, g->config.classes, 1e-4f),
                     0);
    compare_fini(&c);
}

/* Calls fn for every case with weights whose arithmetic is exact. */
static void for_each_case(void (*fn)(struct golden_case *g, struct diag_list *d))
{
    struct diag_list d;
    struct file_names names = {0};
    uint32_t seen = 0;
    diag_init(&d);
    check(golden_list(&d, &names), &d);
    for (size_t i = 0; i < names.len; i++) {
        struct golden_case g;
        check(golden_open(names.data[i], &d, &g), &d);
        /* The largest case takes seconds per run; the tiny ones have the same structure. */
        if (g.weights && g.config.exact && g.config.dim < 64) {
            fn(&g, &d);
            seen++;
        }
        golden_close(&g);
    }
    file_names_fini(&names);
    diag_fini(&d);
    assert_true(seen >= 8);
}

/* ---- float passes ---- */

static void apply(struct golden_case *g, const struct result *want, const struct tgt *t,
                  const char *pipeline, struct diag_list *d)
{
    struct pass_context c = {.target = t, .diags = d, .verify_each = true};
    struct ir_module *m = NULL;
    struct result got;
    check(ir_module_clone(g->module, false, &m), d);
    check(passes_run(&c, pipeline, &m), d);
    run(g, m, NULL, &got, d);
    expect_equal(g, want, &got, pipeline, d);
    result_fini(&got);
    ir_module_destroy(m);
}

/* Pass fan-out finds something to relay. */
static void relayed(const struct golden_case *g, const struct tgt *t, struct diag_list *d)
{
    struct pass_context c = {.target = t, .diags = d, .verify_each = true};
    struct ir_module *m = NULL;
    uint32_t relays = 0;
    check(ir_module_clone(g->module, false, &m), d);
    check(passes_run(&c, "prepare,choose-attention,fan-out", &m), d);
    for (uint32_t i = 0; i < m->n_nodes; i++)
        relays += m->node[i].op == IR_OP_DELAY;
    assert_true(relays > 0);
    ir_module_destroy(m);
}

static void float_passes(struct golden_case *g, struct diag_list *d)
{
    static const char *const pipelines[] = {
        "infer-shapes",
        "hoist-constant",
        "cse",
        "dce",
        "fold-batchnorm",
        "order-attention{order=kv_first}",
        "order-attention{order=qk_first}",
        "fold-batchnorm,hoist-constant",
        "hoist-constant,fold-batchnorm,lower",
        "prepare",
        "prepare,cse,dce,hoist-constant,infer-shapes",
    };
    static const char *const balance[] = {
        "prepare,choose-attention{attention=embedded},balance-delays",
        "prepare,choose-attention{objective=latency},balance-delays",
        "prepare,choose-attention,balance-delays,balance-delays,dce",
    };
    struct result want;
    run(g, g->module, NULL, &want, d);
    for (size_t i = 0; i < sizeof pipelines / sizeof *pipelines; i++)
        apply(g, &want, NULL, pipelines[i], d);
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        for (size_t i = 0; i < sizeof balance / sizeof *balance; i++)
            apply(g, &want, &t, balance[i], d);
        /* Cores that hold one channel and name four others: relays pay. */
        t.axon_population = true;
        t.pop16_slots = 1;
        t.format = (struct tgt_format){64, 64, 10, 0, 6, 13};
        t.limit[TGT_NEURONS] = (struct tgt_const){.present = true, .value = 1024};
        t.limit[TGT_SYNAPSE_BITS] = (struct tgt_const){.present = true, .value = 1};
        t.limit[TGT_OUT_AXONS] = (struct tgt_const){.present = true, .value = 4};
        relayed(g, &t, d);
        apply(g, &want, &t, "prepare,choose-attention,fan-out,balance-delays", d);
    }
    result_fini(&want);
}

static void test_float_passes_keep_spikes(void **state)
{
    (void)state;
    for_each_case(float_passes);
}

/* The result also equals the stored expectation, not just the network as written. */
static void prepared_matches_file(struct golden_case *g, struct diag_list *d)
{
    struct pass_context c = {.diags = d, .verify_each = true};
    struct ir_module *m = NULL;
    struct record *expected = NULL;
    struct result got;
    struct compare cmp;
    char path[600];
    snprintf(path, sizeof path, "%s/expected.safetensors", g->folder);
    check(record_open(path, d, &expected), d);
    check(ir_module_clone(g->module, false, &m), d);
    check(passes_compile_pipeline(&c, PASSES_PREPARED, NULL, NULL, &m), d);
    run(g, m, NULL, &got, d);
    check(compare_records(expected, 0, got.record, 0, g->n_images, d, &cmp), d);
    assert_int_equal(cmp.mismatches, 0);
    assert_int_equal(cmp.sum_mismatches, 0);
    assert_true(cmp.values_compared > 0);
    compare_fini(&cmp);
    result_fini(&got);
    record_destroy(expected);
    ir_module_destroy(m);
}

static void test_prepared_matches_file(void **state)
{
    (void)state;
    for_each_case(prepared_matches_file);
}

/* ---- quantised ---- */

static struct ir_module *quantised(const struct golden_case *g, const struct tgt *t, bool calibrate,
                                   struct pool *pool, struct diag_list *d)
{
    struct engine_input input = {g->n_images, g->image, g->image_stride};
    struct pass_context c = {.target = t,
                             .diags = d,
                             .verify_each = true,
                             .pool = pool,
                             .engine = calibrate ? &rt_reference_engine : NULL,
                             .calibration = calibrate ? &input : NULL};
    struct ir_module *m = NULL;
    check(ir_module_clone(g->module, false, &m), d);
    check(passes_compile_pipeline(&c, PASSES_BALANCED, NULL, NULL, &m), d);
    assert_int_equal(m->stage, IR_STAGE_QUANTISED);
    return m;
}

/* The host's encoder has 16-bit weights and a 13-bit current: the first layer must agree in all but
 * a few near ties. Later layers see 8-bit weights; fed with the expected spikes they must agree in
 * nearly all spikes.                                                                           */
static void quantise_case(struct golden_case *g, struct diag_list *d)
{
    struct result want, got;
    struct record_teacher *teacher = NULL;
    run(g, g->module, NULL, &want, d);
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        for (int calibrate = 0; calibrate < 2; calibrate++) {
            struct ir_module *m = quantised(g, &t, calibrate, NULL, d);
            check(record_teacher_create(want.record, m, 0, g->n_images, d, &teacher), d);
            struct engine_teacher forced = record_teacher_engine(teacher);
            run(g, m, &forced, &got, d);
            uint64_t values = 0, flips = 0;
            compare_forced(m, got.flips, g->n_images, &values, &flips);
            double agreement = compare_agreement(values, flips);
            print_message("%s, %s, %s: teacher-forced agreement %.5f\n",
                          strrchr(g->folder, '/') + 1, t.name,
                          calibrate ? "calibrated" : "statistics only", agreement);
            assert_true(agreement > 0.985);
            bool first = !g->config.events;
            for (uint32_t i = 0; i < m->n_nodes; i++) {
                assert_int_equal(got.wraps[i], 0);
                if (first && m->node[i].op == IR_OP_NEURON) {
                    const struct ir_type *type = &m->node[i].type;
                    assert_true(got.flips[i] * 1000 <=
                                ir_type_elements(type) * type->timesteps * g->n_images);
                    first = false;
                }
            }
            record_teacher_destroy(teacher);
            result_fini(&got);
            ir_module_destroy(m);
        }
    }
    result_fini(&want);
}

static void test_quantised_agreement(void **state)
{
    (void)state;
    for_each_case(quantise_case);
}

/* The same integers whatever the number of threads. */
static void same_integers(struct golden_case *g, struct diag_list *d)
{
    struct pool *pool = NULL;
    check(pool_create(3, &pool), d);
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        struct ir_module *a = quantised(g, &t, true, NULL, d);
        struct ir_module *b = quantised(g, &t, true, pool, d);
        assert_true(ir_module_equal(a, b));
        for (uint32_t i = 0; i < a->n_params; i++) {
            const struct ir_param *x = &a->param[i], *y = &b->param[i];
            assert_non_null(x->data);
            assert_memory_equal(x->data, y->data, ir_param_elements(x) * ir_dtype_size(x->dtype));
        }
        ir_module_destroy(a);
        ir_module_destroy(b);
    }
    pool_destroy(pool);
}

static void test_quantised_threads(void **state)
{
    (void)state;
    for_each_case(same_integers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float_passes_keep_spikes),
        cmocka_unit_test(test_prepared_matches_file),
        cmocka_unit_test(test_quantised_agreement),
        cmocka_unit_test(test_quantised_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
