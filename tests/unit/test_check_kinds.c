/* Independent checker, part 2: attention in its three lowerings, hard-wired neurons with enable
 * spikes, static images with an encoder. */
#include "tests/unit/tiny_check.h"

/* ---- attention in its three lowerings ---- */

#define TOKENS 2u

struct attention {
    struct ir_module *m;
    int8_t w[3][16];
    int32_t vth[4], vth_x[4];
    float head_w[4], head_b[1];
};

/* in 4x1x2 -> q, k, v = lif(conv 1x1) -> attention -> x -> read-out; 2 heads of 2 channels. */
static void make_attention(struct attention *n)
{
    uint32_t in, qkv[3], x, vth, vth_x, heads = 2;

    n->m = new_module(2);
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 16; i++)
            n->w[o][i] = (int8_t)(i * (5 + o) % 13 - 6);
    for (int i = 0; i < 4; i++) {
        n->vth[i] = 4;
        n->vth_x[i] = 32;
        n->head_w[i] = 1.0f;
    }
    n->head_b[0] = 0.0f;
    vth = add_param(n->m, "vth", IR_DT_I32, 4, 0, 0, 0, n->vth);
    vth_x = add_param(n->m, "vth.x", IR_DT_I32, 4, 0, 0, 0, n->vth_x);
    in = add_events(n->m, 4, 1, TOKENS);
    static const char *names[3] = {"q", "k", "v"}, *weights[3] = {"q.w", "k.w", "v.w"};
    for (uint32_t o = 0; o < 3; o++) {
        struct ir_node shape = {.op = IR_OP_RESHAPE};
        shape.a.reshape.to = IR_CN;
        x = add_conv(n->m, &in, 1, add_param(n->m, weights[o], IR_DT_I8, 4, 4, 1, 1, n->w[o]), 1,
                     0);
        x = add_node(n->m, shape, &x, 1, NULL, 0);
        qkv[o] = add_neuron(n->m, names[o], x, vth, IR_NONE, 2048);
    }
    struct ir_node a = {.op = IR_OP_ATTENTION};
    a.a.attention = (struct ir_attr_attention){.heads = heads, .scale = 0.125f, .unit = 16};
    x = add_node(n->m, a, qkv, 3, NULL, 0);
    x = add_neuron(n->m, "x", x, vth_x, IR_NONE, 2048);
    add_readout(n->m, &x, 1, 4, n->head_w, n->head_b, 4);
}

struct tap {
    uint32_t core, comp; /* source */
    uint32_t target;     /* compartment of the newest core */
    int8_t weight;
    uint8_t port;
};

/* One discrete axon per synapse: easy to write, and legal. */
static void wire(struct tiny *t, struct tap s, uint8_t shift)
{
    uint32_t core = (uint32_t)t->im.n_cores - 1, block = IMG_NONE;

    for (uint32_t b = t->im.cores[core].block_first; b < t->im.n_blocks; b++) {
        const struct img_content *c = &t->im.contents[t->im.blocks[b].content];
        if (t->im.weights[t->im.runs[t->im.rows[c->row_first].run_first].weight_first] == s.weight)
            block = b;
    }
    if (block == IMG_NONE) {
        block = tiny_block(t, tiny_list(t, 1, 0, 1, &s.weight), shift, 0);
        t->im.blocks[block].format = 0; /* one format: all blocks have this shift */
    }
    tiny_out(t, s.core, s.comp, 1, IMG_DEST_CORE, core,
             tiny_axon(t, block, s.target, 1, IMG_AXON_DISCRETE, s.port, 0), IMG_AXON_DISCRETE);
}

static uint32_t layer_core(struct tiny *t, const char *name, enum img_layer_kind kind,
                           uint32_t channels, uint32_t tokens, uint32_t start, int32_t vth,
                           uint16_t decay, enum img_program program, bool recorded, uint32_t bound)
{
    uint32_t at = (uint32_t)t->im.n_cores;
    uint32_t l = tiny_layer(t, name, kind, channels, 1, tokens, start, recorded);

    t->im.layers[l].layout = IR_CN;
    t->im.layers[l].payload_bound = bound;
    tiny_core(t, at % 4, at / 4, channels * tokens);
    tiny_group(t, l, 0, 0, 0, 0, 1, tokens, channels, tiny_config(t, vth, decay, program), NULL);
    return at;
}

