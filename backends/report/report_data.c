/* The data of the page: one JSON object with a column per figure, so that 20,000 cores stay small.
 */
#include "backends/report/report_internal.h"

#include <math.h>
#include <string.h>

uint32_t rep_shown_images(uint64_t images, uint32_t timesteps)
{
    const uint32_t fit = timesteps > 0 ? REP_SHOWN_FRAMES / timesteps : 1;
    const uint32_t most = fit > 0 ? fit : 1;
    return images < most ? (uint32_t)images : most;
}

/* Figures of a core to the digits of a float: they are drawn and listed, not added up. */
static void column_value(struct strbuf *out, double v)
{
    if (isfinite(v))
        strbuf_f32(out, (float)v);
    else
        strbuf_append(out, "null");
}

static void exact_value(struct strbuf *out, double v)
{
    if (isfinite(v))
        strbuf_f64(out, v);
    else
        strbuf_append(out, "null");
}

static void key(struct strbuf *out, const char *name)
{
    strbuf_char(out, '"');
    strbuf_append(out, name);
    strbuf_append(out, "\":");
}

static void text(struct strbuf *out, const char *name, const char *value)
{
    key(out, name);
    if (value == NULL)
        strbuf_append(out, "null");
    else
        strbuf_json_string(out, value, strlen(value));
}

static void number(struct strbuf *out, const char *name, uint64_t v)
{
    key(out, name);
    strbuf_u64(out, v);
}

static void values(struct strbuf *out, const char *name, const double *v, size_t n)
{
    key(out, name);
    strbuf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            strbuf_char(out, ',');
        exact_value(out, v[i]);
    }
    strbuf_char(out, ']');
}

/* The next item of a list that has `i` items already. */
static void comma(struct strbuf *out, size_t i)
{
    if (i > 0)
        strbuf_char(out, ',');
}

/* ---- what the constants are ---- */

static void write_figures(struct strbuf *out)
{
    key(out, "figures");
    strbuf_char(out, '[');
    for (int i = 0; i < REP_FIGURES; i++) {
        comma(out, (size_t)i);
        strbuf_char(out, '{');
        text(out, "key", rep_figure_info[i].key);
        strbuf_char(out, ',');
        text(out, "label", rep_figure_info[i].label);
        strbuf_char(out, ',');
        text(out, "unit", rep_figure_info[i].unit);
        strbuf_char(out, '}');
    }
    strbuf_append(out, "],\n");
}

static void write_constant(struct strbuf *out, const char *name, const struct tgt_const *c)
{
    strbuf_char(out, '{');
    text(out, "name", name);
    strbuf_append(out, ",\"value\":");
    exact_value(out, c->present ? c->value : (double)NAN);
    strbuf_char(out, ',');
    text(out, "basis", c->present ? tgt_basis_name(c->basis) : NULL);
    strbuf_char(out, ',');
    text(out, "source", c->present ? c->source : NULL);
    strbuf_char(out, '}');
}

static void write_constants(struct strbuf *out, const struct tgt *t)
{
    key(out, "energies");
    strbuf_char(out, '[');
    for (int e = 0; e < TGT_ENERGY_COUNT; e++) {
        comma(out, (size_t)e);
        write_constant(out, tgt_energy_name((enum tgt_energy)e), &t->energy_pj[e]);
    }
    strbuf_append(out, "],\n");
    key(out, "times");
    strbuf_char(out, '[');
    for (int e = 0; e < TGT_TIME_COUNT; e++) {
        comma(out, (size_t)e);
        write_constant(out, tgt_time_name((enum tgt_time)e), &t->time_ns[e]);
    }
    strbuf_append(out, "],\n");
    key(out, "limits");
    static const enum tgt_limit limits[REP_LIMITED] = {TGT_NEURONS, TGT_IN_AXONS, TGT_OUT_AXONS,
                                                       TGT_SYNAPSE_BITS};
    strbuf_char(out, '[');
    for (int i = 0; i < REP_LIMITED; i++) {
        comma(out, (size_t)i);
        write_constant(out, tgt_limit_name(limits[i]), &t->limit[limits[i]]);
    }
    strbuf_append(out, "],\n");
}

