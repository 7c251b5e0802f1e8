/* Files: reading, gzip, maps, atomic writing, folder replacement, IDX. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <zlib.h>

#include "support/file.h"
#include "support/gunzip.h"
#include "support/idx.h"

static struct diag_list diags;
static char dir[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    diag_init(&diags);
    unit_temp_dir(dir);
    (void)snprintf(path, sizeof path, "%s/f", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unit_remove_dir(dir);
    diag_fini(&diags);
    return 0;
}

static void put(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void expect_content(const char *name, const char *expected)
{
    char *data;
    size_t size;
    assert_ok(file_read(name, 0, &diags, &data, &size));
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    spk_free(data);
}

static size_t count_entries(const char *folder)
{
    struct file_names names;
    size_t count;
    assert_ok(file_list(folder, "", &diags, &names));
    count = names.len;
    file_names_fini(&names);
    return count;
}

static void test_read(void **state)
{
    char *data;
    size_t size;
    struct file_map map;
    char hex[65];
    (void)state;
    put(path, "abc", 3);
    expect_content(path, "abc");
    assert_int_equal(file_read(path, 2, &diags, &data, &size), SPK_ERR_INPUT);
    assert_null(data);
    unit_expect_diag(&diags, "larger than the limit of 2 bytes");
    assert_ok(file_read(path, 3, &diags, &data, &size));
    spk_free(data);
    assert_int_equal(file_read("/nonexistent", 0, &diags, &data, &size), SPK_ERR_IO);
    unit_expect_diag(&diags, "/nonexistent: error[E0001]: cannot open: No such file");
    assert_int_equal(file_read(dir, 0, &diags, &data, &size), SPK_ERR_IO);
    unit_expect_diag(&diags, "Is a directory");
    assert_int_equal(file_read("/dev/zero", 100000, &diags, &data, &size), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "larger");
    assert_ok(file_map_open(path, &diags, &map));
    assert_memory_equal(map.data, "abc", 3);
    file_map_close(&map);
    file_map_close(&map);
    assert_int_equal(file_map_open(dir, &diags, &map), SPK_ERR_IO);
    unit_expect_diag(&diags, "not a regular file");
    assert_ok(file_sha256(path, &diags, hex));
    assert_memory_equal(hex, "ba7816bf", 8);
    put(path, "", 0);
    assert_ok(file_map_open(path, &diags, &map));
    assert_true(map.size == 0 && !map.data);
    file_map_close(&map);
    expect_content(path, "");
}

static void put_gzip(const char *name, const void *data, unsigned size, const char *mode)
{
    gzFile file = gzopen(name, mode);
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

static void test_gzip(void **state)
{
    char *data, *packed;
    size_t size, packed_size;
    char text[5000];
    (void)state;
    memset(text, 'x', sizeof text);
    put_gzip(path, text, sizeof text, "wb9");
    put_gzip(path, "tail", 4, "ab9"); /* a second member */
    assert_ok(file_read_gz(path, 0, &diags, &data, &size));
    assert_int_equal(size, 5004);
    assert_string_equal(data + 4998, "xxtail");
    spk_free(data);
    assert_int_equal(file_read_gz(path, 5003, &diags, &data, &size), SPK_ERR_INPUT);
    unit_expect_diag(&diags, "error[E0004]: unpacked content is larger than the limit of 5003");
    assert_ok(file_read_gz(path, 5004, &diags, &data, &size));
    spk_free(data);
    assert_ok(file_read(path, 0, &diags, &packed, &packed_size));
    for (size_t cut = 2; cut < packed_size; cut++) { /* truncated anywhere but between members */
        spk_status status = gunzip(packed, cut, 100000, "cut", &diags, &data, &size);
        if (status == SPK_OK)
            assert_int_equal(size, 5000);
        else
            assert_int_equal(status, SPK_ERR_INPUT);
        spk_free(data);
    }
    diag_clear(&diags);
    packed[packed_size - 5] = (char)(packed[packed_size - 5] ^ 1); /* check sum */
    assert_int_equal(gunzip(packed, packed_size, 100000, "bad", &diags, &data, &size),
                     SPK_ERR_INPUT);
    unit_expect_diag(&diags, "gzip data is damaged");
    spk_free(packed);
    put(path, "plain", 5);
    assert_ok(file_read_gz(path, 5, &diags, &data, &size));
    assert_string_equal(data, "plain");
    spk_free(data);
    assert_int_equal(file_read_gz(path, 4, &diags, &data, &size), SPK_ERR_INPUT);
}

static spk_status read_gz_once(void)
{
    char *data;
    size_t size;
    spk_status status = file_read_gz(path, 0, NULL, &data, &size);
    spk_free(data);
    return status;
}

static void test_gzip_memory(void **state)
{
    spk_status status;
    char text[3000] = {0};
    (void)state;
    put_gzip(path, text, sizeof text, "wb");
    for_each_failing_alloc(status, status = read_gz_once());
}

