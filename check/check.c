/* Checker, part 1: entry, reports, and the index from in-axons to what feeds them. */
#include "check/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "check/check_internal.h"
#include "ir/image_private.h"
#include "support/alloc.h"

void check_count(struct check *c, uint64_t n)
{
    c->r->violations += n;
    if (c->completeness)
        c->r->completeness += n;
    else
        c->r->legality += n;
}

const char *check_layer_name(const struct check *c, uint32_t layer)
{
    return layer < c->im->n_layers ? c->im->strings[c->im->layers[layer].name] : "?";
}

void check_violation(struct check *c, const char *code, uint32_t layer, uint32_t core,
                     const char *format, ...)
{
    struct strbuf place = {0};
    va_list arguments;

    check_count(c, 1);
    if (c->r->violations > c->o.max_reports)
        return;
    if (layer != IMG_NONE)
        strbuf_printf(&place, "layer '%s'", check_layer_name(c, layer));
    if (core != IMG_NONE) {
        const struct img_core *k = &c->im->cores[core];
        strbuf_printf(&place, "%score %u (chip %u, x %u, y %u)", layer == IMG_NONE ? "" : ", ",
                      core, k->chip, k->x, k->y);
    }
    va_start(arguments, format);
    (void)diag_vreport(
        c->d, DIAG_ERROR, SPK_DIFFERENCE,
        diag_place(c->d, "%s",
                   layer == IMG_NONE && core == IMG_NONE ? "chip image" : strbuf_cstr(&place)),
        code, format, arguments);
    va_end(arguments);
    strbuf_fini(&place);
}

uint32_t check_find_layer(const struct check *c, const char *name)
{
    for (uint32_t i = 0; i < c->im->n_layers; i++) {
        if (strcmp(check_layer_name(c, i), name) == 0)
            return i;
    }
    return IMG_NONE;
}

bool check_neuron_of(const struct check *c, uint32_t core, uint32_t comp, struct source *out,
                     uint32_t *out_group)
{
    const struct img_core *k = &c->im->cores[core];

    for (uint32_t i = k->group_first; i < k->group_first + k->n_groups; i++) {
        const struct img_group *g = &c->im->groups[i];
        uint32_t at = img_group_neuron(g, comp), p = at / g->nc;

        if (at == IMG_NONE)
            continue;
        *out = (struct source){g->layer, img_channel(c->im, g->layer, g->c0 + at % g->nc),
                               (g->y0 + p / g->nx) * c->im->layers[g->layer].width + g->x0 +
                                   p % g->nx};
        if (out_group)
            *out_group = i;
        return true;
    }
    return false;
}

