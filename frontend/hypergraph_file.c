/* Hypergraph files by the end of their names, and the reader of .snn.
 *
 * .snn (AxonFlow, AxonCUDA): little-endian; 32-bit numbers of nodes and of hyperedges, then for
 * each hyperedge the number of destinations, the source, the destinations and the weight as a
 * 32-bit float. Nodes count from 0. */
#include <math.h>
#include <string.h>

#include "frontend/hypergraph_file.h"
#include "support/alloc.h"
#include "support/file.h"

#define SNN_HEADER 8u
#define SNN_EDGE 12u        /* bytes of a hyperedge without destinations */
#define SPARE_NEURONS 1024u /* that a file may announce beyond one for each of its bytes */

void fe_hypergraph_fini(struct fe_hypergraph *h)
{
    ir_cluster_graph_fini(&h->graph);
    spk_free(h->size);
    memset(h, 0, sizeof *h);
}

enum fe_hypergraph_format fe_hypergraph_format_of(const char *path)
{
    if (path_has_suffix(path, ".hgr"))
        return FE_FORMAT_HGR;
    if (path_has_suffix(path, ".snn"))
        return FE_FORMAT_SNN;
    return path_has_suffix(path, ".cg") ? FE_FORMAT_CG : FE_FORMAT_NONE;
}

void fe_mesh_for(uint32_t n, uint32_t *out_width, uint32_t *out_height)
{
    uint32_t w = 1;
    while ((uint64_t)w * w < n)
        w++;
    *out_width = w;
    *out_height = n > 0 ? n / w + (n % w != 0) : 1;
}

struct snn_reader {
    const uint8_t *p, *end;
    const char *name;
    struct diag_list *diags;
    struct ir_cluster_graph *g;
    uint32_t *stamp; /* [nodes] last hyperedge that named it, plus 1 */
};

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t take_u32(struct snn_reader *r)
{
    r->p += 4;
    return u32_at(r->p - 4);
}

static struct spk_span at_edge(const struct snn_reader *r, uint32_t e)
{
    return diag_place(r->diags, "%s: hyperedge %u", r->name, e);
}

static spk_status snn_edge(struct snn_reader *r, uint32_t e, uint64_t *io_pins)
{
    struct ir_cluster_graph *g = r->g;
    const size_t left = (size_t)(r->end - r->p);
    if (left < SNN_EDGE)
        return diag_error(r->diags, at_edge(r, e), "E0480",
                          "the file ends after %u of %u hyperedges", e, g->n_edges);
    const uint32_t n = take_u32(r), source = take_u32(r);
    if (n > (left - SNN_EDGE) / 4)
        return diag_error(r->diags, at_edge(r, e), "E0481",
                          "%u destinations are announced, more than the rest of the file can hold",
                          n);
    if (source >= g->n_clusters)
        return diag_error(r->diags, at_edge(r, e), "E0482",
                          "the source is %u; there are nodes 0 to %u", source, g->n_clusters - 1);
    g->source[e] = source;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t d = take_u32(r);
        if (d >= g->n_clusters)
            return diag_error(r->diags, at_edge(r, e), "E0482",
                              "a destination is %u; there are nodes 0 to %u", d, g->n_clusters - 1);
        if (r->stamp[d] == e + 1)
            return diag_error(r->diags, at_edge(r, e), "E0483",
                              "node %u is named twice among the destinations", d);
        r->stamp[d] = e + 1;
        g->dest[(*io_pins)++] = d;
    }
    const uint32_t bits = take_u32(r);
    float weight;
    memcpy(&weight, &bits, sizeof weight);
    if (!isfinite(weight) || weight < 0)
        return diag_error(r->diags, at_edge(r, e), "E0484",
                          "the weight is %g; a number of at least 0 is needed", (double)weight);
    g->weight[e] = (double)weight;
    g->first[e + 1] = *io_pins;
    return SPK_OK;
}

static spk_status snn_edges(struct snn_reader *r)
{
    struct ir_cluster_graph *g = r->g;
    const size_t words = (size_t)(r->end - r->p) / 4;
    uint64_t pins = 0;
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->source, &g->source));
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->weight, &g->weight));
    SPK_TRY(spk_alloc_array((size_t)g->n_edges + 1, sizeof *g->first, &g->first));
    SPK_TRY(spk_alloc_array_raw(words, sizeof *g->dest, &g->dest));
    SPK_TRY(spk_alloc_array(g->n_clusters, sizeof *r->stamp, &r->stamp));
    for (uint32_t e = 0; e < g->n_edges; e++)
        SPK_TRY(snn_edge(r, e, &pins));
    if (r->p < r->end)
        return diag_error(r->diags, diag_place(r->diags, "%s", r->name), "E0485",
                          "%zu bytes behind the %u hyperedges", (size_t)(r->end - r->p),
                          g->n_edges);
    return spk_realloc_array(pins, sizeof *g->dest, &g->dest);
}

