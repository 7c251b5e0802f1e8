/* The reference engine at level Q against a second, naive implementation of docs/integers.md that
 * shares nothing with it: plain loops over [channel][y][x], one neuron at a time, 64 bits and
 * explicit wrapping. Networks are small and random; weights, biases and decays are chosen so that
 * wraps, saturation, soft resets, graded spikes and both 32- and 64-bit sums occur.            */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "packed_variants.h"
#include "runtime/record.h"
#include "runtime/reference.h"
#include "support/alloc.h"
#include "support/pool.h"
#include "support/rng.h"

#define T 3u
#define C0 2u /* image channels */
#define C1 5u
#define C2 6u /* two heads of three */
#define H 6u
#define W 5u
#define P (H * W)
#define CLASSES 3u

static void check(spk_status status, struct diag_list *d)
{
    if (status != SPK_OK) {
        struct strbuf text = {0};

        diag_render(d, NULL, &text);
        print_error("status %s\n%s\n", spk_status_name(status), strbuf_cstr(&text));
        strbuf_fini(&text);
    }
    assert_int_equal(status, SPK_OK);
}

static uint32_t append(struct ir_module *m, struct diag_list *d, const struct ir_node *node)
{
    uint32_t id = 0;

    check(ir_add_node(m, node, d, &id), d);
    return id;
}

struct net {
    struct ir_module *m;
    struct diag_list d;
    /* parameters */
    int16_t enc_w[C1 * C0 * 9];
    int32_t enc_b[C1], vth1[C1], bias1[C1], vth2[C2], bias2[C2], vth3[C2];
    int8_t conv_w[C2 * C1 * 9], lin_w[C2 * C2];
    float head_w[CLASSES * C2], head_b[CLASSES];
    struct ir_neuron_q q1, q2, q3;
    struct ir_attr_encode encode;
    uint8_t shift;
    int32_t unit;
    bool events;
    float image[T * C0 * P];
    /* ids */
    uint32_t n1, n2, n3, sum;
    /* expected */
    uint8_t s1[T][C1][P], s2[T][C2][P], s3[T][C2][P];
    uint64_t wraps[3];
    float logits[CLASSES];
    int64_t features[C2];
};

/* ---- the naive network ---- */

static int64_t wrap(int64_t x, unsigned bits)
{
    int64_t size = (int64_t)1 << bits, r = x % size;

    if (r < 0)
        r += size;
    return r >= size / 2 ? r - size : r;
}

/* A neuron: its decaying current and its membrane. */
struct cell {
    int64_t u, v;
};

static uint8_t step(struct cell *n, int64_t current, int64_t bias, int64_t vth,
                    const struct ir_neuron_q *q, uint64_t *wraps)
{
    int64_t sum = n->u * q->current_keep / 4096 + current + bias; /* truncates towards zero */
    int64_t top = ((int64_t)1 << (q->bits - 1)) - 1, *v = &n->v;

    n->u = wrap(sum, q->bits);
    *wraps += n->u != sum;
    *v = *v * (4096 - q->decay) / 4096 + n->u;
    if (*v > top)
        *v = top;
    if (*v < -top)
        *v = -top;
    if (*v < vth)
        return 0;
    *v = q->soft_reset ? *v - vth : 0;
    return 1;
}

/* Current of the first layer: the encoder, or events through the convolution's weights. */
static int64_t first_current(const struct net *n, unsigned o, unsigned y, unsigned x)
{
    int64_t sum = n->enc_b[o];

    for (int i = 0; i < (int)C0; i++)
        for (int ky = 0; ky < 3; ky++)
            for (int kx = 0; kx < 3; kx++) {
                int yy = (int)y + ky - 1, xx = (int)x + kx - 1;
                double value;

                if (yy < 0 || yy >= (int)H || xx < 0 || xx >= (int)W)
                    continue;
                value = nearbyint((double)n->image[(i * (int)H + yy) * (int)W + xx] *
                                  exp2(n->encode.x_shift));
                value = fmax(-32767, fmin(32767, value));
                sum += (int64_t)value *
                       n->enc_w[((o * C0 + (unsigned)i) * 3 + (unsigned)ky) * 3 + (unsigned)kx];
            }
    if (n->encode.out_shift)
        sum = (int64_t)floor((double)(sum + (1 << (n->encode.out_shift - 1))) /
                             exp2(n->encode.out_shift));
    if (sum > n->encode.m_max)
        sum = n->encode.m_max;
    if (sum < -n->encode.m_max)
        sum = -n->encode.m_max;
    return sum * (1 << n->encode.m_exp);
}