uint32_t check_out_comp(const struct check *c, uint64_t out_axon, uint32_t i)
{
    const struct img_out_axon *a = &c->im->out_axons[out_axon];
    struct source s;
    uint32_t group;

    if (!check_neuron_of(c, c->out_core[out_axon], a->comp_first, &s, &group))
        return a->comp_first + i;
    return img_out_comp(&c->im->groups[group], a->comp_first, i);
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

static spk_status index_routes(struct check *c)
{
    const struct image *im = c->im;
    struct place *places;

    SPK_TRY(spk_alloc_array(im->n_routes, sizeof *c->route_core, &c->route_core));
    SPK_TRY(spk_alloc_array(im->n_cores, sizeof *places, &places));
    for (uint32_t i = 0; i < im->n_cores; i++)
        places[i] = (struct place){im->cores[i].chip, im->cores[i].y, im->cores[i].x, i};
    qsort(places, im->n_cores, sizeof *places, compare_places);
    for (uint64_t i = 0; i < im->n_routes; i++) {
        const struct img_route *r = &im->routes[i];
        struct place key = {r->chip, r->y, r->x, 0};
        const struct place *p = r->dest != IMG_DEST_CORE ? NULL
                                                         : bsearch(&key, places, im->n_cores,
                                                                   sizeof key, compare_places);

        c->route_core[i] = p ? p->core : IMG_NONE;
    }
    spk_free(places);
    return SPK_OK;
}

/* In-axon that feeder `id` (out-axon or n_out_axons + injection) sends to; false: to none. */
static bool feeder_axon(const struct check *c, uint64_t id, uint64_t *out_axon)
{
    const struct image *im = c->im;
    uint32_t core, axon;

    if (id < im->n_out_axons) {
        if (c->out_core[id] == IMG_NONE)
            return false;
        core = c->route_core[im->out_axons[id].route];
        axon = im->out_axons[id].dest_axon;
    } else {
        core = im->injections[id - im->n_out_axons].core;
        axon = im->injections[id - im->n_out_axons].axon;
    }
    if (core == IMG_NONE)
        return false;
    *out_axon = (uint64_t)im->cores[core].in_axon_first + axon;
    return true;
}

static spk_status index_axons(struct check *c)
{
    const struct image *im = c->im;
    uint64_t n = im->n_out_axons + im->n_injections, axon;

    SPK_TRY(spk_alloc_array(im->n_in_axons, sizeof *c->axon_core, &c->axon_core));
    SPK_TRY(spk_alloc_array(im->n_out_axons, sizeof *c->out_core, &c->out_core));
    SPK_TRY(spk_alloc_array(im->n_in_axons + 1, sizeof *c->feeder_first, &c->feeder_first));
    SPK_TRY(spk_alloc_array(n, sizeof *c->feeders, &c->feeders));
    memset(c->axon_core, 0xff, im->n_in_axons * sizeof *c->axon_core);
    memset(c->out_core, 0xff, im->n_out_axons * sizeof *c->out_core);
    for (uint32_t i = 0; i < im->n_cores; i++) {
        const struct img_core *k = &im->cores[i];

        for (uint32_t j = 0; j < k->n_in_axons; j++)
            c->axon_core[k->in_axon_first + j] = i;
        for (uint32_t j = 0; j < k->n_out_axons; j++)
            c->out_core[k->out_axon_first + j] = i;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (feeder_axon(c, i, &axon))
            c->feeder_first[axon]++;
    }
    for (uint64_t i = 1; i <= im->n_in_axons; i++)
        c->feeder_first[i] += c->feeder_first[i - 1];
    for (uint64_t i = n; i-- > 0;) {
        if (feeder_axon(c, i, &axon))
            c->feeders[--c->feeder_first[axon]] = i;
    }
    return SPK_OK;
}

static spk_status run(struct check *c)
{
    SPK_TRY(index_routes(c));
    SPK_TRY(index_axons(c));
    SPK_TRY(spk_alloc_array(c->im->n_cores, sizeof *c->core_task, &c->core_task));
    for (uint64_t i = 0; i < c->im->n_cores; i++)
        c->core_task[i] = IMG_NONE;
    for (uint64_t i = 0; i < c->im->n_embedded; i++)
        if (c->im->embedded[i].core != IMG_NONE)
            c->core_task[c->im->embedded[i].core] = (uint32_t)i;
    SPK_TRY(check_find_spans(c));
    SPK_TRY(check_cores(c));
    SPK_TRY(check_chips(c));
    SPK_TRY(check_constraints(c));
    if (!c->m)
        return SPK_OK;
    c->completeness = true;
    SPK_TRY(check_build_rules(c));
    SPK_TRY(check_neurons(c));
    SPK_TRY(check_synapses(c));
    SPK_TRY(check_plastic(c));
    return check_host(c);
}

spk_status check_image(const struct image *im, const struct tgt *t, const struct ir_module *m,
                       const struct check_options *options, struct diag_list *d,
                       struct check_report *out)
{
    struct check c = {.im = im, .t = t, .m = m, .d = d, .r = out};
    spk_status status;

    memset(out, 0, sizeof *out);
    if (options)
        c.o = *options;
    c.o.max_reports = c.o.max_reports ? c.o.max_reports : 50;
    if (m && m->stage != IR_STAGE_QUANTISED)
        return diag_error(d, spk_span_none, "E0953", "module '%s' is not quantised", m->name);
    SPK_TRY(image_check_tables(im, "chip image", d));
    out->cores = im->n_cores;
    for (uint64_t i = 0; i < im->n_cores; i++)
        out->neurons += im->cores[i].neurons;
    out->in_axons = im->n_in_axons;
    out->out_axons = im->n_out_axons;
    status = run(&c);
    check_partial_fini(&c);
    void *owned[] = {c.axon_core, c.out_core, c.route_core, c.feeder_first, c.feeders,  c.layer_of,
                     c.rules,     c.phases,   c.core_task,  c.span_first,   c.span_last};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        spk_free(owned[i]);
    vec_fini(&c.sources);
    vec_fini(&c.lags);
    vec_fini(&c.parts);
    vec_fini(&c.feedbacks);
    if (status != SPK_OK)
        return status;
    return out->violations ? SPK_DIFFERENCE : SPK_OK;
}
