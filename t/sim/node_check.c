/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cluster/cluster.h"
#include "common/base/err.h"
#include "common/metrics/page.h"
#include "common/mqtt/topic.h"
#include "store/rec.h"
#include "t/sim/node_sim.h"
#include "t/sim/store_sim.h"
#include "worker/backlog.h"
#include "worker/conn.h"
#include "worker/flow.h"
#include "worker/move.h"
#include "worker/shared_group.h"
#include "worker/storec.h"
#include "worker/worker.h"

static bool
is_filter_of(unsigned filter, unsigned topic)
{
	if (filter >= FILTERS - GROUPS)
		return false;   /* whom a group's message goes to is the broker's choice */
	return topic_matches(slice_str(filter_names[filter]), slice_str(topic_name(topic)));
}

static bool
is_direct_to(unsigned topic, const struct actor *a)
{
	return topic_is_direct(topic) && strcmp(topic_name(topic), a->id) == 0;
}

static struct session *
session_of(const struct worker *w, const struct actor *a)
{
	struct slice id = slice_str(a->id);

	return session_get(&w->sessions, id, rand_hash(id.p, id.len));
}

/* Does a CONNECT with its id wait there? */
static bool
is_opening(const struct worker *w, const struct actor *a)
{
	return hmap_first(&w->opens, rand_hash(a->id, strlen(a->id))) != NULL;
}

/* Its worker died: the session lives nowhere until its row is loaded and its filters are announced. */
static bool
is_homeless(struct actor *a)
{
	for (unsigned k = 0; a->homeless && k < sn.node.workers; k++) {
		const struct worker *w = sn.node.proc[k].worker;
		const struct session *s = w != NULL ? session_of(w, a) : NULL;

		if (s != NULL && s->move == NULL && node_accepts(&sn.node, k) && !is_opening(w, a))
			a->homeless = false;
	}
	if (a->homeless)
		a->taint = sn.msg_count;
	return a->homeless;
}

/* Has it a session for sure? */
static bool
lives(struct actor *a)
{
	if (a->clean_ghosts > 0 || is_homeless(a))
		return false;
	return a->known || (a->line != NULL && a->mqtt.state == CLIENT_UP);
}

/* ---- the ledger ---- */

void
ledger_publish(struct entry *m)
{
	check_groups();
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct actor *a = &sn.actors[i];

		if (!lives(a))
			continue;
		m->due_life[i] = a->life;
		if (is_direct_to(m->topic, a)) {
			m->due[i] = true;
			m->due_qos[i] = m->qos;
		}
		for (unsigned f = 0; f < FILTERS; f++) {
			const struct wish *w = &a->wish[f];
			uint8_t qos = w->qos < m->qos ? w->qos : m->qos;

			/* A wildcard does not see what goes to an id. */
			if (!w->live || topic_is_direct(m->topic) || !is_filter_of(f, m->topic))
				continue;
			m->due[i] = true;
			if (qos > m->due_qos[i])
				m->due_qos[i] = qos;
		}
	}
}

void
ledger_unwish(const struct actor *a, unsigned filter)
{
	for (uint32_t n = 0; n < sn.msg_count; n++) {
		struct entry *m = &sn.msgs[n];

		if (m->due[a->index] && m->due_life[a->index] == a->life && m->got[a->index] == 0 &&
		    is_filter_of(filter, m->topic))
			m->due[a->index] = false;
	}
}

static bool
ever_wanted(const struct actor *a, unsigned topic)
{
	if (is_direct_to(topic, a) || a->clean_ghosts > 0)
		return true;
	if (topic_group(topic) >= 0)
		return a->wish[FILTERS - GROUPS + (unsigned)topic_group(topic)].ever;
	for (unsigned f = 0; f < FILTERS; f++)
		if (a->wish[f].ever && is_filter_of(f, topic))
			return true;
	return false;
}

static void
receive_retained(struct actor *a, const struct entry *m, uint32_t n)
{
	if (!m->retain)
		fail("%s: message %u comes as retained and was not", a->id, n);
	if (topic_group(m->topic) >= 0)
		fail("%s: message %u, retained, comes to a group's member", a->id, n);
	if (a->index >= CLIENTS)
		sn.retained[m->topic - TOPICS] = n + 1;
}

/* A first copy may rightly have gone nowhere: at QoS 0, when the client was away, or before it subscribed. What its
 * publisher gave up, with its session, is in no order to what it sends in the next one. */
