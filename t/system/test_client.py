#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-client sub, pub and bench, and mosquitto's clients beside them, against the broker under test."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

import fubar

CLIENT = fubar.program("fubar-client")
SHORT = 4 if fubar.SANITIZED else 1


class Case(fubar.TestCase):
    def args(self, word, *args):
        return [CLIENT, word, "-h", "127.0.0.1", "-p", str(self.broker.port), *args]

    def run_client(self, word, *args, input=None, env=None):
        return subprocess.run(self.args(word, *args), input=input, capture_output=True, timeout=60, check=False, env=env)

    def ok(self, word, *args, **kw):
        r = self.run_client(word, *args, **kw)
        self.assertEqual(r.returncode, 0, r.stderr.decode())
        return r.stdout

    def subscriber(self, *args):
        """A sub that has its SUBACK; its standard output is a pipe."""
        p = subprocess.Popen(self.args("sub", "-d", *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.reap, p)
        for line in p.stderr:
            if b"received SUBACK" in line:
                return p
        self.fail("no SUBACK")

    def reap(self, p):
        if p.poll() is None:
            p.kill()
        p.wait()
        p.stdout.close()
        p.stderr.close()

    def result(self, p):
        out, _ = p.communicate(timeout=60)
        return p.returncode, out


class SubPub(Case):
    # A whole file of lines may wait for a slow subscriber.
    broker_options = {"settings": {"session.buffer_limit": "100000"}}

    def test_every_qos_and_level(self):
        for level in ("mqttv31", "mqttv311"):
            for qos in "012":
                t = self.name(level + qos)
                sub = self.subscriber("-V", level, "-q", qos, "-t", t, "-C", "1", "-F", "%t %q %p")
                self.ok("pub", "-V", level, "-q", qos, "-t", t, "-m", "hello")
                self.assertEqual(self.result(sub), (0, ("%s %s hello\n" % (t, qos)).encode()))

    def test_lines(self):
        lines = b"".join(b"line %d\n" % i for i in range(20000))
        for qos in "012":
            t = self.name(qos)
            sub = self.subscriber("-q", qos, "-t", t, "-C", "20000")
            out = []
            reader = threading.Thread(target=lambda s=sub: out.append(s.stdout.read()))
            reader.start()
            # The rest of stderr must not fill its pipe.
            drain = threading.Thread(target=sub.stderr.read)
            drain.start()
            # QoS 0 in handfuls that no broker drops.
            for i in range(0, len(lines), len(lines) // 20 + 1) if qos == "0" else [0]:
                part = lines[i:i + len(lines) // 20 + 1] if qos == "0" else lines
                if qos == "0":
                    # Cut at line ends.
                    start = lines.rfind(b"\n", 0, i) + 1 if i else 0
                    end = lines.rfind(b"\n", 0, i + len(part)) + 1
                    part = lines[start:end]
                self.ok("pub", "-q", qos, "-t", t, "-l", input=part)
            reader.join(60)
            drain.join(60)
            self.assertEqual(sub.wait(60), 0)
            self.assertEqual(out[0], lines)

    def test_last_line_needs_no_line_end(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "2")
        self.ok("pub", "-t", t, "-l", input=b"one\ntwo")
        self.assertEqual(self.result(sub), (0, b"one\ntwo\n"))

    def test_payload_sources(self):
        t = self.name()
        body = bytes(range(256)) * 400
        sub = self.subscriber("-t", t, "-C", "4", "-N", "-q", "1")
        with tempfile.NamedTemporaryFile() as f:
            f.write(body)
            f.flush()
            self.ok("pub", "-q", "1", "-t", t, "-f", f.name)
        self.ok("pub", "-q", "1", "-t", t, "-s", input=body)
        self.ok("pub", "-q", "1", "-t", t, "-n")
        self.ok("pub", "-q", "1", "-t", t, "-m", "end")
        self.assertEqual(self.result(sub), (0, body + body + b"end"))

    def test_repeat(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "5")
        self.ok("pub", "-t", t, "-m", "x", "--repeat", "3")
        self.ok("pub", "-t", t, "-m", "x", "--repeat", "2", "--repeat-delay", "0.01", "-q", "2")
        self.assertEqual(self.result(sub), (0, b"x\n" * 5))

    def test_retained(self):
        t = self.name()
        self.ok("pub", "-t", t + "/1", "-m", "kept", "-r", "-q", "1")
        self.assertEqual(self.ok("sub", "-t", t + "/+", "-C", "1", "-F", "%r %p"), b"1 kept\n")
        r = self.run_client("sub", "-t", t + "/+", "-R", "-W", "0.3")
        self.assertEqual((r.returncode, r.stdout), (27, b""))
        self.ok("pub", "-t", t + "/1", "-n", "-r", "-q", "1")
        self.assertEqual(self.run_client("sub", "-t", t + "/+", "-W", "0.3").returncode, 27)

    def test_filters_out_and_verbose(self):
        t = self.name()
        sub = self.subscriber("-v", "-t", t + "/#", "-T", t + "/no/#", "-C", "2")
        for topic, text in (("/no/1", "x"), ("/yes", "y"), ("/no", "x"), ("/z", "")):
            self.ok("pub", "-t", t + topic, "-m", text, "-q", "1")
        self.assertEqual(self.result(sub), (0, ("%s/yes y\n%s/z (null)\n" % (t, t)).encode()))

    def test_a_kept_session(self):
        t = self.name()
        durable = ("-i", t, "-c", "-q", "1", "-t", t)
        self.ok("sub", *durable, "-E")
        for n in range(5):
            self.ok("pub", "-t", t, "-m", "m%d" % n, "-q", "1")
        # What comes after the second is not acknowledged, and waits.
        self.assertEqual(self.ok("sub", *durable, "-C", "2"), b"m0\nm1\n")
        self.assertEqual(self.ok("sub", *durable, "-C", "3"), b"m2\nm3\nm4\n")
        self.ok("sub", *durable[:-2], "-U", t)
        self.ok("sub", "-i", t, "-t", t, "-E")

    def test_will(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "1", "-q", "1")
        lost = self.subscriber("-t", t + "/other", "--will-topic", t, "--will-payload", "gone", "--will-qos", "1")
        lost.kill()
        self.assertEqual(self.result(sub), (0, b"gone\n"))

    def test_no_will_after_sigint(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "1", "-q", "1")
        other = self.subscriber("-t", t + "/other", "--will-topic", t, "--will-payload", "gone", "--will-qos", "1")
        other.send_signal(signal.SIGINT)
        self.assertEqual(self.result(other)[0], 0)
        self.ok("pub", "-t", t, "-m", "after", "-q", "1")
        self.assertEqual(self.result(sub), (0, b"after\n"))

    def test_json(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "1", "-F", "%j")
        self.ok("pub", "-t", t, "-m", 'say "hi"')
        row = json.loads(self.result(sub)[1])
        self.assertEqual((row["topic"], row["payload"], row["qos"], row["payloadlen"]), (t, 'say "hi"', 0, 8))

    @unittest.skipUnless(shutil.which("mosquitto_pub"), "mosquitto-clients is not installed")
    def test_with_mosquittos_clients(self):
        t = self.name()
        sub = self.subscriber("-t", t, "-C", "1", "-q", "2")
        subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", t, "-m", "theirs", "-q", "2"],
                       check=True, timeout=30)
        self.assertEqual(self.result(sub), (0, b"theirs\n"))
        self.ok("pub", "-t", t, "-m", "ours", "-r", "-q", "1")
        r = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", t, "-C", "1", "-W", "20"],
                           capture_output=True, check=True, timeout=30)
        self.assertEqual(r.stdout, b"ours\n")
        self.ok("pub", "-t", t, "-n", "-r", "-q", "1")


class Failures(Case):
    def test_no_server(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))    # bound, and not listening: nobody else can have it
            port = str(s.getsockname()[1])
            for word, rest in (("pub", ["-m", "x", "-t", "a"]), ("sub", ["-t", "a"])):
                r = subprocess.run([CLIENT, word, "-h", "127.0.0.1", "-p", port, *rest], capture_output=True, check=False)
                self.assertEqual(r.returncode, 3)
                self.assertEqual(len(r.stderr.decode().splitlines()), 1)
                self.assertIn(port, r.stderr.decode())
            r = subprocess.run([CLIENT, "bench", "1to1", "-h", "127.0.0.1", "-p", port], capture_output=True, check=False)
            self.assertEqual(r.returncode, 1)
            self.assertIn("refused", r.stderr.decode())

    def test_usage(self):
        for args in (["sub"], ["pub", "-t", "a"], ["bench"], ["nonsense"], []):
            r = subprocess.run([CLIENT, *args], capture_output=True, check=False)
            self.assertEqual((r.returncode, r.stdout), (2, b""))
            self.assertTrue(r.stderr)
        for args in (["sub", "--help"], ["pub", "--help"], ["bench", "--help"], ["--help"], ["--version"]):
            r = subprocess.run([CLIENT, *args], capture_output=True, check=False)
            self.assertEqual((r.returncode, r.stderr), (0, b""))
            self.assertTrue(r.stdout)

    def test_a_server_that_closes(self):
        """Closed before CONNACK, and a CONNACK that refuses: exit codes 1 and the code itself."""
        for answer, want in ((b"", 1), (b"\x20\x02\x00\x05", 5), (b"\x20\x02\x00\x04", 4), (b"junk", 1)):
            with socket.create_server(("127.0.0.1", 0)) as s:
                p = subprocess.Popen([CLIENT, "pub", "-h", "127.0.0.1", "-p", str(s.getsockname()[1]), "-t", "a", "-m", "x"],
                                     stderr=subprocess.PIPE)
                c, _ = s.accept()
                c.recv(1000)
                c.sendall(answer)
                c.close()
                _, err = p.communicate(timeout=30)
                self.assertEqual(p.returncode, want, err)
                self.assertEqual(len(err.splitlines()), 1, err)

    def test_output_that_ends(self):
        t = self.name()
        sub = self.subscriber("-t", t)
        sub.stdout.close()
        self.ok("pub", "-t", t, "-m", "x")
        self.assertNotEqual(sub.wait(30), 0)


