/* Runs of the reference engine: independence of threads and batches, delivery in order, refused
 * inputs and modules, cancelling, and running out of memory.                                  */
#include "reference_fixture.h"

/* ---- independence of threads and batches ---- */

static void random_net(struct bench *b, float *w)
{
    struct rng rng;
    uint32_t x, p;

    start(b, false, 3, 9, 7);
    rng_seed(&rng, 21);
    for (uint32_t i = 0; i < 70 * 3 * 9 + 5 * 70; i++)
        w[i] = (float)rng_normal(&rng) * 0.4f;
    p = param(b, "w1", 4, 70, 3, 3, 3, w);
    x = add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &b->input,
                                .n_params = 1,
                                .param = &p,
                                .a.conv = {3, 3, 1, 1, 1, 1, 0}});
    x = lif(b, x, "one", 0.3f, false, IR_CMP_GE);
    p = param(b, "w2", 4, 5, 70, 1, 1, w + 70 * 3 * 9);
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

static void same_for_any_thread_count(void **state)
{
    enum { IMAGES = 37, SIZE = 3 * 9 * 7 };
    float image[IMAGES * SIZE], w[70 * 3 * 9 + 5 * 70], logits[2][IMAGES * 5];
    double sums[2][16], channels[2][70];
    uint32_t threads[] = {1, 2, 5};
    struct bench b;
    struct rng rng;
    struct record *first = NULL;

    (void)state;
    rng_seed(&rng, 22);
    /* Of very different sizes, so that sums are inexact and their order shows. */
    for (uint32_t i = 0; i < IMAGES * SIZE; i++)
        image[i] = ldexpf((float)rng_normal(&rng), (int)rng_range_i64(&rng, -30, 30));
    random_net(&b, w);
    for (uint32_t k = 0; k < 3; k++) {
        uint32_t side = k > 0;
        double *channel_sum[16] = {0};
        struct engine_stats stats = {.sum = sums[side], .channel_sum = channel_sum};
        struct record *r;

        memset(sums[side], 0, sizeof sums[side]);
        memset(channels[side], 0, sizeof channels[side]);
        /* Currents of the first convolution: sums that depend on their order. */
        channel_sum[2] = channels[side];
        r = run(&b, image, SIZE, IMAGES, threads[k], &stats, logits[side]);
        if (k == 0) {
            first = r;
            continue;
        }
        for (uint32_t i = 0; i < record_count(r); i++) {
            const struct record_tensor *t = record_at(r, i);

            assert_memory_equal(t->data, record_at(first, i)->data,
                                IMAGES * STEPS * t->frame_elements);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
        assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
        assert_memory_equal(channels[0], channels[1], sizeof channels[0]);
        record_destroy(r);
    }
    assert_true(channels[0][3] != 0 && sums[0][3] > 1000);
    /* One image alone is what it was in the batch. */
    struct record *alone = run(&b, image + 20 * SIZE, SIZE, 1, 2, NULL, NULL);
    const struct record_tensor *t = record_find(alone, "two");
    for (uint32_t s = 0; s < STEPS; s++)
        for (uint64_t i = 0; i < t->frame_elements; i++)
            assert_int_equal(record_get(alone, t, s, 0, i),
                             record_get(first, record_find(first, "two"), s, 20, i));
    record_destroy(alone);
    record_destroy(first);
    finish(&b);
}

static void delivery_in_order(void **state)
{
    enum { IMAGES = 37, SIZE = 3 * 9 * 7 };
    float image[IMAGES * SIZE] = {0}, w[70 * 3 * 9 + 5 * 70];
    struct bench b;
    struct engine *e = NULL;
    struct pool *pool = NULL;
    struct order order = {0};
    struct engine_recorder recorder = {&order, watch_value};

    (void)state;
    random_net(&b, w);
    check(pool_create(3, &pool), &b.d);
    check(rt_reference_engine.create(b.m, &b.d, &e), &b.d);
    struct engine_run r = {.input = {IMAGES, image, SIZE},
                           .recorder = &recorder,
                           .pool = pool,
                           .progress = watch_progress,
                           .progress_ctx = &order};
    check(rt_reference_engine.run(e, &r, &b.d), &b.d);
    assert_int_equal(order.calls, 2 * IMAGES);
    assert_int_equal(order.done, IMAGES);
    rt_reference_engine.destroy(e);
    pool_destroy(pool);
    finish(&b);
}

/* ---- what goes wrong ---- */

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
    float image[2 * 3 * 9 * 7] = {0}, w[70 * 3 * 9 + 5 * 70];
    struct bench b;
    struct engine *e = NULL;
    struct engine_recorder recorder = {NULL, refuse};

    (void)state;
    random_net(&b, w);
    check(rt_reference_engine.create(b.m, &b.d, &e), &b.d);
    struct engine_run r = {.input = {2, image, 3 * 9 * 7}};
    image[200] = NAN;
    assert_int_equal(rt_reference_engine.run(e, &r, &b.d), SPK_ERR_INPUT);
    assert_int_equal(b.d.error_count, 1);
    image[200] = 0;
    r.cancelled = always;
    assert_int_equal(rt_reference_engine.run(e, &r, &b.d), SPK_ERR_CANCELLED);
    r.cancelled = NULL;
    r.recorder = &recorder;
    assert_int_equal(rt_reference_engine.run(e, &r, &b.d), SPK_ERR_IO);
    rt_reference_engine.destroy(e);
    b.m->param[0].data = NULL;
    assert_int_equal(rt_reference_engine.create(b.m, &b.d, &e), SPK_ERR_INPUT);
    assert_null(e);
    finish(&b);
}

