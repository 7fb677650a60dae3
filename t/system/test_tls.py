#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Listeners over TLS: handshakes good and bad, tickets, client certificates, new certificates, what goes wrong, sizes."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest

import certs
import fubar
import mqtt_raw as m

RESUMES = "tls_resumed"
BIG = 1 << 20


def slurp(path):
    with open(path, "rb") as f:
        return f.read()


def context(ca=None, cert=None, key=None, version=None):
    c = ssl.create_default_context(cafile=ca or fubar.certificates().ca)
    if cert:
        c.load_cert_chain(cert, key)
    if version:
        c.minimum_version = c.maximum_version = version
    return c


class Tls(fubar.TestCase):
    broker_options = {"transport": "tls", "workers": 2, "settings": {"mqtt.max_packet_size": "2MiB"}}

    def port(self):
        return self.broker.read_port("mqtts")

    def raw(self, tls, session=None):
        """A socket behind its handshake."""
        sock = socket.create_connection(("127.0.0.1", self.port()), 10)
        return tls.wrap_socket(sock, server_hostname="127.0.0.1", session=session)

    def said(self, pattern, fn):
        """What fn() returns, which makes the broker log such a line: done again if the log's rate limit took it."""
        for _ in range(10):
            since = self.broker.log.mark()
            got = fn()
            try:
                self.broker.log.wait(pattern, since, timeout=2)
                return got
            except m.Timeout:
                pass
        self.fail("the log has no line like: %s" % pattern)

    def say(self, sock, client_id):
        """CONNECT and CONNACK; with them, at 1.3, comes the ticket."""
        sock.sendall(m.connect_packet(client_id))
        self.assertEqual(sock.recv(4), b"\x20\x02\0\0")


