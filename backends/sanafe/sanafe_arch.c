/* arch.yaml: the mesh of the image's chip with one class of compute tiles, priced as the image is,
 * and a column more with one tile of input units, which cost nothing. Prices that split what the
 * image has in one: an active neuron is accessed and updated, an inactive one accessed. Where
 * synapses have delays the input buffer lies in front of the dendrite, in which the delaying
 * accumulator stands. */
#include <math.h>
#include <string.h>

#include "backends/sanafe/sanafe_internal.h"

static double energy(const struct sanafe *s, enum tgt_energy e)
{
    const double p = s->im->prices[e];
    return isnan(p) ? 0.0 : p;
}

static double time_ns(const struct sanafe *s, enum tgt_time t)
{
    const double p = s->im->prices[TGT_ENERGY_COUNT + (int)t];
    return isnan(p) ? 0.0 : p;
}

/* `value` in units of 10^exponent, as SANA-FE wants it: J or s. Nine digits, more than any price
 * has. */
static void put(struct strbuf *out, const char *key, double value, int exponent)
{
    char text[32];
    strbuf_printf(out, "%s: ", key);
    spk_snprintf(text, sizeof text, "%.9g", value);
    if (strchr(text, 'e') == NULL)
        strbuf_printf(out, "%se%d", text, exponent);
    else
        strbuf_printf(out, "%.9g", value * pow(10.0, exponent));
}

static void put_pair(struct strbuf *out, const char *what, double pj, double ns)
{
    strbuf_append(out, "energy_");
    put(out, what, pj, -12);
    strbuf_append(out, ", latency_");
    put(out, what, ns, -9);
}

static void tile_begin(struct strbuf *out, const struct sanafe *s, const char *name)
{
    static const char *const hops[4] = {"north_hop", "east_hop", "south_hop", "west_hop"};
    strbuf_printf(out, "    - name: %s\n      attributes: {", name);
    for (int i = 0; i < 4; i++) {
        const bool y = i % 2 == 0;
        strbuf_append(out, i ? ", " : "");
        put_pair(out, hops[i], energy(s, y ? TGT_E_HOP_Y : TGT_E_HOP_X),
                 time_ns(s, y ? TGT_T_HOP_Y : TGT_T_HOP_X));
    }
    strbuf_append(out, "}\n      core:\n");
}

static void unit(struct strbuf *out, const char *section, const char *name, const char *model)
{
    strbuf_printf(out, "          %s:\n            - name: %s\n              attributes: {",
                  section, name);
    if (model != NULL)
        strbuf_printf(out, "model: %s, ", model);
}

/* Sections before and after the soma; free: the input tile, which costs nothing. */
static void core_begin(struct strbuf *out, const struct sanafe *s, uint32_t cores, uint32_t neurons,
                       bool free)
{
    const bool delays = s->max_delay > 0;
    strbuf_printf(out,
                  "        - name: core[0..%u]\n          attributes: {buffer_position: %s, "
                  "buffer_inside_unit: %s, max_neurons_supported: %u}\n",
                  cores - 1, delays ? "dendrite" : "soma", delays ? "true" : "false", neurons);
    unit(out, "axon_in", "axon_in", NULL);
    put_pair(out, "message_in", free ? 0 : energy(s, TGT_E_MESSAGE_IN),
             free ? 0 : time_ns(s, TGT_T_MESSAGE_IN));
    strbuf_append(out, "}\n");
    unit(out, "synapse", "synapse", "current_based");
    put_pair(out, "process_spike", free ? 0 : energy(s, TGT_E_SYNAPTIC_OP),
             free ? 0 : time_ns(s, TGT_T_SYNAPTIC_OP));
    strbuf_append(out, "}\n");
    unit(out, "dendrite", "dendrite", delays ? "accumulator_with_delay" : "accumulator");
    put_pair(out, "update", 0, 0);
    strbuf_append(out, "}\n");
}

static void soma(struct strbuf *out, const char *name, const char *model, const double pj[3],
                 const double ns[3])
{
    unit(out, "soma", name, model);
    put_pair(out, "access_neuron", pj[0], ns[0]);
    strbuf_append(out, ", ");
    put_pair(out, "update_neuron", pj[1], ns[1]);
    strbuf_append(out, ", ");
    put_pair(out, "spike_out", pj[2], ns[2]);
    strbuf_append(out, "}\n");
}

static void axon_out(struct strbuf *out, const struct sanafe *s, bool free)
{
    unit(out, "axon_out", "axon_out", NULL);
    put_pair(out, "message_out", free ? 0 : energy(s, TGT_E_MESSAGE_OUT),
             free ? 0 : time_ns(s, TGT_T_MESSAGE_OUT));
    strbuf_append(out, "}\n");
}

static void put_arch(struct strbuf *out, const struct sanafe *s)
{
    static const double nothing[3] = {0, 0, 0};
    const double access = energy(s, TGT_E_NEURON_INACTIVE),
                 access_ns = time_ns(s, TGT_T_NEURON_INACTIVE);
    const double pj[3] = {access, energy(s, TGT_E_NEURON_ACTIVE) - access,
                          energy(s, TGT_E_SPIKE_OUT)};
    const double ns[3] = {access_ns, time_ns(s, TGT_T_NEURON_ACTIVE) - access_ns,
                          time_ns(s, TGT_T_SPIKE_OUT)};
    const uint32_t units = s->n_inputs / SANAFE_INPUT_CORES + 1;
    char name[64];
    strbuf_printf(out,
                  "# %s, with a tile of input units at the end.\narchitecture:\n  name: chip\n"
                  "  attributes: {topology: mesh, width: %u, height: %u, link_buffer_size: 16, "
                  "sync_model: fixed, ",
                  s->im->strings[s->im->meta.target_name], s->tiles_x + 1, s->tiles_y);
    put(out, "latency_sync", s->run->barrier_ns, -9);
    strbuf_append(out, "}\n  tile:\n");
    spk_snprintf(name, sizeof name, "tile[0..%u]", s->tiles_x * s->tiles_y - 1);
    tile_begin(out, s, name);
    core_begin(out, s, s->per_tile, 1024, false);
    soma(out, "lif", "leaky_integrate_fire", pj, ns);
    axon_out(out, s, false);
    tile_begin(out, s, "input_tile");
    core_begin(out, s, SANAFE_INPUT_CORES, units, true);
    spk_snprintf(name, sizeof name, "inp[0..%u]", units - 1);
    soma(out, name, "input", nothing, nothing);
    axon_out(out, s, true);
}

spk_status sanafe_write_arch(const struct sanafe *s, const struct dir_writer *dir)
{
    struct sanafe_text t;
    SPK_TRY(sanafe_text_open(&t, dir, "arch.yaml", s->d));
    put_arch(&t.text, s);
    return sanafe_text_close(&t, SPK_OK);
}
