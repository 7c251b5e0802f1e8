/* Reader of .cg cluster graphs and writer of .pl placements.
 *
 * One pass over the mapped file by hand: such files have a hundred million bytes. Counts are held
 * against the bytes that are left before anything is allocated for them. A destination given twice
 * in a line is an error (an axon reaches a set of clusters); the source among its own destinations
 * is allowed. Weights are decimal numbers, whole ones by the short way.
 * Cost: linear. Limits: 2^31 clusters, lines of any length, numbers of at most 40 characters. */
#include "frontend/cluster_file.h"

#include <string.h>

#include "frontend/words.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/strbuf.h"
#include "support/vec.h"

#define MAX_NUMBER 40u
#define MAX_SIDE 65535u
#define MAX_CELLS (1u << 26) /* placing takes some 64 bytes for each */
#define MAX_WEIGHT 1e100     /* sums and squares of loads stay finite */
#define MAX_CLUSTERS 0x7fffffffu

struct cg_reader {
    struct fe_words w;
    struct fe_clusters *out;
    VEC(uint32_t) dest;
    uint32_t *stamp; /* [clusters] last edge that named it, plus 1 */
};

void fe_clusters_fini(struct fe_clusters *clusters)
{
    ir_cluster_graph_fini(&clusters->graph);
    memset(clusters, 0, sizeof *clusters);
}

static spk_status end_of_line(struct cg_reader *r)
{
    fe_skip_blanks(&r->w);
    if (r->w.p < r->w.end && *r->w.p != '\n')
        return fe_words_bad(&r->w, "E0440", "more on the line than belongs there");
    if (r->w.p < r->w.end)
        r->w.p++;
    r->w.line++;
    return SPK_OK;
}

static spk_status bad_number(struct cg_reader *r, const char *begin, const char *what,
                             const char *wanted)
{
    size_t length;
    r->w.p = begin;
    begin = fe_word(&r->w, &length);
    if (length == 0)
        return fe_words_bad(&r->w, "E0441",
                            r->w.p >= r->w.end ? "the file ends where %s should stand"
                                               : "the line ends where %s should stand",
                            what);
    return fe_words_bad(&r->w, "E0442", "%s is '%.*s'; %s", what,
                        (int)(length > MAX_NUMBER ? MAX_NUMBER : length), begin, wanted);
}

/* An integer from 0 to max. */
static inline spk_status integer(struct cg_reader *r, const char *what, uint32_t max, uint32_t *out)
{
    while (r->w.p < r->w.end && *r->w.p == ' ')
        r->w.p++;
    const char *begin = r->w.p, *p = begin;
    uint64_t v = 0;
    while (p < r->w.end && *p >= '0' && *p <= '9' && p - begin < 11)
        v = v * 10 + (uint64_t)(*p++ - '0');
    if (p == begin || v > max || (p < r->w.end && *p != '\n' && !fe_is_blank(*p))) {
        char wanted[64];
        if (spk_snprintf(wanted, sizeof wanted, "a whole number from 0 to %u is needed", max) < 0)
            return SPK_ERR_INTERNAL;
        return bad_number(r, begin, what, wanted);
    }
    r->w.p = p;
    *out = (uint32_t)v;
    return SPK_OK;
}

static spk_status weight(struct cg_reader *r, double *out)
{
    size_t length;
    const char *begin = fe_word(&r->w, &length);
    uint32_t v = 0;
    size_t i = 0;
    for (; i < length && i < 9 && begin[i] >= '0' && begin[i] <= '9'; i++)
        v = v * 10 + (uint32_t)(begin[i] - '0');
    *out = v;
    if (i == length && length > 0)
        return SPK_OK;
    if (length == 0 || length > MAX_NUMBER || !spk_parse_f64(begin, length, out) || *out < 0 ||
        *out > MAX_WEIGHT)
        return bad_number(r, begin, "the weight",
                          "a number of at least 0, at most 1e100, is needed");
    return SPK_OK;
}

static spk_status keyword(struct cg_reader *r, const char *wanted)
{
    size_t length;
    const char *w = fe_word(&r->w, &length);
    if (length == strlen(wanted) && memcmp(w, wanted, length) == 0)
        return SPK_OK;
    return fe_words_bad(&r->w, "E0443", "expected '%s', found '%.*s'", wanted,
                        (int)(length > MAX_NUMBER ? MAX_NUMBER : length), w);
}

