/* The integers of the pass quantise: thresholds, biases, clusters against brute force, weights
 * within their error bounds, encoder, attention units, refusals, shapes without data. */
#include "unit.h"

#include <math.h>

#include "passes/quantise.h"
#include "passes_fixture.h"

static void test_thresholds(void **state)
{
    struct tgt fixed = fx_target(false), prog = fx_target(true);
    (void)state;
    /* >=: the largest 64 k + 1 not above x; >: the smallest above it. */
    assert_int_equal(quant_exact_threshold(&fixed.arith, 4096.0, false), 64 * 63 + 1);
    assert_int_equal(quant_exact_threshold(&fixed.arith, 4097.0, false), 64 * 64 + 1);
    assert_int_equal(quant_exact_threshold(&fixed.arith, 4096.0, true), 64 * 64 + 1);
    assert_int_equal(quant_exact_threshold(&fixed.arith, 1.0, false), 1);
    assert_int_equal(quant_exact_threshold(&prog.arith, 4096.0, false), 4096);
    assert_int_equal(quant_exact_threshold(&prog.arith, 4096.0, true), 4097);
    assert_int_equal(quant_exact_threshold(&prog.arith, 4095.5, false), 4096);
    assert_int_equal(quant_exact_threshold(&prog.arith, 4096.0000001, false), 4096);
}

static void test_bias(void **state)
{
    struct tgt fixed = fx_target(false), prog = fx_target(true);
    (void)state;
    assert_int_equal(quant_bias_round(&prog.arith, 1234.4), 1234);
    assert_int_equal(quant_bias_round(&prog.arith, 1e12), (1 << 23) - 1);
    assert_int_equal(quant_bias_round(&fixed.arith, 63.0), 0);
    assert_int_equal(quant_bias_round(&fixed.arith, 65.0), 128);
    assert_int_equal(quant_bias_round(&fixed.arith, -1000.0), -1024);
    /* The extremes that two weights of an enable spike can carry. */
    assert_int_equal(quant_bias_round(&fixed.arith, 1e12), 127 * 16384 + 63 * 128);
    assert_int_equal(quant_bias_round(&fixed.arith, -1e12), -128 * 16384 - 64 * 128);
    for (int b = -3000000; b <= 3000000; b += 9973) {
        int32_t r = quant_bias_round(&fixed.arith, (double)b), n = r / 128;
        int32_t fine = ((n + 64) & 127) - 64, coarse = (n - fine) / 128;
        assert_int_equal(r % 128, 0);
        assert_true(fine >= -64 && fine <= 63 && coarse >= -128 && coarse <= 127);
    }
}

/* Against all subsets of two values. */
static void test_cluster(void **state)
{
    enum { CHANNELS = 9, VALUES = 7 };
    double cost[CHANNELS * VALUES], key[CHANNELS];
    bool chosen[VALUES];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 5);
    for (int trial = 0; trial < 200; trial++) {
        for (int c = 0; c < CHANNELS; c++) {
            key[c] = rng_f64(&rng) * VALUES;
            for (int v = 0; v < VALUES; v++) {
                /* Too large is impossible, too small costs quadratically. */
                double gap = key[c] - (double)v;
                cost[c * VALUES + v] = gap < -2.0 ? HUGE_VAL : gap * gap;
            }
        }
        double best = HUGE_VAL, got = 0.0;
        for (int a = 0; a < VALUES; a++)
            for (int b = a; b < VALUES; b++) {
                double sum = 0.0;
                for (int c = 0; c < CHANNELS; c++)
                    sum += fmin(cost[c * VALUES + a], cost[c * VALUES + b]);
                best = fmin(best, sum);
            }
        assert_ok(quant_cluster(cost, key, CHANNELS, VALUES, 2, chosen));
        int n = 0;
        for (int v = 0; v < VALUES; v++)
            n += chosen[v];
        assert_true(n >= 1 && n <= 2);
        for (int c = 0; c < CHANNELS; c++) {
            double least = HUGE_VAL;
            for (int v = 0; v < VALUES; v++)
                if (chosen[v])
                    least = fmin(least, cost[c * VALUES + v]);
            got += least;
        }
        assert_true(fabs(got - best) < 1e-9);
    }
    /* Nothing possible at all: still one is chosen. */
    for (int i = 0; i < CHANNELS * VALUES; i++)
        cost[i] = HUGE_VAL;
    assert_ok(quant_cluster(cost, key, CHANNELS, VALUES, 2, chosen));
    assert_true(chosen[0]);
}

static const struct quant_lif lif = {.retain = 0.5, .gain = 0.5, .theta = 1.0, .decay = 2048};

