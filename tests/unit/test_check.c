/* Independent checker, part 1: a hand-made image of a hand-made network passes; every kind of
 * corruption is found, with code, layer and core. */
#include "support/fault.h"
#include "support/pool.h"
#include "tests/unit/tiny_check.h"

/* ---- case 1: events -> a -> b, a delayed, c reads both; biases, recorded sum, max-pool ---- */

/* in 2x4x4; a = lif(conv 3x3) 4 channels; p = maxpool 2x2 of a (4x2x2); b = lif(conv 1x1 of p);
 * r = p delayed; c = lif(conv 1x1 of r + b); s = r + b recorded; read-out of c and b. */
struct net {
    struct ir_module *m;
    int8_t wa[4 * 2 * 9], wb[16], wc[3 * 4];
    int32_t vth[4], bias[4];
    float head_w[8], head_b[1];
    uint32_t in, a, p, b, r, c;
};

static void make_net(struct net *n)
{
    uint32_t x, y[2], wb, wc, wa, vth, bias, vth3;

    for (int i = 0; i < 72; i++)
        n->wa[i] = (int8_t)(i * 37 % 61 - 30);
    for (int i = 0; i < 16; i++)
        n->wb[i] = (int8_t)(i * 11 % 23 - 9);
    for (int i = 0; i < 12; i++)
        n->wc[i] = (int8_t)(i * 7 % 19 - 8);
    for (int i = 0; i < 4; i++) {
        n->vth[i] = 20 + 10 * (i / 2);
        n->bias[i] = 3 * i - 4;
        n->head_w[i] = (float)i;
    }
    n->head_b[0] = 0.25f;
    n->m = new_module(2);
    wa = add_param(n->m, "a.w", IR_DT_I8, 4, 2, 3, 3, n->wa);
    wb = add_param(n->m, "b.w", IR_DT_I8, 4, 4, 1, 1, n->wb);
    wc = add_param(n->m, "c.w", IR_DT_I8, 4, 4, 1, 1, n->wb);
    (void)wc;
    vth = add_param(n->m, "vth", IR_DT_I32, 4, 0, 0, 0, n->vth);
    bias = add_param(n->m, "bias", IR_DT_I32, 4, 0, 0, 0, n->bias);
    vth3 = add_param(n->m, "vth3", IR_DT_I32, 3, 0, 0, 0, n->vth);
    n->in = add_events(n->m, 2, 4, 4);
    x = add_conv(n->m, &n->in, 1, wa, 3, 1);
    n->a = add_neuron(n->m, "a", x, vth, bias, 2048);
    struct ir_node pool = {.op = IR_OP_MAXPOOL};
    pool.a.pool = (struct ir_attr_pool){2, 2, 0};
    n->p = add_node(n->m, pool, &n->a, 1, NULL, 0);
    x = add_conv(n->m, &n->p, 1, wb, 1, 0);
    n->b = add_neuron(n->m, "b", x, vth, IR_NONE, 2048);
    struct ir_node delay = {.op = IR_OP_DELAY};
    delay.a.delay.steps = 1;
    n->r = add_node(n->m, delay, &n->p, 1, NULL, 0);
    y[0] = n->r;
    y[1] = n->b;
    struct ir_node add = {.op = IR_OP_ADD, .name = "s", .recorded = true};
    x = add_node(n->m, add, y, 2, NULL, 0);
    x = add_conv(n->m, y, 2, add_param(n->m, "c.w3", IR_DT_I8, 3, 4, 1, 1, n->wc), 1, 2);
    n->c = add_neuron(n->m, "c", x, vth3, IR_NONE, 2048);
    add_readout(n->m, y + 1, 1, 8, n->head_w, n->head_b, 4);
}

/* A core for a whole layer, its conv block fed by every position of the source core. */
static void wire_conv(struct tiny *t, uint32_t group, uint32_t block, uint32_t src, uint32_t src_nc,
                      uint16_t w, uint16_t h)
{
    uint32_t core = (uint32_t)t->im.n_cores - 1;

    for (uint32_t p = 0; p < (uint32_t)w * h; p++)
        tiny_out(t, src, p * src_nc, src_nc, IMG_DEST_CORE, core,
                 tiny_conv_axon(t, block, p, group, w, h, (uint16_t)src_nc, IMG_AXON_POP16),
                 IMG_AXON_POP16);
}

