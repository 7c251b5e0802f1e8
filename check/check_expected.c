/* Checker, part 6: the synapses that the module gives a neuron, in closed form.
 *
 * A set of synapses is compared by a linear hash: the sum over synapses of weight * R(source)
 * modulo 2^64, where R is the product of two odd 64-bit mixing functions, one of the channel and
 * one of layer and position. It does not depend on order, adds up parallel synapses of one source
 * and ignores zero weights. The difference of two sets is a bilinear form in the two factors; if it
 * is not zero and its weights are multiples of 2^v, it vanishes with probability below
 * 64 * 2^(v - 64), v at most 31. Where hashes differ the sets themselves are listed by check_expect
 * and compared. Because R is a product, the sum over channels is done once per layer and tap
 * (kernels), and a position only adds up its taps. */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) | 1;
}

uint64_t check_hash_channel(uint32_t channel)
{
    return mix((uint64_t)1 << 63 | channel); /* layers are fewer than 2^31 */
}

uint64_t check_hash_place(uint32_t layer, uint32_t position)
{
    return mix((uint64_t)layer << 32 | position);
}

uint64_t check_hash(const struct check *c, const struct source *s)
{
    if (c->rules[s->layer].kind == RULE_PARTIAL)
        return c->partial[s->layer][s->channel];
    return check_hash_channel(s->channel) * check_hash_place(s->layer, s->position);
}

bool check_rule_uniform(const struct rule *r, const struct img_config *cfg)
{
    switch (r->kind) {
    case RULE_POOL:
    case RULE_RELAY:
    case RULE_QRELAY:
    case RULE_AND:
    case RULE_THERM:
    case RULE_GATE:
        return img_has_membrane(cfg->program);
    default:
        return false;
    }
}

/* Geometry of a window operation. */
struct window {
    uint32_t kh, kw, sh, sw, ph, pw;
    uint32_t src_h, src_w, dst_w;
};

static struct window window_of(const struct check *c, uint32_t op)
{
    const struct ir_node *n = &c->m->node[op];
    const struct ir_type *in = &c->m->node[n->operand[0]].type;
    struct window w = {1, 1, 1, 1, 0, 0, n->type.height, n->type.width, n->type.width};

    if (n->op == IR_OP_CONV2D) {
        const struct ir_attr_conv *a = &n->a.conv;
        w = (struct window){a->kernel_h, a->kernel_w, a->stride_h, a->stride_w,  a->pad_h,
                            a->pad_w,    in->height,  in->width,   n->type.width};
    } else if (n->op == IR_OP_MAXPOOL) {
        const struct ir_attr_pool *a = &n->a.pool;
        w = (struct window){a->kernel, a->kernel,  a->stride, a->stride,    a->pad,
                            a->pad,    in->height, in->width, n->type.width};
    }
    return w;
}

/* Source position under tap (ky, kx) of output `position`; false in the padding. */
static bool window_source(const struct window *w, uint32_t position, uint32_t ky, uint32_t kx,
                          uint32_t *out)
{
    uint32_t y = position / w->dst_w * w->sh + ky - w->ph;
    uint32_t x = position % w->dst_w * w->sw + kx - w->pw;

    *out = y * w->src_w + x;
    return y < w->src_h && x < w->src_w;
}

static void expect_window(const struct check *c, const struct part *r, uint32_t channel,
                          uint32_t position, expected_fn fn, void *ctx)
{
    const struct ir_node *n = &c->m->node[r->op];
    struct window w = window_of(c, r->op);
    bool pool = n->op == IR_OP_MAXPOOL;
    const struct ir_param *p = pool ? NULL : &c->m->param[n->param[0]];
    const int8_t *weights = pool ? NULL : p->data;
    uint32_t inputs = pool ? 1 : p->dim[1];

    for (uint32_t o = 0; o < r->n_sources; o++) {
        for (uint32_t ci = 0; ci < inputs; ci++) {
            for (uint32_t ky = 0; ky < w.kh; ky++) {
                for (uint32_t kx = 0; kx < w.kw; kx++) {
                    struct source s = {c->sources.data[r->source_first + o], pool ? channel : ci,
                                       0};
                    size_t at = (((size_t)channel * inputs + ci) * w.kh + ky) * w.kw + kx;

                    if (window_source(&w, position, ky, kx, &s.position))
                        fn(ctx, &s, 0,
                           pool ? 1 : (int64_t)weights[at] * ((int64_t)1 << n->a.conv.shift));
                }
            }
        }
    }
}

