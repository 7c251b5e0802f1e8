/* Rasters: telling formats apart, PPM and PGM, grey and colour. */
#include "support/raster.h"

#include <string.h>

#include "support/alloc.h"

void raster_fini(struct raster *raster)
{
    spk_free(raster->pixel);
    *raster = (struct raster){0};
}

spk_status raster_alloc(uint32_t width, uint32_t height, uint32_t channels,
                        struct raster *out_raster)
{
    *out_raster = (struct raster){0};
    if (width == 0 || height == 0 || width > RASTER_MAX_SIDE || height > RASTER_MAX_SIDE ||
        (uint64_t)width * height > RASTER_MAX_PIXELS)
        return SPK_ERR_INPUT;
    SPK_TRY(spk_alloc_array_raw((size_t)width * height, channels, &out_raster->pixel));
    out_raster->width = width;
    out_raster->height = height;
    out_raster->channels = channels;
    return SPK_OK;
}

/* ---- PPM and PGM ---- */

struct pnm {
    const uint8_t *data;
    size_t size, at;
};

static spk_status bad(struct diag_list *diags, const char *name, const char *why)
{
    return diag_error(diags, diag_place(diags, "%s", name), "E0070", "%s", why);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next decimal number, behind blanks and comments; false when there is none. */
static bool next_number(struct pnm *p, uint32_t *out_number)
{
    uint32_t n = 0;
    size_t begin;
    while (p->at < p->size && (is_blank(p->data[p->at]) || p->data[p->at] == '#')) {
        if (p->data[p->at] == '#')
            while (p->at < p->size && p->data[p->at] != '\n')
                p->at++;
        else
            p->at++;
    }
    for (begin = p->at; p->at < p->size && p->at - begin < 6; p->at++) {
        if (p->data[p->at] < '0' || p->data[p->at] > '9')
            break;
        n = n * 10 + (uint32_t)(p->data[p->at] - '0');
    }
    *out_number = n;
    return p->at > begin;
}

static spk_status decode_pnm(const uint8_t *data, size_t size, const char *name,
                             struct diag_list *diags, struct raster *out_raster)
{
    struct pnm p = {data, size, 2};
    uint32_t width, height, maximum, channels = data[1] == '6' ? 3 : 1;
    if (!next_number(&p, &width) || !next_number(&p, &height) || !next_number(&p, &maximum) ||
        p.at >= size || !is_blank(data[p.at]))
        return bad(diags, name, "damaged header of a PPM file");
    p.at++;
    if (maximum != 255)
        return bad(diags, name, "only PPM files of bytes (maximum 255) are read");
    if ((uint64_t)width * height * channels > size - p.at)
        return bad(diags, name, "the PPM file is cut off");
    spk_status status = raster_alloc(width, height, channels, out_raster);
    if (status == SPK_ERR_INPUT)
        return bad(diags, name, "the image is empty or too large");
    SPK_TRY(status);
    memcpy(out_raster->pixel, data + p.at, (size_t)width * height * channels);
    return SPK_OK;
}

/* ---- any format ---- */

static bool begins(const uint8_t *data, size_t size, const char *magic, size_t n)
{
    return size >= n && memcmp(data, magic, n) == 0;
}

static bool is_pnm(const uint8_t *data, size_t size)
{
    return size >= 8 && data[0] == 'P' && (data[1] == '5' || data[1] == '6') && is_blank(data[2]);
}

static bool is_png(const uint8_t *data, size_t size)
{
    return begins(data, size, "\x89PNG\r\n\x1a\n", 8);
}

static bool is_jpeg(const uint8_t *data, size_t size)
{
    return begins(data, size, "\xff\xd8\xff", 3);
}

bool raster_is_image(const uint8_t *data, size_t size)
{
    return is_png(data, size) || is_jpeg(data, size) || is_pnm(data, size);
}

/* From one number of channels to the other, in a new raster. */
static spk_status convert(struct raster *raster, uint32_t channels)
{
    struct raster other;
    size_t n = (size_t)raster->width * raster->height;
    SPK_TRY(raster_alloc(raster->width, raster->height, channels, &other));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *in = raster->pixel + i * raster->channels;
        uint8_t *out = other.pixel + i * channels;
        if (channels == 1)
            *out = (uint8_t)((in[0] * 19595u + in[1] * 38470u + in[2] * 7471u + 0x8000u) >> 16);
        else
            out[0] = out[1] = out[2] = *in;
    }
    raster_fini(raster);
    *raster = other;
    return SPK_OK;
}

spk_status raster_decode(const uint8_t *data, size_t size, const char *name, uint32_t channels,
                         struct diag_list *diags, struct raster *out_raster)
{
    spk_status status;
    *out_raster = (struct raster){0};
    if (is_png(data, size))
        status = raster_png(data, size, name, diags, out_raster);
    else if (is_jpeg(data, size))
        status = raster_jpeg(data, size, name, diags, out_raster);
    else if (is_pnm(data, size))
        status = decode_pnm(data, size, name, diags, out_raster);
    else
        return bad(diags, name, "not an image: neither PNG nor JPEG, PPM or PGM");
    if (status == SPK_OK && out_raster->channels != channels)
        status = convert(out_raster, channels);
    if (status != SPK_OK)
        raster_fini(out_raster);
    return status;
}
