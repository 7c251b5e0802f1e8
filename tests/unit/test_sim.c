/* Chip simulator: hand-made images against spikes worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/sim.h"
#include "support/diag.h"
#include "support/fault.h"
#include "support/pool.h"
#include "support/rng.h"
#include "tests/unit/tiny_image.h"

/* Everything a run hands over, concatenated. */
struct tape {
	uint8_t data[1 << 16];
	size_t n;
	char names[1024];
};

static spk_status keep_value(void *ctx, uint32_t image, const struct sim_value *v, const void *data)
{
	struct tape *t = ctx;
	size_t n = (size_t)v->timesteps * v->channels * v->height * v->width *
	           (v->is_i32 ? sizeof(int32_t) : 1);

	assert_true(t->n + n <= sizeof t->data);
	memcpy(t->data + t->n, data, n);
	t->n += n;
	if (image == 0) {
		size_t at = strlen(t->names);
		snprintf(t->names + at, sizeof t->names - at, "%s;", v->name);
	}
	return SPK_OK;
}

struct result {
	struct tape tape;
	int64_t features[256];
	float logits[64];
	struct sim_stats stats; /* arrays are gone */
	struct sim_core_stats core0;
};

static void simulate(const struct image *im, const float *input, uint32_t n_images,
                     uint64_t stride, struct pool *pool, struct result *out)
{
	struct diag_list d;
	struct sim *s = NULL;
	struct strbuf text = {0};
	memset(out, 0, sizeof *out);
	struct sim_recorder rec = {&out->tape, keep_value};
	struct sim_run run = {.input = {n_images, input, stride}, .features = out->features,
	                      .logits = out->logits, .recorder = &rec, .pool = pool};

	diag_init(&d);
	spk_status status = sim_create(im, &d, &s);
	if (status == SPK_OK)
		status = sim_run(s, &run, &d);
	if (status != SPK_OK) {
		diag_render(&d, NULL, &text);
		fail_msg("%d %s", status, strbuf_cstr(&text));
	}
	out->stats = *sim_statistics(s);
	out->core0 = out->stats.core[0];
	sim_destroy(s);
	diag_fini(&d);
}

/* ---- encoder -> conv (either block kind) -> read-out, two hard-wired layers ---- */

/* 1 x 3 x 3 image, encoder 1x1 with weight 1: current 4 * round(x). Layer `a` (1 channel, 3x3,
 * vth 4, no memory) repeats its pixels while they are 1; layer `b` is a 3x3 convolution with pad 1
 * and two channels: all ones, and the centre alone. */