class Handshake(Tls):
    def test_versions(self):
        for version, text in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            with self.raw(context(version=version)) as s:
                self.assertEqual(s.version(), text)
                self.assertIn("GCM", s.cipher()[0])
                self.say(s, self.name(text))

    def test_old_version_is_refused(self):
        old = context()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

        def shake():
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                self.raw(old)
        self.said("reason=\"TLS handshake: unsupported protocol\"", shake)

    def test_plain_client_and_garbage(self):
        for data, why in ((m.connect_packet("x"), "no TLS at a TLS listener: the client speaks plain MQTT"),
                          (b"GET / HTTP/1.0\r\n\r\n", "no TLS at a TLS listener"),
                          (b"\xff" * 200, "no TLS at a TLS listener"),
                          (b"\x16\x03\x01\x00\x05\x01\xff\xff\xff\xff" + b"\xff" * 20, "TLS handshake: ")):
            def send():
                with m.Client(self.port()) as c:
                    c.send(data)
                    try:
                        while c.sock.recv(4096):
                            pass
                    except ConnectionResetError:
                        pass
            self.said("closed .*reason=\"%s" % why, send)

    def test_tls_client_at_the_plain_port(self):
        def shake():
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                m.Client(self.broker.port, tls=context())
        self.said("reason=\"a TLS client at a listener without TLS\"", shake)

    def test_nothing_said_is_a_counter(self):
        before, since = self.broker.counter("connections_silent"), self.broker.log.mark()
        m.Client(self.port()).close()
        fubar.until("it is counted", lambda: self.broker.counter("connections_silent") > before)
        self.assertEqual(self.broker.log.find("closed", since), [])

    def test_one_byte_at_a_time(self):
        """Each byte of the handshake and of the packets in a segment of its own."""
        tls, inside, outside = context(), ssl.MemoryBIO(), ssl.MemoryBIO()
        with m.Client(self.port()) as c:
            s = tls.wrap_bio(inside, outside, server_hostname="127.0.0.1")

            def shake(fn, *args):
                while True:
                    try:
                        got = fn(*args)
                    except ssl.SSLWantReadError:
                        got = None
                    for b in outside.read():
                        c.send(bytes([b]))
                    if got is not None:
                        return got
                    inside.write(c.sock.recv(1))
            shake(lambda: s.do_handshake() or True)
            shake(s.write, m.connect_packet(self.name("c")) + m.subscribe_packet(1, ("one-byte", 0)))
            got = b""
            while len(got) < 9:
                got += shake(s.read, 1)
            self.assertEqual(got, b"\x20\x02\0\0\x90\x03\0\x01\0")

    def test_openssl_client(self):
        r = subprocess.run(["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.port(), "-CAfile",
                            fubar.certificates().ca, "-verify_return_error"], input=b"", capture_output=True, timeout=20,
                           check=False)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertIn(b"Verify return code: 0 (ok)", r.stdout)

    def openssl(self, *args):
        """s_client with a pipe to type into; what it shows."""
        p = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % self.port(), *args], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(p.wait)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.kill)
        os.set_blocking(p.stdout.fileno(), False)
        text = bytearray()

        def see(what):
            def look():
                text.extend(p.stdout.read() or b"")
                return text.find(what) >= 0
            fubar.until("s_client shows %r" % what, look)
            del text[:text.find(what) + len(what)]

        def type_in(data):
            p.stdin.write(data)
            p.stdin.flush()
        return type_in, see

    def test_new_keys_within_a_connection(self):
        """K: the client changes its keys, and asks the server to do the same."""
        type_in, see = self.openssl("-tls1_3")
        see(b"Verify return code")
        type_in(m.connect_packet(self.name("c")))
        see(b"\x20\x02\0\0")
        for _ in range(3):
            type_in(b"K\n")
            see(b"KEYUPDATE")
            type_in(m.packet(m.PINGREQ, 0))
            see(b"\xd0\0")

    def test_too_many_new_keys(self):
        """Each costs the server more than the client: a few hundred end the connection."""
        type_in, see = self.openssl("-tls1_3")
        see(b"Verify return code")
        type_in(m.connect_packet(self.name("c")))
        see(b"\x20\x02\0\0")
        since = self.broker.log.mark()
        try:
            for _ in range(300):
                type_in(b"k\n")
                see(b"KEYUPDATE")
        except (OSError, m.Timeout):
            pass                        # it is gone
        self.broker.log.wait('closed client=%s .*reason="TLS: too many changes of keys"' % self.name("c"), since)

    def test_no_renegotiation(self):
        type_in, see = self.openssl("-tls1_2")
        see(b"Verify return code")
        type_in(m.connect_packet(self.name("c")))
        see(b"\x20\x02\0\0")
        type_in(b"R\n")
        see(b"no renegotiation")
        fubar.until("the client is gone", lambda: self.name("c") not in self.broker.sessions())

    def test_mosquitto_clients(self):
        common = ["-h", "127.0.0.1", "-p", str(self.port()), "--cafile", fubar.certificates().ca, "-t", self.name("t"), "-q", "1"]
        sub = subprocess.Popen(["mosquitto_sub", *common, "-i", "mosq-sub", "-C", "1", "-W", "20"], stdout=subprocess.PIPE)
        fubar.until("it has subscribed", lambda: self.broker.sessions().get("mosq-sub", {}).get("subscriptions"))
        subprocess.run(["mosquitto_pub", *common, "-m", "it works"], check=True, timeout=20)
        self.assertEqual(sub.communicate(timeout=20)[0], b"it works\n")

    def test_paho(self):
        import paho.mqtt.client as paho
        got, up = [], []
        c = paho.Client("paho-tls")
        c.tls_set(fubar.certificates().ca)
        c.on_connect = lambda *_: c.subscribe("paho/#", 2)
        c.on_subscribe = lambda *_: up.append(c.publish("paho/x", b"y" * 100000, 2))
        c.on_message = lambda *a: got.append(a[2].payload)
        c.connect("127.0.0.1", self.port())
        c.loop_start()
        try:
            self.assertEqual(fubar.until("a message", lambda: got), [b"y" * 100000])
        finally:
            c.disconnect()
            c.loop_stop()

    def test_handshake_time_out(self):
        """Half a handshake does not hold a connection for long, and the others do not wait for it."""
        self.broker.admin("settings", "set", "server.timeout", "1s")
        try:
            since = self.broker.log.mark()
            with m.Client(self.port()) as c:
                c.send(b"\x16\x03\x01\x02\x00\x01")
                c.wait_closed()
            self.broker.log.wait("reason=\"no CONNECT in time\"", since)
        finally:
            self.broker.admin("settings", "unset", "server.timeout")


