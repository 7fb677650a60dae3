#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a stop and a start keep, and what fubar-admin says and changes meanwhile."""

import unittest

import fubar
import mqtt_raw as m


class Restart(unittest.TestCase):
    def setUp(self):
        self.broker = fubar.Broker(workers=2, auth=True)
        self.addCleanup(self.broker.close)
        self.broker.admin("account", "set", "ann", "x")
        self.clients = []

    def tearDown(self):
        for c in self.clients:
            c.close()

    def connected(self, cid, **kw):
        c = self.broker.connected(cid, user="ann", password="x", **kw)
        self.clients.append(c)
        return c

    def test_everything_is_kept(self):
        c = self.connected("durable", clean=False)
        c.subscribe(("a/b", 1), ("w/+/x", 2), ("h/#", 0))
        self.connected("clean").subscribe("gone")
        c.publish("r/1", "one", 1, retain=True)
        c.publish("r/2", "two", 2, retain=True)
        c.publish("r/3", "three", 0, retain=True)
        c.publish("r/1", b"", 1, retain=True)
        c.unsubscribe("h/#")
        c.ping()
        self.broker.admin("acl", "set", "10.1.0.0/16", "deny")
        self.broker.admin("settings", "set", "session.buffer_limit", "7")
        self.assertEqual(self.broker.stop(), 0)

        # another number of workers finds all of it, too
        self.broker.workers = 3
        self.broker.start()
        c = self.broker.client()
        self.clients.append(c)
        self.assertEqual(c.connect("durable", clean=False, user="ann", password="x").sp, 1)
        c.publish("a/b", "1", 2)
        c.publish("w/q/x", "2", 2)
        c.publish("h/x", "no", 2)
        c.publish("gone", "no", 2)
        got = [c.get_publish() for _ in range(2)]
        self.assertEqual([(p.payload, p.qos) for p in got], [(b"1", 1), (b"2", 2)])
        c.subscribe("r/#")
        got = {p.topic: p.payload for p in (c.get_publish(), c.get_publish())}
        self.assertEqual(got, {"r/2": b"two", "r/3": b"three"})
        self.assertIn("10.1.0.0/16", self.broker.admin("acl", "all"))
        self.assertIn("7", self.broker.admin("settings", "get", "session.buffer_limit"))
        self.assertIn("7", self.broker.admin("settings", "explain", "session.buffer_limit"))
        d = self.broker.client()
        self.clients.append(d)
        self.assertEqual(d.connect("clean", clean=False, user="ann", password="x").sp, 0)

    def test_ended_sessions_stay_ended(self):
        self.connected("d", clean=False).disconnect()
        self.connected("d", clean=True).disconnect()
        self.broker.restart()
        c = self.broker.client()
        self.clients.append(c)
        self.assertEqual(c.connect("d", clean=False, user="ann", password="x").sp, 0)

    def test_many_sessions(self):
        # Loaded before the first client is accepted, spread over the workers, each with its own.
        for i in range(60):
            c = self.connected("d%d" % i, clean=False)
            c.subscribe("t/%d/#" % i, qos=1)
            c.disconnect()
        self.broker.restart()
        pub = self.connected("pub")
        for i in range(60):
            pub.publish("t/%d/x" % i, "%d" % i, 1)
        for i in range(60):
            c = self.broker.client()
            self.assertEqual(c.connect("d%d" % i, clean=False, user="ann", password="x").sp, 1)
            self.assertEqual(c.get_publish().payload, b"%d" % i)
            c.disconnect()
            c.close()

    def test_stop_keeps_queues(self):
        # What waits for an offline client, what is in flight and the QoS 2 ids that it sent: over a graceful stop.
        c = self.connected("d", clean=False)
        c.subscribe("q/#", qos=2)
        c.send(m.publish_packet("q/mine", "mine", 2, pid=77))       # PUBREC, but no PUBREL from us
        c.get(m.PUBREC, pid=77)
        p = c.get_publish(ack=False)
        self.assertEqual((p.payload, p.qos), (b"mine", 2))
        c.close()
        pub = self.connected("pub")
        for i in range(40):
            pub.publish("q/%d" % (i % 3), "%d " % i + "x" * 3000, 1 + i % 2)
        self.assertEqual(self.broker.stop(), 0)
        self.broker.workers = 3
        self.broker.start()
        c = self.broker.client()
        self.clients.append(c)
        self.assertEqual(c.connect("d", clean=False, user="ann", password="x").sp, 1)
        got = [c.get_publish() for _ in range(41)]
        self.assertEqual((got[0].payload, got[0].dup), (b"mine", True))
        self.assertEqual([int(p.payload.split()[0]) for p in got[1:]], list(range(40)))
        c.send(m.publish_packet("q/mine", "mine", 2, pid=77, dup=True))
        c.get(m.PUBREC, pid=77)
        c.send(m.ack_packet(m.PUBREL, 77))
        c.get(m.PUBCOMP, pid=77)
        c.publish("q/end", "end", 1)
        self.assertEqual(c.get_publish().payload, b"end")           # 77 was not delivered again
        self.broker.restart()                                       # nothing is there twice
        d = self.broker.client()
        self.clients.append(d)
        self.assertEqual(d.connect("d", clean=False, user="ann", password="x").sp, 1)
        d.ping()
        self.assertEqual([p for p in d.inbox if p.kind == m.PUBLISH], [])

    def test_stop_closes_clients(self):
        c = self.connected("c")
        self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(c.wait_closed(), [])

    def test_stop_command(self):
        self.broker.admin("stop")
        self.assertEqual(self.broker.proc.wait(fubar.DEADLINE_S), 0)

    def test_reset(self):
        c = self.connected("d", clean=False)
        c.subscribe("t", qos=1)
        c.publish("r", "x", 1, retain=True)
        c.disconnect()
        self.assertNotEqual(self.broker.admin_raw("reset").returncode, 0)      # asks first, and nobody answers
        self.assertIn("ann", self.broker.admin("account", "all"))
        self.broker.admin("--yes", "reset")
        self.assertNotIn("ann", self.broker.admin("account", "all"))
        self.broker.admin("account", "set", "ann", "x")
        c = self.broker.client()
        self.clients.append(c)
        self.assertEqual(c.connect("d", clean=False, user="ann", password="x").sp, 0)
        c.publish("sentinel", "sentinel", 1, retain=True)
        c.subscribe("r")
        c.subscribe("sentinel")
        self.assertEqual(c.publishes_until("sentinel"), [])