static void make_conv(struct tiny *t, bool conv_block, bool split)
{
	int8_t list[1], kernel[18];
	uint32_t a, b, axons[9], b_core, a_core;

	for (int i = 0; i < 9; i++) {
		kernel[2 * i] = 1;
		kernel[2 * i + 1] = i == 4 ? 1 : 0;
	}
	tiny_init(t, 2, 2, 3, 8);
	a = tiny_layer(t, "a", IMG_LAYER_NEURON, 1, 3, 3, 0, true);
	b = tiny_layer(t, "b", IMG_LAYER_NEURON, 2, 3, 3, 1, true);
	a_core = tiny_core(t, 0, 0, 9);
	tiny_group(t, a, 0, 0, 0, 0, 3, 3, 1, tiny_config(t, 4, 4096, IMG_PROG_PROG), NULL);
	t->im.groups[0].host_current = 1;
	t->im.encoder = (struct img_encoder){.present = 1, .layer = a, .in_channels = 1,
	                                     .in_height = 3, .in_width = 3, .out_channels = 1,
	                                     .kernel_h = 1, .kernel_w = 1, .stride_h = 1,
	                                     .stride_w = 1, .m_exp = 2, .m_max = 4095};
	TINY_PUSH(t, enc_w, (int16_t)1);
	TINY_PUSH(t, enc_b, 0);
	tiny_head(t, 2, 18);
	for (uint32_t part = 0; part < (split ? 3u : 1u); part++) {
		uint32_t y0 = part, ny = split ? 1 : 3, n = ny * 6, group;

		b_core = tiny_core(t, 1 + part, 1, n);
		group = tiny_group(t, b, 0, y0, 0, 0, ny, 3, 2, tiny_config(t, 3 << 3, 2048,
		                   IMG_PROG_PROG), NULL);
		if (conv_block) {
			uint32_t block = tiny_block(t, tiny_conv(t, 1, 3, 1, 1, 2, kernel), 3, 0);
			for (uint32_t p = 0; p < 9; p++)
				axons[p] = tiny_conv_axon(t, block, p, group, 3, 3, 1, IMG_AXON_POP16);
		} else {
			for (uint32_t p = 0; p < 9; p++) {
				struct img_content c = {.kind = IMG_BLOCK_LIST, .n_rows = 1,
				                        .row_first = t->im.n_rows};
				struct img_row row = {t->im.n_runs, 0};

				for (uint32_t o = 0; o < 9; o++) {
					int32_t ky = (int32_t)(p / 3) + 1 - (int32_t)(o / 3);
					int32_t kx = (int32_t)(p % 3) + 1 - (int32_t)(o % 3);
					if (o / 3 < y0 || o / 3 >= y0 + ny || ky < 0 || ky > 2 || kx < 0 || kx > 2)
						continue;
					TINY_PUSH(t, runs, (struct img_run){(o - 3 * y0) * 2, 2, t->im.n_weights});
					list[0] = kernel[(ky * 3 + kx) * 2];
					TINY_PUSH(t, weights, list[0]);
					list[0] = kernel[(ky * 3 + kx) * 2 + 1];
					TINY_PUSH(t, weights, list[0]);
					row.n_runs++;
				}
				TINY_PUSH(t, rows, row);
				TINY_PUSH(t, contents, c);
				axons[p] = tiny_axon(t, tiny_block(t, (uint32_t)t->im.n_contents - 1, 3, 0), 0, 1,
				                     IMG_AXON_POP16, 0, 0);
			}
		}
		for (uint32_t p = 0; p < 9; p++)
			tiny_out(t, a_core, p, 1, IMG_DEST_CORE, b_core, axons[p], IMG_AXON_POP16);
		for (uint32_t p = 0; p < ny * 3; p++) {
			TINY_PUSH(t, host_ports, (struct img_host_port){b, y0 * 3 + p, 0, 2});
			tiny_out(t, b_core, 2 * p, 2, IMG_DEST_HOST, 0, (uint32_t)t->im.n_host_ports - 1,
			         IMG_AXON_POP16);
		}
	}
	tiny_finish(t);
}

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

