/* Projections of the reference engine: conv2d and linear, one or several operands.
 *
 * Algorithm: every operand is first turned into lists of its nonzero elements, one list per frame
 * and position. An output position then gathers, operand by operand and tap by tap in row-major
 * order, the weight rows of what is nonzero under its window and adds them up, REF_BLOCK output
 * channels at a time. A linear layer is a 1x1 convolution over its tokens.
 * Weights are re-laid to [block of out channels][kernel row][kernel column][in][out in block]:
 * rows are contiguous, and the rows of one block stay in the second-level cache while all frames
 * and a range of positions are computed with them.
 *
 * Order of summation: one accumulator per output, from zero, in the order given above, bias last.
 * It depends on nothing else, so any thread count gives the same float32 result. Integers: 32-bit
 * accumulators where the largest payload, weight and window prove that they suffice, else 64; 8-bit
 * weights stay 8-bit, and their rows are added up in 16 bits while that cannot overflow.
 * Cost: one addition per synaptic event (vectorised over outputs), one multiplication more where
 * the operand is not binary; memory: the lists, 4 to 8 bytes per nonzero input.               */
#include "runtime/reference_internal.h"

#include <string.h>

#include "support/alloc.h"

/* Weight rows collected before they are added up. */
#define GATHER 256u
/* Output positions, list positions and source elements of one chunk of work. */
#define GRAIN_OUTPUT 128u
#define GRAIN_LIST 256u
#define TILE 64u

/* ---- weights ---- */

static void window_of(const struct ir_node *node, uint32_t *kernel_h, uint32_t *kernel_w)
{
    bool conv = node->op == IR_OP_CONV2D;

    *kernel_h = conv ? node->a.conv.kernel_h : 1;
    *kernel_w = conv ? node->a.conv.kernel_w : 1;
}

static int32_t weight_at(const struct ir_param *p, uint64_t i)
{
    if (p->dtype == IR_DT_I8)
        return ((const int8_t *)p->data)[i];
    if (p->dtype == IR_DT_I16)
        return ((const int16_t *)p->data)[i];
    return ((const int32_t *)p->data)[i];
}

spk_status ref_weights_plan(const struct engine *e, const struct ir_node *node, struct diag_list *d,
                            struct ref_weights *out)
{
    const struct ir_param *p = &e->m->param[node->param[0]];
    uint32_t kernel_h, kernel_w;
    uint64_t rows;

    window_of(node, &kernel_h, &kernel_w);
    *out = (struct ref_weights){0};
    out->taps = kernel_h * kernel_w;
    out->in = e->m->node[node->operand[0]].type.channels;
    out->out = node->type.channels;
    rows = (uint64_t)out->taps * out->in;
    if (rows > UINT32_MAX || rows * out->out != ir_param_elements(p))
        return diag_internal(d, node->span, "E0801", "weights of %s do not match its shape",
                             p->name);
    out->rows = (uint32_t)rows;
    out->integer = p->dtype != IR_DT_F32;
    out->narrow = p->dtype == IR_DT_I8;
    if (out->integer != e->integer)
        return diag_internal(d, node->span, "E0801", "weights of %s are %s", p->name,
                             out->integer ? "integers in a float module"
                                          : "floats in a quantised module");
    for (uint64_t i = 0; out->integer && i < ir_param_elements(p); i++) {
        int32_t w = weight_at(p, i);
        int32_t magnitude = w < 0 ? (w == INT32_MIN ? INT32_MAX : -w) : w;

        out->abs_max = magnitude > out->abs_max ? magnitude : out->abs_max;
    }
    return SPK_OK;
}

uint64_t ref_weights_bytes(const struct ref_weights *w)
{
    return (uint64_t)w->rows * w->out * (w->narrow ? 1 : 4);
}

struct relay_work {
    const struct ir_param *param;
    const struct ref_weights *w;
    void *out;
};

