/* Condenses a file of recorded spikes. The sample takes neurons at even distances, so that all
 * channels and places of a layer are seen; the rates are those of all neurons and images. */
#include "api/report_spikes.h"

#include <string.h>

#include "runtime/record.h"
#include "support/alloc.h"
#include "support/file.h"

static void condense(const struct record *r, const struct record_tensor *t,
                     const struct rep_activity *a, struct rep_activity_layer *l)
{
    const uint64_t n = t->frame_elements;
    for (uint32_t step = 0; step < t->timesteps; step++) {
        double sum = 0;
        for (uint32_t image = 0; image < a->images; image++) {
            uint64_t count = 0;
            for (uint64_t i = 0; i < n; i++)
                count += (uint64_t)record_get(r, t, step, image, i);
            sum += (double)count;
        }
        l->rate[step] = sum / ((double)n * a->images);
    }
    const uint64_t row = (uint64_t)a->images_shown * a->timesteps;
    for (uint32_t s = 0; s < l->n_sampled; s++)
        for (uint64_t k = 0; k < row; k++) {
            const uint64_t bit = s * row + k;
            const uint32_t image = (uint32_t)(k / a->timesteps),
                           step = (uint32_t)(k % a->timesteps);
            if (record_get(r, t, step, image, s * n / l->n_sampled) != 0)
                l->fired[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
}

static spk_status take_layer(const struct record *r, const struct rep_folder *f, uint32_t layer,
                             const struct record_tensor *t, struct diag_list *d,
                             struct rep_activity *a)
{
    const struct rep_layer *from = &f->layer[layer];
    struct rep_activity_layer *l = &a->layer[a->n_layers];
    const uint64_t neurons = (uint64_t)from->channels * from->height * from->width;
    if (t->frame_elements != neurons || t->timesteps != f->timesteps)
        return diag_error(d, spk_span_none, "E0981",
                          "the spikes of '%s' are %u frames of %llu values; the folder has %u of "
                          "%llu",
                          t->name, t->timesteps, (unsigned long long)t->frame_elements,
                          f->timesteps, (unsigned long long)neurons);
    l->layer = layer;
    l->neurons = neurons;
    l->n_sampled = neurons < REP_SAMPLED ? (uint32_t)neurons : REP_SAMPLED;
    const uint64_t bits = (uint64_t)l->n_sampled * a->images_shown * a->timesteps;
    a->n_layers++;
    SPK_TRY(spk_alloc_array(a->timesteps, sizeof *l->rate, &l->rate));
    SPK_TRY(spk_alloc_array((bits + 7) / 8, 1, &l->fired));
    condense(r, t, a, l);
    return SPK_OK;
}

static spk_status take_layers(const struct record *r, const struct rep_folder *f,
                              struct diag_list *d, struct rep_activity *a)
{
    SPK_TRY(spk_alloc_array(f->n_layers, sizeof *a->layer, &a->layer));
    a->images = record_images(r);
    a->timesteps = f->timesteps;
    a->images_shown = rep_shown_images(a->images, a->timesteps);
    for (uint32_t i = 0; i < f->n_layers; i++) {
        const struct record_tensor *t = record_find(r, f->layer[i].name);
        if (t != NULL)
            SPK_TRY(take_layer(r, f, i, t, d, a));
    }
    if (a->n_layers == 0)
        return diag_error(d, spk_span_none, "E0982",
                          "'%s' holds no spikes of a layer of the folder", a->file);
    return SPK_OK;
}

spk_status report_spikes_read(const char *path, const struct rep_folder *f, struct diag_list *d,
                              struct rep_activity *out)
{
    struct record *r = NULL;
    memset(out, 0, sizeof *out);
    out->file = path_base(path);
    spk_status status = record_open(path, d, &r);
    if (status == SPK_OK)
        status = take_layers(r, f, d, out);
    record_destroy(r);
    if (status != SPK_OK)
        report_spikes_fini(out);
    return status;
}

void report_spikes_fini(struct rep_activity *a)
{
    for (uint32_t i = 0; i < a->n_layers; i++) {
        spk_free(a->layer[i].rate);
        spk_free(a->layer[i].fired);
    }
    spk_free(a->layer);
    memset(a, 0, sizeof *a);
}