/* compartment of (channel, token) where nc channels are on the core */
static uint32_t at(uint32_t channel, uint32_t token, uint32_t nc)
{
    return token * nc + channel;
}

enum lowering { PRODUCT, AND_LIF, EMBEDDED };

static void attention_image(const struct attention *n, enum lowering how, struct tiny *t)
{
    const uint32_t d = 2, heads = 2, dim = 4, inner = heads * d * d, tokens = TOKENS;
    const bool product = how == PRODUCT;
    const int8_t unit = 16;
    uint32_t in, core[3], x;

    tiny_init(t, 2, 2, how == EMBEDDED ? 5 : 7, 8);
    in = tiny_layer(t, "in", IMG_LAYER_INPUT, 4, 1, tokens, 0, false);
    static const char *names[3] = {"q", "k", "v"};
    for (uint32_t o = 0; o < 3; o++) {
        int8_t w[16];
        for (int i = 0; i < 16; i++)
            w[i % 4 * 4 + i / 4] = n->w[o][i];
        core[o] = layer_core(t, names[o], IMG_LAYER_NEURON, dim, tokens, 1, 4, 2048, IMG_PROG_PROG,
                             true, 1);
        uint32_t block = tiny_block(t, tiny_list(t, 4, 0, 4, w), 0, 0);
        for (uint32_t p = 0; p < tokens; p++)
            tiny_inject(t, IMG_INJECT_EVENTS, in, p, 0, 4, 0, core[o],
                        tiny_axon(t, block, 4 * p, 4, IMG_AXON_POP16, 0, 0));
    }
    if (how == EMBEDDED) {
        uint32_t l = tiny_layer(t, "x", IMG_LAYER_EMBEDDED, dim, 1, tokens, 3, true);
        t->im.layers[l].layout = IR_CN;
        TINY_PUSH(t, embedded,
                  (struct img_embedded){l,    IMG_NONE, 0, 1,           heads, dim,  tokens,
                                        0,    heads,    0, dim / heads, 0,     unit, 32,
                                        2048, 24,       1, 2,           3,     0,    0});
        for (uint32_t o = 0; o < 3; o++) {
            for (uint32_t p = 0; p < tokens; p++) {
                TINY_PUSH(t, embedded_ports, (struct img_embedded_port){o, p, 0, dim});
                tiny_out(t, core[o], 4 * p, 4, IMG_DEST_EMBEDDED, 0, t->im.embedded[0].n_ports++,
                         IMG_AXON_POP16);
            }
        }
    } else {
        const uint32_t thetas = product ? 1 : tokens;
        const enum img_program p_and = product ? IMG_PROG_PRODUCT : IMG_PROG_PROG;
        const uint8_t port = product ? 1 : 0;
        uint32_t and_core, mid, relay, gate;

        and_core =
            layer_core(t, "x.and", IMG_LAYER_AUX, inner, tokens, 2, 2, 4096, p_and, false, 1);
        for (uint32_t c = 0; c < inner; c++) {
            for (uint32_t p = 0; p < tokens; p++) {
                uint32_t h = c / 4, i = c / 2 % 2, j = c % 2;
                wire(t, (struct tap){core[1], at(h * d + i, p, dim), at(c, p, inner), 1, 0}, 0);
                wire(t, (struct tap){core[2], at(h * d + j, p, dim), at(c, p, inner), 1, port}, 0);
            }
        }
        mid = layer_core(t, product ? "x.sum" : "x.therm", IMG_LAYER_AUX, inner * thetas, 1, 3, 1,
                         4096, product ? IMG_PROG_SUM : IMG_PROG_PROG, false, product ? tokens : 1);
        if (!product) {
            uint16_t two = tiny_config(t, 2, 4096, IMG_PROG_PROG);
            for (uint32_t c = 0; c < inner; c++)
                t->im.channel_config[t->im.groups[4].channel_config + 2 * c + 1] = two;
        }
        for (uint32_t c = 0; c < inner * thetas; c++)
            for (uint32_t p = 0; p < tokens; p++)
                wire(t, (struct tap){and_core, at(c / thetas, p, inner), c, 1, 0}, 0);
        relay = layer_core(t, "x.qrelay", IMG_LAYER_RELAY, dim, tokens, 3, 1, 4096, IMG_PROG_PROG,
                           false, 1);
        for (uint32_t c = 0; c < dim * tokens; c++)
            wire(t, (struct tap){core[0], c, c, 1, 0}, 0);
        for (uint32_t a = 0; a < t->im.cores[relay].n_in_axons; a++)
            t->im.in_axons[t->im.cores[relay].in_axon_first + a].delay = 1;
        t->im.blocks[t->im.cores[relay].block_first].delay_bits = 1;
        gate = layer_core(t, "x.gate", IMG_LAYER_AUX, inner * thetas, tokens, 4, 2, 4096, p_and,
                          false, product ? tokens : 1);
        for (uint32_t c = 0; c < inner * thetas; c++) {
            for (uint32_t p = 0; p < tokens; p++) {
                uint32_t row = c / thetas / d, to = at(c, p, inner * thetas);
                wire(t, (struct tap){relay, at(row, p, dim), to, 1, 0}, 0);
                wire(t, (struct tap){mid, c, to, 1, port}, 0);
            }
        }
        x = layer_core(t, "x", IMG_LAYER_NEURON, dim, tokens, 5, 32, 2048, IMG_PROG_PROG, true, 1);
        for (uint32_t c = 0; c < inner * thetas; c++) {
            uint32_t h = c / thetas / 4, j = c / thetas % 2;
            for (uint32_t p = 0; p < tokens; p++)
                wire(t,
                     (struct tap){gate, at(c, p, inner * thetas), at(h * d + j, p, dim), unit, 0},
                     0);
        }
        for (uint32_t p = 0; p < tokens; p++) {
            TINY_PUSH(t, host_ports, (struct img_host_port){8, p, 0, dim});
            tiny_out(t, x, dim * p, dim, IMG_DEST_HOST, 0, p, IMG_AXON_POP16);
        }
    }
    t->im.head = (struct img_head){1, 4, 4};
    for (int i = 0; i < 4; i++)
        TINY_PUSH(t, head_w, n->head_w[i]);
    TINY_PUSH(t, head_b, 0.0f);
    tiny_finish(t);
}

