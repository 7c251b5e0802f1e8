/* Clock and memory use of the process, for reports. Never part of a result. */
#ifndef SPIKEC_SUPPORT_TIME_H
#define SPIKEC_SUPPORT_TIME_H

#include <stdint.h>

/* Monotonic clock, nanoseconds since an arbitrary start. */
uint64_t spk_time_ns(void);
/* CPU time of the whole process, nanoseconds. */
uint64_t spk_cpu_time_ns(void);
/* Largest resident set size so far, bytes; 0 when unknown. */
uint64_t spk_peak_rss_bytes(void);

#endif
