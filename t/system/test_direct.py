#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Direct messages: a client's id as the topic reaches that client, wherever it is."""

import unittest

import fubar
import mqtt_raw as m


class Direct(fubar.TestCase):
    broker_options = {"workers": 3}

    def pair_on(self, slot_a, slot_b, **kw):
        a = self.broker.on_worker(slot_a, self.name("a"), **kw)
        b = self.broker.on_worker(slot_b, self.name("b"), **kw)
        self._clients += [a, b]
        return a, b

    def test_online_on_every_worker(self):
        for slot in range(3):
            a, b = self.pair_on(0, slot)
            for qos in (0, 1, 2):
                a.publish(b.client_id, "m%d" % qos, qos)
                p = b.get_publish()
                self.assertEqual((p.topic, p.payload.decode(), p.qos, p.retain), (b.client_id, "m%d" % qos, qos, False))
            a.ping()
            self.assertEqual(list(a.inbox), [])
            a.disconnect()
            b.disconnect()

    def test_to_itself(self):
        a = self.connected()
        for qos in (0, 1, 2):
            a.publish(a.client_id, "me", qos)
            self.assertEqual(a.get_publish().qos, qos)

    def test_offline(self):
        # Waits in the durable session's queue, in order, also with no subscription at all.
        for slot in range(3):
            cid = self.name("d%d" % slot)
            d = self.broker.on_worker(slot, cid, clean=False)
            d.disconnect()
            pub = self.connected()
            for i in range(20):
                pub.publish(cid, "%d" % i, 1 + i % 2)
            pub.publish(cid, "qos 0 is not kept", 0)
            d = self.connected(cid, clean=False)
            got = [d.get_publish() for _ in range(20)]
            self.assertEqual([(int(p.payload), p.qos) for p in got], [(i, 1 + i % 2) for i in range(20)])
            d.disconnect()

    def test_gone_clean_session(self):
        cid = self.name("c")
        self.connected(cid).disconnect()
        pub = self.connected()
        for qos in (0, 1, 2):
            pub.publish(cid, "nobody", qos)
        c = self.connected(cid)
        c.subscribe(self.name("m"))
        self.assertEqual(self.nothing_for(c, pub, self.name("m")), [])

    def test_both_meanings_of_a_name(self):
        # A name that is a client's id and a topic with subscribers reaches both.
        a = self.connected(self.name("both"))
        subs = [self.connected() for _ in range(6)]
        for s in subs:
            s.subscribe(self.name("both"), qos=1)
        subs[0].publish(self.name("both"), "x", 1)
        for c in subs + [a]:
            self.assertEqual(c.get_publish().payload, b"x")

    def test_own_id_subscribed_too(self):
        # Once, by the usual rule of overlapping subscriptions.
        a = self.connected(self.name("a"))
        a.subscribe((a.client_id, 0), ("+", 1))
        b = self.connected(self.name("b"))
        b.publish(a.client_id, "once", 2)
        b.publish(a.client_id, "end", 2)
        got = [a.get_publish(), a.get_publish()]
        self.assertEqual([p.payload for p in got], [b"once", b"end"])
        a.ping()
        self.assertEqual([p for p in a.inbox if p.kind == m.PUBLISH and p.topic == a.client_id], [])

    def test_wildcard_subscribers_do_not_see_them(self):
        for slot_a in range(2):
            for slot_spy in range(2):
                tail = "%d%d" % (slot_a, slot_spy)
                a = self.broker.on_worker(slot_a, self.name("a" + tail))
                spy = self.broker.on_worker(slot_spy, self.name("spy" + tail))
                exact, member = self.connected(self.name("e" + tail)), self.connected(self.name("m" + tail))
                pub = self.connected(self.name("p" + tail))
                self._clients += [a, spy]
                spy.subscribe(("+", 1), ("#", 1))
                member.subscribe(("$share/g/+", 1), ("end", 1))
                exact.subscribe((a.client_id, 1))
                for qos in (0, 1, 2):
                    pub.publish(a.client_id, "psst", qos)
                    self.assertEqual(a.get_publish().payload, b"psst")
                    self.assertEqual(exact.get_publish().payload, b"psst")  # a name that is both reaches both
                pub.publish(a.client_id, "kept", 1, retain=True)
                late = self.connected(self.name("late" + tail))
                late.subscribe(("+", 1), ("end", 1))
                pub.publish("end", "end", 1)
                for c in (spy, member, late):
                    self.assertEqual(c.get_publish().topic, "end")
                late.subscribe((a.client_id, 1))
                self.assertEqual(late.get_publish().payload, b"kept")
                pub.publish(a.client_id, "", 1, retain=True)
                # With its client the name is a topic like any other again.
                a.disconnect()
                fubar.until("its session ended", lambda c=a: c.client_id not in self.broker.sessions())
                # ... at the other worker too: behind the CONNACK of one who comes to its worker.
                self._clients.append(self.broker.on_worker(slot_a, self.name("next" + tail)))
                pub.publish(a.client_id, "public", 1)
                self.assertEqual(spy.get_publish().topic, a.client_id)
                for c in (spy, exact, member, pub, late):
                    c.disconnect()

    def test_a_durable_one_is_never_public(self):
        spy, pub = self.connected(self.name("spy")), self.connected(self.name("p"))
        spy.subscribe(("#", 1))
        for slot in range(3):
            d = self.broker.on_worker(slot, self.name("d"), clean=False)
            pub.publish(d.client_id, "on", 1)
            d.disconnect()
            pub.publish(d.client_id, "off", 1)
        pub.publish("end", "end", 1)
        self.assertEqual(spy.get_publish().topic, "end")

    def test_dollar_names_are_never_direct(self):
        a = self.connected("$" + self.name("a"))
        b = self.connected(self.name("b"))
        b.publish(a.client_id, "no", 1)
        a.subscribe(self.name("m"))
        self.assertEqual(self.nothing_for(a, b, self.name("m")), [])

    def test_names_with_slashes(self):
        a = self.connected(self.name("a/b/c"))
        self.connected().publish(a.client_id, "x", 1)
        self.assertEqual(a.get_publish().topic, a.client_id)

    def test_follows_the_client(self):
        # The client changes its worker again and again; every message sent between reaches it, in order.
        cid = self.name("roamer")
        pub = self.connected(self.name("pub"))
        got, sent = [], 0
        for slot in (0, 1, 2, 1, 0, 2):
            c = self.broker.on_worker(slot, cid, clean=False)
            for _ in range(5):
                pub.publish(cid, "%d" % sent, 1)
                sent += 1
            while len(got) < sent:
                got.append(int(c.get_publish().payload))
            c.disconnect()
            pub.publish(cid, "%d" % sent, 1)
            sent += 1
        c = self.connected(cid, clean=False)
        while len(got) < sent:
            got.append(int(c.get_publish().payload))
        self.assertEqual(got, list(range(sent)))