class Bench(Case):
    def bench(self, *args, status=0):
        r = self.run_client("bench", *args, "--json")
        self.assertEqual(r.returncode, status, r.stderr.decode() + r.stdout.decode())
        return json.loads(r.stdout)

    def test_modes(self):
        for args, sent, each in ((["1to1", "--pairs", "5"], 3000, 1), (["fanin", "--pubs", "7"], 3000, 1),
                                 (["fanout", "--subs", "20"], 300, 20),
                                 (["fanout", "--pubs", "3", "--subs", "4"], 300, 4)):
            for qos in "012":
                r = self.bench(*args, "-q", qos, "-m", str(sent), "-w", "20")
                self.assertTrue(r["ok"])
                self.assertEqual((r["checked"]["sent"], r["checked"]["delivered"]), (sent, sent * each))
                self.assertEqual(r["delivered"]["count"], sent * each)
                for fault in ("lost", "duplicated", "reordered", "damaged", "unacknowledged", "refused", "bad_acks"):
                    self.assertEqual(r["checked"][fault], 0)
                self.assertGreater(r["latency_us"]["p99.9"], 0)
                self.assertGreaterEqual(r["latency_us"]["p99.9"], r["latency_us"]["p50"])

    def test_levels_sizes_and_flags(self):
        for args in (["-V", "3"], ["-V", "4", "-s", "16"], ["-s", "100000", "-w", "3"], ["--retain"],
                     ["--idle", "10", "--subscribe", "100"], ["--spin"]):
            r = self.bench("1to1", "--pairs", "3", "-q", "1", "-m", "300", *args)
            self.assertEqual(r["checked"]["delivered"], 300)

    def test_open_loop(self):
        for mode in ("1to1", "fanin", "fanout"):
            r = self.bench(mode, "--pubs", "4", "--subs", "4", "-q", "1", "-r", "1000", "-m", "500")
            self.assertEqual(r["checked"]["sent"], 500)
            # 500 messages at 1000 a second are due within half a second; a loaded machine may be late, not early.
            self.assertGreater(r["delivered"]["seconds"], 0.45)

    def test_duration(self):
        r = self.bench("1to1", "--pairs", "2", "-d", "0.5", "--warmup", "0.2", "--broker-pid", str(self.broker.proc.pid))
        self.assertGreaterEqual(r["delivered"]["seconds"], 0.5)
        self.assertGreater(r["delivered"]["count"], 0)
        self.assertGreater(r["delivered"]["broker_cpu_us"], 0)
        self.assertGreater(r["broker_pss_bytes"]["after"], 0)

    def test_conn(self):
        r = self.bench("conn", "-n", "300", "--subscribe", "1000", "--broker-pid", str(self.broker.proc.pid))
        self.assertEqual(r["connected"]["count"], 300)
        self.assertGreater(r["latency_us"]["p50"], 0)
        r = self.bench("conn", "-n", "50", "-r", "200")
        self.assertGreater(r["connected"]["seconds"], 0.2)

    def test_hold_until_sigint(self):
        p = subprocess.Popen(self.args("bench", "conn", "-n", "20", "--hold", "600"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(self.reap, p)
        self.assertEqual(p.stdout.readline(), b"holding\n")
        p.send_signal(signal.SIGINT)
        code, out = self.result(p)
        self.assertEqual(code, 0)
        self.assertRegex(out.decode(), r"connected +20 in")

    def test_sigint_ends_a_run_with_its_report(self):
        p = subprocess.Popen(self.args("bench", "1to1", "--pairs", "2", "-d", "600", "--warmup", "0"), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(self.reap, p)
        before = self.broker.counter("publish_in_qos0")
        fubar.until("messages", lambda: self.broker.counter("publish_in_qos0") > before + 100)
        p.send_signal(signal.SIGINT)
        code, out = self.result(p)
        self.assertEqual(code, 0)
        self.assertRegex(out.decode(), r"0 lost, 0 twice, 0 out of order")

    def test_retained(self):
        r = self.bench("retained", "-m", "2000", "--pubs", "3")
        self.assertEqual((r["set"]["count"], r["fetched"]["count"], r["checked"]["lost"]), (2000, 2000, 0))
        # All are cleared again.
        r = self.run_client("sub", "-t", "fb#", "-W", "0.1")
        self.assertEqual(r.returncode, 2)


class Proxy:
    """Between the clients and the broker: hands bytes on, and changes what the broker sends to subscribers."""

    def __init__(self, port, change):
        self.target = port
        self.change = change
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                a, _ = self.listener.accept()
            except OSError:
                return
            b = socket.create_connection(("127.0.0.1", self.target))
            self.sockets += [a, b]
            for src, dst, change in ((a, b, None), (b, a, self.change)):
                t = threading.Thread(target=self.pump, args=(src, dst, change))
                self.threads.append(t)
                t.start()

    @staticmethod
    def packets(data):
        """The whole packets (of less than 128 bytes) in data, and the rest."""
        out = []
        while len(data) >= 2 and len(data) >= 2 + data[1]:
            out.append(data[:2 + data[1]])
            data = data[2 + data[1]:]
        return out, data

    def pump(self, src, dst, change):
        data = b""
        try:
            while True:
                got = src.recv(65536)
                if not got:
                    break
                if change is None:
                    dst.sendall(got)
                    continue
                whole, data = self.packets(data + got)
                dst.sendall(b"".join(change(whole)))
        except OSError:
            pass
        for s in (src, dst):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        for t in self.threads:
            t.join(30)
        for s in [self.listener, *self.sockets]:
            s.close()


class BenchFindsFaults(Case):
    """The checks of bench are checked: a proxy that loses, doubles or swaps messages must not go unnoticed."""

    def faulty(self, change, *args):
        state = {"n": 0}

        def changed(packets):
            out = []
            for p in packets:
                if p[0] >> 4 == 3:
                    state["n"] += 1
                    out += change(state["n"], p)
                else:
                    out.append(p)
            return out

        proxy = Proxy(self.broker.port, changed)
        try:
            r = subprocess.run([CLIENT, "bench", "1to1", "--pairs", "1", "-h", "127.0.0.1", "-p", str(proxy.port), "-m",
                                "200", "-w", "20", "--json", "--stall", str(SHORT), *args], capture_output=True, timeout=60, check=False)
            return r.returncode, json.loads(r.stdout)["checked"]
        finally:
            proxy.close()

    def test_loss(self):
        code, c = self.faulty(lambda n, p: [] if n in (50, 51, 150) else [p])
        self.assertEqual((code, c["lost"], c["duplicated"], c["reordered"]), (1, 3, 0, 0))
        code, c = self.faulty(lambda n, p: [] if n == 50 else [p], "--allow-loss")
        self.assertEqual((code, c["lost"]), (0, 1))

    def test_duplicates(self):
        code, c = self.faulty(lambda n, p: [p, p] if n in (50, 120) else [p])
        self.assertEqual((code, c["lost"], c["duplicated"], c["reordered"]), (1, 0, 2, 0))

    def test_order(self):
        held = []

        def swap(n, p):
            if n == 60:
                held.append(p)
                return []
            return [p, held.pop()] if held else [p]

        code, c = self.faulty(swap)
        self.assertEqual((code, c["lost"], c["duplicated"], c["reordered"]), (1, 0, 0, 1))

    def test_damage(self):
        code, c = self.faulty(lambda n, p: [p[:1] + bytes([p[1] - 1]) + p[2:-1]] if n == 10 else [p])
        self.assertEqual((code, c["damaged"], c["lost"]), (1, 1, 1))


@fubar.needs_fubar
class Cross(Case):
    broker_options = {"workers": 2}

    def test_pairs_on_different_workers(self):
        for mode, args in (("1to1", ["--pairs", "5"]), ("fanin", ["--pubs", "5"]), ("fanout", ["--subs", "5"])):
            p = subprocess.Popen(self.args("bench", mode, *args, "--cross", "--admin-socket",
                                           os.path.join(self.broker.run_dir, "admin.sock"), "-d", "2", "--warmup", "0",
                                           "-r", "100", "--clients-prefix", mode), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.addCleanup(self.reap, p)
            topics = fubar.until("subscribed", lambda m=mode: self.topics(m))
            self.assertTrue(topics)
            # To its own end: an interrupt may come before the first message, and that is no success.
            code, out = self.result(p)
            self.assertEqual(code, 0, out)

    def topics(self, mode):
        rows = self.broker.admin_json("topic", "list")
        rows = rows.get("rows", rows) if isinstance(rows, dict) else rows
        return [r for r in rows if re.search(re.escape(mode), json.dumps(r))]

    def test_one_worker_is_not_enough(self):
        with fubar.Broker(workers=1) as b:
            r = subprocess.run([CLIENT, "bench", "1to1", "--pairs", "2", "--cross", "-h", "127.0.0.1", "-p", str(b.port),
                                "--admin-socket", os.path.join(b.run_dir, "admin.sock")], capture_output=True, check=False,
                               timeout=60)
            self.assertEqual(r.returncode, 1)
            self.assertIn(b"more than one worker", r.stderr)


if __name__ == "__main__":
    fubar.main()
