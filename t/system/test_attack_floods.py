#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Floods of one client, and crowds with few client ids: what they cost, and who owns a session afterwards."""

import os
import random
import select
import signal
import time

import fubar
import mqtt_raw as m

MIB = 1 << 20


def rss(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def send_unread(client, data, seconds):
    """Sends as much as the broker takes in that time, reading nothing."""
    client.sock.setblocking(False)
    end = time.monotonic() + seconds
    sent = 0
    while sent < len(data) and time.monotonic() < end:
        try:
            sent += client.sock.send(data[sent:sent + 65536])
        except BlockingIOError:
            select.select([], [client.sock], [], 0.1)
        except OSError:
            break


@fubar.needs_fubar
class Floods(fubar.TestCase):
    broker_options = {"workers": 2, "settings": {"log.level": "notice"}}

    def cost(self, packets, seconds=2, **kw):
        """How much the worker of a client grows that sends these without reading an answer."""
        c = self.connected(**kw)
        pid = self.broker.worker_pids()[self.broker.worker_of(c.client_id)]
        before = rss(pid)
        send_unread(c, packets, seconds)
        after = rss(pid)
        c.close()
        return after - before

    def test_subscribe_again_and_again(self):
        # Each of them waits for the store and for the neighbours.
        pair = m.subscribe_packet(1, ("a", 1)) + m.subscribe_packet(2, ("a", 0))
        self.assertLess(self.cost(pair * (4 * MIB // len(pair)), clean=False), (200 if fubar.SANITIZED else 40) * MIB)

    def test_ping_without_reading(self):
        self.assertLess(self.cost(m.packet(m.PINGREQ, 0) * (8 * MIB)), (200 if fubar.SANITIZED else 40) * MIB)

    def test_answers_that_are_not_read(self):
        # The broker stops reading where the answers pile up, and goes on when they are read: none is missing.
        c = self.connected()
        pid = self.broker.worker_pids()[self.broker.worker_of(c.client_id)]
        before = rss(pid)
        pings = m.packet(m.PINGREQ, 0) * (16 * MIB)
        c.sock.setblocking(False)
        sent = 0
        while select.select([], [c.sock], [], 1)[1]:        # until nothing more is taken for a second
            sent += c.sock.send(pings[sent:sent + 65536])
            self.assertLess(sent, len(pings), "everything is taken")
        self.assertLess(rss(pid) - before, (100 if fubar.SANITIZED else 10) * MIB)
        c.sock.setblocking(True)
        c.sock.settimeout(fubar.DEADLINE_S)
        got = 0
        while got < sent // 2 * 2:
            data = c.sock.recv(1 << 20)
            self.assertTrue(data, "closed")
            got += len(data)
        self.assertEqual(got, sent // 2 * 2)


@fubar.needs_fubar
class Share(fubar.TestCase):
    """One client's flood of tiny packets, and another's publish behind it, at the one worker at once: the worker stands
    still while they are sent. What counts is not time but order: the flood may not be worked off first."""

    broker_options = {"workers": 1, "settings": {"log.level": "notice"}}

    def flood(self, packets):
        """packets: more than a share of a turn, and no more bytes than a socket's first window holds."""
        watch = self.connected("watch")
        watch.subscribe("end")
        flooder = self.connected("flooder")
        other = self.connected("other")
        pid = self.broker.worker_pids()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            flooder.send(packets + m.publish_packet("end", b"flooder"))
            other.send(m.publish_packet("end", b"other"))
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual([watch.get_publish().payload for _ in range(2)], [b"other", b"flooder"])

    def test_ping(self):
        self.flood(m.packet(m.PINGREQ, 0) * 20000)

    def test_publish_to_nobody(self):
        self.flood(m.publish_packet("n", b"") * 8000)

    def test_publish_to_many(self):
        readers = [self.connected("s%d" % i) for i in range(50)]
        for c in readers:
            c.subscribe("many")
        self.flood(m.publish_packet("many", b"") * 1000)

    def test_unknown_pubrel(self):
        self.flood(m.ack_packet(m.PUBREL, 9) * 10000)

    def test_unknown_puback(self):
        self.flood(m.ack_packet(m.PUBACK, 9) * 10000)

    def test_subscribe_and_unsubscribe(self):
        self.flood((m.subscribe_packet(1, ("a", 0)) + m.unsubscribe_packet(2, "a")) * 2000)


@fubar.needs_fubar
class Crowds(fubar.TestCase):
    """Hundreds of CONNECTs with a few ids at once while processes are killed: one owner each, and nobody waits for ever."""

    may_die = True      # the one that is killed; see the end of crowd()

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.broker = fubar.Broker(workers=3, settings={"log.level": "notice", "server.timeout": "1h"})
        self.addCleanup(self.broker.close)

    def crowd(self, victim, ids=8, count=160):
        rnd = random.Random(7)
        clients = [self.client() for _ in range(count)]
        for c in clients:
            c.client_id = "x%d" % rnd.randrange(ids)
            c.send(m.connect_packet(c.client_id, clean=rnd.random() < 0.5))
            if rnd.random() < 0.1:
                c.close()
        pid = self.broker.store_pid() if victim == "store" else self.broker.worker_pids()[1]
        os.kill(pid, 9)
        # Each gets an answer, or its end.
        waiting = [c for c in clients if c.fileno() >= 0]
        silent = set(waiting)

        def settled():
            for c in select.select(waiting, [], [], 0)[0]:
                silent.discard(c)
                try:
                    if not c.sock.recv(4096):
                        waiting.remove(c)
                except OSError:
                    waiting.remove(c)
            return not silent
        fubar.until("an answer for everyone", settled)        # server.timeout would be one, too
        fubar.until("one connection an id", lambda: settled() and len(waiting) <= ids)
        # All of them can be had, by one connection each, and each is once there.
        for i in range(ids):
            self.connected("x%d" % i, clean=True)
        rows = list(self.broker.all_sessions())
        self.assertEqual(sorted(rows), ["x%d" % i for i in range(ids)])
        self.assertEqual(len(self.broker.log.find("process died")), 1)

    def test_worker_dies(self):
        self.crowd("worker")

    def test_store_dies(self):
        self.crowd("store")


if __name__ == "__main__":
    fubar.main()
