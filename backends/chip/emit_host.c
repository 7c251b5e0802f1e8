/* Host segments and everything that belongs to no core: encoder, head, read-out and embedded
 * ports, recorded sums, prices, meta data. */
#include <math.h>
#include <string.h>

#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

static spk_status emit_encoder(struct emit *e)
{
    const struct ir_module *m = e->net->module;
    struct img_encoder *enc = &e->im->encoder;
    memset(enc, 0, sizeof *enc);
    if (e->net->encode_node == IR_NONE)
        return SPK_OK;
    const struct ir_node *n = &m->node[e->net->encode_node];
    const struct ir_node *in = &m->node[n->operand[0]];
    const struct ir_attr_encode *a = &n->a.encode;
    const struct ir_param *w = &m->param[n->param[0]], *b = &m->param[n->param[1]];
    while (in->op == IR_OP_REPEAT)
        in = &m->node[in->operand[0]];
    enc->present = 1;
    for (size_t i = 0; i < e->net->pops.len; i++)
        if (e->net->pops.data[i].host_current)
            enc->layer = (uint32_t)i;
    enc->in_channels = in->type.channels;
    enc->in_height = in->type.height;
    enc->in_width = in->type.width;
    enc->out_channels = n->type.channels;
    enc->kernel_h = a->conv.kernel_h;
    enc->kernel_w = a->conv.kernel_w;
    enc->stride_h = a->conv.stride_h;
    enc->stride_w = a->conv.stride_w;
    enc->pad_h = a->conv.pad_h;
    enc->pad_w = a->conv.pad_w;
    enc->x_shift = a->x_shift;
    enc->out_shift = a->out_shift;
    enc->m_exp = a->m_exp;
    enc->m_max = a->m_max;
    enc->n_norm = in->a.input.normalise ? in->a.input.n_norm : 0;
    memcpy(enc->mean, in->a.input.mean, sizeof enc->mean);
    memcpy(enc->std, in->a.input.std, sizeof enc->std);
    SPK_TRY(vec_append(&e->enc_w, (const int16_t *)w->data, ir_param_elements(w)));
    return vec_append(&e->enc_b, (const int32_t *)b->data, ir_param_elements(b));
}

static spk_status emit_head(struct emit *e)
{
    const struct ir_module *m = e->net->module;
    const struct ir_node *n = &m->node[e->net->readout_node];
    const struct ir_param *w = &m->param[n->param[0]];
    struct img_head *h = &e->im->head;
    h->classes = w->dim[0];
    h->channels = w->dim[1];
    h->divisor = n->a.readout.divisor;
    SPK_TRY(vec_append(&e->head_w, (const float *)w->data, ir_param_elements(w)));
    if (n->n_params > 1)
        return vec_append(&e->head_b, (const float *)m->param[n->param[1]].data, h->classes);
    for (uint32_t i = 0; i < h->classes; i++)
        SPK_TRY(vec_push(&e->head_b, 0.0f));
    return SPK_OK;
}

static spk_status push_port_axon(struct emit *e, uint32_t tile, uint32_t pos_in_tile, uint32_t dest,
                                 size_t port)
{
    const struct map_tile *t = &e->m->tiles.data[tile];
    const bool population = e->target->axon_population;
    const uint32_t each = population ? t->nc : 1, y = pos_in_tile / t->nx, x = pos_in_tile % t->nx;
    for (uint32_t c = 0; c < t->nc; c += each) {
        const struct img_out_axon out = {.comp_first = map_tile_comp(t, y, x, c),
                                         .comp_count = each,
                                         .atom_first = c,
                                         .route = dest,
                                         .dest_axon = (uint32_t)port,
                                         .kind = population ? IMG_AXON_POP16 : IMG_AXON_DISCRETE};
        SPK_TRY(emit_out(e, tile, &out));
    }
    return SPK_OK;
}

/* One port per position of every tile of `pop`. */
static spk_status emit_pop_ports(struct emit *e, uint32_t pop, uint32_t task, uint32_t operand)
{
    const struct map_pop *p = &e->net->pops.data[pop];
    const uint32_t n = p->gh * p->gw * p->gc;
    for (uint32_t i = 0; i < n; i++) {
        const struct map_tile *t = &e->m->tiles.data[p->tile_first + i];
        for (uint32_t at = 0; at < t->ny * t->nx; at++) {
            uint32_t pos = (t->y0 + at / t->nx) * p->width + t->x0 + at % t->nx;
            if (task == IMG_NONE) {
                struct img_host_port h = {pop, pos, t->c0, t->nc};
                SPK_TRY(push_port_axon(e, p->tile_first + i, at, emit_dest(e, IMG_DEST_HOST, 0),
                                       e->host_ports.len));
                SPK_TRY(vec_push(&e->host_ports, h));
            } else {
                struct img_embedded_port q = {operand, pos, t->c0, t->nc};
                SPK_TRY(push_port_axon(e, p->tile_first + i, at,
                                       emit_dest(e, IMG_DEST_EMBEDDED, task),
                                       e->embedded_ports.len));
                SPK_TRY(vec_push(&e->embedded_ports, q));
            }
        }
    }
    return SPK_OK;
}

/* What a task on a processor and one on an engine core have in common. */
static struct img_embedded task_of(const struct emit *e, uint32_t pop)
{
    const struct map_pop *p = &e->net->pops.data[pop];
    struct img_embedded t;
    memset(&t, 0, sizeof t);
    t.layer = pop;
    t.core = IMG_NONE;
    t.head_count = t.heads = p->heads;
    t.columns = p->channels / p->heads;
    t.qk_first = p->qk_first;
    t.channels = p->channels;
    t.tokens = p->height * p->width;
    t.unit = p->unit;
    t.vth = map_pop_vth(e->net, p, 0);
    t.decay = p->decay;
    t.bits = e->target->arith.state_bits;
    t.q_layer = p->q;
    t.k_layer = p->k;
    t.v_layer = p->v;
    t.port_first = (uint32_t)e->embedded_ports.len;
    return t;
}