/* 3x3 convolution of the layer-1 spikes of a step. */
static int64_t second_current(const struct net *n, const uint8_t s[C1][P], unsigned o, unsigned y,
                              unsigned x)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < C1; i++)
        for (int ky = 0; ky < 3; ky++)
            for (int kx = 0; kx < 3; kx++) {
                int yy = (int)y + ky - 1, xx = (int)x + kx - 1;

                if (yy < 0 || yy >= (int)H || xx < 0 || xx >= (int)W)
                    continue;
                sum += (int64_t)s[i][yy * (int)W + xx] *
                       n->conv_w[((o * C1 + i) * 3 + (unsigned)ky) * 3 + (unsigned)kx];
            }
    return sum * ((int64_t)1 << n->shift);
}

static void naive(struct net *n)
{
    const unsigned d = C2 / 2;
    struct cell v1[C1][P] = {{{0}}}, v2[C2][P] = {{{0}}}, v3[C2][P] = {{{0}}};

    memset(n->wraps, 0, sizeof n->wraps);
    memset(n->features, 0, sizeof n->features);
    for (unsigned t = 0; t < T; t++) {
        for (unsigned c = 0; c < C1; c++)
            for (unsigned p = 0; p < P; p++)
                n->s1[t][c][p] = step(&v1[c][p], first_current(n, c, p / W, p % W), n->bias1[c],
                                      n->vth1[c], &n->q1, &n->wraps[0]);
        for (unsigned c = 0; c < C2; c++)
            for (unsigned p = 0; p < P; p++)
                n->s2[t][c][p] = step(
                    &v2[c][p], second_current(n, (const uint8_t(*)[P])n->s1[t], c, p / W, p % W),
                    n->bias2[c], n->vth2[c], &n->q2, &n->wraps[1]);
        for (unsigned c = 0; c < C2; c++)
            for (unsigned p = 0; p < P; p++) {
                int64_t count = 0;
                unsigned h = c / d * d;

                for (unsigned m = 0; m < P; m++)
                    for (unsigned i = 0; i < d; i++)
                        count += n->s2[t][h + i][p] * n->s2[t][h + i][m] * n->s2[t][c][m];
                n->s3[t][c][p] =
                    step(&v3[c][p], count * n->unit, 0, n->vth3[c], &n->q3, &n->wraps[2]);
                n->features[c] += n->s3[t][c][p] + n->s2[t][c][p];
            }
    }
    for (unsigned k = 0; k < CLASSES; k++) {
        double sum = 0;

        for (unsigned c = 0; c < C2; c++)
            sum += (double)n->head_w[k * C2 + c] * (double)n->features[c];
        n->logits[k] = (float)(sum / (T * P) + (double)n->head_b[k]);
    }
}

/* ---- the same as a module ---- */

static uint32_t param(struct net *n, const char *name, enum ir_dtype type, uint32_t rank,
                      uint32_t d0, uint32_t d1, uint32_t k, const void *data)
{
    uint32_t id = 0;
    struct ir_param p = {name, type, rank, {d0, d1, k, k}, data, spk_span_none, false};

    check(ir_add_param(n->m, &p, &id), &n->d);
    return id;
}

static uint32_t add(struct net *n, struct ir_node node)
{
    return append(n->m, &n->d, &node);
}

static uint32_t neuron(struct net *n, uint32_t x, const char *name, uint32_t channels,
                       const int32_t *vth, const int32_t *bias, struct ir_neuron_q q)
{
    char text[64];
    uint32_t p[2];

    strcpy(text, name);
    p[0] = param(n, strcat(text, ".vth"), IR_DT_I32, 1, channels, 0, 0, vth);
    strcpy(text, name);
    if (bias)
        p[1] = param(n, strcat(text, ".bias"), IR_DT_I32, 1, channels, 0, 0, bias);
    return add(n, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .n_params = bias ? 2 : 1,
                                   .param = p,
                                   .name = name,
                                   .recorded = true,
                                   .a.neuron = {.program = IR_NONE, .q = q}});
}