class Quota(fubar.TestCase):
    broker_options = {"workers": 2, "settings": {"session.buffer_limit": "10", "session.direct_limit": "3",
                                                 "session.max_inflight": "1"}}

    def waiting(self, cid, count):
        fubar.until("%d wait" % count, lambda: self.broker.sessions()[cid]["queued"] == count)

    def test_senders_have_a_share(self):
        for slot in range(2):
            cid = self.name("d%d" % slot)
            d = self.broker.on_worker(slot, cid, clean=False)
            self._clients.append(d)
            d.subscribe(("t", 1))
            d.disconnect()
            eve, ann, pub = [self.broker.on_worker(0, self.name(n + str(slot))) for n in ("eve", "ann", "pub")]
            self._clients += [eve, ann, pub]
            for i in range(10):
                pub.publish("t", "t%d" % i, 1)
                eve.publish(cid, "eve%d" % i, 1 + i % 2)
                if i < 2:
                    ann.publish(cid, "ann%d" % i, 1)
            self.waiting(cid, 15)
            for i in range(10, 12):         # the oldest subscribed ones give way to these, no direct ones
                pub.publish("t", "t%d" % i, 1)
            self.waiting(cid, 15)
            d = self.broker.on_worker(slot, cid, clean=False)
            self._clients.append(d)
            got = [d.get_publish().payload.decode() for _ in range(15)]
            self.assertEqual([g for g in got if g[0] == "t"], ["t%d" % i for i in range(2, 12)])
            self.assertEqual([g for g in got if g[0] == "e"], ["eve7", "eve8", "eve9"])
            self.assertEqual([g for g in got if g[0] == "a"], ["ann0", "ann1"])
            self.assertEqual(got[-4:], ["t9", "eve9", "t10", "t11"])

    def test_many_senders(self):
        cid = self.name("d")
        self.connected(cid, clean=False).disconnect()
        for i in range(12):
            c = self.connected(self.name("s%d" % i))
            c.publish(cid, "m%d" % i, 1)
            c.disconnect()
        self.waiting(cid, 10)
        d = self.connected(cid, clean=False)
        self.assertEqual([d.get_publish().payload.decode() for _ in range(10)], ["m%d" % i for i in range(2, 12)])

    def test_a_subscriber_to_its_own_name(self):
        # What it subscribed to is no direct message.
        cid = self.name("d")
        d = self.connected(cid, clean=False)
        d.subscribe((cid, 1))
        d.disconnect()
        pub = self.connected()
        for i in range(8):
            pub.publish(cid, "m%d" % i, 1)
        self.waiting(cid, 8)

    def test_they_move_with_the_session(self):
        cid = self.name("d")
        d = self.broker.on_worker(0, cid, clean=False)
        d.disconnect()
        pub = self.connected()
        for i in range(3):
            pub.publish(cid, "m%d" % i, 1)
        d = self.broker.on_worker(1, cid, clean=False)
        d.close()
        for i in range(3, 5):
            pub.publish(cid, "m%d" % i, 1)
        d = self.connected(cid, clean=False)
        got = {d.get_publish().payload.decode() for _ in range(4)}
        self.assertIn("m4", got)


class DirectPublic(fubar.TestCase):
    def test_names_and_topics_are_one_space(self):
        self.broker.admin("settings", "set", "features.direct_public", "true")
        # As in the original: a name that is both reaches both.
        spy, a = self.connected(self.name("spy")), self.connected(self.name("a"))
        spy.subscribe("+", qos=1)
        a.publish(a.client_id, "seen", 1)
        self.assertEqual(a.get_publish().payload, b"seen")
        self.assertEqual(spy.get_publish().payload, b"seen")
        self.broker.admin("settings", "set", "features.direct_public", "false")
        a.publish(a.client_id, "unseen", 1)
        self.assertEqual(a.get_publish().payload, b"unseen")
        a.publish("end", "end", 1)
        self.assertEqual(spy.get_publish().payload, b"end")


class DirectOff(fubar.TestCase):
    broker_options = {"settings": {"features.direct_messaging": "false"}}

    def test_off(self):
        a, b = self.connected(), self.connected()
        b.publish(a.client_id, "no", 1)
        a.subscribe(self.name("m"))
        self.assertEqual(self.nothing_for(a, b, self.name("m")), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
