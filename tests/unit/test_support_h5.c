/* HDF5: round trips, tables, strings, determinism, limits, damaged files. */
#include "tests/unit/unit.h"

#include "support/file.h"
#include "support/h5.h"
#include "support/rng.h"

/* libhdf5 itself leaks while it refuses damaged files; read by the leak sanitizer. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5\n";
}

static struct diag_list diags;
static char dir[64];
static char path[96];

static int setup(void **state)
{
    (void)state;
    diag_init(&diags);
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/t.h5", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_remove_dir(dir);
    diag_fini(&diags);
    return 0;
}

struct row {
    uint8_t kind;
    int32_t weight; /* three bytes of padding before it */
    uint64_t offset;
    float energy;
    uint16_t place[3];
};

static const struct h5_field row_fields[] = {
    H5_FIELD(struct row, kind, H5_U8),
    H5_FIELD(struct row, weight, H5_I32),
    H5_FIELD(struct row, offset, H5_U64),
    H5_FIELD(struct row, energy, H5_F32),
    {"place", H5_U16, offsetof(struct row, place), 3},
};
#define ROW_FIELDS (sizeof row_fields / sizeof row_fields[0])

#define ROWS 1000u

static spk_status write_content(struct h5_file *file)
{
    static const int32_t numbers[6] = {1, -2, 3, -4, 5, -6};
    static const uint64_t shape[2] = {2, 3}, empty = 0;
    static const uint8_t bytes[3] = {1, 2, 255};
    static const double reals[2] = {0.1, 1e300};
    static const char *const texts[] = {"conv1", "", "\xc3\xa4"};
    static const float one = 1.5f;
    struct row *rows;
    spk_status status;
    SPK_TRY(h5_write(file, "grid/a/b", H5_I32, 2, shape, numbers, 0));
    SPK_TRY(h5_write(file, "grid/packed", H5_I32, 2, shape, numbers, 6));
    SPK_TRY(h5_write_1d(file, "bytes", H5_U8, 3, bytes));
    SPK_TRY(h5_write_1d(file, "reals", H5_F64, 2, reals));
    SPK_TRY(h5_write(file, "one", H5_F32, 0, NULL, &one, 9));
    SPK_TRY(h5_write(file, "none", H5_F32, 1, &empty, NULL, 9));
    SPK_TRY(h5_write_string(file, "text", "hello"));
    SPK_TRY(h5_write_string(file, "blank", ""));
    SPK_TRY(h5_write_strings(file, "texts", 3, texts));
    SPK_TRY(h5_write_strings(file, "no_texts", 0, texts));
    SPK_TRY(h5_write_group(file, "deep/inner"));
    SPK_TRY(h5_write_attr_i64(file, "/", "schema", 3));
    SPK_TRY(h5_write_attr_string(file, "deep", "note", "odd"));
    SPK_TRY(spk_alloc_array_raw(ROWS, sizeof *rows, &rows));
    memset(rows, rand() & 0xff, ROWS * sizeof *rows); /* padding must not reach the file */
    for (uint32_t i = 0; i < ROWS; i++) {
        rows[i].kind = (uint8_t)i;
        rows[i].weight = -(int32_t)i;
        rows[i].offset = (uint64_t)i << 40;
        rows[i].energy = (float)i / 3;
        for (uint16_t k = 0; k < 3; k++)
            rows[i].place[k] = (uint16_t)(i + k);
    }
    status = h5_write_table(file, "rows", row_fields, ROW_FIELDS, sizeof *rows, ROWS, rows, 0);
    if (status == SPK_OK)
        status = h5_write_table(file, "rows_packed", row_fields, ROW_FIELDS, sizeof *rows, ROWS,
                                rows, 4);
    if (status == SPK_OK)
        status = h5_write_table(file, "no_rows", row_fields, ROW_FIELDS, sizeof *rows, 0, rows, 4);
    spk_free(rows);
    return status;
}

static spk_status write_file(const char *name)
{
    struct h5_file *file;
    spk_status status;
    SPK_TRY(h5_create(name, &diags, &file));
    status = write_content(file);
    if (status != SPK_OK) {
        h5_destroy(file);
        return status;
    }
    return h5_close(file);
}

static void check_table(const struct h5_file *file, const char *name)
{
    struct row *rows;
    uint64_t n_rows;
    assert_ok(
        h5_read_table(file, name, row_fields, ROW_FIELDS, sizeof *rows, ROWS, &rows, &n_rows));
    assert_int_equal(n_rows, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        const unsigned char *raw = (const unsigned char *)&rows[i];
        assert_int_equal(rows[i].kind, (uint8_t)i);
        assert_int_equal(rows[i].weight, -(int32_t)i);
        assert_true(rows[i].offset == (uint64_t)i << 40);
        assert_true(rows[i].energy == (float)i / 3);
        assert_int_equal(rows[i].place[2], i + 2);
        assert_int_equal(raw[1] | raw[2] | raw[3], 0);
    }
    spk_free(rows);
}

