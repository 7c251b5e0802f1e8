/* Entry point: finds the command, runs its job, prints what came of it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "commit.h"
#include "tools/spikec/tool.h"

static volatile sig_atomic_t interrupted;

/* The first signal asks the job to end, with what it has; the second ends the process. */
static void on_interrupt(int signal_number)
{
    if (interrupted) {
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
    }
    interrupted = 1;
}

struct bar {
    bool on, shown;
};

static bool is_cancelled(void *user)
{
    (void)user;
    return interrupted != 0;
}

static void show_progress(void *user, const char *label, uint64_t done, uint64_t total)
{
    struct bar *b = user;
    if (!b->on)
        return;
    if (total > 0 && done < total) {
        unsigned filled = (unsigned)(done * 30 / total);
        fprintf(stderr, "\r%-14s [%.*s%*s] %llu/%llu ", label, (int)filled,
                "##############################", (int)(30 - filled), "", (unsigned long long)done,
                (unsigned long long)total);
        b->shown = true;
    } else if (b->shown) {
        fprintf(stderr, "\r%78s\r", "");
        b->shown = false;
    }
    fflush(stderr);
}

const char tool_about[] =
    "Compile Spikformer models to neuromorphic chips, price every core, and verify\n"
    "that the mapped network fires the same spikes.\n";
const char tool_exit_codes[] =
    "Exit codes: 0 done; 1 verify or\n"
    "check found a difference; 2 usage; 3 bad model, weights, target or input; 4 does\n"
    "not fit; 5 file or system error; 70 internal error.\n";

static void print_commands(FILE *out)
{
    fprintf(out, "Usage: spikec COMMAND [OPTION...] ARGUMENT...\n%s\n", tool_about);
    for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
        fprintf(out, "  %-14s %-20s %s\n", c->name, c->usage, c->summary);
    fprintf(out, "\n'spikec COMMAND --help' tells the options. %s", tool_exit_codes);
}

static void print_time(double seconds)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    fprintf(stderr, "time: %.3f s wall, %.3f s user, %.3f s system; peak memory %.1f MB\n", seconds,
            (double)u.ru_utime.tv_sec + 1e-6 * (double)u.ru_utime.tv_usec,
            (double)u.ru_stime.tv_sec + 1e-6 * (double)u.ru_stime.tv_usec,
            (double)u.ru_maxrss / 1024.0);
}

static int exit_code(int status)
{
    if (status == SPIKEC_ERR_NOMEM || status == SPIKEC_ERR_CANCELLED)
        return SPIKEC_ERR_IO;
    return status;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What is on stdout must have reached its place. */
static int finish_output(int status)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "spikec: cannot write the result\n");
    return SPIKEC_ERR_IO;
}

static void report_internal(int argc, char **argv, spk_context *context)
{
    char name[64];
    const char *text = context != NULL ? spk_context_diagnostics(context) : "";
    fprintf(stderr, "spikec: internal error: this is a fault of spikec, not of your files\n");
    if (tool_write_reproducer(argc, argv, text, name, sizeof name) == SPIKEC_OK)
        fprintf(stderr, "spikec: what is needed to find it was written to %s\n", name);
    else
        fprintf(stderr, "spikec: the file with what is needed to find it could not be written\n");
}

static int run_command(const struct tool_command *command, struct tool_args *args, int argc,
                       char **argv)
{
    struct bar bar = {isatty(STDERR_FILENO) && !args->quiet, false};
    struct spk_context_options options = {args->threads, show_progress, is_cancelled, &bar,
                                          args->time_limit};
    spk_context *context = NULL;
    spk_result *result = NULL;
    double start = now();
    int status = spk_context_create(&options, &context);
    if (status == SPIKEC_OK)
        status = command->run(context, args, &result);
#if defined(SPIKEC_FAULT_INJECTION)
    if (getenv("SPIKEC_FAIL_INTERNALLY") != NULL) /* for the test of what follows */
        status = SPIKEC_ERR_INTERNAL;
#endif
    if (bar.shown)
        fprintf(stderr, "\r%78s\r", "");
    if (context != NULL)
        fputs(spk_context_diagnostics(context), stderr);
    if (result != NULL && args->json)
        fputs(spk_result_json(result), stdout);
    else if (result != NULL && !args->quiet && !args->in_place && !args->check_only)
        fputs(spk_result_text(result), stdout);
    if (status == SPIKEC_ERR_NOMEM)
        fprintf(stderr, "spikec: out of memory\n");
    if (status == SPIKEC_ERR_CANCELLED)
        fprintf(stderr, "spikec: %s; %s\n", interrupted ? "interrupted" : "the time limit is over",
                result != NULL ? "what was done is kept" : "nothing was written");
    if (status == SPIKEC_ERR_INTERNAL)
        report_internal(argc, argv, context);
    if (args->time_report)
        print_time(now() - start);
    spk_result_free(result);
    spk_context_destroy(context);
    return finish_output(exit_code(status));
}

int main(int argc, char **argv)
{
    struct tool_args args;
    memset(&args, 0, sizeof args);
    if (argc < 2) {
        print_commands(stderr);
        return SPIKEC_ERR_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_commands(stdout);
        return finish_output(SPIKEC_OK);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("spikec %s\ncommit: " SPIKEC_COMMIT "\n%s", spk_version(), spk_build_facts());
        return finish_output(SPIKEC_OK);
    }
    const struct tool_command *command = tool_find(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "spikec: unknown command '%s'; 'spikec --help' lists them\n", argv[1]);
        return SPIKEC_ERR_USAGE;
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    tool_parse(command, argc - 1, argv + 1, &args);
    int code = run_command(command, &args, argc, argv);
    tool_args_fini(&args);
    return code;
}
