/* The format of a target description as one table: every constant, where it stands in the YAML
 * file, its unit and range, and where it goes in struct tgt. Reader, printer and JSON writer all
 * run over this table, so that a constant cannot be read but not shown.                          */
#ifndef SPIKEC_FRONTEND_TARGET_FIELDS_H
#define SPIKEC_FRONTEND_TARGET_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ir/target.h"

enum tf_kind {
    TF_COUNT, /* integer, struct tgt_const */
    TF_REAL,  /* real, struct tgt_const */
    TF_U8,
    TF_U16,
    TF_U32,
    TF_I8,
    TF_FLAG, /* true, false: bool */
    TF_WORD, /* one of words[]: enum, by index */
    TF_SET,  /* list of words[]: uint32_t, bit i for word i */
    TF_PAIR  /* [x, y]: two consecutive uint32_t */
};
enum tf_need {
    TF_REQUIRED,
    TF_OPTIONAL, /* absent: never published, or no limit */
    TF_FIXED     /* required for hard-wired neurons, not allowed for programmable ones */
};

struct tf_field {
    const char *section, *key, *unit;
    enum tf_kind kind;
    enum tf_need need;
    double min, max; /* numbers and both parts of a pair */
    size_t offset;   /* in struct tgt */
    const char *const *words;
    uint32_t n_words;
};

/* All constants but those of `systems`, section by section. */
extern const struct tf_field tf_fields[];
extern const uint32_t tf_n_fields;
/* Names of the sections in order. */
extern const char *const tf_sections[];
extern const uint32_t tf_n_sections;

/* The constant as it was read, NULL when it is absent. */
const struct tgt_fact *tf_fact(const struct tgt *t, const char *section, const char *key);

#endif
