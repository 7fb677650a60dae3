#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that other people wrote, and our own: mosquitto_pub and mosquitto_sub, paho for Python, MQTT.js."""

import os
import queue
import shutil
import subprocess
import unittest

import fubar
import mqttjs

try:
    import paho.mqtt.client as paho
except ImportError:
    paho = None

USER = ["-u", "ann", "-P", "secret"]

JS = """
const mqtt = require('mqtt');
const opts = { username: 'ann', password: 'secret', clientId: 'NAME', clean: false, protocolVersion: LEVEL,
	protocolId: LEVEL === 3 ? 'MQIsdp' : 'MQTT', reconnectPeriod: 0 };
const sub = mqtt.connect('URL', opts);
let got = [];
// It may end before it wrote the last acknowledgement, and says so.
sub.on('error', (e) => { if (got.length < 4) { console.error(e); process.exit(1); } });
sub.on('connect', () => sub.subscribe({ 'js/+': { qos: 2 } }, (err, granted) => {
	if (err || granted[0].qos !== 2) process.exit(2);
	const pub = mqtt.connect('URL', { ...opts, clientId: 'js-pub', clean: true });
	pub.on('connect', async () => {
		for (const q of [0, 1, 2]) await pub.publishAsync('js/' + q, 'm' + q, { qos: q });
		await pub.publishAsync('NAME', 'direct', { qos: 1 });
		pub.end();
	});
}));
sub.on('message', (topic, payload, packet) => {
	got.push(topic + ' ' + payload + ' ' + packet.qos);
	if (got.length === 4) { console.log(got.sort().join('\\n')); sub.end(); }
});
"""


class Base(fubar.TestCase):
    broker_options = {"auth": True, "workers": 2, "transport": "ws"}        # TCP has its listener besides

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker.admin("account", "set", "ann", "secret")

    def run_tool(self, *cmd, **kw):
        r = subprocess.run([str(c) for c in cmd], capture_output=True, text=True, timeout=fubar.DEADLINE_S, check=False,
                           stdin=subprocess.DEVNULL, env=fubar.sanitizer_env(self.broker.dir), **kw)
        return r

    def spawn(self, *cmd):
        p = subprocess.Popen([str(c) for c in cmd], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             stdin=subprocess.DEVNULL, env=fubar.sanitizer_env(self.broker.dir))
        log = fubar.Log(p.stdout)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        return p, log


class CommandLine(Base):
    """mosquitto's two tools, then ours with the same options."""
    sub = "mosquitto_sub"
    pub = "mosquitto_pub"

    def setUp(self):
        if not shutil.which(self.sub.split()[0]) and not os.path.exists(self.sub.split()[0]):
            self.skipTest("no %s here" % self.sub)

    def common(self):
        return ["-h", "127.0.0.1", "-p", self.broker.port] + USER

    def start_sub(self, cid, *args):
        """A running subscriber whose subscription is live."""
        p, log = self.spawn(*self.sub.split(), *self.common(), "-i", cid, *args)
        fubar.until("the subscription", lambda: any(
            r.get("client") == cid and int(r.get("subscriptions", 1)) > 0 for r in self.broker.rows("session", "list")))
        topic = args[args.index("-t") + 1]
        fubar.until("the filter", lambda: topic in self.broker.admin("topic", "list"))
        return p, log

    def test_each_level_and_qos(self):
        for level in ("mqttv31", "mqttv311"):
            for qos in (0, 1, 2):
                cid = "%s-%s-%d" % (type(self).__name__, level, qos)
                p, log = self.start_sub(cid, "-V", level, "-q", qos, "-t", cid + "/#", "-v", "-C", 2)
                for n in ("one", "two"):
                    r = self.run_tool(*self.pub.split(), *self.common(), "-V", level, "-q", qos, "-t", cid + "/" + n,
                                      "-m", "text " + n)
                    self.assertEqual(r.returncode, 0, r.stderr)
                self.assertEqual(p.wait(fubar.DEADLINE_S), 0)
                log.thread.join()
                self.assertEqual(log.lines, ["%s/%s text %s" % (cid, n, n) for n in ("one", "two")])

    def test_retained(self):
        t = "%s/retained" % type(self).__name__
        self.assertEqual(self.run_tool(*self.pub.split(), *self.common(), "-r", "-q", 1, "-t", t, "-m", "kept").returncode, 0)
        r = self.run_tool(*self.sub.split(), *self.common(), "-t", t, "-C", 1)
        self.assertEqual((r.returncode, r.stdout), (0, "kept\n"))
        self.assertEqual(self.run_tool(*self.pub.split(), *self.common(), "-r", "-q", 1, "-t", t, "-n").returncode, 0)

    def test_durable(self):
        cid = type(self).__name__ + "-durable"
        t = cid + "/t"
        p, _ = self.start_sub(cid, "-c", "-q", 1, "-t", t)
        p.terminate()
        p.wait()
        for i in range(3):
            self.assertEqual(self.run_tool(*self.pub.split(), *self.common(), "-q", 1, "-t", t, "-m", i).returncode, 0)
        r = self.run_tool(*self.sub.split(), *self.common(), "-i", cid, "-c", "-q", 1, "-t", t, "-C", 3)
        self.assertEqual((r.returncode, r.stdout), (0, "0\n1\n2\n"))

    def test_wrong_password(self):
        r = self.run_tool(*self.pub.split(), "-h", "127.0.0.1", "-p", self.broker.port, "-u", "ann", "-P", "wrong",
                          "-t", "a", "-m", "b")
        self.assertNotEqual(r.returncode, 0)
        self.assertRegex((r.stderr + r.stdout).lower(), "refused|password|auth")


