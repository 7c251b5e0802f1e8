/* A comparison as JSON and as text. Why a part changed: the inputs that differ and may act on it;
 * where several may, all are named, and one alone is the cause, for the same inputs give the same
 * folder. */
#include <math.h>
#include <string.h>

#include "api/diff.h"

static const struct {
    enum diff_part part;
    const char *key;
} PARTS[DIFF_PARTS] = {{DIFF_MODEL, "model"},       {DIFF_WEIGHTS, "weights"},
                       {DIFF_INTEGERS, "integers"}, {DIFF_CUT, "cut"},
                       {DIFF_PLACES, "places"},     {DIFF_COST, "cost"}};

static size_t count(const struct diff *d, enum diff_part part)
{
    size_t n = 0;
    for (size_t i = 0; i < d->changes.len; i++)
        n += d->changes.data[i].part == part;
    return n;
}

/* A constant of the target makes a difference even where nothing came of it: it is in the folder.
 */
static bool is_constant(const struct diff_change *c)
{
    return c->part == DIFF_INPUT && strcmp(c->kind, "constant") == 0;
}

bool diff_equal(const struct diff *d)
{
    for (size_t i = 0; i < d->changes.len; i++)
        if (d->changes.data[i].part != DIFF_INPUT || is_constant(&d->changes.data[i]))
            return false;
    return true;
}

static bool may_act(const struct diff_change *c, enum diff_part part)
{
    return c->part == DIFF_INPUT && (c->acts_on & (uint32_t)part) != 0;
}

/* Rates of layers are one cause, whatever their number. */
static bool is_first_rate(const struct diff *d, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (d->changes.data[i].part == DIFF_INPUT && strcmp(d->changes.data[i].kind, "rate") == 0)
            return false;
    return true;
}

static const char *cause_name(const struct diff_change *c)
{
    return strcmp(c->kind, "rate") == 0 ? "firing rates" : c->name;
}

static bool is_cause(const struct diff *d, size_t i, enum diff_part part)
{
    const struct diff_change *c = &d->changes.data[i];
    return may_act(c, part) && (strcmp(c->kind, "rate") != 0 || is_first_rate(d, i));
}

/* ---- JSON ---- */

static void write_value(struct json_writer *w, const char *key, const struct diff_value *v)
{
    if (!v->present)
        jw_null(w, key);
    else if (v->is_text)
        jw_string(w, key, v->text);
    else
        jw_f64(w, key, v->number);
}

static bool has_relative(const struct diff_change *c)
{
    return c->first.present && c->second.present && !c->first.is_text && !c->second.is_text &&
           c->first.number != 0;
}

static double relative(const struct diff_change *c)
{
    return c->second.number / c->first.number - 1;
}

static void write_change(struct json_writer *w, const struct diff_change *c)
{
    const bool values = c->part == DIFF_WEIGHTS || c->part == DIFF_INTEGERS;
    jw_object_begin_line(w, NULL);
    if (c->kind != NULL)
        jw_string(w, "kind", c->kind);
    if (c->layer != NULL)
        jw_string(w, "layer", c->layer);
    jw_string(w, "name", c->name);
    if (c->unit != NULL)
        jw_string(w, "unit", c->unit);
    if (values && c->first.present && !c->first.is_text) {
        jw_f64(w, "values", c->first.number);
        jw_f64(w, "changed", c->second.number);
    } else if (c->part == DIFF_PLACES && strcmp(c->name, "moved") == 0) {
        jw_f64(w, "tiles", c->first.number);
        jw_f64(w, "moved", c->second.number);
    } else {
        write_value(w, "first", &c->first);
        write_value(w, "second", &c->second);
    }
    if (c->part == DIFF_COST && has_relative(c))
        jw_f64_or_null(w, "relative", relative(c));
    jw_object_end(w);
}

static void write_why(const struct diff *d, enum diff_part part, struct json_writer *w)
{
    jw_array_begin_line(w, "why");
    for (size_t i = 0; i < d->changes.len; i++)
        if (is_cause(d, i, part))
            jw_string(w, NULL, cause_name(&d->changes.data[i]));
    jw_array_end(w);
}

