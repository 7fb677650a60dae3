/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/admin.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ipc/codec.h"

#define HEADER      8u
#define CLIENTS_MAX 32u
#define REQUEST_MAX ((size_t)64 << 10)
#define IMPORT_MAX  ((size_t)63 << 20)  /* the largest message that may be retained, in a message of a channel */
#define READ_BYTES  ((size_t)64 << 10)
#define STREAM_MAX  ((size_t)1 << 20)   /* of rows that come by themselves; beyond, they are lost and counted */
#define OUTPUT_MAX  ((size_t)256 << 20)
#define IDLE_NS     (10 * NS_PER_SEC)   /* for a request to come, and for a client to read on */
#define SOCKET_NAME "admin.sock"

struct admin_conn {
	struct list link;
	struct admin *admin;
	struct loop_fd *watch;
	struct task flush;
	struct timer idle;
	struct buf in, out;
	struct admin_call *call;        /* one at a time */
	int fd;
	bool last;                      /* closes when out is empty */
	bool read_end;
};

struct admin {
	struct node *node;
	struct loop_fd *watch;
	struct list conns, calls;
	unsigned count;
	uint64_t next_id;
	int fd;
	char path[PATH_MAX];
};

static void take_requests(struct admin_conn *c);

/* --- calls ------------------------------------------------------------------------------------------------------- */

struct list *
admin_calls(struct admin *a)
{
	return &a->calls;
}

struct admin_call *
admin_call_by_id(struct admin *a, uint64_t id)
{
	LIST_EACH(pos, &a->calls) {
		struct admin_call *c = container_of(pos, struct admin_call, link);

		if (c->id == id)
			return c;
	}
	return NULL;
}

static void
call_free(struct admin_call *c)
{
	if (c->stream)
		trace_watch_end(c);
	loop_timer_cancel(c->node->loop, &c->limit);
	admin_fan_free(c);
	list_del(&c->link);
	for (size_t i = 0; i < c->args; i++) {
		explicit_bzero(c->arg[i], c->arg_len[i]);       /* may be a password */
		mem_free(c->arg[i]);
	}
	buf_fini(&c->row);
	mem_free(c);
}

static void
put_frame(struct admin_conn *c, enum ipc_type type, struct slice head, struct slice body)
{
	buf_put_le32(&c->out, (uint32_t)(head.len + body.len));
	buf_put_le16(&c->out, (uint16_t)type);
	buf_put_le16(&c->out, 0);
	buf_put_slice(&c->out, head);
	buf_put_slice(&c->out, body);
	loop_defer(c->admin->node->loop, &c->flush);
}

static void
put_done(struct admin_conn *c, uint64_t id, int code, const char *text)
{
	const struct ipc_admin_done p = { .id = id, .code = (uint16_t)-code, .text = slice_str(text) };
	struct buf b;

	buf_init(&b);
	ipc_put_admin_done(&b, &p);
	put_frame(c, IPC_ADMIN_DONE, (struct slice){ 0 }, buf_slice(&b));
	buf_fini(&b);
}

struct buf *
admin_row(struct admin_call *c)
{
	buf_clear(&c->row);
	return &c->row;
}

void
admin_row_end(struct admin_call *c)
{
	struct buf id;

	c->rows++;
	if (c->on_row != NULL)
		c->on_row(c->on_row_arg, buf_slice(&c->row));
	if (c->conn == NULL || buf_len(&c->conn->out) > OUTPUT_MAX)
		return;
	if (c->stream && buf_len(&c->conn->out) > STREAM_MAX) {
		c->lost++;
		return;
	}
	if (c->lost > 0) {
		row_put_number(&c->row, "lost", (int64_t)c->lost);
		c->lost = 0;
	}
	buf_init(&id);
	buf_put_le64(&id, c->client_id);
	put_frame(c->conn, IPC_ADMIN_ROW, buf_slice(&id), buf_slice(&c->row));
	buf_fini(&id);
}

/* What it changes holds in other processes than the one that answered. */
static bool
is_followed(enum admin_command c)
{
	return admin_info(c)->right == ADMIN_WRITE && c != ADMIN_stop && c != ADMIN_restore && c != ADMIN_backup &&
	    c != ADMIN_store_export;
}

void
admin_finish(struct admin_call *c, int code, const char *text)
{
	struct admin_conn *conn = c->conn;

	if (code == 0 && !c->told && is_followed(c->command)) {
		admin_fan_follow(c, text);
		return;
	}
	if (conn != NULL) {
		if (buf_len(&conn->out) > OUTPUT_MAX) {
			code = FB_ETOOBIG;
			text = "the answer is too large and was cut; ask for less";
		}
		put_done(conn, c->client_id, code, text != NULL ? text : code != 0 ? err_text(code) : "");
		conn->call = NULL;
	}
	call_free(c);
	if (conn != NULL)
		take_requests(conn);
}

/* --- clients ----------------------------------------------------------------------------------------------------- */

