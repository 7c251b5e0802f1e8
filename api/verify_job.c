/* verify: levels R, Q and M on the same images, back to back, compared value by value.
 *
 * The simulator runs all images in one go; as it reports the values of an image, the levels R and
 * Q of that image's batch are computed by an engine and compared, so that memory holds
 * one batch. R and Q come from the folder's modules, M from the image alone. */
#include <string.h>

#include "api/api_internal.h"
#include "api/command_text.h"
#include "passes/pass.h"
#include "runtime/compare.h"
#include "runtime/record.h"
#include "runtime/sim.h"
#include "support/alloc.h"
#include "support/file.h"

#define BATCH_IMAGES 32

struct verify {
    spk_context *c;
    struct api_folder f;
    struct ir_module *r_module; /* level R with its constant part hoisted */
    struct api_data data;
    const struct engine_vtable *vtable; /* of levels R and Q */
    struct engine *r, *q;
    struct sim *sim;
    bool level_r, level_m;
    uint32_t classes, batch_first, batch_n, compared;
    bool ending; /* no more images are begun; what is under way is compared */
    float *logits_r, *logits_q, *logits_m;
    struct record *rec_r, *rec_q, *rec_m; /* batch, batch, one image */
    uint32_t put;                         /* values of rec_m put so far for its image */
    bool have_mq, have_rq;
    struct compare mq, rq;
    bool have_batch_rq;
    struct compare batch_rq; /* of the batch at hand, not in rq yet */
    uint64_t *flips;         /* Q taught by R, per node of the quantised module */
    uint64_t *wraps;
    uint64_t *before; /* both before the batch at hand */
};

static void verify_fini(struct verify *v)
{
    sim_destroy(v->sim);
    if (v->r != NULL)
        v->vtable->destroy(v->r);
    if (v->q != NULL)
        v->vtable->destroy(v->q);
    record_destroy(v->rec_r);
    record_destroy(v->rec_q);
    record_destroy(v->rec_m);
    if (v->have_mq)
        compare_fini(&v->mq);
    if (v->have_rq)
        compare_fini(&v->rq);
    if (v->have_batch_rq)
        compare_fini(&v->batch_rq);
    spk_free(v->logits_r);
    spk_free(v->logits_q);
    spk_free(v->logits_m);
    spk_free(v->flips);
    spk_free(v->wraps);
    spk_free(v->before);
    ir_module_destroy(v->r_module);
    api_data_fini(&v->data);
    api_folder_fini(&v->f);
}

static spk_status parse_levels(struct verify *v, const char *levels)
{
    const char *p = levels ? levels : "R,Q,M";
    bool q = false;
    for (; *p != '\0'; p++) {
        if (*p == 'R')
            v->level_r = true;
        else if (*p == 'Q')
            q = true;
        else if (*p == 'M')
            v->level_m = true;
        else if (*p != ',')
            return diag_usage(&v->c->diags, spk_span_none, "E0914",
                              "unknown level '%c' in --levels (R, Q, M)", *p);
    }
    if (!q || (!v->level_r && !v->level_m))
        return diag_usage(&v->c->diags, spk_span_none, "E0915",
                          "--levels compares with Q: give Q and at least one of R and M");
    return SPK_OK;
}

/* The first result gives the layers; their names then belong to the module, which outlives the
 * records of a batch. */
static spk_status merge(const struct ir_module *m, struct compare *total, bool *have,
                        struct compare *more, uint32_t offset)
{
    if (!*have) {
        *total = *more;
        for (uint32_t i = 0; i < total->n_layers; i++)
            total->layer[i].name = m->node[ir_find_value(m, total->layer[i].name)].name;
        *have = true;
        total->first.image += offset;
        return SPK_OK;
    }
    spk_status status = compare_merge(total, more, offset);
    compare_fini(more);
    return status;
}

