/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/ctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/ipc/codec.h"
#include "common/metrics/page.h"
#include "worker/admin.h"
#include "worker/ban.h"
#include "worker/conn.h"
#include "worker/connect.h"
#include "worker/durability.h"
#include "worker/listener.h"
#include "worker/move.h"
#include "worker/publish.h"
#include "worker/rights.h"
#include "worker/seen.h"
#include "worker/shared.h"
#include "worker/ship.h"
#include "worker/storec.h"
#include "worker/subs.h"
#include "worker/sys.h"
#include "worker/tls.h"
#include "worker/trace.h"
#include "worker/worker.h"

static uint64_t
store_seq(void *arg)
{
	return storec_last_seq(((struct worker *)arg)->store);
}

static void
on_record(void *arg, unsigned from, uint8_t type, struct slice body)
{
	if (type == TRACE_RECORD)
		trace_on_record(arg, from, body);
	else if (type == SEEN_RECORD)
		seen_on_record(arg, body);
	else if (type >= SHARED_RECORDS)
		shared_on_record(arg, from, type, body);
	else
		move_on_record(arg, from, type, body);
}

static void
on_neighbour(void *arg, unsigned slot, uint64_t epoch, bool up)
{
	struct worker *w = arg;

	log_notice("ctl", up ? "neighbour up" : "neighbour down", "slot=%u epoch=%llu", slot, (unsigned long long)epoch);
	move_on_neighbour(w, slot, epoch, up);
	trace_on_neighbour(w, slot, up);
	shared_on_neighbour(w, slot, up);
	ctl_check_ready(w);
}

static void
on_greeted(void *arg, unsigned slot)
{
	shared_on_greeted(arg, slot);
	trace_on_greeted(arg, slot);
}

static void
on_congested(void *arg, bool congested)
{
	(void)arg;
	log_debug("ctl", congested ? "links congested" : "links free", "%s", "");
}

static const struct cluster_ops cluster_ops = {
	.on_publish = publish_on_neighbour,
	.on_kept = publish_on_kept,
	.on_record = on_record,
	.on_neighbour = on_neighbour,
	.store_seq = store_seq,
	.on_congested = on_congested,
	.on_greeted = on_greeted,
};

void
ctl_check_ready(struct worker *w)
{
	if (w->ready_sent || !w->loaded || (w->cluster != NULL && !cluster_linked(w->cluster)))
		return;
	w->ready_sent = true;
	chan_send(w->sup, IPC_READY);
	move_on_ready(w);
}

static void
set_limits(struct worker *w)
{
	struct rlimit r = { 0 };
	uint64_t most = 1024;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0)
		most = r.rlim_cur > CONFIG_WORKER_FDS * 2 ? r.rlim_cur - CONFIG_WORKER_FDS : CONFIG_WORKER_FDS;
	if (w->config.max_connections > 0 && (uint64_t)w->config.max_connections < most)
		most = (uint64_t)w->config.max_connections;
	w->conn_limit = most > UINT32_MAX ? UINT32_MAX : (uint32_t)most;
}

static void
on_start(struct worker *w, const struct ipc_start *p)
{
	char dir[512];

	if (p->digest != ipc_digest()) {
		log_error("ctl", "fubard speaks another version of the channel", "install all programs of one release");
		_exit(1);
	}
	w->slot = p->slot;
	w->slots = p->slots;
	w->epoch = p->epoch;
	/* One key in all workers: a session's hash names it to the supervisor too. Nothing was hashed yet. */
	rand_process_key = (struct hash_key){ p->route_k0, p->route_k1 };
	if (w->slots < 2)
		return;
	snprintf(dir, sizeof dir, "%.*s", (int)p->run_dir.len, (const char *)p->run_dir.p);
	w->cluster = cluster_new(w->loop, &(struct cluster_config){ .slot = w->slot, .slots = w->slots, .epoch = w->epoch,
	    .route_key = { p->route_k0, p->route_k1 }, .dir = dir }, &cluster_ops, w);
}

