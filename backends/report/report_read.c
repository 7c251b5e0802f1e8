/* Reads mapping.json and cost.json of a compiled folder into the tables that the page and the floor
 * plan are made of. Both may come from anywhere: every index is checked here. */
#include <math.h>
#include <string.h>

#include "backends/report/report_internal.h"
#include "support/alloc.h"

const struct rep_figure_info rep_figure_info[REP_FIGURES] = {
    {"neurons", "Neurons", "compartments"},
    {"in_axons", "In-axons", "entries"},
    {"out_axons", "Out-axons", "slots"},
    {"synapse_bits", "Synaptic memory", "bits"},
    {"synapses", "Stored weights", "weights"},
    {"synaptic_events", "Synaptic events", "events/image"},
    {"neuron_updates", "Neuron updates", "updates/image"},
    {"neuron_updates_active", "Active updates", "updates/image"},
    {"spikes_out", "Spikes", "spikes/image"},
    {"messages", "Messages out", "messages/image"},
    {"messages_in", "Messages in", "messages/image"},
    {"hops", "Hops", "link crossings/image"},
    {"energy", "Energy (priced part)", "pJ/image"},
    {"busy_ns", "Busy time", "ns/image"},
};

struct reader {
    struct rep_folder *f;
    struct json_cursor mapping, cost;
    const char **name; /* of the layers, sorted; with their index */
    uint32_t *index;
};

/* ---- layers by name ---- */

static void sort_names(struct reader *r)
{
    for (uint32_t i = 0; i < r->f->n_layers; i++) { /* nearly sorted or few: insertion */
        uint32_t k = i;
        const char *name = r->f->layer[i].name;
        for (; k > 0 && strcmp(r->name[k - 1], name) > 0; k--) {
            r->name[k] = r->name[k - 1];
            r->index[k] = r->index[k - 1];
        }
        r->name[k] = name;
        r->index[k] = i;
    }
}

