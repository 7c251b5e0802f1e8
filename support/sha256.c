/* SHA-256 after FIPS 180-4. */
#include "support/sha256.h"

#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t value, unsigned bits)
{
    return value >> bits | value << (32 - bits);
}

/* One round; variable a of the standard is v[first % 8], b the next, and so on. Instead of moving
 * all variables on by one, the next round begins one place earlier.                            */
__attribute__((always_inline)) static inline void round_of(uint32_t v[8], unsigned first,
                                                           uint32_t input)
{
    const uint32_t a = v[first & 7], b = v[(first + 1) & 7], c = v[(first + 2) & 7];
    const uint32_t e = v[(first + 4) & 7], f = v[(first + 5) & 7], g = v[(first + 6) & 7];
    const uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    const uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    const uint32_t t1 = v[(first + 7) & 7] + s1 + ((e & f) ^ (~e & g)) + input;

    v[(first + 3) & 7] += t1;
    v[(first + 7) & 7] = t1 + s0 + ((a & b) ^ (a & c) ^ (b & c));
}

static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64], v[8];
    for (unsigned t = 0; t < 16; t++)
        w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 |
               (uint32_t)block[4 * t + 2] << 8 | block[4 * t + 3];
    for (unsigned t = 16; t < 64; t++) {
        uint32_t s0 = rotate_right(w[t - 15], 7) ^ rotate_right(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotate_right(w[t - 2], 17) ^ rotate_right(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    memcpy(v, state, sizeof v);
    for (unsigned t = 0; t < 64; t += 8) {
        /* After eight rounds every variable is back in its place. */
        round_of(v, 8, round_constants[t] + w[t]);
        round_of(v, 7, round_constants[t + 1] + w[t + 1]);
        round_of(v, 6, round_constants[t + 2] + w[t + 2]);
        round_of(v, 5, round_constants[t + 3] + w[t + 3]);
        round_of(v, 4, round_constants[t + 4] + w[t + 4]);
        round_of(v, 3, round_constants[t + 5] + w[t + 5]);
        round_of(v, 2, round_constants[t + 6] + w[t + 6]);
        round_of(v, 1, round_constants[t + 7] + w[t + 7]);
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += v[i];
}

void sha256_init(struct sha256 *hash)
{
    *hash = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                      0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_update(struct sha256 *hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    hash->length += size;
    while (size > 0) {
        size_t take = sizeof hash->block - hash->fill;
        if (hash->fill == 0 && size >= sizeof hash->block) {
            compress(hash->state, bytes);
            take = sizeof hash->block;
        } else {
            take = take < size ? take : size;
            memcpy(hash->block + hash->fill, bytes, take);
            hash->fill += (uint32_t)take;
            if (hash->fill == sizeof hash->block) {
                compress(hash->state, hash->block);
                hash->fill = 0;
            }
        }
        bytes += take;
        size -= take;
    }
}

void sha256_final(struct sha256 *hash, uint8_t out_digest[SHA256_BYTES])
{
    uint64_t bits = hash->length * 8;
    hash->block[hash->fill++] = 0x80;
    if (hash->fill > 56) {
        memset(hash->block + hash->fill, 0, sizeof hash->block - hash->fill);
        compress(hash->state, hash->block);
        hash->fill = 0;
    }
    memset(hash->block + hash->fill, 0, 56 - hash->fill);
    for (unsigned i = 0; i < 8; i++)
        hash->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
    compress(hash->state, hash->block);
    for (unsigned i = 0; i < SHA256_BYTES; i++)
        out_digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sha256_bytes(const void *data, size_t size, uint8_t out_digest[SHA256_BYTES])
{
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, data, size);
    sha256_final(&hash, out_digest);
}

void sha256_to_hex(const uint8_t digest[SHA256_BYTES], char out_text[SHA256_HEX_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < SHA256_BYTES; i++) {
        out_text[2 * i] = digits[digest[i] >> 4];
        out_text[2 * i + 1] = digits[digest[i] & 15];
    }
    out_text[2 * SHA256_BYTES] = '\0';
}
