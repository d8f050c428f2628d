/*
 * A histogram of durations that does not grow: log-linear, as each power of two is cut into
 * the same number of buckets. What it gives back is off by less than 0.4 %.
 */

#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

/* Each power of two is cut into this many buckets: 2 to the power of STEP_BITS. */
#define STEP_BITS 7
#define STEPS (1u << STEP_BITS)

/* What takes longer, in nanoseconds, is counted as if it took this long: 18 minutes. */
#define LONGEST ((1ull << 40) - 1)
#define BUCKETS ((40 - STEP_BITS + 1) * STEPS)

struct histogram {
    uint64_t counts[BUCKETS];
    uint64_t total;
    uint64_t most;
};

/* Count one duration, in nanoseconds. */
static inline void histogramAdd(struct histogram *histogram, uint64_t value)
{
    unsigned power;

    histogram->total++;
    if (value > histogram->most)
        histogram->most = value;
    if (value > LONGEST)
        value = LONGEST;
    if (value < STEPS) {
        histogram->counts[value]++;
    } else {
        power = 63u - (unsigned)__builtin_clzll(value) - STEP_BITS;
        histogram->counts[power * STEPS + (value >> power)]++;
    }
}

/* Give the least duration, in seconds, that so large a share of them does not exceed. */
static inline double histogramPercentile(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->total, middle;
    uint64_t seen = 0;
    unsigned bucket, power;

    for (bucket = 0; bucket < BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > 0 && (double)seen >= wanted) {
            power = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;
            middle = (double)((uint64_t)(bucket - power * STEPS) << power);
            middle += (double)((1ull << power) - 1) / 2;
            /* The last bucket's middle may lie past what was in it. */
            return (middle < (double)histogram->most ? middle : (double)histogram->most) / 1e9;
        }
    }
    return 0;
}

#endif
