/* Reads SANA-FE's result files, line by line; every line is checked. Cost: linear, and a sort. */
#include "backends/sanafe/sanafe_results.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"
#include "support/file.h"

const char *const sanafe_component_names[SANAFE_COMPONENTS] = {"synapse", "dendrite", "soma",
                                                               "network"};

struct lines {
    const char *path, *at, *end;
    uint32_t number; /* of the line given last */
    struct diag_list *d;
};

static bool next_line(struct lines *l, const char **out, size_t *out_length)
{
    if (l->at >= l->end)
        return false;
    const char *stop = memchr(l->at, '\n', (size_t)(l->end - l->at));
    const char *end = stop != NULL ? stop : l->end;
    *out = l->at;
    *out_length = (size_t)(end - l->at);
    if (*out_length > 0 && end[-1] == '\r')
        (*out_length)--;
    l->at = stop != NULL ? stop + 1 : l->end;
    l->number++;
    return true;
}

static spk_status damaged(const struct lines *l, const char *code, const char *what)
{
    return diag_error(l->d, diag_place(l->d, "%s", l->path), code, "line %u: %s", l->number, what);
}

static spk_status open_lines(struct lines *l, const char *path, struct diag_list *d, char **out)
{
    size_t size = 0;
    SPK_TRY(file_read_gz(path, (size_t)1 << 31, d, out, &size));
    *l = (struct lines){path, *out, *out + size, 0, d};
    return SPK_OK;
}

