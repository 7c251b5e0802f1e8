/* partition: neurons into cores. Reads, splits fan-in, cuts, measures, writes; all figures are
 * counted from the graph and the parts, whoever made them. */
#include <string.h>

#include "api/api_internal.h"
#include "frontend/hypergraph_file.h"
#include "passes/part/part.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/time.h"

struct partition_job {
    spk_context *c;
    const struct spk_partition_options *o;
    struct part_options options;
    enum fe_hgr_source source;
    struct fe_hypergraph file; /* as read */
    struct part_split split;
    struct fe_hypergraph cut; /* what is cut: borrows from file or split */
    struct fe_hypergraph clusters;
    struct part_metrics metrics;
    uint32_t *part, n_parts;
    double read_seconds, split_seconds, partition_seconds, measure_seconds, write_seconds;
};

static double seconds_since(uint64_t *io_ns)
{
    const uint64_t begin = *io_ns;
    *io_ns = spk_time_ns();
    return 1e-9 * (double)(*io_ns - begin);
}

static spk_status choose_source(struct partition_job *j)
{
    const char *name = j->o->source;
    j->source = FE_SOURCE_FIRST;
    if (name == NULL)
        return SPK_OK;
    if (fe_hypergraph_format_of(j->o->graph) != FE_FORMAT_HGR)
        return diag_usage(&j->c->diags, spk_span_none, "E0993",
                          "--source is for .hgr files; in others every hyperedge has its source");
    if (strcmp(name, "last") == 0)
        j->source = FE_SOURCE_LAST;
    else if (strcmp(name, "none") == 0)
        j->source = FE_SOURCE_NONE;
    else if (strcmp(name, "first") != 0)
        return diag_usage(&j->c->diags, spk_span_none, "E0993",
                          "no source '%s'; there are first, last and none", name);
    return SPK_OK;
}

static spk_status partition_settings(struct partition_job *j)
{
    const struct spk_partition_options *o = j->o;
    struct part_options *p = &j->options;
    struct diag_list *diags = &j->c->diags;
    const char *objective = o->objective != NULL ? o->objective : "connectivity";
    SPK_TRY(choose_source(j));
    if (strcmp(objective, "cores") == 0)
        p->objective = PART_CORES;
    else if (strcmp(objective, "connectivity") != 0)
        return diag_usage(diags, spk_span_none, "E0990",
                          "no objective '%s'; there are connectivity and cores", objective);
    if (o->partitioner != NULL && !part_engine_find(o->partitioner, &p->engine))
        return diag_usage(diags, spk_span_none, "E0992",
                          "no partitioner '%s'; there are spikec, sequential and overlap",
                          o->partitioner);
    if (o->output == NULL && o->write == NULL && o->clusters == NULL)
        return diag_usage(diags, spk_span_none, "E0988",
                          "nothing to write: -o, --clusters and --write are all missing");
    p->limits = (struct part_limits){o->neurons, o->axons, o->synapses, o->cores};
    if (o->neurons == 0 && o->axons == 0 && o->synapses == 0 &&
        (o->output != NULL || o->clusters != NULL))
        return diag_usage(diags, spk_span_none, "E0988",
                          "what does a core hold? --neurons, --axons or --synapses is needed");
    p->seed = o->seed;
    p->effort = o->effort;
    p->pool = j->c->pool;
    p->progress = &j->c->progress;
    return SPK_OK;
}

/* The graph to cut: that of the file, or with partial sums. */
static spk_status prepare_graph(struct partition_job *j)
{
    if (!j->o->no_split)
        SPK_TRY(part_split_fan_in(&j->file.graph, j->file.size, &j->options.limits, &j->c->diags,
                                  &j->split));
    j->cut = j->file;
    if (j->split.n_added > 0) {
        j->cut.graph = j->split.graph;
        j->cut.size = j->split.size;
        diag_warning(&j->c->diags, spk_span_none, "W0614",
                     "%u neurons have more inputs than a core takes (up to %u); %u partial-sum "
                     "neurons were added, numbered from %u on",
                     j->split.n_split, j->split.max_fan_in, j->split.n_added,
                     j->file.graph.n_clusters);
    }
    return SPK_OK;
}