static bool
may_be_late(const struct actor *a, const struct entry *m, const struct entry *last, uint8_t qos)
{
	if (!m->due[a->index] || m->due_life[a->index] != a->life || m->state == MSG_LOST)
		return true;
	if (qos > 0)
		return m->due_qos[a->index] == 0;
	return m->qos == 0 ? last->conn_no != m->conn_no : sn.actors[m->from].conn_no != m->conn_no;
}

static void
check_order(struct actor *a, const struct entry *m, uint32_t n, uint8_t qos)
{
	uint32_t *last = &a->last[m->from][m->topic][qos > 0];

	if (*last > n + 1 && n >= a->taint && !may_be_late(a, m, &sn.msgs[*last - 1], qos))
		fail("%s: message %u after %u: out of order", a->id, n, *last - 1);
	if (n + 1 > *last)
		*last = n + 1;
}

/* Its identity ends with its publisher's session. */
static bool
twice_ok(const struct entry *m)
{
	return m->twice_ok || (m->again && m->state == MSG_LOST) || (sn.refuses && m->retain);
}

void
ledger_receive(struct actor *a, const struct mqtt_publish *p)
{
	uint32_t n;
	struct entry *m;

	if (p->payload.len < sizeof n)
		return;         /* an empty one */
	memcpy(&n, p->payload.p, sizeof n);
	if ((n & WILL_BIT) != 0) {
		wills_receive(a, n, p->qos);
		return;
	}
	if (n >= sn.msg_count)
		fail("%s: message %u, which nobody sent", a->id, n);
	m = &sn.msgs[n];
	trace("%s: gets %u %s qos %u id %u%s%s", a->id, n, topic_name(m->topic), p->qos, p->packet_id, p->dup ? " dup" : "",
	    p->retain ? " retained" : "");
	if (!slice_eq(p->topic, slice_str(topic_name(m->topic))) || p->qos > m->qos)
		fail("%s: message %u differs", a->id, n);
	for (size_t i = sizeof n; i < p->payload.len; i++)
		if (p->payload.p[i] != (uint8_t)(n % 251))
			fail("%s: message %u is damaged", a->id, n);
	sn.delivered++;
	if (p->retain) {
		receive_retained(a, m, n);
		return;
	}
	if (a->index >= CLIENTS)
		return;
	if (!ever_wanted(a, m->topic) && !sn.refuses)
		fail("%s: message %u, %s, which it does not want", a->id, n, topic_name(m->topic));
	m->group_got++;
	if (m->got_life[a->index] != a->life) {
		m->got_life[a->index] = a->life;
		m->got[a->index] = m->got_qos2[a->index] = 0;
	}
	/* A copy at a lower QoS, of a subscription that has changed since, is none that QoS 2 is about. */
	if (p->qos == 2)
		m->got_qos2[a->index]++;
	if (m->got[a->index]++ == 0)
		check_order(a, m, n, p->qos);
	else if (p->qos == 2 && m->got_qos2[a->index] > 1 && n >= a->taint && !twice_ok(m))
		fail("%s: message %u twice at QoS 2", a->id, n);
}

/* ---- while it runs ---- */

/* A group without a member keeps nothing; and what its home had dies with it. */
void
check_groups(void)
{
	for (unsigned g = 0; g < GROUPS; g++) {
		bool some = false;

		for (unsigned i = 0; i < CLIENTS; i++)
			some = some || (sn.actors[i].wish[FILTERS - GROUPS + g].live && lives(&sn.actors[i]));
		if (!some)
			sn.group_taint[g] = sn.msg_count;
	}
}

/* On its way to w: the other end has all of it, if w dies. */
static bool
is_coming(unsigned slot, const struct actor *a)
{
	const struct worker *w = sn.node.proc[slot].worker;
	const struct session *s = session_of(w, a);

	if (s->move == NULL || !is_opening(w, a))
		return false;
	for (unsigned i = 0; i < sn.node.workers; i++) {
		const struct worker *o = sn.node.proc[i].worker;
		const struct session *t;

		if (i == slot || o == NULL || (t = session_of(o, a)) == NULL)
			continue;
		if (t->move != NULL && !is_opening(o, a))
			return true;
	}
	return false;
}

static void
dies(struct actor *a)
{
	/* All of it is on the disk. */
	if (sn.disk && a->known)
		return;
	trace("%s: its session dies", a->id);
	a->taint = sn.msg_count;
	a->homeless = a->forgets = true;
	for (uint32_t n = 0; n < sn.msg_count; n++)
		if (sn.msgs[n].from == a->index && sn.msgs[n].state == MSG_OPEN)
			sn.msgs[n].twice_ok = true;
}

