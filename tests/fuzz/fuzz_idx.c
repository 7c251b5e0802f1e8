/* IDX files from arbitrary bytes, read as images and as labels. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "frontend/inputs.h"
#include "support/idx.h"
#include "tiny_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ir_module *m = tiny_input(false, true);
    struct idx_array array = {0};
    struct fe_input input = {0};
    struct fe_labels labels = {0};
    uint32_t sum = 0;
    if (idx_parse(data, size, "fuzz", NULL, &array) == SPK_OK) {
        for (size_t i = 0; i < array.size; i++)
            sum += array.data[i];
    }
    idx_fini(&array);
    if (fe_input_parse(data, size, "fuzz", m, 0, NULL, &input) == SPK_OK) {
        for (uint64_t i = 0; i < input.input.n_images * input.input.image_stride; i++) {
            if (!isfinite(input.input.data[i]))
                abort();
        }
    } else {
        input.n_available = input.input.n_images = sum % 4 + 1;
    }
    if (fe_labels_parse(data, size, "fuzz", m, &input, NULL, &labels) == SPK_OK) {
        for (uint32_t i = 0; i < labels.n; i++) {
            if (labels.label[i] >= 3)
                abort();
        }
    }
    fe_labels_fini(&labels);
    fe_input_fini(&input);
    ir_module_destroy(m);
    return 0;
}