static void
on_setting(struct worker *w, const struct ipc_setting *p)
{
	char path[128];
	char *value = malloc(p->value.len + 1);
	struct config_error e;

	FB_ASSERT(value != NULL);
	snprintf(path, sizeof path, "%.*s", (int)p->path.len, (const char *)p->path.p);
	memcpy(value, p->value.p, p->value.len);
	value[p->value.len] = '\0';
	if (config_set(&w->config_next, path, value, CONFIG_FLAG, &e) != 0)
		log_error("ctl", "a setting was refused", "%s", e.text);
	free(value);
}

static void
on_settings_end(struct worker *w)
{
	bool direct = w->config.direct;
	enum log_level level;

	config_copy(&w->config, &w->config_next);
	if (log_level_parse(w->config.log_level, &level) == 0)
		log_set_level(level);
	set_limits(w);
	rights_set_default(w, strcmp(w->config.default_right, "allow") == 0);
	tls_configure(w->tls, &w->config, false);
	durability_configure(w);
	if (direct != w->config.direct) {
		struct hmap_iter it = { 0 };
		struct hmap_node *n;

		while ((n = hmap_each(&w->sessions.map, &it)) != NULL)
			session_announce(w, container_of(n, struct session, node));
	}
}

static void
on_peer(struct worker *w, const struct ipc_peer *p, bool up)
{
	if (w->cluster == NULL || p->slot == w->slot)
		return;
	if (p->slot >= w->slots)
		return;
	if (up && !w->loaded) {
		w->peers[p->slot] = p->epoch;
		return;
	}
	if (w->peers[p->slot] == p->epoch)
		w->peers[p->slot] = 0;
	if (up)
		cluster_peer_up(w->cluster, p->slot, p->epoch);
	else
		cluster_peer_down(w->cluster, p->slot, p->epoch);
	ctl_check_ready(w);
}

/* Our sessions' filters must be among the first routes that a neighbour gets from us: it holds what our predecessor
 * has not kept until then, and what nobody wants then it takes for done. */
static void
on_loaded(struct worker *w)
{
	w->loaded = true;
	for (unsigned slot = 0; slot < w->slots; slot++)
		if (w->peers[slot] != 0)
			cluster_peer_up(w->cluster, slot, w->peers[slot]);
	memset(w->peers, 0, sizeof w->peers);
	ctl_check_ready(w);
}

static void
gates(struct worker *w)
{
	if (w->stopping)
		return;
	w->gates_open = true;
	listeners_open(w->listeners, true);
	wills_gates_open(w);
}

static void
start_handler(struct worker *w, enum ipc_type type, struct slice payload, int fd)
{
	struct ipc_start start;
	struct ipc_setting setting;
	struct ipc_listener listener;
	struct ipc_slot slot;
	struct ipc_peer peer;
	struct ipc_name keys;

	if (type == IPC_START && ipc_take_start(payload, &start) == 0)
		on_start(w, &start);
	else if (type == IPC_SETTING && ipc_take_setting(payload, &setting) == 0)
		on_setting(w, &setting);
	else if (type == IPC_LISTENER && fd >= 0 && ipc_take_listener(payload, &listener) == 0)
		listener_add(w->listeners, &listener, fd);
	else if (type == IPC_TICKET_KEYS && ipc_take_name(payload, &keys) == 0 && tls_ticket_keys(w->tls, keys.name) == 0)
		log_debug("ctl", "ticket keys", "%s", "");
	else if (type == IPC_LISTENER_DROP && ipc_take_slot(payload, &slot) == 0)
		listener_drop(w->listeners, slot.slot);
	else if ((type == IPC_PEER_UP || type == IPC_PEER_DOWN) && ipc_take_peer(payload, &peer) == 0)
		on_peer(w, &peer, type == IPC_PEER_UP);
	else
		log_error("ctl", "a message of the supervisor is damaged", "type=%s", ipc_name(type));
}

