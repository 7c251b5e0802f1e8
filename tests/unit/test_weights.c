/* Binding of weights: shapes, types, in place and converted data, and every kind of complaint. */
#include <math.h>

#include "frontend/weights.h"
#include "support/file.h"
#include "support/half.h"
#include "support/safetensors.h"
#include "tiny_model.h"

struct tensor {
    const char *name;
    enum st_dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
    const void *data;
};

static const float ramp[20] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,
                               10, 11, 12, 13, 14, 15, 16, 17, 18, 19};

/* A complete set; tests change single entries. */
static const struct tensor good[TINY_PARAMS] = {
    {"c.weight", ST_F32, 4, {4, 3, 1, 1}, ramp}, {"bn.weight", ST_F32, 1, {4}, ramp},
    {"bn.bias", ST_F32, 1, {4}, ramp},           {"bn.running_mean", ST_F32, 1, {4}, ramp},
    {"bn.running_var", ST_F32, 1, {4}, ramp},    {"head.weight", ST_F32, 2, {5, 4}, ramp},
    {"head.bias", ST_F32, 1, {5}, ramp},
};

struct fixture {
    char dir[64], path[96];
    struct ir_module *m;
    struct diag_list diags;
    struct fe_weights_report report;
};

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    unit_temp_dir(f->dir);
    (void)snprintf(f->path, sizeof f->path, "%s/w.safetensors", f->dir);
    f->m = tiny_model(false, false);
    assert_int_equal(f->m->n_params, TINY_PARAMS);
    diag_init(&f->diags);
}

static void end(struct fixture *f)
{
    ir_module_destroy(f->m);
    fe_weights_report_fini(&f->report);
    diag_fini(&f->diags);
    unit_remove_dir(f->dir);
}

static void save(const char *path, const struct tensor *tensors, size_t n)
{
    struct st_writer *writer;
    assert_ok(st_writer_create(&writer));
    for (size_t i = 0; i < n; i++)
        assert_ok(st_writer_add(writer, tensors[i].name, tensors[i].dtype, tensors[i].rank,
                                tensors[i].shape, tensors[i].data));
    assert_ok(st_writer_save(writer, path, NULL));
    st_writer_destroy(writer);
}

static spk_status bind(struct fixture *f, const struct tensor *tensors, size_t n)
{
    save(f->path, tensors, n);
    return fe_weights_bind(f->m, f->path, &f->diags, &f->report);
}

static const float *data_of(const struct ir_module *m, const char *name)
{
    uint32_t id = ir_find_param(m, name);
    assert_true(id != IR_NONE);
    return m->param[id].data;
}

static void in_place(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_ok(bind(&f, good, TINY_PARAMS));
    assert_int_equal(f.report.n_bound, TINY_PARAMS);
    assert_int_equal(f.report.n_in_place, TINY_PARAMS);
    assert_int_equal(f.report.n_ignored, 0);
    assert_int_equal(f.report.elements, 12 + 4 * 4 + 20 + 5);
    /* The map outlives the call, and the file itself. */
    assert_int_equal(unlink(f.path), 0);
    assert_true(data_of(f.m, "head.weight")[19] == 19.0f);
    assert_true(data_of(f.m, "c.weight")[11] == 11.0f);
    assert_int_equal(f.diags.items.len, 0);
    end(&f);
}

static void shapes_up_to_trailing_ones(void **state)
{
    (void)state;
    struct tensor t[TINY_PARAMS];
    for (uint32_t rank = 2; rank <= 4; rank++) {
        struct fixture f;
        begin(&f);
        memcpy(t, good, sizeof good);
        t[0].rank = rank;
        t[5].rank = rank;
        t[5].shape[2] = t[5].shape[3] = 1;
        assert_ok(bind(&f, t, TINY_PARAMS));
        assert_true(data_of(f.m, "head.weight")[7] == 7.0f);
        end(&f);
    }
}

static void converted_types(void **state)
{
    (void)state;
    uint16_t half[20], bf16[20];
    double f64[5];
    int8_t i8[4] = {-128, -1, 0, 127};
    int64_t i64[4] = {-5, 0, 5, 1 << 20};
    for (int i = 0; i < 20; i++) {
        half[i] = half_from_f32(ramp[i] / 4.0f);
        bf16[i] = bf16_from_f32(ramp[i] * 8.0f);
    }
    for (int i = 0; i < 5; i++)
        f64[i] = 0.1 * i;
    struct tensor t[TINY_PARAMS];
    memcpy(t, good, sizeof good);
    t[0].dtype = ST_BF16, t[0].data = bf16;
    t[5].dtype = ST_F16, t[5].data = half;
    t[6].dtype = ST_F64, t[6].data = f64;
    t[1].dtype = ST_I8, t[1].data = i8;
    t[2].dtype = ST_I64, t[2].data = i64;
    struct fixture f;
    begin(&f);
    assert_ok(bind(&f, t, TINY_PARAMS));
    assert_int_equal(f.report.n_in_place, 2);
    assert_int_equal(f.report.n_converted, 5);
    assert_true(data_of(f.m, "c.weight")[3] == 24.0f);
    assert_true(data_of(f.m, "head.weight")[3] == 0.75f);
    assert_true(data_of(f.m, "head.bias")[3] == (float)(0.1 * 3));
    assert_true(data_of(f.m, "bn.weight")[0] == -128.0f);
    assert_true(data_of(f.m, "bn.bias")[3] == 1048576.0f);
    end(&f);
}