/* The engines stop for the caller, but not any more once the last images are under way. */
static bool batch_cancelled(void *ctx)
{
    struct verify *v = ctx;
    return !v->ending && api_cancelled(v->c);
}

static spk_status run_level(struct verify *v, struct engine *e, const struct ir_module *m,
                            struct record **rec, float *logits, const struct engine_input *in,
                            const struct engine_teacher *teacher, struct engine_stats *stats)
{
    struct engine_recorder recorder;
    struct engine_run run = {.input = *in,
                             .logits = logits,
                             .pool = v->c->pool,
                             .cancelled = batch_cancelled,
                             .progress_ctx = v,
                             .teacher = teacher,
                             .stats = stats};
    if (rec != NULL) {
        record_destroy(*rec);
        *rec = NULL;
        SPK_TRY(record_create(in->n_images, 0, rec));
        SPK_TRY(record_add_module(*rec, m, &v->c->diags));
        recorder = record_recorder(*rec);
        run.recorder = &recorder;
    }
    return v->vtable->run(e, &run, &v->c->diags);
}

/* Q fed with R's values, layer by layer. */
static spk_status run_forced(struct verify *v, const struct engine_input *in)
{
    struct record_teacher *teacher = NULL;
    struct engine_stats stats = {.flips = v->flips};
    SPK_TRY(
        record_teacher_create(v->rec_r, v->f.quantised, 0, in->n_images, &v->c->diags, &teacher));
    struct engine_teacher t = record_teacher_engine(teacher);
    spk_status status = run_level(v, v->q, v->f.quantised, NULL, NULL, in, &t, &stats);
    record_teacher_destroy(teacher);
    return status;
}

/* Levels Q and R of n images that start at image `first`. */
static spk_status run_images(struct verify *v, uint32_t first, uint32_t n)
{
    const struct engine_input *all = &v->data.input.input;
    struct engine_input in = *all;
    struct engine_stats stats = {.wraps = v->wraps};
    in.n_images = n;
    in.data = all->data + (uint64_t)first * all->image_stride;
    v->batch_first = first;
    v->batch_n = in.n_images;
    SPK_TRY(run_level(v, v->q, v->f.quantised, &v->rec_q, v->logits_q + (size_t)first * v->classes,
                      &in, NULL, &stats));
    if (!v->level_r)
        return SPK_OK;
    SPK_TRY(run_level(v, v->r, v->r_module, &v->rec_r, v->logits_r + (size_t)first * v->classes,
                      &in, NULL, NULL));
    SPK_TRY(compare_records(v->rec_r, 0, v->rec_q, 0, in.n_images, &v->c->diags, &v->batch_rq));
    v->have_batch_rq = true;
    return run_forced(v, &in);
}

/* The batch at hand counts. */
static spk_status keep_batch(struct verify *v)
{
    if (!v->have_batch_rq)
        return SPK_OK;
    v->have_batch_rq = false;
    return merge(v->f.quantised, &v->rq, &v->have_rq, &v->batch_rq, v->batch_first);
}

/* It does not: it was cut short, or holds images that are not compared. */
static void forget_batch(struct verify *v)
{
    const uint32_t n = v->f.quantised->n_nodes;
    if (v->have_batch_rq)
        compare_fini(&v->batch_rq);
    v->have_batch_rq = false;
    memcpy(v->flips, v->before, n * sizeof *v->before);
    memcpy(v->wraps, v->before + n, n * sizeof *v->before);
}

/* A batch; where it is cancelled and images are under way on the chip, only the first of it. */
static spk_status run_batch(struct verify *v, uint32_t first)
{
    const uint32_t left = v->data.input.input.n_images - first;
    const size_t size = v->f.quantised->n_nodes * sizeof *v->before;
    const uint32_t n = v->ending ? 1 : left < BATCH_IMAGES ? left : BATCH_IMAGES;
    SPK_TRY(keep_batch(v));
    memcpy(v->before, v->flips, size);
    memcpy(v->before + v->f.quantised->n_nodes, v->wraps, size);
    spk_status status = run_images(v, first, n);
    if (status != SPK_ERR_CANCELLED || v->compared == 0 || !v->level_m)
        return status;
    v->ending = true;
    forget_batch(v);
    return run_images(v, first, 1);
}

