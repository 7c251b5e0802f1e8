/* What a NIR file does not say about its network, or says in its metadata: time step, number of
 * steps, kind of input. Settings of the caller come before the file. */
#include <math.h>
#include <string.h>

#include "frontend/nir.h"
#include "frontend/nir_lower.h"
#include "support/alloc.h"

/* A number of the root's metadata; *out is unchanged where there is none. */
static spk_status metadata(const struct h5_file *file, const char *key, double *out)
{
    double *data = NULL;
    char path[64];
    spk_snprintf(path, sizeof path, "node/metadata/%s", key);
    if (!h5_exists(file, path))
        spk_snprintf(path, sizeof path, "metadata/%s", key);
    if (!h5_exists(file, path))
        return SPK_OK;
    struct h5_info info;
    SPK_TRY(h5_read_as_f64(file, path, 1, &info, &data));
    if (info.count == 1)
        *out = data[0];
    spk_free(data);
    return SPK_OK;
}

/* mean and std of the metadata. */
static spk_status read_norm(const struct h5_file *file, struct diag_list *d, struct nir_settings *s)
{
    struct h5_info info;
    float *const to[2] = {s->mean, s->std};
    const char *const keys[2] = {"node/metadata/mean", "node/metadata/std"};
    uint64_t count[2] = {0, 0};
    for (uint32_t k = 0; k < 2 && h5_exists(file, keys[k]); k++) {
        double *data = NULL;
        SPK_TRY(h5_read_as_f64(file, keys[k], 4, &info, &data));
        count[k] = info.count;
        for (uint64_t i = 0; i < count[k]; i++)
            to[k][i] = (float)data[i];
        spk_free(data);
    }
    bool fine = count[0] == count[1];
    for (uint64_t i = 0; i < count[1] && fine; i++)
        fine = isfinite(s->mean[i]) && isfinite(s->std[i]) && s->std[i] > 0.0f;
    s->n_norm = (uint32_t)count[0];
    return fine ? SPK_OK
                : diag_error(d, h5_place(file, keys[0]), "E0284",
                             "mean and std must be as many, finite, and std above 0");
}

static spk_status read_bool(const struct fe_setting *s, struct diag_list *d, bool *out)
{
    *out = strcmp(s->value, "true") == 0 || strcmp(s->value, "1") == 0;
    if (*out || strcmp(s->value, "false") == 0 || strcmp(s->value, "0") == 0)
        return SPK_OK;
    return diag_error(d, spk_span_none, "E0291", "%s is true or false, not '%s'", s->name,
                      s->value);
}

static spk_status read_sets(const struct h5_file *file, const struct fe_options *o,
                            struct diag_list *d, struct nir_settings *out)
{
    double steps = NAN, fixed = 0.0, analog = 0.0;
    *out = (struct nir_settings){0};
    SPK_TRY(metadata(file, "timesteps", &steps));
    SPK_TRY(metadata(file, "static", &fixed));
    SPK_TRY(metadata(file, "analog", &analog));
    SPK_TRY(read_norm(file, d, out));
    out->fixed = fixed == 1.0;
    out->analog = analog == 1.0;
    for (uint32_t i = 0; i < o->n_sets; i++) {
        const struct fe_setting *s = &o->sets[i];
        if (strcmp(s->name, "static") == 0) {
            SPK_TRY(read_bool(s, d, &out->fixed));
        } else if (strcmp(s->name, "analog") == 0) {
            SPK_TRY(read_bool(s, d, &out->analog));
        } else if (strcmp(s->name, "timesteps") != 0) {
            return diag_error(d, spk_span_none, "E0291",
                              "a NIR graph has no parameter '%s'; it has timesteps, static, analog",
                              s->name);
        } else if (!spk_parse_f64(s->value, strlen(s->value), &steps)) {
            steps = -1.0;
        }
    }
    if (o->n_binds > 0)
        return diag_error(d, spk_span_none, "E0291",
                          "a NIR graph holds its weights: nothing to bind");
    if (out->fixed && out->analog)
        return diag_error(d, spk_span_none, "E0291",
                          "static (one frame) and analog (a frame per step) exclude each other");
    if (isnan(steps)) {
        diag_warning(d, spk_span_none, "W0281",
                     "the graph does not tell the number of time steps: %u are assumed",
                     NIR_TIMESTEPS);
        diag_help_set(d, "give it with --set timesteps=N");
        steps = NIR_TIMESTEPS;
    }
    if (!(steps >= 1.0 && steps <= 65535.0) || steps != floor(steps))
        return diag_error(d, spk_span_none, "E0291", "timesteps must be 1 to 65535");
    out->timesteps = (uint32_t)steps;
    return SPK_OK;
}

static spk_status read_dt(const struct h5_file *file, const struct fe_options *o,
                          struct diag_list *d, double *out)
{
    *out = o->dt;
    if (o->dt == 0.0)
        SPK_TRY(metadata(file, "dt", out));
    if (*out == 0.0 && o->dt == 0.0)
        return SPK_OK;
    return *out > 0.0 && isfinite(*out)
               ? SPK_OK
               : diag_error(d, h5_place(file, "node/metadata/dt"), "E0290",
                            "the time step must be above 0, it is %g", *out);
}

spk_status nir_settings_read(const struct h5_file *file, const struct fe_options *o,
                             struct diag_list *d, struct nir_settings *out)
{
    SPK_TRY(read_sets(file, o, d, out));
    return read_dt(file, o, d, &out->dt);
}
