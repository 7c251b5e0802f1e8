/* Recorded values in the golden layout: collecting, saving, opening, teaching.
 *
 * The collected tensors are what the file will hold, so saving copies nothing: an image's frame t
 * goes to [t][image]. Memory equals the size of the file and is bounded beforehand.
 * Teacher: frames of one image are brought together in one buffer, valid until the next call;
 * with one image they already lie together and are handed out in place.                       */
#include "runtime/record.h"

#include <string.h>

#include "support/alloc.h"
#include "support/arena.h"
#include "support/checked.h"
#include "support/safetensors.h"
#include "support/vec.h"

struct owned_tensor {
    struct record_tensor t;
    uint8_t *memory; /* NULL: data are mapped */
};

struct record {
    struct arena arena; /* names */
    uint32_t n_images;
    uint64_t limit, used;
    VEC(struct owned_tensor) tensors;
    struct st_file *file;
    uint32_t *of_node; /* tensor of each node of the bound module, IR_NONE if not recorded */
    uint32_t n_nodes;
};

spk_status record_create(uint32_t n_images, uint64_t limit_bytes, struct record **out)
{
    struct record *r = NULL;

    *out = NULL;
    SPK_TRY(spk_alloc_array(1, sizeof *r, &r));
    arena_init(&r->arena, 4096);
    r->n_images = n_images;
    r->limit = limit_bytes ? limit_bytes : RECORD_DEFAULT_BYTES;
    *out = r;
    return SPK_OK;
}

void record_destroy(struct record *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->tensors.len; i++)
        spk_free(r->tensors.data[i].memory);
    vec_fini(&r->tensors);
    st_close(r->file);
    spk_free(r->of_node);
    arena_fini(&r->arena);
    spk_free(r);
}

static uint32_t item_size(const struct record_tensor *t)
{
    return t->is_i32 ? 4 : 1;
}

void record_keep_first(struct record *r, uint32_t n)
{
    for (size_t i = 0; i < r->tensors.len; i++) {
        struct owned_tensor *o = &r->tensors.data[i];
        const size_t image = (size_t)o->t.frame_elements * item_size(&o->t);
        for (uint32_t t = 1; t < o->t.timesteps && o->memory != NULL; t++)
            memmove(o->memory + t * n * image, o->memory + (size_t)t * r->n_images * image,
                    n * image);
    }
    r->n_images = n;
}

uint32_t record_axes(const struct ir_type *type, uint64_t axis[3])
{
    switch (type->layout) {
    case IR_CHW:
        axis[0] = type->channels;
        axis[1] = type->height;
        axis[2] = type->width;
        return 3;
    case IR_CN:
        axis[0] = type->channels;
        axis[1] = type->width;
        return 2;
    case IR_NC:
        axis[0] = type->width;
        axis[1] = type->channels;
        return 2;
    case IR_C:
        break;
    }
    axis[0] = type->channels;
    return 1;
}

spk_status record_add(struct record *r, const char *name, const struct ir_type *type, bool neuron,
                      struct diag_list *d, uint32_t *out_index)
{
    struct owned_tensor o = {.t = {.neuron = neuron, .timesteps = type->timesteps}};
    uint64_t bytes;
    size_t size = 0;

    if (record_find(r, name))
        return diag_internal(d, spk_span_none, "E0811", "'%s' is recorded twice", name);
    o.t.is_i32 = type->bound < 1 || type->bound > UINT8_MAX;
    o.t.n_axes = record_axes(type, o.t.axis);
    o.t.frame_elements = ir_type_elements(type);
    o.t.name = arena_strdup(&r->arena, name);
    if (!o.t.name)
        return SPK_ERR_NOMEM;
    const uint64_t factors[] = {type->timesteps, r->n_images, o.t.frame_elements, item_size(&o.t)};
    if (!checked_product_u64(factors, 4, &bytes) || !checked_add_u64(r->used, bytes, &r->used) ||
        r->used > r->limit || !checked_size_from_u64(bytes, &size)) {
        diag_error(d, spk_span_none, "E0812",
                   "the recorded values of %u images take more than %llu MiB", r->n_images,
                   (unsigned long long)(r->limit >> 20));
        diag_help_set(d, "record fewer images (--limit), or do not record");
        return SPK_ERR_INPUT;
    }
    SPK_TRY(spk_alloc_array(size, 1, &o.memory));
    o.t.data = o.memory;
    if (vec_push(&r->tensors, o) != SPK_OK) {
        spk_free(o.memory);
        return SPK_ERR_NOMEM;
    }
    *out_index = (uint32_t)r->tensors.len - 1;
    return SPK_OK;
}

