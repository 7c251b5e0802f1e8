/* Neuron programs: which ones are leaky integrators, with which constants. */
#include "ir_random.h"

#include <math.h>

#include "ir/ir_private.h"

#define K(x)                \
    {                       \
        IR_EQ_CONST, 0, (x) \
    }
#define V                 \
    {                     \
        IR_EQ_STATE, 0, 0 \
    }
#define X                 \
    {                     \
        IR_EQ_INPUT, 0, 0 \
    }
#define DO(op)           \
    {                    \
        IR_EQ_##op, 0, 0 \
    }

struct program {
    struct ir_eq charge[12], lhs[4], rhs[4], reset[6];
    uint32_t n[4];
};

static bool as_lif(const struct program *p, struct ir_lif *out)
{
    struct ir_neuron n;
    memset(&n, 0, sizeof n);
    n.n_states = 1;
    n.state_name[0] = "v";
    n.charge[0] = (struct ir_expr){p->charge, p->n[0]};
    n.fire_lhs = (struct ir_expr){p->lhs, p->n[1]};
    n.fire_rhs = (struct ir_expr){p->rhs, p->n[2]};
    n.reset[0] = (struct ir_expr){p->reset, p->n[3]};
    return ir_neuron_as_lif(&n, out);
}

static void test_plain(void **state)
{
    (void)state;
    struct s_lif l;
    struct ir_lif lif;
    s_lif_init(&l, "lif", 2.0f, 0.5f, false);
    assert_true(ir_neuron_as_lif(&l.n, &lif));
    assert_true(lif.retain == 0.5 && lif.gain == 0.5 && lif.offset == 0.0);
    assert_true(lif.v_th == 0.5 && lif.v_reset == 0.0 && lif.v_init == 0.0);
    assert_false(lif.soft_reset);
    assert_int_equal(lif.cmp, IR_CMP_GE);
    s_lif_init(&l, "lif", 4.0f, 1.5f, true);
    l.n.cmp = IR_CMP_GT;
    assert_true(ir_neuron_as_lif(&l.n, &lif));
    assert_true(lif.retain == 0.75 && lif.gain == 0.25 && lif.v_th == 1.5 && lif.soft_reset);
    assert_int_equal(lif.cmp, IR_CMP_GT);
}

static void test_other_forms(void **state)
{
    (void)state;
    struct ir_lif lif;
    /* v * (1 - 1/4) + input * max(2, 3) - abs(-0.5); v - 1 >= 0.25; reset to -(0.125) */
    static const struct program a = {
        {V, K(1), K(1), K(4), DO(DIV), DO(SUB), DO(MUL), X, K(3), DO(MUL), DO(ADD)},
        {V, K(1), DO(SUB)},
        {K(0.25f)},
        {K(0.125f), DO(NEG)},
        {11, 3, 1, 2}};
    assert_true(as_lif(&a, &lif));
    assert_true(lif.retain == 0.75 && lif.gain == 3.0 && lif.offset == 0.0);
    assert_true(lif.v_th == 1.25 && lif.v_reset == -0.125);
    static const struct program b = {
        {V, X, DO(NEG), DO(SUB), K(-0.5f), DO(ABS), K(2), K(3), DO(MAX), DO(MUL), DO(ADD)},
        {V},
        {K(4), K(2), DO(MIN)},
        {V, K(2), DO(SUB)},
        {11, 1, 3, 3}};
    assert_true(as_lif(&b, &lif));
    assert_true(lif.retain == 1.0 && lif.gain == 1.0 && lif.offset == 1.5 && lif.v_th == 2.0);
    assert_true(lif.soft_reset);
}