static spk_status find_layer(const struct reader *r, const struct json_cursor *at, uint32_t *out)
{
    const char *name;
    SPK_TRY(js_string(at, &name));
    uint32_t low = 0, high = r->f->n_layers;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (strcmp(r->name[middle], name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == r->f->n_layers || strcmp(r->name[low], name) != 0)
        return diag_error(at->diags, js_place(at), "E0751", "there is no layer '%s'", name);
    *out = r->index[low];
    return SPK_OK;
}

/* ---- figures of cost.json ---- */

static spk_status number_or_nan(const struct json_cursor *at, const char *key, double *out)
{
    *out = (double)NAN;
    return js_has(at, key) ? js_get_f64(at, key, out) : SPK_OK;
}

/* Energy per component of an object with member energy_pj, where it has one. */
static spk_status read_energy(const struct json_cursor *at, double *out)
{
    struct json_cursor energy;
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        out[e] = (double)NAN;
    if (!js_has(at, "energy_pj"))
        return SPK_OK;
    SPK_TRY(js_member(at, "energy_pj", &energy));
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        SPK_TRY(number_or_nan(&energy, tgt_energy_name((enum tgt_energy)e), &out[e]));
    return SPK_OK;
}

/* Figures of a core, layer, chip or the whole; what is done is simulated or predicted. */
static spk_status read_figures(const struct reader *r, const struct json_cursor *at, double *out,
                               double *energy)
{
    struct json_cursor done = *at, inner;
    for (int i = 0; i < REP_FIGURES; i++)
        out[i] = (double)NAN;
    for (int i = 0; i < REP_EVENTS; i++)
        SPK_TRY(js_get_f64(at, rep_figure_info[i].key, &out[i]));
    if (r->f->images == 0 && js_has(at, "predicted"))
        SPK_TRY(js_member(at, "predicted", &done));
    for (int i = REP_EVENTS; i < REP_FIGURES; i++)
        if (i != REP_ENERGY)
            SPK_TRY(number_or_nan(&done, rep_figure_info[i].key, &out[i]));
    if (energy != NULL)
        SPK_TRY(read_energy(&done, energy));
    if (r->f->images == 0)
        return number_or_nan(&done, "energy_priced_pj", &out[REP_ENERGY]);
    if (!js_has(&done, "energy_pj"))
        return SPK_OK;
    SPK_TRY(js_member(&done, "energy_pj", &inner));
    return number_or_nan(&inner, "total_priced", &out[REP_ENERGY]);
}

static spk_status list_of(const struct json_cursor *at, const char *key, size_t size,
                          struct json_cursor *out, uint32_t *out_n, void *out_rows)
{
    size_t n;
    SPK_TRY(js_member(at, key, out));
    SPK_TRY(js_array_length(out, &n));
    if (n > UINT32_MAX / 8)
        return diag_error(at->diags, js_place(out), "E0752", "too many entries");
    SPK_TRY(spk_alloc_array(n, size, out_rows));
    *out_n = (uint32_t)n;
    return SPK_OK;
}

/* ---- mapping.json ---- */

static spk_status read_layer(const struct json_cursor *at, struct rep_layer *l)
{
    SPK_TRY(js_get_string(at, "name", &l->name));
    SPK_TRY(js_get_string(at, "kind", &l->kind));
    SPK_TRY(js_get_u32(at, "channels", UINT32_MAX, &l->channels));
    SPK_TRY(js_get_u32(at, "height", UINT32_MAX, &l->height));
    SPK_TRY(js_get_u32(at, "width", UINT32_MAX, &l->width));
    SPK_TRY(js_get_u32(at, "start_step", UINT32_MAX, &l->start));
    SPK_TRY(js_get_f64(at, "rate", &l->rate));
    if (js_has(at, "attention"))
        SPK_TRY(js_get_string(at, "attention", &l->attention));
    for (int i = 0; i < REP_FIGURES; i++)
        l->figure[i] = (double)NAN;
    for (int e = 0; e < TGT_ENERGY_COUNT; e++)
        l->energy[e] = (double)NAN;
    return SPK_OK;
}

static spk_status count_sources(const struct json_cursor *layers, struct rep_folder *f)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < f->n_layers; i++) {
        struct json_cursor at, sources;
        size_t n;
        SPK_TRY(js_element(layers, i, &at));
        SPK_TRY(js_member(&at, "sources", &sources));
        SPK_TRY(js_array_length(&sources, &n));
        f->layer[i].source_first = (uint32_t)total;
        f->layer[i].n_sources = (uint32_t)n;
        total += n;
        if (total > UINT32_MAX / 8)
            return diag_error(at.diags, js_place(&sources), "E0752", "too many entries");
    }
    f->n_sources = (uint32_t)total;
    return spk_alloc_array(total, sizeof *f->source, &f->source);
}

static spk_status read_sources(const struct reader *r, const struct json_cursor *layers)
{
    for (uint32_t i = 0; i < r->f->n_layers; i++) {
        const struct rep_layer *l = &r->f->layer[i];
        struct json_cursor at, sources, one, name;
        SPK_TRY(js_element(layers, i, &at));
        SPK_TRY(js_member(&at, "sources", &sources));
        for (uint32_t k = 0; k < l->n_sources; k++) {
            struct rep_source *s = &r->f->source[l->source_first + k];
            SPK_TRY(js_element(&sources, k, &one));
            SPK_TRY(js_member(&one, "name", &name));
            SPK_TRY(find_layer(r, &name, &s->layer));
            SPK_TRY(js_get_u32(&one, "delay", UINT32_MAX, &s->delay));
        }
    }
    return SPK_OK;
}

