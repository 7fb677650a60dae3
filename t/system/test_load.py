#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the node says to a CONNECT by its settings and its load: keep-alive negotiation, the alternate server."""

import time
import unittest

import fubar
import mqtt_raw as m


class Node(fubar.Broker):
    def setting(self, key, value=None):
        """Sets one at run time, or (None) takes it back."""
        self.admin("settings", *(("unset", key) if value is None else ("set", key, value)))

    def answer(self, **kw):
        """The CONNACK of a fresh connection, and whether the broker closed it then."""
        with self.client() as c:
            kw.setdefault("level", 3)
            ack = c.connect("c", expect=None, **kw)
            if ack.rc == 0:
                c.disconnect()
            else:
                self.check_end(c)
            return ack

    def check_end(self, c):
        got = c.wait_closed()
        assert got == [], got

    def until_code(self, code, **kw):
        """A setting reaches each worker by its own channel: asks until it is there."""
        def ask():
            ack = self.answer(**kw)
            return ack if ack.rc == code else None
        return fubar.until("CONNACK %d" % code, ask)


class KeepAlive(unittest.TestCase):
    def test_negotiation(self):
        with Node(workers=1, settings={"server.valid_keep_alive": "4-3600"}) as b:
            with b.client() as c:       # off: nobody is told, so nothing changes
                self.assertEqual(c.connect("off", keep_alive=7200).body, b"\0\0")
            b.setting("extensions.keep_alive_negotiation", "true")
            fubar.until("the extension", lambda: b.answer(keep_alive=1).keep_alive == 4)
            for level in (3, 4):
                with b.client() as c:
                    start = time.monotonic()
                    ack = c.connect("low", level=level, keep_alive=1)
                    self.assertEqual(ack.body, b"\0\0\0\4")
                    self.assertEqual(b.rows("session", "show", "low")[-1]["keep_alive"], 4)
                    if level == 3:
                        self.assertEqual(c.wait_closed(), [])
                        self.assertGreater(time.monotonic() - start, 4)     # more than 1.5 times what it asked for
                self.assertEqual(b.answer(level=level, keep_alive=7200).body, b"\0\0\x0e\x10")
                self.assertEqual(b.answer(level=level, keep_alive=0).body, b"\0\0\x0e\x10")
                self.assertEqual(b.answer(level=level, keep_alive=60).body, b"\0\0")


class Alternate(unittest.TestCase):
    def test_redirected_to_another_broker(self):
        with Node(workers=1, auth=True) as one, Node(workers=1) as two:
            there = "tcp://127.0.0.1:%d" % two.port
            self.assertEqual(one.answer(recursion=3).rc, 5)
            one.setting("server.alternate", there)
            self.assertIn(there, one.admin("settings", "get", "server.alternate"))
            ack = one.until_code(6, recursion=3)
            self.assertEqual(ack.body, b"\0\6" + m.string(there) + b"\0\2")
            self.assertEqual((ack.server, ack.recursion), (there, 2))
            host, port = ack.server[len("tcp://"):].rsplit(":", 1)
            with m.Client(int(port), host) as c:
                c.connect("c", level=3, recursion=ack.recursion)
            self.assertEqual(one.answer(recursion=0).rc, 5)     # follows nobody: to the login
            self.assertEqual(one.answer().rc, 5)
            with one.client() as c:                             # [MQTT-3.1.2-3]
                c.send(m.connect_packet("c", level=4, recursion=3))
                self.assertEqual(c.wait_closed(), [])
            one.setting("extensions.alternate_server_v4", "true")
            fubar.until("level 4", lambda: self.level_4(one))
            one.setting("server.alternate", "")
            one.until_code(5, recursion=3)
            one.setting("server.alternate")
            self.assertGreater(one.counter("redirects"), 0)

    def level_4(self, broker):
        with broker.client() as c:
            c.send(m.connect_packet("c", level=4, recursion=9))
            got = c.wait_closed()
            return got and (got[0].rc, got[0].recursion) == (6, 8)

    def test_a_malformed_address(self):
        with Node(workers=1) as b:
            for bad in ("host:1883", "tcp://host", "tcp://host:0", "tcp://::1:1883", "mqtt://host:1883", "tcp://h:1/x"):
                got = b.admin_raw("settings", "set", "server.alternate", bad)
                self.assertEqual(got.returncode, 1, bad)
                self.assertIn("tcp://HOST:PORT", got.stderr)
            self.assertEqual(b.answer(recursion=1).rc, 0)
            self.assertNotEqual(b.admin_raw("settings", "set", "server.valid_keep_alive", "9-1").returncode, 0)