class Tickets(Tls):
    def resume(self, version, fresh):
        """Resumes again and again, each time by the newest ticket if fresh, until every worker has done it."""
        tls = context(version=version)
        with self.raw(tls) as s:
            self.say(s, self.name("first"))
            session = s.session
        seen = set()
        for i in range(60):
            with self.raw(tls, session) as s:
                self.assertTrue(s.session_reused, "try %d" % i)
                self.say(s, self.name("c"))
                seen.add(self.broker.worker_of(self.name("c")))
                if fresh:
                    session = s.session
                if len(seen) == 2:
                    return
        self.fail("60 connections reached only workers %s" % seen)

    def test_at_every_worker(self):
        before = self.broker.counter(RESUMES)
        self.resume(ssl.TLSVersion.TLSv1_2, False)
        self.resume(ssl.TLSVersion.TLSv1_3, True)
        self.assertGreater(self.broker.counter(RESUMES), before + 3)


class TicketKeys(Tls):
    broker_options = {"transport": "tls", "workers": 1, "settings": {"server.ticket_rotation": "1s"}}
    may_die = True

    def test_worker_restart_and_rotation(self):
        tls = context(version=ssl.TLSVersion.TLSv1_2)
        with self.raw(tls) as s:
            self.say(s, "a")
            first = s.session
        since = self.broker.log.mark()
        os.kill(self.broker.worker_pids()[0], signal.SIGKILL)
        self.broker.log.wait("back process=worker", since)
        with self.raw(tls) as s:
            self.say(s, "b")
            session = s.session
        # The key has changed, and the ticket with it: until then each is taken; then the first one is worth nothing.
        def is_old():
            with self.raw(tls, first) as s:
                return not s.session_reused
        fubar.until("a new key, and another", is_old, every=0.3)
        with self.raw(tls, session) as s:
            self.say(s, "c")


class KeysHold(Tls):
    broker_options = {"transport": "tls", "workers": 1}
    may_die = True

    def test_resumed_after_a_worker_was_killed(self):
        tls = context(version=ssl.TLSVersion.TLSv1_2)
        clients = [self.connected(self.name("c%d" % i)) for i in range(20)]
        with self.raw(tls) as s:
            self.say(s, "a")
            session = s.session
        since = self.broker.log.mark()
        os.kill(self.broker.worker_pids()[0], signal.SIGKILL)
        self.broker.log.wait("back process=worker", since)
        for c in clients:
            c.wait_closed()
        with self.raw(tls, session) as s:
            self.assertTrue(s.session_reused)
            self.say(s, "b")


