/* Half-precision conversions on bit patterns; round to nearest, ties to even. */
#include "support/half.h"

#include <string.h>

static float bits_to_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t f32_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

float half_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    uint32_t exponent = bits >> 10 & 0x1fu, mantissa = bits & 0x3ffu;
    float magnitude;
    if (exponent == 0x1f) /* a NaN becomes quiet, as the hardware does it */
        return bits_to_f32(sign | 0x7f800000u | (mantissa ? 0x400000u : 0u) | mantissa << 13);
    if (exponent > 0)
        return bits_to_f32(sign | (exponent + 112) << 23 | mantissa << 13);
    magnitude = (float)mantissa * 0x1.0p-24f; /* zero and subnormals, exact */
    return sign ? -magnitude : magnitude;
}

uint16_t half_from_f32(float value)
{
    uint32_t bits = f32_to_bits(value);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t shift, mantissa, rounded, rest, halfway;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x47800000u) /* 65536 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (magnitude >= 0x38800000u) { /* normal; a carry runs into the exponent, up to infinity */
        rounded = magnitude - 0x38000000u;
        rounded += 0xfffu + (rounded >> 13 & 1u);
        return (uint16_t)(sign | rounded >> 13);
    }
    if (magnitude < 0x33000000u) /* below half of the smallest subnormal */
        return sign;
    shift = 126 - (magnitude >> 23);
    mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    rounded = mantissa >> shift;
    rest = mantissa & ((1u << shift) - 1);
    halfway = 1u << (shift - 1);
    if (rest > halfway || (rest == halfway && (rounded & 1u)))
        rounded++;
    return (uint16_t)(sign | rounded);
}

float bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    if ((wide & 0x7fffffffu) > 0x7f800000u)
        wide |= 0x400000u;
    return bits_to_f32(wide);
}

uint16_t bf16_from_f32(float value)
{
    uint32_t bits = f32_to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    bits += 0x7fffu + (bits >> 16 & 1u);
    return (uint16_t)(bits >> 16);
}
