/* run --profile: what every projection took. */
#ifndef SPIKEC_API_RUN_PROFILE_H
#define SPIKEC_API_RUN_PROFILE_H

#include "api/api_internal.h"

/* An error where the engine cannot tell, or there is more than one image. */
SPK_CHECKED spk_status profile_check(spk_context *c, const struct engine_vtable *vtable,
                                     uint32_t n_images);
/* Appends "profile" to the JSON and a table to the text. */
void profile_write(const struct engine *e, struct api_report *rep);

#endif