static void attention_target(struct tgt *t)
{
    make_target(t, false);
    t->limit[TGT_IN_AXONS].value = t->limit[TGT_OUT_AXONS].value = 200;
}

#define FOUND(how, code, part, change)              \
    do {                                            \
        attention_image(&n, how, &t);               \
        attention_target(&tgt);                     \
        change;                                     \
        expect_found(&t.im, &tgt, n.m, code, part); \
        image_fini(&t.im);                          \
    } while (0)

static void test_attention(void **state)
{
    struct attention n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    make_attention(&n);
    attention_target(&tgt);
    attention_image(&n, PRODUCT, &t);
    expect_clean(&t.im, &tgt, n.m);
    image_fini(&t.im);
    attention_image(&n, AND_LIF, &t);
    expect_clean(&t.im, &tgt, n.m);
    image_fini(&t.im);
    FOUND(PRODUCT, "E0945", "layer 'x.and', core 3",
          t.im.in_axons[t.im.cores[3].in_axon_first].base += 1);
    FOUND(PRODUCT, "E0945", "layer 'x.sum', core 4",
          t.im.in_axons[t.im.cores[4].in_axon_first].base += 1);
    FOUND(PRODUCT, "E0945", "layer 'x.gate', core 6",
          t.im.in_axons[t.im.cores[6].in_axon_first].port = 1);
    FOUND(PRODUCT, "E0945",
          "layer 'x', core 7 (chip 0, x 3, y 1): error[E0945]: neuron (channel 0, "
          "position 0), compartment 0: from 'x.gate' (channel 0, position 0) on port 0 expected "
          "weight 16, found 15",
          t.im.weights[t.im.n_weights - 1] = 15);
    FOUND(PRODUCT, "E0945", "program does not make it",
          t.im.configs[t.im.cores[4].config_first].program = IMG_PROG_PRODUCT);
    FOUND(PRODUCT, "E0942", "payload bound 1, the count reaches 2",
          t.im.layers[5].payload_bound = 1);
    FOUND(PRODUCT, "E0947", "layer 'x.qrelay'",
          t.im.in_axons[t.im.cores[5].in_axon_first].delay = 0);
    FOUND(AND_LIF, "E0944", "layer 'x.and', core 3", t.im.configs[3].vth = 1);
    FOUND(AND_LIF, "E0944", "layer 'x.therm', core 4",
          t.im.configs[t.im.cores[4].config_first + 1].vth = 3);
    /* a leak that leaves something of a lone spike for the next frame */
    FOUND(AND_LIF, "E0944", "layer 'x.gate'", {
        struct img_core *c = &t.im.cores[6];
        t.im.configs[c->config_first].decay = 2048;
        t.im.configs[c->config_first].vth = 6;
        for (uint32_t b = c->block_first; b < c->block_first + c->n_blocks; b++)
            t.im.blocks[b].shift = 2;
    });
    ir_module_destroy(n.m);
}

