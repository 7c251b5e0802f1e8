/* JPEG through libjpeg. Its errors come as a jump, as in raster_png.c. Warnings about bytes between
 * segments and the like are passed over; those that say that pixels are missing are errors. */
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>
#include <setjmp.h>

#include "support/raster.h"

struct jpeg_job {
    struct jpeg_error_mgr errors; /* first: the library hands this address back */
    jmp_buf back;
    struct jpeg_decompress_struct jpeg;
    char message[JMSG_LENGTH_MAX];
    const uint8_t *data;
    size_t size;
    struct raster *out;
    spk_status status;
};

static void on_error(j_common_ptr jpeg)
{
    struct jpeg_job *job = (struct jpeg_job *)(void *)jpeg->err;
    jpeg->err->format_message(jpeg, job->message);
    longjmp(job->back, 1);
}

static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        on_error(jpeg);
}

/* Everything that may jump. */
static void decode(struct jpeg_job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg_mem_src(jpeg, job->data, job->size);
    (void)jpeg_read_header(jpeg, TRUE);
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK) {
        job->status = SPK_ERR_INPUT;
        (void)spk_snprintf(job->message, sizeof job->message, "four colours (CMYK) are not read");
        return;
    }
    uint32_t channels = jpeg->jpeg_color_space == JCS_GRAYSCALE ? 1 : 3;
    jpeg->out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    job->status = raster_alloc(jpeg->image_width, jpeg->image_height, channels, job->out);
    if (job->status != SPK_OK) {
        (void)spk_snprintf(job->message, sizeof job->message, "the image is empty or too large");
        return;
    }
    (void)jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = job->out->pixel + (size_t)jpeg->output_scanline * job->out->width * channels;
        (void)jpeg_read_scanlines(jpeg, &row, 1);
    }
    (void)jpeg_finish_decompress(jpeg);
}

static void guarded(struct jpeg_job *job)
{
    if (setjmp(job->back)) {
        job->status = SPK_ERR_INPUT;
        return;
    }
    decode(job);
}

spk_status raster_jpeg(const uint8_t *data, size_t size, const char *name, struct diag_list *diags,
                       struct raster *out_raster)
{
    struct jpeg_job job = {.data = data, .size = size, .out = out_raster};
    *out_raster = (struct raster){0};
    job.jpeg.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = on_error;
    job.errors.emit_message = on_message;
    guarded(&job);
    jpeg_destroy_decompress(&job.jpeg);
    if (job.status == SPK_OK)
        return SPK_OK;
    raster_fini(out_raster);
    if (job.status != SPK_ERR_INPUT)
        return job.status;
    return diag_error(diags, diag_place(diags, "%s", name), "E0072", "JPEG: %s", job.message);
}
