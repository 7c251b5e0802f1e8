/* Progress helpers, and the terminal bar of the tool. */
#include "support/progress.h"

#include <string.h>

#include "support/strbuf.h"
#include "support/time.h"

#define BAR_CELLS 24u
#define BAR_INTERVAL_NS UINT64_C(100000000)

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

/* ---- terminal bar ---- */

void progress_bar_init(struct progress_bar *bar, FILE *stream, bool enabled)
{
    *bar = (struct progress_bar){.stream = stream, .enabled = enabled};
}

static void bar_draw(const struct progress_bar *bar, uint64_t now)
{
    unsigned long long seconds = (now - bar->start_ns) / UINT64_C(1000000000);
    char cells[BAR_CELLS + 1];
    if (bar->total > 0) {
        double part = (double)bar->done / (double)bar->total;
        uint32_t full = part >= 1.0 ? BAR_CELLS : (uint32_t)(part * BAR_CELLS);
        memset(cells, '.', BAR_CELLS);
        memset(cells, '#', full);
        cells[BAR_CELLS] = '\0';
        (void)fprintf(bar->stream, "\r\033[K%s [%s] %3u%% %llus", bar->label, cells,
                      part >= 1.0 ? 100u : (unsigned)(part * 100.0), seconds);
    } else {
        (void)fprintf(bar->stream, "\r\033[K%s %llu  %llus", bar->label,
                      (unsigned long long)bar->done, seconds);
    }
    (void)fflush(bar->stream);
}

/* Only the outermost step is drawn; steps inside it do not touch the bar. */
static void bar_begin(void *ctx, const char *label, uint64_t total)
{
    struct progress_bar *bar = ctx;
    if (bar->depth++ > 0 || !bar->enabled)
        return;
    (void)spk_snprintf(bar->label, sizeof bar->label, "%s", label);
    bar->total = total;
    bar->done = 0;
    bar->start_ns = bar->last_ns = spk_time_ns();
}

static void bar_update(void *ctx, uint64_t done)
{
    struct progress_bar *bar = ctx;
    uint64_t now;
    if (bar->depth != 1 || !bar->enabled)
        return;
    bar->done = done;
    now = spk_time_ns();
    if (now - bar->last_ns < BAR_INTERVAL_NS)
        return;
    bar->last_ns = now;
    bar_draw(bar, now);
}

static void bar_end(void *ctx)
{
    struct progress_bar *bar = ctx;
    if (bar->depth == 0 || --bar->depth > 0 || !bar->enabled)
        return;
    (void)fputs("\r\033[K", bar->stream);
    (void)fflush(bar->stream);
}

struct progress progress_bar_callbacks(struct progress_bar *bar, const atomic_int *cancel)
{
    return (struct progress){
        .ctx = bar, .begin = bar_begin, .update = bar_update, .end = bar_end, .cancel = cancel};
}