static spk_status header(struct cg_reader *r)
{
    struct fe_clusters *c = r->out;
    uint32_t version = 0, edges = 0;
    size_t length;
    SPK_TRY(keyword(r, "cg"));
    SPK_TRY(integer(r, "the version", UINT32_MAX, &version));
    if (version != 1)
        return fe_words_bad(&r->w, "E0444", "version %u of the format; this reader knows version 1",
                            version);
    SPK_TRY(end_of_line(r));
    SPK_TRY(keyword(r, "name"));
    const char *w = fe_word(&r->w, &length);
    if (length == 0 || length > FE_CLUSTER_NAME_MAX)
        return fe_words_bad(&r->w, "E0445", "a name of 1 to %u characters is needed",
                            FE_CLUSTER_NAME_MAX);
    memcpy(c->name, w, length);
    c->name[length] = '\0';
    SPK_TRY(end_of_line(r));
    SPK_TRY(keyword(r, "mesh"));
    SPK_TRY(integer(r, "the mesh's width", MAX_SIDE, &c->mesh_w));
    SPK_TRY(integer(r, "the mesh's height", MAX_SIDE, &c->mesh_h));
    const uint64_t cells = (uint64_t)c->mesh_w * c->mesh_h;
    if (cells == 0 || cells > MAX_CELLS)
        return fe_words_bad(&r->w, "E0453",
                            "the mesh of %u x %u has %llu cells; 1 to %u are allowed", c->mesh_w,
                            c->mesh_h, (unsigned long long)cells, MAX_CELLS);
    SPK_TRY(end_of_line(r));
    SPK_TRY(keyword(r, "clusters"));
    SPK_TRY(integer(r, "the number of clusters", MAX_CLUSTERS, &c->graph.n_clusters));
    if (c->graph.n_clusters > (uint64_t)c->mesh_w * c->mesh_h)
        return fe_words_bad(&r->w, "E0446", "%u clusters, but the mesh of %u x %u has %llu cells",
                            c->graph.n_clusters, c->mesh_w, c->mesh_h,
                            (unsigned long long)c->mesh_w * c->mesh_h);
    SPK_TRY(end_of_line(r));
    SPK_TRY(keyword(r, "edges"));
    SPK_TRY(integer(r, "the number of edges", UINT32_MAX, &edges));
    SPK_TRY(end_of_line(r));
    if (edges > (size_t)(r->w.end - r->w.p) / 5 + 1) /* "0 1 0" and its end of line */
        return fe_words_bad(&r->w, "E0447",
                            "%u edges are announced, more than the rest of the file can hold",
                            edges);
    c->graph.n_edges = edges;
    return SPK_OK;
}

static spk_status edge(struct cg_reader *r, uint32_t e)
{
    struct ir_cluster_graph *g = &r->out->graph;
    uint32_t n = 0, d = 0;
    const uint32_t last = g->n_clusters - 1;
    if (r->w.p >= r->w.end)
        return fe_words_bad(&r->w, "E0448", "the file ends after %u of %u edges", e, g->n_edges);
    if (g->n_clusters == 0)
        return fe_words_bad(&r->w, "E0449", "an edge in a graph without clusters");
    SPK_TRY(integer(r, "the source", last, &g->source[e]));
    SPK_TRY(weight(r, &g->weight[e]));
    SPK_TRY(integer(r, "the number of destinations", g->n_clusters, &n));
    if (n > (size_t)(r->w.end - r->w.p) / 2)
        return fe_words_bad(&r->w, "E0450",
                            "%u destinations are announced, more than the rest of the file "
                            "can hold",
                            n);
    SPK_TRY(vec_reserve(&r->dest, r->dest.len + n));
    for (uint32_t k = 0; k < n; k++) {
        SPK_TRY(integer(r, "a destination", last, &d));
        if (r->stamp[d] == e + 1)
            return fe_words_bad(&r->w, "E0451", "cluster %u is named twice among the destinations",
                                d);
        r->stamp[d] = e + 1;
        r->dest.data[r->dest.len++] = d;
    }
    g->first[e + 1] = r->dest.len;
    return end_of_line(r);
}

static spk_status edges(struct cg_reader *r)
{
    struct ir_cluster_graph *g = &r->out->graph;
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->source, &g->source));
    SPK_TRY(spk_alloc_array_raw(g->n_edges, sizeof *g->weight, &g->weight));
    SPK_TRY(spk_alloc_array((size_t)g->n_edges + 1, sizeof *g->first, &g->first));
    SPK_TRY(spk_alloc_array(g->n_clusters, sizeof *r->stamp, &r->stamp));
    for (uint32_t e = 0; e < g->n_edges; e++)
        SPK_TRY(edge(r, e));
    while (r->w.p < r->w.end && (fe_is_blank(*r->w.p) || *r->w.p == '\n'))
        r->w.line += *r->w.p++ == '\n';
    if (r->w.p < r->w.end)
        return fe_words_bad(&r->w, "E0452", "the file goes on behind its %u edges", g->n_edges);
    SPK_TRY(spk_realloc_array(r->dest.len, sizeof *r->dest.data, &r->dest.data));
    g->dest = r->dest.data;
    r->dest.data = NULL;
    return SPK_OK;
}

spk_status fe_clusters_parse(const char *text, size_t length, const char *name,
                             struct diag_list *diags, struct fe_clusters *out)
{
    struct cg_reader r = {.w.p = text,
                          .w.end = text + length,
                          .w.line = 1,
                          .w.name = name,
                          .w.diags = diags,
                          .out = out};
    memset(out, 0, sizeof *out);
    spk_status status = header(&r);
    if (status == SPK_OK)
        status = edges(&r);
    spk_free(r.stamp);
    vec_fini(&r.dest);
    if (status != SPK_OK)
        fe_clusters_fini(out);
    return status;
}

spk_status fe_clusters_load(const char *path, struct diag_list *diags, struct fe_clusters *out)
{
    struct file_map map;
    memset(out, 0, sizeof *out);
    SPK_TRY(file_map_open(path, diags, &map));
    spk_status status =
        fe_clusters_parse(map.size > 0 ? (const char *)map.data : "", map.size, path, diags, out);
    file_map_close(&map);
    return status;
}

spk_status fe_placement_write(const char *path, const uint32_t *cell, uint32_t n, uint32_t width,
                              struct diag_list *diags)
{
    struct file_writer *writer;
    struct strbuf text = {0};
    SPK_TRY(file_writer_create(path, diags, &writer));
    spk_status status = SPK_OK;
    for (uint32_t c = 0; c < n && status == SPK_OK; c++) {
        strbuf_u64(&text, cell[c] % width);
        strbuf_char(&text, ' ');
        strbuf_u64(&text, cell[c] / width);
        strbuf_char(&text, '\n');
        status = file_writer_text(writer, &text, c + 1 == n);
    }
    strbuf_fini(&text);
    if (status == SPK_OK)
        return file_writer_commit(writer);
    file_writer_abort(writer);
    return status;
}
