/* The text form: round trips of samples and random modules, errors with places, hostile text. */
#include "ir_random.h"

#include <math.h>

#include "ir/ir_private.h"
#include "support/alloc.h"
#include "support/fault.h"

static struct ir_module *parse_ok(const char *text)
{
    struct diag_list d;
    struct ir_module *m;
    diag_init(&d);
    spk_status s = ir_parse("t.sir", text, strlen(text), &d, &m);
    if (s != SPK_OK) {
        struct strbuf b = {0};
        diag_render(&d, NULL, &b);
        print_error("%s\n%s\n", strbuf_cstr(&b), text);
        strbuf_fini(&b);
    }
    assert_int_equal(s, SPK_OK);
    diag_fini(&d);
    return m;
}

static void round_trip(struct ir_module *m)
{
    struct strbuf a = {0}, b = {0};
    ir_print(m, &a);
    assert_int_equal(a.status, SPK_OK);
    struct ir_module *back = parse_ok(strbuf_cstr(&a));
    assert_true(ir_module_equal(m, back));
    ir_print(back, &b);
    assert_string_equal(strbuf_cstr(&a), strbuf_cstr(&b));
    strbuf_fini(&a);
    strbuf_fini(&b);
    ir_module_destroy(back);
    ir_module_destroy(m);
}

static void test_samples(void **state)
{
    (void)state;
    round_trip(s_model());
    round_trip(s_lowered());
    round_trip(s_quantised());
    round_trip(s_autoencoder());
}

static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct ir_module *m = s_random_module(seed);
        struct diag_list d;
        diag_init(&d);
        spk_status s = ir_verify(m, &d);
        if (s != SPK_OK) {
            struct strbuf b = {0};
            diag_render(&d, NULL, &b);
            print_error("seed %d\n%s\n", (int)seed, strbuf_cstr(&b));
            strbuf_fini(&b);
        }
        assert_int_equal(s, SPK_OK);
        diag_fini(&d);
        round_trip(m);
    }
}

static void test_readable(void **state)
{
    (void)state;
    struct ir_module *m = s_model();
    struct strbuf b = {0};
    ir_print(m, &b);
    const char *t = strbuf_cstr(&b);
    assert_non_null(strstr(t, "sir 1\nmodule \"sample\"\nstage model\ntimesteps 4\n"));
    assert_non_null(strstr(t, "param @stem.conv.weight f32 [8, 3, 2, 2]\n"));
    assert_non_null(strstr(t, "\tcharge v = v + (input - v) / 2\n\tfire v >= 1\n"
                              "\treset v = 0\n"));
    assert_non_null(strstr(t, "%1 = conv2d %0 params(@stem.conv.weight) {kernel=[2, 2], "
                              "stride=[2, 2]} : current f32 T=1 [8, 4, 4 chw]\n"));
    assert_non_null(strstr(t, "= add %5, %9 : count<=2 f32 T=4 [8, 16 cn] name \"attn.out\" "
                              "recorded\n"));
    strbuf_fini(&b);
    ir_module_destroy(m);
}

/* Postfix code and its text. */
static void test_equations(void **state)
{
    (void)state;
    static const struct {
        struct ir_eq code[8];
        uint32_t n;
        const char *text;
    } cases[] = {
        {{{IR_EQ_STATE, 0, 0},
          {IR_EQ_INPUT, 0, 0},
          {IR_EQ_CONST, 0, 2},
          {IR_EQ_SUB, 0, 0},
          {IR_EQ_SUB, 0, 0}},
         5,
         "fire v - (input - 2) >="},
        {{{IR_EQ_STATE, 0, 0},
          {IR_EQ_INPUT, 0, 0},
          {IR_EQ_SUB, 0, 0},
          {IR_EQ_CONST, 0, 2},
          {IR_EQ_SUB, 0, 0}},
         5,
         "fire v - input - 2 >="},
        {{{IR_EQ_CONST, 0, -0.5f}, {IR_EQ_NEG, 0, 0}, {IR_EQ_CONST, 0, -2}, {IR_EQ_MUL, 0, 0}},
         4,
         "fire -(-0.5) * -2 >="},
        {{{IR_EQ_INPUT, 0, 0},
          {IR_EQ_STATE, 0, 0},
          {IR_EQ_CONST, 0, INFINITY},
          {IR_EQ_MIN, 0, 0},
          {IR_EQ_ABS, 0, 0},
          {IR_EQ_DIV, 0, 0}},
         6,
         "fire input / abs(min(v, inf)) >="},
        {{{IR_EQ_CONST, 0, NAN},
          {IR_EQ_CONST, 0, -INFINITY},
          {IR_EQ_ADD, 0, 0},
          {IR_EQ_CONST, 0, 1e-45f},
          {IR_EQ_DIV, 0, 0}},
         5,
         "fire (nan + -inf) / 1e-45 >="},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ir_module *m = s_module("m", IR_STAGE_MODEL, 1);
        struct s_lif l;
        struct strbuf b = {0};
        uint32_t id;
        s_lif_init(&l, "lif", 2.0f, 1.0f, true);
        l.n.fire_lhs = (struct ir_expr){cases[i].code, cases[i].n};
        assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_OK);
        ir_print(m, &b);
        assert_non_null(strstr(strbuf_cstr(&b), cases[i].text));
        strbuf_fini(&b);
        round_trip(m);
    }
}

