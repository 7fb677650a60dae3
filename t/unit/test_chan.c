/* SPDX-License-Identifier: Apache-2.0
 * Two ends of a channel on one loop: order, descriptors, backlogs, ends. */
#include "t/support/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/ipc/chan.h"
#include "common/ipc/codec.h"

struct end {
	struct chan *chan;
	struct buf got;                 /* payloads of ADMIN_ROW, one after the other */
	unsigned msgs, closed, drained, fds;
	int fd[64];
	bool free_on_msg;
	bool check_numbers;             /* payloads are admin_row with id = 0, 1, 2, ... */
};

static struct loop *loop;
static struct end sup, child;

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct end *e = arg;
	struct ipc_admin_row r;

	if (e->check_numbers && type == IPC_ADMIN_ROW) {
		ck_assert_int_eq(ipc_take_admin_row(payload, &r), 0);
		ck_assert_uint_eq(r.id, e->msgs);
	}
	e->msgs++;
	if (fd >= 0)
		e->fd[e->fds++] = fd;
	if (e->free_on_msg) {
		chan_free(e->chan);
		e->chan = NULL;
		ck_assert(payload.len == 0 || payload.p[0] < 255);      /* still readable */
	}
}

static void
on_closed(void *arg)
{
	((struct end *)arg)->closed++;
}

static void
on_drained(void *arg)
{
	((struct end *)arg)->drained++;
}

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed, .on_drained = on_drained };

static void
make(void)
{
	int fd[2];

	loop = loop_new();
	sup = child = (struct end){ 0 };
	ck_assert_int_eq(chan_pair(fd), 0);
	sup.chan = chan_new(loop, fd[0], IPC_SUP, IPC_WORKER, &ops, &sup);
	child.chan = chan_new(loop, fd[1], IPC_WORKER, IPC_SUP, &ops, &child);
}

static void
unmake(void)
{
	chan_free(sup.chan);
	chan_free(child.chan);
	loop_free(loop);
}

static void
send_row(uint64_t id, struct slice fields)
{
	CHAN_SEND(child.chan, ADMIN_ROW, admin_row, .id = id, .fields = fields);
}

START_TEST(messages_arrive_in_order_after_the_turn)
{
	make();
	sup.check_numbers = true;
	for (uint64_t i = 0; i < 1000; i++)
		send_row(i, SLICE_LIT("some bytes"));
	ck_assert(chan_pending(child.chan) > 10000);
	while (sup.msgs < 1000)
		loop_turn(loop, true);
	ck_assert_uint_eq(chan_pending(child.chan), 0);
	unmake();
}
END_TEST

START_TEST(big_backlog_is_full_then_drains)
{
	enum { COUNT = 400, SIZE = 100000 };
	uint8_t *block = mem_zalloc(SIZE);

	make();
	sup.check_numbers = true;
	for (uint64_t i = 0; i < COUNT; i++)
		send_row(i, slice_of(block, SIZE));
	ck_assert(chan_full(child.chan));
	while (sup.msgs < COUNT)
		loop_turn(loop, true);
	ck_assert(!chan_full(child.chan));
	ck_assert_uint_eq(child.drained, 1);
	ck_assert_uint_eq(chan_pending(child.chan), 0);
	unmake();
	mem_free(block);
}
END_TEST

