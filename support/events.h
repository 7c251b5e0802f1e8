/* Recordings of event cameras as lists of (t, x, y, p), from NumPy and AEDAT files.
 *
 * NumPy (.npy, versions 1 to 3): one dimension of records with fields t, x, y, p (others are
 * skipped), or [N,4] of t, x, y, p; integers or whole floats, little-endian. AEDAT 2.0: lines of
 * text that begin with '#', then pairs of 32-bit big-endian address and time stamp in microseconds.
 * A DVS128 address holds polarity in bit 0 (1: darker), column in bits 1-7, row in bits 8-14;
 * addresses with bit 15 are not from pixels and are skipped. Errors are diagnostics with the file's
 * name. */
#ifndef SPIKEC_SUPPORT_EVENTS_H
#define SPIKEC_SUPPORT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/diag.h"
#include "support/safetensors.h"
#include "support/status.h"
#include "support/vec.h"

struct event {
    int64_t t;
    uint16_t x, y;
    uint8_t p; /* 1: brighter */
};
struct event_list VEC_FIELDS(struct event);

/* Which way AEDAT addresses look: as a DVS128 is shown (x = 127 - column, y = row), or as
 * CIFAR10-DVS was recorded (x = 127 - row, y = 127 - column). */
enum event_layout { EVENTS_DVS128, EVENTS_CIFAR10_DVS };

/* Whether bytes begin as one of the formats. */
bool events_is_recording(const uint8_t *data, size_t size);
/* Time stamps that go backwards are an error. *out_events is released with vec_fini, also on
 * error. */
SPK_CHECKED spk_status events_read(const uint8_t *data, size_t size, const char *name,
                                   enum event_layout layout, struct diag_list *diags,
                                   struct event_list *out_events);

/* Any NumPy array of numbers in C order, of at most 4 axes: *out_tensor, named `name`, lies in
 * `data`. NumPy's booleans are BOOL. */
bool npy_is_array(const uint8_t *data, size_t size);
SPK_CHECKED spk_status npy_array(const uint8_t *data, size_t size, const char *name,
                                 struct diag_list *diags, struct st_tensor *out_tensor);

#endif
