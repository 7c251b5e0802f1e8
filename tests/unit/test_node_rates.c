/* Rates on their way from a file to populations: sums by channel, declared rates, messages. */
#include <math.h>

#include "api/node_rates.h"
#include "tiny_model.h"

static void by_channel(void **state)
{
    (void)state;
    static const char text[] = "{\"a_lif\": [0.25, 0, 1, 0.5]}";
    struct ir_module *m = tiny_model(false, false);
    struct fe_rates given = {0};
    struct node_rates r = {0};
    uint32_t lif = ir_find_value(m, "a_lif"), sum = ir_find_value(m, "b_sum");
    assert_ok(fe_rates_parse(text, strlen(text), "r", m, NULL, &given));
    assert_ok(node_rates_init(m, &given, m, &r));
    assert_int_equal(r.of_node[lif].n, 4);
    assert_int_equal(r.of_node[sum].n, 4); /* a_lif twice */
    for (uint32_t c = 0; c < 4; c++)
        assert_true(r.of_node[sum].rate[c] == 2 * r.of_node[lif].rate[c]);
    assert_true(r.of_node[lif].rate[2] == 1.0);
    assert_int_equal(r.of_node[0].n, 1);
    node_rates_fini(&r);
    m->declared_rate = 0.25f;
    assert_ok(node_rates_init(m, NULL, m, &r));
    assert_int_equal(r.of_node[sum].n, 1);
    assert_true(r.of_node[sum].rate[0] == 0.5 && r.of_node[lif].rate[0] == 0.25);
    node_rates_fini(&r);
    spk_status status = SPK_OK;
    for_each_failing_alloc(status, {
        node_rates_fini(&r);
        status = node_rates_init(m, &given, m, &r);
    });
    node_rates_fini(&r);
    fe_rates_fini(&given);
    ir_module_destroy(m);
}

static void pools(void **state)
{
    (void)state;
    static const char text[] = "{\"a_lif\": [0.5, 0, 1, 0.25]}";
    struct ir_module *m = tiny_model(false, false);
    struct fe_rates given = {0};
    struct node_rates r = {0};
    uint32_t lif = ir_find_value(m, "a_lif"), pool;
    struct ir_node node = {
        .op = IR_OP_MAXPOOL, .n_operands = 1, .operand = &lif, .a.pool = {2, 2, 0}};
    pool = tiny_node(m, &node);
    assert_ok(fe_rates_parse(text, strlen(text), "r", m, NULL, &given));
    assert_ok(node_rates_init(m, &given, m, &r));
    assert_int_equal(r.of_node[pool].n, 4);
    assert_true(r.of_node[pool].rate[0] == 1 - 0.0625 && r.of_node[pool].rate[1] == 0);
    assert_true(r.of_node[pool].rate[2] == 1 && r.of_node[pool].rate[3] == 1 - 0.31640625);
    node_rates_fini(&r);
    fe_rates_fini(&given);
    ir_module_destroy(m);
}

static void messages(void **state)
{
    (void)state;
    static const double each[] = {0.25, 0, 1, 0.5}, mean = 0.5, counts[] = {2, 0, 1, 1};
    struct map_net net = {0};
    struct map_pop p = {.channels = 4, .payload_bound = 1};
    arena_init(&net.arena, 0);
    assert_ok(map_pop_set_rate(&net, &p, &(struct map_rate){1, &mean}));
    assert_null(p.channel_rate);
    assert_true(map_pop_sends(&p, 1, 3) == 1.5);
    assert_ok(map_pop_set_rate(&net, &p, &(struct map_rate){4, each}));
    assert_true(p.rate == 0.4375);
    assert_true(map_pop_sends(&p, 0, 4) == 1.75);
    assert_true(map_pop_sends(&p, 1, 1) == 0);
    assert_true(map_pop_sends(&p, 2, 2) == 1.5);
    /* Payloads of up to 2: a mean of 2 is always sent, one of 1 in three of four cases. */
    p.payload_bound = 2;
    assert_ok(map_pop_set_rate(&net, &p, &(struct map_rate){4, counts}));
    assert_true(fabs(map_pop_sends(&p, 0, 4) - (1 + 0 + 0.75 + 0.75)) < 1e-15);
    arena_fini(&net.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_channel), cmocka_unit_test(pools),
                                       cmocka_unit_test(messages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
