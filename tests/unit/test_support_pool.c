/* Thread pool: every chunk once, same result for every thread count, first failure wins. */
#include "tests/unit/unit.h"

#include <stdatomic.h>

#include "support/pool.h"

#define CHUNKS 1000u

struct work {
    struct pool *pool;
    atomic_uint calls[CHUNKS];
    uint64_t results[CHUNKS];
    atomic_uint busy[256]; /* per worker: must never exceed 1 */
    uint32_t fail_from;
    atomic_bool clash, nested_refused;
};

static spk_status square(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct work *work = ctx;
    if (worker >= pool_threads(work->pool) || atomic_fetch_add(&work->busy[worker], 1) != 0)
        atomic_store(&work->clash, true);
    atomic_fetch_add(&work->calls[chunk], 1);
    work->results[chunk] = (uint64_t)chunk * chunk;
    atomic_fetch_sub(&work->busy[worker], 1);
    return chunk >= work->fail_from ? (spk_status)(SPK_ERR_USAGE + chunk % 4) : SPK_OK;
}

static void test_all_chunks(void **state)
{
    (void)state;
    for (uint32_t threads = 0; threads <= 8; threads++) {
        struct work *work = spk_alloc_zero(sizeof *work);
        assert_non_null(work);
        work->fail_from = UINT32_MAX;
        if (threads > 0)
            assert_ok(pool_create(threads, &work->pool));
        for (int repeat = 0; repeat < 50; repeat++)
            assert_ok(pool_run(work->pool, CHUNKS, square, work));
        assert_ok(pool_run(work->pool, 0, square, work));
        assert_false(atomic_load(&work->clash));
        for (uint32_t i = 0; i < CHUNKS; i++) {
            assert_int_equal(atomic_load(&work->calls[i]), 50);
            assert_int_equal(work->results[i], (uint64_t)i * i);
        }
        pool_destroy(work->pool);
        spk_free(work);
    }
}

static void test_failure(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= 8; threads += 3) {
        struct work *work = spk_alloc_zero(sizeof *work);
        assert_non_null(work);
        assert_ok(pool_create(threads, &work->pool));
        for (uint32_t from = 0; from < 200; from++) {
            work->fail_from = from;
            assert_int_equal(pool_run(work->pool, CHUNKS, square, work), SPK_ERR_USAGE + from % 4);
        }
        work->fail_from = UINT32_MAX;
        assert_ok(pool_run(work->pool, CHUNKS, square, work));
        pool_destroy(work->pool);
        spk_free(work);
    }
}

static spk_status nested(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct work *work = ctx;
    (void)worker;
    if (chunk == 0 && pool_run(work->pool, 2, square, work) == SPK_ERR_INTERNAL)
        atomic_store(&work->nested_refused, true);
    return SPK_OK;
}

static void test_nested(void **state)
{
    struct work *work = spk_alloc_zero(sizeof *work);
    (void)state;
    assert_non_null(work);
    assert_ok(pool_create(2, &work->pool));
    assert_ok(pool_run(work->pool, 4, nested, work));
    assert_true(atomic_load(&work->nested_refused));
    pool_destroy(work->pool);
    spk_free(work);
}

static void test_edges(void **state)
{
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_threads(NULL), 1);
    pool_destroy(NULL);
    assert_ok(pool_create(0, &pool));
    assert_true(pool_threads(pool) >= 1);
    pool_destroy(pool);
    if (spk_fault_available()) {
        spk_fault_arm(SPK_FAULT_ALLOC, 1);
        assert_int_equal(pool_create(2, &pool), SPK_ERR_NOMEM);
        assert_true(spk_fault_disarm(SPK_FAULT_ALLOC));
        assert_null(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_chunks),
        cmocka_unit_test(test_failure),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
