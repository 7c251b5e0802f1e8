/* Chip simulator, part 1: hand-made images against spikes worked out by hand. */
#include "tests/unit/tiny_sim.h"

/* What `b` does, computed from its definition. */
static void expect_conv(const float *image, uint8_t *out_a, uint8_t *out_b, int64_t *features)
{
    int v[2][9] = {{0}};

    features[0] = features[1] = 0;
    for (int t = 0; t < 2; t++) {
        for (int p = 0; p < 9; p++)
            out_a[t * 9 + p] = image[p] == 1.0f;
        for (int c = 0; c < 2; c++) {
            for (int p = 0; p < 9; p++) {
                int in = 0;
                for (int q = 0; q < 9; q++) {
                    int dy = q / 3 - p / 3, dx = q % 3 - p % 3;
                    bool near = dy * dy <= 1 && dx * dx <= 1;
                    if (near && (c == 0 || q == p) && out_a[t * 9 + q])
                        in += 8;
                }
                v[c][p] = v[c][p] / 2 + in;
                out_b[(t * 2 + c) * 9 + p] = v[c][p] >= 24;
                features[c] += v[c][p] >= 24;
                if (v[c][p] >= 24)
                    v[c][p] = 0;
            }
        }
    }
}

static void test_conv_blocks(void **state)
{
    static struct result r;
    (void)state;

    for (int variant = 0; variant < 4; variant++) {
        struct tiny t;
        make_conv(&t, variant & 1, variant & 2);
        simulate(&t.im, conv_images, 3, 9, NULL, &r);
        assert_string_equal(r.tape.names, "a;b;");
        assert_int_equal(r.tape.n, 3 * 2 * 27);
        for (uint32_t k = 0; k < 3; k++) {
            uint8_t a[18], b[36];
            int64_t f[2];
            expect_conv(conv_images + 9 * k, a, b, f);
            assert_memory_equal(r.tape.data + k * 54, a, 18);
            assert_memory_equal(r.tape.data + k * 54 + 18, b, 36);
            assert_int_equal(r.features[2 * k], f[0]);
            assert_int_equal(r.features[2 * k + 1], f[1]);
            assert_true(r.logits[k] == (float)((double)(f[0] + f[1]) / 18.0));
        }
        assert_int_equal(r.stats.spikes_outside_windows, 0);
        assert_int_equal(r.stats.wraps, 0);
        assert_int_equal(r.stats.steps, 2 * 2 + 3);
        assert_int_equal(r.core0.host_writes, 3 * 2 * 9);
        image_fini(&t.im);
    }
}

/* Three images of 3, 4 and 9 ones, two steps each. */
static void test_statistics(void **state)
{
    static struct result r;
    struct tiny t;
    (void)state;

    make_conv(&t, true, false);
    t.im.prices[TGT_E_SYNAPTIC_OP] = 2.0;
    t.im.prices[TGT_E_HOP_Y] = 3.0;
    t.im.prices[TGT_ENERGY_COUNT + TGT_T_SYNAPTIC_OP] = 1.0;
    t.im.prices[TGT_ENERGY_COUNT + TGT_T_BARRIER_MIN] = 10.0;
    t.im.prices[TGT_ENERGY_COUNT + TGT_T_BARRIER_MAX] = 30.0;
    simulate(&t.im, conv_images, 3, 9, NULL, &r);
    /* messages to `b`: 2 * (3 + 4 + 9); synapses of a message: 2 channels times the outputs */
    uint64_t messages = 2 * (3 + 4 + 9), synapses = 0, fired = 0;
    static const uint8_t reach[9] = {4, 6, 4, 6, 9, 6, 4, 6, 4};
    for (int i = 0; i < 27; i++)
        synapses += conv_images[i] == 1.0f ? 2u * 2u * reach[i % 9] : 0;
    for (int k = 0; k < 3; k++)
        fired += (uint64_t)(r.features[2 * k] + r.features[2 * k + 1]);
    assert_int_equal(r.stats.total.messages_in, messages);
    assert_int_equal(r.core0.spikes_out, messages);
    assert_int_equal(r.core0.messages_out, messages);
    assert_int_equal(r.stats.total.synaptic_events, synapses);
    assert_int_equal(r.stats.total.payload_events, synapses);
    assert_int_equal(r.stats.total.spikes_out, messages + fired);
    assert_int_equal(r.stats.host_spikes, fired);
    assert_int_equal(r.stats.total.updates_active + r.stats.total.updates_inactive, 7 * (9 + 18));
    /* core (0,0) -> (1,1): same tile */
    assert_int_equal(r.stats.total.within_tile, messages);
    assert_int_equal(r.stats.total.hops_x + r.stats.total.hops_y, 0);
    assert_int_equal(r.stats.max_link_load, 0);
    assert_true(r.stats.total.energy_pj[TGT_E_SYNAPTIC_OP] == 2.0 * (double)synapses);
    assert_true(r.stats.total.energy_total_pj == 2.0 * (double)synapses);
    assert_true(r.stats.total.energy_pj[TGT_E_HOP_Y] == 0.0);
    assert_true(isnan(r.stats.total.energy_pj[TGT_E_NEURON_ACTIVE]));
    assert_true(r.stats.unpriced_energy >> TGT_E_NEURON_ACTIVE & 1);
    assert_false(r.stats.unpriced_energy >> TGT_E_HOP_X & 1);
    assert_true(r.stats.unpriced_time >> TGT_T_NEURON_INACTIVE & 1);
    assert_true(r.stats.barrier_ns == 10.0);
    assert_true(r.stats.time_ns == 7 * 10.0 + (double)synapses);
    image_fini(&t.im);
}

