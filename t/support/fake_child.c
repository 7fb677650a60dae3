/* SPDX-License-Identifier: Apache-2.0
 * A child for the tests of fubard: speaks to it as fubar-store and fubar-worker do, and logs what it is told. Which one it
 * is, argv says. A fake worker accepts a client, says "slot N" and closes.
 *
 * SIGUSR2: dies by SIGABRT with note 42 in hand. FAKE_EXIT=store|worker: exits 3 at once. FAKE_MUTE=1: does not answer
 * admin commands. FAKE_DEAF=1: does not stop when told. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "common/base/log.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "common/metrics/page.h"

#define LISTENERS 16

static struct loop *loop;
static struct chan *sup;
static struct timer beat;
static int slot = -1;                   /* -1: the store */
static bool open_now;
static struct { int fd; unsigned slot; struct loop_fd *watch; } listener[LISTENERS];

static void
on_beat(struct timer *t)
{
	METRIC_SET(heartbeat_ns, loop_now(loop).ns);
	loop_timer_in(loop, t, 100 * NS_PER_MS);
}

static void
on_client(void *arg, unsigned ready)
{
	int fd = accept(*(int *)arg, NULL, NULL);
	char text[32];
	int n = snprintf(text, sizeof text, "slot %d\n", slot);

	if (fd < 0)
		return;
	(void)!write(fd, text, (size_t)n);
	close(fd);
	METRIC_ADD(connections_total, 1);
}

static void
listen_on(const struct ipc_listener *p, int fd)
{
	log_notice("fake", "listener", "name=\"%.*s\" slot=%u", (int)p->name.len, (const char *)p->name.p, p->slot);
	for (unsigned i = 0; i < LISTENERS; i++) {
		if (listener[i].watch != NULL)
			continue;
		listener[i].fd = fd;
		listener[i].slot = p->slot;
		listener[i].watch = loop_fd_new(loop, fd, open_now ? LOOP_READ : 0, on_client, &listener[i].fd);
		return;
	}
}

static void
drop(unsigned which)
{
	log_notice("fake", "drop", "slot=%u", which);
	for (unsigned i = 0; i < LISTENERS; i++) {
		if (listener[i].watch == NULL || listener[i].slot != which || (int)which == slot)
			continue;
		loop_fd_free(listener[i].watch);
		close(listener[i].fd);
		listener[i].watch = NULL;
	}
}

static void
row(uint64_t id, const char *name, const char *text, int64_t number)
{
	struct buf *b = chan_begin(sup, IPC_ADMIN_ROW);

	buf_put_le64(b, id);
	row_put_str(b, "_table", "fakes");
	row_put_str(b, name, text);
	row_put_number(b, "subscriptions", number);
	chan_end(sup);
}

static void
on_admin(struct slice payload)
{
	struct ipc_admin p;
	struct slice key, value = { 0 };

	if (getenv("FAKE_MUTE") != NULL || ipc_take_admin(payload, &p) != 0)
		return;
	if (p.command == ADMIN_session_list)
		row(p.id, "client", "fake", slot);
	if (p.command == ADMIN_topic_list) {
		row(p.id, "filter", "a/b", slot + 1);
		row(p.id, "filter", slot == 0 ? "only/0" : "only/others", 5);
	}
	if (p.command == ADMIN_settings_set || p.command == ADMIN_settings_unset) {
		(void)slice_take_le32_bytes(&p.words, &key);
		(void)slice_take_le32_bytes(&p.words, &value);
		if (p.command == ADMIN_settings_set)
			CHAN_SEND(sup, OVERRIDE, setting, .path = key, .value = value);
		else
			CHAN_SEND(sup, OVERRIDE_GONE, name, .name = key);
	}
	CHAN_SEND(sup, ADMIN_DONE, admin_done, .id = p.id, .code = 0);
}

static void
on_follow(struct slice payload)
{
	struct ipc_admin_follow p;

	if (getenv("FAKE_MUTE") == NULL && ipc_take_admin_follow(payload, &p) == 0)
		CHAN_SEND(sup, ADMIN_DONE, admin_done, .id = p.id, .code = 0);
}

