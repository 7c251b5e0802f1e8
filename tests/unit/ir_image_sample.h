/* A chip image of two cores that uses every table, for the tests of image.h5. */
#ifndef SPIKEC_TESTS_IR_IMAGE_SAMPLE_H
#define SPIKEC_TESTS_IR_IMAGE_SAMPLE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ir/image.h"
#include "ir/target.h"
#include "support/alloc.h"

#define N_PRICES (TGT_ENERGY_COUNT + TGT_TIME_COUNT)

/* Sets a table of the image to a copy of these rows. */
#define SET(im, table, ...)                                                               \
    do {                                                                                  \
        const void *rows_ = (__VA_ARGS__);                                                \
        size_t n_ = sizeof(__VA_ARGS__) / sizeof *(im)->table;                            \
        assert_int_equal(spk_alloc_array(n_, sizeof *(im)->table, &(im)->table), SPK_OK); \
        memcpy((im)->table, rows_, n_ * sizeof *(im)->table);                             \
        (im)->n_##table = n_;                                                             \
    } while (0)

SPK_UNUSED static uint32_t text(struct image *im, const char *t)
{
    uint32_t id;
    assert_int_equal(image_string(im, t, &id), SPK_OK);
    return id;
}

/* Padding bytes are no content; a file brings them back as zero. */
SPK_UNUSED static void clear_padding(struct image *im)
{
#define CLEAR(row, from, to)                              \
    memset((char *)(row) + offsetof_end(*(row), from), 0, \
           (size_t)((char *)&(row)->to - (char *)(row)) - offsetof_end(*(row), from))
#define offsetof_end(row, member) \
    ((size_t)((char *)&(row).member - (char *)&(row)) + sizeof((row).member))
#define CLEAR_TAIL(row, from) \
    memset((char *)(row) + offsetof_end(*(row), from), 0, sizeof *(row)-offsetof_end(*(row), from))
    for (uint64_t i = 0; i < im->n_contents; i++)
        CLEAR(&im->contents[i], pad, n_rows);
    for (uint64_t i = 0; i < im->n_rows; i++)
        CLEAR_TAIL(&im->rows[i], n_runs);
    for (uint64_t i = 0; i < im->n_out_axons; i++)
        CLEAR_TAIL(&im->out_axons[i], kind);
    CLEAR_TAIL(&im->meta, provenance);
}

/* Two cores: layer 0 (2 channels, 2x2, currents from the host) on core 0, layer 1 (3 channels, 4
 * tokens) on core 1, reached through a list and a conv block, read by an embedded attention task
 * (layer 2) and by the host. */
