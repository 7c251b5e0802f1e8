/* The packed engine against the reference: random networks of convolutions, linear layers,
 * shortcuts and attention with odd sizes, one to many time steps, silent and full inputs; weights
 * are such that sums are exact, so that every recorded value must be equal on every path of
 * kernels.          */
#include "reference_fixture.h"

struct shape {
    uint32_t c, h, w, steps;
    bool events;
    uint32_t fill; /* input: 0 silent, 1 full, 2 random */
};

/* A network in the making. */
struct maker {
    struct bench b;
    struct rng rng;
    float *memory[64];
    uint32_t n_memory, names;
    char name[64][8];
    uint64_t active; /* values that are not zero, of all networks */
};

static uint32_t below(struct maker *k, uint32_t n)
{
    return (uint32_t)rng_below(&k->rng, n);
}

static float *floats(struct maker *k, size_t n, int64_t most, float unit)
{
    float *x = NULL;

    assert_true(k->n_memory < 64);
    check(spk_alloc_array(n, sizeof *x, &x), &k->b.d);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)rng_range_i64(&k->rng, -most, most) * unit;
    k->memory[k->n_memory++] = x;
    return x;
}

static const char *name(struct maker *k)
{
    snprintf(k->name[k->names], sizeof k->name[0], "n%u", k->names);
    return k->name[k->names++];
}

static void begin(struct maker *k, const struct shape *s)
{
    uint32_t x;

    k->b = (struct bench){0};
    k->n_memory = k->names = 0;
    diag_init(&k->b.d);
    check(ir_module_create("unit", &k->b.m), &k->b.d);
    k->b.m->timesteps = s->steps;
    x = add(&k->b,
            (struct ir_node){
                .op = IR_OP_INPUT,
                .name = "image",
                .a.input.events = s->events,
                .type = {.layout = IR_CHW, .channels = s->c, .height = s->h, .width = s->w}});
    if (!s->events)
        x = add(&k->b,
                (struct ir_node){
                    .op = IR_OP_REPEAT, .n_operands = 1, .operand = &x, .a.repeat = s->steps});
    k->b.input = x;
}

/* conv2d or linear, sometimes with bias and batch norm, and a neuron; hardly any is silent. */
static uint32_t layer(struct maker *k, uint32_t x, uint32_t out, uint32_t size, uint32_t stride,
                      uint32_t pad)
{
    uint32_t in = k->b.m->node[x].type.channels, p[4];
    bool linear = size == 0;
    uint32_t taps = linear ? 1 : size * (size + 1);

    p[0] = param(&k->b, name(k), linear ? 2 : 4, out, in, linear ? 0 : size, linear ? 0 : size + 1,
                 floats(k, (size_t)out * in * taps, 8, 0.125f));
    p[1] = param(&k->b, name(k), 1, out, 0, 0, 0, floats(k, out, 8, 0.25f));
    x = add(&k->b, (struct ir_node){.op = linear ? IR_OP_LINEAR : IR_OP_CONV2D,
                                    .n_operands = 1,
                                    .operand = &x,
                                    .n_params = 1 + below(k, 2),
                                    .param = p,
                                    .a.conv = {(uint16_t)size, (uint16_t)(size + 1),
                                               (uint16_t)stride, (uint16_t)stride, (uint16_t)pad,
                                               (uint16_t)(pad / 2 + 1), 0}});
    return lif(&k->b, x, name(k), 0.75f, below(k, 2), IR_CMP_GE + below(k, 2));
}

static uint32_t sum(struct maker *k, uint32_t x, uint32_t y)
{
    uint32_t xy[2] = {x, y};

    return add(
        &k->b,
        (struct ir_node){
            .op = IR_OP_ADD, .n_operands = 2, .operand = xy, .name = name(k), .recorded = true});
}

