/* What a mapping's placement achieves: member "placement" and lines of text. */
#include "api/mapping_json.h"

static const char *routing_name(const struct mapping *m)
{
    return m->net.target->routing == TGT_MULTICAST ? "multicast" : "unicast";
}

static double average_hop(const struct map_placing *p)
{
    return p->messages > 0 ? p->traffic / p->messages : 0;
}

void placing_json(const struct mapping *m, const char *ended, struct json_writer *w)
{
    const struct map_placing *p = &m->placed;
    jw_object_begin(w, "placement");
    jw_string(w, "placer", place_engine_name(m->placer));
    jw_string(w, "routing", routing_name(m));
    jw_u64(w, "chips", m->n_chips);
    jw_array_begin(w, "block");
    jw_u64(w, NULL, m->block_w);
    jw_u64(w, NULL, m->block_h);
    jw_array_end(w);
    jw_f64(w, "cost_layer_order", m->layer_order.cost);
    jw_f64(w, "cost_placed", p->cost);
    jw_f64(w, "messages", p->messages);
    jw_f64(w, "messages_over_chips", p->over_chips);
    jw_f64(w, "messages_over_chips_layer_order", m->layer_order.over_chips);
    jw_f64(w, "average_hop", average_hop(p));
    jw_u64(w, "max_hop", p->max_hop);
    if (ended != NULL)
        jw_string(w, "ended_early", ended);
    jw_object_end(w);
}

#define SHOWN_LINKS 3

void placing_text(const struct mapping *m, const struct chip_prediction *c, const struct image *im,
                  struct strbuf *out)
{
    const struct map_placing *p = &m->placed;
    strbuf_printf(out,
                  "placed by %s on %u chip%s: per frame %.6g messages between cores, %.6g of them "
                  "over chip borders; average hop %.4g, max %u\n",
                  place_engine_name(m->placer), m->n_chips, m->n_chips == 1 ? "" : "s", p->messages,
                  p->over_chips, average_hop(p), p->max_hop);
    if (c->n_hot == 0)
        return;
    strbuf_printf(out, "messages per image over a link: max %.6g, mean %.6g; fullest:",
                  c->hot[0].messages, c->link_mean);
    for (uint32_t i = 0; i < c->n_hot && i < SHOWN_LINKS; i++) {
        const struct chip_router r = chip_link_router(&im->meta, &c->hot[i]);
        strbuf_printf(out, "%s chip %u (%u,%u) %s %.6g", i ? "," : "", r.chip, r.x, r.y,
                      chip_direction_name(c->hot[i].direction), c->hot[i].messages);
    }
    strbuf_char(out, '\n');
}
