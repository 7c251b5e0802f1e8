/* Checks of an image's host side: meta, layers, encoder, head, recorded sums, embedded tasks, ports
 * and injections. See image_validate.c for the whole.                                          */
#include "ir/image_validate.h"
#include "ir/ir.h"
#include "ir/target.h"

#define MAX_MESH 65536u
#define MAX_SHIFT 24u

void img_check_meta(struct check *c)
{
    const struct img_meta *m = &c->im->meta;
    img_row_is(c, "meta", 0);
    img_equals(c, "schema", m->schema, IMG_SCHEMA, "the version of this program");
    img_at_least(c, "timesteps", m->timesteps, 1, "");
    img_at_most(c, "timesteps", m->timesteps, 65535, "");
    img_at_least(c, "interval", m->interval, m->timesteps, "the time steps of an image");
    img_at_most(c, "interval", m->interval, IMG_MAX_STEP, "");
    img_at_most(c, "latency", m->latency, IMG_MAX_STEP, "");
    img_at_least(c, "state_bits", m->state_bits, 2, "");
    img_at_least(c, "ticks", m->ticks, 1, "");
    img_at_most(c, "ticks", m->ticks, 65535, "");
    img_at_most(c, "word_bits", m->word_bits, 65536, "");
    img_at_most(c, "message", m->message, TGT_MESSAGE_CORE, "");
    img_at_most(c, "state_bits", m->state_bits, 32, "");
    img_at_most(c, "payload_bits", m->payload_bits, 32, "");
    img_at_most(c, "threshold_shift", m->threshold_shift, MAX_SHIFT, "");
    const uint32_t mesh[] = {m->chips_x, m->chips_y, m->cores_x, m->cores_y, m->tile_w, m->tile_h};
    static const char *const fields[] = {"chips_x", "chips_y", "cores_x",
                                         "cores_y", "tile_w",  "tile_h"};
    for (size_t i = 0; i < sizeof mesh / sizeof mesh[0]; i++) {
        img_at_least(c, fields[i], mesh[i], 1, "");
        img_at_most(c, fields[i], mesh[i], MAX_MESH, "");
    }
    img_below(c, "target_name", m->target_name, c->im->n_strings, "the number of strings");
    img_below(c, "system_name", m->system_name, c->im->n_strings, "the number of strings");
    img_below(c, "provenance", m->provenance, c->im->n_strings, "the number of strings");
}

/* An order names every channel once. */
static spk_status check_order(struct check *c, const struct img_layer *l)
{
    const struct image *im = c->im;
    uint8_t *seen;
    if (l->order == IMG_NONE ||
        !img_range(c, "order", l->order, l->channels, im->n_orders, "the number of orders"))
        return SPK_OK;
    SPK_TRY(spk_alloc_array(l->channels, 1, &seen));
    for (uint32_t i = 0; i < l->channels; i++) {
        const uint32_t channel = im->orders[l->order + i];
        if (!img_below(c, "order", channel, l->channels, "the channels of the layer"))
            break;
        if (!img_equals(c, "order", seen[channel], 0, "how often its channel was named before"))
            break;
        seen[channel] = 1;
    }
    spk_free(seen);
    return SPK_OK;
}

spk_status img_check_layers(struct check *c)
{
    for (uint64_t i = 0; i < c->im->n_layers && img_row_is(c, "layers", i); i++) {
        const struct img_layer *l = &c->im->layers[i];
        img_below(c, "name", l->name, c->im->n_strings, "the number of strings");
        img_at_most(c, "kind", l->kind, IMG_LAYER_EMBEDDED, "");
        img_at_least(c, "channels", l->channels, 1, "");
        img_at_least(c, "height", l->height, 1, "");
        img_at_least(c, "width", l->width, 1, "");
        uint64_t n;
        if (__builtin_mul_overflow(img_positions(l), (uint64_t)l->channels, &n))
            n = UINT64_MAX;
        img_at_most(c, "channels", n, UINT32_MAX, "the largest number of logical neurons");
        img_at_most(c, "start", l->start, IMG_MAX_STEP, "");
        img_at_most(c, "recorded", l->recorded, 1, "");
        img_at_most(c, "layout", l->layout, IR_C, "");
        img_at_least(c, "payload_bound", l->payload_bound, 1, "");
        if (l->phase_mod)
            img_at_least(c, "phase_div", l->phase_div, 1, "");
        img_below(c, "phase_base", img_layer_last_phase(l), c->im->meta.ticks,
                  "the ticks of a step; the last neuron's phase");
        SPK_TRY(check_order(c, l));
    }
    return SPK_OK;
}

