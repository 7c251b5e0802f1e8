/* The floor plan as SVG 1.1: chips in their places, every core a square, coloured by layer or by a
 * figure; title, legend or scale below. One `path` per core, grouped by colour. Free of scripts and
 * of fonts of its own, so that it can be put into a paper as it is. */
#include <math.h>
#include <string.h>

#include "backends/report/report_internal.h"
#include "support/alloc.h"
#include "support/file.h"

#define MARGIN 16.0
#define TITLE 46.0 /* above the chips */
#define CHIP_LABEL 13.0
#define LEGEND_ROW 17.0
#define MIN_WIDTH 720.0
#define BINS 64 /* colours of a scale */

struct plan {
    const struct rep_folder *f;
    const struct floorplan_options *o;
    struct strbuf *out;
    uint32_t left, top, columns, rows; /* chips that are drawn */
    double cell, gap_x, gap_y;         /* of a core; between chips */
    double width, height;              /* of the whole drawing */
    double most;                       /* top of the scale */
};

/* ---- XML ---- */

/* Characters that XML cannot hold become U+FFFD. */
static void xml_text(struct strbuf *out, const char *text)
{
    for (size_t n; *text != '\0'; text += n) {
        uint32_t code = 0;
        n = spk_utf8_decode(text, strlen(text), &code);
        const bool bad =
            n == 0 || (code < 0x20 && code != '\t') || code == 0xfffe || code == 0xffff;
        if (n == 0)
            n = 1;
        if (bad)
            strbuf_append(out, "\xef\xbf\xbd");
        else if (code == '<')
            strbuf_append(out, "&lt;");
        else if (code == '>')
            strbuf_append(out, "&gt;");
        else if (code == '&')
            strbuf_append(out, "&amp;");
        else if (code == '"')
            strbuf_append(out, "&quot;");
        else
            strbuf_append_n(out, text, n);
    }
}

static void label(const struct plan *p, double x, double y, const char *class, const char *text)
{
    strbuf_printf(p->out, "<text x=\"%.2f\" y=\"%.2f\" class=\"%s\">", x, y, class);
    xml_text(p->out, text);
    strbuf_append(p->out, "</text>\n");
}

/* ---- geometry ---- */

static bool drawn(const struct plan *p, const struct rep_core *c)
{
    return p->o->chip < 0 || c->chip == p->o->chip;
}

static void find_block(struct plan *p)
{
    uint32_t right = 0, bottom = 0;
    p->left = p->top = UINT32_MAX;
    for (uint32_t i = 0; i < p->f->n_cores; i++) {
        const struct rep_core *c = &p->f->core[i];
        if (!drawn(p, c))
            continue;
        const uint32_t x = c->chip % p->f->chips_x, y = c->chip / p->f->chips_x;
        p->left = x < p->left ? x : p->left;
        p->top = y < p->top ? y : p->top;
        right = x > right ? x : right;
        bottom = y > bottom ? y : bottom;
    }
    p->columns = right - p->left + 1;
    p->rows = bottom - p->top + 1;
}

static double chip_side(const struct plan *p, uint32_t cores)
{
    return cores * p->cell;
}

static double chip_x(const struct plan *p, uint32_t chip)
{
    const uint32_t column = chip % p->f->chips_x - p->left;
    return MARGIN + column * (chip_side(p, p->f->cores_x) + p->gap_x);
}

static double chip_y(const struct plan *p, uint32_t chip)
{
    const uint32_t row = chip / p->f->chips_x - p->top;
    return TITLE + CHIP_LABEL + row * (chip_side(p, p->f->cores_y) + p->gap_y);
}

/* Cores are as large as a page of about 1,000 by 1,000 units lets them be, within bounds. */
static void lay_out(struct plan *p)
{
    find_block(p);
    p->gap_x = 10;
    p->gap_y = CHIP_LABEL + 6;
    const double room = 1000.0 - p->gap_x * (p->columns - 1);
    const double high = 960.0 / ((double)p->rows * p->f->cores_y);
    p->cell = room / ((double)p->columns * p->f->cores_x);
    p->cell = p->cell > high ? high : p->cell;
    p->cell = p->cell > 26 ? 26 : p->cell < 2.5 ? 2.5 : p->cell;
    const double plan =
        p->columns * (chip_side(p, p->f->cores_x) + p->gap_x) - p->gap_x + 2 * MARGIN;
    p->width = plan > MIN_WIDTH ? plan : MIN_WIDTH;
    p->height = TITLE + p->rows * (chip_side(p, p->f->cores_y) + p->gap_y) + 8;
}

/* ---- colours ---- */

