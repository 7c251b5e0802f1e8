/* Beam search over the populations in topological order (docs/mapping.md, section 3).
 *
 * A state has shapes for the populations so far. Giving the next one a shape adds its in-axons
 * (known: its sources are cut) and adds out-axons to its sources; a state that breaks a limit dies.
 * States are ranked by their cost so far plus, for every population still to come, the least cost
 * of a shape that goes with the sources chosen already. States that agree in what the rest can see
 * (shapes and out-axons of populations with consumers to come) are one: the cheapest stays. At most
 * a quarter of the beam shares the newest population's shape. Ties go to the older state, then the
 * smaller shape: the result depends on nothing but the network.
 * Cost: populations x width x shapes x edges of a population. */
#include <stdlib.h>
#include <string.h>

#include "passes/map/search.h"
#include "support/alloc.h"

struct state {
    uint8_t *choice; /* [pops] */
    uint32_t *out;   /* [pops]: out-axons of the fullest tile so far */
    double *ahead;   /* [pops]: least first cost of populations to come */
    struct search_cost so_far;
    double rest; /* of all populations to come, by `ahead` */
};

struct step {
    uint32_t parent, shape;
    double first, second, rest, rank;
    uint64_t seen; /* hash of what the rest can see */
};

struct beam {
    struct search *s;
    uint32_t width, n, n_next;
    struct state *now, *next;
    VEC(struct step) steps;
    double *least;                 /* [pops]: least first cost of a living shape */
    double (*with)[SEARCH_SHAPES]; /* [edges][source's shape]: least first cost of the consumer */
    uint32_t *last_use;            /* [pops]: the last population that reads each */
};

static double join(const struct beam *b, double x, double y)
{
    if (b->s->objective == MAP_LATENCY)
        return x > y ? x : y;
    return x + y;
}

static spk_status states_create(uint32_t width, size_t n, struct state **out)
{
    SPK_TRY(spk_alloc_array(width, sizeof **out, out));
    for (uint32_t i = 0; i < width; i++) {
        struct state *s = &(*out)[i];
        SPK_TRY(spk_alloc_array(n, sizeof *s->choice, &s->choice));
        SPK_TRY(spk_alloc_array(n, sizeof *s->out, &s->out));
        SPK_TRY(spk_alloc_array(n, sizeof *s->ahead, &s->ahead));
    }
    return SPK_OK;
}

static void states_destroy(struct state *s, uint32_t width)
{
    for (uint32_t i = 0; s != NULL && i < width; i++) {
        spk_free(s[i].choice);
        spk_free(s[i].out);
        spk_free(s[i].ahead);
    }
    spk_free(s);
}

/* Least costs of what is to come. */
static void look_ahead(struct beam *b)
{
    struct search *s = b->s;
    const uint32_t n = (uint32_t)s->net->pops.len;
    for (uint32_t i = 0; i < n; i++) {
        b->least[i] = 0;
        b->last_use[i] = i;
        for (uint32_t a = 0, first = 1; s->set[i] != NULL && a < s->set[i]->n; a++) {
            if ((s->alive[i] >> a & 1u) == 0)
                continue;
            const double c = search_cost_least(s, i, a).first;
            b->least[i] = first || c < b->least[i] ? c : b->least[i];
            first = 0;
        }
    }
    for (uint32_t e = 0; e < s->edges.len; e++) {
        const struct search_edge *edge = &s->edges.data[e];
        b->last_use[edge->src] =
            edge->dst > b->last_use[edge->src] ? edge->dst : b->last_use[edge->src];
        for (uint32_t a = 0; a < s->set[edge->src]->n; a++) {
            const uint64_t partners =
                (s->alive[edge->src] >> a & 1u) != 0 ? search_partners(s, e, a) : 0;
            b->with[e][a] = b->least[edge->dst];
            for (uint32_t k = 0, first = 1; k < s->set[edge->dst]->n; k++) {
                if ((partners >> k & 1u) == 0)
                    continue;
                const double c = search_cost_least(s, edge->dst, k).first;
                b->with[e][a] = first || c < b->with[e][a] ? c : b->with[e][a];
                first = 0;
            }
        }
    }
}

