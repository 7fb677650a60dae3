/* SPDX-License-Identifier: Apache-2.0
 *
 * SIM_TRACE: what workers and the store say to each other of sessions and queues, as it is read. Stamps and qids by their low 20 bits. */
#include <string.h>

#include "cluster/cluster.h"
#include "common/ipc/codec.h"
#include "common/ipc/qops.h"
#include "t/sim/chan_sim.h"
#include "t/sim/node_sim.h"
#include "worker/move.h"
#include "worker/worker.h"

#define LOW(stamp) ((unsigned)((stamp) & 0xfffff))

static const struct node_proc *
proc_of(const struct loop *l)
{
	for (unsigned i = 0; i <= NODE_WORKERS; i++)
		if (sn.node.proc[i].loop == l)
			return &sn.node.proc[i];
	return NULL;
}

static const char *
name_of(const struct loop *l)
{
	static const char *const names[NODE_WORKERS + 1] = { "w0", "w1", "w2", "store" };
	const struct node_proc *p = l != NULL ? proc_of(l) : NULL;

	return p != NULL ? names[p->slot] : "(dead)";
}

#define SAY(fmt, ...) trace("\t%s -> %s %s " fmt, name_of(from), name_of(to), ipc_name(type), __VA_ARGS__)
#define ID(msg) (int)(msg).client_id.len, (const char *)(msg).client_id.p

/* The message's, of its ledger. */
static uint32_t
number_in(struct slice payload)
{
	uint32_t n = 0;

	if (payload.len >= sizeof n)
		memcpy(&n, payload.p, sizeof n);
	return n;
}

static void
on_numbered(const struct loop *from, const struct loop *to, enum ipc_type type, struct slice payload)
{
	struct ipc_session_put put;
	struct ipc_session_del del;
	struct ipc_sub_put sub;
	struct ipc_sub_del unsub;
	struct ipc_retain retain;
	struct ipc_done done;

	if (type == IPC_SESSION_PUT && ipc_take_session_put(payload, &put) == 0)
		SAY("%.*s seq=%u qid=%05x", ID(put), (unsigned)put.seq, LOW(put.qid));
	else if (type == IPC_SESSION_DEL && ipc_take_session_del(payload, &del) == 0)
		SAY("%.*s seq=%u", ID(del), (unsigned)del.seq);
	else if (type == IPC_SUB_PUT && ipc_take_sub_put(payload, &sub) == 0)
		SAY("%.*s %.*s seq=%u", ID(sub), (int)sub.filter.len, (const char *)sub.filter.p, (unsigned)sub.seq);
	else if (type == IPC_SUB_DEL && ipc_take_sub_del(payload, &unsub) == 0)
		SAY("%.*s %.*s seq=%u", ID(unsub), (int)unsub.filter.len, (const char *)unsub.filter.p, (unsigned)unsub.seq);
	else if (type == IPC_RETAIN && ipc_take_retain(payload, &retain) == 0)
		SAY("%.*s seq=%u message %u", (int)retain.topic.len, (const char *)retain.topic.p, (unsigned)retain.seq,
		    number_in(retain.payload));
	else if (type == IPC_DONE && ipc_take_done(payload, &done) == 0)
		SAY("seq=%u code=%d", (unsigned)done.seq, -(int)done.code);
	else if (type == IPC_OWN_END || type == IPC_LOADED)
		SAY("%s", "");
}

static void
say_put(const struct loop *from, const struct loop *to, const struct qop *op)
{
	struct slice items = op->items;
	struct qitem it;
	uint32_t n = number_in(op->msg.payload);

	while (qitem_take(&items, &it) == 0)
		trace("\t%s -> %s PUT %u to %05x %llu", name_of(from), name_of(to), n, LOW(it.qid), (unsigned long long)it.n);
}

/* Changes of queues. */
static void
watch_ops(const struct loop *from, const struct loop *to, struct slice ops)
{
	static const char *const names[] = { [QOP_DEL] = "DEL", [QOP_RELEASED] = "RELEASED", [QOP_TRIM] = "TRIM", [QOP_DROP] = "DROP" };
	struct qop op;

	while (qop_take(&ops, &op) == 0) {
		if (op.type == QOP_PUT)
			say_put(from, to, &op);
		else if (op.type <= QOP_DROP)
			trace("\t%s -> %s %s %05x %llu count %u", name_of(from), name_of(to), names[op.type], LOW(op.qid),
			    (unsigned long long)op.n, op.count);
	}
}

static void
watch(const struct loop *from, const struct loop *to, enum ipc_type type, struct slice payload)
{
	struct ipc_open open;
	struct ipc_opened opened;
	struct ipc_own own;
	struct ipc_client client;
	struct ipc_session_row row;
	struct ipc_q_ops ops;
	struct ipc_q_done done;

	if (type == IPC_OPEN && ipc_take_open(payload, &open) == 0)
		SAY("%.*s req=%u flags=%x stamp=%05x dead=%05x", ID(open), (unsigned)open.req, open.flags, LOW(open.stamp),
		    LOW(open.dead_stamp));
	else if (type == IPC_OPENED && ipc_take_opened(payload, &opened) == 0)
		SAY("req=%u code=%d stamp=%05x prev=%d %05x durable=%u", (unsigned)opened.req, -(int)opened.code,
		    LOW(opened.stamp), opened.prev_slot, LOW(opened.prev_stamp), opened.durable);
	else if (type == IPC_OWN && ipc_take_own(payload, &own) == 0)
		SAY("%.*s flags=%x stamp=%05x", ID(own), own.flags, LOW(own.stamp));
	else if ((type == IPC_GIVE_UP || type == IPC_DISOWN) && ipc_take_client(payload, &client) == 0)
		SAY("%.*s stamp=%05x", ID(client), LOW(client.stamp));
	else if (type == IPC_SESSION_ROW && ipc_take_session_row(payload, &row) == 0)
		SAY("%.*s stamp=%05x qid=%05x", ID(row), LOW(row.stamp), LOW(row.qid));
	else if (type == IPC_Q_OPS && ipc_take_q_ops(payload, &ops) == 0)
		SAY("seq=%u", (unsigned)ops.seq), watch_ops(from, to, ops.ops);
	else if (type == IPC_Q_DONE && ipc_take_q_done(payload, &done) == 0)
		SAY("seq=%u code=%d skipped %zu", (unsigned)done.seq, -(int)done.code, done.skipped.len / 4);
	else
		on_numbered(from, to, type, payload);
}

void __real_move_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body);
void __wrap_move_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body);

void
__wrap_move_on_record(struct worker *w, unsigned from, uint8_t type, struct slice body)
{
	static const char *const names[] = { "?", "TAKE", "FROZEN", "SWITCH", "SWITCHED", "SHIP", "SHIP_END", "ACTIVE" };
	struct slice rest = body;
	struct slice id;

	if (slice_take_le32_bytes(&rest, &id) == 0)
		trace("\tw%u -> w%u %s %.*s, %zu bytes", from, w->slot, names[type < 8 ? type : 0], (int)id.len,
		    (const char *)id.p, rest.len);
	__real_move_on_record(w, from, type, body);
}

void
trace_start(void)
{
	if (sn.trace)
		sim_chan_watch = watch;
}