/* One block of output channels. The source is [out][in][tap]; tiles of it are turned around. */
static spk_status relay_block(void *ctx, uint32_t block, uint32_t worker)
{
    const struct relay_work *work = ctx;
    const struct ref_weights *w = work->w;
    uint32_t first = block * REF_BLOCK;
    uint32_t width = w->out - first < REF_BLOCK ? w->out - first : REF_BLOCK;
    uint64_t base = (uint64_t)w->rows * first;

    (void)worker;
    for (uint32_t s0 = 0; s0 < w->rows; s0 += TILE) {
        uint32_t n = w->rows - s0 < TILE ? w->rows - s0 : TILE;

        for (uint32_t j = 0; j < width; j++) {
            uint64_t from = (uint64_t)(first + j) * w->rows + s0;

            for (uint32_t s = 0; s < n; s++) {
                uint32_t row = (s0 + s) % w->taps * w->in + (s0 + s) / w->taps;
                uint64_t to = base + (uint64_t)row * width + j;

                if (w->narrow)
                    ((int8_t *)work->out)[to] = ((const int8_t *)work->param->data)[from + s];
                else if (w->integer)
                    ((int32_t *)work->out)[to] = weight_at(work->param, from + s);
                else
                    ((float *)work->out)[to] = ((const float *)work->param->data)[from + s];
            }
        }
    }
    return SPK_OK;
}

spk_status ref_weights_relay(struct ref_job *job, const struct ir_node *node,
                             const struct ref_weights *w, void *out)
{
    struct relay_work work = {&job->e->m->param[node->param[0]], w, out};

    return ref_parallel(job, w->out, REF_BLOCK, relay_block, &work);
}

/* ---- lists of nonzero elements ---- */

struct events {
    const struct ref_value *v;
    uint64_t lists;    /* frames * positions */
    uint64_t *first;   /* [lists + 1] */
    uint32_t *channel; /* of each event */
    float *value_f32;  /* of each event; NULL: integer engine, or all are 1 */
    int32_t *value_i32;
    uint32_t *chunk_max; /* per chunk of GRAIN_LIST lists: largest |payload|, integer only */
    bool binary, integer;
};

static spk_status events_count(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct events *ev = ctx;
    const struct ref_value *v = ev->v;
    struct ref_range range = ref_range_of(ev->lists, GRAIN_LIST, chunk);
    uint32_t largest = 0;

    (void)worker;
    for (uint64_t l = range.begin; l < range.end; l++) {
        uint64_t at = l * v->channels;
        uint32_t n = 0;

        for (uint32_t c = 0; v->elem == REF_U8 && c < v->channels; c++) {
            uint8_t x = ref_u8(v)[at + c];

            n += x != 0;
            largest = x > largest ? x : largest;
        }
        for (uint32_t c = 0; v->elem == REF_F32 && c < v->channels; c++)
            n += ref_f32(v)[at + c] != 0.0f;
        for (uint32_t c = 0; v->elem == REF_I32 && c < v->channels; c++) {
            int32_t x = ref_i32(v)[at + c];
            uint32_t magnitude = x < 0 ? 0u - (uint32_t)x : (uint32_t)x;

            n += x != 0;
            largest = magnitude > largest ? magnitude : largest;
        }
        ev->first[l + 1] = n;
    }
    ev->chunk_max[chunk] = largest;
    return SPK_OK;
}

static void events_put(struct events *ev, uint64_t at, uint32_t c, uint64_t n)
{
    float scratch;

    ev->channel[n] = c;
    if (ev->value_f32)
        ev->value_f32[n] = *ref_as_f32(ev->v, at + c, 1, &scratch);
    if (ev->value_i32)
        ev->value_i32[n] = ref_as_i32(ev->v, at + c);
}

static spk_status events_fill(void *ctx, uint32_t chunk, uint32_t worker)
{
    struct events *ev = ctx;
    const struct ref_value *v = ev->v;
    struct ref_range range = ref_range_of(ev->lists, GRAIN_LIST, chunk);

    (void)worker;
    for (uint64_t l = range.begin; l < range.end; l++) {
        uint64_t at = l * v->channels, n = ev->first[l], end = ev->first[l + 1];

        for (uint32_t c = 0; c < v->channels && n < end; c++) {
            if (v->elem == REF_U8) {
                const uint8_t *x = ref_u8(v) + at;
                uint64_t word = 0;

                /* Skip eight silent channels at once. */
                while (c + 8 <= v->channels) {
                    memcpy(&word, x + c, sizeof word);
                    if (word)
                        break;
                    c += 8;
                }
                for (; c < v->channels && !x[c]; c++)
                    ;
                if (c < v->channels)
                    events_put(ev, at, c, n++);
            } else if (v->elem == REF_F32 ? ref_f32(v)[at + c] != 0.0f : ref_i32(v)[at + c] != 0) {
                events_put(ev, at, c, n++);
            }
        }
    }
    return SPK_OK;
}