static void
on_sup(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct worker *w = arg;
	struct ipc_trace trace;
	struct ipc_ban ban;
	struct ipc_load load;
	struct ipc_budget budget;
	struct ipc_sys sys;

	switch (type) {
	case IPC_SETTINGS_END:
		on_settings_end(w);
		break;
	case IPC_METRICS:
		if (metrics_map(fd) != 0)
			log_error("ctl", "the page of counters does not fit", "%s", "mixed versions of the programs?");
		METRIC_SET(heartbeat_ns, loop_now(w->loop).ns);
		break;
	case IPC_STORE_CHAN:
		storec_attach(w->store, fd);
		break;
	case IPC_GATES_OPEN:
		gates(w);
		break;
	case IPC_TRACE:
		if (ipc_take_trace(payload, &trace) == 0)
			trace_set(w, &trace);
		break;
	case IPC_STOP:
		worker_stop(w);
		break;
	case IPC_CERTS_AGAIN:
		tls_configure(w->tls, &w->config, true);
		break;
	case IPC_BAN:
		if (ipc_take_ban(payload, &ban) == 0)
			ban_put(w, ban.note, ban.seconds);
		break;
	case IPC_LOAD:
		if (ipc_take_load(payload, &load) == 0)
			w->overloaded = load.overloaded != 0;
		break;
	case IPC_BUDGET:
		if (ipc_take_budget(payload, &budget) == 0)
			budget_set(w, budget.bytes);
		break;
	case IPC_SYS:
		if (ipc_take_sys(payload, &sys) == 0)
			sys_set(w, sys.topic, sys.value);
		break;
	case IPC_ADMIN:
		admin_command(w, payload);
		break;
	case IPC_ADMIN_FOLLOW:
		admin_follow(w, payload);
		break;
	default:
		start_handler(w, type, payload, fd);
	}
}

static void
on_sup_closed(void *arg)
{
	struct worker *w = arg;

	/* Nobody adopts us: the node restarts. */
	log_notice("ctl", "supervisor gone", "this worker ends");
	loop_stop(w->loop);
}

const struct chan_ops ctl_ops = { .on_msg = on_sup, .on_closed = on_sup_closed };

static void
on_session_row(struct worker *w, const struct ipc_session_row *p)
{
	struct session *s = session_get(&w->sessions, p->client_id, rand_hash(p->client_id.p, p->client_id.len));

	if (s == NULL) {        /* otherwise it came back meanwhile */
		s = session_new(w, p->client_id, p->account, SESSION_DURABLE | SESSION_ROW | SESSION_LOADED);
		s->stamp = p->stamp & SESSION_STAMP_MAX;
		session_set_queue(w, s, &(struct session_queue){ .qid = p->qid, .first = p->q_first, .last = p->q_last });
		subs_decode(w, s, p->subs);
		session_loaded(w, s, p->offline_ms);
		if (p->claimed != 0)
			move_claimed(w, s);
	}
	move_on_stamp(w, p->stamp);
}

/* What waited when the node stopped. In memory again, it is not in the store any more. */
static void
on_queue_part(struct worker *w, const struct ipc_queue_part *p)
{
	struct session *s = session_get(&w->sessions, p->client_id, rand_hash(p->client_id.p, p->client_id.len));

	if (s == NULL || s->conn != NULL)
		return;
	if (ship_decode(session_flow(w, s), p->items) != 0)
		log_error("ctl", "what waited in a session is damaged", "%zu bytes", p->items.len);
	storec_queue_del(w->store, p->client_id);
}

/* One whose CONNECT the store has answered is in already, wherever that CONNECT stands. */
static void
kick_if_of(struct conn *c, void *arg)
{
	const struct slice *account = arg;

	if (c->state == CONN_OPENING ? connect_is_of(c->open, *account) :
	    c->session != NULL && slice_eq(session_account(c->session), *account))
		conn_close(c, "the account was deleted");
}