static const float conv_images[27] = {1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
                                      0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

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

/* ---- hard-wired neurons: leak between images, enables, delays, spikes outside windows ---- */

/* One event channel drives `n` (vth, decay 2048, weight 1 << 6) through an in-axon with `delay`. */
static void make_fixed(struct tiny *t, int32_t vth, uint32_t interval, uint32_t delay,
                       bool enable)
{
	const int8_t one[1] = {1};
	uint32_t in, n, core, axon;

	tiny_init(t, 2, interval, 3 + delay, 0);
	in = tiny_layer(t, "in", IMG_LAYER_INPUT, 1, 1, 1, 0, false);
	n = tiny_layer(t, "n", IMG_LAYER_NEURON, 1, 1, 1, 1 + delay, true);
	core = tiny_core(t, 0, 0, 1);
	tiny_group(t, n, 0, 0, 0, 0, 1, 1, 1, tiny_config(t, vth, 2048, IMG_PROG_FIXED), NULL);
	axon = tiny_axon(t, tiny_block(t, tiny_list(t, 1, 0, 1, one), 6, 3), 0, 1, IMG_AXON_DISCRETE,
	                 0, delay);
	tiny_inject(t, IMG_INJECT_EVENTS, in, 0, 0, 1, 0, core, axon);
	if (enable) {
		axon = tiny_axon(t, tiny_block(t, tiny_list(t, 1, 0, 1, one), 7, 0), 0, 1,
		                 IMG_AXON_DISCRETE, 0, 0);
		tiny_inject(t, IMG_INJECT_ENABLE, n, 0, 0, 1, delay, core, axon);
	}
	tiny_finish(t);
}

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
	axon = tiny_axon(&t, tiny_block(&t, tiny_list(&t, 2, 0, 1, two), 0, 0), 0, 2, IMG_AXON_POP16,
	                 0, 0);
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
	TINY_PUSH(&t, embedded, (struct img_embedded){.layer = x, .heads = 1, .channels = 2,
	                                              .tokens = 2, .unit = 8, .vth = 16,
	                                              .decay = 2048, .bits = 24, .q_layer = q[0],
	                                              .k_layer = q[1], .v_layer = q[2]});
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

/* ---- threads, locate, errors ---- */

static void test_threads(void **state)
{
	static struct result serial, threaded;
	struct pool *pool;
	struct tiny t;
	(void)state;

	make_conv(&t, false, true);
	assert_int_equal(pool_create(4, &pool), SPK_OK);
	simulate(&t.im, conv_images, 3, 9, NULL, &serial);
	simulate(&t.im, conv_images, 3, 9, pool, &threaded);
	serial.stats.core = threaded.stats.core = NULL;
	serial.stats.route_messages = threaded.stats.route_messages = NULL;
	assert_memory_equal(&serial.tape, &threaded.tape, sizeof serial.tape);
	assert_memory_equal(serial.features, threaded.features, sizeof serial.features);
	assert_memory_equal(&serial.stats, &threaded.stats, sizeof serial.stats);
	pool_destroy(pool);
	image_fini(&t.im);
}

static void test_locate(void **state)
{
	struct tiny t;
	struct diag_list d;
	struct sim *s;
	uint32_t core, comp;
	(void)state;

	diag_init(&d);
	make_conv(&t, true, true);
	assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
	assert_int_equal(sim_find_layer(s, "b"), 1);
	assert_int_equal(sim_find_layer(s, "c"), IMG_NONE);
	assert_true(sim_locate(s, 1, 1, 5, &core, &comp));
	assert_int_equal(core, 2);
	assert_int_equal(comp, 2 * 2 + 1);
	assert_false(sim_locate(s, 1, 2, 5, &core, &comp));
	assert_false(sim_locate(s, 1, 1, 9, &core, &comp));
	assert_false(sim_locate(s, 7, 0, 0, &core, &comp));
	sim_destroy(s);
	image_fini(&t.im);
	diag_fini(&d);
}

static void expect_refused(struct tiny *t, const char *part)
{
	struct diag_list d;
	struct sim *s;

	diag_init(&d);
	assert_int_equal(sim_create(&t->im, &d, &s), SPK_ERR_INPUT);
	assert_null(s);
	assert_int_equal(d.items.len, 1);
	assert_string_equal(d.items.data[0]->code, "E0841");
	assert_non_null(strstr(d.items.data[0]->message, part));
	diag_fini(&d);
}

#define REFUSED(change, part) \
	do { \
		struct tiny t; \
		make_conv(&t, variant, false); \
		change; \
		expect_refused(&t, part); \
		image_fini(&t.im); \
	} while (0)

static void test_refusals(void **state)
{
	bool variant = false;
	(void)state;

	REFUSED(t.im.meta.interval = 1, "interval");
	REFUSED(t.im.meta.timesteps = 0, "time steps");
	REFUSED(t.im.layers[1].start = 2, "window");
	REFUSED(t.im.layers[1].name = 1000, "string");
	REFUSED(t.im.layers[1].channels = 1u << 30, "layer");
	REFUSED(t.im.cores[1].n_groups = 2, "core 1");
	REFUSED(t.im.cores[1].in_axon_first = 0xfffffff0u, "core 1");
	REFUSED(t.im.groups[1].comp_first = 1, "group 1");
	REFUSED(t.im.groups[1].nx = 4, "tile");
	REFUSED(t.im.groups[1].channel_config = 1u << 30, "configurations");
	REFUSED(t.im.channel_config[1] = 5, "configuration");
	REFUSED(t.im.in_axons[0].base = 17, "target");
	REFUSED(t.im.in_axons[3].block = 0xffffffffu, "in-axon 3");
	REFUSED(t.im.in_axons[3].atoms = 2, "in-axon 3");
	REFUSED(t.im.runs[4].weight_first = 1ull << 60, "weights");
	REFUSED(t.im.runs[4].length = 0xffffffffu, "run 4");
	REFUSED(t.im.rows[2].n_runs = 1u << 30, "row 2");
	REFUSED(t.im.out_axons[1].dest_axon = 9, "out-axon 1");
	REFUSED(t.im.out_axons[1].comp_count = 2, "out-axon 1");
	REFUSED(t.im.out_axons[1].comp_first = 0xffffffffu, "out-axon 1");
	REFUSED(t.im.routes[1].x = 3, "destination");
	REFUSED(t.im.cores[1].x = t.im.cores[1].y = 0, "place");
	REFUSED(t.im.host_ports[0].channel_first = 2, "host port 0");
	REFUSED(t.im.encoder.kernel_h = 2, "encoder");
	REFUSED(t.im.encoder.layer = 1, "currents");
	variant = true;
	REFUSED(t.im.in_axons[2].group = 0, "target group");
	REFUSED(t.im.in_axons[2].base = 9, "source position");
	REFUSED(t.im.contents[0].weight_first = 1, "content 0");
	REFUSED(t.im.contents[0].stride = 0, "content 0");
}

static void test_bad_input(void **state)
{
	struct tiny t;
	struct diag_list d;
	struct sim *s;
	float image[9] = {0};
	struct sim_run run = {.input = {1, image, 8}};
	(void)state;

	diag_init(&d);
	make_conv(&t, true, false);
	assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
	run.input.image_stride = 9;
	image[4] = INFINITY;
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
	image[4] = 1.0f;
	assert_int_equal(sim_run(s, &run, &d), SPK_OK);
	run.input.n_images = 0;
	assert_int_equal(sim_run(s, &run, &d), SPK_OK);
	assert_int_equal(sim_statistics(s)->steps, 0);
	sim_destroy(s);
	image_fini(&t.im);
	make_fixed(&t, 193, 25, 0, false);
	assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
	run.input = (struct engine_input){1, image, 2};
	image[0] = 0.5f;
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
	image[0] = -1.0f;
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_INPUT);
	assert_int_equal(d.error_count, 4);
	sim_destroy(s);
	image_fini(&t.im);
	diag_fini(&d);
}

