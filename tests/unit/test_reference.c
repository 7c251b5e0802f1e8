/* The reference engine at level R on small networks whose results are computed here by plain loops
 * or by hand: neuron programs, projections, pooling, attention, sums, statistics.             */
#include "reference_fixture.h"

/* ---- neurons ---- */

/* Input 1.5 at every step, threshold 0.75, by hand:
 * hard: v = 0.75 fires (>=), every step. With `>`: 0.75 no; 1.125 fires -> 0; 0.75 no; fires.
 * soft, `>`: 0.75 no; 1.125 fires -> 0.375; 0.9375 fires -> 0.1875; 0.84375 fires.           */
static void hard_and_soft_reset(void **state)
{
    const float image[1] = {1.5f};
    static const struct {
        bool soft;
        enum ir_cmp cmp;
        uint8_t want[STEPS];
    } cases[] = {{false, IR_CMP_GE, {1, 1, 1, 1}},
                 {false, IR_CMP_GT, {0, 1, 0, 1}},
                 {true, IR_CMP_GT, {0, 1, 1, 1}}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct bench b;
        struct record *r;

        start(&b, false, 1, 1, 1);
        (void)lif(&b, b.input, "s", 0.75f, cases[i].soft, cases[i].cmp);
        r = run(&b, image, 1, 1, 1, NULL, NULL);
        assert_memory_equal(record_find(r, "s")->data, cases[i].want, STEPS);
        record_destroy(r);
        finish(&b);
    }
}

static const uint8_t *recite(void *ctx, uint32_t image, uint32_t node)
{
    (void)image;
    (void)node;
    return ctx;
}

/* The same neuron, hard reset, forced. Expected 0 1 0 1: H = 0.75, 1.125, 0.75, 1.125; flips at
 * steps 0 and 2, both at the threshold. Expected 0 0 0 0: H = 0.75, 1.125, 1.3125, 1.40625; four
 * flips, three of them far away. Expected 1 1 1 1: none.                                      */
static void forced_neuron(void **state)
{
    static uint8_t expected[3][STEPS] = {{0, 1, 0, 1}, {0, 0, 0, 0}, {1, 1, 1, 1}};
    static const uint64_t want[3][2] = {{2, 0}, {4, 3}, {0, 0}};
    const float image[1] = {1.5f};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct engine_teacher teacher = {expected[i], recite};
        struct engine *e = NULL;
        struct record *r = NULL;
        struct bench b;
        uint64_t flips[8] = {0}, outside[8] = {0};
        double sum[8] = {0};
        struct engine_stats stats = {.flips = flips, .flips_outside = outside, .sum = sum};
        uint32_t id;

        start(&b, false, 1, 1, 1);
        id = lif(&b, b.input, "s", 0.75f, false, IR_CMP_GE);
        check(record_create(1, 0, &r), &b.d);
        check(record_add_module(r, b.m, &b.d), &b.d);
        struct engine_recorder recorder = record_recorder(r);
        check(rt_reference_engine.create(b.m, &b.d, &e), &b.d);
        struct engine_run run = {
            .input = {1, image, 1}, .teacher = &teacher, .stats = &stats, .recorder = &recorder};
        check(rt_reference_engine.run(e, &run, &b.d), &b.d);
        assert_memory_equal(record_find(r, "s")->data, expected[i], STEPS);
        assert_int_equal(flips[id], want[i][0]);
        assert_int_equal(outside[id], want[i][1]);
        rt_reference_engine.destroy(e);
        record_destroy(r);
        finish(&b);
    }
}

/* Two states and every operation, against the same in plain C over many neurons:
 *   a = max(a * 0.9, 0) + input;  w = w / 1.25 + min(a, 0.5)
 *   fire |a| - -w > 1.5 ; a = -a * 0.25; w = w + a (already reset)                            */
