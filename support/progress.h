/* Progress reports and cancellation of long work.
 *
 * Library code receives a `const struct progress *` (NULL: nobody listens) and calls the three
 * helpers below; it passes on SPK_ERR_CANCELLED like any error. Steps may nest. Only one thread
 * calls at a time. The printer at the end is for the tool: the library never prints. */
#ifndef SPIKEC_SUPPORT_PROGRESS_H
#define SPIKEC_SUPPORT_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "support/status.h"

struct progress {
    void *ctx;
    /* Each may be NULL. total 0: unknown length. The label is only valid during the call. */
    void (*begin)(void *ctx, const char *label, uint64_t total);
    void (*update)(void *ctx, uint64_t done);
    void (*end)(void *ctx);
    /* Set to non-zero by anyone, also a signal handler, to stop the work; may be NULL. */
    const atomic_int *cancel;
    /* Asked now and then, by any thread: true stops the work. May be NULL. */
    bool (*poll)(void *ctx);
};

void progress_begin(const struct progress *progress, const char *label, uint64_t total);
/* SPK_ERR_CANCELLED when the caller wants to stop, otherwise SPK_OK. Cheap enough per image or
 * per thousand moves. */
SPK_CHECKED spk_status progress_update(const struct progress *progress, uint64_t done);
void progress_end(const struct progress *progress);
/* Only the question; callable from any thread. */
bool progress_cancelled(const struct progress *progress);
/* What asks `progress` (NULL: nobody) whether to stop and reports nothing: for work beside the work
 * that is reported. */
struct progress progress_silent(const struct progress *progress);

/* ---- terminal bar, used by the tool only ---- */

struct progress_bar {
    FILE *stream;
    bool enabled; /* stream is a terminal and not --quiet */
    uint32_t depth;
    char label[64];
    uint64_t total, done, start_ns, last_ns;
};

/* `enabled` false makes all calls silent. */
void progress_bar_init(struct progress_bar *bar, FILE *stream, bool enabled);
/* Callbacks that draw on `bar`, at most ten times a second, and wipe the line at the end. */
struct progress progress_bar_callbacks(struct progress_bar *bar, const atomic_int *cancel);

#endif