static void test_embedded(void **state)
{
    struct attention n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    make_attention(&n);
    /* the read-out cannot read what no core fires: read q instead */
    n.m->node[n.m->n_nodes - 2].operand[0] = ir_find_value(n.m, "q");
    attention_target(&tgt);
    /* the host ports of q are not wired: exactly that is found, and nothing else */
    attention_image(&n, EMBEDDED, &t);
    struct outcome o;
    assert_int_equal(check(&t.im, &tgt, n.m, &o), SPK_DIFFERENCE);
    assert_string_equal(o.code, "E0949");
    assert_int_equal(o.r.violations, 4 * TOKENS);
    image_fini(&t.im);
    FOUND(EMBEDDED, "E0923", "processor 2 of chip 0, there are 2", t.im.embedded[0].processor = 2);
    FOUND(EMBEDDED, "E0923", "needs 3 steps", tgt.arith.embedded_latency = 3);
    FOUND(EMBEDDED, "E0923", "offers no embedded", tgt.attention = TGT_ATTN_PRODUCT);
    n.m->node[n.m->n_nodes - 2].op = IR_OP_RESHAPE; /* no read-out: only the task is looked at */
    attention_target(&tgt);
    attention_image(&n, EMBEDDED, &t);
    expect_clean(&t.im, &tgt, n.m);
    image_fini(&t.im);
    FOUND(EMBEDDED, "E0948", "layer 'x': error[E0948]: task: 2 heads, 4 channels, 2 tokens, unit 8",
          t.im.embedded[0].unit = 8);
    FOUND(EMBEDDED, "E0948", "threshold 33", t.im.embedded[0].vth = 33);
    FOUND(EMBEDDED, "E0948", "task reads 'k', 'q', 'v'; expected 'q', 'k', 'v'",
          t.im.embedded[0].q_layer = 2;
          t.im.embedded[0].k_layer = 1);
    FOUND(EMBEDDED, "E0948",
          "port 1 stands for operand 0, channel 0, position 0, but gets 'q', "
          "channel 0, position 1",
          t.im.embedded_ports[1].position = 0);
    FOUND(EMBEDDED, "E0948", "2 neurons of 'q' do not reach the task",
          for (int i = 0; i < 2; i++) t.im.out_axons[i].comp_count = 3);
    ir_module_destroy(n.m);
}

/* ---- hard-wired neurons, bias by enable spikes ---- */