static void events_fini(struct events *ev)
{
    spk_free(ev->first);
    spk_free(ev->channel);
    spk_free(ev->value_f32);
    spk_free(ev->value_i32);
    spk_free(ev->chunk_max);
}

static spk_status events_init(struct ref_job *job, uint32_t id, struct events *ev)
{
    const struct ref_value *v = &job->value[id];
    bool binary = v->elem == REF_U8 && job->e->m->node[id].type.bound == 1;
    uint64_t total;

    *ev = (struct events){.v = v, .binary = binary, .integer = job->e->integer};
    ev->lists = v->frames * v->positions;
    SPK_TRY(spk_alloc_array(ev->lists + 1, sizeof *ev->first, &ev->first));
    SPK_TRY(
        spk_alloc_array(ref_chunks(ev->lists, GRAIN_LIST), sizeof *ev->chunk_max, &ev->chunk_max));
    SPK_TRY(ref_parallel(job, ev->lists, GRAIN_LIST, events_count, ev));
    for (uint64_t l = 0; l < ev->lists; l++)
        ev->first[l + 1] += ev->first[l];
    total = ev->first[ev->lists];
    SPK_TRY(spk_alloc_array_raw(total, sizeof *ev->channel, &ev->channel));
    if (!binary && ev->integer)
        SPK_TRY(spk_alloc_array_raw(total, sizeof *ev->value_i32, &ev->value_i32));
    if (!binary && !ev->integer)
        SPK_TRY(spk_alloc_array_raw(total, sizeof *ev->value_f32, &ev->value_f32));
    return ref_parallel(job, ev->lists, GRAIN_LIST, events_fill, ev);
}

static uint32_t events_max(const struct events *ev)
{
    uint32_t largest = 0;

    for (uint64_t i = 0; i < ref_chunks(ev->lists, GRAIN_LIST); i++)
        largest = ev->chunk_max[i] > largest ? ev->chunk_max[i] : largest;
    return largest;
}

/* ---- the sums ---- */

/* acc[j] += x_k * w[row_k][j], k ascending for every j. Four rows at a time: same order of
 * additions, a quarter of the traffic on the accumulators.                                    */
#define ADD_ROWS(name, acc_type, w_type)                                                           \
    static inline void name(acc_type *restrict acc, const w_type *restrict w, const uint32_t *row, \
                            uint32_t n_rows, uint32_t n)                                           \
    {                                                                                              \
        uint32_t k = 0;                                                                            \
                                                                                                   \
        for (; k + 4 <= n_rows; k += 4) {                                                          \
            const w_type *a = w + (size_t)row[k] * n, *b = w + (size_t)row[k + 1] * n;             \
            const w_type *c = w + (size_t)row[k + 2] * n;                                          \
            const w_type *e = w + (size_t)row[k + 3] * n;                                          \
                                                                                                   \
            for (uint32_t j = 0; j < n; j++)                                                       \
                acc[j] = acc[j] + a[j] + b[j] + c[j] + e[j];                                       \
        }                                                                                          \
        for (; k < n_rows; k++) {                                                                  \
            const w_type *a = w + (size_t)row[k] * n;                                              \
                                                                                                   \
            for (uint32_t j = 0; j < n; j++)                                                       \
                acc[j] = acc[j] + a[j];                                                            \
        }                                                                                          \
    }
#define ADD_SCALED(name, acc_type, w_type, x_type)                                                 \
    static inline void name(acc_type *restrict acc, const w_type *restrict w, const uint32_t *row, \
                            const x_type *x, uint32_t n_rows, uint32_t n)                          \
    {                                                                                              \
        for (uint32_t k = 0; k < n_rows; k++) {                                                    \
            const w_type *a = w + (size_t)row[k] * n;                                              \
            const acc_type f = x[k];                                                               \
                                                                                                   \
            for (uint32_t j = 0; j < n; j++)                                                       \
                acc[j] = acc[j] + f * (acc_type)a[j];                                              \
        }                                                                                          \
    }
