/* Pictures and event recordings from arbitrary bytes, decoded and resized. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "support/alloc.h"
#include "support/events.h"
#include "support/raster.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_picture(const uint8_t *data, size_t size, uint32_t channels)
{
    struct diag_list diags;
    struct raster picture, other;
    diag_init(&diags);
    spk_status status = raster_decode(data, size, "fuzz", channels, &diags, &picture);
    if (status != SPK_OK && (status != SPK_ERR_INPUT || diags.error_count == 0 || picture.pixel))
        abort();
    if (status == SPK_OK && (uint64_t)picture.width * picture.height < 1u << 16) {
        if (picture.channels != channels)
            abort();
        if (raster_resize(&picture, 9, 7, RASTER_BICUBIC, &other) != SPK_OK)
            abort();
        raster_fini(&other);
    }
    raster_fini(&picture);
    diag_fini(&diags);
}

static void read_events(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct event_list list;
    diag_init(&diags);
    spk_status status = events_read(data, size, "fuzz", EVENTS_DVS128, &diags, &list);
    if (status != SPK_OK && (status != SPK_ERR_INPUT || diags.error_count == 0))
        abort();
    for (size_t i = 1; status == SPK_OK && i < list.len; i++) {
        if (list.data[i].t < list.data[i - 1].t || list.data[i].p > 1)
            abort();
    }
    vec_fini(&list);
    diag_fini(&diags);
}

/* Arrays whose every value is then read. */
static void read_array(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct st_tensor t;
    float *values = NULL;
    diag_init(&diags);
    spk_status status = npy_array(data, size, "fuzz", &diags, &t);
    if (status != SPK_OK && (status != SPK_ERR_INPUT || diags.error_count == 0))
        abort();
    if (status == SPK_OK && spk_alloc_array((size_t)t.count, sizeof *values, &values) == SPK_OK)
        status = st_to_f32(&t, values);
    spk_free(values);
    diag_fini(&diags);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_array(data, size);
    read_picture(data, size, 1);
    read_picture(data, size, 3);
    read_events(data, size);
    return 0;
}