/* Neurons of `b` at rest that synapses touch in vain: channel 1 has weights of 0 but in the centre.
 */
static uint64_t touched_in_vain(const float *images, uint32_t n)
{
    uint64_t touched = 0;
    for (uint32_t k = 0; k < n; k++) {
        int v[9] = {0}; /* of channel 1 */
        for (int t = 0; t < 2; t++)
            for (int p = 0; p < 9; p++) {
                int in = images[9 * k + (uint32_t)p] == 1.0f ? 8 : 0, near = 0;
                for (int q = 0; q < 9; q++)
                    near += abs(q / 3 - p / 3) <= 1 && abs(q % 3 - p % 3) <= 1 &&
                            images[9 * k + (uint32_t)q] == 1.0f;
                touched += near > 0 && in == 0 && v[p] == 0;
                v[p] = v[p] / 2 + in >= 24 ? 0 : v[p] / 2 + in;
            }
    }
    return touched;
}

static void test_touched(void **state)
{
    static struct result r;
    (void)state;

    for (int variant = 0; variant < 4; variant++) {
        struct tiny t;
        make_conv(&t, variant & 1, variant & 2);
        simulate(&t.im, conv_images, 3, 9, NULL, &r);
        assert_int_equal(r.stats.total.updates_touched, 0); /* nobody asked */
        const uint64_t inactive = r.stats.total.updates_inactive,
                       active = r.stats.total.updates_active;
        t.im.prices[TGT_E_NEURON_TOUCHED] = 5.0;
        simulate(&t.im, conv_images, 3, 9, NULL, &r);
        const uint64_t touched = touched_in_vain(conv_images, 3);
        assert_true(touched > 0);
        assert_int_equal(r.stats.total.updates_touched, touched);
        assert_int_equal(r.stats.total.updates_active, active);
        assert_int_equal(r.stats.total.updates_inactive, inactive - touched);
        assert_true(r.stats.total.energy_pj[TGT_E_NEURON_TOUCHED] == 5.0 * (double)touched);
        image_fini(&t.im);
    }
}

/* A second entry to the same core: two messages, or one where a message is for a core. */
static void test_messages_per_core(void **state)
{
    static struct result r;
    (void)state;

    for (uint32_t per_core = 0; per_core < 2; per_core++) {
        struct tiny t;
        make_conv(&t, true, false);
        simulate(&t.im, conv_images, 3, 9, NULL, &r);
        const uint64_t messages = r.core0.messages_out, synapses = r.stats.total.synaptic_events;
        t.im.meta.message = per_core ? TGT_MESSAGE_CORE : TGT_MESSAGE_ENTRY;
        /* every entry of core 0 twice: those of core 1 follow */
        const uint32_t n = t.im.cores[0].n_out_axons, all = (uint32_t)t.im.n_out_axons;
        struct img_out_axon *twice = spk_alloc((all + n) * sizeof *twice);
        assert_non_null(twice);
        memcpy(twice, t.im.out_axons, n * sizeof *twice);
        memcpy(twice + n, t.im.out_axons, all * sizeof *twice);
        spk_free(t.im.out_axons);
        t.im.out_axons = twice;
        t.im.n_out_axons += n;
        t.im.cores[0].n_out_axons += n;
        for (uint64_t c = 1; c < t.im.n_cores; c++)
            t.im.cores[c].out_axon_first += n;
        simulate(&t.im, conv_images, 3, 9, NULL, &r);
        assert_int_equal(r.core0.messages_out, per_core ? messages : 2 * messages);
        assert_int_equal(r.stats.total.within_tile, per_core ? messages : 2 * messages);
        assert_int_equal(r.stats.total.synaptic_events, 2 * synapses);
        image_fini(&t.im);
    }
}

