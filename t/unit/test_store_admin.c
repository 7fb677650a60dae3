/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/admin/row.h"
#include "common/admin/words.h"
#include "common/base/mem.h"
#include "store/batch.h"
#include "t/support/store_rig.h"
#include "t/support/unit.h"

#define GENERATED "AbCdEfGhIjKlMnOpQrStUv"

static const char *const cheap_hashes[] = { "auth.scrypt_n", "1024", NULL };

static void
workers(struct rig *r)
{
	for (unsigned i = 0; i < r->slots; i++)
		rig_worker(r, i, 0, true);
	for (unsigned i = 0; i < r->slots; i++)
		mem_free(rig_wait(&r->worker[i], IPC_LOADED));
}

static void
start(struct rig *r, unsigned slots, const char *const *settings)
{
	rig_init(r, slots);
	rig_start(r, settings);
	rig_wait_ready(r);
	workers(r);
}

static void
again(struct rig *r, const char *const *settings)
{
	rig_kill(r);
	rig_start(r, settings);
	rig_wait_ready(r);
	workers(r);
}

static int
retain(struct rig *r, uint64_t seq, const char *topic, const char *payload)
{
	CHAN_SEND(r->worker[0].chan, RETAIN, retain, .seq = seq, .qos = 1, .topic = slice_str(topic),
	    .payload = slice_str(payload));
	return rig_wait_done(r, 0, seq);
}

/* Logins at one listener alone: its clients' sessions are nobody else's either. */
START_TEST(sessions_are_guarded_where_one_listener_asks_for_logins)
{
	static const char *const settings[] = { "auth.scrypt_n", "1024", "auth.enabled", "false", "listeners.mqtt2.port", "1",
		"listeners.mqtt2.auth", "on", NULL };
	struct rig r;

	start(&r, 2, settings);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "ann", "pw", NULL), 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_AUTH, "c", "ann", "pw").code, 0);
	ck_assert_int_eq(rig_open(&r, 1, 0, "c", NULL, NULL).code, FB_EOWNER);
	ck_assert_int_eq(rig_open(&r, 1, 0, "d", NULL, NULL).code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_AUTH, "d", "ann", "pw").code, FB_EOWNER);
	rig_fini(&r);
}
END_TEST

START_TEST(accounts_open_the_door)
{
	unsigned rows;
	struct rig r;

	start(&r, 2, cheap_hashes);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_AUTH, "c", NULL, NULL).code, FB_EPERM);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, FB_EAUTH);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "ann", "pw", NULL), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "m", GENERATED, "generated", NULL), 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "px").code, FB_EAUTH);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "d", "m", GENERATED).code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "d", "m", "no").code, FB_EAUTH);
	/* Another account's id. */
	ck_assert_int_eq(rig_open(&r, 1, OPEN_CLEAN, "d", "ann", "pw").code, FB_EOWNER);
	again(&r, cheap_hashes);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "d", "m", GENERATED).code, 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_all, &rows, NULL), 0);
	ck_assert_uint_eq(rows, 2);
	/* A new password: the old one is over at once, though it was in the cache. */
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "ann", "new", NULL), 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, FB_EAUTH);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "new").code, 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_get, &rows, "ann", NULL), 0);
	ck_assert_uint_eq(rows, 1);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_del, NULL, "ann", NULL), 0);
	mem_free(rig_wait(&r.worker[0], IPC_ACCOUNT_GONE));
	mem_free(rig_wait(&r.worker[1], IPC_ACCOUNT_GONE));
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "new").code, FB_EAUTH);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_del, NULL, "ann", NULL), FB_ENOENT);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_get, NULL, "ann", NULL), FB_ENOENT);
	rig_fini(&r);
}
END_TEST

START_TEST(bad_accounts_are_refused)
{
	char long_name[300];
	struct rig r;

	memset(long_name, 'x', sizeof long_name);
	long_name[257] = '\0';
	start(&r, 1, cheap_hashes);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "", "pw", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "a\nb", "pw", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, long_name, "pw", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "a", "", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "a", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "a", "short", "generated", NULL), FB_EINVAL);
	rig_fini(&r);
}
END_TEST

