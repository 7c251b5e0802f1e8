/* The main line of the chip back end: layers, cores with their groups, in-axons and blocks, then
 * ports, routes and host segments. Tables are vectors that are handed to the image at the end;
 * those that grow with the number of axons are counted beforehand (emit_count.c).
 */
#include "backends/chip/emit.h"

#include <string.h>

#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

static spk_status emit_layers(struct emit *e)
{
    for (uint32_t i = 0; i < e->net->pops.len; i++) {
        const struct map_pop *p = &e->net->pops.data[i];
        struct img_layer l;
        memset(&l, 0, sizeof l);
        SPK_TRY(image_string(e->im, p->name, &l.name));
        l.kind = (uint32_t)p->kind;
        l.channels = p->channels;
        l.height = p->height;
        l.width = p->width;
        l.start = p->start;
        l.recorded = p->recorded;
        l.layout = (uint32_t)p->layout;
        l.payload_bound = p->payload_bound;
        l.phase_base = p->phase_base;
        l.phase_position = p->phase_position;
        l.phase_div = p->phase_div;
        l.phase_mod = p->phase_mod;
        l.order = p->order == NULL ? IMG_NONE : (uint32_t)e->orders.len;
        if (p->order != NULL)
            SPK_TRY(vec_append(&e->orders, p->order, p->channels));
        SPK_TRY(vec_push(&e->layers, l));
    }
    return SPK_OK;
}

/* Core-local configuration of a compartment, found or added. */
static spk_status config_of(struct emit *e, const struct map_pop *p, uint32_t channel,
                            uint16_t *out)
{
    struct img_core *core = &vec_last(&e->cores);
    struct img_config c;
    memset(&c, 0, sizeof c);
    c.vth = map_pop_vth(e->net, p, channel);
    c.decay = p->decay;
    c.current_keep = p->current_keep;
    c.program = (uint8_t)p->program;
    c.soft_reset = p->soft_reset;
    for (uint32_t i = 0; i < core->n_configs; i++) {
        *out = (uint16_t)i;
        if (memcmp(&e->configs.data[core->config_first + i], &c, sizeof c) == 0)
            return SPK_OK;
    }
    if (core->n_configs == UINT16_MAX)
        return diag_nofit(e->diags, p->span, "E0704",
                          "'%s' has more than 65,535 compartment configurations on one core",
                          p->name);
    *out = (uint16_t)core->n_configs++;
    return vec_push(&e->configs, c);
}

static spk_status emit_group(struct emit *e, const struct map_tile *t)
{
    const struct map_pop *p = &e->net->pops.data[t->pop];
    struct img_group g;
    memset(&g, 0, sizeof g);
    g.core = e->core;
    g.layer = t->pop;
    g.y0 = t->y0;
    g.x0 = t->x0;
    g.c0 = t->c0;
    g.ny = t->ny;
    g.nx = t->nx;
    g.nc = t->nc;
    g.pitch = t->pitch;
    g.slice = t->slice;
    g.plane = t->plane;
    g.comp_first = t->comp_first + t->lead;
    g.channel_config = (uint32_t)e->channel_config.len;
    g.channel_bias = IMG_NONE;
    g.host_current = p->host_current;
    g.teach_first = p->teachers ? t->comp_first + t->comps - t->nc : IMG_NONE;
    for (uint32_t c = 0; c < t->nc; c++) {
        uint16_t config;
        SPK_TRY(config_of(e, p, t->c0 + c, &config));
        SPK_TRY(vec_push(&e->channel_config, config));
    }
    if ((p->program == IMG_PROG_PROG || p->program == IMG_PROG_GATED) && p->bias_param != IR_NONE &&
        !p->host_current) {
        g.channel_bias = (uint32_t)e->biases.len;
        for (uint32_t c = 0; c < t->nc; c++)
            SPK_TRY(vec_push(&e->biases, map_pop_bias(e->net, p, t->c0 + c)));
    }
    return vec_push(&e->groups, g);
}

struct sender_ctx {
    struct emit *e;
    const struct map_axon *axon;
    uint32_t in_axon;
};