static void net_image(const struct net *n, struct tiny *t)
{
    int8_t wa[72], wb[16], wc[12], one[1] = {32};
    uint32_t in, a, p, b, r, c, core[5], group, block;
    uint16_t cfg[2];

    /* [out][in][kh][kw] -> [in][kh][kw][out] */
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 18; i++)
            wa[i * 4 + o] = n->wa[o * 18 + i];
    for (int o = 0; o < 4; o++)
        for (int i = 0; i < 4; i++)
            wb[i * 4 + o] = n->wb[o * 4 + i];
    for (int o = 0; o < 3; o++)
        for (int i = 0; i < 4; i++)
            wc[i * 3 + o] = n->wc[o * 4 + i];
    tiny_init(t, 2, 2, 6, 8);
    in = tiny_layer(t, "in", IMG_LAYER_INPUT, 2, 4, 4, 0, false);
    a = tiny_layer(t, "a", IMG_LAYER_NEURON, 4, 4, 4, 1, true);
    char name[32];
    snprintf(name, sizeof name, "pool.%u", n->p);
    p = tiny_layer(t, name, IMG_LAYER_POOL, 4, 2, 2, 2, false);
    b = tiny_layer(t, "b", IMG_LAYER_NEURON, 4, 2, 2, 3, true);
    snprintf(name, sizeof name, "delay.%u", n->r);
    r = tiny_layer(t, name, IMG_LAYER_RELAY, 4, 2, 2, 3, false);
    c = tiny_layer(t, "c", IMG_LAYER_NEURON, 3, 2, 2, 4, true);
    /* a: 4 x 4 x 4 on core 0 */
    core[0] = tiny_core(t, 0, 0, 64);
    cfg[0] = tiny_config(t, 20, 2048, IMG_PROG_PROG);
    cfg[1] = tiny_config(t, 30, 2048, IMG_PROG_PROG);
    group = tiny_group(t, a, 0, 0, 0, 0, 4, 4, 4, cfg[0], n->bias);
    t->im.channel_config[2] = t->im.channel_config[3] = cfg[1];
    block = tiny_block(t, tiny_conv(t, 2, 3, 1, 1, 4, wa), 1, 0);
    for (uint32_t pos = 0; pos < 16; pos++)
        tiny_inject(t, IMG_INJECT_EVENTS, in, pos, 0, 2, 0, core[0],
                    tiny_conv_axon(t, block, pos, group, 4, 4, 2, IMG_AXON_POP32));
    /* p: window 2, stride 2, from a, one row per channel */
    core[1] = tiny_core(t, 1, 0, 16);
    tiny_group(t, p, 0, 0, 0, 0, 2, 2, 4, tiny_config(t, 32, 4096, IMG_PROG_PROG), NULL);
    block = tiny_block(t, tiny_list(t, 1, 0, 1, one), 0, 0);
    for (uint32_t pos = 0; pos < 16; pos++) {
        for (uint32_t ch = 0; ch < 4; ch++) {
            uint32_t to = (pos / 8 * 2 + pos % 4 / 2) * 4 + ch;
            tiny_out(t, core[0], pos * 4 + ch, 1, IMG_DEST_CORE, core[1],
                     tiny_axon(t, block, to, 1, IMG_AXON_DISCRETE, 0, 0), IMG_AXON_DISCRETE);
        }
    }
    /* b */
    core[2] = tiny_core(t, 2, 0, 16);
    group = tiny_group(t, b, 0, 0, 0, 0, 2, 2, 4, tiny_config(t, 20, 2048, IMG_PROG_PROG), NULL);
    cfg[1] = tiny_config(t, 30, 2048, IMG_PROG_PROG);
    t->im.channel_config[t->im.n_channel_config - 1] = cfg[1];
    t->im.channel_config[t->im.n_channel_config - 2] = cfg[1];
    wire_conv(t, group, tiny_block(t, tiny_conv(t, 4, 1, 1, 0, 4, wb), 0, 0), core[1], 4, 2, 2);
    /* r */
    core[3] = tiny_core(t, 3, 0, 16);
    tiny_group(t, r, 0, 0, 0, 0, 2, 2, 4, tiny_config(t, 1, 4096, IMG_PROG_PROG), NULL);
    const int8_t eye[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    block = tiny_block(t, tiny_list(t, 4, 0, 4, eye), 0, 0);
    for (uint32_t pos = 0; pos < 4; pos++)
        tiny_out(t, core[1], 4 * pos, 4, IMG_DEST_CORE, core[3],
                 tiny_axon(t, block, 4 * pos, 4, IMG_AXON_POP16, 0, 0), IMG_AXON_POP16);
    /* c reads r and b through the same block */
    core[4] = tiny_core(t, 3, 3, 12);
    group = tiny_group(t, c, 0, 0, 0, 0, 2, 2, 3, tiny_config(t, 20, 2048, IMG_PROG_PROG), NULL);
    t->im.channel_config[t->im.n_channel_config - 1] = tiny_config(t, 30, 2048, IMG_PROG_PROG);
    block = tiny_block(t, tiny_conv(t, 4, 1, 1, 0, 3, wc), 2, 0);
    wire_conv(t, group, block, core[3], 4, 2, 2);
    wire_conv(t, group, block, core[2], 4, 2, 2);
    for (uint32_t pos = 0; pos < 4; pos++) {
        TINY_PUSH(t, host_ports, (struct img_host_port){b, pos, 0, 4});
        tiny_out(t, core[2], 4 * pos, 4, IMG_DEST_HOST, 0, pos, IMG_AXON_POP16);
    }
    t->im.head = (struct img_head){1, 4, 8};
    for (int i = 0; i < 4; i++)
        TINY_PUSH(t, head_w, n->head_w[i]);
    TINY_PUSH(t, head_b, n->head_b[0]);
    TINY_PUSH(t, sum_terms, r);
    TINY_PUSH(t, sum_terms, b);
    TINY_PUSH(t, sums, (struct img_sum){tiny_string(t, "s"), IR_CHW, 0, 2, 2});
    tiny_finish(t);
}

