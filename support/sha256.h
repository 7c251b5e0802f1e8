/* SHA-256 (FIPS 180-4), streaming. */
#ifndef SPIKEC_SUPPORT_SHA256_H
#define SPIKEC_SUPPORT_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32u
#define SHA256_HEX_BYTES 65u /* 64 digits and NUL */

struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
    uint32_t fill;
};

void sha256_init(struct sha256 *hash);
void sha256_update(struct sha256 *hash, const void *data, size_t size);
/* The object must be initialised again before further use. */
void sha256_final(struct sha256 *hash, uint8_t out_digest[SHA256_BYTES]);

/* In one go. */
void sha256_bytes(const void *data, size_t size, uint8_t out_digest[SHA256_BYTES]);
/* Lower-case hexadecimal. */
void sha256_to_hex(const uint8_t digest[SHA256_BYTES], char out_text[SHA256_HEX_BYTES]);

#endif
