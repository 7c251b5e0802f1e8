/* Reader of hMETIS hypergraphs (hMETIS manual 1.5.3, section 4.1).
 *
 * One pass over the text. Lines that begin with % are comments, empty ones are passed over. Counts
 * are held against the bytes that are left before anything is allocated for them, so memory is
 * bounded by the file. Every line is an axon; which of its pins sends is the caller's choice.
 * Cost: linear. Limits: numbers of at most 40 characters. */
#include <string.h>

#include "frontend/hypergraph_file.h"
#include "frontend/words.h"
#include "support/alloc.h"
#include "support/strbuf.h"
#include "support/vec.h"

#define MAX_NUMBER 40u
#define MAX_WEIGHT 1e100    /* sums stay finite */
#define SPARE_NEURONS 1024u /* that a file may announce beyond one for each of its bytes */

struct hgr_reader {
    struct fe_words w;
    enum fe_hgr_source source;
    struct fe_hypergraph *out;
    VEC(uint32_t) dest;
    uint32_t *stamp; /* [vertices] last line that named it, plus 1 */
};

/* To the first word of the next line that has one; false at the end of the file. */
static bool next_line(struct hgr_reader *r)
{
    for (;;) {
        fe_skip_blanks(&r->w);
        if (r->w.p >= r->w.end)
            return false;
        if (*r->w.p != '\n' && *r->w.p != '%')
            return true;
        while (r->w.p < r->w.end && *r->w.p != '\n')
            r->w.p++;
        if (r->w.p < r->w.end)
            r->w.p++;
        r->w.line++;
    }
}

static bool at_line_end(struct hgr_reader *r)
{
    fe_skip_blanks(&r->w);
    return r->w.p >= r->w.end || *r->w.p == '\n';
}

static size_t word_length(const struct hgr_reader *r)
{
    const char *p = r->w.p;
    while (p < r->w.end && !fe_is_blank(*p) && *p != '\n')
        p++;
    return (size_t)(p - r->w.p);
}

static spk_status bad_number(struct hgr_reader *r, const char *what, double low, double high)
{
    const size_t n = word_length(r);
    if (n == 0)
        return fe_words_bad(&r->w, "E0471", "%s is missing", what);
    return fe_words_bad(&r->w, "E0472", "%s is '%.*s'; a number from %.10g to %.10g is needed",
                        what, (int)(n < MAX_NUMBER ? n : MAX_NUMBER), r->w.p, low, high);
}

/* A whole number from low to high. */
static spk_status whole(struct hgr_reader *r, const char *what, uint32_t low, uint32_t high,
                        uint32_t *out)
{
    fe_skip_blanks(&r->w);
    const char *p = r->w.p;
    uint64_t v = 0;
    while (p < r->w.end && *p >= '0' && *p <= '9' && v <= UINT32_MAX)
        v = v * 10 + (uint64_t)(*p++ - '0');
    if (p == r->w.p || v < low || v > high || (p < r->w.end && *p != '\n' && !fe_is_blank(*p)))
        return bad_number(r, what, low, high);
    r->w.p = p;
    *out = (uint32_t)v;
    return SPK_OK;
}

static spk_status weight(struct hgr_reader *r, double *out)
{
    fe_skip_blanks(&r->w);
    const size_t n = word_length(r);
    if (n == 0 || n > MAX_NUMBER || !spk_parse_f64(r->w.p, n, out) || *out < 0 || *out > MAX_WEIGHT)
        return bad_number(r, "the weight", 0, MAX_WEIGHT);
    r->w.p += n;
    return SPK_OK;
}

static spk_status header(struct hgr_reader *r, bool *out_edge_weights, bool *out_vertex_weights)
{
    struct ir_cluster_graph *g = &r->out->graph;
    const size_t length = (size_t)(r->w.end - r->w.p);
    uint32_t format = 0;
    if (!next_line(r))
        return fe_words_bad(&r->w, "E0470",
                            "the file has no line with the numbers of hyperedges and vertices");
    SPK_TRY(whole(r, "the number of hyperedges", 0, UINT32_MAX - 1, &g->n_edges));
    SPK_TRY(whole(r, "the number of vertices", 0, INT32_MAX, &g->n_clusters));
    if (!at_line_end(r))
        SPK_TRY(whole(r, "the format", 0, 11, &format));
    if (format != 0 && format != 1 && format != 10 && format != 11)
        return fe_words_bad(&r->w, "E0473", "format %u; there are 0, 1, 10 and 11", format);
    if (!at_line_end(r))
        return fe_words_bad(&r->w, "E0474",
                            "more on the line than numbers of hyperedges, vertices and a format");
    if (g->n_edges > length / 2 + 1) /* "1" and its end of line */
        return fe_words_bad(&r->w, "E0475",
                            "%u hyperedges are announced, more than the file can hold", g->n_edges);
    if (g->n_clusters > length + SPARE_NEURONS)
        return fe_words_bad(
            &r->w, "E0475",
            "%u vertices are announced, but the file can name only half as many as it has "
            "bytes, %zu",
            g->n_clusters, length);
    *out_edge_weights = format % 10 == 1;
    *out_vertex_weights = format >= 10;
    return SPK_OK;
}

