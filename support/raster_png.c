/* PNG through libpng. Its errors come as a jump to the place where decoding began; everything that
 * must survive the jump lies in the job. Its memory comes from our allocator. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "support/alloc.h"
#include "support/raster.h"
#include "support/strbuf.h"

struct png_job {
    const uint8_t *data;
    size_t size, at;
    bool no_memory;
    char message[96];
    struct raster *out;
    png_bytep *row;
    png_structp png;
    png_infop info;
};

static void on_error(png_structp png, png_const_charp message)
{
    struct png_job *job = png_get_error_ptr(png);
    (void)spk_snprintf(job->message, sizeof job->message, "%s", message);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp take_memory(png_structp png, png_alloc_size_t size)
{
    struct png_job *job = png_get_mem_ptr(png);
    void *memory = spk_alloc(size);
    job->no_memory |= memory == NULL;
    return memory;
}

static void give_memory(png_structp png, png_voidp memory)
{
    (void)png;
    spk_free(memory);
}

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    struct png_job *job = png_get_io_ptr(png);
    if (n > job->size - job->at)
        png_error(png, "the file is cut off");
    memcpy(out, job->data + job->at, n);
    job->at += n;
}

/* Everything that may jump. */
static void decode(struct png_job *job)
{
    png_set_read_fn(job->png, job, read_bytes);
    png_set_user_limits(job->png, RASTER_MAX_SIDE, RASTER_MAX_SIDE);
    png_set_chunk_malloc_max(job->png, 8u << 20);
    png_read_info(job->png, job->info);
    png_set_strip_16(job->png);
    png_set_expand(job->png); /* palettes, small depths, transparent colours */
    png_set_strip_alpha(job->png);
    (void)png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->info);
    uint32_t width = png_get_image_width(job->png, job->info);
    uint32_t height = png_get_image_height(job->png, job->info);
    uint32_t channels = png_get_channels(job->png, job->info);
    if (channels != 1 && channels != 3)
        png_error(job->png, "an unknown kind of pixels");
    spk_status status = raster_alloc(width, height, channels, job->out);
    if (status == SPK_OK)
        status = spk_alloc_array(height, sizeof *job->row, &job->row);
    job->no_memory |= status == SPK_ERR_NOMEM;
    if (status != SPK_OK)
        png_error(job->png, "the image is empty or too large");
    for (uint32_t y = 0; y < height; y++)
        job->row[y] = job->out->pixel + (size_t)y * width * channels;
    png_read_image(job->png, job->row);
    png_read_end(job->png, NULL);
}

/* false when decoding jumped back. */
static bool guarded(struct png_job *job)
{
    if (setjmp(png_jmpbuf(job->png)))
        return false;
    decode(job);
    return true;
}

spk_status raster_png(const uint8_t *data, size_t size, const char *name, struct diag_list *diags,
                      struct raster *out_raster)
{
    struct png_job job = {.data = data, .size = size, .out = out_raster};
    bool good = false;
    *out_raster = (struct raster){0};
    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                       take_memory, give_memory);
    if (!job.png)
        return SPK_ERR_NOMEM;
    job.info = png_create_info_struct(job.png);
    if (job.info)
        good = guarded(&job);
    png_destroy_read_struct(&job.png, &job.info, NULL);
    spk_free(job.row);
    if (good)
        return SPK_OK;
    raster_fini(out_raster);
    if (job.no_memory)
        return SPK_ERR_NOMEM;
    return diag_error(diags, diag_place(diags, "%s", name), "E0071", "PNG: %s", job.message);
}
