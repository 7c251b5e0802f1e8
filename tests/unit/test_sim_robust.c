/* Chip simulator, part 2: threads, look-ups, refusals of broken images and inputs, cancelling,
 * running out of memory. */
#include "support/fault.h"
#include "support/pool.h"
#include "tests/unit/tiny_sim.h"

/* ---- threads, locate, errors ---- */

static void test_threads(void **state)
{
    static struct result serial, threaded;
    struct pool *pool;
    struct tiny t;
    (void)state;

    make_conv(&t, false, true);
    assert_int_equal(pool_create(4, &pool), SPK_OK);
    simulate(&t.im, conv_images, 3, 9, NULL, &serial);
    simulate(&t.im, conv_images, 3, 9, pool, &threaded);
    serial.stats.core = threaded.stats.core = NULL;
    serial.stats.group = threaded.stats.group = NULL;
    serial.stats.route_messages = threaded.stats.route_messages = NULL;
    serial.stats.link_load = threaded.stats.link_load = NULL;
    assert_memory_equal(&serial.tape, &threaded.tape, sizeof serial.tape);
    assert_memory_equal(serial.features, threaded.features, sizeof serial.features);
    assert_memory_equal(&serial.stats, &threaded.stats, sizeof serial.stats);
    pool_destroy(pool);
    image_fini(&t.im);
}

static void test_locate(void **state)
{
    struct tiny t;
    struct diag_list d;
    struct sim *s;
    uint32_t core, comp;
    (void)state;

    diag_init(&d);
    make_conv(&t, true, true);
    assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
    assert_int_equal(sim_find_layer(s, "b"), 1);
    assert_int_equal(sim_find_layer(s, "c"), IMG_NONE);
    assert_true(sim_locate(s, 1, 1, 5, &core, &comp));
    assert_int_equal(core, 2);
    assert_int_equal(comp, 2 * 2 + 1);
    assert_false(sim_locate(s, 1, 2, 5, &core, &comp));
    assert_false(sim_locate(s, 1, 1, 9, &core, &comp));
    assert_false(sim_locate(s, 7, 0, 0, &core, &comp));
    sim_destroy(s);
    image_fini(&t.im);
    diag_fini(&d);
}

static void expect_refused(struct tiny *t, const char *part)
{
    struct diag_list d;
    struct sim *s;

    diag_init(&d);
    assert_int_equal(sim_create(&t->im, &d, &s), SPK_ERR_INPUT);
    assert_null(s);
    assert_int_equal(d.items.len, 1);
    assert_string_equal(d.items.data[0]->code, "E0841");
    assert_non_null(strstr(d.items.data[0]->message, part));
    diag_fini(&d);
}

#define REFUSED(change, part)          \
    do {                               \
        struct tiny t;                 \
        make_conv(&t, variant, false); \
        change;                        \
        expect_refused(&t, part);      \
        image_fini(&t.im);             \
    } while (0)

static void test_refusals(void **state)
{
    bool variant = false;
    (void)state;

    REFUSED(t.im.meta.interval = 1, "interval");
    REFUSED(t.im.meta.timesteps = 0, "time steps");
    REFUSED(t.im.layers[1].start = 2, "window");
    REFUSED(t.im.layers[1].name = 1000, "string");
    REFUSED(t.im.layers[1].channels = 1u << 30, "layer");
    REFUSED(t.im.cores[1].n_groups = 2, "core 1");
    REFUSED(t.im.cores[1].in_axon_first = 0xfffffff0u, "core 1");
    REFUSED(t.im.groups[1].comp_first = 1, "group 1");
    REFUSED(t.im.groups[1].nx = 4, "tile");
    REFUSED(t.im.groups[1].channel_config = 1u << 30, "configurations");
    REFUSED(t.im.channel_config[1] = 5, "configuration");
    REFUSED(t.im.in_axons[0].base = 17, "target");
    REFUSED(t.im.in_axons[3].block = 0xffffffffu, "in-axon 3");
    REFUSED(t.im.in_axons[3].atoms = 2, "in-axon 3");
    REFUSED(t.im.in_axons[3].row = 1, "in-axon 3");
    REFUSED(t.im.in_axons[3].row = 0xffffffffu, "in-axon 3");
    REFUSED(t.im.runs[4].weight_first = 1ull << 60, "weights");
    REFUSED(t.im.runs[4].length = 0xffffffffu, "run 4");
    REFUSED(t.im.rows[2].n_runs = 1u << 30, "row 2");
    REFUSED(t.im.out_axons[1].dest_axon = 9, "out-axon 1");
    REFUSED(t.im.out_axons[1].comp_count = 2, "out-axon 1");
    REFUSED(t.im.out_axons[1].comp_first = 0xffffffffu, "out-axon 1");
    REFUSED(t.im.routes[1].x = 3, "destination");
    REFUSED(t.im.cores[1].x = t.im.cores[1].y = 0, "place");
    REFUSED(t.im.host_ports[0].channel_first = 2, "host port 0");
    REFUSED(t.im.encoder.kernel_h = 2, "encoder");
    REFUSED(t.im.encoder.layer = 1, "currents");
    variant = true;
    REFUSED(t.im.in_axons[2].group = 0, "target group");
    REFUSED(t.im.in_axons[2].base = 9, "source position");
    REFUSED(t.im.contents[0].weight_first = 1, "content 0");
    REFUSED(t.im.contents[0].stride = 0, "content 0");
}