static void every_equation(void **state)
{
    const struct ir_eq charge_a[] = {EQ(STATE, 0, 0), EQ(CONST, 0, 0.9f), EQ(MUL, 0, 0),
                                     EQ(CONST, 0, 0), EQ(MAX, 0, 0),      EQ(INPUT, 0, 0),
                                     EQ(ADD, 0, 0)};
    const struct ir_eq charge_w[] = {EQ(STATE, 1, 0), EQ(CONST, 0, 1.25f), EQ(DIV, 0, 0),
                                     EQ(STATE, 0, 0), EQ(CONST, 0, 0.5f),  EQ(MIN, 0, 0),
                                     EQ(ADD, 0, 0)};
    const struct ir_eq lhs[] = {EQ(STATE, 0, 0), EQ(ABS, 0, 0), EQ(STATE, 1, 0), EQ(NEG, 0, 0),
                                EQ(SUB, 0, 0)};
    const struct ir_eq rhs[] = {EQ(CONST, 0, 1.5f)};
    const struct ir_eq reset_a[] = {EQ(STATE, 0, 0), EQ(NEG, 0, 0), EQ(CONST, 0, 0.25f),
                                    EQ(MUL, 0, 0)};
    const struct ir_eq reset_w[] = {EQ(STATE, 1, 0), EQ(STATE, 0, 0), EQ(ADD, 0, 0)};
    struct ir_neuron n = {.name = "odd",
                          .n_states = 2,
                          .state_name = {"a", "w"},
                          .state_init = {0.125f, -0.5f},
                          .cmp = IR_CMP_GT,
                          .charge = {{charge_a, 7}, {charge_w, 7}},
                          .reset = {{reset_a, 4}, {reset_w, 3}},
                          .fire_lhs = {lhs, 5},
                          .fire_rhs = {rhs, 1}};
    enum { C = 3, N = 37 * 29 };
    float image[C * N];
    struct bench b;
    struct record *r;
    struct rng rng;
    uint32_t id = 0, spikes = 0;

    (void)state;
    rng_seed(&rng, 11);
    for (uint32_t i = 0; i < C * N; i++)
        image[i] = (float)rng_normal(&rng);
    start(&b, false, C, 37, 29);
    check(ir_add_neuron(b.m, &n, &id), &b.d);
    (void)add(&b, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &b.input,
                                   .name = "s",
                                   .recorded = true,
                                   .a.neuron.program = id});
    r = run(&b, image, C * N, 1, 2, NULL, NULL);
    for (uint32_t i = 0; i < C * N; i++) {
        float a = 0.125f, w = -0.5f, x = image[i];

        for (uint32_t t = 0; t < STEPS; t++) {
            float decayed = a * 0.9f;
            bool fired;

            a = (decayed > 0 ? decayed : 0) + x;
            w = w / 1.25f + (a < 0.5f ? a : 0.5f);
            fired = fabsf(a) - -w > 1.5f;
            assert_int_equal(record_get(r, record_find(r, "s"), t, 0, i), fired);
            spikes += fired;
            if (fired) {
                a = -a * 0.25f;
                w = w + a;
            }
        }
    }
    assert_true(spikes > 100 && spikes < C * N * STEPS - 100);
    record_destroy(r);
    finish(&b);
}

/* ---- projections ---- */

struct conv_case {
    uint32_t in, out, h, w;
    uint16_t kh, kw, sh, sw, ph, pw;
    bool events;
};

/* Sums are exact (small dyadic numbers), so any order must give the same spikes. The network is
 * also built with the events split over two operands (stage lowered), which must not matter.  */
