/* SPDX-License-Identifier: Apache-2.0 */
#include "store/work.h"

#include "common/base/clock.h"

/* Jobs in turn, until together they had one slice. */
static void
run(struct task *t)
{
	struct work *w = container_of(t, struct work, task);
	struct mono until = mono_add(clock_mono(), WORK_SLICE_NS);

	do {
		struct work_job *j = LIST_FIRST(&w->jobs, struct work_job, link);

		if (j == NULL)
			return;
		list_del(&j->link);
		if (j->step(j))
			list_put_last(&w->jobs, &j->link);
	} while (mono_diff(until, clock_mono()) > 0);
	loop_next(w->loop, &w->task);
}

void
work_init(struct work *w, struct loop *l)
{
	w->loop = l;
	task_init(&w->task, run);
	list_init(&w->jobs);
}

void
work_fini(struct work *w)
{
	task_cancel(&w->task);
	while (!list_empty(&w->jobs))
		list_del(w->jobs.next);
}

void
work_put(struct work *w, struct work_job *j)
{
	if (list_linked(&j->link))
		return;
	list_put_last(&w->jobs, &j->link);
	if (!list_linked(&w->task.link))
		loop_next(w->loop, &w->task);
}

void
work_del(struct work_job *j)
{
	list_del(&j->link);
}