/* ---- hard-wired neurons ---- */

static void test_fixed_leak(void **state)
{
    static struct result r;
    struct tiny t;
    /* count 3 -> 192, then 1 -> 96 + 64 = 160: no spike at 193; the second image starts from
     * what is left of 160 */
    const float input[4] = {3, 1, 3, 1};
    (void)state;

    make_fixed(&t, 193, 2, 0, false);
    simulate(&t.im, input, 2, 2, NULL, &r);
    /* back to back: 160 / 2 + 192 = 272 fires at frame 0 of image 1 */
    assert_memory_equal(r.tape.data, ((const uint8_t[4]){0, 0, 1, 0}), 4);
    assert_int_equal(r.stats.spikes_outside_windows, 0);
    /* binary chip: a count is that many messages */
    assert_int_equal(r.core0.messages_in, 8);
    assert_int_equal(r.core0.synaptic_events, 8);
    assert_int_equal(r.core0.payload_events, 8);
    image_fini(&t.im);
    make_fixed(&t, 193, 25, 0, false);
    simulate(&t.im, input, 2, 2, NULL, &r);
    assert_memory_equal(r.tape.data, ((const uint8_t[4]){0, 0, 0, 0}), 4);
    /* negative counts decay towards zero, too: the chip is quiet and skipped, and still right */
    assert_int_equal(r.core0.updates_active + r.core0.updates_inactive, 25 + 3);
    assert_true(r.core0.updates_active < 25);
    image_fini(&t.im);
}

static void test_enable_and_delay(void **state)
{
    static struct result r;
    struct tiny t;
    const float input[4] = {1, 1, 0, 1};
    (void)state;

    /* enable adds 128: image 0: 192 fires, 192 fires; image 1: 128, then 64 + 192 = 256 fires */
    make_fixed(&t, 193 - 64, 25, 5, true);
    simulate(&t.im, input, 2, 2, NULL, &r);
    assert_memory_equal(r.tape.data, ((const uint8_t[4]){1, 1, 0, 1}), 4);
    assert_int_equal(r.stats.injections, 3 + 4);
    image_fini(&t.im);
}

static void test_outside_windows(void **state)
{
    static struct result r;
    struct tiny t;
    const float input[2] = {4, 0};
    (void)state;

    /* the layer claims to start two steps late: its first spike comes before its window */
    make_fixed(&t, 193, 25, 0, false);
    t.im.layers[1].start += 2;
    t.im.meta.latency += 2;
    simulate(&t.im, input, 1, 2, NULL, &r);
    assert_int_equal(r.stats.spikes_outside_windows, 1);
    assert_int_equal(r.stats.outside_layer, 1);
    assert_int_equal(r.stats.outside_core, 0);
    assert_int_equal(r.stats.outside_step, 1);
    assert_memory_equal(r.tape.data, ((const uint8_t[2]){0, 0}), 2);
    image_fini(&t.im);
}

static void test_wraps(void **state)
{
    static struct result r;
    struct tiny t;
    const float input[2] = {131072, 1}; /* 2^17 * 64 = 2^23: one more than the state holds */
    (void)state;

    make_fixed(&t, 193, 25, 0, false);
    simulate(&t.im, input, 1, 2, NULL, &r);
    assert_int_equal(r.stats.wraps, 1);
    assert_memory_equal(r.tape.data, ((const uint8_t[2]){0, 0}), 2);
    image_fini(&t.im);
}

/* ---- products, count relays ---- */