static void test_write(void **state)
{
    struct file_writer *writer;
    struct stat info;
    char link_path[128];
    char *big = spk_alloc_zero(200000);
    (void)state;
    assert_ok(file_write_all(path, "one", 3, &diags));
    expect_content(path, "one");
    assert_int_equal(chmod(path, 0600), 0);
    assert_ok(file_writer_create(path, &diags, &writer));
    assert_ok(file_writer_write(writer, "two", 3));
    expect_content(path, "one"); /* until the commit */
    file_writer_abort(writer);
    expect_content(path, "one");
    assert_int_equal(count_entries(dir), 1);
    assert_ok(file_write_all(path, "three", 5, &diags));
    expect_content(path, "three");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600); /* permissions stay */
    (void)snprintf(link_path, sizeof link_path, "%s/link", dir);
    assert_int_equal(symlink("f", link_path), 0);
    assert_ok(file_write_all(link_path, "four", 4, &diags));
    assert_int_equal(lstat(link_path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    expect_content(path, "four");
    assert_ok(file_write_all("/dev/null", "x", 1, &diags));
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(file_write_all("/nonexistent/x", "x", 1, &diags), SPK_ERR_IO);
    unit_expect_diag(&diags, "/nonexistent/x: error[E0003]: cannot create the file");
    assert_int_equal(file_write_all(dir, "x", 1, &diags), SPK_ERR_IO);
    unit_expect_diag(&diags, "Is a directory");
    assert_ok(file_writer_create(path, &diags, &writer));
    assert_ok(file_writer_write(writer, "a", 1));
    assert_ok(file_writer_write(writer, big, 200000));
    assert_ok(file_writer_write(writer, "b", 1));
    assert_ok(file_writer_commit(writer));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, 200002);
    spk_free(big);
}

static spk_status write_big(void)
{
    struct file_writer *writer;
    char block[50000];
    spk_status status;
    memset(block, 'z', sizeof block);
    SPK_TRY(file_writer_create(path, NULL, &writer));
    for (int i = 0; i < 5; i++) {
        status = file_writer_write(writer, block, sizeof block);
        if (status != SPK_OK) {
            file_writer_abort(writer);
            return status;
        }
    }
    return file_writer_commit(writer);
}

static void test_write_faults(void **state)
{
    uint64_t nth;
    spk_status status;
    (void)state;
    if (!spk_fault_available())
        skip();
    put(path, "old", 3);
    for (nth = 1;; nth++) {
        spk_fault_arm(SPK_FAULT_WRITE, nth);
        status = write_big();
        if (!spk_fault_disarm(SPK_FAULT_WRITE))
            break;
        assert_int_equal(status, SPK_ERR_IO);
        assert_int_equal(count_entries(dir), 1); /* nothing left behind */
        if (nth < 6)
            expect_content(path, "old");
    }
    assert_ok(status);
    assert_true(nth > 5);
    for_each_failing_alloc(status, status = file_write_all(path, "x", 1, NULL));
}

static spk_status replace_dir(const char *target, const char *content)
{
    struct dir_writer *writer;
    char *name, *inner;
    spk_status status;
    SPK_TRY(dir_begin(target, &diags, &writer));
    status = dir_file(writer, "data", &name);
    if (status == SPK_OK)
        status = file_write_all(name, content, strlen(content), &diags);
    spk_free(name);
    if (status == SPK_OK)
        status = dir_file(writer, "sub", &inner);
    if (status == SPK_OK) {
        (void)mkdir(inner, 0777);
        spk_free(inner);
    }
    if (status != SPK_OK) {
        dir_abort(writer);
        return status;
    }
    return dir_commit(writer);
}

static void test_dir(void **state)
{
    char target[160], data[192], foreign[192];
    struct dir_writer *writer;
    (void)state;
    (void)snprintf(target, sizeof target, "%s/out/", dir);
    (void)snprintf(data, sizeof data, "%s/out/data", dir);
    (void)snprintf(foreign, sizeof foreign, "%s/foreign", dir);
    assert_ok(replace_dir(target, "one"));
    expect_content(data, "one");
    assert_ok(replace_dir(target, "two"));
    expect_content(data, "two");
    assert_int_equal(count_entries(dir), 1);
    assert_ok(dir_begin(target, &diags, &writer));
    assert_true(file_is_directory(dir_path(writer)));
    dir_abort(writer);
    expect_content(data, "two");
    assert_int_equal(count_entries(dir), 1);
    assert_int_equal(mkdir(foreign, 0777), 0);
    assert_ok(replace_dir(foreign, "into an empty folder"));
    (void)snprintf(data, sizeof data, "%s/foreign/%s", dir, DIR_MARKER);
    assert_int_equal(unlink(data), 0); /* now it is not ours any more */
    assert_int_equal(replace_dir(foreign, "x"), SPK_ERR_IO);
    unit_expect_diag(&diags, "help: name a folder that does not exist yet");
    put(path, "file", 4);
    assert_int_equal(replace_dir(path, "x"), SPK_ERR_IO);
    unit_expect_diag(&diags, "it is not a folder");
    assert_int_equal(replace_dir(".", "x"), SPK_ERR_IO);
    unit_expect_diag(&diags, "current folder");
    assert_int_equal(replace_dir("/", "x"), SPK_ERR_IO);
    assert_int_equal(replace_dir("", "x"), SPK_ERR_IO);
    assert_int_equal(replace_dir("/nonexistent/x", "x"), SPK_ERR_IO);
    assert_int_equal(count_entries(dir), 3);
}

