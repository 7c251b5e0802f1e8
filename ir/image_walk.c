/* Walks out-axons and injections to their synapses (docs/chip-image.md, section 3, step 5): a spike
 * with atom a selects row `row` + a of the in-axon's content; a LIST row is runs of consecutive
 * targets, a CONV row a kernel laid over the target tile. Places of cores are looked up in a table
 * sorted by chip, y, x. Cost: linear in synapses, out-axon entries times log cores. */
#include "ir/image_walk.h"

#include <stdlib.h>

#include "support/alloc.h"

struct walk {
    const struct image *im;
    img_synapse_fn fn;
    void *ctx;
    uint32_t *by_place; /* cores sorted by place */
};

struct img_neuron img_neuron_at(const struct image *im, uint32_t core, uint32_t comp)
{
    const struct img_neuron none = {IMG_NONE, 0, 0};
    if (im->cores[core].n_groups == 0)
        return none;
    const struct img_group *g = &im->groups[img_group_at(im, core, comp)];
    const uint32_t n = img_group_neuron(g, comp);
    if (n == IMG_NONE)
        return none;
    const uint32_t p = n / g->nc;
    return (struct img_neuron){g->layer, img_channel(im, g->layer, g->c0 + n % g->nc),
                               (g->y0 + p / g->nx) * im->layers[g->layer].width + g->x0 +
                                   p % g->nx};
}

uint32_t img_neuron_number(const struct image *im, const struct img_neuron *n)
{
    const struct img_layer *l = &im->layers[n->layer];
    return n->channel * (l->height * l->width) + n->position;
}

uint32_t img_layer_neurons(const struct image *im, uint32_t layer)
{
    const struct img_layer *l = &im->layers[layer];
    return l->channels * l->height * l->width;
}

static int compare_places(const struct img_core *a, uint32_t chip, uint32_t x, uint32_t y)
{
    if (a->chip != chip)
        return a->chip < chip ? -1 : 1;
    if (a->y != y)
        return a->y < y ? -1 : 1;
    return (a->x > x) - (a->x < x);
}

/* Heap sort of the cores by place: qsort has no context in C11. */
static void sift(uint32_t *at, const struct img_core *k, uint32_t i, uint32_t n)
{
    for (uint32_t child = 2 * i + 1; child < n; i = child, child = 2 * i + 1) {
        const struct img_core *c = &k[at[child]];
        if (child + 1 < n) {
            const struct img_core *d = &k[at[child + 1]];
            if (compare_places(c, d->chip, d->x, d->y) < 0) {
                child++;
                c = d;
            }
        }
        if (compare_places(&k[at[i]], c->chip, c->x, c->y) >= 0)
            return;
        const uint32_t t = at[i];
        at[i] = at[child];
        at[child] = t;
    }
}

static spk_status sort_places(struct walk *w)
{
    const uint32_t n = (uint32_t)w->im->n_cores;
    SPK_TRY(spk_alloc_array(n, sizeof *w->by_place, &w->by_place));
    for (uint32_t i = 0; i < n; i++)
        w->by_place[i] = i;
    for (uint32_t i = n / 2; i-- > 0;)
        sift(w->by_place, w->im->cores, i, n);
    for (uint32_t end = n; end-- > 1;) {
        const uint32_t t = w->by_place[0];
        w->by_place[0] = w->by_place[end];
        w->by_place[end] = t;
        sift(w->by_place, w->im->cores, 0, end);
    }
    return SPK_OK;
}

