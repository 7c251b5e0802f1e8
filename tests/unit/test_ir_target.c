/* Target descriptions: names, limits, synapse rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/target.h"
#include "support/alloc.h"

static void check_names(const char *(*name)(int), int n)
{
    for (int i = 0; i < n; i++) {
        assert_string_not_equal(name(i), "?");
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name(i), name(j));
    }
    assert_string_equal(name(n), "?");
}

static const char *limit_name(int i)
{
    return tgt_limit_name((enum tgt_limit)i);
}
static const char *energy_name(int i)
{
    return tgt_energy_name((enum tgt_energy)i);
}
static const char *time_name(int i)
{
    return tgt_time_name((enum tgt_time)i);
}
static const char *basis_name(int i)
{
    return tgt_basis_name((enum tgt_basis)i);
}
static const char *attention_name(int i)
{
    return tgt_attention_name((enum tgt_attention)(1 << i));
}

static void test_names(void **state)
{
    (void)state;
    check_names(limit_name, TGT_LIMIT_COUNT);
    check_names(energy_name, TGT_ENERGY_COUNT);
    check_names(time_name, TGT_TIME_COUNT);
    check_names(basis_name, 4);
    check_names(attention_name, 6);
    assert_string_equal(tgt_limit_name(TGT_SYNAPSE_BITS), "synapse_bits");
    assert_string_equal(tgt_energy_name(TGT_E_HOP_X), "hop_x");
    assert_string_equal(tgt_time_name(TGT_T_BARRIER_MAX), "barrier_max");
    assert_string_equal(tgt_attention_name(TGT_ATTN_PRODUCT), "product");
}

static void test_limits(void **state)
{
    (void)state;
    struct tgt *t = spk_alloc_zero(sizeof *t);
    assert_non_null(t);
    arena_init(&t->arena, 0);
    assert_true(tgt_limit_value(t, TGT_NEURONS) == UINT64_MAX);
    t->limit[TGT_NEURONS].present = true;
    t->limit[TGT_NEURONS].value = 1024.0;
    assert_true(tgt_limit_value(t, TGT_NEURONS) == 1024);
    t->limit[TGT_NEURONS].value = -3.0;
    assert_true(tgt_limit_value(t, TGT_NEURONS) == 0);
    t->limit[TGT_NEURONS].value = 1e30;
    assert_true(tgt_limit_value(t, TGT_NEURONS) == UINT64_MAX);
    assert_true(tgt_limit_value(t, TGT_LIMIT_COUNT) == UINT64_MAX);
    tgt_destroy(t);
    tgt_destroy(NULL);
}

/* Against the definition, synapse by synapse. */
static uint64_t by_hand(const struct tgt_format *f, uint32_t n, uint32_t w, uint32_t d, uint32_t i)
{
    uint64_t bits = 0, in_block = 0;
    for (uint32_t s = 0; s < n; s++) {
        if (in_block == 0)
            bits += f->header_bits;
        bits += w + d + f->tag_bits + i;
        if (++in_block == f->block_synapses || s + 1 == n) {
            while (bits % f->word_bits)
                bits++;
            in_block = 0;
        }
    }
    return bits;
}

static void test_row_bits(void **state)
{
    (void)state;
    struct tgt_format f = {.word_bits = 64, .block_synapses = 64, .header_bits = 10};
    assert_true(tgt_row_bits(&f, 0, 8, 0, 0) == 0);
    assert_true(tgt_row_bits(&f, 1, 8, 0, 0) == 64);
    assert_true(tgt_row_bits(&f, 6, 8, 0, 0) == 64);   /* 10 + 48 = 58 */
    assert_true(tgt_row_bits(&f, 7, 8, 0, 0) == 128);  /* 10 + 56 = 66 */
    assert_true(tgt_row_bits(&f, 64, 8, 0, 0) == 576); /* 10 + 512 = 522 */
    assert_true(tgt_row_bits(&f, 65, 8, 0, 0) == 640);
    assert_true(tgt_row_bits(&f, 64, 8, 6, 10) == 1600); /* 10 + 64 * 24 = 1546 */
    f.tag_bits = 3;
    for (uint32_t n = 0; n < 300; n += 7) {
        assert_true(tgt_row_bits(&f, n, 8, 4, 0) == by_hand(&f, n, 8, 4, 0));
        assert_true(tgt_row_bits(&f, n, 5, 0, 9) == by_hand(&f, n, 5, 0, 9));
    }
    f = (struct tgt_format){.word_bits = 1, .block_synapses = 1, .header_bits = 0};
    assert_true(tgt_row_bits(&f, 1000, 8, 0, 0) == 8000);
    f.block_synapses = 0; /* rows are not cut */
    f.header_bits = 5;
    assert_true(tgt_row_bits(&f, 1000, 8, 0, 0) == 8005);
    f = (struct tgt_format){
        .word_bits = 64, .block_synapses = 65535, .header_bits = 65535, .tag_bits = 255};
    assert_true(tgt_row_bits(&f, UINT32_MAX, 255, 255, 255) > UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_row_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
