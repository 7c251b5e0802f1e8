/* Pictures and recordings of event cameras as inputs, one by one or as folders.
 *
 * A picture is decoded, resized, cut and normalised; a recording is counted into frames. One file
 * after another is mapped, so that no more than one is in memory besides the buffer of all inputs.
 */
#include <string.h>

#include "frontend/input_reader.h"
#include "support/alloc.h"
#include "support/file.h"

/* A file is resized to the model's size over 0.875, as 224 is cut out of 256. */
enum { CROP_OVER = 8, CROP_UNDER = 7 };

struct pictures {
    struct input_reader *r;
    float (*tables)[256]; /* still images */
    bool events;
};

spk_status input_is_picture(const char *path, struct diag_list *diags, bool *out_is)
{
    struct file_map map;
    *out_is = file_is_directory(path);
    if (*out_is)
        return SPK_OK;
    SPK_TRY(file_map_open(path, diags, &map));
    *out_is = map.size > 0 &&
              (raster_is_image(map.data, map.size) || events_is_recording(map.data, map.size));
    file_map_close(&map);
    return SPK_OK;
}

/* ---- pictures ---- */

/* Size that a picture is resized to. */
static void resized(const struct pictures *k, const struct raster *in, uint64_t *out_width,
                    uint64_t *out_height)
{
    const struct ir_type *t = &k->r->node->type;
    uint64_t side = k->r->options.resize;
    uint64_t w = (uint64_t)t->width * CROP_OVER / CROP_UNDER;
    uint64_t h = (uint64_t)t->height * CROP_OVER / CROP_UNDER;
    bool by_width = (uint64_t)in->width * h <= (uint64_t)in->height * w;
    if (side) {
        w = h = side;
        by_width = in->width <= in->height;
    }
    *out_width = by_width ? w : h * in->width / in->height;
    *out_height = by_width ? w * in->height / in->width : h;
}

/* Half of what is cut away, as Python rounds it: .5 goes to the even number. */
static uint64_t margin(uint64_t have, uint64_t want)
{
    uint64_t twice = have - want, half = twice / 2;
    return half + (twice % 2 && half % 2);
}

/* Replaces the picture by its middle of the model's size. */
static spk_status cut(const struct pictures *k, const char *path, struct raster *picture)
{
    const struct ir_type *t = &k->r->node->type;
    struct raster middle;
    if (picture->width < t->width || picture->height < t->height)
        return diag_error(k->r->diags, diag_place(k->r->diags, "%s", path), "E0460",
                          "resized to %u x %u, the model takes %u x %u", picture->width,
                          picture->height, t->width, t->height);
    uint64_t left = margin(picture->width, t->width), top = margin(picture->height, t->height);
    SPK_TRY(raster_alloc(t->width, t->height, picture->channels, &middle));
    size_t row = (size_t)t->width * picture->channels;
    for (uint64_t y = 0; y < t->height; y++)
        memcpy(middle.pixel + y * row,
               picture->pixel + ((top + y) * picture->width + left) * picture->channels, row);
    raster_fini(picture);
    *picture = middle;
    return SPK_OK;
}

static spk_status fit(const struct pictures *k, const char *path, struct raster *picture)
{
    const struct ir_type *t = &k->r->node->type;
    struct raster other;
    uint64_t width, height;
    if (!k->r->options.resize && picture->width == t->width && picture->height == t->height)
        return SPK_OK;
    resized(k, picture, &width, &height);
    if (width == 0 || height == 0 || width > RASTER_MAX_SIDE || height > RASTER_MAX_SIDE ||
        width * picture->height > RASTER_MAX_PIXELS || width * height > RASTER_MAX_PIXELS)
        return diag_error(k->r->diags, diag_place(k->r->diags, "%s", path), "E0460",
                          "%u x %u pixels would be resized to %llu x %llu, which is beyond the "
                          "limits",
                          picture->width, picture->height, (unsigned long long)width,
                          (unsigned long long)height);
    SPK_TRY(
        raster_resize(picture, (uint32_t)width, (uint32_t)height, k->r->options.filter, &other));
    raster_fini(picture);
    *picture = other;
    return cut(k, path, picture);
}

static spk_status load_picture(const struct pictures *k, const struct file_map *map,
                               const char *path, float *out)
{
    const struct ir_type *t = &k->r->node->type;
    struct raster picture;
    SPK_TRY(raster_decode(map->data, map->size, path, t->channels, k->r->diags, &picture));
    spk_status status = fit(k, path, &picture);
    if (status == SPK_OK)
        (void)input_frame(t, k->tables, picture.pixel, true, out);
    raster_fini(&picture);
    return status;
}

/* ---- recordings ---- */

static uint32_t frame_of(const struct pictures *k, const struct event_list *list, size_t i)
{
    uint64_t frames = k->r->node->type.timesteps, n = list->len, at, size;
    if (k->r->options.frames == FE_FRAMES_COUNT) {
        at = i;
        size = n / frames;
    } else {
        at = (uint64_t)list->data[i].t - (uint64_t)list->data[0].t;
        size = ((uint64_t)list->data[n - 1].t - (uint64_t)list->data[0].t) / frames;
    }
    at /= size > 0 ? size : 1;
    return (uint32_t)(at < frames ? at : frames - 1);
}

