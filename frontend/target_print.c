/* Target descriptions as tables for people and as JSON for programs.
 *
 * Both run over the table of constants, so that everything the format knows is shown; what a target
 * does not state appears as "not published" or null, never as zero. Output depends on the target
 * alone. Cost: constants^2, about a hundred. */
#include <string.h>

#include "frontend/target_fields.h"
#include "frontend/target_yaml.h"
#include "support/json_writer.h"
#include "support/sha256.h"

static void print_row(struct strbuf *out, const char *key, const char *text, const char *unit,
                      const struct tgt_const *c, const char *absent)
{
    strbuf_printf(out, "  %-20s %12s %-14s ", key, text, unit);
    if (c)
        strbuf_printf(out, "%-10s %s\n", tgt_basis_name(c->basis), c->source);
    else
        strbuf_printf(out, "%-10s %s\n", "-", absent);
}

static bool words_only(const struct tf_field *f)
{
    return f->kind == TF_FLAG || f->kind == TF_WORD || f->kind == TF_SET;
}

static void print_section(const struct tgt *t, const char *section, struct strbuf *out)
{
    strbuf_printf(out, "\n%s\n", section);
    for (uint32_t i = 0; i < tf_n_fields; i++) {
        const struct tf_field *f = &tf_fields[i];
        if (strcmp(f->section, section) != 0)
            continue;
        const struct tgt_fact *fact = tf_fact(t, f->section, f->key);
        const char *unit = words_only(f) ? "" : f->unit;
        if (fact)
            print_row(out, f->key, fact->text, unit, &fact->constant, NULL);
        else if (f->need == TF_FIXED)
            continue;
        else
            print_row(out, f->key, "-", unit, NULL,
                      f->kind == TF_COUNT ? "no limit stated" : "not published");
    }
}

void fe_target_print(const struct tgt *target, struct strbuf *out)
{
    char hex[SHA256_HEX_BYTES];
    sha256_to_hex(target->sha256, hex);
    strbuf_printf(out, "%s: %s\nfile %s\nsha256 %s\n", target->name, target->description,
                  target->path, hex);
    for (uint32_t i = 0; i < tf_n_sections; i++)
        print_section(target, tf_sections[i], out);
    strbuf_append(out, "\nsystems\n");
    for (uint32_t i = 0; i < target->n_systems; i++) {
        const struct tgt_system *s = &target->system[i];
        struct strbuf text = {0};
        struct tgt_const chips = {.basis = s->basis, .source = s->source};
        strbuf_printf(&text, "%u x %u", s->chips_x, s->chips_y);
        print_row(out, s->name, strbuf_cstr(&text), "chips", &chips, NULL);
        if (s->barrier_ns.present) {
            strbuf_clear(&text);
            strbuf_f64(&text, s->barrier_ns.value);
            print_row(out, "  barrier", strbuf_cstr(&text), "ns", &s->barrier_ns, NULL);
        }
        if (text.status != SPK_OK)
            out->status = text.status;
        strbuf_fini(&text);
    }
    strbuf_append(out, "\nbasis: measured on the chip; simulated by the vendor before "
                       "production;\n       derived from publications or published source code; "
                       "assumed where those are silent\n");
}

static void json_words(struct json_writer *w, const struct tf_field *f, const struct tgt *t)
{
    uint32_t set;
    memcpy(&set, (const char *)t + f->offset, sizeof set);
    jw_array_begin_line(w, "value");
    for (uint32_t i = 0; i < f->n_words; i++) {
        if (set & (1u << i))
            jw_string(w, NULL, f->words[i]);
    }
    jw_array_end(w);
}

static void json_pair(struct json_writer *w, uint32_t x, uint32_t y)
{
    jw_array_begin_line(w, "value");
    jw_u64(w, NULL, x);
    jw_u64(w, NULL, y);
    jw_array_end(w);
}

static void json_rest(struct json_writer *w, const char *unit, enum tgt_basis basis,
                      const char *source)
{
    jw_string(w, "unit", unit);
    jw_string(w, "basis", tgt_basis_name(basis));
    jw_string(w, "source", source);
    jw_object_end(w);
}

static void json_constant(struct json_writer *w, const struct tf_field *f, const struct tgt *t)
{
    const struct tgt_fact *fact = tf_fact(t, f->section, f->key);
    uint32_t both[2];
    if (!fact) {
        jw_null(w, f->key);
        return;
    }
    jw_object_begin_line(w, f->key);
    switch (f->kind) {
    case TF_REAL:
        jw_f64(w, "value", fact->constant.value);
        break;
    case TF_FLAG:
        jw_bool(w, "value", fact->constant.value != 0);
        break;
    case TF_WORD:
        jw_string(w, "value", fact->text);
        break;
    case TF_SET:
        json_words(w, f, t);
        break;
    case TF_PAIR:
        memcpy(both, (const char *)t + f->offset, sizeof both);
        json_pair(w, both[0], both[1]);
        break;
    default:
        jw_i64(w, "value", (int64_t)fact->constant.value);
        break;
    }
    json_rest(w, f->unit, fact->constant.basis, fact->constant.source);
}

static void json_system(struct json_writer *w, const struct tgt_system *s)
{
    jw_object_begin(w, NULL);
    jw_string(w, "name", s->name);
    jw_object_begin_line(w, "chips");
    json_pair(w, s->chips_x, s->chips_y);
    json_rest(w, "chips", s->basis, s->source);
    if (s->barrier_ns.present) {
        jw_object_begin_line(w, "barrier");
        jw_f64(w, "value", s->barrier_ns.value);
        json_rest(w, "ns", s->barrier_ns.basis, s->barrier_ns.source);
    } else {
        jw_null(w, "barrier");
    }
    jw_object_end(w);
}

spk_status fe_target_json(const struct tgt *target, uint32_t indent, struct strbuf *out)
{
    struct json_writer w;
    char hex[SHA256_HEX_BYTES];
    sha256_to_hex(target->sha256, hex);
    jw_init(&w, out, indent);
    jw_object_begin(&w, NULL);
    jw_string(&w, "schema", "spikec-target-1");
    jw_string(&w, "name", target->name);
    jw_string(&w, "description", target->description);
    jw_string(&w, "sha256", hex);
    for (uint32_t i = 0; i < tf_n_sections; i++) {
        jw_object_begin(&w, tf_sections[i]);
        for (uint32_t j = 0; j < tf_n_fields; j++) {
            if (strcmp(tf_fields[j].section, tf_sections[i]) == 0)
                json_constant(&w, &tf_fields[j], target);
        }
        jw_object_end(&w);
    }
    jw_array_begin(&w, "systems");
    for (uint32_t i = 0; i < target->n_systems; i++)
        json_system(&w, &target->system[i]);
    jw_array_end(&w);
    jw_object_end(&w);
    return jw_finish(&w);
}
