/* Masks behind images, and pictures written: every allocation fails once. What the values are is
 * tested through the tool. */
#include "frontend/inputs.h"
#include "ir_samples.h"
#include "support/raster.h"
#include "support/safetensors.h"
#include "unit.h"

#include <stdio.h>
#include <unistd.h>

#define CORPUS SPIKEC_TEST_DATA_DIR "/../fuzz/corpus/support_pictures/"

static struct ir_module *masked(void)
{
    struct ir_module *m = s_module("masked", IR_STAGE_MODEL, 1);
    struct ir_node grid = s_input(1, 4, 4, false);
    grid.a.input.mask = true;
    uint32_t image = s_node(m, s_input(1, 8, 8, false), "image", false, NONE, NONE);
    uint32_t hidden = s_node(m, grid, "hidden", false, NONE, NONE);
    uint32_t x = s_node(m, s_op(IR_OP_MASK), "x", false, OPS(image, hidden), NONE);
    (void)s_node(m, s_op(IR_OP_OUTPUT), "y", false, OPS(x), NONE);
    return m;
}

static void test_loading(void **state)
{
    (void)state;
    char path[] = "test_masks_XXXXXX";
    static const float images[2 * 64] = {1.0f, 2.0f};
    const uint64_t shape[4] = {2, 1, 8, 8};
    struct st_writer *w;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(st_writer_create(&w));
    assert_ok(st_writer_add(w, "input", ST_F32, 4, shape, images));
    assert_ok(st_writer_save(w, path, NULL));
    st_writer_destroy(w);
    struct ir_module *m = masked();
    for (int drawn = 0; drawn < 2; drawn++) {
        const struct fe_input_options options = {
            .mask = drawn ? NULL : CORPUS "npy_bool_grid", .draws_mask = drawn, .mask_ratio = 0.25};
        spk_status status;
        for_each_failing_alloc(status, {
            struct fe_input input = {0};
            status = fe_input_read(path, m, &options, NULL, &input);
            assert_true((input.input.data != NULL) == (status == SPK_OK));
            if (status == SPK_OK) {
                float hidden = 0;
                assert_int_equal(input.input.image_stride, 64 + 16);
                for (uint32_t i = 64; i < 80; i++)
                    hidden += input.input.data[80 + i];
                assert_true(hidden == 4.0f); /* the diagonal, or a quarter */
                assert_true(input.input.data[1] == 2.0f);
            }
            fe_input_fini(&input);
        });
    }
    ir_module_destroy(m);
    unlink(path);
}

/* What was written is read again. */
static void test_png(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        struct raster picture;
        spk_status status;
        assert_ok(raster_alloc(37, 11, channels, &picture));
        for (uint32_t i = 0; i < 37 * 11 * channels; i++)
            picture.pixel[i] = (uint8_t)(i * 7 + i / 37);
        for_each_failing_alloc(status, {
            struct strbuf png = {0};
            struct raster back = {0};
            status = raster_encode_png(&picture, &png);
            if (status == SPK_OK)
                status = raster_decode((const uint8_t *)strbuf_cstr(&png), png.len, "png", channels,
                                       NULL, &back);
            if (status == SPK_OK) {
                assert_int_equal(back.width, 37);
                assert_int_equal(back.height, 11);
                assert_memory_equal(back.pixel, picture.pixel, 37 * 11 * channels);
            }
            raster_fini(&back);
            strbuf_fini(&png);
        });
        raster_fini(&picture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_loading), cmocka_unit_test(test_png)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
