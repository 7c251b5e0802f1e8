/* Writers of hypergraphs: .hgr, .snn and .cg. Each first looks for what its format cannot hold.
 * Linear; the file is written in pieces and replaced in one step. */
#include <math.h>
#include <string.h>

#include "frontend/hypergraph_file.h"
#include "support/file.h"
#include "support/strbuf.h"

struct graph_writer {
    struct file_writer *file;
    struct strbuf text;
};

static bool has_sizes(const struct fe_hypergraph *h)
{
    for (uint32_t v = 0; h->size != NULL && v < h->graph.n_clusters; v++)
        if (h->size[v] != 1)
            return true;
    return false;
}

static bool sends_to_itself(const struct ir_cluster_graph *g, uint32_t e)
{
    for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++)
        if (g->dest[k] == g->source[e])
            return true;
    return false;
}

static spk_status refuse_sizes(const char *path, const char *format, const struct fe_hypergraph *h,
                               struct diag_list *diags)
{
    if (!has_sizes(h))
        return SPK_OK;
    return diag_error(diags, diag_place(diags, "%s", path), "E0487",
                      "the graph has vertex weights, which %s cannot hold", format);
}

/* ---- .hgr ---- */

static spk_status check_hgr(const char *path, const struct fe_hypergraph *h,
                            struct diag_list *diags)
{
    const struct ir_cluster_graph *g = &h->graph;
    for (uint32_t e = 0; e < g->n_edges; e++) {
        const double w = g->weight[e];
        if (w != floor(w) || w > INT32_MAX)
            return diag_error(diags, diag_place(diags, "%s", path), "E0487",
                              "hyperedge %u has weight %.17g; .hgr holds whole weights up to %d",
                              e + 1, w, INT32_MAX);
        if (sends_to_itself(g, e))
            return diag_error(diags, diag_place(diags, "%s", path), "E0487",
                              "the source of hyperedge %u is among its destinations, which .hgr "
                              "cannot hold",
                              e + 1);
    }
    return SPK_OK;
}

static spk_status write_hgr(struct graph_writer *w, const struct fe_hypergraph *h)
{
    const struct ir_cluster_graph *g = &h->graph;
    const bool sizes = has_sizes(h);
    bool weights = false;
    for (uint32_t e = 0; e < g->n_edges; e++)
        weights = weights || g->weight[e] != 1;
    strbuf_printf(&w->text, "%u %u", g->n_edges, g->n_clusters);
    if (weights || sizes)
        strbuf_printf(&w->text, " %s%s", sizes ? "1" : "", weights ? "1" : "0");
    strbuf_char(&w->text, '\n');
    for (uint32_t e = 0; e < g->n_edges; e++) {
        if (weights) {
            strbuf_u64(&w->text, (uint64_t)g->weight[e]);
            strbuf_char(&w->text, ' ');
        }
        strbuf_u64(&w->text, (uint64_t)g->source[e] + 1);
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            strbuf_char(&w->text, ' ');
            strbuf_u64(&w->text, (uint64_t)g->dest[k] + 1);
            SPK_TRY(file_writer_text(w->file, &w->text, false));
        }
        strbuf_char(&w->text, '\n');
    }
    for (uint32_t v = 0; sizes && v < g->n_clusters; v++) {
        strbuf_u64(&w->text, h->size[v]);
        strbuf_char(&w->text, '\n');
        SPK_TRY(file_writer_text(w->file, &w->text, false));
    }
    return file_writer_text(w->file, &w->text, true);
}

/* ---- .snn ---- */

static spk_status check_snn(const char *path, const struct fe_hypergraph *h,
                            struct diag_list *diags)
{
    for (uint32_t e = 0; e < h->graph.n_edges; e++) {
        const double w = h->graph.weight[e];
        if ((double)(float)w != w)
            return diag_error(diags, diag_place(diags, "%s", path), "E0487",
                              "hyperedge %u has weight %.17g, which .snn cannot hold exactly", e,
                              w);
    }
    return refuse_sizes(path, ".snn", h, diags);
}

static void put_u32(struct strbuf *out, uint32_t v)
{
    const char byte[4] = {(char)(v & 255), (char)(v >> 8 & 255), (char)(v >> 16 & 255),
                          (char)(v >> 24)};
    strbuf_append_n(out, byte, sizeof byte);
}

static spk_status write_snn(struct graph_writer *w, const struct fe_hypergraph *h)
{
    const struct ir_cluster_graph *g = &h->graph;
    put_u32(&w->text, g->n_clusters);
    put_u32(&w->text, g->n_edges);
    for (uint32_t e = 0; e < g->n_edges; e++) {
        const float weight = (float)g->weight[e];
        uint32_t bits;
        memcpy(&bits, &weight, sizeof bits);
        put_u32(&w->text, (uint32_t)(g->first[e + 1] - g->first[e]));
        put_u32(&w->text, g->source[e]);
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            put_u32(&w->text, g->dest[k]);
            SPK_TRY(file_writer_text(w->file, &w->text, false));
        }
        put_u32(&w->text, bits);
    }
    return file_writer_text(w->file, &w->text, true);
}

/* ---- .cg ---- */

static spk_status write_cg(struct graph_writer *w, const struct fe_hypergraph *h)
{
    const struct ir_cluster_graph *g = &h->graph;
    uint32_t width = h->mesh_w, height = h->mesh_h;
    if (width == 0 || height == 0)
        fe_mesh_for(g->n_clusters, &width, &height);
    strbuf_printf(&w->text, "cg 1\nname %s\nmesh %u %u\nclusters %u\nedges %u\n", h->name, width,
                  height, g->n_clusters, g->n_edges);
    for (uint32_t e = 0; e < g->n_edges; e++) {
        strbuf_u64(&w->text, g->source[e]);
        strbuf_char(&w->text, ' ');
        strbuf_f64(&w->text, g->weight[e]);
        strbuf_char(&w->text, ' ');
        strbuf_u64(&w->text, g->first[e + 1] - g->first[e]);
        for (uint64_t k = g->first[e]; k < g->first[e + 1]; k++) {
            strbuf_char(&w->text, ' ');
            strbuf_u64(&w->text, g->dest[k]);
            SPK_TRY(file_writer_text(w->file, &w->text, false));
        }
        strbuf_char(&w->text, '\n');
    }
    return file_writer_text(w->file, &w->text, true);
}

spk_status fe_hypergraph_write(const char *path, const struct fe_hypergraph *h,
                               struct diag_list *diags)
{
    struct graph_writer w = {0};
    spk_status status = SPK_OK;
    switch (fe_hypergraph_format_of(path)) {
    case FE_FORMAT_HGR:
        SPK_TRY(check_hgr(path, h, diags));
        break;
    case FE_FORMAT_SNN:
        SPK_TRY(check_snn(path, h, diags));
        break;
    case FE_FORMAT_CG:
        SPK_TRY(refuse_sizes(path, ".cg", h, diags));
        break;
    case FE_FORMAT_NONE:
        return diag_usage(diags, spk_span_none, "E0486",
                          "'%s' is none of the graphs that are written: .hgr, .snn, .cg", path);
    }
    SPK_TRY(file_writer_create(path, diags, &w.file));
    switch (fe_hypergraph_format_of(path)) {
    case FE_FORMAT_HGR:
        status = write_hgr(&w, h);
        break;
    case FE_FORMAT_SNN:
        status = write_snn(&w, h);
        break;
    default:
        status = write_cg(&w, h);
        break;
    }
    strbuf_fini(&w.text);
    if (status == SPK_OK)
        return file_writer_commit(w.file);
    file_writer_abort(w.file);
    return status;
}
