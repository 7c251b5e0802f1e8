/* status, alloc, checked, vec, arena, half, sha256, rng, progress, time. */
#include "tests/unit/unit.h"

#include <math.h>

#include "support/arena.h"
#include "support/checked.h"
#include "support/half.h"
#include "support/progress.h"
#include "support/rng.h"
#include "support/sha256.h"
#include "support/time.h"
#include "support/vec.h"

static void test_status(void **state)
{
    (void)state;
    assert_int_equal(spk_status_exit_code(SPK_OK), 0);
    assert_int_equal(spk_status_exit_code(SPK_DIFFERENCE), 1);
    assert_int_equal(spk_status_exit_code(SPK_ERR_NOFIT), 4);
    assert_int_equal(spk_status_exit_code(SPK_ERR_NOMEM), 5);
    assert_int_equal(spk_status_exit_code(SPK_ERR_INTERNAL), 70);
    assert_int_equal(spk_status_exit_code((spk_status)33), 70);
    assert_string_equal(spk_status_name(SPK_ERR_NOFIT), "does-not-fit");
    assert_string_equal(spk_status_name((spk_status)33), "unknown");
}

static void test_checked(void **state)
{
    size_t size;
    int64_t i64;
    uint32_t u32;
    uint64_t product;
    uint64_t factors[] = {UINT64_MAX, 2, 0};
    (void)state;
    assert_true(checked_mul_size(3, 4, &size) && size == 12);
    assert_false(checked_mul_size(SIZE_MAX, 2, &size));
    assert_false(checked_add_size(SIZE_MAX, 1, &size));
    assert_false(checked_sub_size(0, 1, &size));
    assert_false(checked_mul_add_size(SIZE_MAX / 2, 2, 2, &size));
    assert_true(checked_sub_i64(INT64_MIN + 1, 1, &i64));
    assert_false(checked_sub_i64(INT64_MIN, 1, &i64));
    assert_true(checked_product_u64(factors, 3, &product) && product == 0);
    assert_false(checked_product_u64(factors, 2, &product));
    assert_true(checked_product_u64(factors, 0, &product) && product == 1);
    assert_false(checked_u32_from_i64(-1, &u32));
    assert_true(checked_u32_from_u64(UINT32_MAX, &u32) && u32 == UINT32_MAX);
}

static void test_alloc(void **state)
{
    int *items;
    void *aligned;
    char *text;
    (void)state;
    assert_int_equal(spk_alloc_array(SIZE_MAX / 2, 4, &items), SPK_ERR_NOMEM);
    assert_null(items);
    assert_ok(spk_alloc_array(4, sizeof *items, &items));
    assert_int_equal(items[3], 0);
    items[3] = 7;
    assert_int_equal(spk_realloc_array(SIZE_MAX, sizeof *items, &items), SPK_ERR_NOMEM);
    assert_int_equal(items[3], 7);
    assert_ok(spk_realloc_array(100, sizeof *items, &items));
    assert_int_equal(items[3], 7);
    spk_free(items);
    assert_ok(spk_alloc_array(0, 8, &items));
    assert_non_null(items);
    spk_free(items);
    aligned = spk_alloc_aligned(100, 64);
    assert_non_null(aligned);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    spk_free(aligned);
    text = spk_strndup("abcdef", 3);
    assert_string_equal(text, "abc");
    spk_free(text);
}

static void test_fault(void **state)
{
    void *memory;
    (void)state;
    if (!spk_fault_available())
        skip();
    spk_fault_arm(SPK_FAULT_ALLOC, 2);
    memory = spk_alloc(1);
    assert_non_null(memory);
    spk_free(memory);
    assert_null(spk_alloc(1));
    memory = spk_alloc(1); /* only once */
    assert_non_null(memory);
    spk_free(memory);
    assert_true(spk_fault_disarm(SPK_FAULT_ALLOC));
    spk_fault_arm(SPK_FAULT_ALLOC, 1);
    assert_false(spk_fault_disarm(SPK_FAULT_ALLOC));
}

struct pair {
    int a, b;
};

static spk_status fill(size_t count, struct pair *out_last)
{
    VEC(struct pair) pairs = {0};
    spk_status status = SPK_OK;
    for (size_t i = 0; status == SPK_OK && i < count; i++)
        status = vec_push(&pairs, (struct pair){(int)i, -(int)i});
    if (status == SPK_OK)
        *out_last = vec_last(&pairs);
    vec_fini(&pairs);
    return status;
}

