/* The installed tree is told from the place of this code: a file PREFIX/bin/NAME or
 * PREFIX/lib.../NAME, with the folders that the build was configured with, belongs to PREFIX. The
 * dynamic linker knows the file of a shared library; for code linked into a program, Linux names
 * the program's file as /proc/self/exe, or without /proc tells how it was started. Where none of
 * these helps, the other folders remain. */
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "config.h"
#include "frontend/share.h"
#include "support/alloc.h"

static const struct fe_share_row {
    const char *variable, *installed, *configured, *source;
} SHARES[] = {
    [FE_SHARE_MODELS] = {"SPIKEC_MODELS", SPIKEC_INSTALL_DATADIR "/spikec/models",
                         SPIKEC_INSTALL_DATA_DIR "/models", SPIKEC_SOURCE_MODELS_DIR},
    [FE_SHARE_TARGETS] = {"SPIKEC_TARGETS", SPIKEC_INSTALL_DATADIR "/spikec/targets",
                          SPIKEC_INSTALL_DATA_DIR "/targets", SPIKEC_SOURCE_TARGETS_DIR},
};

static spk_status fe_share_add(struct file_names *folders, const char *text, size_t length)
{
    char *folder = spk_strndup(text, length);
    if (!folder || vec_push(folders, folder) != SPK_OK) {
        spk_free(folder);
        return SPK_ERR_NOMEM;
    }
    return SPK_OK;
}

/* Length of the prefix where `folder` is PREFIX/under, else 0. */
static size_t fe_prefix_of(const char *folder, size_t length, const char *under)
{
    size_t tail = strlen(under);
    if (length <= tail + 1 || folder[length - tail - 1] != '/' ||
        strncmp(folder + length - tail, under, tail) != 0)
        return 0;
    return length - tail - 1;
}

static spk_status fe_share_add_own(struct file_names *folders, const char *installed)
{
    char file[PATH_MAX];
    Dl_info info;
    struct link_map *map = NULL;
    bool known = dladdr1(&SHARES, &info, (void **)&map, RTLD_DL_LINKMAP) != 0 && map != NULL;
    const char *from = known && map->l_name[0] != '\0' ? map->l_name : "/proc/self/exe";
    const char *started = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    if (realpath(from, file) == NULL && (started == NULL || realpath(started, file) == NULL))
        return SPK_OK;
    size_t length = (size_t)(path_base(file) - file);
    size_t prefix = 0;
    if (length > 1)
        prefix = fe_prefix_of(file, length - 1, SPIKEC_INSTALL_BINDIR);
    if (length > 1 && prefix == 0)
        prefix = fe_prefix_of(file, length - 1, SPIKEC_INSTALL_LIBDIR);
    if (prefix == 0)
        return SPK_OK;
    file[prefix] = '\0';
    char *folder = path_join(file, installed);
    if (!folder)
        return SPK_ERR_NOMEM;
    spk_status status = fe_share_add(folders, folder, strlen(folder));
    spk_free(folder);
    return status;
}

spk_status fe_share_folders(enum fe_share what, struct file_names *out)
{
    const struct fe_share_row *row = &SHARES[what];
    const char *list = getenv(row->variable);
    while (list && *list) {
        size_t length = strcspn(list, ":");
        if (length > 0)
            SPK_TRY(fe_share_add(out, list, length));
        list += length + (list[length] == ':');
    }
    SPK_TRY(fe_share_add_own(out, row->installed));
    SPK_TRY(fe_share_add(out, row->source, strlen(row->source)));
    return fe_share_add(out, row->configured, strlen(row->configured));
}
