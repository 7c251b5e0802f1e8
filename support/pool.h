/* Fork-join thread pool on pthreads.
 *
 * The caller cuts the work into chunks whose number and borders do not depend on the number of
 * threads; each chunk writes its own results, and the caller combines them in index order. Then the
 * outcome is the same for every thread count. */
#ifndef SPIKEC_SUPPORT_POOL_H
#define SPIKEC_SUPPORT_POOL_H

#include <stdint.h>

#include "support/status.h"

struct pool;

/* Runs one chunk. `worker` is in [0, pool_threads(pool)): no two calls that run at the same time
 * have the same, so it may index scratch memory (never results). */
typedef spk_status (*pool_fn)(void *ctx, uint32_t chunk, uint32_t worker);

/* n_threads counts the calling thread; 0 means the CPUs this process may use; at most 256 are used,
 * and fewer than asked for where the system refuses more threads. Error: SPK_ERR_NOMEM. */
SPK_CHECKED spk_status pool_create(uint32_t n_threads, struct pool **out_pool);
/* Ends the threads. NULL is allowed. Must not be called while pool_run is under way. */
void pool_destroy(struct pool *pool);

/* Number of workers, 1 for NULL. */
uint32_t pool_threads(const struct pool *pool);

/* Calls fn for every chunk in [0, n_chunks) and waits for all. Chunks are handed out in index
 * order; pool NULL runs them in order on the calling thread. When chunks fail, the status of the
 * failing chunk with the lowest index is returned and chunks behind it may not have run.
 * SPK_ERR_INTERNAL when called from inside a chunk of the same pool or from two threads at once. */
SPK_CHECKED spk_status pool_run(struct pool *pool, uint32_t n_chunks, pool_fn fn, void *ctx);

#endif
