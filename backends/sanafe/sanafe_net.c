/* network.net (or .yaml): a group per channel of a layer, so that all neurons of a group are alike,
 * one for the padding of all cores, and one per input. Padding takes synapses and spends what a
 * neuron does, but keeps nothing: below its reverse threshold, always, it is set to 0. A residual
 * sum is what it is on the chip: edges of several sources onto one neuron. The order of the mapping
 * is the order of compartments. Cost: two walks over all synapses; a line per synapse. */
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"

#define FLUSH_AT ((size_t)1 << 20)

struct net {
    struct sanafe *s;
    struct sanafe_text t;
};

/* "3.7" in a netlist, "g3.7" in YAML. */
static void put_neuron(struct net *n, uint32_t group, uint32_t neuron)
{
    strbuf_printf(&n->t.text, n->s->yaml ? "g%u.%u" : "%u.%u", group, neuron);
}

static void put_edge(struct net *n, uint32_t from, uint32_t from_neuron, uint32_t to,
                     uint32_t to_neuron, int32_t weight, uint32_t delay)
{
    struct strbuf *out = &n->t.text;
    strbuf_append(out, n->s->yaml ? "    - " : "e ");
    put_neuron(n, from, from_neuron);
    strbuf_append(out, n->s->yaml ? " -> " : "->");
    put_neuron(n, to, to_neuron);
    strbuf_append(out, n->s->yaml ? ": {weight: " : " weight=");
    strbuf_f64(out, (double)weight / 64.0);
    if (n->s->max_delay > 0)
        strbuf_printf(out, n->s->yaml ? ", delay: %u" : " delay=%u", delay);
    strbuf_append(out, n->s->yaml ? "}\n" : "\n");
}

/* Group and number of a compartment. */
static uint32_t place_of(const struct sanafe *s, uint32_t core, uint32_t comp, uint32_t *out_neuron)
{
    const uint32_t padding = s->padding[s->comp_first[core] + comp];
    if (padding != IMG_NONE) {
        *out_neuron = padding;
        return s->n_groups;
    }
    const struct img_neuron n = img_neuron_at(s->im, core, comp);
    *out_neuron = n.position;
    return s->group_first[n.layer] + n.channel;
}

static bool is_input(const struct sanafe *s, const struct img_synapse *y)
{
    return y->host || !s->in[y->source];
}

static spk_status edge(void *ctx, const struct img_synapse *y)
{
    struct net *n = ctx;
    struct sanafe *s = n->s;
    const uint32_t delay = s->im->in_axons[y->axon].delay;
    uint32_t to_neuron, first = 0;
    if (!sanafe_is_in(s, y->core, y->comp))
        return SPK_OK;
    const uint32_t to = place_of(s, y->core, y->comp, &to_neuron);
    if (is_input(s, y)) {
        const uint32_t inputs = sanafe_inputs_of(s, y->source, y->neuron, &first);
        for (uint32_t i = first; i < first + inputs; i++)
            put_edge(n, s->first_input + i, 0, to, to_neuron, y->weight, delay);
    } else {
        const struct img_layer *l = &s->im->layers[y->source];
        const uint32_t positions = l->height * l->width;
        put_edge(n, s->group_first[y->source] + y->neuron / positions, y->neuron % positions, to,
                 to_neuron, y->weight, delay);
    }
    return n->t.text.len >= FLUSH_AT ? sanafe_text_flush(&n->t) : SPK_OK;
}

/* First walk: how many edges, which cores an input reaches. */
static spk_status count_edge(void *ctx, const struct img_synapse *y)
{
    struct sanafe *s = ctx;
    uint32_t first = 0, inputs = 1;
    if (!sanafe_is_in(s, y->core, y->comp))
        return SPK_OK;
    if (is_input(s, y))
        inputs = sanafe_inputs_of(s, y->source, y->neuron, &first);
    for (uint32_t i = first; is_input(s, y) && i < first + inputs; i++)
        s->inputs[i].cores[y->core] = 1;
    s->edges += inputs;
    return SPK_OK;
}

