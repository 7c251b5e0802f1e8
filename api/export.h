/* What the export formats of the api room share. */
#ifndef SPIKEC_API_EXPORT_H
#define SPIKEC_API_EXPORT_H

#include "api/api_internal.h"
#include "support/file.h"

struct export_job {
    spk_context *c;
    const struct spk_export_options *o;
    struct api_folder f;
    struct api_model model; /* where the network is no folder */
    struct dir_writer *dir; /* the folder being written */
};

/* export_sanafe.c */
SPK_CHECKED spk_status export_sanafe(struct export_job *j, struct api_report *r);
/* export_netx.c */
SPK_CHECKED spk_status export_netx(struct export_job *j, struct api_report *r);
/* export_nir.c */
SPK_CHECKED spk_status export_nir(struct export_job *j, struct api_report *r);

#endif