/* Channels and position of a port inside a map. */
static void check_port(struct check *c, uint64_t position, uint64_t channel_first,
                       uint64_t n_channels, uint64_t n_positions, uint64_t channels)
{
    img_below(c, "position", position, n_positions, "the positions of the layer");
    img_at_least(c, "n_channels", n_channels, 1, "");
    img_range(c, "channel_first", channel_first, n_channels, channels, "the channels of the layer");
}

void img_check_host(struct check *c)
{
    const struct image *im = c->im;
    for (uint64_t i = 0; i < im->n_injections && img_row_is(c, "injections", i); i++) {
        const struct img_injection *j = &im->injections[i];
        img_at_most(c, "kind", j->kind, IMG_INJECT_EMBEDDED, "");
        img_at_most(c, "start", j->start, IMG_MAX_STEP, "");
        if (!img_below(c, "layer", j->layer, im->n_layers, "the number of layers") ||
            !img_below(c, "core", j->core, im->n_cores, "the number of cores"))
            continue;
        const struct img_core *k = &im->cores[j->core];
        const struct img_layer *l = &im->layers[j->layer];
        bool axon = img_below(c, "axon", j->axon, k->n_in_axons, "the in-axons of the core");
        if (j->kind == IMG_INJECT_ENABLE)
            continue;
        if (axon)
            img_at_most(c, "n_channels", j->n_channels,
                        im->in_axons[k->in_axon_first + j->axon].atoms, "the atoms of the in-axon");
        img_equals(c, "layer", l->kind,
                   j->kind == IMG_INJECT_EVENTS ? IMG_LAYER_INPUT : IMG_LAYER_EMBEDDED,
                   "the kind of layer this injection needs");
        check_port(c, j->position, j->channel_first, j->n_channels, img_positions(l), l->channels);
    }
    for (uint64_t i = 0; i < im->n_host_ports && img_row_is(c, "host_ports", i); i++) {
        const struct img_host_port *p = &im->host_ports[i];
        if (!img_below(c, "layer", p->layer, im->n_layers, "the number of layers"))
            continue;
        const struct img_layer *l = &im->layers[p->layer];
        check_port(c, p->position, p->channel_first, p->n_channels, img_positions(l), l->channels);
        if (im->head.classes)
            img_range(c, "channel_first", p->channel_first, p->n_channels, im->head.channels,
                      "the channels of the head");
    }
}

/* Heads and columns of a task; what an engine computes is the one group of its core. */
static void check_part(struct check *c, const struct img_embedded *e)
{
    const struct image *im = c->im;
    if (e->heads == 0 || e->channels % e->heads != 0)
        return; /* reported */
    const uint32_t d = e->channels / e->heads;
    bool ok = img_range(c, "head_first", e->head_first, e->head_count, e->heads, "the heads");
    ok &= img_range(c, "column_first", e->column_first, e->columns, d, "the channels of a head");
    ok &= img_at_least(c, "head_count", e->head_count, 1, "");
    ok &= img_at_least(c, "columns", e->columns, 1, "");
    img_at_most(c, "qk_first", e->qk_first, 1, "");
    if (e->head_count > 1 || e->core == IMG_NONE)
        ok &= img_equals(c, "columns", e->columns, d, "all of a head, as there are several");
    if (e->core == IMG_NONE) {
        img_equals(c, "head_count", e->head_count, e->heads, "all heads, on a processor");
        return;
    }
    if (!img_below(c, "core", e->core, im->n_cores, "the number of cores") || !ok)
        return;
    const struct img_core *k = &im->cores[e->core];
    img_equals(c, "n_ports", e->n_ports, 0, "none, as it has a core");
    if (!img_equals(c, "core", k->n_groups, 1, "the groups of its core"))
        return;
    const struct img_group *g = &im->groups[k->group_first];
    img_equals(c, "layer", g->layer, e->layer, "the layer of its core");
    img_equals(c, "tokens", (uint64_t)g->ny * g->nx, e->tokens, "all positions of its group");
    img_equals(c, "head_first", g->c0, e->head_first * d + e->column_first,
               "the first channel of its group");
    img_equals(c, "columns", g->nc, e->head_count * e->columns, "the channels of its group");
    img_equals(c, "slice", g->slice, g->nc, "a plain group");
    img_equals(c, "pitch", g->pitch, g->nx, "a plain group");
}