static void test_clean(void **state)
{
    struct net n;
    struct tiny t;
    struct tgt tgt;
    struct outcome o;
    (void)state;

    make_target(&tgt, false);
    make_net(&n);
    net_image(&n, &t);
    expect_clean(&t.im, &tgt, NULL);
    expect_clean(&t.im, &tgt, n.m);
    assert_int_equal(check(&t.im, &tgt, n.m, &o), SPK_OK);
    assert_int_equal(o.r.cores, 5);
    assert_int_equal(o.r.neurons, 64 + 16 + 16 + 16 + 12);
    /* conv 3x3 on 4x4 with pad 1: 100 source-target pairs, 2 in, 4 out; the rest by hand */
    assert_int_equal(o.r.synapses, 100 * 8 + 64 + 4 * 16 + 4 * 16 + 2 * 4 * 12);
    n.m->stage = IR_STAGE_LOWERED;
    assert_int_equal(check(&t.im, &tgt, n.m, &o), SPK_ERR_INPUT);
    image_fini(&t.im);
    ir_module_destroy(n.m);
}

/* Each corruption: legality needs no module. */
#define FOUND(code, part, change)                 \
    do {                                          \
        net_image(&n, &t);                        \
        make_target(&tgt, false);                 \
        change;                                   \
        expect_found(&t.im, &tgt, m, code, part); \
        image_fini(&t.im);                        \
    } while (0)