/* Calls for every neuron that a host current of image k drives; n NULL: only counts. */
static spk_status current_edges(struct net *n, struct sanafe *s, uint32_t k)
{
    const struct image *im = s->im;
    const uint32_t layer = im->encoder.layer, neurons = img_layer_neurons(im, layer);
    const int32_t *current = s->run->currents + (size_t)k * neurons;
    uint32_t input = 0;
    (void)sanafe_inputs_of(s, s->n_sources + k, 0, &input);
    for (uint64_t g = 0; g < im->n_groups; g++) {
        const struct img_group *group = &im->groups[g];
        for (uint32_t i = 0; group->layer == layer && i < group->ny * group->nx * group->nc; i++) {
            const struct img_neuron at = img_neuron_at(im, group->core, img_group_comp(group, i));
            const int32_t weight = current[img_neuron_number(im, &at)];
            if (weight == 0)
                continue;
            if (n == NULL) {
                s->inputs[input].cores[group->core] = 1;
                s->edges++;
                s->current_events += s->inputs[input].spikes;
                continue;
            }
            put_edge(n, s->first_input + input, 0, s->group_first[layer] + at.channel, at.position,
                     weight, 0);
            if (n->t.text.len >= FLUSH_AT)
                SPK_TRY(sanafe_text_flush(&n->t));
        }
    }
    return SPK_OK;
}

static spk_status walk_edges(struct net *n, struct sanafe *s)
{
    SPK_TRY(n ? img_walk_synapses(s->im, edge, n) : img_walk_synapses(s->im, count_edge, s));
    const bool currents = s->im->encoder.present && s->in[s->im->encoder.layer];
    for (uint32_t k = 0; currents && k < s->run->n_images; k++)
        SPK_TRY(current_edges(n, s, k));
    return SPK_OK;
}

/* ---- groups ---- */

struct setting {
    const char *key;
    double value;
    const char *word; /* instead of the value */
};

static void put_group(struct net *n, uint32_t group, uint32_t count, const struct setting *set,
                      size_t n_set)
{
    struct strbuf *out = &n->t.text;
    const bool yaml = n->s->yaml;
    if (yaml)
        strbuf_printf(out, "    - name: g%u\n      attributes: {", group);
    else
        strbuf_printf(out, "g %u", count);
    for (size_t i = 0; i < n_set; i++) {
        strbuf_printf(out, yaml ? "%s%s: " : "%s%s=", yaml ? i ? ", " : "" : " ", set[i].key);
        if (set[i].word != NULL)
            strbuf_append(out, set[i].word);
        else
            strbuf_f64(out, set[i].value);
    }
    strbuf_append(out, yaml ? "}\n      neurons:\n" : "\n");
    if (yaml && count > 1)
        strbuf_printf(out, "        - 0..%u\n", count - 1);
    else if (yaml && n_set > 1)
        strbuf_append(out, "        - 0\n");
}

static void put_layers(struct net *n)
{
    const struct sanafe *s = n->s;
    for (uint32_t l = 0; l < s->im->n_layers; l++) {
        const struct img_layer *layer = &s->im->layers[l];
        for (uint32_t c = 0; s->group_first[l] != IMG_NONE && c < layer->channels; c++) {
            const struct img_config *k = &s->config[s->group_first[l] + c];
            const struct setting set[] = {{"threshold", ((double)k->vth - 0x1p-20) / 64.0, NULL},
                                          {"leak_decay", (double)(4096 - k->decay) / 4096.0, NULL},
                                          {"log_spikes", 1, NULL},
                                          {"reset_mode", 0, k->soft_reset ? "soft" : "hard"}};
            put_group(n, s->group_first[l] + c, layer->height * layer->width, set, 4);
        }
    }
    const struct setting padding[] = {{"threshold", 1e9, NULL},
                                      {"reverse_threshold", 1e9, NULL},
                                      {"reverse_reset", 0, NULL},
                                      {"reverse_reset_mode", 0, "hard"}};
    if (s->n_padding > 0)
        put_group(n, s->n_groups, s->n_padding, padding, 4);
}