static spk_status read_layers(struct reader *r)
{
    struct json_cursor layers, at;
    struct rep_folder *f = r->f;
    SPK_TRY(list_of(&r->mapping, "layers", sizeof *f->layer, &layers, &f->n_layers, &f->layer));
    for (uint32_t i = 0; i < f->n_layers; i++) {
        SPK_TRY(js_element(&layers, i, &at));
        SPK_TRY(read_layer(&at, &f->layer[i]));
    }
    SPK_TRY(spk_alloc_array(f->n_layers, sizeof *r->name, &r->name));
    SPK_TRY(spk_alloc_array(f->n_layers, sizeof *r->index, &r->index));
    sort_names(r);
    SPK_TRY(count_sources(&layers, f));
    return read_sources(r, &layers);
}

static spk_status read_range(const struct json_cursor *at, const char *key, uint32_t *out)
{
    struct json_cursor pair, one;
    SPK_TRY(js_member(at, key, &pair));
    for (size_t i = 0; i < 2; i++) {
        SPK_TRY(js_element(&pair, i, &one));
        SPK_TRY(js_u32(&one, UINT32_MAX, &out[i]));
    }
    return SPK_OK;
}

static spk_status read_tiles(const struct reader *r)
{
    static const char *const keys[3] = {"rows", "columns", "channels"};
    struct json_cursor tiles, at, name;
    struct rep_folder *f = r->f;
    SPK_TRY(list_of(&r->mapping, "tiles", sizeof *f->tile, &tiles, &f->n_tiles, &f->tile));
    for (uint32_t i = 0; i < f->n_tiles; i++) {
        struct rep_tile *t = &f->tile[i];
        SPK_TRY(js_element(&tiles, i, &at));
        SPK_TRY(js_member(&at, "layer", &name));
        SPK_TRY(find_layer(r, &name, &t->layer));
        SPK_TRY(js_get_u32(&at, "core", UINT32_MAX, &t->core));
        for (int k = 0; k < 3; k++)
            SPK_TRY(read_range(&at, keys[k], &t->range[2 * k]));
    }
    return SPK_OK;
}

static spk_status read_core(const struct reader *r, const struct json_cursor *at, uint32_t id,
                            uint32_t *inout_tiles)
{
    struct rep_folder *f = r->f;
    struct rep_core *c = &f->core[id];
    struct json_cursor tiles, one;
    size_t n;
    SPK_TRY(js_get_u32(at, "chip", f->chips_x * f->chips_y - 1, &c->chip));
    SPK_TRY(js_get_u32(at, "x", f->cores_x - 1, &c->x));
    SPK_TRY(js_get_u32(at, "y", f->cores_y - 1, &c->y));
    SPK_TRY(js_member(at, "tiles", &tiles));
    SPK_TRY(js_array_length(&tiles, &n));
    if (n > f->n_tiles - *inout_tiles)
        return diag_error(at->diags, js_place(&tiles), "E0752", "more tiles than there are");
    c->tile_first = *inout_tiles;
    c->n_tiles = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        SPK_TRY(js_element(&tiles, i, &one));
        SPK_TRY(js_u32(&one, f->n_tiles - 1, &f->core_tile[(*inout_tiles)++]));
    }
    return SPK_OK;
}

static spk_status read_cores(const struct reader *r)
{
    struct json_cursor cores, at;
    struct rep_folder *f = r->f;
    uint32_t tiles = 0;
    SPK_TRY(list_of(&r->mapping, "cores", sizeof *f->core, &cores, &f->n_cores, &f->core));
    SPK_TRY(spk_alloc_array(f->n_tiles, sizeof *f->core_tile, &f->core_tile));
    for (uint32_t i = 0; i < f->n_cores; i++) {
        SPK_TRY(js_element(&cores, i, &at));
        SPK_TRY(read_core(r, &at, i, &tiles));
    }
    for (uint32_t i = 0; i < f->n_tiles; i++)
        if (f->tile[i].core >= f->n_cores)
            return diag_error(cores.diags, js_place(&cores), "E0752",
                              "tile %u lies on core %u of %u", i, f->tile[i].core, f->n_cores);
    return SPK_OK;
}