static void test_dir_outside(void **state)
{
    char target[160], link_path[192], outside[192];
    (void)state;
    (void)snprintf(target, sizeof target, "%s/out", dir);
    (void)snprintf(link_path, sizeof link_path, "%s/out/link", dir);
    (void)snprintf(outside, sizeof outside, "%s/outside", dir);
    assert_ok(replace_dir(target, "one"));
    put(outside, "keep", 4);
    assert_int_equal(symlink(dir, link_path), 0); /* must not be followed when deleting */
    assert_ok(replace_dir(target, "two"));
    expect_content(outside, "keep");
}

static void test_dir_faults(void **state)
{
    char target[160], data[192];
    spk_status status;
    (void)state;
    if (!spk_fault_available())
        skip();
    (void)snprintf(target, sizeof target, "%s/out", dir);
    (void)snprintf(data, sizeof data, "%s/out/data", dir);
    assert_ok(replace_dir(target, "old"));
    for (uint64_t nth = 1;; nth++) {
        spk_fault_arm(SPK_FAULT_WRITE, nth);
        status = replace_dir(target, "new");
        if (!spk_fault_disarm(SPK_FAULT_WRITE))
            break;
        assert_int_equal(status, SPK_ERR_IO);
        expect_content(data, "old");
        assert_int_equal(count_entries(dir), 1);
    }
    assert_ok(status);
    expect_content(data, "new");
    for_each_failing_alloc(status, (diag_clear(&diags), status = replace_dir(target, "newer")));
    expect_content(data, "newer");
    assert_int_equal(count_entries(dir), 1);
}

static void test_paths(void **state)
{
    char *joined = path_join("a", "b"), *slash = path_join("a/", "b"),
         *absolute = path_join("a", "/b");
    struct file_names names;
    (void)state;
    assert_string_equal(joined, "a/b");
    assert_string_equal(slash, "a/b");
    assert_string_equal(absolute, "/b");
    spk_free(joined);
    spk_free(slash);
    spk_free(absolute);
    assert_string_equal(path_base("x/y.spk"), "y.spk");
    assert_string_equal(path_base("y"), "y");
    assert_true(path_has_suffix("a.spk", ".spk") && !path_has_suffix("k", ".spk"));
    put(path, "", 0);
    assert_true(file_exists(path) && !file_exists("/nonexistent") && !file_is_directory(path));
    assert_ok(file_list(dir, "f", &diags, &names));
    assert_int_equal(names.len, 1);
    assert_string_equal(names.data[0], "f");
    file_names_fini(&names);
    assert_int_equal(file_list("/nonexistent", "", &diags, &names), SPK_ERR_IO);
}

static void refuse_idx(const char *bytes, size_t size, const char *message)
{
    struct idx_array array;
    assert_int_equal(idx_parse(bytes, size, "x.idx", &diags, &array), SPK_ERR_INPUT);
    assert_null(array.data);
    unit_expect_diag(&diags, message);
}

static void test_idx(void **state)
{
    static const char good[] = "\0\0\x08\x02\0\0\0\x02\0\0\0\x03"
                               "abcdef";
    struct idx_array array;
    spk_status status = SPK_OK;
    (void)state;
    assert_ok(idx_parse(good, 18, "x", &diags, &array));
    assert_true(array.rank == 2 && array.dims[0] == 2 && array.dims[1] == 3 && array.size == 6);
    assert_memory_equal(array.data, "abcdef", 6);
    idx_fini(&array);
    for (size_t cut = 0; cut < 18; cut++)
        assert_int_equal(idx_parse(good, cut, "x", NULL, &array), SPK_ERR_INPUT);
    refuse_idx(good, 17, "need 6 bytes of data, the file has 5");
    refuse_idx("\0\1\x08\x01\0\0\0\0", 8, "two zero bytes");
    refuse_idx("\0\0\x0d\x01\0\0\0\0", 8, "error[E0041]: IDX elements are 32-bit floats");
    refuse_idx("\0\0\x33\x01\0\0\0\0", 8, "unknown element type");
    refuse_idx("\0\0\x08\x00\0\0\0\0", 8, "rank 0");
    refuse_idx("\0\0\x08\x09\0\0\0\0", 8, "rank 9");
    refuse_idx("\0\0\x08\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16, "overflow");
    put_gzip(path, good, 18, "wb");
    assert_ok(idx_read(path, 0, &diags, &array));
    assert_memory_equal(array.data, "abcdef", 6);
    idx_fini(&array);
    idx_fini(&array);
    for_each_failing_alloc(status, (status = idx_read(path, 0, NULL, &array), idx_fini(&array)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gzip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gzip_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dir, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dir_outside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dir_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idx, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
