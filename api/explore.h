/* What the files of `spikec explore` share. A point is one combination of the varied values; its
 * row is what came of it, one line of JSON in the folder's points.jsonl. */
#ifndef SPIKEC_API_EXPLORE_H
#define SPIKEC_API_EXPLORE_H

#include "api/api_internal.h"
#include "support/arena.h"
#include "support/json.h"
#include "support/lock.h"
#include "support/sha256.h"

#define EXPLORE_MAX_POINTS 10000u
#define EXPLORE_ROWS "points.jsonl"

enum explore_kind { EXPLORE_OPTION, EXPLORE_PARAMETER, EXPLORE_CONSTANT };
struct explore_axis {
    const char *name;
    enum explore_kind kind;
    const char *section, *key; /* of a constant */
    const char **value;
    uint32_t n;
};

/* Figures of a row, in the order of its columns; NaN: unknown. */
enum explore_figure {
    EXPLORE_CORES,
    EXPLORE_CHIPS,
    EXPLORE_NEURONS,
    EXPLORE_SYNAPSE_BITS,
    EXPLORE_LATENCY_STEPS,
    EXPLORE_LATENCY_TICKS,
    EXPLORE_INTERVAL_TICKS,
    EXPLORE_ENERGY,
    EXPLORE_BUSY,
    EXPLORE_TIME,
    EXPLORE_MESSAGES,
    EXPLORE_HOPS,
    EXPLORE_TOP1,
    EXPLORE_FIGURES
};
extern const char *const explore_figure_key[EXPLORE_FIGURES];

struct explore_point {
    char key[SHA256_HEX_BYTES]; /* of everything that the row follows from */
    const char *target;         /* name or path, of a varied description its copy in the folder */
    const char *folder;         /* compiled: "points/0123456789abcdef", below the output */
    const char *refusal;        /* what kept the point from being tried; NULL: nothing */
    bool done, fits, front;
    double figure[EXPLORE_FIGURES];
    const char *reason; /* why not */
    char *line;         /* heap; JSON of the row */
};

struct explore {
    spk_context *context;
    const struct spk_explore_options *o;
    struct arena arena;
    struct explore_axis *axis;
    uint32_t n_axes, n_points;
    struct explore_point *point;
    uint32_t n_done, n_before;  /* rows there are, and those that were there at the start */
    bool used[EXPLORE_FIGURES]; /* figures of the front: known of every row that fits */
    char *rows_path;
    int fd;            /* of the rows, open for appending; -1 */
    struct lock *lock; /* of fd, n_done and the context's callbacks */
};

/* explore_axes.c: reads --vary, makes the points, their targets (written below the output where a
 * constant is varied) and keys. */
SPK_CHECKED spk_status explore_axes(struct explore *x);
SPK_CHECKED spk_status explore_points(struct explore *x);
/* Value of axis `a` at a point. */
const char *explore_value(const struct explore *x, uint32_t point, uint32_t a);

/* explore_point.c: options of a point (settings in the arena of the point), and its row. SPK_OK
 * also where the point is refused; other statuses end the whole. */
SPK_CHECKED spk_status explore_options_of(const struct explore *x, uint32_t point,
                                          struct arena *arena, struct spk_compile_options *out);
SPK_CHECKED spk_status explore_run_point(struct explore *x, uint32_t point);
/* Sets figures, fits and reason of a point from its line. */
SPK_CHECKED spk_status explore_read_line(struct explore *x, struct explore_point *p,
                                         const char *line, size_t length, bool *out_known);

/* explore_store.c: makes the folders and opens the file of rows. */
SPK_CHECKED spk_status explore_folders(struct explore *x);
/* Rows that are there already. */
SPK_CHECKED spk_status explore_open(struct explore *x);
SPK_CHECKED spk_status explore_append(struct explore *x, const char *line);

/* explore_write.c: front, explore.json, points.csv, explore.html, and the result. */
void explore_front(struct explore *x);
SPK_CHECKED spk_status explore_write(struct explore *x, struct api_report *r);

#endif
