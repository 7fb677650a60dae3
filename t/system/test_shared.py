#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""$share/GROUP/FILTER over the workers of a node: one member gets each message, whoever leaves and whatever dies."""

import os
import signal
import socket
import threading

import fubar
import mqtt_raw as m

WORKERS = 3


class Member(threading.Thread):
    """Takes what its client gets, and acknowledges it, until it is closed."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.got = []
        self.error = None
        self.start()

    def run(self):
        try:
            while True:
                p = self.client.get_publish(timeout=60)
                self.got.append((p.topic, int(p.payload)))
        except (m.Closed, OSError, ValueError):
            pass
        except Exception as e:          # noqa: shown by the main thread
            self.error = e

    def stop(self):
        """Ends it without a word on the wire."""
        self.client.sock.shutdown(socket.SHUT_RD)
        self.join()


class Shared(fubar.TestCase):
    broker_options = {"workers": WORKERS, "settings": {"session.buffer_limit": "100000"}}
    may_die = True                      # one test kills a worker

    def members(self, count, filter, qos=1, **kw):
        """`count` members on each worker."""
        spread = self.broker.spread(count, self.name("m"), **kw)
        out = [c for slot in range(WORKERS) for c in spread[slot]]
        self._clients += out
        for c in out:
            self.assertEqual(c.subscribe(filter, qos=qos), [qos])
        return out

    def publishers(self):
        spread = self.broker.spread(1, self.name("p"))
        out = [spread[slot][0] for slot in range(WORKERS)]
        self._clients += out
        return out

    def feed(self, pubs, topic, count, qos=1):
        """Each publishes 0..count-1 to topic/ID; returns when all are acknowledged."""
        errors = []

        def run(p):
            try:
                for base in range(0, count, 20):
                    numbers = range(base, min(base + 20, count))
                    p.send(b"".join(m.publish_packet("%s/%s" % (topic, p.client_id), "%d" % i, qos,
                                                     pid=i % 60000 + 1 if qos else None) for i in numbers))
                    for i in numbers:
                        if qos == 1:
                            p.get(m.PUBACK, pid=i % 60000 + 1)
                        elif qos == 2:
                            p.get(m.PUBREC, pid=i % 60000 + 1)
                            p.send(m.ack_packet(m.PUBREL, i % 60000 + 1))
                            p.get(m.PUBCOMP, pid=i % 60000 + 1)
            except Exception as e:      # noqa
                errors.append(e)

        threads = [threading.Thread(target=run, args=(p,)) for p in pubs]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(errors, [])

    def settle(self, takers, total):
        """Waits until all of it came; returns everything."""
        fubar.until("%d messages" % total, lambda: sum(len(t.got) for t in takers) >= total)
        for t in takers:
            self.assertIsNone(t.error)
        return sum((t.got for t in takers), [])

    def check_order(self, taker):
        by_topic = {}
        for topic, n in taker.got:
            self.assertGreater(n, by_topic.get(topic, -1))
            by_topic[topic] = n

    def exactly_once(self, qos, count):
        t = self.name("t%d" % qos)
        takers = [Member(c) for c in self.members(2, "$share/g/%s/#" % t, qos)]
        plain = self.connected()
        plain.subscribe(t + "/#", qos=qos)
        plain = Member(plain)
        pubs = self.publishers()
        self.feed(pubs, t, count, qos)
        got = self.settle(takers, count * len(pubs))
        want = sorted(("%s/%s" % (t, p.client_id), i) for p in pubs for i in range(count))
        self.assertEqual(sorted(got), want)
        self.assertEqual(sorted(self.settle([plain], count * len(pubs))), want)
        for k in takers:
            self.check_order(k)
            # Roughly fair.
            self.assertGreater(len(k.got), len(want) / len(takers) / 3)

    def test_exactly_once_qos_1(self):
        self.exactly_once(1, 1000)

    def test_exactly_once_qos_2(self):
        self.exactly_once(2, 500)

    def test_qos_0(self):
        # Nothing is slow, so nothing is dropped.
        t = self.name("t")
        takers = [Member(c) for c in self.members(1, "$share/g/" + t, 0)]
        pub = self.connected()
        for i in range(300):
            pub.publish(t, "%d" % i)
        self.assertEqual(sorted(n for _, n in self.settle(takers, 300)), list(range(300)))

    def test_suback_is_a_barrier(self):
        # After SUBACK anywhere, a publish anywhere reaches the member, whichever worker is home.
        subs, pubs = self.members(1, self.name("other")), self.publishers()
        for i in range(60):
            t = self.name("t/%d" % i)
            s, p = subs[i % 3], pubs[i // 3 % 3]
            self.assertEqual(s.subscribe("$share/g%d/%s" % (i, t), qos=1), [1])
            p.publish(t, "%d" % i, 1)
            self.assertEqual(s.get_publish().payload, b"%d" % i)
            s.unsubscribe("$share/g%d/%s" % (i, t))
            p.publish(t, "unseen", 1)
        for s in subs:
            s.ping()
            self.assertEqual([p for p in s.inbox if p.kind == m.PUBLISH], [])

    def test_only_connected_members(self):
        t = self.name("t")
        away = [self.connected(self.name("away%d" % i), clean=False) for i in range(3)]
        for c in away:
            c.subscribe("$share/g/" + t, qos=1)
            c.disconnect()
        here = self.members(1, "$share/g/" + t)
        takers = [Member(c) for c in here[:1]]
        for c in here[1:]:
            c.disconnect()
        pub = self.connected()
        for i in range(200):
            pub.publish(t, "%d" % i, 1)
        self.settle(takers, 200)
        sessions = self.broker.sessions()
        for c in away:
            self.assertEqual(sessions[c.client_id]["queued"], 0)
        takers[0].stop()
        here[0].reset()
        # With nobody there it waits for one of them, wherever it comes back.
        pub.publish(t, "200", 1)
        back = self.connected(away[1].client_id, clean=False)
        self.assertEqual(back.get_publish().payload, b"200")
        for c in away:
            self.connected(c.client_id).disconnect()

    def test_dead_member_loses_nothing(self):
        t = self.name("t")
        pubs = self.publishers()
        for clean in (True, False):
            for number in range(4):
                group = "$share/g%d%d/%s/#" % (clean, number, t)
                dead = self.connected(self.name("dead"), clean=clean)
                self.assertEqual(dead.subscribe(group, qos=1), [1])
                takers = [Member(c) for c in self.members(1, group)]
                self.feed(pubs, t, 30)
                first = dead.get_publish(ack=False)
                self.assertFalse(first.dup)
                dead.reset()
                got = self.settle(takers, 90)
                self.assertEqual(len(got), 90)
                self.assertEqual(len(set(got)), 90)
                for k in takers:
                    k.client.disconnect_now()
                    k.join()
                if not clean:
                    again = self.connected(dead.client_id, clean=False)
                    again.ping()
                    self.assertEqual([p for p in again.inbox if p.kind == m.PUBLISH], [])
                    again.disconnect()
                    self.connected(dead.client_id).disconnect()

    def test_members_come_and_go(self):
        # Nothing lost at QoS 1 while members connect, take a few without acknowledging, and break off.
        t = self.name("t")
        group = "$share/g/%s/#" % t
        takers = [Member(c) for c in self.members(1, group)]
        pubs = self.publishers()
        feeder = threading.Thread(target=self.feed, args=(pubs, t, 1500))
        feeder.start()
        for i in range(40):
            c = self.connected(self.name("x%d" % (i % 5)), clean=i % 2 == 0)
            c.subscribe(group, qos=1)
            c.ping()
            if i % 3 == 0:
                c.unsubscribe(group)
            c.reset()
        feeder.join()
        for i in range(5):
            self.connected(self.name("x%d" % i)).disconnect()
        want = {("%s/%s" % (t, p.client_id), i) for p in pubs for i in range(1500)}
        fubar.until("all of them", lambda: want <= set(sum((k.got for k in takers), [])))

    def test_restart_keeps_the_subscription(self):
        with fubar.Broker(workers=2) as b:
            with b.connected("d", clean=False) as c:
                c.subscribe("$share/g/t", qos=1)
            b.restart()
            p = b.connected("p")
            p.publish("t", "1", 1)
            c = b.connected("d", clean=False)
            self.assertEqual(c.get_publish().payload, b"1")
            shown = b.rows("session", "show", "d")
            self.assertIn("$share/g/t", [r.get("filter") for r in shown])
            self.assertEqual([r["filter"] for r in b.rows("topic", "list")], ["$share/g/t"])

    def test_stop_keeps_what_waits(self):
        with fubar.Broker(workers=1) as b:
            c = b.connected("d", clean=False)
            c.subscribe("$share/g/t", qos=1)
            p = b.connected("p")
            p.publish("t", "1", 1)
            self.assertEqual(c.get_publish(ack=False).payload, b"1")
            b.restart()
            c = b.connected("d", clean=False)
            self.assertEqual(c.get_publish().payload, b"1")
            c.disconnect()
            p = b.connected("p")
            p.publish("t", "2", 1)      # in the group's queue
            b.restart()
            c = b.connected("d", clean=False)
            self.assertEqual(c.get_publish().payload, b"2")

    def test_stop_keeps_what_waits_at_any_home(self):
        # Twelve groups, so that each worker is home to some, and their one member is at one of three.
        groups = ["$share/g%d/t%d" % (i, i) for i in range(12)]
        with fubar.Broker(workers=3) as b:
            c = b.connected("d", clean=False)
            self.assertEqual(c.subscribe(*((g, 1) for g in groups)), [1] * 12)
            c.disconnect()
            p = b.connected("p")
            for i in range(12):
                p.publish("t%d" % i, "offline", 1)
            b.restart()
            c = b.connected("d", clean=False)
            self.assertEqual({c.get_publish().topic for i in range(12)}, {"t%d" % i for i in range(12)})
            # What a clean member had in flight goes to a durable one.
            p, quick = b.connected("p"), b.connected("quick")
            self.assertEqual(quick.subscribe(*((g, 1) for g in groups)), [1] * 12)
            c.disconnect()
            for i in range(12):
                p.publish("t%d" % i, "in flight", 1)
            for i in range(12):
                quick.get_publish(ack=False)
            b.restart()
            c = b.connected("d", clean=False)
            self.assertEqual({c.get_publish().topic for i in range(12)}, {"t%d" % i for i in range(12)})

    def test_retained_messages_are_not_sent(self):
        t = self.name("t")
        pub = self.connected()
        pub.publish(t, "retained", 1, retain=True)
        c = self.connected()
        c.subscribe("$share/g/" + t, qos=1)
        c.ping()
        pub.publish(t, "live", 1, retain=True)
        p = c.get_publish()
        self.assertEqual((p.payload, p.retain), (b"live", False))

    def test_worker_killed(self):
        t = self.name("t")
        for group in range(4):
            spread = self.broker.spread(1, self.name("k%d" % group))
            self._clients += [c for v in spread.values() for c in v]
            pub, alive, dies = spread[0][0], spread[1][0], spread[2][0]
            f = "$share/g%d/%s" % (group, t)
            alive.subscribe(f, qos=1)
            dies.subscribe(f, qos=1)
            keeper = Member(alive)
            for i in range(100):
                pub.publish(t, "%d" % i, 1)
            fubar.until("half of them", lambda: len(keeper.got) >= 50)
            since = self.broker.log.mark()
            os.kill(self.broker.worker_pids()[2], signal.SIGKILL)
            # Acknowledged from here on is delivered, also while there is no home.
            for i in range(100, 200):
                pub.publish(t, "%d" % i, 1)
            fubar.until("the rest", lambda: set(range(100, 200)) <= {n for _, n in keeper.got})
            self.broker.log.wait("process died", since)
            fubar.until("three workers", lambda: len(self.broker.worker_pids()) == 3)
            fubar.until("links", lambda: len([r for r in self.broker.rows("state") if r.get("up") is True]) >= 6)
            pub.disconnect_now()
            alive.disconnect_now()
            keeper.join()


class OnDisk(fubar.TestCase):
    """A group with a durable member, session.durability disk: what is acknowledged outlives everybody."""
    broker_options = {"workers": WORKERS, "settings": {"session.durability": "disk"}}
    may_die = True

    GROUPS = 8                          # so that each worker is home to some, nearly always
    COUNT = 20

    def member(self, clean=False):
        c = self.connected(self.name("d"), clean=clean)
        self.assertEqual(c.subscribe(*(("$share/g%d/%s/%d" % (g, self.name("t"), g), 1) for g in range(self.GROUPS))),
                         [1] * self.GROUPS)
        return c

    def publish(self, first):
        p = self.connected()
        for g in range(self.GROUPS):
            for i in range(first, first + self.COUNT):
                p.publish("%s/%d" % (self.name("t"), g), "%d" % i, 1)
        p.disconnect_now()

    def expect(self, numbers):
        c = self.connected(self.name("d"), clean=False)
        got = {"%s/%d" % (self.name("t"), g): [] for g in range(self.GROUPS)}
        for _ in range(self.GROUPS * len(numbers)):
            p = c.get_publish()
            got[p.topic].append(int(p.payload))
        for topic, have in got.items():
            self.assertEqual(have, list(numbers), topic)
        c.ping()
        self.assertEqual([p for p in c.inbox if p.kind == m.PUBLISH], [])
        c.disconnect()

    def no_rows_left(self):
        """All acknowledgements have come to their homes and to the disk: only then none comes again after kill -9."""
        fubar.until("no rows left", lambda: self.broker.counter("disk_queued") == 0)
        fubar.until("all of it flushed", lambda: self.broker.counter("queue_unanswered") == 0)

    def kill_each(self):
        for slot in range(WORKERS):
            pid = self.broker.worker_pids()[slot]
            os.kill(pid, signal.SIGKILL)
            fubar.until("a successor", lambda: self.broker.worker_pids().get(slot, pid) != pid)
            fubar.until("links", lambda: len([r for r in self.broker.rows("state") if r.get("up") is True]) >= 6)

    def test_the_home_is_killed(self):
        self.member().disconnect()
        self.publish(0)
        self.kill_each()
        self.publish(self.COUNT)
        self.expect(range(2 * self.COUNT))
        self.no_rows_left()

    def test_all_are_killed(self):
        self.member().disconnect()
        self.publish(0)
        self.broker.kill()
        self.broker.start()
        self.publish(self.COUNT)
        self.broker.restart()           # gracefully, what waits stays where it is
        self.publish(2 * self.COUNT)
        self.expect(range(3 * self.COUNT))
        self.no_rows_left()
        self.broker.kill()              # what was acknowledged does not come again
        self.broker.start()
        self.publish(0)
        self.expect(range(self.COUNT))

    def test_in_hand_while_the_home_is_killed(self):
        # Nobody else gets it, and it does not come twice.
        c = self.member()
        p = self.connected()
        topics = ["%s/%d" % (self.name("t"), g) for g in range(self.GROUPS)]
        for t in topics:
            p.publish(t, "1", 1)
        mine = self.broker.worker_of(c.client_id)
        had = [c.get_publish(ack=False) for _ in topics]
        for slot in range(WORKERS):
            if slot == mine:
                continue
            pid = self.broker.worker_pids()[slot]
            os.kill(pid, signal.SIGKILL)
            fubar.until("a successor", lambda: self.broker.worker_pids().get(slot, pid) != pid)
            fubar.until("links", lambda: len([r for r in self.broker.rows("state") if r.get("up") is True]) >= 6)
        other = self.connected(self.name("e"), clean=False)
        for g in range(self.GROUPS):
            other.subscribe("$share/g%d/%s" % (g, topics[g]), qos=1)
        for packet in had:
            c.send(m.ack_packet(m.PUBACK, packet.pid))
        c.ping()
        c.disconnect()
        other.ping()
        self.assertEqual([p for p in other.inbox + c.inbox if p.kind == m.PUBLISH], [])


if __name__ == "__main__":
    fubar.main()