static void write_part(const struct diff *d, size_t at, struct json_writer *w)
{
    const enum diff_part part = PARTS[at].part;
    const size_t n = count(d, part);
    jw_object_begin(w, PARTS[at].key);
    jw_bool(w, "same", n == 0);
    if (part == DIFF_WEIGHTS || part == DIFF_INTEGERS) {
        const size_t i = part == DIFF_WEIGHTS ? 0 : 1;
        jw_u64(w, "tensors", d->tensors[i]);
        jw_f64(w, "largest_difference", d->largest[i]);
    }
    if (part == DIFF_PLACES) {
        jw_u64(w, "tiles", d->tiles);
        jw_u64(w, "moved", d->tiles_moved);
    }
    if (part == DIFF_COST)
        jw_string(w, "compared", d->cost_basis);
    if (n > 0)
        write_why(d, part, w);
    jw_array_begin(w, "changes");
    for (size_t i = 0; i < d->changes.len; i++)
        if (d->changes.data[i].part == part)
            write_change(w, &d->changes.data[i]);
    jw_array_end(w);
    jw_object_end(w);
}

static void write_json(const struct diff *d, struct json_writer *w)
{
    jw_string(w, "first", d->side[0].folder);
    jw_string(w, "second", d->side[1].folder);
    jw_bool(w, "equal", diff_equal(d));
    jw_array_begin(w, "inputs");
    for (size_t i = 0; i < d->changes.len; i++)
        if (d->changes.data[i].part == DIFF_INPUT)
            write_change(w, &d->changes.data[i]);
    jw_array_end(w);
    for (size_t i = 0; i < DIFF_PARTS; i++)
        write_part(d, i, w);
}

/* ---- text ---- */

static void print_value(const struct diff_value *v, struct strbuf *out)
{
    if (!v->present)
        strbuf_append(out, "none");
    else if (v->is_text)
        strbuf_printf(out, "%.60s", v->text);
    else
        strbuf_printf(out, "%.9g", v->number);
}

static void print_change(const struct diff_change *c, struct strbuf *out)
{
    if (!c->first.present && !c->second.present) {
        strbuf_append(out, "is another");
        return;
    }
    print_value(&c->first, out);
    strbuf_append(out, " -> ");
    print_value(&c->second, out);
    if (c->unit != NULL)
        strbuf_printf(out, " %s", c->unit);
    if (c->part == DIFF_COST && has_relative(c))
        strbuf_printf(out, " (%+.2f %%)", 100 * relative(c));
}

static void print_inputs(const struct diff *d, struct strbuf *out)
{
    size_t rates = 0;
    strbuf_append(out, "inputs\n");
    const size_t before = out->len;
    for (size_t i = 0; i < d->changes.len; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->part != DIFF_INPUT)
            continue;
        if (strcmp(c->kind, "rate") == 0) {
            rates++;
            continue;
        }
        strbuf_printf(out, "  %-9s %-32s ", c->kind, c->name);
        if (strcmp(c->kind, "file") == 0 && c->first.present && c->second.present)
            strbuf_printf(out, "%.12s -> %.12s (SHA-256)", c->first.text, c->second.text);
        else
            print_change(c, out);
        strbuf_char(out, '\n');
    }
    if (rates > 0)
        strbuf_printf(out, "  %-9s %-32s of %zu layers\n", "rate", "firing rates", rates);
    if (out->len == before)
        strbuf_append(out, "  the same\n");
}

static void print_why(const struct diff *d, enum diff_part part, struct strbuf *out)
{
    size_t n = 0, named = 0;
    for (size_t i = 0; i < d->changes.len; i++)
        n += is_cause(d, i, part);
    strbuf_append(out, n == 0   ? "; no input of the folders tells why"
                       : n == 1 ? "; because of "
                                : "; because of one or more of ");
    for (size_t i = 0; i < d->changes.len && named < 6; i++)
        if (is_cause(d, i, part))
            strbuf_printf(out, "%s%s", named++ ? ", " : "", cause_name(&d->changes.data[i]));
    if (n > named)
        strbuf_printf(out, " and %zu more", n - named);
    strbuf_char(out, '\n');
}

/* Distinct layers among the changes of a part (they stand together). */
static size_t layers_in(const struct diff *d, enum diff_part part)
{
    const char *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < d->changes.len; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->part != part || c->layer == NULL || (last != NULL && strcmp(last, c->layer) == 0))
            continue;
        last = c->layer;
        n++;
    }
    return n;
}

