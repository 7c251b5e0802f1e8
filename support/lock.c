/* A lock, on a mutex of pthreads. */
#include "support/lock.h"

#include <pthread.h>

#include "support/alloc.h"

struct lock {
    pthread_mutex_t mutex;
};

spk_status lock_create(struct lock **out_lock)
{
    struct lock *l = spk_alloc(sizeof *l);
    *out_lock = NULL;
    if (l == NULL || pthread_mutex_init(&l->mutex, NULL) != 0) {
        spk_free(l);
        return SPK_ERR_NOMEM;
    }
    *out_lock = l;
    return SPK_OK;
}

void lock_destroy(struct lock *lock)
{
    if (lock == NULL)
        return;
    (void)pthread_mutex_destroy(&lock->mutex);
    spk_free(lock);
}

void lock_take(struct lock *lock)
{
    (void)pthread_mutex_lock(&lock->mutex);
}

void lock_give(struct lock *lock)
{
    (void)pthread_mutex_unlock(&lock->mutex);
}
