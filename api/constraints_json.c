/* Constraints as JSON: as they stand in the file, ranges as [first, last], null: not limited. */
#include "api/mapping_json.h"
#include "support/file.h"
#include "support/sha256.h"

static void write_range(struct json_writer *w, const char *key, struct ctr_range r)
{
    if (ctr_is_any(r)) {
        jw_null(w, key);
        return;
    }
    jw_array_begin(w, key);
    jw_u64(w, NULL, r.first);
    jw_u64(w, NULL, r.last);
    jw_array_end(w);
}

static void write_area(struct json_writer *w, const struct ctr_area *a)
{
    write_range(w, "chip", a->chip);
    write_range(w, "x", a->x);
    write_range(w, "y", a->y);
    write_range(w, "core", a->core);
}

void constraints_json(const struct constraints *c, struct json_writer *w)
{
    char hex[SHA256_HEX_BYTES];
    sha256_to_hex(c->sha256, hex);
    jw_object_begin(w, "constraints");
    jw_string(w, "file", path_base(c->path));
    jw_string(w, "sha256", hex);
    jw_array_begin(w, "forbid");
    for (uint32_t i = 0; i < c->n_forbid; i++) {
        jw_object_begin_line(w, NULL);
        write_area(w, &c->forbid[i].area);
        jw_bool(w, "reserved", c->forbid[i].reserved);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array_begin(w, "pin");
    for (uint32_t i = 0; i < c->n_pins; i++) {
        jw_object_begin_line(w, NULL);
        jw_string(w, "layer", c->pin[i].layer);
        if (c->pin[i].part == CTR_ANY)
            jw_null(w, "part");
        else
            jw_u64(w, "part", c->pin[i].part);
        write_area(w, &c->pin[i].area);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_array_begin(w, "weight_bits");
    for (uint32_t i = 0; i < c->n_bits; i++) {
        jw_object_begin_line(w, NULL);
        jw_string(w, "layer", c->bits[i].layer);
        jw_u64(w, "bits", c->bits[i].bits);
        jw_object_end(w);
    }
    jw_array_end(w);
    jw_object_end(w);
}