/* A group, the train, and where needed the unit. */
static spk_status put_inputs(struct net *n)
{
    const struct sanafe *s = n->s;
    struct strbuf *out = &n->t.text;
    for (uint32_t i = 0; i < s->n_inputs; i++) {
        char name[32];
        spk_snprintf(name, sizeof name, "inp[%u]", i / SANAFE_INPUT_CORES);
        const struct setting net = {"soma_hw_name", 0, name}, yaml = {"log_spikes", 0, NULL};
        put_group(n, s->first_input + i, 1, s->yaml ? &yaml : &net, 1);
        if (s->yaml)
            strbuf_append(out, "        - 0: {spikes: [");
        else
            strbuf_printf(out, "n %u.0 {spikes: [", s->first_input + i);
        for (uint64_t t = 0; t < sanafe_timesteps(s); t++)
            strbuf_printf(out, t ? ",%d" : "%d",
                          sanafe_input_fires(s, &s->inputs[i], (int64_t)t - s->offset));
        strbuf_append(out, "]}\n");
        if (out->len >= FLUSH_AT)
            SPK_TRY(sanafe_text_flush(&n->t));
    }
    return SPK_OK;
}

/* ---- mapping ---- */

static void put_mapping(struct net *n, uint32_t group, uint32_t neuron, uint32_t tile,
                        uint32_t within, uint32_t input)
{
    struct strbuf *out = &n->t.text;
    strbuf_append(out, n->s->yaml ? "  - " : "& ");
    put_neuron(n, group, neuron);
    strbuf_printf(out, n->s->yaml ? ": {core: %u.%u" : "@%u.%u", tile, within);
    if (n->s->yaml && input != IMG_NONE)
        strbuf_printf(out, ", soma: \"inp[%u]\"", input / SANAFE_INPUT_CORES);
    strbuf_append(out, n->s->yaml ? "}\n" : "\n");
}

static spk_status put_mappings(struct net *n)
{
    const struct sanafe *s = n->s;
    if (s->yaml)
        strbuf_append(&n->t.text, "mappings:\n");
    for (uint32_t c = 0; c < s->im->n_cores; c++) {
        uint32_t within, neuron;
        const uint32_t tile = sanafe_tile(s, c, &within);
        for (uint32_t comp = 0; comp < s->im->cores[c].neurons; comp++) {
            if (!sanafe_is_in(s, c, comp))
                continue;
            const uint32_t group = place_of(s, c, comp, &neuron);
            put_mapping(n, group, neuron, tile, within, IMG_NONE);
        }
        SPK_TRY(sanafe_text_flush(&n->t));
    }
    for (uint32_t i = 0; i < s->n_inputs; i++)
        put_mapping(n, s->first_input + i, 0, s->tiles_x * s->tiles_y, i % SANAFE_INPUT_CORES, i);
    return SPK_OK;
}

static spk_status put_network(struct net *n)
{
    if (n->s->yaml)
        strbuf_append(&n->t.text, "network:\n  name: net\n  groups:\n");
    put_layers(n);
    SPK_TRY(put_inputs(n));
    if (n->s->yaml)
        strbuf_append(&n->t.text, "  edges:\n");
    SPK_TRY(walk_edges(n, n->s));
    return put_mappings(n);
}

spk_status sanafe_write_network(struct sanafe *s, const struct dir_writer *dir)
{
    struct net n = {.s = s};
    SPK_TRY(walk_edges(NULL, s));
    s->yaml = s->edges <= 20000;
    SPK_TRY(sanafe_text_open(&n.t, dir, s->yaml ? "network.yaml" : "network.net", s->d));
    return sanafe_text_close(&n.t, put_network(&n));
}
