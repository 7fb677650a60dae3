/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/death.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/base/log.h"

const char *
death_text(int status, char *out, size_t size)
{
	const char *name;

	if (WIFEXITED(status)) {
		snprintf(out, size, "exit code %d", WEXITSTATUS(status));
		return out;
	}
	name = sigabbrev_np(WTERMSIG(status));
	if (name != NULL)
		snprintf(out, size, "killed by SIG%s", name);
	else
		snprintf(out, size, "killed by signal %d", WTERMSIG(status));
	return out;
}

bool
death_is_fault(int status, bool silenced)
{
	if (silenced)
		return true;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) != 0;
	switch (WTERMSIG(status)) {
	case SIGSEGV:
	case SIGBUS:
	case SIGFPE:
	case SIGILL:
	case SIGABRT:
	case SIGSYS:
	case SIGTRAP:
		return true;
	default:
		return false;
	}
}

/* Where to look for the core, or why there is none. */
static void
core_hint(int status, char *out, size_t size)
{
	char pattern[128] = "core";
	struct rlimit r = { 0 };
	FILE *f;

	out[0] = '\0';
	if (!WIFSIGNALED(status) || !death_is_fault(status, false))
		return;
	(void)getrlimit(RLIMIT_CORE, &r);
	if (!WCOREDUMP(status)) {
		snprintf(out, size, "%s", r.rlim_cur == 0 ? "no core: the limit is 0; ulimit -c unlimited before the start, or "
		    "LimitCORE=infinity in the unit" : "no core was written; see /proc/sys/kernel/core_pattern");
		return;
	}
	f = fopen("/proc/sys/kernel/core_pattern", "re");
	if (f != NULL) {
		if (fgets(pattern, sizeof pattern, f) != NULL)
			pattern[strcspn(pattern, "\n")] = '\0';
		fclose(f);
	}
	if (pattern[0] == '|')
		snprintf(out, size, "core dumped to %s; try coredumpctl", pattern);
	else
		snprintf(out, size, "core dumped: %s, in the directory where fubard was started if that is relative", pattern);
}

void
death_log(const struct proc *p)
{
	char what[64];
	char hint[256];
	long long lived_ms = (long long)(mono_diff(loop_now(p->node->loop), p->started) / NS_PER_MS);

	death_text(p->status, what, sizeof what);
	core_hint(p->status, hint, sizeof hint);
	if ((p->node->state == NODE_STOPPING || p->node->paused) && WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0) {
		log_info("proctab", "stopped", "process=%s slot=%u pid=%d", p->name, p->slot, (int)p->pid);
		return;
	}
	log_error("proctab", "process died", "process=%s slot=%u pid=%d cause=\"%s%s\" lived_ms=%lld%s%s%s", p->name, p->slot,
	    (int)p->pid, what, p->silenced ? " after silence" : "", lived_ms, hint[0] != '\0' ? " hint=\"" : "", hint,
	    hint[0] != '\0' ? "\"" : "");
}
