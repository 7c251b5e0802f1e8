/* The native engine and builder beside what tests/tool/test_engines.py compares: delivery in order,
 * refused inputs and modules, cancelling, and running out of memory.                           */
#include <unistd.h>

#include "reference_fixture.h"

#include "config.h"

#if SPIKEC_HAVE_LLVM
#include "backends/llvm/native.h"
#include "support/file.h"

enum { OUT = 70, SIZE = 3 * 9 * 7, WEIGHTS = OUT * 3 * 9 + 5 * OUT };

static void net(struct bench *b, float *w)
{
    struct rng rng;
    uint32_t x, p;

    start(b, false, 3, 9, 7);
    rng_seed(&rng, 21);
    for (uint32_t i = 0; i < WEIGHTS; i++)
        w[i] = (float)rng_normal(&rng) * 0.4f;
    p = param(b, "w1", 4, OUT, 3, 3, 3, w);
    x = add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &b->input,
                                .n_params = 1,
                                .param = &p,
                                .a.conv = {3, 3, 1, 1, 1, 1, 0}});
    x = lif(b, x, "one", 0.3f, false, IR_CMP_GE);
    p = param(b, "w2", 4, 5, OUT, 1, 1, w + OUT * 3 * 9);
    x = add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 1,
                                .param = &p,
                                .a.conv = {1, 1, 1, 1, 0, 0, 0}});
    x = lif(b, x, "two", 0.3f, false, IR_CMP_GE);
    x = unary(b, IR_OP_MEAN, x);
    (void)unary(b, IR_OP_OUTPUT, x);
}

struct order {
    uint32_t last_image, last_node, calls;
    uint64_t done;
};

static spk_status watch_value(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                              const void *data, bool is_i32)
{
    struct order *o = ctx;

    (void)type;
    (void)data;
    (void)is_i32;
    assert_true(o->calls == 0 || image > o->last_image ||
                (image == o->last_image && node > o->last_node));
    o->last_image = image;
    o->last_node = node;
    o->calls++;
    return SPK_OK;
}

static void watch_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct order *o = ctx;

    assert_true(done > o->done && done <= total);
    o->done = done;
}

static void delivery_in_order(void **state)
{
    enum { IMAGES = 37 };
    float image[IMAGES * SIZE] = {0}, w[WEIGHTS];
    struct bench b;

    (void)state;
    net(&b, w);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        struct order order = {0};
        struct engine_recorder recorder = {&order, watch_value};
        struct engine *e = NULL;
        struct pool *pool = NULL;

        check(pool_create(threads, &pool), &b.d);
        check(nat_engine.create(b.m, &b.d, &e), &b.d);
        struct engine_run r = {.input = {IMAGES, image, SIZE},
                               .recorder = &recorder,
                               .pool = pool,
                               .progress = watch_progress,
                               .progress_ctx = &order};
        check(nat_engine.run(e, &r, &b.d), &b.d);
        assert_int_equal(order.calls, 2 * IMAGES);
        assert_int_equal(order.done, IMAGES);
        nat_engine.destroy(e);
        pool_destroy(pool);
    }
    finish(&b);
}

static bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static spk_status refuse(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                         const void *data, bool is_i32)
{
    (void)ctx;
    (void)node;
    (void)type;
    (void)data;
    (void)is_i32;
    return image == 1 ? SPK_ERR_IO : SPK_OK;
}

static void errors(void **state)
{
    float image[2 * SIZE] = {0}, w[WEIGHTS];
    struct bench b;
    struct engine *e = NULL;
    struct engine_recorder recorder = {NULL, refuse};

    (void)state;
    net(&b, w);
    check(nat_engine.create(b.m, &b.d, &e), &b.d);
    struct engine_run r = {.input = {2, image, SIZE}};
    image[200] = NAN;
    assert_int_equal(nat_engine.run(e, &r, &b.d), SPK_ERR_INPUT);
    image[200] = 0;
    r.cancelled = always;
    assert_int_equal(nat_engine.run(e, &r, &b.d), SPK_ERR_CANCELLED);
    r.cancelled = NULL;
    r.recorder = &recorder;
    assert_int_equal(nat_engine.run(e, &r, &b.d), SPK_ERR_IO);
    nat_engine.destroy(e);
    assert_int_equal(nat_engine_create(b.m, "pentium", &b.d, &e), SPK_ERR_USAGE);
    assert_null(e);
    b.m->param[0].data = NULL;
    assert_int_equal(nat_engine.create(b.m, &b.d, &e), SPK_ERR_INPUT);
    assert_null(e);
    finish(&b);
}

