/* Puts the page together: skeleton, style, the drawing library D3, the page's own scripts, and the
 * data, which stand in a block of JSON that no browser executes. Names come from models that may be
 * anybody's: '<' is escaped there, and the scripts put every name on the page as text. */
#include <string.h>

#include "backends/report/report_internal.h"
#include "report_activity_js.h"
#include "report_base_js.h"
#include "report_charts_js.h"
#include "report_css.h"
#include "report_d3_js.h"
#include "report_d3_licence.h"
#include "report_explore_html_part.h"
#include "report_explore_js.h"
#include "report_floorplan_js.h"
#include "report_graph_js.h"
#include "report_main_js.h"
#include "report_page_html.h"
#include "report_probes_js.h"
#include "report_tables_js.h"

#define PART(name)                         \
    {                                      \
        (const char *)(name), sizeof(name) \
    }
struct part {
    const char *text;
    size_t length;
};

bool report_available(void)
{
    return sizeof report_d3_js > 1;
}

static void append(struct strbuf *out, struct part p)
{
    strbuf_append_n(out, p.text, p.length);
}

/* JSON inside a script element: nothing in it may look like a tag. '<' stands in strings only. */
static void append_escaped(struct strbuf *out, const char *text, size_t length)
{
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '<')
            continue;
        strbuf_append_n(out, text + from, i - from);
        strbuf_append(out, "\\u003c");
        from = i + 1;
    }
    strbuf_append_n(out, text + from, length - from);
}

static void append_d3(struct strbuf *out)
{
    strbuf_append(out, "<script>\n/*\n");
    append(out, (struct part)PART(report_d3_licence));
    strbuf_append(out, "*/\n");
    append(out, (struct part)PART(report_d3_js));
    strbuf_append(out, "</script>\n");
}

/* Head, style, skeleton, data. */
static void begin_page(struct strbuf *out, const char *title, struct part skeleton,
                       const char *data, size_t length)
{
    strbuf_append(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                       "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\">\n"
                       "<meta name=\"generator\" content=\"spikec " SPIKEC_VERSION "\">\n");
    strbuf_printf(out, "<title>%s</title>\n<style>\n", title);
    append(out, (struct part)PART(report_css));
    strbuf_append(out, "</style>\n</head>\n<body>\n");
    append(out, skeleton);
    strbuf_append(out, "<script type=\"application/json\" id=\"data\">\n");
    append_escaped(out, data, length);
    strbuf_append(out, "</script>\n");
    append_d3(out);
}

static void end_page(struct strbuf *out, const struct part *scripts, size_t n)
{
    strbuf_append(out, "<script>\n\"use strict\";\n");
    for (size_t i = 0; i < n; i++)
        append(out, scripts[i]);
    strbuf_append(out, "</script>\n</body>\n</html>\n");
}

spk_status report_html(const struct rep_folder *f, const struct rep_activity *activity,
                       const struct rep_probes *probes, struct strbuf *out)
{
    static const struct part scripts[] = {PART(report_base_js),   PART(report_floorplan_js),
                                          PART(report_graph_js),  PART(report_charts_js),
                                          PART(report_probes_js), PART(report_activity_js),
                                          PART(report_tables_js), PART(report_main_js)};
    struct strbuf data = {0};
    report_data(f, activity, probes, &data);
    begin_page(out, "spikec report", (struct part)PART(report_page_html), strbuf_cstr(&data),
               data.len);
    if (data.status != SPK_OK && out->status == SPK_OK)
        out->status = data.status;
    strbuf_fini(&data);
    end_page(out, scripts, sizeof scripts / sizeof scripts[0]);
    return out->status;
}

spk_status report_explore_html(const char *json, size_t length, struct strbuf *out)
{
    static const struct part scripts[] = {PART(report_explore_js)};
    begin_page(out, "spikec explore", (struct part)PART(report_explore_html_part), json, length);
    end_page(out, scripts, sizeof scripts / sizeof scripts[0]);
    return out->status;
}