ADD_ROWS(add_rows_f32, float, float)
ADD_ROWS(add_rows_i32, int32_t, int32_t)
ADD_SCALED(add_scaled_f32, float, float, float)
ADD_SCALED(add_scaled_i32, int32_t, int32_t, int32_t)
ADD_SCALED(add_scaled_i64, int64_t, int32_t, int32_t)
ADD_SCALED(add_narrow_i64, int64_t, int8_t, int32_t)

/* 8-bit weights: acc[j] += x_k * w[row_k][j]; x NULL: all 1. */
static inline void add_narrow(int32_t *restrict acc, const int8_t *restrict w, const uint32_t *row,
                              const int32_t *x, uint32_t n_rows, uint32_t n)
{
    for (uint32_t k = 0; k < n_rows; k++) {
        const int8_t *a = w + (size_t)row[k] * n;
        const int32_t f = x ? x[k] : 1;

        for (uint32_t j = 0; j < n; j++)
            acc[j] = acc[j] + f * a[j];
    }
}

typedef int8_t narrow8 __attribute__((vector_size(8)));
typedef int16_t short8 __attribute__((vector_size(16)));

/* The same for REF_BLOCK columns and rows whose |x_k| add up to at most 256, all positive, or to
 * 255: 16 bits hold the sums, and eight registers of eight lanes hold a block. */
static inline void add_block(int32_t *restrict acc, const int8_t *restrict w, const uint32_t *row,
                             const int32_t *x, uint32_t n_rows)
{
    short8 sum[REF_BLOCK / 8] = {{0}};
    int16_t out[REF_BLOCK];

    for (uint32_t k = 0; k < n_rows; k++) {
        const int8_t *a = w + (size_t)row[k] * REF_BLOCK;

        for (uint32_t v = 0; v < REF_BLOCK / 8; v++) {
            narrow8 from;
            memcpy(&from, a + 8 * v, sizeof from);
            short8 wide = __builtin_convertvector(from, short8);
            sum[v] += x ? wide * (int16_t)x[k] : wide;
        }
    }
    memcpy(out, sum, sizeof out);
    for (uint32_t j = 0; j < REF_BLOCK; j++)
        acc[j] = acc[j] + out[j];
}

/* Cuts rows with payloads into groups that add_block can take. */
static void add_block_scaled(int32_t *restrict acc, const int8_t *restrict w, const uint32_t *row,
                             const int32_t *x, uint32_t n_rows)
{
    for (uint32_t k = 0, n; k < n_rows; k += n) {
        uint64_t magnitude = 0;

        for (n = 0; k + n < n_rows; n++) {
            int64_t f = x[k + n];

            magnitude += (uint64_t)(f < 0 ? -f : f);
            if (magnitude > 255)
                break;
        }
        if (n > 0)
            add_block(acc, w, row + k, x + k, n);
        else
            add_narrow(acc, w, row + k, x + k, n = 1, REF_BLOCK);
    }
}

struct gather {
    uint32_t n;
    uint32_t row[GATHER];
    union {
        float f32[GATHER];
        int32_t i32[GATHER];
    } x;
};

struct accumulator {
    union {
        float f32[REF_BLOCK];
        int32_t i32[REF_BLOCK];
    } u;
    int64_t i64[REF_BLOCK];
};

struct project_work {
    const struct ir_node *node;
    const struct ref_weights *w;
    const void *weights;
    const struct events *ev; /* [n_operands] */
    struct ref_value *out;
    uint32_t frames, in_h, in_w, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    uint64_t position_chunks;
    const void *bias; /* of the weights' kind, or NULL */
    const struct ir_param *bias_param;
    bool wide; /* 64-bit sums */
    uint8_t shift;
};

/* Adds up what was gathered. With n the constant REF_BLOCK the loops are fully unrolled. */
static inline void flush_n(const struct project_work *p, const struct events *ev, const void *block,
                           struct gather *g, struct accumulator *acc, uint32_t n)
{
    const int32_t *x = ev->binary ? NULL : g->x.i32;

