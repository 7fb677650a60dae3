#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tracing: a line for each message to or from a client, or on a topic, with the time of each step."""

import json
import os
import re
import signal
import subprocess
import unittest

import fubar

TIME = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
FROM = r"TRACE: from \((\S+), " + TIME + r"\)"
VIA = r" => via \((\S+), " + TIME + r", \+(\d+)us\)"
TO = r" => (to|again to|to the queue of|dropped for) \((\S+), " + TIME + r", \+(\d+)us\)"
MESSAGE = r' qos=(\d) retain=(\d) bytes=(\d+) message="(.*)"$'


class Trace(fubar.TestCase):
    broker_options = {"workers": 2}
    may_die = True

    def setUp(self):
        self.log = self.broker.log

    def tearDown(self):
        for row in self.traced():
            self.trace(row["kind"], row["name"], "off")

    def traced(self):
        return self.broker.rows("trace", "list")

    def trace(self, kind, name, on="on"):
        """What a worker's link carries to the other of it is not waited for: on_link() does."""
        self.broker.admin("trace", kind, name, on)
        self.broker.sessions()          # the workers have read it

    def pair(self, slot_a, slot_b, **kw):
        a = self.broker.on_worker(slot_a, self.name("a"), **kw)
        b = self.broker.on_worker(slot_b, self.name("b"), **kw)
        self._clients += [a, b]
        return a, b

    def lines(self, mark):
        return self.log.find("TRACE: ", mark)

    def test_both_ends_on_all_workers(self):
        for slots in ((0, 0), (0, 1), (1, 0)):
            a, b = self.pair(*slots)
            for kind, name in (("client", a.client_id), ("client", b.client_id), ("topic", "t/x"), ("topic", "t/+")):
                b.subscribe(("t/#", 2))
                self.trace(kind, name)
                for qos in (0, 1, 2):
                    mark = self.log.mark()

                    def line():
                        # Until the publisher's worker has heard what a traced client of the other subscribes to.
                        a.publish("t/x", "hello %d" % qos, qos)
                        b.get_publish()
                        got = [re.search(FROM + VIA + TO + MESSAGE, l) for l in self.lines(mark)]
                        # One of the round before may come late, if it had to publish twice.
                        got = [l for l in got if l is None or l[13] == "hello %d" % qos]
                        return got and got[-1]

                    m = fubar.until("a line", line)
                    self.assertEqual((m[1], m[3], m[7]), (a.client_id, "t/x", b.client_id))
                    self.assertEqual((m[6], m[10], m[12], m[13]), ("to", str(qos), "7", "hello %d" % qos))
                    self.assertLessEqual(m[2], m[4])
                    self.assertLessEqual(m[4], m[8])
                    self.assertLessEqual(int(m[5]), int(m[9]))
                self.trace(kind, name, "off")
                b.unsubscribe("t/#")
            mark = self.log.mark()
            b.subscribe(("t/#", 2))
            a.publish("t/x", "untraced", 1)
            b.get_publish()
            self.broker.sessions()
            self.assertEqual([l for l in self.lines(mark) if "untraced" in l], [])
            a.disconnect()
            b.disconnect()

    def test_one_line_each(self):
        a, b = self.pair(0, 1)
        c = self.connected(self.name("c"))
        for s in (b, c):
            s.subscribe(("one", 1))
        self.trace("client", a.client_id)
        self.trace("topic", "one")
        mark = self.log.mark()
        a.publish("one", "m", 1)
        for s in (b, c):
            s.get_publish()
        ours = lambda: [l for l in self.lines(mark) if "via (one," in l]
        fubar.until("two lines", lambda: len(ours()) >= 2)
        self.broker.sessions()
        got = ours()
        self.assertEqual(len(got), 2)
        self.assertEqual({re.search(TO, l)[2] for l in got}, {b.client_id, c.client_id})

    def test_others_are_not_traced(self):
        a, b = self.pair(0, 1)
        c = self.connected(self.name("c"))
        for s in (b, c):
            s.subscribe(("x/#", 1))
        self.trace("client", b.client_id)
        fubar.until("b's filters are known", lambda: self.see(a, b))
        mark = self.log.mark()
        a.publish("x/end", "m", 1)
        self.log.wait("via .x/end.* to .%s" % b.client_id, mark)
        self.broker.sessions()
        # c got it too. One of those before may come late.
        self.assertEqual(len([l for l in self.lines(mark) if "via (x/end," in l]), 1)

    def see(self, a, b):
        mark = self.log.mark()
        a.publish("x/see", "m", 1)
        b.ping()
        self.broker.sessions()
        return [l for l in self.lines(mark) if b.client_id in l and "from (" + a.client_id in l]

    def test_direct_messages_have_no_via(self):
        for slot in range(2):
            a, b = self.pair(0, slot)
            for name in (a.client_id, b.client_id):
                self.trace("client", name)
                mark = self.log.mark()
                a.publish(b.client_id, "psst", 1)
                m = self.log.wait(FROM + TO + MESSAGE, mark)
                self.assertEqual((m[1], m[4], m[10]), (a.client_id, b.client_id, "psst"))
                self.trace("client", name, "off")
            a.disconnect()
            b.disconnect()

    def test_what_waits(self):
        a, b = self.pair(0, 1, clean=False)
        b.subscribe(("wait", 1))
        b.disconnect()
        self.trace("client", a.client_id)
        mark = self.log.mark()
        a.publish("wait", "later", 1)
        self.log.wait(r"=> to the queue of \(%s, " % b.client_id, mark)
        mark = self.log.mark()
        b = self.broker.on_worker(0, b.client_id, clean=False)      # it moves, and what waits with it
        self._clients.append(b)
        self.log.wait(FROM + r".*=> (again )?to \(%s, " % b.client_id, mark)

    def test_nobody_wills_and_retained(self):
        a, b = self.pair(0, 1)
        self.trace("topic", "odd/#")
        mark = self.log.mark()
        a.publish("odd/nobody", "m", 0)
        self.log.wait(FROM + VIA + " => to nobody", mark)
        a.publish("odd/kept", "m", 1, retain=True)
        mark = self.log.mark()
        b.subscribe(("odd/kept", 1))
        self.log.wait(r"from \(retained\) => via \(odd/kept\) => to \(%s, " % b.client_id, mark)

    def test_names_and_messages_are_made_safe(self):
        a, b = self.pair(0, 0)
        b.subscribe(("safe/#", 1))
        self.trace("topic", "safe/#")
        mark = self.log.mark()
        a.publish("safe/\u0085\"x", b'line\nTRACE: "\x00\xff' + b"y" * 1000, 1)
        m = self.log.wait(FROM + ".*" + MESSAGE, mark)
        self.assertIn(r"line\x0aTRACE: \x22\x00\xff", m[0])
        self.assertIn("...", m[0])
        self.assertLess(len(m[0]), 700)
        self.assertEqual(len(self.lines(mark)), 1)

    def test_list_and_bad_words(self):
        self.trace("client", "x")
        self.trace("client", "x")
        self.trace("topic", "a/+/#")
        self.assertEqual(self.traced(), [{"kind": "client", "name": "x"}, {"kind": "topic", "name": "a/+/#"}])
        for words in (("topic", "a#", "on"), ("client", "", "on"), ("client", "x", "maybe"), ("client", "nix", "off"),
                      ("topic", "x", "off"), ("client", "x")):
            r = self.broker.admin_raw("trace", *words)
            self.assertIn(r.returncode, (1, 2), words)
            self.assertNotEqual(r.stderr.strip(), "")
        self.trace("client", "x", "off")
        self.assertEqual(len(self.traced()), 1)

    def test_watch(self):
        a, b = self.pair(0, 1)
        b.subscribe(("w/#", 1))
        self.trace("topic", "w/#")
        socket = os.path.join(self.broker.run_dir, "admin.sock")
        for args in ([], ["--json"]):
            p = subprocess.Popen([fubar.program("fubar-admin"), "--socket", socket, *args, "trace", "watch"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 env=fubar.sanitizer_env(self.broker.dir))
            log = fubar.Log(p.stdout.buffer)

            def seen():
                a.publish("w/x", "m", 1)
                b.get_publish()
                return log.find("TRACE: from .*via .w/x, ")

            line = fubar.until("a line in the terminal", seen)[0]
            if args:
                self.assertIn("TRACE: ", json.loads(line)["line"])
            p.send_signal(signal.SIGINT)
            p.wait(fubar.DEADLINE_S)
            log.thread.join()
            p.stderr.close()
        self.assertEqual(self.broker.admin_raw("state").returncode, 0)

    def test_lasts_while_the_node_runs(self):
        self.trace("topic", "lasts")
        for slot, pid in self.broker.worker_pids().items():
            at = self.log.mark()
            os.kill(pid, signal.SIGKILL)
            self.log.wait("worker loaded slot=%d" % slot, at)
            fubar.until("worker %d is back" % slot, lambda s=slot: self.broker.worker_pids().get(s))
        os.kill(self.broker.store_pid(), signal.SIGKILL)
        a, b = self.pair(0, 1)
        b.subscribe(("lasts", 1))
        for p, s in ((a, b), (b, a)):
            s.subscribe(("lasts", 1))
            mark = self.log.mark()
            p.publish("lasts", "m", 1)
            self.log.wait(FROM + VIA + r" => to \(%s, " % s.client_id, mark)
        self.broker.restart()
        self.log = self.broker.log
        self.assertEqual(self.traced(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