static void
disown(struct worker *w, const struct ipc_client *p)
{
	struct session *s = session_get(&w->sessions, p->client_id, rand_hash(p->client_id.p, p->client_id.len));

	if (s == NULL || s->stamp != p->stamp)
		return;
	s->flags = (uint8_t)(s->flags | SESSION_DISOWNED);
	if (s->conn != NULL)
		conn_kill(s->conn, CONN_SIDE_SERVER, "session taken over");
	else
		session_end(w, s);
}

static void
reset_one(struct conn *c, void *arg)
{
	(void)arg;
	if (c->state == CONN_READY || c->state == CONN_OPENING)
		conn_kill(c, CONN_SIDE_SERVER, "all stored data was cleared");
}

static void
reset(struct worker *w)
{
	struct hmap_iter it = { 0 };
	struct hmap_node *n;

	wills_reset(w);
	conn_each(w, reset_one, NULL);
	while ((n = hmap_each(&w->sessions.map, &it)) != NULL) {
		struct session *s = container_of(n, struct session, node);

		if (s->conn == NULL)
			session_end(w, s);
	}
}

static void
on_acl(struct worker *w, const struct ipc_acl *p, bool set)
{
	struct cidr c;
	char text[CIDR_TEXT_MAX];

	snprintf(text, sizeof text, "%.*s", (int)p->prefix.len, (const char *)p->prefix.p);
	if (cidr_parse(text, &c) != 0)
		log_error("ctl", "an IP rule of the store is damaged", "prefix=%s", text);
	else if (set)
		cidr_table_put(w->acl, &c, p->allow);
	else
		cidr_table_del(w->acl, &c);
}

static void
on_right(struct worker *w, const struct ipc_right *p, bool set)
{
	if (set)
		rights_put(w, p);
	else
		rights_del(w, p->place);
}

void
ctl_on_store(struct worker *w, enum ipc_type type, struct slice payload)
{
	struct ipc_session_row row;
	struct ipc_stamp stamp;
	struct ipc_queue_part part;
	struct ipc_client client;
	struct ipc_name name;
	struct ipc_acl acl;
	struct ipc_right right;
	struct ipc_group group;
	struct ipc_will will;

	if (type == IPC_SESSION_ROW && ipc_take_session_row(payload, &row) == 0) {
		on_session_row(w, &row);
	} else if (type == IPC_QUEUE_PART && ipc_take_queue_part(payload, &part) == 0) {
		on_queue_part(w, &part);
	} else if (type == IPC_LOADED && ipc_take_stamp(payload, &stamp) == 0) {
		on_loaded(w);
		move_on_stamp(w, stamp.stamp);
	} else if ((type == IPC_ACL_SET || type == IPC_ACL_DEL) && ipc_take_acl(payload, &acl) == 0) {
		on_acl(w, &acl, type == IPC_ACL_SET);
	} else if (type == IPC_ACL_CLEAR) {
		cidr_table_clear(w->acl);
	} else if (type == IPC_RIGHTS_BEGIN) {
		rights_begin(w);
	} else if (type == IPC_RIGHTS_END) {
		rights_end(w);
	} else if ((type == IPC_RIGHT_SET || type == IPC_RIGHT_DEL) && ipc_take_right(payload, &right) == 0) {
		on_right(w, &right, type == IPC_RIGHT_SET);
	} else if ((type == IPC_GROUP_SET || type == IPC_GROUP_DEL) && ipc_take_group(payload, &group) == 0) {
		rights_group(w, &group, type == IPC_GROUP_SET);
	} else if (type == IPC_ACCOUNT_GONE && ipc_take_name(payload, &name) == 0) {
		conn_each(w, kick_if_of, &name.name);
	} else if (type == IPC_DISOWN && ipc_take_client(payload, &client) == 0) {
		disown(w, &client);
	} else if (type == IPC_WILL_DUE && ipc_take_will(payload, &will) == 0) {
		wills_due(w, &will);
	} else if (type == IPC_RESET) {
		reset(w);
	} else {
		log_error("ctl", "a message of the store is damaged", "type=%s", ipc_name(type));
	}
}
