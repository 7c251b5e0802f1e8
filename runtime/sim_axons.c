/* Simulator, part 2: axon tables made ready.
 *
 * In-axons get global compartment numbers and their content. Out-axons of a core are inverted: its
 * neurons are cut into segments that share the same set of entries (in practice one per
 * source position and channel tile), so that a spike finds its entries with two look-ups and the
 * tables stay linear in the number of entries. Cores are found by place through a sorted list. */
#include "runtime/sim_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"

static spk_status bad(struct diag_list *d, const char *what, uint64_t index, const char *why)
{
    return diag_error(d, diag_place(d, "chip image"), "E0841", "%s %llu: %s", what,
                      (unsigned long long)index, why);
}

static bool inside(uint64_t first, uint64_t count, uint64_t limit)
{
    return first <= limit && count <= limit - first;
}

struct place {
    uint32_t chip, y, x, core;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *p = a, *q = b;

    if (p->chip != q->chip)
        return p->chip < q->chip ? -1 : 1;
    if (p->y != q->y)
        return p->y < q->y ? -1 : 1;
    return (p->x > q->x) - (p->x < q->x);
}

/* Checks a content and gives one more than the largest run end (LIST). */
static spk_status check_content(const struct image *im, uint64_t i, struct diag_list *d,
                                uint64_t *out_extent)
{
    const struct img_content *c = &im->contents[i];

    *out_extent = 0;
    if (c->n_rows > 65536)
        return bad(d, "content", i, "more than 65536 rows");
    if (c->kind == IMG_BLOCK_CONV) {
        uint64_t taps = (uint64_t)c->kernel_h * c->kernel_w * c->nc;
        if (c->stride == 0 || taps == 0 || taps > (1u << 31) ||
            !inside(c->weight_first, c->n_rows * taps, im->n_weights))
            return bad(d, "content", i, "bad kernel, or its weights leave their table");
        return SPK_OK;
    }
    if (c->kind != IMG_BLOCK_LIST && c->kind != IMG_BLOCK_PLASTIC)
        return bad(d, "content", i, "unknown kind");
    if (!inside(c->row_first, c->n_rows, im->n_rows))
        return bad(d, "content", i, "its rows leave their table");
    for (uint64_t r = c->row_first; r < c->row_first + c->n_rows; r++) {
        if (!inside(im->rows[r].run_first, im->rows[r].n_runs, im->n_runs))
            return bad(d, "row", r, "its runs leave their table");
        for (uint32_t j = 0; j < im->rows[r].n_runs; j++) {
            const struct img_run *run = &im->runs[im->rows[r].run_first + j];
            uint64_t end = (uint64_t)run->start + run->length;

            if (!inside(run->weight_first, run->length, im->n_weights))
                return bad(d, "run", im->rows[r].run_first + j, "its weights leave their table");
            *out_extent = end > *out_extent ? end : *out_extent;
        }
    }
    return SPK_OK;
}

/* An in-axon of an attention engine: its atoms are channels row .. of token `base`. */
static spk_status build_engine_axon(struct sim *s, uint32_t core, uint32_t i, struct diag_list *d)
{
    const struct img_in_axon *a = &s->im->in_axons[i];
    const uint32_t task = s->core_task[core];

    if (task == IMG_NONE || a->port > IMG_PORT_V || a->delay > SIM_MAX_DELAY ||
        a->base >= s->im->embedded[task].tokens ||
        !sim_task_reads(s->im, task, (uint32_t)a->port - IMG_PORT_Q, a->row, a->atoms))
        return bad(d, "in-axon", i, "is no operand of an attention engine's task");
    s->axons[i] = (struct sim_axon){.core = core,
                                    .group = s->cores[core].group_first,
                                    .base = a->base,
                                    .delay = (uint16_t)a->delay,
                                    .atoms = a->atoms,
                                    .row = a->row,
                                    .port = a->port,
                                    .ticks = SIM_TASK};
    return SPK_OK;
}

static spk_status build_in_axon(struct sim *s, uint32_t core, uint32_t i, const uint64_t *extent,
                                struct diag_list *d)
{
    const struct image *im = s->im;
    const struct img_core *c = &im->cores[core];
    const struct img_in_axon *a = &im->in_axons[i];
    const struct img_block *b;
    const struct img_content *t;
    struct sim_axon *o = &s->axons[i];

