/* Input images and labels: safetensors and IDX, conversions, limits and every kind of complaint. */
#include <math.h>

#include "frontend/inputs.h"
#include "support/file.h"
#include "support/half.h"
#include "support/safetensors.h"
#include "tiny_model.h"

#define PIXELS 24u /* 3 x 2 x 4 */

struct fixture {
    char dir[64], path[96];
    struct ir_module *m;
    struct diag_list diags;
    struct fe_input input;
    struct fe_labels labels;
    float x[4 * 2 * PIXELS];
};

static void begin(struct fixture *f, bool events, bool norm)
{
    memset(f, 0, sizeof *f);
    unit_temp_dir(f->dir);
    (void)snprintf(f->path, sizeof f->path, "%s/x", f->dir);
    f->m = tiny_model(events, norm);
    diag_init(&f->diags);
    for (size_t i = 0; i < sizeof f->x / sizeof f->x[0]; i++)
        f->x[i] = (float)i * 0.5f;
}

static void end(struct fixture *f)
{
    fe_input_fini(&f->input);
    fe_labels_fini(&f->labels);
    ir_module_destroy(f->m);
    diag_fini(&f->diags);
    unit_remove_dir(f->dir);
}

static void save(const struct fixture *f, const char *name, enum st_dtype dtype, uint32_t rank,
                 const uint64_t *shape, const void *data)
{
    struct st_writer *writer;
    assert_ok(st_writer_create(&writer));
    assert_ok(st_writer_add(writer, name, dtype, rank, shape, data));
    assert_ok(st_writer_save(writer, f->path, NULL));
    st_writer_destroy(writer);
}

#define SHAPE(...)     \
    (const uint64_t[]) \
    {                  \
        __VA_ARGS__    \
    }

static spk_status load(struct fixture *f, uint64_t limit)
{
    fe_input_fini(&f->input);
    return fe_input_load(f->path, f->m, limit, &f->diags, &f->input);
}

static void still_images_in_place(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, false);
    save(&f, "input", ST_F32, 4, SHAPE(4, 3, 2, 4), f.x);
    assert_ok(load(&f, 0));
    assert_int_equal(f.input.input.n_images, 4);
    assert_int_equal(f.input.input.image_stride, PIXELS);
    assert_null(f.input.converted);
    assert_true(f.input.input.data[3 * PIXELS + 5] == f.x[3 * PIXELS + 5]);
    assert_ok(load(&f, 3));
    assert_int_equal(f.input.input.n_images, 3);
    assert_int_equal(f.input.n_available, 4);
    assert_ok(load(&f, 100));
    assert_int_equal(f.input.input.n_images, 4);
    end(&f);
}

static void converted_types(void **state)
{
    (void)state;
    struct fixture f;
    uint16_t half[PIXELS], bf16[PIXELS];
    double f64[PIXELS];
    uint8_t u8[PIXELS];
    for (uint32_t i = 0; i < PIXELS; i++) {
        half[i] = half_from_f32((float)i);
        bf16[i] = bf16_from_f32((float)i);
        f64[i] = u8[i] = (uint8_t)i;
    }
    const struct {
        enum st_dtype dtype;
        const void *data;
    } kinds[] = {{ST_F16, half}, {ST_BF16, bf16}, {ST_F64, f64}, {ST_U8, u8}};
    begin(&f, false, false);
    for (int k = 0; k < 4; k++) {
        save(&f, "input", kinds[k].dtype, 4, SHAPE(1, 3, 2, 4), kinds[k].data);
        assert_ok(load(&f, 0));
        for (uint32_t i = 0; i < PIXELS; i++)
            assert_true(f.input.input.data[i] == (float)i);
    }
    end(&f);
}

