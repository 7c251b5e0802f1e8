/* The readable cost table: layers in the order of the network, then cores, the fullest first. */
#include <stdlib.h>
#include <string.h>

#include "api/cost.h"
#include "support/alloc.h"
#include "support/file.h"
#include "support/json.h"

struct core_row {
    uint64_t id, chip, x, y, value[4], limit[4]; /* neurons, in, out, bits */
    bool limited[4];
    const char *layer; /* of its first tile */
    size_t others;     /* more tiles */
    double fullest, events, messages, energy_pj;
    bool priced;
};

static const char *const RESOURCES[4] = {"neurons", "in_axons", "out_axons", "synapse_bits"};

static spk_status get_f64(const struct json_cursor *at, const char *key, double *out)
{
    return js_get_f64(at, key, out);
}

static spk_status read_core(const struct json_cursor *at, bool dynamic, struct core_row *r)
{
    struct json_cursor layers, first, energy;
    int64_t v;
    memset(r, 0, sizeof *r);
    SPK_TRY(js_get_i64(at, "id", 0, INT64_MAX, &v));
    r->id = (uint64_t)v;
    SPK_TRY(js_get_i64(at, "chip", 0, INT64_MAX, &v));
    r->chip = (uint64_t)v;
    SPK_TRY(js_get_i64(at, "x", 0, INT64_MAX, &v));
    r->x = (uint64_t)v;
    SPK_TRY(js_get_i64(at, "y", 0, INT64_MAX, &v));
    r->y = (uint64_t)v;
    SPK_TRY(js_member(at, "layers", &layers));
    SPK_TRY(js_element(&layers, 0, &first));
    SPK_TRY(js_string(&first, &r->layer));
    SPK_TRY(js_array_length(&layers, &r->others));
    r->others--;
    for (int i = 0; i < 4; i++) {
        char key[32];
        spk_snprintf(key, sizeof key, "%s_limit", RESOURCES[i]);
        SPK_TRY(js_get_i64(at, RESOURCES[i], 0, INT64_MAX, &v));
        r->value[i] = (uint64_t)v;
        r->limited[i] = js_has(at, key);
        if (!r->limited[i])
            continue;
        SPK_TRY(js_get_i64(at, key, 1, INT64_MAX, &v));
        r->limit[i] = (uint64_t)v;
        double share = (double)r->value[i] / (double)r->limit[i];
        if (share > r->fullest)
            r->fullest = share;
    }
    if (!dynamic)
        return SPK_OK;
    SPK_TRY(get_f64(at, "synaptic_events", &r->events));
    SPK_TRY(get_f64(at, "messages", &r->messages));
    SPK_TRY(js_member(at, "energy_pj", &energy));
    r->priced = js_has(&energy, "total_priced");
    return r->priced ? get_f64(&energy, "total_priced", &r->energy_pj) : SPK_OK;
}