static void print_head(const struct diff *d, size_t at, struct strbuf *out)
{
    const enum diff_part part = PARTS[at].part;
    const size_t n = count(d, part);
    const size_t i = part == DIFF_INTEGERS ? 1 : 0;
    strbuf_printf(out, "%-9s ", PARTS[at].key);
    switch (part) {
    case DIFF_WEIGHTS:
    case DIFF_INTEGERS:
        strbuf_printf(out, "%zu of %llu tensors differ", n, (unsigned long long)d->tensors[i]);
        if (d->largest_where[i] != NULL)
            strbuf_printf(out, ", by %.6g at most, in %s", d->largest[i], d->largest_where[i]);
        break;
    case DIFF_PLACES:
        strbuf_printf(out, "%llu of %llu tiles that both have lie elsewhere",
                      (unsigned long long)d->tiles_moved, (unsigned long long)d->tiles);
        break;
    case DIFF_COST:
        strbuf_printf(out, "%zu figures differ (%s)", n, d->cost_basis);
        break;
    default:
        strbuf_printf(out, "%zu changes in %zu layers", n, layers_in(d, part));
        break;
    }
    if (n > 0)
        print_why(d, part, out);
    else
        strbuf_char(out, '\n');
}

/* Figures that are worth a line for people; --json has all. */
static bool is_main(const char *name)
{
    static const char *const names[] = {"cores",
                                        "guest_cores",
                                        "chips",
                                        "neurons",
                                        "in_axons",
                                        "out_axons",
                                        "synapse_bits",
                                        "latency_steps",
                                        "interval_steps",
                                        "latency_ticks",
                                        "time_ns",
                                        "synaptic_events",
                                        "neuron_updates",
                                        "spikes_out",
                                        "messages",
                                        "hops",
                                        "busy_ns",
                                        "energy_priced_pj",
                                        "energy_pj.total_priced",
                                        "max_link_messages"};
    if (strncmp(name, "predicted.", 10) == 0)
        name += 10;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void print_totals(const struct diff *d, struct strbuf *out)
{
    size_t more = 0;
    for (size_t i = 0; i < d->changes.len; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->part == DIFF_INPUT || c->layer != NULL ||
            (c->part & (DIFF_WEIGHTS | DIFF_INTEGERS)) != 0)
            continue;
        if (c->part == DIFF_COST && !is_main(c->name)) {
            more++;
            continue;
        }
        strbuf_printf(out, "  %-34s ", c->name);
        print_change(c, out);
        strbuf_char(out, '\n');
    }
    if (more > 0)
        strbuf_printf(out, "  (%zu more figures: --json)\n", more);
}

/* All that is to be told of a layer, in one place, at its first change. */
static void print_layer(const struct diff *d, size_t from, struct strbuf *out)
{
    const char *layer = d->changes.data[from].layer;
    strbuf_printf(out, "  %s\n", layer);
    for (size_t i = from; i < d->changes.len; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->layer == NULL || strcmp(c->layer, layer) != 0 || c->part == DIFF_INPUT ||
            (c->part == DIFF_COST && !is_main(c->name)))
            continue;
        strbuf_printf(out, "    %-32s ", c->name);
        if (c->part == DIFF_PLACES)
            strbuf_printf(out, "%.0f of %.0f tiles", c->second.number, c->first.number);
        else
            print_change(c, out);
        strbuf_char(out, '\n');
    }
}

static bool told_before(const struct diff *d, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->part != DIFF_INPUT && c->layer != NULL &&
            strcmp(c->layer, d->changes.data[at].layer) == 0)
            return true;
    }
    return false;
}

static void print_layers(const struct diff *d, struct strbuf *out)
{
    bool any = false;
    for (size_t i = 0; i < d->changes.len; i++) {
        const struct diff_change *c = &d->changes.data[i];
        if (c->part == DIFF_INPUT || c->layer == NULL || told_before(d, i))
            continue;
        if (!any)
            strbuf_append(out, "layers\n");
        any = true;
        print_layer(d, i, out);
    }
}

spk_status diff_write(const struct diff *d, struct api_report *r)
{
    struct strbuf *out = &r->result->text;
    write_json(d, &r->w);
    print_inputs(d, out);
    for (size_t i = 0; i < DIFF_PARTS; i++)
        print_head(d, i, out);
    print_totals(d, out);
    print_layers(d, out);
    strbuf_append(out, diff_equal(d) ? "the folders are equal\n" : "the folders differ\n");
    return out->status;
}