static void test_round_trip(void **state)
{
    struct h5_file *file;
    struct h5_info info;
    struct h5_names names;
    int32_t *numbers;
    int64_t wide[6], attr;
    uint64_t shape[2] = {2, 3}, n_rows;
    double *reals, real;
    float one;
    char *text;
    struct row *rows;
    (void)state;
    assert_ok(write_file(path));
    assert_ok(h5_open(path, &diags, &file));
    assert_true(h5_exists(file, "grid/a/b") && h5_exists(file, "/") && h5_exists(file, "/grid/"));
    assert_false(h5_exists(file, "grid/x") || h5_exists(file, "bytes/x") || h5_exists(file, ""));
    assert_ok(h5_read(file, "grid/a/b", H5_I32, 6, &info, &numbers));
    assert_true(info.rank == 2 && info.dims[0] == 2 && info.dims[1] == 3 && info.count == 6);
    assert_int_equal(numbers[5], -6);
    spk_free(numbers);
    assert_ok(h5_read_into(file, "grid/packed", H5_I64, 2, shape, wide));
    assert_int_equal(wide[1], -2);
    assert_ok(h5_read_as_f64(file, "bytes", 3, NULL, &reals));
    assert_true(reals[2] == 255.0);
    spk_free(reals);
    assert_ok(h5_read_scalar(file, "one", H5_F32, &one));
    assert_ok(h5_read_scalar(file, "one", H5_F64, &real));
    assert_true(one == 1.5f && real == 1.5);
    assert_ok(h5_read(file, "none", H5_F32, 0, &info, &numbers));
    assert_int_equal(info.count, 0);
    spk_free(numbers);
    assert_ok(h5_read_string(file, "text", 5, &text));
    assert_string_equal(text, "hello");
    spk_free(text);
    assert_ok(h5_read_string(file, "blank", 5, &text));
    assert_string_equal(text, "");
    spk_free(text);
    assert_ok(h5_read_strings(file, "texts", 3, 10, &names));
    assert_string_equal(names.data[0], "conv1");
    assert_string_equal(names.data[1], "");
    assert_string_equal(names.data[2], "\xc3\xa4");
    h5_names_fini(&names);
    assert_ok(h5_read_strings(file, "no_texts", 3, 10, &names));
    assert_int_equal(names.len, 0);
    h5_names_fini(&names);
    check_table(file, "rows");
    check_table(file, "rows_packed");
    assert_ok(
        h5_read_table(file, "no_rows", row_fields, ROW_FIELDS, sizeof *rows, 0, &rows, &n_rows));
    assert_int_equal(n_rows, 0);
    spk_free(rows);
    assert_ok(h5_read_attr_i64(file, "/", "schema", &attr));
    assert_int_equal(attr, 3);
    assert_ok(h5_read_attr_string(file, "deep", "note", 10, &text));
    assert_string_equal(text, "odd");
    spk_free(text);
    assert_ok(h5_list(file, "/", 100, &names));
    assert_int_equal(names.len, 13);
    assert_string_equal(names.data[0], "blank");
    h5_names_fini(&names);
    h5_destroy(file);
    h5_destroy(NULL);
    assert_ok(h5_close(NULL));
}