class Overload(unittest.TestCase):
    """The watermark is set so low that the node is overloaded as it is."""

    TINY = "0.000001"

    def overload(self, broker, yes):
        if yes:
            broker.setting("sysmon.high_watermark", self.TINY)
        else:
            broker.setting("sysmon.high_watermark")
        broker.until_code(3 if yes else 0)      # a client that follows nobody

    def node_row(self, broker):
        return next(r for r in broker.rows("state") if "min_load" in r)

    def test_load(self):
        with Node(workers=2) as b:
            row = self.node_row(b)
            self.assertEqual((row["overloaded"], row["alternate"], row["min_load_node"]), (False, "", row["node"]))
            self.assertGreater(row["memory_mb"], 1)
            self.assertGreater(row["memory_limit_mb"], row["memory_mb"])
            self.assertAlmostEqual(row["load"], row["memory_mb"] / row["memory_limit_mb"], delta=0.001)
            self.assertEqual(row["min_load"], row["load"])
            since = b.log.mark()
            self.overload(b, True)
            row = self.node_row(b)
            self.assertTrue(row["overloaded"])
            self.assertGreaterEqual(row["load"], 1)
            b.log.wait(r"overloaded.*load=", since)
            victim = b.worker_pids()[0]
            since = b.log.mark()
            fubar.os.kill(victim, fubar.signal.SIGKILL)
            b.log.wait(r" back process=worker slot=0|back.*slot=0", since)
            for _ in range(8):                  # a new worker knows it, too
                self.assertEqual(b.answer().rc, 3)
            b.setting("server.when_overloaded", "accept")
            b.until_code(0)
            b.setting("server.when_overloaded")
            b.until_code(3)
            self.overload(b, False)
            b.log.wait(r"not overloaded any more", since)
            self.assertFalse(self.node_row(b)["overloaded"])

    def test_settings_change_and_read_back(self):
        values = {
            "sysmon.interval": "1m", "sysmon.high_watermark": "0.35", "server.timeout": "7s",
            "server.valid_keep_alive": "1800-3600", "server.alternate": "ssl://[::1]:8883",
            "server.when_overloaded": "accept", "server.max_connections": "4711", "server.recbuf": "8KiB",
            "server.sndbuf": "8KiB", "server.allowed_recbuf": "1MiB", "server.allowed_sndbuf": "1MiB",
        }
        with Node(workers=1) as b:
            known = {r["key"]: r["value"] for p in ("sysmon.", "server.") for r in b.rows("settings", "list", p)}
            values = {key: values.get(key, known[key]) for key in known}
            for key, value in values.items():
                b.setting(key, value)
                self.assertEqual([r["value"] for r in b.rows("settings", "get", key)], [value])
            b.restart()
            for key, value in values.items():
                self.assertEqual([r["value"] for r in b.rows("settings", "get", key)], [value])
                b.setting(key)
                self.assertEqual([r["value"] for r in b.rows("settings", "get", key)], [known[key]])

    def test_two_nodes(self):
        # Black-box test 7 of the original, with the target set by hand.
        with Node(workers=1) as one, Node(workers=1) as two:
            def subscribed(broker, recursion):
                c = broker.client()
                ack = c.connect("mover", level=3, clean=False, recursion=recursion, expect=None)
                return c, ack

            for b in (one, two):
                self.overload(b, True)
                self.assertEqual(b.answer(recursion=3).rc, 3)
            self.overload(two, False)
            one.setting("server.alternate", "tcp://127.0.0.1:%d" % two.port)
            one.until_code(6, recursion=3)
            self.assertEqual(one.answer().rc, 3)                    # one that does not follow
            c, ack = subscribed(one, 3)
            self.assertEqual((ack.rc, ack.server, ack.recursion), (6, "tcp://127.0.0.1:%d" % two.port, 2))
            self.assertEqual(c.wait_closed(), [])
            c.close()
            c, ack = subscribed(two, ack.recursion)
            self.assertEqual(ack.rc, 0)
            self.assertIn("mover", two.sessions())
            self.assertNotIn("mover", one.sessions())
            c.close()
            self.overload(one, False)
            one.setting("server.alternate", "none")
            one.until_code(0, recursion=3)


if __name__ == "__main__":
    unittest.main()