SPK_UNUSED static void sample(struct image *im)
{
    image_init(im);
    im->meta = (struct img_meta){.schema = IMG_SCHEMA,
                                 .timesteps = 4,
                                 .ticks = 1,
                                 .interval = 27,
                                 .latency = 9,
                                 .state_bits = 24,
                                 .chips_x = 1,
                                 .chips_y = 1,
                                 .cores_x = 8,
                                 .cores_y = 4,
                                 .tile_w = 2,
                                 .tile_h = 1,
                                 .threshold_shift = 6,
                                 .seed = 0x0123456789abcdefu};
    im->meta.target_name = text(im, "loihi1");
    im->meta.system_name = text(im, "one chip");
    im->meta.provenance = text(im, "{\"seed\": 1, \"\xc3\xa4\": true}");
    uint32_t a = text(im, "stem_lif"), b = text(im, "y_lif"), c = text(im, "attn");
    im->encoder = (struct img_encoder){.present = 1,
                                       .in_channels = 1,
                                       .in_height = 4,
                                       .in_width = 4,
                                       .out_channels = 2,
                                       .kernel_h = 2,
                                       .kernel_w = 2,
                                       .stride_h = 2,
                                       .stride_w = 2,
                                       .x_shift = 8,
                                       .out_shift = 3,
                                       .m_exp = 2,
                                       .m_max = 4095,
                                       .n_norm = 1,
                                       .mean = {0.5f},
                                       .std = {0.25f}};
    im->head = (struct img_head){2, 3, 16};
    SET(im, cores,
        (struct img_core[]){{0, 3, 1, 8, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0},
                            {0, 7, 3, 12, 1, 1, 1, 2, 0, 2, 1, 2, 0, 2}});
    SET(im, groups,
        (struct img_group[]){{0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 0, 0, IMG_NONE, 1, IMG_NONE},
                             {1, 1, 0, 0, 0, 0, 1, 4, 3, 4, 3, 0, 2, 1, 0, 0}});
    SET(im, configs,
        (struct img_config[]){{641, 2048, IMG_PROG_FIXED, 0, 0, 0},
                              {65, 2048, IMG_PROG_PROG, 0, 300, 0},
                              {129, 4096, IMG_PROG_PROG, 1, 0, 0}});
    SET(im, channel_config, (uint16_t[]){0, 0, 0, 1, 1});
    SET(im, biases, (int32_t[]){7, -8, 9, INT32_MIN});
    SET(im, layers,
        (struct img_layer[]){{a, IMG_LAYER_NEURON, 2, 2, 2, 0, 1, 0, 1, 0, 0, 0, 0, IMG_NONE},
                             {b, IMG_LAYER_NEURON, 3, 1, 4, 1, 1, 1, 1, 0, 0, 2, 1, 1},
                             {c, IMG_LAYER_EMBEDDED, 3, 1, 4, 5, 1, 1, 1, 0, 0, 0, 0, IMG_NONE}});
    SET(im, orders, (uint32_t[]){9, 2, 0, 1});
    SET(im, blocks,
        (struct img_block[]){{1, 0, IMG_BLOCK_LIST, 7, 8, 0, 0},
                             {1, 1, IMG_BLOCK_CONV, 6, 8, 4, 1}});
    SET(im, contents,
        (struct img_content[]){{IMG_BLOCK_LIST, 0, 0, 0, 0, 2, 0, 0, 0},
                               {IMG_BLOCK_CONV, 1, 1, 1, 0, 2, 3, 0, 3}});
    SET(im, rows, (struct img_row[]){{0, 1}, {1, 2}});
    SET(im, runs, (struct img_run[]){{0, 3, 0}, {2, 1, 1}, {5, 6, 3}});
    SET(im, weights, (int8_t[]){1, -2, 3, 127, -128, 0, 5, 6, 7});
    SET(im, in_axons,
        (struct img_in_axon[]){{0, 1, IMG_NONE, 0, 0, 2, IMG_AXON_POP16, 0, 0, 0},
                               {1, 3, 1, 2, 2, 2, IMG_AXON_POP32, 0, 5, 0}});
    SET(im, out_axons,
        (struct img_out_axon[]){{2, 2, 0, 0, 1, IMG_AXON_POP32},
                                {0, 3, 0, 1, 0, IMG_AXON_POP16},
                                {3, 3, 0, 2, 0, IMG_AXON_DISCRETE}});
    SET(im, routes,
        (struct img_route[]){{0, IMG_DEST_CORE, 0, 7, 3, 4, 2, 0, 0},
                             {1, IMG_DEST_EMBEDDED, 0, 0, 0, 1, 0, 0, 0},
                             {1, IMG_DEST_HOST, 0, 0, 0, 0, 0, 0, 0}});
    SET(im, injections,
        (struct img_injection[]){{IMG_INJECT_EMBEDDED, 2, 3, 1, 2, 5, 1, 0},
                                 {IMG_INJECT_ENABLE, 1, 0, 0, 0, 0, 1, 1}});
    SET(im, embedded, (struct img_embedded[]){{2, IMG_NONE, 0,    0,    3,  3, 4, 0, 3, 0, 1,
                                               0, 1024,     4096, 2048, 24, 1, 1, 1, 0, 2}});
    SET(im, embedded_ports, (struct img_embedded_port[]){{0, 0, 0, 3}, {2, 3, 0, 3}});
    SET(im, host_ports, (struct img_host_port[]){{1, 1, 0, 3}});
    SET(im, sums, (struct img_sum[]){{text(im, "block.out"), 1, 0, 2, 2}});
    SET(im, sum_terms, (uint32_t[]){1, 2});
    SET(im, enc_w, (int16_t[]){1, 2, 3, 4, -5, -6, 32767, -32768});
    SET(im, enc_b, (int32_t[]){100, -100});
    SET(im, head_w, (float[]){0.5f, -0.25f, 1e-20f, 3, 4, -0.0f});
    SET(im, head_b, (float[]){1, 2});
    double prices[N_PRICES];
    for (int i = 0; i < N_PRICES; i++)
        prices[i] = i % 3 ? 0.1 * i : (double)NAN;
    SET(im, prices, prices);
    clear_padding(im);
}

SPK_UNUSED static void path_of(char *out, size_t size, const char *tag)
{
    snprintf(out, size, "test_ir_image.%ld.%s.h5", (long)getpid(), tag);
}

SPK_UNUSED static void save(const struct image *im, const char *path)
{
    struct diag_list d;
    diag_init(&d);
    assert_int_equal(image_save(im, path, &d), SPK_OK);
    diag_fini(&d);
}

#endif