/* A layer with weights of very different sizes per channel. */
static void make_layer(float *w, float *b, uint32_t out, uint32_t in, struct rng *rng)
{
    for (uint32_t c = 0; c < out; c++) {
        double size = pow(10.0, -2.0 * rng_f64(rng));
        for (uint32_t i = 0; i < in; i++)
            w[c * in + i] = (float)(size * rng_normal(rng));
        b[c] = (float)(0.3 * rng_normal(rng));
    }
}

static void check_layer(const struct quant_layer *l, bool fixed)
{
    uint32_t distinct = 0;
    double step = ldexp(1.0, l->shift);
    for (uint32_t c = 0; c < l->out; c++) {
        uint32_t earlier = 0;
        while (earlier < c && l->vth[earlier] != l->vth[c])
            earlier++;
        distinct += earlier == c;
        assert_true(l->vth[c] >= 1 && l->vth[c] <= QUANT_MAX_VTH + 1);
        if (fixed) {
            assert_int_equal(l->vth[c] % 64, 1);
            assert_int_equal(l->bias[c] % 128, 0);
        }
        double sigma = l->sigma[c], mean = 0.0;
        assert_true(fabs(sigma * l->lif->theta - (double)l->vth[c]) < 1.01);
        for (uint32_t i = 0; i < l->in; i++) {
            double want = sigma * l->lif->gain * (double)l->w[c * l->in + i] / step;
            double q = (double)l->q[c * l->in + i];
            assert_true(q >= -127.0 && q <= 127.0);
            if (fabs(want) <= 127.0)
                assert_true(fabs(want - q) <= 0.5 + 1e-9);
            else
                assert_true(fabs(q) == 127.0);
            mean += l->rate[i] * (want - q) * step;
        }
        double bias = sigma * l->lif->gain * (double)l->b[c] + mean;
        assert_true(fabs(bias - (double)l->bias[c]) <= (fixed ? 64.0 : 0.5) + 1e-6);
    }
    assert_int_equal(distinct, l->thresholds);
    if (fixed)
        assert_true(distinct <= 16);
}

static void test_layer(void **state)
{
    enum { OUT = 60, IN = 40 };
    static float w[OUT * IN], b[OUT];
    double rate[IN];
    struct rng rng;
    (void)state;
    rng_seed(&rng, 11);
    make_layer(w, b, OUT, IN, &rng);
    for (int i = 0; i < IN; i++)
        rate[i] = rng_f64(&rng) * 0.4;
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        double worst[2];
        for (int clip = 0; clip < 2; clip++) {
            struct quant_layer l = {
                .name = "layer",
                .w = w,
                .b = b,
                .out = OUT,
                .in = IN,
                .taps = 1,
                .rate = rate,
                .lif = &lif,
                .arith = &t.arith,
                .max_thresholds = PASSES_MAX_THRESHOLDS,
                .clip = clip,
                .correct = true,
                .has_bias = true,
            };
            assert_ok(quant_layer_run(&l, NULL));
            check_layer(&l, !p);
            worst[clip] = l.worst_error;
            if (!clip)
                assert_int_equal(l.clipped, 0);
            /* 8 bits of a channel's own range would give half a step of 1/127 of the
             * largest weight, here about 2; shared scales are allowed twice that.  */
            assert_true(l.worst_error < 0.04);
            quant_layer_fini(&l);
        }
        assert_true(worst[0] > 0.0);
    }
    /* One channel of zeros, one huge weight: defined all the same. */
    memset(w, 0, sizeof w);
    w[IN] = 1000.0f;
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        struct quant_layer l = {
            .name = "layer",
            .w = w,
            .b = b,
            .out = 2,
            .in = IN,
            .taps = 1,
            .rate = rate,
            .lif = &lif,
            .arith = &t.arith,
            .max_thresholds = PASSES_MAX_THRESHOLDS,
            .clip = true,
            .correct = true,
            .has_bias = true,
        };
        assert_ok(quant_layer_run(&l, NULL));
        assert_int_equal(l.q[0], 0);
        assert_true(l.q[IN] > 0);
        /* Above threshold in the float model, above it here. */
        assert_true(((int32_t)l.q[IN] << l.shift) + l.bias[1] >= l.vth[1]);
        quant_layer_fini(&l);
    }
    struct tgt t = fx_target(true);
    struct diag_list d;
    diag_init(&d);
    w[3] = NAN;
    struct quant_layer l = {.name = "'x'",
                            .w = w,
                            .out = 2,
                            .in = IN,
                            .taps = 1,
                            .rate = rate,
                            .lif = &lif,
                            .arith = &t.arith,
                            .max_thresholds = PASSES_MAX_THRESHOLDS};
    assert_int_equal(quant_layer_run(&l, &d), SPK_ERR_INPUT);
    unit_expect_diag(&d, "layer 'x': weight 3 is not finite");
    diag_fini(&d);
}