static const struct rep_layer *layer_of(const struct plan *p, uint32_t core)
{
    const struct rep_core *c = &p->f->core[core];
    if (c->n_tiles == 0)
        return NULL;
    return &p->f->layer[p->f->tile[p->f->core_tile[c->tile_first]].layer];
}

static double figure_of(const struct plan *p, uint32_t core)
{
    return p->f->core_figure[(size_t)core * REP_FIGURES + (size_t)p->o->colour_by];
}

/* A figure with a limit is drawn up to that, others up to the largest. */
static void find_most(struct plan *p)
{
    p->most = 0;
    if (p->o->colour_by < 0)
        return;
    if (p->o->colour_by < REP_LIMITED && p->f->limit[0][p->o->colour_by] > 0) {
        p->most = p->f->limit[0][p->o->colour_by];
        return;
    }
    for (uint32_t i = 0; i < p->f->n_cores; i++)
        if (drawn(p, &p->f->core[i]) && figure_of(p, i) > p->most)
            p->most = figure_of(p, i);
}

/* Bin of a core's colour; BINS: no value. */
static uint32_t bin_of(const struct plan *p, uint32_t core)
{
    const double v = figure_of(p, core);
    if (isnan(v))
        return BINS;
    const double share = p->most > 0 ? v / p->most : 0;
    return share >= 1 ? BINS - 1 : share > 0 ? (uint32_t)(share * BINS) : 0;
}

static uint32_t key_of(const struct plan *p, uint32_t core)
{
    if (p->o->colour_by >= 0)
        return bin_of(p, core);
    const struct rep_layer *l = layer_of(p, core);
    return l != NULL ? (uint32_t)(l - p->f->layer) : p->f->n_layers;
}

static uint32_t colour_of_key(const struct plan *p, uint32_t key)
{
    if (p->o->colour_by >= 0)
        return key == BINS ? 0xb8bdc4 : rep_scale_colour((key + 0.5) / BINS);
    return key < p->f->n_layers ? p->f->layer[key].colour : 0xb8bdc4;
}

/* ---- drawing ---- */

static void draw_chips(const struct plan *p)
{
    const double w = chip_side(p, p->f->cores_x), h = chip_side(p, p->f->cores_y);
    for (uint32_t i = 0; i < p->f->n_chips; i++) {
        const uint32_t id = p->f->chip[i].id;
        char name[32];
        if (p->o->chip >= 0 && id != p->o->chip)
            continue;
        spk_snprintf(name, sizeof name, "chip %u", id);
        strbuf_printf(p->out,
                      "<rect class=\"chip\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                      "rx=\"2\"/>\n",
                      chip_x(p, id) - 2, chip_y(p, id) - 2, w + 4, h + 4);
        if (w > 34)
            label(p, chip_x(p, id) - 1, chip_y(p, id) - 5, "small", name);
    }
}

/* One core; routers of several cores show as a wider seam. */
static void draw_core(const struct plan *p, const struct rep_core *c)
{
    const double seam = 0.06 * p->cell, wide = 0.13 * p->cell;
    const double left = c->x % p->f->router_x == 0 && p->f->router_x > 1 ? wide : seam;
    const double top = c->y % p->f->router_y == 0 && p->f->router_y > 1 ? wide : seam;
    const double x = chip_x(p, c->chip) + c->x * p->cell + left;
    const double y = chip_y(p, c->chip) + c->y * p->cell + top;
    const double w = p->cell - left - seam, h = p->cell - top - seam;
    strbuf_printf(p->out, "<path d=\"M%.1f %.1fh%.1fv%.1fh-%.1fz\"/>", x, y, w, h, w);
}

static spk_status draw_cores(const struct plan *p)
{
    const uint32_t keys = (p->o->colour_by >= 0 ? BINS : p->f->n_layers) + 1;
    uint32_t *first, *next; /* cores of a colour, as linked lists in order */
    SPK_TRY(spk_alloc_array(keys, sizeof *first, &first));
    spk_status status = spk_alloc_array(p->f->n_cores, sizeof *next, &next);
    if (status != SPK_OK) {
        spk_free(first);
        return status;
    }
    for (uint32_t i = p->f->n_cores; i-- > 0;) { /* 0 ends a list: entries are core + 1 */
        if (!drawn(p, &p->f->core[i]))
            continue;
        const uint32_t key = key_of(p, i);
        next[i] = first[key];
        first[key] = i + 1;
    }
    strbuf_append(p->out, "<g id=\"cores\">\n");
    for (uint32_t key = 0; key < keys; key++) {
        if (first[key] == 0)
            continue;
        strbuf_printf(p->out, "<g fill=\"#%06x\">", colour_of_key(p, key));
        for (uint32_t i = first[key]; i != 0; i = next[i - 1])
            draw_core(p, &p->f->core[i - 1]);
        strbuf_append(p->out, "</g>\n");
    }
    strbuf_append(p->out, "</g>\n");
    spk_free(first);
    spk_free(next);
    return SPK_OK;
}