static void
taint_groups(void)
{
	for (unsigned g = 0; g < GROUPS; g++)
		sn.group_taint[g] = sn.msg_count;
}

/* What was not kept is routed again. Only publishes of durable sessions have an identity to know them by, and only while that
 * session lives. */
static void
routed_again(void)
{
	for (uint32_t n = 0; n < sn.msg_count; n++) {
		struct entry *m = &sn.msgs[n];

		if (m->state == MSG_ACKED)
			continue;
		m->again = true;
		m->twice_ok = m->twice_ok || !sn.actors[m->from].known;
	}
}

bool
check_any_dead(void)
{
	for (unsigned i = 0; i < NODE_WORKERS; i++)
		if (sn.node.proc[i].worker == NULL)
			return true;
	return false;
}

bool
check_any_connected(const struct actor *a)
{
	for (unsigned i = 0; i < sn.node.workers; i++) {
		const struct worker *w = sn.node.proc[i].worker;
		const struct session *s = w != NULL ? session_of(w, a) : NULL;

		if ((s != NULL && s->conn != NULL) || (w != NULL && is_opening(w, a)))
			return true;
	}
	return false;
}

/* Its worker has never been linked with one that is dead now, and nobody who lives has told it of the group. */
bool
check_group_unheard(unsigned group, unsigned slot)
{
	const struct worker *w = sn.node.proc[slot].worker;
	struct slice text = slice_str(filter_names[FILTERS - GROUPS + group]);

	return w != NULL && !shared_all_known(w) && shared_group_by_hash(w, rand_hash(text.p, text.len)) == NULL;
}

void
check_kill(unsigned slot)
{
	const struct worker *w = slot < NODE_WORKERS ? sn.node.proc[slot].worker : NULL;

	wills_kill(slot);
	if (w == NULL)
		return;
	if (!sn.disk && session_of(w, &sn.actors[WATCHER]) != NULL)
		sn.actors[WATCHER].homeless = true;
	taint_groups();
	routed_again();
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct actor *a = &sn.actors[i];

		if (session_of(w, a) == NULL || is_coming(slot, a))
			continue;
		dies(a);
	}
}

void
check_kill_all(void)
{
	taint_groups();
	for (unsigned i = 0; i < NODE_WORKERS; i++)
		wills_kill(i);
	if (!sn.disk)
		sn.actors[WATCHER].homeless = true;
	for (unsigned i = 0; i < CLIENTS; i++)
		dies(&sn.actors[i]);
}

void
check_running(void)
{
	check_groups();
	if (sn.actors[WATCHER].homeless && !is_homeless(&sn.actors[WATCHER]))
		wills_unheard();
	for (unsigned i = 0; i < CLIENTS; i++) {
		unsigned online = 0;

		for (unsigned k = 0; k < sn.node.workers; k++) {
			const struct worker *w = sn.node.proc[k].worker;
			const struct session *s = w != NULL ? session_of(w, &sn.actors[i]) : NULL;

			online += s != NULL && s->conn != NULL && s->conn->state == CONN_READY;
		}
		if (online > 1)
			fail("%s: %u workers have it online", sn.actors[i].id, online);
	}
}

/* ---- at rest ---- */

/* To one member; to another one too only if that may have left. */
static void
check_group_got(const struct entry *m, uint32_t n)
{
	int group = topic_group(m->topic);

	if (group < 0 || m->qos == 0 || n < sn.group_taint[group])
		return;
	if (m->group_got == 0)
		fail("message %u, %s, of c%u is lost", n, topic_name(m->topic), m->from);
	if (m->calm && m->group_got > 1)
		fail("message %u, %s, of c%u came %u times", n, topic_name(m->topic), m->from, m->group_got);
}

/* For the story of what is lost: what waits for it, and why. */
static void
describe(const struct actor *a)
{
	for (unsigned k = 0; k < sn.node.workers; k++) {
		const struct session *s = session_of(sn.node.proc[k].worker, a);
		struct flow *f = s != NULL ? s->flow : NULL;
		const struct queued *q = f != NULL ? flow_first(f) : NULL;
		struct backlog_state b = { 0 };

		if (f == NULL)
			continue;
		(void)backlog_get(f, &b);
		fprintf(stderr, "%s at %u: next %" PRIu64 ", window %" PRIu64 " to %" PRIu64 ", used %u, gaps %u; queued %u, first %" PRIu64
		    " qos %u stored %u; backlog %" PRIu64 " to %" PRIu64 ", about %u, move %d\n", a->id, k, f->next_n,
		    f->window_head, f->window_tail, f->window_used, f->window_gaps, flow_queued(f), q != NULL ? q->n : 0,
		    q != NULL ? q->qos : 0, q != NULL ? q->stored : 0, b.from, b.to, b.count, s->move != NULL);
	}
}