    if (a->port >= IMG_PORT_Q)
        return build_engine_axon(s, core, i, d);
    if (a->block - c->block_first >= c->n_blocks || im->blocks[a->block].core != core)
        return bad(d, "in-axon", i, "its block is not on its core");
    b = &im->blocks[a->block];
    if (b->content >= im->n_contents || im->contents[b->content].kind != b->kind || b->shift > 24)
        return bad(d, "block", a->block, "unknown content, wrong kind or shift above 24");
    t = &im->contents[b->content];
    if (a->delay > SIM_MAX_DELAY || a->port > IMG_PORT_TEACH ||
        !inside(a->row, a->atoms, t->n_rows))
        return bad(d, "in-axon", i, "delay, port or number of atoms is out of range");
    *o = (struct sim_axon){.core = core,
                           .content = b->content,
                           .delay = (uint16_t)a->delay,
                           .atoms = a->atoms,
                           .row = a->row,
                           .kind = b->kind,
                           .shift = b->shift,
                           .port = a->port};
    o->group = img_axon_group(im, core, a);
    if (b->kind != IMG_BLOCK_CONV) {
        if (!inside(a->base, extent[b->content], c->neurons))
            return bad(d, "in-axon", i, "a target lies outside its core");
        o->base = s->cores[core].first + a->base;
        return sim_ticks_axon(s, i, extent[b->content], d);
    }
    if (a->group - c->group_first >= c->n_groups || s->groups[a->group].nc != t->nc)
        return bad(d, "in-axon", i, "its target group is not on its core or of another width");
    if (s->groups[a->group].slice != t->nc)
        return bad(d, "in-axon", i, "convolution onto a group of several slices");
    const struct img_layer *l = &im->layers[s->groups[a->group].layer];
    if (l->height > 65536 || l->width > 65536)
        return bad(d, "in-axon", i, "convolution onto a map wider or higher than 65536");
    if (a->src_width == 0 || a->base >= (uint32_t)a->src_width * a->src_height)
        return bad(d, "in-axon", i, "its source position lies outside the source map");
    o->base = a->group;
    o->sy = (uint16_t)(a->base / a->src_width);
    o->sx = (uint16_t)(a->base % a->src_width);
    return sim_ticks_axon(s, i, 0, d);
}

static spk_status build_in_axons(struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;
    spk_status status = SPK_OK;
    uint64_t *extent;

    s->n_axons = (uint32_t)im->n_in_axons;
    SPK_TRY(spk_alloc_array(s->n_axons, sizeof *s->axons, &s->axons));
    SPK_TRY(spk_alloc_array(im->n_contents, sizeof *extent, &extent));
    for (uint64_t i = 0; i < im->n_contents && status == SPK_OK; i++)
        status = check_content(im, i, d, &extent[i]);
    s->ring = 1;
    for (uint32_t c = 0; c < s->n_cores && status == SPK_OK; c++) {
        for (uint32_t i = 0; i < im->cores[c].n_in_axons && status == SPK_OK; i++)
            status = build_in_axon(s, c, im->cores[c].in_axon_first + i, extent, d);
    }
    for (uint32_t i = 0; i < s->n_axons; i++)
        s->ring = s->axons[i].delay + 1u > s->ring ? s->axons[i].delay + 1u : s->ring;
    spk_free(extent);
    return status;
}

/* The neurons on the compartments of an entry: they follow each other. None for padding. */
static spk_status out_neurons(const struct sim *s, uint32_t core, uint32_t i, struct diag_list *d,
                              uint32_t *out_first, uint32_t *out_count)
{
    const struct image *im = s->im;
    const struct img_out_axon *a = &im->out_axons[i];

    *out_first = *out_count = 0;
    if (!inside(a->comp_first, a->comp_count, im->cores[core].neurons) || a->comp_count == 0)
        return bad(d, "out-axon", i, "its compartments leave its core");
    for (uint32_t k = 0; k < s->cores[core].n_groups; k++) {
        const struct sim_group *g = &s->groups[s->cores[core].group_first + k];
        const struct img_group *ig = &im->groups[s->cores[core].group_first + k];
        uint32_t neuron = img_group_neuron(ig, a->comp_first);

        if (neuron == IMG_NONE)
            continue;
        if (g->slice < g->nc && neuron % g->nc + a->comp_count > g->nc)
            return bad(d, "out-axon", i, "its compartments leave the channels of its group");
        *out_first = g->first + neuron;
        /* Padding between two neurons keeps their numbers closer than their compartments. */
        if (img_group_neuron(ig, img_out_comp(ig, a->comp_first, a->comp_count - 1)) ==
            neuron + a->comp_count - 1) {
            *out_count += a->comp_count;
            continue;
        }
        for (uint32_t j = 0; j < a->comp_count; j++) {
            uint32_t at = img_group_neuron(ig, img_out_comp(ig, a->comp_first, j));

            if (at != IMG_NONE && at != neuron + j)
                return bad(d, "out-axon", i, "its compartments are not neurons in a row");
            *out_count += at != IMG_NONE;
        }
    }
    return SPK_OK;
}

