/* The reference engine against the golden cases: bit for bit where sums are exact, teacher-forced
 * where they are not, for any batch and number of threads; rates of the manifests; records. Every
 * case runs twice: as the network built by hand, and as the zoo's description of it.           */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "frontend/inputs.h"
#include "frontend/model.h"
#include "frontend/weights.h"
#include "golden_case.h"
#include "runtime/compare.h"
#include "runtime/record.h"
#include "runtime/reference.h"
#include "support/alloc.h"
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

/* Puts the zoo's model, with the case's parameters and weights, in the place of the module. */
static void take_zoo_model(struct golden_case *g, struct diag_list *d)
{
    const struct golden_config *c = &g->config;
    const char *model = c->v1       ? c->linear   ? "spikformer_v1_cifar10"
                                      : c->events ? "spikformer_v1_cifar10dvs"
                                                  : "spikformer_v1_imagenet"
                        : c->events ? "spikformer_v2_events"
                                    : "spikformer_v2";
    const char *const names[] = {"height", "width",     "in_channels", "dim",     "depth",
                                 "heads",  "mlp_ratio", "timesteps",   "classes", "attn_scale"};
    const uint32_t whole[] = {c->height, c->width,     c->in_channels, c->dim,    c->depth,
                              c->heads,  c->mlp_ratio, c->timesteps,   c->classes};
    char text[10][32], path[600];
    struct fe_setting set[10];
    struct ir_module *m = NULL;
    struct fe_weights_report report;

    for (int i = 0; i < 10; i++) {
        if (i < 9)
            snprintf(text[i], sizeof text[i], "%u", whole[i]);
        else
            snprintf(text[i], sizeof text[i], "%g", (double)c->scale);
        set[i] = (struct fe_setting){names[i], text[i]};
    }
    check(fe_model_load(model, set, 10, NULL, 0, d, &m), d);
    snprintf(path, sizeof path, "%s/weights.safetensors", g->folder);
    check(fe_weights_bind(m, path, d, &report), d);
    assert_int_equal(report.n_ignored, 0);
    fe_weights_report_fini(&report);
    ir_module_destroy(g->module);
    g->module = m;
}

/* The case's images through the frontend: what golden_case.c read by itself. */
static void check_input_file(const struct golden_case *g, struct diag_list *d)
{
    struct fe_input input = {0};
    char path[600];

    snprintf(path, sizeof path, "%s/input.safetensors", g->folder);
    check(fe_input_load(path, g->module, 0, d, &input), d);
    assert_int_equal(input.input.n_images, g->n_images);
    assert_int_equal(input.input.image_stride, g->image_stride);
    assert_memory_equal(input.input.data, g->image, g->n_images * g->image_stride * 4);
    fe_input_fini(&input);
}

/* Result of one run of a case. */
struct result {
    struct record *record;
    float *logits, *features;
};

static void run(const struct golden_case *g, uint32_t first, uint32_t n_images, uint32_t threads,
                struct result *out, struct diag_list *d)
{
    struct engine *e = NULL;
    struct pool *pool = NULL;
    struct engine_recorder recorder;
    struct engine_run r = {
        .input = {n_images, g->image + first * g->image_stride, g->image_stride}};

    check(record_create(n_images, 0, &out->record), d);
    check(record_add_module(out->record, g->module, d), d);
    recorder = record_recorder(out->record);
    check(spk_alloc_array((size_t)n_images * g->config.classes, 4, &out->logits), d);
    check(spk_alloc_array((size_t)n_images * g->config.dim, 4, &out->features), d);
    check(pool_create(threads, &pool), d);
    check(rt_reference_engine.create(g->module, d, &e), d);
    r.logits = out->logits;
    r.features_f32 = out->features;
    r.recorder = &recorder;
    r.pool = pool;
    check(rt_reference_engine.run(e, &r, d), d);
    rt_reference_engine.destroy(e);
    pool_destroy(pool);
}