    if (!ev->integer && ev->binary)
        add_rows_f32(acc->u.f32, block, g->row, g->n, n);
    else if (!ev->integer)
        add_scaled_f32(acc->u.f32, block, g->row, g->x.f32, g->n, n);
    else if (p->wide && p->w->narrow)
        add_narrow_i64(acc->i64, block, g->row, g->x.i32, g->n, n);
    else if (p->wide)
        add_scaled_i64(acc->i64, block, g->row, g->x.i32, g->n, n);
    else if (p->w->narrow && n == REF_BLOCK && x)
        add_block_scaled(acc->u.i32, block, g->row, x, g->n);
    else if (p->w->narrow && n == REF_BLOCK)
        add_block(acc->u.i32, block, g->row, NULL, g->n);
    else if (p->w->narrow)
        add_narrow(acc->u.i32, block, g->row, x, g->n, n);
    else if (ev->binary)
        add_rows_i32(acc->u.i32, block, g->row, g->n, n);
    else
        add_scaled_i32(acc->u.i32, block, g->row, g->x.i32, g->n, n);
    g->n = 0;
}

static void flush(const struct project_work *p, const struct events *ev, const void *block,
                  struct gather *g, struct accumulator *acc, uint32_t n)
{
    if (n == REF_BLOCK)
        flush_n(p, ev, block, g, acc, REF_BLOCK);
    else
        flush_n(p, ev, block, g, acc, n);
}

/* Gathers the events of one list whose weight rows start at row0. */
static inline void gather_list(const struct project_work *p, const struct events *ev, uint64_t list,
                               uint32_t row0, const void *block, struct gather *g,
                               struct accumulator *acc, uint32_t n)
{
    for (uint64_t i = ev->first[list]; i < ev->first[list + 1]; i++) {
        if (g->n == GATHER)
            flush(p, ev, block, g, acc, n);
        g->row[g->n] = row0 + ev->channel[i];
        if (ev->value_f32)
            g->x.f32[g->n] = ev->value_f32[i];
        else if (ev->value_i32)
            g->x.i32[g->n] = ev->value_i32[i];
        else if (p->wide)
            g->x.i32[g->n] = 1;
        g->n++;
    }
}

/* One output position of one block: sums into acc. */
static void project_position(const struct project_work *p, uint32_t t, uint64_t position,
                             const void *block, struct gather *g, struct accumulator *acc,
                             uint32_t n)
{
    int64_t y0 = (int64_t)(position / p->out_w) * p->stride_h - p->pad_h;
    int64_t x0 = (int64_t)(position % p->out_w) * p->stride_w - p->pad_w;

    for (uint32_t o = 0; o < p->node->n_operands; o++) {
        const struct events *ev = &p->ev[o];
        uint64_t frame = ev->v->frames == 1 ? 0 : t * ev->v->positions;

        for (uint32_t ky = 0; ky < p->kernel_h; ky++) {
            int64_t y = y0 + ky;

            if (y < 0 || y >= p->in_h)
                continue;
            for (uint32_t kx = 0; kx < p->kernel_w; kx++) {
                int64_t x = x0 + kx;

                if (x < 0 || x >= p->in_w)
                    continue;
                gather_list(p, ev, frame + (uint64_t)(y * p->in_w + x),
                            (ky * p->kernel_w + kx) * p->w->in, block, g, acc, n);
            }
        }
        flush(p, ev, block, g, acc, n);
    }
}

static void store(const struct project_work *p, const struct accumulator *acc, uint64_t at,
                  uint32_t first, uint32_t n)
{
    if (!p->w->integer) {
        const float *bias = p->bias;

        for (uint32_t j = 0; j < n; j++)
            ref_f32(p->out)[at + j] = bias ? acc->u.f32[j] + bias[first + j] : acc->u.f32[j];
        return;
    }
    for (uint32_t j = 0; j < n; j++) {
        int64_t sum = p->wide ? acc->i64[j] : acc->u.i32[j];

        sum = sum * ((int64_t)1 << p->shift);
        if (p->bias_param)
            sum += weight_at(p->bias_param, first + j);
        ref_i32(p->out)[at + j] = ref_current(sum);
    }
}