static void event_frames_are_counts(void **state)
{
    static const float bad[] = {-1.0f, 0.5f, 2e7f, INFINITY};
    struct bench b;
    struct engine *e = NULL;

    (void)state;
    start(&b, true, 1, 1, 1);
    (void)lif(&b, b.input, "s", 1.0f, false, IR_CMP_GE);
    check(rt_reference_engine.create(b.m, &b.d, &e), &b.d);
    for (uint32_t i = 0; i < 4; i++) {
        float image[STEPS] = {0, 3, 0, bad[i]};
        struct engine_run r = {.input = {1, image, STEPS}};

        assert_int_equal(rt_reference_engine.run(e, &r, &b.d), SPK_ERR_INPUT);
        image[3] = 7;
        check(rt_reference_engine.run(e, &r, &b.d), &b.d);
    }
    rt_reference_engine.destroy(e);
    finish(&b);
}

/* Fails every allocation in turn, in creating and in running: a status, no leak, no crash. */
static void out_of_memory(void **state)
{
    float image[3 * 9 * 7] = {0.5f}, w[70 * 3 * 9 + 5 * 70], logits[5];
    double sum[16], channel[70], *channel_sum[16] = {0};
    struct bench b;
    uint64_t n;

    (void)state;
    if (!spk_fault_available())
        skip();
    random_net(&b, w);
    channel_sum[2] = channel;
    memset(channel, 0, sizeof channel);
    memset(sum, 0, sizeof sum);
    for (n = 1;; n++) {
        struct engine *e = NULL;
        struct engine_stats stats = {.sum = sum, .channel_sum = channel_sum};
        struct engine_run r = {.input = {1, image, 3 * 9 * 7}, .stats = &stats, .logits = logits};
        spk_status status;

        spk_fault_arm(SPK_FAULT_ALLOC, n);
        status = rt_reference_engine.create(b.m, NULL, &e);
        if (status == SPK_OK)
            status = rt_reference_engine.run(e, &r, NULL);
        rt_reference_engine.destroy(e);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            check(status, &b.d);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_true(n > 30);
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_for_any_thread_count),
        cmocka_unit_test(delivery_in_order),
        cmocka_unit_test(errors),
        cmocka_unit_test(event_frames_are_counts),
        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