static void
on_start(struct slice payload)
{
	struct ipc_start p;

	FB_ASSERT(ipc_take_start(payload, &p) == 0 && p.digest == ipc_digest());
	FB_ASSERT(slot < 0 || p.slot == slot);
	log_notice("fake", "start", "slot=%u slots=%u epoch=%llu node=%.*s", p.slot, p.slots, (unsigned long long)p.epoch,
	    (int)p.node.len, (const char *)p.node.p);
}

static void
on_metrics(int fd)
{
	FB_ASSERT(metrics_map(fd) == 0);
	timer_init(&beat, on_beat);
	on_beat(&beat);
	chan_send(sup, IPC_READY);
	if (slot < 0)
		chan_send(sup, IPC_OVERRIDES_END);
}

static void
on_other(enum ipc_type type, struct slice payload)
{
	struct ipc_peer peer;
	struct ipc_setting s;
	struct ipc_ban ban;

	if (ipc_take_peer(payload, &peer) == 0 && type != IPC_BAN)
		log_notice("fake", ipc_name(type), "slot=%u epoch=%llu", peer.slot, (unsigned long long)peer.epoch);
	else if (type == IPC_SETTING && ipc_take_setting(payload, &s) == 0 && slice_eq(s.path, SLICE_LIT("mqtt.max_qos")))
		log_notice("fake", "setting", "max_qos=%.*s", (int)s.value.len, (const char *)s.value.p);
	else if (type == IPC_BAN && ipc_take_ban(payload, &ban) == 0)
		log_notice("fake", "ban", "note=%llu seconds=%u", (unsigned long long)ban.note, ban.seconds);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct ipc_listener l;
	struct ipc_slot s;

	if (type == IPC_START) {
		on_start(payload);
	} else if (type == IPC_METRICS) {
		on_metrics(fd);
	} else if (type == IPC_LISTENER && ipc_take_listener(payload, &l) == 0) {
		listen_on(&l, fd);
	} else if (type == IPC_LISTENER_DROP && ipc_take_slot(payload, &s) == 0) {
		drop(s.slot);
	} else if (type == IPC_GATES_OPEN) {
		open_now = true;
		for (unsigned i = 0; i < LISTENERS; i++)
			if (listener[i].watch != NULL)
				loop_fd_want(listener[i].watch, LOOP_READ);
	} else if (type == IPC_STOP) {
		if (getenv("FAKE_DEAF") == NULL)
			loop_stop(loop);
	} else if (type == IPC_ADMIN) {
		on_admin(payload);
	} else if (type == IPC_ADMIN_FOLLOW) {
		on_follow(payload);
	} else {
		on_other(type, payload);
		if (fd >= 0)
			close(fd);
	}
}

static void
on_closed(void *arg)
{
	loop_stop(loop);
}

static void
on_usr2(void *arg, int signo)
{
	metrics->note = 42;
	abort();
}

int
main(int argc, char **argv)
{
	static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };
	const char *dies = getenv("FAKE_EXIT");
	char who[32] = "fake store";

	if (argc == 3 && strcmp(argv[1], "--slot") == 0) {
		slot = atoi(argv[2]);
		snprintf(who, sizeof who, "fake worker %d", slot);
	}
	log_open(STDERR_FILENO, who, LOG_INFO);
	if (dies != NULL && (strcmp(dies, "store") == 0) == (slot < 0))
		return 3;
	loop = loop_new();
	sup = chan_new(loop, 3, slot < 0 ? IPC_STORE : IPC_WORKER, IPC_SUP, &ops, NULL);
	loop_signal(loop, SIGUSR2, on_usr2, NULL);
	loop_run(loop);
	for (unsigned i = 0; i < LISTENERS; i++)
		loop_fd_free(listener[i].watch);
	chan_free(sup);
	loop_free(loop);
	return 0;
}