static const uint8_t *expect_ones(void *ctx, uint32_t image, uint32_t node)
{
    (void)image;
    (void)node;
    return ctx;
}

/* Fails every allocation in turn: a status, no leak, no crash. */
static void out_of_memory(void **state)
{
    float image[SIZE] = {0.5f}, w[WEIGHTS], logits[5];
    static uint8_t ones[STEPS * OUT * 63];
    double sum[16] = {0}, channel[OUT] = {0}, *channel_sum[16] = {0};
    struct bench b;
    uint64_t n;

    (void)state;
    if (!spk_fault_available())
        skip();
    memset(ones, 1, sizeof ones);
    net(&b, w);
    channel_sum[3] = channel;
    for (n = 1;; n++) {
        struct engine *e = NULL;
        struct engine_teacher teacher = {ones, expect_ones};
        struct engine_stats stats = {.sum = sum, .channel_sum = channel_sum};
        struct engine_run r = {
            .input = {1, image, SIZE}, .stats = &stats, .logits = logits, .teacher = &teacher};
        spk_status status;

        spk_fault_arm(SPK_FAULT_ALLOC, n);
        status = nat_engine.create(b.m, NULL, &e);
        if (status == SPK_OK)
            status = nat_engine.run(e, &r, NULL);
        nat_engine.destroy(e);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            check(status, &b.d);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_true(n > 30);
    finish(&b);
}

static size_t size_of(const char *path)
{
    struct file_map map;
    size_t size;

    assert_int_equal(file_map_open(path, NULL, &map), SPK_OK);
    size = map.size;
    file_map_close(&map);
    return size;
}

static void absent_or_whole(const char *path, size_t size)
{
    if (file_exists(path))
        assert_int_equal(size_of(path), size);
}

/* Fails every allocation, then every write, in building: an error, and no file but whole ones. */
static void building_fails(void **state)
{
    static const enum spk_fault_kind kinds[] = {SPK_FAULT_ALLOC, SPK_FAULT_WRITE};
    static const spk_status want[] = {SPK_ERR_NOMEM, SPK_ERR_IO};
    struct nat_build_options o = {.output = "test_native.o", .level = "level R"};
    float w[WEIGHTS];
    size_t size[2];
    struct nat_built built;
    struct bench b;

    (void)state;
    if (!spk_fault_available())
        skip();
    net(&b, w);
    check(nat_build(b.m, &o, &b.d, &built), &b.d);
    nat_built_fini(&built);
    size[0] = size_of("test_native.o");
    size[1] = size_of("test_native.h");
    for (uint32_t k = 0; k < 2; k++) {
        uint64_t n;

        for (n = 1;; n++) {
            spk_status status;

            (void)unlink("test_native.o");
            (void)unlink("test_native.h");
            spk_fault_arm(kinds[k], n);
            status = nat_build(b.m, &o, NULL, &built);
            nat_built_fini(&built);
            if (!spk_fault_disarm(kinds[k])) {
                check(status, &b.d);
                break;
            }
            assert_int_equal(status, want[k]);
            absent_or_whole("test_native.o", size[0]);
            absent_or_whole("test_native.h", size[1]);
        }
        assert_true(n > (k ? 2 : 30));
    }
    (void)unlink("test_native.o");
    (void)unlink("test_native.h");
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delivery_in_order),
        cmocka_unit_test(errors),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(building_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 0;
}
#endif
