/* place: a graph onto a mesh. Reads, places, measures, writes; all figures of the placement
 * go into the result, whichever placer made it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/place_pins.h"
#include "frontend/hypergraph_file.h"
#include "passes/place/place.h"
#include "passes/place/place_metrics.h"
#include "support/alloc.h"
#include "support/time.h"

struct place_job {
    spk_context *c;
    const struct spk_place_options *o;
    struct place_options options;
    struct fe_hypergraph clusters;
    struct place_metrics metrics;
    struct place_pins pins;
    uint32_t *cell;
    double read_seconds, place_seconds, measure_seconds, write_seconds;
};

spk_status api_placer(spk_context *c, const char *name, enum place_engine *out)
{
    if (place_engine_find(name != NULL ? name : "spikec", out))
        return SPK_OK;
    return diag_usage(&c->diags, spk_span_none, "E0991",
                      "no placer '%s'; there are spikec, scotch, metis, hilbert, row and snake",
                      name);
}

static spk_status place_settings(struct place_job *j)
{
    const char *objective = j->o->objective != NULL ? j->o->objective : "unicast";
    struct place_options *p = &j->options;
    if (strcmp(objective, "multicast") == 0)
        p->objective = PLACE_MULTICAST;
    else if (strcmp(objective, "unicast") != 0)
        return diag_usage(&j->c->diags, spk_span_none, "E0990",
                          "no objective '%s'; there are unicast and multicast", objective);
    SPK_TRY(api_placer(j->c, j->o->placer, &p->engine));
    p->seed = j->o->seed;
    p->effort = j->o->effort;
    p->pool = j->c->pool;
    p->progress = &j->c->progress;
    return SPK_OK;
}

static double seconds_since(uint64_t *io_ns)
{
    const uint64_t begin = *io_ns;
    *io_ns = spk_time_ns();
    return 1e-9 * (double)(*io_ns - begin);
}

static void write_loads(struct json_writer *w, const char *key, const struct place_loads *l)
{
    jw_object_begin(w, key);
    jw_f64(w, "max", l->max);
    jw_f64(w, "variance", l->variance);
    jw_array_begin(w, "hot_links");
    for (uint32_t i = 0; i < l->n_hot; i++) {
        const struct place_hot_link *h = &l->hot[i];
        jw_object_begin_line(w, NULL);
        jw_u64(w, "x", h->x);
        jw_u64(w, "y", h->y);
        jw_string(w, "direction", place_direction_name(h->direction));
        jw_f64(w, "load", h->load);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}

static void write_json(const struct place_job *j, struct json_writer *w)
{
    const struct place_metrics *m = &j->metrics;
    const struct fe_hypergraph *c = &j->clusters;
    jw_string(w, "graph", c->name);
    jw_u64(w, "mesh_width", c->mesh_w);
    jw_u64(w, "mesh_height", c->mesh_h);
    jw_u64(w, "clusters", c->graph.n_clusters);
    jw_u64(w, "edges", c->graph.n_edges);
    jw_u64(w, "pairs", m->pairs);
    jw_string(w, "engine_used", place_engine_name(j->options.engine));
    jw_string(w, "objective", j->options.objective == PLACE_MULTICAST ? "multicast" : "unicast");
    jw_u64(w, "seed", j->options.seed);
    jw_f64(w, "messages", m->messages);
    jw_f64(w, "cut_net", m->cut_net);
    jw_f64(w, "unicast_hops", m->hops);
    jw_f64(w, "unicast_hops_bound", m->hops_bound);
    jw_f64(w, "average_hop", m->average_hop);
    jw_u64(w, "max_hop", m->max_hop);
    jw_f64(w, "jin_energy", m->jin_energy);
    jw_f64(w, "average_latency_routers", m->average_routers);
    jw_u64(w, "max_latency_routers", m->max_routers);
    jw_f64(w, "energy_latency", m->jin_energy * m->average_routers);
    if (m->has_congestion) {
        jw_f64(w, "jin_congestion_sum", m->congestion_sum);
        jw_f64(w, "jin_congestion_max", m->max_congestion);
    } else {
        jw_null(w, "jin_congestion_sum");
        jw_null(w, "jin_congestion_max");
    }
    jw_f64(w, "multicast_hops", m->multicast_hops);
    jw_f64(w, "multicast_hops_bound", m->multicast_bound);
    jw_f64(w, "multicast_max_load_bound", m->max_load_bound);
    jw_f64(w, "composite", m->composite);
    jw_u64(w, "links", m->links);
    write_loads(w, "unicast_load", &m->unicast);
    write_loads(w, "multicast_load", &m->multicast);
    jw_f64(w, "read_seconds", j->read_seconds);
    jw_f64(w, "place_seconds", j->place_seconds);
    jw_f64(w, "measure_seconds", j->measure_seconds);
    jw_f64(w, "write_seconds", j->write_seconds);
}

static void text_loads(struct strbuf *t, const char *what, const struct place_loads *l)
{
    strbuf_printf(t, "%s link load: max %.6g, variance %.6g; hot", what, l->max, l->variance);
    for (uint32_t i = 0; i < l->n_hot && i < 3; i++)
        strbuf_printf(t, "%s (%u,%u) %s %.6g", i ? "," : "", l->hot[i].x, l->hot[i].y,
                      place_direction_name(l->hot[i].direction), l->hot[i].load);
    strbuf_char(t, '\n');
}

static void write_text(const struct place_job *j, struct strbuf *t)
{
    const struct place_metrics *m = &j->metrics;
    const struct fe_hypergraph *c = &j->clusters;
    strbuf_printf(t, "%s: %u clusters, %u edges, %llu pairs on a mesh of %u x %u; placer %s\n",
                  c->name, c->graph.n_clusters, c->graph.n_edges, (unsigned long long)m->pairs,
                  c->mesh_w, c->mesh_h, place_engine_name(j->options.engine));
    strbuf_printf(t, "messages %.9g; cut nets %.9g\n", m->messages, m->cut_net);
    strbuf_printf(t, "unicast hops U %.9g (at least %.6g); average hop %.4f, max %u\n", m->hops,
                  m->hops_bound, m->average_hop, m->max_hop);
    strbuf_printf(t, "multicast hops M %.9g (at least %.6g); composite J %.6g\n", m->multicast_hops,
                  m->multicast_bound, m->composite);
    strbuf_printf(t, "Jin energy %.6g; latency in routers: average %.4f, max %u\n", m->jin_energy,
                  m->average_routers, m->max_routers);
    if (m->has_congestion)
        strbuf_printf(t, "Jin congestion: max %.6g, sum %.9g\n", m->max_congestion,
                      m->congestion_sum);
    else
        strbuf_append(t, "Jin congestion: not worked out, the routes span too large an area\n");
    text_loads(t, "unicast", &m->unicast);
    text_loads(t, "multicast", &m->multicast);
    strbuf_printf(t, "time: read %.2f s, place %.2f s, measure %.2f s, write %.2f s\n",
                  j->read_seconds, j->place_seconds, j->measure_seconds, j->write_seconds);
}

/* Formats other than .cg have no mesh. */
static spk_status choose_mesh(struct place_job *j)
{
    struct fe_hypergraph *c = &j->clusters;
    const char *mesh = j->o->mesh;
    char end;
    if (c->mesh_w != 0 && mesh == NULL)
        return SPK_OK;
    if (c->mesh_w != 0)
        return diag_usage(&j->c->diags, spk_span_none, "E0989",
                          "a .cg graph has a mesh of its own, %u x %u", c->mesh_w, c->mesh_h);
    fe_mesh_for(c->graph.n_clusters, &c->mesh_w, &c->mesh_h);
    if (mesh != NULL &&
        sscanf(mesh, "%5" SCNu32 "x%5" SCNu32 "%c", &c->mesh_w, &c->mesh_h, &end) != 2)
        return diag_usage(&j->c->diags, spk_span_none, "E0989",
                          "a mesh is given as WxH, for instance 16x12, not as '%s'", mesh);
    return SPK_OK;
}

