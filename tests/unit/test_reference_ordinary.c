/* Masks and ops of ordinary networks in the engines: the same numbers at any number of threads and
 * in both engines, masks that are none, every allocation failing once. What the numbers are is
 * tested against formulas in tests/tool/test_ordinary.py. */
#include "ir_samples.h"

#include <math.h>

#include "runtime/packed.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/fault.h"
#include "support/pool.h"

enum { IMAGES = 3, PIXELS = 64, CELLS = 4, OUT = 4 * 16 + 1 };

/* The sample with random weights, and images with masks behind them. */
struct sample {
    struct ir_module *m;
    float image[IMAGES * (PIXELS + CELLS)];
};

static void setup(struct sample *s)
{
    struct rng rng;
    rng_seed(&rng, 5);
    s->m = s_autoencoder();
    for (uint32_t i = 0; i < s->m->n_params; i++) {
        float *data;
        const size_t n = (size_t)ir_param_elements(&s->m->param[i]);
        assert_int_equal(spk_alloc_array(n, sizeof *data, &data), SPK_OK);
        for (size_t k = 0; k < n; k++)
            data[k] = (float)rng_normal(&rng);
        assert_int_equal(ir_module_own(s->m, data), SPK_OK);
        s->m->param[i].data = data;
    }
    for (uint32_t k = 0; k < IMAGES; k++) {
        float *x = s->image + k * (PIXELS + CELLS);
        for (uint32_t i = 0; i < PIXELS; i++)
            x[i] = (float)rng_normal(&rng) * 3.0f;
        for (uint32_t i = 0; i < CELLS; i++)
            x[PIXELS + i] = i == k ? 0.0f : 1.0f;
    }
}

static spk_status run(const struct engine_vtable *v, const struct sample *s, struct pool *pool,
                      struct diag_list *d, float *out)
{
    struct engine *e = NULL;
    struct engine_run r = {
        .input = {IMAGES, s->image, PIXELS + CELLS}, .logits = out, .pool = pool};
    spk_status status = v->create(s->m, d, &e);
    if (status == SPK_OK)
        status = v->run(e, &r, d);
    v->destroy(e);
    return status;
}

static void test_threads_and_engines(void **state)
{
    (void)state;
    static const struct engine_vtable *const engines[] = {&rt_reference_engine, &rt_packed_engine};
    struct sample s;
    float first[IMAGES * OUT], out[IMAGES * OUT];
    setup(&s);
    assert_int_equal(ir_input_values(s.m), PIXELS + CELLS);
    assert_int_equal(ir_output_values(s.m), OUT);
    assert_int_equal(run(engines[0], &s, NULL, NULL, first), SPK_OK);
    for (uint32_t i = 0; i < IMAGES * OUT; i++)
        assert_true(isfinite(first[i]));
    assert_true(fabsf(first[OUT - 1]) > 0.01f); /* a loss */
    for (uint32_t e = 0; e < 2; e++)
        for (uint32_t threads = 1; threads <= 4; threads += 3) {
            struct pool *pool;
            assert_int_equal(pool_create(threads, &pool), SPK_OK);
            memset(out, 0, sizeof out);
            assert_int_equal(run(engines[e], &s, pool, NULL, out), SPK_OK);
            pool_destroy(pool);
            for (uint32_t i = 0; i < IMAGES * OUT; i++)
                assert_true(e == 0 ? out[i] == first[i] : fabsf(out[i] - first[i]) < 1e-4f);
        }
    ir_module_destroy(s.m);
}

static void test_no_mask(void **state)
{
    (void)state;
    static const float bad[] = {0.5f, -1.0f, 2.0f, NAN};
    struct sample s;
    float out[IMAGES * OUT];
    setup(&s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct diag_list d;
        const float was = s.image[PIXELS + CELLS + PIXELS + 2];
        diag_init(&d);
        s.image[PIXELS + CELLS + PIXELS + 2] = bad[i];
        assert_int_equal(run(&rt_reference_engine, &s, NULL, &d, out), SPK_ERR_INPUT);
        assert_true(s_has_code(&d, "E0804"));
        assert_true(s_has_text(&d, isnan(bad[i]) ? "image 1" : "image 1: element 2 of the mask"));
        diag_fini(&d);
        s.image[PIXELS + CELLS + PIXELS + 2] = was;
    }
    ir_module_destroy(s.m);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const struct engine_vtable *const engines[] = {&rt_reference_engine, &rt_packed_engine};
    struct sample s;
    float out[IMAGES * OUT];
    if (!spk_fault_available())
        skip();
    setup(&s);
    for (uint32_t e = 0; e < 2; e++)
        for (uint64_t n = 1;; n++) {
            spk_fault_arm(SPK_FAULT_ALLOC, n);
            const spk_status status = run(engines[e], &s, NULL, NULL, out);
            if (!spk_fault_disarm(SPK_FAULT_ALLOC)) {
                assert_int_equal(status, SPK_OK);
                assert_true(n > 100);
                break;
            }
            assert_int_equal(status, SPK_ERR_NOMEM);
        }
    ir_module_destroy(s.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_engines),
        cmocka_unit_test(test_no_mask),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