static bool take_u32(const char **at, const char *end, char stop, uint32_t *out)
{
    const char *from = *at;
    uint64_t v = 0;
    for (; *at < end && **at >= '0' && **at <= '9' && v <= UINT32_MAX; (*at)++)
        v = 10 * v + (uint64_t)(**at - '0');
    if (*at == from || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    if (stop == '\0')
        return *at == end;
    return *at < end && *(*at)++ == stop;
}

static int compare_spikes(const void *a, const void *b)
{
    const struct sanafe_spike *p = a, *q = b;
    if (p->step != q->step)
        return p->step < q->step ? -1 : 1;
    if (p->group != q->group)
        return p->group < q->group ? -1 : 1;
    return (p->neuron > q->neuron) - (p->neuron < q->neuron);
}

static spk_status read_rows(struct lines *l, struct sanafe_spikes *out)
{
    const char *line;
    size_t length;
    if (!next_line(l, &line, &length) || length != 15 || memcmp(line, "neuron,timestep", 15) != 0)
        return damaged(l, "E0730", "expected the headings 'neuron,timestep'");
    while (next_line(l, &line, &length)) {
        const char *at = line, *end = line + length;
        struct sanafe_spike s;
        at += length > 0 && *at == 'g';
        if (!take_u32(&at, end, '.', &s.group) || !take_u32(&at, end, ',', &s.neuron) ||
            !take_u32(&at, end, '\0', &s.step))
            return damaged(l, "E0730", "expected 'group.neuron,timestep'");
        SPK_TRY(vec_push(out, s));
    }
    if (out->len > 0)
        qsort(out->data, out->len, sizeof *out->data, compare_spikes);
    return SPK_OK;
}

spk_status sanafe_read_spikes(const char *path, struct diag_list *d, struct sanafe_spikes *out)
{
    struct lines l;
    char *text = NULL;
    SPK_TRY(open_lines(&l, path, d, &text));
    spk_status status = read_rows(&l, out);
    spk_free(text);
    return status;
}

/* ---- run_summary.yaml ---- */

/* "key: value" or "key:value", key at the start behind blanks. */
static bool value_of(const char *line, size_t length, const char *key, double *out)
{
    const size_t n = strlen(key);
    while (length > 0 && *line == ' ')
        line++, length--;
    if (length <= n || memcmp(line, key, n) != 0 || line[n] != ':')
        return false;
    for (line += n + 1, length -= n + 1; length > 0 && *line == ' ';)
        line++, length--;
    return spk_parse_f64(line, length, out);
}

static spk_status read_figures(struct lines *l, struct sanafe_summary *out)
{
    struct {
        const char *key;
        double value;
        bool found;
    } f[] = {{"timesteps_executed", 0, false},
             {"total_neurons_fired", 0, false},
             {"total_messages_sent", 0, false},
             {"total_spikes", 0, false},
             {"sim_time", 0, false},
             {sanafe_component_names[0], 0, false},
             {sanafe_component_names[1], 0, false},
             {sanafe_component_names[2], 0, false},
             {sanafe_component_names[3], 0, false}};
    const size_t n = sizeof f / sizeof f[0];
    const char *line;
    size_t length;
    while (next_line(l, &line, &length)) {
        if (length == 10 && memcmp(line, "wall_time:", 10) == 0)
            break;
        for (size_t i = 0; i < n; i++)
            f[i].found = f[i].found || value_of(line, length, f[i].key, &f[i].value);
    }
    for (size_t i = 0; i < n; i++)
        if (!f[i].found || !(f[i].value >= 0.0 && f[i].value < 1e18))
            return diag_error(l->d, diag_place(l->d, "%s", l->path), "E0731",
                              "there is no figure '%s'", f[i].key);
    *out = (struct sanafe_summary){.timesteps = (uint64_t)f[0].value,
                                   .fired = (uint64_t)f[1].value,
                                   .messages = (uint64_t)f[2].value,
                                   .events = (uint64_t)f[3].value,
                                   .seconds = f[4].value};
    for (int i = 0; i < SANAFE_COMPONENTS; i++)
        out->energy_pj[i] = f[5 + i].value * 1e12;
    return SPK_OK;
}

spk_status sanafe_read_summary(const char *path, struct diag_list *d, struct sanafe_summary *out)
{
    struct lines l;
    char *text = NULL;
    SPK_TRY(open_lines(&l, path, d, &text));
    spk_status status = read_figures(&l, out);
    spk_free(text);
    return status;
}

/* ---- perf.csv ---- */

/* Column `index` of a line. */
static bool column(const char *line, size_t length, size_t index, const char **out, size_t *out_n)
{
    const char *end = line + length;
    for (;; index--) {
        const char *stop = memchr(line, ',', (size_t)(end - line));
        if (index == 0) {
            *out = line;
            *out_n = (size_t)((stop != NULL ? stop : end) - line);
            return true;
        }
        if (stop == NULL)
            return false;
        line = stop + 1;
    }
}

static bool find_column(const char *line, size_t length, enum sanafe_component c, size_t *out)
{
    char name[32];
    const char *text;
    size_t n;
    spk_snprintf(name, sizeof name, "%s_energy", sanafe_component_names[c]);
    for (size_t i = 0; column(line, length, i, &text, &n); i++)
        if (n == strlen(name) && memcmp(text, name, n) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static spk_status read_steps(struct lines *l, struct sanafe_perf *out)
{
    size_t at[SANAFE_COMPONENTS], length, n;
    const char *line, *text;
    *out = (struct sanafe_perf){0};
    if (!next_line(l, &line, &length))
        return damaged(l, "E0732", "the file is empty");
    for (int c = 0; c < SANAFE_COMPONENTS; c++)
        if (!find_column(line, length, (enum sanafe_component)c, &at[c]))
            return damaged(l, "E0732", "a column of energies is missing");
    while (next_line(l, &line, &length)) {
        for (int c = 0; c < SANAFE_COMPONENTS; c++) {
            double v;
            if (!column(line, length, at[c], &text, &n) || !spk_parse_f64(text, n, &v))
                return damaged(l, "E0732", "an energy is no number");
            out->energy_pj[c] += v * 1e12;
        }
        out->timesteps++;
    }
    return SPK_OK;
}

spk_status sanafe_read_perf(const char *path, struct diag_list *d, struct sanafe_perf *out)
{
    struct lines l;
    char *text = NULL;
    SPK_TRY(open_lines(&l, path, d, &text));
    spk_status status = read_steps(&l, out);
    spk_free(text);
    return status;
}
