#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Limits: what one client can cost, and that the others do not notice."""

import os
import unittest

import fubar
import mqtt_raw as m


def rss_kib(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


class Queues(fubar.TestCase):
    broker_options = {"settings": {"session.buffer_limit": "10", "session.buffer_bytes": "64KiB",
                                   "session.output_bytes": "64KiB", "session.max_inflight": "5"}}

    def offline(self, *filters):
        cid = self.name("d")
        c = self.connected(cid, clean=False)
        c.subscribe(*filters, qos=2)
        c.disconnect()
        return cid

    def back(self, cid):
        c = self.client()
        self.assertEqual(c.connect(cid, clean=False).sp, 1)
        return c

    def test_count_the_newest_stay(self):
        cid = self.offline(self.name("t"))
        pub = self.connected()
        for i in range(25):
            pub.publish(self.name("t"), "%d" % i, 1 + i % 2)
        c = self.back(cid)
        self.assertEqual([int(c.get_publish().payload) for _ in range(10)], list(range(15, 25)))
        self.assertEqual(self.nothing_for(c, pub, self.name("t"), qos=1), [])

    def test_bytes(self):
        cid = self.offline(self.name("t"))
        pub = self.connected()
        for i in range(8):
            pub.publish(self.name("t"), b"%d" % i + bytes(15000), 1)
        c = self.back(cid)
        got = [p.payload[:1] for p in self.nothing_for(c, pub, self.name("t"), qos=1)]
        self.assertIn(len(got), (3, 4))
        self.assertEqual(got, [b"%d" % i for i in range(8 - len(got), 8)])

    def test_in_flight_window(self):
        # session.max_inflight: no more than 5 are under way without an acknowledgement.
        c, pub = self.connected(), self.connected()
        c.subscribe(self.name("t"), qos=1)
        for i in range(12):
            pub.publish(self.name("t"), "%d" % i, 1)
        got = [c.get_publish(ack=False) for _ in range(5)]
        c.ping()
        self.assertEqual([p for p in c.inbox if p.kind == m.PUBLISH], [])
        for want in range(5, 12):
            c.ack(got.pop(0))
            got.append(c.get_publish(ack=False))
            self.assertEqual(int(got[-1].payload), want)

    def test_never_reading_client(self):
        # It costs its limit and nobody else anything: the publisher is not slowed, another subscriber gets all.
        deaf = m.Client(self.broker.port, rcvbuf=4096)
        self._clients.append(deaf)
        deaf.connect(self.name("deaf"))
        deaf.subscribe((self.name("t/0"), 0), (self.name("t/1"), 1))
        good, pub = self.connected(self.name("good")), self.connected(self.name("pub"))
        good.subscribe(self.name("t/0"), qos=0)
        before = {pid: rss_kib(pid) for pid in self.broker.worker_pids().values()}
        body = bytes(4096)
        total = 6000 if not fubar.QUICK else 1500
        got = 0
        step = 10               # fits into the good one's output, which so loses nothing while nobody reads it
        for i in range(0, total, step):
            pub.send(b"".join(m.publish_packet(self.name("t/0"), body) for _ in range(step)))
            for _ in range(step):
                pub_pid = pub.pid()
                pub.send(m.publish_packet(self.name("t/1"), body, 1, pid=pub_pid))
            for _ in range(step):
                pub.get(m.PUBACK)
            while got < i + step:
                good.get_publish()
                got += 1
        if not fubar.SANITIZED:
            for pid, kib in before.items():
                self.assertLess(rss_kib(pid) - kib, 12 * 1024)
        self.assertEqual(got, total)
        dropped = sum(self.broker.counter(n) for n in ("dropped_queue_full", "dropped_slow_reader"))
        self.assertGreater(dropped, total if not fubar.QUICK else 0)


class Sizes(fubar.TestCase):
    broker_options = {"settings": {"mqtt.max_packet_size": "1KiB", "mqtt.max_topic_levels": "8", "mqtt.max_qos": "1",
                                   "session.max_subscriptions": "5"}}

    def test_packet_size(self):
        # The limit is of the whole packet, header included.
        c = self.connected()
        t = self.name("t")
        c.subscribe(t)
        room = 1024 - 3 - 2 - len(t)
        c.publish(t, bytes(room))
        self.assertEqual(len(c.get_publish().payload), room)
        c.send(m.publish_packet(t, bytes(room + 1)))
        self.assertEqual(c.wait_closed(), [])

    def test_connect_over_the_limit(self):
        c = self.client()
        c.send(m.connect_packet("x" * 2000))
        self.assertEqual(c.wait_closed(), [])

    def test_only_the_header_is_needed(self):
        # A length over the limit closes at once; nobody waits for the bytes.
        c = self.connected()
        c.send(b"\x30" + m.length(1 << 27))
        self.assertEqual(c.wait_closed(), [])

    def test_topic_levels(self):
        deep = self.name("/".join("abcdefgh"))
        c = self.connected()
        self.assertEqual(c.subscribe(deep), [0])
        c.publish(deep, "x")
        self.assertEqual(c.get_publish().topic, deep)
        for pattern in (deep + "/i", deep + "/#"):
            d = self.connected()
            try:
                self.assertEqual(d.subscribe(pattern), [0x80])
            except m.Closed:
                pass
            d.close()
        c.send(m.publish_packet(deep + "/i", "x"))
        self.assertEqual(c.wait_closed(), [])

    def test_max_qos(self):
        c = self.connected()
        self.assertEqual(c.subscribe((self.name("a"), 2), (self.name("b"), 1), (self.name("c"), 0)), [1, 1, 0])
        c.publish(self.name("a"), "x", 2)
        self.assertEqual(c.get_publish().qos, 1)

    def test_subscriptions(self):
        c = self.connected()
        codes = c.subscribe(*[self.name("%d" % i) for i in range(7)], qos=1)
        self.assertEqual(codes, [1] * 5 + [0x80] * 2)
        self.assertEqual(c.subscribe(self.name("0"), qos=0), [0])          # replacing needs no room
        c.unsubscribe(self.name("1"))
        self.assertEqual(c.subscribe(self.name("6"), qos=0), [0])
        self.assertEqual(c.subscribe(self.name("7"), qos=0), [0x80])


class Off(fubar.TestCase):
    broker_options = {"settings": {"features.wildcards": "false", "features.retained": "false"}}

    def test_no_wildcards(self):
        c = self.connected()
        self.assertEqual(c.subscribe(self.name("a/#"), self.name("b"), "+/x", "#"), [0x80, 0, 0x80, 0x80])
        c.publish(self.name("b"), "x")
        self.assertEqual(c.get_publish().payload, b"x")

    def test_no_retained(self):
        c = self.connected()
        c.publish(self.name("r"), "x", 1, retain=True)
        c.subscribe(self.name("r"))
        self.assertEqual(self.nothing_for(c, c, self.name("r")), [])


class Connections(fubar.TestCase):
    broker_options = {"workers": 1, "settings": {"server.max_connections": "10"}}

    def test_max_connections(self):
        clients = [self.connected() for _ in range(10)]
        extra = self.client()
        try:
            extra.send(m.connect_packet(self.name("extra")))
            for p in extra.wait_closed():
                self.assertEqual((p.kind, p.rc), (m.CONNACK, 3))
        except m.Closed:
            pass
        for c in clients:
            c.ping()
        clients[0].disconnect()

        def fits():
            c = self.broker.client()
            try:
                return c.connect(self.name("again"), expect=None).rc == 0
            except m.Closed:
                return False
            finally:
                c.close()
        fubar.until("room again", fits)


class Descriptors(unittest.TestCase):
    def test_out_of_descriptors(self):
        # At the mark: accept, close, count; those who are in go on.
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        script = "ulimit -n 160; exec \"$@\""
        with fubar.Broker(workers=1, start=False) as b:
            plain = b.command
            b.command = lambda: ["/bin/sh", "-c", script, "sh"] + plain()
            b.start()
            clients, refused = [], 0
            try:
                for i in range(200):
                    c = b.client()
                    try:
                        c.connect("c%d" % i)
                        clients.append(c)
                    except (m.Closed, m.Timeout):
                        refused += 1
                        c.close()
                self.assertGreater(refused, 0)
                self.assertGreater(len(clients), 20)
                for c in clients[:10] + clients[-10:]:
                    c.ping()
            finally:
                for c in clients:
                    c.close()
            fubar.until("room again", lambda: self.fits(b))
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (soft, hard))
        self.assertTrue(os.path.exists("/proc/self/fd"))

    def fits(self, b):
        c = b.client()
        try:
            return c.connect("again", expect=None).rc == 0
        except m.Closed:
            return False
        finally:
            c.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
