/* Progress helpers. */
#include "support/progress.h"

#include <stddef.h>

void progress_begin(const struct progress *progress, const char *label, uint64_t total)
{
    if (progress && progress->begin)
        progress->begin(progress->ctx, label, total);
}

bool progress_cancelled(const struct progress *progress)
{
    return progress && progress->cancel && atomic_load(progress->cancel) != 0;
}

spk_status progress_update(const struct progress *progress, uint64_t done)
{
    if (progress && progress->update)
        progress->update(progress->ctx, done);
    return progress_cancelled(progress) ? SPK_ERR_CANCELLED : SPK_OK;
}

void progress_end(const struct progress *progress)
{
    if (progress && progress->end)
        progress->end(progress->ctx);
}
