/* Checker, part 8: what host and embedded processors do: ports cover read-out and attention
 * operands exactly once, encoder, head and recorded sums are the module's, bit for bit.          */
#include "check/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static bool same_floats(const float *a, const float *b, uint64_t n)
{
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

/* ---- read-out ---- */

/* How often each neuron of each layer reaches the host; [n_layers] arrays, NULL where unused. */
static void count_host_spikes(struct check *c, uint8_t **seen)
{
    const struct image *im = c->im;

    for (uint64_t i = 0; i < im->n_out_axons; i++) {
        const struct img_out_axon *a = &im->out_axons[i];
        const struct img_host_port *p;

        if (c->out_core[i] == IMG_NONE || im->routes[a->route].dest != IMG_DEST_HOST)
            continue;
        p = &im->host_ports[a->dest_axon];
        for (uint32_t j = 0; j < a->comp_count; j++) {
            const struct img_layer *l = &im->layers[p->layer];
            const uint32_t channel =
                img_channel(im, p->layer, p->channel_first + a->atom_first + j);
            struct source s;

            if (!check_neuron_of(c, c->out_core[i], check_out_comp(c, i, j), &s, NULL))
                continue;
            if (s.layer != p->layer || s.channel != channel || s.position != p->position) {
                check_violation(c, "E0949", s.layer, c->out_core[i],
                                "channel %u, position %u goes to host port %u, which stands for "
                                "'%s', channel %u, position %u",
                                s.channel, s.position, a->dest_axon, check_layer_name(c, p->layer),
                                channel, p->position);
            } else if (seen[s.layer]) {
                uint8_t *at = &seen[s.layer][(size_t)s.channel * l->height * l->width + s.position];
                *at = *at == 255 ? 255 : (uint8_t)(*at + 1);
            } else {
                check_violation(c, "E0949", s.layer, c->out_core[i],
                                "is sent to the host, but the read-out does not read it");
                break;
            }
        }
    }
}

static void compare_host_spikes(struct check *c, uint32_t layer, const uint8_t *seen, uint8_t times)
{
    const struct img_layer *l = &c->im->layers[layer];
    uint64_t positions = (uint64_t)l->height * l->width, wrong = 0, first = 0;

    for (uint64_t i = positions * l->channels; i-- > 0;) {
        if (seen[i] != times) {
            wrong++;
            first = i;
        }
    }
    if (wrong) {
        check_violation(
            c, "E0949", layer, IMG_NONE,
            "%llu neurons do not reach the host as often as the read-out reads them; the "
            "first is channel %llu, position %llu: expected %u times, found %u",
            (unsigned long long)wrong, (unsigned long long)(first / positions),
            (unsigned long long)(first % positions), times, seen[first]);
        check_count(c, wrong - 1);
    }
}

static void check_head(struct check *c, uint32_t id)
{
    const struct ir_node *n = &c->m->node[id];
    const struct ir_param *w = &c->m->param[n->param[0]];
    const struct ir_param *b = n->n_params > 1 ? &c->m->param[n->param[1]] : NULL;
    const struct img_head *h = &c->im->head;
    bool zero = true;

    if (!w->data || w->dtype != IR_DT_F32 || w->rank < 2) {
        check_violation(c, "E0953", IMG_NONE, IMG_NONE, "head weights '%s' are absent or not f32",
                        w->name);
        return;
    }
    if (h->classes != w->dim[0] || h->channels != w->dim[1] || h->divisor != n->a.readout.divisor)
        check_violation(c, "E0951", IMG_NONE, IMG_NONE,
                        "head of %u classes, %u channels, divisor %u; expected %u, %u, %u",
                        h->classes, h->channels, h->divisor, w->dim[0], w->dim[1],
                        n->a.readout.divisor);
    else if (!same_floats(c->im->head_w, w->data, c->im->n_head_w))
        check_violation(c, "E0951", IMG_NONE, IMG_NONE, "head weights differ from '%s'", w->name);
    for (uint64_t i = 0; i < c->im->n_head_b; i++)
        zero = zero && c->im->head_b[i] == 0.0f;
    if (b ? c->im->n_head_b != ir_param_elements(b) || !b->data ||
                !same_floats(c->im->head_b, b->data, c->im->n_head_b)
          : !zero)
        check_violation(c, "E0951", IMG_NONE, IMG_NONE, "head biases differ from %s",
                        b ? b->name : "none");
}

static spk_status check_readout(struct check *c, uint32_t id)
{
    const struct ir_node *n = &c->m->node[id];
    struct check_layers read = {0};
    uint8_t **seen;
    bool ok = true;
    spk_status status = spk_alloc_array(c->im->n_layers, sizeof *seen, &seen);

    for (uint32_t i = 0; i < n->n_operands && ok && status == SPK_OK; i++)
        status = check_sources_of(c, n->operand[i], &read, &ok);
    for (size_t i = 0; i < read.len && status == SPK_OK; i++) {
        const struct img_layer *l = &c->im->layers[read.data[i]];

        if (!seen[read.data[i]])
            status =
                spk_alloc_array((size_t)l->channels * l->height * l->width, 1, &seen[read.data[i]]);
    }
    if (status == SPK_OK)
        count_host_spikes(c, seen);
    for (uint32_t l = 0; l < c->im->n_layers && status == SPK_OK; l++) {
        uint8_t times = 0;

        for (size_t i = 0; i < read.len; i++)
            times = (uint8_t)(times + (read.data[i] == l));
        if (seen[l] && ok)
            compare_host_spikes(c, l, seen[l], times);
    }
    for (uint32_t l = 0; seen && l < c->im->n_layers; l++)
        spk_free(seen[l]);
    spk_free(seen);
    vec_fini(&read);
    if (status == SPK_OK)
        check_head(c, id);
    return status;
}

/* ---- embedded attention ---- */

static void compare_task(struct check *c, uint32_t layer, const struct img_embedded *e)
{
    const struct rule *r = &c->rules[layer];
    const struct ir_node *n = &c->m->node[r->node], *a = &c->m->node[r->op];
    const uint32_t *qkv = c->sources.data + r->source_first;
    const int32_t *vth = check_i32_param(c, r->node, 0), *bias = check_i32_param(c, r->node, 1);
    bool plain = !n->a.neuron.q.soft_reset;

    for (uint32_t i = 0; i < n->type.channels; i++)
        plain = plain && (!vth || vth[i] == vth[0]) && (!bias || bias[i] == 0);
    if (!plain)
        check_violation(
            c, "E0948", layer, IMG_NONE,
            "an embedded task has one threshold, no bias and a hard reset; the module's "
            "neuron has not");
    if (e->heads != r->heads || e->channels != r->heads * r->d || e->tokens != r->tokens ||
        e->unit != a->a.attention.unit || (vth && e->vth != vth[0]) ||
        e->decay != n->a.neuron.q.decay || e->bits != n->a.neuron.q.bits)
        check_violation(
            c, "E0948", layer, IMG_NONE,
            "task: %u heads, %u channels, %u tokens, unit %d, threshold %d, decay %u, %u "
            "bits; expected %u, %u, %u, %d, %d, %u, %u",
            e->heads, e->channels, e->tokens, e->unit, e->vth, e->decay, e->bits, r->heads,
            r->heads * r->d, r->tokens, a->a.attention.unit, vth ? vth[0] : 0, n->a.neuron.q.decay,
            n->a.neuron.q.bits);
    if (e->q_layer != qkv[0] || e->k_layer != qkv[1] || e->v_layer != qkv[2])
        check_violation(c, "E0948", layer, IMG_NONE,
                        "task reads '%s', '%s', '%s'; expected '%s', '%s', '%s'",
                        check_layer_name(c, e->q_layer), check_layer_name(c, e->k_layer),
                        check_layer_name(c, e->v_layer), check_layer_name(c, qkv[0]),
                        check_layer_name(c, qkv[1]), check_layer_name(c, qkv[2]));
}

/* Every neuron of q, k and v reaches its place in the task exactly once. */
static spk_status check_task_ports(struct check *c, uint32_t task)
{
    const struct image *im = c->im;
    const struct img_embedded *e = &im->embedded[task];
    const uint32_t layers[3] = {e->q_layer, e->k_layer, e->v_layer};
    size_t n = (size_t)e->channels * e->tokens;
    uint8_t *seen;

    SPK_TRY(spk_alloc_array(3 * n, 1, &seen));
    for (uint64_t i = 0; i < im->n_out_axons; i++) {
        const struct img_out_axon *a = &im->out_axons[i];
        const struct img_embedded_port *p;

        if (c->out_core[i] == IMG_NONE || im->routes[a->route].dest != IMG_DEST_EMBEDDED ||
            im->routes[a->route].x != task)
            continue;
        p = &im->embedded_ports[a->dest_axon];
        for (uint32_t j = 0; j < a->comp_count; j++) {
            const uint32_t channel =
                img_channel(c->im, layers[p->operand], p->channel_first + a->atom_first + j);
            uint8_t *at = &seen[p->operand * n + (size_t)channel * e->tokens + p->position];
            struct source s;

            if (!check_neuron_of(c, c->out_core[i], check_out_comp(c, i, j), &s, NULL))
                continue;
            if (s.layer != layers[p->operand] || s.channel != channel || s.position != p->position)
                check_violation(
                    c, "E0948", e->layer, c->out_core[i],
                    "port %u stands for operand %u, channel %u, position %u, but gets '%s', "
                    "channel %u, position %u",
                    a->dest_axon, p->operand, channel, p->position, check_layer_name(c, s.layer),
                    s.channel, s.position);
            else
                *at = *at == 255 ? 255 : (uint8_t)(*at + 1);
        }
    }
    for (uint32_t o = 0; o < 3; o++) {
        uint64_t wrong = 0, first = 0;

        for (uint64_t i = n; i-- > 0;) {
            if (seen[o * n + i] != 1) {
                wrong++;
                first = i;
            }
        }
        if (wrong) {
            check_violation(c, "E0948", e->layer, IMG_NONE,
                            "%llu neurons of '%s' do not reach the task exactly once; the first is "
                            "channel %llu, position %llu: %u times",
                            (unsigned long long)wrong, check_layer_name(c, layers[o]),
                            (unsigned long long)(first / e->tokens),
                            (unsigned long long)(first % e->tokens), seen[o * n + first]);
            check_count(c, wrong - 1);
        }
    }
    spk_free(seen);
    return SPK_OK;
}

static spk_status check_tasks(struct check *c)
{
    for (uint32_t l = 0; l < c->im->n_layers; l++) {
        uint32_t tasks = 0;

        if (c->rules[l].kind != RULE_EMBEDDED && c->rules[l].kind != RULE_ENGINE)
            continue;
        for (uint32_t i = 0; i < c->im->n_embedded; i++) {
            if (c->im->embedded[i].layer != l)
                continue;
            tasks++;
            compare_task(c, l, &c->im->embedded[i]);
            if (c->im->embedded[i].core == IMG_NONE)
                SPK_TRY(check_task_ports(c, i));
            else
                SPK_TRY(check_engine_inputs(c, i));
        }
        if (c->rules[l].kind == RULE_EMBEDDED && tasks != 1)
            check_violation(c, "E0948", l, IMG_NONE, "is computed by %u embedded tasks, expected 1",
                            tasks);
    }
    return SPK_OK;
}

/* ---- encoder, sums ---- */

static bool same_param(const struct ir_param *p, enum ir_dtype type, const void *data, uint64_t n,
                       size_t size)
{
    return p->data && p->dtype == type && ir_param_elements(p) == n &&
           (n == 0 || memcmp(p->data, data, n * size) == 0);
}

static void check_encoder(struct check *c, uint32_t id)
{
    const struct ir_node *n = &c->m->node[id];
    const struct ir_attr_encode *a = &n->a.encode;
    const struct img_encoder *e = &c->im->encoder;
    uint32_t in = n->operand[0], layer = IMG_NONE;

    while (c->m->node[in].op == IR_OP_REPEAT)
        in = c->m->node[in].operand[0];
    const struct ir_node *i = &c->m->node[in];
    for (uint32_t l = 0; l < c->im->n_layers; l++) {
        if (c->rules[l].kind == RULE_HOST && c->rules[l].op == id)
            layer = l;
    }
    const uint32_t norm = i->a.input.normalise ? i->a.input.n_norm : 0;
    const uint32_t have[] = {
        e->present,  e->layer,     e->in_channels, e->in_height,       e->in_width, e->out_channels,
        e->kernel_h, e->kernel_w,  e->stride_h,    e->stride_w,        e->pad_h,    e->pad_w,
        e->x_shift,  e->out_shift, e->m_exp,       (uint32_t)e->m_max, e->n_norm};
    const uint32_t want[] = {1,
                             layer,
                             i->type.channels,
                             i->type.height,
                             i->type.width,
                             n->type.channels,
                             a->conv.kernel_h,
                             a->conv.kernel_w,
                             a->conv.stride_h,
                             a->conv.stride_w,
                             a->conv.pad_h,
                             a->conv.pad_w,
                             a->x_shift,
                             a->out_shift,
                             a->m_exp,
                             (uint32_t)a->m_max,
                             norm};
    static const char *const names[] = {
        "present",         "layer",         "input channels", "input height", "input width",
        "output channels", "kernel height", "kernel width",   "stride in y",  "stride in x",
        "pad in y",        "pad in x",      "x_shift",        "out_shift",    "m_exp",
        "m_max",           "normalisation"};

    for (size_t f = 0; f < sizeof have / sizeof *have; f++) {
        if (have[f] != want[f])
            check_violation(c, "E0950", IMG_NONE, IMG_NONE, "encoder, %s: %u, expected %u",
                            names[f], have[f], want[f]);
    }
    if (norm <= 4 && norm &&
        (!same_floats(e->mean, i->a.input.mean, norm) ||
         !same_floats(e->std, i->a.input.std, norm)))
        check_violation(c, "E0950", IMG_NONE, IMG_NONE, "encoder: another normalisation");
    if (n->n_params < 1 || !same_param(&c->m->param[n->param[0]], IR_DT_I16, c->im->enc_w,
                                       c->im->n_enc_w, sizeof *c->im->enc_w))
        check_violation(c, "E0950", IMG_NONE, IMG_NONE, "encoder weights differ from the module's");
    if (n->n_params > 1 && !same_param(&c->m->param[n->param[1]], IR_DT_I32, c->im->enc_b,
                                       c->im->n_enc_b, sizeof *c->im->enc_b))
        check_violation(c, "E0950", IMG_NONE, IMG_NONE, "encoder biases differ from the module's");
}

static int compare_u32(const void *a, const void *b)
{
    const uint32_t *p = a, *q = b;

    return (*p > *q) - (*p < *q);
}

static spk_status check_sum(struct check *c, uint32_t id)
{
    const struct ir_node *n = &c->m->node[id];
    struct check_layers want = {0}, have = {0};
    const struct img_sum *sum = NULL;
    spk_status status;
    bool ok;

    for (uint64_t i = 0; i < c->im->n_sums; i++) {
        if (n->name && strcmp(c->im->strings[c->im->sums[i].name], n->name) == 0)
            sum = &c->im->sums[i];
    }
    if (!sum) {
        check_violation(c, "E0952", IMG_NONE, IMG_NONE, "recorded sum '%s' is missing",
                        n->name ? n->name : "?");
        return SPK_OK;
    }
    status = check_sources_of(c, id, &want, &ok);
    if (status == SPK_OK && ok)
        status = vec_append(&have, c->im->sum_terms + sum->term_first, sum->n_terms);
    if (status == SPK_OK && ok) {
        qsort(have.data, have.len, sizeof *have.data, compare_u32);
        qsort(want.data, want.len, sizeof *want.data, compare_u32);
        if (have.len != want.len || memcmp(have.data, want.data, have.len * sizeof *have.data) != 0)
            check_violation(c, "E0952", IMG_NONE, IMG_NONE,
                            "recorded sum '%s' has %zu terms, expected %zu, or other layers",
                            n->name, have.len, want.len);
        if (sum->layout != (uint32_t)n->type.layout || sum->bound < n->type.bound)
            check_violation(c, "E0952", IMG_NONE, IMG_NONE,
                            "recorded sum '%s': layout %u, bound %u; expected %u, %u", n->name,
                            sum->layout, sum->bound, (unsigned)n->type.layout, n->type.bound);
    }
    vec_fini(&want);
    vec_fini(&have);
    return status;
}

spk_status check_host(struct check *c)
{
    uint64_t sums = 0;
    bool encoder = false;

    for (uint32_t i = 0; i < c->m->n_nodes; i++) {
        const struct ir_node *n = &c->m->node[i];

        if (n->op == IR_OP_READOUT)
            SPK_TRY(check_readout(c, i));
        if (n->op == IR_OP_ENCODE && n->a.encode.kind == IR_ENCODE_CURRENT) {
            check_encoder(c, i);
            encoder = true;
        }
        if (n->op == IR_OP_ADD && n->recorded) {
            SPK_TRY(check_sum(c, i));
            sums++;
        }
    }
    if (c->im->encoder.present && !encoder)
        check_violation(c, "E0950", IMG_NONE, IMG_NONE, "an encoder, but the model reads events");
    if (c->im->n_sums != sums)
        check_violation(c, "E0952", IMG_NONE, IMG_NONE, "%llu recorded sums, the module has %llu",
                        (unsigned long long)c->im->n_sums, (unsigned long long)sums);
    return check_tasks(c);
}