static void event_frames(void **state)
{
    (void)state;
    struct fixture f;
    int16_t counts[4 * 2 * PIXELS];
    for (int16_t i = 0; i < (int16_t)(4 * 2 * PIXELS); i++)
        counts[i] = i;
    begin(&f, true, false);
    save(&f, "input", ST_F32, 5, SHAPE(4, 2, 3, 2, 4), f.x);
    assert_ok(load(&f, 0));
    assert_int_equal(f.input.input.image_stride, 2 * PIXELS);
    save(&f, "input", ST_I16, 5, SHAPE(4, 2, 3, 2, 4), counts);
    assert_ok(load(&f, 2));
    assert_int_equal(f.input.input.n_images, 2);
    assert_true(f.input.input.data[2 * 2 * PIXELS - 1] == (float)(2 * 2 * PIXELS - 1));
    end(&f);
}

static void wrong_tensors(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, false);
    save(&f, "input", ST_F32, 3, SHAPE(3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "tensor of rank 3, F32[3,2,4]; the model takes rank 4, [B,3,2,4]");
    save(&f, "input", ST_F32, 5, SHAPE(1, 2, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "tensor of rank 5, F32[1,2,3,2,4]; the model takes rank 4");
    save(&f, "input", ST_F32, 4, SHAPE(1, 3, 4, 2), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "tensor F32[1,3,4,2], the model takes [B,3,2,4]");
    save(&f, "input", ST_I64, 4, SHAPE(1, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "element type I64, the model takes F32, F16, BF16, F64 or U8");
    save(&f, "image", ST_F32, 4, SHAPE(1, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "input");
    save(&f, "input", ST_F32, 4, SHAPE(0, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "no image");
    f.x[PIXELS + 2] = NAN;
    save(&f, "input", ST_F32, 4, SHAPE(2, 3, 2, 4), f.x);
    assert_ok(load(&f, 1)); /* the bad one is not used */
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "image 1, value 2 is nan; inputs must be finite");
    assert_int_equal(fe_input_load("/nonexistent", f.m, 0, &f.diags, &f.input), SPK_ERR_IO);
    end(&f);

    begin(&f, true, false);
    save(&f, "input", ST_F32, 5, SHAPE(1, 3, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "3 time steps, F32[1,3,3,2,4]; the model takes 2, [B,2,3,2,4]");
    save(&f, "input", ST_F32, 4, SHAPE(1, 3, 2, 4), f.x);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "one frame per time step");
    end(&f);
}

/* Header of an IDX file and `n` bytes counting up. */
static void save_idx(const struct fixture *f, uint8_t rank, const uint8_t *dims, size_t n,
                     const uint8_t *values)
{
    uint8_t bytes[512] = {0, 0, 8, rank};
    size_t at = 4;
    for (uint8_t i = 0; i < rank; i++, at += 4)
        bytes[at + 3] = dims[i];
    for (size_t i = 0; i < n; i++)
        bytes[at++] = values ? values[i] : (uint8_t)(i * 5);
    assert_ok(file_write_all(f->path, bytes, at, NULL));
}

static void idx_images(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, false, true);
    save_idx(&f, 4, (const uint8_t[]){2, 2, 4, 3}, 48, NULL);
    for (int packed = 0; packed < 2; packed++) {
        assert_ok(load(&f, 0));
        assert_int_equal(f.input.input.n_images, 2);
        for (uint32_t image = 0; image < 2; image++) {
            for (uint32_t c = 0; c < 3; c++) {
                for (uint32_t i = 0; i < 8; i++) {
                    float byte = (float)(uint8_t)((image * PIXELS + i * 3 + c) * 5);
                    float want = (byte / 255.0f - 0.25f * (float)c) / 0.5f;
                    assert_true(f.input.input.data[image * PIXELS + c * 8 + i] == want);
                }
            }
        }
        if (!packed) {
            char command[320];
            (void)snprintf(command, sizeof command, "gzip -n %s && mv %s.gz %s", f.path, f.path,
                           f.path);
            assert_int_equal(system(command), 0);
        }
    }
    /* U8 tensors of a model with a normalisation are normalised, too. */
    uint8_t bytes[PIXELS];
    memset(bytes, 255, sizeof bytes);
    save(&f, "input", ST_U8, 4, SHAPE(1, 3, 2, 4), bytes);
    assert_ok(load(&f, 0));
    assert_true(f.input.input.data[0] == 2.0f && f.input.input.data[PIXELS - 1] == 1.0f);
    /* Wrong ones. */
    save_idx(&f, 3, (const uint8_t[]){2, 2, 4}, 16, NULL);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "IDX images [2,2,4], the model takes [N,2,4,C]");
    save_idx(&f, 4, (const uint8_t[]){2, 2, 4, 3}, 40, NULL);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    end(&f);

    begin(&f, false, false);
    save_idx(&f, 4, (const uint8_t[]){1, 2, 4, 3}, 24, NULL);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "need a normalisation");
    end(&f);
    begin(&f, true, false);
    save_idx(&f, 4, (const uint8_t[]){1, 2, 4, 3}, 24, NULL);
    assert_int_equal(load(&f, 0), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "the model takes event frames");
    end(&f);
}