static void expect_attention(const struct check *c, const struct rule *r, uint32_t channel,
                             uint32_t position, expected_fn fn, void *ctx)
{
    const uint32_t *layers = c->sources.data + r->source_first;
    uint32_t d = r->d, theta = r->product ? 1 : r->tokens;
    uint32_t hij = channel / (r->kind == RULE_GATE || r->kind == RULE_THERM ? theta : 1);
    uint32_t row = hij / d, h = hij / (d * d); /* row: h*d + i */
    struct source s;

    switch (r->kind) {
    case RULE_AND: /* sources k, v */
        s = (struct source){layers[0], row, position};
        fn(ctx, &s, 0, 1);
        s = (struct source){layers[1], h * d + hij % d, position};
        fn(ctx, &s, r->product ? 1 : 0, 1);
        return;
    case RULE_SUM:
    case RULE_THERM:
        for (uint32_t t = 0; t < r->tokens; t++) {
            s = (struct source){layers[0], hij, t};
            fn(ctx, &s, 0, 1);
        }
        return;
    case RULE_GATE: /* sources q, sum or thermometer */
        s = (struct source){layers[0], row, position};
        fn(ctx, &s, 0, 1);
        s = (struct source){layers[1], channel, 0};
        fn(ctx, &s, r->product ? 1 : 0, 1);
        return;
    case RULE_ACC: /* sources k, v */
        for (uint32_t t = 0; t < r->tokens; t++) {
            s = (struct source){layers[0], row, t};
            fn(ctx, &s, 0, 1);
            s = (struct source){layers[1], h * d + hij % d, t};
            fn(ctx, &s, 1, 1);
        }
        return;
    case RULE_GATED: /* sources accumulators, q; channel is h*d + j */
        for (uint32_t i = 0; i < d; i++) {
            s = (struct source){layers[0], (channel / d * d + i) * d + channel % d, 0};
            fn(ctx, &s, 0, c->m->node[r->op].a.attention.unit);
            s = (struct source){layers[1], channel / d * d + i, position};
            fn(ctx, &s, 1, 1);
        }
        return;
    default: /* RULE_ATTENTION: channel is h*d + j */
        for (uint32_t i = 0; i < d; i++) {
            for (uint32_t t = 0; t < theta; t++) {
                uint32_t inner = (channel / d * d + i) * d + channel % d;
                s = (struct source){layers[0], inner * theta + t, position};
                fn(ctx, &s, 0, c->m->node[r->op].a.attention.unit);
            }
        }
    }
}

void check_expect(const struct check *c, uint32_t layer, uint32_t channel, uint32_t position,
                  expected_fn fn, void *ctx)
{
    const struct rule *r = &c->rules[layer];

    switch (r->kind) {
    case RULE_PROJECT:
        for (uint32_t k = 0; k < r->n_parts; k++)
            expect_window(c, &c->parts.data[r->part_first + k], channel, position, fn, ctx);
        return;
    case RULE_POOL: {
        const struct part pool = {r->op, r->source_first, r->n_sources, NULL};
        expect_window(c, &pool, channel, position, fn, ctx);
        return;
    }
    case RULE_RELAY:
    case RULE_QRELAY:
        for (uint32_t o = 0; o < r->n_sources; o++) {
            struct source s = {c->sources.data[r->source_first + o], channel, position};
            fn(ctx, &s, 0, 1);
        }
        return;
    case RULE_AND:
    case RULE_SUM:
    case RULE_THERM:
    case RULE_GATE:
    case RULE_ATTENTION:
    case RULE_ACC:
    case RULE_GATED:
        expect_attention(c, r, channel, position, fn, ctx);
        return;
    default:
        return;
    }
}

/* For a part's channels, [taps][channels]: the sum over inputs of factor * weight << shift. */
static spk_status build_kernel(const struct check *c, struct part *r)
{
    const struct ir_node *n = &c->m->node[r->op];
    const struct ir_param *p = &c->m->param[n->param[0]];
    const struct window w = window_of(c, r->op);
    const size_t taps = (size_t)w.kh * w.kw, inputs = p->dim[1], channels = p->dim[0];
    const int8_t *weights = p->data;
    uint64_t *kernel, *factor;

    SPK_TRY(spk_alloc_array(taps * channels, sizeof *kernel, &r->kernel));
    SPK_TRY(spk_alloc_array_raw(inputs, sizeof *factor, &factor));
    kernel = r->kernel;
    for (size_t i = 0; i < inputs; i++)
        factor[i] = check_hash_channel((uint32_t)i) << n->a.conv.shift;
    for (size_t ch = 0; ch < channels; ch++) {
        for (size_t i = 0; i < inputs; i++) {
            for (size_t k = 0; k < taps; k++, weights++)
                kernel[k * channels + ch] += factor[i] * (uint64_t)(int64_t)*weights;
        }
    }
    spk_free(factor);
    return SPK_OK;
}

spk_status check_kernels_build(struct check *c)
{
    for (size_t i = 0; i < c->parts.len; i++)
        SPK_TRY(build_kernel(c, &c->parts.data[i]));
    return SPK_OK;
}

void check_kernels_fini(struct check *c)
{
    for (size_t i = 0; i < c->parts.len; i++)
        spk_free(c->parts.data[i].kernel);
}

static void expect_part(const struct check *c, const struct part *r, const struct img_group *g,
                        uint64_t *hash)
{
    const struct ir_node *n = &c->m->node[r->op];
    const size_t channels = c->m->param[n->param[0]].dim[0];
    const struct window w = window_of(c, r->op);

    for (uint32_t at = 0; at < g->ny * g->nx; at++) {
        uint32_t position =
            (g->y0 + at / g->nx) * c->im->layers[g->layer].width + g->x0 + at % g->nx;
        uint64_t *h = hash + (size_t)at * g->nc;

        for (uint32_t k = 0; k < w.kh * w.kw; k++) {
            const uint64_t *kernel = r->kernel + k * channels;
            uint64_t place = 0;
            uint32_t from;

            if (!window_source(&w, position, k / w.kw, k % w.kw, &from))
                continue;
            for (uint32_t o = 0; o < r->n_sources; o++)
                place += check_hash_place(c->sources.data[r->source_first + o], from);
            for (uint32_t ch = 0; ch < g->nc; ch++)
                h[ch] += place * kernel[img_channel(c->im, g->layer, g->c0 + ch)];
        }
    }
}

void check_expect_group(const struct check *c, const struct img_group *g, uint64_t *hash)
{
    const struct rule *r = &c->rules[g->layer];

    for (uint32_t k = 0; k < r->n_parts; k++)
        expect_part(c, &c->parts.data[r->part_first + k], g, hash);
}