static spk_status write_parts(const struct partition_job *j)
{
    struct file_writer *writer;
    struct strbuf text = {0};
    const uint32_t n = j->cut.graph.n_clusters;
    spk_status status = SPK_OK;
    SPK_TRY(file_writer_create(j->o->output, &j->c->diags, &writer));
    for (uint32_t v = 0; v < n && status == SPK_OK; v++) {
        strbuf_u64(&text, j->part[v]);
        strbuf_char(&text, '\n');
        status = file_writer_text(writer, &text, v + 1 == n);
    }
    strbuf_fini(&text);
    if (status == SPK_OK)
        return file_writer_commit(writer);
    file_writer_abort(writer);
    return status;
}

static spk_status write_files(struct partition_job *j)
{
    struct diag_list *diags = &j->c->diags;
    if (j->o->write != NULL)
        SPK_TRY(fe_hypergraph_write(j->o->write, &j->cut, diags));
    if (j->o->clusters != NULL) {
        memcpy(j->clusters.name, j->file.name, sizeof j->clusters.name);
        SPK_TRY(part_cluster_graph(&j->cut.graph, j->part, j->n_parts, &j->clusters.graph));
        SPK_TRY(fe_hypergraph_write(j->o->clusters, &j->clusters, diags));
    }
    return j->o->output != NULL ? write_parts(j) : SPK_OK;
}

static void limit_json(struct json_writer *w, const char *key, uint64_t limit)
{
    if (limit > 0)
        jw_u64(w, key, limit);
    else
        jw_null(w, key);
}

