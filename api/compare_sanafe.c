/* compare-sanafe: what SANA-FE gave for an exported network against what was expected: every spike,
 * and the energy of every component. */
#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/sanafe/sanafe_results.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/json.h"

#define TOLERANCE 1e-3 /* of an energy, relative */
#define PRINTED 1e-5   /* what the seven printed digits of the steps may add up to */

struct layer_groups {
    const char *name;
    uint64_t first, channels, start;
};
struct compare {
    spk_context *c;
    const char *folder, *results;
    struct json_value *json;
    uint64_t timesteps, offset;
    double chip[SANAFE_COMPONENTS], inputs[SANAFE_COMPONENTS];
    VEC(struct layer_groups) layers;
    struct sanafe_spikes want, got;
    struct sanafe_summary summary;
    struct sanafe_perf perf;
    uint64_t missing, extra;
    struct sanafe_spike first; /* that differs; step 0: none */
    bool first_missing;
};

static void compare_fini(struct compare *k)
{
    js_free(k->json);
    vec_fini(&k->layers);
    vec_fini(&k->want);
    vec_fini(&k->got);
}

static spk_status read_layers(struct compare *k, const struct json_cursor *root)
{
    struct json_cursor list, at;
    size_t n;
    SPK_TRY(js_member(root, "layers", &list));
    SPK_TRY(js_array_length(&list, &n));
    for (size_t i = 0; i < n; i++) {
        struct layer_groups l;
        int64_t first, channels, start;
        SPK_TRY(js_element(&list, i, &at));
        SPK_TRY(js_get_string(&at, "name", &l.name));
        SPK_TRY(js_get_i64(&at, "first_group", 0, UINT32_MAX, &first));
        SPK_TRY(js_get_i64(&at, "channels", 0, UINT32_MAX, &channels));
        SPK_TRY(js_get_i64(&at, "start", 0, UINT32_MAX, &start));
        l.first = (uint64_t)first;
        l.channels = (uint64_t)channels;
        l.start = (uint64_t)start;
        SPK_TRY(vec_push(&k->layers, l));
    }
    return SPK_OK;
}

static spk_status read_expected(struct compare *k)
{
    struct json_cursor root, energy, chip, inputs;
    char *text = NULL;
    size_t length = 0;
    int64_t v;
    SPK_TRY(api_folder_text(k->c, k->folder, "expected.json", &text, &length));
    spk_status status = js_parse(text, length, "expected.json", NULL, &k->c->diags, &k->json);
    spk_free(text);
    SPK_TRY(status);
    root = js_root(k->json, "expected.json", &k->c->diags);
    SPK_TRY(js_get_i64(&root, "timesteps", 1, INT64_MAX, &v));
    k->timesteps = (uint64_t)v;
    SPK_TRY(js_get_i64(&root, "offset", 0, 1, &v));
    k->offset = (uint64_t)v;
    SPK_TRY(js_member(&root, "energy_pj", &energy));
    SPK_TRY(js_member(&energy, "chip", &chip));
    SPK_TRY(js_member(&energy, "inputs", &inputs));
    for (int i = 0; i < SANAFE_COMPONENTS; i++) {
        SPK_TRY(js_get_f64(&chip, sanafe_component_names[i], &k->chip[i]));
        SPK_TRY(js_get_f64(&inputs, sanafe_component_names[i], &k->inputs[i]));
    }
    return read_layers(k, &root);
}

static spk_status read_file(struct compare *k, const char *folder, const char *name, int what)
{
    struct diag_list *d = &k->c->diags;
    char *path = path_join(folder, name);
    spk_status status = SPK_ERR_NOMEM;
    if (path != NULL)
        status = what == 0   ? sanafe_read_spikes(path, d, &k->want)
                 : what == 1 ? sanafe_read_spikes(path, d, &k->got)
                 : what == 2 ? sanafe_read_summary(path, d, &k->summary)
                             : sanafe_read_perf(path, d, &k->perf);
    spk_free(path);
    return status;
}

static spk_status read_files(struct compare *k)
{
    SPK_TRY(read_expected(k));
    SPK_TRY(read_file(k, k->folder, "expected_spikes.csv", 0));
    SPK_TRY(read_file(k, k->results, "spikes.csv", 1));
    SPK_TRY(read_file(k, k->results, "run_summary.yaml", 2));
    SPK_TRY(read_file(k, k->results, "perf.csv", 3));
    if (k->summary.timesteps != k->timesteps || k->perf.timesteps != k->timesteps)
        return diag_error(&k->c->diags, spk_span_none, "E0963",
                          "the results are of %llu steps (perf.csv: %llu), expected are %llu",
                          (unsigned long long)k->summary.timesteps,
                          (unsigned long long)k->perf.timesteps, (unsigned long long)k->timesteps);
    for (int i = 0; i < SANAFE_COMPONENTS; i++)
        if (fabs(k->perf.energy_pj[i] - k->summary.energy_pj[i]) >
            PRINTED * k->summary.energy_pj[i])
            return diag_error(&k->c->diags, spk_span_none, "E0964",
                              "perf.csv adds up to %g pJ of %s, the summary says %g: they are of "
                              "different runs",
                              k->perf.energy_pj[i], sanafe_component_names[i],
                              k->summary.energy_pj[i]);
    return SPK_OK;
}

