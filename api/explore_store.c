/* The rows on disk: one line of JSON each, appended and synced when a point is done. A line that a
 * crash cut off is left where it is: it has no end, reads as no row, and the next one begins on a
 * new line. Lines of points that are not asked for stay, too: they count again when they are. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/explore.h"
#include "support/alloc.h"
#include "support/file.h"

static spk_status make_folder(struct explore *x, const char *path)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && file_is_directory(path)))
        return SPK_OK;
    return diag_io(&x->context->diags, spk_span_none, "E0959", "cannot make folder '%s': %s", path,
                   strerror(errno));
}

/* The folder, and those in it: an existing one must be an exploration, or empty. */
spk_status explore_folders(struct explore *x)
{
    static const char *const inside[] = {"targets", "points"};
    const char *output = x->o->base.output;
    struct file_names names = {0};
    x->rows_path = path_join(output, EXPLORE_ROWS);
    if (x->rows_path == NULL)
        return SPK_ERR_NOMEM;
    if (file_is_directory(output) && !file_exists(x->rows_path)) {
        SPK_TRY(file_list(output, "", &x->context->diags, &names));
        const bool empty = names.len == 0;
        file_names_fini(&names);
        if (!empty)
            return diag_io(&x->context->diags, spk_span_none, "E0979",
                           "'%s' is not empty and no folder of an exploration", output);
    }
    SPK_TRY(make_folder(x, output));
    x->fd = open(x->rows_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (x->fd < 0)
        return diag_io(&x->context->diags, spk_span_none, "E0959", "cannot open '%s': %s",
                       x->rows_path, strerror(errno));
    for (size_t i = 0; i < 2; i++) {
        bool wanted = i == 1 && x->o->compile;
        for (uint32_t a = 0; i == 0 && a < x->n_axes; a++)
            wanted |= x->axis[a].kind == EXPLORE_CONSTANT;
        if (!wanted)
            continue;
        char *path = path_join(output, inside[i]);
        spk_status status = path ? make_folder(x, path) : SPK_ERR_NOMEM;
        spk_free(path);
        SPK_TRY(status);
    }
    return SPK_OK;
}

static spk_status write_all(struct explore *x, const char *text, size_t length)
{
    while (length > 0) {
        const ssize_t n = write(x->fd, text, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return diag_io(&x->context->diags, spk_span_none, "E0959", "cannot write '%s': %s",
                           x->rows_path, strerror(errno));
        text += n;
        length -= (size_t)n;
    }
    return SPK_OK;
}

spk_status explore_append(struct explore *x, const char *line)
{
    struct strbuf text = {0};
    strbuf_append(&text, line);
    strbuf_char(&text, '\n');
    spk_status status = text.status == SPK_OK ? write_all(x, text.data, text.len) : text.status;
    strbuf_fini(&text);
    if (status == SPK_OK && fsync(x->fd) != 0 && errno != EINVAL && errno != EROFS)
        status = diag_io(&x->context->diags, spk_span_none, "E0959", "cannot write '%s': %s",
                         x->rows_path, strerror(errno));
    return status;
}

/* The point that a row is of, by its key; rows of others are passed over. A compiled point counts
 * only while its folder is there. */
static spk_status take_line(struct explore *x, const char *line, size_t length)
{
    struct explore_point row = {0};
    bool known = false;
    SPK_TRY(explore_read_line(x, &row, line, length, &known));
    for (uint32_t i = 0; known && i < x->n_points; i++) {
        struct explore_point *p = &x->point[i];
        if (p->done || strcmp(p->key, row.key) != 0)
            continue;
        if (row.fits && p->folder != NULL) {
            char *folder = path_join(x->o->base.output, p->folder);
            const bool there = folder != NULL && file_is_directory(folder);
            spk_free(folder);
            if (!there)
                continue;
        }
        memcpy(p->figure, row.figure, sizeof p->figure);
        p->fits = row.fits;
        p->reason = row.reason;
        p->done = true;
        p->line = spk_strndup(line, length);
        if (p->line == NULL)
            return SPK_ERR_NOMEM;
        x->n_done++;
    }
    return SPK_OK;
}

spk_status explore_open(struct explore *x)
{
    char *text = NULL;
    size_t length = 0;
    SPK_TRY(file_read(x->rows_path, 0, &x->context->diags, &text, &length));
    spk_status status = SPK_OK;
    for (size_t from = 0, to; from < length && status == SPK_OK; from = to + 1) {
        const char *end = memchr(text + from, '\n', length - from);
        to = end != NULL ? (size_t)(end - text) : length;
        if (end != NULL)
            status = take_line(x, text + from, to - from);
    }
    if (status == SPK_OK && length > 0 && text[length - 1] != '\n')
        status = write_all(x, "\n", 1);
    spk_free(text);
    x->n_before = x->n_done;
    return status;
}