static void test_refused(void **state)
{
    (void)state;
    struct ir_lif lif;
    static const struct program good = {{V, X, DO(ADD)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 1}};
    assert_true(as_lif(&good, &lif));
    static const struct program bad[] = {
        {{V, X, DO(MUL)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 1}},                /* product */
        {{X, V, DO(DIV)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 1}},                /* divides by v */
        {{V, X, DO(ADD), K(0), DO(DIV)}, {V}, {K(1)}, {K(0)}, {5, 1, 1, 1}}, /* by 0 */
        {{V, X, DO(MAX)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 1}},                /* max of values */
        {{V, X, DO(ADD), DO(ABS)}, {V}, {K(1)}, {K(0)}, {4, 1, 1, 1}},       /* abs of a value */
        {{V}, {V}, {K(1)}, {K(0)}, {1, 1, 1, 1}},                            /* no input */
        {{V, X, DO(ADD)}, {X}, {K(1)}, {K(0)}, {3, 1, 1, 1}},                /* fires on input */
        {{V, X, DO(ADD)}, {V, V, DO(ADD)}, {K(1)}, {K(0)}, {3, 3, 1, 1}},    /* 2v */
        {{V, X, DO(ADD)}, {V}, {X}, {K(0)}, {3, 1, 1, 1}},                   /* moving threshold */
        {{V, X, DO(ADD)}, {V}, {K(1)}, {V, K(2), DO(SUB)}, {3, 1, 1, 3}},    /* not v_th */
        {{V, X, DO(ADD)}, {V}, {K(1)}, {X}, {3, 1, 1, 1}},                   /* reset to input */
        {{V, X, DO(ADD)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 0}},                /* no reset */
        {{V, X, DO(ADD)}, {V}, {K(NAN)}, {K(0)}, {3, 1, 1, 1}},
        {{V, X, DO(ADD)}, {V}, {K(1)}, {K(INFINITY)}, {3, 1, 1, 1}},
        {{V, X}, {V}, {K(1)}, {K(0)}, {2, 1, 1, 1}}, /* malformed */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (as_lif(&bad[i], &lif))
            fail_msg("case %zu was taken for a leaky integrator", i);
    }
    struct s_lif l;
    s_lif_init(&l, "lif", 2.0f, 1.0f, false);
    l.n.n_states = 2;
    assert_false(ir_neuron_as_lif(&l.n, &lif));
}

/* The closed form computes what the equations compute, for random linear programs. */
static void test_agrees_with_equations(void **state)
{
    (void)state;
    struct rng r;
    uint32_t found = 0;
    rng_seed(&r, 3);
    for (uint32_t round = 0; round < 3000; round++) {
        struct ir_eq code[40];
        struct program p = {{V, X, DO(ADD)}, {V}, {K(1)}, {K(0)}, {3, 1, 1, 1}};
        struct ir_neuron n;
        struct ir_lif lif;
        memset(&n, 0, sizeof n);
        n.n_states = 1;
        n.state_name[0] = "v";
        n.charge[0] = (struct ir_expr){code, s_random_expr(&r, code, 12, 1)};
        n.fire_lhs = (struct ir_expr){p.lhs, 1};
        n.fire_rhs = (struct ir_expr){p.rhs, 1};
        n.reset[0] = (struct ir_expr){p.reset, 1};
        if (!ir_neuron_as_lif(&n, &lif))
            continue;
        found++;
        double v = rng_normal(&r), x = rng_normal(&r), stack[16];
        uint32_t d = 0;
        for (uint32_t i = 0; i < n.charge[0].n; i++) {
            double *top = stack + d - 1;
            switch (code[i].code) {
            case IR_EQ_CONST:
                stack[d++] = (double)code[i].k;
                break;
            case IR_EQ_INPUT:
                stack[d++] = x;
                break;
            case IR_EQ_STATE:
                stack[d++] = v;
                break;
            case IR_EQ_NEG:
                *top = -*top;
                break;
            case IR_EQ_ABS:
                *top = fabs(*top);
                break;
            case IR_EQ_ADD:
                d--;
                top[-1] += *top;
                break;
            case IR_EQ_SUB:
                d--;
                top[-1] -= *top;
                break;
            case IR_EQ_MUL:
                d--;
                top[-1] *= *top;
                break;
            case IR_EQ_DIV:
                d--;
                top[-1] /= *top;
                break;
            case IR_EQ_MIN:
                d--;
                top[-1] = fmin(top[-1], *top);
                break;
            default:
                d--;
                top[-1] = fmax(top[-1], *top);
                break;
            }
        }
        double closed = lif.retain * v + lif.gain * x + lif.offset;
        double scale = fabs(lif.retain * v) + fabs(lif.gain * x) + fabs(lif.offset);
        assert_true(!(fabs(closed - stack[0]) > 1e-6 * scale) || !isfinite(stack[0]));
    }
    assert_true(found > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_other_forms),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_agrees_with_equations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
