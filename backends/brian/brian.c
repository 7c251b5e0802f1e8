/* Export to Brian 2: a population per layer of the image, a projection per pair of layers, port and
 * delay. Synapses of all cores between two layers are one projection; zero weights and synapses
 * that end on padding are left out, since nothing comes of them. The arithmetic (docs/integers.md)
 * stands in brian_run.py, which is copied into the folder as run.py. Cost: 12 bytes per synapse. */
#include "backends/brian/brian.h"

#include <stdlib.h>
#include <string.h>

#include "brian_script.h"
#include "ir/image_walk.h"
#include "support/alloc.h"
#include "support/json_writer.h"
#include "support/safetensors.h"
#include "support/vec.h"

struct projection {
    uint32_t source, target, port, delay;
    VEC(uint32_t) pre;
    VEC(uint32_t) post;
    VEC(int32_t) weight;
};
/* Per neuron, in the order channel, position. */
struct population {
    uint32_t n;
    uint32_t program; /* enum img_program; IMG_NONE: nothing computes it on a core */
    int32_t *vth, *bias, *keep;
    uint8_t *soft;
};
struct brian {
    const struct image *im;
    struct diag_list *d;
    struct population *pop; /* per layer */
    VEC(struct projection) projections;
    size_t last;          /* projection of the last synapse */
    uint32_t *host_ports; /* rows of 4 */
    struct st_writer *tensors;
};

static void brian_fini(struct brian *b)
{
    for (uint64_t i = 0; b->pop != NULL && i < b->im->n_layers; i++) {
        spk_free(b->pop[i].vth);
        spk_free(b->pop[i].bias);
        spk_free(b->pop[i].keep);
        spk_free(b->pop[i].soft);
    }
    for (size_t i = 0; i < b->projections.len; i++) {
        vec_fini(&b->projections.data[i].pre);
        vec_fini(&b->projections.data[i].post);
        vec_fini(&b->projections.data[i].weight);
    }
    vec_fini(&b->projections);
    spk_free(b->pop);
    spk_free(b->host_ports);
    st_writer_destroy(b->tensors);
}

static const char *layer_name(const struct brian *b, uint32_t layer)
{
    return b->im->strings[b->im->layers[layer].name];
}

/* ---- populations ---- */

static spk_status refuse_ticks(const struct brian *b, uint32_t layer)
{
    spk_status status =
        diag_error(b->d, spk_span_none, "E0710",
                   "layer '%s' acts within the ticks of a step, which Brian's clock does not have",
                   layer_name(b, layer));
    diag_help_set(b->d, "compile with --attention=product, embedded or and_lif");
    return status;
}

static spk_status population_alloc(struct population *p)
{
    SPK_TRY(spk_alloc_array(p->n, sizeof *p->vth, &p->vth));
    SPK_TRY(spk_alloc_array(p->n, sizeof *p->bias, &p->bias));
    SPK_TRY(spk_alloc_array(p->n, sizeof *p->keep, &p->keep));
    return spk_alloc_array(p->n, sizeof *p->soft, &p->soft);
}

static spk_status read_group(struct brian *b, const struct img_group *g)
{
    const struct image *im = b->im;
    struct population *p = &b->pop[g->layer];
    const struct img_core *k = &im->cores[g->core];
    for (uint32_t i = 0; i < g->ny * g->nx * g->nc; i++) {
        const uint32_t c = i % g->nc;
        const struct img_neuron n = img_neuron_at(im, g->core, img_group_comp(g, i));
        const uint32_t at = img_neuron_number(im, &n);
        const struct img_config *f =
            &im->configs[k->config_first + im->channel_config[g->channel_config + c]];
        if (f->program == IMG_PROG_ACCUMULATE || f->program == IMG_PROG_GATED)
            return refuse_ticks(b, g->layer);
        if (f->current_keep != 0)
            return diag_error(b->d, spk_span_none, "E0711",
                              "layer '%s' has decaying synaptic currents, which this export does "
                              "not write",
                              layer_name(b, g->layer));
        if (p->program != IMG_NONE && p->program != f->program)
            return diag_error(b->d, spk_span_none, "E0711",
                              "layer '%s' runs different neuron programs", layer_name(b, g->layer));
        p->program = f->program;
        p->vth[at] = f->vth;
        p->keep[at] = 4096 - (int32_t)f->decay;
        p->soft[at] = f->soft_reset;
        p->bias[at] = g->channel_bias == IMG_NONE ? 0 : im->biases[g->channel_bias + c];
    }
    return SPK_OK;
}

