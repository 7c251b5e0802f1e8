/* Where what spikec ships lies: the zoo (models/) and the chip descriptions (targets/).
 *
 * Folders in order: those of an environment variable (separated by ':'), the share folder of the
 * tree that this program or library was installed to, the source tree of the build, and the share
 * folder that the build was configured to install to. An installed tree may be moved: it is found
 * from the file that the running code was loaded from. The working directory is never looked into.
 */
#ifndef SPIKEC_FRONTEND_SHARE_H
#define SPIKEC_FRONTEND_SHARE_H

#include "support/file.h"

enum fe_share { FE_SHARE_MODELS, FE_SHARE_TARGETS };

/* The folders, whether they exist or not. Released with file_names_fini, also after an error. */
SPK_CHECKED spk_status fe_share_folders(enum fe_share what, struct file_names *out);

#endif