static spk_status snn_header(struct snn_reader *r)
{
    const size_t length = (size_t)(r->end - r->p);
    const struct spk_span place = diag_place(r->diags, "%s", r->name);
    if (length < SNN_HEADER)
        return diag_error(r->diags, place, "E0480",
                          "the file has %zu bytes; numbers of nodes and hyperedges take %u", length,
                          SNN_HEADER);
    r->g->n_clusters = take_u32(r);
    r->g->n_edges = take_u32(r);
    if (r->g->n_clusters > INT32_MAX || r->g->n_clusters > length + SPARE_NEURONS)
        return diag_error(r->diags, place, "E0481",
                          "%u nodes are announced, more than the file has bytes, %zu",
                          r->g->n_clusters, length);
    if (r->g->n_edges > (length - SNN_HEADER) / SNN_EDGE)
        return diag_error(r->diags, place, "E0481",
                          "%u hyperedges are announced, more than the file can hold",
                          r->g->n_edges);
    if (r->g->n_clusters == 0 && r->g->n_edges > 0)
        return diag_error(r->diags, place, "E0482", "hyperedges in a graph without nodes");
    return SPK_OK;
}

spk_status fe_snn_parse(const uint8_t *data, size_t length, const char *name,
                        struct diag_list *diags, struct fe_hypergraph *out)
{
    static const uint8_t nothing[1];
    struct snn_reader r = {.p = length > 0 ? data : nothing, .name = name, .diags = diags};
    memset(out, 0, sizeof *out);
    r.end = r.p + length;
    r.g = &out->graph;
    spk_status status = snn_header(&r);
    if (status == SPK_OK)
        status = snn_edges(&r);
    spk_free(r.stamp);
    if (status != SPK_OK)
        fe_hypergraph_fini(out);
    return status;
}

/* "folder/net one.hgr": net_one, as a word of at most FE_CLUSTER_NAME_MAX bytes. */
static void name_of(const char *path, char *out)
{
    const char *base = path_base(path), *dot = strrchr(base, '.');
    size_t n = dot != NULL && dot > base ? (size_t)(dot - base) : strlen(base);
    if (n > FE_CLUSTER_NAME_MAX)
        n = FE_CLUSTER_NAME_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = base[i] > ' ' && base[i] != 0x7f ? base[i] : '_';
    out[n] = '\0';
    if (n == 0)
        memcpy(out, "graph", sizeof "graph");
}

static spk_status load_cg(const char *path, struct diag_list *diags, struct fe_hypergraph *out)
{
    struct fe_clusters clusters;
    SPK_TRY(fe_clusters_load(path, diags, &clusters));
    memcpy(out->name, clusters.name, sizeof out->name);
    out->mesh_w = clusters.mesh_w;
    out->mesh_h = clusters.mesh_h;
    out->graph = clusters.graph;
    return SPK_OK;
}

spk_status fe_hypergraph_load(const char *path, enum fe_hypergraph_format other,
                              enum fe_hgr_source source, struct diag_list *diags,
                              struct fe_hypergraph *out)
{
    struct file_map map;
    enum fe_hypergraph_format format = fe_hypergraph_format_of(path);
    memset(out, 0, sizeof *out);
    if (format == FE_FORMAT_NONE)
        format = other;
    if (format == FE_FORMAT_CG)
        return load_cg(path, diags, out);
    if (format == FE_FORMAT_NONE)
        return diag_usage(diags, spk_span_none, "E0486",
                          "'%s' is none of the graphs that are read: .hgr, .snn, .cg", path);
    SPK_TRY(file_map_open(path, diags, &map));
    spk_status status = format == FE_FORMAT_HGR
                            ? fe_hgr_parse(map.size > 0 ? (const char *)map.data : "", map.size,
                                           path, source, diags, out)
                            : fe_snn_parse(map.data, map.size, path, diags, out);
    file_map_close(&map);
    if (status == SPK_OK)
        name_of(path, out->name);
    return status;
}
