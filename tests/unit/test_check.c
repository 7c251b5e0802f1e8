/* Independent checker: hand-made images of hand-made modules pass; every kind of corruption is
 * found, with code, layer and core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "check/check.h"
#include "support/diag.h"
#include "support/fault.h"
#include "support/pool.h"
#include "tests/unit/tiny_image.h"

/* ---- a target ---- */

static struct tgt_system toy_system = {.name = "toy-1", .chips_x = 1, .chips_y = 1};

static void make_target(struct tgt *t, bool fixed)
{
	static const struct {
		enum tgt_limit l;
		double v;
	} limits[] = {{TGT_NEURONS, 64}, {TGT_SYNAPSE_BITS, 65536}, {TGT_IN_AXONS, 64},
	              {TGT_OUT_AXONS, 64}, {TGT_CONFIGS, 4}, {TGT_SYNAPSE_FORMATS, 4},
	              {TGT_DELAY, 7}, {TGT_AXON_BASE, 63}, {TGT_ATOMS, 16},
	              {TGT_EMBEDDED_PER_CHIP, 2}};

	memset(t, 0, sizeof *t);
	t->name = "toy";
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		t->limit[limits[i].l] = (struct tgt_const){.present = true, .value = limits[i].v};
	t->arith = (struct tgt_arith){.neuron = fixed ? TGT_NEURON_FIXED : TGT_NEURON_PROGRAMMABLE,
	                              .state_bits = 24, .weight_bits = 8, .weight_exp_max = 7,
	                              .threshold_mant_bits = 17, .bias_mant_bits = 13,
	                              .bias_exp_max = 7, .decay_max = 4096,
	                              .payload_bits = fixed ? 0 : 8, .two_ports = !fixed,
	                              .embedded_latency = 2};
	t->format = (struct tgt_format){64, 64, 10, 0, 6, 12};
	t->sharing = TGT_SHARE_CONVOLUTION;
	t->axon_discrete = t->axon_population = true;
	t->pop16_slots = 1;
	t->pop32_slots = 2;
	t->attention = TGT_ATTN_AND_LIF | TGT_ATTN_EMBEDDED | TGT_ATTN_PRODUCT;
	t->cores_x = t->cores_y = 4;
	t->tile_w = t->tile_h = 2;
	t->cores_per_chip = 16;
	t->n_systems = 1;
	t->system = &toy_system;
}

/* ---- a module ---- */

static uint32_t add_param(struct ir_module *m, const char *name, enum ir_dtype type, uint32_t d0,
                          uint32_t d1, uint32_t d2, uint32_t d3, const void *data)
{
	struct ir_param p = {.name = name, .dtype = type, .dim = {d0, d1, d2, d3}, .data = data};
	uint32_t id;

	p.rank = d3 ? 4 : d2 ? 3 : d1 ? 2 : 1;
	assert_int_equal(ir_add_param(m, &p, &id), SPK_OK);
	return id;
}

static uint32_t add_node(struct ir_module *m, struct ir_node n, uint32_t *operand,
                         uint32_t n_operands, uint32_t *param, uint32_t n_params)
{
	struct diag_list d;
	struct strbuf text = {0};
	uint32_t id = 0;

	diag_init(&d);
	n.operand = operand;
	n.n_operands = n_operands;
	n.param = param;
	n.n_params = n_params;
	if (ir_add_node(m, &n, &d, &id) != SPK_OK) {
		diag_render(&d, NULL, &text);
		fail_msg("%s", strbuf_cstr(&text));
	}
	diag_fini(&d);
	return id;
}

static uint32_t add_events(struct ir_module *m, uint32_t c, uint32_t h, uint32_t w)
{
	struct ir_node n = {.op = IR_OP_INPUT, .name = "in",
	                    .type = {.kind = IR_COUNT, .num = IR_I32, .layout = IR_CHW,
	                             .timesteps = m->timesteps, .channels = c, .height = h,
	                             .width = w}};
	uint32_t in;

	n.a.input.events = true;
	in = add_node(m, n, NULL, 0, NULL, 0);
	n = (struct ir_node){.op = IR_OP_ENCODE};
	n.a.encode.kind = IR_ENCODE_EVENTS;
	return add_node(m, n, &in, 1, NULL, 0);
}

static uint32_t add_conv(struct ir_module *m, uint32_t *x, uint32_t nx, uint32_t w, uint16_t k,
                         uint8_t shift)
{
	struct ir_node n = {.op = IR_OP_CONV2D};

	n.a.conv = (struct ir_attr_conv){k, k, 1, 1, k / 2, k / 2, shift};
	return add_node(m, n, x, nx, &w, 1);
}