/* Who sends to an in-axon of this core: out-axons of source cores, or an injection. */
static spk_status emit_sender(void *ctx, uint32_t src, uint32_t channel, uint32_t n)
{
    const struct sender_ctx *c = ctx;
    const struct map_axon *a = c->axon;
    struct emit *e = c->e;
    const struct map_proj *proj = &e->net->projs.data[a->proj];
    const uint32_t pop = proj->source[a->source].pop;
    const struct map_pop *p = &e->net->pops.data[pop];
    if (src == IR_NONE) {
        struct img_injection in;
        memset(&in, 0, sizeof in);
        in.kind = p->kind == IMG_LAYER_INPUT ? IMG_INJECT_EVENTS : IMG_INJECT_EMBEDDED;
        in.layer = pop;
        in.position = a->pos;
        in.channel_first = channel;
        in.n_channels = n;
        in.start = p->start;
        in.core = e->core;
        in.axon = c->in_axon;
        return vec_push(&e->injections, in);
    }
    const struct map_tile *t = &e->m->tiles.data[src];
    const uint32_t y = a->pos / p->width - t->y0, x = a->pos % p->width - t->x0;
    return emit_out(e, src,
                    &(struct img_out_axon){.comp_first = map_tile_comp(t, y, x, channel - t->c0),
                                           .comp_count = n,
                                           .atom_first = channel - a->first_source_channel,
                                           .route = emit_dest(e, IMG_DEST_CORE, e->core),
                                           .dest_axon = c->in_axon,
                                           .kind = (uint8_t)a->kind});
}

static spk_status push_in_axon(struct emit *e, const struct map_axon *a, uint32_t block,
                               uint32_t atoms)
{
    const struct map_proj *p = &e->net->projs.data[a->proj];
    struct img_in_axon in;
    memset(&in, 0, sizeof in);
    in.block = block;
    in.base = a->base;
    in.group = IMG_NONE;
    if (a->conv) {
        in.group = (uint32_t)e->groups.len - 1;
        in.src_width = (uint16_t)p->view_w;
        in.src_height = (uint16_t)p->view_h;
    }
    in.atoms = (uint16_t)atoms;
    in.kind = (uint8_t)a->kind;
    in.port = p->port;
    in.delay = p->source[a->source].delay;
    in.row = p->pos == MAP_POS_ENGINE ? a->first_source_channel : a->row;
    if (p->view_w > UINT16_MAX || p->view_h > UINT16_MAX || atoms > UINT16_MAX)
        return diag_nofit(e->diags, e->net->pops.data[p->target].span, "E0705",
                          "maps and axons are limited to 65,535 positions per axis and atoms");
    vec_last(&e->cores).n_in_axons++;
    return vec_push(&e->in_axons, in);
}

static spk_status emit_axon(void *ctx, const struct map_tile *tile, const struct map_axon *a)
{
    struct emit *e = ctx;
    uint32_t block;
    if (e->target->axon_population) {
        struct sender_ctx c = {e, a, vec_last(&e->cores).n_in_axons};
        block = IMG_NONE; /* an engine's memory has no synapses */
        if (e->net->projs.data[a->proj].pos != MAP_POS_ENGINE)
            SPK_TRY(emit_block(e, tile, a, &block));
        SPK_TRY(push_in_axon(e, a, block, a->n_atoms));
        return map_axon_senders(e->net, a, emit_sender, &c);
    }
    for (uint32_t i = 0; i < a->n_atoms; i++) {
        struct map_axon one = *a;
        struct sender_ctx c = {e, &one, vec_last(&e->cores).n_in_axons};
        one.first_source_channel += i;
        one.first_row_channel = one.first_source_channel;
        one.n_atoms = one.n_rows = 1;
        one.row = 0;
        block = IMG_NONE;
        if (e->net->projs.data[a->proj].pos != MAP_POS_ENGINE)
            SPK_TRY(emit_block_atom(e, tile, &one, &block));
        SPK_TRY(push_in_axon(e, &one, block, 1));
        SPK_TRY(map_axon_senders(e->net, &one, emit_sender, &c));
    }
    return SPK_OK;
}