/* ---- layers, chips, cores ---- */

static void write_layer(struct strbuf *out, const struct rep_folder *f, const struct rep_layer *l)
{
    strbuf_char(out, '{');
    text(out, "name", l->name);
    strbuf_char(out, ',');
    text(out, "kind", l->kind);
    if (l->attention != NULL) {
        strbuf_char(out, ',');
        text(out, "attention", l->attention);
    }
    strbuf_printf(out, ",\"group\":%u,\"colour\":\"#%06x\",\"shape\":[%u,%u,%u],\"start\":%u",
                  l->group, l->colour, l->channels, l->height, l->width, l->start);
    strbuf_append(out, ",\"rate\":");
    column_value(out, l->rate);
    strbuf_printf(out, ",\"cores\":%u,\"guests\":%u,\"sources\":[", l->cores, l->guests);
    for (uint32_t i = 0; i < l->n_sources; i++) {
        const struct rep_source *s = &f->source[l->source_first + i];
        strbuf_printf(out, "%s[%u,%u]", i ? "," : "", s->layer, s->delay);
    }
    strbuf_append(out, "],");
    values(out, "figures", l->figure, REP_FIGURES);
    strbuf_char(out, ',');
    values(out, "energy", l->energy, TGT_ENERGY_COUNT);
    strbuf_char(out, '}');
}

static void write_layers(struct strbuf *out, const struct rep_folder *f)
{
    key(out, "groups");
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < f->n_groups; i++) {
        comma(out, i);
        strbuf_json_string(out, f->group[i], strlen(f->group[i]));
    }
    strbuf_append(out, "],\n\"layers\":[\n");
    for (uint32_t i = 0; i < f->n_layers; i++) {
        if (i > 0)
            strbuf_append(out, ",\n");
        write_layer(out, f, &f->layer[i]);
    }
    strbuf_append(out, "],\n");
}

static void write_chips(struct strbuf *out, const struct rep_folder *f)
{
    key(out, "chips");
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < f->n_chips; i++) {
        comma(out, i);
        strbuf_printf(out, "{\"id\":%u,\"cores\":%u,", f->chip[i].id, f->chip[i].cores);
        values(out, "figures", f->chip[i].figure, REP_FIGURES);
        strbuf_char(out, '}');
    }
    strbuf_append(out, "],\n");
}

#define CORE_COLUMN(out, f, name, expression)         \
    do {                                              \
        key(out, name);                               \
        strbuf_char(out, '[');                        \
        for (uint32_t i = 0; i < (f)->n_cores; i++) { \
            const struct rep_core *c = &(f)->core[i]; \
            comma(out, i);                            \
            strbuf_u64(out, (uint64_t)(expression));  \
        }                                             \
        strbuf_append(out, "],\n");                   \
    } while (0)

static void write_cores(struct strbuf *out, const struct rep_folder *f)
{
    strbuf_append(out, "\"cores\":{");
    number(out, "n", f->n_cores);
    strbuf_append(out, ",\n");
    CORE_COLUMN(out, f, "chip", c->chip);
    CORE_COLUMN(out, f, "x", c->x);
    CORE_COLUMN(out, f, "y", c->y);
    CORE_COLUMN(out, f, "engine", c->engine);
    CORE_COLUMN(out, f, "tiles", c->n_tiles);
    key(out, "figures");
    strbuf_char(out, '[');
    for (int k = 0; k < REP_FIGURES; k++) {
        if (k > 0)
            strbuf_append(out, ",\n");
        bool any = false;
        for (uint32_t i = 0; i < f->n_cores; i++)
            any |= !isnan(f->core_figure[(size_t)i * REP_FIGURES + (size_t)k]);
        strbuf_append(out, any ? "[" : "null");
        for (uint32_t i = 0; any && i < f->n_cores; i++) {
            comma(out, i);
            column_value(out, f->core_figure[(size_t)i * REP_FIGURES + (size_t)k]);
        }
        if (any)
            strbuf_char(out, ']');
    }
    strbuf_append(out, "]},\n");
    /* tiles in the order of the cores: layer, then three ranges */
    key(out, "tiles");
    strbuf_char(out, '[');
    for (uint32_t i = 0, n = 0; i < f->n_cores; i++)
        for (uint32_t k = 0; k < f->core[i].n_tiles; k++, n++) {
            const struct rep_tile *t = &f->tile[f->core_tile[f->core[i].tile_first + k]];
            comma(out, n);
            strbuf_u64(out, t->layer);
            for (int j = 0; j < 6; j++) {
                strbuf_char(out, ',');
                strbuf_u64(out, t->range[j]);
            }
        }
    strbuf_append(out, "],\n");
}