static void compare(struct maker *k, const struct shape *s)
{
    uint64_t size = (uint64_t)s->c * s->h * s->w * (s->events ? s->steps : 1);
    float *x = floats(k, 2 * size, 16, 0.125f);
    struct record *r;

    for (uint64_t i = 0; i < 2 * size; i++) {
        if (s->fill < 2)
            x[i] = (float)s->fill;
        else if (s->events)
            x[i] = (float)(below(k, 3) ? 0 : below(k, 6));
    }
    r = run(&k->b, x, size, 2, 2, NULL, NULL);
    for (uint32_t i = 0; i < record_count(r); i++)
        for (uint64_t e = 0; e < 2 * record_at(r, i)->frame_elements * s->steps; e++)
            k->active += record_at(r, i)->data[e] != 0;
    record_destroy(r);
    for (uint32_t i = 0; i < k->n_memory; i++)
        spk_free(k->memory[i]);
    finish(&k->b);
}

static uint32_t pick(struct maker *k, const uint32_t *of, uint32_t n)
{
    return of[below(k, n)];
}

static void networks(void **state)
{
    static const uint32_t channels[] = {1, 7, 16, 33, 63, 64, 65, 100, 128, 130, 200};
    static const uint32_t steps[] = {1, 2, 3, 4, 5, 9, 32};
    struct maker k = {.active = 0};

    (void)state;
    for (uint32_t seed = 0; seed < 60; seed++) {
        struct shape s = {.fill = seed % 6};
        uint32_t x, y;

        rng_seed(&k.rng, 100 + seed);
        s.c = 1 + below(&k, 3);
        s.h = 4 + below(&k, 9);
        s.w = 4 + below(&k, 14);
        s.steps = pick(&k, steps, seed % 5 ? 5 : 7);
        s.events = seed % 2;
        begin(&k, &s);
        x = layer(&k, k.b.input, pick(&k, channels, 11), 1 + below(&k, 3), 1, 2);
        x = layer(&k, x, pick(&k, channels, 11), 1 + below(&k, 3), 1 + below(&k, 2), below(&k, 3));
        if (seed % 3 == 0)
            x = add(&k.b,
                    (struct ir_node){
                        .op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &x, .a.pool = {3, 2, 1}});
        x = add(&k.b, (struct ir_node){.op = IR_OP_RESHAPE,
                                       .n_operands = 1,
                                       .operand = &x,
                                       .a.reshape.to = seed % 2 ? IR_NC : IR_CN});
        y = layer(&k, x, k.b.m->node[x].type.channels, 0, 0, 0);
        x = sum(&k, x, y);
        y = layer(&k, x, k.b.m->node[x].type.channels, 0, 0, 0);
        x = sum(&k, x, y);
        (void)layer(&k, x, pick(&k, channels, 11), 0, 0, 0);
        compare(&k, &s);
    }
    assert_true(k.active > 1000000);
}

/* Images large enough for several chunks and parts of chunks, channels for several slices. */
static void large_layers(void **state)
{
    struct maker k = {.active = 0};

    (void)state;
    for (uint32_t seed = 0; seed < 4; seed++) {
        const struct shape s = {2, 45, 51, seed < 2 ? 4 : 6, seed % 2, 2};
        uint32_t x;

        rng_seed(&k.rng, seed);
        begin(&k, &s);
        x = layer(&k, k.b.input, 96, 2, 1, 1);
        x = layer(&k, x, 160, 3, 2, 1);
        (void)layer(&k, x, 24, 3, 1, 1);
        compare(&k, &s);
    }
    assert_true(k.active > 1000000);
}

/* ---- integers ---- */

#define IN 700u
#define OUT 130u

static uint32_t constant(struct bench *b, const char *label, enum ir_dtype dtype, uint32_t out,
                         uint32_t in, const void *data)
{
    struct ir_param p = {.name = label,
                         .dtype = dtype,
                         .rank = in ? 4 : 1,
                         .dim = {out, in, in ? 1 : 0, in ? 1 : 0},
                         .data = data};
    uint32_t id = 0;

    check(ir_add_param(b->m, &p, &id), &b->d);
    return id;
}