/* Whether shape k of population `pop` is legal in the state; *sum_in tells its in-axons. */
static bool legal(const struct search *s, const struct state *x, uint32_t pop, uint32_t k)
{
    const struct search_set *set = s->set[pop];
    const uint64_t in_have = tgt_limit_value(s->net->target, TGT_IN_AXONS);
    const uint64_t out_have = tgt_limit_value(s->net->target, TGT_OUT_AXONS);
    uint64_t in = set->fixed[k];
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[i];
        const struct search_pair *p = &e->pair[x->choice[e->src] * set->n + k];
        uint64_t out = (uint64_t)x->out[e->src] + p->out;
        in += set->window[k * set->n_projs + e->k] * p->in;
        /* the source's consumers to come ask for their least; several aliases of this one add up */
        for (uint32_t o = s->out_first[e->src]; o < s->out_first[e->src + 1]; o++) {
            const struct search_edge *other = &s->edges.data[s->out[o]];
            if (other->dst > pop)
                out += s->least_out[s->out[o]][x->choice[e->src]];
            else if (other->dst == pop && s->out[o] != i)
                out += other->pair[x->choice[e->src] * set->n + k].out;
        }
        if (out > out_have || in > in_have)
            return false;
    }
    return in <= in_have;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0xff51afd7ed558ccdu;
    return h ^ h >> 32;
}

/* What the costs ahead add once the source `pop` has shape k: its consumers may need more than
 * they did. Edges to one consumer follow each other. With `ahead`, it is brought up to date. */
static double ahead_more(const struct beam *b, const double *ahead, uint32_t pop, uint32_t k,
                         double *update)
{
    const struct search *s = b->s;
    double more = 0;
    for (uint32_t o = s->out_first[pop]; o < s->out_first[pop + 1];) {
        const uint32_t dst = s->edges.data[s->out[o]].dst;
        double most = ahead[dst];
        for (; o < s->out_first[pop + 1] && s->edges.data[s->out[o]].dst == dst; o++)
            most = b->with[s->out[o]][k] > most ? b->with[s->out[o]][k] : most;
        more = s->objective == MAP_LATENCY ? join(b, more, most) : more + most - ahead[dst];
        if (update != NULL)
            update[dst] = most;
    }
    return more;
}

/* Rank of the state once `pop` has shape k. */
static struct step rate_step(const struct beam *b, uint32_t parent, uint32_t pop, uint32_t k)
{
    const struct state *x = &b->now[parent];
    const struct search_cost c = search_cost_of(b->s, pop, k, x->choice);
    const double more = ahead_more(b, x->ahead, pop, k, NULL);
    struct step st = {.parent = parent, .shape = k};
    st.first = join(b, x->so_far.first, c.first);
    st.second = x->so_far.second + c.second;
    st.rest =
        b->s->objective == MAP_LATENCY ? join(b, x->rest, more) : x->rest - x->ahead[pop] + more;
    st.rank = join(b, st.first, st.rest);
    return st;
}

static uint64_t visible(const struct beam *b, const struct state *x, uint32_t pop, uint32_t k)
{
    const struct search *s = b->s;
    uint64_t h = mix(0x9e3779b97f4a7c15u, b->last_use[pop] > pop ? k : 0);
    for (uint32_t i = 0; i < pop; i++) {
        uint64_t out = x->out[i];
        if (s->set[i] == NULL || b->last_use[i] <= pop)
            continue;
        for (uint32_t e = s->in_first[pop]; e < s->in_first[pop + 1]; e++)
            if (s->edges.data[e].src == i)
                out += s->edges.data[e].pair[x->choice[i] * s->set[pop]->n + k].out;
        h = mix(mix(h, x->choice[i]), out);
    }
    return h;
}

static int compare_step(const void *a, const void *b)
{
    const struct step *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->second != y->second)
        return x->second < y->second ? -1 : 1;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    return (x->shape > y->shape) - (x->shape < y->shape);
}

