/* What the tests of the simulator share: a tape of all values, and two hand-made networks. */
#ifndef SPIKEC_TESTS_UNIT_TINY_SIM_H
#define SPIKEC_TESTS_UNIT_TINY_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/sim.h"
#include "support/diag.h"
#include "tests/unit/tiny_image.h"

/* Everything a run hands over, concatenated. */
struct tape {
    uint8_t data[1 << 16];
    size_t n;
    char names[1024];
};

SPK_UNUSED static spk_status keep_value(void *ctx, uint32_t image, const struct sim_value *v,
                                        const void *data)
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
    struct sim_events core0;
};

SPK_UNUSED static void simulate(const struct image *im, const float *input, uint32_t n_images,
                                uint64_t stride, struct pool *pool, struct result *out)
{
    struct diag_list d;
    struct sim *s = NULL;
    struct strbuf text = {0};
    memset(out, 0, sizeof *out);
    struct sim_recorder rec = {&out->tape, keep_value};
    struct sim_run run = {.input = {n_images, input, stride},
                          .features = out->features,
                          .logits = out->logits,
                          .recorder = &rec,
                          .pool = pool};

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
SPK_UNUSED static void make_conv(struct tiny *t, bool conv_block, bool split)
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
    t->im.encoder = (struct img_encoder){.present = 1,
                                         .layer = a,
                                         .in_channels = 1,
                                         .in_height = 3,
                                         .in_width = 3,
                                         .out_channels = 1,
                                         .kernel_h = 1,
                                         .kernel_w = 1,
                                         .stride_h = 1,
                                         .stride_w = 1,
                                         .m_exp = 2,
                                         .m_max = 4095};
    TINY_PUSH(t, enc_w, (int16_t)1);
    TINY_PUSH(t, enc_b, 0);
    tiny_head(t, 2, 18);
    for (uint32_t part = 0; part < (split ? 3u : 1u); part++) {
        uint32_t y0 = part, ny = split ? 1 : 3, n = ny * 6, group;

        b_core = tiny_core(t, 1 + part, 1, n);
        group = tiny_group(t, b, 0, y0, 0, 0, ny, 3, 2, tiny_config(t, 3 << 3, 2048, IMG_PROG_PROG),
                           NULL);
        if (conv_block) {
            uint32_t block = tiny_block(t, tiny_conv(t, 1, 3, 1, 1, 2, kernel), 3, 0);
            for (uint32_t p = 0; p < 9; p++)
                axons[p] = tiny_conv_axon(t, block, p, group, 3, 3, 1, IMG_AXON_POP16);
        } else {
            for (uint32_t p = 0; p < 9; p++) {
                struct img_content c = {
                    .kind = IMG_BLOCK_LIST, .n_rows = 1, .row_first = t->im.n_rows};
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

SPK_UNUSED static const float conv_images[27] = {1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
                                                 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

/* ---- hard-wired neurons: leak between images, enables, delays, spikes outside windows ---- */

/* One event channel drives `n` (vth, decay 2048, weight 1 << 6) through an in-axon with `delay`. */
SPK_UNUSED static void make_fixed(struct tiny *t, int32_t vth, uint32_t interval, uint32_t delay,
                                  bool enable)
{
    const int8_t one[1] = {1};
    uint32_t in, n, core, axon;

    tiny_init(t, 2, interval, 3 + delay, 0);
    in = tiny_layer(t, "in", IMG_LAYER_INPUT, 1, 1, 1, 0, false);
    n = tiny_layer(t, "n", IMG_LAYER_NEURON, 1, 1, 1, 1 + delay, true);
    core = tiny_core(t, 0, 0, 1);
    tiny_group(t, n, 0, 0, 0, 0, 1, 1, 1, tiny_config(t, vth, 2048, IMG_PROG_FIXED), NULL);
    axon = tiny_axon(t, tiny_block(t, tiny_list(t, 1, 0, 1, one), 6, 3), 0, 1, IMG_AXON_DISCRETE, 0,
                     delay);
    tiny_inject(t, IMG_INJECT_EVENTS, in, 0, 0, 1, 0, core, axon);
    if (enable) {
        axon = tiny_axon(t, tiny_block(t, tiny_list(t, 1, 0, 1, one), 7, 0), 0, 1,
                         IMG_AXON_DISCRETE, 0, 0);
        tiny_inject(t, IMG_INJECT_ENABLE, n, 0, 0, 1, delay, core, axon);
    }
    tiny_finish(t);
}

#endif