static uint32_t core_at(const struct walk *w, const struct img_route *r)
{
    uint32_t low = 0, high = (uint32_t)w->im->n_cores;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        const int order = compare_places(&w->im->cores[w->by_place[mid]], r->chip, r->x, r->y);
        if (order == 0)
            return w->by_place[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return IMG_NONE;
}

static spk_status walk_run(const struct walk *w, struct img_synapse *s, uint32_t comp,
                           const int8_t *weights, uint32_t n, uint32_t shift)
{
    for (uint32_t i = 0; i < n; i++) {
        s->comp = comp + i;
        s->weight = (int32_t)weights[i] * (int32_t)(1u << shift);
        SPK_TRY(w->fn(w->ctx, s));
    }
    return SPK_OK;
}

static spk_status walk_list(const struct walk *w, struct img_synapse *s, uint32_t atom)
{
    const struct image *im = w->im;
    const struct img_in_axon *a = &im->in_axons[s->axon];
    const struct img_block *b = &im->blocks[a->block];
    const struct img_row *row =
        &im->rows[im->contents[b->content].row_first + a->row + (uint64_t)atom];
    for (uint64_t r = row->run_first; r < row->run_first + row->n_runs; r++) {
        const struct img_run *run = &im->runs[r];
        SPK_TRY(walk_run(w, s, a->base + run->start, im->weights + run->weight_first, run->length,
                         b->shift));
    }
    return SPK_OK;
}

/* All nc channels of position (oy, ox) of the tile, tap (ky, kx). */
static spk_status walk_tap(const struct walk *w, struct img_synapse *s, const struct img_group *g,
                           uint32_t position, const int8_t *weights, uint32_t shift)
{
    for (uint32_t c = 0; c < g->nc; c++) {
        s->comp = img_group_comp(g, position * g->nc + c);
        s->weight = (int32_t)weights[c] * (int32_t)(1u << shift);
        SPK_TRY(w->fn(w->ctx, s));
    }
    return SPK_OK;
}

static spk_status walk_conv(const struct walk *w, struct img_synapse *s, uint32_t atom)
{
    const struct image *im = w->im;
    const struct img_in_axon *a = &im->in_axons[s->axon];
    const struct img_block *b = &im->blocks[a->block];
    const struct img_content *k = &im->contents[b->content];
    const struct img_group *g = &im->groups[a->group];
    const int64_t sy = a->base / a->src_width + k->pad, sx = a->base % a->src_width + k->pad;
    const int8_t *row = im->weights + k->weight_first +
                        (uint64_t)(a->row + atom) * k->kernel_h * k->kernel_w * k->nc;
    for (uint32_t ky = 0; ky < k->kernel_h; ky++)
        for (uint32_t kx = 0; kx < k->kernel_w; kx++) {
            const int64_t y = sy - ky, x = sx - kx, oy = y / k->stride - g->y0,
                          ox = x / k->stride - g->x0;
            if (y < 0 || x < 0 || y % k->stride != 0 || x % k->stride != 0 || oy < 0 || ox < 0 ||
                oy >= g->ny || ox >= g->nx)
                continue;
            SPK_TRY(walk_tap(w, s, g, (uint32_t)(oy * g->nx + ox),
                             row + ((uint64_t)ky * k->kernel_w + kx) * k->nc, b->shift));
        }
    return SPK_OK;
}

/* What a spike with `atom` reaches through in-axon s->axon of core s->core. */
static spk_status walk_atom(const struct walk *w, struct img_synapse *s, uint32_t atom)
{
    const struct img_in_axon *a = &w->im->in_axons[s->axon];
    if (a->block == IMG_NONE) /* of an attention engine */
        return SPK_OK;
    return w->im->blocks[a->block].kind == IMG_BLOCK_CONV ? walk_conv(w, s, atom)
                                                          : walk_list(w, s, atom);
}

static spk_status walk_core(const struct walk *w, uint32_t core)
{
    const struct image *im = w->im;
    const struct img_core *k = &im->cores[core];
    for (uint32_t i = 0; i < k->n_out_axons; i++) {
        const struct img_out_axon *o = &im->out_axons[k->out_axon_first + i];
        const struct img_route *r = &im->routes[o->route];
        if (r->dest != IMG_DEST_CORE)
            continue;
        struct img_synapse s = {.core = core_at(w, r), .src_core = core, .injection = IMG_NONE};
        s.axon = im->cores[s.core].in_axon_first + o->dest_axon;
        const struct img_group *g = &im->groups[img_group_at(im, core, o->comp_first)];
        for (uint32_t c = 0; c < o->comp_count; c++) {
            const uint32_t comp = img_out_comp(
                img_group_neuron(g, o->comp_first) == IMG_NONE ? NULL : g, o->comp_first, c);
            const struct img_neuron n = img_neuron_at(im, core, comp);
            if (n.layer == IMG_NONE)
                continue;
            s.source = n.layer;
            s.neuron = img_neuron_number(im, &n);
            SPK_TRY(walk_atom(w, &s, o->atom_first + c));
        }
    }
    return SPK_OK;
}

static spk_status walk_injection(const struct walk *w, uint32_t injection)
{
    const struct image *im = w->im;
    const struct img_injection *j = &im->injections[injection];
    const bool enable = j->kind == IMG_INJECT_ENABLE;
    struct img_synapse s = {.source = enable ? (uint32_t)im->n_layers + j->layer : j->layer,
                            .core = j->core,
                            .axon = im->cores[j->core].in_axon_first + j->axon,
                            .host = 1,
                            .src_core = IMG_NONE,
                            .injection = injection};
    for (uint32_t i = 0; i < (enable ? 1 : j->n_channels); i++) {
        const struct img_neuron n = {j->layer, j->channel_first + i, j->position};
        s.neuron = enable ? 0 : img_neuron_number(im, &n);
        SPK_TRY(walk_atom(w, &s, i));
    }
    return SPK_OK;
}

spk_status img_walk_synapses(const struct image *im, img_synapse_fn fn, void *ctx)
{
    struct walk w = {im, fn, ctx, NULL};
    spk_status status = sort_places(&w);
    for (uint32_t c = 0; c < im->n_cores && status == SPK_OK; c++)
        status = walk_core(&w, c);
    for (uint32_t i = 0; i < im->n_injections && status == SPK_OK; i++)
        status = walk_injection(&w, i);
    spk_free(w.by_place);
    return status;
}