/* Many logins of one person are one hash; too many wrong ones are refused, not hashed. */
START_TEST(logins_share_hashes_and_the_queue_is_bounded)
{
	const char *const settings[] = { "auth.scrypt_n", "16384", "auth.threads", "1", "auth.queue", "20",
		"server.timeout", "1h", NULL };         /* how long one is worth waiting for */
	unsigned ok = 0, busy = 0, wrong = 0;
	struct rig r;

	start(&r, 1, settings);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "ann", "pw", NULL), 0);
	for (unsigned i = 0; i < 10; i++)
		CHAN_SEND(r.worker[0].chan, OPEN, open, .req = i, .flags = OPEN_AUTH | OPEN_HAS_USER | OPEN_CLEAN,
		    .client_id = SLICE_LIT("c"), .user = SLICE_LIT("ann"), .password = SLICE_LIT("pw"));
	for (unsigned i = 0; i < 40; i++) {
		char pw[16];

		snprintf(pw, sizeof pw, "wrong%u", i);
		CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 100 + i, .flags = OPEN_AUTH | OPEN_HAS_USER | OPEN_CLEAN,
		    .client_id = SLICE_LIT("c"), .user = SLICE_LIT("ann"), .password = slice_str(pw));
	}
	for (unsigned i = 0; i < 50; i++) {
		struct rig_msg *m = rig_wait(&r.worker[0], IPC_OPENED);
		struct ipc_opened p;

		ck_assert_int_eq(ipc_take_opened(m->payload, &p), 0);
		ok += p.code == 0;
		busy += p.code == (uint16_t)-FB_EBUSY;
		wrong += p.code == (uint16_t)-FB_EAUTH;
		mem_free(m);
	}
	ck_assert_uint_eq(ok, 10);
	ck_assert_uint_eq(wrong, 10);
	ck_assert_uint_eq(busy, 30);
	/* A worker that dies is not waited for. */
	for (unsigned i = 0; i < 15; i++) {
		char pw[16];

		snprintf(pw, sizeof pw, "dead%u", i);
		CHAN_SEND(r.worker[0].chan, OPEN, open, .req = i, .flags = OPEN_AUTH | OPEN_HAS_USER | OPEN_CLEAN,
		    .client_id = SLICE_LIT("c"), .user = SLICE_LIT("ann"), .password = slice_str(pw));
	}
	rig_worker_gone(&r, 0);
	workers(&r);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "pw").code, 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "ann", "other").code, FB_EAUTH);
	rig_fini(&r);
}
END_TEST

START_TEST(rules_reach_all_workers)
{
	struct ipc_acl p;
	struct rig_msg *m;
	unsigned rows;
	struct rig r;

	start(&r, 2, NULL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "10.0.0.0/8", "allow", NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		m = rig_wait(&r.worker[i], IPC_ACL_SET);
		ck_assert_int_eq(ipc_take_acl(m->payload, &p), 0);
		ck_assert(slice_eq(p.prefix, SLICE_LIT("10.0.0.0/8")) && p.allow == 1);
		mem_free(m);
	}
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "2001:db8::/32", "deny", NULL), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "10.0.0.1/8", "deny", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "10.0.0.0/8", "perhaps", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_get, &rows, "10.1.2.3", NULL), 0);
	ck_assert_uint_eq(rows, 1);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_get, &rows, "11.1.2.3", NULL), FB_ENOENT);
	again(&r, NULL);
	ck_assert_ptr_nonnull(rig_peek(&r.worker[0], IPC_ACL_CLEAR));
	mem_free(rig_wait(&r.worker[0], IPC_ACL_SET));
	mem_free(rig_wait(&r.worker[0], IPC_ACL_SET));
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_all, &rows, NULL), 0);
	ck_assert_uint_eq(rows, 2);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_del, NULL, "10.0.0.0/8", NULL), 0);
	mem_free(rig_wait(&r.worker[1], IPC_ACL_DEL));
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_del, NULL, "10.0.0.0/8", NULL), FB_ENOENT);
	rig_fini(&r);
}
END_TEST

START_TEST(settings_are_checked_and_kept)
{
	struct ipc_setting p;
	struct ipc_name gone;
	struct rig_msg *m;
	struct rig r;

	start(&r, 1, NULL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_set, NULL, "mqtt.max_packet_size", "2MiB", NULL), 0);
	m = rig_wait(&r.sup, IPC_OVERRIDE);
	ck_assert_int_eq(ipc_take_setting(m->payload, &p), 0);
	ck_assert(slice_eq(p.path, SLICE_LIT("mqtt.max_packet_size")) && slice_eq(p.value, SLICE_LIT("2MiB")));
	mem_free(m);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_set, NULL, "mqtt.max_packet_size", "1", NULL), FB_ERANGE);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_set, NULL, "mqtt.nothing", "1", NULL), FB_ENOENT);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_set, NULL, "data_dir", "/tmp", NULL), FB_EINVAL);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_unset, NULL, "mqtt.max_qos", NULL), FB_ENOENT);
	rig_kill(&r);
	rig_start(&r, NULL);
	mem_free(rig_wait(&r.sup, IPC_READY));
	mem_free(rig_wait(&r.sup, IPC_OVERRIDE));
	mem_free(rig_wait(&r.sup, IPC_OVERRIDES_END));
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_unset, NULL, "mqtt.max_packet_size", NULL), 0);
	m = rig_wait(&r.sup, IPC_OVERRIDE_GONE);
	ck_assert_int_eq(ipc_take_name(m->payload, &gone), 0);
	ck_assert(slice_eq(gone.name, SLICE_LIT("mqtt.max_packet_size")));
	mem_free(m);
	rig_fini(&r);
}
END_TEST

