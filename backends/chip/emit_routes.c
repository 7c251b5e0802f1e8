/* The routes that out-axons take. They are unique per (source core, destination): found by a stamp
 * per destination while a core is processed, in the order in which the core's out-axons need them.
 * Distances: routers of all chips form one grid; a step between chips counts as a chip hop. */
#include <stdlib.h>
#include <string.h>

#include "backends/chip/emit_internal.h"
#include "support/alloc.h"

static uint32_t abs_diff(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static struct img_route route_between(const struct emit *e, uint32_t src, uint32_t dest)
{
    const uint32_t cores = e->m->n_cores;
    const uint32_t host = emit_dest(e, IMG_DEST_HOST, 0);
    const struct tgt *t = e->target;
    const struct map_place *a = &e->m->place[src];
    const uint32_t cx = e->m->system->chips_x;
    struct img_route r;
    memset(&r, 0, sizeof r);
    r.src_core = src;
    r.dest = dest == host ? IMG_DEST_HOST : dest >= cores ? IMG_DEST_EMBEDDED : IMG_DEST_CORE;
    if (r.dest == IMG_DEST_HOST)
        return r;
    if (r.dest == IMG_DEST_EMBEDDED) {
        r.chip = e->embedded.data[dest - cores].chip;
        r.x = dest - cores;
        r.hops_chip = abs_diff(a->chip % cx, r.chip % cx) + abs_diff(a->chip / cx, r.chip / cx);
        return r;
    }
    const struct map_place *b = &e->m->place[dest];
    const uint32_t rx = t->cores_x / t->tile_w, ry = t->cores_y / t->tile_h;
    const uint32_t chips_x = abs_diff(a->chip % cx, b->chip % cx);
    const uint32_t chips_y = abs_diff(a->chip / cx, b->chip / cx);
    r.chip = b->chip;
    r.x = b->x;
    r.y = b->y;
    r.hops_x =
        abs_diff(a->chip % cx * rx + a->x / t->tile_w, b->chip % cx * rx + b->x / t->tile_w) -
        chips_x;
    r.hops_y =
        abs_diff(a->chip / cx * ry + a->y / t->tile_h, b->chip / cx * ry + b->y / t->tile_h) -
        chips_y;
    r.hops_chip = chips_x + chips_y;
    r.within_tile = r.hops_x + r.hops_y + r.hops_chip == 0;
    return r;
}

/* The population of a core's first tile. */
static const struct map_pop *core_pop(const struct emit *e, uint32_t core)
{
    const uint32_t tile = e->m->core_tile[e->m->core_first[core]];
    return &e->net->pops.data[e->m->tiles.data[tile].pop];
}

/* A core whose routing table is too small for its destinations. */
static spk_status check_routing_table(const struct emit *e, uint32_t core, uint32_t first_route)
{
    const uint64_t most = tgt_limit_value(e->target, TGT_ROUTES);
    const struct map_pop *p = core_pop(e, core);
    uint64_t n = 0;
    for (size_t i = first_route; i < e->routes.len; i++)
        n += e->routes.data[i].dest == IMG_DEST_CORE;
    if (n <= most)
        return SPK_OK;
    spk_status status =
        diag_nofit(e->diags, p->span, "E0706",
                   "layer '%s' does not fit '%s': a core of it sends to %llu "
                   "cores, its routing table holds %llu",
                   p->name, e->target->name, (unsigned long long)n, (unsigned long long)most);
    diag_help_set(e->diags, "a smaller dim or mlp_ratio needs fewer destination cores per layer");
    return status;
}

static spk_status miscounted(const struct emit *e, uint32_t core)
{
    return diag_internal(e->diags, core_pop(e, core)->span, "E0708",
                         "the out-axons of core %u were counted wrongly", core);
}

spk_status emit_out(struct emit *e, uint32_t src, const struct img_out_axon *axon)
{
    const uint32_t core = e->m->tiles.data[src].core;
    if (e->out_next[core] == e->out_first[core + 1])
        return miscounted(e, core);
    e->out_axons.data[e->out_next[core]++] = *axon;
    return SPK_OK;
}

static spk_status emit_core_routes(struct emit *e, uint32_t core, uint32_t *route_of)
{
    struct img_core *c = &e->cores.data[core];
    const uint32_t first_route = (uint32_t)e->routes.len;
    if (e->out_next[core] != e->out_first[core + 1])
        return miscounted(e, core);
    c->out_axon_first = (uint32_t)e->out_first[core];
    c->n_out_axons = (uint32_t)(e->out_next[core] - e->out_first[core]);
    for (uint64_t i = e->out_first[core]; i < e->out_next[core]; i++) {
        struct img_out_axon *a = &e->out_axons.data[i];
        const uint32_t dest = a->route;
        if (route_of[dest] == IMG_NONE || route_of[dest] < first_route) {
            route_of[dest] = (uint32_t)e->routes.len;
            SPK_TRY(vec_push(&e->routes, route_between(e, core, dest)));
        }
        a->route = route_of[dest];
    }
    return check_routing_table(e, core, first_route);
}

spk_status emit_routes(struct emit *e)
{
    const uint32_t cores = e->m->n_cores;
    const size_t dests = (size_t)emit_dest(e, IMG_DEST_HOST, 0) + 1;
    uint32_t *route_of = NULL;
    spk_status status = spk_alloc_array_raw(dests, sizeof *route_of, &route_of);
    if (status == SPK_OK)
        memset(route_of, 0xff, dests * sizeof *route_of);
    for (uint32_t c = 0; c < cores && status == SPK_OK; c++)
        status = emit_core_routes(e, c, route_of);
    spk_free(route_of);
    return status;
}