static void write_core_table(const struct partition_job *j, struct json_writer *w)
{
    jw_array_begin(w, "core_table");
    for (uint32_t p = 0; p < j->n_parts; p++) {
        const struct part_core *c = &j->metrics.core[p];
        jw_object_begin_line(w, NULL);
        jw_u64(w, "neurons", c->neurons);
        jw_u64(w, "axons", c->axons);
        jw_u64(w, "synapses", c->synapses);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void write_json(const struct partition_job *j, struct json_writer *w)
{
    const struct part_metrics *m = &j->metrics;
    jw_string(w, "graph", j->file.name);
    jw_u64(w, "neurons", j->file.graph.n_clusters);
    jw_u64(w, "edges", j->file.graph.n_edges);
    jw_object_begin(w, "limits");
    limit_json(w, "neurons", j->o->neurons);
    limit_json(w, "axons", j->o->axons);
    limit_json(w, "synapses", j->o->synapses);
    limit_json(w, "cores", j->o->cores);
    jw_object_end(w);
    jw_object_begin(w, "split");
    jw_u64(w, "neurons", j->split.n_split);
    jw_u64(w, "added_neurons", j->split.n_added);
    jw_u64(w, "levels", j->split.levels);
    jw_u64(w, "max_fan_in", j->split.max_fan_in);
    jw_object_end(w);
    jw_u64(w, "synapses", m->synapses);
    jw_u64(w, "used_axons", m->used_axons);
    jw_string(w, "engine_used", part_engine_name(j->options.engine));
    jw_string(w, "objective", j->options.objective == PART_CORES ? "cores" : "connectivity");
    jw_u64(w, "seed", j->options.seed);
    jw_u64(w, "cores", j->n_parts);
    jw_u64(w, "cores_bound", m->cores_bound);
    jw_f64(w, "connectivity", m->connectivity);
    jw_f64(w, "cut_net", m->cut_net);
    jw_f64(w, "remote_synapse_events", m->remote_events);
    jw_f64(w, "synaptic_reuse", m->synaptic_reuse);
    jw_u64(w, "max_neurons", m->max_neurons);
    jw_u64(w, "max_axons", m->max_axons);
    jw_u64(w, "max_synapses", m->max_synapses);
    jw_u64(w, "axon_entries", m->total_axons);
    jw_u64(w, "violations", m->violations);
    write_core_table(j, w);
    jw_f64(w, "read_seconds", j->read_seconds);
    jw_f64(w, "split_seconds", j->split_seconds);
    jw_f64(w, "partition_seconds", j->partition_seconds);
    jw_f64(w, "measure_seconds", j->measure_seconds);
    jw_f64(w, "write_seconds", j->write_seconds);
}

static void text_limit(struct strbuf *t, const char *what, uint64_t most, uint64_t limit)
{
    strbuf_printf(t, "%s %llu", what, (unsigned long long)most);
    if (limit > 0)
        strbuf_printf(t, " of %llu", (unsigned long long)limit);
}

static void write_text(const struct partition_job *j, struct strbuf *t)
{
    const struct part_metrics *m = &j->metrics;
    strbuf_printf(t, "%s: %u neurons, %u axons, %llu synapses; partitioner %s\n", j->file.name,
                  j->file.graph.n_clusters, m->used_axons, (unsigned long long)m->synapses,
                  part_engine_name(j->options.engine));
    if (j->split.n_added > 0)
        strbuf_printf(t, "fan-in: %u neurons split (largest %u), %u partial-sum neurons added\n",
                      j->split.n_split, j->split.max_fan_in, j->split.n_added);
    strbuf_printf(t, "cores %u (at least %u), violations %u; fullest:", j->n_parts, m->cores_bound,
                  m->violations);
    text_limit(t, " neurons", m->max_neurons, j->o->neurons);
    text_limit(t, ", axons", m->max_axons, j->o->axons);
    text_limit(t, ", synapses", m->max_synapses, j->o->synapses);
    strbuf_printf(t, "\nconnectivity %.9g; cut nets %.9g; remote synapse events %.9g\n",
                  m->connectivity, m->cut_net, m->remote_events);
    strbuf_printf(t, "synapses per axon entry of a core, mean: %.2f\n", m->synaptic_reuse);
    strbuf_printf(t,
                  "time: read %.2f s, split %.2f s, partition %.2f s, measure %.2f s, write "
                  "%.2f s\n",
                  j->read_seconds, j->split_seconds, j->partition_seconds, j->measure_seconds,
                  j->write_seconds);
}

static spk_status partition_all(struct partition_job *j, struct api_report *r)
{
    struct diag_list *diags = &j->c->diags;
    uint64_t clock = spk_time_ns();
    bool early = false;
    SPK_TRY(partition_settings(j));
    SPK_TRY(fe_hypergraph_load(j->o->graph, FE_FORMAT_NONE, j->source, diags, &j->file));
    j->read_seconds = seconds_since(&clock);
    SPK_TRY(prepare_graph(j));
    j->split_seconds = seconds_since(&clock);
    SPK_TRY(spk_alloc_array_raw(j->cut.graph.n_clusters, sizeof *j->part, &j->part));
    j->options.out_ended_early = &early;
    SPK_TRY(part_run(&j->cut.graph, j->cut.size, &j->options, diags, j->part, &j->n_parts));
    if (early)
        (void)api_end_early(j->c);
    j->partition_seconds = seconds_since(&clock);
    SPK_TRY(part_measure(&j->cut.graph, j->cut.size, &j->options.limits, j->part, j->n_parts,
                         &j->metrics));
    if (j->metrics.violations > 0)
        return diag_internal(diags, spk_span_none, "E0615", "%u cores exceed their limits",
                             j->metrics.violations);
    j->measure_seconds = seconds_since(&clock);
    SPK_TRY(write_files(j));
    j->write_seconds = seconds_since(&clock);
    write_json(j, &r->w);
    write_text(j, &r->result->text);
    return SPK_OK;
}

int spk_partition(spk_context *c, const struct spk_partition_options *o, spk_result **out_result)
{
    struct partition_job j = {.c = c, .o = o};
    struct api_report report;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&report, "partition");
    if (status == SPK_OK)
        status = partition_all(&j, &report);
    spk_free(j.part);
    part_metrics_fini(&j.metrics);
    fe_hypergraph_fini(&j.clusters);
    part_split_fini(&j.split);
    fe_hypergraph_fini(&j.file);
    return api_report_end_early(c, &report, status, "the partition is the best so far", out_result);
}