static void ignored_are_listed(void **state)
{
    (void)state;
    struct tensor t[TINY_PARAMS + 4] = {{"pos_embed", ST_F32, 1, {2}, ramp}};
    int64_t count = 7;
    memcpy(t + 1, good, sizeof good);
    t[8] = (struct tensor){"bn.num_batches_tracked", ST_I64, 0, {0}, &count};
    t[9] = (struct tensor){"norm1.weight", ST_F32, 1, {1}, ramp};
    t[10] = (struct tensor){"xnum_batches_tracked", ST_I64, 1, {1}, &count};
    struct fixture f;
    begin(&f);
    assert_ok(bind(&f, t, TINY_PARAMS + 4));
    assert_int_equal(f.report.n_ignored, 3);
    assert_string_equal(f.report.ignored[0], "pos_embed");
    assert_string_equal(f.report.ignored[1], "norm1.weight");
    assert_string_equal(f.report.ignored[2], "xnum_batches_tracked");
    assert_int_equal(f.diags.items.len, 0);
    end(&f);
}

/* Four errors in one run, and the module stays as it was. */
static void all_complaints_at_once(void **state)
{
    (void)state;
    float bad[20];
    float var[4] = {1, 2, -0.5f, 3};
    bool flags[4] = {true, false, true, false};
    memcpy(bad, ramp, sizeof ramp);
    bad[13] = INFINITY;
    struct tensor t[TINY_PARAMS];
    memcpy(t, good, sizeof good);
    t[0] = (struct tensor){"c.weight", ST_F32, 4, {4, 3, 3, 3}, NULL};
    float kernel[108] = {0};
    t[0].data = kernel;
    t[2].dtype = ST_BOOL, t[2].data = flags;
    t[4].data = var;
    t[5].data = bad;
    t[6].name = "head.biass";
    struct fixture f;
    begin(&f);
    assert_int_equal(bind(&f, t, TINY_PARAMS), SPK_ERR_INPUT);
    assert_int_equal(f.diags.error_count, 5);
    char *text = unit_diag_text(&f.diags);
    static const char *const expect[] = {"the tensor is F32[4,3,3,3], the model wants [4,3,1,1]",
                                         "tensor c.weight",
                                         "a weight cannot be of type BOOL",
                                         "value -0.5 at [2] is negative, but a variance is not",
                                         "value inf at [3,1] is not finite",
                                         "tensor head.weight",
                                         "tensor 'head.bias' [5] is missing",
                                         "the file has 'head.biass'"};
    for (size_t i = 0; i < sizeof expect / sizeof expect[0]; i++) {
        if (!strstr(text, expect[i]))
            fail_msg("\"%s\" is not in:\n%s", expect[i], text);
    }
    spk_free(text);
    for (uint32_t i = 0; i < f.m->n_params; i++)
        assert_null(f.m->param[i].data);
    assert_int_equal(f.report.n_bound, 0);
    end(&f);
}

static void prefix_is_suggested(void **state)
{
    (void)state;
    struct tensor t[TINY_PARAMS];
    char names[TINY_PARAMS][40];
    memcpy(t, good, sizeof good);
    for (uint32_t i = 0; i < TINY_PARAMS; i++) {
        (void)snprintf(names[i], sizeof names[i], "net.module.%s", good[i].name);
        t[i].name = names[i];
    }
    struct fixture f;
    begin(&f);
    assert_int_equal(bind(&f, t, TINY_PARAMS), SPK_ERR_INPUT);
    assert_int_equal(f.diags.error_count, TINY_PARAMS);
    unit_expect_diag(&f.diags,
                     "the file has 'net.module.c.weight': bind its prefix with --bind net.module=");
    end(&f);
}

static void nan_in_a_half(void **state)
{
    (void)state;
    uint16_t half[5] = {0, 0x3c00, 0x7e00, 0, 0};
    struct tensor t[TINY_PARAMS];
    memcpy(t, good, sizeof good);
    t[6].dtype = ST_F16, t[6].data = half;
    struct fixture f;
    begin(&f);
    assert_int_equal(bind(&f, t, TINY_PARAMS), SPK_ERR_INPUT);
    unit_expect_diag(&f.diags, "value nan at [2] is not finite");
    /* A file that is none, and one that is not there. */
    assert_ok(file_write_all(f.path, "hello", 5, NULL));
    assert_int_equal(fe_weights_bind(f.m, f.path, &f.diags, NULL), SPK_ERR_INPUT);
    assert_int_equal(fe_weights_bind(f.m, "/nonexistent.safetensors", &f.diags, NULL), SPK_ERR_IO);
    end(&f);
}

static void out_of_memory(void **state)
{
    (void)state;
    struct fixture f;
    uint16_t half[20] = {0};
    struct tensor t[TINY_PARAMS + 1];
    spk_status status;
    memcpy(t, good, sizeof good);
    t[5].dtype = ST_F16, t[5].data = half;
    t[7] = (struct tensor){"spare", ST_F32, 1, {1}, ramp};
    begin(&f);
    save(f.path, t, TINY_PARAMS + 1);
    for_each_failing_alloc(status, {
        fe_weights_report_fini(&f.report);
        status = fe_weights_bind(f.m, f.path, &f.diags, &f.report);
    });
    assert_int_equal(f.report.n_bound, spk_fault_available() ? TINY_PARAMS : 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_place),
        cmocka_unit_test(shapes_up_to_trailing_ones),
        cmocka_unit_test(converted_types),
        cmocka_unit_test(ignored_are_listed),
        cmocka_unit_test(all_complaints_at_once),
        cmocka_unit_test(prefix_is_suggested),
        cmocka_unit_test(nan_in_a_half),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