static spk_status count_events(const struct pictures *k, const struct event_list *list,
                               const char *path, float *out)
{
    const struct ir_type *t = &k->r->node->type;
    uint64_t frame = ir_type_elements(t), plane = ir_type_positions(t);
    for (size_t i = 0; i < list->len; i++) {
        const struct event *e = &list->data[i];
        if (e->x >= t->width || e->y >= t->height)
            return diag_error(k->r->diags, diag_place(k->r->diags, "%s", path), "E0461",
                              "event %zu is at x %u, y %u, the model takes %u x %u", i, e->x, e->y,
                              t->width, t->height);
        uint64_t channel = t->channels == 2 ? e->p : 0;
        out[frame_of(k, list, i) * frame + channel * plane + (uint64_t)e->y * t->width + e->x] +=
            1.0f;
    }
    return SPK_OK;
}

static spk_status load_recording(const struct pictures *k, const struct file_map *map,
                                 const char *path, float *out)
{
    struct event_list list;
    for (uint64_t i = 0; i < input_elements(k->r); i++)
        out[i] = 0.0f;
    spk_status status =
        events_read(map->data, map->size, path, k->r->options.layout, k->r->diags, &list);
    if (status == SPK_OK)
        status = count_events(k, &list, path, out);
    vec_fini(&list);
    return status;
}

/* ---- files ---- */

static spk_status load_file(const struct pictures *k, const char *path, float *out)
{
    struct file_map map;
    spk_status status;
    SPK_TRY(file_map_open(path, k->r->diags, &map));
    bool picture = map.size > 0 && raster_is_image(map.data, map.size);
    bool recording = map.size > 0 && events_is_recording(map.data, map.size);
    if (!picture && !recording)
        status = diag_error(k->r->diags, diag_place(k->r->diags, "%s", path), "E0462",
                            "neither a picture (PNG, JPEG, PPM) nor a recording (.npy, AEDAT 2.0)");
    else if (k->events != recording)
        status = diag_error(k->r->diags, diag_place(k->r->diags, "%s", path), "E0462", "%s",
                            recording ? "a recording of events, the model takes still images"
                                      : "a picture, the model takes event frames");
    else
        status = recording ? load_recording(k, &map, path, out) : load_picture(k, &map, path, out);
    file_map_close(&map);
    return status;
}

static spk_status prepare(struct pictures *k)
{
    const struct input_reader *r = k->r;
    uint32_t channels = r->node->type.channels;
    if (r->node->a.input.series)
        return diag_error(r->diags, diag_place(r->diags, "%s", r->name), "E0462",
                          "a picture or recording, the model takes frames of real values");
    if (k->events ? channels > 2 : channels != 1 && channels != 3)
        return diag_error(r->diags, diag_place(r->diags, "%s", r->name), "E0463",
                          "the model takes %u channels; %s", channels,
                          k->events ? "recordings have 1 or 2" : "pictures have 1 or 3");
    if (k->events)
        return SPK_OK;
    SPK_TRY(input_need_norm(r, "a picture"));
    return input_byte_tables(r, &k->tables);
}

static spk_status load_folder(struct pictures *k, struct file_names *names)
{
    struct input_reader *r = k->r;
    size_t n = 0;
    for (size_t i = 0; i < names->len; i++) { /* names that begin with a dot go to the end */
        char *name = names->data[i];
        if (name[0] == '.')
            continue;
        names->data[i] = names->data[n];
        names->data[n++] = name;
    }
    SPK_TRY(input_begin(r, n, true));
    SPK_TRY(spk_alloc_array(n, sizeof *r->out->names, &r->out->names));
    for (size_t i = 0; i < n; i++) {
        r->out->names[i] = spk_strdup(names->data[i]);
        if (!r->out->names[i])
            return SPK_ERR_NOMEM;
    }
    for (size_t i = 0; i < r->out->input.n_images; i++) {
        char *path = path_join(r->name, names->data[i]);
        if (!path)
            return SPK_ERR_NOMEM;
        spk_status status = load_file(k, path, r->out->converted + i * input_elements(r));
        spk_free(path);
        SPK_TRY(status);
    }
    return SPK_OK;
}

spk_status input_load_pictures(struct input_reader *r)
{
    struct pictures k = {.r = r, .events = r->node->a.input.events};
    struct file_names names;
    spk_status status = prepare(&k);
    if (status == SPK_OK && file_is_directory(r->name)) {
        status = file_list(r->name, "", r->diags, &names);
        if (status == SPK_OK) {
            status = load_folder(&k, &names);
            file_names_fini(&names);
        }
    } else if (status == SPK_OK) {
        status = input_begin(r, 1, true);
        if (status == SPK_OK)
            status = load_file(&k, r->name, r->out->converted);
    }
    spk_free(k.tables);
    return status;
}