static spk_status emit_enables(struct emit *e, const struct map_tile *t)
{
    const struct map_pop *p = &e->net->pops.data[t->pop];
    for (int coarse = 0; coarse <= (p->coarse ? 1 : 0) && p->enable; coarse++) {
        struct img_in_axon in;
        struct img_injection inj;
        uint32_t offset;
        memset(&in, 0, sizeof in);
        memset(&inj, 0, sizeof inj);
        in.base = map_axon_base(e->target, t->comp_first, &offset);
        SPK_TRY(emit_enable_block(e, t, coarse != 0, offset, &in.block));
        in.group = IMG_NONE;
        in.atoms = 1;
        in.kind = IMG_AXON_DISCRETE;
        inj.kind = IMG_INJECT_ENABLE;
        inj.layer = t->pop;
        inj.n_channels = 1;
        inj.start = p->start - 1;
        inj.core = e->core;
        inj.axon = vec_last(&e->cores).n_in_axons++;
        SPK_TRY(vec_push(&e->in_axons, in));
        SPK_TRY(vec_push(&e->injections, inj));
    }
    return SPK_OK;
}

/* A tile's blocks are its own: the keys of two tiles of a layer would be equal where only their
 * first compartments differ. */
static spk_status emit_tile(struct emit *e, const struct map_tile *t)
{
    block_map_clear(&e->tile_blocks);
    SPK_TRY(emit_group(e, t));
    SPK_TRY(map_tile_axons(e->net, t, emit_axon, e));
    return emit_enables(e, t);
}

static spk_status emit_core(struct emit *e, uint32_t core)
{
    const struct mapping *m = e->m;
    const struct map_place *place = &m->place[core];
    const uint32_t end = m->core_first[core + 1];
    const struct map_tile *last = &m->tiles.data[m->core_tile[end - 1]];
    struct img_core c;
    memset(&c, 0, sizeof c);
    e->core = core;
    c.chip = place->chip;
    c.x = place->x;
    c.y = place->y;
    c.neurons = last->comp_first + last->comps;
    c.group_first = (uint32_t)e->groups.len;
    c.n_groups = end - m->core_first[core];
    c.config_first = (uint32_t)e->configs.len;
    c.in_axon_first = (uint32_t)e->in_axons.len;
    c.block_first = (uint32_t)e->blocks.len;
    SPK_TRY(vec_push(&e->cores, c));
    vec_clear(&e->core_formats);
    for (uint32_t i = m->core_first[core]; i < end; i++)
        SPK_TRY(emit_tile(e, &m->tiles.data[m->core_tile[i]]));
    vec_last(&e->cores).n_blocks = (uint32_t)e->blocks.len - c.block_first;
    return SPK_OK;
}

static spk_status emit_cores(struct emit *e)
{
    spk_status status = SPK_OK;
    progress_begin(e->progress, "emitting", e->m->n_cores);
    for (uint32_t i = 0; i < e->m->n_cores && status == SPK_OK; i++) {
        status = emit_core(e, i);
        if (status == SPK_OK && i % 64 == 0)
            status = progress_update(e->progress, i);
    }
    progress_end(e->progress);
    return status;
}

static spk_status emit_all(struct emit *e, const char *provenance)
{
    SPK_TRY(emit_layers(e));
    SPK_TRY(emit_reserve(e));
    SPK_TRY(emit_cores(e));
    SPK_TRY(emit_ports(e));
    SPK_TRY(emit_routes(e));
    return emit_host(e, provenance);
}

spk_status chip_emit(const struct mapping *m, const char *provenance,
                     const struct progress *progress, struct diag_list *diags, struct image *out)
{
    struct emit *e;
    image_init(out);
    SPK_TRY(spk_alloc_array(1, sizeof *e, &e));
    e->m = m;
    e->net = &m->net;
    e->target = m->net.target;
    e->progress = progress;
    e->diags = diags;
    e->im = out;
    spk_status status = emit_all(e, provenance);
#define HAND_OVER(type, name) \
    out->name = e->name.data; \
    out->n_##name = e->name.len;
    IMG_TABLES(HAND_OVER)
#undef HAND_OVER
    emit_table_fini(&e->stored_bytes);
    emit_table_fini(&e->stored_kernels);
    emit_table_fini(&e->stored_contents);
    vec_fini(&e->made);
    vec_fini(&e->pieces);
    vec_fini(&e->kernel_first);
    spk_free(e->out_first);
    spk_free(e->out_next);
    vec_fini(&e->core_formats);
    block_map_fini(&e->content_map);
    block_map_fini(&e->tile_blocks);
    spk_free(e);
    if (status != SPK_OK)
        image_fini(out);
    return status;
}