static uint32_t add_neuron(struct ir_module *m, const char *name, uint32_t x, uint32_t vth,
                           uint32_t bias, uint16_t decay)
{
	struct ir_node n = {.op = IR_OP_NEURON, .name = name, .recorded = true};
	uint32_t params[2] = {vth, bias};

	n.a.neuron.program = IR_NONE;
	n.a.neuron.q = (struct ir_neuron_q){decay, 24, false};
	return add_node(m, n, &x, 1, params, bias == IR_NONE ? 1 : 2);
}

static struct ir_module *new_module(uint32_t timesteps)
{
	struct ir_module *m;

	assert_int_equal(ir_module_create("toy", &m), SPK_OK);
	m->stage = IR_STAGE_QUANTISED;
	m->timesteps = timesteps;
	return m;
}

static void add_readout(struct ir_module *m, uint32_t *x, uint32_t n_x, uint32_t divisor,
                        const float *w, const float *b, uint32_t channels)
{
	struct ir_node n = {.op = IR_OP_READOUT};
	uint32_t params[2] = {add_param(m, "head.weight", IR_DT_F32, 1, channels, 0, 0, w),
	                      add_param(m, "head.bias", IR_DT_F32, 1, 0, 0, 0, b)};
	uint32_t id;

	n.a.readout.divisor = divisor;
	id = add_node(m, n, x, n_x, params, 2);
	n = (struct ir_node){.op = IR_OP_OUTPUT, .name = "logits"};
	add_node(m, n, &id, 1, NULL, 0);
}

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
static void wire_conv(struct tiny *t, uint32_t group, uint32_t block, uint32_t src,
                      uint32_t src_nc, uint16_t w, uint16_t h)
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

/* ---- running the checker ---- */

struct outcome {
	struct check_report r;
	char code[8], text[512];
};

static spk_status check(const struct image *im, const struct tgt *t, const struct ir_module *m,
                        struct outcome *out)
{
	struct diag_list d;
	struct strbuf text = {0};
	spk_status status;

	memset(out, 0, sizeof *out);
	diag_init(&d);
	status = check_image(im, t, m, NULL, &d, &out->r);
	if (d.items.len) {
		diag_render_one(&d, 0, NULL, &text);
		snprintf(out->code, sizeof out->code, "%s", d.items.data[0]->code);
		snprintf(out->text, sizeof out->text, "%s", strbuf_cstr(&text));
	}
	strbuf_fini(&text);
	diag_fini(&d);
	return status;
}

static void expect_clean(const struct image *im, const struct tgt *t, const struct ir_module *m)
{
	struct outcome o;

	if (check(im, t, m, &o) != SPK_OK)
		fail_msg("%llu violations: %s", (unsigned long long)o.r.violations, o.text);
	assert_int_equal(o.r.violations, 0);
	assert_string_equal(o.code, "");
}

