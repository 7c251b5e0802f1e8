/* Simulator, part 7: recorded values. Layers of up to n_slots images are in flight at once, each
 * has a slot; an image's values are handed over when its last step is done. A layer is kept when
 * it is recorded or a term of a recorded sum. Elements are bytes, or int32 where the layer's
 * payload bound exceeds 255; sums are formed here, in the sum's own layout.                      */
#include "runtime/sim_internal.h"

#include <string.h>

#include "support/alloc.h"

spk_status sim_record_plan(struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;
    uint64_t largest = 1;

    (void)d;
    SPK_TRY(spk_alloc_array(s->n_layers, sizeof *s->keep, &s->keep));
    for (uint32_t i = 0; i < s->n_layers; i++)
        s->keep[i].kept = im->layers[i].recorded != 0;
    for (uint64_t i = 0; i < im->n_sums; i++) {
        const uint32_t *terms = im->sum_terms + im->sums[i].term_first;
        uint64_t n = im->meta.timesteps * sim_layer_elements(&im->layers[terms[0]]);

        largest = n > largest ? n : largest;
        for (uint32_t t = 0; t < im->sums[i].n_terms; t++)
            s->keep[terms[t]].kept = true;
    }
    for (uint32_t i = 0; i < s->n_layers; i++) {
        struct sim_keep *k = &s->keep[i];
        uint64_t n = im->meta.timesteps * sim_layer_elements(&im->layers[i]);

        if (!k->kept)
            continue;
        k->is_i32 = im->layers[i].payload_bound > 255;
        k->offset = s->slot_bytes;
        s->slot_bytes += (n * (k->is_i32 ? sizeof(int32_t) : 1) + 63) / 64 * 64;
    }
    return spk_alloc_array(largest, sizeof *s->sum_buffer, &s->sum_buffer);
}

/* Allocates the slots for a run with a recorder; without one nothing is recorded. */
spk_status sim_record_begin(struct sim *s)
{
    spk_free(s->record);
    s->record = NULL;
    if (!s->run->recorder)
        return SPK_OK;
    s->n_records = s->run->input.n_images < s->n_slots ? s->run->input.n_images : s->n_slots;
    s->n_records = s->n_records > 0 ? s->n_records : 1;
    return spk_alloc_array(s->n_records, s->slot_bytes, &s->record);
}

static uint64_t element(const struct img_layer *l, uint32_t layout, uint32_t channel,
                        uint32_t position)
{
    if (layout == IR_NC)
        return (uint64_t)position * l->channels + channel;
    return (uint64_t)channel * l->height * l->width + position;
}

void sim_record_put(struct sim *s, uint32_t layer, uint32_t channel, uint32_t position,
                    int32_t payload)
{
    const struct img_layer *l = &s->im->layers[layer];
    uint8_t *slot =
        s->record + (s->image[layer] % s->n_records) * s->slot_bytes + s->keep[layer].offset;
    uint64_t at = (uint64_t)s->frame[layer] * sim_layer_elements(l) +
                  element(l, l->layout, channel, position);

    if (s->keep[layer].is_i32)
        memcpy(slot + at * sizeof payload, &payload, sizeof payload);
    else
        slot[at] = payload < 0 || payload > 255 ? 255 : (uint8_t)payload;
}

static int32_t recorded(const struct sim *s, const uint8_t *slot, uint32_t layer, uint64_t at)
{
    int32_t x;

    if (!s->keep[layer].is_i32)
        return slot[s->keep[layer].offset + at];
    memcpy(&x, slot + s->keep[layer].offset + at * sizeof x, sizeof x);
    return x;
}

/* Forms one sum in sum_buffer, as bytes in place where the bound allows. */
static void form_sum(struct sim *s, const uint8_t *slot, const struct img_sum *sum)
{
    const struct image *im = s->im;
    const uint32_t *terms = im->sum_terms + sum->term_first;
    const struct img_layer *first = &im->layers[terms[0]];
    uint32_t positions = first->height * first->width;
    uint64_t elements = sim_layer_elements(first);
    uint64_t n = im->meta.timesteps * elements;

    memset(s->sum_buffer, 0, n * sizeof *s->sum_buffer);
    for (uint32_t t = 0; t < sum->n_terms; t++) {
        const struct img_layer *l = &im->layers[terms[t]];
        uint64_t to = 0;

        if ((l->layout == IR_NC) == (sum->layout == IR_NC)) {
            for (uint64_t i = 0; i < n; i++)
                s->sum_buffer[i] += recorded(s, slot, terms[t], i);
            continue;
        }
        for (uint32_t f = 0; f < im->meta.timesteps; f++) {
            for (uint32_t c = 0; c < l->channels; c++) {
                for (uint32_t p = 0; p < positions; p++) {
                    to = f * elements + element(l, sum->layout, c, p);
                    s->sum_buffer[to] +=
                        recorded(s, slot, terms[t], f * elements + element(l, l->layout, c, p));
                }
            }
        }
    }
    if (sum->bound <= 255) {
        uint8_t *bytes = (uint8_t *)s->sum_buffer;
        for (uint64_t i = 0; i < n; i++) {
            int32_t x = s->sum_buffer[i];
            bytes[i] = x < 0 || x > 255 ? 255 : (uint8_t)x;
        }
    }
}

spk_status sim_record_finish(struct sim *s, uint32_t image)
{
    const struct image *im = s->im;
    const struct sim_recorder *r = s->run->recorder;
    uint8_t *slot = s->record + (image % s->n_records) * s->slot_bytes;

    for (uint32_t i = 0; i < s->n_layers; i++) {
        const struct img_layer *l = &im->layers[i];
        struct sim_value v = {.name = im->strings[l->name],
                              .layer = i,
                              .sum = IMG_NONE,
                              .layout = l->layout,
                              .timesteps = im->meta.timesteps,
                              .channels = l->channels,
                              .height = l->height,
                              .width = l->width,
                              .is_i32 = s->keep[i].is_i32};
        if (l->recorded)
            SPK_TRY(r->value(r->ctx, image, &v, slot + s->keep[i].offset));
    }
    for (uint64_t i = 0; i < im->n_sums; i++) {
        const struct img_sum *sum = &im->sums[i];
        const struct img_layer *l = &im->layers[im->sum_terms[sum->term_first]];
        struct sim_value v = {.name = im->strings[sum->name],
                              .layer = IMG_NONE,
                              .sum = (uint32_t)i,
                              .layout = sum->layout,
                              .timesteps = im->meta.timesteps,
                              .channels = l->channels,
                              .height = l->height,
                              .width = l->width,
                              .is_i32 = sum->bound > 255};
        form_sum(s, slot, sum);
        SPK_TRY(r->value(r->ctx, image, &v, s->sum_buffer));
    }
    memset(slot, 0, s->slot_bytes);
    return SPK_OK;
}