static void conv_case(const struct conv_case *k, uint64_t seed)
{
    uint32_t oh = (k->h + 2u * k->ph - k->kh) / k->sh + 1;
    uint32_t ow = (k->w + 2u * k->pw - k->kw) / k->sw + 1, frames = k->events ? STEPS : 1;
    uint64_t size = (uint64_t)k->in * k->h * k->w, spikes = 0;
    float *x = NULL, *w = NULL, *bias = NULL;
    struct bench b;
    struct record *r;
    struct rng rng;
    uint32_t p[2], c;

    start(&b, k->events, k->in, k->h, k->w);
    rng_seed(&rng, seed);
    check(spk_alloc_array(frames * size, 4, &x), &b.d);
    check(spk_alloc_array((size_t)k->out * k->in * k->kh * k->kw, 4, &w), &b.d);
    check(spk_alloc_array(k->out, 4, &bias), &b.d);
    for (uint64_t i = 0; i < frames * size; i++)
        x[i] = k->events ? (float)(rng_below(&rng, 4) ? 0 : rng_below(&rng, 3))
                         : (float)rng_range_i64(&rng, -16, 16) / 8.0f;
    for (uint64_t i = 0; i < (uint64_t)k->out * k->in * k->kh * k->kw; i++)
        w[i] = (float)rng_range_i64(&rng, -32, 32) / 32.0f;
    for (uint32_t i = 0; i < k->out; i++)
        bias[i] = (float)rng_range_i64(&rng, -8, 8) / 8.0f;
    p[0] = param(&b, "w", 4, k->out, k->in, k->kh, k->kw, w);
    p[1] = param(&b, "b", 1, k->out, 0, 0, 0, bias);
    c = add(&b, (struct ir_node){.op = IR_OP_CONV2D,
                                 .n_operands = 1,
                                 .operand = &b.input,
                                 .n_params = 2,
                                 .param = p,
                                 .a.conv = {k->kh, k->kw, k->sh, k->sw, k->ph, k->pw, 0}});
    (void)lif(&b, c, "s", 1.0f, false, IR_CMP_GE);
    r = run(&b, x, frames * size, 1, 2, NULL, NULL);
    assert_int_equal(record_find(r, "s")->frame_elements, k->out * oh * ow);
    for (uint32_t o = 0; o < k->out; o++)
        for (uint32_t y = 0; y < oh; y++)
            for (uint32_t xx = 0; xx < ow; xx++) {
                float v = 0;

                for (uint32_t t = 0; t < STEPS; t++) {
                    float sum = bias[o];

                    for (uint32_t i = 0; i < k->in; i++)
                        for (uint32_t ky = 0; ky < k->kh; ky++)
                            for (uint32_t kx = 0; kx < k->kw; kx++) {
                                int64_t iy = (int64_t)y * k->sh + ky - k->ph;
                                int64_t ix = (int64_t)xx * k->sw + kx - k->pw;

                                if (iy < 0 || iy >= k->h || ix < 0 || ix >= k->w)
                                    continue;
                                sum += w[((o * k->in + i) * k->kh + ky) * k->kw + kx] *
                                       x[(k->events ? t * size : 0) +
                                         (i * k->h + (uint64_t)iy) * k->w + (uint64_t)ix];
                            }
                    v = v + (sum - v) / 2.0f;
                    assert_int_equal(
                        record_get(r, record_find(r, "s"), t, 0, (o * oh + y) * ow + xx),
                        v >= 1.0f);
                    spikes += v >= 1.0f;
                    if (v >= 1.0f)
                        v = 0;
                }
            }
    assert_true(spikes > 0 && spikes < (uint64_t)k->out * oh * ow * STEPS);
    record_destroy(r);
    spk_free(x);
    spk_free(w);
    spk_free(bias);
    finish(&b);
}

static void convolutions(void **state)
{
    static const struct conv_case cases[] = {
        {3, 4, 8, 8, 2, 2, 2, 2, 0, 0, false},  {2, 70, 7, 9, 3, 2, 2, 1, 1, 0, true},
        {5, 64, 6, 5, 3, 3, 1, 1, 1, 1, true},  {9, 130, 5, 5, 1, 1, 1, 1, 0, 0, true},
        {17, 3, 9, 4, 5, 3, 1, 2, 2, 1, false}, {130, 5, 13, 11, 3, 3, 1, 1, 1, 1, true},
    };

    (void)state;
    for (uint32_t i = 0; i < 6; i++)
        conv_case(&cases[i], 100 + i);
}

