/* The Pareto front, and the rows for people and programs: explore.json, points.csv, explore.html in
 * the folder, the result. A row is on the front where no other one is at least as good in every
 * figure and better in one. Figures that not every fitting row knows are no judges. */
#include <math.h>
#include <string.h>

#include "api/explore.h"
#include "backends/report/report.h"
#include "support/alloc.h"
#include "support/file.h"

/* What is judged; the sign says which way is better. */
static const struct {
    enum explore_figure figure;
    double sign;
} JUDGES[] = {
    {EXPLORE_CORES, 1}, {EXPLORE_ENERGY, 1}, {EXPLORE_LATENCY_TICKS, 1}, {EXPLORE_TOP1, -1}};
#define N_JUDGES (sizeof JUDGES / sizeof JUDGES[0])

static bool counts(const struct explore_point *p)
{
    return p->done && p->fits;
}

static bool dominates(const struct explore *x, const struct explore_point *a,
                      const struct explore_point *b)
{
    bool better = false;
    for (size_t i = 0; i < N_JUDGES; i++) {
        const double d =
            JUDGES[i].sign * (a->figure[JUDGES[i].figure] - b->figure[JUDGES[i].figure]);
        if (!x->used[JUDGES[i].figure])
            continue;
        if (d > 0)
            return false;
        better |= d < 0;
    }
    return better;
}

void explore_front(struct explore *x)
{
    bool any = false;
    for (uint32_t i = 0; i < x->n_points; i++)
        any |= counts(&x->point[i]);
    for (size_t i = 0; i < N_JUDGES; i++) {
        const enum explore_figure f = JUDGES[i].figure;
        x->used[f] = any;
        for (uint32_t k = 0; k < x->n_points; k++)
            x->used[f] &= !counts(&x->point[k]) || !isnan(x->point[k].figure[f]);
    }
    for (uint32_t i = 0; i < x->n_points; i++) {
        struct explore_point *p = &x->point[i];
        p->front = counts(p);
        for (uint32_t k = 0; k < x->n_points && p->front; k++)
            p->front = !counts(&x->point[k]) || !dominates(x, &x->point[k], p);
    }
}

/* ---- JSON ---- */

static void write_members(const struct explore *x, struct json_writer *w)
{
    uint32_t fits = 0;
    for (uint32_t i = 0; i < x->n_points; i++)
        fits += counts(&x->point[i]);
    jw_string(w, "model", path_base(x->o->base.model.model));
    jw_string(w, "target", x->o->base.target ? path_base(x->o->base.target) : NULL);
    jw_bool(w, "compiled", x->o->compile);
    jw_u64(w, "points", x->n_points);
    jw_u64(w, "done", x->n_done);
    jw_u64(w, "done_before", x->n_before);
    jw_u64(w, "fitting", fits);
    jw_array_begin(w, "varied");
    for (uint32_t a = 0; a < x->n_axes; a++) {
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", x->axis[a].name);
        jw_string(w, "kind",
                  x->axis[a].kind == EXPLORE_OPTION      ? "option"
                  : x->axis[a].kind == EXPLORE_PARAMETER ? "parameter"
                                                         : "constant");
        if (x->axis[a].kind == EXPLORE_CONSTANT) {
            jw_string(w, "section", x->axis[a].section);
            jw_string(w, "constant", x->axis[a].key);
        }
        jw_array_begin(w, "values");
        for (uint32_t i = 0; i < x->axis[a].n; i++)
            jw_string(w, NULL, x->axis[a].value[i]);
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array_begin_line(w, "judged_by");
    for (size_t i = 0; i < N_JUDGES; i++)
        if (x->used[JUDGES[i].figure])
            jw_string(w, NULL, explore_figure_key[JUDGES[i].figure]);
    jw_array_end(w);
    jw_array_begin_line(w, "front"); /* indices of rows */
    uint32_t row = 0;
    for (uint32_t i = 0; i < x->n_points; i++) {
        if (x->point[i].front)
            jw_u64(w, NULL, row);
        row += x->point[i].done;
    }
    jw_array_end(w);
    jw_array_begin(w, "rows");
    for (uint32_t i = 0; i < x->n_points; i++)
        if (x->point[i].done)
            jw_raw(w, NULL, x->point[i].line);
    jw_array_end(w);
}

/* ---- CSV ---- */

/* A field of RFC 4180. */
static void csv_text(struct strbuf *out, const char *text)
{
    if (text[strcspn(text, ",\"\n\r")] == '\0') {
        strbuf_append(out, text);
        return;
    }
    strbuf_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"')
            strbuf_char(out, '"');
        strbuf_char(out, *text);
    }
    strbuf_char(out, '"');
}