static spk_status read_populations(struct brian *b)
{
    SPK_TRY(spk_alloc_array(b->im->n_layers, sizeof *b->pop, &b->pop));
    for (uint32_t i = 0; i < b->im->n_layers; i++) {
        b->pop[i].program = IMG_NONE;
        b->pop[i].n = img_layer_neurons(b->im, i);
        SPK_TRY(population_alloc(&b->pop[i]));
    }
    for (uint32_t g = 0; g < b->im->n_groups; g++)
        SPK_TRY(read_group(b, &b->im->groups[g]));
    return SPK_OK;
}

static const char *program_word(const struct brian *b, uint32_t layer)
{
    static const char *const words[] = {"fixed", "prog", "sum", "product"};
    const uint32_t program = b->pop[layer].program;
    if (program <= IMG_PROG_PRODUCT)
        return words[program];
    return b->im->layers[layer].kind == IMG_LAYER_INPUT ? "input" : "task";
}

/* ---- projections ---- */

static spk_status find_projection(struct brian *b, const struct projection *key, size_t *out)
{
    for (size_t i = 0; i <= b->projections.len; i++) {
        const size_t at = i == 0 ? b->last : i - 1;
        const struct projection *p = at < b->projections.len ? &b->projections.data[at] : NULL;
        if (p != NULL && p->source == key->source && p->target == key->target &&
            p->port == key->port && p->delay == key->delay) {
            *out = b->last = at;
            return SPK_OK;
        }
    }
    *out = b->last = b->projections.len;
    return vec_push(&b->projections, *key);
}

static spk_status take_synapse(void *ctx, const struct img_synapse *s)
{
    struct brian *b = ctx;
    const struct img_in_axon *a = &b->im->in_axons[s->axon];
    const struct img_neuron n = img_neuron_at(b->im, s->core, s->comp);
    struct projection key = {.source = s->source, .port = a->port, .delay = a->delay};
    size_t at;
    if (a->port > IMG_PORT_SECOND || b->im->blocks[a->block].kind == IMG_BLOCK_PLASTIC)
        return refuse_ticks(b, n.layer == IMG_NONE
                                   ? b->im->groups[img_axon_group(b->im, s->core, a)].layer
                                   : n.layer);
    if (n.layer == IMG_NONE || s->weight == 0)
        return SPK_OK;
    key.target = n.layer;
    SPK_TRY(find_projection(b, &key, &at));
    struct projection *p = &b->projections.data[at];
    SPK_TRY(vec_push(&p->pre, s->neuron));
    SPK_TRY(vec_push(&p->post, img_neuron_number(b->im, &n)));
    return vec_push(&p->weight, s->weight);
}

/* ---- network.safetensors ---- */

static spk_status add_tensor(struct brian *b, const char *prefix, size_t id, const char *what,
                             enum st_dtype dtype, uint64_t n, const void *data)
{
    char name[64];
    spk_snprintf(name, sizeof name, "%s.%zu.%s", prefix, id, what);
    return st_writer_add(b->tensors, name, dtype, 1, &n, data);
}

static spk_status add_tensors(struct brian *b)
{
    const struct image *im = b->im;
    for (uint32_t i = 0; i < im->n_layers; i++) {
        const struct population *p = &b->pop[i];
        if (p->program > IMG_PROG_PROG)
            continue;
        SPK_TRY(add_tensor(b, "layer", i, "vth", ST_I32, p->n, p->vth));
        SPK_TRY(add_tensor(b, "layer", i, "keep", ST_I32, p->n, p->keep));
        SPK_TRY(add_tensor(b, "layer", i, "bias", ST_I32, p->n, p->bias));
        SPK_TRY(add_tensor(b, "layer", i, "soft", ST_U8, p->n, p->soft));
    }
    for (size_t i = 0; i < b->projections.len; i++) {
        const struct projection *p = &b->projections.data[i];
        SPK_TRY(add_tensor(b, "projection", i, "pre", ST_U32, p->pre.len, p->pre.data));
        SPK_TRY(add_tensor(b, "projection", i, "post", ST_U32, p->post.len, p->post.data));
        SPK_TRY(add_tensor(b, "projection", i, "weight", ST_I32, p->weight.len, p->weight.data));
    }
    SPK_TRY(st_writer_add(b->tensors, "enc_w", ST_I16, 1, &im->n_enc_w, im->enc_w));
    SPK_TRY(st_writer_add(b->tensors, "enc_b", ST_I32, 1, &im->n_enc_b, im->enc_b));
    SPK_TRY(st_writer_add(b->tensors, "head_w", ST_F32, 1, &im->n_head_w, im->head_w));
    if (im->n_head_b > 0)
        SPK_TRY(st_writer_add(b->tensors, "head_b", ST_F32, 1, &im->n_head_b, im->head_b));
    SPK_TRY(spk_alloc_array(im->n_host_ports, 4 * sizeof *b->host_ports, &b->host_ports));
    for (uint64_t i = 0; i < im->n_host_ports; i++) {
        const struct img_host_port *h = &im->host_ports[i];
        const uint32_t row[4] = {h->layer, h->position, h->channel_first, h->n_channels};
        memcpy(&b->host_ports[4 * i], row, sizeof row);
    }
    const uint64_t shape[2] = {im->n_host_ports, 4};
    return st_writer_add(b->tensors, "host_ports", ST_U32, 2, shape, b->host_ports);
}

