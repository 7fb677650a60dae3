/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "supervisor/notify.h"
#include "supervisor/proctab.h"

#define STOP_EXTRA_NS (5 * NS_PER_SEC)  /* to write down what is left after the last process */

static void
put_status(const struct node *n, char *out, size_t size)
{
	unsigned serving = 0;
	uint64_t clients = 0;

	for (unsigned k = 0; k < n->workers; k++) {
		const struct proc *w = &n->worker[k];

		serving += w->open && proc_alive(w);
		clients += w->page != NULL ? w->page->value[METRIC_clients] : 0;
	}
	switch (n->state) {
	case NODE_STARTING:
		snprintf(out, size, "Starting");
		break;
	case NODE_RUNNING:
		snprintf(out, size, "%u of %u workers serve %" PRIu64 " clients%s", serving, n->workers, clients,
		    n->store.state == PROC_READY ? "" : "; the store is down");
		break;
	case NODE_STOPPING:
		snprintf(out, size, "Stopping, %" PRIu64 " clients left", clients);
		break;
	}
}

static const char *
state_text(const struct node *n)
{
	return n->state == NODE_STOPPING ? "STOPPING=1" : n->service.ready ? "READY=1" : NULL;
}

/* Who does not read now is told the same again with the next tick. */
static void
tell(struct node *n, bool state)
{
	struct service *s = &n->service;
	char status[sizeof s->status];
	char text[sizeof status + 64];
	const char *what = state || s->owed ? state_text(n) : NULL;

	put_status(n, status, sizeof status);
	if (what == NULL && strcmp(status, s->status) == 0)
		return;
	snprintf(text, sizeof text, "%s%sSTATUS=%s", what != NULL ? what : "", what != NULL ? "\n" : "", status);
	if (notify_send(text)) {
		memcpy(s->status, status, sizeof status);
		s->owed = false;
	} else {
		s->owed = s->owed || what != NULL;
	}
}

void
service_ready(struct node *n)
{
	n->service.ready = true;
	tell(n, true);
}

void
service_reloading(struct node *n)
{
	char text[64];

	if (!n->service.ready)
		return;
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono().ns / NS_PER_US);
	(void)notify_send(text);
}

void
service_reloaded(struct node *n)
{
	if (n->service.ready)
		tell(n, true);
}

void
service_stopping(struct node *n, int64_t limit_ns)
{
	char text[64];

	snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRId64, (limit_ns + STOP_EXTRA_NS) / NS_PER_US);
	tell(n, true);
	(void)notify_send(text);
}

void
service_failed(const char *why)
{
	char text[1024];

	snprintf(text, sizeof text, "STATUS=Failed: %s", why);
	for (char *p = text; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
	(void)notify_send(text);
}

bool
service_is_well(struct service *s, bool serves, bool may_serve, struct mono now)
{
	if (serves || !may_serve)
		s->served = now;
	return mono_diff(now, s->served) < SERVICE_UNSERVED_NS;
}

static void
feed_watchdog(struct node *n, struct mono now)
{
	struct service *s = &n->service;
	int64_t limit = notify_watchdog_ns();
	bool well, serves = false;

	if (limit == 0)
		return;
	EACH_WORKER(w, n)
		serves |= w->open && proc_alive(w);
	well = service_is_well(s, serves, n->state == NODE_RUNNING && n->store.state == PROC_READY, now);
	/* Often enough that a late one or two do no harm. */
	if (mono_diff(now, s->fed) < limit / 4)
		return;
	if (well)
		(void)notify_send("WATCHDOG=1");
	else
		log_error("service", "nobody is served, the watchdog is not fed", "for_s=%" PRId64,
		    mono_diff(now, s->served) / NS_PER_SEC);
	s->fed = now;
}

void
service_tick(struct node *n, struct mono now)
{
	feed_watchdog(n, now);
	tell(n, false);
}
