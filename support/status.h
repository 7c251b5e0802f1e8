/* Status codes that every function of the project returns, and their exit codes. */
#ifndef SPIKEC_SUPPORT_STATUS_H
#define SPIKEC_SUPPORT_STATUS_H

/* The values 0 to 5 and 70 are the exit codes of the tool. The text of an error does not travel in
 * the status: it stands in a diagnostic list (support/diag.h). */
typedef enum spk_status {
    SPK_OK = 0,            /* done */
    SPK_DIFFERENCE = 1,    /* verify or check found a difference; not a failure of the run */
    SPK_ERR_USAGE = 2,     /* wrong options or arguments */
    SPK_ERR_INPUT = 3,     /* bad model, weights, target or input file */
    SPK_ERR_NOFIT = 4,     /* does not fit on the target, or the target cannot express it */
    SPK_ERR_IO = 5,        /* file or system error */
    SPK_ERR_NOMEM = 6,     /* out of memory */
    SPK_ERR_CANCELLED = 7, /* the caller asked to stop (support/progress.h) */
    SPK_ERR_INTERNAL = 70, /* a broken invariant of ours */
} spk_status;

/* Goes in front of a declaration; ignoring the result is then a warning, also under (void). */
#define SPK_CHECKED __attribute__((warn_unused_result))
/* The function takes a printf format: format_index and first_argument count from 1. */
#define SPK_PRINTF(format_index, first_argument) \
    __attribute__((format(printf, format_index, first_argument)))
#define SPK_UNUSED __attribute__((unused))

/* Returns from the enclosing function with the status of `expr` unless it is SPK_OK. */
#define SPK_TRY(expr)                        \
    do {                                     \
        spk_status spk_try_status_ = (expr); \
        if (spk_try_status_ != SPK_OK)       \
            return spk_try_status_;          \
    } while (0)

/* The process exit code for a status: 0-5 and 70 as documented for the tool; out of memory and
 * cancelled map to 5 (system), an unknown value to 70. */
int spk_status_exit_code(spk_status status);

/* Short stable name, for instance "input"; never NULL, static text. */
const char *spk_status_name(spk_status status);

#endif