/* Stage lowered: a projection of two spike trains, the second of which adds to the first. */
static void variadic_linear(void **state)
{
    enum { C = 8, N = 6, OUT = 12 };
    float image[STEPS * C * N], w[OUT * C];
    struct bench b;
    struct record *r;
    struct rng rng;
    float first[C * C];
    uint32_t xy[2], x, p;

    (void)state;
    rng_seed(&rng, 5);
    for (uint32_t i = 0; i < C * C; i++)
        first[i] = (float)rng_range_i64(&rng, -4, 12) / 16.0f;
    for (uint32_t i = 0; i < STEPS * C * N; i++)
        image[i] = (float)rng_below(&rng, 3);
    for (uint32_t i = 0; i < OUT * C; i++)
        w[i] = (float)rng_range_i64(&rng, -16, 16) / 16.0f;
    start(&b, true, C, 2, 3);
    b.m->stage = IR_STAGE_LOWERED;
    x = add(&b,
            (struct ir_node){
                .op = IR_OP_RESHAPE, .n_operands = 1, .operand = &b.input, .a.reshape.to = IR_NC});
    p = param(&b, "w1", 2, C, C, 0, 0, first);
    x = add(&b,
            (struct ir_node){
                .op = IR_OP_LINEAR, .n_operands = 1, .operand = &x, .n_params = 1, .param = &p});
    xy[0] = lif(&b, x, "x", 0.75f, false, IR_CMP_GE);
    xy[1] = lif(&b, x, "y", 1.0f, true, IR_CMP_GT);
    (void)add(
        &b, (struct ir_node){
                .op = IR_OP_ADD, .n_operands = 2, .operand = xy, .name = "sum", .recorded = true});
    p = param(&b, "w2", 2, OUT, C, 0, 0, w);
    x = add(&b,
            (struct ir_node){
                .op = IR_OP_LINEAR, .n_operands = 2, .operand = xy, .n_params = 1, .param = &p});
    (void)lif(&b, x, "two", 1.0f, false, IR_CMP_GE);
    r = run(&b, image, STEPS * C * N, 1, 1, NULL, NULL);
    const struct record_tensor *tx = record_find(r, "x"), *ty = record_find(r, "y");
    const struct record_tensor *ts = record_find(r, "sum"), *t2 = record_find(r, "two");
    uint32_t spikes = 0, twos = 0;
    for (uint32_t n = 0; n < N; n++)
        for (uint32_t o = 0; o < OUT; o++) {
            float v = 0;

            for (uint32_t t = 0; t < STEPS; t++) {
                float s = 0;

                for (uint32_t c = 0; c < C; c++) {
                    int32_t count =
                        record_get(r, tx, t, 0, n * C + c) + record_get(r, ty, t, 0, n * C + c);

                    assert_int_equal(record_get(r, ts, t, 0, n * C + c), count);
                    twos += count == 2;
                    s += w[o * C + c] * (float)count;
                }
                v = v + (s - v) / 2.0f;
                assert_int_equal(record_get(r, t2, t, 0, n * OUT + o), v >= 1.0f);
                spikes += v >= 1.0f;
                v = v >= 1.0f ? 0 : v;
            }
        }
    assert_true(spikes > 10 && twos > 10);
    record_destroy(r);
    finish(&b);
}

/* ---- other ops ---- */

