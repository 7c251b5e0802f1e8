/* A network that spikec built, in a C program: reads pictures from an IDX file of bytes (the format
 * of MNIST) and prints the class of each and its logits.
 *
 *     spikec build spikformer_v2_fashion -o libfashion.so
 *     cc -O2 classify.c ./libfashion.so -o classify
 *     ./classify t10k-images-idx3-ubyte | head
 *
 * An object (-o libfashion.o) is linked in the same way and leaves one program and no library.
 * There is no allocation: the workspace is an array, and so is everything else.                 */
#include <stdio.h>

#include "libfashion.h"

#define PIXELS SPIKFORMER_V2_FASHION_INPUT_FLOATS
#define CLASSES SPIKFORMER_V2_FASHION_CLASSES
#define BATCH 8

static unsigned char workspace[SPIKFORMER_V2_FASHION_WORKSPACE_BYTES];
static float input[BATCH * PIXELS], logits[BATCH * CLASSES];

/* Big-endian, as in all IDX files. */
static unsigned long read_number(FILE *f)
{
    unsigned char b[4];

    if (fread(b, 1, sizeof b, f) != sizeof b)
        return 0;
    return (unsigned long)b[0] << 24 | (unsigned long)b[1] << 16 | (unsigned long)b[2] << 8 | b[3];
}

/* A picture of the file's bytes as the network takes it; 0 at the end of the file. */
static int read_picture(FILE *f, float *out)
{
    static const float mean[] = SPIKFORMER_V2_FASHION_INPUT_MEAN;
    static const float deviation[] = SPIKFORMER_V2_FASHION_INPUT_STD;
    unsigned char bytes[PIXELS];

    if (fread(bytes, 1, sizeof bytes, f) != sizeof bytes)
        return 0;
    for (int i = 0; i < PIXELS; i++)
        out[i] = ((float)bytes[i] / 255.0f - mean[0]) / deviation[0];
    return 1;
}

static void print_answer(unsigned long image, const float *y)
{
    int best = 0;

    for (int k = 1; k < CLASSES; k++)
        if (y[k] > y[best])
            best = k;
    printf("image %lu: class %d;", image, best);
    for (int k = 0; k < CLASSES; k++)
        printf(" %.9g", (double)y[k]);
    printf("\n");
}

int main(int argc, char **argv)
{
    unsigned long images, done = 0;
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;

    if (!f || read_number(f) != 0x803) {
        fprintf(stderr, "usage: classify FILE, an IDX file of pictures of bytes\n");
        return 2;
    }
    images = read_number(f);
    if (read_number(f) * read_number(f) != PIXELS) {
        fprintf(stderr, "classify: the network's pictures have %d pixels\n", PIXELS);
        return 3;
    }
    while (done < images) {
        size_t batch = 0;

        while (batch < BATCH && read_picture(f, input + batch * PIXELS))
            batch++;
        if (batch == 0 || spikformer_v2_fashion_run(input, batch, logits, workspace) != 0)
            break;
        for (size_t i = 0; i < batch; i++)
            print_answer(done + i, logits + i * CLASSES);
        done += batch;
    }
    fclose(f);
    return done == images ? 0 : 3;
}