/* Chunks run over positions within a block: neighbours in time share weights. */
static spk_status project_chunk(void *ctx, uint32_t chunk, uint32_t worker)
{
    const struct project_work *p = ctx;
    uint32_t first = (uint32_t)(chunk / p->position_chunks) * REF_BLOCK;
    uint32_t n = p->w->out - first < REF_BLOCK ? p->w->out - first : REF_BLOCK;
    struct ref_range range =
        ref_range_of(p->out->positions, GRAIN_OUTPUT, (uint32_t)(chunk % p->position_chunks));
    const void *block =
        (const uint8_t *)p->weights + (uint64_t)p->w->rows * first * (p->w->narrow ? 1 : 4);
    struct gather g = {.n = 0};
    struct accumulator acc;

    (void)worker;
    for (uint32_t t = 0; t < p->frames; t++) {
        for (uint64_t position = range.begin; position < range.end; position++) {
            memset(&acc.u, 0, sizeof acc.u);
            if (p->wide)
                memset(acc.i64, 0, sizeof acc.i64);
            project_position(p, t, position, block, &g, &acc, n);
            store(p, &acc, t * ref_frame_size(p->out) + position * p->w->out + first, first, n);
        }
    }
    return SPK_OK;
}

/* Geometry, weights and the width of the sums. */
static spk_status project_plan(struct ref_job *job, uint32_t id, struct project_work *p)
{
    const struct ir_node *node = p->node;
    const struct ir_type *in = &job->e->m->node[node->operand[0]].type;
    bool conv = node->op == IR_OP_CONV2D;
    unsigned __int128 bound = 0;

    p->w = &job->e->weight[id];
    p->out = &job->value[id];
    p->frames = p->out->frames;
    p->in_h = conv ? in->height : 1;
    p->in_w = conv ? in->width : (uint32_t)ir_type_positions(in);
    p->out_w = conv ? node->type.width : p->in_w;
    window_of(node, &p->kernel_h, &p->kernel_w);
    p->stride_h = conv ? node->a.conv.stride_h : 1;
    p->stride_w = conv ? node->a.conv.stride_w : 1;
    p->pad_h = conv ? node->a.conv.pad_h : 0;
    p->pad_w = conv ? node->a.conv.pad_w : 0;
    p->shift = job->e->integer ? node->a.conv.shift : 0;
    p->position_chunks = ref_chunks(p->out->positions, GRAIN_OUTPUT);
    if (node->n_params > 1) {
        p->bias_param = &job->e->m->param[node->param[1]];
        p->bias = p->bias_param->data;
    }
    p->weights = p->w->data;
    if (!p->weights) {
        SPK_TRY(ref_weights_relay(job, node, p->w, job->scratch));
        p->weights = job->scratch;
    }
    for (uint32_t o = 0; p->w->integer && o < node->n_operands; o++)
        bound += (unsigned __int128)events_max(&p->ev[o]) * p->w->rows * (uint32_t)p->w->abs_max;
    p->wide = bound > INT32_MAX;
    return SPK_OK;
}

spk_status ref_project(struct ref_job *job, uint32_t id)
{
    const struct ir_node *node = &job->e->m->node[id];
    struct project_work p = {.node = node};
    struct events *ev = NULL;
    spk_status status = spk_alloc_array(node->n_operands, sizeof *ev, &ev);
    uint64_t chunks = 0;

    if (status != SPK_OK)
        return status;
    for (uint32_t o = 0; o < node->n_operands && status == SPK_OK; o++)
        status = events_init(job, node->operand[o], &ev[o]);
    p.ev = ev;
    if (status == SPK_OK)
        status = ref_value_create(job, id, ref_frames(job, node));
    if (status == SPK_OK)
        status = project_plan(job, id, &p);
    if (status == SPK_OK) {
        chunks = p.position_chunks * ref_chunks(p.w->out, REF_BLOCK);
        status = ref_parallel(job, chunks, 1, project_chunk, &p);
    }
    for (uint32_t o = 0; o < node->n_operands; o++)
        events_fini(&ev[o]);
    spk_free(ev);
    return status;
}