/* Max-pool of negative currents: padding must not win. 2x2 image, kernel 3, stride 1, pad 1. */
static void pool_of_currents(void **state)
{
    const float image[4] = {-4, -3, -2, -1}, one = 1;
    struct bench b;
    struct record *r;
    double sum[16] = {0}, low[16] = {0}, high[16] = {0}, absolute[16] = {0};
    struct engine_stats stats = {.sum = sum, .min = low, .max = high, .abs_max = absolute};
    uint32_t x, p;

    (void)state;
    start(&b, false, 1, 2, 2);
    p = param(&b, "w", 4, 1, 1, 1, 1, &one);
    x = add(&b, (struct ir_node){.op = IR_OP_CONV2D,
                                 .n_operands = 1,
                                 .operand = &b.input,
                                 .n_params = 1,
                                 .param = &p,
                                 .a.conv = {1, 1, 1, 1, 0, 0, 0}});
    x = add(&b, (struct ir_node){
                    .op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &x, .a.pool = {2, 1, 1}});
    r = run(&b, image, 4, 1, 1, &stats, NULL);
    /* 3x3 windows of 2x2: -4 -3 -3 / -2 -1 -1 / -2 -1 -1, four steps. */
    assert_true(sum[x] == 4 * -18.0);
    assert_true(low[x] == -4 && high[x] == 0 && absolute[x] == 4);
    record_destroy(r);
    finish(&b);
}

/* Both orders give the same currents as the definition. */
static void attention_orders(void **state)
{
    enum { C = 12, N = 10, HEADS = 3, D = C / HEADS };
    float image[STEPS * C * N];
    struct bench b;
    struct rng rng;
    struct record *r;
    uint32_t qkv[3], a[3];
    static const char *const names[] = {"auto", "kv", "qk"};

    (void)state;
    rng_seed(&rng, 9);
    for (uint32_t i = 0; i < STEPS * C * N; i++)
        image[i] = (float)rng_below(&rng, 4);
    start(&b, true, C, 1, N);
    qkv[0] = add(
        &b, (struct ir_node){
                .op = IR_OP_RESHAPE, .n_operands = 1, .operand = &b.input, .a.reshape.to = IR_CN});
    qkv[1] = lif(&b, qkv[0], "k", 1.0f, true, IR_CMP_GE);
    qkv[2] = lif(&b, qkv[0], "v", 1.25f, false, IR_CMP_GT);
    qkv[0] = lif(&b, qkv[0], "q", 0.5f, false, IR_CMP_GE);
    for (uint32_t i = 0; i < 3; i++) {
        a[i] = add(&b, (struct ir_node){.op = IR_OP_ATTENTION,
                                        .n_operands = 3,
                                        .operand = qkv,
                                        .a.attention = {HEADS, 0.125f, (enum ir_attn_order)i, 0}});
        (void)lif(&b, a[i], names[i], 0.5f, false, IR_CMP_GE);
    }
    r = run(&b, image, STEPS * C * N, 1, 2, NULL, NULL);
    const struct record_tensor *q = record_find(r, "q"), *k = record_find(r, "k");
    const struct record_tensor *v = record_find(r, "v");
    uint32_t spikes = 0;
    for (uint32_t c = 0; c < C; c++)
        for (uint32_t n = 0; n < N; n++) {
            float u = 0;

            for (uint32_t t = 0; t < STEPS; t++) {
                int32_t count = 0, want;

                for (uint32_t m = 0; m < N; m++)
                    for (uint32_t i = c / D * D; i < c / D * D + D; i++)
                        count += record_get(r, q, t, 0, i * N + n) *
                                 record_get(r, k, t, 0, i * N + m) *
                                 record_get(r, v, t, 0, c * N + m);
                u = u + (0.125f * (float)count - u) / 2.0f;
                want = u >= 0.5f;
                spikes += (uint32_t)want;
                u = want ? 0 : u;
                for (uint32_t i = 0; i < 3; i++)
                    assert_int_equal(record_get(r, record_find(r, names[i]), t, 0, c * N + n),
                                     want);
            }
        }
    assert_true(spikes > 20 && spikes < C * N * STEPS - 20);
    record_destroy(r);
    finish(&b);
}

