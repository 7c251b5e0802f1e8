/* Safetensors: round trip, conversions, hostile headers, memory faults. */
#include "tests/unit/unit.h"

#include "support/file.h"
#include "support/rng.h"
#include "support/safetensors.h"

static struct diag_list diags;

static int setup(void **state)
{
    (void)state;
    diag_init(&diags);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    diag_fini(&diags);
    return 0;
}

/* A file image with this header and `data_size` bytes 0, 1, 2, … of data; spk_free. */
static char *image(const char *header, size_t data_size, size_t *out_size)
{
    size_t length = strlen(header);
    char *bytes = spk_alloc_zero(8 + length + data_size);
    assert_non_null(bytes);
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        bytes[8 + length + i] = (char)i;
    *out_size = 8 + length + data_size;
    return bytes;
}

static void refuse(const char *header, size_t data_size, const char *message)
{
    struct st_file *file;
    size_t size;
    char *bytes = image(header, data_size, &size);
    assert_int_equal(st_open_memory(bytes, size, "w.st", &diags, &file), SPK_ERR_INPUT);
    assert_null(file);
    unit_expect_diag(&diags, message);
    spk_free(bytes);
}

#define ENTRY(dtype, shape, from, to) \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_hostile(void **state)
{
    struct st_file *file;
    (void)state;
    refuse("", 0, "the header is no JSON object");
    refuse("[]", 0, "the header is no JSON object");
    refuse("{", 0, "w.st:1:1: error[E0010]");
    refuse("{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"a\":" ENTRY("F32", "[1]", "4", "8") "}", 8,
           "duplicate object key");
    refuse("{\"a\":3}", 0, "w.st: .a: error[E0012]: expected an object");
    refuse("{\"a\":{}}", 0, "member \"dtype\" is missing");
    refuse("{\"a\":" ENTRY("Q4", "[1]", "0", "4") "}", 4, "element type \"Q4\" is not supported");
    refuse("{\"a\":" ENTRY("F32", "[-1]", "0", "4") "}", 4, "w.st: .a.shape[0]: error[E0012]: -1");
    refuse("{\"a\":" ENTRY("F32", "[1.5]", "0", "4") "}", 4, "expected an integer");
    refuse("{\"a\":" ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, "rank 9");
    refuse("{\"a\":" ENTRY("F32", "[4294967296,4294967296,4]", "0", "4") "}", 4, "overflows");
    refuse("{\"a\":" ENTRY("F32", "[4611686018427387905]", "0", "4") "}", 4, "not what the shape");
    refuse("{\"a\":" ENTRY("F32", "[2]", "0", "8") "}", 4, "lies outside the 4 bytes");
    refuse("{\"a\":" ENTRY("F32", "[1]", "4", "0") "}", 4, "lies outside");
    refuse("{\"a\":" ENTRY("F32", "[2]", "0", "4") "}", 4, "not what the shape needs");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two offsets");
    refuse("{\"a\":" ENTRY("F32", "[1]", "0", "4") ",\"b\":" ENTRY("F32", "[1]", "2", "6") "}", 6,
           "w.st: tensor b: error[E0032]: data overlaps");
    refuse("{\"a\":" ENTRY("U8", "[1]", "1", "2") "}", 2, "leaves a hole");
    refuse("{\"a\":" ENTRY("U8", "[1]", "0", "1") "}", 2, "1 bytes at the end");
    refuse("{\"__metadata__\":{\"k\":1}}", 0, "w.st: .__metadata__.k: error[E0012]");
    refuse("{\"__metadata__\":{\"k\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}", 0,
           "too deep");
    assert_int_equal(st_open_memory("1234567", 7, "s", &diags, &file), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "shorter than 8 bytes");
    assert_int_equal(st_open_memory("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "s", &diags, &file),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "header length 18446744073709551615 is beyond the limit");
    assert_int_equal(st_open_memory("\x09\0\0\0\0\0\0\0{}", 10, "s", &diags, &file), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "end of the file");
    assert_int_equal(st_open("/nonexistent", &diags, &file), SPK_ERR_IO);
}

static const char good_header[] =
    "{\"__metadata__\":{\"z\":\"1\",\"a\":\"two\"},"
    "\"zz\":" ENTRY("U8", "[3]", "0",
                    "3") ","
                         "\"f\":" ENTRY("F32", "[2,1]", "3",
                                        "11") ","
                                              "\"empty\":" ENTRY("F64", "[0,5]", "11",
                                                                 "11") ","
                                                                       "\"s\":" ENTRY("I16", "[]",
                                                                                      "11",
                                                                                      "13") "}   ";

static void test_read(void **state)
{
    struct st_file *file;
    size_t size;
    char *bytes = image(good_header, 13, &size);
    const struct st_tensor *tensor;
    const char *key, *value;
    float single[2];
    int32_t number;
    struct strbuf text = {0};
    (void)state;
    assert_ok(st_open_memory(bytes, size, "w.st", &diags, &file));
    assert_int_equal(st_count(file), 4);
    assert_string_equal(st_at(file, 0)->name, "zz");
    assert_null(st_at(file, 4));
    assert_null(st_find(file, "nope"));
    tensor = st_find(file, "f"); /* at an odd address */
    assert_true(tensor->rank == 2 && tensor->shape[0] == 2 && tensor->count == 2);
    assert_ok(st_to_f32(tensor, single));
    assert_memory_equal(single, tensor->data, sizeof single);
    st_describe(tensor, &text);
    assert_string_equal(strbuf_cstr(&text), "F32[2,1]");
    strbuf_fini(&text);
    assert_int_equal(st_find(file, "empty")->size, 0);
    assert_ok(st_require(file, "s", &diags, &tensor));
    assert_true(tensor->rank == 0 && tensor->count == 1);
    assert_ok(st_to_i32(tensor, &number, NULL));
    assert_int_equal(number, 0x0c0b);
    assert_int_equal(st_require(file, "nope", &diags, &tensor), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "w.st: error[E0033]: there is no tensor \"nope\"");
    assert_int_equal(st_meta_count(file), 2);
    st_meta_at(file, 0, &key, &value);
    assert_string_equal(key, "z");
    assert_string_equal(st_meta(file, "a"), "two");
    assert_null(st_meta(file, "b"));
    st_meta_at(file, 9, &key, &value);
    assert_null(key);
    st_close(file);
    st_close(NULL);
    spk_free(bytes);
}

static void test_mutations(void **state)
{
    struct rng rng;
    size_t size;
    char *bytes = image(good_header, 13, &size);
    char *copy = spk_alloc(size);
    (void)state;
    assert_non_null(copy);
    rng_seed(&rng, 9);
    for (int i = 0; i < 20000; i++) { /* must never crash or read outside */
        struct st_file *file;
        size_t cut = rng_below(&rng, 4) == 0 ? (size_t)rng_below(&rng, size) : size;
        char *exact = spk_alloc(cut);
        memcpy(copy, bytes, size);
        for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
            copy[rng_below(&rng, size)] = (char)rng_below(&rng, 256);
        memcpy(exact, copy, cut);
        if (st_open_memory(exact, cut, "m", NULL, &file) == SPK_OK) {
            for (size_t t = 0; t < st_count(file); t++) {
                const struct st_tensor *tensor = st_at(file, t);
                double values[32];
                assert_true(tensor->count <= 32);
                assert_ok(st_to_f64(tensor, values));
            }
            st_close(file);
        }
        spk_free(exact);
    }
    spk_free(copy);
    spk_free(bytes);
}

static void test_convert(void **state)
{
    static const int64_t big[] = {INT64_MIN, -1, INT32_MAX, INT64_C(1) << 31};
    static const uint64_t huge[] = {1, UINT64_MAX};
    static const uint16_t halves[] = {0x3c00, 0xc000};
    static const double reals[] = {0.1, -2};
    static const int8_t bytes[] = {-128, 127};
    struct st_tensor tensor = {.name = "t", .dtype = ST_I64, .count = 4};
    int64_t i64[4];
    int32_t i32[4];
    float f32[4];
    double f64[4];
    uint64_t index = 99;
    (void)state;
    tensor.data = (const uint8_t *)big;
    assert_ok(st_to_i64(&tensor, i64, &index));
    assert_memory_equal(i64, big, sizeof big);
    assert_int_equal(st_to_i32(&tensor, i32, &index), SPK_ERR_INPUT);
    assert_int_equal(index, 0);
    tensor.data = (const uint8_t *)(big + 1);
    tensor.count = 3;
    assert_int_equal(st_to_i32(&tensor, i32, &index), SPK_ERR_INPUT);
    assert_int_equal(index, 2);
    assert_ok(st_to_f64(&tensor, f64));
    assert_true(f64[0] == -1.0 && f64[2] == 0x1p31);
    tensor = (struct st_tensor){.dtype = ST_U64, .count = 2, .data = (const uint8_t *)huge};
    assert_int_equal(st_to_i64(&tensor, i64, &index), SPK_ERR_INPUT);
    assert_int_equal(index, 1);
    assert_ok(st_to_f32(&tensor, f32));
    assert_true(f32[1] == 0x1p64f);
    tensor = (struct st_tensor){.dtype = ST_F16, .count = 2, .data = (const uint8_t *)halves};
    assert_ok(st_to_f32(&tensor, f32));
    assert_true(f32[0] == 1.0f && f32[1] == -2.0f);
    assert_int_equal(st_to_i32(&tensor, i32, NULL), SPK_ERR_INPUT);
    tensor = (struct st_tensor){.dtype = ST_F64, .count = 2, .data = (const uint8_t *)reals};
    assert_ok(st_to_f32(&tensor, f32));
    assert_true(f32[0] == 0.1f);
    tensor = (struct st_tensor){.dtype = ST_I8, .count = 2, .data = (const uint8_t *)bytes};
    assert_ok(st_to_i32(&tensor, i32, NULL));
    assert_true(i32[0] == -128 && i32[1] == 127);
    tensor.dtype = ST_U8;
    assert_ok(st_to_i32(&tensor, i32, NULL));
    assert_true(i32[0] == 128);
}

static spk_status write_sample(const char *path)
{
    static const uint8_t spikes[3] = {1, 0, 1};
    static const double real = 2.5;
    static const float pair[2] = {1, -1};
    static const uint64_t three = 3, two = 2;
    struct st_writer *writer;
    spk_status status;
    SPK_TRY(st_writer_create(&writer));
    status = st_writer_add(writer, "z\"\xc3\xa4", ST_U8, 1, &three, spikes);
    if (status == SPK_OK)
        status = st_writer_add(writer, "real", ST_F64, 0, NULL, &real);
    if (status == SPK_OK)
        status = st_writer_add(writer, "pair", ST_F32, 1, &two, pair);
    if (status == SPK_OK)
        status = st_writer_meta(writer, "made by", "spikec");
    if (status == SPK_OK)
        status = st_writer_save(writer, path, NULL);
    st_writer_destroy(writer);
    return status;
}

static spk_status open_sample(const char *path)
{
    struct st_file *file;
    spk_status status = st_open(path, NULL, &file);
    st_close(file);
    return status;
}

static void test_write(void **state)
{
    char dir[64], path[96], first[65], second[65];
    struct st_file *file;
    const struct st_tensor *tensor;
    double real;
    spk_status status = SPK_OK;
    (void)state;
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/t.safetensors", dir);
    for_each_failing_alloc(status, status = write_sample(path));
    assert_ok(write_sample(path));
    assert_ok(file_sha256(path, &diags, first));
    assert_ok(write_sample(path));
    assert_ok(file_sha256(path, &diags, second));
    assert_string_equal(first, second);
    assert_ok(st_open(path, &diags, &file));
    assert_string_equal(st_at(file, 0)->name, "z\"\xc3\xa4"); /* insertion order */
    assert_string_equal(st_meta(file, "made by"), "spikec");
    tensor = st_find(file, "real");
    assert_int_equal((uintptr_t)tensor->data % 8, 0);
    assert_int_equal((uintptr_t)st_find(file, "pair")->data % 4, 0);
    assert_ok(st_to_f64(tensor, &real));
    assert_true(real == 2.5);
    st_close(file);
    for_each_failing_alloc(status, status = open_sample(path));
    unit_remove_dir(dir);
}

static void test_writer_refuses(void **state)
{
    struct st_writer *writer;
    static const uint64_t huge[2] = {UINT64_MAX, 2};
    char name[16];
    (void)state;
    assert_ok(st_writer_create(&writer));
    assert_ok(st_writer_add(writer, "a", ST_U8, 0, NULL, "x"));
    assert_int_equal(st_writer_add(writer, "a", ST_U8, 0, NULL, "x"), SPK_ERR_INTERNAL);
    assert_int_equal(st_writer_add(writer, "__metadata__", ST_U8, 0, NULL, "x"), SPK_ERR_INTERNAL);
    assert_int_equal(st_writer_add(writer, "b", ST_U8, 9, NULL, "x"), SPK_ERR_INTERNAL);
    assert_int_equal(st_writer_add(writer, "b", ST_U8, 2, huge, "x"), SPK_ERR_INTERNAL);
    assert_int_equal(st_writer_add(writer, "b", ST_I64, 1, huge, "x"), SPK_ERR_INTERNAL);
    assert_ok(st_writer_meta(writer, "k", "v"));
    assert_int_equal(st_writer_meta(writer, "k", "v"), SPK_ERR_INTERNAL);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof name, "n%d", i);
        assert_ok(st_writer_add(writer, name, ST_U8, 0, NULL, "x"));
        assert_int_equal(st_writer_add(writer, name, ST_U8, 0, NULL, "x"), SPK_ERR_INTERNAL);
    }
    st_writer_destroy(writer);
    st_writer_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_convert, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writer_refuses, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
