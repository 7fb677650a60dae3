/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/metrics/beat.h"
#include "common/metrics/page.h"
#include "store/admin.h"
#include "store/import.h"
#include "store/st_sessions.h"
#include "store/st_settings.h"

#define HEARTBEAT_NS (250 * NS_PER_MS)
#define SLOW_NS      NS_PER_SEC         /* of a flush: told */
#define SLOW_FOR_NS  (5 * NS_PER_SEC)   /* without such a one: fast again */

_Noreturn void
store_bad_message(enum ipc_type type)
{
	log_error("store", "message that cannot be read or may not come now", "type=%s", ipc_name(type));
	abort();
}

/* ---- signs of life ---- */

static int64_t
flush_ns(const struct batch_stats *st)
{
	int64_t now = st->flushing_since.ns != 0 ? mono_diff(clock_mono(), st->flushing_since) : 0;

	return now > st->last_flush_ns ? now : st->last_flush_ns;
}

static int64_t
larger(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static void
show_queue(const struct store *s, const struct batch_stats *state)
{
	struct batch_stats st = batch_stats(s->qbatch);
	int64_t last = larger(flush_ns(&st), flush_ns(state));

	METRIC_SET(disk_queued, batch_counts(s->qbatch).rows);
	METRIC_SET(disk_queue_batches, st.batches);
	METRIC_SET(disk_queue_writes, st.writes);
	METRIC_SET(disk_queue_refused, st.failed);
	METRIC_SET(flush_us, last / NS_PER_US);
	METRIC_SET(flush_max_us, larger(last, larger(st.max_flush_ns, state->max_flush_ns)) / NS_PER_US);
}

static void
show_counters(const struct store *s)
{
	struct batch_stats st = batch_stats(s->batch);
	struct rec_counts n = batch_counts(s->batch);

	METRIC_SET(retained, n.retained);
	METRIC_SET(accounts, n.accounts);
	METRIC_SET(store_batches, st.batches);
	METRIC_SET(store_writes, st.writes);
	METRIC_SET(store_failed, st.failed);
	METRIC_SET(checkpoints, env_checkpoints(s->env) + env_checkpoints(s->queue));
	show_queue(s, &st);
	METRIC_SET(store_corrupt, rec_bad_count());
}

static void
watch_disk(struct store *s)
{
	bool full = !env_has_room(s->env, ENV_GROWS);

	if (full && !s->disk_full)
		log_error("store", "disk nearly full, durable writes are refused", "dir=%s min_free=%lld", s->data_dir,
		    (long long)s->config.store_min_free);
	else if (!full && s->disk_full)
		log_notice("store", "there is room on the disk again", "dir=%s", s->data_dir);
	s->disk_full = full;
	METRIC_SET(disk_full, full);
}

/* One line when it begins and one when it has been over for a while. */
static void
watch_flushes(struct store *s)
{
	struct batch_stats queue = batch_stats(s->qbatch), state = batch_stats(s->batch);
	int64_t took = larger(flush_ns(&queue), flush_ns(&state));
	struct mono now = loop_now(s->loop);

	if (took >= SLOW_NS && (queue.flushes + state.flushes != s->flushes || took > s->slowest_ns)) {
		s->slow_until = mono_add(now, SLOW_FOR_NS);
		s->slowest_ns = larger(took, s->slowest_ns);
		if (!s->disk_slow)
			log_warn("store", "the disk is slow, what is to be kept waits for it", "flush_ms=%lld",
			    (long long)(took / NS_PER_MS));
		s->disk_slow = true;
	}
	s->flushes = queue.flushes + state.flushes;
	if (s->disk_slow && now.ns >= s->slow_until.ns) {
		log_notice("store", "the disk is fast again", "longest_ms=%lld", (long long)(s->slowest_ns / NS_PER_MS));
		s->disk_slow = false;
		s->slowest_ns = 0;
	}
	METRIC_SET(disk_slow, s->disk_slow);
}

static void
on_heartbeat(struct timer *tm)
{
	struct store *s = container_of(tm, struct store, heartbeat);

	beat(s->loop);
	if (s->batch != NULL) {
		show_counters(s);
		watch_disk(s);
		watch_flushes(s);
	}
	loop_timer_in(s->loop, tm, HEARTBEAT_NS);
}

/* ---- configuration ---- */

static struct auth_config
auth_config(const struct store *s)
{
	return (struct auth_config){
		.threads = (unsigned)s->config.auth_threads,
		.queue = (uint64_t)s->config.auth_queue,
		.patience_ns = s->config.connect_timeout * NS_PER_SEC,
	};
}

static void
apply(struct store *s)
{
	enum log_level level;
	struct auth_config ac;

	config_copy(&s->config, &s->held);
	if (log_level_parse(s->config.log_level, &level) == 0)
		log_set_level(level);
	if (s->batch == NULL)
		return;
	ac = auth_config(s);
	auth_set(s->auth, &ac);
	env_set_min_free(s->env, s->config.store_min_free);
	env_set_min_free(s->queue, s->config.store_min_free);
	batch_set(s->batch, s->config.commit_interval, s->config.commit_batch);
	batch_set(s->qbatch, s->config.commit_interval, s->config.commit_batch);
	will_rows_configure(s);
}

static void
do_setting(struct store *s, struct slice payload)
{
	struct ipc_setting p;
	struct config_error e;
	char *path, *value;

	if (ipc_take_setting(payload, &p) != 0)
		store_bad_message(IPC_SETTING);
	path = mem_dup(p.path.p, p.path.len);
	value = mem_dup(p.value.p, p.value.len);
	/* The supervisor has checked it with the same table. */
	if (config_set(&s->held, path, value, CONFIG_FLAG, &e) != 0)
		log_error("store", "setting not taken", "key=%s why=%s", path, e.text);
	mem_free(path);
	mem_free(value);
}

/* ---- start ---- */

static void
on_opened(void *arg, struct opener_result *r)
{
	struct store *s = arg;
	struct auth_config ac = auth_config(s);

	if (r->rc != 0) {
		log_error("store", "cannot open the environment", "dir=%s why=%s", s->data_dir, err_text(r->rc));
		_exit(EXIT_FAILURE);
	}
	s->env = r->env;
	s->queue = r->queue;
	s->owners = r->owners;
	s->batch = batch_new(s->loop, s->env, true);
	s->qbatch = batch_new(s->loop, s->queue, true);
	queue_start(s, &r->gone);
	s->auth = auth_new(s->loop, s->env, r->key, &ac);
	opener_free(s->opener);
	s->opener = NULL;
	apply(s);
	log_notice("store", "ready", "sessions=%zu retained=%llu accounts=%llu", owners_count(&s->owners),
	    (unsigned long long)batch_counts(s->batch).retained, (unsigned long long)batch_counts(s->batch).accounts);
	chan_send(s->sup, IPC_READY);
	settings_send_all(s);
	age_start(s);
	slots_start(s);
}

static void
do_start(struct store *s, struct slice payload)
{
	struct ipc_start p;

	if (ipc_take_start(payload, &p) != 0 || p.slots == 0 || p.slots > STORE_SLOTS_MAX || s->data_dir != NULL)
		store_bad_message(IPC_START);
	if (p.digest != ipc_digest()) {
		log_error("store", "of another build than fubard, refusing", "program=fubar-store");
		exit(EXIT_FAILURE);
	}
	s->slot_count = p.slots;
	s->data_dir = mem_dup(p.data_dir.p, p.data_dir.len);
	slots_init(s);
}

static void
do_settings_end(struct store *s)
{
	struct env_config cfg[ENV_COUNT];

	if (s->data_dir == NULL)
		store_bad_message(IPC_SETTINGS_END);
	apply(s);
	if (s->env != NULL || s->opener != NULL)
		return;
	cfg[ENV_state] = (struct env_config){ .name = ENV_state, .dir = s->data_dir, .cache_bytes = s->config.store_cache,
		.min_free_bytes = s->config.store_min_free, .ballast_bytes = STORE_BALLAST_BYTES };
	cfg[ENV_queue] = (struct env_config){ .name = ENV_queue, .dir = s->data_dir,
		.cache_bytes = s->config.store_queue_cache, .min_free_bytes = s->config.store_min_free };
	s->opener = opener_new(s->loop, cfg, s->slot_count, on_opened, s);
}

/* ---- the supervisor ---- */

/* State first: a session that is deleted has a queue to drop. */
static void
drain(struct store *s)
{
	if (s->batch == NULL)
		return;
	batch_drain(s->batch);
	batch_drain(s->qbatch);
}

/* What was asked for is committed and answered; then the process is over. While the environment is being opened nothing
 * was asked for, and recovery may be cut short: the next one does it. */
static void
finish(struct store *s)
{
	if (s->opener != NULL)
		_exit(EXIT_SUCCESS);
	save_stop(s);
	age_write(s);
	drain(s);
	loop_stop(s->loop);
}

static void
on_closed(void *arg)
{
	struct store *s = arg;

	log_notice("store", "the supervisor is gone, stopping", " ");
	finish(s);
}

static void
on_drained(void *arg)
{
	admin_drained(arg);
}

static void
do_worker_chan(struct store *s, struct slice payload, int fd)
{
	struct ipc_peer p;

	if (ipc_take_peer(payload, &p) != 0 || s->data_dir == NULL)
		store_bad_message(IPC_WORKER_CHAN);
	slots_given(s, p.slot, p.epoch, fd);
}

static void
do_worker_gone(struct store *s, struct slice payload)
{
	struct ipc_peer p;

	if (ipc_take_peer(payload, &p) != 0 || s->data_dir == NULL)
		store_bad_message(IPC_WORKER_GONE);
	slots_gone(s, p.slot, p.epoch);
}

/* What came before on this channel holds. */
static void
do_follow(struct store *s, struct slice payload)
{
	struct ipc_admin_follow p;

	if (ipc_take_admin_follow(payload, &p) != 0)
		store_bad_message(IPC_ADMIN_FOLLOW);
	admin_done(s, p.id, 0, NULL);
}

static void
on_msg(void *arg, enum ipc_type type, struct slice payload, int fd)
{
	struct store *s = arg;

	switch ((int)type) {
	case IPC_START:
		do_start(s, payload);
		break;
	case IPC_SETTING:
		do_setting(s, payload);
		break;
	case IPC_SETTINGS_END:
		do_settings_end(s);
		break;
	case IPC_METRICS:
		if (metrics_map(fd) != 0)
			store_bad_message(type);
		fd = -1;
		break;
	case IPC_WORKER_CHAN:
		do_worker_chan(s, payload, fd);
		fd = -1;
		break;
	case IPC_WORKER_GONE:
		do_worker_gone(s, payload);
		break;
	case IPC_ADMIN:
		admin_do(s, payload);
		break;
	case IPC_ADMIN_FOLLOW:
		do_follow(s, payload);
		break;
	case IPC_STOP:
		finish(s);
		break;
	default:
		store_bad_message(type);
	}
	if (fd >= 0)
		close(fd);
}

/* ---- life ---- */

static const struct chan_ops ops = { .on_msg = on_msg, .on_closed = on_closed, .on_drained = on_drained };

struct store *
store_new(struct loop *l, int fd)
{
	struct store *s = mem_zalloc(sizeof *s);

	s->loop = l;
	config_init(&s->config);
	config_init(&s->held);
	owners_init(&s->owners);
	rows_old_init(s);
	work_init(&s->work, l);
	retained_init(s);
	will_rows_init(s);
	age_init(s);
	list_init(&s->parked);
	s->sup = chan_new(l, fd, IPC_STORE, IPC_SUP, &ops, s);
	timer_init(&s->heartbeat, on_heartbeat);
	loop_timer_in(l, &s->heartbeat, 0);
	return s;
}

static void *
close_envs(void *arg)
{
	struct store *s = arg;

	env_close(s->queue);
	env_close(s->env);
	return NULL;
}

/* The last checkpoint may have a large cache to write: the process shows life meanwhile. */
static void
close_envs_alive(struct store *s)
{
	pthread_t thread;
	struct timespec until;
	struct wall at;

	FB_ASSERT(pthread_create(&thread, NULL, close_envs, s) == 0);
	do {
		METRIC_SET(heartbeat_ns, clock_mono().ns);
		at = clock_wall();
		at.ns += HEARTBEAT_NS;
		until = (struct timespec){ .tv_sec = at.ns / NS_PER_SEC, .tv_nsec = at.ns % NS_PER_SEC };
	} while (pthread_timedjoin_np(thread, NULL, &until) != 0);
}

void
store_free(struct store *s)
{
	drain(s);
	for (struct slot *t = slots_next(s, NULL); t != NULL; t = slots_next(s, t))
		(void)chan_drain(t->chan, 100);
	(void)chan_drain(s->sup, 100);
	slots_fini(s);
	retained_fini(s);
	will_rows_fini(s);
	age_fini(s);
	work_fini(&s->work);
	import_fini(s);
	auth_free(s->auth);
	drain(s);
	queue_fini(s);
	batch_free(s->batch);
	batch_free(s->qbatch);
	if (s->env != NULL)
		close_envs_alive(s);
	rows_old_fini(s);
	owners_fini(&s->owners);
	loop_timer_cancel(s->loop, &s->heartbeat);
	chan_free(s->sup);
	config_fini(&s->config);
	config_fini(&s->held);
	mem_free(s->data_dir);
	mem_free(s);
}
