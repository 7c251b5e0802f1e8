/* The registry of passes: the one place where a pass is listed. */
#include <string.h>

#include "passes/pass_list.h"
#include "passes/quantise.h"

static const struct pass
    passes[] =
        {
            {
                .name = "infer-shapes",
                .summary = "compute the type of every value again",
                .expects = "a module at any stage",
                .changes = "types; drops unused params and neuron programs",
                .never = "ops, operands, attributes, data, names",
                .stages = PASS_ON_ANY,
                .run = pass_infer_shapes,
            },
            {
                .name = "encoder",
                .summary = "keep the spiking encoder of a masked autoencoder, without its masks",
                .expects = "a module at stage 'model' with one mean over time of spikes",
                .changes = "drops what follows that mean, and masks; reads out the channels' means",
                .never = "values of the encoder where no patch is hidden",
                .stages = PASS_ON_MODEL,
                .run = pass_encoder,
            },
            {
                .name = "hoist-constant",
                .summary = "move repeat behind ops that act on each time step alone",
                .expects = "a module at any stage",
                .changes = "where repeat stands; drops repeats that lose their users",
                .never = "recorded values, weights, the result of any named value",
                .stages = PASS_ON_ANY,
                .run = pass_hoist_constant,
            },
            {
                .name = "cse",
                .summary = "compute equal values once",
                .expects = "a module at any stage",
                .changes = "removes values equal to earlier ones",
                .never = "recorded values, weights, attributes",
                .stages = PASS_ON_ANY,
                .run = pass_cse,
            },
            {
                .name = "dce",
                .summary = "drop values that neither the output nor a recorded value needs",
                .expects = "a module at any stage",
                .changes = "removes values, params and neuron programs without users",
                .never = "recorded values, inputs, the output, and what they need",
                .stages = PASS_ON_ANY,
                .run = pass_dce,
            },
            {
                .name = "fold-batchnorm",
                .summary = "fold batch norms into the weights and biases before them",
                .expects = "a float module at stage 'model'",
                .changes = "weights and biases of projections that a batch norm follows",
                .never = "neurons, recorded spikes (up to float rounding of the weights)",
                .stages = PASS_ON_MODEL,
                .run = pass_fold_batchnorm,
            },
            {
                .name = "fuse-linear",
                .summary = "join linear maps in a row, and sums of maps of the same values",
                .expects = "a float module at stage 'model' with all batch norms folded",
                .changes = "weights and biases; projections, scales and sums that are joined",
                .never = "neurons, recorded spikes (up to float rounding of the weights)",
                .stages = PASS_ON_MODEL,
                .run = pass_fuse_linear,
            },
            {
                .name = "lower",
                .summary = "spread residual sums over projections, make the head a read-out",
                .expects = "a float module at stage 'model' with all batch norms folded",
                .changes = "stage; operands of projections; mean and linear head become readout",
                .never = "recorded values, weights, neurons",
                .stages = PASS_ON_MODEL,
                .run = pass_lower,
            },
            {
                .name = "order-attention",
                .summary = "choose q (k^T v) or (q k^T) v by their cost",
                .expects = "a module at any stage",
                .changes = "the attribute `order` of attention",
                .never = "any number: both orders are exact",
                .stages = PASS_ON_ANY,
                .run = pass_order_attention,
                .option = {{
                    .name = "order",
                    .kind = PASS_OPTION_CHOICE,
                    .value = ORDER_AUTO,
                    .choice = {"auto", "kv_first", "qk_first"},
                    .help = "auto: the cheaper one where the order is open; else force one",
                }},
            },
            {
                .name = "quantise",
                .summary = "turn weights, thresholds and neurons into the target's integers",
                .expects = "a module at stage 'lowered' whose neurons are leaky integrators",
                .changes = "stage; weights, biases, neurons; adds the host's input encoder",
                .never = "shapes, recorded names, the read-out's float weights",
                .stages = PASS_ON_LOWERED,
                .needs_target = true,
                .run = pass_quantise,
                .option =
                    {
                        [QUANTISE_CLIP] =
                            {
                                .name = "clip",
                                .kind = PASS_OPTION_BOOL,
                                .value = 1,
                                .help = "search scales that clip outlier weights where that lowers "
                                        "the error",
                            },
                        [QUANTISE_CORRECT] =
                            {
                                .name = "correct-bias",
                                .kind = PASS_OPTION_BOOL,
                                .value = 1,
                                .help = "move the mean error of the weights into the biases",
                            },
                        [QUANTISE_IMAGES] =
                            {
                                .name = "images",
                                .kind = PASS_OPTION_INT,
                                .value = 512,
                                .min = 1,
                                .max = 1000000,
                                .help = "calibration images used at most",
                            },
                        [QUANTISE_THRESHOLDS] =
                            {
                                .name = "thresholds",
                                .kind = PASS_OPTION_INT,
                                .value = PASSES_MAX_THRESHOLDS,
                                .min = 1,
                                .max = PASSES_MAX_THRESHOLDS,
                                .help = "thresholds of a layer of hard-wired neurons at most",
                            },
                    },
            },
            {
                .name = "choose-attention",
                .summary = "choose how the target computes each attention, by cost",
                .expects = "a module at stage 'lowered' or 'quantised'",
                .changes = "the attribute `lowering` of attention",
                .never = "any number: all lowerings are exact",
                .stages = PASS_ON_LOWERED | PASS_ON_QUANTISED,
                .needs_target = true,
                .run = pass_choose_attention,
                .option = {[CHOOSE_LOWERING] =
                               {
                                   .name = "attention",
                                   .kind = PASS_OPTION_CHOICE,
                                   .value = CHOOSE_AUTO,
                                   .choice = {"auto", "and_lif", "embedded", "product", "serial",
                                              "plastic", "engine"},
                                   .help = "auto: the cheapest for each layer; else one for all",
                               },
                           [CHOOSE_OBJECTIVE] =
                               {
                                   .name = "objective",
                                   .kind = PASS_OPTION_CHOICE,
                                   .value = 0,
                                   .choice = {"cores", "latency"},
                                   .help = "what is compared first: cores, or steps times ticks",
                               }},
            },
            {
                .name = "fan-out",
                .summary =
                    "insert relays where a layer is read by more cores than its own can name",
                .expects = "a module at stage 'lowered' or 'quantised'",
                .changes = "operands of projections; adds `delay` values of one step",
                .never = "recorded values, weights, neurons, any number in frame time",
                .stages = PASS_ON_LOWERED | PASS_ON_QUANTISED,
                .needs_target = true,
                .run = pass_fan_out,
            },
            {
                .name = "balance-delays",
                .summary = "insert relays so that what meets at a projection arrives together",
                .expects =
                    "a module at stage 'lowered' or 'quantised' whose attentions have a lowering",
                .changes = "operands of projections and attention; adds `delay` values",
                .never = "recorded values, weights, neurons, any number in frame time",
                .stages = PASS_ON_LOWERED | PASS_ON_QUANTISED,
                .needs_target = true,
                .run = pass_balance_delays,
            },
};

const struct pass *pass_registry(size_t *out_count)
{
    *out_count = sizeof passes / sizeof *passes;
    return passes;
}

const struct pass *pass_find(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++)
        if (strlen(passes[i].name) == length && strncmp(passes[i].name, name, length) == 0)
            return &passes[i];
    return NULL;
}

static const struct pass_alias aliases[] = {
    {
        .name = "prepare",
        .summary = "from the model as written to its lowered float form",
        .text = "infer-shapes,hoist-constant,fold-batchnorm,fuse-linear,cse,dce,lower,"
                "order-attention",
    },
    {
        .name = "fuse-neurons",
        .summary = "one projection with all its summands per neuron, batch norm inside",
        .text = "hoist-constant,fold-batchnorm,fuse-linear,lower",
    },
};

const struct pass_alias *pass_aliases(size_t *out_count)
{
    *out_count = sizeof aliases / sizeof *aliases;
    return aliases;
}