START_TEST(reset_clears_everything)
{
	unsigned rows;
	struct rig r;

	start(&r, 2, cheap_hashes);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "ann", "pw", NULL), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "::1", "allow", NULL), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_settings_set, NULL, "mqtt.max_qos", "1", NULL), 0);
	mem_free(rig_wait(&r.sup, IPC_OVERRIDE));
	for (uint64_t i = 1; i < 5000; i++) {
		char topic[32];

		snprintf(topic, sizeof topic, "t/%u", (unsigned)i);
		CHAN_SEND(r.worker[0].chan, RETAIN, retain, .seq = i, .topic = slice_str(topic), .payload = SLICE_LIT("x"));
	}
	ck_assert_int_eq(rig_open(&r, 0, 0, "d", NULL, NULL).code, 0);
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = 5000, .client_id = SLICE_LIT("d"));
	CHAN_SEND(r.worker[0].chan, SUB_PUT, sub_put, .seq = 5001, .client_id = SLICE_LIT("d"), .filter = SLICE_LIT("f"));
	ck_assert_int_eq(rig_wait_done(&r, 0, 5001), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_reset, NULL, NULL), 0);
	mem_free(rig_wait(&r.worker[0], IPC_RESET));
	mem_free(rig_wait(&r.worker[1], IPC_RESET));
	mem_free(rig_wait(&r.sup, IPC_OVERRIDE_GONE));
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 10000), 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_all, &rows, NULL), 0);
	ck_assert_uint_eq(rows, 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_all, &rows, NULL), 0);
	ck_assert_uint_eq(rows, 0);
	/* The session from before has no owner any more, so no row. */
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = 5002, .client_id = SLICE_LIT("d"));
	ck_assert_int_eq(rig_wait_done(&r, 0, 5002), FB_EOWNER);
	ck_assert(!rig_open(&r, 1, 0, "d", NULL, NULL).durable);
	again(&r, cheap_hashes);
	ck_assert_ptr_null(rig_peek(&r.worker[0], IPC_SESSION_ROW));
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 10000), 0);
	rig_fini(&r);
}
END_TEST

START_TEST(a_full_disk_refuses_and_recovers)
{
	const char *const full[] = { "store.min_free", "1TiB", NULL };
	struct rig r;

	start(&r, 1, NULL);
	ck_assert_int_eq(retain(&r, 1, "a", "x"), 0);
	again(&r, full);
	ck_assert_int_eq(retain(&r, 1, "a", "y"), FB_EDISK);
	ck_assert_int_eq(retain(&r, 2, "a", ""), FB_EDISK);
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 10000), 1);
	/* An operator can act, and nobody is turned away who needs no write. */
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "::1", "allow", NULL), 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", NULL, NULL).code, 0);
	CHAN_SEND(r.sup.chan, SETTING, setting, .path = SLICE_LIT("store.min_free"), .value = SLICE_LIT("1MiB"));
	chan_send(r.sup.chan, IPC_SETTINGS_END);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_set, NULL, "::2", "allow", NULL), 0);
	ck_assert_int_eq(retain(&r, 3, "b", "x"), 0);
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 10000), 2);
	rig_fini(&r);
}
END_TEST

struct damage { enum table table; struct slice key, value; };

static int
write_damage(struct txn *x, void *arg)
{
	const struct damage *d = arg;
	int rc = 0;

	for (; d->key.p != NULL && rc == 0; d++)
		rc = table_put(x, d->table, d->key, d->value);
	return rc;
}