static void result_fini(struct result *r)
{
    record_destroy(r->record);
    spk_free(r->logits);
    spk_free(r->features);
}

/* Every recorded value of the case is there and equal, and nothing is compared by halves. */
static void check_record(const struct golden_case *g, const struct record *expected, uint32_t first,
                         uint32_t n_images, const struct result *got, struct diag_list *d)
{
    struct compare c;

    assert_int_equal(record_count(got->record), record_count(expected));
    check(compare_records(expected, first, got->record, 0, n_images, d, &c), d);
    if (c.first.found)
        print_error("%s: %s image %u frame %u index %llu: expected %d, got %d\n", g->folder,
                    c.layer[c.first.layer].name, c.first.image, c.first.frame,
                    (unsigned long long)c.first.index, c.first.expected, c.first.got);
    assert_int_equal(c.mismatches, 0);
    assert_int_equal(c.sum_mismatches, 0);
    assert_true(c.values_compared > 1000);
    for (uint32_t i = 0; i < c.n_layers; i++)
        assert_int_equal(c.layer[i].values,
                         n_images * g->config.timesteps * record_at(expected, i)->frame_elements);
    compare_fini(&c);
}

static void check_outputs(const struct golden_case *g, uint32_t first, uint32_t n_images,
                          const struct result *got)
{
    const struct st_tensor *logits = st_find(g->expected, "logits");
    const struct st_tensor *features = st_find(g->expected, "features");
    float *x = spk_alloc(logits->size), *f = spk_alloc(features->size);
    uint32_t classes = g->config.classes, dim = g->config.dim;

    assert_non_null(x);
    assert_non_null(f);
    assert_int_equal(st_to_f32(logits, x), SPK_OK);
    assert_int_equal(st_to_f32(features, f), SPK_OK);
    for (uint32_t i = 0; i < n_images * classes; i++)
        assert_true(fabsf(got->logits[i] - x[first * classes + i]) < 1e-4f);
    for (uint32_t i = 0; i < n_images * dim; i++)
        assert_true(fabsf(got->features[i] - f[first * dim + i]) < 1e-6f);
    spk_free(x);
    spk_free(f);
}

static struct record *open_expected(const struct golden_case *g, struct diag_list *d)
{
    char path[600];
    struct record *r = NULL;

    snprintf(path, sizeof path, "%s/expected.safetensors", g->folder);
    check(record_open(path, d, &r), d);
    return r;
}

/* Exact cases: whole batch and image by image, one and several threads. */
static uint32_t exact_case(const char *name, bool zoo)
{
    struct diag_list d;
    struct golden_case g;
    struct record *expected;

    diag_init(&d);
    check(golden_open(name, &d, &g), &d);
    if (!g.expected) { /* a manifest alone */
        golden_close(&g);
        diag_fini(&d);
        return 0;
    }
    if (zoo) {
        take_zoo_model(&g, &d);
        check_input_file(&g, &d);
    }
    expected = open_expected(&g, &d);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        struct result r = {0};

        run(&g, 0, g.n_images, threads, &r, &d);
        check_record(&g, expected, 0, g.n_images, &r, &d);
        check_outputs(&g, 0, g.n_images, &r);
        result_fini(&r);
    }
    for (uint32_t k = 0; k < g.n_images && g.n_images > 1; k++) {
        struct result r = {0};

        run(&g, k, 1, 2, &r, &d);
        check_record(&g, expected, k, 1, &r, &d);
        check_outputs(&g, k, 1, &r);
        result_fini(&r);
    }
    record_destroy(expected);
    golden_close(&g);
    diag_fini(&d);
    return 1;
}

