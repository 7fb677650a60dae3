/* SPDX-License-Identifier: Apache-2.0 */
#include "t/support/store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/admin/words.h"
#include "common/base/err.h"
#include "common/base/mem.h"

#define DEADLINE_S 30

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct rig_end *e = arg;
	struct rig_msg *m = mem_alloc(sizeof *m + payload.len);

	FB_ASSERT(fd == -1);
	*m = (struct rig_msg){ .type = type };
	m->payload = slice_of(m->bytes, payload.len);
	if (payload.len > 0)
		memcpy(m->bytes, payload.p, payload.len);
	list_put_last(&e->msgs, &m->link);
}

static void
on_closed(void *arg)
{
	struct rig_end *e = arg;

	e->closed = true;
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed };

static void
on_deadline(struct timer *t)
{
	container_of(t, struct rig, deadline)->late = true;
}

static void
end_init(struct rig *r, struct rig_end *e)
{
	*e = (struct rig_end){ .rig = r };
	list_init(&e->msgs);
}

void
rig_init(struct rig *r, unsigned slots)
{
	*r = (struct rig){ .slots = slots };
	snprintf(r->dir, sizeof r->dir, "/tmp/fubar-store-XXXXXX");
	FB_ASSERT(mkdtemp(r->dir) != NULL);
	r->loop = loop_new();
	timer_init(&r->deadline, on_deadline);
	end_init(r, &r->sup);
	for (unsigned i = 0; i < RIG_SLOTS; i++)
		end_init(r, &r->worker[i]);
}

void
rig_deadline(struct rig *r, unsigned seconds)
{
	r->late = false;
	loop_timer_set(r->loop, &r->deadline, mono_add(clock_mono(), seconds * NS_PER_SEC));
}

void
rig_turn(struct rig *r)
{
	(void)loop_turn(r->loop, true);
	FB_ASSERT(!r->late);
}

static void
spawn(struct rig *r, int fd)
{
	r->pid = fork();
	FB_ASSERT(r->pid >= 0);
	if (r->pid > 0)
		return;
	if (fd == 3)
		(void)fcntl(3, F_SETFD, 0);
	else
		(void)dup2(fd, 3);
	execl(STORE_PROGRAM, "fubar-store", (char *)NULL);
	_exit(127);
}

void
rig_start(struct rig *r, const char *const *settings)
{
	char data[128];
	int fd[2];

	rig_deadline(r, DEADLINE_S);
	FB_ASSERT(chan_pair(fd) == 0);
	spawn(r, fd[1]);
	close(fd[1]);
	r->sup.closed = false;
	r->sup.chan = chan_new(r->loop, fd[0], IPC_SUP, IPC_STORE, &ops, &r->sup);
	snprintf(data, sizeof data, "%s/data", r->dir);
	CHAN_SEND(r->sup.chan, START, start, .digest = ipc_digest(), .slots = (uint16_t)r->slots, .epoch = ++r->epochs,
	    .node = SLICE_LIT("t"), .run_dir = slice_str(r->dir), .data_dir = slice_str(data));
	for (; settings != NULL && settings[0] != NULL; settings += 2)
		CHAN_SEND(r->sup.chan, SETTING, setting, .path = slice_str(settings[0]), .value = slice_str(settings[1]));
	chan_send(r->sup.chan, IPC_SETTINGS_END);
}

void
rig_wait_ready(struct rig *r)
{
	mem_free(rig_wait(&r->sup, IPC_READY));
	mem_free(rig_wait(&r->sup, IPC_OVERRIDES_END));
}

static void
end_close(struct rig_end *e)
{
	chan_free(e->chan);
	e->chan = NULL;
	rig_drop(e);
}

void
rig_worker(struct rig *r, unsigned slot, uint64_t epoch, bool end)
{
	struct rig_end *w = &r->worker[slot];
	int fd[2];

	if (w->chan != NULL)
		end_close(w);
	w->epoch = epoch != 0 ? epoch : ++r->epochs;
	w->closed = false;
	FB_ASSERT(chan_pair(fd) == 0);
	w->chan = chan_new(r->loop, fd[0], IPC_WORKER, IPC_STORE, &ops, w);
	{
		struct buf b = { 0 };

		ipc_put_peer(&b, &(struct ipc_peer){ .slot = (uint16_t)slot, .epoch = w->epoch });
		chan_send_fd(r->sup.chan, IPC_WORKER_CHAN, buf_slice(&b), fd[1]);
		buf_fini(&b);
	}
	close(fd[1]);
	CHAN_SEND(w->chan, W_HELLO, hello, .slot = (uint16_t)slot, .epoch = w->epoch, .loaded = epoch != 0);
	if (end)
		chan_send(w->chan, IPC_OWN_END);
}

void
rig_worker_gone(struct rig *r, unsigned slot)
{
	chan_flush(r->worker[slot].chan);
	end_close(&r->worker[slot]);
	CHAN_SEND(r->sup.chan, WORKER_GONE, peer, .slot = (uint16_t)slot, .epoch = r->worker[slot].epoch);
}

static void
close_all(struct rig *r)
{
	for (unsigned i = 0; i < RIG_SLOTS; i++) {
		if (r->worker[i].chan != NULL)
			end_close(&r->worker[i]);
	}
	end_close(&r->sup);
}

void
rig_kill(struct rig *r)
{
	FB_ASSERT(kill(r->pid, SIGKILL) == 0);
	FB_ASSERT(waitpid(r->pid, NULL, 0) == r->pid);
	r->pid = 0;
	close_all(r);
}