static spk_status load_labels(struct fixture *f)
{
    fe_labels_fini(&f->labels);
    return fe_labels_load(f->path, f->m, &f->input, &f->diags, &f->labels);
}

static void labels(void **state)
{
    (void)state;
    struct fixture f;
    int64_t i64[5] = {4, 0, 2, 1, 9};
    float real[4] = {0};
    begin(&f, false, false);
    save(&f, "input", ST_F32, 4, SHAPE(4, 3, 2, 4), f.x);
    assert_ok(load(&f, 3));
    save_idx(&f, 1, (const uint8_t[]){4}, 4, (const uint8_t[]){4, 0, 2, 99});
    assert_ok(load_labels(&f)); /* the last one is not used */
    assert_int_equal(f.labels.n, 3);
    assert_int_equal(f.labels.label[0], 4);
    assert_int_equal(f.labels.label[2], 2);
    save(&f, "labels", ST_I64, 1, SHAPE(4), i64);
    assert_ok(load_labels(&f));
    assert_int_equal(f.labels.label[0], 4);
    assert_int_equal(f.diags.items.len, 0);
    save(&f, "labels", ST_I64, 1, SHAPE(5), i64);
    assert_ok(load_labels(&f));
    unit_expect_diag(&f.diags, "5 labels for 4 images; the first ones are used");
    save(&f, "labels", ST_I64, 1, SHAPE(3), i64);
    assert_int_equal(load_labels(&f), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "3 labels for 4 images");
    save(&f, "labels", ST_F32, 1, SHAPE(4), real);
    assert_int_equal(load_labels(&f), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "labels must be integers of shape [N], found F32[4]");
    i64[1] = 5;
    save(&f, "labels", ST_I64, 1, SHAPE(4), i64);
    assert_int_equal(load_labels(&f), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "label 5 of image 1 is no class; the model has classes 0 to 4");
    i64[1] = -1;
    save(&f, "labels", ST_I64, 1, SHAPE(4), i64);
    assert_int_equal(load_labels(&f), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "label -1 of image 1");
    save_idx(&f, 2, (const uint8_t[]){2, 2}, 4, NULL);
    assert_int_equal(load_labels(&f), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "this file has rank 2");
    end(&f);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct fixture f;
    uint16_t half[PIXELS] = {0};
    spk_status status;
    begin(&f, false, true);
    save_idx(&f, 4, (const uint8_t[]){2, 2, 4, 3}, 48, NULL);
    for_each_failing_alloc(status, status = load(&f, 0));
    save(&f, "input", ST_F16, 4, SHAPE(1, 3, 2, 4), half);
    for_each_failing_alloc(status, status = load(&f, 0));
    assert_ok(load(&f, 0));
    save_idx(&f, 1, (const uint8_t[]){1}, 1, NULL);
    for_each_failing_alloc(status, status = load_labels(&f));
    assert_ok(load_labels(&f));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(still_images_in_place),
        cmocka_unit_test(converted_types),
        cmocka_unit_test(event_frames),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(idx_images),
        cmocka_unit_test(labels),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
