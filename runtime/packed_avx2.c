/* Kernels of the packed engine for processors with AVX2; the build gives this file the flags. */
#include <stddef.h>

#include "runtime/packed_kernels.h"

#ifdef __AVX2__
#include <immintrin.h>

#define PK_BYTES 32

#include "runtime/packed_fire.h"
#include "runtime/packed_list_row.h"
#include "runtime/packed_sum_i8.h"

static const struct pk_kernels table = PK_TABLE("avx2");

const struct pk_kernels *pk_kernels_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                   __builtin_cpu_supports("popcnt")
               ? &table
               : NULL;
}
#else
const struct pk_kernels *pk_kernels_avx2(void)
{
    return NULL;
}
#endif