/* ---- network.json ---- */

static void json_layers(const struct brian *b, struct json_writer *w)
{
    jw_array_begin(w, "layers");
    for (uint32_t i = 0; i < b->im->n_layers; i++) {
        const struct img_layer *l = &b->im->layers[i];
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", layer_name(b, i));
        jw_string(w, "program", program_word(b, i));
        jw_u64(w, "channels", l->channels);
        jw_u64(w, "height", l->height);
        jw_u64(w, "width", l->width);
        jw_u64(w, "start", l->start);
        jw_bool(w, "recorded", l->recorded != 0);
        jw_u64(w, "layout", l->layout);
        jw_object_end(w);
    }
    jw_array_end(w);
}

/* One population of one neuron per layer that enable spikes serve. */
static void json_enables(const struct brian *b, struct json_writer *w)
{
    jw_array_begin(w, "enables");
    for (uint32_t i = 0; i < b->im->n_layers; i++)
        for (uint64_t j = 0; j < b->im->n_injections; j++) {
            const struct img_injection *e = &b->im->injections[j];
            if (e->kind != IMG_INJECT_ENABLE || e->layer != i)
                continue;
            jw_object_begin_line(w, NULL);
            jw_u64(w, "source", b->im->n_layers + i);
            jw_u64(w, "layer", i);
            jw_u64(w, "start", e->start);
            jw_object_end(w);
            break;
        }
    jw_array_end(w);
}

static bool sends_numbers(const struct brian *b, uint32_t source)
{
    return source < b->im->n_layers && b->pop[source].program != IMG_PROG_FIXED &&
           b->pop[source].program != IMG_PROG_PROG;
}

