/* Which tiles share a core. */
#include "passes/map/map.h"
#include "support/alloc.h"

spk_status map_assign_cores(struct mapping *m, const struct map_options *options)
{
    const uint32_t n = (uint32_t)m->tiles.len;
    (void)options;
    SPK_TRY(spk_alloc_array_raw((size_t)n + 1, sizeof *m->core_first, &m->core_first));
    SPK_TRY(spk_alloc_array_raw(n, sizeof *m->core_tile, &m->core_tile));
    m->n_cores = n;
    for (uint32_t i = 0; i <= n; i++)
        m->core_first[i] = i;
    for (uint32_t i = 0; i < n; i++)
        m->tiles.data[i].core = m->core_tile[i] = i;
    return SPK_OK;
}