static spk_status csv(const struct explore *x, struct strbuf *out)
{
    for (uint32_t a = 0; a < x->n_axes; a++) {
        csv_text(out, x->axis[a].name);
        strbuf_char(out, ',');
    }
    strbuf_append(out, "fits,front");
    for (int f = 0; f < EXPLORE_FIGURES; f++)
        strbuf_printf(out, ",%s", explore_figure_key[f]);
    strbuf_append(out, ",folder,reason\n");
    for (uint32_t i = 0; i < x->n_points; i++) {
        const struct explore_point *p = &x->point[i];
        if (!p->done)
            continue;
        for (uint32_t a = 0; a < x->n_axes; a++) {
            csv_text(out, explore_value(x, i, a));
            strbuf_char(out, ',');
        }
        strbuf_printf(out, "%d,%d", p->fits, p->front);
        for (int f = 0; f < EXPLORE_FIGURES; f++) {
            strbuf_char(out, ',');
            if (p->fits && !isnan(p->figure[f]))
                strbuf_f64(out, p->figure[f]);
        }
        strbuf_char(out, ',');
        csv_text(out, p->fits && p->folder ? p->folder : "");
        strbuf_char(out, ',');
        csv_text(out, p->reason ? p->reason : "");
        strbuf_char(out, '\n');
    }
    return out->status;
}

/* ---- text ---- */

static void print_rows(const struct explore *x, bool front, struct strbuf *out)
{
    for (uint32_t i = 0; i < x->n_points; i++) {
        const struct explore_point *p = &x->point[i];
        if (!p->done || p->front != front)
            continue;
        strbuf_append(out, front ? "* " : "  ");
        for (uint32_t a = 0; a < x->n_axes; a++)
            strbuf_printf(out, "%-*s ",
                          (int)(strlen(x->axis[a].name) > 10 ? strlen(x->axis[a].name) : 10),
                          explore_value(x, i, a));
        if (!p->fits) {
            strbuf_printf(out, "%.100s\n", p->reason ? p->reason : "refused");
            continue;
        }
        strbuf_printf(out, "%8.0f %6.0f", p->figure[EXPLORE_CORES], p->figure[EXPLORE_CHIPS]);
        if (isnan(p->figure[EXPLORE_ENERGY]))
            strbuf_printf(out, " %14s", "-");
        else
            strbuf_printf(out, " %14.6g", p->figure[EXPLORE_ENERGY] * 1e-3);
        strbuf_printf(out, " %8.0f", p->figure[EXPLORE_LATENCY_TICKS]);
        if (isnan(p->figure[EXPLORE_TOP1]))
            strbuf_printf(out, " %8s\n", "-");
        else
            strbuf_printf(out, " %8.4f\n", p->figure[EXPLORE_TOP1]);
    }
}

static spk_status print(const struct explore *x, struct strbuf *out)
{
    strbuf_append(out, "  ");
    for (uint32_t a = 0; a < x->n_axes; a++)
        strbuf_printf(out, "%-10s ", x->axis[a].name);
    strbuf_printf(out, "%8s %6s %14s %8s %8s\n", "cores", "chips", "nJ/image", "ticks", "top-1");
    print_rows(x, true, out);
    print_rows(x, false, out);
    strbuf_append(out, "* Pareto front of");
    for (size_t i = 0, n = 0; i < N_JUDGES; i++)
        if (x->used[JUDGES[i].figure])
            strbuf_printf(out, "%s %s", n++ > 0 ? "," : "", explore_figure_key[JUDGES[i].figure]);
    strbuf_printf(out, "\n%u of %u variants done", x->n_done, x->n_points);
    if (x->n_before > 0)
        strbuf_printf(out, ", %u of them before", x->n_before);
    strbuf_printf(out, "; %s has points.csv, explore.json%s\n", x->o->base.output,
                  report_available() ? ", explore.html" : "");
    if (x->n_done < x->n_points)
        strbuf_append(out, "the same command goes on with the others\n");
    return out->status;
}

/* ---- files ---- */

static spk_status write_file(struct explore *x, const char *name, const struct strbuf *text)
{
    char *path = path_join(x->o->base.output, name);
    spk_status status =
        path ? file_write_all(path, text->data, text->len, &x->context->diags) : SPK_ERR_NOMEM;
    spk_free(path);
    return status;
}

spk_status explore_write(struct explore *x, struct api_report *r)
{
    struct strbuf json = {0}, table = {0}, page = {0};
    struct json_writer w;
    jw_init(&w, &json, 1);
    jw_object_begin(&w, NULL);
    jw_i64(&w, "schema", 1);
    write_members(x, &w);
    jw_object_end(&w);
    spk_status status = jw_finish(&w);
    if (status == SPK_OK)
        status = write_file(x, "explore.json", &json);
    if (status == SPK_OK)
        status = csv(x, &table);
    if (status == SPK_OK)
        status = write_file(x, "points.csv", &table);
    if (status == SPK_OK && report_available()) {
        status = report_explore_html(strbuf_cstr(&json), json.len, &page);
        if (status == SPK_OK)
            status = write_file(x, "explore.html", &page);
    }
    strbuf_fini(&json);
    strbuf_fini(&table);
    strbuf_fini(&page);
    SPK_TRY(status);
    jw_string(&r->w, "output", x->o->base.output);
    write_members(x, &r->w);
    return print(x, &r->result->text);
}