static void
conn_free(struct admin_conn *c)
{
	if (c->call != NULL && c->call->stream)
		call_free(c->call);
	else if (c->call != NULL)
		c->call->conn = NULL;           /* goes on without listener: half a change helps nobody */
	loop_timer_cancel(c->admin->node->loop, &c->idle);
	task_cancel(&c->flush);
	loop_fd_free(c->watch);
	close(c->fd);
	list_del(&c->link);
	c->admin->count--;
	buf_fini(&c->in);
	buf_fini(&c->out);
	mem_free(c);
}

static void
on_idle(struct timer *t)
{
	struct admin_conn *c = container_of(t, struct admin_conn, idle);

	if (c->call != NULL && buf_len(&c->out) == 0) {
		loop_timer_in(c->admin->node->loop, t, IDLE_NS);        /* waits for us, not we for it */
		return;
	}
	conn_free(c);
}

static void
want(struct admin_conn *c)
{
	unsigned w = buf_len(&c->out) > 0 ? LOOP_WRITE : 0;

	/* While a call runs, its client is read only to see whether it goes away. */
	if (!c->read_end && !c->last)
		w |= LOOP_READ;
	loop_fd_want(c->watch, w);
}

static void
write_out(struct admin_conn *c)
{
	while (buf_len(&c->out) > 0) {
		struct slice s = buf_slice(&c->out);
		ssize_t n = send(c->fd, s.p, s.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			conn_free(c);
			return;
		}
		buf_eat(&c->out, (size_t)n);
		loop_timer_in(c->admin->node->loop, &c->idle, IDLE_NS);
	}
	buf_shrink(&c->out);
	if (buf_len(&c->out) == 0 && (c->last || (c->read_end && (c->call == NULL || c->call->stream)))) {
		conn_free(c);
		return;
	}
	want(c);
}

static void
on_flush(struct task *t)
{
	write_out(container_of(t, struct admin_conn, flush));
}

static void
refuse(struct admin_conn *c, uint64_t id, int code, const char *text)
{
	put_done(c, id, code, text);
	c->last = true;
	buf_fini(&c->in);
}

static struct admin_call *
call_new(struct admin *a, enum admin_command command)
{
	struct admin_call *call = mem_zalloc(sizeof *call);

	call->node = a->node;
	call->id = ++a->next_id;
	call->command = command;
	hmap_init(&call->merged);
	list_put_last(&a->calls, &call->link);
	return call;
}

void
admin_ask(struct admin *a, enum admin_command command, const char *arg1, void (*on_row)(void *arg, struct slice fields), void *arg)
{
	struct admin_call *call = call_new(a, command);

	call->on_row = on_row;
	call->on_row_arg = arg;
	call->arg_len[call->args] = strlen(arg1);
	call->arg[call->args++] = mem_strdup(arg1);
	admin_fan_out(call);
}

static void
begin(struct admin_conn *c, const struct ipc_admin *p)
{
	struct admin *a = c->admin;
	struct slice words = p->words;
	struct slice word;
	struct admin_call *call;

	if (p->command >= ADMIN_COMMAND_COUNT) {
		refuse(c, p->id, FB_EVERSION, "this fubard does not know that command; do the tool and the daemon have one version?");
		return;
	}
	call = call_new(a, (enum admin_command)p->command);
	call->conn = c;
	call->client_id = p->id;
	c->call = call;
	while (call->args < ADMIN_ARGS_MAX && slice_take_le32_bytes(&words, &word) == 0) {
		call->arg_len[call->args] = word.len;
		call->arg[call->args++] = mem_dup(word.p, word.len);
	}
	if (words.len > 0 || call->args < admin_info(call->command)->args_min) {
		admin_finish(call, FB_EPROTO, "the arguments do not fit the command");
		return;
	}
	if (!admin_do(call))
		admin_fan_out(call);
}

/* The command stands behind the request's number and rights. */
static size_t
request_max(struct slice frame)
{
	uint16_t command = ADMIN_store_import;

	if (frame.len >= HEADER + 11) {
		frame = slice_of(frame.p + HEADER + 9, 2);
		(void)slice_take_le16(&frame, &command);
	}
	return command == ADMIN_store_import ? IMPORT_MAX : REQUEST_MAX;
}

/* The whole frames in c->in, one call at a time. */
static void
take_requests(struct admin_conn *c)
{
	while (c->call == NULL && !c->last && buf_len(&c->in) >= HEADER) {
		struct slice s = buf_slice(&c->in);
		struct ipc_admin p;
		uint32_t len = 0;
		uint16_t type = 0;
		uint16_t digest = 0;
		char *body;

		(void)slice_take_le32(&s, &len);
		(void)slice_take_le16(&s, &type);
		(void)slice_take_le16(&s, &digest);
		if (len > request_max(buf_slice(&c->in)) || type != IPC_ADMIN) {
			refuse(c, 0, FB_EPROTO, type == IPC_ADMIN ? "the request is longer than 64 KiB" :
			    "not a request of fubar-admin");
			return;
		}
		if (buf_len(&c->in) < HEADER + len)
			return;
		if (digest != words_digest()) {
			refuse(c, 0, FB_EVERSION, "fubar-admin is of another version than the fubard that runs; use the one it came with");
			return;
		}
		/* Out of the way first: what is finished at once comes back here for the next one. */
		body = mem_dup(s.p, len);
		explicit_bzero(c->in.base + c->in.start, HEADER + len);
		buf_eat(&c->in, HEADER + len);
		if (ipc_take_admin(slice_of(body, len), &p) == 0)
			begin(c, &p);
		else
			refuse(c, 0, FB_EPROTO, "not a request of fubar-admin");
		explicit_bzero(body, len);
		mem_free(body);
	}
}

