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
    if (progress == NULL)
        return false;
    return (progress->cancel && atomic_load(progress->cancel) != 0) ||
           (progress->poll && progress->poll(progress->ctx));
}

struct progress progress_silent(const struct progress *progress)
{
    if (progress == NULL)
        return (struct progress){0};
    return (struct progress){
        .ctx = progress->ctx, .cancel = progress->cancel, .poll = progress->poll};
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