static void write_links(struct strbuf *out, const struct rep_folder *f)
{
    key(out, "links");
    if (f->link == NULL) {
        strbuf_append(out, "null,\n");
        return;
    }
    strbuf_char(out, '[');
    for (uint32_t i = 0; i < f->n_links; i++) {
        const struct rep_link *l = &f->link[i];
        comma(out, i);
        strbuf_printf(out, "%u,%u", l->x, l->y);
        for (int d = 0; d < 4; d++) {
            strbuf_char(out, ',');
            column_value(out, l->load[d]);
        }
    }
    strbuf_append(out, "],\n");
}

/* ---- constraints ---- */

static void area(struct strbuf *out, const struct ctr_area *a, size_t i)
{
    struct strbuf words = {0};
    ctr_area_text(a, &words);
    comma(out, i);
    strbuf_json_string(out, strbuf_cstr(&words), words.len);
    if (words.status != SPK_OK && out->status == SPK_OK)
        out->status = words.status;
    strbuf_fini(&words);
}

/* Areas in words; what is where by their index in the lists of mapping.constraints. */
static void write_marks(struct strbuf *out, const struct rep_marks *m)
{
    strbuf_append(out, "\"marks\":{\"forbid\":[");
    for (uint32_t i = 0; i < m->n_forbid; i++)
        area(out, &m->forbid[i].area, i);
    strbuf_append(out, "],\"pins\":[");
    for (uint32_t i = 0; i < m->n_pins; i++)
        area(out, &m->pin[i].area, i);
    strbuf_append(out, "],\n\"places\":[");
    for (size_t i = 0; i < m->places.len; i++) {
        const struct rep_place *p = &m->places.data[i];
        comma(out, i);
        strbuf_printf(out, "%u,%u,%u,%u", p->chip, p->x, p->y, p->forbid);
    }
    strbuf_append(out, "],\n\"pinned\":[");
    for (size_t i = 0; i < m->pinned.len; i++) {
        comma(out, i);
        strbuf_printf(out, "%u,%u", m->pinned.data[i].core, m->pinned.data[i].pin);
    }
    strbuf_append(out, "]},\n");
}

/* ---- activity ---- */

static void base64(struct strbuf *out, const uint8_t *data, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t more = n - i > 3 ? 3 : (uint32_t)(n - i);
        const uint32_t v = (uint32_t)data[i] << 16 | (more > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                           (more > 2 ? data[i + 2] : 0);
        strbuf_char(out, digits[v >> 18]);
        strbuf_char(out, digits[v >> 12 & 63]);
        strbuf_char(out, more > 1 ? digits[v >> 6 & 63] : '=');
        strbuf_char(out, more > 2 ? digits[v & 63] : '=');
    }
}

static void write_activity(struct strbuf *out, const struct rep_activity *a)
{
    key(out, "activity");
    if (a == NULL) {
        strbuf_append(out, "null,\n");
        return;
    }
    strbuf_char(out, '{');
    text(out, "file", a->file);
    strbuf_printf(out, ",\"images\":%u,\"shown\":%u,\"timesteps\":%u,\"layers\":[", a->images,
                  a->images_shown, a->timesteps);
    for (uint32_t i = 0; i < a->n_layers; i++) {
        const struct rep_activity_layer *l = &a->layer[i];
        const uint64_t bits = (uint64_t)l->n_sampled * a->images_shown * a->timesteps;
        if (i > 0)
            strbuf_append(out, ",\n");
        strbuf_printf(out, "{\"layer\":%u,\"neurons\":%llu,\"sampled\":%u,", l->layer,
                      (unsigned long long)l->neurons, l->n_sampled);
        values(out, "rate", l->rate, a->timesteps);
        strbuf_append(out, ",\"bits\":\"");
        base64(out, l->fired, (bits + 7) / 8);
        strbuf_append(out, "\"}");
    }
    strbuf_append(out, "]},\n");
}

