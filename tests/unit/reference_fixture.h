/* Small float networks for tests of the reference engine: building, running, recording. */
#ifndef SPIKEC_TESTS_REFERENCE_FIXTURE_H
#define SPIKEC_TESTS_REFERENCE_FIXTURE_H

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
#include "support/fault.h"
#include "support/pool.h"
#include "support/rng.h"

#define STEPS 4u

static inline void check(spk_status status, struct diag_list *d)
{
    if (status != SPK_OK) {
        struct strbuf text = {0};

        diag_render(d, NULL, &text);
        print_error("status %s\n%s\n", spk_status_name(status), strbuf_cstr(&text));
        strbuf_fini(&text);
    }
    assert_int_equal(status, SPK_OK);
}

/* ---- building ---- */

struct bench {
    struct ir_module *m;
    struct diag_list d;
    uint32_t input;
};

static inline uint32_t add(struct bench *b, struct ir_node node)
{
    uint32_t id = 0;

    check(ir_add_node(b->m, &node, &b->d, &id), &b->d);
    return id;
}

static inline uint32_t unary(struct bench *b, enum ir_op op, uint32_t x)
{
    return add(b, (struct ir_node){.op = op, .n_operands = 1, .operand = &x});
}

static inline void start(struct bench *b, bool events, uint32_t c, uint32_t h, uint32_t w)
{
    uint32_t x;

    *b = (struct bench){0};
    diag_init(&b->d);
    check(ir_module_create("unit", &b->m), &b->d);
    b->m->timesteps = STEPS;
    x = add(b,
            (struct ir_node){.op = IR_OP_INPUT,
                             .name = "image",
                             .a.input.events = events,
                             .type = {.layout = IR_CHW, .channels = c, .height = h, .width = w}});
    if (!events)
        x = add(b, (struct ir_node){
                       .op = IR_OP_REPEAT, .n_operands = 1, .operand = &x, .a.repeat = STEPS});
    b->input = x;
}

static inline void finish(struct bench *b)
{
    ir_module_destroy(b->m);
    diag_fini(&b->d);
}

static inline uint32_t param(struct bench *b, const char *name, uint32_t rank, uint32_t d0,
                             uint32_t d1, uint32_t d2, uint32_t d3, const float *data)
{
    struct ir_param p = {name, IR_DT_F32, rank, {d0, d1, d2, d3}, data, spk_span_none, false};
    uint32_t id = 0;

    check(ir_add_param(b->m, &p, &id), &b->d);
    return id;
}

#define EQ(c, a, x)     \
    {                   \
        IR_EQ_##c, a, x \
    }

/* v = v + (input - v) / 2; fire v >= vth; reset v = 0, or v - vth. */
static inline uint32_t lif(struct bench *b, uint32_t x, const char *name, float vth, bool soft,
                           enum ir_cmp cmp)
{
    const struct ir_eq charge[] = {EQ(STATE, 0, 0), EQ(INPUT, 0, 0), EQ(STATE, 0, 0), EQ(SUB, 0, 0),
                                   EQ(CONST, 0, 2), EQ(DIV, 0, 0),   EQ(ADD, 0, 0)};
    const struct ir_eq v = EQ(STATE, 0, 0), th = EQ(CONST, 0, vth), zero = EQ(CONST, 0, 0);
    const struct ir_eq less[] = {EQ(STATE, 0, 0), EQ(CONST, 0, vth), EQ(SUB, 0, 0)};
    struct ir_neuron n = {.name = "lif",
                          .n_states = 1,
                          .state_name = {"v"},
                          .cmp = cmp,
                          .charge = {{charge, 7}},
                          .fire_lhs = {&v, 1},
                          .fire_rhs = {&th, 1}};
    uint32_t id = 0;

    n.reset[0] = soft ? (struct ir_expr){less, 3} : (struct ir_expr){&zero, 1};
    check(ir_add_neuron(b->m, &n, &id), &b->d);
    return add(b, (struct ir_node){.op = IR_OP_NEURON,
                                   .n_operands = 1,
                                   .operand = &x,
                                   .name = name,
                                   .recorded = true,
                                   .a.neuron.program = id});
}

/* Runs n images; the record belongs to the caller. The packed engine must agree, whose sums are taken
 * in another order: weights and inputs must be such that sums are exact. */
static inline struct record *run(struct bench *b, const float *images, uint64_t stride, uint32_t n,
                                 uint32_t threads, struct engine_stats *stats, float *logits)
{
    struct engine *e = NULL;
    struct record *r = NULL;
    struct pool *pool = NULL;
    struct engine_recorder recorder;

    check(pool_create(threads, &pool), &b->d);
    check(record_create(n, 0, &r), &b->d);
    check(record_add_module(r, b->m, &b->d), &b->d);
    recorder = record_recorder(r);
    check(rt_reference_engine.create(b->m, &b->d, &e), &b->d);
    struct engine_run er = {.input = {n, images, stride},
                            .recorder = &recorder,
                            .stats = stats,
                            .pool = pool,
                            .logits = logits};
    check(rt_reference_engine.run(e, &er, &b->d), &b->d);
    rt_reference_engine.destroy(e);
    pool_destroy(pool);
    er.stats = NULL;
    packed_same(b->m, &er, r, 0, 0, &b->d);
    return r;
}

#endif