/* Two event channels over two positions; `and` multiplies them, `sum` adds up both positions. */
static void test_product_and_sum(void **state)
{
    static struct result r;
    struct tiny t;
    const int8_t one[1] = {1}, two[2] = {1, 1};
    uint32_t in, and_layer, sum, core, block, axon;
    /* frame 0: a = (2, 3), b = (5, 7); frame 1: a = (1, 0), b = (0, 1) */
    const float input[8] = {2, 3, 5, 7, 1, 0, 0, 1};
    (void)state;

    tiny_init(&t, 2, 2, 4, 8);
    in = tiny_layer(&t, "in", IMG_LAYER_INPUT, 2, 1, 2, 0, false);
    and_layer = tiny_layer(&t, "x.and", IMG_LAYER_AUX, 1, 1, 2, 1, true);
    sum = tiny_layer(&t, "x.sum", IMG_LAYER_AUX, 1, 1, 1, 2, true);
    t.im.layers[sum].payload_bound = 1000;
    core = tiny_core(&t, 0, 0, 2);
    tiny_group(&t, and_layer, 0, 0, 0, 0, 1, 2, 1, tiny_config(&t, 0, 0, IMG_PROG_PRODUCT), NULL);
    block = tiny_block(&t, tiny_list(&t, 1, 0, 1, one), 0, 0);
    for (uint32_t p = 0; p < 2; p++) {
        for (uint8_t port = 0; port < 2; port++) {
            axon = tiny_axon(&t, block, p, 1, IMG_AXON_POP16, port, 0);
            tiny_inject(&t, IMG_INJECT_EVENTS, in, p, port, 1, 0, core, axon);
        }
    }
    core = tiny_core(&t, 3, 0, 1);
    tiny_group(&t, sum, 0, 0, 0, 0, 1, 1, 1, tiny_config(&t, 0, 0, IMG_PROG_SUM), NULL);
    axon = tiny_axon(&t, tiny_block(&t, tiny_list(&t, 2, 0, 1, two), 0, 0), 0, 2, IMG_AXON_POP16, 0,
                     0);
    tiny_out(&t, 0, 0, 2, IMG_DEST_CORE, core, axon, IMG_AXON_POP16);
    tiny_finish(&t);
    simulate(&t.im, input, 1, 8, NULL, &r);
    assert_memory_equal(r.tape.data, ((const uint8_t[4]){10, 21, 0, 0}), 4);
    assert_int_equal(r.tape.n, 4 + 2 * sizeof(int32_t));
    assert_memory_equal(r.tape.data + 4, ((const int32_t[2]){31, 0}), 2 * sizeof(int32_t));
    /* a graded spike is one message, its synapse one event of weight 10 or 21 */
    assert_int_equal(r.stats.total.messages_out, 2);
    assert_int_equal(r.stats.total.hops_x, 2);
    assert_int_equal(r.stats.max_link_load, 2);
    assert_int_equal(r.stats.total.synaptic_events, 4 + 2 + 2);
    assert_int_equal(r.stats.total.payload_events, 2 + 3 + 5 + 7 + 1 + 1 + 31);
    image_fini(&t.im);
}

/* ---- embedded attention ---- */

