#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Across the workers of one node: everything is as if there were one."""

import random
import threading
import unittest

import fubar
import mqtt_raw as m
from mqtt_raw import Will

WORKERS = 3


class Cross(fubar.TestCase):
    broker_options = {"workers": WORKERS, "settings": {"session.buffer_limit": "100000"}}

    def one_each(self, tail, **kw):
        """A client on each worker, by slot."""
        spread = self.broker.spread(1, self.name(tail), **kw)
        out = [spread[slot][0] for slot in range(WORKERS)]
        self._clients += out
        return out

    def test_every_pair_at_every_qos(self):
        # Black-box test 2 of the original, on one node: each one's publish reaches all.
        clients = self.one_each("c")
        t = self.name("t")
        for c in clients:
            self.assertEqual(c.subscribe(t, qos=2), [2])
        for sender in clients:
            for qos in (0, 1, 2):
                sender.publish(t, sender.client_id, qos)
                for c in clients:
                    p = c.get_publish()
                    self.assertEqual((p.payload.decode(), p.qos), (sender.client_id, qos))

    def test_suback_is_a_barrier(self):
        # After SUBACK anywhere, a publish on any other worker is received: again and again, with new names.
        clients = self.one_each("c")
        rnd = random.Random(5)
        for i in range(300):
            sub, pub = rnd.sample(clients, 2)
            t = self.name("t/%d" % i)
            pattern = rnd.choice((t, self.name("t/%d/#" % i), "+/%s" % t.split("/", 1)[1]))
            sub.subscribe(pattern)
            pub.publish(t, "%d" % i)
            self.assertEqual(sub.get_publish().payload, b"%d" % i)
            if i % 3 == 0:
                sub.unsubscribe(pattern)
                pub.publish(t, "unseen")
                pub.publish(t, "unseen", 1)
        for c in clients:
            c.ping()
            self.assertEqual([p for p in c.inbox if p.kind == m.PUBLISH and p.payload == b"unseen"], [])

    def test_order_and_completeness(self):
        # A publisher on each worker, a subscriber on each, QoS mixed in one stream: each stream arrives whole, in
        # order of its QoS, at QoS 1 and 2 exactly once (nothing broke on the way).
        pubs, subs = self.one_each("p"), self.one_each("s")
        count = 1500
        for s in subs:
            s.subscribe(self.name("t/#"), qos=2)

        def feed(p):
            for i in range(0, count, 50):
                data = bytearray()
                for k in range(i, i + 50):
                    data += m.publish_packet(self.name("t/%s" % p.client_id), "%d" % k, k % 3, pid=k + 1)
                p.send(data)
                for k in range(i, i + 50):
                    if k % 3 == 1:
                        p.get(m.PUBACK, pid=k + 1)
                    elif k % 3 == 2:
                        p.get(m.PUBREC, pid=k + 1)
                        p.send(m.ack_packet(m.PUBREL, k + 1))
                        p.get(m.PUBCOMP, pid=k + 1)

        threads = [threading.Thread(target=feed, args=(p,)) for p in pubs]
        for t in threads:
            t.start()
        results = []

        def take(s):
            got = {}
            try:
                for _ in range(count * len(pubs)):
                    p = s.get_publish()
                    got.setdefault((p.topic, p.qos), []).append(int(p.payload))
            finally:
                results.append(got)

        takers = [threading.Thread(target=take, args=(s,)) for s in subs]
        for t in takers:
            t.start()
        for t in threads + takers:
            t.join()
        for got in results:
            self.assertEqual(len(got), 3 * len(pubs))
            for (_, qos), numbers in got.items():
                self.assertEqual(numbers, list(range(qos, count, 3)))

    def test_large_payloads(self):
        # Larger than a frame of the link: continuation records.
        a, b = self.one_each("c")[:2]
        b.subscribe(self.name("t"), qos=1)
        rnd = random.Random(7)
        for size in (1, 65000, 65536, 70000, 200000, 1000000):
            body = rnd.randbytes(size)
            a.publish(self.name("t"), body, 1)
            self.assertEqual(b.get_publish().payload, body)

    def test_takeover_clean(self):
        # [MQTT-3.1.4-2] when the second connection lands elsewhere
        for other in range(WORKERS):
            cid = self.name("c")
            a = self.broker.on_worker(0, cid)
            a.subscribe(self.name("t"))
            b = self.take_over(cid, other, clean=True)
            self.assertEqual(a.wait_closed(), [])
            pub = self.connected()
            b.subscribe(self.name("m"))
            pub.publish(self.name("t"), "old subscription")
            self.assertEqual(self.nothing_for(b, pub, self.name("m")), [])
            b.disconnect()

    def take_over(self, cid, slot, clean):
        """Connects as cid on worker `slot`. Connections that land elsewhere do it too, in passing."""
        for _ in range(100):
            c = self.client()
            c.connect(cid, clean=clean)
            if self.broker.worker_of(cid) == slot:
                return c
        raise AssertionError("no connection lands on worker %d" % slot)

    def test_takeover_durable(self):
        # The session moves with its subscriptions, its unacknowledged and its waiting messages.
        pub = self.connected(self.name("pub"))
        cid = self.name("d")
        t = self.name("t")
        c = self.connected(cid, clean=False)
        c.subscribe((t, 2), (self.name("w/#"), 1))
        sent = 0
        for slot in (0, 1, 2, 0, 2, 1):
            pub.publish(t, "%d" % sent, 2)
            unacked = c.get_publish(ack=False)
            self.assertEqual(int(unacked.payload), sent)
            sent += 1
            before = c
            c = self.client()
            self.assertEqual(c.connect(cid, clean=False).sp, 1)
            before.wait_closed()
            p = c.get_publish()
            self.assertEqual((p.pid, p.dup, p.payload), (unacked.pid, True, unacked.payload))
            c.disconnect()
            pub.publish(t, "%d" % sent, 1)
            pub.publish(self.name("w/x"), "%d" % (sent + 1), 2)
            c = self.take_over_reading(cid, slot, [(sent, 1), (sent + 1, 1)])
            sent += 2

    def take_over_reading(self, cid, slot, want):
        """Durable, on worker `slot`; what waits is read on the first connection and acknowledged."""
        got = []
        while True:
            c = self.client()
            self.assertEqual(c.connect(cid, clean=False).sp, 1)
            while len(got) < len(want):
                p = c.get_publish()
                got.append((int(p.payload), p.qos))
            self.assertEqual(got, want)
            c.ping()
            if self.broker.worker_of(cid) == slot:
                return c
            c.disconnect()

    @fubar.long_test
    def test_qos_2_exactly_once_while_moving(self):
        self.moving(2)

    def test_qos_1_in_order_while_moving(self):
        self.moving(1)

    def moving(self, qos):
        # Publishers at full speed on every worker while the subscriber reconnects without end: nothing lost, at QoS 2
        # nothing twice, per publisher in order.
        cid = self.name("mover")
        pubs = self.one_each("p")
        c = self.client()
        c.connect(cid, clean=False)
        c.subscribe(self.name("t/#"), qos=qos)
        count = 400
        errors = []

        def feed(p):
            try:
                for i in range(count):
                    p.publish(self.name("t/%s" % p.client_id), "%d" % i, qos)
            except Exception as e:      # noqa: shown by the main thread
                errors.append(e)

        threads = [threading.Thread(target=feed, args=(p,)) for p in pubs]
        for t in threads:
            t.start()
        seen = {p.client_id: [] for p in pubs}
        started, released = {}, set()       # QoS 2 by packet id: PUBLISH taken, not yet PUBREL
        moves = 0
        rnd = random.Random(11)
        while sum(len(set(v)) for v in seen.values()) < count * len(pubs):
            try:
                for _ in range(rnd.randrange(1, 60)):
                    p = c.read()
                    if p.kind == m.PUBLISH:
                        if p.qos == 2 and p.pid in started:
                            self.assertTrue(p.dup)
                        else:
                            seen[p.topic.rsplit("/", 1)[1]].append(int(p.payload))
                        if p.qos == 2:
                            started[p.pid] = True
                            c.send(m.ack_packet(m.PUBREC, p.pid))
                        else:
                            c.send(m.ack_packet(m.PUBACK, p.pid))
                    elif p.kind == m.PUBREL:
                        started.pop(p.pid, None)
                        c.send(m.ack_packet(m.PUBCOMP, p.pid))
                        released.add(p.pid)
                    if sum(len(set(v)) for v in seen.values()) >= count * len(pubs):
                        break
            except m.Closed:
                self.fail("closed though nobody took over; after %d moves" % moves)
            if moves < 60:
                moves += 1
                how = rnd.randrange(3)
                if how == 0:
                    c.close()
                elif how == 1:
                    c.disconnect_now()
                old, c = c, self.client()
                self.assertEqual(c.connect(cid, clean=False).sp, 1)
                if how == 2:
                    old.close()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])
        for who, numbers in seen.items():
            if qos == 2:
                self.assertEqual(numbers, list(range(count)), who)
            else:
                first = list(dict.fromkeys(numbers))
                self.assertEqual(first, list(range(count)), who)

    def test_retained_is_seen_everywhere(self):
        # QoS 1: after PUBACK. QoS 0: after the publisher's PINGRESP, since a SUBACK elsewhere waits for what was before.
        clients = self.one_each("c")
        for i in range(60):
            a, b = clients[i % WORKERS], clients[(i + 1) % WORKERS]
            t = self.name("t/%d" % i)
            if i % 2:
                a.publish(t, "%d" % i, 1, retain=True)
            else:
                a.publish(t, "%d" % i, 0, retain=True)
                a.ping()
            b.subscribe(t)
            p = b.get_publish()
            self.assertEqual((p.payload, p.retain), (b"%d" % i, True))
            b.unsubscribe(t)
            b.publish(t, b"", 1, retain=True)

    def test_will_reaches_other_workers(self):
        for slot in range(WORKERS):
            watchers = self.one_each("w%d" % slot)
            t = self.name("will%d" % slot)
            for w in watchers:
                w.subscribe(t, qos=1)
            dying = self.broker.on_worker(slot, self.name("dying"), will=Will(t, "gone", 1))
            dying.close()
            for w in watchers:
                self.assertEqual(w.get_publish().payload, b"gone")

    def test_fan_out_and_in(self):
        subs = [self.connected() for _ in range(30)]
        pubs = [self.connected() for _ in range(10)]
        for s in subs:
            s.subscribe(self.name("t"), qos=1)
        for i, p in enumerate(pubs):
            for k in range(10):
                p.publish(self.name("t"), "%d %d" % (i, k), 1)
        for s in subs:
            got = [tuple(map(int, s.get_publish().payload.split())) for _ in range(100)]
            self.assertEqual(sorted(got), [(i, k) for i in range(10) for k in range(10)])
            for i in range(10):
                self.assertEqual([k for j, k in got if j == i], list(range(10)))

    def test_connect_race(self):
        # One id from many sides at once: in the end exactly one is connected, and it works.
        for clean in (True, False):
            cid = self.name("race%d" % clean)
            clients = [self.broker.client() for _ in range(24)]
            self._clients += clients
            for c in clients:
                c.send(m.connect_packet(cid, clean=clean))
            open_ones = []
            for c in clients:
                try:
                    while True:
                        p = c.read(timeout=0.01 if open_ones else 5)
                        self.assertEqual((p.kind, p.rc), (m.CONNACK, 0))
                except m.Closed:
                    continue
                except m.Timeout:
                    open_ones.append(c)
            last = fubar.until("one connection to remain", lambda: self.the_only_open(open_ones))
            last.subscribe(self.name("t%d" % clean))
            self.connected().publish(cid, "direct", 1)
            self.assertEqual(last.get_publish().payload, b"direct")
            self.assertEqual(len([s for s in self.broker.rows("session", "list") if s.get("client") == cid]), 1)
            last.disconnect()

    def the_only_open(self, clients):
        for c in list(clients):
            try:
                c.inbox.append(c.read(timeout=0.01))
            except m.Closed:
                clients.remove(c)
            except m.Timeout:
                pass
        return clients[0] if len(clients) == 1 else None


if __name__ == "__main__":
    unittest.main(verbosity=2)