static spk_status refuse_value(void *ctx, uint32_t image, const struct sim_value *v,
                               const void *data)
{
	(void)ctx, (void)image, (void)v, (void)data;
	return SPK_ERR_IO;
}

static bool cancel(void *ctx)
{
	return ++*(int *)ctx == 2;
}

static void test_recorder_and_cancel(void **state)
{
	struct tiny t;
	struct diag_list d;
	struct sim *s;
	struct sim_recorder rec = {NULL, refuse_value};
	int polled = 0;
	struct sim_run run = {.input = {3, conv_images, 9}, .recorder = &rec};
	(void)state;

	diag_init(&d);
	make_conv(&t, true, false);
	assert_int_equal(sim_create(&t.im, &d, &s), SPK_OK);
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_IO);
	run.recorder = NULL;
	run.cancelled = cancel;
	run.progress_ctx = &polled;
	assert_int_equal(sim_run(s, &run, &d), SPK_ERR_CANCELLED);
	assert_int_equal(polled, 2);
	sim_destroy(s);
	image_fini(&t.im);
	diag_fini(&d);
}

static void test_out_of_memory(void **state)
{
	struct tiny t;
	(void)state;

	if (!spk_fault_available())
		skip();
	make_conv(&t, true, false);
	for (uint64_t n = 1;; n++) {
		struct tape *tape = calloc(1, sizeof *tape);
		struct sim_recorder rec = {tape, keep_value};
		struct sim_run run = {.input = {3, conv_images, 9}, .recorder = &rec};
		struct sim *s = NULL;

		spk_fault_arm(SPK_FAULT_ALLOC, n);
		spk_status status = sim_create(&t.im, NULL, &s);
		if (status == SPK_OK)
			status = sim_run(s, &run, NULL);
		bool hit = spk_fault_disarm(SPK_FAULT_ALLOC);
		sim_destroy(s);
		free(tape);
		if (!hit) {
			assert_int_equal(status, SPK_OK);
			assert_true(n > 20);
			break;
		}
		assert_int_equal(status, SPK_ERR_NOMEM);
	}
	image_fini(&t.im);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conv_blocks), cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_fixed_leak), cmocka_unit_test(test_enable_and_delay),
		cmocka_unit_test(test_outside_windows), cmocka_unit_test(test_wraps),
		cmocka_unit_test(test_product_and_sum), cmocka_unit_test(test_embedded),
		cmocka_unit_test(test_sums), cmocka_unit_test(test_threads),
		cmocka_unit_test(test_locate), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_bad_input), cmocka_unit_test(test_recorder_and_cancel),
		cmocka_unit_test(test_out_of_memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