static void check_task(struct check *c, const struct img_embedded *e, uint64_t *port_end)
{
    const struct image *im = c->im;
    const uint32_t layer[] = {e->layer, e->q_layer, e->k_layer, e->v_layer};
    static const char *const fields[] = {"layer", "q_layer", "k_layer", "v_layer"};
    for (size_t i = 0; i < 4; i++) {
        if (!img_below(c, fields[i], layer[i], im->n_layers, "the number of layers"))
            continue;
        const struct img_layer *l = &im->layers[layer[i]];
        img_equals(c, "channels", e->channels, l->channels, fields[i]);
        img_equals(c, "tokens", e->tokens, img_positions(l), fields[i]);
        if (!i)
            img_equals(c, "layer", l->kind == IMG_LAYER_EMBEDDED, e->core == IMG_NONE,
                       "whether a processor computes the task");
    }
    check_part(c, e);
    img_below(c, "chip", e->chip, (uint64_t)im->meta.chips_x * im->meta.chips_y,
              "the number of chips");
    img_at_most(c, "decay", e->decay, 4096, "");
    img_at_least(c, "bits", e->bits, 2, "");
    img_at_most(c, "bits", e->bits, 32, "");
    if (img_at_least(c, "heads", e->heads, 1, ""))
        img_equals(c, "heads", e->channels % e->heads, 0, "the rest of channels / heads");
    if (!img_range(c, "port_first", e->port_first, e->n_ports, im->n_embedded_ports,
                   "the number of embedded_ports") ||
        !e->n_ports ||
        !img_at_least(c, "port_first", e->port_first, *port_end, "the end of the task before"))
        return;
    *port_end = (uint64_t)e->port_first + e->n_ports;
    for (uint64_t i = e->port_first; i < *port_end && img_row_is(c, "embedded_ports", i); i++) {
        const struct img_embedded_port *p = &im->embedded_ports[i];
        img_at_most(c, "operand", p->operand, 2, "");
        check_port(c, p->position, p->channel_first, p->n_channels, e->tokens, e->channels);
    }
}

void img_check_sums(struct check *c)
{
    const struct image *im = c->im;
    uint64_t end = 0;
    for (uint64_t i = 0; i < im->n_sum_terms && img_row_is(c, "sum_terms", i); i++)
        img_below(c, "layer", im->sum_terms[i], im->n_layers, "the number of layers");
    if (c->reports)
        return;
    for (uint64_t i = 0; i < im->n_sums && img_row_is(c, "sums", i); i++) {
        const struct img_sum *s = &im->sums[i];
        img_below(c, "name", s->name, im->n_strings, "the number of strings");
        img_at_most(c, "layout", s->layout, IR_C, "");
        img_at_least(c, "n_terms", s->n_terms, 1, "");
        if (!img_range(c, "term_first", s->term_first, s->n_terms, im->n_sum_terms,
                       "the number of sum_terms") ||
            !s->n_terms ||
            !img_at_least(c, "term_first", s->term_first, end, "the end of the sum before"))
            continue;
        end = (uint64_t)s->term_first + s->n_terms;
        const struct img_layer *a = &im->layers[im->sum_terms[s->term_first]];
        for (uint32_t j = 1; j < s->n_terms; j++) {
            const struct img_layer *b = &im->layers[im->sum_terms[s->term_first + j]];
            img_equals(c, "channels of a term", b->channels, a->channels, "those of the first");
            img_equals(c, "positions of a term", img_positions(b), img_positions(a),
                       "those of the first");
        }
    }
}

