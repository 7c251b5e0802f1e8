/* Checkpoints: every allocation fails once, files are cut and bytes changed at every place; zip
 * archives with more members than the old directory can count. The tool's tests read and compare.
 */
#include "support/file.h"
#include "support/pickle.h"
#include "support/pth.h"
#include "support/zip.h"
#include "unit.h"

static void load(const char *name, char **out_data, size_t *out_size)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/checkpoints/%s", SPIKEC_TEST_DATA_DIR, name);
    assert_ok(file_read(path, 0, NULL, out_data, out_size));
}

static const uint8_t *bytes(const char *data)
{
    return (const uint8_t *)data;
}

static const char *const files[] = {"strided.zip.pth", "strided.old.pth", "training.zip.pth",
                                    "training.old.pth", "protocol4.zip.pth"};
#define N_FILES (sizeof files / sizeof files[0])

static void failing_allocations(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILES; i++) {
        char *data;
        size_t size;
        spk_status status = SPK_OK;
        load(files[i], &data, &size);
        for_each_failing_alloc(status, {
            struct st_file *file;
            struct diag_list diags;
            diag_init(&diags);
            status = pth_open_memory(bytes(data), size, files[i], false, &diags, &file);
            assert_true((file != NULL) == (status == SPK_OK));
            st_close(file);
            diag_fini(&diags);
        });
        spk_free(data);
    }
}

/* A cut file is never read as if it were whole. */
static void cut_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILES; i++) {
        char *data;
        size_t size;
        load(files[i], &data, &size);
        for (size_t n = 0; n < size; n++) {
            struct st_file *file;
            uint8_t *exact;
            assert_ok(spk_alloc_array_raw(n, 1, &exact));
            if (n)
                memcpy(exact, data, n);
            assert_int_equal(pth_open_memory(exact, n, "cut", false, NULL, &file), SPK_ERR_INPUT);
            assert_null(file);
            spk_free(exact);
        }
        spk_free(data);
    }
}

static uint32_t sum_of(const struct st_file *file)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < st_count(file); i++) {
        for (size_t k = 0; k < st_at(file, i)->size; k++)
            sum += st_at(file, i)->data[k];
    }
    return sum;
}

/* One changed byte: an error, or a file all of whose tensors can be read. In zip archives tensors
 * are guarded by checksums, so that what is read has the right values. */
static void changed_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_FILES; i++) {
        char *data;
        size_t size;
        struct st_file *file;
        load(files[i], &data, &size);
        assert_ok(pth_open_memory(bytes(data), size, "whole", false, NULL, &file));
        uint32_t right = sum_of(file);
        st_close(file);
        bool zip = zip_is_archive(bytes(data), size);
        for (size_t at = 0; at < size; at++) {
            char old = data[at];
            data[at] = (char)(old ^ (at % 3 == 0 ? 0x80 : (at % 3 == 1 ? 0x01 : 0xff)));
            spk_status status = pth_open_memory(bytes(data), size, "changed", false, NULL, &file);
            assert_true(status == SPK_OK || status == SPK_ERR_INPUT);
            if (file && zip)
                assert_int_equal(sum_of(file), right);
            else if (file)
                (void)sum_of(file);
            st_close(file);
            data[at] = old;
        }
        spk_free(data);
    }
}

static void save_fails_cleanly(void **state)
{
    (void)state;
    char dir[64], path[96];
    static const float values[6] = {1, 2, 3, 4, 5, 6};
    const struct st_tensor tensor = {.name = "w",
                                     .dtype = ST_F32,
                                     .rank = 2,
                                     .shape = {2, 3},
                                     .count = 6,
                                     .data = (const uint8_t *)values,
                                     .size = sizeof values};
    spk_status status = SPK_OK;
    struct st_file *file;
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/w.pth", dir);
    for_each_failing_alloc(status, { status = pth_save(&tensor, 1, path, NULL); });
    assert_ok(tensor_file_open(path, false, NULL, &file));
    assert_int_equal(st_count(file), 1);
    assert_memory_equal(st_at(file, 0)->data, values, sizeof values);
    assert_int_equal((uintptr_t)st_at(file, 0)->data % 64, 0); /* used in place */
    st_close(file);
    unit_remove_dir(dir);
}

