/* Adapters around runtime/paper_energy.h. */
#include "api/paper.h"

#include <math.h>

#include "runtime/paper_energy.h"
#include "support/alloc.h"

spk_status paper_from_means(const struct ir_module *m, const double *mean, struct cost_paper *out)
{
    struct paper_energy p;
    spk_status status = paper_energy_compute(m, mean, NULL, &p);
    *out = (struct cost_paper){0};
    if (status == SPK_OK) {
        out->known = p.first_unknown == IR_NONE;
        out->macs = (double)p.macs_float;
        out->sops = p.sops;
        out->energy_mj = p.energy_mj;
        out->macs_per_step = (double)p.macs_per_step;
    }
    paper_energy_fini(&p);
    return status;
}

spk_status paper_from_rates(const struct ir_module *m, const struct fe_rates *rates,
                            struct cost_paper *out)
{
    double *mean;
    SPK_TRY(spk_alloc_array_raw(m->n_nodes, sizeof *mean, &mean));
    for (uint32_t i = 0; i < m->n_nodes; i++) {
        const struct fe_rate *r = &rates->of_node[i];
        mean[i] = r->n > 0 ? 0.0 : (double)NAN;
        for (uint32_t c = 0; c < r->n; c++)
            mean[i] += r->rate[c] / r->n;
    }
    spk_status status = paper_from_means(m, mean, out);
    spk_free(mean);
    return status;
}

void paper_write(struct json_writer *w, const struct cost_paper *p)
{
    if (!p->known)
        return;
    jw_object_begin(w, "paper_energy");
    jw_string(w, "label", "compute only, 45 nm: 4.6 pJ per MAC, 0.9 pJ per AC (not a chip energy)");
    jw_f64(w, "MACs_float", p->macs);
    jw_f64(w, "SOPs", p->sops);
    jw_f64(w, "E_mJ", p->energy_mj);
    jw_f64(w, "MACs_per_step", p->macs_per_step);
    jw_object_end(w);
}

void paper_text(const struct cost_paper *p, struct strbuf *out)
{
    if (p->known)
        strbuf_printf(out,
                      "paper's compute-only figure (45 nm): %.6g mJ per image (%.6g MACs x 4.6 pJ "
                      "+ %.6g SOPs x 0.9 pJ)\n",
                      p->energy_mj, p->macs, p->sops);
}