static spk_status compare_image(struct verify *v, uint32_t image)
{
    struct compare c;
    SPK_TRY(compare_records(v->rec_q, image - v->batch_first, v->rec_m, 0, 1, &v->c->diags, &c));
    v->put = 0;
    v->compared = image + 1;
    return merge(v->f.quantised, &v->mq, &v->have_mq, &c, image);
}

/* The simulator hands over a value of an image; the last one of an image starts its comparison. */
static spk_status take_value(void *ctx, uint32_t image, const struct sim_value *value,
                             const void *data)
{
    struct verify *v = ctx;
    const uint32_t index = record_index(v->rec_m, value->name);
    const uint64_t elements = (uint64_t)value->channels * value->height * value->width;
    if (index == IR_NONE)
        return SPK_OK; /* not a value of the quantised module: nothing to compare with */
    const struct record_tensor *t = record_at(v->rec_m, index);
    if (t->frame_elements != elements || t->timesteps != value->timesteps ||
        t->is_i32 != value->is_i32)
        return diag_error(&v->c->diags, spk_span_none, "E0916",
                          "the image records '%s' in another shape than the quantised module",
                          value->name);
    SPK_TRY(record_put(v->rec_m, index, 0, data));
    if (++v->put < record_count(v->rec_m))
        return SPK_OK;
    if (v->rec_q == NULL || image >= v->batch_first + v->batch_n)
        SPK_TRY(run_batch(v, image));
    return compare_image(v, image);
}

static spk_status run_mapped(struct verify *v)
{
    const uint32_t n = v->data.input.input.n_images;
    uint32_t done = n;
    struct sim_recorder recorder = {v, take_value};
    struct sim_run run = {.input = v->data.input.input,
                          .logits = v->logits_m,
                          .recorder = &recorder,
                          .pool = v->c->pool,
                          .cancelled = api_cancelled,
                          .out_images = &done,
                          .progress = api_progress,
                          .progress_ctx = v->c};
    SPK_TRY(sim_create(&v->f.image, &v->c->diags, &v->sim));
    SPK_TRY(record_create(1, 0, &v->rec_m));
    SPK_TRY(record_add_module(v->rec_m, v->f.quantised, &v->c->diags));
    api_progress_begin(v->c, "verifying", n);
    SPK_TRY(sim_run(v->sim, &run, &v->c->diags));
    if (v->put != 0 || !v->have_mq)
        return diag_error(&v->c->diags, spk_span_none, "E0917",
                          "the image records %u of the %u values that the quantised module has",
                          v->put, record_count(v->rec_m));
    if (done == n || !api_end_early(v->c))
        return keep_batch(v);
    api_data_keep_first(&v->data, done);
    if (v->batch_first + v->batch_n > done) {
        forget_batch(v);
        SPK_TRY(run_images(v, v->batch_first, done - v->batch_first));
    }
    return keep_batch(v);
}

static spk_status run_unmapped(struct verify *v)
{
    const uint32_t n = v->data.input.input.n_images;
    api_progress_begin(v->c, "verifying", n);
    for (uint32_t i = 0; i < n; i += BATCH_IMAGES) {
        spk_status status = run_batch(v, i);
        if (status == SPK_ERR_CANCELLED && i > 0 && api_end_early(v->c)) {
            forget_batch(v);
            api_data_keep_first(&v->data, i);
            return SPK_OK;
        }
        SPK_TRY(status);
        api_progress(v->c, i + v->batch_n, n);
    }
    return keep_batch(v);
}

/* ---- report ---- */

