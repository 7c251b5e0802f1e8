/* The options of all commands in one table; a command accepts those whose letter it lists. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spikec/tool.h"

enum { OPT_FIRST = 256 };

enum {
    K_WEIGHTS = OPT_FIRST,
    K_SET,
    K_BIND,
    K_INPUT,
    K_LABELS,
    K_LIMIT,
    K_TARGET,
    K_LEVEL,
    K_LEVELS,
    K_TEACHER,
    K_ENGINE,
    K_CPU,
    K_PROFILE,
    K_OUT,
    K_SPIKES,
    K_CALIBRATE,
    K_CALIBRATE_LIMIT,
    K_SCHEDULE,
    K_ATTENTION,
    K_OBJECTIVE,
    K_SYSTEM,
    K_RATES,
    K_RATES_OUT,
    K_PASSES,
    K_PRINT_AFTER,
    K_SEED,
    K_REPEAT,
    K_THREADS,
    K_JSON,
    K_QUIET,
    K_TIME,
    K_REMARKS,
    K_SEPARATE,
    K_CUT,
    K_IN_PLACE,
    K_CHECK,
    K_LIST,
    K_CORES,
    K_RATE,
    K_INPUT_OUT,
    K_PLACER,
    K_EFFORT,
    K_TO,
    K_SEGMENT,
    K_EMA,
    K_INTERPOLATION,
    K_FRAMES,
    K_AEDAT,
    K_RESIZE,
    K_DTYPE,
    K_DT,
    K_QUANTISED,
    K_COLOUR_BY,
    K_CHIP,
    K_FROM,
    K_NEURONS,
    K_AXONS,
    K_SYNAPSES,
    K_SOURCE,
    K_PARTITIONER,
    K_NO_SPLIT,
    K_WRITE,
    K_CLUSTERS,
    K_MESH,
    K_VARY,
    K_COMPILE,
    K_MASK,
    K_MASK_RATIO,
    K_MASK_SEED,
    K_CONSTRAINTS,
    K_TIME_LIMIT,
    K_PROBE,
    K_PROBE_OUT,
    K_PROBES
};

static const struct tool_option OPTIONS[] = {
    {'w', "weights", K_WEIGHTS, "FILE",
     "trained weights (safetensors, .pth); default: the zoo model's"},
    {'w', "ema", K_EMA, NULL, "of a PyTorch checkpoint the weights averaged over training"},
    {'m', "set", K_SET, "NAME=VALUE", "set a parameter of the model (repeatable; the last wins)"},
    {'m', "bind", K_BIND, "FROM=TO", "checkpoint name FROM is the model's TO (repeatable)"},
    {'m', "dt", K_DT, "SECONDS", "time step of a NIR graph; default: that of the file"},
    {'i', "input", K_INPUT, "FILE",
     "images: safetensors, IDX (.gz), a picture, a recording, or a folder of these"},
    {'i', "labels", K_LABELS, "FILE",
     "labels: IDX (.gz), safetensors with tensor `labels`, or text"},
    {'i', "limit", K_LIMIT, "N", "only the first N images"},
    {'M', "mask", K_MASK, "FILE",
     "mask of patches (safetensors, .npy), of models that take one: 1 where hidden"},
    {'M', "mask-ratio", K_MASK_RATIO, "R", "draw the mask: the share of patches that it hides"},
    {'M', "mask-seed", K_MASK_SEED, "N", "seed of a drawn mask (default 0)"},
    {'t', "target", K_TARGET, "T", "target: a name (spikec target list) or a YAML file"},
    {'l', "level", K_LEVEL, "R|Q", "float reference (R, default) or quantised (Q, compiled DIR)"},
    {'v', "levels", K_LEVELS, "LIST", "levels to compare (default R,Q,M)"},
    {'l', "teacher", K_TEACHER, "FILE", "feed every layer the recorded values of FILE"},
    {'l', "engine", K_ENGINE, "NAME", "reference (default), packed or native"},
    {'l', "target-cpu", K_CPU, "NAME",
     "processor of native code: native (default), generic, x86-64-v3"},
    {'b', "target-cpu", K_CPU, "NAME", "processor: native (default), generic, x86-64-v3"},
    {'b', "level", K_LEVEL, "R|Q", "of a compiled DIR: float (R, default) or quantised (Q)"},
    {'b', "quantised", K_QUANTISED, "T", "compute a model in the integers of target T"},
    {'b', "calibrate", K_CALIBRATE, "FILE", "images that set the scales of --quantised"},
    {'b', "calibrate-limit", K_CALIBRATE_LIMIT, "N", "use the first N of them (default 512)"},
    {'b', "output", 'o', "FILE", "NAME.so, NAME.o or NAME.ll; the C header is NAME.h"},
    {'v', "engine", K_ENGINE, "NAME", "reference (default), packed or native, for levels R and Q"},
    {'y', "out", K_OUT, "FILE", "write logits (safetensors)"},
    {'y', "spikes", K_SPIKES, "FILE", "write every named value (safetensors)"},
    {'P', "probe", K_PROBE, "LAYER[N]",
     "record membranes and spikes of these neurons (repeatable)"},
    {'P', "probe-out", K_PROBE_OUT, "FILE", "file for the probes: .safetensors or .csv"},
    {'c', "calibrate", K_CALIBRATE, "FILE", "images that set the scales of quantisation"},
    {'c', "calibrate-limit", K_CALIBRATE_LIMIT, "N", "use the first N of them (default 512)"},
    {'c', "schedule", K_SCHEDULE, "NAME", "pipelined (default)"},
    {'a', "attention", K_ATTENTION, "NAME", "lowering: auto, product, embedded, and_lif"},
    {'a', "objective", K_OBJECTIVE, "NAME", "cores (default), traffic, energy, latency"},
    {'a', "system", K_SYSTEM, "NAME", "system of the target; default: the smallest that fits"},
    {'a', "rates", K_RATES, "FILE", "firing rates by value name (JSON, or a manifest)"},
    {'q', "rates", K_RATES, "FILE", "firing rates by value name (JSON, or a manifest)"},
    {'d', "input", K_INPUT, "FILE",
     "images: safetensors, IDX (.gz), a picture or a folder of these"},
    {'d', "limit", K_LIMIT, "N", "only the first N images (default 8)"},
    {'d', "output", 'o', "FILE", "the picture to write (.png)"},
    {'d', "out", K_OUT, "FILE", "write the outputs of the model, too (safetensors)"},
    {'c', "placer", K_PLACER, "NAME", "spikec (default), scotch, metis, hilbert, row, snake"},
    {'c', "seed", K_SEED, "N", "seed of the placement (default 0)"},
    {'a', "constraints", K_CONSTRAINTS, "FILE", "places to avoid, pins of layers, bits of weights"},
    {'x', "constraints", K_CONSTRAINTS, "FILE", "cells to avoid, pins of clusters"},
    {'a', "cut", K_CUT, "NAME", "auto (default), tiles, or neurons: neuron by neuron"},
    {'a', "separate-cores", K_SEPARATE, NULL, "one tile of one layer per core"},
    {'a', "remarks", K_REMARKS, NULL, "say why every layer was quantised and cut as it was"},
    {'l', "rates-out", K_RATES_OUT, "FILE", "write measured rates per channel (JSON)"},
    {'s', "rate", K_RATE, "R", "firing rate that every spiking layer shall have, between 0 and 1"},
    {'s', "seed", K_SEED, "N", "seed of weights and synthetic images (default 0)"},
    {'s', "input", K_INPUT, "FILE", "images to calibrate on; default: synthetic ones"},
    {'s', "limit", K_LIMIT, "N", "only N images"},
    {'s', "output", 'o', "FILE", "weights to write (safetensors)"},
    {'s', "input-out", K_INPUT_OUT, "FILE", "write the images that were used (safetensors)"},
    {'s', "rates-out", K_RATES_OUT, "FILE", "write the rates reached per channel (JSON)"},
    {'l', "repeat", K_REPEAT, "N", "time N runs, report the median"},
    {'l', "profile", K_PROFILE, NULL, "time and additions per layer (one image, engine packed)"},
    {'p', "passes", K_PASSES, "LIST", "passes to run: a,b{option=value}"},
    {'p', "print-after", K_PRINT_AFTER, "PASS", "print the module after PASS (or `all`)"},
    {'p', "list", K_LIST, NULL, "list the passes and their options"},
    {'x', "objective", K_OBJECTIVE, "NAME", "unicast (default) or multicast hops"},
    {'x', "placer", K_PLACER, "NAME", "spikec (default), scotch, metis, hilbert, row, snake"},
    {'x', "effort", K_EFFORT, "E", "search E times as long as by default (0.01 to 1000)"},
    {'x', "seed", K_SEED, "N", "seed of the placement (default 0)"},
    {'x', "mesh", K_MESH, "WxH", "mesh for .hgr and .snn; default: nearly square"},
    {'z', "neurons", K_NEURONS, "N", "neurons that a core holds"},
    {'z', "axons", K_AXONS, "N", "distinct axons that a core takes"},
    {'z', "synapses", K_SYNAPSES, "N", "synapses that a core holds"},
    {'z', "cores", K_CORES, "N", "cores that may be used"},
    {'z', "objective", K_OBJECTIVE, "NAME", "connectivity (default), or cores first"},
    {'z', "partitioner", K_PARTITIONER, "NAME", "spikec (default), sequential, overlap"},
    {'z', "source", K_SOURCE, "NAME", "pin of a .hgr hyperedge that sends: first, last, none"},
    {'z', "no-split", K_NO_SPLIT, NULL, "refuse neurons with too many inputs for a core"},
    {'z', "effort", K_EFFORT, "E", "search E times as long as by default (0.01 to 1000)"},
    {'z', "seed", K_SEED, "N", "seed of the search (default 0)"},
    {'z', "output", 'o', "FILE", "write the core of each neuron, one a line"},
    {'z', "clusters", K_CLUSTERS, "FILE", "write the graph of the cores (.cg, .hgr, .snn)"},
    {'z', "write", K_WRITE, "FILE", "write the graph that was cut (.hgr, .snn, .cg)"},
    {'e', "to", K_TO, "FORMAT", "what to write: brian, netx, nir, sanafe"},
    {'e', "input", K_INPUT, "FILE", "images that drive the network (sanafe)"},
    {'e', "segment", K_SEGMENT, "K/N", "only part K of N of the network (sanafe)"},
    {'e', "limit", K_LIMIT, "N", "only the first N images"},
    {'o', "output", 'o', "DIR", "folder to write; replaces only one that spikec made"},
    {'r', "output", 'o', "FILE", "the page to write (.html)"},
    {'r', "spikes", K_SPIKES, "FILE", "recorded spikes to show (of simulate or run --spikes)"},
    {'r', "probes", K_PROBES, "FILE", "probes to show: membranes and spikes (of simulate or run)"},
    {'n', "output", 'o', "FILE", "the drawing to write (.svg)"},
    {'n', "colour-by", K_COLOUR_BY, "NAME", "layer (default), or a figure of the cores"},
    {'n', "chip", K_CHIP, "N", "only chip N (default: all in use)"},
    {'u', "vary", K_VARY, "NAME=V,V",
     "values of an option, a parameter or a constant (repeatable)"},
    {'u', "output", 'o', "DIR", "folder that keeps the results; new, empty, or of an exploration"},
    {'u', "compile", K_COMPILE, NULL, "compile every variant instead of estimating it"},
    {'f', "in-place", K_IN_PLACE, NULL, "rewrite the file"},
    {'f', "check", K_CHECK, NULL, "exit with 1 where the file is not formatted"},
    {'k', "cores", K_CORES, "N", "list the N fullest cores (default 16)"},
    {'h', "ema", K_EMA, NULL, "of a PyTorch checkpoint the weights averaged over training"},
    {'h', "dtype", K_DTYPE, "TYPE", "convert float tensors to f32 or f16; default: as they are"},
    {'g', "resize", K_RESIZE, "N", "shorter side of pictures before the centre is cut out"},
    {'g', "interpolation", K_INTERPOLATION, "NAME", "of pictures: bicubic (default), bilinear"},
    {'g', "frames", K_FRAMES, "NAME", "cut recordings by time (default) or count of events"},
    {'g', "aedat", K_AEDAT, "NAME", "addresses of AEDAT files: dvs128 (default), cifar10dvs"},
    {'F', "from", K_FROM, "T", "of 'new': the target to begin with"},
    {'*', "threads", K_THREADS, "N", "threads (default: all processors)"},
    {'*', "time-limit", K_TIME_LIMIT, "SECONDS", "end after so long with the best result so far"},
    {'*', "json", K_JSON, NULL, "machine-readable result on stdout, the rest on stderr"},
    {'*', "quiet", K_QUIET, NULL, "no progress, no text"},
    {'*', "time-report", K_TIME, NULL, "time and peak memory on stderr at the end"},
};
#define N_OPTIONS (sizeof OPTIONS / sizeof OPTIONS[0])

/* Those that argp adds. */
static const struct tool_option ARGP_OPTIONS[] = {
    {'*', "help", '?', NULL, "list the options"},
    {'*', "usage", OPT_FIRST, NULL, "the same in one line"},
};
#define N_ARGP_OPTIONS (sizeof ARGP_OPTIONS / sizeof ARGP_OPTIONS[0])

