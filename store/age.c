/* SPDX-License-Identifier: Apache-2.0 */
#include "store/age.h"

#include "store/change.h"
#include "store/store.h"

#define EVERY_MAX_NS (300 * NS_PER_SEC)
#define EVERY_MIN_NS (250 * NS_PER_MS)

/* Of a new node: whatever is older than it (imported, say) has been away for some time as well. */
#define FIRST_MS     (UINT64_C(1) << 40)

static const struct slice key = { (const uint8_t *)"age", sizeof "age" };

uint64_t
age_ms(const struct store *s)
{
	return s->age.before_ms + (uint64_t)(mono_diff(loop_now(s->loop), s->age.since) / NS_PER_MS);
}

void
age_write(struct store *s)
{
	struct change *c;
	struct buf number = { 0 };
	struct buf value = { 0 };

	if (!s->age.started || owners_count(&s->owners) == 0)
		return;
	buf_put_le64(&number, age_ms(s));
	rec_put_blob(&value, &(struct rec_blob){ .bytes = buf_slice(&number) });
	c = change_new(s, TABLE_meta, key, buf_slice(&value), change_run_put);
	c->op.need = ENV_ADMIN;
	change_put(c);
	buf_fini(&number);
	buf_fini(&value);
}

static void
write_later(struct store *s)
{
	int64_t ns = s->config.max_age * NS_PER_SEC / 8;

	ns = ns < EVERY_MIN_NS ? EVERY_MIN_NS : ns;
	if (ns > EVERY_MAX_NS || s->config.max_age == 0)
		ns = EVERY_MAX_NS;
	loop_timer_in(s->loop, &s->age.timer, ns);
}

static void
on_timer(struct timer *t)
{
	struct store *s = container_of(t, struct store, age.timer);

	age_write(s);
	write_later(s);
}

void
age_start(struct store *s)
{
	struct slice bytes = slice_of(NULL, 0);
	struct rec_blob r;
	struct buf b = { 0 };

	if (table_get(s->env, NULL, TABLE_meta, key, &b) == 0) {
		int bad = rec_take_blob(buf_slice(&b), &r);

		if (bad == 0)
			bytes = r.bytes;
		if (bad != 0 || slice_take_le64(&bytes, &s->age.before_ms) != 0)
			rec_bad(TABLE_meta, key, bad != 0 ? bad : FB_ECORRUPT);
	}
	buf_fini(&b);
	s->age.since = loop_now(s->loop);
	s->age.started = true;
	write_later(s);
}

void
age_init(struct store *s)
{
	timer_init(&s->age.timer, on_timer);
	s->age.before_ms = FIRST_MS;
}

void
age_fini(struct store *s)
{
	loop_timer_cancel(s->loop, &s->age.timer);
}