#define HEAD "sir 1\nmodule \"m\"\nstage model\ntimesteps 2\n"
#define INPUT "%0 = input : real f32 T=1 [3, 4, 4 chw]\n"

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code, *message;
        uint32_t line, column;
    } cases[] = {
        {"", "E0330", "expected sir", 1, 1},
        {"sir 2\n", "E0335", "version 2", 1, 1},
        {"sir 1 modul", "E0330", "expected module", 1, 7},
        {"sir 1\nmodule \"m\"\nstage big", "E0330", "model, lowered or quantised", 3, 7},
        {"sir 1\nmodule \"m\nstage", "E0330", "not closed", 2, 8},
        {HEAD "what", "E0330", "expected param, neuron", 5, 1},
        {HEAD "param @a f32 [1, 2, 3, 4, 5]", "E0330", "fewer axes", 5, 27},
        {HEAD "param @a f32 [4]\nparam @a f32 [4]\n", "E0320", "'a' is defined twice", 6, 7},
        {HEAD "param @a f32 [99999999999]", "E0331", "must be in 0..4294967295", 5, 15},
        {HEAD "%1 = input", "E0333", "expected %0", 5, 1},
        {HEAD "%0 = inputs", "E0330", "name of an op", 5, 6},
        {HEAD INPUT "%1 = mean %1 :", "E0334", "%1 is not defined before", 6, 11},
        {HEAD INPUT "%1 = linear %0 params(@w)", "E0334", "unknown param 'w'", 6, 23},
        {HEAD INPUT "%1 = mean %0 : real f32 T=2 [3 c]", "E0321", "written type", 6, 1},
        {HEAD INPUT "%1 = mean %0 : real f32 T=1 [3, 4 c]", "E0332", "1 axes, found 2", 6, 35},
        {HEAD INPUT "%1 = repeat %0 {times=2, times=2}", "E0330", "each attribute once", 6, 26},
        {HEAD INPUT "%1 = repeat %0 {time=2}", "E0330", "an attribute of this op", 6, 17},
        {HEAD INPUT "%1 = maxpool %0 {kernel=65536}", "E0331", "0..65535", 6, 25},
        {HEAD "neuron #0 \"n\" { state v = 0 fire v >= 1 fire v >= 1 }", "E0330", "one fire", 5,
         41},
        {HEAD "neuron #0 \"n\" { state v = 0 charge w = 1", "E0330", "a state of this neuron", 5,
         36},
        {HEAD "neuron #0 \"n\" { fire 1 >= 1 }", "E0313", "at least one state", 5, 1},
        {HEAD "neuron #1 \"n\" {}", "E0333", "expected #0", 5, 8},
        {HEAD "neuron #0 \"n\" { state v = 1.5x", "E0330", "runs into a word", 5, 27},
        {HEAD INPUT "%1 = attention %0 : real f32 T=1 [3 c]", "E0301", "takes 3 operands", 6, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct diag_list d;
        struct ir_module *m;
        diag_init(&d);
        spk_status s = ir_parse("t.sir", cases[i].text, strlen(cases[i].text), &d, &m);
        assert_int_equal(s, SPK_ERR_INPUT);
        assert_null(m);
        assert_int_equal(d.error_count, 1);
        const struct diag *x = d.items.data[0];
        struct source_position at = diag_source_locate(&d, x->span.file, x->span.begin);
        if (strcmp(x->code, cases[i].code) != 0 || !strstr(x->message, cases[i].message) ||
            at.line != cases[i].line || at.column != cases[i].column)
            fail_msg("case %zu: %u:%u %s %s", i, at.line, at.column, x->code, x->message);
        diag_fini(&d);
    }
}