static spk_status build_out_axon(struct sim *s, uint32_t core, uint32_t i,
                                 const struct place *places, struct diag_list *d)
{
    const struct image *im = s->im;
    const struct img_out_axon *a = &im->out_axons[i];
    const struct img_route *r;
    struct sim_out *o = &s->outs[i];

    if (a->route >= im->n_routes || im->routes[a->route].src_core != core)
        return bad(d, "out-axon", i, "its route does not start on its core");
    r = &im->routes[a->route];
    SPK_TRY(out_neurons(s, core, i, d, &o->first, &o->count));
    *o = (struct sim_out){.first = o->first - a->atom_first,
                          .count = o->count,
                          .route = a->route,
                          .dest = (uint8_t)r->dest,
                          .target = a->dest_axon,
                          .port = a->dest_axon};
    if (r->dest == IMG_DEST_HOST) {
        if (a->dest_axon >= im->n_host_ports ||
            !inside(a->atom_first, a->comp_count, im->host_ports[a->dest_axon].n_channels))
            return bad(d, "out-axon", i, "unknown or too narrow host port");
        return SPK_OK;
    }
    if (r->dest == IMG_DEST_EMBEDDED) {
        if (r->x >= im->n_embedded ||
            a->dest_axon - im->embedded[r->x].port_first >= im->embedded[r->x].n_ports ||
            a->dest_axon >= im->n_embedded_ports ||
            !inside(a->atom_first, a->comp_count, im->embedded_ports[a->dest_axon].n_channels))
            return bad(d, "out-axon", i, "unknown embedded task, or unknown or too narrow port");
        o->target = r->x;
        return SPK_OK;
    }
    if (r->dest != IMG_DEST_CORE)
        return bad(d, "route", a->route, "unknown kind of destination");
    struct place key = {r->chip, r->y, r->x, 0};
    const struct place *p = bsearch(&key, places, s->n_cores, sizeof key, compare_places);
    if (!p)
        return bad(d, "route", a->route, "there is no core at its destination");
    if (a->dest_axon >= im->cores[p->core].n_in_axons)
        return bad(d, "out-axon", i, "its destination has no such in-axon");
    o->target = im->cores[p->core].in_axon_first + a->dest_axon;
    if (!inside(a->atom_first, a->comp_count, s->axons[o->target].atoms))
        return bad(d, "out-axon", i, "more compartments than its destination has atoms");
    return SPK_OK;
}

static spk_status build_out_axons(struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;
    struct place *places;
    spk_status status = SPK_OK;

    s->n_outs = (uint32_t)im->n_out_axons;
    SPK_TRY(spk_alloc_array(s->n_outs, sizeof *s->outs, &s->outs));
    SPK_TRY(spk_alloc_array(s->n_cores, sizeof *places, &places));
    for (uint32_t i = 0; i < s->n_cores; i++)
        places[i] = (struct place){im->cores[i].chip, im->cores[i].y, im->cores[i].x, i};
    qsort(places, s->n_cores, sizeof *places, compare_places);
    for (uint32_t i = 1; i < s->n_cores && status == SPK_OK; i++) {
        if (compare_places(&places[i - 1], &places[i]) == 0)
            status = bad(d, "core", places[i].core, "shares its place with another core");
    }
    for (uint32_t c = 0; c < s->n_cores && status == SPK_OK; c++) {
        for (uint32_t i = 0; i < im->cores[c].n_out_axons && status == SPK_OK; i++)
            status = build_out_axon(s, c, im->cores[c].out_axon_first + i, places, d);
    }
    spk_free(places);
    return status;
}

/* Numbers the segments of all cores. A segment starts at a group's first neuron and wherever an
 * out-axon of the core starts or ends.                                                          */
static spk_status number_segments(struct sim *s)
{
    const struct image *im = s->im;
    uint64_t n = 0;

    SPK_TRY(spk_alloc_array((size_t)s->n_neurons + 1, sizeof *s->segment, &s->segment));
    for (uint32_t i = 0; i < s->n_outs; i++) {
        const uint32_t first = s->outs[i].first + im->out_axons[i].atom_first;

        if (s->outs[i].count == 0)
            continue;
        s->segment[first] = 1;
        s->segment[first + s->outs[i].count] = 1;
    }
    for (uint32_t g = 0; g < s->n_groups; g++)
        s->segment[s->groups[g].first] = 1;
    for (uint32_t i = 0; i < s->n_neurons; i++) {
        n += s->segment[i];
        s->segment[i] = n == 0 ? 0 : (uint32_t)(n - 1);
    }
    s->n_segments = n;
    return SPK_OK;
}