static void test_legality(void **state)
{
    struct ir_module *m = NULL;
    struct net n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    make_net(&n);
    FOUND("E0930", "core 0 (chip 0, x 0, y 0): error[E0930]: neurons: 64 used, at most 63 exist",
          tgt.limit[TGT_NEURONS].value = 63);
    FOUND("E0930", "core 1 (chip 0, x 1, y 0): error[E0930]: in_axons: 64 used, at most 63",
          tgt.limit[TGT_IN_AXONS].value = 63);
    FOUND("E0930", "out_axons: 64 used, at most 63", tgt.limit[TGT_OUT_AXONS].value = 63);
    FOUND("E0930", "configs: 2 used, at most 1", tgt.limit[TGT_CONFIGS].value = 1);
    /* core 0: 2 rows of 36 weights of 8 bits + 10, in words of 64: 2 * 320 */
    FOUND("E0930", "synapse_bits: 640 used, at most 639", tgt.limit[TGT_SYNAPSE_BITS].value = 639);
    FOUND("E0930", "synapse_formats: 1 used, at most 0", tgt.limit[TGT_SYNAPSE_FORMATS].value = 0);
    FOUND("E0931", "in-axon 20: base 9, at most 8",
          (tgt.limit[TGT_AXON_BASE].value = 8, t.im.in_axons[16 + 20].base = 9));
    FOUND("E0931", "in-axon 1: base 5 of a pop16 axon is no multiple of 4",
          t.im.in_axons[t.im.cores[3].in_axon_first + 1].base = 5);
    FOUND("E0931", "delay 9, at most 7", t.im.in_axons[16].delay = 9);
    FOUND("E0931", "delay 3 does not fit 0 bits", t.im.in_axons[16].delay = 3);
    FOUND("E0932", "4 compartments, pop16 has at most 3 atoms", tgt.limit[TGT_ATOMS].value = 3);
    FOUND("E0931", "in-axon 0: 2 atoms, pop16 has at most 1", tgt.limit[TGT_ATOMS].value = 1;
          t.im.in_axons[0].kind = IMG_AXON_POP16);
    FOUND("E0931", "no axons of kind 2", tgt.axon_population = false);
    FOUND("E0931", "port 1", (t.im.in_axons[16].port = 1, tgt.arith.two_ports = false));
    FOUND("E0932", "of kind 2, in-axon 0 of core 1 of kind 0",
          t.im.out_axons[0].kind = IMG_AXON_POP32);
    FOUND("E0933", "convolution", tgt.sharing = TGT_SHARE_POPULATION);
    FOUND("E0933", "exponent 8, 'toy' has 0..7", t.im.blocks[1].shift = 8);
    FOUND("E0933", "exponent -1", tgt.arith.current_shift = 1; t.im.blocks[0].shift = 0);
    FOUND("E0933", "weight bits", tgt.arith.weight_bits = 7);
    FOUND("E0933", "do not fit 5 bits", t.im.blocks[0].weight_bits = 5);
    FOUND("E0933", "shares no synapses", tgt.sharing = TGT_SHARE_NONE;
          t.im.blocks[0].kind = t.im.contents[0].kind);
    FOUND("E0934", "threshold 0", t.im.configs[0].vth = 0);
    FOUND("E0934", "hard-wired", tgt.arith.neuron = TGT_NEURON_FIXED);
    FOUND("E0934", "multiplies", t.im.configs[2].program = IMG_PROG_PRODUCT;
          tgt.arith.two_ports = false);
    FOUND("E0934", "decay 2048, at most 2047", tgt.arith.decay_max = 2047);
    FOUND("E0935", "layer 'a', core 0", t.im.biases[3] = 1 << 24);
    FOUND("E0920", "cores of a chip in x: 4 in the image, 5 in 'toy'", tgt.cores_x = 5);
    FOUND("E0920", "uses 5 cores, 4 are usable", tgt.cores_per_chip = 4);
    FOUND("E0920", "no system", tgt.n_systems = 0);
    FOUND("E0920", "made for target 'toy'", tgt.name = "other");
    FOUND("E0921", "expected 0 + 0 + 0 and 1", t.im.routes[0].hops_x = 1);
    FOUND("E0922", "latency 7", t.im.meta.latency = 7);
    FOUND("E0924", "layer 'b'", t.im.layers[3].payload_bound = 256);
    FOUND("E0925", "hop_x (pJ): 3", t.im.prices[TGT_E_HOP_X] = 3.0);
    ir_module_destroy(n.m);
}

