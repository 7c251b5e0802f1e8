/* Builder for hand-made chip images of a few cores, for the tests of simulator and checker.
 *
 * Usage: tiny_init; layers; then core by core tiny_core, its configurations, groups, blocks and
 * in-axons; connections with tiny_out and tiny_inject at any time; tiny_finish sorts out-axons to
 * their cores and makes the routes. Any failure to allocate ends the test.                      */
#ifndef SPIKEC_TESTS_UNIT_TINY_IMAGE_H
#define SPIKEC_TESTS_UNIT_TINY_IMAGE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ir/image.h"
#include "ir/ir.h"
#include "ir/target.h"
#include "support/alloc.h"

struct tiny_out {
    uint32_t src, comp_first, comp_count, dest, target, axon, kind;
};
struct tiny {
    struct image im;
    struct tiny_out out[256];
    uint32_t n_out;
};

#define TINY_PUSH(t, table, ...)                                                               \
    do {                                                                                       \
        if (spk_realloc_array((t)->im.n_##table + 1, sizeof *(t)->im.table, &(t)->im.table) != \
            SPK_OK)                                                                            \
            abort();                                                                           \
        (t)->im.table[(t)->im.n_##table++] = (__VA_ARGS__);                                    \
    } while (0)
#define TINY_CORE(t) (&(t)->im.cores[(t)->im.n_cores - 1])

SPK_UNUSED static uint32_t tiny_string(struct tiny *t, const char *text)
{
    uint32_t id;

    if (image_string(&t->im, text, &id) != SPK_OK)
        abort();
    return id;
}

SPK_UNUSED static void tiny_init(struct tiny *t, uint32_t timesteps, uint32_t interval,
                                 uint32_t latency, uint32_t payload_bits)
{
    memset(t, 0, sizeof *t);
    image_init(&t->im);
    t->im.meta = (struct img_meta){.schema = IMG_SCHEMA,
                                   .timesteps = timesteps,
                                   .ticks = 1,
                                   .interval = interval,
                                   .latency = latency,
                                   .state_bits = 24,
                                   .payload_bits = payload_bits,
                                   .chips_x = 1,
                                   .chips_y = 1,
                                   .cores_x = 4,
                                   .cores_y = 4,
                                   .tile_w = 2,
                                   .tile_h = 2};
    t->im.meta.target_name = tiny_string(t, "toy");
    t->im.meta.system_name = tiny_string(t, "toy-1");
    t->im.meta.provenance = tiny_string(t, "{}");
    for (int i = 0; i < TGT_ENERGY_COUNT + TGT_TIME_COUNT; i++)
        TINY_PUSH(t, prices, (double)NAN);
}

SPK_UNUSED static uint32_t tiny_layer(struct tiny *t, const char *name, enum img_layer_kind kind,
                                      uint32_t c, uint32_t h, uint32_t w, uint32_t start,
                                      bool recorded)
{
    TINY_PUSH(t, layers,
              (struct img_layer){.name = tiny_string(t, name),
                                 .kind = (uint32_t)kind,
                                 .channels = c,
                                 .height = h,
                                 .width = w,
                                 .start = start,
                                 .recorded = recorded,
                                 .layout = IR_CHW,
                                 .payload_bound = 1,
                                 .order = IMG_NONE});
    return (uint32_t)t->im.n_layers - 1;
}

SPK_UNUSED static uint32_t tiny_core(struct tiny *t, uint32_t x, uint32_t y, uint32_t neurons)
{
    TINY_PUSH(t, cores,
              (struct img_core){.x = x,
                                .y = y,
                                .neurons = neurons,
                                .group_first = (uint32_t)t->im.n_groups,
                                .config_first = (uint32_t)t->im.n_configs,
                                .in_axon_first = (uint32_t)t->im.n_in_axons,
                                .block_first = (uint32_t)t->im.n_blocks});
    return (uint32_t)t->im.n_cores - 1;
}

SPK_UNUSED static uint16_t tiny_config(struct tiny *t, int32_t vth, uint16_t decay,
                                       enum img_program program)
{
    TINY_PUSH(t, configs,
              (struct img_config){.vth = vth, .decay = decay, .program = (uint8_t)program});
    return (uint16_t)TINY_CORE(t)->n_configs++;
}

/* All channels have configuration `config`; bias: [nc] or NULL. Returns the group's index. */
SPK_UNUSED static uint32_t tiny_group(struct tiny *t, uint32_t layer, uint32_t comp_first,
                                      uint32_t y0, uint32_t x0, uint32_t c0, uint32_t ny,
                                      uint32_t nx, uint32_t nc, uint16_t config,
                                      const int32_t *bias)
{
    struct img_group g = {.core = (uint32_t)t->im.n_cores - 1,
                          .layer = layer,
                          .comp_first = comp_first,
                          .y0 = y0,
                          .x0 = x0,
                          .c0 = c0,
                          .ny = ny,
                          .nx = nx,
                          .nc = nc,
                          .pitch = nx,
                          .slice = nc,
                          .teach_first = IMG_NONE,
                          .channel_config = (uint32_t)t->im.n_channel_config,
                          .channel_bias = bias ? (uint32_t)t->im.n_biases : IMG_NONE};

    for (uint32_t c = 0; c < nc; c++) {
        TINY_PUSH(t, channel_config, config);
        if (bias)
            TINY_PUSH(t, biases, bias[c]);
    }
    TINY_PUSH(t, groups, g);
    TINY_CORE(t)->n_groups++;
    return (uint32_t)t->im.n_groups - 1;
}

/* A list content of n_rows rows with one run each: targets start .. start + n - 1. */
SPK_UNUSED static uint32_t tiny_list(struct tiny *t, uint32_t n_rows, uint32_t start, uint32_t n,
                                     const int8_t *weights)
{
    struct img_content c = {.kind = IMG_BLOCK_LIST, .n_rows = n_rows, .row_first = t->im.n_rows};

    for (uint32_t r = 0; r < n_rows; r++) {
        TINY_PUSH(t, rows, (struct img_row){t->im.n_runs, 1});
        TINY_PUSH(t, runs, (struct img_run){start, n, t->im.n_weights});
        for (uint32_t i = 0; i < n; i++)
            TINY_PUSH(t, weights, weights[r * n + i]);
    }
    TINY_PUSH(t, contents, c);
    return (uint32_t)t->im.n_contents - 1;
}

/* A convolution content; weights [rows][k][k][nc]. */
SPK_UNUSED static uint32_t tiny_conv(struct tiny *t, uint32_t n_rows, uint8_t k, uint8_t stride,
                                     uint8_t pad, uint32_t nc, const int8_t *weights)
{
    struct img_content c = {.kind = IMG_BLOCK_CONV,
                            .kernel_h = k,
                            .kernel_w = k,
                            .stride = stride,
                            .pad = pad,
                            .n_rows = n_rows,
                            .nc = nc,
                            .weight_first = t->im.n_weights};

    for (uint32_t i = 0; i < n_rows * k * k * nc; i++)
        TINY_PUSH(t, weights, weights[i]);
    TINY_PUSH(t, contents, c);
    return (uint32_t)t->im.n_contents - 1;
}

SPK_UNUSED static uint32_t tiny_block(struct tiny *t, uint32_t content, uint8_t shift,
                                      uint8_t delay_bits)
{
    TINY_PUSH(t, blocks,
              (struct img_block){.core = (uint32_t)t->im.n_cores - 1,
                                 .content = content,
                                 .kind = t->im.contents[content].kind,
                                 .shift = shift,
                                 .weight_bits = 8,
                                 .delay_bits = delay_bits,
                                 .format = TINY_CORE(t)->n_blocks});
    TINY_CORE(t)->n_blocks++;
    return (uint32_t)t->im.n_blocks - 1;
}

/* A list in-axon of the newest core; returns its core-local index. */
SPK_UNUSED static uint32_t tiny_axon(struct tiny *t, uint32_t block, uint32_t base, uint16_t atoms,
                                     enum img_axon_kind kind, uint8_t port, uint32_t delay)
{
    TINY_PUSH(t, in_axons,
              (struct img_in_axon){.block = block,
                                   .base = base,
                                   .group = IMG_NONE,
                                   .atoms = atoms,
                                   .kind = (uint8_t)kind,
                                   .port = port,
                                   .delay = delay});
    return TINY_CORE(t)->n_in_axons++;
}

SPK_UNUSED static uint32_t tiny_conv_axon(struct tiny *t, uint32_t block, uint32_t position,
                                          uint32_t group, uint16_t src_w, uint16_t src_h,
                                          uint16_t atoms, enum img_axon_kind kind)
{
    TINY_PUSH(t, in_axons,
              (struct img_in_axon){.block = block,
                                   .base = position,
                                   .group = group,
                                   .src_width = src_w,
                                   .src_height = src_h,
                                   .atoms = atoms,
                                   .kind = (uint8_t)kind});
    return TINY_CORE(t)->n_in_axons++;
}

/* Compartments of core `src` to in-axon, port of a task or host port `axon`. */
SPK_UNUSED static void tiny_out(struct tiny *t, uint32_t src, uint32_t comp_first,
                                uint32_t comp_count, enum img_dest dest, uint32_t target,
                                uint32_t axon, enum img_axon_kind kind)
{
    if (t->n_out == sizeof t->out / sizeof *t->out)
        abort();
    t->out[t->n_out++] = (struct tiny_out){src,    comp_first, comp_count,    (uint32_t)dest,
                                           target, axon,       (uint32_t)kind};
}

SPK_UNUSED static void tiny_inject(struct tiny *t, enum img_injection_kind kind, uint32_t layer,
                                   uint32_t position, uint32_t c0, uint32_t n, uint32_t start,
                                   uint32_t core, uint32_t axon)
{
    TINY_PUSH(t, injections,
              (struct img_injection){.kind = (uint32_t)kind,
                                     .layer = layer,
                                     .position = position,
                                     .channel_first = c0,
                                     .n_channels = n,
                                     .start = start,
                                     .core = core,
                                     .axon = axon});
}

SPK_UNUSED static uint32_t tiny_distance(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

SPK_UNUSED static void tiny_finish(struct tiny *t)
{
    const struct img_meta *m = &t->im.meta;

    for (uint32_t c = 0; c < t->im.n_cores; c++) {
        t->im.cores[c].out_axon_first = (uint32_t)t->im.n_out_axons;
        for (uint32_t i = 0; i < t->n_out; i++) {
            const struct tiny_out *o = &t->out[i];
            struct img_route r = {.src_core = c, .dest = o->dest};

            if (o->src != c)
                continue;
            if (o->dest == IMG_DEST_CORE) {
                const struct img_core *a = &t->im.cores[c], *b = &t->im.cores[o->target];
                r.chip = b->chip;
                r.x = b->x;
                r.y = b->y;
                r.hops_x = tiny_distance(a->x / m->tile_w, b->x / m->tile_w);
                r.hops_y = tiny_distance(a->y / m->tile_h, b->y / m->tile_h);
                r.within_tile = r.hops_x + r.hops_y == 0;
            } else if (o->dest == IMG_DEST_EMBEDDED) {
                r.x = o->target;
            }
            TINY_PUSH(t, routes, r);
            TINY_PUSH(t, out_axons,
                      (struct img_out_axon){o->comp_first, o->comp_count, 0,
                                            (uint32_t)t->im.n_routes - 1, o->axon,
                                            (uint8_t)o->kind});
            t->im.cores[c].n_out_axons++;
        }
    }
}

/* A head that adds up every channel of `channels` into one class. */
SPK_UNUSED static void tiny_head(struct tiny *t, uint32_t channels, uint32_t divisor)
{
    t->im.head = (struct img_head){1, channels, divisor};
    for (uint32_t c = 0; c < channels; c++)
        TINY_PUSH(t, head_w, 1.0f);
    TINY_PUSH(t, head_b, 0.0f);
}

#endif
