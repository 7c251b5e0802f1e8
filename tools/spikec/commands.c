/* The commands: which options they take, and the API job behind each. */
#include <stdio.h>
#include <string.h>

#include "tools/spikec/tool.h"

static int cmd_run(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_run_options o = {.model = a->model,
                                .data = a->data,
                                .level = a->level,
                                .engine = a->engine,
                                .target_cpu = a->target_cpu,
                                .teacher = a->teacher,
                                .out = a->out,
                                .spikes = a->spikes,
                                .rates_out = a->rates_out,
                                .repeat = a->repeat,
                                .profile = a->profile,
                                .probes = {a->probes, a->n_probes, a->probe_out}};
    o.model.model = a->positional[0];
    return spk_run(c, &o, out);
}

static int cmd_build(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_build_options o = {.model = a->model,
                                  .level = a->level,
                                  .quantised = a->quantised,
                                  .calibrate = a->calibrate,
                                  .calibrate_limit = a->calibrate_limit,
                                  .form = a->data.form,
                                  .target_cpu = a->target_cpu,
                                  .output = a->output};
    o.model.model = a->positional[0];
    return spk_build(c, &o, out);
}

static int cmd_synth(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_synth_options o = {.model = a->model,
                                  .data = a->data,
                                  .rate = a->rate,
                                  .seed = a->seed,
                                  .output = a->output,
                                  .input_out = a->input_out,
                                  .rates_out = a->rates_out};
    o.model.model = a->positional[0];
    return spk_synth(c, &o, out);
}

static struct spk_compile_options compile_options(const struct tool_args *a)
{
    struct spk_compile_options o = {.model = a->model,
                                    .target = a->target,
                                    .output = a->output,
                                    .calibrate = a->calibrate,
                                    .calibrate_limit = a->calibrate_limit,
                                    .form = a->data.form,
                                    .attention = a->attention,
                                    .schedule = a->schedule,
                                    .objective = a->objective,
                                    .system = a->system,
                                    .rates = a->rates,
                                    .placer = a->placer,
                                    .constraints = a->constraints,
                                    .cut = a->cut,
                                    .seed = a->seed,
                                    .separate_cores = a->separate_cores,
                                    .remarks = a->remarks};
    o.model.model = a->positional[0];
    return o;
}

static int cmd_compile(spk_context *c, struct tool_args *a, spk_result **out)
{
    const struct spk_compile_options o = compile_options(a);
    return spk_compile(c, &o, out);
}

static int cmd_explore(spk_context *c, struct tool_args *a, spk_result **out)
{
    const struct spk_explore_options o = {.base = compile_options(a),
                                          .vary = a->vary,
                                          .n_vary = a->n_vary,
                                          .compile = a->compile,
                                          .data = a->data};
    return spk_explore(c, &o, out);
}

static int cmd_estimate(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_estimate_options o = {.model = a->model,
                                     .target = a->target,
                                     .attention = a->attention,
                                     .objective = a->objective,
                                     .system = a->system,
                                     .rates = a->rates,
                                     .constraints = a->constraints,
                                     .cut = a->cut,
                                     .separate_cores = a->separate_cores,
                                     .remarks = a->remarks};
    o.model.model = a->positional[0];
    return spk_estimate(c, &o, out);
}

static int cmd_attention(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_attention_options o = {.model = a->model, .rates = a->rates};
    o.model.model = a->positional[0];
    return spk_attention(c, &o, out);
}

static int cmd_reconstruct(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_reconstruct_options o = {
        .model = a->model, .data = a->data, .output = a->output, .out = a->out};
    o.model.model = a->positional[0];
    return spk_reconstruct(c, &o, out);
}

static int cmd_check(spk_context *c, struct tool_args *a, spk_result **out)
{
    return spk_check(c, a->positional[0], out);
}

static int cmd_simulate(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_simulate_options o = {
        a->positional[0], a->data, a->out, a->spikes, {a->probes, a->n_probes, a->probe_out}};
    return spk_simulate(c, &o, out);
}

