/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_conn.c - one connection, one request, its rows. Blocking: the tool has nothing else to do. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"
#include "supervisor/fubar_admin.h"

#define HEADER 8
#define FRAME_MAX (64u << 20)
#define READ_SIZE 65536
#define SILENCE_MS 60000
#define REQUEST 1
#define WORDS_MAX 16

static enum tool_exit
open_socket(const char *path, int *out, char error[TOOL_ERROR_MAX])
{
	struct sockaddr_un sa;
	int fd, no;

	memset(&sa, 0, sizeof sa);
	sa.sun_family = AF_UNIX;
	if (strlen(path) >= sizeof sa.sun_path) {
		snprintf(error, TOOL_ERROR_MAX, "%.120s...: too long for the path of a socket", path);
		return TOOL_USAGE;
	}
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		snprintf(error, TOOL_ERROR_MAX, "no socket: %s", strerror(errno));
		return TOOL_REFUSED;
	}
	if (connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0) {
		*out = fd;
		return TOOL_DONE;
	}
	no = errno;
	close(fd);
	if (no == EACCES || no == EPERM) {
		snprintf(error, TOOL_ERROR_MAX, "%s: not allowed; root, the daemon's user and its group are", path);
		return TOOL_REFUSED;
	}
	snprintf(error, TOOL_ERROR_MAX, "no daemon at %s (%s); is fubard running? --socket or --run-dir says where", path,
	    strerror(no));
	return TOOL_NO_DAEMON;
}

/* The frame of the request in b. */
static void
put_request(struct buf *b, enum admin_command c, size_t argc, const struct slice *argv)
{
	struct buf words, payload;
	struct ipc_admin p;

	buf_init(&words);
	buf_init(&payload);
	for (size_t i = 0; i < argc; i++)
		buf_put_le32_bytes(&words, argv[i]);
	p = (struct ipc_admin){ .id = REQUEST, .rights = 0, .command = (uint16_t)c, .words = buf_slice(&words) };
	ipc_put_admin(&payload, &p);
	buf_put_le32(b, (uint32_t)buf_len(&payload));
	buf_put_le16(b, IPC_ADMIN);
	buf_put_le16(b, words_digest());
	buf_put_slice(b, buf_slice(&payload));
	if (buf_len(&words) > 0)        /* may hold a password */
		explicit_bzero(words.base, words.cap);
	explicit_bzero(payload.base, payload.cap);
	buf_fini(&words);
	buf_fini(&payload);
}

static bool
write_all(int fd, struct slice s)
{
	while (s.len > 0) {
		ssize_t n = send(fd, s.p, s.len, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		if (n > 0)
			s = slice_of(s.p + n, s.len - (size_t)n);
	}
	return true;
}

/* Reads more into b. False: the end, or silence; *why says which. */
static bool
read_more(int fd, struct buf *b, int silence_ms, const char **why)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;
	int ready;

	do
		ready = poll(&p, 1, silence_ms);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0) {
		*why = "the daemon did not answer for a minute";
		return false;
	}
	do
		n = read(fd, buf_room(b, READ_SIZE), READ_SIZE);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		*why = "the daemon closed the connection without an answer";
		return false;
	}
	buf_added(b, (size_t)n);
	return true;
}

static int
take_row(struct answer *a, struct slice payload)
{
	struct ipc_admin_row p;
	struct row_field f;
	struct slice rest;
	struct answer_row r = { { NULL, 0 }, { NULL, 0 } };
	int err = ipc_take_admin_row(payload, &p);

	if (err != 0 || p.id != REQUEST)
		return FB_EPROTO;
	if (a->each != NULL && a->each(a->arg, p.fields))
		return 0;
	r.fields = slice_of(mem_dup(p.fields.p, p.fields.len), p.fields.len);
	rest = r.fields;
	while ((err = row_next(&rest, &f)) == 0)
		if (f.type == ROW_TEXT && slice_eq(f.name, SLICE_LIT("_table")))
			r.table = f.text;
	if (a->count == a->cap) {
		a->cap = a->cap == 0 ? 64 : 2 * a->cap;
		a->rows = mem_realloc(a->rows, a->cap * sizeof *a->rows);
	}
	a->rows[a->count++] = r;
	return err == FB_ENOENT ? 0 : FB_EPROTO;
}