static bool takes(const struct tool_command *command, const struct tool_option *o)
{
    return o->letter == '*' || strchr(command->options, o->letter) != NULL;
}

const struct tool_option *tool_option_at(const struct tool_command *command, size_t index)
{
    for (size_t i = 0; i < N_OPTIONS + N_ARGP_OPTIONS; i++) {
        const struct tool_option *o = i < N_OPTIONS ? &OPTIONS[i] : &ARGP_OPTIONS[i - N_OPTIONS];
        if (takes(command, o) && index-- == 0)
            return o;
    }
    return NULL;
}

struct parse_state {
    const struct tool_command *command;
    struct tool_args *args;
};

static uint64_t number(struct argp_state *state, const char *text, const char *option, uint64_t max)
{
    char *end = NULL;
    unsigned long long v = text[0] >= '0' && text[0] <= '9' ? strtoull(text, &end, 10) : 0;
    if (end == NULL || *end != '\0' || v > max)
        argp_error(state, "--%s takes a number from 0 to %llu, not '%s'", option,
                   (unsigned long long)max, text);
    return v;
}

static double fraction(struct argp_state *state, const char *text, const char *option)
{
    char *end = NULL;
    double v = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1.0;
    if (end == NULL || *end != '\0' || !(v > 0.0 && v < 1.0))
        argp_error(state, "--%s takes a number between 0 and 1, not '%s'", option, text);
    return v;
}

