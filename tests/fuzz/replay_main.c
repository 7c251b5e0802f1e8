/* Plain driver for fuzz targets where libFuzzer is not there: calls LLVMFuzzerTestOneInput with
 * the content of every file named on the command line, folders included with all that is in them,
 * in sorted order. Exit code 1 when something could not be read. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "support/alloc.h"
#include "support/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path);

static int replay_folder(const char *path)
{
    struct file_names names;
    int failed = 0;
    if (file_list(path, "", NULL, &names) != SPK_OK) {
        fprintf(stderr, "cannot list %s\n", path);
        return 1;
    }
    for (size_t i = 0; i < names.len; i++) {
        char *inner = path_join(path, names.data[i]);
        failed |= inner ? replay(inner) : 1;
        spk_free(inner);
    }
    file_names_fini(&names);
    return failed;
}

static int replay(const char *path)
{
    char *data;
    size_t size;
    uint8_t *exact;
    if (file_is_directory(path))
        return replay_folder(path);
    if (file_read(path, 0, NULL, &data, &size) != SPK_OK ||
        spk_alloc_array_raw(size, 1, &exact) != SPK_OK) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    for (size_t i = 0; i < size; i++) /* without the NUL behind it, so that overreads show */
        exact[i] = (uint8_t)data[i];
    spk_free(data);
    (void)LLVMFuzzerTestOneInput(exact, size);
    spk_free(exact);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]);
    return failed;
}