static spk_status build_segments(struct sim *s)
{
    const struct image *im = s->im;
    uint64_t entries = 0;

    SPK_TRY(number_segments(s));
    SPK_TRY(spk_alloc_array(s->n_segments + 1, sizeof *s->segment_first, &s->segment_first));
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t c = 0; c < s->n_cores; c++) {
            const struct img_core *core = &im->cores[c];

            for (uint32_t i = 0; i < core->n_out_axons; i++) {
                uint32_t id = core->out_axon_first + i;
                uint32_t first = s->outs[id].first + im->out_axons[id].atom_first;
                uint32_t to = s->outs[id].count ? s->segment[first + s->outs[id].count - 1] : 0;

                if (s->outs[id].count == 0)
                    continue;
                for (uint32_t g = s->segment[first]; g <= to; g++) {
                    if (pass == 0) {
                        s->segment_first[g]++;
                        entries++;
                    } else {
                        s->segment_outs[--s->segment_first[g]] = id;
                    }
                }
            }
        }
        if (pass == 0) {
            if (entries >= UINT32_MAX)
                return SPK_ERR_NOMEM;
            SPK_TRY(spk_alloc_array(entries, sizeof *s->segment_outs, &s->segment_outs));
            for (uint64_t g = 1; g <= s->n_segments; g++)
                s->segment_first[g] += s->segment_first[g - 1];
        }
    }
    return SPK_OK;
}

/* Where a message is one per destination core: the entries of a segment whose route another entry
 * of it has too, save one. */
static spk_status mark_repeats(struct sim *s)
{
    const uint32_t entries = s->segment_first[s->n_segments];

    if (s->im->meta.message != TGT_MESSAGE_CORE)
        return SPK_OK;
    SPK_TRY(spk_alloc_array(entries, sizeof *s->segment_repeats, &s->segment_repeats));
    for (uint64_t g = 0; g < s->n_segments; g++) {
        const uint32_t first = s->segment_first[g];

        for (uint32_t i = first; i < s->segment_first[g + 1]; i++)
            for (uint32_t j = first; j < i && !s->segment_repeats[i]; j++)
                s->segment_repeats[i] =
                    s->outs[s->segment_outs[j]].route == s->outs[s->segment_outs[i]].route;
    }
    return SPK_OK;
}

static spk_status check_injections(const struct sim *s, struct diag_list *d)
{
    const struct image *im = s->im;

    for (uint64_t i = 0; i < im->n_injections; i++) {
        const struct img_injection *j = &im->injections[i];
        const struct img_layer *l;
        uint32_t atoms;

        if (j->kind > IMG_INJECT_EMBEDDED || j->layer >= s->n_layers || j->core >= s->n_cores ||
            j->axon >= im->cores[j->core].n_in_axons)
            return bad(d, "injection", i, "unknown kind, layer, core or in-axon");
        atoms = s->axons[im->cores[j->core].in_axon_first + j->axon].atoms;
        l = &im->layers[j->layer];
        if (atoms == 0)
            return bad(d, "injection", i, "its in-axon has no atom");
        if (j->kind == IMG_INJECT_ENABLE)
            continue;
        if (j->position >= l->height * l->width ||
            !inside(j->channel_first, j->n_channels, l->channels) || j->n_channels > atoms)
            return bad(d, "injection", i, "its position or channels leave layer or in-axon");
        if ((j->kind == IMG_INJECT_EVENTS) != (l->kind == IMG_LAYER_INPUT) ||
            (j->kind == IMG_INJECT_EMBEDDED) != (l->kind == IMG_LAYER_EMBEDDED))
            return bad(d, "injection", i, "its layer is of another kind");
        if (j->kind == IMG_INJECT_EMBEDDED && j->start != l->start)
            return bad(d, "injection", i, "does not fire when its layer does");
    }
    return SPK_OK;
}

spk_status sim_build_axons(struct sim *s, struct diag_list *d)
{
    SPK_TRY(build_in_axons(s, d));
    SPK_TRY(build_out_axons(s, d));
    SPK_TRY(build_segments(s));
    SPK_TRY(mark_repeats(s));
    SPK_TRY(check_injections(s, d));
    SPK_TRY(spk_alloc_array((size_t)s->ring * (s->n_chunks + 1), sizeof *s->spikes, &s->spikes));
    return spk_alloc_array((size_t)s->ring * (s->n_chunks + 1) * s->n_chunks, sizeof *s->lists,
                           &s->lists);
}