class Sizes(Tls):
    def test_large_messages_and_a_slow_reader(self):
        pub, slow = self.connected(), self.connected()
        slow.subscribe("big", qos=1)
        payloads = [bytes([65 + i]) * BIG for i in range(4)]
        for p in payloads:
            pub.publish("big", p, qos=1)
        pub.ping()                      # the others are served meanwhile
        for p in payloads:
            got = slow.get_publish()
            self.assertEqual((len(got.payload), got.payload == p), (BIG, True))

    def test_many_sizes_in_order(self):
        """Around the bounds of records, references and buffers, mixed, in one stream."""
        sizes = [0, 1, 100, 8191, 8192, 8193, 16383, 16384, 16385, 16350, 32768, 65536, 70000, 3, 200000, 5] * 4
        pub, sub = self.connected(), self.connected()
        sub.subscribe("sizes")
        data = os.urandom(max(sizes))
        pub.send(b"".join(m.publish_packet("sizes", data[:n]) for n in sizes))
        for i, n in enumerate(sizes):
            self.assertEqual(sub.get_publish().payload, data[:n], "message %d of %d bytes" % (i, n))

    def test_flood_of_small_records(self):
        pub, sub = self.connected(), self.connected()
        sub.subscribe("small", qos=0)
        for i in range(3000):
            pub.send(m.publish_packet("small", str(i)))
        for i in range(3000):
            self.assertEqual(sub.get_publish().payload, b"%d" % i)