spk_status record_add_module(struct record *r, const struct ir_module *m, struct diag_list *d)
{
    spk_free(r->of_node);
    r->of_node = NULL;
    SPK_TRY(spk_alloc_array(m->n_nodes, sizeof *r->of_node, &r->of_node));
    r->n_nodes = m->n_nodes;
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct ir_node *n = &m->node[i];

        r->of_node[i] = IR_NONE;
        if (!n->recorded || !n->name)
            continue;
        SPK_TRY(record_add(r, n->name, &n->type, n->op == IR_OP_NEURON, d, &r->of_node[i]));
    }
    return SPK_OK;
}

spk_status record_put(struct record *r, uint32_t index, uint32_t image, const void *data)
{
    struct owned_tensor *o;
    size_t frame;

    if (index >= r->tensors.len || image >= r->n_images || !r->tensors.data[index].memory)
        return SPK_ERR_INTERNAL;
    o = &r->tensors.data[index];
    frame = o->t.frame_elements * item_size(&o->t);
    for (uint32_t t = 0; t < o->t.timesteps; t++)
        memcpy(o->memory + ((size_t)t * r->n_images + image) * frame,
               (const uint8_t *)data + t * frame, frame);
    return SPK_OK;
}

static spk_status take_value(void *ctx, uint32_t image, uint32_t node, const struct ir_type *type,
                             const void *data, bool is_i32)
{
    struct record *r = ctx;
    uint32_t index = node < r->n_nodes ? r->of_node[node] : IR_NONE;

    if (index == IR_NONE) /* recorded, but without a name */
        return SPK_OK;
    if (r->tensors.data[index].t.is_i32 != is_i32 ||
        r->tensors.data[index].t.timesteps != type->timesteps)
        return SPK_ERR_INTERNAL;
    return record_put(r, index, image, data);
}

struct engine_recorder record_recorder(struct record *r)
{
    return (struct engine_recorder){r, take_value};
}

uint32_t record_images(const struct record *r)
{
    return r->n_images;
}

uint32_t record_count(const struct record *r)
{
    return (uint32_t)r->tensors.len;
}

const struct record_tensor *record_at(const struct record *r, uint32_t index)
{
    return &r->tensors.data[index].t;
}

uint32_t record_index(const struct record *r, const char *name)
{
    for (uint32_t i = 0; i < r->tensors.len; i++)
        if (strcmp(r->tensors.data[i].t.name, name) == 0)
            return i;
    return IR_NONE;
}

const struct record_tensor *record_find(const struct record *r, const char *name)
{
    uint32_t index = record_index(r, name);

    return index == IR_NONE ? NULL : &r->tensors.data[index].t;
}

static const uint8_t *frame_of(const struct record *r, const struct record_tensor *t, uint32_t step,
                               uint32_t image)
{
    return t->data + ((size_t)step * r->n_images + image) * t->frame_elements * item_size(t);
}

int32_t record_get(const struct record *r, const struct record_tensor *t, uint32_t step,
                   uint32_t image, uint64_t i)
{
    const uint8_t *frame = frame_of(r, t, step, image);
    int32_t x;

    if (!t->is_i32)
        return frame[i];
    memcpy(&x, frame + i * 4, sizeof x);
    return x;
}

/* ---- files ---- */

static spk_status add_outputs(struct st_writer *w, const char *name, uint32_t n_images,
                              uint32_t width, const float *data)
{
    const uint64_t shape[2] = {n_images, width};

    return data ? st_writer_add(w, name, ST_F32, 2, shape, data) : SPK_OK;
}

