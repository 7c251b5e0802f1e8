/* Member "links" of cost.json: messages per image over the links between neighbouring routers. Rows
 * of routers without traffic are left out. */
#include "api/cost.h"

static double load_of(const struct sim_stats *stats, const struct chip_prediction *prediction,
                      size_t link)
{
    return stats != NULL ? (double)stats->link_load[link] / (double)stats->images
                         : prediction->load[link];
}

void cost_links(struct json_writer *w, const struct sim_stats *stats,
                const struct chip_prediction *prediction)
{
    if (stats != NULL ? stats->link_load == NULL || stats->images == 0 : prediction == NULL)
        return;
    const uint32_t width = stats != NULL ? stats->link_w : prediction->grid_w;
    const uint32_t height = stats != NULL ? stats->link_h : prediction->grid_h;
    jw_object_begin(w, "links");
    jw_u64(w, "columns", width);
    jw_u64(w, "rows", height);
    jw_array_begin(w, "loads");
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            const size_t first = ((size_t)y * width + x) * 4;
            double sum = 0;
            for (uint32_t d = 0; d < 4; d++)
                sum += load_of(stats, prediction, first + d);
            if (!(sum > 0))
                continue;
            jw_array_begin_line(w, NULL);
            jw_u64(w, NULL, x);
            jw_u64(w, NULL, y);
            for (uint32_t d = 0; d < 4; d++)
                jw_f64(w, NULL, load_of(stats, prediction, first + d));
            jw_array_end(w);
        }
    }
    jw_array_end(w);
    jw_object_end(w);
}
