/* The reference engine: one plain interpreter for all stages of the IR.
 *
 * It defines what a module means. MODEL and LOWERED modules are computed in float32 in the order
 * the model writes (level R), QUANTISED ones in the integers of docs/integers.md (level Q).
 *
 * Contract of the engine (see ir/engine.h for the interface):
 *   - The module, and the tensor data it refers to, must outlive the engine. It must verify.
 *   - Results depend on the module and on the image alone: not on the number of threads, on the
 *     number of images in a run, or on which of them came before. Images are independent.
 *   - Several runs of one engine may be under way at once, each with a pool of its own.
 *   - recorder, progress, cancelled and teacher are called on the thread that called run.
 *   - stats.sum and stats.channel_sum count a time-invariant value once for every step of its
 *     type; stats.min and stats.max start from what the caller put there (zero as a rule) and
 *     are lowered and raised.
 *   - Input values must be finite; frames of an event model must be whole numbers from 0 to
 *     2^24. SPK_ERR_INPUT names the image and the element otherwise.
 *   - stats.flips_outside counts, at level Q, wrong spikes with u and threshold unequal.
 * Memory: values die after their last use, weights are re-laid layer by layer unless all of
 * them together are small. Not computed: anything in place of absent weights (SPK_ERR_INPUT). */
#ifndef SPIKEC_RUNTIME_REFERENCE_H
#define SPIKEC_RUNTIME_REFERENCE_H

#include "ir/engine.h"

extern const struct engine_vtable rt_reference_engine;

#endif