/* Every output as a tensor of its own. The copies live in `copy` until the file is written. */
static spk_status add_named(struct st_writer *w, const struct record_outputs *o, uint32_t n_images,
                            float *copy)
{
    size_t at = 0;

    for (uint32_t i = 0; i < o->module->n_nodes; i++) {
        const struct ir_node *n = &o->module->node[i];
        const struct ir_type *t = &n->type;
        const size_t size = (size_t)ir_type_elements(t);
        uint64_t shape[4] = {n_images, t->channels, t->height, t->width};
        uint32_t rank = t->layout == IR_CHW ? 4 : t->layout == IR_C ? 2 : 3;

        if (n->op != IR_OP_OUTPUT)
            continue;
        if (rank == 3)
            shape[2] = t->width;
        if (t->layout == IR_NC) {
            shape[1] = t->width;
            shape[2] = t->channels;
        }
        for (uint32_t k = 0; k < n_images; k++)
            memcpy(copy + at * n_images + k * size, o->logits + (size_t)k * o->classes + at,
                   size * sizeof *copy);
        SPK_TRY(st_writer_add(w, n->name ? n->name : "output", ST_F32, rank, shape,
                              copy + at * n_images));
        at += size;
    }
    return SPK_OK;
}

spk_status record_save(const struct record *r, const struct record_outputs *outputs,
                       const char *path, struct diag_list *d)
{
    struct st_writer *w = NULL;
    float *copy = NULL;
    spk_status status = st_writer_create(&w);

    for (size_t i = 0; i < r->tensors.len && status == SPK_OK; i++) {
        const struct record_tensor *t = &r->tensors.data[i].t;
        uint64_t shape[5] = {t->timesteps, r->n_images, t->axis[0], t->axis[1], t->axis[2]};

        status =
            st_writer_add(w, t->name, t->is_i32 ? ST_I32 : ST_U8, 2 + t->n_axes, shape, t->data);
    }
    if (status == SPK_OK && outputs)
        status = add_outputs(w, "features", r->n_images, outputs->channels, outputs->features);
    if (status == SPK_OK && outputs && outputs->module)
        status = spk_alloc_array_raw((size_t)outputs->classes * r->n_images, sizeof *copy, &copy);
    if (status == SPK_OK && outputs && outputs->module)
        status = add_named(w, outputs, r->n_images, copy);
    else if (status == SPK_OK && outputs)
        status = add_outputs(w, "logits", r->n_images, outputs->classes, outputs->logits);
    if (status == SPK_OK)
        status = st_writer_save(w, path, d);
    st_writer_destroy(w);
    spk_free(copy);
    return status;
}

static spk_status open_tensors(struct record *r, struct diag_list *d)
{
    for (size_t i = 0; i < st_count(r->file); i++) {
        const struct st_tensor *s = st_at(r->file, i);
        struct owned_tensor o = {.t = {.name = s->name, .data = s->data}};

        if ((s->dtype != ST_U8 && s->dtype != ST_I32) || s->rank < 3 || s->rank > 5)
            continue;
        if (s->shape[0] > UINT32_MAX || s->shape[1] > UINT32_MAX ||
            (r->n_images && s->shape[1] != r->n_images))
            return diag_error(d, st_place(r->file, s, d), "E0813",
                              "holds %llu images, the tensors before it %u",
                              (unsigned long long)s->shape[1], r->n_images);
        o.t.is_i32 = s->dtype == ST_I32;
        o.t.timesteps = (uint32_t)s->shape[0];
        r->n_images = (uint32_t)s->shape[1];
        o.t.n_axes = s->rank - 2;
        o.t.frame_elements = 1;
        for (uint32_t k = 0; k < o.t.n_axes; k++) {
            o.t.axis[k] = s->shape[2 + k];
            o.t.frame_elements *= o.t.axis[k];
        }
        SPK_TRY(vec_push(&r->tensors, o));
    }
    if (r->tensors.len == 0)
        return diag_error(d, diag_place(d, "%s", st_name(r->file)), "E0813",
                          "holds no recorded values (U8 or I32 tensors [T, B, ...])");
    return SPK_OK;
}

spk_status record_open(const char *path, struct diag_list *d, struct record **out)
{
    struct record *r = NULL;
    spk_status status;

    *out = NULL;
    SPK_TRY(record_create(0, 0, &r));
    status = st_open(path, d, &r->file);
    if (status == SPK_OK)
        status = open_tensors(r, d);
    if (status != SPK_OK) {
        record_destroy(r);
        return status;
    }
    *out = r;
    return SPK_OK;
}

/* ---- teacher ---- */

struct record_teacher {
    const struct record *r;
    uint32_t first, n_images, n_nodes;
    uint32_t *tensor; /* of each node, IR_NONE: run free */
    uint8_t *image;   /* frames of one image */
};