static void json_projections(const struct brian *b, struct json_writer *w)
{
    jw_array_begin(w, "projections");
    for (size_t i = 0; i < b->projections.len; i++) {
        const struct projection *p = &b->projections.data[i];
        jw_object_begin_line(w, NULL);
        jw_u64(w, "source", p->source);
        jw_u64(w, "target", p->target);
        jw_u64(w, "port", p->port);
        jw_u64(w, "delay", p->delay);
        jw_bool(w, "graded", sends_numbers(b, p->source));
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void json_tasks(const struct brian *b, struct json_writer *w)
{
    jw_array_begin(w, "tasks");
    for (uint64_t i = 0; i < b->im->n_embedded; i++) {
        const struct img_embedded *e = &b->im->embedded[i];
        jw_object_begin_line(w, NULL);
        jw_u64(w, "layer", e->layer);
        jw_u64(w, "heads", e->heads);
        jw_u64(w, "channels", e->channels);
        jw_u64(w, "tokens", e->tokens);
        jw_u64(w, "head_first", e->head_first);
        jw_u64(w, "head_count", e->head_count);
        jw_u64(w, "column_first", e->column_first);
        jw_u64(w, "columns", e->columns);
        jw_i64(w, "unit", e->unit);
        jw_i64(w, "vth", e->vth);
        jw_u64(w, "decay", e->decay);
        jw_u64(w, "bits", e->bits);
        jw_u64(w, "q_layer", e->q_layer);
        jw_u64(w, "k_layer", e->k_layer);
        jw_u64(w, "v_layer", e->v_layer);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void json_sums(const struct brian *b, struct json_writer *w)
{
    jw_array_begin(w, "sums");
    for (uint64_t i = 0; i < b->im->n_sums; i++) {
        const struct img_sum *s = &b->im->sums[i];
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", b->im->strings[s->name]);
        jw_u64(w, "layout", s->layout);
        jw_array_begin(w, "terms");
        for (uint32_t t = 0; t < s->n_terms; t++)
            jw_u64(w, NULL, b->im->sum_terms[s->term_first + t]);
        jw_array_end(w);
        jw_object_end(w);
    }
    jw_array_end(w);
}

static void json_encoder(const struct img_encoder *e, struct json_writer *w)
{
    if (!e->present) {
        jw_null(w, "encoder");
        return;
    }
    jw_object_begin(w, "encoder");
    const struct {
        const char *key;
        int64_t value;
    } row[] = {{"layer", e->layer},       {"out_channels", e->out_channels},
               {"kernel_h", e->kernel_h}, {"kernel_w", e->kernel_w},
               {"stride_h", e->stride_h}, {"stride_w", e->stride_w},
               {"pad_h", e->pad_h},       {"pad_w", e->pad_w},
               {"x_shift", e->x_shift},   {"out_shift", e->out_shift},
               {"m_exp", e->m_exp},       {"m_max", e->m_max},
               {"n_norm", e->n_norm}};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++)
        jw_i64(w, row[i].key, row[i].value);
    jw_array_begin_line(w, "mean");
    for (uint32_t i = 0; i < 4; i++)
        jw_f64(w, NULL, (double)e->mean[i]);
    jw_array_end(w);
    jw_array_begin_line(w, "std");
    for (uint32_t i = 0; i < 4; i++)
        jw_f64(w, NULL, (double)e->std[i]);
    jw_array_end(w);
    jw_object_end(w);
}

static spk_status network_json(const struct brian *b, struct strbuf *text)
{
    const struct img_meta *m = &b->im->meta;
    struct json_writer w;
    jw_init(&w, text, 1);
    jw_object_begin(&w, NULL);
    jw_u64(&w, "schema", 1);
    jw_object_begin(&w, "meta");
    jw_u64(&w, "timesteps", m->timesteps);
    jw_u64(&w, "interval", m->interval);
    jw_u64(&w, "latency", m->latency);
    jw_u64(&w, "state_bits", m->state_bits);
    jw_u64(&w, "payload_bits", m->payload_bits);
    jw_object_end(&w);
    json_layers(b, &w);
    json_enables(b, &w);
    json_projections(b, &w);
    json_tasks(b, &w);
    json_sums(b, &w);
    json_encoder(&b->im->encoder, &w);
    jw_object_begin(&w, "head");
    jw_u64(&w, "classes", b->im->head.classes);
    jw_u64(&w, "channels", b->im->head.channels);
    jw_u64(&w, "divisor", b->im->head.divisor);
    jw_object_end(&w);
    jw_object_end(&w);
    return jw_finish(&w);
}

/* ---- files ---- */

static spk_status write_text(const struct brian *b, const struct dir_writer *dir, const char *name,
                             const void *text, size_t length)
{
    char *path = NULL;
    SPK_TRY(dir_file(dir, name, &path));
    spk_status status = file_write_all(path, text, length, b->d);
    spk_free(path);
    return status;
}

static spk_status write_files(struct brian *b, const struct dir_writer *dir)
{
    struct strbuf text = {0};
    char *path = NULL;
    SPK_TRY(write_text(b, dir, "run.py", brian_script, sizeof brian_script));
    spk_status status = network_json(b, &text);
    if (status == SPK_OK)
        status = write_text(b, dir, "network.json", text.data, text.len);
    strbuf_fini(&text);
    SPK_TRY(status);
    SPK_TRY(dir_file(dir, "network.safetensors", &path));
    status = st_writer_save(b->tensors, path, b->d);
    spk_free(path);
    return status;
}

static void count(const struct brian *b, struct brian_figures *out)
{
    *out = (struct brian_figures){b->im->n_layers, b->projections.len, 0, 0};
    for (uint64_t i = 0; i < b->im->n_layers; i++)
        out->neurons += b->pop[i].n;
    for (size_t i = 0; i < b->projections.len; i++)
        out->synapses += b->projections.data[i].pre.len;
}

spk_status brian_export(const struct image *im, const struct dir_writer *dir, struct diag_list *d,
                        struct brian_figures *out)
{
    struct brian b = {.im = im, .d = d};
    spk_status status = read_populations(&b);
    if (status == SPK_OK)
        status = img_walk_synapses(im, take_synapse, &b);
    if (status == SPK_OK)
        status = st_writer_create(&b.tensors);
    if (status == SPK_OK)
        status = add_tensors(&b);
    if (status == SPK_OK)
        status = write_files(&b, dir);
    if (status == SPK_OK)
        count(&b, out);
    brian_fini(&b);
    return status;
}
