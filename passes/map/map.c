/* The mapper's main line: build the network, partition, share cores, place. */
#include "passes/map/explain.h"
#include "passes/map/mesh.h"
#include "passes/map/neuron_cut.h"

#include <string.h>

#include "support/alloc.h"

static spk_status default_rates(const struct ir_module *module, const double *declared,
                                struct map_rate **out)
{
    SPK_TRY(spk_alloc_array(module->n_nodes, sizeof **out, out));
    for (uint32_t i = 0; i < module->n_nodes; i++)
        (*out)[i] = (struct map_rate){1, declared};
    return SPK_OK;
}

/* What is mapped, and by what rates. */
struct job {
    const struct ir_module *module;
    const struct tgt *target;
    const struct map_rate *rates;
    const struct map_options *options;
    struct diag_list *diags;
};

static spk_status build(const struct job *j, struct mapping *out)
{
    memset(out, 0, sizeof *out);
    SPK_TRY(map_net_build(j->module, j->target, j->rates, j->diags, &out->net));
    out->seed = j->options->seed;
    return j->options->constraints != NULL ? map_constrain(out, j->options->constraints, j->diags)
                                           : SPK_OK;
}

static spk_status cut_tiles(const struct map_options *options, struct diag_list *diags,
                            struct mapping *m)
{
    m->cut = MAP_CUT_TILES;
    spk_status status = map_partition(m, options, diags);
    if (status == SPK_OK)
        status = map_assign_cores(m, options);
    if (status == SPK_OK && options->remarks)
        map_explain_cores(m, diags);
    return status;
}

static spk_status cut_neurons(const struct map_options *options, struct diag_list *diags,
                              struct mapping *m)
{
    m->cut = MAP_CUT_NEURONS;
    return map_cut_neurons(m, options, diags);
}

/* Whether cut a serves the objective better than b. */
static spk_status is_better(const struct map_options *options, const struct mapping *a,
                            const struct mapping *b, bool *out)
{
    const enum place_objective o =
        a->net.target->routing == TGT_MULTICAST ? PLACE_MULTICAST : PLACE_UNICAST;
    double x = 0, y = 0;
    *out = a->n_cores < b->n_cores;
    if (options->objective == MAP_CORES && a->n_cores != b->n_cores)
        return SPK_OK;
    SPK_TRY(map_flows_messages(a, o, &x));
    SPK_TRY(map_flows_messages(b, o, &y));
    if (x != y)
        *out = x < y;
    return SPK_OK;
}

/* Vectors of neurons for which tiles do not fit, or that are sparse, are cut neuron by neuron, too.
 * `m` is built; tiles are made again where they are chosen or nothing fits, to be explained. */
static spk_status cut_either(const struct job *j, bool sparse, struct mapping *m)
{
    struct map_options quiet = *j->options;
    struct mapping neurons = {0}, tiles;
    bool better = false;
    quiet.remarks = false;
    SPK_TRY(build(j, &tiles));
    spk_status status = cut_tiles(&quiet, NULL, &tiles);
    const bool tiled = status == SPK_OK;
    if (status == SPK_ERR_NOFIT || (tiled && sparse)) {
        status = build(j, &neurons);
        if (status == SPK_OK)
            status = cut_neurons(&quiet, NULL, &neurons);
        better = status == SPK_OK;
        if (better && tiled)
            status = is_better(&quiet, &neurons, &tiles, &better);
        if (status == SPK_ERR_NOFIT)
            status = SPK_OK;
    }
    map_fini(&tiles);
    if (status == SPK_OK && better) {
        map_fini(m);
        *m = neurons;
        return SPK_OK;
    }
    map_fini(&neurons);
    return status == SPK_OK ? cut_tiles(j->options, j->diags, m) : status;
}

static spk_status cut(const struct job *j, struct mapping *m)
{
    const struct map_options *o = j->options;
    const struct constraints *c = o->constraints;
    const bool of_layers = c != NULL && c->n_pins + c->n_bits > 0;
    if (of_layers && o->cut == MAP_CUT_NEURONS)
        return diag_error(j->diags, c->n_pins > 0 ? c->pin[0].span : c->bits[0].span, "E0697",
                          "pins and bits of weights are of layers; a cut by neurons lets these "
                          "share cores as it likes");
    if (of_layers || o->cut == MAP_CUT_TILES ||
        (o->cut == MAP_CUT_AUTO && o->objective == MAP_LATENCY))
        return cut_tiles(o, j->diags, m);
    const struct neuron_net n = map_neuron_net(&m->net);
    if (o->cut == MAP_CUT_AUTO)
        return map_neuron_net_is_small(&n) ? cut_either(j, map_neuron_net_is_sparse(&n), m)
                                           : cut_tiles(o, j->diags, m);
    if (n.applies)
        return cut_neurons(o, j->diags, m);
    return diag_nofit(j->diags, spk_span_none, "E0670",
                      "the network cannot be cut by neurons: '%s' has several positions, computes "
                      "attention or has no weights",
                      n.layer != NULL ? n.layer : "attention");
}

static spk_status map_with(const struct job *j, struct mapping *out)
{
    spk_status status = build(j, out);
    if (status == SPK_OK)
        status = cut(j, out);
    if (status == SPK_OK)
        status = map_place_cores(out, j->options, j->diags);
    if (status != SPK_OK)
        map_fini(out);
    return status;
}

spk_status map_run(const struct ir_module *module, const struct tgt *target,
                   const struct map_options *options, struct diag_list *diags, struct mapping *out)
{
    const double declared = map_declared_rate(module);
    struct map_rate *rates = NULL;
    memset(out, 0, sizeof *out);
    if (options->node_rate == NULL)
        SPK_TRY(default_rates(module, &declared, &rates));
    const struct job j = {module, target, rates ? rates : options->node_rate, options, diags};
    spk_status status = map_with(&j, out);
    spk_free(rates);
    return status;
}

void map_fini(struct mapping *m)
{
    vec_fini(&m->tiles);
    spk_free(m->usage);
    spk_free(m->core_first);
    spk_free(m->core_tile);
    spk_free(m->place);
    map_net_fini(&m->net);
    memset(m, 0, sizeof *m);
}

static const char *const CUTS[] = {
    [MAP_CUT_AUTO] = "auto", [MAP_CUT_TILES] = "tiles", [MAP_CUT_NEURONS] = "neurons"};

bool map_cut_find(const char *name, enum map_cut *out_cut)
{
    for (int i = MAP_CUT_AUTO; i <= MAP_CUT_NEURONS; i++) {
        if (strcmp(name, CUTS[i]) != 0)
            continue;
        *out_cut = (enum map_cut)i;
        return true;
    }
    return false;
}

const char *map_cut_name(enum map_cut cut)
{
    return CUTS[cut];
}
