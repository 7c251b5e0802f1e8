/* Checkpoints from arbitrary bytes, as files of either format and as a bare pickle: that one, and
 * the old format, have no checksum before the pickle machine. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"
#include "support/arena.h"
#include "support/pickle.h"
#include "support/pth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that the reader hands out. */
static uint32_t touch(const struct st_file *file)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < st_count(file); i++) {
        const struct st_tensor *t = st_at(file, i);
        if (st_find(file, t->name) != t)
            abort();
        for (size_t k = 0; k < t->size; k++)
            sum += t->data[k];
    }
    for (size_t i = 0; i < st_other_count(file); i++)
        sum += (uint32_t)strlen(st_other_at(file, i));
    return sum;
}

static void read_file(const uint8_t *data, size_t size, bool ema)
{
    struct diag_list diags;
    struct st_file *file;
    struct strbuf text = {0};
    diag_init(&diags);
    spk_status status = pth_open_memory(data, size, "fuzz", ema, &diags, &file);
    if (status == SPK_OK)
        (void)touch(file);
    else if (status != SPK_ERR_INPUT || diags.error_count == 0)
        abort();
    diag_render(&diags, NULL, &text);
    strbuf_fini(&text);
    st_close(file);
    diag_fini(&diags);
}

static void read_pickle(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct pickle_refs persistent = {0};
    struct pickle_stream stream = {.data = data, .size = size, .name = "fuzz", .arena = &arena};
    struct pickle_value *value;
    size_t used = 0;
    spk_status status = pickle_read(&stream, &persistent, &value, &used);
    if (used > size || (status != SPK_OK && status != SPK_ERR_INPUT))
        abort();
    vec_fini(&persistent);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_file(data, size, false);
    read_file(data, size, true);
    read_pickle(data, size);
    return 0;
}
