/* run --profile: seconds, additions and density of every projection, from the packed engine. Times
 * are those of the fastest run; additions are counted in the first. */
#include "api/run_profile.h"

#include "runtime/packed.h"

spk_status profile_check(spk_context *c, const struct engine_vtable *vtable, uint32_t n_images)
{
    if (vtable != &rt_packed_engine) {
        spk_status status = diag_usage(&c->diags, spk_span_none, "E0929",
                                       "engine %s measures no layers", vtable->name);
        diag_help_set(&c->diags, "give --engine packed with --profile");
        return status;
    }
    if (n_images != 1) {
        spk_status status = diag_usage(&c->diags, spk_span_none, "E0929",
                                       "--profile measures one image, not %u", n_images);
        diag_help_set(&c->diags, "give --limit 1");
        return status;
    }
    return SPK_OK;
}

static double giga_per_second(uint64_t additions, uint64_t nanoseconds)
{
    return nanoseconds ? (double)additions / (double)nanoseconds : 0.0;
}

static void write_layer(const struct pk_layer *l, struct json_writer *w, struct strbuf *t)
{
    jw_object_begin_line(w, NULL);
    jw_string(w, "name", l->name);
    jw_string(w, "kernel", l->kernel);
    jw_f64(w, "seconds", (double)l->nanoseconds * 1e-9);
    jw_f64(w, "density", l->density);
    jw_u64(w, "events", l->events);
    jw_u64(w, "additions", l->additions);
    jw_f64(w, "giga_events_per_second", giga_per_second(l->events, l->nanoseconds));
    jw_f64(w, "giga_additions_per_second", giga_per_second(l->additions, l->nanoseconds));
    jw_object_end(w);
    strbuf_printf(t,
                  "%-34s %-9s %8.3f ms  density %6.4f  %8.3f M events  %8.3f M additions"
                  "  %6.1f G/s\n",
                  l->name, l->kernel, (double)l->nanoseconds * 1e-6, l->density,
                  (double)l->events * 1e-6, (double)l->additions * 1e-6,
                  giga_per_second(l->additions, l->nanoseconds));
}

void profile_write(const struct engine *e, struct api_report *rep)
{
    struct json_writer *w = &rep->w;
    struct strbuf *t = &rep->result->text;
    uint32_t n;
    const struct pk_layer *layer = pk_layers(e, &n);
    uint64_t events = 0, additions = 0, nanoseconds = 0;

    jw_object_begin(w, "profile");
    jw_string(w, "kernels", pk_kernels_name(e));
    jw_array_begin(w, "layers");
    for (uint32_t i = 0; i < n; i++) {
        write_layer(&layer[i], w, t);
        events += layer[i].events;
        additions += layer[i].additions;
        nanoseconds += layer[i].nanoseconds;
    }
    jw_array_end(w);
    jw_u64(w, "events", events);
    jw_u64(w, "additions", additions);
    jw_f64(w, "seconds", (double)nanoseconds * 1e-9);
    jw_f64(w, "other_seconds", (double)pk_other_nanoseconds(e) * 1e-9);
    jw_object_end(w);
    strbuf_printf(t,
                  "projections %.2f ms, all else %.2f ms; %.3f G events, %.3f G additions"
                  " (%.1f and %.1f G/s)\n",
                  (double)nanoseconds * 1e-6, (double)pk_other_nanoseconds(e) * 1e-6,
                  (double)events * 1e-9, (double)additions * 1e-9,
                  giga_per_second(events, nanoseconds), giga_per_second(additions, nanoseconds));
}