static spk_status read_mesh(const struct reader *r)
{
    struct rep_folder *f = r->f;
    struct json_cursor mesh;
    uint32_t pair[2];
    if (!js_has(&r->mapping, "mesh")) {
        spk_status status = diag_error(r->mapping.diags, js_place(&r->mapping), "E0753",
                                       "the folder was compiled by an older version");
        diag_help_set(r->mapping.diags, "compile it again");
        return status;
    }
    SPK_TRY(js_member(&r->mapping, "mesh", &mesh));
    SPK_TRY(read_range(&mesh, "chips", pair));
    f->chips_x = pair[0];
    f->chips_y = pair[1];
    SPK_TRY(read_range(&mesh, "cores", pair));
    f->cores_x = pair[0];
    f->cores_y = pair[1];
    SPK_TRY(read_range(&mesh, "router", pair));
    f->router_x = pair[0];
    f->router_y = pair[1];
    const uint32_t sides[6] = {f->chips_x, f->chips_y,  f->cores_x,
                               f->cores_y, f->router_x, f->router_y};
    for (int i = 0; i < 6; i++)
        if (sides[i] == 0 || sides[i] > 4096)
            return diag_error(mesh.diags, js_place(&mesh), "E0754",
                              "sides of a mesh are 1 to 4096, not %u", sides[i]);
    return SPK_OK;
}

/* ---- cost.json ---- */

static spk_status cost_layers(const struct reader *r)
{
    struct json_cursor layers, at, name;
    size_t n;
    SPK_TRY(js_member(&r->cost, "layers", &layers));
    SPK_TRY(js_array_length(&layers, &n));
    for (size_t i = 0; i < n; i++) {
        uint32_t layer;
        SPK_TRY(js_element(&layers, i, &at));
        SPK_TRY(js_member(&at, "name", &name));
        SPK_TRY(find_layer(r, &name, &layer));
        struct rep_layer *l = &r->f->layer[layer];
        SPK_TRY(js_get_u32(&at, "cores", UINT32_MAX, &l->cores));
        SPK_TRY(js_get_u32(&at, "guest_cores", UINT32_MAX, &l->guests));
        SPK_TRY(read_figures(r, &at, l->figure, l->energy));
    }
    return SPK_OK;
}

static spk_status cost_core(const struct reader *r, const struct json_cursor *at, uint32_t id)
{
    struct rep_folder *f = r->f;
    const char *kind;
    SPK_TRY(js_get_string(at, "class", &kind));
    f->core[id].engine = strcmp(kind, "engine") == 0;
    for (int i = 0; i < REP_LIMITED; i++) {
        char key[40];
        spk_snprintf(key, sizeof key, "%s_limit", rep_figure_info[i].key);
        SPK_TRY(number_or_nan(at, key, &f->limit[f->core[id].engine][i]));
    }
    return read_figures(r, at, f->core_figure + (size_t)id * REP_FIGURES, NULL);
}

static spk_status cost_cores(const struct reader *r)
{
    struct rep_folder *f = r->f;
    struct json_cursor cores, at;
    size_t n;
    SPK_TRY(js_member(&r->cost, "cores", &cores));
    SPK_TRY(js_array_length(&cores, &n));
    if (n != f->n_cores)
        return diag_error(cores.diags, js_place(&cores), "E0755",
                          "%zu cores here, %u in mapping.json", n, f->n_cores);
    SPK_TRY(spk_alloc_array((size_t)n * REP_FIGURES, sizeof *f->core_figure, &f->core_figure));
    for (uint32_t i = 0; i < f->n_cores; i++) {
        SPK_TRY(js_element(&cores, i, &at));
        SPK_TRY(cost_core(r, &at, i));
    }
    return SPK_OK;
}

static spk_status cost_chips(const struct reader *r)
{
    struct rep_folder *f = r->f;
    struct json_cursor chips, at;
    SPK_TRY(list_of(&r->cost, "chips", sizeof *f->chip, &chips, &f->n_chips, &f->chip));
    for (uint32_t i = 0; i < f->n_chips; i++) {
        SPK_TRY(js_element(&chips, i, &at));
        SPK_TRY(js_get_u32(&at, "id", f->chips_x * f->chips_y - 1, &f->chip[i].id));
        SPK_TRY(js_get_u32(&at, "cores", UINT32_MAX, &f->chip[i].cores));
        SPK_TRY(read_figures(r, &at, f->chip[i].figure, NULL));
    }
    return SPK_OK;
}

