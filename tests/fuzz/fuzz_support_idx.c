/* IDX reader, and gunzip in front of it, on any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "support/alloc.h"
#include "support/gunzip.h"
#include "support/idx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(const void *data, size_t size)
{
    struct idx_array array;
    uint8_t sum = 0;
    if (idx_parse(data, size, "fuzz", NULL, &array) != SPK_OK)
        return;
    for (size_t i = 0; i < array.size; i++)
        sum = (uint8_t)(sum + array.data[i]);
    if (sum == 0 && array.rank == 0)
        __builtin_trap();
    idx_fini(&array);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *unpacked;
    size_t unpacked_size;
    parse(data, size);
    if (gunzip_is_gzip(data, size) &&
        gunzip(data, size, 1u << 20, "fuzz", NULL, &unpacked, &unpacked_size) == SPK_OK) {
        parse(unpacked, unpacked_size);
        spk_free(unpacked);
    }
    return 0;
}