static void build(struct net *n, enum ir_attn_order order)
{
    uint32_t x, y, p[2], qkv[3], both[2];

    check(ir_module_create("q", &n->m), &n->d);
    n->m->stage = IR_STAGE_QUANTISED;
    n->m->timesteps = T;
    n->m->target = "toy";
    x = add(n,
            (struct ir_node){.op = IR_OP_INPUT,
                             .name = "image",
                             .type = {.layout = IR_CHW, .channels = C0, .height = H, .width = W}});
    p[0] = param(n, "enc.weight", IR_DT_I16, 4, C1, C0, 3, n->enc_w);
    p[1] = param(n, "enc.bias", IR_DT_I32, 1, C1, 0, 0, n->enc_b);
    n->encode.kind = IR_ENCODE_CURRENT;
    n->encode.conv = (struct ir_attr_conv){3, 3, 1, 1, 1, 1, 0};
    x = add(n, (struct ir_node){.op = IR_OP_ENCODE,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 2,
                                .param = p,
                                .a.encode = n->encode});
    n->n1 = x = neuron(n, x, "one", C1, n->vth1, n->bias1, n->q1);
    x = add(
        n, (struct ir_node){.op = IR_OP_DELAY, .n_operands = 1, .operand = &x, .a.delay.steps = 2});
    p[0] = param(n, "conv.weight", IR_DT_I8, 4, C2, C1, 3, n->conv_w);
    x = add(n, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = 1,
                                .operand = &x,
                                .n_params = 1,
                                .param = p,
                                .a.conv = {3, 3, 1, 1, 1, 1, n->shift}});
    n->n2 = x = neuron(n, x, "two", C2, n->vth2, n->bias2, n->q2);
    x = add(n, (struct ir_node){
                   .op = IR_OP_RESHAPE, .n_operands = 1, .operand = &x, .a.reshape.to = IR_CN});
    qkv[0] = qkv[1] = qkv[2] = x;
    y = add(n, (struct ir_node){.op = IR_OP_ATTENTION,
                                .n_operands = 3,
                                .operand = qkv,
                                .a.attention = {2, 0.125f, order, n->unit}});
    n->n3 = y = neuron(n, y, "three", C2, n->vth3, NULL, n->q3);
    both[0] = x;
    both[1] = y;
    n->sum = add(
        n, (struct ir_node){
               .op = IR_OP_ADD, .n_operands = 2, .operand = both, .name = "sum", .recorded = true});
    p[0] = param(n, "head.weight", IR_DT_F32, 2, CLASSES, C2, 0, n->head_w);
    p[1] = param(n, "head.bias", IR_DT_F32, 1, CLASSES, 0, 0, n->head_b);
    x = add(n, (struct ir_node){.op = IR_OP_READOUT,
                                .n_operands = 2,
                                .operand = both,
                                .n_params = 2,
                                .param = p,
                                .a.readout.divisor = T * P});
    (void)add(
        n, (struct ir_node){.op = IR_OP_OUTPUT, .n_operands = 1, .operand = &x, .name = "logits"});
}

static int32_t between(struct rng *r, int32_t low, int32_t high)
{
    return (int32_t)rng_range_i64(r, low, high);
}

static void randomise(struct net *n, struct rng *r)
{
    *n = (struct net){.shift = (uint8_t)between(r, 6, 9), .unit = 1 << between(r, 8, 12)};
    diag_init(&n->d);
    for (unsigned i = 0; i < C1 * C0 * 9; i++)
        n->enc_w[i] = (int16_t)between(r, -2000, 2000);
    for (unsigned i = 0; i < C2 * C1 * 9; i++)
        n->conv_w[i] = (int8_t)between(r, -127, 127);
    for (unsigned i = 0; i < C1; i++) {
        n->enc_b[i] = between(r, -100000, 100000);
        n->vth1[i] = between(r, 1000, 60000);
        n->bias1[i] = between(r, -5000, 5000);
    }
    for (unsigned i = 0; i < C2; i++) {
        n->vth2[i] = between(r, 1, 30000);
        n->bias2[i] = between(r, -20000, 30000);
        n->vth3[i] = n->unit * between(r, 1, 40);
    }
    for (unsigned i = 0; i < C0 * P; i++)
        n->image[i] = (float)between(r, -3000, 3000) / 1024.0f;
    for (unsigned i = 0; i < CLASSES * C2; i++)
        n->head_w[i] = (float)between(r, -100, 100) / 37.0f;
    n->head_b[1] = 0.3f;
    n->encode = (struct ir_attr_encode){.x_shift = (uint8_t)between(r, 8, 14),
                                        .out_shift = (uint8_t)between(r, 0, 16),
                                        .m_exp = (uint8_t)between(r, 0, 7),
                                        .m_max = 4095};
    /* Narrow states wrap and saturate. */
    n->q1 = (struct ir_neuron_q){.decay = 2048,
                                 .current_keep = (uint16_t)between(r, 0, 4096),
                                 .bits = (uint8_t)between(r, 17, 24)};
    n->q2 = (struct ir_neuron_q){.decay = (uint16_t)between(r, 0, 4096),
                                 .current_keep = (uint16_t)between(r, 0, 4096),
                                 .bits = (uint8_t)between(r, 17, 24),
                                 .soft_reset = true};
    n->q3 = (struct ir_neuron_q){.decay = 2048, .bits = 24};
}