static spk_status place_all(struct place_job *j, struct api_report *r)
{
    struct diag_list *diags = &j->c->diags;
    uint64_t clock = spk_time_ns();
    SPK_TRY(place_settings(j));
    SPK_TRY(fe_hypergraph_load(j->o->graph, FE_FORMAT_CG, FE_SOURCE_FIRST, diags, &j->clusters));
    SPK_TRY(choose_mesh(j));
    const struct ir_cluster_graph *g = &j->clusters.graph;
    struct place_grid grid = {.width = j->clusters.mesh_w, .height = j->clusters.mesh_h};
    bool early = false;
    if (j->o->constraints != NULL)
        SPK_TRY(place_pins_load(j->o->constraints, g->n_clusters, grid.width, grid.height, diags,
                                &j->pins));
    grid.blocked = j->pins.blocked;
    j->options.regions = j->pins.regions.n > 0 ? &j->pins.regions : NULL;
    j->options.out_ended_early = &early;
    j->read_seconds = seconds_since(&clock);
    SPK_TRY(spk_alloc_array_raw(g->n_clusters, sizeof *j->cell, &j->cell));
    SPK_TRY(place_run(g, &grid, &j->options, diags, j->cell));
    if (early)
        (void)api_end_early(j->c);
    j->place_seconds = seconds_since(&clock);
    SPK_TRY(place_measure(g, grid.width, grid.height, j->cell, &j->metrics));
    j->measure_seconds = seconds_since(&clock);
    SPK_TRY(fe_placement_write(j->o->output, j->cell, g->n_clusters, grid.width, diags));
    j->write_seconds = seconds_since(&clock);
    write_json(j, &r->w);
    write_text(j, &r->result->text);
    return SPK_OK;
}

int spk_place(spk_context *c, const struct spk_place_options *o, spk_result **out_result)
{
    struct place_job j = {.c = c, .o = o};
    struct api_report report;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&report, "place");
    if (status == SPK_OK)
        status = place_all(&j, &report);
    spk_free(j.cell);
    place_pins_fini(&j.pins);
    fe_hypergraph_fini(&j.clusters);
    return api_report_end_early(c, &report, status, "the placement is the best so far", out_result);
}