/* Places that are forbidden are crossed out, reserved ones one way only; pinned cores have a dot.
 */
static void draw_marks(const struct plan *p)
{
    const struct rep_marks *m = &p->f->marks;
    const double c = p->cell, edge = 0.12 * c;
    if (m->places.len > 0)
        strbuf_append(p->out, "<g id=\"forbidden\" class=\"mark\">\n");
    for (size_t i = 0; i < m->places.len; i++) {
        const struct rep_place *at = &m->places.data[i];
        if (p->o->chip >= 0 && at->chip != p->o->chip)
            continue;
        const double x = chip_x(p, at->chip) + at->x * c + edge, w = c - 2 * edge;
        const double y = chip_y(p, at->chip) + at->y * c + edge;
        strbuf_printf(p->out, "<path d=\"M%.1f %.1fh%.1fv%.1fh-%.1fzl%.1f %.1f", x, y, w, w, w, w,
                      w);
        if (!m->forbid[at->forbid].reserved)
            strbuf_printf(p->out, "M%.1f %.1fl%.1f -%.1f", x, y + w, w, w);
        strbuf_append(p->out, "\"/>\n");
    }
    if (m->places.len > 0)
        strbuf_append(p->out, "</g>\n");
    for (size_t i = 0; i < m->pinned.len; i++) {
        const uint32_t core = m->pinned.data[i].core;
        const struct rep_core *k = &p->f->core[core];
        if (drawn(p, k) && (i == 0 || m->pinned.data[i - 1].core != core))
            strbuf_printf(p->out, "<circle class=\"pin\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>\n",
                          chip_x(p, k->chip) + (k->x + 0.5) * c,
                          chip_y(p, k->chip) + (k->y + 0.5) * c, 0.16 * c);
    }
}

static double draw_marks_legend(const struct plan *p, double y)
{
    const struct rep_marks *m = &p->f->marks;
    bool forbidden = false, reserved = false;
    for (uint32_t i = 0; i < m->n_forbid; i++)
        *(m->forbid[i].reserved ? &reserved : &forbidden) = true;
    if (!forbidden && !reserved && m->pinned.len == 0)
        return y;
    char text[128];
    spk_snprintf(text, sizeof text, "%s%s%s", forbidden ? "crossed out: forbidden  " : "",
                 reserved ? "one stroke: reserved  " : "", m->pinned.len > 0 ? "dot: pinned" : "");
    label(p, MARGIN, y + 9.5, "legend", text);
    return y + LEGEND_ROW;
}

/* ---- legend ---- */

/* A row for every group: a swatch for each of its layers, in order, and its name. */
static double draw_layers_legend(const struct plan *p, double y)
{
    const uint32_t columns = (uint32_t)((p->width - 2 * MARGIN) / 235);
    const double column = (p->width - 2 * MARGIN) / columns;
    const uint32_t rows = (p->f->n_groups + columns - 1) / columns;
    for (uint32_t g = 0; g < p->f->n_groups; g++) {
        const double x = MARGIN + g / rows * column, at = y + g % rows * LEGEND_ROW;
        uint32_t members = 0, cores = 0, i = 0;
        for (uint32_t l = 0; l < p->f->n_layers; l++) {
            members += p->f->layer[l].group == g;
            cores += p->f->layer[l].group == g ? p->f->layer[l].cores : 0;
        }
        const double swatch = 56.0 / members > 11 ? 11 : 56.0 / members;
        for (uint32_t l = 0; l < p->f->n_layers; l++)
            if (p->f->layer[l].group == g)
                strbuf_printf(p->out,
                              "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"11\" "
                              "fill=\"#%06x\"/>",
                              x + i++ * swatch, at, swatch, p->f->layer[l].colour);
        char text[128];
        spk_snprintf(text, sizeof text, "%s (%u core%s)", p->f->group[g], cores,
                     cores == 1 ? "" : "s");
        label(p, x + 62, at + 9.5, "legend", text);
    }
    return y + rows * LEGEND_ROW;
}

/* A figure with a prefix, so that it stays short: "6.02 nJ", "12.5 k". */
static void scaled_text(char *out, size_t size, int figure, double v)
{
    static const char *const plain[] = {"", " k", " M", " G", " T"};
    static const char *const energy[] = {" pJ", " nJ", " \xc2\xb5J", " mJ", " J"};
    static const char *const time[] = {" ns", " \xc2\xb5s", " ms", " s", " ks"};
    const char *const *unit = figure == REP_ENERGY ? energy : figure == REP_BUSY ? time : plain;
    size_t i = 0;
    for (; i < 4 && v >= 1000; i++)
        v /= 1000;
    spk_snprintf(out, size, "%.4g%s", v, unit[i]);
}

