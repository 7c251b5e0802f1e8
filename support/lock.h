/* A lock: what is behind it is done by one thread at a time. */
#ifndef SPIKEC_SUPPORT_LOCK_H
#define SPIKEC_SUPPORT_LOCK_H

#include "support/status.h"

struct lock;

/* Error: SPK_ERR_NOMEM. */
SPK_CHECKED spk_status lock_create(struct lock **out_lock);
void lock_destroy(struct lock *lock); /* NULL is allowed */
void lock_take(struct lock *lock);    /* not twice by one thread */
void lock_give(struct lock *lock);

#endif