/* Dyadic weights and pixels pass the encoder exactly: current == sigma * gain * (W x + b). */
static void test_encoder(void **state)
{
    float w[6] = {0.5f, -0.25f, 0.125f, 1.0f, -1.5f, 0.0625f}, b[2] = {0.25f, -0.5f};
    double x[3] = {0.5, -1.25, 2.0};
    (void)state;
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        struct quant_encoder e = {.name = "first",
                                  .w = w,
                                  .b = b,
                                  .out = 2,
                                  .per_out = 3,
                                  .x_max = 7.99,
                                  .lif = &lif,
                                  .arith = &t.arith};
        assert_ok(quant_encoder_run(&e, NULL));
        assert_int_equal(e.x_shift, 12);
        assert_int_equal(e.m_max, 4095);
        assert_int_equal(e.vth[0], p ? 1 << 18 : (1 << 18) - 63);
        for (int c = 0; c < 2; c++) {
            int64_t a = e.b_q[c];
            double want = (double)b[c];
            for (int i = 0; i < 3; i++) {
                a += (int64_t)e.w_q[c * 3 + i] * (int64_t)nearbyint(ldexp(x[i], e.x_shift));
                want += (double)w[c * 3 + i] * x[i];
            }
            int64_t half = e.out_shift ? (int64_t)1 << (e.out_shift - 1) : 0;
            int64_t m = (a + half) >> e.out_shift;
            if (m > e.m_max)
                m = e.m_max;
            if (m < -e.m_max)
                m = -e.m_max;
            assert_true((double)(m * ((int64_t)1 << e.m_exp)) == 0.5 * want * e.sigma);
        }
        quant_encoder_fini(&e);
        /* A soft reset needs the whole range. */
        struct quant_lif soft = lif;
        soft.soft_reset = true;
        e.lif = &soft;
        e.current_max = 30.0;
        assert_ok(quant_encoder_run(&e, NULL));
        assert_true(e.sigma * 30.0 <= ldexp(4095.0, 7));
        assert_true(e.sigma * 30.0 * 2.0 > ldexp(4095.0, 7));
        quant_encoder_fini(&e);
    }
}

static void test_attention(void **state)
{
    struct ir_node a = {.op = IR_OP_ATTENTION};
    struct quant_lif half = lif;
    int32_t unit, vth;
    struct diag_list d;
    (void)state;
    diag_init(&d);
    half.theta = 0.5;
    a.type = (struct ir_type){.layout = IR_CN, .channels = 512, .height = 1, .width = 49};
    a.a.attention.heads = 8;
    a.a.attention.scale = 0.125f;
    for (int p = 0; p < 2; p++) {
        struct tgt t = fx_target(p);
        /* x = unit * 0.5 / (0.125 * 0.5) = 8 unit */
        assert_ok(quant_attention(&a, 4, &half, &t, "n", &d, &unit, &vth));
        assert_int_equal(unit, 1024);
        assert_int_equal(vth, p ? 8192 : 8192 - 63);
        /* 196 tokens x 64 channels: 1024 would reach 12.8 million > 2^23. */
        a.type.width = 196;
        assert_ok(quant_attention(&a, 4, &half, &t, "n", &d, &unit, &vth));
        assert_int_equal(unit, 512);
        /* Longer windows want larger units. */
        a.type.width = 16;
        a.a.attention.heads = 32;
        assert_ok(quant_attention(&a, 8, &half, &t, "n", &d, &unit, &vth));
        assert_int_equal(unit, 8192);
        a.a.attention.heads = 8;
        a.type.width = 60000;
        assert_int_equal(quant_attention(&a, 4, &half, &t, "n", &d, &unit, &vth), SPK_ERR_NOFIT);
        unit_expect_diag(&d, "do not fit the 24-bit state");
        a.type.width = 49;
    }
    diag_fini(&d);
}

/* ---- the pass on whole modules ---- */

static const struct fx_config tiny = {.channels = 2,
                                      .size = 8,
                                      .stages = 1,
                                      .dim = 8,
                                      .depth = 1,
                                      .heads = 2,
                                      .mlp_ratio = 2,
                                      .timesteps = 4,
                                      .classes = 3,
                                      .scale = 0.125f,
                                      .with_data = true};