/* Float cases: every layer gets the expected values of the layers before it. */
static void float_case(const char *name, bool zoo)
{
    struct diag_list d;
    struct golden_case g;
    struct record *expected;
    struct record_teacher *teacher = NULL;
    struct engine_teacher forcing;
    struct engine *e = NULL;
    uint64_t *flips = NULL, *outside = NULL, values, differ, far = 0;

    diag_init(&d);
    check(golden_open(name, &d, &g), &d);
    if (zoo)
        take_zoo_model(&g, &d);
    expected = open_expected(&g, &d);
    check(record_teacher_create(expected, g.module, 0, g.n_images, &d, &teacher), &d);
    forcing = record_teacher_engine(teacher);
    check(spk_alloc_array(g.module->n_nodes, 8, &flips), &d);
    check(spk_alloc_array(g.module->n_nodes, 8, &outside), &d);
    check(rt_reference_engine.create(g.module, &d, &e), &d);
    struct engine_stats stats = {.flips = flips, .flips_outside = outside};
    struct result r = {0};
    check(spk_alloc_array((size_t)g.n_images * g.config.classes, 4, &r.logits), &d);
    check(spk_alloc_array((size_t)g.n_images * g.config.dim, 4, &r.features), &d);
    struct engine_run er = {.input = {g.n_images, g.image, g.image_stride},
                            .teacher = &forcing,
                            .stats = &stats,
                            .logits = r.logits,
                            .features_f32 = r.features};
    check(rt_reference_engine.run(e, &er, &d), &d);
    compare_forced(g.module, flips, g.n_images, &values, &differ);
    for (uint32_t i = 0; i < g.module->n_nodes; i++)
        far += outside[i];
    print_message("%s: %llu of %llu spikes differ when forced\n", name, (unsigned long long)differ,
                  (unsigned long long)values);
    assert_true(values > 10000);
    assert_true((double)differ <= 1e-6 * (double)values);
    assert_int_equal(far, 0);
    check_outputs(&g, 0, g.n_images, &r);
    rt_reference_engine.destroy(e);
    record_teacher_destroy(teacher);
    record_destroy(expected);
    spk_free(flips);
    spk_free(outside);
    result_fini(&r);
    golden_close(&g);
    diag_fini(&d);
}

static void all_cases(bool zoo)
{
    struct diag_list d;
    struct file_names names = {0};
    uint32_t exact = 0, floats = 0;

    diag_init(&d);
    check(golden_list(&d, &names), &d);
    for (size_t i = 0; i < names.len; i++) {
        if (path_has_suffix(names.data[i], "-exact")) {
            exact += exact_case(names.data[i], zoo);
        } else {
            float_case(names.data[i], zoo);
            floats++;
        }
    }
    print_message("%u exact and %u float cases\n", exact, floats);
    assert_true(exact >= 8 && floats >= 2);
    file_names_fini(&names);
    diag_fini(&d);
}

static void built_by_hand(void **state)
{
    (void)state;
    all_cases(false);
}

static void zoo_models(void **state)
{
    (void)state;
    all_cases(true);
}

/* A wrong expected spike is seen, and counted as far from the threshold where it is. */
static void teacher_notices(void **state)
{
    struct diag_list d;
    struct golden_case g;
    struct result r = {0};
    struct record_teacher *teacher = NULL;
    struct engine_teacher forcing;
    struct engine *e = NULL;
    uint64_t *flips = NULL;
    uint32_t index = IR_NONE, node;
    uint8_t *wrong = NULL;

    (void)state;
    diag_init(&d);
    check(golden_open("v2-tiny-exact", &d, &g), &d);
    run(&g, 0, 1, 1, &r, &d);
    for (uint32_t i = 0; i < record_count(r.record); i++)
        if (strcmp(record_at(r.record, i)->name, "block.0.mlp.fc1_lif") == 0)
            index = i;
    assert_int_not_equal(index, IR_NONE);
    const struct record_tensor *t = record_at(r.record, index);
    check(spk_alloc_array(t->timesteps * t->frame_elements, 1, &wrong), &d);
    memcpy(wrong, t->data, t->timesteps * t->frame_elements);
    /* The last step: no later step of this neuron depends on it. */
    wrong[t->timesteps * t->frame_elements - 1] ^= 1;
    check(record_put(r.record, index, 0, wrong), &d);
    check(record_teacher_create(r.record, g.module, 0, 1, &d, &teacher), &d);
    forcing = record_teacher_engine(teacher);
    check(spk_alloc_array(g.module->n_nodes, 8, &flips), &d);
    check(rt_reference_engine.create(g.module, &d, &e), &d);
    struct engine_stats stats = {.flips = flips};
    struct engine_run er = {
        .input = {1, g.image, g.image_stride}, .teacher = &forcing, .stats = &stats};
    check(rt_reference_engine.run(e, &er, &d), &d);
    node = ir_find_value(g.module, "block.0.mlp.fc1_lif");
    assert_int_equal(flips[node], 1);
    for (uint32_t i = 0; i < node; i++)
        assert_int_equal(flips[i], 0);
    rt_reference_engine.destroy(e);
    record_teacher_destroy(teacher);
    spk_free(wrong);
    spk_free(flips);
    result_fini(&r);
    golden_close(&g);
    diag_fini(&d);
}