/* Nesting far beyond the limit must be refused, not overflow the stack. */
static void test_nesting(void **state)
{
    (void)state;
    static const char *const openers[] = {"(", "-", "abs("};
    for (size_t i = 0; i < 3; i++) {
        struct strbuf b = {0};
        struct ir_module *m;
        strbuf_append(&b, HEAD "neuron #0 \"n\" { state v = 0 fire ");
        for (uint32_t j = 0; j < 200000; j++)
            strbuf_append(&b, openers[i]);
        assert_int_equal(ir_parse("t.sir", strbuf_cstr(&b), b.len, NULL, &m), SPK_ERR_INPUT);
        assert_null(m);
        strbuf_fini(&b);
    }
}

/* The longest equation that a program may have nests as deep as the printer can write. */
static void test_longest_equation(void **state)
{
    (void)state;
    struct ir_eq code[IR_EQ_MAX_CODE];
    struct s_lif l;
    uint32_t id;
    struct ir_module *m = s_module("m", IR_STAGE_MODEL, 1);
    s_lif_init(&l, "lif", 2.0f, 1.0f, false);
    code[0] = (struct ir_eq){IR_EQ_STATE, 0, 0.0f};
    for (uint32_t i = 1; i < IR_EQ_MAX_CODE; i++)
        code[i] = (struct ir_eq){IR_EQ_NEG, 0, 0.0f};
    l.n.fire_lhs = (struct ir_expr){code, IR_EQ_MAX_CODE};
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_OK);
    l.n.fire_lhs.n++;
    assert_int_equal(ir_add_neuron(m, &l.n, &id), SPK_ERR_INPUT);
    round_trip(m);
}

/* Cut and damaged texts: refused or accepted, never a crash; what is accepted can be printed. */
static void test_damaged(void **state)
{
    (void)state;
    struct rng r;
    struct ir_module *samples[4] = {s_model(), s_lowered(), s_quantised(), s_autoencoder()};
    rng_seed(&r, 7);
    for (uint32_t i = 0; i < 4; i++) {
        struct strbuf b = {0};
        ir_print(samples[i], &b);
        for (uint32_t round = 0; round < 600; round++) {
            char *text = spk_strndup(strbuf_cstr(&b), b.len);
            size_t length = round < 300 ? rng_below(&r, b.len) : b.len;
            struct ir_module *m;
            assert_non_null(text);
            for (uint32_t j = 0; round >= 300 && j < 1 + round % 3; j++)
                text[rng_below(&r, b.len)] = (char)rng_range_i64(&r, 0, 127);
            spk_status s = ir_parse("t.sir", text, length, NULL, &m);
            assert_true(s == SPK_OK || s == SPK_ERR_INPUT);
            if (s == SPK_OK) {
                s = ir_verify(m, NULL);
                assert_true(s == SPK_OK || s == SPK_ERR_INPUT);
                round_trip(m);
            }
            spk_free(text);
        }
        strbuf_fini(&b);
        ir_module_destroy(samples[i]);
    }
}

static void test_out_of_memory(void **state)
{
    (void)state;
    if (!spk_fault_available())
        skip();
    struct ir_module *sample = s_model(), *m;
    struct strbuf b = {0};
    ir_print(sample, &b);
    uint64_t n = 1;
    for (;; n++) {
        struct diag_list d;
        diag_init(&d);
        spk_fault_arm(SPK_FAULT_ALLOC, n);
        spk_status s = ir_parse("t.sir", strbuf_cstr(&b), b.len, &d, &m);
        bool fired = spk_fault_disarm(SPK_FAULT_ALLOC);
        assert_int_equal(s, fired ? SPK_ERR_NOMEM : SPK_OK);
        diag_fini(&d);
        if (!fired)
            break;
        assert_null(m);
    }
    assert_true(n > 10);
    assert_true(ir_module_equal(m, sample));
    ir_module_destroy(m);
    ir_module_destroy(sample);
    strbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),          cmocka_unit_test(test_random),
        cmocka_unit_test(test_readable),         cmocka_unit_test(test_equations),
        cmocka_unit_test(test_errors),           cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_longest_equation), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