static void test_module(void **state)
{
    struct diag_list d;
    (void)state;
    diag_init(&d);
    for (int events = 0; events < 2; events++)
        for (int data = 0; data < 2; data++) {
            struct tgt t = fx_target(events);
            struct pass_context c = {
                .diags = &d, .verify_each = true, .target = &t, .remarks = true};
            struct fx_config config = tiny;
            config.events = events;
            config.with_data = data;
            struct ir_module *m = fx_tiny(config, 3, &d);
            assert_ok(passes_run(&c, "prepare,quantise", &m));
            uint32_t w = ir_find_param(m, "block.0.attn.q_conv.weight");
            assert_int_equal(m->param[w].dtype, IR_DT_I8);
            assert_true((m->param[w].data != NULL) == data);
            assert_int_not_equal(ir_find_param(m, "block.0.attn.q_lif.vth"), IR_NONE);
            assert_int_not_equal(ir_find_param(m, "block.0.attn.q_lif.bias"), IR_NONE);
            assert_int_equal(ir_find_param(m, "block.0.attn.attn_lif.bias"), IR_NONE);
            assert_int_equal(m->param[ir_find_param(m, "head.weight")].dtype, IR_DT_F32);
            uint32_t enc = ir_find_param(m, "patch_embed.stage0.down_conv.weight.enc_w");
            assert_true((enc == IR_NONE) == events);
            uint32_t id = ir_find_value(m, "block.0.attn.proj_lif");
            assert_int_equal(m->node[id].a.neuron.q.decay, 2048);
            assert_int_equal(m->node[id].a.neuron.q.bits, 24);
            assert_int_equal(m->n_neurons, 0);
            ir_module_destroy(m);
            if (data)
                unit_expect_diag(&d, "block.0.attn.q_lif: scale");
            diag_clear(&d);
        }
    diag_fini(&d);
}

/* Refused neurons, by text of the message. */
static void refuse(void (*change)(struct ir_neuron *n, struct ir_eq *code), const char *message)
{
    struct diag_list d;
    struct tgt t = fx_target(false);
    struct pass_context c = {.diags = &d, .target = &t};
    static struct ir_eq code[16];
    diag_init(&d);
    t.arith.decay_max = 4000;
    struct ir_module *m = fx_tiny(tiny, 3, &d);
    assert_ok(passes_run(&c, "prepare", &m));
    for (uint32_t i = 0; i < m->n_neurons; i++)
        change(&m->neuron[i], code);
    assert_int_equal(passes_run(&c, "quantise", &m), SPK_ERR_NOFIT);
    unit_expect_diag(&d, message);
    ir_module_destroy(m);
    diag_fini(&d);
}

static void two_states(struct ir_neuron *n, struct ir_eq *code)
{
    (void)code;
    n->n_states = 2;
    n->state_name[1] = "u";
    n->charge[1] = n->charge[0];
}
static void other_start(struct ir_neuron *n, struct ir_eq *code)
{
    (void)code;
    n->state_init[0] = 0.25f;
}
static void low_threshold(struct ir_neuron *n, struct ir_eq *code)
{
    code[0] = (struct ir_eq){IR_EQ_CONST, 0, -1.0f};
    n->fire_rhs = (struct ir_expr){code, 1};
}
static void no_leak(struct ir_neuron *n, struct ir_eq *code)
{
    code[0] = (struct ir_eq){IR_EQ_INPUT, 0, 0.0f}; /* v = input: forgets everything */
    n->charge[0] = (struct ir_expr){code, 1};
}

static void test_refusals(void **state)
{
    (void)state;
    refuse(two_states, "are no leaky integrate-and-fire");
    refuse(other_start, "does not start from the value it is reset to");
    refuse(low_threshold, "is not above its reset value");
    refuse(no_leak, "needs the decay constant 4096");
}

/* A reset to r != 0 is the same neuron moved by r. */
static void test_moved_reset(void **state)
{
    struct diag_list d;
    struct tgt t = fx_target(true);
    struct quant_lif out;
    (void)state;
    diag_init(&d);
    struct ir_module *m = fx_tiny(tiny, 3, &d);
    struct ir_eq half = {IR_EQ_CONST, 0, 0.5f};
    m->neuron[0].reset[0] = (struct ir_expr){&half, 1};
    m->neuron[0].state_init[0] = 0.5f;
    uint32_t id = ir_find_value(m, "block.0.attn.q_lif");
    assert_ok(quant_lif_of(m, id, &m->neuron[m->node[id].a.neuron.program], &t, &d, &out));
    assert_true(out.theta == 0.5);
    assert_true(out.offset == -0.25); /* v' = v - r: the leak towards 0 pulls below r */
    assert_int_equal(out.decay, 2048);
    ir_module_destroy(m);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thresholds),  cmocka_unit_test(test_bias),
        cmocka_unit_test(test_cluster),     cmocka_unit_test(test_layer),
        cmocka_unit_test(test_encoder),     cmocka_unit_test(test_attention),
        cmocka_unit_test(test_module),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_moved_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