static void expect_found(const struct image *im, const struct tgt *t, const struct ir_module *m,
                         const char *code, const char *part)
{
	struct outcome o;
	spk_status status = check(im, t, m, &o);

	if (status != SPK_DIFFERENCE || strcmp(o.code, code) != 0 || !strstr(o.text, part))
		fail_msg("expected %s with '%s', status %d, %llu violations: %s", code, part, status,
		         (unsigned long long)o.r.violations, o.text);
	assert_true(o.r.violations > 0);
	assert_int_equal(o.r.violations, o.r.legality + o.r.completeness);
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
#define FOUND(code, part, change) \
	do { \
		net_image(&n, &t); \
		make_target(&tgt, false); \
		change; \
		expect_found(&t.im, &tgt, m, code, part); \
		image_fini(&t.im); \
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
	FOUND("E0932", "of kind 2, in-axon 0 of core 1 of kind 0", t.im.out_axons[0].kind =
	      IMG_AXON_POP32);
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
	FOUND("E0943", "layer 'c': error[E0943]: 6 neurons are on no core, the first is channel 0, "
	      "position 2", t.im.groups[4].ny = 1);
	FOUND("E0944", "layer 'b', core 2 (chip 0, x 2, y 0): error[E0944]: channel 0: threshold 21",
	      t.im.configs[3].vth = 21);
	FOUND("E0944", "decay 2047", t.im.configs[0].decay = t.im.configs[1].decay = 2047);
	FOUND("E0945", "layer 'a', core 0 (chip 0, x 0, y 0): error[E0945]: neuron (channel 1, "
	      "position 0), compartment 1: from 'in' (channel 0, position 0) on port 0 expected weight",
	      t.im.weights[4 * 4 + 1]++);
	FOUND("E0945", "layer 'c', core 4 (chip 0, x 3, y 3): error[E0945]: neuron (channel 2, "
	      "position 0), compartment 2: from 'b' (channel 3, position 0) on port 0 expected weight "
	      "-28, found -40; 2 sources differ", t.im.weights[t.im.n_weights - 1] -= 3);
	/* a synapse from the wrong position */
	FOUND("E0945", "layer 'pool", t.im.in_axons[16 + 5].base = 9);
	/* the same spikes twice */
	FOUND("E0945", "sources differ", t.im.out_axons[1].dest_axon = t.im.out_axons[0].dest_axon);
	FOUND("E0945", "layer 'b'", t.im.blocks[2].shift = 1);
	FOUND("E0945", "on port 0 expected weight 32, found 0; 2 sources differ", t.im.in_axons[16].port = 1);
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

/* ---- case 2: attention in its three lowerings ---- */

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
		core[o] = layer_core(t, names[o], IMG_LAYER_NEURON, dim, tokens, 1, 4, 2048,
		                     IMG_PROG_PROG, true, 1);
		uint32_t block = tiny_block(t, tiny_list(t, 4, 0, 4, w), 0, 0);
		for (uint32_t p = 0; p < tokens; p++)
			tiny_inject(t, IMG_INJECT_EVENTS, in, p, 0, 4, 0, core[o],
			            tiny_axon(t, block, 4 * p, 4, IMG_AXON_POP16, 0, 0));
	}
	if (how == EMBEDDED) {
		uint32_t l = tiny_layer(t, "x", IMG_LAYER_EMBEDDED, dim, 1, tokens, 3, true);
		t->im.layers[l].layout = IR_CN;
		TINY_PUSH(t, embedded, (struct img_embedded){l, 0, 1, heads, dim, tokens, unit, 32, 2048,
		                                             24, 1, 2, 3, 0, 0});
		for (uint32_t o = 0; o < 3; o++) {
			for (uint32_t p = 0; p < tokens; p++) {
				TINY_PUSH(t, embedded_ports, (struct img_embedded_port){o, p, 0, dim});
				tiny_out(t, core[o], 4 * p, 4, IMG_DEST_EMBEDDED, 0,
				         t->im.embedded[0].n_ports++, IMG_AXON_POP16);
			}
		}
	} else {
		const uint32_t thetas = product ? 1 : tokens;
		const enum img_program p_and = product ? IMG_PROG_PRODUCT : IMG_PROG_PROG;
		const uint8_t port = product ? 1 : 0;
		uint32_t and_core, mid, relay, gate;

		and_core = layer_core(t, "x.and", IMG_LAYER_AUX, inner, tokens, 2, 2, 4096, p_and, false,
		                      1);
		for (uint32_t c = 0; c < inner; c++) {
			for (uint32_t p = 0; p < tokens; p++) {
				uint32_t h = c / 4, i = c / 2 % 2, j = c % 2;
				wire(t, (struct tap){core[1], at(h * d + i, p, dim), at(c, p, inner), 1, 0}, 0);
				wire(t, (struct tap){core[2], at(h * d + j, p, dim), at(c, p, inner), 1, port}, 0);
			}
		}
		mid = layer_core(t, product ? "x.sum" : "x.therm", IMG_LAYER_AUX, inner * thetas, 1, 3, 1,
		                 4096, product ? IMG_PROG_SUM : IMG_PROG_PROG, false,
		                 product ? tokens : 1);
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
				wire(t, (struct tap){gate, at(c, p, inner * thetas), at(h * d + j, p, dim), unit, 0},
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

#undef FOUND
#define FOUND(how, code, part, change) \
	do { \
		attention_image(&n, how, &t); \
		attention_target(&tgt); \
		change; \
		expect_found(&t.im, &tgt, n.m, code, part); \
		image_fini(&t.im); \
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
	FOUND(PRODUCT, "E0945", "layer 'x.and', core 3", t.im.in_axons[t.im.cores[3].in_axon_first].base
	      += 1);
	FOUND(PRODUCT, "E0945", "layer 'x.sum', core 4", t.im.in_axons[t.im.cores[4].in_axon_first].base
	      += 1);
	FOUND(PRODUCT, "E0945", "layer 'x.gate', core 6",
	      t.im.in_axons[t.im.cores[6].in_axon_first].port = 1);
	FOUND(PRODUCT, "E0945", "layer 'x', core 7 (chip 0, x 3, y 1): error[E0945]: neuron (channel 0, "
	      "position 0), compartment 0: from 'x.gate' (channel 0, position 0) on port 0 expected "
	      "weight 16, found 15", t.im.weights[t.im.n_weights - 1] = 15);
	FOUND(PRODUCT, "E0945", "program does not make it",
	      t.im.configs[t.im.cores[4].config_first].program = IMG_PROG_PRODUCT);
	FOUND(PRODUCT, "E0942", "payload bound 1, the count reaches 2", t.im.layers[5].payload_bound = 1);
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
	      t.im.embedded[0].q_layer = 2; t.im.embedded[0].k_layer = 1);
	FOUND(EMBEDDED, "E0948", "port 1 stands for operand 0, channel 0, position 0, but gets 'q', "
	      "channel 0, position 1", t.im.embedded_ports[1].position = 0);
	FOUND(EMBEDDED, "E0948", "2 neurons of 'q' do not reach the task",
	      for (int i = 0; i < 2; i++) t.im.out_axons[i].comp_count = 3);
	ir_module_destroy(n.m);
}

/* ---- case 3: hard-wired neurons, bias by enable spikes ---- */

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
	struct ir_node n = {.op = IR_OP_INPUT, .name = "image",
	                    .type = {.kind = IR_REAL, .num = IR_F32, .layout = IR_CHW, .timesteps = 1,
	                             .channels = 1, .height = 2, .width = 2}};
	uint32_t x, params[2];
	struct tgt tgt;
	struct tiny t;
	(void)state;

	x = add_node(m, n, NULL, 0, NULL, 0);
	n = (struct ir_node){.op = IR_OP_ENCODE};
	n.a.encode = (struct ir_attr_encode){.kind = IR_ENCODE_CURRENT, .conv = {1, 1, 1, 1, 0, 0, 0},
	                                     .x_shift = 8, .out_shift = 4, .m_exp = 3, .m_max = 4095};
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
		t.im.encoder = (struct img_encoder){.present = 1, .layer = l, .in_channels = 1,
		                                    .in_height = 2, .in_width = 2, .out_channels = 2,
		                                    .kernel_h = 1, .kernel_w = 1, .stride_h = 1,
		                                    .stride_w = 1, .x_shift = 8, .out_shift = 4,
		                                    .m_exp = 3, .m_max = 4095};
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
		static const char *const part[] = {"", "weights", "biases", "x_shift: 9, expected 8",
		                                   "up to 4096 << 3", "host currents are off"};
		if (broken)
			expect_found(&t.im, &tgt, m, code[broken], part[broken]);
		image_fini(&t.im);
	}
	ir_module_destroy(m);
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

/* Two axons that make a compartment atom 0 of one and atom 1 of another. */
static void test_atoms(void **state)
{
	struct net n;
	struct tiny t;
	struct tgt tgt;
	struct check_report r;
	struct diag_list d;
	(void)state;

	diag_init(&d);
	make_target(&tgt, false);
	make_net(&n);
	net_image(&n, &t);
	for (uint64_t i = 0; i < t.im.n_out_axons; i++) {
		if (t.im.out_axons[i].kind == IMG_AXON_POP16 && t.im.out_axons[i].comp_first == 0) {
			t.im.out_axons[i].comp_first++;
			t.im.out_axons[i].comp_count--;
			break;
		}
	}
	assert_int_equal(check_image(&t.im, &tgt, NULL, NULL, &d, &r), SPK_OK);
	assert_int_equal(r.atom_conflicts, 3);
	assert_int_equal(d.items.len, 1);
	assert_string_equal(d.items.data[0]->code, "W0931");
	image_fini(&t.im);
	ir_module_destroy(n.m);
	diag_fini(&d);
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
		cmocka_unit_test(test_clean), cmocka_unit_test(test_legality),
		cmocka_unit_test(test_completeness), cmocka_unit_test(test_attention),
		cmocka_unit_test(test_embedded), cmocka_unit_test(test_hard_wired),
		cmocka_unit_test(test_encoder), cmocka_unit_test(test_unsafe_tables),
		cmocka_unit_test(test_limits_of_reports), cmocka_unit_test(test_atoms),
		cmocka_unit_test(test_out_of_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
