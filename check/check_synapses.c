/* Checker, part 7: synapses and biases of all connections, core by core.
 *
 * For every in-axon, everything that sends to it is found through the index (out-axons of source
 * cores, injections); each atom is a source neuron, each row its synapses. Per compartment the
 * linear hash of what arrives on either port is compared with the module's (check_expected.c);
 * enable spikes add up to biases. Inner populations whose weights the module does not fix must
 * have one weight w each, and thresholds that make them what they stand for: OR and relay
 * 0 < vth <= w, AND w < vth <= 2w, thermometer (theta - 1)w < vth <= theta w, and whatever stays
 * below the threshold must leak away within one step. Cores are independent (parallel); reports
 * are made afterwards in core order. Where the atoms of an axon are neighbouring channels of one
 * position, its rows are added up once for all positions (check_sums.c). Memory per thread: linear
 * in the compartments of a core. */
#include "check/check_internal.h"

#include <stdlib.h>
#include <string.h>

#include "support/alloc.h"
#include "support/pool.h"
#include "support/progress.h"

#define KEPT 4 /* wrong compartments per core that are reported one by one */

enum wrong { WRONG_SYNAPSES, WRONG_BIAS, WRONG_THRESHOLD };
struct finding {
    uint32_t comp;
    enum wrong what;
    int64_t expected, found;
};
struct core_result {
    struct finding kept[KEPT];
    uint64_t wrong, synapses;
    bool times; /* some connection needs a closer look at its time */
};

/* What arrives at the compartments of one core. */
struct arrivals {
    uint64_t *hash[2];          /* by port; [compartments] */
    uint64_t *expected;         /* [neurons of a group] */
    int64_t *bias, *low, *high; /* enable sum; extreme weights that are not 0 */
    size_t size;
    struct check_sums sums;
};
struct job {
    struct check *c;
    struct arrivals *worker;
    struct core_result *result;
};

bool check_feeder_source(const struct check *c, uint64_t id, uint32_t atom, struct source *out)
{
    if (id < c->im->n_out_axons)
        return check_neuron_of(c, c->out_core[id], check_out_comp(c, id, atom), out, NULL);
    const struct img_injection *j = &c->im->injections[id - c->im->n_out_axons];
    *out = (struct source){j->layer, img_channel(c->im, j->layer, j->channel_first + atom),
                           j->position};
    return true;
}

uint32_t check_feeder_atoms(const struct check *c, uint64_t id)
{
    if (id < c->im->n_out_axons)
        return c->im->out_axons[id].comp_count;
    const struct img_injection *j = &c->im->injections[id - c->im->n_out_axons];
    return j->kind == IMG_INJECT_ENABLE ? 1 : j->n_channels;
}

/* The atom of the feeder's first source. */
uint32_t check_feeder_atom(const struct check *c, uint64_t id)
{
    return id < c->im->n_out_axons ? c->im->out_axons[id].atom_first : 0;
}

bool check_is_enable(const struct check *c, uint64_t id)
{
    return id >= c->im->n_out_axons &&
           c->im->injections[id - c->im->n_out_axons].kind == IMG_INJECT_ENABLE;
}

/* Targets out of [first, first + n) for which 0 <= at - out * stride < kernel: [*lo, *hi). */
static void reached(int64_t at, int64_t stride, int64_t kernel, int64_t first, int64_t n,
                    int64_t *lo, int64_t *hi)
{
    int64_t least = at - kernel + 1 > 0 ? (at - kernel + stride) / stride : 0;

    *lo = least > first ? least : first;
    *hi = at / stride + 1 < first + n ? at / stride + 1 : first + n;
}

void check_each_run(const struct check *c, const struct img_in_axon *a, uint32_t atom,
                    check_run_fn fn, void *ctx)
{
    const struct image *im = c->im;
    const struct img_content *t = &im->contents[im->blocks[a->block].content];

    if (t->kind != IMG_BLOCK_CONV) {
        const struct img_row *row = &im->rows[t->row_first + a->row + atom];
        size_t at = 0;

        for (uint64_t i = row->run_first; i < row->run_first + row->n_runs; i++) {
            fn(ctx, a->base + im->runs[i].start, im->runs[i].length,
               im->weights + im->runs[i].weight_first, at);
            at += im->runs[i].length;
        }
        return;
    }
    const struct img_group *g = &im->groups[a->group];
    const int8_t *w =
        im->weights + t->weight_first + (size_t)(a->row + atom) * t->kernel_h * t->kernel_w * t->nc;
    int64_t sy = a->base / a->src_width + t->pad, sx = a->base % a->src_width + t->pad;
    int64_t y, x0, y1, x1;
    reached(sy, t->stride, t->kernel_h, g->y0, g->ny, &y, &y1);
    reached(sx, t->stride, t->kernel_w, g->x0, g->nx, &x0, &x1);
    for (; y < y1; y++) {
        for (int64_t x = x0; x < x1; x++) {
            size_t tap = (size_t)((sy - y * t->stride) * t->kernel_w + sx - x * t->stride);
            uint32_t p = (uint32_t)(y - g->y0) * g->nx + (uint32_t)(x - g->x0);

            fn(ctx, img_group_comp(g, p * g->nc), g->nc, w + tap * t->nc, tap * t->nc);
        }
    }
}