/* Rates measured by the engine are those of the manifest. */
static void rates_match(void **state)
{
    struct diag_list d;
    struct golden_case g;
    struct engine *e = NULL;
    double *sum = NULL;
    struct json_cursor rates, item;
    void *iterator = NULL;
    uint32_t seen = 0;

    (void)state;
    diag_init(&d);
    check(golden_open("v2-tiny-batch3-exact", &d, &g), &d);
    check(spk_alloc_array(g.module->n_nodes, sizeof *sum, &sum), &d);
    check(rt_reference_engine.create(g.module, &d, &e), &d);
    struct engine_stats stats = {.sum = sum};
    struct engine_run er = {.input = {g.n_images, g.image, g.image_stride}, .stats = &stats};
    check(rt_reference_engine.run(e, &er, &d), &d);
    struct json_cursor root = js_root(g.manifest, g.folder, &d);
    check(js_member(&root, "rates", &rates), &d);
    while (js_next_member(&rates, &iterator, &item)) {
        double rate;
        uint32_t node = ir_find_value(g.module, item.key);
        const struct ir_type *t;

        check(js_f64(&item, &rate), &d);
        assert_int_not_equal(node, IR_NONE);
        t = &g.module->node[node].type;
        assert_true(fabs(sum[node] / ((double)ir_type_elements(t) * t->timesteps * g.n_images) -
                         rate) < 1e-12);
        seen++;
    }
    assert_int_equal(seen, 31);
    rt_reference_engine.destroy(e);
    spk_free(sum);
    golden_close(&g);
    diag_fini(&d);
}

/* What record_save writes is what the golden file holds, tensor by tensor. */
static void saved_record(void **state)
{
    struct diag_list d;
    struct golden_case g;
    struct result r = {0};
    struct st_file *file = NULL;
    char path[] = "golden_record_XXXXXX";

    (void)state;
    diag_init(&d);
    check(golden_open("v2-tiny-batch3-exact", &d, &g), &d);
    run(&g, 0, g.n_images, 2, &r, &d);
    struct record_outputs outputs = {r.features, r.logits, g.config.dim, g.config.classes, NULL};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    check(record_save(r.record, &outputs, path, &d), &d);
    check(st_open(path, &d, &file), &d);
    assert_int_equal(st_count(file), st_count(g.expected));
    for (size_t i = 0; i < st_count(file); i++) {
        const struct st_tensor *a = st_at(file, i), *b = st_at(g.expected, i);

        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        assert_int_equal(a->rank, b->rank);
        assert_memory_equal(a->shape, b->shape, a->rank * sizeof a->shape[0]);
        if (a->dtype == ST_U8)
            assert_memory_equal(a->data, b->data, a->size);
    }
    st_close(file);
    unlink(path);
    result_fini(&r);
    golden_close(&g);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_by_hand),   cmocka_unit_test(zoo_models),
        cmocka_unit_test(teacher_notices), cmocka_unit_test(rates_match),
        cmocka_unit_test(saved_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
