/* Simulator, part 10: compartments that have neither state nor a current, but at which synapses
 * were processed in this step, their weights zero or adding up to nothing. Some chips spend on them
 * what an active compartment costs; they are told apart only where the image has a price for it,
 * because marking costs a store per synapse. Padding has no state, so whatever ends there touches
 * it. */
#include "runtime/sim_internal.h"

#include <math.h>
#include <string.h>

#include "support/alloc.h"

spk_status sim_touched_create(struct sim *s)
{
    if (s->im->n_prices == 0 || isnan(s->im->prices[TGT_E_NEURON_TOUCHED]))
        return SPK_OK;
    SPK_TRY(spk_alloc_array(s->n_comps, sizeof *s->touched, &s->touched));
    return spk_alloc_array(s->n_groups, sizeof *s->touched_updates, &s->touched_updates);
}

void sim_touched_destroy(struct sim *s)
{
    spk_free(s->touched);
    spk_free(s->touched_updates);
}

void sim_touched_reset(struct sim *s)
{
    if (s->touched == NULL)
        return;
    memset(s->touched, 0, s->n_comps * sizeof *s->touched);
    memset(s->touched_updates, 0, s->n_groups * sizeof *s->touched_updates);
}

static void mark_list(const struct sim *s, const struct sim_axon *a, uint32_t atom)
{
    const struct image *im = s->im;
    const struct img_row *row = &im->rows[im->contents[a->content].row_first + a->row + atom];

    for (uint32_t i = 0; i < row->n_runs; i++) {
        const struct img_run *run = &im->runs[row->run_first + i];

        memset(s->touched + a->base + run->start, 1, run->length);
    }
}

static void mark_conv(const struct sim *s, const struct sim_axon *a)
{
    const struct img_content *t = &s->im->contents[a->content];
    const struct sim_group *g = &s->groups[a->base];

    for (uint32_t y = 0; y < g->ny; y++) {
        const int64_t ky = (int64_t)a->sy + t->pad - (int64_t)(g->y0 + y) * t->stride;

        for (uint32_t x = 0; x < g->nx && ky >= 0 && ky < t->kernel_h; x++) {
            const int64_t kx = (int64_t)a->sx + t->pad - (int64_t)(g->x0 + x) * t->stride;

            if (kx >= 0 && kx < t->kernel_w)
                memset(s->touched + g->comp + ((size_t)y * g->pitch + x) * g->nc, 1, g->nc);
        }
    }
}

void sim_touched_mark(const struct sim *s, const struct sim_axon *a, uint32_t neuron,
                      const struct sim_spike *spike, uint32_t n)
{
    if (a->kind == IMG_BLOCK_CONV) {
        mark_conv(s, a);
        return;
    }
    for (uint32_t k = 0; k < n; k++)
        mark_list(s, a, spike[k].neuron - neuron);
}

void sim_touched_count(struct sim *s, const struct sim_group *g, const int32_t *input,
                       const int32_t *other)
{
    const uint32_t index = (uint32_t)(g - s->groups);
    const struct img_group *row = &s->im->groups[index];
    const uint32_t own = s->cores[g->core].first;
    const uint32_t first = index == s->cores[g->core].group_first ? own : own + row->comp_first;
    uint64_t n = 0;

    for (uint32_t c = first; c < first + g->comps; c++) {
        if (!s->touched[c])
            continue;
        s->touched[c] = 0;
        const uint32_t i = img_group_neuron(row, c - own);

        n += input != NULL && (i == IMG_NONE || (s->v[g->first + i] == 0 && input[i] == 0 &&
                                                 (other == NULL || other[i] == 0)));
    }
    s->touched_updates[index] = n;
}
