#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Wills at session.durability: disk. They outlive their worker, the store and the node, are published once, and not when
the client came back in time. Nothing waits for time: a grace of a day is cut short when the test is ready."""

import os
import signal
import unittest

import fubar
import mqtt_raw as m

NEVER = "1d"


class Wills(fubar.TestCase):
    may_die = True

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.broker = fubar.Broker(workers=2, settings={"session.durability": "disk"})
        self.grace("1s")
        self.addCleanup(self.finish)

    def finish(self):
        if not self._outcome.success:
            print("---- log of the broker\n%s\n----" % self.broker.log.text()[-20000:])
        for c in self._clients:         # a stop would wait for them
            c.close()
        self.broker.close()

    def grace(self, value):
        self.broker.admin("settings", "set", "session.will_grace", value)

    def written(self):
        """All changes that workers have made are on the disk."""
        fubar.until("the rows to be written", lambda: self.broker.counter("queue_unanswered") == 0)

    def on_worker(self, slot, name, **kw):
        c = self.broker.on_worker(slot, self.name(name), **kw)
        self._clients.append(c)
        return c

    def with_will(self, slot, name, qos=1, retain=False, **kw):
        """A client on that worker whose will, its name on will/NAME, is on the disk."""
        c = self.on_worker(slot, name, will=m.Will("will/" + name, name, qos, retain), **kw)
        self.written()
        return c

    def watcher(self, slot=1):
        sub = self.on_worker(slot, "watcher")
        sub.subscribe(("will/#", 2), ("end", 0))
        return sub

    def heard(self, sub):
        """The payloads that came, sorted."""
        with self.connected(self.name("end")) as pub:
            pub.publish("end", "end")
            got = [p.payload.decode() for p in sub.publishes_until(b"end")]
        return sorted(p for p in got if p != "end")

    def kill_worker(self, slot):
        since = self.broker.log.mark()
        os.kill(self.broker.worker_pids()[slot], signal.SIGKILL)
        self.broker.log.wait(r"back process=worker slot=%d" % slot, since)

    def kill_store(self):
        pid = self.broker.store_pid()
        os.kill(pid, signal.SIGKILL)
        fubar.until("a new store", lambda: self.broker.store_pid() not in (None, pid))

    def all_settled(self):
        """No will of a dead worker is left, and there was one: each test sees to a last one."""
        fubar.until("no will to be due", lambda: self.broker.counter("wills_due") == 0)

    def due(self, count):
        fubar.until("%d wills to be due" % count, lambda: self.broker.counter("wills_due") == count)

    def retained(self, topic):
        with self.connected(self.name("retained")) as c:
            c.subscribe((topic, 1), ("mark", 0))
            c.publish("mark", "end")
            return [p.payload.decode() for p in c.publishes_until(b"end") if p.retain]

    def test_a_worker_is_killed(self):
        sub = self.watcher()
        self.with_will(0, "zero", qos=0)
        self.with_will(0, "one", qos=1)
        self.with_will(0, "two", qos=2, retain=True)
        self.with_will(0, "durable", qos=1, clean=False)
        self.with_will(1, "living")
        self.kill_worker(0)
        got = sorted(sub.get_publish(timeout=10).payload.decode() for _ in range(4))
        self.assertEqual(got, ["durable", "one", "two", "zero"])
        self.all_settled()
        self.assertEqual(self.heard(sub), [])
        fubar.until("the retained will", lambda: self.retained("will/two") == ["two"])
        # And not again by anybody.
        self.kill_store()
        self.with_will(0, "last")
        self.kill_worker(0)
        self.assertEqual(sub.get_publish(timeout=10).payload, b"last")
        self.assertEqual(self.heard(sub), [])

    def test_who_comes_back_is_not_mourned(self):
        self.grace(NEVER)
        sub = self.watcher()
        for name in ("back", "elsewhere", "left", "away"):
            self.with_will(0, name, clean=name != "elsewhere")
        self.kill_worker(0)
        self.due(4)
        back = self.connected(self.name("back"))
        elsewhere = self.on_worker(1, "elsewhere", clean=False)
        self.connected(self.name("left")).disconnect()
        self.due(1)
        self.assertEqual(self.broker.counter("wills_cancelled"), 3)
        self.grace("0")
        self.assertEqual(sub.get_publish().payload, b"away")
        self.all_settled()
        self.assertEqual(self.heard(sub), [])
        self.assertEqual((back.ping(), elsewhere.ping()), (None, None))

    def test_everything_is_killed(self):
        sub = self.on_worker(1, "sub", clean=False)
        sub.subscribe("will/#", qos=1)
        sub.disconnect()
        self.with_will(0, "gone", retain=True)
        self.with_will(1, "gone too")
        self.broker.kill()
        self.broker.start()
        sub = self.client()
        self.assertEqual(sub.connect(self.name("sub"), clean=False).sp, 1)
        self.assertEqual(sorted(sub.get_publish(timeout=10).payload for _ in range(2)), [b"gone", b"gone too"])
        self.all_settled()
        fubar.until("the retained will", lambda: self.retained("will/gone") == ["gone"])
        # And not again after the next start.
        self.broker.restart()
        sub = self.on_worker(1, "sub", clean=False)
        self.with_will(0, "last")
        self.kill_worker(0)
        self.assertEqual(sub.get_publish(timeout=10).payload, b"last")

    def test_fubard_is_killed(self):
        # Its children finish their batch and exit: they must not take the rows along.
        self.with_will(0, "gone", retain=True)
        self.broker.proc.kill()
        self.broker.proc.wait()
        for pid in self.broker.pids():
            fubar.wait_gone(pid)
        self.broker.kill()
        self.broker.start()
        fubar.until("the will", lambda: self.retained("will/gone") == ["gone"])

    def test_a_disconnect_is_no_death(self):
        sub = self.watcher()
        gone = self.with_will(0, "disconnected")
        gone.disconnect()
        self.written()
        self.with_will(0, "last")
        self.kill_worker(0)
        self.assertEqual(sub.get_publish(timeout=10).payload, b"last")
        self.assertEqual(self.heard(sub), [])

    def test_the_store_is_killed_while_they_are_due(self):
        self.grace(NEVER)
        sub = self.watcher()
        self.with_will(0, "gone")
        self.with_will(0, "back")
        self.kill_worker(0)
        self.due(2)
        self.kill_store()
        self.due(2)
        back = self.connected(self.name("back"))
        self.due(1)
        self.kill_store()
        self.due(1)
        self.grace("0")
        self.assertEqual(sub.get_publish().payload, b"gone")
        self.all_settled()
        self.assertEqual(self.heard(sub), [])
        back.ping()

    def test_taken_over(self):
        sub = self.watcher()
        old = self.with_will(0, "moved")
        new = self.on_worker(1, "moved")
        old.wait_closed()
        self.assertEqual(sub.get_publish().payload, b"moved")
        self.with_will(0, "last")
        self.kill_worker(0)
        # on_worker() may have come through worker 0 and been moved on several times: it left no will there.
        self.assertEqual(sub.get_publish(timeout=10).payload, b"last")
        self.assertEqual(self.heard(sub), [])
        new.ping()

    def test_a_graceful_stop_tells_once(self):
        sub = self.on_worker(0, "sub", clean=False)
        sub.subscribe("will/#", qos=1)
        sub.disconnect()
        self.with_will(0, "stopped")
        self.broker.restart()
        sub = self.on_worker(1, "sub", clean=False)
        self.assertEqual(sub.get_publish(timeout=10).payload, b"stopped")
        self.with_will(0, "last")
        self.kill_worker(0)
        self.assertEqual(sub.get_publish(timeout=10).payload, b"last")

    def test_it_is_shown(self):
        self.with_will(0, "shown", qos=2, retain=True)
        shown = self.broker.admin_json("session", "show", self.name("shown"))["tables"]["will"]
        self.assertEqual([(r["topic"], r["qos"], r["retain"], r["bytes"], r["on_disk"]) for r in shown],
                         [("will/shown", 2, True, 5, True)])
        self.assertIn("will/shown", self.broker.admin("session", "show", self.name("shown")))


if __name__ == "__main__":
    fubar.main()
