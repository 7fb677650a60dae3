#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of a worker, of the store, of fubard: what fubar-guarantees(7) promises at `memory`, with every message
accounted for."""

import os
import signal
import threading
import time
import unittest

import fubar
import mqtt_raw as m

WORKERS = 3
BACK_S = 1.0 if not fubar.SANITIZED else 10.0


class Publisher(threading.Thread):
    """Publishes numbers at QoS 1 or 2, a window at a time, until told to stop or cut off. `acked` is the count of
    acknowledged ones, `sent` how many were written."""

    def __init__(self, client, topic, qos, window=20):
        super().__init__()
        self.client, self.topic, self.qos, self.window = client, topic, qos, window
        self.sent = self.acked = 0
        self.halt = threading.Event()
        self.closed = self.error = None

    def run(self):
        try:
            while not self.halt.is_set():
                data = bytearray()
                base = self.sent
                for i in range(base, base + self.window):
                    data += m.publish_packet(self.topic, "%d" % i, self.qos, pid=i % 60000 + 1)
                self.sent += self.window
                self.client.send(data)
                for i in range(base, base + self.window):
                    pid = i % 60000 + 1
                    if self.qos == 1:
                        self.client.get(m.PUBACK, pid=pid)
                    else:
                        self.client.get(m.PUBREC, pid=pid)
                        self.client.send(m.ack_packet(m.PUBREL, pid))
                        self.client.get(m.PUBCOMP, pid=pid)
                    self.acked += 1
        except m.Closed as e:
            self.closed = e
        except Exception as e:      # noqa: shown by the main thread
            self.error = e

    def finish(self):
        self.halt.set()
        self.join()
        if self.error:
            raise self.error


class Subscriber(threading.Thread):
    """Takes numbers; checks per topic that they come in order, and counts what came twice."""

    def __init__(self, client):
        super().__init__()
        self.client = client
        self.got = {}               # topic: numbers in order
        self.done = threading.Event()
        self.want = {}              # topic: count at which it is complete
        self.closed = self.error = None

    def run(self):
        idle = 0
        try:
            while not (self.done.is_set() and all(len(self.got.get(t, [])) >= n for t, n in self.want.items())):
                try:
                    p = self.client.get_publish(timeout=0.5)
                except m.Timeout:
                    idle = idle + 1 if self.done.is_set() else 0
                    if idle > 2 * fubar.DEADLINE_S:
                        return
                    continue
                idle = 0
                self.got.setdefault(p.topic, []).append(int(p.payload))
        except m.Closed as e:
            self.closed = e
        except Exception as e:      # noqa
            self.error = e

    def finish(self, want):
        self.want = want
        self.done.set()
        self.join()
        if self.error:
            raise self.error


class Kill(fubar.TestCase):
    """A broker a test: each leaves one with other processes than it found."""
    may_die = True

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.broker = fubar.Broker(workers=WORKERS, settings={"session.buffer_limit": "1000000"})
        self.addCleanup(self.finish)

    def finish(self):
        if self._outcome.result.errors or self._outcome.result.failures or not self._outcome.success:
            print("---- log of the broker\n%s\n----" % self.broker.log.text()[-20000:])
        self.broker.close()

    def one_each(self, tail, count=1, **kw):
        spread = self.broker.spread(count, self.name(tail), **kw)
        self._clients += [c for v in spread.values() for c in v]
        return spread

    def kill_worker(self, slot):
        """Kills it, waits for its successor to be ready; returns the seconds that took."""
        pid = self.broker.worker_pids()[slot]
        start = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        fubar.until("a successor of worker %d" % slot, lambda: self.broker.worker_pids().get(slot, pid) != pid)
        self.accepts(slot)
        return time.monotonic() - start

    def accepts(self, slot):
        """The worker serves a new connection: its listening socket was never closed, so some connection lands on it."""
        for i in range(300):
            with self.broker.connected("probe-%d-%d" % (slot, i)) as c:
                if self.broker.worker_of(c.client_id) == slot:
                    return
        raise AssertionError("worker %d accepts nothing" % slot)

    def limit(self):
        """More where a node takes long to start: that is how fast the machine is."""
        return max(BACK_S, 4 * self.broker.start_s)

    def test_worker_under_load(self):
        # Siblings' clients see nothing: every message between them arrives once and in order. Publishers of the dead
        # worker lose their connection; what was acknowledged to them before and was for the living arrived.
        for qos in (1, 2):
            with self.subTest(qos=qos):
                self.load_and_kill(qos)

    def load_and_kill(self, qos):
        victim = 1
        pubs = self.one_each("p%d" % qos)
        subs = self.one_each("s%d" % qos)
        base = self.name("load%d" % qos)
        for slot in subs:
            subs[slot][0].subscribe(base + "/#", qos=2)
        readers = {slot: Subscriber(subs[slot][0]) for slot in subs}
        writers = {slot: Publisher(pubs[slot][0], "%s/%d" % (base, slot), qos) for slot in pubs}
        for t in list(readers.values()) + list(writers.values()):
            t.start()
        for slot in range(WORKERS):
            fubar.until("some load", lambda s=slot: writers[s].acked > 200)
        took = self.kill_worker(victim)
        marks = {slot: writers[slot].acked for slot in writers}
        for slot in range(WORKERS):
            if slot != victim:
                fubar.until("load after the kill", lambda s=slot: writers[s].acked > marks[s] + 200)
        for w in writers.values():
            w.finish()
        want = {w.topic: w.acked for w in writers.values()}
        for slot, r in readers.items():
            r.finish(want if slot != victim else {})
        self.assertIsNotNone(writers[victim].closed)
        self.assertIsNotNone(readers[victim].closed)
        for slot in range(WORKERS):
            if slot == victim:
                continue
            self.assertIsNone(writers[slot].closed)
            self.assertIsNone(readers[slot].closed)
            for sender, w in writers.items():
                numbers = readers[slot].got.get(w.topic, [])
                self.assertEqual(numbers, sorted(set(numbers)), "twice or out of order: %s" % w.topic)
                self.assertEqual(numbers[:w.acked], list(range(w.acked)), "lost: %s at worker %d" % (w.topic, slot))
                if sender != victim:
                    self.assertEqual(len(numbers), w.sent)
        self.assertLess(took, 5 * self.limit())         # all the others are busy; within a second: the test below

    def test_back_within_a_second(self):
        mark = self.broker.log.mark()
        took = []
        while not took or (took[-1] >= self.limit() and len(took) < 3):         # this machine may have been busy
            took.append(self.kill_worker(len(took)))
        self.assertLess(took[-1], self.limit())
        # Death is logged with the signal.
        self.assertTrue(self.broker.log.find(r"(?i)signal.*(9|kill)|kill", since=mark))

    def test_durable_sessions_of_a_dead_worker(self):
        # They keep their subscriptions; what was in the memory of the worker may be lost, what comes later is not.
        cid, t = self.name("d"), self.name("t")
        d = self.broker.on_worker(1, cid, clean=False)
        d.subscribe((t, 1), (self.name("w/#"), 2))
        online = self.broker.on_worker(1, self.name("online"), clean=False)
        online.subscribe(t, qos=2)
        d.disconnect()
        self.kill_worker(1)
        online.wait_closed()
        pub = self.connected(self.name("pub"))
        pub.publish(t, "while away", 1)
        pub.publish(self.name("w/x"), "while away", 2)
        for name, count in ((cid, 2), (self.name("online"), 1)):
            c = self.client()
            self.assertEqual(c.connect(name, clean=False).sp, 1)
            self.assertEqual([c.get_publish().payload for _ in range(count)], [b"while away"] * count)
            c.disconnect()

    def test_retained_and_accounts_are_kept(self):
        c = self.connected()
        c.publish(self.name("r"), "kept", 1, retain=True)
        self.broker.admin("account", "set", "ann", "x")
        for slot in range(WORKERS):
            self.kill_worker(slot)
        d = self.connected(self.name("d"))
        d.subscribe(self.name("r"))
        self.assertEqual(d.get_publish().payload, b"kept")
        self.assertIn("ann", self.broker.admin("account", "all"))

    @fubar.long_test
    def test_all_workers_again_and_again(self):
        keeper = self.name("d")
        c = self.connected(keeper, clean=False)
        c.subscribe(self.name("t"), qos=1)
        c.disconnect()
        for i in range(2):
            for slot in range(WORKERS):
                self.kill_worker(slot)
                pub = self.connected()
                pub.publish(self.name("t"), "%d-%d" % (i, slot), 1)
                c = self.client()
                self.assertEqual(c.connect(keeper, clean=False).sp, 1)
                # Its last acknowledgement may have died with the worker; then that message comes again, and says so.
                self.assertTrue(all(p.dup for p in c.publishes_until("%d-%d" % (i, slot))))
                c.disconnect()

    def test_store_under_load(self):
        # Nothing lost, no client disconnected; durable acknowledgements wait until it is back.
        pubs, subs = self.one_each("p"), self.one_each("s", clean=False)
        base = self.name("load")
        for slot in subs:
            subs[slot][0].subscribe(base + "/#", qos=1)
        readers = {slot: Subscriber(subs[slot][0]) for slot in subs}
        writers = {slot: Publisher(pubs[slot][0], "%s/%d" % (base, slot), 1) for slot in pubs}
        keeper = self.connected(self.name("keeper"))
        for t in list(readers.values()) + list(writers.values()):
            t.start()
        fubar.until("some load", lambda: all(w.acked > 200 for w in writers.values()))
        stored = 0
        for _ in range(3):
            old = self.broker.store_pid()
            os.kill(old, signal.SIGKILL)
            # Retained sets go on meanwhile; their acknowledgements come when the store is back.
            for _ in range(20):
                keeper.publish(self.name("r/%d" % stored), "%d" % stored, 1, retain=True)
                stored += 1
            fubar.until("another store", lambda o=old: self.broker.store_pid() not in (None, o))
        # A login, a durable session and a subscription after it work, and each retained message is there.
        late = self.client()
        self.assertEqual(late.connect(self.name("late"), clean=False).sp, 0)
        late.subscribe(self.name("r/#"), qos=1)
        got = sorted(int(late.get_publish().payload) for _ in range(stored))
        self.assertEqual(got, list(range(stored)))
        for w in writers.values():
            w.finish()
            self.assertIsNone(w.closed)
        for r in readers.values():
            r.finish({w.topic: w.sent for w in writers.values()})
            self.assertIsNone(r.closed)
            for w in writers.values():
                self.assertEqual(r.got[w.topic], list(range(w.sent)))

    def test_store_and_numbering(self):
        # Durable writes under way when the store dies are applied once: subscriptions of many sessions.
        clients = [self.connected(self.name("c%d" % i), clean=False) for i in range(20)]
        for i, c in enumerate(clients):
            c.send(m.subscribe_packet(1, *[(self.name("t/%d/%d" % (i, k)), 1) for k in range(20)]))
            if i == 10:
                os.kill(self.broker.store_pid(), signal.SIGKILL)
        for c in clients:
            self.assertEqual(c.get(m.SUBACK, timeout=20).codes, [1] * 20)
        self.broker.restart()
        for i in range(20):
            c = self.client()
            self.assertEqual(c.connect(self.name("c%d" % i), clean=False).sp, 1)
            c.publish(self.name("t/%d/7" % i), "x", 1)
            self.assertEqual(c.get_publish().payload, b"x")

    def test_supervisor(self):
        # No adoption: the children end by themselves; a new start finds everything that is kept.
        c = self.connected(self.name("d"), clean=False)
        c.subscribe(self.name("t"), qos=1)
        c.publish(self.name("r"), "kept", 1, retain=True)
        pids = [p for p in self.broker.pids() if p != self.broker.proc.pid]
        os.kill(self.broker.proc.pid, signal.SIGKILL)
        for pid in pids:
            fubar.wait_gone(pid)
        self.broker.kill()
        self.broker.start()
        c = self.client()
        self.assertEqual(c.connect(self.name("d"), clean=False).sp, 1)
        c.subscribe(self.name("r"))
        self.assertEqual(c.get_publish().payload, b"kept")

    def test_hung_worker_is_replaced(self):
        # supervisor.silence: a stopped process is killed and replaced; siblings go on.
        if fubar.SANITIZED:
            self.skipTest("silence is long there")
        self.broker.close()
        self.broker = fubar.Broker(workers=WORKERS, settings={"supervisor.silence": "1s"})
        for kind in ("worker", "store"):
            pid = self.broker.worker_pids()[2] if kind == "worker" else self.broker.store_pid()
            os.kill(pid, signal.SIGSTOP)
            fubar.wait_gone(pid)
        fubar.until("a worker 2", lambda: 2 in self.broker.worker_pids())
        self.accepts(2)

    def test_clients_left_behind_by_kill_can_connect_at_once(self):
        # The listening socket is the supervisor's: connections made while the worker is down wait, none is reset.
        mark = self.broker.log.mark()
        pid = self.broker.worker_pids()[0]
        os.kill(pid, signal.SIGKILL)
        clients = [self.broker.client() for _ in range(60)]
        self._clients += clients
        for i, c in enumerate(clients):
            c.connect(self.name("c%d" % i))
        self.assertTrue(self.broker.log.mark() >= mark)


if __name__ == "__main__":
    unittest.main(verbosity=2)
