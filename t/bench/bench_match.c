/* SPDX-License-Identifier: Apache-2.0
 * t/bench/bench_match.c - decode, match, encode: what a publish to an exact topic costs beside other subscriptions.
 *
 *	bench_match OTHERS PUBLISHES
 *
 * One session subscribes to the topic, OTHERS subscriptions of other names stand beside it. Under callgrind with
 * --toggle-collect=run_publishes the instructions of the publishes alone are counted; see t/bench/instructions. */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/mqtt/decode.h"
#include "common/mqtt/encode.h"
#include "worker/session.h"
#include "worker/trie.h"

void run_publishes(struct trie *t, struct slice packet, long count, struct buf *out);

__attribute__((noinline)) void
run_publishes(struct trie *t, struct slice packet, long count, struct buf *out)
{
	for (long i = 0; i < count; i++) {
		struct slice in = packet;
		struct frame f;
		struct violation v;
		struct mqtt_publish p;
		struct filter *const *found;
		uint32_t need;
		uint32_t n;

		if (frame_next(&in, 1 << 20, &f, &need, &v) != 0 || decode_publish(&f, MQTT_311, &p, &v) != 0)
			abort();
		n = trie_match(t, p.topic, rand_hash(p.topic.p, p.topic.len), &found);
		for (uint32_t k = 0; k < n; k++) {
			encode_publish(out, MQTT_311, &p);
			buf_clear(out);
		}
		if (n != 1)
			abort();
	}
}

int
main(int argc, char **argv)
{
	long others = argc > 1 ? atol(argv[1]) : 0;
	long count = argc > 2 ? atol(argv[2]) : 100000;
	struct session *s = mem_zalloc(sizeof *s + 8);
	struct mqtt_publish p = { .topic = SLICE_LIT("site/7/line/3/temperature"), .payload = SLICE_LIT(
	    "0123456789012345678901234567890123456789012345678901234567890123") };
	struct trie t;
	struct buf packet;
	struct buf out;
	char name[64];

	rand_process_key = (struct hash_key){ 1, 2 };   /* the same work in each run */
	trie_init(&t);
	list_init(&s->subs);
	buf_init(&packet);
	buf_init(&out);
	trie_put(&t, s, &s->subs, p.topic, NULL);
	for (long i = 0; i < others; i++) {
		snprintf(name, sizeof name, "site/%ld/line/%ld/temperature", i % 997 + 10, i);
		trie_put(&t, s, &s->subs, slice_str(name), NULL);
	}
	encode_publish(&packet, MQTT_311, &p);
	run_publishes(&t, buf_slice(&packet), count, &out);
	printf("%ld subscriptions, %ld publishes\n", others + 1, count);
	LIST_EACH_SAFE(n, tmp, &s->subs)
		trie_del(&t, container_of(n, struct sub, link));
	trie_fini(&t);
	buf_fini(&packet);
	buf_fini(&out);
	mem_free(s);
	return 0;
}
