/* Contexts and results of the public API. */
#include <math.h>
#include <string.h>

#include "api/api_internal.h"
#include "config.h"
#include "support/alloc.h"
#include "support/time.h"

#define LONGEST_LIMIT 1e9 /* seconds */

const char *spk_version(void)
{
    return SPIKEC_VERSION;
}

static void forward_begin(void *ctx, const char *label, uint64_t total)
{
    spk_context *c = ctx;
    spk_snprintf(c->step.label, sizeof c->step.label, "%s", label);
    c->step.total = total;
    if (c->options.progress != NULL)
        c->options.progress(c->options.user, c->step.label, 0, total);
}

static void forward_update(void *ctx, uint64_t done)
{
    spk_context *c = ctx;
    if (c->options.progress != NULL)
        c->options.progress(c->options.user, c->step.label, done, c->step.total);
}

static void forward_end(void *ctx)
{
    spk_context *c = ctx;
    if (c->options.progress != NULL)
        c->options.progress(c->options.user, c->step.label, c->step.total, c->step.total);
}

void api_progress_begin(spk_context *c, const char *label, uint64_t total)
{
    forward_begin(c, label, total);
}

void api_progress(void *context, uint64_t done, uint64_t total)
{
    spk_context *c = context;
    c->step.total = total;
    forward_update(c, done);
}

bool api_cancelled(void *context)
{
    spk_context *c = context;
    int why = API_GO_ON;
    if (c->ended != API_GO_ON)
        return false;
    if (c->deadline_ns != 0 && spk_time_ns() >= c->deadline_ns)
        why = API_TIME_LIMIT;
    if (c->options.cancelled != NULL && !atomic_flag_test_and_set(&c->asking)) {
        if (c->options.cancelled(c->options.user))
            why = API_CANCELLED;
        atomic_flag_clear(&c->asking);
    }
    if (why != API_GO_ON)
        atomic_store(&c->cancel, why);
    return atomic_load(&c->cancel) != API_GO_ON;
}

bool api_end_early(spk_context *c)
{
    if (c->whole)
        return false;
    c->ended = (enum api_end)atomic_load(&c->cancel);
    atomic_store(&c->cancel, API_GO_ON);
    return true;
}

const char *api_ended(const spk_context *c)
{
    return c->ended == API_TIME_LIMIT  ? "time-limit"
           : c->ended == API_CANCELLED ? "cancelled"
                                       : NULL;
}

spk_status api_poll(spk_context *c)
{
    return api_cancelled(c) ? SPK_ERR_CANCELLED : SPK_OK;
}

int spk_context_create(const struct spk_context_options *options, spk_context **out_context)
{
    spk_context *c;
    *out_context = NULL;
    SPK_TRY(spk_alloc_array(1, sizeof *c, &c));
    if (options != NULL)
        c->options = *options;
    diag_init(&c->diags);
    atomic_init(&c->cancel, API_GO_ON);
    atomic_flag_clear(&c->asking);
    c->progress =
        (struct progress){c, forward_begin, forward_update, forward_end, &c->cancel, api_cancelled};
    spk_status status = pool_create(c->options.threads, &c->pool);
    if (status != SPK_OK) {
        spk_context_destroy(c);
        return status;
    }
    *out_context = c;
    return SPK_OK;
}

void spk_context_destroy(spk_context *c)
{
    if (c == NULL)
        return;
    pool_destroy(c->pool);
    diag_fini(&c->diags);
    strbuf_fini(&c->rendered);
    spk_free(c);
}

void api_begin(spk_context *c)
{
    const double limit = c->options.time_limit;
    diag_clear(&c->diags);
    atomic_store(&c->cancel, API_GO_ON);
    c->ended = API_GO_ON;
    c->deadline_ns = limit > 0 ? spk_time_ns() + (uint64_t)(fmin(limit, LONGEST_LIMIT) * 1e9) : 0;
}

const char *spk_context_diagnostics(spk_context *c)
{
    strbuf_clear(&c->rendered);
    diag_render(&c->diags, NULL, &c->rendered);
    return strbuf_cstr(&c->rendered);
}

const char *spk_context_diagnostics_json(spk_context *c)
{
    strbuf_clear(&c->rendered);
    diag_render_json(&c->diags, &c->rendered);
    return strbuf_cstr(&c->rendered);
}

const char *spk_result_json(const spk_result *r)
{
    return r ? strbuf_cstr(&r->json) : "";
}

const char *spk_result_text(const spk_result *r)
{
    return r ? strbuf_cstr(&r->text) : "";
}

void spk_result_free(spk_result *r)
{
    if (r == NULL)
        return;
    strbuf_fini(&r->json);
    strbuf_fini(&r->text);
    spk_free(r);
}

spk_status api_report_begin(struct api_report *r, const char *command)
{
    memset(r, 0, sizeof *r);
    SPK_TRY(spk_alloc_array(1, sizeof *r->result, &r->result));
    jw_init(&r->w, &r->result->json, 2);
    jw_object_begin(&r->w, NULL);
    jw_i64(&r->w, "schema", 1);
    jw_string(&r->w, "command", command);
    return SPK_OK;
}

spk_status api_report_end(struct api_report *r, spk_status status, bool keep, spk_result **out)
{
    if (r->result == NULL)
        return status;
    if (status == SPK_OK || status == SPK_DIFFERENCE || keep) {
        jw_object_end(&r->w);
        spk_status end = jw_finish(&r->w);
        if (end == SPK_OK)
            end = r->result->text.status;
        if (end == SPK_OK) {
            *out = r->result;
            r->result = NULL;
            return status;
        }
        status = end;
    }
    spk_result_free(r->result);
    r->result = NULL;
    return status;
}

spk_status api_report_end_early(spk_context *c, struct api_report *r, spk_status status,
                                const char *what, spk_result **out)
{
    const char *ended = api_ended(c);
    const bool has_result = status == SPK_OK || status == SPK_DIFFERENCE;
    if (r->result != NULL && has_result) {
        jw_string(&r->w, "ended_early", ended);
        if (ended != NULL)
            strbuf_printf(&r->result->text, "%s: %s\n",
                          c->ended == API_TIME_LIMIT ? "ended at the time limit" : "interrupted",
                          what);
    }
    if (status == SPK_OK && c->ended == API_CANCELLED)
        status = SPK_ERR_CANCELLED;
    return api_report_end(r, status, has_result, out);
}
