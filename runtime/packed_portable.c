/* Kernels of the packed engine for any processor: vectors of 16 bytes, which the compiler takes
 * apart where there are none. */
#define PK_BYTES 16

#include "runtime/packed_fire.h"
#include "runtime/packed_list_row.h"
#include "runtime/packed_sum_i8.h"

const struct pk_kernels pk_kernels_portable = PK_TABLE("portable");