START_TEST(damaged_records_are_skipped)
{
	static const struct damage damage[] = {
		{ TABLE_accounts, { (const uint8_t *)"bad", 3 }, { (const uint8_t *)"\x63zzz", 4 } },
		{ TABLE_accounts, { (const uint8_t *)"odd", 3 }, { (const uint8_t *)"\1_______________$md5$", 21 } },
		{ TABLE_acls, { (const uint8_t *)"bad", 3 }, { (const uint8_t *)"", 0 } },
		{ TABLE_settings, { (const uint8_t *)"mqtt.max_qos", 12 }, { (const uint8_t *)"", 0 } },
		{ TABLE_retained, { (const uint8_t *)"b", 1 }, { (const uint8_t *)"\1\xff", 2 } },
		{ TABLE_sessions, { (const uint8_t *)"s", 1 }, { (const uint8_t *)"\1", 1 } },
		{ TABLE_subscriptions, { (const uint8_t *)"d\0bad", 5 }, { (const uint8_t *)"\1\7\7", 3 } },
		{ TABLE_meta, { (const uint8_t *)"counts", 7 }, { (const uint8_t *)"", 0 } },
		{ 0, { NULL, 0 }, { NULL, 0 } },
	};
	struct env_config cfg = { .cache_bytes = 1 << 20, .min_free_bytes = 1 };
	struct rig_opened o;
	struct env *env;
	char path[128];
	unsigned rows;
	struct rig r;

	start(&r, 1, cheap_hashes);
	ck_assert_int_eq(retain(&r, 1, "a", "x"), 0);
	ck_assert_int_eq(retain(&r, 2, "c", "x"), 0);
	ck_assert_int_eq(rig_open(&r, 0, 0, "d", NULL, NULL).code, 0);
	CHAN_SEND(r.worker[0].chan, SESSION_PUT, session_put, .seq = 3, .client_id = SLICE_LIT("d"));
	CHAN_SEND(r.worker[0].chan, SUB_PUT, sub_put, .seq = 4, .client_id = SLICE_LIT("d"), .filter = SLICE_LIT("f"));
	ck_assert_int_eq(rig_wait_done(&r, 0, 4), 0);
	ck_assert_int_eq(rig_stop(&r), 0);
	snprintf(path, sizeof path, "%s/data", r.dir);
	cfg.dir = path;
	ck_assert_int_eq(env_open(&cfg, &env), 0);
	ck_assert_int_eq(env_write(env, write_damage, (void *)(uintptr_t)damage), 0);
	env_close(env);
	rig_start(&r, cheap_hashes);
	rig_wait_ready(&r);
	workers(&r);
	ck_assert_uint_eq(rig_retained(&r, 0, "#", 10000), 2);
	ck_assert_int_eq(rig_admin(&r, ADMIN_acl_all, &rows, NULL), 0);
	ck_assert_uint_eq(rows, 0);
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_get, NULL, "bad", NULL), FB_EVERSION);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "bad", "x").code, FB_EIO);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "odd", "x").code, FB_EIO);
	o = rig_open(&r, 0, 0, "s", NULL, NULL);
	ck_assert(o.code == 0 && !o.durable);
	rig_worker_gone(&r, 0);
	rig_worker(&r, 0, 0, false);
	CHAN_SEND(r.worker[0].chan, OPEN, open, .req = 1, .client_id = SLICE_LIT("d"));
	mem_free(rig_wait(&r.worker[0], IPC_OPENED));
	/* And can be repaired. */
	ck_assert_int_eq(rig_admin(&r, ADMIN_account_set, NULL, "bad", "pw", NULL), 0);
	ck_assert_int_eq(rig_open(&r, 0, OPEN_CLEAN, "c", "bad", "pw").code, 0);
	rig_fini(&r);
}
END_TEST

/* A second store on the same directory waits for the first one's end. */
START_TEST(two_stores_take_turns)
{
	struct rig r, second;

	start(&r, 1, NULL);
	ck_assert_int_eq(retain(&r, 1, "a", "x"), 0);
	rig_init(&second, 1);
	ck_assert_int_eq(rmdir(second.dir), 0);
	memcpy(second.dir, r.dir, sizeof r.dir);
	rig_start(&second, NULL);
	for (unsigned i = 0; i < 50; i++) {
		(void)loop_turn(second.loop, false);
		ck_assert_int_eq(retain(&r, 2 + i, "a", "x"), 0);
	}
	ck_assert_ptr_null(rig_peek(&second.sup, IPC_READY));
	rig_kill(&r);
	rig_wait_ready(&second);
	ck_assert_int_eq(rig_stop(&second), 0);
	loop_timer_cancel(second.loop, &second.deadline);
	loop_free(second.loop);
	rig_fini(&r);
}
END_TEST

UNIT_MAIN("store_admin", accounts_open_the_door, sessions_are_guarded_where_one_listener_asks_for_logins,
    bad_accounts_are_refused, logins_share_hashes_and_the_queue_is_bounded, rules_reach_all_workers, settings_are_checked_and_kept,
    reset_clears_everything, a_full_disk_refuses_and_recovers, damaged_records_are_skipped, two_stores_take_turns)
