/* IEEE 754 binary16 (F16) and bfloat16 (BF16) to float and back. To float is exact; from float
 * rounds to nearest, ties to even, overflow gives infinity, NaN stays NaN (quiet). */
#ifndef SPIKEC_SUPPORT_HALF_H
#define SPIKEC_SUPPORT_HALF_H

#include <stdint.h>

float half_to_f32(uint16_t bits);
uint16_t half_from_f32(float value);
float bf16_to_f32(uint16_t bits);
uint16_t bf16_from_f32(float value);

#endif
