/* SPDX-License-Identifier: Apache-2.0
 * common/metrics/beat.h - the sign of life of a child with a loop: it also shows how long the loop's turns took. */
#ifndef COMMON_METRICS_BEAT_H
#define COMMON_METRICS_BEAT_H

struct loop;

/* From a timer of the loop, several times within supervisor.silence. */
void beat(const struct loop *l);

#endif