/* A sum of 300 spikes does not fit a byte: recorded as i32. Mean, head and logits by hand. */
static void large_counts(void **state)
{
    const float image[2] = {2, 0}, w[2] = {0.5f, 8}, bias[1] = {-0.25f};
    struct bench b;
    struct record *r;
    uint32_t ids[300], x, p[2];
    float logits[1];

    (void)state;
    start(&b, false, 2, 1, 1);
    x = lif(&b, b.input, "s", 1.0f, false, IR_CMP_GE);
    for (uint32_t i = 0; i < 300; i++)
        ids[i] = x;
    x = add(
        &b,
        (struct ir_node){
            .op = IR_OP_ADD, .n_operands = 300, .operand = ids, .name = "sum", .recorded = true});
    x = unary(&b, IR_OP_MEAN, x);
    p[0] = param(&b, "w", 2, 1, 2, 0, 0, w);
    p[1] = param(&b, "b", 1, 1, 0, 0, 0, bias);
    x = add(&b, (struct ir_node){
                    .op = IR_OP_LINEAR, .n_operands = 1, .operand = &x, .n_params = 2, .param = p});
    (void)unary(&b, IR_OP_OUTPUT, x);
    r = run(&b, image, 2, 1, 1, NULL, logits);
    const struct record_tensor *t = record_find(r, "sum");
    assert_true(t->is_i32);
    for (uint32_t s = 0; s < STEPS; s++) {
        assert_int_equal(record_get(r, t, s, 0, 0), 300);
        assert_int_equal(record_get(r, t, s, 0, 1), 0);
    }
    assert_true(logits[0] == 149.75f);
    record_destroy(r);
    finish(&b);
}

/* Shortcut of currents (membrane shortcut) and batch norm by hand:
 * alpha = 3 / sqrt(3.75 + 0.25) = 1.5, beta = 1 - 2 * 1.5 = -2; y = 1.5 x - 2; y + x. */
static void batchnorm_and_shortcut(void **state)
{
    const float image[2] = {2, 6}, one = 1, gamma = 3, beta = 1, mean = 2, var = 3.75f;
    struct bench b;
    struct record *r;
    double sum[16] = {0};
    struct engine_stats stats = {.sum = sum};
    uint32_t x, y, xy[2], p[4];

    (void)state;
    start(&b, false, 1, 1, 2);
    p[0] = param(&b, "w", 4, 1, 1, 1, 1, &one);
    x = add(&b, (struct ir_node){.op = IR_OP_CONV2D,
                                 .n_operands = 1,
                                 .operand = &b.input,
                                 .n_params = 1,
                                 .param = p,
                                 .a.conv = {1, 1, 1, 1, 0, 0, 0}});
    p[0] = param(&b, "gamma", 1, 1, 0, 0, 0, &gamma);
    p[1] = param(&b, "beta", 1, 1, 0, 0, 0, &beta);
    p[2] = param(&b, "mean", 1, 1, 0, 0, 0, &mean);
    p[3] = param(&b, "var", 1, 1, 0, 0, 0, &var);
    y = add(&b, (struct ir_node){.op = IR_OP_BATCHNORM,
                                 .n_operands = 1,
                                 .operand = &x,
                                 .n_params = 4,
                                 .param = p,
                                 .a.eps = 0.25f});
    xy[0] = x;
    xy[1] = y;
    x = add(&b, (struct ir_node){.op = IR_OP_ADD, .n_operands = 2, .operand = xy});
    (void)lif(&b, x, "s", 1.5f, false, IR_CMP_GE);
    r = run(&b, image, 2, 1, 1, &stats, NULL);
    assert_true(sum[y] == STEPS * (1.0 + 7.0));
    assert_true(sum[x] == STEPS * (3.0 + 13.0));
    assert_int_equal(record_get(r, record_find(r, "s"), 0, 0, 0), 1); /* 3 / 2 >= 1.5 */
    record_destroy(r);
    finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hard_and_soft_reset),    cmocka_unit_test(forced_neuron),
        cmocka_unit_test(every_equation),         cmocka_unit_test(convolutions),
        cmocka_unit_test(variadic_linear),        cmocka_unit_test(pool_of_currents),
        cmocka_unit_test(attention_orders),       cmocka_unit_test(large_counts),
        cmocka_unit_test(batchnorm_and_shortcut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