static void expect_values(const struct record *r, const char *name, const uint8_t *want,
                          uint64_t size)
{
    const struct record_tensor *t = record_find(r, name);

    assert_non_null(t);
    assert_false(t->is_i32);
    assert_int_equal(t->timesteps * t->frame_elements, size);
    assert_memory_equal(t->data, want, size);
}

static void run_and_compare(struct net *n, uint32_t threads)
{
    struct engine *e = NULL;
    struct record *r = NULL;
    struct pool *pool = NULL;
    struct engine_recorder recorder;
    float logits[CLASSES];
    int64_t features[C2];
    uint64_t wraps[16] = {0};
    struct engine_stats stats = {.wraps = wraps};

    check(pool_create(threads, &pool), &n->d);
    check(record_create(1, 0, &r), &n->d);
    check(record_add_module(r, n->m, &n->d), &n->d);
    recorder = record_recorder(r);
    check(rt_reference_engine.create(n->m, &n->d, &e), &n->d);
    struct engine_run run = {.input = {1, n->image, C0 * P},
                             .logits = logits,
                             .features = features,
                             .recorder = &recorder,
                             .stats = &stats,
                             .pool = pool};
    check(rt_reference_engine.run(e, &run, &n->d), &n->d);
    expect_values(r, "one", &n->s1[0][0][0], sizeof n->s1);
    expect_values(r, "two", &n->s2[0][0][0], sizeof n->s2);
    expect_values(r, "three", &n->s3[0][0][0], sizeof n->s3);
    assert_memory_equal(logits, n->logits, sizeof logits);
    assert_memory_equal(features, n->features, sizeof features);
    assert_int_equal(wraps[n->n1], n->wraps[0]);
    assert_int_equal(wraps[n->n2], n->wraps[1]);
    assert_int_equal(wraps[n->n3], n->wraps[2]);
    packed_same(n->m, &run, r, CLASSES, C2, &n->d);
    rt_reference_engine.destroy(e);
    record_destroy(r);
    pool_destroy(pool);
}

static void random_networks(void **state)
{
    static const enum ir_attn_order orders[] = {IR_ATTN_AUTO, IR_ATTN_KV_FIRST, IR_ATTN_QK_FIRST};
    uint64_t wraps = 0, spikes = 0;
    struct rng r;
    static struct net n; /* large; only this test uses it */

    (void)state;
    rng_seed(&r, 7);
    for (uint32_t k = 0; k < 60; k++) {
        randomise(&n, &r);
        naive(&n);
        build(&n, orders[k % 3]);
        run_and_compare(&n, 1 + k % 2);
        for (uint32_t i = 0; i < 3; i++)
            wraps += n.wraps[i];
        for (uint32_t c = 0; c < C2; c++)
            spikes += (uint64_t)n.features[c];
        ir_module_destroy(n.m);
        diag_fini(&n.d);
    }
    assert_true(wraps > 100);
    assert_true(spikes > 1000);
}

/* ---- graded sources, several operands, 64-bit sums ---- */

#define IN 40u
#define OUT 70u /* more than one block of outputs */