static void test_vec(void **state)
{
    VEC(uint16_t) numbers = {0};
    struct pair last;
    uint16_t more[] = {7, 8, 9};
    spk_status status;
    (void)state;
    assert_ok(vec_push(&numbers, 5));
    assert_ok(vec_append(&numbers, more, 3));
    assert_ok(vec_append(&numbers, more, 0));
    assert_ok(vec_resize(&numbers, 100));
    assert_int_equal(numbers.data[3], 9);
    assert_int_equal(numbers.data[99], 0);
    assert_int_equal(vec_pop(&numbers), 0);
    assert_int_equal(numbers.len, 99);
    assert_int_equal(vec_reserve(&numbers, SIZE_MAX), SPK_ERR_NOMEM);
    assert_int_equal(vec_resize(&numbers, SIZE_MAX / 2), SPK_ERR_NOMEM);
    assert_int_equal(numbers.data[1], 7);
    vec_clear(&numbers);
    assert_ok(vec_resize(&numbers, 4));
    assert_int_equal(numbers.data[1], 0);
    vec_fini(&numbers);
    assert_null(numbers.data);
    for_each_failing_alloc(status, status = fill(100, &last));
    assert_ok(fill(100, &last));
    assert_int_equal(last.b, -99);
}

static void test_arena(void **state)
{
    struct arena arena;
    char *big, *text;
    int *zeros;
    (void)state;
    arena_init(&arena, 256);
    for (size_t align = 1; align <= 4096; align *= 2) {
        char *memory = arena_alloc(&arena, 3, align);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % align, 0);
        memset(memory, 1, 3);
    }
    assert_null(arena_alloc(&arena, 1, 3));
    assert_null(arena_alloc(&arena, 1, 8192));
    assert_null(arena_alloc(&arena, SIZE_MAX, 1));
    assert_null(arena_alloc(&arena, SIZE_MAX - 20, 16));
    assert_null(arena_alloc_array(&arena, SIZE_MAX, 2, 8));
    big = arena_alloc(&arena, 100000, 16);
    assert_non_null(big);
    memset(big, 1, 100000);
    zeros = ARENA_NEW_ARRAY(&arena, int, 50);
    assert_int_equal(zeros[49], 0);
    text = arena_printf(&arena, "%s-%d", "x", 12);
    assert_string_equal(text, "x-12");
    text = arena_strndup(&arena, "hello", 2);
    assert_string_equal(text, "he");
    assert_non_null(arena_alloc(&arena, 0, 1));
    arena_clear(&arena);
    text = arena_strdup(&arena, "again");
    assert_string_equal(text, "again");
    arena_fini(&arena);
    assert_int_equal(arena.total, 0);
    if (spk_fault_available()) {
        spk_fault_arm(SPK_FAULT_ALLOC, 1);
        assert_null(arena_strdup(&arena, "x"));
        assert_true(spk_fault_disarm(SPK_FAULT_ALLOC));
    }
}

static void test_half(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536;
         bits++) { /* every value survives the way there and back */
        float f16 = half_to_f32((uint16_t)bits), bf16 = bf16_to_f32((uint16_t)bits);
        if (isnan(f16))
            assert_true(isnan(half_to_f32(half_from_f32(f16))));
        else
            assert_int_equal(half_from_f32(f16), bits);
        if (isnan(bf16))
            assert_true(isnan(bf16_to_f32(bf16_from_f32(bf16))));
        else
            assert_int_equal(bf16_from_f32(bf16), bits);
    }
    assert_true(half_to_f32(0x3c00) == 1.0f);
    assert_true(half_to_f32(0x0001) == 0x1p-24f);
    assert_int_equal(half_from_f32(65504.0f), 0x7bff);
    assert_int_equal(half_from_f32(65519.996f), 0x7bff);
    assert_int_equal(half_from_f32(65520.0f), 0x7c00);
    assert_int_equal(half_from_f32(1e30f), 0x7c00);
    assert_int_equal(half_from_f32(-1e-10f), 0x8000);
    assert_int_equal(half_from_f32(0x1p-25f), 0x0000);        /* tie to even */
    assert_int_equal(half_from_f32(0x1.000002p-25f), 0x0001); /* just above */
    assert_int_equal(half_from_f32(0x1.8p-24f), 0x0002);      /* tie to even, up */
    assert_int_equal(half_from_f32(1.0f + 0x1p-11f), 0x3c00); /* tie to even */
    assert_int_equal(half_from_f32(1.0f + 0x3p-11f), 0x3c02);
    assert_int_equal(bf16_from_f32(1.0f + 0x1p-8f), 0x3f80);
    assert_int_equal(bf16_from_f32(1.0f + 0x3p-8f), 0x3f82);
    assert_int_equal(bf16_from_f32(0x1.fffffep127f), 0x7f80);
}

static void check_sha(const char *text, size_t repeat, const char *expected)
{
    struct sha256 hash;
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    sha256_init(&hash);
    for (size_t i = 0; i < repeat; i++)
        sha256_update(&hash, text, strlen(text));
    sha256_final(&hash, digest);
    sha256_to_hex(digest, hex);
    assert_string_equal(hex, expected);
}

