/* Kernels of the packed engine for processors with AVX-512 (F, BW, DQ, VL, VBMI2); the build gives
 * this file the flags. */
#include <stddef.h>

#include "runtime/packed_kernels.h"

#ifdef __AVX512VBMI2__
#include <immintrin.h>

#define PK_BYTES 64

#include "runtime/packed_fire.h"
#include "runtime/packed_list_row.h"
#include "runtime/packed_sum_i8.h"

static const struct pk_kernels table = PK_TABLE("avx512");

const struct pk_kernels *pk_kernels_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2") &&
                   __builtin_cpu_supports("popcnt")
               ? &table
               : NULL;
}
#else
const struct pk_kernels *pk_kernels_avx512(void)
{
    return NULL;
}
#endif