static void test_bad_input(void **state)
{
    struct tiny t;
    struct diag_list d;
    struct sim *s;
    float image[9] = {0};
    struct sim_run run = {.input = {1, image, 8}};
    (void)state;

    diag_init(&d);
    make_conv(&t, true, false);
    assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
    run.input.image_stride = 9;
    image[4] = INFINITY;
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
    image[4] = 1.0f;
    assert_int_equal(sim_run(s, &run, &d), SPK_OK);
    run.input.n_images = 0;
    assert_int_equal(sim_run(s, &run, &d), SPK_OK);
    assert_int_equal(sim_statistics(s)->steps, 0);
    sim_destroy(s);
    image_fini(&t.im);
    make_fixed(&t, 193, 25, 0, false);
    assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
    run.input = (struct engine_input){1, image, 2};
    image[0] = 0.5f;
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
    image[0] = -1.0f;
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
    assert_int_equal(d.error_count, 4);
    sim_destroy(s);
    image_fini(&t.im);
    diag_fini(&d);
}

static spk_status refuse_value(void *ctx, uint32_t image, const struct sim_value *v,
                               const void *data)
{
    (void)ctx, (void)image, (void)v, (void)data;
    return SPK_ERR_IO;
}

static bool cancel(void *ctx)
{
    return ++*(int *)ctx == 2;
}

static void test_recorder_and_cancel(void **state)
{
    struct tiny t;
    struct diag_list d;
    struct sim *s;
    struct sim_recorder rec = {NULL, refuse_value};
    int polled = 0;
    struct sim_run run = {.input = {3, conv_images, 9}, .recorder = &rec};
    (void)state;

    diag_init(&d);
    make_conv(&t, true, false);
    assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_IO);
    run.recorder = NULL;
    run.cancelled = cancel;
    run.progress_ctx = &polled;
    assert_int_equal(sim_run(s, &run, &d), SPK_ERR_CANCELLED);
    assert_int_equal(polled, 2);
    sim_destroy(s);
    image_fini(&t.im);
    diag_fini(&d);
}

static void test_out_of_memory(void **state)
{
    struct tiny t;
    (void)state;

    if (!spk_fault_available())
        skip();
    make_conv(&t, true, false);
    for (uint64_t n = 1;; n++) {
        struct tape *tape = calloc(1, sizeof *tape);
        struct sim_recorder rec = {tape, keep_value};
        struct sim_run run = {.input = {3, conv_images, 9}, .recorder = &rec};
        struct sim *s = NULL;

        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status status = sim_create(&t.im, NULL, &s);
        if (status == SPK_OK)
            status = sim_run(s, &run, NULL);
        bool hit = spk_fault_disarm(SPK_FAULT_ALLOC);
        sim_destroy(s);
        free(tape);
        if (!hit) {
            assert_int_equal(status, SPK_OK);
            assert_true(n > 20);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    image_fini(&t.im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_locate),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_recorder_and_cancel),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