static uint64_t conv_out(uint64_t size, uint64_t kernel, uint64_t stride, uint64_t pad)
{
    uint64_t padded = size + 2 * pad;
    return padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

void img_check_encoder(struct check *c)
{
    const struct image *im = c->im;
    const struct img_encoder *e = &im->encoder;
    img_row_is(c, "encoder", 0);
    img_at_most(c, "present", e->present, 1, "");
    img_at_most(c, "n_norm", e->n_norm, 4, "");
    if (e->present != 1) {
        img_equals(c, "enc_w", im->n_enc_w, 0, "as there is no encoder");
        img_equals(c, "enc_b", im->n_enc_b, 0, "as there is no encoder");
        return;
    }
    const uint32_t least1[] = {e->in_channels, e->in_height, e->in_width, e->out_channels,
                               e->kernel_h,    e->kernel_w,  e->stride_h, e->stride_w};
    static const char *const fields[] = {"in_channels", "in_height", "in_width", "out_channels",
                                         "kernel_h",    "kernel_w",  "stride_h", "stride_w"};
    bool ok = true;
    for (size_t i = 0; i < 8; i++) {
        ok &= img_at_least(c, fields[i], least1[i], 1, "");
        ok &= img_at_most(c, fields[i], least1[i], 65535, "");
    }
    ok &= img_at_most(c, "pad_h", e->pad_h, 65535, "");
    ok &= img_at_most(c, "pad_w", e->pad_w, 65535, "");
    ok &= img_below(c, "layer", e->layer, im->n_layers, "the number of layers");
    img_at_most(c, "x_shift", e->x_shift, 30, "");
    img_at_most(c, "out_shift", e->out_shift, 62, "");
    img_at_most(c, "m_exp", e->m_exp, 31, "");
    img_at_most(c, "m_max", (uint64_t)(e->m_max < 0 ? -(int64_t)e->m_max : e->m_max), INT32_MAX,
                "");
    if (e->m_max < 0)
        img_report(c, "m_max", (uint64_t) - (int64_t)e->m_max, "the negative of at least", 0, "");
    if (!ok)
        return;
    const struct img_layer *l = &im->layers[e->layer];
    img_equals(c, "out_channels", e->out_channels, l->channels, "the channels of its layer");
    img_equals(c, "in_height", conv_out(e->in_height, e->kernel_h, e->stride_h, e->pad_h),
               l->height, "the height of its layer, after the convolution");
    img_equals(c, "in_width", conv_out(e->in_width, e->kernel_w, e->stride_w, e->pad_w), l->width,
               "the width of its layer, after the convolution");
    uint64_t kernel = (uint64_t)e->in_channels * e->kernel_h * e->kernel_w, n;
    if (__builtin_mul_overflow(kernel, (uint64_t)e->out_channels, &n))
        n = UINT64_MAX;
    img_equals(c, "enc_w", im->n_enc_w, n, "out x in x kernel_h x kernel_w");
    img_equals(c, "enc_b", im->n_enc_b, e->out_channels, "the output channels");
}

void img_check_head(struct check *c)
{
    const struct image *im = c->im;
    const struct img_head *h = &im->head;
    img_row_is(c, "head", 0);
    img_equals(c, "head_w", im->n_head_w, (uint64_t)h->classes * h->channels, "classes x channels");
    if (im->n_head_b)
        img_equals(c, "head_b", im->n_head_b, h->classes, "the classes");
    if (h->classes) {
        img_at_least(c, "divisor", h->divisor, 1, "");
        img_at_least(c, "channels", h->channels, 1, "");
    }
    img_row_is(c, "prices", 0);
    img_equals(c, "length", im->n_prices, (uint64_t)TGT_ENERGY_COUNT + TGT_TIME_COUNT,
               "energies and times");
}

void img_check_tasks(struct check *c)
{
    uint64_t port_end = 0;
    for (uint64_t i = 0; i < c->im->n_embedded && img_row_is(c, "embedded", i); i++)
        check_task(c, &c->im->embedded[i], &port_end);
}
