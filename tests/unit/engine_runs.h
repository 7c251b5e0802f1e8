/* What every engine must do beside its numbers, for the tests of each: delivery in order, refused
 * inputs and modules, cancelling, and running out of memory.                                   */
#ifndef SPIKEC_TESTS_ENGINE_RUNS_H
#define SPIKEC_TESTS_ENGINE_RUNS_H

#include "reference_fixture.h"

enum { RUN_OUT = 70, RUN_SIZE = 3 * 9 * 7, RUN_WEIGHTS = RUN_OUT * 3 * 9 + 5 * RUN_OUT };

/* Two convolutions with neurons, mean, logits. w: [RUN_WEIGHTS], multiples of 2^-6, so that sums of
 * spikes are exact; it must outlive the module. */
static inline void run_net(struct bench *b, float *w)
{
    struct rng rng;
    uint32_t x, p;

    start(b, false, 3, 9, 7);
    rng_seed(&rng, 21);
    for (uint32_t i = 0; i < RUN_WEIGHTS; i++)
        w[i] = roundf((float)rng_normal(&rng) * 0.4f * 64) / 64;
    p = param(b, "w1", 4, RUN_OUT, 3, 3, 3, w);
    x = add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &b->input,
                                .n_params = 1,
                                .param = &p,
                                .a.conv = {3, 3, 1, 1, 1, 1, 0}});
    x = lif(b, x, "one", 0.3f, false, IR_CMP_GE);
    p = param(b, "w2", 4, 5, RUN_OUT, 1, 1, w + RUN_OUT * 3 * 9);
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

static inline spk_status watch_value(void *ctx, uint32_t image, uint32_t node,
                                     const struct ir_type *type, const void *data, bool is_i32)
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

static inline void watch_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct order *o = ctx;

    assert_true(done > o->done && done <= total);
    o->done = done;
}

static inline void check_delivery(const struct engine_vtable *v)
{
    enum { IMAGES = 37 };
    float image[IMAGES * RUN_SIZE] = {0}, w[RUN_WEIGHTS];
    struct bench b;

    run_net(&b, w);
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
        struct order order = {0};
        struct engine_recorder recorder = {&order, watch_value};
        struct engine *e = NULL;
        struct pool *pool = NULL;

        check(pool_create(threads, &pool), &b.d);
        check(v->create(b.m, &b.d, &e), &b.d);
        struct engine_run r = {.input = {IMAGES, image, RUN_SIZE},
                               .recorder = &recorder,
                               .pool = pool,
                               .progress = watch_progress,
                               .progress_ctx = &order};
        check(v->run(e, &r, &b.d), &b.d);
        assert_int_equal(order.calls, 2 * IMAGES);
        assert_int_equal(order.done, IMAGES);
        v->destroy(e);
        pool_destroy(pool);
    }
    finish(&b);
}

static inline bool always(void *ctx)
{
    (void)ctx;
    return true;
}

static inline spk_status refuse(void *ctx, uint32_t image, uint32_t node,
                                const struct ir_type *type, const void *data, bool is_i32)
{
    (void)ctx;
    (void)node;
    (void)type;
    (void)data;
    (void)is_i32;
    return image == 1 ? SPK_ERR_IO : SPK_OK;
}

static inline void check_errors(const struct engine_vtable *v)
{
    float image[2 * RUN_SIZE] = {0}, w[RUN_WEIGHTS];
    struct bench b;
    struct engine *e = NULL;
    struct engine_recorder recorder = {NULL, refuse};

    run_net(&b, w);
    check(v->create(b.m, &b.d, &e), &b.d);
    struct engine_run r = {.input = {2, image, RUN_SIZE}};
    image[200] = NAN;
    assert_int_equal(v->run(e, &r, &b.d), SPK_ERR_INPUT);
    assert_int_equal(b.d.error_count, 1);
    image[200] = 0;
    r.cancelled = always;
    assert_int_equal(v->run(e, &r, &b.d), SPK_ERR_CANCELLED);
    r.cancelled = NULL;
    r.recorder = &recorder;
    assert_int_equal(v->run(e, &r, &b.d), SPK_ERR_IO);
    v->destroy(e);
    b.m->param[0].data = NULL;
    assert_int_equal(v->create(b.m, &b.d, &e), SPK_ERR_INPUT);
    assert_null(e);
    finish(&b);
}

static inline const uint8_t *expect_ones(void *ctx, uint32_t image, uint32_t node)
{
    (void)image;
    (void)node;
    return ctx;
}

/* Fails every allocation in turn, in creating and in running: a status, no leak, no crash. */
static inline void check_out_of_memory(const struct engine_vtable *v, bool taught)
{
    static uint8_t ones[STEPS * RUN_OUT * 63];
    float image[RUN_SIZE] = {0.5f}, w[RUN_WEIGHTS], logits[5];
    double sum[16] = {0}, channel[2][RUN_OUT] = {{0}};
    double *channel_sum[16] = {[2] = channel[0], [3] = channel[1]};
    struct engine_teacher teacher = {ones, expect_ones};
    struct bench b;
    uint64_t n;

    if (!spk_fault_available())
        skip();
    memset(ones, 1, sizeof ones);
    run_net(&b, w);
    for (n = 1;; n++) {
        struct engine *e = NULL;
        struct engine_stats stats = {.sum = sum, .channel_sum = channel_sum};
        struct engine_run r = {.input = {1, image, RUN_SIZE},
                               .stats = &stats,
                               .logits = logits,
                               .teacher = taught ? &teacher : NULL};
        spk_status status;

        spk_fault_arm(SPK_FAULT_ALLOC, n);
        status = v->create(b.m, NULL, &e);
        if (status == SPK_OK)
            status = v->run(e, &r, NULL);
        v->destroy(e);
        if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
            check(status, &b.d);
            break;
        }
        assert_int_equal(status, SPK_ERR_NOMEM);
    }
    assert_true(n > 30);
    finish(&b);
}

#endif
