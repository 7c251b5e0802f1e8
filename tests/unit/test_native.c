/* The native engine and builder beside what tests/tool/test_engines.py compares: delivery in order,
 * refused inputs and modules, cancelling, and running out of memory.                           */
#include <unistd.h>

#include "engine_runs.h"

#include "config.h"

#if SPIKEC_HAVE_LLVM
#include "backends/llvm/native.h"
#include "support/file.h"

static void delivery_in_order(void **state)
{
    (void)state;
    check_delivery(&nat_engine);
}

static void errors(void **state)
{
    float w[RUN_WEIGHTS];
    struct bench b;
    struct engine *e = NULL;

    (void)state;
    check_errors(&nat_engine);
    run_net(&b, w);
    assert_int_equal(nat_engine_create(b.m, "pentium", &b.d, &e), SPK_ERR_USAGE);
    assert_null(e);
    finish(&b);
}

static void out_of_memory(void **state)
{
    (void)state;
    check_out_of_memory(&nat_engine, true);
    check_out_of_memory(&nat_engine, false);
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
    float w[RUN_WEIGHTS];
    size_t size[2];
    struct nat_built built;
    struct bench b;

    (void)state;
    if (!spk_fault_available())
        skip();
    run_net(&b, w);
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