static void test_hard_wired(void **state)
{
    struct ir_module *m = new_module(2);
    const int8_t w[2] = {5, -3}, fine[2] = {-7, 9};
    const int32_t vth[2] = {65, 129}, bias[2] = {-7 * 128, 9 * 128};
    const float head_w[2] = {1, 1}, head_b[1] = {0};
    uint32_t in, x, core, l, layer;
    struct tgt tgt;
    struct tiny t;
    (void)state;

    in = add_events(m, 1, 1, 1);
    x = add_conv(m, &in, 1, add_param(m, "w", IR_DT_I8, 2, 1, 1, 1, w), 1, 7);
    x = add_neuron(m, "n", x, add_param(m, "vth", IR_DT_I32, 2, 0, 0, 0, vth),
                   add_param(m, "bias", IR_DT_I32, 2, 0, 0, 0, bias), 2048);
    add_readout(m, &x, 1, 2, head_w, head_b, 2);
    make_target(&tgt, true);
    tgt.arith.threshold_shift = tgt.arith.current_shift = 6;
    tgt.arith.weight_even = true;
    for (int broken = 0; broken < 7; broken++) {
        tiny_init(&t, 2, 25, 3, 0);
        t.im.meta.threshold_shift = 6;
        layer = tiny_layer(&t, "in", IMG_LAYER_INPUT, 1, 1, 1, 0, false);
        l = tiny_layer(&t, "n", IMG_LAYER_NEURON, 2, 1, 1, 1, true);
        core = tiny_core(&t, 0, 0, 2);
        tiny_group(&t, l, 0, 0, 0, 0, 1, 1, 2, tiny_config(&t, 65, 2048, IMG_PROG_FIXED), NULL);
        t.im.channel_config[1] = tiny_config(&t, 129, 2048, IMG_PROG_FIXED);
        tiny_inject(&t, IMG_INJECT_EVENTS, layer, 0, 0, 1, 0, core,
                    tiny_axon(&t, tiny_block(&t, tiny_list(&t, 1, 0, 2, w), 7, 0), 0, 1,
                              IMG_AXON_DISCRETE, 0, 0));
        uint32_t block = tiny_block(&t, tiny_list(&t, 1, 0, 2, fine), 7, 0);
        t.im.blocks[block].format = 0;
        tiny_inject(&t, IMG_INJECT_ENABLE, l, 0, 0, 1, 0, core,
                    tiny_axon(&t, block, 0, 1, IMG_AXON_DISCRETE, 0, 0));
        TINY_PUSH(&t, host_ports, (struct img_host_port){l, 0, 0, 2});
        tiny_out(&t, core, 0, 2, IMG_DEST_HOST, 0, 0, IMG_AXON_POP16);
        t.im.head = (struct img_head){1, 2, 2};
        TINY_PUSH(&t, head_w, 1.0f);
        TINY_PUSH(&t, head_w, 1.0f);
        TINY_PUSH(&t, head_b, 0.0f);
        tiny_finish(&t);
        switch (broken) {
        case 0:
            expect_clean(&t.im, &tgt, m);
            break;
        case 1:
            t.im.weights[2]++;
            expect_found(&t.im, &tgt, m, "E0946", "expected bias -896, found -768");
            break;
        case 2:
            t.im.injections[1].start = 1;
            expect_found(&t.im, &tgt, m, "E0947", "the enable spike fires at step 1");
            break;
        case 3:
            t.im.configs[1].vth = 130;
            expect_found(&t.im, &tgt, m, "E0934", "threshold 130 is not (mantissa << 6) + 1");
            break;
        case 4:
            t.im.meta.interval = 24;
            expect_found(&t.im, &tgt, m, "E0922", "interval 24: membranes need 23 idle steps");
            break;
        case 5:
            t.im.blocks[0].shift = t.im.blocks[1].shift = 6;
            expect_found(&t.im, &tgt, m, "E0933", "shift 6 is weight exponent -1");
            break;
        default:
            t.im.groups[0].channel_bias = 0;
            TINY_PUSH(&t, biases, 0);
            TINY_PUSH(&t, biases, 0);
            expect_found(&t.im, &tgt, m, "E0935", "static biases");
        }
        image_fini(&t.im);
    }
    ir_module_destroy(m);
}

/* ---- static images: encoder ---- */