/* Numbers as the writer puts them: all lengths, read back by the machine. */
static void long_numbers(void **state)
{
    (void)state;
    static const uint64_t extents[] = {
        0xff,       0x100,      0xffff,     0x10000,
        0x7fffffff, 0x80000000, 0xffffffff, UINT64_C(0x8000000000000)};
    char dir[64], path[96];
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/w.pth", dir);
    for (size_t i = 0; i < sizeof extents / sizeof extents[0]; i++) {
        struct st_tensor tensor = {.name = "w", .dtype = ST_U8, .rank = 2};
        struct st_file *file;
        tensor.shape[1] = extents[i]; /* [0, n] has no bytes */
        assert_ok(pth_save(&tensor, 1, path, NULL));
        assert_ok(tensor_file_open(path, false, NULL, &file));
        assert_true(st_at(file, 0)->shape[1] == extents[i]);
        st_close(file);
    }
    unit_remove_dir(dir);
}

/* More members than 16 bits count: the zip64 records of the writer. */
static void many_members(void **state)
{
    (void)state;
    enum { N = 70000 };
    char dir[64], path[96], name[32];
    struct file_writer *out;
    struct zip_writer *writer;
    struct zip_archive archive;
    struct arena arena = {0};
    char *data;
    size_t size;
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/many.zip", dir);
    assert_ok(file_writer_create(path, NULL, &out));
    assert_ok(zip_writer_create(out, &writer));
    for (uint32_t i = 0; i < N; i++) {
        (void)snprintf(name, sizeof name, "a/%u", i);
        assert_ok(zip_writer_add(writer, name, &i, i % 5));
    }
    assert_ok(zip_writer_finish(writer));
    zip_writer_destroy(writer);
    assert_ok(file_writer_commit(out));
    assert_ok(file_read(path, 0, NULL, &data, &size));
    assert_ok(zip_read(bytes(data), size, path, &arena, NULL, &archive));
    assert_int_equal(archive.n_members, N);
    const struct zip_member *member = zip_find(&archive, "a/69999");
    assert_non_null(member);
    assert_int_equal(member->size, 4);
    assert_ok(zip_check(&archive, member, NULL));
    assert_int_equal(zip_find(&archive, "a/0")->size, 0);
    assert_null(zip_find(&archive, "a/70000"));
    spk_free(data);
    arena_fini(&arena);
    unit_remove_dir(dir);
}

/* A list that many dicts are made of must not be copied without end. */
static void pickle_cannot_multiply(void **state)
{
    (void)state;
    struct strbuf text = {0};
    struct arena arena = {0};
    struct pickle_value *value;
    struct diag_list diags;
    size_t used;
    diag_init(&diags);
    strbuf_append(&text, "\x80\x02"
                         "ccollections\nOrderedDict\nq");
    strbuf_char(&text, '\0');
    strbuf_append(&text, "](");
    for (int i = 0; i < 10000; i++)
        strbuf_append(&text, "NN\x86");
    strbuf_append(&text, "e\x85q\x01");
    for (int i = 0; i < 10000; i++) {
        strbuf_char(&text, 'h');
        strbuf_char(&text, '\0');
        strbuf_append(&text, "h\x01R0");
    }
    strbuf_append(&text, "N.");
    assert_ok(text.status);
    struct pickle_stream stream = {.data = (const uint8_t *)text.data,
                                   .size = text.len,
                                   .name = "many",
                                   .arena = &arena,
                                   .diags = &diags};
    assert_int_equal(pickle_read(&stream, NULL, &value, &used), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "more than 4194304 values");
    arena_fini(&arena);
    strbuf_fini(&text);
    diag_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_allocations),    cmocka_unit_test(cut_files),
        cmocka_unit_test(changed_bytes),          cmocka_unit_test(save_fails_cleanly),
        cmocka_unit_test(long_numbers),           cmocka_unit_test(many_members),
        cmocka_unit_test(pickle_cannot_multiply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