static spk_status emit_task(struct emit *e, uint32_t pop, uint32_t task)
{
    const uint64_t procs = tgt_limit_value(e->target, TGT_EMBEDDED_PER_CHIP);
    const uint32_t per_chip = procs == UINT64_MAX || procs == 0 ? 1 : (uint32_t)procs;
    struct img_embedded t = task_of(e, pop);
    const uint32_t operand[3] = {t.q_layer, t.k_layer, t.v_layer};
    t.chip = e->m->chip[task / per_chip].number;
    t.processor = task % per_chip;
    SPK_TRY(vec_push(&e->embedded, t));
    for (uint32_t o = 0; o < 3; o++)
        SPK_TRY(emit_pop_ports(e, operand[o], task, o));
    vec_last(&e->embedded).n_ports = (uint32_t)e->embedded_ports.len - t.port_first;
    return SPK_OK;
}

/* One task per tile of a population on engine cores. */
static spk_status emit_engines(struct emit *e, uint32_t pop)
{
    const struct map_pop *p = &e->net->pops.data[pop];
    const uint32_t d = p->channels / p->heads;
    for (uint32_t i = p->tile_first; i < p->tile_first + p->gh * p->gw * p->gc; i++) {
        const struct map_tile *tile = &e->m->tiles.data[i];
        struct img_embedded t = task_of(e, pop);
        t.core = tile->core;
        t.chip = e->m->place[tile->core].chip;
        t.head_first = tile->c0 / d;
        t.head_count = tile->nc < d ? 1 : tile->nc / d;
        t.column_first = tile->c0 % d;
        t.columns = tile->nc < d ? tile->nc : d;
        SPK_TRY(vec_push(&e->embedded, t));
    }
    return SPK_OK;
}

spk_status emit_ports(struct emit *e)
{
    uint32_t task = 0;
    for (uint32_t i = 0; i < e->net->pops.len; i++) {
        const struct map_pop *p = &e->net->pops.data[i];
        if (p->kind == IMG_LAYER_EMBEDDED)
            SPK_TRY(emit_task(e, i, task++));
    }
    for (uint32_t i = 0; i < e->net->pops.len; i++)
        if (e->net->pops.data[i].engine > 0)
            SPK_TRY(emit_engines(e, i));
    for (uint32_t i = 0; i < e->net->pops.len; i++) {
        const struct map_pop *p = &e->net->pops.data[i];
        if (p->readout && p->has_compartments)
            SPK_TRY(emit_pop_ports(e, i, IMG_NONE, 0));
        else if (p->readout)
            return diag_nofit(e->diags, p->span, "E0703",
                              "the read-out reads '%s', which does not run on a core", p->name);
    }
    return SPK_OK;
}

static spk_status emit_sums(struct emit *e)
{
    for (size_t i = 0; i < e->net->sums.len; i++) {
        const struct map_sum *s = &e->net->sums.data[i];
        struct img_sum o;
        memset(&o, 0, sizeof o);
        SPK_TRY(image_string(e->im, s->name, &o.name));
        o.layout = (uint32_t)s->layout;
        o.term_first = (uint32_t)e->sum_terms.len;
        o.n_terms = s->n_terms;
        o.bound = s->bound;
        SPK_TRY(vec_append(&e->sum_terms, s->term, s->n_terms));
        SPK_TRY(vec_push(&e->sums, o));
    }
    return SPK_OK;
}

static spk_status emit_prices(struct emit *e)
{
    const struct tgt *t = e->target;
    for (int i = 0; i < TGT_ENERGY_COUNT; i++)
        SPK_TRY(
            vec_push(&e->prices, t->energy_pj[i].present ? t->energy_pj[i].value : (double)NAN));
    for (int i = 0; i < TGT_TIME_COUNT; i++)
        SPK_TRY(vec_push(&e->prices, t->time_ns[i].present ? t->time_ns[i].value : (double)NAN));
    return SPK_OK;
}

spk_status emit_host(struct emit *e, const char *provenance)
{
    const struct tgt *t = e->target;
    struct img_meta *m = &e->im->meta;
    m->schema = IMG_SCHEMA;
    m->timesteps = e->net->timesteps;
    m->interval = e->net->interval;
    m->latency = e->net->latency;
    m->state_bits = t->arith.state_bits;
    m->payload_bits = t->arith.payload_bits;
    m->chips_x = e->m->system->chips_x;
    m->chips_y = e->m->system->chips_y;
    m->cores_x = t->cores_x;
    m->cores_y = t->cores_y;
    m->tile_w = t->tile_w;
    m->tile_h = t->tile_h;
    m->threshold_shift = t->arith.threshold_shift;
    m->ticks = e->net->ticks;
    m->message = (uint32_t)t->message;
    m->word_bits = t->engine.per_chip ? t->engine.word_bits : 0;
    m->seed = e->m->seed;
    SPK_TRY(image_string(e->im, t->name, &m->target_name));
    SPK_TRY(image_string(e->im, e->m->system->name, &m->system_name));
    SPK_TRY(image_string(e->im, provenance, &m->provenance));
    SPK_TRY(emit_encoder(e));
    SPK_TRY(emit_head(e));
    SPK_TRY(emit_sums(e));
    return emit_prices(e);
}