/* Of 0, which hides nothing, -1: in the API 0 is no mask. */
static double mask_ratio(struct argp_state *state, const char *text)
{
    char *end = NULL;
    double v = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1.0;
    if (end == NULL || *end != '\0' || !(v >= 0.0 && v <= 1.0))
        argp_error(state, "--mask-ratio takes a number from 0 to 1, not '%s'", text);
    return v > 0.0 ? v : -1.0;
}

static double seconds(struct argp_state *state, const char *text, const char *option)
{
    char *end = NULL;
    double v = (text[0] >= '0' && text[0] <= '9') || text[0] == '.' ? strtod(text, &end) : -1.0;
    if (end == NULL || *end != '\0' || !(v > 0.0 && v <= 1e6))
        argp_error(state, "--%s takes a number of seconds above 0, not '%s'", option, text);
    return v;
}

static double effort(struct argp_state *state, const char *text)
{
    char *end = NULL;
    double v = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1.0;
    if (end == NULL || *end != '\0' || !(v >= 0.01 && v <= 1000.0))
        argp_error(state, "--effort takes a number from 0.01 to 1000, not '%s'", text);
    return v;
}

static void segment(struct argp_state *state, const char *text, struct tool_args *a)
{
    char end;
    if (sscanf(text, "%4" SCNu32 "/%4" SCNu32 "%c", &a->segment, &a->segments, &end) != 2 ||
        a->segment == 0 || a->segment > a->segments)
        argp_error(state, "--segment takes K/N with 1 <= K <= N, not '%s'", text);
}

