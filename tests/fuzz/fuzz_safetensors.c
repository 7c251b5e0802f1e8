/* Safetensors from arbitrary bytes, read as a container, as weights, as inputs and as labels. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "frontend/inputs.h"
#include "frontend/weights.h"
#include "support/safetensors.h"
#include "tiny_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that the reader hands out. */
static uint32_t touch(const uint8_t *data, size_t size)
{
    struct st_file *file = NULL;
    struct strbuf text = {0};
    uint32_t sum = 0;
    if (st_open_memory(data, size, "fuzz.safetensors", NULL, &file) != SPK_OK)
        return 0;
    for (size_t i = 0; i < st_count(file); i++) {
        const struct st_tensor *t = st_at(file, i);
        st_describe(t, &text);
        for (size_t k = 0; k < t->size; k++)
            sum += t->data[k];
    }
    strbuf_fini(&text);
    st_close(file);
    return sum;
}

static void read_input(const uint8_t *data, size_t size, bool events)
{
    struct ir_module *m = tiny_input(events, false);
    struct fe_input input = {0};
    struct fe_labels labels = {0};
    if (fe_input_parse(data, size, "fuzz", m, 0, NULL, &input) == SPK_OK) {
        for (uint64_t i = 0; i < input.input.n_images * input.input.image_stride; i++) {
            if (!isfinite(input.input.data[i]))
                abort();
        }
    } else {
        input.n_available = input.input.n_images = 1;
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
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diag_list diags;
    struct ir_module *m = tiny_input(false, false);
    struct fe_weights_report report;
    (void)touch(data, size);
    diag_init(&diags);
    spk_status status = fe_weights_bind_memory(m, data, size, "fuzz", &diags, &report);
    if ((status == SPK_OK) != (m->param[0].data != NULL))
        abort();
    if (status != SPK_OK && diags.error_count == 0)
        abort();
    fe_weights_report_fini(&report);
    ir_module_destroy(m);
    diag_fini(&diags);
    read_input(data, size, false);
    read_input(data, size, true);
    return 0;
}
