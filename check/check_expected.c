/* Checker, part 6: the synapses that the module gives a neuron, in closed form.
 *
 * A set of synapses is compared by a linear hash: the sum over synapses of weight * R(source),
 * R a 64-bit mixing function, modulo 2^64. It does not depend on order, adds up parallel synapses
 * of one source, ignores zero weights, and two different sets agree with probability below 2^-40
 * (weights are at most 2^24 in units of a power of two). Where hashes differ the sets themselves
 * are listed by check_expect and compared.                                                       */
#include "check/check_internal.h"

#include <string.h>

#include "support/alloc.h"

uint64_t check_hash(const struct check *c, const struct source *s)
{
    const struct img_layer *l = &c->im->layers[s->layer];
    uint64_t z =
        ((uint64_t)s->layer << 40) + (uint64_t)s->channel * l->height * l->width + s->position;

    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
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
        return cfg->program < IMG_PROG_SUM;
    default:
        return false;
    }
}

/* Geometry of a window operation. */
struct window {
    uint32_t kh, kw, sh, sw, ph, pw;
    uint32_t src_h, src_w, dst_w;
};

static struct window window_of(const struct check *c, const struct rule *r)
{
    const struct ir_node *n = &c->m->node[r->op];
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

static void expect_window(const struct check *c, const struct rule *r, uint32_t channel,
                          uint32_t position, expected_fn fn, void *ctx)
{
    const struct ir_node *n = &c->m->node[r->op];
    struct window w = window_of(c, r);
    bool pool = r->kind == RULE_POOL;
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
    case RULE_POOL:
        expect_window(c, r, channel, position, fn, ctx);
        return;
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
        expect_attention(c, r, channel, position, fn, ctx);
        return;
    default:
        return;
    }
}

/* Weights of the group's channels, [inputs][kh][kw][nc]. */
static spk_status transpose(const struct ir_param *p, const struct window *w,
                            const struct img_group *g, int8_t **scratch, size_t *scratch_size)
{
    size_t taps = (size_t)p->dim[1] * w->kh * w->kw, n = taps * g->nc;
    const int8_t *data = p->data;

    if (n > *scratch_size) {
        SPK_TRY(spk_realloc_array(n, 1, scratch));
        *scratch_size = n;
    }
    for (uint32_t ch = 0; ch < g->nc; ch++) {
        for (size_t t = 0; t < taps; t++)
            (*scratch)[t * g->nc + ch] = data[(g->c0 + ch) * taps + t];
    }
    return SPK_OK;
}

spk_status check_expect_group(const struct check *c, const struct img_group *g, uint64_t *hash,
                              int8_t **scratch, size_t *scratch_size)
{
    const struct rule *r = &c->rules[g->layer];
    const struct ir_node *n = &c->m->node[r->op];
    const struct ir_param *p = &c->m->param[n->param[0]];
    struct window w = window_of(c, r);

    SPK_TRY(transpose(p, &w, g, scratch, scratch_size));
    for (uint32_t at = 0; at < g->ny * g->nx; at++) {
        uint32_t position =
            (g->y0 + at / g->nx) * c->im->layers[g->layer].width + g->x0 + at % g->nx;
        uint64_t *h = hash + (size_t)at * g->nc;

        for (uint32_t o = 0; o < r->n_sources; o++) {
            struct source s = {c->sources.data[r->source_first + o], 0, 0};
            const int8_t *weights = *scratch;

            for (s.channel = 0; s.channel < p->dim[1]; s.channel++) {
                for (uint32_t k = 0; k < w.kh * w.kw; k++, weights += g->nc) {
                    if (!window_source(&w, position, k / w.kw, k % w.kw, &s.position))
                        continue;
                    uint64_t scale = check_hash(c, &s) << n->a.conv.shift;

                    for (uint32_t ch = 0; ch < g->nc; ch++)
                        h[ch] += scale * (uint64_t)(int64_t)weights[ch];
                }
            }
        }
    }
    return SPK_OK;
}