static void test_sha256(void **state)
{
    uint8_t data[300], once[SHA256_BYTES], parts[SHA256_BYTES];
    (void)state;
    check_sha("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_sha("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_sha("aaaaaaaaaa", 100000,
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)i;
    for (size_t length = 0; length <= sizeof data; length += 7) {
        struct sha256 hash;
        sha256_bytes(data, length, once);
        sha256_init(&hash);
        for (size_t at = 0; at < length; at += 13)
            sha256_update(&hash, data + at, length - at < 13 ? length - at : 13);
        sha256_final(&hash, parts);
        assert_memory_equal(once, parts, sizeof once);
    }
}

static void test_rng(void **state)
{
    struct rng rng, other;
    uint32_t items[10], seen = 0, counts[6] = {0};
    double sum = 0, squares = 0;
    (void)state;
    rng_seed(&rng, 0); /* first outputs of xoshiro256** seeded by splitmix64(0) */
    assert_true(rng_next_u64(&rng) == UINT64_C(0x99ec5f36cb75f2b4));
    assert_true(rng_next_u64(&rng) == UINT64_C(0xbf6e1f784956452a));
    rng_seed_stream(&rng, 1, 0);
    rng_seed_stream(&other, 1, 1);
    assert_true(rng_next_u64(&rng) != rng_next_u64(&other));
    rng_seed(&rng, 42);
    for (int i = 0; i < 60000; i++)
        counts[rng_below(&rng, 6)]++;
    for (int i = 0; i < 6; i++)
        assert_in_range(counts[i], 9600, 10400);
    assert_int_equal(rng_below(&rng, 0), 0);
    assert_int_equal(rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++) {
        int64_t value = rng_range_i64(&rng, -3, 3);
        assert_true(value >= -3 && value <= 3);
        assert_true(rng_below(&rng, UINT64_MAX) < UINT64_MAX);
    }
    assert_true(rng_range_i64(&rng, 7, 7) == 7);
    (void)rng_range_i64(&rng, INT64_MIN, INT64_MAX);
    for (int i = 0; i < 100000; i++) {
        double normal = rng_normal(&rng), uniform = rng_f64(&rng);
        assert_true(uniform >= 0.0 && uniform < 1.0);
        sum += normal;
        squares += normal * normal;
    }
    assert_true(fabs(sum / 100000) < 0.02);
    assert_true(fabs(squares / 100000 - 1.0) < 0.02);
    for (uint32_t i = 0; i < 10; i++)
        items[i] = i;
    rng_shuffle_u32(&rng, items, 10);
    for (uint32_t i = 0; i < 10; i++)
        seen |= 1u << items[i];
    assert_int_equal(seen, 1023);
}

struct recorder {
    int begins, updates, ends;
};

static void on_begin(void *ctx, const char *label, uint64_t total)
{
    (void)label;
    (void)total;
    ((struct recorder *)ctx)->begins++;
}

static void on_update(void *ctx, uint64_t done)
{
    (void)done;
    ((struct recorder *)ctx)->updates++;
}

static void on_end(void *ctx)
{
    ((struct recorder *)ctx)->ends++;
}

static void test_progress(void **state)
{
    struct recorder seen = {0};
    atomic_int cancel = 0;
    struct progress progress = {&seen, on_begin, on_update, on_end, &cancel, NULL};
    struct progress_bar bar;
    struct progress drawn;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    (void)state;
    progress_begin(NULL, "x", 1);
    assert_ok(progress_update(NULL, 1));
    progress_end(NULL);
    progress_begin(&progress, "x", 2);
    assert_ok(progress_update(&progress, 1));
    atomic_store(&cancel, 1);
    assert_int_equal(progress_update(&progress, 2), SPK_ERR_CANCELLED);
    assert_true(progress_cancelled(&progress));
    progress_end(&progress);
    assert_true(seen.begins == 1 && seen.updates == 2 && seen.ends == 1);

    progress_bar_init(&bar, stream, true);
    drawn = progress_bar_callbacks(&bar, NULL);
    progress_begin(&drawn, "images", 10);
    bar.last_ns = 0; /* long ago */
    assert_ok(progress_update(&drawn, 5));
    progress_begin(&drawn, "inner", 10);
    assert_ok(progress_update(&drawn, 9));
    progress_end(&drawn);
    progress_end(&drawn);
    progress_end(&drawn);
    (void)fclose(stream);
    assert_non_null(strstr(text, "images [############............]  50%"));
    assert_null(strstr(text, "inner"));
    free(text);
}

static void test_time(void **state)
{
    uint64_t before = spk_time_ns();
    (void)state;
    assert_true(before > 0 && spk_time_ns() >= before);
    assert_true(spk_peak_rss_bytes() > 100000);
    (void)spk_cpu_time_ns();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status), cmocka_unit_test(test_checked),
        cmocka_unit_test(test_alloc),  cmocka_unit_test(test_fault),
        cmocka_unit_test(test_vec),    cmocka_unit_test(test_arena),
        cmocka_unit_test(test_half),   cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_rng),    cmocka_unit_test(test_progress),
        cmocka_unit_test(test_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