/* Where the first mismatch was computed: a core's compartment, or an embedded processor's chip. */
static void write_place(const struct verify *v, struct api_report *rep, uint32_t layer,
                        uint32_t channel, uint32_t position)
{
    const struct compare_mismatch *f = &v->mq.first;
    const struct image *im = &v->f.image;
    struct json_writer *w = &rep->w;
    struct strbuf *t = &rep->result->text;
    uint32_t core = IMG_NONE, comp = 0, chip = IMG_NONE;
    if (layer == IMG_NONE) {
        jw_null(w, "step");
        jw_null(w, "chip");
        jw_null(w, "core");
        return;
    }
    uint64_t step = (uint64_t)f->image * im->meta.interval + im->layers[layer].start + f->frame;
    jw_u64(w, "step", step);
    strbuf_printf(t, "; step %llu", (unsigned long long)step);
    if (sim_locate(v->sim, layer, channel, position, &core, &comp)) {
        const struct img_core *c = &im->cores[core];
        jw_u64(w, "chip", c->chip);
        jw_u64(w, "core", core);
        jw_u64(w, "compartment", comp);
        strbuf_printf(t, ", core %u (chip %u, x %u, y %u), compartment %u", core, c->chip, c->x,
                      c->y, comp);
        return;
    }
    for (uint64_t i = 0; i < im->n_embedded && chip == IMG_NONE; i++)
        if (im->embedded[i].layer == layer)
            chip = im->embedded[i].chip;
    if (chip == IMG_NONE) {
        jw_null(w, "chip");
    } else {
        jw_u64(w, "chip", chip);
        strbuf_printf(t, ", an embedded processor of chip %u", chip);
    }
    jw_null(w, "core");
}

static void write_first(const struct verify *v, struct api_report *rep)
{
    const struct compare_mismatch *f = &v->mq.first;
    struct json_writer *w = &rep->w;
    if (!v->have_mq || !f->found) {
        jw_null(w, "first_mismatch");
        return;
    }
    const char *name = v->mq.layer[f->layer].name;
    const uint32_t id = ir_find_value(v->f.quantised, name);
    const struct ir_type *t = &v->f.quantised->node[id].type;
    const uint64_t positions = ir_type_positions(t);
    uint32_t layer = sim_find_layer(v->sim, name);
    uint32_t channel =
        (uint32_t)(t->layout == IR_NC ? f->index % t->channels : f->index / positions);
    uint32_t position =
        (uint32_t)(t->layout == IR_NC ? f->index / t->channels : f->index % positions);
    jw_object_begin(w, "first_mismatch");
    jw_u64(w, "image", f->image);
    jw_string(w, "layer", name);
    jw_u64(w, "index", f->index);
    jw_u64(w, "channel", channel);
    jw_u64(w, "position", position);
    jw_u64(w, "frame", f->frame);
    strbuf_printf(&rep->result->text,
                  "first mismatch: image %u, '%s', channel %u, position %u, "
                  "frame %u: expected %d, got %d",
                  f->image, name, channel, position, f->frame, f->expected, f->got);
    write_place(v, rep, layer, channel, position);
    strbuf_char(&rep->result->text, '\n');
    jw_i64(w, "expected", f->expected);
    jw_i64(w, "got", f->got);
    jw_object_end(w);
}

/* Teacher-forced flips of a layer of the quantised module. */
static uint64_t flips_of(const struct verify *v, const char *name)
{
    uint32_t id = ir_find_value(v->f.quantised, name);
    return id == IR_NONE ? 0 : v->flips[id];
}