/* Options that only store their text. */
static const char **text_option(struct tool_args *a, int key)
{
    switch (key) {
    case K_WEIGHTS:
        return &a->model.weights;
    case K_INPUT:
        return &a->data.input;
    case K_LABELS:
        return &a->data.labels;
    case K_TARGET:
        return &a->target;
    case K_LEVEL:
        return &a->level;
    case K_LEVELS:
        return &a->levels;
    case K_TEACHER:
        return &a->teacher;
    case K_ENGINE:
        return &a->engine;
    case K_CPU:
        return &a->target_cpu;
    case K_OUT:
        return &a->out;
    case K_SPIKES:
        return &a->spikes;
    case K_CALIBRATE:
        return &a->calibrate;
    case K_SCHEDULE:
        return &a->schedule;
    case K_ATTENTION:
        return &a->attention;
    case K_OBJECTIVE:
        return &a->objective;
    case K_SYSTEM:
        return &a->system;
    case K_RATES:
        return &a->rates;
    case K_PROBE_OUT:
        return &a->probe_out;
    case K_PROBES:
        return &a->probes_file;
    case K_CONSTRAINTS:
        return &a->constraints;
    case K_RATES_OUT:
        return &a->rates_out;
    case K_INPUT_OUT:
        return &a->input_out;
    case K_PASSES:
        return &a->passes;
    case K_PRINT_AFTER:
        return &a->print_after;
    case K_PLACER:
        return &a->placer;
    case K_CUT:
        return &a->cut;
    case K_TO:
        return &a->to;
    case K_DTYPE:
        return &a->dtype;
    case K_QUANTISED:
        return &a->quantised;
    case K_COLOUR_BY:
        return &a->colour_by;
    case K_FROM:
        return &a->from;
    case K_SOURCE:
        return &a->source;
    case K_PARTITIONER:
        return &a->partitioner;
    case K_WRITE:
        return &a->write;
    case K_CLUSTERS:
        return &a->clusters;
    case K_MESH:
        return &a->mesh;
    case K_MASK:
        return &a->data.mask;
    case K_INTERPOLATION:
        return &a->data.form.interpolation;
    case K_FRAMES:
        return &a->data.form.frames;
    case K_AEDAT:
        return &a->data.form.aedat;
    case 'o':
        return &a->output;
    default:
        return NULL;
    }
}

