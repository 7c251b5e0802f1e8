/* Pictures and recordings: every allocation fails once, for single files and for folders. What the
 * values are is tested through the tool. */
#include "frontend/inputs.h"
#include "support/file.h"
#include "tests/fuzz/tiny_input.h"
#include "tiny_model.h"

#define CORPUS SPIKEC_TEST_DATA_DIR "/../fuzz/corpus/support_pictures/"

static void decoding(void **state)
{
    (void)state;
    static const char *const files[] = {"ppm", "pgm", "png_rgb", "png_grey", "jpeg"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[512], *data;
        size_t size;
        spk_status status = SPK_OK;
        (void)snprintf(path, sizeof path, "%s%s", CORPUS, files[i]);
        assert_ok(file_read(path, 0, NULL, &data, &size));
        for_each_failing_alloc(status, {
            struct raster picture;
            struct raster other = {0};
            status =
                raster_decode((const uint8_t *)data, size, path, i % 2 ? 1 : 3, NULL, &picture);
            assert_true((picture.pixel != NULL) == (status == SPK_OK));
            if (status == SPK_OK)
                status = raster_resize(&picture, 5, 4, RASTER_BILINEAR, &other);
            assert_true((other.pixel != NULL) == (status == SPK_OK));
            raster_fini(&picture);
            raster_fini(&other);
        });
        spk_free(data);
    }
}

/* A folder of two pictures with labels, and one of a recording. */
static void folders(void **state)
{
    (void)state;
    for (int events = 0; events < 2; events++) {
        char dir[64], path[128], labels[128], *data;
        size_t size;
        const char *source = events ? CORPUS "npy_records" : CORPUS "png_rgb";
        struct ir_module *m = events ? tiny_input(true, false) : tiny_model(false, true);
        struct fe_input_options options = {.resize = events ? 0 : 5};
        spk_status status = SPK_OK;
        unit_temp_dir(dir);
        assert_ok(file_read(source, 0, NULL, &data, &size));
        for (int i = 0; i < 2; i++) {
            (void)snprintf(path, sizeof path, "%s/%d", dir, i);
            assert_ok(file_write_all(path, data, size, NULL));
        }
        (void)snprintf(labels, sizeof labels, "%s/.labels", dir);
        assert_ok(file_write_all(labels, "1 1\n0 2\n", 8, NULL));
        for_each_failing_alloc(status, {
            struct fe_input input = {0};
            struct fe_labels l = {0};
            struct diag_list diags;
            diag_init(&diags);
            status = fe_input_read(dir, m, &options, &diags, &input);
            if (status == SPK_OK)
                status = fe_labels_load(labels, m, &input, &diags, &l);
            if (status == SPK_OK) {
                assert_int_equal(input.input.n_images, 2);
                assert_int_equal(l.label[0], 2);
                assert_int_equal(l.label[1], 1);
            }
            fe_labels_fini(&l);
            fe_input_fini(&input);
            diag_fini(&diags);
        });
        spk_free(data);
        ir_module_destroy(m);
        unit_remove_dir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decoding), cmocka_unit_test(folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