static void describe(const struct record_tensor *t, uint64_t n_images, struct strbuf *out)
{
    strbuf_printf(out, "%s[%u,%llu", t->is_i32 ? "I32" : "U8", t->timesteps,
                  (unsigned long long)n_images);
    for (uint32_t k = 0; k < t->n_axes; k++)
        strbuf_printf(out, ",%llu", (unsigned long long)t->axis[k]);
    strbuf_append(out, "]");
}

/* The tensor of one neuron value, checked. */
static spk_status teacher_bind(struct record_teacher *t, const struct ir_node *n, uint32_t id,
                               struct diag_list *d)
{
    struct record_tensor want = {.timesteps = n->type.timesteps};
    uint64_t need = (uint64_t)t->first + t->n_images;
    struct strbuf a = {0}, b = {0};
    bool same = false;
    spk_status status;

    want.n_axes = record_axes(&n->type, want.axis);
    for (uint32_t i = 0; i < t->r->tensors.len; i++) {
        const struct record_tensor *x = &t->r->tensors.data[i].t;

        if (strcmp(x->name, n->name) != 0)
            continue;
        t->tensor[id] = i;
        same = !x->is_i32 && x->timesteps == want.timesteps && x->n_axes == want.n_axes &&
               t->r->n_images >= need;
        for (uint32_t k = 0; k < x->n_axes && k < want.n_axes; k++)
            same = same && x->axis[k] == want.axis[k];
        describe(x, t->r->n_images, &a);
    }
    if (same) {
        strbuf_fini(&a);
        return SPK_OK;
    }
    describe(&want, need, &b);
    if (t->tensor[id] == IR_NONE)
        status = diag_error(d, n->span, "E0814", "the expected values lack '%s' %s", n->name,
                            strbuf_cstr(&b));
    else
        status = diag_error(d, n->span, "E0814",
                            "the expected values of '%s' are %s, the model needs %s", n->name,
                            strbuf_cstr(&a), strbuf_cstr(&b));
    strbuf_fini(&a);
    strbuf_fini(&b);
    return status;
}

spk_status record_teacher_create(const struct record *r, const struct ir_module *m, uint32_t first,
                                 uint32_t n_images, struct diag_list *d,
                                 struct record_teacher **out)
{
    struct record_teacher *t = NULL;
    uint64_t largest = 0;
    spk_status status;

    *out = NULL;
    SPK_TRY(spk_alloc_array(1, sizeof *t, &t));
    *t = (struct record_teacher){.r = r, .first = first, .n_images = n_images};
    t->n_nodes = m->n_nodes;
    status = spk_alloc_array(m->n_nodes, sizeof *t->tensor, &t->tensor);
    for (uint32_t i = 0; i < m->n_nodes && t->tensor; i++) {
        const struct ir_node *n = &m->node[i];
        uint64_t bytes = n->type.timesteps * ir_type_elements(&n->type);
        spk_status bound;

        t->tensor[i] = IR_NONE;
        if (n->op != IR_OP_NEURON || !n->recorded || !n->name)
            continue;
        bound = teacher_bind(t, n, i, d); /* all that is wrong, then the first status */
        status = status == SPK_OK ? bound : status;
        largest = bytes > largest ? bytes : largest;
    }
    if (status == SPK_OK)
        status = spk_alloc_array(largest, 1, &t->image);
    if (status != SPK_OK) {
        record_teacher_destroy(t);
        return status;
    }
    *out = t;
    return SPK_OK;
}

void record_teacher_destroy(struct record_teacher *t)
{
    if (!t)
        return;
    spk_free(t->tensor);
    spk_free(t->image);
    spk_free(t);
}

static const uint8_t *teach(void *ctx, uint32_t image, uint32_t node)
{
    struct record_teacher *t = ctx;
    const struct record_tensor *x;

    if (node >= t->n_nodes || t->tensor[node] == IR_NONE || image >= t->n_images)
        return NULL;
    x = &t->r->tensors.data[t->tensor[node]].t;
    if (t->r->n_images == 1)
        return x->data;
    for (uint32_t s = 0; s < x->timesteps; s++)
        memcpy(t->image + s * x->frame_elements, frame_of(t->r, x, s, t->first + image),
               x->frame_elements);
    return t->image;
}

struct engine_teacher record_teacher_engine(struct record_teacher *t)
{
    return (struct engine_teacher){t, teach};
}