static bool *flag_option(struct tool_args *a, int key)
{
    switch (key) {
    case K_JSON:
        return &a->json;
    case K_QUIET:
        return &a->quiet;
    case K_TIME:
        return &a->time_report;
    case K_PROFILE:
        return &a->profile;
    case K_REMARKS:
        return &a->remarks;
    case K_SEPARATE:
        return &a->separate_cores;
    case K_IN_PLACE:
        return &a->in_place;
    case K_CHECK:
        return &a->check_only;
    case K_LIST:
        return &a->list;
    case K_EMA:
        return &a->model.ema;
    case K_NO_SPLIT:
        return &a->no_split;
    case K_COMPILE:
        return &a->compile;
    default:
        return NULL;
    }
}

static error_t parse_number(struct tool_args *a, int key, const char *text,
                            struct argp_state *state)
{
    switch (key) {
    case K_LIMIT:
        a->data.limit = number(state, text, "limit", UINT32_MAX);
        if (a->data.limit == 0)
            argp_error(state, "--limit must be at least 1");
        return 0;
    case K_CALIBRATE_LIMIT:
        a->calibrate_limit = number(state, text, "calibrate-limit", UINT32_MAX);
        return 0;
    case K_RESIZE:
        a->data.form.resize = (uint32_t)number(state, text, "resize", 32768);
        return 0;
    case K_RATE:
        a->rate = fraction(state, text, "rate");
        return 0;
    case K_SEED:
        a->seed = number(state, text, "seed", UINT64_MAX);
        return 0;
    case K_MASK_RATIO:
        a->data.mask_ratio = mask_ratio(state, text);
        return 0;
    case K_MASK_SEED:
        a->data.mask_seed = number(state, text, "mask-seed", UINT64_MAX);
        return 0;
    case K_REPEAT:
        a->repeat = (uint32_t)number(state, text, "repeat", 1000);
        return 0;
    case K_THREADS:
        a->threads = (uint32_t)number(state, text, "threads", 256);
        return 0;
    case K_SEGMENT:
        segment(state, text, a);
        return 0;
    case K_DT:
        a->model.dt = seconds(state, text, "dt");
        return 0;
    case K_EFFORT:
        a->effort = effort(state, text);
        return 0;
    case K_TIME_LIMIT:
        a->time_limit = seconds(state, text, "time-limit");
        return 0;
    case K_CHIP:
        a->chip = (uint32_t)number(state, text, "chip", UINT32_MAX);
        a->one_chip = true;
        return 0;
    case K_NEURONS:
        a->neurons = number(state, text, "neurons", UINT32_MAX);
        return 0;
    case K_AXONS:
        a->axons = number(state, text, "axons", UINT32_MAX);
        return 0;
    case K_SYNAPSES:
        a->synapses = number(state, text, "synapses", INT64_MAX);
        return 0;
    case K_CORES:
        a->cores = number(state, text, "cores", UINT32_MAX);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_option(int key, char *text, struct argp_state *state)
{
    struct parse_state *p = state->input;
    struct tool_args *a = p->args;
    const char **slot = text_option(a, key);
    bool *flag = flag_option(a, key);
    if (slot != NULL) {
        *slot = text;
        return 0;
    }
    if (flag != NULL) {
        *flag = true;
        return 0;
    }
    switch (key) {
    case K_SET:
        a->settings[a->model.n_settings++] = text;
        return 0;
    case K_BIND:
        a->binds[a->model.n_binds++] = text;
        return 0;
    case K_VARY:
        a->vary[a->n_vary++] = text;
        return 0;
    case K_PROBE:
        a->probes[a->n_probes++] = text;
        return 0;
    case ARGP_KEY_ARG:
        if (a->n_positional >= p->command->max_args)
            argp_error(state, "too many arguments: '%s'", text);
        a->positional[a->n_positional++] = text;
        return 0;
    case ARGP_KEY_END:
        if (a->n_positional < p->command->min_args && !a->list)
            argp_error(state, "missing argument: %s", p->command->usage);
        return 0;
    default:
        return parse_number(a, key, text, state);
    }
}

void tool_parse(const struct tool_command *command, int argc, char **argv, struct tool_args *args)
{
    struct argp_option options[N_OPTIONS + 1];
    struct parse_state state = {command, args};
    struct argp argp = {options, parse_option, command->usage, command->summary, NULL, NULL, NULL};
    char name[64], doc[2048];
    size_t n = 0;
    memset(options, 0, sizeof options);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct tool_option *o = &OPTIONS[i];
        if (!takes(command, o))
            continue;
        options[n].name = o->name;
        options[n].key = o->key;
        options[n].arg = o->arg;
        options[n].doc = o->doc;
        options[n++].group = o->letter == '*' ? 2 : 1;
    }
    args->settings = calloc((size_t)argc + 1, sizeof *args->settings);
    args->binds = calloc((size_t)argc + 1, sizeof *args->binds);
    args->vary = calloc((size_t)argc + 1, sizeof *args->vary);
    args->probes = calloc((size_t)argc + 1, sizeof *args->probes);
    if (args->probes == NULL || args->settings == NULL || args->binds == NULL ||
        args->vary == NULL) {
        fprintf(stderr, "spikec: out of memory\n");
        exit(SPIKEC_ERR_IO);
    }
    args->model.settings = args->settings;
    args->model.binds = args->binds;
    snprintf(name, sizeof name, "spikec %s", command->name);
    snprintf(doc, sizeof doc, "%s\v%s", command->summary, command->help ? command->help : "");
    argp.doc = doc;
    char *own = argv[0];
    argv[0] = name;
    argp_err_exit_status = SPIKEC_ERR_USAGE;
    argp_parse(&argp, argc, argv, 0, NULL, &state);
    argv[0] = own;
}

void tool_args_fini(struct tool_args *args)
{
    free(args->settings);
    free(args->binds);
    free(args->vary);
    free(args->probes);
    memset(args, 0, sizeof *args);
}