static void wide_sums(void **state)
{
    struct diag_list d;
    struct ir_module *m = NULL;
    struct engine *e = NULL;
    struct record *rec = NULL;
    struct rng r;
    int8_t w[OUT * IN];
    int32_t vth[OUT], bias[OUT];
    float head[OUT] = {0};
    float frames[T * IN];
    uint64_t wraps[8] = {0}, expected_wraps = 0;
    uint32_t id, x, ids[2], p[2];
    const struct ir_neuron_q q = {.decay = 1024, .bits = 24};

    (void)state;
    diag_init(&d);
    rng_seed(&r, 3);
    check(ir_module_create("wide", &m), &d);
    m->stage = IR_STAGE_QUANTISED;
    m->timesteps = T;
    m->target = "toy";
    for (uint32_t i = 0; i < OUT * IN; i++)
        w[i] = (int8_t)between(&r, -127, 127);
    for (uint32_t i = 0; i < OUT; i++) {
        vth[i] = between(&r, 1, 1 << 22);
        bias[i] = between(&r, -100000, 100000);
    }
    /* Counts up to 2^24: sums of 40 * 127 * 2^25 need more than 32 bits. */
    for (uint32_t i = 0; i < T * IN; i++)
        frames[i] = rng_below(&r, 3) ? 0.0f : (float)rng_below(&r, i % 2 ? 16777216 : 9);
    struct ir_node input = {.op = IR_OP_INPUT,
                            .name = "frames",
                            .a.input.events = true,
                            .type = {.layout = IR_CHW, .channels = IN, .height = 1, .width = 1}};
    x = append(m, &d, &input);
    struct ir_node encode = {
        .op = IR_OP_ENCODE, .n_operands = 1, .operand = &x, .a.encode.kind = IR_ENCODE_EVENTS};
    x = append(m, &d, &encode);
    struct ir_param pw = {"w", IR_DT_I8, 4, {OUT, IN, 1, 1}, w, spk_span_none, false};
    struct ir_param pv = {"vth", IR_DT_I32, 1, {OUT}, vth, spk_span_none, false};
    struct ir_param pb = {"bias", IR_DT_I32, 1, {OUT}, bias, spk_span_none, false};
    struct ir_param ph = {"head", IR_DT_F32, 2, {1, OUT}, head, spk_span_none, false};
    check(ir_add_param(m, &pw, &p[0]), &d);
    ids[0] = ids[1] = x; /* twice the same: doubles every current */
    struct ir_node conv = {.op = IR_OP_CONV2D,
                           .n_operands = 2,
                           .operand = ids,
                           .n_params = 1,
                           .param = p,
                           .a.conv = {1, 1, 1, 1, 0, 0, 3}};
    x = append(m, &d, &conv);
    check(ir_add_param(m, &pv, &p[0]), &d);
    check(ir_add_param(m, &pb, &p[1]), &d);
    struct ir_node lif = {.op = IR_OP_NEURON,
                          .n_operands = 1,
                          .operand = &x,
                          .n_params = 2,
                          .param = p,
                          .name = "out",
                          .recorded = true,
                          .a.neuron = {.program = IR_NONE, .q = q}};
    id = append(m, &d, &lif);
    check(ir_add_param(m, &ph, &p[0]), &d);
    struct ir_node read = {.op = IR_OP_READOUT,
                           .n_operands = 1,
                           .operand = &id,
                           .n_params = 1,
                           .param = p,
                           .a.readout.divisor = T};
    x = append(m, &d, &read);

    check(record_create(1, 0, &rec), &d);
    check(record_add_module(rec, m, &d), &d);
    struct engine_recorder recorder = record_recorder(rec);
    struct engine_stats stats = {.wraps = wraps};
    check(rt_reference_engine.create(m, &d, &e), &d);
    struct engine_run run = {.input = {1, frames, T * IN}, .recorder = &recorder, .stats = &stats};
    check(rt_reference_engine.run(e, &run, &d), &d);
    const struct record_tensor *t = record_find(rec, "out");
    uint32_t fired = 0;
    for (uint32_t o = 0; o < OUT; o++) {
        struct cell v = {0};

        for (uint32_t s = 0; s < T; s++) {
            int64_t sum = 0;
            uint8_t want;

            for (uint32_t i = 0; i < IN; i++)
                sum += 2 * 8 * (int64_t)frames[s * IN + i] * w[o * IN + i];
            want = step(&v, sum, bias[o], vth[o], &q, &expected_wraps);
            assert_int_equal(record_get(rec, t, s, 0, o), want);
            fired += want;
        }
    }
    assert_int_equal(wraps[id], expected_wraps);
    assert_true(expected_wraps > 10 && fired > 10 && fired < OUT * T);
    rt_reference_engine.destroy(e);
    record_destroy(rec);
    ir_module_destroy(m);
    diag_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_networks),
        cmocka_unit_test(wide_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