class Admin(fubar.TestCase):
    broker_options = {"workers": 2}

    def test_state(self):
        c = self.connected(self.name("c"))
        c.subscribe(self.name("t"))
        text = self.broker.admin("state")
        for word in ("worker", "store", str(self.broker.port)):
            self.assertIn(word, text)
        wide = [line for line in text.splitlines() if len(line) > 80 and "_dir:" not in line and "config:" not in line]
        self.assertEqual(wide, [])
        for name in ("node", "description", "version", "uptime", "memory", "load", "min_load", "alternate", "clients",
                     "sessions", "messages", "routes"):
            self.assertRegex(text, r"(?m)^%s: +\S" % name)
        for table in ("processes", "listeners", "nodes", "links", "store"):
            self.assertRegex(text, r"(?m)^%s:$" % table)
        got = self.broker.admin_json("state")
        node = got["rows"][0]
        for name in ("node", "description", "version", "uptime_s", "memory_mb", "memory_limit_mb", "load", "min_load",
                     "min_load_node", "overloaded", "alternate", "routes", "connections", "clients"):
            self.assertIn(name, node)
        self.assertGreaterEqual(node["clients"], 1)
        self.assertEqual([(r["node"], r["this"]) for r in got["tables"]["nodes"]], [(node["node"], True)])
        self.assertEqual([r["name"] for r in got["tables"]["processes"]], ["supervisor", "store", "worker 0", "worker 1"])
        self.assertEqual({r["acceptors"] for r in got["tables"]["listeners"]}, {2})
        self.assertGreaterEqual(got["tables"]["listeners"][0]["connections"], 1)
        self.assertTrue(self.broker.rows("state"))
        pids = {r.get("pid") for r in self.broker.rows("state")}
        for pid in list(self.broker.worker_pids().values()) + [self.broker.store_pid()]:
            self.assertIn(pid, pids)

    def test_stats_move(self):
        c = self.connected()
        before = self.broker.counter("publish_in_qos1")
        for _ in range(10):
            c.publish(self.name("t"), "x", 1)
        fubar.until("the counter to move", lambda: self.broker.counter("publish_in_qos1") >= before + 10)

    def test_every_type_of_packet_is_counted(self):
        names = ["%s_%s" % (n, d) for d, list in (
            ("in", "connect puback pubrec pubrel pubcomp subscribe unsubscribe pingreq disconnect"),
            ("out", "connack puback pubrec pubrel pubcomp suback unsuback pingresp")) for n in list.split()]
        names += ["publish_%s_qos%d" % (d, q) for d in ("in", "out") for q in (0, 1, 2)]
        stats = lambda: {r["name"]: r["total"] for r in self.broker.rows("stats")}
        self.assertEqual({r["unit"] for r in self.broker.rows("stats") if r["name"] in ("reads", "memory_kb")}, {"calls", "kib"})
        before = stats()
        c = self.connected()
        c.subscribe((self.name("t"), 2))
        for qos in (0, 1, 2):
            c.publish(self.name("t"), "x", qos)
            c.get_publish()
        c.ping()
        c.unsubscribe(self.name("t"))
        c.disconnect()
        bad = self.client()
        bad.send(m.connect_packet("", clean=False))     # a CONNACK that refuses
        self.assertEqual(bad.get(m.CONNACK).rc, 2)
        after = stats()
        want = dict.fromkeys(names, 1)
        want["connect_in"] = want["connack_out"] = 2
        self.assertEqual({n: after[n] - before[n] for n in names}, want)
        for d in ("in", "out"):
            self.assertEqual(after["packets_" + d] - before["packets_" + d],
                             sum(v for n, v in want.items() if "_" + d in n))

    def test_session_list_show_kick(self):
        c = self.connected(self.name("c"), clean=False)
        c.subscribe(self.name("t"), qos=1)
        row = self.broker.sessions()[c.client_id]
        self.assertIn(int(row["worker"]), (0, 1))
        self.assertIn(c.client_id, self.broker.admin("session", "show", c.client_id))
        self.assertEqual(self.broker.admin_raw("session", "show", "nobody-here").returncode, 1)
        self.broker.admin("session", "kick", c.client_id)
        self.assertEqual(c.wait_closed(), [])
        self.connected(self.name("pub")).publish(self.name("t"), "x", 1)
        c = self.client()
        self.assertEqual(c.connect(self.name("c"), clean=False).sp, 1)
        self.assertEqual(c.get_publish().payload, b"x")

    def test_session_list_pattern(self):
        for n in ("aa1", "aa2", "bb1"):
            self.connected(self.name(n))
        rows = self.broker.rows("session", "list", self.name("aa*"))
        self.assertEqual(sorted(r["client"] for r in rows if "client" in r), [self.name("aa1"), self.name("aa2")])

    def test_topic_list(self):
        for i in range(6):
            self.connected().subscribe(self.name("t/+"))
        out = self.broker.rows("topic", "list")
        row = [r for r in out if self.name("t/+") in r.values()]
        self.assertEqual(len(row), 1)
        self.assertIn(6, row[0].values())
        self.assertEqual(self.broker.rows("topic", "list", self.name("t/#"))[0]["filter"], self.name("t/+"))
        r = self.broker.admin_raw("topic", "list", "a/#/b")
        self.assertEqual((r.returncode, r.stderr.count("\n")), (1, 1))
        self.assertIn("not a topic filter", r.stderr)

    def test_settings_at_run_time(self):
        # Black-box test 6 of the original: settings change at run time and read back; and they work.
        self.assertIn("1MiB", self.broker.admin("settings", "get", "mqtt.max_packet_size"))
        self.broker.admin("settings", "set", "mqtt.max_packet_size", "1KiB")
        self.assertIn("1KiB", self.broker.admin("settings", "get", "mqtt.max_packet_size"))

        def refused():
            c = self.connected()
            try:
                c.publish(self.name("t"), bytes(2000), 1)
            except m.Closed:
                return True
            finally:
                c.close()
            return False
        fubar.until("the new limit to hold", refused)
        self.broker.admin("settings", "unset", "mqtt.max_packet_size")
        fubar.until("the old limit to hold", lambda: not refused())
        for words in (("set", "mqtt.max_packet_size", "7"), ("set", "mqtt.max_paket_size", "1KiB"),
                      ("set", "mqtt.max_qos", "3"), ("set", "session.durability", "quorum"),
                      ("get", "no.such.key"), ("explain", "nothing")):
            r = self.broker.admin_raw("settings", *words)
            self.assertNotEqual(r.returncode, 0, words)
            self.assertNotEqual(r.stderr.strip(), "", words)
        self.assertIn("max_packet_size", self.broker.admin_raw("settings", "set", "mqtt.max_paket_size", "1KiB").stderr)

    def test_settings_list(self):
        out = self.broker.admin("settings", "list")
        for key in ("mqtt.max_packet_size", "session.max_age", "workers"):
            self.assertIn(key, out)
        self.assertNotIn("workers", self.broker.admin("settings", "list", "mqtt"))

    def test_abbreviated_words(self):
        self.assertEqual(self.broker.admin("acc", "al"), self.broker.admin("account", "all"))
        r = self.broker.admin_raw("sesion", "list")
        self.assertEqual(r.returncode, 2)
        self.assertIn("session", r.stderr)


class Reload(unittest.TestCase):
    def test_all_or_nothing(self):
        with fubar.Broker(workers=1, config="mqtt:\n  max_packet_size: 2KiB\n") as b:
            path = b.dir + "/fubar.yaml"
            self.assertIn("2KiB", b.admin("settings", "get", "mqtt.max_packet_size"))
            with open(path, "w", encoding="ascii") as f:
                f.write("mqtt:\n  max_packet_size: 4KiB\n  max_qos: 9\n")
            r = b.admin_raw("reload")
            self.assertEqual(r.returncode, 1)
            self.assertIn("max_qos", r.stderr)
            self.assertIn("2KiB", b.admin("settings", "get", "mqtt.max_packet_size"))
            with open(path, "w", encoding="ascii") as f:
                f.write("mqtt:\n  max_packet_size: 4KiB\n")
            b.admin("reload")
            self.assertIn("4KiB", b.admin("settings", "get", "mqtt.max_packet_size"))
            # SIGHUP is the same
            with open(path, "w", encoding="ascii") as f:
                f.write("mqtt:\n  max_packet_size: 8KiB\n")
            b.proc.send_signal(1)
            fubar.until("the new value", lambda: "8KiB" in b.admin("settings", "get", "mqtt.max_packet_size"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