/* Of a layer's neurons five numbers each: channel, row, column, core (-1: none), threshold. */
static void write_probed_layer(struct strbuf *out, const struct rep_probes *p,
                               const struct rep_probed_layer *l)
{
    const uint64_t values = (uint64_t)l->n_shown * p->images_shown * p->timesteps;
    strbuf_printf(out, "{\"layer\":%u,\"neurons\":%llu,\"shown\":%u,\"at\":[", l->layer,
                  (unsigned long long)l->neurons, l->n_shown);
    for (uint32_t i = 0; i < l->n_shown; i++) {
        const struct rep_probed_neuron *n = &l->neuron[i];
        comma(out, i);
        strbuf_printf(out, "%u,%u,%u,%lld,%d", n->place[0], n->place[1], n->place[2],
                      (long long)n->core, n->threshold);
    }
    strbuf_append(out, "],\n\"membrane\":[");
    for (uint64_t i = 0; i < values; i++)
        strbuf_printf(out, "%s%d", i ? "," : "", l->membrane[i]);
    strbuf_append(out, "],\"spikes\":\"");
    base64(out, l->fired, (values + 7) / 8);
    strbuf_append(out, "\"}");
}

static void write_probes(struct strbuf *out, const struct rep_probes *p)
{
    key(out, "probes");
    if (p == NULL) {
        strbuf_append(out, "null,\n");
        return;
    }
    strbuf_char(out, '{');
    text(out, "file", p->file);
    strbuf_char(out, ',');
    text(out, "level", p->level);
    strbuf_char(out, ',');
    number(out, "images", p->images);
    strbuf_printf(out, ",\"shown\":%u,\"timesteps\":%u,\"layers\":[\n", p->images_shown,
                  p->timesteps);
    for (uint32_t i = 0; i < p->n_layers; i++) {
        if (i > 0)
            strbuf_append(out, ",\n");
        write_probed_layer(out, p, &p->layer[i]);
    }
    strbuf_append(out, "]},\n");
}

void report_data(const struct rep_folder *f, const struct rep_activity *activity,
                 const struct rep_probes *probes, struct strbuf *out)
{
    strbuf_append(out, "{");
    text(out, "version", SPIKEC_VERSION);
    strbuf_char(out, ',');
    text(out, "description", f->target->description);
    strbuf_char(out, ',');
    number(out, "images", f->images);
    strbuf_printf(out, ",\"mesh\":{\"chips\":[%u,%u],\"cores\":[%u,%u],\"router\":[%u,%u]},\n",
                  f->chips_x, f->chips_y, f->cores_x, f->cores_y, f->router_x, f->router_y);
    key(out, "scale");
    strbuf_char(out, '[');
    for (size_t i = 0; i < REP_SCALE_STOPS; i++)
        strbuf_printf(out, "%s\"#%06x\"", i ? "," : "", rep_scale_stop[i]);
    strbuf_append(out, "],\n");
    write_figures(out);
    write_constants(out, f->target);
    values(out, "limit", f->limit[0], REP_LIMITED);
    strbuf_char(out, ',');
    values(out, "engine_limit", f->limit[1], REP_LIMITED);
    strbuf_append(out, ",\n");
    values(out, "total", f->total, REP_FIGURES);
    strbuf_char(out, ',');
    values(out, "total_energy", f->total_energy, TGT_ENERGY_COUNT);
    strbuf_append(out, ",\n");
    write_layers(out, f);
    write_chips(out, f);
    write_cores(out, f);
    write_links(out, f);
    write_marks(out, &f->marks);
    write_activity(out, activity);
    write_probes(out, probes);
    report_extracts(f, out);
    strbuf_append(out, "}\n");
}