/* Whether an axon's weights are added up when its spikes come; learning synapses and their teachers
 * are looked at in check_plastic.c. */
static bool plain_synapses(const struct check *c, const struct img_in_axon *a)
{
    return a->port <= IMG_PORT_SECOND && a->block != IMG_NONE &&
           c->im->blocks[a->block].kind != IMG_BLOCK_PLASTIC;
}

struct adding {
    struct arrivals *to;
    uint64_t scale; /* hash of the source << shift; with sums: of its layer and position */
    const uint64_t *sums;
    uint32_t port, shift, atoms;
    bool enable, uniform;
    uint64_t synapses;
};

/* All rows of an axon at once. */
static void add_sums(void *ctx, uint32_t first, uint32_t n, const int8_t *weights, size_t at)
{
    struct adding *a = ctx;
    uint64_t *hash = a->to->hash[a->port] + first;
    const uint64_t *sums = a->sums + at;

    (void)weights;
    a->synapses += (uint64_t)n * a->atoms;
    for (uint32_t i = 0; i < n; i++)
        hash[i] += a->scale * sums[i];
}

static void add_run(void *ctx, uint32_t first, uint32_t n, const int8_t *weights, size_t at)
{
    struct adding *a = ctx;
    uint64_t *hash = a->to->hash[a->port] + first;

    (void)at;
    a->synapses += n;
    if (a->enable) {
        for (uint32_t i = 0; i < n; i++)
            a->to->bias[first + i] += (int64_t)weights[i] * ((int64_t)1 << a->shift);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        hash[i] += a->scale * (uint64_t)(int64_t)weights[i];
    for (uint32_t i = 0; i < n && a->uniform; i++) {
        int64_t w = (int64_t)weights[i] * ((int64_t)1 << a->shift);

        if (w != 0) {
            a->to->low[first + i] = w < a->to->low[first + i] ? w : a->to->low[first + i];
            a->to->high[first + i] = w > a->to->high[first + i] ? w : a->to->high[first + i];
        }
    }
}

/* Whether the feeder's atoms are neighbouring channels of one position; *out: the first. */
static bool feeder_is_row(const struct check *c, uint64_t id, uint32_t atoms, struct source *out)
{
    struct source last;

    return check_feeder_source(c, id, 0, out) && check_feeder_source(c, id, atoms - 1, &last) &&
           out->layer == last.layer && out->position == last.position &&
           c->im->layers[out->layer].order == IMG_NONE &&
           c->rules[out->layer].kind != RULE_PARTIAL && last.channel - out->channel == atoms - 1;
}

static spk_status add_feeder(const struct check *c, const struct img_in_axon *a, uint64_t id,
                             struct adding *add)
{
    const uint32_t from = check_feeder_atom(c, id);
    struct source s;

    add->atoms = check_feeder_atoms(c, id);
    add->enable = check_is_enable(c, id);
    add->sums = NULL;
    if (!add->enable && !add->uniform && add->atoms > 1 && feeder_is_row(c, id, add->atoms, &s))
        SPK_TRY(check_sums_find(&add->to->sums, c->im, c->im->blocks[a->block].content,
                                a->row + from, add->atoms, s.channel, &add->sums));
    if (add->sums != NULL) {
        add->scale = check_hash_place(s.layer, s.position) << add->shift;
        check_each_run(c, a, from, add_sums, add);
        return SPK_OK;
    }
    for (uint32_t i = 0; i < add->atoms; i++) {
        if (!add->enable && !check_feeder_source(c, id, i, &s))
            continue; /* padding never fires */
        if (!add->enable)
            add->scale = check_hash(c, &s) << add->shift;
        check_each_run(c, a, from + i, add_run, add);
    }
    return SPK_OK;
}

static spk_status add_axon(const struct check *c, const struct img_in_axon *a, uint64_t first,
                           uint64_t last, struct arrivals *to, bool uniform,
                           uint64_t *inout_synapses)
{
    if (!plain_synapses(c, a))
        return SPK_OK;
    struct adding add = {
        .to = to, .port = a->port, .shift = c->im->blocks[a->block].shift, .uniform = uniform};

    for (uint64_t f = first; f < last; f++)
        SPK_TRY(add_feeder(c, a, c->feeders[f], &add));
    *inout_synapses += add.synapses;
    return SPK_OK;
}

struct summing {
    const struct check *c;
    uint64_t hash[2];
};

static void add_expected(void *ctx, const struct source *s, uint32_t port, int64_t weight)
{
    struct summing *sum = ctx;

    sum->hash[port] += check_hash(sum->c, s) * (uint64_t)weight;
}

/* Threshold of an inner population with synapses of weight w each. */
static bool threshold_fits(const struct rule *r, const struct img_config *f, uint32_t channel,
                           int64_t w, bool graded_source)
{
    int64_t below = 0, vth = f->vth; /* largest sum that must not fire */

    if (w <= 0 || f->soft_reset || f->current_keep != 0 || graded_source)
        return false;
    if ((r->kind == RULE_RELAY || r->kind == RULE_POOL) && r->n_sources != 1)
        return false; /* a sum of spikes is a count */
    if (r->kind == RULE_AND || r->kind == RULE_GATE)
        below = w;
    else if (r->kind == RULE_THERM)
        below = w * (int64_t)(channel % r->tokens);
    return vth > below && vth <= below + w && below * (4096 - (int64_t)f->decay) / 4096 == 0;
}

static bool graded_source(const struct check *c, const struct rule *r)
{
    for (uint32_t i = 0; i < r->n_sources; i++) {
        if (c->im->layers[c->sources.data[r->source_first + i]].payload_bound > 1)
            return true;
    }
    return false;
}

static void found(struct core_result *res, uint32_t comp, enum wrong what, int64_t expected,
                  int64_t have)
{
    if (res->wrong < KEPT)
        res->kept[res->wrong] = (struct finding){comp, what, expected, have};
    res->wrong++;
}

/* Compares a compartment of group g, neuron number `at` there (s: the same in the model). */
static void compare_one(const struct check *c, const struct img_group *g, const struct source *s,
                        uint32_t at, const struct arrivals *a, struct core_result *res)
{
    const struct image *im = c->im;
    const struct rule *r = &c->rules[g->layer];
    const struct img_config *f = &im->configs[im->cores[g->core].config_first +
                                              im->channel_config[g->channel_config + at % g->nc]];
    const uint32_t comp = img_group_comp(g, at);
    bool neuron = r->kind == RULE_HOST || r->kind == RULE_PROJECT || r->kind == RULE_ATTENTION ||
                  r->kind == RULE_GATED || r->kind == RULE_PLASTIC || r->kind == RULE_ENGINE;
    const int32_t *biases = neuron ? check_i32_param(c, r->node, 1) : NULL;
    int64_t bias = biases ? biases[s->channel] : 0, have = a->bias[comp];
    struct summing sum = {.c = c};
    bool same;

    if (r->kind == RULE_PARTIAL) {
        if (f->program != IMG_PROG_SUM || a->hash[1][comp] != 0)
            found(res, comp, WRONG_SYNAPSES, 0, 0);
        else if (have != 0)
            found(res, comp, WRONG_BIAS, 0, have);
        return;
    }
    if (g->channel_bias != IMG_NONE)
        have += im->biases[g->channel_bias + at % g->nc];
    if (r->kind == RULE_PROJECT)
        sum.hash[0] = a->expected[at];
    else
        check_expect(c, g->layer, s->channel, s->position, add_expected, &sum);
    if (check_rule_uniform(r, f)) {
        int64_t w = a->high[comp] == a->low[comp] ? a->low[comp] : 0;

        same = a->hash[0][comp] == (sum.hash[0] + sum.hash[1]) * (uint64_t)w &&
               a->hash[1][comp] == 0 && w != 0;
        if (same && !threshold_fits(r, f, s->channel, w, graded_source(c, r))) {
            found(res, comp, WRONG_THRESHOLD, w, f->vth);
            return;
        }
    } else {
        same = a->hash[0][comp] == sum.hash[0] && a->hash[1][comp] == sum.hash[1];
        if (r->product && (r->kind == RULE_AND || r->kind == RULE_GATE)) {
            same = same || (a->hash[0][comp] == sum.hash[1] && a->hash[1][comp] == sum.hash[0]);
            same = same && f->program == IMG_PROG_PRODUCT;
        } else if (r->kind == RULE_SUM || (r->kind == RULE_RELAY && img_is_graded(f->program))) {
            same = same && f->program == IMG_PROG_SUM;
        } else if (r->kind == RULE_ACC) {
            same = same && f->program == IMG_PROG_ACCUMULATE;
        }
    }
    if (!same)
        found(res, comp, WRONG_SYNAPSES, 0, 0);
    else if (have != bias)
        found(res, comp, WRONG_BIAS, bias, have);
}

static spk_status reserve(struct arrivals *a, uint32_t n)
{
    void *pointers[] = {&a->hash[0], &a->hash[1], &a->expected, &a->bias, &a->low, &a->high};

    if (n > a->size) {
        for (size_t i = 0; i < sizeof pointers / sizeof *pointers; i++)
            SPK_TRY(spk_realloc_array(n, sizeof(uint64_t), pointers[i]));
        a->size = n;
    }
    for (uint32_t i = 0; i < n; i++) {
        a->hash[0][i] = a->hash[1][i] = a->expected[i] = 0;
        a->bias[i] = 0;
        a->low[i] = INT64_MAX;
        a->high[i] = INT64_MIN;
    }
    return SPK_OK;
}

/* Whether some group from `first` to `last` has weights that the module does not fix. */
static bool open_weights(const struct check *c, uint32_t first, uint32_t last)
{
    for (uint32_t g = first; g <= last; g++)
        if (c->rules[c->im->groups[g].layer].kind != RULE_PROJECT)
            return true;
    return false;
}

/* Notes what the partial sums of a core hear, before anything is compared. */
static spk_status collect_core(void *ctx, uint32_t core, uint32_t worker)
{
    struct job *job = ctx;
    const struct check *c = job->c;
    const struct img_core *k = &c->im->cores[core];
    struct arrivals *a = &job->worker[worker];
    uint64_t synapses = 0;
    bool any = false;

    for (uint32_t i = 0; i < k->n_groups; i++)
        any = any || c->rules[c->im->groups[k->group_first + i].layer].kind == RULE_PARTIAL;
    if (!any)
        return SPK_OK;
    SPK_TRY(reserve(a, k->neurons));
    for (uint32_t i = 0; i < k->n_in_axons; i++) {
        const uint64_t id = (uint64_t)k->in_axon_first + i;

        SPK_TRY(add_axon(c, &c->im->in_axons[id], c->feeder_first[id], c->feeder_first[id + 1], a,
                         false, &synapses));
    }
    for (uint32_t i = 0; i < k->n_groups; i++) {
        const struct img_group *g = &c->im->groups[k->group_first + i];

        for (uint32_t at = 0; at < g->nc && c->rules[g->layer].kind == RULE_PARTIAL; at++)
            c->partial[g->layer][img_channel(c->im, g->layer, g->c0 + at)] =
                a->hash[0][img_group_comp(g, at)];
    }
    return SPK_OK;
}

static spk_status compare_core(void *ctx, uint32_t core, uint32_t worker)
{
    struct job *job = ctx;
    const struct check *c = job->c;
    const struct img_core *k = &c->im->cores[core];
    struct arrivals *a = &job->worker[worker];
    struct core_result *res = &job->result[core];

    /* Only the caller's thread talks to the listener. */
    if (worker == 0)
        SPK_TRY(progress_update(c->o.progress, core));
    SPK_TRY(reserve(a, k->neurons));
    for (uint32_t i = 0; i < k->n_in_axons; i++) {
        uint64_t id = (uint64_t)k->in_axon_first + i;
        const struct img_in_axon *in = &c->im->in_axons[id];
        uint32_t first, last;

        check_axon_groups(c, core, in, &first, &last);
        SPK_TRY(add_axon(c, in, c->feeder_first[id], c->feeder_first[id + 1], a,
                         open_weights(c, first, last), &res->synapses));
        for (uint64_t f = c->feeder_first[id]; f < c->feeder_first[id + 1] && !res->times; f++)
            res->times = !check_time_plain(c, in, first, last, c->feeders[f]);
    }
    for (uint32_t i = 0; i < k->n_groups; i++) {
        const struct img_group *g = &c->im->groups[k->group_first + i];

        if (c->rules[g->layer].kind == RULE_NONE)
            continue;
        if (c->rules[g->layer].kind == RULE_PROJECT) {
            memset(a->expected, 0, (size_t)g->ny * g->nx * g->nc * sizeof *a->expected);
            check_expect_group(c, g, a->expected);
        }
        for (uint32_t at = 0; at < g->ny * g->nx * g->nc; at++) {
            uint32_t p = at / g->nc;
            struct source s = {g->layer, img_channel(c->im, g->layer, g->c0 + at % g->nc),
                               (g->y0 + p / g->nx) * c->im->layers[g->layer].width + g->x0 +
                                   p % g->nx};

            compare_one(c, g, &s, at, a, res);
        }
    }
    return SPK_OK;
}

/* ---- locating the difference of one compartment, exactly ---- */

struct synapse {
    struct source s;
    uint32_t port;
    int64_t expected, found;
};
struct listing {
    const struct check *c;
    VEC(struct synapse) all;
    uint32_t comp;   /* wanted */
    struct source s; /* of the row being walked */
    uint32_t port, shift;
    int64_t unit; /* weight of expected synapses whose weight is open */
    spk_status status;
};

static void list_run(void *ctx, uint32_t first, uint32_t n, const int8_t *weights, size_t at)
{
    struct listing *l = ctx;

    (void)at;
    if (l->comp - first < n && weights[l->comp - first] != 0 && l->status == SPK_OK)
        l->status = vec_push(&l->all, (struct synapse){l->s, l->port, 0,
                                                       (int64_t)weights[l->comp - first] *
                                                           ((int64_t)1 << l->shift)});
}

static void list_expected(void *ctx, const struct source *s, uint32_t port, int64_t weight)
{
    struct listing *l = ctx;

    if (l->status == SPK_OK && weight != 0)
        l->status = vec_push(&l->all, (struct synapse){*s, port, weight * l->unit, 0});
}

static int compare_synapses(const void *a, const void *b)
{
    const struct synapse *p = a, *q = b;
    const uint32_t x[4] = {p->port, p->s.layer, p->s.channel, p->s.position};
    const uint32_t y[4] = {q->port, q->s.layer, q->s.channel, q->s.position};

    for (int i = 0; i < 4; i++) {
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    }
    return 0;
}

/* Adds up parallel synapses; returns the first that differs and the number of those. */
static const struct synapse *merge(struct listing *l, uint64_t *out_differing)
{
    const struct synapse *first = NULL;
    size_t n = 0;

    *out_differing = 0;
    if (l->all.len)
        qsort(l->all.data, l->all.len, sizeof *l->all.data, compare_synapses);
    for (size_t i = 0; i < l->all.len; i++) {
        if (n > 0 && compare_synapses(&l->all.data[n - 1], &l->all.data[i]) == 0) {
            l->all.data[n - 1].expected += l->all.data[i].expected;
            l->all.data[n - 1].found += l->all.data[i].found;
        } else {
            l->all.data[n++] = l->all.data[i];
        }
    }
    l->all.len = n;
    for (size_t i = n; i-- > 0;) {
        if (l->all.data[i].expected != l->all.data[i].found) {
            first = &l->all.data[i];
            ++*out_differing;
        }
    }
    return first;
}

static void list_found(struct check *c, uint32_t core, struct listing *l)
{
    const struct img_core *k = &c->im->cores[core];

    for (uint32_t i = 0; i < k->n_in_axons; i++) {
        uint64_t id = (uint64_t)k->in_axon_first + i;
        const struct img_in_axon *a = &c->im->in_axons[id];

        if (!plain_synapses(c, a))
            continue;
        l->port = a->port;
        l->shift = c->im->blocks[a->block].shift;
        for (uint64_t f = c->feeder_first[id]; f < c->feeder_first[id + 1]; f++) {
            if (check_is_enable(c, c->feeders[f]))
                continue;
            for (uint32_t atom = 0; atom < check_feeder_atoms(c, c->feeders[f]); atom++) {
                if (check_feeder_source(c, c->feeders[f], atom, &l->s))
                    check_each_run(c, a, check_feeder_atom(c, c->feeders[f]) + atom, list_run, l);
            }
        }
    }
}

static spk_status report_synapses(struct check *c, uint32_t core, const struct source *s,
                                  uint32_t comp)
{
    struct listing l = {.c = c, .comp = comp, .unit = 1, .status = SPK_OK};
    const struct synapse *first;
    uint64_t differing;

    if (check_has_partial(c, s->layer)) {
        check_violation(c, "E0945", s->layer, core,
                        "neuron (channel %u, position %u), compartment %u: its partial sums do not "
                        "add up to what it shall hear",
                        s->channel, s->position, comp);
        return SPK_OK;
    }
    list_found(c, core, &l);
    for (size_t i = 0; i < l.all.len; i++) {
        /* where the weight is open, measure against the commonest sign and size: the first */
        if (c->rules[s->layer].kind != RULE_PROJECT && c->rules[s->layer].kind != RULE_ATTENTION)
            l.unit = l.all.data[0].found;
    }
    check_expect(c, s->layer, s->channel, s->position, list_expected, &l);
    first = merge(&l, &differing);
    if (l.status == SPK_OK && first)
        check_violation(
            c, "E0945", s->layer, core,
            "neuron (channel %u, position %u), compartment %u: from '%s' (channel %u, "
            "position %u) on port %u expected weight %lld, found %lld; %llu sources differ",
            s->channel, s->position, comp, check_layer_name(c, first->s.layer), first->s.channel,
            first->s.position, first->port, (long long)first->expected, (long long)first->found,
            (unsigned long long)differing);
    else if (l.status == SPK_OK)
        check_violation(
            c, "E0945", s->layer, core,
            "neuron (channel %u, position %u), compartment %u: the synapses are right, the "
            "neuron's program does not make it what it stands for",
            s->channel, s->position, comp);
    vec_fini(&l.all);
    return l.status;
}

static spk_status report_core(struct check *c, uint32_t core, const struct core_result *res)
{
    for (uint64_t i = 0; i < res->wrong && i < KEPT; i++) {
        const struct finding *f = &res->kept[i];
        struct source s;

        if (!check_neuron_of(c, core, f->comp, &s, NULL))
            continue;
        if (f->what == WRONG_SYNAPSES)
            SPK_TRY(report_synapses(c, core, &s, f->comp));
        else if (f->what == WRONG_BIAS)
            check_violation(c, "E0946", s.layer, core,
                            "neuron (channel %u, position %u), compartment %u: expected bias %lld, "
                            "found %lld",
                            s.channel, s.position, f->comp, (long long)f->expected,
                            (long long)f->found);
        else
            check_violation(c, "E0944", s.layer, core,
                            "neuron (channel %u, position %u), compartment %u: synapses of weight "
                            "%lld and threshold %lld do not make it what it stands for",
                            s.channel, s.position, f->comp, (long long)f->expected,
                            (long long)f->found);
    }
    if (res->wrong > KEPT)
        check_count(c, res->wrong - KEPT);
    return SPK_OK;
}

static spk_status compare_cores(struct check *c, struct job *job)
{
    progress_begin(c->o.progress, "checking", c->im->n_cores);
    spk_status status = pool_run(c->o.pool, (uint32_t)c->im->n_cores, collect_core, job);
    if (status == SPK_OK)
        status = pool_run(c->o.pool, (uint32_t)c->im->n_cores, compare_core, job);
    progress_end(c->o.progress);
    return status;
}

spk_status check_synapses(struct check *c)
{
    const struct image *im = c->im;
    uint32_t workers = pool_threads(c->o.pool);
    struct job job = {.c = c};
    spk_status status = check_kernels_build(c);

    if (status == SPK_OK)
        status = spk_alloc_array(workers, sizeof *job.worker, &job.worker);
    if (status == SPK_OK)
        status = spk_alloc_array(im->n_cores, sizeof *job.result, &job.result);
    if (status == SPK_OK)
        status = compare_cores(c, &job);
    for (uint32_t i = 0; i < im->n_cores && status == SPK_OK; i++) {
        if (job.result[i].times)
            check_core_times(c, i);
    }
    for (uint32_t i = 0; i < im->n_cores && status == SPK_OK; i++) {
        c->r->synapses += job.result[i].synapses;
        status = report_core(c, i, &job.result[i]);
    }
    for (uint32_t i = 0; job.worker && i < workers; i++) {
        struct arrivals *a = &job.worker[i];
        void *owned[] = {a->hash[0], a->hash[1], a->expected, a->bias, a->low, a->high};

        for (size_t o = 0; o < sizeof owned / sizeof *owned; o++)
            spk_free(owned[o]);
        check_sums_fini(&a->sums);
    }
    spk_free(job.worker);
    spk_free(job.result);
    check_kernels_fini(c);
    return status;
}