static void write_agreement(const struct verify *v, struct api_report *rep)
{
    struct json_writer *w = &rep->w;
    uint64_t values = 0, flips = 0;
    if (!v->have_rq)
        return;
    jw_object_begin(w, "spike_agreement");
    jw_array_begin(w, "layers");
    for (uint32_t i = 0; i < v->rq.n_layers; i++) {
        const struct compare_layer *l = &v->rq.layer[i];
        if (!l->neuron)
            continue;
        uint64_t f = flips_of(v, l->name);
        jw_object_begin_line(w, NULL);
        jw_string(w, "name", l->name);
        jw_f64(w, "teacher_forced", compare_agreement(l->values, f));
        jw_f64(w, "free_running", compare_agreement(l->values, l->mismatches));
        jw_object_end(w);
        values += l->values;
        flips += f;
    }
    jw_array_end(w);
    jw_object_begin(w, "overall");
    jw_f64(w, "teacher_forced", compare_agreement(values, flips));
    jw_f64(w, "free_running", compare_agreement(v->rq.values_compared, v->rq.mismatches));
    jw_object_end(w);
    jw_object_end(w);
    strbuf_printf(&rep->result->text,
                  "spikes of Q equal to R: %.4f %% teacher-forced, %.4f %% free-running\n",
                  100 * compare_agreement(values, flips),
                  100 * compare_agreement(v->rq.values_compared, v->rq.mismatches));
}

static void write_top1(const struct verify *v, struct api_report *rep)
{
    const struct {
        const char *key, *level;
        const float *logits;
        bool on;
    } levels[] = {{"top1_reference", "R", v->logits_r, v->level_r},
                  {"top1_quantised", "Q", v->logits_q, true},
                  {"top1_mapped", "M", v->logits_m, v->level_m}};
    if (v->data.labels.n == 0)
        return;
    for (int i = 0; i < 3; i++) {
        if (!levels[i].on)
            continue;
        double top1 = api_top1(levels[i].logits, &v->data.labels, v->classes);
        jw_f64(&rep->w, levels[i].key, top1);
        strbuf_printf(&rep->result->text, "top-1 %s: %.4f\n", levels[i].level, top1);
    }
}

static spk_status write_command(const struct spk_verify_options *o, struct json_writer *w)
{
    struct strbuf command = {0};
    command_word(&command, "spikec");
    command_word(&command, "verify");
    command_word(&command, "DIR");
    command_data(&command, &o->data);
    command_text(&command, "--levels", o->levels);
    jw_string(w, "command_line", strbuf_cstr(&command));
    const spk_status status = command.status;
    strbuf_fini(&command);
    return status;
}

static spk_status verify_report(const struct verify *v, struct api_report *rep)
{
    struct json_writer *w = &rep->w;
    const uint32_t n = v->data.input.input.n_images;
    const struct sim_stats *s = v->level_m ? sim_statistics(v->sim) : NULL;
    uint32_t logit_mismatches =
        v->level_m ? compare_logits(v->logits_q, v->logits_m, n, v->classes, 0.0f) : 0;
    uint64_t wraps = 0;
    for (uint32_t i = 0; i < v->f.quantised->n_nodes; i++)
        wraps += v->wraps[i];
    jw_string(w, "engine_used", v->vtable->name);
    jw_u64(w, "images", n);
    strbuf_printf(&rep->result->text, "%u images\n", n);
    jw_u64(w, "values_compared", v->have_mq ? v->mq.values_compared : 0);
    jw_u64(w, "mismatches", v->have_mq ? v->mq.mismatches : 0);
    jw_u64(w, "sum_mismatches", v->have_mq ? v->mq.sum_mismatches : 0);
    jw_u64(w, "logit_mismatches", logit_mismatches);
    if (v->level_m)
        strbuf_printf(&rep->result->text,
                      "M against Q: %llu values compared, %llu mismatches, %u images with other "
                      "logits\n",
                      (unsigned long long)v->mq.values_compared,
                      (unsigned long long)v->mq.mismatches, logit_mismatches);
    write_first(v, rep);
    jw_u64(w, "spikes_outside_windows", s ? s->spikes_outside_windows : 0);
    jw_u64(w, "wraps", s ? s->wraps : wraps);
    jw_u64(w, "wraps_quantised", wraps);
    write_agreement(v, rep);
    write_top1(v, rep);
    if (s != NULL && s->spikes_outside_windows > 0)
        strbuf_printf(&rep->result->text, "%llu spikes outside their windows, the first in '%s'\n",
                      (unsigned long long)s->spikes_outside_windows,
                      v->f.image.strings[v->f.image.layers[s->outside_layer].name]);
    if (v->level_m && (v->mq.mismatches > 0 || v->mq.sum_mismatches > 0 || logit_mismatches > 0 ||
                       s->spikes_outside_windows > 0))
        return SPK_DIFFERENCE;
    return SPK_OK;
}