START_TEST(descriptors_come_with_their_messages)
{
	enum { COUNT = 40 };
	int pipes[COUNT][2];
	char c;

	make();
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_eq(pipe(pipes[i]), 0);
		chan_send_fd(sup.chan, IPC_METRICS, SLICE_LIT("x"), pipes[i][1]);
		close(pipes[i][1]);
		if (i % 3 == 0)
			chan_send(sup.chan, IPC_SETTINGS_END);
	}
	while (child.msgs < COUNT + (COUNT + 2) / 3)
		loop_turn(loop, true);
	ck_assert_uint_eq(child.fds, COUNT);
	for (int i = 0; i < COUNT; i++) {
		ck_assert_int_eq(write(child.fd[i], &"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[i], 1), 1);
		close(child.fd[i]);
		ck_assert_int_eq(read(pipes[i][0], &c, 1), 1);
		ck_assert_int_eq(c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"[i]);
		ck_assert_int_eq(read(pipes[i][0], &c, 1), 0);          /* no other copy was left open */
		close(pipes[i][0]);
	}
	unmake();
}
END_TEST

START_TEST(descriptor_in_the_middle_of_a_backlog)
{
	enum { SIZE = 3000000 };
	uint8_t *block = mem_zalloc(SIZE);
	int p[2];

	make();
	ck_assert_int_eq(pipe(p), 0);
	CHAN_SEND(sup.chan, SETTING, setting, .path = slice_of(block, SIZE));
	chan_send_fd(sup.chan, IPC_METRICS, slice_of(block, SIZE), p[1]);
	CHAN_SEND(sup.chan, SETTING, setting, .path = slice_of(block, SIZE));
	chan_send_fd(sup.chan, IPC_METRICS, (struct slice){ 0 }, p[1]);
	while (child.msgs < 4)
		loop_turn(loop, true);
	ck_assert_uint_eq(child.fds, 2);
	close(child.fd[0]);
	close(child.fd[1]);
	close(p[0]);
	close(p[1]);
	unmake();
	mem_free(block);
}
END_TEST

START_TEST(end_comes_after_the_last_message)
{
	make();
	sup.check_numbers = true;
	for (uint64_t i = 0; i < 10; i++)
		send_row(i, (struct slice){ 0 });
	chan_flush(child.chan);
	CHAN_SEND(sup.chan, SETTING, setting, .path = SLICE_LIT("never read"));
	chan_flush(sup.chan);
	chan_free(child.chan);
	child.chan = NULL;
	while (sup.closed == 0)
		loop_turn(loop, true);
	ck_assert_uint_eq(sup.msgs, 10);
	chan_send(sup.chan, IPC_STOP);                  /* goes nowhere, harms nothing */
	chan_send_fd(sup.chan, IPC_METRICS, (struct slice){ 0 }, 0);
	loop_turn(loop, false);
	ck_assert_uint_eq(chan_pending(sup.chan), 0);
	ck_assert_uint_eq(sup.closed, 1);
	unmake();
}
END_TEST

START_TEST(freed_in_its_own_callback)
{
	make();
	sup.free_on_msg = true;
	send_row(0, SLICE_LIT("one"));
	send_row(1, SLICE_LIT("two"));
	while (sup.msgs == 0 || child.closed == 0)
		loop_turn(loop, true);
	ck_assert_uint_eq(sup.msgs, 1);
	unmake();
}
END_TEST

START_TEST(supervisor_outlives_a_child_that_breaks_the_rules)
{
	static const char *const bad[] = {
		"\0\0\0\0\xff\xff\0\0",         /* unknown type */
		"\1\0\0\0\1\0\0\0x",            /* START is not a child's to send */
		"\xff\xff\xff\xff\x0f\0\0\0",   /* too long; READY or another */
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int fd[2];

		loop = loop_new();
		sup = (struct end){ 0 };
		ck_assert_int_eq(chan_pair(fd), 0);
		sup.chan = chan_new(loop, fd[0], IPC_SUP, IPC_WORKER, &ops, &sup);
		ck_assert_int_eq(write(fd[1], bad[i], 8), 8);
		while (sup.closed == 0)
			loop_turn(loop, true);
		ck_assert_uint_eq(sup.msgs, 0);
		close(fd[1]);
		chan_free(sup.chan);
		loop_free(loop);
	}
}
END_TEST

START_TEST(drain_writes_what_waits)
{
	make();
	send_row(0, SLICE_LIT("last words"));
	ck_assert(chan_drain(child.chan, 1000));
	chan_free(child.chan);
	child.chan = NULL;
	while (sup.closed == 0)
		loop_turn(loop, true);
	ck_assert_uint_eq(sup.msgs, 1);
	unmake();
}
END_TEST

UNIT_MAIN("chan", messages_arrive_in_order_after_the_turn, big_backlog_is_full_then_drains,
    descriptors_come_with_their_messages, descriptor_in_the_middle_of_a_backlog, end_comes_after_the_last_message,
    freed_in_its_own_callback, supervisor_outlives_a_child_that_breaks_the_rules, drain_writes_what_waits)