void
check_delivered(void)
{
	for (uint32_t n = 0; n < sn.msg_count; n++) {
		const struct entry *m = &sn.msgs[n];

		if (m->state == MSG_OPEN && m->qos > 0)
			fail("message %u of c%u was never acknowledged", n, m->from);
		if (m->unsure || (m->qos > 0 ? m->state != MSG_ACKED : !m->calm))
			continue;
		check_group_got(m, n);
		for (unsigned i = 0; i < CLIENTS; i++) {
			const struct actor *a = &sn.actors[i];
			unsigned got = m->got_life[i] == a->life ? m->got[i] : 0;

			if (!m->due[i] || m->due_life[i] != a->life || n < a->taint || m->empty || got > 0)
				continue;
			if (m->due_qos[i] > 0 || m->calm)
				describe(a), fail("%s: message %u, %s, of c%u is lost, qos %u", a->id, n, topic_name(m->topic), m->from,
				    m->due_qos[i]);
		}
	}
}

static bool
is_of_a_group(uint64_t qid)
{
	for (unsigned k = 0; k < sn.node.workers; k++) {
		const struct worker *w = sn.node.proc[k].worker;
		struct hmap_iter it = { 0 };
		struct hmap_node *n;

		while ((n = hmap_each(&w->shares->groups, &it)) != NULL)
			if (container_of(n, struct shared_group, node)->qid == qid)
				return true;
	}
	return false;
}

/* Rows that are left. Those of a group that has no members any more do not count: if its home dies before it has deleted
 * them, they go when the store starts. */
static size_t
left_rows(size_t *forgotten)
{
	struct env *e = sn.node.proc[NODE_WORKERS].store->queue;
	struct cursor *c;
	size_t rows = 0;
	int rc = cursor_open(e, NULL, TABLE_items, &c);

	for (rc = cursor_seek(c, slice_of(NULL, 0)); rc == 0; rc = cursor_next(c)) {
		struct slice key = cursor_key(c);
		uint64_t qid = rec_number_of(key);

		trace("row %05x %" PRIu64, (unsigned)(qid & 0xfffff), rec_number_of(slice_of(key.p + 8, key.len - 8)));
		if ((qid & 1) != 0 && !is_of_a_group(qid))
			++*forgotten;
		else
			rows++;
	}
	cursor_close(c);
	return rows;
}

/* Everybody has everything: no row waits. A session whose end was refused keeps what it has. */
void
check_rows(void)
{
	size_t bodies = sim_disk_count(TABLE_bodies);
	size_t refs = sim_disk_count(TABLE_refs);
	size_t forgotten = 0;
	size_t rows;

	if (sn.refuses)
		return;
	rows = left_rows(&forgotten);
	if (rows != 0 || bodies > forgotten || refs != bodies)
		fail("the queues on disk still have %zu items, %zu bodies, %zu counts", rows, bodies, refs);
}

void
check_owners(void)
{
	const struct store *st = sn.node.proc[NODE_WORKERS].store;

	for (unsigned i = 0; i < ALL_CLIENTS; i++) {
		const struct actor *a = &sn.actors[i];
		const struct owner *o = owners_find(&st->owners, slice_str(a->id));
		unsigned homes = 0;
		unsigned home = 0;

		for (unsigned k = 0; k < sn.node.workers; k++) {
			const struct session *s = session_of(sn.node.proc[k].worker, a);

			if (s == NULL)
				continue;
			homes++;
			home = k;
			if (s->move != NULL)
				fail("%s: a move without end at worker %u", a->id, k);
		}
		if (homes > 1)
			fail("%s: %u workers own it", a->id, homes);
		if (homes == 1 && (o == NULL || o->slot != home || (o->flags & OWNER_HELD) == 0))
			fail("%s: worker %u has it, the store says %d", a->id, home, o == NULL ? -1 : (int)o->slot);
		if (homes == 0 && o != NULL)
			fail("%s: the store says worker %u has it, flags %u, nobody does", a->id, o->slot, o->flags);
	}
}

/* At QoS 1 it is done again when it is sent again, behind what QoS 2 did once meanwhile; at QoS 2 too, when it was
 * refused. */