static int cmd_verify(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_verify_options o = {a->positional[0], a->data, a->levels, a->engine};
    return spk_verify(c, &o, out);
}

static int cmd_export(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_export_options o = {a->positional[0], a->to,       a->output, a->data,
                                   a->segment,       a->segments, a->model};
    return spk_export(c, &o, out);
}

static int cmd_compare_sanafe(spk_context *c, struct tool_args *a, spk_result **out)
{
    return spk_compare_sanafe(c, a->positional[0], a->positional[1], out);
}

static int cmd_opt(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_opt_options o = {.model = a->model,
                                .passes = a->passes,
                                .target = a->target,
                                .print_after = a->print_after,
                                .list = a->list};
    o.model.model = a->positional[0];
    return spk_opt(c, &o, out);
}

static int cmd_partition(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_partition_options o = {.graph = a->positional[0],
                                      .output = a->output,
                                      .write = a->write,
                                      .clusters = a->clusters,
                                      .source = a->source,
                                      .objective = a->objective,
                                      .partitioner = a->partitioner,
                                      .neurons = a->neurons,
                                      .axons = a->axons,
                                      .synapses = a->synapses,
                                      .cores = (uint32_t)a->cores,
                                      .no_split = a->no_split,
                                      .seed = a->seed,
                                      .effort = a->effort};
    return spk_partition(c, &o, out);
}

static int cmd_place(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_place_options o = {.graph = a->positional[0],
                                  .output = a->positional[1],
                                  .objective = a->objective,
                                  .placer = a->placer,
                                  .mesh = a->mesh,
                                  .constraints = a->constraints,
                                  .seed = a->seed,
                                  .effort = a->effort};
    return spk_place(c, &o, out);
}

static int cmd_fmt(spk_context *c, struct tool_args *a, spk_result **out)
{
    int status = spk_format(c, a->positional[0], out);
    if (status != SPIKEC_OK)
        return status;
    bool changed = strstr(spk_result_json(*out), "\"changed\": true") != NULL;
    if (a->check_only)
        return changed ? SPIKEC_DIFFERENCE : SPIKEC_OK;
    if (a->in_place && changed)
        status = tool_rewrite(a->positional[0], spk_result_text(*out));
    return status;
}

static int cmd_cost(spk_context *c, struct tool_args *a, spk_result **out)
{
    return spk_cost_table(c, a->positional[0], a->cores ? (size_t)a->cores : 16, out);
}

static int cmd_report(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_report_options o = {a->positional[0], a->output, a->spikes, a->probes_file};
    return spk_report(c, &o, out);
}

static int cmd_floorplan(spk_context *c, struct tool_args *a, spk_result **out)
{
    struct spk_floorplan_options o = {.folder = a->positional[0],
                                      .output = a->output,
                                      .colour_by = a->colour_by,
                                      .one_chip = a->one_chip,
                                      .chip = a->chip};
    return spk_floorplan(c, &o, out);
}

static int cmd_diff(spk_context *c, struct tool_args *a, spk_result **out)
{
    return spk_diff(c, a->positional[0], a->positional[1], out);
}

static int cmd_target(spk_context *c, struct tool_args *a, spk_result **out)
{
    const char *verb = a->positional[0];
    if (strcmp(verb, "new") == 0)
        return spk_target_new(c, a->from, a->positional[1], out);
    if (a->from != NULL) {
        fprintf(stderr, "spikec target: --from is of 'target new'\n");
        return SPIKEC_ERR_USAGE;
    }
    if (strcmp(verb, "list") == 0)
        return spk_target_list(c, out);
    if (a->n_positional == 2 && strcmp(verb, "show") == 0)
        return spk_target_show(c, a->positional[1], out);
    if (a->n_positional == 2 && strcmp(verb, "check") == 0)
        return spk_target_check(c, a->positional[1], out);
    fprintf(stderr, "spikec target: expected 'list', 'show T', 'check T' or 'new'\n");
    return SPIKEC_ERR_USAGE;
}

