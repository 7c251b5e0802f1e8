/* Programs are started with posix_spawnp; a pipe carries what they say until they close it. */
#include "support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)64 << 10)

static spk_status system_error(const char *program, int error, struct diag_list *d)
{
    return diag_io(d, spk_span_none, "E0090", "cannot run '%s': %s", program, strerror(error));
}

/* Standard input empty, output and error into the pipe. */
static int set_up(posix_spawn_file_actions_t *actions, int to)
{
    int error = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);

    if (error == 0)
        error = posix_spawn_file_actions_adddup2(actions, to, 1);
    return error ? error : posix_spawn_file_actions_adddup2(actions, to, 2);
}

static int start(const char *const *argv, int to, pid_t *out_pid)
{
    posix_spawn_file_actions_t actions;
    /* The arguments are not changed; the type is older than const. */
    char *const *arguments = (char *const *)(const void *)argv;
    int error = posix_spawn_file_actions_init(&actions);

    if (error)
        return error;
    error = set_up(&actions, to);
    if (error == 0)
        error = posix_spawnp(out_pid, argv[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Reads to the end, keeping the beginning. */
static void listen_to(int from, struct strbuf *text)
{
    char buffer[4096];
    size_t room = TEXT_MAX;
    ssize_t n;

    while ((n = read(from, buffer, sizeof buffer)) != 0) {
        size_t keep = n > 0 && (size_t)n < room ? (size_t)n : room;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        strbuf_append_n(text, buffer, keep);
        room -= keep;
    }
}

static int wait_for(pid_t pid)
{
    int state = 0;

    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR)
            return 127;
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

spk_status process_run(const char *const *argv, struct diag_list *d, struct strbuf *text,
                       int *out_exit)
{
    int ends[2], error;
    pid_t pid = 0;

    *out_exit = PROCESS_NONE;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return system_error(argv[0], errno, d);
    error = start(argv, ends[1], &pid);
    close(ends[1]);
    if (error == 0) {
        listen_to(ends[0], text);
        *out_exit = wait_for(pid);
    }
    close(ends[0]);
    if (error == ENOENT)
        return SPK_OK;
    return error ? system_error(argv[0], error, d) : text->status;
}