static double draw_scale(const struct plan *p, double y)
{
    const double w = 320, x = MARGIN;
    const bool limited = p->o->colour_by < REP_LIMITED && p->f->limit[0][p->o->colour_by] > 0;
    char text[128];
    strbuf_append(p->out, "<defs><linearGradient id=\"scale\">");
    for (size_t i = 0; i < REP_SCALE_STOPS; i++)
        strbuf_printf(p->out, "<stop offset=\"%zu%%\" stop-color=\"#%06x\"/>",
                      i * 100 / (REP_SCALE_STOPS - 1), rep_scale_stop[i]);
    strbuf_append(p->out, "</linearGradient></defs>\n");
    strbuf_printf(p->out,
                  "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"11\" "
                  "fill=\"url(#scale)\"/>\n",
                  x, y, w);
    for (int i = 0; i <= 2; i++) {
        static const char *const classes[3] = {"small", "small middle", "small end"};
        scaled_text(text, sizeof text, p->o->colour_by, p->most * i / 2);
        label(p, x + w * i / 2, y + 23, classes[i], text);
    }
    spk_snprintf(text, sizeof text, "%s, %s of a core%s", p->o->subject,
                 rep_figure_info[p->o->colour_by].unit, limited ? "; right end: the limit" : "");
    label(p, x + w + 16, y + 9.5, "legend", text);
    return y + 28;
}

static void draw_title(const struct plan *p)
{
    const struct json_cursor root = js_root(p->f->mapping, "mapping.json", NULL);
    struct json_cursor provenance;
    const char *model = "model", *system = "";
    char text[256];
    uint32_t cores = 0, chips = 0;
    if (js_has(&root, "provenance") && js_member(&root, "provenance", &provenance) == SPK_OK &&
        js_has(&provenance, "model") && js_get_string(&provenance, "model", &model) != SPK_OK)
        model = "model";
    if (js_has(&root, "system") && js_get_string(&root, "system", &system) != SPK_OK)
        system = "";
    for (uint32_t i = 0; i < p->f->n_cores; i++)
        cores += drawn(p, &p->f->core[i]);
    for (uint32_t i = 0; i < p->f->n_chips; i++)
        chips += p->o->chip < 0 || p->f->chip[i].id == p->o->chip;
    const size_t suffix = path_has_suffix(model, ".spk") ? 4 : 0;
    spk_snprintf(text, sizeof text, "%.*s on %s (%s)", (int)(strlen(model) - suffix), model,
                 p->f->target->name, system);
    label(p, MARGIN, 20, "title", text);
    spk_snprintf(text, sizeof text, "%u core%s on %u chip%s, coloured by %s; a square is a core",
                 cores, cores == 1 ? "" : "s", chips, chips == 1 ? "" : "s", p->o->subject);
    label(p, MARGIN, 36, "legend", text);
}

spk_status floorplan_svg(const struct rep_folder *f, const struct floorplan_options *o,
                         struct strbuf *out)
{
    struct strbuf body = {0};
    struct plan p = {.f = f, .o = o, .out = &body};
    lay_out(&p);
    find_most(&p);
    draw_title(&p);
    draw_chips(&p);
    spk_status status = draw_cores(&p);
    draw_marks(&p);
    double y = p.height;
    y = o->colour_by < 0 ? draw_layers_legend(&p, y) : draw_scale(&p, y);
    p.height = draw_marks_legend(&p, y) + 10;
    strbuf_printf(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%.0f\" "
        "height=\"%.0f\" viewBox=\"0 0 %.2f %.2f\">\n"
        "<style>text{font-family:Helvetica,Arial,sans-serif;fill:#1c2128}"
        ".title{font-size:15px;font-weight:bold}.legend{font-size:11px}"
        ".small{font-size:9px;fill:#57606a}.middle{text-anchor:middle}"
        ".mark{fill:none;stroke:#57606a;stroke-width:.8}.pin{fill:#fff;stroke:#1c2128;stroke-width:"
        ".8}"
        ".end{text-anchor:end}.chip{fill:#f3f4f6;stroke:#9aa1aa;stroke-width:.7}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
        p.width, p.height, p.width, p.height);
    strbuf_append_n(out, strbuf_cstr(&body), body.len);
    strbuf_append(out, "</svg>\n");
    if (status == SPK_OK)
        status = body.status;
    strbuf_fini(&body);
    return status != SPK_OK ? status : out->status;
}