static int
take_done(struct answer *a, struct slice payload)
{
	struct ipc_admin_done p;

	if (ipc_take_admin_done(payload, &p) != 0)
		return FB_EPROTO;
	/* A request that it could not read is refused without its number. */
	if (p.id != REQUEST && (p.id != 0 || p.code == 0))
		return FB_EPROTO;
	a->code = -(int)p.code;
	a->text = mem_dup(p.text.p, p.text.len);
	return 0;
}

/* The frames in b. 0: the answer is complete; FB_EAGAIN: more must come; FB_EPROTO. */
static int
take_frames(struct answer *a, struct buf *b)
{
	while (buf_len(b) >= HEADER) {
		struct slice s = buf_slice(b);
		uint32_t len = 0;
		uint16_t type = 0, flags = 0;
		int err;

		(void)slice_take_le32(&s, &len);
		(void)slice_take_le16(&s, &type);
		(void)slice_take_le16(&s, &flags);
		if (len > FRAME_MAX || (type != IPC_ADMIN_ROW && type != IPC_ADMIN_DONE) || flags != 0)
			return FB_EPROTO;
		if (s.len < len)
			return FB_EAGAIN;
		s.len = len;
		err = type == IPC_ADMIN_ROW ? take_row(a, s) : take_done(a, s);
		buf_eat(b, HEADER + len);
		if (err != 0 || type == IPC_ADMIN_DONE)
			return err;
	}
	return FB_EAGAIN;
}

enum tool_exit
conn_open(const char *socket_path, struct conn *c, char error[TOOL_ERROR_MAX])
{
	c->path = socket_path;
	c->fd = -1;
	buf_init(&c->in);
	return open_socket(socket_path, &c->fd, error);
}

void
conn_close(struct conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	buf_fini(&c->in);
}

enum tool_exit
conn_request(struct conn *c, enum admin_command command, size_t argc, const struct slice *argv, struct answer *answer,
    char error[TOOL_ERROR_MAX])
{
	const char *why = "the daemon closed the connection without an answer";
	struct buf b;
	int err = FB_EAGAIN;

	buf_init(&b);
	put_request(&b, command, argc, argv);
	/* A daemon that refuses may answer and close before it read all: look at what it said in any case. */
	(void)write_all(c->fd, buf_slice(&b));
	explicit_bzero(b.base, b.cap);
	buf_fini(&b);
	while (err == FB_EAGAIN && read_more(c->fd, &c->in, answer->each != NULL ? -1 : SILENCE_MS, &why))
		err = take_frames(answer, &c->in);
	if (err == FB_EAGAIN && answer->quiet_end) {
		answer->text = mem_strdup("");
		err = 0;
	}
	if (err == 0)
		return TOOL_DONE;
	if (err == FB_EPROTO)
		why = "the daemon's answer is not understood; is it of another version?";
	snprintf(error, TOOL_ERROR_MAX, "%s: %s", c->path, why);
	return TOOL_NO_DAEMON;
}

enum tool_exit
conn_ask(const char *socket_path, enum admin_command command, size_t argc, char *const *argv, struct answer *answer,
    char error[TOOL_ERROR_MAX])
{
	struct slice words[WORDS_MAX];
	struct conn c;
	enum tool_exit code = conn_open(socket_path, &c, error);

	FB_ASSERT(argc <= WORDS_MAX);
	for (size_t i = 0; i < argc; i++)
		words[i] = slice_str(argv[i]);
	if (code == TOOL_DONE)
		code = conn_request(&c, command, argc, words, answer, error);
	conn_close(&c);
	return code;
}

void
answer_fini(struct answer *a)
{
	for (size_t i = 0; i < a->count; i++)
		mem_free((void *)(uintptr_t)a->rows[i].fields.p);
	mem_free(a->rows);
	mem_free(a->text);
	memset(a, 0, sizeof *a);
}
