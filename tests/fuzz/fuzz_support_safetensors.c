/* Safetensors reader on any bytes: open, and convert whatever it accepts. */
#include <stddef.h>
#include <stdint.h>

#include "support/alloc.h"
#include "support/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct st_file *file;
    diag_init(&diags);
    if (st_open_memory(data, size, "fuzz", &diags, &file) == SPK_OK) {
        for (size_t i = 0; i < st_count(file); i++) {
            const struct st_tensor *tensor = st_at(file, i);
            double *values;
            if (spk_alloc_array(tensor->count, sizeof *values, &values) == SPK_OK &&
                st_to_f64(tensor, values) != SPK_OK)
                __builtin_trap();
            spk_free(values);
        }
        st_close(file);
    }
    diag_fini(&diags);
    return 0;
}
