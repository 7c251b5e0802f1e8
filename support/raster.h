/* Images of bytes: decoding of PNG, JPEG, PPM and PGM, and resampling.
 *
 * Decoding gives what PIL's Image.open(f).convert("RGB") or ("L") gives: alpha is dropped, palettes
 * and small bit depths are expanded, 16 bits become 8, colour profiles and orientation are left
 * alone, L = (19595 R + 38470 G + 7471 B + 32768) / 65536. Errors are diagnostics with the file's
 * name. */
#ifndef SPIKEC_SUPPORT_RASTER_H
#define SPIKEC_SUPPORT_RASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/status.h"

struct strbuf;

#define RASTER_MAX_SIDE 32768u
#define RASTER_MAX_PIXELS ((uint64_t)1 << 27)

struct raster {
    uint32_t width, height, channels; /* 1 or 3 */
    uint8_t *pixel;                   /* [height][width][channels], owned */
};
/* A zero-initialised raster is allowed. */
void raster_fini(struct raster *raster);
/* Uninitialised pixels; SPK_ERR_INPUT without a word where a side or the whole is too large. */
SPK_CHECKED spk_status raster_alloc(uint32_t width, uint32_t height, uint32_t channels,
                                    struct raster *out_raster);

/* Whether bytes begin as one of the formats. */
bool raster_is_image(const uint8_t *data, size_t size);
/* channels: 1 or 3, what is wanted. */
SPK_CHECKED spk_status raster_decode(const uint8_t *data, size_t size, const char *name,
                                     uint32_t channels, struct diag_list *diags,
                                     struct raster *out_raster);

enum raster_filter { RASTER_BICUBIC, RASTER_BILINEAR };
/* Resampling with a support that grows when shrinking (antialiased), first along rows, then along
 * columns, in fixed point with 22 bits, each pass rounded to bytes: the method of PIL's
 * Image.resize, bit for bit. Bicubic has a = -1/2. Sides of 0 are an internal error, too large ones
 * as of raster_alloc. */
SPK_CHECKED spk_status raster_resize(const struct raster *in, uint32_t width, uint32_t height,
                                     enum raster_filter filter, struct raster *out_raster);

/* The raster as a PNG file, appended to `out`; SPK_ERR_NOMEM is all that can go wrong. */
SPK_CHECKED spk_status raster_encode_png(const struct raster *raster, struct strbuf *out);

/* The decoders of single formats, used by raster_decode: 1 or 3 channels, as the file has them. */
SPK_CHECKED spk_status raster_png(const uint8_t *data, size_t size, const char *name,
                                  struct diag_list *diags, struct raster *out_raster);
SPK_CHECKED spk_status raster_jpeg(const uint8_t *data, size_t size, const char *name,
                                   struct diag_list *diags, struct raster *out_raster);

#endif