static void test_refusals(void **state)
{
    struct h5_file *file;
    struct h5_names names;
    int32_t *numbers, number;
    uint64_t shape[2] = {3, 2}, n_rows;
    struct row *rows;
    char *text;
    int64_t attr;
    struct h5_field wrong = H5_FIELD(struct row, kind, H5_I8);
    struct h5_field missing = {"nope", H5_U8, 0, 1};
    struct h5_field single = {"place", H5_U16, 0, 1};
    (void)state;
    assert_ok(write_file(path));
    assert_ok(h5_open(path, &diags, &file));
    assert_int_equal(h5_read(file, "nope", H5_I32, 6, NULL, &numbers), SPK_ERR_INPUT);
    assert_null(numbers);
    unit_expect_diag(&diags, "t.h5: nope: error[E0021]: missing in the HDF5 file");
    assert_int_equal(h5_read(file, "grid/a/b", H5_I32, 5, NULL, &numbers), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "has 6 elements, the limit is 5");
    assert_int_equal(h5_read(file, "reals", H5_F32, 5, NULL, &numbers), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "holds f64, which does not fit into f32");
    assert_int_equal(h5_read(file, "text", H5_I32, 5, NULL, &numbers), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "does not hold plain numbers");
    assert_int_equal(h5_read(file, "grid", H5_I32, 5, NULL, &numbers), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "is a group");
    assert_int_equal(h5_read_into(file, "grid/packed", H5_I32, 2, shape, NULL), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "dimension 0 is 2, expected 3");
    assert_int_equal(h5_read_into(file, "grid/packed", H5_I32, 1, shape, NULL), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "rank 2, expected 1");
    assert_int_equal(h5_read_scalar(file, "bytes", H5_I32, &number), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "has 3 elements, expected one");
    assert_int_equal(h5_read_string(file, "text", 4, &text), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "longer than the limit of 4 bytes");
    assert_int_equal(h5_read_string(file, "texts", 9, &text), SPK_ERR_INPUT);
    assert_int_equal(h5_read_strings(file, "bytes", 9, 9, &names), SPK_ERR_INPUT);
    assert_int_equal(
        h5_read_table(file, "rows", row_fields, ROW_FIELDS, sizeof *rows, ROWS - 1, &rows, &n_rows),
        SPK_ERR_INPUT);
    unit_expect_diag(&diags, "has 1000 rows, the limit is 999");
    assert_int_equal(h5_read_table(file, "rows", &wrong, 1, 1, ROWS, &rows, &n_rows),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "column \"kind\" holds u8, expected i8");
    assert_int_equal(h5_read_table(file, "rows", &missing, 1, 1, ROWS, &rows, &n_rows),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "column \"nope\" is missing");
    assert_int_equal(h5_read_table(file, "rows", &single, 1, 2, ROWS, &rows, &n_rows),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "column \"place\" has 3 values per row, expected 1");
    assert_int_equal(h5_read_table(file, "bytes", &missing, 1, 1, ROWS, &rows, &n_rows),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "is not a table");
    assert_int_equal(h5_list(file, "/", 3, &names), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "more than 3 members");
    assert_int_equal(h5_list(file, "bytes", 3, &names), SPK_ERR_INPUT);
    assert_int_equal(h5_read_attr_i64(file, "/", "nope", &attr), SPK_ERR_INPUT);
    assert_int_equal(h5_read_attr_i64(file, "deep", "note", &attr), SPK_ERR_INPUT);
    assert_int_equal(h5_read_attr_string(file, "/", "schema", 9, &text), SPK_ERR_INPUT);
    assert_int_equal(h5_write_1d(file, "new", H5_I32, 1, &number), SPK_ERR_IO); /* read-only */
    h5_destroy(file);
    diag_clear(&diags);
    assert_int_equal(h5_open("/nonexistent.h5", &diags, &file), SPK_ERR_IO);
    unit_expect_diag(&diags, "No such file");
    assert_int_equal(h5_create("/nonexistent/x.h5", &diags, &file), SPK_ERR_IO);
    assert_ok(file_write_all(path, "not hdf5", 8, &diags));
    assert_int_equal(h5_open(path, &diags, &file), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "not an HDF5 file");
    assert_ok(h5_create(path, &diags, &file));
    assert_ok(h5_write_1d(file, "x", H5_I32, 1, &number));
    assert_int_equal(h5_write_1d(file, "x", H5_I32, 1, &number), SPK_ERR_IO); /* exists already */
    assert_ok(h5_close(file));
}

static void test_deterministic(void **state)
{
    char first[65], second[65], other[96];
    (void)state;
    (void)snprintf(other, sizeof other, "%s/other.h5", dir);
    srand(1);
    assert_ok(write_file(path));
    sleep(1); /* time stamps would differ */
    srand(2);
    assert_ok(write_file(other));
    assert_ok(file_sha256(path, &diags, first));
    assert_ok(file_sha256(other, &diags, second));
    assert_string_equal(first, second);
}

static spk_status read_everything(const char *name)
{
    struct h5_file *file;
    struct h5_names names = {0};
    spk_status status = h5_open(name, NULL, &file);
    struct row *rows = NULL;
    uint64_t n_rows;
    double *reals = NULL;
    char *text = NULL;
    if (status == SPK_OK)
        status = h5_list(file, "/", 100, &names);
    if (status == SPK_OK)
        status = h5_read_table(file, "rows_packed", row_fields, ROW_FIELDS, sizeof *rows, ROWS,
                               &rows, &n_rows);
    spk_free(rows);
    if (status == SPK_OK)
        status = h5_read_as_f64(file, "grid/packed", 100, NULL, &reals);
    spk_free(reals);
    if (status == SPK_OK)
        status = h5_read_string(file, "text", 100, &text);
    spk_free(text);
    h5_names_fini(&names);
    h5_destroy(file);
    return status;
}

static void test_memory(void **state)
{
    spk_status status;
    (void)state;
    for_each_failing_alloc(status, (diag_clear(&diags), status = write_file(path)));
    for_each_failing_alloc(status, status = read_everything(path));
}

/* Truncated and flipped files may be refused or read, but must not crash. */
static void test_damaged(void **state)
{
    struct rng rng;
    char *bytes, *copy;
    size_t size;
    (void)state;
    assert_ok(write_file(path));
    assert_ok(file_read(path, 0, &diags, &bytes, &size));
    copy = spk_alloc(size);
    assert_non_null(copy);
    rng_seed(&rng, 3);
    for (int i = 0; i < 60; i++) {
        size_t cut = i < 20 ? size * (size_t)i / 20 : size;
        memcpy(copy, bytes, size);
        for (int k = 0; i >= 20 && k < 4; k++)
            copy[rng_below(&rng, 4096)] = (char)rng_below(&rng, 256);
        assert_ok(file_write_all(path, copy, cut, &diags));
        (void)!read_everything(path);
    }
    spk_free(copy);
    spk_free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deterministic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
