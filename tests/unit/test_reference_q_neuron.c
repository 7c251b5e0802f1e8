/* The integer neuron and its currents, one neuron at a time and worked out by hand: truncating
 * decay, wraps far beyond 32 bits, teacher forcing.                                            */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/reference.h"

#define T 3u

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

/* ---- one neuron, by hand ---- */

#define MOST_INPUTS 6u

/* `inputs` event channels, weights w without shift, one neuron without bias, decay 2048. */
struct single {
    struct ir_module *m;
    struct diag_list d;
    struct engine *e;
    uint32_t inputs, id;
    int32_t vth;
    float head[1];
    uint8_t out[T];
    uint64_t wraps, flips, outside;
};

static void single_open(struct single *s, uint32_t inputs, const int8_t *w, int32_t vth, bool soft)
{
    uint32_t x, p;

    *s = (struct single){.inputs = inputs, .vth = vth, .head = {1}};
    diag_init(&s->d);
    check(ir_module_create("single", &s->m), &s->d);
    s->m->stage = IR_STAGE_QUANTISED;
    s->m->timesteps = T;
    s->m->target = "toy";
    struct ir_node input = {
        .op = IR_OP_INPUT,
        .name = "frames",
        .a.input.events = true,
        .type = {.layout = IR_CHW, .channels = inputs, .height = 1, .width = 1}};
    x = append(s->m, &s->d, &input);
    struct ir_node encode = {
        .op = IR_OP_ENCODE, .n_operands = 1, .operand = &x, .a.encode.kind = IR_ENCODE_EVENTS};
    x = append(s->m, &s->d, &encode);
    struct ir_param pw = {"w", IR_DT_I8, 2, {1, inputs}, w, spk_span_none, false};
    struct ir_param pv = {"vth", IR_DT_I32, 1, {1}, &s->vth, spk_span_none, false};
    struct ir_param ph = {"head", IR_DT_F32, 2, {1, 1}, s->head, spk_span_none, false};
    check(ir_add_param(s->m, &pw, &p), &s->d);
    struct ir_node lin = {
        .op = IR_OP_LINEAR, .n_operands = 1, .operand = &x, .n_params = 1, .param = &p};
    x = append(s->m, &s->d, &lin);
    check(ir_add_param(s->m, &pv, &p), &s->d);
    struct ir_node lif = {
        .op = IR_OP_NEURON,
        .n_operands = 1,
        .operand = &x,
        .n_params = 1,
        .param = &p,
        .name = "out",
        .recorded = true,
        .a.neuron = {.program = IR_NONE, .q = {.decay = 2048, .bits = 24, .soft_reset = soft}}};
    s->id = x = append(s->m, &s->d, &lif);
    check(ir_add_param(s->m, &ph, &p), &s->d);
    struct ir_node read = {.op = IR_OP_READOUT,
                           .n_operands = 1,
                           .operand = &x,
                           .n_params = 1,
                           .param = &p,
                           .a.readout.divisor = T};
    (void)append(s->m, &s->d, &read);
    check(rt_reference_engine.create(s->m, &s->d, &s->e), &s->d);
}

static spk_status take_out(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                           const void *data, bool is_i32)
{
    (void)image;
    (void)node;
    (void)type;
    assert_false(is_i32);
    memcpy(ctx, data, T);
    return SPK_OK;
}

static const uint8_t *recite(void *ctx, uint32_t image, uint32_t node)
{
    (void)image;
    (void)node;
    return ctx;
}

/* Runs frames [T][inputs], forced by `expected` unless NULL. */
static void single_run(struct single *s, const float *frames, uint8_t *expected)
{
    uint64_t wraps[8] = {0}, flips[8] = {0}, outside[8] = {0};
    struct engine_recorder recorder = {s->out, take_out};
    struct engine_teacher teacher = {expected, recite};
    struct engine_stats stats = {.wraps = wraps, .flips = flips, .flips_outside = outside};
    struct engine_run run = {.input = {1, frames, T * s->inputs},
                             .recorder = &recorder,
                             .stats = &stats,
                             .teacher = expected ? &teacher : NULL};

    check(rt_reference_engine.run(s->e, &run, &s->d), &s->d);
    s->wraps = wraps[s->id];
    s->flips = flips[s->id];
    s->outside = outside[s->id];
}

static void single_close(struct single *s)
{
    rt_reference_engine.destroy(s->e);
    ir_module_destroy(s->m);
    diag_fini(&s->d);
}

/* Currents -3, -3, 100: v = -3; trunc(-1.5) - 3 = -4 (a floor would give -5); -2 + 100 = 98 fires
 * at 98, not at 99.                                                                           */
static void truncating_decay(void **state)
{
    const int8_t w[2] = {-3, 100};
    const float frames[T * 2] = {1, 0, 1, 0, 0, 1};

    (void)state;
    for (int32_t vth = 98; vth <= 99; vth++) {
        const uint8_t want[T] = {0, 0, vth == 98};
        struct single s;

        single_open(&s, 2, w, vth, false);
        single_run(&s, frames, NULL);
        assert_memory_equal(s.out, want, T);
        single_close(&s);
    }
}

/* A current of 2^32 + 5 wraps to 5, and is seen to wrap, although 32 bits hold only the 5. So
 * does 2^31 + 2^24, to 0; the step after it starts from 0. */
static void far_beyond_the_state(void **state)
{
    const int8_t w[MOST_INPUTS] = {64, 64, 64, 64, 1, -64};
    const float big = 16777216.0f;
    const float frames[3][T * MOST_INPUTS] = {
        {big, big, big, big, 5, 0},
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0},
        {big, big, 0, 0, big, 0, 0, 0, 0, 0, 7, 0},
    };
    static const uint8_t want[3][T] = {{1, 0, 0}, {0, 1, 0}, {0, 1, 0}};
    static const uint64_t wraps[3] = {1, 0, 1};
    struct single s;

    (void)state;
    single_open(&s, MOST_INPUTS, w, 5, false);
    for (int i = 0; i < 3; i++) {
        single_run(&s, frames[i], NULL);
        assert_memory_equal(s.out, want[i], T);
        assert_int_equal(s.wraps, wraps[i]);
    }
    single_close(&s);
}

/* Currents 10, 10, 10, threshold 10. Free: fires at every step. Forced 0 1 0, hard: v = 10 (flip,
 * at the threshold); 15 fires; 10 (flip). Forced 0 0 1, soft: 10 (flip), 15 (flip, away), 17.  */
static void forced_integer_neuron(void **state)
{
    const int8_t w[1] = {10};
    const float frames[T] = {1, 1, 1};
    uint8_t hard[T] = {0, 1, 0}, soft[T] = {0, 0, 1};
    struct single s;

    (void)state;
    single_open(&s, 1, w, 10, false);
    single_run(&s, frames, NULL);
    assert_int_equal(s.out[0] + s.out[1] + s.out[2], 3);
    single_run(&s, frames, hard);
    assert_memory_equal(s.out, hard, T);
    assert_int_equal(s.flips, 2);
    assert_int_equal(s.outside, 0);
    single_close(&s);
    single_open(&s, 1, w, 10, true);
    single_run(&s, frames, soft);
    assert_memory_equal(s.out, soft, T);
    assert_int_equal(s.flips, 2);
    assert_int_equal(s.outside, 1);
    single_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncating_decay),
        cmocka_unit_test(far_beyond_the_state),
        cmocka_unit_test(forced_integer_neuron),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