static bool
again_after(const struct entry *m, const struct entry *newest)
{
	return (m->qos == 1 || sn.refuses) && m->over_conn_no > newest->conn_no && newest->qos == 2;
}

void
check_retained(void)
{
	for (unsigned t = 0; t < 2 * CLIENTS; t++) {
		const struct entry *newest = NULL;
		uint32_t got = sn.retained[t];
		bool ok = false;

		for (uint32_t n = 0; n < sn.msg_count; n++)
			if (sn.msgs[n].topic == TOPICS + t && sn.msgs[n].qos > 0 && sn.msgs[n].state == MSG_ACKED && !sn.msgs[n].unsure)
				newest = &sn.msgs[n];
		ok = got == 0 && newest == NULL;
		for (uint32_t n = 0; n < sn.msg_count && !ok; n++) {
			const struct entry *m = &sn.msgs[n];

			if (m->topic == TOPICS + t && (got == 0 ? m->empty : got == n + 1))
				ok = newest == NULL || m >= newest || again_after(m, newest);
		}
		if (!ok)
			fail("retained: %s is message %d, and %d was acknowledged after it", topic_name(TOPICS + t),
			    (int)got - 1, (int)(newest - sn.msgs));
	}
}

static void
check_worker_empty(unsigned slot)
{
	const struct worker *w = sn.node.proc[slot].worker;
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	while ((n = hmap_each(&w->sessions.map, &it)) != NULL)
		fail("worker %u still has the session %s", slot, container_of(n, struct session, node)->id);
	if (w->opens.count != 0 || !list_empty(&w->sub_ops))
		fail("worker %u still works on a CONNECT or SUBSCRIBE", slot);
	if (w->conn_count != 0 || !list_empty(&w->conns) || !list_empty(&w->dead) || !list_empty(&w->resumed) ||
	    !list_empty(&w->later))
		fail("worker %u still has connections", slot);
	if (w->trie.count != 0)
		fail("worker %u still has subscriptions", slot);
	if (w->shares->groups.count != 0 || w->shares->items.count != 0)
		fail("worker %u still has %zu groups, %zu messages for them", slot, w->shares->groups.count,
		    w->shares->items.count);
	if (!storec_idle(w->store))
		fail("worker %u still waits for the store", slot);
	if (!moves_idle(w->moves))
		fail("worker %u still moves sessions", slot);
	for (unsigned k = 0; k < sn.node.workers; k++) {
		struct cluster_link_stats st;

		if (k != slot && cluster_link_stats(w->cluster, k, &st) && (st.unkept != 0 || st.pending_bytes != 0))
			fail("worker %u: unkept %" PRIu64 ", %" PRIu64 " bytes pending for %u", slot, st.unkept,
			    st.pending_bytes, k);
	}
}

void
check_empty(void)
{
	const struct store *st = sn.node.proc[NODE_WORKERS].store;

	/* What a disk refused to delete is there until somebody asks for it. */
	if (sn.refuses)
		return;
	for (unsigned k = 0; k < sn.node.workers; k++)
		check_worker_empty(k);
	if (owners_count(&st->owners) != 0) {
		struct hmap_iter it = { 0 };
		const struct owner *o = container_of(hmap_each(&st->owners.ids, &it), struct owner, node);

		fail("the store still has %zu owners, one of %.*s: worker %u, flags %u", owners_count(&st->owners),
		    (int)o->id_len, (const char *)o->id, o->slot, o->flags);
	}
	if (sim_disk_count(TABLE_sessions) != 0 || sim_disk_count(TABLE_subscriptions) != 0)
		fail("the store still has %zu sessions, %zu subscriptions", sim_disk_count(TABLE_sessions),
		    sim_disk_count(TABLE_subscriptions));
	if (sim_disk_count(TABLE_wills) != 0)
		fail("the store still has %zu wills", sim_disk_count(TABLE_wills));
	if (METRIC_GET(connections) != 0 || METRIC_GET(clients) != 0 || METRIC_GET(sessions) != 0 ||
	    METRIC_GET(sessions_durable) != 0 || METRIC_GET(queued) != 0 || METRIC_GET(queued_bytes) != 0)
		fail("counters: connections %d, clients %d, sessions %d, durable %d, queued %d, bytes %d",
		    (int)METRIC_GET(connections), (int)METRIC_GET(clients), (int)METRIC_GET(sessions),
		    (int)METRIC_GET(sessions_durable), (int)METRIC_GET(queued), (int)METRIC_GET(queued_bytes));
}
