/* image.h5 files that are cut or have flipped bytes: refused or read, never a crash, never a leak
 * of ours. (libhdf5 1.10 itself leaks on some damaged files; that is all that is suppressed here,
 * and why this is a test of its own.) */
#include "ir_image_sample.h"

#include "support/file.h"
#include "support/rng.h"

const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

/* Cut files and files with flipped bytes are refused or read; never a crash, never a leak. */
static void test_damaged_files(void **state)
{
    (void)state;
    struct image im, back;
    char path[96], *bytes;
    size_t n;
    struct rng r;
    path_of(path, sizeof path, "damaged");
    rng_seed(&r, 11);
    sample(&im);
    save(&im, path);
    image_fini(&im);
    assert_int_equal(file_read(path, 0, NULL, &bytes, &n), SPK_OK);
    for (uint32_t i = 0; i < 250; i++) {
        char *copy = spk_alloc(n);
        assert_non_null(copy);
        memcpy(copy, bytes, n);
        size_t keep = i < 50 ? rng_below(&r, n) : n;
        for (uint32_t j = 0; i >= 50 && j < 1 + i % 4; j++)
            copy[rng_below(&r, n)] = (char)rng_range_i64(&r, -128, 127);
        assert_int_equal(file_write_all(path, copy, keep, NULL), SPK_OK);
        spk_status s = image_load(path, NULL, &back);
        assert_true(s == SPK_OK || s == SPK_ERR_INPUT || s == SPK_ERR_IO || s == SPK_ERR_NOMEM);
        image_fini(&back);
        spk_free(copy);
    }
    spk_free(bytes);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