int
rig_stop(struct rig *r)
{
	int status = 0;

	(void)chan_drain(r->sup.chan, 1000);
	close_all(r);
	FB_ASSERT(waitpid(r->pid, &status, 0) == r->pid);
	r->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void
rig_fini(struct rig *r)
{
	char cmd[128];

	if (r->pid > 0)
		rig_kill(r);
	loop_timer_cancel(r->loop, &r->deadline);
	loop_free(r->loop);
	snprintf(cmd, sizeof cmd, "rm -rf %s", r->dir);
	FB_ASSERT(system(cmd) == 0);
}

struct rig_msg *
rig_peek(struct rig_end *e, enum ipc_type type)
{
	LIST_EACH(n, &e->msgs) {
		struct rig_msg *m = container_of(n, struct rig_msg, link);

		if (m->type == type)
			return m;
	}
	return NULL;
}

struct rig_msg *
rig_wait(struct rig_end *e, enum ipc_type type)
{
	struct rig_msg *m;

	while ((m = rig_peek(e, type)) == NULL) {
		FB_ASSERT(!e->closed);
		rig_turn(e->rig);
	}
	list_del(&m->link);
	return m;
}

void
rig_drop(struct rig_end *e)
{
	while (!list_empty(&e->msgs)) {
		struct rig_msg *m = container_of(e->msgs.next, struct rig_msg, link);

		list_del(&m->link);
		mem_free(m);
	}
}

struct rig_opened
rig_open(struct rig *r, unsigned slot, unsigned flags, const char *id, const char *user, const char *password)
{
	static uint64_t req;
	struct rig_opened o = { 0 };
	struct ipc_opened p;
	struct rig_msg *m;
	uint8_t skip;

	if (user != NULL)
		flags |= OPEN_AUTH | OPEN_HAS_USER;
	CHAN_SEND(r->worker[slot].chan, OPEN, open, .req = ++req, .flags = (uint8_t)flags, .client_id = slice_str(id),
	    .user = slice_str(user != NULL ? user : ""), .password = slice_str(password != NULL ? password : ""));
	m = rig_wait(&r->worker[slot], IPC_OPENED);
	FB_ASSERT(ipc_take_opened(m->payload, &p) == 0);
	FB_ASSERT(p.req == req);
	o.code = -(int)p.code;
	o.prev_slot = p.prev_slot;
	o.stamp = p.stamp;
	o.prev_stamp = p.prev_stamp;
	o.durable = p.durable;
	while (p.subs.len > 0) {
		struct slice filter;

		FB_ASSERT(slice_take_u8(&p.subs, &skip) == 0);
		FB_ASSERT(slice_take_u8(&p.subs, &skip) == 0);
		FB_ASSERT(slice_take_le32_bytes(&p.subs, &filter) == 0);
		o.subs++;
	}
	mem_free(m);
	return o;
}

int
rig_wait_done(struct rig *r, unsigned slot, uint64_t seq)
{
	for (;;) {
		struct rig_msg *m = rig_wait(&r->worker[slot], IPC_DONE);
		struct ipc_done p;

		FB_ASSERT(ipc_take_done(m->payload, &p) == 0);
		mem_free(m);
		if (p.seq >= seq)
			return p.seq == seq ? -(int)p.code : 0;
	}
}

int
rig_admin(struct rig *r, unsigned command, unsigned *rows, ...)
{
	static uint64_t id;
	struct buf words = { 0 };
	struct rig_msg *m;
	struct ipc_admin_done p;
	const char *word;
	unsigned n = 0;
	va_list ap;
	int code;

	va_start(ap, rows);
	while ((word = va_arg(ap, const char *)) != NULL)
		buf_put_le32_bytes(&words, slice_str(word));
	va_end(ap);
	CHAN_SEND(r->sup.chan, ADMIN, admin, .id = ++id, .rights = ADMIN_READ | ADMIN_WRITE, .command = (uint16_t)command,
	    .words = buf_slice(&words));
	buf_fini(&words);
	m = rig_wait(&r->sup, IPC_ADMIN_DONE);
	FB_ASSERT(ipc_take_admin_done(m->payload, &p) == 0);
	FB_ASSERT(p.id == id);
	code = -(int)p.code;
	mem_free(m);
	while ((m = rig_peek(&r->sup, IPC_ADMIN_ROW)) != NULL) {
		n++;
		list_del(&m->link);
		mem_free(m);
	}
	if (rows != NULL)
		*rows = n;
	return code;
}

static unsigned
count_rows(struct slice rows)
{
	unsigned n = 0;

	while (rows.len > 0) {
		struct slice s;
		uint64_t expires;
		uint8_t qos;

		FB_ASSERT(slice_take_u8(&rows, &qos) == 0);
		FB_ASSERT(slice_take_le64(&rows, &expires) == 0);
		for (int i = 0; i < 3; i++)
			FB_ASSERT(slice_take_le32_bytes(&rows, &s) == 0);
		n++;
	}
	return n;
}

unsigned
rig_retained(struct rig *r, unsigned slot, const char *filter, uint32_t max_bytes)
{
	static uint64_t req;
	struct ipc_retain_rows p = { .more = 1 };
	struct buf after = { 0 };
	unsigned n = 0;

	while (p.more) {
		struct rig_msg *m;

		CHAN_SEND(r->worker[slot].chan, RETAIN_GET, retain_get, .req = ++req, .max_bytes = max_bytes,
		    .filter = slice_str(filter), .after = buf_slice(&after));
		m = rig_wait(&r->worker[slot], IPC_RETAIN_ROWS);
		FB_ASSERT(ipc_take_retain_rows(m->payload, &p) == 0);
		FB_ASSERT(p.req == req);
		FB_ASSERT(p.code == 0);
		n += count_rows(p.rows);
		buf_clear(&after);
		buf_put_slice(&after, p.next);
		mem_free(m);
	}
	buf_fini(&after);
	return n;
}
