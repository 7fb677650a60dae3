#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-client over TLS and WebSocket, against mosquitto; its side of the original's two extensions, against a server of
a page's length that sends just the bytes of those extensions."""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import fubar
from fake_server import Server, elsewhere

CLIENT = fubar.program("fubar-client")
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def run(*args, input=None):
    return subprocess.run([CLIENT, *args], input=input, capture_output=True, timeout=60, check=False)


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Transports:
    """What both servers must do for us; start() fills the ports."""

    levels = ("31", "5")

    @classmethod
    def setUpClass(cls):
        cls.certs = c = fubar.certificates()
        cls.start(c)
        cls.urls = {
            "mqtt": ["--url", "mqtt://127.0.0.1:%d" % cls.plain],
            "mqtts": ["--url", "mqtts://localhost:%d" % cls.tls, "--cafile", c.ca],
            "mutual": ["-h", "127.0.0.1", "-p", str(cls.mutual), "--cafile", c.ca, "--cert", c.client_cert, "--key",
                       c.client_key],
            "ws": ["--url", "ws://127.0.0.1:%d" % cls.ws],
            "wss": ["--ws", "--tls", "-h", "localhost", "-p", str(cls.wss), "--cafile", c.ca],
        }

    def check_refused(self, args, pattern):
        r = run("pub", "-t", "x", "-m", "x", *args)
        self.assertRegex(r.stderr.decode(), pattern)
        self.assertEqual(r.returncode, 3)

    def test_a_message_over_each(self):
        big = bytes(range(256)) * 70         # more than a TLS record
        for kind, url in self.urls.items():
            for split in ([], ["--split"]):
                for level in self.levels if split else ("311",):
                    topic = "%s/%s/%s" % (kind, level, len(split))
                    r = run("pub", "-V", level, *url, *split, "-q", "1", "-t", topic, "-r", "-s", input=big)
                    self.assertEqual((r.returncode, r.stderr), (0, b""))
                    r = run("sub", "-V", level, *url, *split, "-q", "1", "-t", topic, "-C", "1", "-N")
                    self.assertEqual((r.returncode, r.stderr), (0, b""))
                    self.assertEqual(r.stdout, big)

    def test_lines_over_each(self):
        lines = b"".join(b"line %d\n" % i for i in range(1000))
        for kind, url in self.urls.items():
            sub = subprocess.Popen([CLIENT, "sub", *url, "-q", "1", "-t", kind, "-C", "1000", "-d"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
            self.addCleanup(sub.wait)
            self.addCleanup(sub.kill)
            while b"SUBACK" not in sub.stderr.readline():
                pass
            drain = threading.Thread(target=sub.stderr.read)
            drain.start()
            r = run("pub", *url, "-q", "1", "-t", kind, "-l", "--split", input=lines)
            self.assertEqual((r.returncode, r.stderr), (0, b""))
            self.assertEqual(sub.stdout.read(), lines)
            drain.join()
            sub.stdout.close()
            sub.stderr.close()
            self.assertEqual(sub.wait(30), 0)

    def test_bench_over_each(self):
        names = {"mqtt": "mqtt", "mqtts": "mqtts", "mutual": "mqtts", "ws": "ws", "wss": "wss"}
        modes = (["1to1", "--pairs", "5", "-q", "1", "-m", "200"], ["1to1", "--pairs", "5", "--split", "-m", "200"],
                 ["conn", "-n", "20"], ["fanout", "--subs", "20", "-m", "20", "-s", "40000"],
                 ["retained", "-m", "100", "-s", "100", "-w", "10"])
        for kind, url in self.urls.items():
            # mosquitto looks at its WebSocket clients ten times a second.
            for mode in modes[:3] if names[kind].startswith("ws") else modes:
                r = run("bench", *mode, *url, "--json")
                self.assertEqual((r.returncode, r.stderr), (0, b""))
                report = json.loads(r.stdout)
                self.assertEqual((report["transport"], report["split"]), (names[kind], "--split" in mode))

    def test_bench_is_refused(self):
        r = run("bench", "conn", "-n", "3", "--url", "mqtts://localhost:%d" % self.tls)
        self.assertEqual(r.returncode, 1)
        self.assertIn(b"the server's certificate: ", r.stderr)
        r = run("bench", "conn", "-n", "3", "--url", "ws://localhost:%d/no" % self.plain)
        self.assertEqual(r.returncode, 1)

    def test_an_unknown_authority(self):
        self.check_refused(["--url", "mqtts://localhost:%d" % self.tls, "--cafile", self.certs.other_ca], "certificate: ")
        self.check_refused(["--url", "mqtts://localhost:%d" % self.tls], "certificate: ")
        self.check_refused(["--url", "wss://localhost:%d" % self.wss], "certificate: ")

    def test_another_name(self):
        # mosquitto listens on 127.0.0.1 alone: a relay has the other name.
        with socket.socket() as relay:
            relay.bind(("127.0.0.2", 0))
            relay.listen()
            threading.Thread(target=self.relay, args=(relay, 2), daemon=True).start()
            args = ["--url", "mqtts://127.0.0.2:%d" % relay.getsockname()[1], "--cafile", self.certs.ca]
            self.check_refused(args, "certificate: IP address mismatch")
            self.assertEqual(run("pub", "-t", "x", "-n", *args, "--insecure").returncode, 0)

    def relay(self, listener, count):
        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        for _ in range(count):
            with listener.accept()[0] as a, socket.create_connection(("127.0.0.1", self.tls)) as b:
                back = threading.Thread(target=pump, args=(b, a))
                back.start()
                pump(a, b)
                back.join()

    def test_insecure_without_an_authority_checks_nothing(self):
        r = run("pub", "-t", "x", "-n", "--url", "mqtts://localhost:%d" % self.tls, "--insecure")
        self.assertEqual((r.returncode, r.stderr), (0, b""))

    def test_no_certificate_of_ours(self):
        r = run("pub", "-t", "x", "-n", "-q", "1", "-h", "127.0.0.1", "-p", str(self.mutual), "--cafile", self.certs.ca)
        self.assertEqual(r.returncode, 3)
        self.assertRegex(r.stderr, b"^fubar-client pub: 127.0.0.1 port %d: TLS: .*certificate required\n$" % self.mutual)

    def test_the_wrong_port(self):
        self.check_refused(["--url", "mqtts://127.0.0.1:%d" % self.plain, "--insecure"], "closed|TLS|reset")
        self.check_refused(["--url", "ws://127.0.0.1:%d" % self.plain], "closed|reset")
        r = run("pub", "-t", "x", "-n", "--url", "mqtt://127.0.0.1:%d" % self.tls)
        self.assertEqual(r.returncode, 1)

    def test_files_that_are_not_there(self):
        for option in ("--cafile", "--cert", "--key"):
            both = ["--cert", self.certs.client_cert, "--key", self.certs.client_key]
            args = (both if option != "--cafile" else []) + [option, "/no/such/file"]
            r = run("pub", "-t", "x", "-n", *args)
            self.assertEqual(r.returncode, 2)
            self.assertRegex(r.stderr.decode(), "/no/such/file: No such file")
        r = run("pub", "-t", "x", "-n", "--cert", self.certs.client_cert)
        self.assertIn(b"--cert and --key go together", r.stderr)

    def test_debug_names_the_cipher(self):
        r = run("pub", "-d", "-t", "x", "-n", *self.urls["mqtts"])
        self.assertIn(b"encrypted by TLSv1.3 TLS_", r.stderr)


@unittest.skipIf(MOSQUITTO is None or fubar.QUICK, "mosquitto is not installed, or this is the quick run")
class Mosquitto(Transports, unittest.TestCase):
    @classmethod
    def start(cls, c):
        dir = tempfile.mkdtemp(prefix="fubar-net-")
        cls.addClassCleanup(shutil.rmtree, dir, True)
        cls.plain, cls.tls, cls.mutual, cls.ws, cls.wss = ports = [fubar.free_port() for _ in range(5)]
        tls = "cafile %s\ncertfile %s\nkeyfile %s\n" % (c.ca, c.cert, c.key)
        conf = os.path.join(dir, "mosquitto.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write("allow_anonymous true\nlog_type none\n")
            if os.geteuid() == 0:                                       # else it could not read the key
                f.write("user root\n")
            f.write("listener %d 127.0.0.1\n" % cls.plain)
            f.write("listener %d 127.0.0.1\n%s" % (cls.tls, tls))
            f.write("listener %d 127.0.0.1\n%srequire_certificate true\n" % (cls.mutual, tls))
            f.write("listener %d 127.0.0.1\nprotocol websockets\n" % cls.ws)
            f.write("listener %d 127.0.0.1\nprotocol websockets\n%s" % (cls.wss, tls))
        broker = subprocess.Popen([MOSQUITTO, "-c", conf], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        cls.addClassCleanup(broker.wait)
        cls.addClassCleanup(broker.terminate)
        for port in ports:
            fubar.until("mosquitto listens", lambda p=port: answers(p))


class Fubar(Transports, unittest.TestCase):
    levels = ("31",)

    @classmethod
    def start(cls, c):
        settings = {"listeners.mqtts2.ca": c.ca, "listeners.mqtts2.client_cert": "required", "listeners.ws.port": "-1",
                    "listeners.ws.bind": "127.0.0.1"}
        for name in ("mqtts", "mqtts2", "wss"):
            settings.update({"listeners.%s.port" % name: "-1", "listeners.%s.bind" % name: "127.0.0.1",
                             "listeners.%s.cert" % name: c.cert, "listeners.%s.key" % name: c.key})
        broker = fubar.Broker(settings=settings)
        cls.addClassCleanup(broker.close)
        cls.plain, cls.tls, cls.mutual, cls.ws, cls.wss = [broker.read_port(name) for name in (
            "mqtt", "mqtts", "mqtts2", "ws", "wss")]

    def test_simulate_over_each(self):
        for kind, url in self.urls.items():
            for seconds in ("0.7", "3", "10"):              # as long as a machine needs that is slow
                r = run("simulate", *url, "-d", seconds, "--ids", "1-10", "--reconnect", "0.2", "--away", "0.05", "--publish",
                        "0.02", "--json")
                self.assertEqual((r.returncode, r.stderr), (0, b""), r.stdout)
                count = json.loads(r.stdout)["connected"]["count"]
                if count > 10:
                    break
            self.assertGreater(count, 10, kind)

    def test_shell_over_each(self):
        script = b"connect @a\nconnect @b\nsubscribe @a t -q 2\npublish @b t x -q 2\nwait @a\ndrop @a\n"
        for kind, url in self.urls.items():
            start = time.monotonic()
            r = run("shell", *url, input=script)
            self.assertLess(time.monotonic() - start, 15)               # no time-out in it
            self.assertEqual((r.returncode, r.stderr), (0, b""), r.stdout)
            self.assertIn(b"@a t (QoS 2): x\n", r.stdout)


ACCEPTED = b"\x20\x02\x00\x00"
DISCONNECT = b"\xe0\x00"


class Extensions(unittest.TestCase):
    def server(self, *answers):
        s = Server(*answers)
        self.addCleanup(s.close)
        return s

    def pub(self, server, *args):
        return run("pub", "-i", "me", "-h", "127.0.0.1", "-p", str(server.port), "-t", "t", "-m", "hi", *args)

    def test_connect_says_how_often_it_would_follow(self):
        for level, name, number in (("31", b"\x00\x06MQIsdp", 3), ("311", b"\x00\x04MQTT", 4)):
            s = self.server(ACCEPTED)
            r = self.pub(s, "-V", level, "--redirects", "258", "-u", "joe", "-P", "pw", "-k", "7")
            self.assertEqual((r.returncode, r.stderr), (0, b""))
            body = name + bytes([number, 0b11000011]) + b"\x00\x07\x00\x02me\x00\x03joe\x00\x02pw\x01\x02"
            self.assertEqual(s.connects, [bytes([0x10, len(body)]) + body])

    def test_connect_says_nothing_unasked(self):
        s = self.server(ACCEPTED)
        self.pub(s, "-V", "31")
        self.assertEqual(s.connects[0][11], 0b10)
        self.assertTrue(s.connects[0].endswith(b"\x00\x02me"))

    def test_goes_where_it_is_sent(self):
        last = self.server(ACCEPTED)
        middle = self.server(elsewhere("tcp://127.0.0.1:%d" % last.port, 1))
        first = self.server(elsewhere("tcp://127.0.0.1:%d" % middle.port, 4))
        r = self.pub(first, "-V", "31", "--redirects", "5")
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        last.close()
        # Each hop's CONNECT carries the number that the last CONNACK gave.
        self.assertEqual([s.connects[0][-2:] for s in (first, middle, last)], [b"\x00\x05", b"\x00\x04", b"\x00\x01"])
        self.assertTrue(last.rest[0].endswith(b"\x00\x01thi" + DISCONNECT), last.rest)

    def test_no_further_than_allowed(self):
        second = self.server(elsewhere("tcp://127.0.0.1:1", 0))
        first = self.server(elsewhere("tcp://127.0.0.1:%d" % second.port, 0))
        r = self.pub(first, "-V", "31", "--redirects", "1")
        self.assertEqual(r.returncode, 6)
        self.assertIn(b"no more may be followed", r.stderr)

    def test_a_number_that_does_not_fall_ends_too(self):
        loop = Server(*[lambda s, c: (s.connects.append(s.packet(c)),
                                      c.sendall(elsewhere("tcp://127.0.0.1:%d" % s.port, 9)), s.all(c))] * 4)
        self.addCleanup(loop.close)
        self.assertEqual(self.pub(loop, "-V", "31", "--redirects", "3").returncode, 6)
        self.assertEqual([c[-2:] for c in loop.connects], [b"\x00\x03", b"\x00\x02", b"\x00\x01", loop.connects[3][-2:]])
        self.assertEqual(loop.connects[3][11] & 1, 0)

    def test_not_asked_for_not_followed(self):
        s = self.server(elsewhere("tcp://127.0.0.1:1", 0))
        r = self.pub(s)
        self.assertEqual(r.returncode, 6)

    def test_addresses_that_are_none(self):
        for address in ("http://127.0.0.1:1", "tcp://", "tcp://127.0.0.1:0", "", "tcp://\x00"):
            r = self.pub(self.server(elsewhere(address, 1)), "-V", "31", "--redirects", "2")
            self.assertEqual(r.returncode, 6, address)

    def test_level_5_has_a_property(self):
        last = self.server(b"\x20\x03\x00\x00\x00")
        address = b"127.0.0.1:%d" % last.port
        props = b"\x1c" + struct.pack(">H", len(address)) + address
        first = self.server(bytes([0x20, 3 + len(props), 0, 0x9C, len(props)]) + props)
        r = self.pub(first, "-V", "5", "--redirects", "1")
        self.assertEqual((r.returncode, r.stderr), (0, b""))

    def test_keep_alive_of_the_server(self):
        def serve(server, s):
            server.connects.append(server.packet(s))
            s.sendall(b"\x20\x04\x00\x00\x00\x01")
            self.assertEqual(server.packet(s)[0], 0x82)
            s.sendall(b"\x90\x03\x00\x01\x00")
            server.rest.append(server.exactly(s, 2))
            s.sendall(b"\xd0\x00\x30\x04\x00\x01ty")

        for level in ("31", "311"):
            s = self.server(serve)
            r = run("sub", "-V", level, "-d", "-i", "me", "-k", "600", "-h", "127.0.0.1", "-p", str(s.port), "-t", "t",
                    "-C", "1", "-W", "15")
            self.assertEqual((r.returncode, r.stdout), (0, b"y\n"))
            self.assertIn(b"the server wants a keep-alive of 1 s", r.stderr)
            self.assertEqual(s.rest, [b"\xc0\x00"])         # PINGREQ, 599 s earlier than asked for


class WebSocketAnswers(unittest.TestCase):
    """What a server may answer to the request, and must not."""

    def answer(self, text, after=b""):
        def serve(server, s):
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(4096)
            server.connects.append(data)
            key = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n", data).group(1)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            s.sendall(text.replace(b"ACCEPT", accept) + after)
            server.rest.append(server.all(s))

        s = Server(serve)
        self.addCleanup(s.close)
        r = run("sub", "-i", "me", "--url", "ws://127.0.0.1:%d/p" % s.port, "-t", "t", "-C", "1", "-W", "15")
        s.close()
        return r, s

    GOOD = (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")

    def test_frames_cut_anywhere(self):
        # CONNACK in three frames with a ping between, then SUBACK and a PUBLISH in one frame.
        frames = b"\x02\x01\x20" + b"\x89\x02hi" + b"\x00\x02\x02\x00" + b"\x80\x01\x00" + b"\x82\x0b" + b"\x90\x03\x00\x01\x00" \
            + b"\x30\x04\x00\x01ty"
        r, s = self.answer(self.GOOD, frames)
        self.assertEqual((r.returncode, r.stdout), (0, b"y\n"), r.stderr)
        self.assertRegex(s.connects[0], rb"^GET /p HTTP/1.1\r\nHost: 127.0.0.1:\d+\r\n")
        self.assertIn(b"\r\nSec-WebSocket-Protocol: mqtt\r\n", s.connects[0])
        self.assertRegex(s.rest[0], re.compile(rb"\x8a\x82", re.S))    # a masked pong

    def test_refusals(self):
        for what, text in ((b"404", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                           (b"Accept is wrong", self.GOOD.replace(b"ACCEPT", b"AAAA")),
                           (b"does not speak mqtt", self.GOOD.replace(b"Protocol: mqtt", b"Protocol: chat")),
                           (b"no Upgrade", self.GOOD.replace(b"upgrade: WebSocket\r\n", b"")),
                           (b"too long", self.GOOD.replace(b"\r\n\r\n", b"\r\nx: " + b"y" * 9000))):
            r, _ = self.answer(text)
            self.assertEqual(r.returncode, 3, what)
            self.assertIn(what, r.stderr)

    def test_a_text_frame(self):
        r, _ = self.answer(self.GOOD, b"\x81\x04\x20\x02\x00\x00")      # [MQTT-6.0.0-1]
        self.assertIn(b"text frame", r.stderr)

    def test_a_close_frame(self):
        r, _ = self.answer(self.GOOD, b"\x88\x02\x03\xf1")
        self.assertIn(b"code 1009", r.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