class ClientCertificates(Tls):
    broker_options = {"workers": 1, "auth": True, "start": False}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        c = cls.certs = fubar.certificates()
        cls.dir = tempfile.mkdtemp(prefix="fubar-c-")
        cls.other = certs.Certs(cls.dir)
        for name, mode, cn in (("mqtts", "required", "false"), ("mqtts2", "optional", "true"), ("mqtts3", "off", "false")):
            key = "listeners." + name
            cls.broker.settings.update({key + ".port": "-1", key + ".bind": "127.0.0.1", key + ".cert": c.cert,
                                        key + ".key": c.key, key + ".ca": c.ca, key + ".client_cert": mode,
                                        key + ".cn_is_user": cn})
        cls.broker.start()
        cls.broker.admin("account", "set", "alice", "secret")

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        shutil.rmtree(cls.dir)

    def connect(self, listener, cert=None, key=None, **kw):
        """The CONNACK's code; what the client is told when it is refused."""
        with m.Client(self.broker.read_port(listener), tls=context(cert=cert, key=key)) as c:
            try:
                return c.connect(self.name("c"), expect=None, **kw).rc
            except ssl.SSLError as e:
                return e.reason
            except m.Closed:
                return "closed"

    def test_required(self):
        self.assertIn("CERTIFICATE_REQUIRED", self.said(
            "reason=\"TLS handshake: peer did not return a certificate\"", lambda: self.connect("mqtts")))
        ours = (self.certs.client_cert, self.certs.client_key)
        self.assertEqual(self.connect("mqtts", *ours), 5)               # the name is not the user here
        self.assertEqual(self.connect("mqtts", *ours, user="alice", password="secret"), 0)

    def test_of_another_authority(self):
        for listener in ("mqtts", "mqtts2"):
            self.assertIn("UNKNOWN_CA", self.said(
                "reason=\"client certificate: (unable to get local issuer|certificate signature|self)",
                lambda: self.connect(listener, self.other.client_cert, self.other.client_key)))

    def test_expired(self):
        cert = self.certs.path("expired.crt")
        subprocess.run(["openssl", "x509", "-req", "-in", self.certs.path("client.csr"), "-CA", self.certs.ca, "-CAkey",
                        self.certs.path("ca.key"), "-set_serial", "7", "-days", "-1", "-out", cert], check=True,
                       capture_output=True)
        self.assertIn("EXPIRED", self.said("reason=\"client certificate: certificate has expired\"",
                                           lambda: self.connect("mqtts", cert, self.certs.client_key)))

    def test_certificate_of_a_server(self):
        """Whoever has the key of some server of ours is not yet a client."""
        cert = self.certs.path("as-server.crt")
        with open(self.certs.path("as-server.ext"), "w", encoding="ascii") as f:
            f.write("extendedKeyUsage=serverAuth\n")
        subprocess.run(["openssl", "x509", "-req", "-in", self.certs.path("client.csr"), "-CA", self.certs.ca, "-CAkey",
                        self.certs.path("ca.key"), "-set_serial", "8", "-days", "2", "-extfile",
                        self.certs.path("as-server.ext"), "-out", cert], check=True, capture_output=True)
        self.assertNotEqual(0, self.said(
            "reason=\"client certificate: unsuitable certificate purpose\"",
            lambda: self.connect("mqtts", cert, self.certs.client_key, user="alice", password="secret")))

    def test_name_is_user(self):
        ours = (self.certs.client_cert, self.certs.client_key)
        self.assertEqual(self.connect("mqtts2"), 5)
        self.assertEqual(self.connect("mqtts2", user="alice", password="secret"), 0)
        self.assertEqual(self.connect("mqtts2", user="alice", password="wrong"), 4)
        with m.Client(self.broker.read_port("mqtts2"), tls=context(cert=ours[0], key=ours[1])) as c:
            c.connect("by-cert", user="alice", password="wrong")
            self.assertEqual(self.broker.sessions()["by-cert"]["account"], "client")

    def test_name_that_no_account_can_have(self):
        """It would be a line of its own in the log: such a client has to log in like others."""
        cert, csr = self.certs.path("odd.crt"), self.certs.path("odd.csr")
        subprocess.run(["openssl", "req", "-new", "-utf8", "-key", self.certs.client_key, "-subj", "/CN=a\nb", "-out", csr],
                       check=True, capture_output=True)
        subprocess.run(["openssl", "x509", "-req", "-in", csr, "-CA", self.certs.ca, "-CAkey", self.certs.path("ca.key"),
                        "-set_serial", "9", "-days", "2", "-out", cert], check=True, capture_output=True)
        self.assertEqual(self.connect("mqtts2", cert, self.certs.client_key), 5)
        self.assertEqual(self.connect("mqtts2", cert, self.certs.client_key, user="alice", password="secret"), 0)

    def test_off(self):
        self.assertEqual(self.connect("mqtts3", self.other.client_cert, self.other.client_key, user="alice",
                                      password="secret"), 0)

    def test_ticket_is_worth_nothing_to_other_authorities(self):
        """Nor is it when the authorities of its listener were replaced."""
        dir = tempfile.mkdtemp(prefix="fubar-c-")
        self.addCleanup(shutil.rmtree, dir)
        ca, c = os.path.join(dir, "ca.crt"), self.certs
        shutil.copy(c.ca, ca)
        settings = {"listeners.mqtts.ca": ca, "listeners.mqtts.client_cert": "required"}
        tls = context(cert=c.client_cert, key=c.client_key, version=ssl.TLSVersion.TLSv1_2)
        with fubar.Broker(transport="tls", workers=1, settings=settings) as broker:
            def shake(session):
                with socket.create_connection(("127.0.0.1", broker.read_port("mqtts"))) as sock:
                    with tls.wrap_socket(sock, server_hostname="127.0.0.1", session=session) as s:
                        return s.session, s.session_reused
            session = shake(None)[0]
            self.assertTrue(shake(session)[1])
            shutil.copy(self.other.ca, ca)      # of the same name
            broker.admin("reload")

            def refused():
                try:
                    shake(session)
                except (ssl.SSLError, ConnectionError):
                    return True
                return False
            fubar.until("the client is refused", refused)

    def test_ticket_of_another_listener_is_not_taken(self):
        """Else a client without a certificate could resume where one is required."""
        tls = context(version=ssl.TLSVersion.TLSv1_2)
        with socket.create_connection(("127.0.0.1", self.broker.read_port("mqtts3"))) as sock:
            with tls.wrap_socket(sock, server_hostname="127.0.0.1") as s:
                session = s.session
        with socket.create_connection(("127.0.0.1", self.broker.read_port("mqtts"))) as sock:
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                with tls.wrap_socket(sock, server_hostname="127.0.0.1", session=session) as s:
                    s.sendall(m.connect_packet("x"))
                    if s.recv(1) == b"":
                        raise ConnectionError


