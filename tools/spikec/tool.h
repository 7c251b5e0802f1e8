/* The spikec driver: argument parsing and printing only; all work is done by the public API. */
#ifndef SPIKEC_TOOL_H
#define SPIKEC_TOOL_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "include/spikec/spikec.h"

/* Everything any command may be told; each command accepts its own subset of options. */
struct tool_args {
    const char *positional[3];
    int n_positional;
    struct spk_model_options model;
    const char **settings, **binds; /* heap; what model.settings and model.binds point at */
    const char **vary;              /* heap */
    size_t n_vary;
    const char **probes; /* heap */
    size_t n_probes;
    struct spk_data_options data;
    const char *target, *level, *levels, *teacher, *engine, *out, *spikes, *output, *calibrate;
    const char *target_cpu, *quantised;
    const char *schedule, *attention, *objective, *system, *rates, *rates_out, *passes, *input_out;
    const char *print_after, *placer, *cut, *to, *dtype, *colour_by, *from;
    const char *source, *partitioner, *write, *clusters, *mesh;
    double effort, time_limit;
    const char *constraints, *probe_out, *probes_file;
    uint64_t calibrate_limit, seed, cores, neurons, axons, synapses;
    double rate;
    uint32_t repeat, threads, segment, segments, chip;
    bool json, quiet, time_report, profile, remarks, separate_cores, in_place, check_only, list,
        one_chip, no_split, compile;
};

struct tool_command {
    const char *name;
    const char *usage;   /* positional arguments, "MODEL" */
    const char *summary; /* one line */
    const char *help;    /* more, printed by --help; may be NULL */
    const char *options; /* keys of the options it accepts, see options.c */
    int min_args, max_args;
    int (*run)(spk_context *context, struct tool_args *args, spk_result **out_result);
};

extern const struct tool_command tool_commands[];
const struct tool_command *tool_find(const char *name);

/* Parses the arguments behind the command's name; exits the process on --help and usage errors. */
void tool_parse(const struct tool_command *command, int argc, char **argv, struct tool_args *args);
void tool_args_fini(struct tool_args *args);

/* An option, for --help, man pages and completion alike. */
struct tool_option {
    char letter; /* in tool_command.options; '*' = every command */
    const char *name;
    int key;         /* a character where there is a short form, else beyond characters */
    const char *arg; /* NULL: takes none */
    const char *doc;
};
/* Option `index` of the command, in the order of --help; NULL behind the last. */
const struct tool_option *tool_option_at(const struct tool_command *command, size_t index);
static inline bool tool_option_is_short(const struct tool_option *o)
{
    return o->key > ' ' && o->key < 127;
}

/* main.c: what the tool is, and its exit codes, as sentences. */
extern const char tool_about[], tool_exit_codes[];

/* manual.c: prints the page (troff) of a command, or of the tool where command is NULL. */
void tool_manual(const struct tool_command *command, FILE *out);
/* completion.c: prints the completion script; false where the shell is not known. */
bool tool_completion(const char *shell, FILE *out);

/* files.c. Replaces the file's content in one step, keeping its permissions; a symbolic link stays
 * one. Says on stderr what went wrong; SPIKEC_OK or SPIKEC_ERR_IO. */
int tool_rewrite(const char *path, const char *text);
/* Writes command line, version and diagnostics to a new file in the working directory, whose name
 * goes to out_name (at least 64 bytes). SPIKEC_OK or SPIKEC_ERR_IO. */
int tool_write_reproducer(int argc, char *const *argv, const char *diagnostics, char *out_name,
                          size_t name_size);

#endif