static void
read_in(struct admin_conn *c)
{
	uint8_t *room = buf_room(&c->in, READ_BYTES);
	ssize_t n = recv(c->fd, room, READ_BYTES, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n < 0) {
		conn_free(c);
		return;
	}
	if (n == 0) {
		c->read_end = true;
		loop_defer(c->admin->node->loop, &c->flush);
		return;
	}
	buf_added(&c->in, (size_t)n);
	loop_timer_in(c->admin->node->loop, &c->idle, IDLE_NS);
	if (buf_len(&c->in) > REQUEST_MAX + READ_BYTES && c->call != NULL) {
		conn_free(c);
		return;
	}
	take_requests(c);
}

static void
on_conn(void *arg, unsigned ready)
{
	struct admin_conn *c = arg;

	if ((ready & LOOP_READ) != 0)
		read_in(c);                     /* may free it; what is to be written goes out at the end of the turn */
	else
		write_out(c);
}

/* --- who may ----------------------------------------------------------------------------------------------------- */

static bool
in_groups(int fd, gid_t group)
{
	gid_t list[256];
	socklen_t len = sizeof list;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &len) != 0)
		return false;
	for (size_t i = 0; i < len / sizeof list[0]; i++)
		if (list[i] == group)
			return true;
	return false;
}

/* Root, our own user, members of our group. */
static bool
may_ask(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid() || cred.gid == getegid() || in_groups(fd, getegid()))
		return true;
	log_warn("admin", "refused", "uid=%u gid=%u pid=%d", (unsigned)cred.uid, (unsigned)cred.gid, (int)cred.pid);
	return false;
}

static void
on_accept(void *arg, unsigned ready)
{
	struct admin *a = arg;
	struct admin_conn *c;
	int fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	c = mem_zalloc(sizeof *c);
	c->admin = a;
	c->fd = fd;
	task_init(&c->flush, on_flush);
	timer_init(&c->idle, on_idle);
	c->watch = loop_fd_new(a->node->loop, fd, LOOP_READ, on_conn, c);
	list_put_last(&a->conns, &c->link);
	loop_timer_in(a->node->loop, &c->idle, IDLE_NS);
	if (++a->count > CLIENTS_MAX)
		refuse(c, 1, FB_EBUSY, "too many others are asking, try again");
	else if (!may_ask(fd))
		refuse(c, 1, FB_EPERM, "only root, the daemon's user and members of its group may ask");
}

int
admin_init(struct node *n, struct config_error *e)
{
	struct admin *a = mem_zalloc(sizeof *a);
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	size_t len;

	a->node = n;
	list_init(&a->conns);
	list_init(&a->calls);
	paths_in(n->paths.run_dir, SOCKET_NAME, a->path);
	len = strlen(a->path);
	FB_ASSERT(len < sizeof sa.sun_path);    /* paths_resolve() saw to it */
	memcpy(sa.sun_path, a->path, len + 1);
	(void)unlink(a->path);                  /* left by one that was killed; we hold the lock of the directory */
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0 || bind(a->fd, (const struct sockaddr *)&sa, sizeof sa) != 0 || chmod(a->path, 0660) != 0 ||
	    listen(a->fd, (int)CLIENTS_MAX) != 0) {
		snprintf(e->text, sizeof e->text, "admin socket %.200s: %s", a->path, strerror(errno));
		if (a->fd >= 0)
			close(a->fd);
		mem_free(a);
		return FB_EIO;
	}
	a->watch = loop_fd_new(n->loop, a->fd, LOOP_READ, on_accept, a);
	n->admin = a;
	return 0;
}

void
admin_fini(struct node *n)
{
	struct admin *a = n->admin;

	if (a == NULL)
		return;
	while (!list_empty(&a->calls))
		admin_finish(container_of(a->calls.next, struct admin_call, link), FB_ECLOSED, "the node has stopped");
	LIST_EACH_SAFE(pos, tmp, &a->conns) {
		struct admin_conn *c = container_of(pos, struct admin_conn, link);

		c->last = true;
		write_out(c);
	}
	while (!list_empty(&a->conns))
		conn_free(container_of(a->conns.next, struct admin_conn, link));
	loop_fd_free(a->watch);
	close(a->fd);
	(void)unlink(a->path);
	mem_free(a);
	n->admin = NULL;
}