static int compare_rows(const void *a, const void *b)
{
    const struct core_row *x = a, *y = b;
    if (x->fullest != y->fullest)
        return x->fullest > y->fullest ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void print_number(struct strbuf *out, bool has, double v)
{
    if (has)
        strbuf_printf(out, " %12.6g", v);
    else
        strbuf_printf(out, " %12s", "-");
}

static spk_status print_layer(const struct json_cursor *at, bool dynamic, struct strbuf *out)
{
    const char *name, *kind;
    int64_t cores, guests, v[4];
    SPK_TRY(js_get_string(at, "name", &name));
    SPK_TRY(js_get_string(at, "kind", &kind));
    SPK_TRY(js_get_i64(at, "cores", 0, INT64_MAX, &cores));
    SPK_TRY(js_get_i64(at, "guest_cores", 0, INT64_MAX, &guests));
    for (int i = 0; i < 4; i++)
        SPK_TRY(js_get_i64(at, RESOURCES[i], 0, INT64_MAX, &v[i]));
    strbuf_printf(out, "%-34s %-9s %5lld %5lld %9lld %9lld %9lld %13lld", name, kind,
                  (long long)cores, (long long)guests, (long long)v[0], (long long)v[1],
                  (long long)v[2], (long long)v[3]);
    if (dynamic) {
        struct json_cursor energy;
        double events, messages, pj = 0;
        SPK_TRY(get_f64(at, "synaptic_events", &events));
        SPK_TRY(get_f64(at, "messages", &messages));
        SPK_TRY(js_member(at, "energy_pj", &energy));
        bool priced = js_has(&energy, "total_priced");
        if (priced)
            SPK_TRY(get_f64(&energy, "total_priced", &pj));
        print_number(out, true, events);
        print_number(out, true, messages);
        print_number(out, priced && cores + guests > 0, pj * 1e-3);
    }
    strbuf_char(out, '\n');
    return SPK_OK;
}

static spk_status print_layers(const struct json_cursor *root, bool dynamic, struct strbuf *out)
{
    struct json_cursor layers, at;
    size_t n;
    SPK_TRY(js_member(root, "layers", &layers));
    SPK_TRY(js_array_length(&layers, &n));
    strbuf_printf(out, "\n%-34s %-9s %5s %5s %9s %9s %9s %13s", "layer", "kind", "cores", "guest",
                  "neurons", "in-axons", "out-axons", "synapse bits");
    strbuf_append(out, dynamic ? "    events/im  messages/im        nJ/im\n" : "\n");
    for (size_t i = 0; i < n; i++) {
        SPK_TRY(js_element(&layers, i, &at));
        SPK_TRY(print_layer(&at, dynamic, out));
    }
    SPK_TRY(js_member(root, "totals", &at));
    int64_t chips, cores, v[4];
    SPK_TRY(js_get_i64(&at, "chips", 0, INT64_MAX, &chips));
    SPK_TRY(js_get_i64(&at, "cores", 0, INT64_MAX, &cores));
    for (int i = 0; i < 4; i++)
        SPK_TRY(js_get_i64(&at, RESOURCES[i], 0, INT64_MAX, &v[i]));
    strbuf_printf(out, "%-34s %3lld chips %5lld       %9lld %9lld %9lld %13lld\n", "total",
                  (long long)chips, (long long)cores, (long long)v[0], (long long)v[1],
                  (long long)v[2], (long long)v[3]);
    return SPK_OK;
}

static void print_cores(const struct core_row *row, size_t n, size_t max, bool dynamic,
                        struct strbuf *out)
{
    strbuf_printf(out, "\n%5s %4s %3s %3s %-34s %14s %14s %14s %20s", "core", "chip", "x", "y",
                  "layer", "neurons", "in-axons", "out-axons", "synapse bits");
    strbuf_append(out, dynamic ? "    events/im  messages/im        nJ/im\n" : "\n");
    for (size_t i = 0; i < n && i < max; i++) {
        const struct core_row *r = &row[i];
        char name[48];
        if (r->others > 0)
            spk_snprintf(name, sizeof name, "%.29s + %zu", r->layer, r->others);
        else
            spk_snprintf(name, sizeof name, "%s", r->layer);
        strbuf_printf(out, "%5llu %4llu %3llu %3llu %-34s", (unsigned long long)r->id,
                      (unsigned long long)r->chip, (unsigned long long)r->x,
                      (unsigned long long)r->y, name);
        for (int k = 0; k < 4; k++) {
            char text[48];
            if (r->limited[k])
                spk_snprintf(text, sizeof text, "%llu (%3.0f%%)", (unsigned long long)r->value[k],
                             100.0 * (double)r->value[k] / (double)r->limit[k]);
            else
                spk_snprintf(text, sizeof text, "%llu", (unsigned long long)r->value[k]);
            strbuf_printf(out, k == 3 ? " %20s" : " %14s", text);
        }
        if (dynamic) {
            print_number(out, true, r->events);
            print_number(out, true, r->messages);
            print_number(out, r->priced, r->energy_pj * 1e-3);
        }
        strbuf_char(out, '\n');
    }
    if (n > max)
        strbuf_printf(out, "(%zu more cores; 'spikec cost DIR --cores %zu' lists all)\n", n - max,
                      n);
}

static void print_names(const struct json_cursor *root, const char *key, const char *intro,
                        struct strbuf *out)
{
    struct json_cursor list, at;
    size_t n = 0;
    const char *name;
    if (!js_has(root, key) || js_member(root, key, &list) != SPK_OK ||
        js_array_length(&list, &n) != SPK_OK || n == 0)
        return;
    strbuf_append(out, intro);
    for (size_t i = 0; i < n; i++)
        if (js_element(&list, i, &at) == SPK_OK && js_string(&at, &name) == SPK_OK)
            strbuf_printf(out, "%s%s", i ? ", " : "", name);
    strbuf_char(out, '\n');
}

static spk_status print_energy(const struct json_cursor *root, struct strbuf *out)
{
    struct json_cursor totals, energy, at, basis, b;
    void *it = NULL;
    SPK_TRY(js_member(root, "totals", &totals));
    if (!js_has(&totals, "energy_pj"))
        return SPK_OK;
    SPK_TRY(js_member(&totals, "energy_pj", &energy));
    SPK_TRY(js_member(root, "price_basis", &basis));
    if (!js_has(&energy, "total_priced"))
        return SPK_OK;
    strbuf_append(out, "\nenergy per image, by component (basis of its price):\n");
    while (js_next_member(&energy, &it, &at)) {
        double pj;
        const char *text = "";
        if (js_kind(at.value) == JS_NULL || js_f64(&at, &pj) != SPK_OK)
            continue;
        if (js_has(&basis, at.key) && js_member(&basis, at.key, &b) == SPK_OK &&
            js_string(&b, &text) != SPK_OK)
            text = "";
        strbuf_printf(out, "  %-20s %14.6g nJ  %s\n", at.key, pj * 1e-3, text);
    }
    return SPK_OK;
}

static spk_status print_all(const struct json_cursor *root, size_t max_cores, struct strbuf *out)
{
    struct json_cursor cores, at;
    struct core_row *rows;
    size_t n;
    int64_t images;
    SPK_TRY(js_get_i64(root, "images", 0, INT64_MAX, &images));
    SPK_TRY(js_member(root, "cores", &cores));
    SPK_TRY(js_array_length(&cores, &n));
    SPK_TRY(spk_alloc_array(n, sizeof *rows, &rows));
    spk_status status = SPK_OK;
    for (size_t i = 0; i < n && status == SPK_OK; i++) {
        status = js_element(&cores, i, &at);
        if (status == SPK_OK)
            status = read_core(&at, images > 0, &rows[i]);
    }
    if (status == SPK_OK)
        status = print_layers(root, images > 0, out);
    if (status == SPK_OK) {
        qsort(rows, n, sizeof *rows, compare_rows);
        print_cores(rows, n, max_cores, images > 0, out);
        status = print_energy(root, out);
        print_names(root, "unpriced", "no published energy (not in the sums): ", out);
        print_names(root, "untimed", "no published time: ", out);
    }
    if (status == SPK_OK && js_has(root, "paper_energy")) {
        struct json_cursor p;
        double mj;
        status = js_member(root, "paper_energy", &p);
        if (status == SPK_OK)
            status = js_get_f64(&p, "E_mJ", &mj);
        if (status == SPK_OK)
            strbuf_printf(out,
                          "paper's compute-only figure (45 nm, 4.6 pJ/MAC, 0.9 pJ/AC): "
                          "%.6g mJ per image\n",
                          mj);
    }
    spk_free(rows);
    return status == SPK_OK ? out->status : status;
}

spk_status cost_table(const char *cost_json, size_t length, const char *name, size_t max_cores,
                      struct diag_list *diags, struct strbuf *out)
{
    struct json_value *v = NULL;
    SPK_TRY(js_parse(cost_json, length, name, NULL, diags, &v));
    struct json_cursor root = js_root(v, name, diags);
    spk_status status = print_all(&root, max_cores, out);
    js_free(v);
    return status;
}

int spk_cost_table(spk_context *c, const char *folder, size_t max_cores, spk_result **out_result)
{
    struct api_report r;
    char *text = NULL;
    size_t length = 0;
    SPK_TRY(api_job(c, out_result, folder != NULL, "spk_cost_table"));
    spk_status status = api_report_begin(&r, "cost");
    if (status == SPK_OK)
        status = api_folder_check(c, folder);
    if (status == SPK_OK)
        status = api_folder_text(c, folder, "cost.json", &text, &length);
    if (status == SPK_OK) {
        status = cost_table(text, length, "cost.json", max_cores, &c->diags, &r.result->text);
        jw_raw(&r.w, "cost", text);
    }
    spk_free(text);
    return api_report_end(&r, status, false, out_result);
}