static void test_completeness(void **state)
{
    struct ir_module *m;
    struct net n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    make_net(&n);
    m = n.m;
    FOUND("E0940", "layer 'b' is missing", t.im.layers[3].name = t.im.meta.provenance);
    FOUND("E0942", "layer 'b': error[E0942]: recorded 0", t.im.layers[3].recorded = 0);
    FOUND("E0942", "is of kind 2, expected 1", t.im.layers[2].kind = IMG_LAYER_RELAY);
    FOUND("E0943",
          "layer 'c': error[E0943]: 6 neurons are on no core, the first is channel 0, "
          "position 2",
          t.im.groups[4].ny = 1);
    FOUND("E0944", "layer 'b', core 2 (chip 0, x 2, y 0): error[E0944]: channel 0: threshold 21",
          t.im.configs[3].vth = 21);
    FOUND("E0944", "decay 2047", t.im.configs[0].decay = t.im.configs[1].decay = 2047);
    FOUND("E0945",
          "layer 'a', core 0 (chip 0, x 0, y 0): error[E0945]: neuron (channel 1, "
          "position 0), compartment 1: from 'in' (channel 0, position 0) on port 0 expected weight",
          t.im.weights[4 * 4 + 1]++);
    FOUND("E0945",
          "layer 'c', core 4 (chip 0, x 3, y 3): error[E0945]: neuron (channel 2, "
          "position 0), compartment 2: from 'b' (channel 3, position 0) on port 0 expected weight "
          "-28, found -40; 2 sources differ",
          t.im.weights[t.im.n_weights - 1] -= 3);
    /* a synapse from the wrong position */
    FOUND("E0945", "layer 'pool", t.im.in_axons[16 + 5].base = 9);
    /* the same spikes twice */
    FOUND("E0945", "sources differ", t.im.out_axons[1].dest_axon = t.im.out_axons[0].dest_axon);
    FOUND("E0945", "layer 'b'", t.im.blocks[2].shift = 1);
    FOUND("E0945", "on port 0 expected weight 32, found 0; 2 sources differ",
          t.im.in_axons[16].port = 1);
    FOUND("E0944", "synapses of weight 32 and threshold 33", t.im.configs[2].vth = 33);
    FOUND("E0946", "neuron (channel 2, position 0), compartment 2: expected bias 2, found 3",
          t.im.biases[2]++);
    FOUND("E0947", "layer 'b', core 2", t.im.layers[3].start = 2);
    FOUND("E0947", "seen at 3 with delay 1; the layer starts at 2",
          (t.im.in_axons[20].delay = 1, t.im.blocks[1].delay_bits = 1));
    FOUND("E0947", "injected for in-axon 3 at step 1", t.im.injections[3].start = 1);
    FOUND("E0949", "layer 'b': error[E0949]: 4 neurons do not reach the host", {
        for (uint64_t i = 0; i < t.im.n_out_axons; i++)
            if (t.im.routes[t.im.out_axons[i].route].dest == IMG_DEST_HOST) {
                t.im.out_axons[i].comp_count = 3;
            }
    });
    FOUND("E0949", "which stands for 'b', channel 0, position 1", t.im.host_ports[0].position = 1);
    FOUND("E0951", "divisor 9", t.im.head.divisor = 9);
    FOUND("E0951", "weights", t.im.head_w[2] += 1.0f);
    FOUND("E0951", "biases", t.im.head_b[0] = 0.0f);
    FOUND("E0952", "'s' has 2 terms", t.im.sum_terms[0] = 5; t.im.sum_terms[1] = 5;
          t.im.layers[5].channels = 3);
    FOUND("E0952", "recorded sum 's' is missing", t.im.sums[0].name = 0);
    ir_module_destroy(n.m);
}

/* ---- the rest ---- */

static void test_unsafe_tables(void **state)
{
    struct net n;
    struct tiny t;
    struct tgt tgt;
    struct outcome o;
    (void)state;

    make_target(&tgt, false);
    make_net(&n);
    for (int i = 0; i < 8; i++) {
        net_image(&n, &t);
        switch (i) {
        case 0:
            t.im.out_axons[3].route = 100000;
            break;
        case 1:
            t.im.in_axons[3].block = 0xffffffffu;
            break;
        case 2:
            t.im.groups[1].layer = 77;
            break;
        case 3:
            t.im.runs[0].weight_first = UINT64_MAX - 1;
            break;
        case 4:
            t.im.cores[2].out_axon_first = 1u << 31;
            break;
        case 5:
            t.im.channel_config[1] = 60000;
            break;
        case 6:
            t.im.host_ports[0].layer = 1000;
            break;
        default:
            t.im.sum_terms[0] = 1000;
        }
        assert_int_equal(check(&t.im, &tgt, n.m, &o), SPK_ERR_INPUT);
        image_fini(&t.im);
    }
    ir_module_destroy(n.m);
}