static void apply_step(struct beam *b, uint32_t pop, const struct step *st, struct state *to)
{
    const struct search *s = b->s;
    const struct state *from = &b->now[st->parent];
    const size_t n = s->net->pops.len;
    memcpy(to->choice, from->choice, n * sizeof *to->choice);
    memcpy(to->out, from->out, n * sizeof *to->out);
    memcpy(to->ahead, from->ahead, n * sizeof *to->ahead);
    to->so_far = (struct search_cost){st->first, st->second};
    to->choice[pop] = (uint8_t)st->shape;
    to->out[pop] = (uint32_t)search_port_axons(s, pop, &s->set[pop]->shape[st->shape]);
    for (uint32_t i = s->in_first[pop]; i < s->in_first[pop + 1]; i++) {
        const struct search_edge *e = &s->edges.data[i];
        to->out[e->src] += e->pair[from->choice[e->src] * s->set[pop]->n + st->shape].out;
    }
    to->rest = st->rest;
    (void)ahead_more(b, from->ahead, pop, st->shape, to->ahead);
}

/* The best of the steps, in order, become the next beam. */
static void select_steps(struct beam *b, uint32_t pop)
{
    uint32_t of_shape[SEARCH_SHAPES] = {0};
    const uint32_t share = b->width / 4 > 0 ? b->width / 4 : 1;
    qsort(b->steps.data, b->steps.len, sizeof *b->steps.data, compare_step);
    b->n_next = 0;
    for (size_t i = 0; i < b->steps.len && b->n_next < b->width; i++) {
        struct step *st = &b->steps.data[i];
        bool again = false;
        if (b->last_use[pop] > pop && of_shape[st->shape] >= share)
            continue;
        st->seen = visible(b, &b->now[st->parent], pop, st->shape);
        for (size_t j = 0; j < i && !again; j++)
            again = b->steps.data[j].seen == st->seen;
        if (again)
            continue;
        of_shape[st->shape]++;
        apply_step(b, pop, st, &b->next[b->n_next++]);
    }
}

static spk_status beam_pop(struct beam *b, uint32_t pop)
{
    struct search *s = b->s;
    vec_clear(&b->steps);
    for (uint32_t i = 0; i < b->n; i++)
        for (uint32_t k = 0; k < s->set[pop]->n; k++)
            if ((s->alive[pop] >> k & 1u) != 0 && legal(s, &b->now[i], pop, k))
                SPK_TRY(vec_push(&b->steps, rate_step(b, i, pop, k)));
    select_steps(b, pop);
    struct state *swap = b->now;
    b->now = b->next;
    b->next = swap;
    b->n = b->n_next;
    return SPK_OK;
}

static spk_status beam_run(struct beam *b, uint8_t *out_choice, bool *out_found)
{
    struct search *s = b->s;
    const size_t n = s->net->pops.len;
    SPK_TRY(states_create(b->width, n, &b->now));
    SPK_TRY(states_create(b->width, n, &b->next));
    SPK_TRY(spk_alloc_array(n, sizeof *b->least, &b->least));
    SPK_TRY(spk_alloc_array(n, sizeof *b->last_use, &b->last_use));
    SPK_TRY(spk_alloc_array(s->edges.len, sizeof *b->with, &b->with));
    look_ahead(b);
    memcpy(b->now[0].ahead, b->least, n * sizeof *b->least);
    for (size_t i = 0; i < n; i++)
        b->now[0].rest = join(b, b->now[0].rest, b->least[i]);
    b->n = 1;
    for (uint32_t i = 0; i < n && b->n > 0; i++)
        if (s->set[i] != NULL)
            SPK_TRY(beam_pop(b, i));
    *out_found = b->n > 0;
    if (b->n > 0)
        memcpy(out_choice, b->now[0].choice, n * sizeof *out_choice);
    return SPK_OK;
}

spk_status search_beam(struct search *s, uint32_t width, uint8_t *out_choice, bool *out_found)
{
    struct beam b = {.s = s, .width = width};
    spk_status status = beam_run(&b, out_choice, out_found);
    states_destroy(b.now, width);
    states_destroy(b.next, width);
    vec_fini(&b.steps);
    spk_free(b.least);
    spk_free(b.last_use);
    spk_free(b.with);
    return status;
}