static void test_encoder(void **state)
{
    struct ir_module *m = new_module(2);
    const int16_t w[2] = {300, -5};
    const int32_t b[2] = {7, 8}, vth[2] = {9, 9};
    const float head_w[2] = {1, 1}, head_b[1] = {0};
    struct ir_node n = {.op = IR_OP_INPUT,
                        .name = "image",
                        .type = {.kind = IR_REAL,
                                 .num = IR_F32,
                                 .layout = IR_CHW,
                                 .timesteps = 1,
                                 .channels = 1,
                                 .height = 2,
                                 .width = 2}};
    uint32_t x, params[2];
    struct tgt tgt;
    struct tiny t;
    (void)state;

    x = add_node(m, n, NULL, 0, NULL, 0);
    n = (struct ir_node){.op = IR_OP_ENCODE};
    n.a.encode = (struct ir_attr_encode){.kind = IR_ENCODE_CURRENT,
                                         .conv = {1, 1, 1, 1, 0, 0, 0},
                                         .x_shift = 8,
                                         .out_shift = 4,
                                         .m_exp = 3,
                                         .m_max = 4095};
    params[0] = add_param(m, "enc.w", IR_DT_I16, 2, 1, 1, 1, w);
    params[1] = add_param(m, "enc.b", IR_DT_I32, 2, 0, 0, 0, b);
    x = add_node(m, n, &x, 1, params, 2);
    x = add_neuron(m, "n", x, add_param(m, "vth", IR_DT_I32, 2, 0, 0, 0, vth), IR_NONE, 2048);
    add_readout(m, &x, 1, 8, head_w, head_b, 2);
    make_target(&tgt, false);
    for (int broken = 0; broken < 6; broken++) {
        tiny_init(&t, 2, 2, 2, 8);
        uint32_t l = tiny_layer(&t, "n", IMG_LAYER_NEURON, 2, 2, 2, 0, true);
        tiny_core(&t, 0, 0, 8);
        tiny_group(&t, l, 0, 0, 0, 0, 2, 2, 2, tiny_config(&t, 9, 2048, IMG_PROG_PROG), NULL);
        t.im.groups[0].host_current = 1;
        t.im.encoder = (struct img_encoder){.present = 1,
                                            .layer = l,
                                            .in_channels = 1,
                                            .in_height = 2,
                                            .in_width = 2,
                                            .out_channels = 2,
                                            .kernel_h = 1,
                                            .kernel_w = 1,
                                            .stride_h = 1,
                                            .stride_w = 1,
                                            .x_shift = 8,
                                            .out_shift = 4,
                                            .m_exp = 3,
                                            .m_max = 4095};
        for (int i = 0; i < 2; i++) {
            TINY_PUSH(&t, enc_w, w[i]);
            TINY_PUSH(&t, enc_b, b[i]);
            TINY_PUSH(&t, head_w, 1.0f);
        }
        TINY_PUSH(&t, head_b, 0.0f);
        t.im.head = (struct img_head){1, 2, 8};
        for (uint32_t p = 0; p < 4; p++) {
            TINY_PUSH(&t, host_ports, (struct img_host_port){l, p, 0, 2});
            tiny_out(&t, 0, 2 * p, 2, IMG_DEST_HOST, 0, p, IMG_AXON_POP16);
        }
        tiny_finish(&t);
        if (broken == 0)
            expect_clean(&t.im, &tgt, m);
        else if (broken == 1)
            t.im.enc_w[1]++;
        else if (broken == 2)
            t.im.enc_b[0]++;
        else if (broken == 3)
            t.im.encoder.x_shift = 9;
        else if (broken == 4)
            t.im.encoder.m_max = 4096;
        else
            t.im.groups[0].host_current = 0;
        static const char *const code[] = {"", "E0950", "E0950", "E0950", "E0935", "E0944"};
        static const char *const part[] = {"",
                                           "weights",
                                           "biases",
                                           "x_shift: 9, expected 8",
                                           "up to 4096 << 3",
                                           "host currents are off"};
        if (broken)
            expect_found(&t.im, &tgt, m, code[broken], part[broken]);
        image_fini(&t.im);
    }
    ir_module_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_hard_wired),
        cmocka_unit_test(test_encoder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