static spk_status edge(struct hgr_reader *r, uint32_t e, bool weighted)
{
    struct ir_cluster_graph *g = &r->out->graph;
    const size_t begin = r->dest.len;
    uint32_t v = 0;
    if (!next_line(r))
        return fe_words_bad(&r->w, "E0476", "the file ends after %u of %u hyperedges", e,
                            g->n_edges);
    g->weight[e] = 1;
    if (weighted)
        SPK_TRY(weight(r, &g->weight[e]));
    while (!at_line_end(r)) {
        SPK_TRY(whole(r, "a vertex", 1, g->n_clusters, &v));
        v--;
        if (r->stamp[v] == e + 1)
            return fe_words_bad(&r->w, "E0477", "vertex %u is named twice in a hyperedge", v + 1);
        r->stamp[v] = e + 1;
        SPK_TRY(vec_push(&r->dest, v));
    }
    uint32_t *pin = r->dest.data + begin;
    const size_t n = r->dest.len - begin;
    if (n == 0)
        return fe_words_bad(&r->w, "E0471", "a vertex is missing");
    g->source[e] = pin[r->source == FE_SOURCE_LAST ? n - 1 : 0];
    if (r->source == FE_SOURCE_FIRST)
        memmove(pin, pin + 1, (n - 1) * sizeof *pin);
    r->dest.len -= r->source != FE_SOURCE_NONE;
    g->first[e + 1] = r->dest.len;
    return SPK_OK;
}

static spk_status edges(struct hgr_reader *r, bool weighted)
{
    struct ir_cluster_graph *g = &r->out->graph;
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->source, &g->source));
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->weight, &g->weight));
    SPK_TRY(spk_alloc_array((size_t)g->n_edges + 1, sizeof *g->first, &g->first));
    SPK_TRY(spk_alloc_array(g->n_clusters, sizeof *r->stamp, &r->stamp));
    for (uint32_t e = 0; e < g->n_edges; e++)
        SPK_TRY(edge(r, e, weighted));
    SPK_TRY(spk_realloc_array(r->dest.len, sizeof *r->dest.data, &r->dest.data));
    g->dest = r->dest.data;
    r->dest.data = NULL;
    return SPK_OK;
}

static spk_status vertex_weights(struct hgr_reader *r)
{
    const uint32_t n = r->out->graph.n_clusters;
    SPK_TRY(spk_alloc_array_raw(n, sizeof *r->out->size, &r->out->size));
    for (uint32_t v = 0; v < n; v++) {
        if (!next_line(r))
            return fe_words_bad(&r->w, "E0478",
                                "the file ends after the weights of %u of %u vertices", v, n);
        SPK_TRY(whole(r, "the weight of a vertex", 0, INT32_MAX, &r->out->size[v]));
        if (!at_line_end(r))
            return fe_words_bad(&r->w, "E0474", "more on the line than the weight of a vertex");
    }
    return SPK_OK;
}

spk_status fe_hgr_parse(const char *text, size_t length, const char *name,
                        enum fe_hgr_source source, struct diag_list *diags,
                        struct fe_hypergraph *out)
{
    struct hgr_reader r = {.w.p = text,
                           .w.end = text + length,
                           .w.line = 1,
                           .w.name = name,
                           .source = source,
                           .w.diags = diags,
                           .out = out};
    bool edge_weights = false, sizes = false;
    memset(out, 0, sizeof *out);
    spk_status status = header(&r, &edge_weights, &sizes);
    if (status == SPK_OK)
        status = edges(&r, edge_weights);
    if (status == SPK_OK && sizes)
        status = vertex_weights(&r);
    if (status == SPK_OK && next_line(&r))
        status = fe_words_bad(&r.w, "E0479", "the file goes on behind its %u hyperedges%s",
                              out->graph.n_edges, sizes ? " and the weights of its vertices" : "");
    spk_free(r.stamp);
    vec_fini(&r.dest);
    if (status != SPK_OK)
        fe_hypergraph_fini(out);
    return status;
}