static int order(const struct sanafe_spike *a, const struct sanafe_spike *b)
{
    const uint32_t p[3] = {a->step, a->group, a->neuron}, q[3] = {b->step, b->group, b->neuron};
    for (int i = 0; i < 3; i++)
        if (p[i] != q[i])
            return p[i] < q[i] ? -1 : 1;
    return 0;
}

static void note_first(struct compare *k, const struct sanafe_spike *s, bool missing)
{
    if (k->first.step == 0) {
        k->first = *s;
        k->first_missing = missing;
    }
}

static void compare_spikes(struct compare *k)
{
    size_t w = 0, g = 0;
    while (w < k->want.len || g < k->got.len) {
        const int c = w == k->want.len  ? 1
                      : g == k->got.len ? -1
                                        : order(&k->want.data[w], &k->got.data[g]);
        if (c < 0) {
            k->missing++;
            note_first(k, &k->want.data[w], true);
        } else if (c > 0) {
            k->extra++;
            note_first(k, &k->got.data[g], false);
        }
        w += c <= 0;
        g += c >= 0;
    }
}

/* Relative difference of a component, 0 where both are nothing. */
static double relative(const struct compare *k, int i)
{
    const double want = k->chip[i] + k->inputs[i], got = k->summary.energy_pj[i];
    return want == got ? 0.0 : want > 0.0 ? got / want - 1.0 : 1.0;
}

static void put_first(const struct compare *k, struct api_report *r)
{
    const struct sanafe_spike *s = &k->first;
    if (s->step == 0) {
        jw_null(&r->w, "first_difference");
        return;
    }
    const struct layer_groups *layer = NULL;
    for (size_t i = 0; i < k->layers.len; i++)
        if (s->group >= k->layers.data[i].first &&
            s->group - k->layers.data[i].first < k->layers.data[i].channels)
            layer = &k->layers.data[i];
    jw_object_begin_line(&r->w, "first_difference");
    jw_string(&r->w, "layer", layer ? layer->name : NULL);
    jw_i64(&r->w, "channel", layer ? (int64_t)(s->group - layer->first) : -1);
    jw_u64(&r->w, "position", s->neuron);
    jw_u64(&r->w, "timestep", s->step);
    jw_bool(&r->w, "missing", k->first_missing);
    jw_object_end(&r->w);
    strbuf_printf(&r->result->text,
                  "first difference: %s a spike of '%s', channel %lld, "
                  "position %u, at step %u of SANA-FE\n",
                  k->first_missing ? "missing is" : "not expected was",
                  layer ? layer->name : "an input",
                  layer ? (long long)(s->group - layer->first) : -1, s->neuron, s->step);
}

static bool put_energies(const struct compare *k, struct api_report *r)
{
    struct strbuf *t = &r->result->text;
    bool same = true;
    double want = 0, got = 0;
    jw_object_begin(&r->w, "energy_pj");
    strbuf_printf(t, "%-10s %14s %14s %14s %12s\n", "energy, pJ", "chip", "inputs", "SANA-FE",
                  "difference");
    for (int i = 0; i < SANAFE_COMPONENTS; i++) {
        const double off = relative(k, i);
        same = same && fabs(off) <= TOLERANCE;
        want += k->chip[i] + k->inputs[i];
        got += k->summary.energy_pj[i];
        jw_object_begin_line(&r->w, sanafe_component_names[i]);
        jw_f64(&r->w, "chip", k->chip[i]);
        jw_f64(&r->w, "inputs", k->inputs[i]);
        jw_f64(&r->w, "sanafe", k->summary.energy_pj[i]);
        jw_f64(&r->w, "relative", off);
        jw_object_end(&r->w);
        strbuf_printf(t, "%-10s %14.8g %14.8g %14.8g %11.5f%%\n", sanafe_component_names[i],
                      k->chip[i], k->inputs[i], k->summary.energy_pj[i], 100.0 * off);
    }
    jw_object_end(&r->w);
    jw_f64(&r->w, "energy_expected_pj", want);
    jw_f64(&r->w, "energy_sanafe_pj", got);
    return same;
}

static spk_status compare_all(struct compare *k, struct api_report *r)
{
    SPK_TRY(read_files(k));
    compare_spikes(k);
    jw_u64(&r->w, "timesteps", k->timesteps);
    jw_u64(&r->w, "spikes_expected", k->want.len);
    jw_u64(&r->w, "spikes_given", k->got.len);
    jw_u64(&r->w, "missing", k->missing);
    jw_u64(&r->w, "extra", k->extra);
    strbuf_printf(&r->result->text, "%zu spikes expected, %zu given: %llu missing, %llu more\n",
                  k->want.len, k->got.len, (unsigned long long)k->missing,
                  (unsigned long long)k->extra);
    put_first(k, r);
    const bool same = put_energies(k, r);
    jw_f64(&r->w, "sim_time_s", k->summary.seconds);
    return same && k->missing + k->extra == 0 ? SPK_OK : SPK_DIFFERENCE;
}

int spk_compare_sanafe(spk_context *c, const char *folder, const char *results,
                       spk_result **out_result)
{
    struct compare k = {.c = c, .folder = folder, .results = results};
    struct api_report r;
    SPK_TRY(api_job(c, out_result, folder != NULL && results != NULL, "spk_compare_sanafe"));
    spk_status status = api_report_begin(&r, "compare-sanafe");
    if (status == SPK_OK)
        status = compare_all(&k, &r);
    compare_fini(&k);
    return api_report_end(&r, status, false, out_result);
}
