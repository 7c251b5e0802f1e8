/* Telling IDX and text from safetensors by the first bytes.
 *
 * IDX begins with 0, 0, the element type 8 and a small rank; gzip with 1f 8b. A safetensors file
 * begins with its header's length, little-endian: one that looks like IDX would have a header of at
 * least 16 MB, which no file of images or labels has. Cost: one page is looked at. */
#include "frontend/container.h"

#include <string.h>

#include "support/file.h"

spk_status container_look(struct container *file, struct diag_list *diags)
{
    struct file_map map = {.data = file->data, .size = file->size};
    if (!file->data)
        SPK_TRY(file_map_open(file->name, diags, &map));
    memset(file->head, 0, sizeof file->head);
    file->n_head = map.size < sizeof file->head ? map.size : sizeof file->head;
    if (map.size)
        memcpy(file->head, map.data, file->n_head);
    if (!file->data)
        file_map_close(&map);
    return SPK_OK;
}

bool container_is_idx(const struct container *file)
{
    const uint8_t *h = file->head;
    return (h[0] == 0x1f && h[1] == 0x8b) ||
           (h[0] == 0 && h[1] == 0 && h[2] == 8 && h[3] >= 1 && h[3] <= IDX_MAX_RANK);
}

bool container_is_text(const struct container *file)
{
    for (size_t i = 0; i < file->n_head; i++) {
        uint8_t c = file->head[i];
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return false;
    }
    return file->n_head > 0; /* the length of a safetensors header has zeros */
}

spk_status container_open_idx(const struct container *file, struct diag_list *diags,
                              struct idx_array *out_array)
{
    if (file->data)
        return idx_parse(file->data, file->size, file->name, diags, out_array);
    return idx_read(file->name, 0, diags, out_array);
}

spk_status container_open_tensors(const struct container *file, struct diag_list *diags,
                                  struct st_file **out_tensors)
{
    if (file->data)
        return st_open_memory(file->data, file->size, file->name, diags, out_tensors);
    return st_open(file->name, diags, out_tensors);
}
