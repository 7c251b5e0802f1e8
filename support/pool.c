/* Fork-join pool: the workers sleep until the generation number changes, then all threads, the
 * caller among them, take chunks from one atomic counter until it runs out.
 *
 * Invariants: everything but `next` and `fail_chunk` is written under the lock while no run is
 * under way, or before the workers wake. Since chunks are handed out in increasing order, every
 * chunk before a failing one has been started and is finished when pool_run returns; hence the
 * lowest failing index does not depend on timing. */
#include "support/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "support/alloc.h"

#define POOL_MAX_THREADS 256u

struct pool_worker {
    struct pool *pool;
    uint32_t index;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t start, finish;
    uint64_t generation;
    uint32_t n_threads; /* including the caller */
    uint32_t running;   /* workers that have not finished this generation */
    bool stop;
    atomic_bool busy;

    pool_fn fn;
    void *ctx;
    uint32_t n_chunks;
    atomic_uint_fast64_t next;       /* next chunk to hand out */
    atomic_uint_fast32_t fail_chunk; /* lowest failing chunk so far */
    spk_status fail_status;
    struct pool_worker workers[]; /* [0] stands for the caller and has no thread */
};

static void run_chunks(struct pool *pool, uint32_t worker)
{
    for (;;) {
        uint64_t chunk = atomic_fetch_add(&pool->next, 1);
        spk_status status;
        if (chunk >= pool->n_chunks || chunk > atomic_load(&pool->fail_chunk))
            return;
        status = pool->fn(pool->ctx, (uint32_t)chunk, worker);
        if (status != SPK_OK) {
            pthread_mutex_lock(&pool->lock);
            if (chunk < atomic_load(&pool->fail_chunk)) {
                atomic_store(&pool->fail_chunk, (uint32_t)chunk);
                pool->fail_status = status;
            }
            pthread_mutex_unlock(&pool->lock);
        }
    }
}

static void *worker_main(void *argument)
{
    struct pool_worker *worker = argument;
    struct pool *pool = worker->pool;
    uint64_t seen = 0;
    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (!pool->stop && pool->generation == seen)
            pthread_cond_wait(&pool->start, &pool->lock);
        seen = pool->generation;
        if (pool->stop) {
            pthread_mutex_unlock(&pool->lock);
            return NULL;
        }
        pthread_mutex_unlock(&pool->lock);
        run_chunks(pool, worker->index);
        pthread_mutex_lock(&pool->lock);
        if (--pool->running == 0)
            pthread_cond_signal(&pool->finish);
        pthread_mutex_unlock(&pool->lock);
    }
}

static uint32_t usable_cpus(void)
{
    cpu_set_t set;
    int count = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    return count > 0 ? (uint32_t)count : 1;
}

spk_status pool_create(uint32_t n_threads, struct pool **out_pool)
{
    struct pool *pool;
    *out_pool = NULL;
    if (n_threads == 0)
        n_threads = usable_cpus();
    if (n_threads > POOL_MAX_THREADS)
        n_threads = POOL_MAX_THREADS;
    pool = spk_alloc_zero(sizeof *pool + n_threads * sizeof pool->workers[0]);
    if (!pool)
        return SPK_ERR_NOMEM;
    pthread_mutex_init(&pool->lock, NULL); /* these three cannot fail on Linux */
    pthread_cond_init(&pool->start, NULL);
    pthread_cond_init(&pool->finish, NULL);
    pool->n_threads = 1;
    for (uint32_t i = 1; i < n_threads; i++) {
        struct pool_worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i;
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
        pool->n_threads++;
    }
    *out_pool = pool;
    return SPK_OK;
}

void pool_destroy(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->start);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 1; i < pool->n_threads; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->finish);
    pthread_cond_destroy(&pool->start);
    pthread_mutex_destroy(&pool->lock);
    spk_free(pool);
}

uint32_t pool_threads(const struct pool *pool)
{
    return pool ? pool->n_threads : 1;
}

static spk_status run_serially(uint32_t n_chunks, pool_fn fn, void *ctx)
{
    for (uint32_t chunk = 0; chunk < n_chunks; chunk++)
        SPK_TRY(fn(ctx, chunk, 0));
    return SPK_OK;
}

spk_status pool_run(struct pool *pool, uint32_t n_chunks, pool_fn fn, void *ctx)
{
    spk_status status;
    if (!pool)
        return run_serially(n_chunks, fn, ctx);
    if (atomic_exchange(&pool->busy, true))
        return SPK_ERR_INTERNAL;
    if (pool->n_threads == 1 || n_chunks <= 1) {
        status = run_serially(n_chunks, fn, ctx);
    } else {
        pthread_mutex_lock(&pool->lock);
        pool->fn = fn;
        pool->ctx = ctx;
        pool->n_chunks = n_chunks;
        pool->fail_status = SPK_OK;
        atomic_store(&pool->next, 0);
        atomic_store(&pool->fail_chunk, UINT32_MAX);
        pool->running = pool->n_threads - 1;
        pool->generation++;
        pthread_cond_broadcast(&pool->start);
        pthread_mutex_unlock(&pool->lock);
        run_chunks(pool, 0);
        pthread_mutex_lock(&pool->lock);
        while (pool->running > 0)
            pthread_cond_wait(&pool->finish, &pool->lock);
        status = pool->fail_status;
        pthread_mutex_unlock(&pool->lock);
    }
    atomic_store(&pool->busy, false);
    return status;
}
