/* Segments: parts of a network that is too large for SANA-FE, which keeps about 0.9 kB per synapse.
 * The cost of a segment's neurons and synapses is the sum over its groups. Its messages are counted
 * here: a spike sends one to every core on which its neuron has synapses of the segment. Cost: two
 * walks over all synapses; a bit per neuron of the segment and core. */
#include <math.h>
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"
#include "support/alloc.h"

struct counts {
    const struct image *im;
    uint64_t *synapses; /* [n_layers] that end on the layer */
    uint64_t all;
};

static uint32_t layer_at(const struct image *im, uint32_t core, uint32_t comp)
{
    return im->groups[img_group_at(im, core, comp)].layer;
}

static spk_status count(void *ctx, const struct img_synapse *y)
{
    struct counts *c = ctx;
    c->synapses[layer_at(c->im, y->core, y->comp)]++;
    c->all++;
    return SPK_OK;
}

/* A layer is where its middle synapse is. Returns how many are in. */
static uint32_t cut(struct sanafe *s, const struct counts *c)
{
    uint64_t before = 0;
    uint32_t layers = 0;
    for (uint32_t l = 0; l < s->im->n_layers; l++) {
        const double middle = (double)before + 0.5 * (double)c->synapses[l];
        const double share = middle / ((double)c->all + 1.0);
        s->in[l] = s->in[l] && (uint32_t)(share * s->run->n_segments) == s->run->segment;
        layers += s->in[l];
        before += c->synapses[l];
    }
    return layers;
}

spk_status sanafe_segment_choose(struct sanafe *s)
{
    const struct image *im = s->im;
    struct counts c = {.im = im};
    uint32_t layers = 1;
    SPK_TRY(spk_alloc_array(im->n_layers, sizeof *s->in, &s->in));
    for (uint32_t l = 0; l < im->n_layers; l++)
        s->in[l] =
            im->layers[l].kind != IMG_LAYER_INPUT && im->layers[l].kind != IMG_LAYER_EMBEDDED;
    if (s->run->n_segments <= 1)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(im->n_layers, sizeof *c.synapses, &c.synapses));
    spk_status status = img_walk_synapses(im, count, &c);
    if (status == SPK_OK)
        layers = cut(s, &c);
    spk_free(c.synapses);
    if (status == SPK_OK && layers == 0)
        return diag_error(s->d, spk_span_none, "E0723",
                          "segment %u of %u has no layer: there are too many segments",
                          s->run->segment + 1, s->run->n_segments);
    return status;
}

bool sanafe_is_in(const struct sanafe *s, uint32_t core, uint32_t comp)
{
    return s->in[layer_at(s->im, core, comp)] != 0;
}

double sanafe_hops_pj(const struct sanafe *s, uint32_t from_tile, uint32_t to_tile)
{
    const double x = s->im->prices[TGT_E_HOP_X], y = s->im->prices[TGT_E_HOP_Y];
    const double dx = fabs((double)(from_tile / s->tiles_y) - (double)(to_tile / s->tiles_y));
    const double dy = fabs((double)(from_tile % s->tiles_y) - (double)(to_tile % s->tiles_y));
    return dx * (isnan(x) ? 0.0 : x) + dy * (isnan(y) ? 0.0 : y);
}

/* ---- messages ---- */

struct reach {
    struct sanafe *s;
    uint64_t *first; /* [n_layers] row of neuron 0 */
    uint8_t *bits;   /* [rows][stride] cores */
    size_t stride;
};

static double message_pj(const struct sanafe *s, const struct img_synapse *y)
{
    const double out = s->im->prices[TGT_E_MESSAGE_OUT], in = s->im->prices[TGT_E_MESSAGE_IN];
    uint32_t within;
    const uint32_t from = sanafe_tile(s, y->src_core, &within),
                   to = sanafe_tile(s, y->core, &within);
    return out + (isnan(in) ? 0.0 : in) + sanafe_hops_pj(s, from, to);
}

static spk_status mark(void *ctx, const struct img_synapse *y)
{
    struct reach *r = ctx;
    struct sanafe *s = r->s;
    if (y->host || !s->in[y->source] || !sanafe_is_in(s, y->core, y->comp))
        return SPK_OK;
    uint8_t *byte = &r->bits[(r->first[y->source] + y->neuron) * r->stride + y->core / 8];
    const uint8_t bit = (uint8_t)(1u << (y->core % 8));
    if (*byte & bit)
        return SPK_OK;
    *byte |= bit;
    const double message = message_pj(s, y);
    const uint32_t n = img_layer_neurons(s->im, y->source);
    const uint64_t frames = (uint64_t)s->run->n_images * s->im->meta.timesteps;
    for (uint64_t f = 0; f < frames; f++)
        s->between_pj += s->run->values[y->source][f * n + y->neuron] != 0 ? message : 0.0;
    return SPK_OK;
}

spk_status sanafe_segment_messages(struct sanafe *s)
{
    struct reach r = {.s = s, .stride = (size_t)(s->im->n_cores + 7) / 8};
    uint64_t rows = 0;
    if (s->run->n_segments <= 1)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(s->im->n_layers, sizeof *r.first, &r.first));
    for (uint32_t l = 0; l < s->im->n_layers; l++) {
        r.first[l] = rows;
        rows += s->in[l] ? img_layer_neurons(s->im, l) : 0;
    }
    spk_status status = spk_alloc_array(rows, r.stride, &r.bits);
    if (status == SPK_OK)
        status = img_walk_synapses(s->im, mark, &r);
    spk_free(r.bits);
    spk_free(r.first);
    return status;
}