static void test_embedded(void **state)
{
    static struct result r;
    struct tiny t;
    const int8_t eye[4] = {1, 0, 0, 1};
    /* q, k, v of one head with 2 channels, 2 tokens; channels q0 q1 k0 k1 v0 v1, tokens inside */
    const float input[24] = {1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1,
                             0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1};
    uint32_t in, q[3], x, y;
    static const char *names[3] = {"q", "k", "v"};
    (void)state;

    tiny_init(&t, 2, 2, 6, 8);
    in = tiny_layer(&t, "in", IMG_LAYER_INPUT, 6, 1, 2, 0, false);
    for (uint32_t o = 0; o < 3; o++)
        q[o] = tiny_layer(&t, names[o], IMG_LAYER_NEURON, 2, 1, 2, 1, false);
    x = tiny_layer(&t, "x", IMG_LAYER_EMBEDDED, 2, 1, 2, 3, true);
    y = tiny_layer(&t, "y", IMG_LAYER_NEURON, 2, 1, 2, 4, true);
    TINY_PUSH(&t, embedded,
              (struct img_embedded){.layer = x,
                                    .core = IMG_NONE,
                                    .head_count = 1,
                                    .columns = 2,
                                    .heads = 1,
                                    .channels = 2,
                                    .tokens = 2,
                                    .unit = 8,
                                    .vth = 16,
                                    .decay = 2048,
                                    .bits = 24,
                                    .q_layer = q[0],
                                    .k_layer = q[1],
                                    .v_layer = q[2]});
    for (uint32_t o = 0; o < 3; o++) {
        uint32_t core = tiny_core(&t, o, 0, 4), block;
        tiny_group(&t, q[o], 0, 0, 0, 0, 1, 2, 2, tiny_config(&t, 1, 4096, IMG_PROG_PROG), NULL);
        block = tiny_block(&t, tiny_list(&t, 2, 0, 2, eye), 0, 0);
        for (uint32_t p = 0; p < 2; p++) {
            uint32_t axon = tiny_axon(&t, block, 2 * p, 2, IMG_AXON_POP32, 0, 0);
            tiny_inject(&t, IMG_INJECT_EVENTS, in, p, 2 * o, 2, 0, core, axon);
            TINY_PUSH(&t, embedded_ports, (struct img_embedded_port){o, p, 0, 2});
            tiny_out(&t, core, 2 * p, 2, IMG_DEST_EMBEDDED, 0, t.im.embedded[0].n_ports++,
                     IMG_AXON_POP16);
        }
    }
    uint32_t core = tiny_core(&t, 3, 0, 4), block;
    tiny_group(&t, y, 0, 0, 0, 0, 1, 2, 2, tiny_config(&t, 1, 4096, IMG_PROG_PROG), NULL);
    block = tiny_block(&t, tiny_list(&t, 2, 0, 2, eye), 0, 0);
    for (uint32_t p = 0; p < 2; p++)
        tiny_inject(&t, IMG_INJECT_EMBEDDED, x, p, 0, 2, 3, core,
                    tiny_axon(&t, block, 2 * p, 2, IMG_AXON_POP32, 0, 0));
    tiny_finish(&t);
    simulate(&t.im, input, 1, 24, NULL, &r);

    uint8_t expected[8];
    int v[2][2] = {{0}};
    for (int f = 0; f < 2; f++) {
        const float *s = input + 12 * f; /* s[channel * 2 + token] */
        for (int j = 0; j < 2; j++) {
            for (int n = 0; n < 2; n++) {
                int count = 0;
                for (int i = 0; i < 2; i++)
                    for (int m = 0; m < 2; m++)
                        count += (int)(s[i * 2 + n] * s[4 + i * 2 + m] * s[8 + j * 2 + m]);
                v[j][n] = v[j][n] / 2 + 8 * count;
                expected[f * 4 + j * 2 + n] = v[j][n] >= 16;
                v[j][n] = v[j][n] >= 16 ? 0 : v[j][n];
            }
        }
    }
    assert_string_equal(r.tape.names, "x;y;");
    assert_memory_equal(r.tape.data, expected, 8);
    assert_memory_equal(r.tape.data + 8, expected, 8); /* y repeats x */
    assert_int_equal(r.stats.embedded_ops, 2 * 2 * 2 * 2 * 2);
    assert_int_equal(r.stats.spikes_outside_windows, 0);
    image_fini(&t.im);
}

/* ---- recorded sums, layouts ---- */

static void test_sums(void **state)
{
    static struct result r;
    struct tiny t;
    (void)state;

    make_conv(&t, true, false);
    /* b + b, handed over with tokens outermost */
    TINY_PUSH(&t, sum_terms, 1u);
    TINY_PUSH(&t, sum_terms, 1u);
    TINY_PUSH(&t, sums, (struct img_sum){tiny_string(&t, "b.twice"), IR_NC, 0, 2, 2});
    simulate(&t.im, conv_images, 3, 9, NULL, &r);
    assert_string_equal(r.tape.names, "a;b;b.twice;");
    for (uint32_t k = 0; k < 3; k++) {
        const uint8_t *b = r.tape.data + k * 90 + 18, *twice = b + 36;
        for (int f = 0; f < 2; f++)
            for (int c = 0; c < 2; c++)
                for (int p = 0; p < 9; p++)
                    assert_int_equal(twice[(f * 9 + p) * 2 + c], 2 * b[(f * 2 + c) * 9 + p]);
    }
    image_fini(&t.im);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_blocks),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_touched),
        cmocka_unit_test(test_messages_per_core),
        cmocka_unit_test(test_fixed_leak),
        cmocka_unit_test(test_enable_and_delay),
        cmocka_unit_test(test_outside_windows),
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_product_and_sum),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_sums),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
