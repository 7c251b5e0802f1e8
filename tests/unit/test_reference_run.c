/* Runs of the reference and the packed engine: independence of threads and batches, and what
 * engine_runs.h asks of every engine.                                                         */
#include "engine_runs.h"

static void same_for_any_thread_count(void **state)
{
    enum { IMAGES = 37, SIZE = RUN_SIZE };
    float image[IMAGES * SIZE], w[RUN_WEIGHTS], logits[2][IMAGES * 5];
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
    run_net(&b, w);
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
    (void)state;
    check_delivery(&rt_reference_engine);
    check_delivery(&rt_packed_engine);
}

static void errors(void **state)
{
    (void)state;
    check_errors(&rt_reference_engine);
    check_errors(&rt_packed_engine);
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

static void out_of_memory(void **state)
{
    (void)state;
    for (uint32_t taught = 0; taught < 2; taught++) {
        check_out_of_memory(&rt_reference_engine, taught);
        check_out_of_memory(&rt_packed_engine, taught);
    }
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
