/* Names and exit codes of the status values. */
#include "support/status.h"

int spk_status_exit_code(spk_status status)
{
    switch (status) {
    case SPK_OK:
    case SPK_DIFFERENCE:
    case SPK_ERR_USAGE:
    case SPK_ERR_INPUT:
    case SPK_ERR_NOFIT:
    case SPK_ERR_IO:
        return (int)status;
    case SPK_ERR_NOMEM:
    case SPK_ERR_CANCELLED:
        return SPK_ERR_IO;
    case SPK_ERR_INTERNAL:
        break;
    }
    return SPK_ERR_INTERNAL;
}

const char *spk_status_name(spk_status status)
{
    switch (status) {
    case SPK_OK:
        return "ok";
    case SPK_DIFFERENCE:
        return "difference";
    case SPK_ERR_USAGE:
        return "usage";
    case SPK_ERR_INPUT:
        return "input";
    case SPK_ERR_NOFIT:
        return "does-not-fit";
    case SPK_ERR_IO:
        return "io";
    case SPK_ERR_NOMEM:
        return "out-of-memory";
    case SPK_ERR_CANCELLED:
        return "cancelled";
    case SPK_ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}
