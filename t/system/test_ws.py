#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""WebSocket: the request and its refusals, frames however they are cut, the rules that end a connection, other people's
clients (paho, and MQTT.js in a browser; test_tools.py has it in node), and kill -9."""

import http.server
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import fubar
import mqtt_raw as m
import mqttjs
import ws_raw as w

try:
    import paho.mqtt.client as paho
except ImportError:
    paho = None


class Base(fubar.TestCase):
    broker_options = {"transport": "ws"}

    def raw(self):
        s = socket.create_connection(("127.0.0.1", self.broker.read_port("ws")), timeout=m.DEADLINE_S)
        self.addCleanup(s.close)
        return s

    def status(self, **kw):
        try:
            return w.WsSocket(self.raw(), **kw).protocol
        except w.Refused as e:
            return e.status


class Request(Base):
    broker_options = {"transport": "ws", "workers": 1, "settings": {
        "listeners.ws.path": "/mqtt", "listeners.ws.origins": "https://page.example"}}

    def test_protocols(self):
        self.assertEqual([self.status(protocol=p) for p in ("mqtt", "mqttv3.1", "chat, mqttv3.1, mqtt", "chat", None)],
                         ["mqtt", "mqttv3.1", "mqtt", 400, 400])

    def test_path_and_origin(self):
        self.assertEqual([self.status(path=p) for p in ("/mqtt", "/mqtt?x=1", "/", "/mqtt/")], ["mqtt", "mqtt", 404, 404])
        self.assertEqual([self.status(headers=("Origin: " + o,)) for o in ("https://page.example", "https://evil.example")],
                         ["mqtt", 403])

    def test_what_is_no_request(self):
        for text, start in ((b"POST /mqtt HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "), (b"GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 426 "),
                            (m.connect_packet("x"), b"HTTP/1.1 400 "), (b"GET /" + b"a" * 9000, b"HTTP/1.1 431 ")):
            s = self.raw()
            s.sendall(text)
            got = b""
            while True:
                data = s.recv(4096)
                if not data:
                    break
                got += data
            self.assertTrue(got.startswith(start), got)
            self.assertTrue(got.endswith(b"\r\n\r\n"), got)

    def test_a_request_must_come_in_time(self):
        self.broker.admin("settings", "set", "server.timeout", "1s")
        self.addCleanup(self.broker.admin, "settings", "unset", "server.timeout")
        s = self.raw()
        s.sendall(b"GET /mqtt HT")
        self.assertEqual(s.recv(100), b"")
        s = w.WsSocket(self.raw())
        s.send_raw(w.frame(w.PING, b"no CONNECT"))
        with self.assertRaises((ConnectionError, BlockingIOError)):
            while s.recv(100):
                pass
            raise ConnectionError("closed")

    def test_the_log_says_why(self):
        mark = self.broker.log.mark()
        self.status(path="/other", headers=("X-Evil: \x1b[31m",))
        s = self.raw()
        s.sendall(b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n")
        self.broker.log.wait(r'side=server reason="HTTP 404: no such path"', mark)


class Frames(Base):
    broker_options = {"transport": "ws", "workers": 1}

    def open(self):
        return w.WsSocket(self.raw())

    def mqtt(self, sock):
        """An mqtt_raw client above a WsSocket."""
        c = self.client()
        c.sock.close()
        c.sock = sock
        return c

    def test_a_packet_in_pieces(self):
        s = self.open()
        text = m.connect_packet("pieces")
        for i, byte in enumerate(text):
            s.send_raw(w.frame(w.BINARY if i == 0 else w.CONT, bytes([byte]), fin=i == len(text) - 1))
        self.assertEqual(self.mqtt(s).read().rc, 0)

    def test_many_packets_in_a_frame(self):
        s = self.open()
        c = self.mqtt(s)
        s.sendall(m.connect_packet("many") + m.subscribe_packet(1, ("many/#", 0)) +
                  b"".join(m.publish_packet("many/x", b"%d" % i) for i in range(1000)))
        self.assertEqual([c.read().kind for _ in range(2)], [m.CONNACK, m.SUBACK])
        self.assertEqual([int(c.read().payload) for _ in range(1000)], list(range(1000)))
        # Output of a turn is one frame, not one a message.
        self.assertLess(len(s.frames), 200)
        self.assertEqual({op for op, _ in s.frames}, {w.BINARY})

    def test_large_payloads(self):
        for size in (125, 126, 65535, 65536, 900000):
            with self.client() as c:
                c.connect("large")
                c.subscribe("large")
                payload = bytes(i * 7 & 255 for i in range(size))
                c.send(m.publish_packet("large", payload))
                self.assertEqual(c.read().payload, payload)

    def test_ping_and_close(self):
        s = self.open()
        c = self.mqtt(s)
        c.connect("ping")
        s.send_raw(w.frame(w.PING, b"hello"))
        c.ping()
        self.assertIn((w.PONG, b"hello"), s.frames)
        s.send_raw(w.frame(w.CLOSE, b"\x03\xe8"))
        with self.assertRaises(m.Closed):
            c.read()
        self.assertEqual(s.closed, 1000)

    def test_rules(self):
        for data, code in ((w.frame(w.TEXT, b"hi"), 1003), (w.frame(w.BINARY, b"hi", mask=False), 1002),
                           (w.frame(w.BINARY, b"hi", rsv=4), 1002), (w.frame(w.CONT, b"hi"), 1002), (w.frame(5, b""), 1002)):
            s = self.open()
            c = self.mqtt(s)
            c.connect("rules", will=m.Will("rules/will", b"gone", 0))
            s.send_raw(data)
            with self.assertRaises(m.Closed):
                c.read()
            self.assertEqual(s.closed, code)

    def test_a_will_goes_out_when_websocket_closes(self):
        with self.client() as sub:
            sub.connect("will-sub")
            sub.subscribe("will/#")
            s = self.open()
            self.mqtt(s).connect("will-pub", will=m.Will("will/x", b"gone", 0))
            s.send_raw(w.frame(w.CLOSE, b"\x03\xe8"))
            self.assertEqual(sub.read().payload, b"gone")

    def test_disconnect_closes_with_1000(self):
        s = self.open()
        c = self.mqtt(s)
        c.connect("bye")
        s.sendall(m.packet(m.DISCONNECT, 0))
        with self.assertRaises(m.Closed):
            c.read()
        self.assertEqual(s.closed, 1000)

    def test_a_reader_that_does_not_read_costs_its_limit(self):
        with self.client() as slow, self.client() as pub:
            slow.connect("slow")
            slow.subscribe("slow")
            pub.connect("fast")
            for _ in range(60):
                pub.send(m.publish_packet("slow", b"x" * 50000))
            pub.ping()
            got = slow.read()
            self.assertEqual(len(got.payload), 50000)


class Login(Base):
    broker_options = {"transport": "ws", "auth": True, "workers": 1}

    def test_an_ip_rule_spares_no_login_here(self):
        """A proxy's address is not the client's: so it must be said."""
        self.broker.admin("acl", "set", "127.0.0.1", "allow")
        self.addCleanup(self.broker.admin, "acl", "del", "127.0.0.1")
        with m.Client(self.broker.port) as c:
            self.assertEqual(c.connect("a", expect=None).rc, 0)
        with self.client() as c:
            self.assertEqual(c.connect("a", expect=None).rc, 5)
        self.broker.admin("settings", "set", "listeners.ws.allow_by_ip", "true")
        with self.client() as c:
            self.assertEqual(c.connect("a", expect=None).rc, 0)


class Kill(Base):
    broker_options = {"transport": "ws", "workers": 2}
    may_die = True

    def test_a_worker_dies(self):
        clients = self.broker.spread(2, "k", clean=False)
        for slot, cs in clients.items():
            for i, c in enumerate(cs):
                c.subscribe("k/%d/%d" % (slot, i), qos=1)
        victim, other = clients[0], clients[1]
        os.kill(self.broker.worker_pids()[0], 9)
        for c in victim:
            with self.assertRaises(m.Closed):
                c.read()
        for i, c in enumerate(other):
            other[0].publish("k/1/%d" % i, b"alive", 1)
            self.assertEqual(c.get(m.PUBLISH).payload, b"alive")
        for i, c in enumerate(victim):
            with self.broker.client() as again:
                self.assertEqual(again.connect(c.client_id, clean=False).sp, 1)
                other[0].publish("k/0/%d" % i, b"back", 1)
                self.assertEqual(again.get(m.PUBLISH).payload, b"back")


@unittest.skipIf(paho is None, "no python3-paho-mqtt here")
class Paho(Base):
    def test_round_trip(self):
        events = queue.Queue()
        c = paho.Client("paho-ws", transport="websockets")
        c.on_connect = lambda cl, u, flags, rc: cl.subscribe("paho/#", 2)
        c.on_subscribe = lambda cl, u, mid, granted: [cl.publish("paho/%d" % q, b"m%d" % q, q) for q in (0, 1, 2)]
        c.on_message = lambda cl, u, msg: events.put((msg.topic, bytes(msg.payload), msg.qos))
        c.connect("127.0.0.1", self.broker.read_port("ws"))
        c.loop_start()
        try:
            got = sorted(events.get(timeout=fubar.DEADLINE_S) for _ in range(3))
        finally:
            c.disconnect()
            c.loop_stop()
        self.assertEqual(got, [("paho/%d" % q, b"m%d" % q, q) for q in (0, 1, 2)])


PAGE = """<!DOCTYPE html><script src="mqtt.js"></script><script>
const c = mqtt.connect('ws://127.0.0.1:PORT/mqtt', { clientId: 'page', reconnectPeriod: 0 });
const got = [];
const say = (text) => fetch('/said', { method: 'POST', body: text });
c.on('error', (e) => say('error ' + e));
c.on('close', () => { if (got.length < 3) say('refused'); });
c.on('connect', () => c.subscribe('page/#', { qos: 2 }, () => [0, 1, 2].forEach((q) => c.publish('page/' + q, 'm' + q, { qos: q }))));
c.on('message', (topic, payload, packet) => {
	got.push(topic + ' ' + payload + ' ' + packet.qos);
	if (got.length === 3) say(got.sort().join(', '));
});
</script>"""


@fubar.long_test
class Browser(Base):
    """MQTT.js in headless Chromium, from a page of another origin, which the listener must name."""

    broker_options = {"transport": "ws", "workers": 1}

    def setUp(self):
        self.chromium = shutil.which("chromium")
        if self.chromium is None:
            self.skipTest("no chromium here")
        said = self.said = queue.Queue()
        files = {"/mqtt.js": mqttjs.bundle()}
        page = PAGE.replace("PORT", str(self.broker.read_port("ws"))).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path in files:
                    with open(files[self.path], "rb") as f:
                        body, kind = f.read(), "text/javascript"
                else:
                    body, kind = page, "text/html"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                said.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def visit(self):
        profile = tempfile.mkdtemp(prefix="fubar-t-")
        self.addCleanup(shutil.rmtree, profile, True)
        p = subprocess.Popen([self.chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                              "--disable-background-networking", "--disable-component-update", "--disable-sync",
                              "--user-data-dir=" + profile, "http://127.0.0.1:%d/" % self.server.server_port],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             start_new_session=True)
        try:
            return self.said.get(timeout=60)
        finally:
            os.killpg(p.pid, 9)
            p.wait()

    def test_a_page(self):
        origin = "http://127.0.0.1:%d" % self.server.server_port
        self.broker.admin("settings", "set", "listeners.ws.origins", origin)
        self.addCleanup(self.broker.admin, "settings", "unset", "listeners.ws.origins")
        self.assertEqual(self.visit(), "page/0 m0 0, page/1 m1 1, page/2 m2 2")

    def test_a_page_from_elsewhere(self):
        self.broker.admin("settings", "set", "listeners.ws.origins", "http://elsewhere.example")
        self.addCleanup(self.broker.admin, "settings", "unset", "listeners.ws.origins")
        self.assertEqual(self.visit(), "refused")


if __name__ == "__main__":
    unittest.main(verbosity=2)