static int cmd_weights(spk_context *c, struct tool_args *a, spk_result **out)
{
    const char *verb = a->positional[0];
    struct spk_weights_options o = {.input = a->positional[1],
                                    .output = a->positional[2],
                                    .dtype = a->dtype,
                                    .ema = a->model.ema};
    if (a->n_positional == 2 && strcmp(verb, "list") == 0 && a->dtype == NULL)
        return spk_weights_list(c, &o, out);
    if (a->n_positional == 3 && strcmp(verb, "convert") == 0)
        return spk_weights_convert(c, &o, out);
    fprintf(stderr, "spikec weights: expected 'list FILE' or 'convert IN OUT'\n");
    return SPIKEC_ERR_USAGE;
}

static int cmd_init(spk_context *c, struct tool_args *a, spk_result **out)
{
    return spk_init(c, a->positional[0], out);
}

static int cmd_doctor(spk_context *c, struct tool_args *a, spk_result **out)
{
    (void)a;
    return spk_doctor(c, out);
}

static int cmd_completion(spk_context *c, struct tool_args *a, spk_result **out)
{
    bool commands = strcmp(a->positional[0], "commands") == 0;
    if (strcmp(a->positional[0], "models") == 0)
        return spk_model_list(c, out);
    for (const struct tool_command *t = tool_commands; t->name != NULL && commands; t++)
        printf("%s\n", t->name);
    if (commands || tool_completion(a->positional[0], stdout))
        return SPIKEC_OK;
    fprintf(stderr, "spikec completion: expected 'bash', 'zsh', 'fish', 'models' or "
                    "'commands'\n");
    return SPIKEC_ERR_USAGE;
}

static int cmd_manual(spk_context *c, struct tool_args *a, spk_result **out)
{
    const char *name = a->positional[0];
    const struct tool_command *command = name != NULL ? tool_find(name) : NULL;
    (void)c;
    (void)out;
    if (name != NULL && command == NULL) {
        fprintf(stderr, "spikec manual: there is no command '%s'\n", name);
        return SPIKEC_ERR_USAGE;
    }
    tool_manual(command, stdout);
    return SPIKEC_OK;
}

