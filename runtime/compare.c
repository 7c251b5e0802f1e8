/* Comparison of recorded values element by element.
 *
 * The first mismatch is the lowest (image, layer, frame, index), so that it does not depend on how
 * images were split into batches or on the order in which layers are walked (layer by layer, which
 * reads each tensor once). Cost: one pass over both records.                                   */
#include "runtime/compare.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

static bool same_shape(const struct record_tensor *a, const struct record_tensor *b)
{
    bool same = a->timesteps == b->timesteps && a->n_axes == b->n_axes;

    for (uint32_t k = 0; same && k < a->n_axes; k++)
        same = a->axis[k] == b->axis[k];
    return same;
}

static bool earlier(const struct compare_mismatch *a, const struct compare_mismatch *b)
{
    if (!b->found)
        return true;
    if (a->image != b->image)
        return a->image < b->image;
    if (a->layer != b->layer)
        return a->layer < b->layer;
    return a->frame != b->frame ? a->frame < b->frame : a->index < b->index;
}

struct pair {
    const struct record *expected, *got;
    const struct record_tensor *a, *b;
    uint32_t expected_first, got_first;
};

/* One frame of one image: counts, and notes the first mismatch. */
static void compare_frame(const struct pair *p, uint32_t image, uint32_t frame, uint32_t layer,
                          struct compare *out)
{
    struct compare_layer *l = &out->layer[layer];

    for (uint64_t i = 0; i < p->a->frame_elements; i++) {
        int32_t x = record_get(p->expected, p->a, frame, p->expected_first + image, i);
        int32_t y = record_get(p->got, p->b, frame, p->got_first + image, i);
        struct compare_mismatch m = {true, image, layer, frame, i, x, y};

        l->expected_sum += (uint64_t)x;
        l->got_sum += (uint64_t)y;
        if (x == y)
            continue;
        l->mismatches++;
        if (l->neuron && earlier(&m, &out->first))
            out->first = m;
    }
    l->values += p->a->frame_elements;
}

spk_status compare_records(const struct record *expected, uint32_t expected_first,
                           const struct record *got, uint32_t got_first, uint32_t n_images,
                           struct diag_list *d, struct compare *out)
{
    *out = (struct compare){0};
    if ((uint64_t)expected_first + n_images > record_images(expected) ||
        (uint64_t)got_first + n_images > record_images(got))
        return diag_internal(d, spk_span_none, "E0821", "fewer images than compared");
    SPK_TRY(spk_alloc_array(record_count(expected), sizeof *out->layer, &out->layer));
    for (uint32_t k = 0; k < record_count(expected); k++) {
        struct pair p = {expected, got, record_at(expected, k), NULL, expected_first, got_first};
        struct compare_layer *l = &out->layer[out->n_layers++];

        p.b = record_find(got, p.a->name);
        if (!p.b || !same_shape(p.a, p.b)) {
            compare_fini(out);
            return diag_error(d, spk_span_none, "E0822",
                              p.b ? "'%s' has different shapes on the two sides"
                                  : "'%s' is missing on one side",
                              p.a->name);
        }
        *l = (struct compare_layer){.name = p.a->name, .neuron = p.a->neuron || p.b->neuron};
        for (uint32_t image = 0; image < n_images; image++)
            for (uint32_t t = 0; t < p.a->timesteps; t++)
                compare_frame(&p, image, t, k, out);
        if (l->neuron) {
            out->values_compared += l->values;
            out->mismatches += l->mismatches;
        } else {
            out->sum_mismatches += l->mismatches;
        }
    }
    return SPK_OK;
}

void compare_fini(struct compare *c)
{
    spk_free(c->layer);
    *c = (struct compare){0};
}

spk_status compare_merge(struct compare *into, const struct compare *more, uint32_t image_offset)
{
    struct compare_mismatch m = more->first;

    if (into->n_layers != more->n_layers)
        return SPK_ERR_INTERNAL;
    for (uint32_t i = 0; i < into->n_layers; i++)
        if (strcmp(into->layer[i].name, more->layer[i].name) != 0)
            return SPK_ERR_INTERNAL;
    for (uint32_t i = 0; i < into->n_layers; i++) {
        into->layer[i].values += more->layer[i].values;
        into->layer[i].mismatches += more->layer[i].mismatches;
        into->layer[i].expected_sum += more->layer[i].expected_sum;
        into->layer[i].got_sum += more->layer[i].got_sum;
    }
    into->values_compared += more->values_compared;
    into->mismatches += more->mismatches;
    into->sum_mismatches += more->sum_mismatches;
    m.image += image_offset;
    if (m.found && earlier(&m, &into->first))
        into->first = m;
    return SPK_OK;
}

double compare_agreement(uint64_t values, uint64_t mismatches)
{
    return values ? 1.0 - (double)mismatches / (double)values : 1.0;
}

void compare_forced(const struct ir_module *m, const uint64_t *flips, uint64_t n_images,
                    uint64_t *out_values, uint64_t *out_flips)
{
    *out_values = *out_flips = 0;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        if (n->op != IR_OP_NEURON || !n->recorded)
            continue;
        *out_values += n_images * n->type.timesteps * ir_type_elements(&n->type);
        *out_flips += flips[i];
    }
}

uint32_t compare_logits(const float *a, const float *b, uint32_t n_images, uint32_t classes,
                        float tolerance)
{
    uint32_t differ = 0;

    for (uint32_t k = 0; k < n_images; k++) {
        bool equal = true;

        for (uint32_t c = 0; c < classes; c++) {
            const float *x = a + (uint64_t)k * classes + c, *y = b + (uint64_t)k * classes + c;

            equal = equal &&
                    (tolerance > 0 ? fabsf(*x - *y) <= tolerance : memcmp(x, y, sizeof *x) == 0);
        }
        differ += !equal;
    }
    return differ;
}

uint32_t compare_argmax(const float *logits, uint32_t classes)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < classes; c++)
        if (logits[c] > logits[best])
            best = c;
    return best;
}

uint32_t compare_top1(const float *logits, const uint32_t *labels, uint32_t n_images,
                      uint32_t classes)
{
    uint32_t right = 0;

    for (uint32_t k = 0; k < n_images; k++)
        right += compare_argmax(logits + (uint64_t)k * classes, classes) == labels[k];
    return right;
}