/* 1x1 convolution of `times` times the same value, then integer neurons. */
static uint32_t integer_layer(struct bench *b, uint32_t x, uint32_t times, const char *label,
                              uint32_t weights, uint32_t vth)
{
    uint32_t same[8];

    for (uint32_t i = 0; i < times; i++)
        same[i] = x;
    x = add(b, (struct ir_node){.op = IR_OP_CONV2D,
                                .n_operands = (uint16_t)times,
                                .operand = same,
                                .n_params = 1,
                                .param = &weights,
                                .a.conv = {1, 1, 1, 1, 0, 0, 0}});
    return add(b, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .n_params = 1,
                                   .param = &vth,
                                   .name = label,
                                   .recorded = true,
                                   .a.neuron = {.program = IR_NONE, .q = {1024, 24, true}}});
}

/* Weights at the ends of 8 bits and spikes that are hardly ever missing: sums leave 16 bits at
 * every stage of adding up. */
static void heavy_sums(void **state)
{
    static int8_t w[OUT * IN], spread[IN];
    float frames[9];
    int32_t vth[OUT], easy[IN];
    uint64_t fired = 0, silent = 0;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    for (uint32_t seed = 0; seed < 12; seed++) {
        const uint32_t times = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 3 : 7, steps = seed % 2 ? 9 : 4;
        uint64_t wraps[8] = {0};
        struct engine_stats stats = {.wraps = wraps};
        struct bench b = {0};
        struct record *r;
        uint32_t x;

        diag_init(&b.d);
        check(ir_module_create("heavy", &b.m), &b.d);
        b.m->stage = IR_STAGE_QUANTISED;
        b.m->timesteps = steps;
        b.m->target = "toy";
        for (uint32_t i = 0; i < OUT * IN; i++) {
            int8_t ends = i / IN % 3 == 0 ? 127 : i / IN % 3 == 1 ? -128 : (int8_t)(i % 255 - 127);

            w[i] = seed < 6 ? ends : (int8_t)((int32_t)rng_below(&rng, 256) - 128);
        }
        for (uint32_t i = 0; i < IN; i++) {
            spread[i] = (int8_t)rng_below(&rng, 128);
            easy[i] = 20;
        }
        for (uint32_t i = 0; i < steps; i++)
            frames[i] = 1;
        for (uint32_t i = 0; i < OUT; i++)
            vth[i] = (int32_t)rng_range_i64(&rng, 1, 100000 * (int64_t)times);
        x = add(&b, (struct ir_node){
                        .op = IR_OP_INPUT,
                        .name = "frames",
                        .a.input.events = true,
                        .type = {.layout = IR_CHW, .channels = 1, .height = 1, .width = 1}});
        x = add(&b, (struct ir_node){.op = IR_OP_ENCODE,
                                     .n_operands = 1,
                                     .operand = &x,
                                     .a.encode.kind = IR_ENCODE_EVENTS});
        x = integer_layer(&b, x, 1, "in", constant(&b, "spread", IR_DT_I8, IN, 1, spread),
                          constant(&b, "easy", IR_DT_I32, IN, 0, easy));
        (void)integer_layer(&b, x, times, "out", constant(&b, "w", IR_DT_I8, OUT, IN, w),
                            constant(&b, "vth", IR_DT_I32, OUT, 0, vth));
        r = run(&b, frames, steps, 1, 1, &stats, NULL);
        for (uint32_t i = 0; i < OUT; i++) {
            for (uint32_t t = 0; t < steps; t++) {
                bool spike = record_get(r, record_find(r, "out"), t, 0, i) != 0;

                fired += spike;
                silent += !spike;
            }
        }
        record_destroy(r);
        finish(&b);
    }
    assert_true(fired > 500 && silent > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(large_layers),
        cmocka_unit_test(heavy_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