static spk_status read_links(const struct reader *r)
{
    struct rep_folder *f = r->f;
    struct json_cursor links, loads, at, one;
    if (!js_has(&r->cost, "links"))
        return SPK_OK;
    SPK_TRY(js_member(&r->cost, "links", &links));
    SPK_TRY(js_get_u32(&links, "columns", 1u << 20, &f->links_w));
    SPK_TRY(js_get_u32(&links, "rows", 1u << 20, &f->links_h));
    SPK_TRY(list_of(&links, "loads", sizeof *f->link, &loads, &f->n_links, &f->link));
    for (uint32_t i = 0; i < f->n_links; i++) {
        struct rep_link *l = &f->link[i];
        SPK_TRY(js_element(&loads, i, &at));
        SPK_TRY(js_element(&at, 0, &one));
        SPK_TRY(js_u32(&one, f->links_w, &l->x));
        SPK_TRY(js_element(&at, 1, &one));
        SPK_TRY(js_u32(&one, f->links_h, &l->y));
        for (size_t d = 0; d < 4; d++) {
            SPK_TRY(js_element(&at, 2 + d, &one));
            SPK_TRY(js_f64(&one, &l->load[d]));
        }
    }
    return SPK_OK;
}

static spk_status read_cost(const struct reader *r)
{
    struct rep_folder *f = r->f;
    struct json_cursor totals;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < REP_LIMITED; i++)
            f->limit[k][i] = (double)NAN;
    SPK_TRY(js_get_u32(&r->cost, "images", UINT32_MAX, &f->images));
    SPK_TRY(cost_layers(r));
    SPK_TRY(cost_cores(r));
    SPK_TRY(cost_chips(r));
    SPK_TRY(js_member(&r->cost, "totals", &totals));
    SPK_TRY(read_figures(r, &totals, f->total, f->total_energy));
    return read_links(r);
}

static spk_status read_all(struct reader *r)
{
    uint32_t schema;
    SPK_TRY(js_get_u32(&r->mapping, "schema", UINT32_MAX, &schema));
    if (schema != 2)
        return diag_error(r->mapping.diags, js_place(&r->mapping), "E0756",
                          "schema 2 is wanted, not %u", schema);
    SPK_TRY(js_get_u32(&r->mapping, "timesteps", UINT32_MAX, &r->f->timesteps));
    SPK_TRY(read_mesh(r));
    SPK_TRY(read_layers(r));
    SPK_TRY(read_tiles(r));
    SPK_TRY(read_cores(r));
    SPK_TRY(read_cost(r));
    SPK_TRY(rep_marks_read(&r->mapping, r->f));
    return rep_colours(r->f);
}

spk_status rep_folder_read(const struct json_cursor *mapping, const struct json_cursor *cost,
                           const struct json_value *verify, const struct tgt *target,
                           struct rep_folder *out)
{
    struct reader r = {.f = out, .mapping = *mapping, .cost = *cost};
    memset(out, 0, sizeof *out);
    out->target = target;
    out->mapping = mapping->value;
    out->cost = cost->value;
    out->verify = verify;
    spk_status status = read_all(&r);
    spk_free(r.name);
    spk_free(r.index);
    return status;
}

void rep_folder_fini(struct rep_folder *f)
{
    spk_free(f->layer);
    spk_free(f->source);
    spk_free(f->tile);
    spk_free(f->core_tile);
    spk_free(f->core);
    spk_free(f->core_figure);
    spk_free(f->chip);
    spk_free(f->link);
    spk_free(f->group);
    rep_marks_fini(&f->marks);
    memset(f, 0, sizeof *f);
}