class Replaced(Tls):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fubar-c-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.new = certs.Certs(self.dir)

    def serial(self):
        with self.raw(self.any) as s:
            return s.getpeercert(binary_form=True)

    def test_without_touching_connections(self):
        self.any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.any.check_hostname, self.any.verify_mode = False, ssl.CERT_NONE
        cert, key = (os.path.join(self.broker.dir, n) for n in ("live.crt", "live.key"))
        shutil.copy(fubar.certificates().cert, cert)
        shutil.copy(fubar.certificates().key, key)
        settings = {"listeners.mqtts.cert": cert, "listeners.mqtts.key": key}
        broker = fubar.Broker(transport="tls", workers=2, settings=settings)
        self.addCleanup(broker.close)
        old, Replaced.broker = self.broker, broker
        self.addCleanup(setattr, Replaced, "broker", old)
        live = broker.connected("live")
        self.addCleanup(live.close)
        before = self.serial()
        shutil.copy(self.new.cert, cert)
        shutil.copy(self.new.key, key)
        broker.admin("reload")
        after = fubar.until("the new one", lambda: self.serial() != before and self.serial())
        live.ping()
        # What does not work changes nothing, and is said: by the answer and in the log.
        for name, text, why in ((cert, b"nonsense", "in PEM form"), (key, b"nonsense", "DECODER routines|in PEM form|unsupported"),
                                (key, slurp(fubar.certificates().key), "is not the key of the certificate")):
            good = slurp(name)
            with open(name, "wb") as f:
                f.write(text)
            since = broker.log.mark()
            with self.assertRaises(fubar.AdminError) as e:
                broker.admin("reload")
            self.assertRegex(str(e.exception), "%s: .*(%s)" % (name, why))
            broker.log.wait("refused, the old configuration stays.*%s" % os.path.basename(name), since)
            self.assertEqual(self.serial(), after)
            with open(name, "wb") as f:
                f.write(good)
        os.unlink(key)
        with self.assertRaisesRegex(fubar.AdminError, "%s: No such file" % key):
            broker.admin("reload")
        live.ping()
        self.assertEqual(self.serial(), after)

    def test_state_has_the_days(self):
        row = next(r for r in self.broker.admin_json("state")["tables"]["listeners"] if r["listener"].startswith("mqtts "))
        self.assertIn(row["certificate_days"], (1, 2))
        self.broker.log.wait("certificate expires soon listener=mqtts .*days=1")


