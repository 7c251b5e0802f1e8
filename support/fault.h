/* Fault injection for tests: makes the n-th allocation, or the n-th write to a file, fail.
 *
 * The counters are the only mutable state of the library outside objects: they are thread-local,
 * live in fault.c and exist only where SPIKEC_FAULT_INJECTION is defined (every preset except
 * release). Without it arming does nothing and spk_fault_available() is false. */
#ifndef SPIKEC_SUPPORT_FAULT_H
#define SPIKEC_SUPPORT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum spk_fault_kind { SPK_FAULT_ALLOC, SPK_FAULT_WRITE, SPK_FAULT_KIND_COUNT };

/* Whether the hook was compiled in; a test that needs it skips itself otherwise. */
bool spk_fault_available(void);

/* From now on, the nth (counted from 1) operation of this kind on this thread fails, once.
 * nth = 0 arms nothing. */
void spk_fault_arm(enum spk_fault_kind kind, uint64_t nth);

/* Disarms; returns whether the armed fault has fired. The usual loop is
 *   for (uint64_t n = 1;; n++) {
 *       spk_fault_arm(SPK_FAULT_ALLOC, n);
 *       spk_status status = parse(…);
 *       if (!spk_fault_disarm(SPK_FAULT_ALLOC)) break;   // ran through: every allocation tried
 *       assert_int_equal(status, SPK_ERR_NOMEM); …
 *   } */
bool spk_fault_disarm(enum spk_fault_kind kind);

/* Called by the places that can fail (support/alloc.c, support/file_write.c): counts one operation
 * and returns true when it must fail. */
#if defined(SPIKEC_FAULT_INJECTION)
bool spk_fault_hit(enum spk_fault_kind kind);
#else
static inline bool spk_fault_hit(enum spk_fault_kind kind)
{
    (void)kind;
    return false;
}
#endif

#endif
