/* Files that the driver writes itself: a model rewritten in place, and the reproducer of an
 * internal error. All other files are written by the library. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spikec/tool.h"

static bool write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        length -= (size_t)n;
    }
    return true;
}

int tool_rewrite(const char *path, const char *text)
{
    char *real = realpath(path, NULL), *temporary = NULL;
    struct stat old;
    int fd = -1;
    bool ok = real != NULL && stat(real, &old) == 0;
    if (ok) {
        size_t size = strlen(real) + sizeof ".XXXXXX";
        temporary = malloc(size);
        ok = temporary != NULL && snprintf(temporary, size, "%s.XXXXXX", real) > 0;
    }
    if (ok)
        ok = (fd = mkstemp(temporary)) >= 0;
    if (fd >= 0) {
        ok = write_all(fd, text, strlen(text)) && fchmod(fd, old.st_mode & 07777) == 0 &&
             fsync(fd) == 0;
        ok = close(fd) == 0 && ok;
        ok = ok && rename(temporary, real) == 0;
        if (!ok)
            unlink(temporary);
    }
    if (!ok)
        fprintf(stderr, "spikec: cannot write '%s'\n", path);
    free(temporary);
    free(real);
    return ok ? SPIKEC_OK : SPIKEC_ERR_IO;
}

/* One argument as a shell would take it back. */
static void print_quoted(FILE *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "-_=+./,:@%";
    if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text != '\0'; text++)
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    fputc('\'', out);
}

int tool_write_reproducer(int argc, char *const *argv, const char *diagnostics, char *out_name,
                          size_t name_size)
{
    int fd = -1;
    for (unsigned i = 0; fd < 0 && i < 1000; i++) {
        snprintf(out_name, name_size, "spikec-internal-error-%ld-%u.txt", (long)getpid(), i);
        fd = open(out_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 && errno != EEXIST)
            return SPIKEC_ERR_IO;
    }
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        if (fd >= 0)
            close(fd);
        return SPIKEC_ERR_IO;
    }
    fprintf(f, "spikec %s: internal error\n\ncommand:\n ", spk_version());
    for (int i = 0; i < argc; i++) {
        fputc(' ', f);
        print_quoted(f, argv[i]);
    }
    fprintf(f,
            "\n\ndiagnostics:\n%s\n"
            "With the files that the command names, this is all that is needed to see the error "
            "again.\n",
            diagnostics[0] != '\0' ? diagnostics : "(none)\n");
    bool bad = ferror(f) != 0;
    bad |= fclose(f) != 0;
    if (bad)
        unlink(out_name);
    return bad ? SPIKEC_ERR_IO : SPIKEC_OK;
}