static spk_status verify_prepare(struct verify *v)
{
    const uint32_t n = v->data.input.input.n_images;
    v->classes = api_classes(v->f.quantised);
    SPK_TRY(spk_alloc_array((size_t)n * v->classes, sizeof(float), &v->logits_r));
    SPK_TRY(spk_alloc_array((size_t)n * v->classes, sizeof(float), &v->logits_q));
    SPK_TRY(spk_alloc_array((size_t)n * v->classes, sizeof(float), &v->logits_m));
    SPK_TRY(spk_alloc_array(v->f.quantised->n_nodes, sizeof *v->flips, &v->flips));
    SPK_TRY(spk_alloc_array(v->f.quantised->n_nodes, sizeof *v->wraps, &v->wraps));
    SPK_TRY(spk_alloc_array(2 * (size_t)v->f.quantised->n_nodes, sizeof *v->before, &v->before));
    SPK_TRY(v->vtable->create(v->f.quantised, &v->c->diags, &v->q));
    if (!v->level_r)
        return SPK_OK;
    struct pass_context pc = {.diags = &v->c->diags};
    SPK_TRY(ir_module_clone(v->f.model, false, &v->r_module));
    SPK_TRY(passes_run(&pc, "hoist-constant", &v->r_module));
    return v->vtable->create(v->r_module, &v->c->diags, &v->r);
}

static spk_status verify_all(struct verify *v, const struct spk_verify_options *o,
                             struct api_report *rep)
{
    SPK_TRY(api_engine(v->c, o->engine, NULL, &v->vtable));
    SPK_TRY(parse_levels(v, o->levels));
    SPK_TRY(api_folder_open(v->c, o->folder,
                            API_FOLDER_QUANTISED | (v->level_r ? API_FOLDER_MODEL : 0) |
                                (v->level_m ? API_FOLDER_IMAGE : 0),
                            &v->f));
    SPK_TRY(api_data_load(v->c, &o->data, v->f.quantised, &v->data));
    SPK_TRY(verify_prepare(v));
    SPK_TRY(write_command(o, &rep->w));
    if (v->level_m)
        SPK_TRY(run_mapped(v));
    else
        SPK_TRY(run_unmapped(v));
    return verify_report(v, rep);
}

/* The folder keeps the result of the last run of its image, for reports. It may be on a medium that
 * cannot be written: the result itself is not worse for it. */
static void keep_result(spk_context *c, const char *folder, const spk_result *result)
{
    char *path = path_join(folder, "verify.json");
    const char *text = spk_result_json(result);
    if (path == NULL || file_write_all(path, text, strlen(text), NULL) != SPK_OK)
        diag_warning(&c->diags, spk_span_none, "W0980",
                     "verify.json could not be written into '%s'; reports will miss it", folder);
    spk_free(path);
}

int spk_verify(spk_context *c, const struct spk_verify_options *o, spk_result **out_result)
{
    struct verify v = {.c = c};
    struct api_report rep;
    *out_result = NULL;
    api_begin(c);
    spk_status status = api_report_begin(&rep, "verify");
    if (status == SPK_OK)
        status = verify_all(&v, o, &rep);
    const bool mapped = v.level_m;
    verify_fini(&v);
    status = api_report_end_early(c, &rep, status, "only so many images were compared", out_result);
    if (mapped && *out_result != NULL)
        keep_result(c, o->folder, *out_result);
    return status;
}
