/* Members of the page's data that are copied from the folder's JSON as they are. */
#include <string.h>

#include "backends/report/report_internal.h"

/* Members of an object except the named ones, which are tables of their own. */
static void copy_members(const struct json_value *value, const char *const *except,
                         struct strbuf *out)
{
    const struct json_cursor root = js_root(value, "", NULL);
    struct json_cursor member;
    void *iterator = NULL;
    bool first = true;
    strbuf_char(out, '{');
    while (js_next_member(&root, &iterator, &member)) {
        bool skip = false;
        for (const char *const *e = except; *e != NULL; e++)
            skip |= strcmp(*e, member.key) == 0;
        if (skip)
            continue;
        strbuf_append(out, first ? "" : ",\n");
        strbuf_json_string(out, member.key, strlen(member.key));
        strbuf_char(out, ':');
        js_dump(member.value, 0, out);
        first = false;
    }
    strbuf_char(out, '}');
}

void report_extracts(const struct rep_folder *f, struct strbuf *out)
{
    static const char *const in_mapping[] = {"layers", "sums", "cores", "tiles", "mesh", NULL};
    static const char *const in_cost[] = {"layers", "cores", "chips", "links", NULL};
    strbuf_append(out, "\"mapping\":");
    copy_members(f->mapping, in_mapping, out);
    strbuf_append(out, ",\n\"cost\":");
    copy_members(f->cost, in_cost, out);
    strbuf_append(out, ",\n\"verify\":");
    if (f->verify != NULL)
        js_dump(f->verify, 0, out);
    else
        strbuf_append(out, "null");
    strbuf_char(out, '\n');
}
