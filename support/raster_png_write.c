/* Writing PNG through libpng: 8 bits, grey or RGB, no time stamp, so the same pixels give the same
 * bytes with the same libpng and zlib. Errors come as a jump to where encoding began. */
#include <png.h>
#include <setjmp.h>

#include "support/alloc.h"
#include "support/raster.h"
#include "support/strbuf.h"

struct png_write_job {
    const struct raster *raster;
    struct strbuf *out;
    png_structp png;
    png_infop info;
};

static void on_write_error(png_structp png, png_const_charp message)
{
    (void)message; /* memory is all that can fail */
    png_longjmp(png, 1);
}

static void on_write_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp take_write_memory(png_structp png, png_alloc_size_t size)
{
    (void)png;
    return spk_alloc(size);
}

static void give_write_memory(png_structp png, png_voidp memory)
{
    (void)png;
    spk_free(memory);
}

static void write_bytes(png_structp png, png_bytep data, size_t n)
{
    struct png_write_job *job = png_get_io_ptr(png);
    strbuf_append_n(job->out, (const char *)data, n);
    if (job->out->status != SPK_OK)
        png_error(png, "out of memory");
}

static void flush(png_structp png)
{
    (void)png;
}

/* Everything that may jump. */
static void encode(struct png_write_job *job)
{
    const struct raster *r = job->raster;
    const size_t row = (size_t)r->width * r->channels;
    png_set_write_fn(job->png, job, write_bytes, flush);
    png_set_IHDR(job->png, job->info, r->width, r->height, 8,
                 r->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(job->png, job->info);
    for (uint32_t y = 0; y < r->height; y++)
        png_write_row(job->png, r->pixel + y * row);
    png_write_end(job->png, NULL);
}

/* false when encoding jumped back. */
static bool guarded(struct png_write_job *job)
{
    if (setjmp(png_jmpbuf(job->png)))
        return false;
    encode(job);
    return true;
}

spk_status raster_encode_png(const struct raster *raster, struct strbuf *out)
{
    struct png_write_job job = {.raster = raster, .out = out};
    bool good = false;
    job.png =
        png_create_write_struct_2(PNG_LIBPNG_VER_STRING, NULL, on_write_error, on_write_warning,
                                  NULL, take_write_memory, give_write_memory);
    if (!job.png)
        return SPK_ERR_NOMEM;
    job.info = png_create_info_struct(job.png);
    if (job.info)
        good = guarded(&job);
    png_destroy_write_struct(&job.png, &job.info);
    return good ? SPK_OK : SPK_ERR_NOMEM;
}