static void test_limits_of_reports(void **state)
{
    struct check_options few = {.max_reports = 3};
    struct check_report r, threaded;
    struct diag_list d;
    struct net n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    diag_init(&d);
    make_target(&tgt, false);
    make_net(&n);
    net_image(&n, &t);
    for (int i = 0; i < 72; i++)
        t.im.weights[i]++; /* every neuron of layer a */
    assert_int_equal(check_image(&t.im, &tgt, n.m, &few, &d, &r), SPK_DIFFERENCE);
    assert_int_equal(r.violations, 64);
    assert_int_equal(d.items.len, 3);
    assert_int_equal(pool_create(3, &few.pool), SPK_OK);
    assert_int_equal(check_image(&t.im, &tgt, n.m, &few, &d, &threaded), SPK_DIFFERENCE);
    assert_memory_equal(&r, &threaded, sizeof r);
    for (int i = 0; i < 3; i++)
        assert_string_equal(d.items.data[i]->message, d.items.data[3 + i]->message);
    pool_destroy(few.pool);
    image_fini(&t.im);
    ir_module_destroy(n.m);
    diag_fini(&d);
}

/* Rows of a block are reached through the axon's first row; population axons serve one position. */
static void test_rows_and_atoms(void **state)
{
    struct net n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    make_target(&tgt, false);
    make_net(&n);
    net_image(&n, &t);
    /* the last axon of layer c sends channels 1..3 only */
    struct img_in_axon *in = &t.im.in_axons[t.im.n_in_axons - 1];
    struct img_out_axon *out = NULL;
    for (uint64_t i = 0; i < t.im.n_out_axons; i++) {
        const struct img_route *r = &t.im.routes[t.im.out_axons[i].route];
        if (r->dest == IMG_DEST_CORE && r->x == 3 && r->y == 3 &&
            t.im.out_axons[i].dest_axon == t.im.cores[4].n_in_axons - 1)
            out = &t.im.out_axons[i];
    }
    out->comp_first++;
    out->comp_count--;
    in->atoms = 3;
    in->row = 1;
    /* rows fit their channels, only channel 0 of that position is missing */
    expect_found(
        &t.im, &tgt, n.m, "E0945",
        "from 'b' (channel 0, position 3) on port 0 expected weight -32, found 0; 1 sources");
    in->row = 0; /* now every channel addresses its neighbour's row */
    expect_found(&t.im, &tgt, n.m, "E0945", "4 sources differ");
    image_fini(&t.im);

    net_image(&n, &t);
    for (uint64_t i = 0; i < t.im.n_out_axons; i++) {
        if (t.im.out_axons[i].kind == IMG_AXON_POP16 && t.im.out_axons[i].comp_first == 0) {
            t.im.out_axons[i].comp_first++;
            break;
        }
    }
    expect_found(&t.im, &tgt, NULL, "E0932",
                 "lie at positions 0 and 1, a population axon serves one");
    image_fini(&t.im);
    ir_module_destroy(n.m);
}

static void test_out_of_memory(void **state)
{
    struct net n;
    struct tiny t;
    struct tgt tgt;
    (void)state;

    if (!spk_fault_available())
        skip();
    make_target(&tgt, false);
    make_net(&n);
    net_image(&n, &t);
    for (int broken = 0; broken < 2; broken++) {
        t.im.weights[0] = (int8_t)(t.im.weights[0] + broken);
        for (uint64_t k = 1;; k++) {
            struct check_report r;

            spk_fault_arm(SPK_FAULT_ALLOC, k);
            spk_status status = check_image(&t.im, &tgt, n.m, NULL, NULL, &r);
            bool hit = spk_fault_disarm(SPK_FAULT_ALLOC);
            if (!hit) {
                assert_int_equal(status, broken ? SPK_DIFFERENCE : SPK_OK);
                assert_true(k > 20);
                break;
            }
            assert_true(status == SPK_ERR_NOMEM || (broken && status == SPK_DIFFERENCE));
        }
    }
    image_fini(&t.im);
    ir_module_destroy(n.m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_legality),
        cmocka_unit_test(test_completeness),
        cmocka_unit_test(test_unsafe_tables),
        cmocka_unit_test(test_limits_of_reports),
        cmocka_unit_test(test_rows_and_atoms),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
