/* Tensor data of a module through a safetensors file. */
#include <stdio.h>
#include <unistd.h>

#include "ir_samples.h"

#include "support/safetensors.h"

struct fixture {
    char path[64];
    struct diag_list d;
};

static void start(struct fixture *f)
{
    snprintf(f->path, sizeof f->path, "test_ir_params.%ld.safetensors", (long)getpid());
    diag_init(&f->d);
}

static void end(struct fixture *f)
{
    (void)unlink(f->path);
    diag_fini(&f->d);
}

static struct ir_module *typed_module(void)
{
    struct ir_module *m = s_module("m", IR_STAGE_QUANTISED, 2);
    (void)s_param(m, "f", IR_DT_F32, 2, 2, 3, 0, 0);
    (void)s_param(m, "b", IR_DT_I8, 4, 1, 2, 2, 2);
    (void)s_param(m, "s", IR_DT_I16, 1, 3, 0, 0, 0);
    (void)s_param(m, "i", IR_DT_I32, 1, 2, 0, 0, 0);
    return m;
}

static const float f_data[6] = {1.5f, -2.0f, 3e-20f, 0.0f, -0.0f, 1e30f};
static const int8_t b_data[8] = {-128, -1, 0, 1, 2, 3, 4, 127};
static const int16_t s_data[3] = {-32768, 0, 32767};
static const int32_t i_data[2] = {INT32_MIN, INT32_MAX};

static void fill(struct ir_module *m)
{
    m->param[0].data = f_data;
    m->param[1].data = b_data;
    m->param[2].data = s_data;
    m->param[3].data = i_data;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct ir_module *m = typed_module(), *back = typed_module();
    fill(m);
    assert_int_equal(ir_params_save(m, f.path, &f.d), SPK_OK);
    ir_module_destroy(m);
    assert_int_equal(ir_params_load(back, f.path, &f.d), SPK_OK);
    assert_memory_equal(back->param[0].data, f_data, sizeof f_data);
    assert_memory_equal(back->param[1].data, b_data, sizeof b_data);
    assert_memory_equal(back->param[2].data, s_data, sizeof s_data);
    assert_memory_equal(back->param[3].data, i_data, sizeof i_data);
    ir_module_destroy(back);
    assert_int_equal(f.d.items.len, 0);
    end(&f);
}

static void test_missing_and_wrong(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct ir_module *m = typed_module(), *back = typed_module();
    fill(m);
    m->param[0].data = NULL; /* shape only: not saved */
    assert_int_equal(ir_params_save(m, f.path, &f.d), SPK_OK);
    back->param[1].dim[3] = 1;
    back->param[2].dtype = IR_DT_I32;
    assert_int_equal(ir_params_load(back, f.path, &f.d), SPK_ERR_INPUT);
    assert_int_equal(f.d.error_count, 3);
    assert_true(s_has_text(&f.d, "the network needs i8 [1, 2, 2, 1]"));
    assert_true(s_has_text(&f.d, "is I16[3], the network needs i32 [3]"));
    ir_module_destroy(m);
    ir_module_destroy(back);
    end(&f);
}

static void test_no_file(void **state)
{
    (void)state;
    struct fixture f;
    start(&f);
    struct ir_module *m = typed_module();
    assert_int_equal(ir_params_load(m, f.path, &f.d), SPK_ERR_IO);
    ir_module_destroy(m);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_missing_and_wrong),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
