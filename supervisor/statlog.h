/* SPDX-License-Identifier: Apache-2.0
 * supervisor/statlog.h - stat.log: a line for every counter, each log.stat_interval; fubard(8) has its form. */
#ifndef SUPERVISOR_STATLOG_H
#define SUPERVISOR_STATLOG_H

#include "common/base/loop.h"

struct node;

struct statlog {
	struct timer timer;
	struct mono last;
	char stamp[32];                 /* of the round being written */
};

void statlog_start(struct node *n);
void statlog_stop(struct node *n);
/* log.stat_interval may have changed. */
void statlog_settings(struct node *n);

#endif