class Scripts(unittest.TestCase):
    """scripts/new-certs and scripts/clear-certs. The README's tour uses what they make."""

    def run_script(self, name, *args):
        return subprocess.run([os.path.join(fubar.ROOT, "scripts", name), *args], cwd=self.dir, capture_output=True, text=True,
                              timeout=60, check=False, stdin=subprocess.DEVNULL)

    def look(self, name, *what):
        return subprocess.run(["openssl", "x509", "-noout", "-in", os.path.join(self.certs, name), *what], check=True,
                              capture_output=True, text=True).stdout

    def test_make_again_and_clear(self):
        self.dir = tempfile.mkdtemp(prefix="fubar-c-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.certs = os.path.join(self.dir, "here")
        r = self.run_script("new-certs", "-d", "here", "-c", "alice", "mqtt.example.org", "192.0.2.7", "2001:db8::7")
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        modes = {n: os.stat(os.path.join(self.certs, n)).st_mode & 0o777 for n in os.listdir(self.certs)}
        self.assertEqual(modes, {"ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644, "server.key": 0o600,
                                 "alice.crt": 0o644, "alice.key": 0o600, "alice.p12": 0o600})
        text = self.look("server.crt", "-ext", "subjectAltName,extendedKeyUsage")
        for part in ("DNS:mqtt.example.org", "IP Address:192.0.2.7", "IP Address:2001:DB8:0:0:0:0:0:7",
                     "TLS Web Server Authentication"):
            self.assertIn(part, text)
        self.assertIn("CN = alice", self.look("alice.crt", "-subject"))
        for name, purpose in (("server", "sslserver"), ("alice", "sslclient")):
            subprocess.run(["openssl", "verify", "-CAfile", "here/ca.crt", "-purpose", purpose, "here/%s.crt" % name], check=True,
                           cwd=self.dir, capture_output=True)
        before = {n: slurp(os.path.join(self.certs, n)) for n in modes}
        self.assertEqual(self.run_script("new-certs", "-d", "here", "-c", "bob").returncode, 0)
        self.assertEqual({n: slurp(os.path.join(self.certs, n)) for n in modes}, before)
        self.assertIn("bob.p12", os.listdir(self.certs))
        self.assertEqual(self.run_script("clear-certs", "here").returncode, 0)
        self.assertFalse(os.path.exists(self.certs))
        self.assertEqual(self.run_script("clear-certs", "here").returncode, 1)
        self.assertEqual(self.run_script("new-certs", "-c", "server").returncode, 2)
        self.assertEqual(self.run_script("new-certs", "-x").returncode, 2)


class Links(unittest.TestCase):
    def test_the_supervisor_has_no_openssl(self):
        needed = {name: subprocess.run(["readelf", "-d", fubar.program(name)], capture_output=True, text=True,
                                       check=True).stdout for name in ("fubard", "fubar-worker")}
        self.assertIn("libssl", needed["fubar-worker"])
        self.assertNotRegex(needed["fubard"], "libssl|libcrypto")


class BadStart(unittest.TestCase):
    def check(self, why, **files):
        c = fubar.certificates()
        settings = {"listeners.mqtts.cert": c.cert, "listeners.mqtts.key": c.key}
        settings.update({"listeners.mqtts." + k: v for k, v in files.items()})
        broker = fubar.Broker(transport="tls", settings=settings, start=False)
        try:
            for extra in ([], ["--check"]):
                r = subprocess.run(broker.command() + extra, capture_output=True, text=True, timeout=20, check=False,
                                   stdin=subprocess.DEVNULL, env=fubar.sanitizer_env(broker.dir))
                self.assertEqual((r.returncode, len(r.stderr.splitlines())), (1, 1), r.stderr)
                self.assertRegex(r.stderr, why)
            self.assertRegex(subprocess.run(broker.command() + ["--doctor"], capture_output=True, text=True, timeout=20,
                                            check=False).stdout, "WRONG +%s" % why.replace("fubard: ", ""))
        finally:
            broker.close()

    def test_files(self):
        c = fubar.certificates()
        self.check("fubard: listeners.mqtts.cert /nowhere: No such file", cert="/nowhere")
        self.check("fubard: listeners.mqtts.cert %s: holds nothing of that kind in PEM form" % c.key, cert=c.key)
        self.check("fubard: listeners.mqtts.key %s: is not the key" % c.client_key, key=c.client_key)
        self.check("fubard: listeners.mqtts.ca %s: " % c.key, ca=c.key, client_cert="required")

    def test_passphrase(self):
        c = fubar.certificates()
        path = c.path("locked.key")
        subprocess.run(["openssl", "pkey", "-in", c.key, "-aes256", "-passout", "pass:x", "-out", path], check=True)
        self.check("fubard: listeners.mqtts.key %s: is protected by a passphrase" % path, key=path)

    @unittest.skipIf(os.geteuid() != 0, "needs root, to become another user")
    def test_unreadable_for_the_user(self):
        broker = fubar.Broker(transport="tls", settings={"user": "nobody"}, start=False)
        try:
            os.chmod(broker.dir, 0o755)
            r = subprocess.run(broker.command() + ["--check"], capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(r.returncode, 1)
            self.assertRegex(r.stderr, "listeners.mqtts.cert .*: Permission denied; user [0-9]+, as whom fubard runs")
        finally:
            broker.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