class OwnCommandLine(CommandLine):
    sub = fubar.program("fubar-client") + " sub"
    pub = fubar.program("fubar-client") + " pub"


@unittest.skipIf(paho is None, "no python3-paho-mqtt here")
class Paho(Base):
    def make(self, cid, protocol, clean=True):
        c = paho.Client(cid, clean_session=clean, protocol=protocol)
        c.username_pw_set("ann", "secret")
        c.events = queue.Queue()
        c.on_connect = lambda cl, u, flags, rc: c.events.put(("connect", rc, flags.get("session present", 0)))
        c.on_subscribe = lambda cl, u, mid, granted: c.events.put(("subscribe", tuple(granted)))
        c.on_message = lambda cl, u, msg: c.events.put(("message", msg.topic, bytes(msg.payload), msg.qos, bool(msg.retain)))
        c.connect("127.0.0.1", self.broker.port)
        c.loop_start()

        def end():
            c.disconnect()
            c.loop_stop()
        self.addCleanup(end)
        return c

    def event(self, c):
        return c.events.get(timeout=fubar.DEADLINE_S)

    def test_both_levels(self):
        for protocol in (paho.MQTTv31, paho.MQTTv311):
            name = "paho%d" % protocol
            sub, pub = self.make(name + "-sub", protocol, clean=False), self.make(name + "-pub", protocol)
            self.assertEqual(self.event(sub)[:2], ("connect", 0))
            self.assertEqual(self.event(pub)[:2], ("connect", 0))
            sub.subscribe([(name + "/a", 0), (name + "/b", 1), (name + "/+/c", 2)])
            self.assertEqual(self.event(sub), ("subscribe", (0, 1, 2)))
            for topic, qos in (("/a", 0), ("/b", 1), ("/x/c", 2)):
                pub.publish(name + topic, b"payload", qos).wait_for_publish(fubar.DEADLINE_S)
                self.assertEqual(self.event(sub), ("message", name + topic, b"payload", qos, False))
            pub.publish(name + "-sub", b"direct", 1).wait_for_publish(fubar.DEADLINE_S)
            self.assertEqual(self.event(sub), ("message", name + "-sub", b"direct", 1, False))

    def test_hundreds(self):
        sub, pub = self.make("many-sub", paho.MQTTv311), self.make("many-pub", paho.MQTTv311)
        self.event(sub)
        self.event(pub)
        sub.subscribe("many/#", 2)
        self.event(sub)
        for i in range(300):
            pub.publish("many/x", "%d" % i, 2)
        got = [int(self.event(sub)[2]) for _ in range(300)]
        self.assertEqual(got, list(range(300)))


@fubar.long_test
class MqttJs(Base):
    @classmethod
    def setUpClass(cls):
        cls.js_dir = mqttjs.directory()
        super().setUpClass()

    def test_both_levels(self):
        for level in (3, 4):
            for listener, scheme in (("mqtt", "mqtt"), ("ws", "ws")):
                url = "%s://127.0.0.1:%d" % (scheme, self.broker.read_port(listener))
                # A session each: the last acknowledgement may never be written.
                name = "js-%s-%d" % (listener, level)
                path = os.path.join(self.js_dir, "test-%s-%d.js" % (listener, level))
                with open(path, "w", encoding="ascii") as f:
                    f.write(JS.replace("URL", url).replace("LEVEL", str(level)).replace("NAME", name))
                r = self.run_tool("node", path, cwd=self.js_dir)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
                self.assertEqual(r.stdout.split("\n")[:4], [name + " direct 1", "js/0 m0 0", "js/1 m1 1", "js/2 m2 2"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