const struct tool_command tool_commands[] = {
    {"run", "MODEL|DIR", "Run a network: level R of a model, R or Q of a compiled folder.",
     "MODEL is a path or the name of a zoo model.", "mwiMlygP", 1, 1, cmd_run},
    {"build", "MODEL|DIR", "Build a network into a library or object for C programs.",
     "Code for one network and one processor; needs LLVM. Also writes the C header.", "mwbg", 1, 1,
     cmd_build},
    {"synth", "MODEL", "Make weights of a wanted firing rate, to plan with before training.",
     "Every spiking layer fires at about the rate that --rate tells; the rates reached are listed.",
     "msg", 1, 1, cmd_synth},
    {"compile", "MODEL", "Compile a model for a chip into a folder.",
     "Writes image.h5, mapping.json, cost.json, quantised.sir and what verify needs.", "mwtcaog", 1,
     1, cmd_compile},
    {"estimate", "MODEL", "Estimate cores and costs; no weights needed.", NULL, "mta", 1, 1,
     cmd_estimate},
    {"attention", "MODEL", "Compare spiking attention with softmax attention: operations, energy.",
     "Counts one time step of every attention of the model; with --rates at measured firing rates. "
     "Figures of the paper stand beside those of its size.",
     "mq", 1, 1, cmd_attention},
    {"reconstruct", "MODEL", "Draw what a masked autoencoder makes of images, as a PNG.",
     "A row per image: the image, its hidden patches grey, its hidden patches reconstructed.",
     "mwdMg", 1, 1, cmd_reconstruct},
    {"explore", "MODEL", "Try a model in many variants and tell the best: cores, energy, latency.",
     "Estimates all combinations of --vary side by side, or compiles them. Results are kept in "
     "DIR; "
     "the same command goes on where it was ended.",
     "mwtcaigu", 1, 1, cmd_explore},
    {"check", "DIR", "Check a chip image independently: limits, and every synapse.", NULL, "", 1, 1,
     cmd_check},
    {"simulate", "DIR", "Simulate a chip image and price what every core does.",
     "Also writes the measured figures into the folder's cost.json.", "iygP", 1, 1, cmd_simulate},
    {"verify", "DIR", "Prove that the mapped network fires the spikes of the model.",
     "Runs the images back to back without reloading. Exit code 1 where M differs from Q.", "ivg",
     1, 1, cmd_verify},
    {"export", "DIR|MODEL", "Write a network for another program.",
     "brian: a compiled network as a script for Brian 2, with its data. sanafe: input files of "
     "SANA-FE for the images of --input, and what it should give. nir: the static parts of a "
     "model, or of the model in a compiled folder, as NIR graphs. netx: a chain of layers, "
     "likewise, as a network of lava-dl.",
     "wmego", 1, 1, cmd_export},
    {"compare-sanafe", "OUT RESULTS", "Compare what SANA-FE gave with what was expected.",
     "OUT is a folder made by export --to sanafe. Exit code 1 where a spike differs, or an energy "
     "by "
     "more than 0.1 %.",
     "", 2, 2, cmd_compare_sanafe},
    {"opt", "FILE.sir|MODEL", "Run passes on a module and print it.", NULL, "mwtp", 1, 1, cmd_opt},
    {"partition", "GRAPH", "Cut a graph of neurons into cores.",
     "GRAPH is a .hgr, .snn or .cg file. Prints the figures of the partition; neurons with too "
     "many "
     "inputs are split into partial sums.",
     "z", 1, 1, cmd_partition},
    {"place", "GRAPH P.pl", "Place the clusters of a graph on a mesh.",
     "GRAPH is a .cg file, or .hgr or .snn. Writes a line \"x y\" for every cluster and prints the "
     "figures of the placement.",
     "x", 2, 2, cmd_place},
    {"fmt", "FILE.spk", "Format a model description (to stdout, or --in-place).", NULL, "f", 1, 1,
     cmd_fmt},
    {"cost", "DIR", "Print the cost of layers and cores, the fullest first.", NULL, "k", 1, 1,
     cmd_cost},
    {"diff", "DIR1 DIR2", "Compare two compiled folders: what changed, where, and why.",
     "Exit code 1 where network, weights, constants, mapping or costs differ.", "", 2, 2, cmd_diff},
    {"report", "DIR", "Show a compiled folder as one HTML page that opens offline.",
     "Shows what the folder holds: also what simulate and verify left there.", "r", 1, 1,
     cmd_report},
    {"floorplan", "DIR", "Draw the cores in their places as SVG.",
     "Figures: neurons, in_axons, out_axons, synapse_bits, synapses, synaptic_events, "
     "neuron_updates, neuron_updates_active, spikes_out, messages, messages_in, hops, energy, "
     "busy_ns.",
     "n", 1, 1, cmd_floorplan},
    {"target", "list|show T|check T|new", "List, show, check or begin chip descriptions.",
     "target new [FILE.yaml] --from T writes T under another name, to be changed.", "F", 1, 2,
     cmd_target},
    {"weights", "list F|convert F G",
     "List the tensors of a file, or write them in another format.",
     "Reads safetensors and PyTorch checkpoints; writes what the name of the output says.", "h", 2,
     3, cmd_weights},
    {"init", "FILE.spk", "Begin a new model: writes a small complete one.", NULL, "", 1, 1,
     cmd_init},
    {"doctor", "", "Tell what is installed, what is missing, and what that costs.", NULL, "", 0, 0,
     cmd_doctor},
    {"completion", "bash|zsh|fish|models|commands", "Print the completion script of a shell.",
     "completion models: the names of the zoo models instead; completion commands: of the "
     "commands.",
     "", 1, 1, cmd_completion},
    {"manual", "[COMMAND]", "Print a manual page, of spikec or of one of its commands.",
     "For man, so read it with: spikec manual run | man -l -", "", 0, 1, cmd_manual},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL},
};

const struct tool_command *tool_find(const char *name)
{
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}
