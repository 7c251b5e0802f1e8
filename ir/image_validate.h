/* Checking the tables of an image: the state of a check and the rules it is made of. Internal to
 * ir/image_validate*.c. */
#ifndef SPIKEC_IR_IMAGE_VALIDATE_H
#define SPIKEC_IR_IMAGE_VALIDATE_H

#include "ir/image.h"

#define IMG_MAX_REPORTS 50u
#define IMG_MAX_STEP ((uint32_t)1 << 30)

struct place {
    uint32_t chip, y, x, core;
};
struct check {
    const struct image *im;
    const char *name; /* of the file */
    struct diag_list *d;
    uint32_t reports;
    const char *table; /* row under inspection */
    uint64_t row;
    struct place *places; /* [n_cores], sorted */
    uint32_t *task_of;    /* [n_cores]: task of an attention engine, else IMG_NONE */
    uint64_t *extent;     /* [n_contents]: largest run end + 1 of a list content */
};

/* Sets the row that rules are about; false when enough was reported. */
bool img_row_is(struct check *c, const char *table, uint64_t row);
/* "TABLE[ROW].FIELD: VALUE is not RULE BOUND, OF" */
void img_report(struct check *c, const char *field, uint64_t value, const char *rule,
                uint64_t bound, const char *of);
/* Rules: each reports where it does not hold and tells whether it does; `of` says what the bound
 * is, "" where that is plain. img_range: first .. first + n - 1 lies inside 0 .. limit - 1.    */
bool img_below(struct check *c, const char *field, uint64_t value, uint64_t limit, const char *of);
bool img_at_most(struct check *c, const char *field, uint64_t value, uint64_t limit,
                 const char *of);
bool img_at_least(struct check *c, const char *field, uint64_t value, uint64_t limit,
                  const char *of);
bool img_equals(struct check *c, const char *field, uint64_t value, uint64_t wanted,
                const char *of);
bool img_range(struct check *c, const char *field, uint64_t first, uint64_t n, uint64_t limit,
               const char *of);
/* height * width of a layer. */
uint64_t img_positions(const struct img_layer *l);

/* Tables of the host's side (image_validate_host.c). check_meta and check_layers need nothing;
 * encoder and head need sound layers; tasks, ports and injections sound cores as well.         */
void img_check_meta(struct check *c);
SPK_CHECKED spk_status img_check_layers(struct check *c);
void img_check_encoder(struct check *c);
void img_check_head(struct check *c);
void img_check_sums(struct check *c);
void img_check_tasks(struct check *c);
void img_check_host(struct check *c);

#endif
