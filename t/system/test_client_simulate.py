#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fubar-client simulate: a crowd that finds nothing wrong with a broker that does its work, and all that is wrong with
servers that do not."""

import json
import os
import signal
import subprocess
import unittest

import fubar
from fake_server import Server

CLIENT = fubar.program("fubar-client")


def simulate(port, *args):
    r = subprocess.run([CLIENT, "simulate", "-h", "127.0.0.1", "-p", str(port), "--json", *args], capture_output=True,
                       timeout=120, check=False)
    return r.returncode, json.loads(r.stdout), r.stderr.decode()


def simulate_until(enough, port, *args, seconds=1.0):
    """For so long, or on a machine that is slow longer, until the report has enough in it."""
    while True:
        code, report, err = simulate(port, "-d", "%.1f" % seconds, *args)
        if enough(report) or seconds > 30:
            return code, report, err
        seconds *= 4


def reap(p):
    p.kill()
    p.wait()
    p.stdout.close()


class Crowd(fubar.TestCase):
    def test_nothing_is_wrong(self):
        for level in ("31", "311"):
            code, report, err = simulate_until(
                lambda r: r["connected"]["count"] > 60 and min(r["published"][n] for n in ("direct", "qos1", "qos2")) > 50,
                self.broker.port, "-V", level, "--ids", "3-32", "--reconnect", "0.5", "--away", "0.1", "--publish", "0.05",
                "--seed", "7", seconds=2)
            self.assertEqual((code, report["ok"], err), (0, True, ""), report)
            self.assertEqual((report["clients"], report["seed"]), (30, 7))
            self.assertGreater(report["connected"]["count"], 60)
            self.assertGreater(report["published"]["direct"], 50)
            for qos in ("qos1", "qos2"):
                self.assertGreater(report["published"][qos], 50)
                self.assertEqual(report["published"][qos], report["arrived"][qos])

    def test_clean_sessions_and_the_mix(self):
        code, report, _ = simulate_until(lambda r: r["ended"]["dropped"] > 10, self.broker.port, "--clean", "--reconnect", "0.3",
                                         "--publish", "0.05", "--mix", "topic=1,qos1=3", "--drop", "100", "-r", "1000",
                                         "--ids", "1-20")
        self.assertEqual(code, 0, report)
        self.assertEqual((report["published"]["qos0"], report["published"]["qos2"], report["published"]["direct"]), (0, 0, 0))
        self.assertEqual(report["ended"]["disconnect"], 0)
        self.assertGreater(report["ended"]["dropped"], 10)

    def test_no_more_than_the_rate(self):
        code, report, _ = simulate(self.broker.port, "-d", "1", "-r", "20", "--ids", "1-1000", "--settle", "0")
        self.assertLess(report["connected"]["count"], 40)
        self.assertEqual((code, report["wrong"]["not_back"] > 900), (1, True))

    def test_text_and_sigint(self):
        p = subprocess.Popen([CLIENT, "simulate", "-h", "127.0.0.1", "-p", str(self.broker.port), "-d", "0", "--ids", "1-5"],
                             stdout=subprocess.PIPE, text=True)
        self.addCleanup(reap, p)
        if not fubar.MOSQUITTO:
            fubar.until("five clients", lambda: sum(n.endswith(("-1", "-2", "-3", "-4", "-5")) and n.startswith("fb")
                                                    for n in self.broker.sessions()) >= 5)
        p.send_signal(signal.SIGINT)
        self.assertRegex(p.communicate(timeout=60)[0], r"(?s)^simulated  5 clients, ids 1 to 5, .*\nwrong ")

    def test_usage(self):
        for args, what in ((["--ids", "5-3"], "range"), (["--mix", "odd=1"], "--mix"), (["--mix", "qos1=x"], "--mix"),
                           (["--drop", "101"], "0 to 100"), (["word"], "no option"), (["--clients-prefix", "a#"], "prefix")):
            r = subprocess.run([CLIENT, "simulate", *args], capture_output=True, text=True, check=False)
            self.assertEqual(r.returncode, 2)
            self.assertIn(what, r.stderr)
        self.assertEqual(subprocess.run([CLIENT, "simulate", "--help"], capture_output=True, check=False).returncode, 0)


@fubar.needs_fubar
class Trouble(unittest.TestCase):
    def test_a_worker_that_dies(self):
        with fubar.Broker(workers=2) as b:
            p = subprocess.Popen([CLIENT, "simulate", "-h", "127.0.0.1", "-p", str(b.port), "--json", "-d", "0", "--away", "0.2",
                                  "--reconnect", "0", "--publish", "0.1", "--mix", "qos0=1"], stdout=subprocess.PIPE)
            self.addCleanup(reap, p)
            fubar.until("a crowd", lambda: len(b.sessions()) > 60)
            since = b.log.mark()
            os.kill(b.worker_pids()[0], signal.SIGKILL)
            b.log.wait("back process=worker slot=0", since)
            fubar.until("the crowd again", lambda: len(b.all_sessions()) > 60)
            p.send_signal(signal.SIGINT)
            report = json.loads(p.communicate(timeout=60)[0])
            self.assertEqual(p.returncode, 1)
            self.assertGreater(report["wrong"]["connections_lost"], 10)
            self.assertEqual((report["wrong"]["not_back"], report["wrong"]["sessions_lost"]), (0, 0), report)

    def test_refused(self):
        with fubar.Broker(workers=1, auth=True) as b:
            code, report, _ = simulate_until(lambda r: r["wrong"]["refused"] > 4, b.port, "--ids", "1-5", "-u", "joe", "-P", "no",
                                             "--settle", "0.2", seconds=0.5)
            self.assertEqual(code, 1)
            self.assertGreater(report["wrong"]["refused"], 4)
            self.assertEqual(report["wrong"]["not_back"], 5)
            self.assertIn("bad user name", report["last_error"])


class BadServers(unittest.TestCase):
    """One client that writes to itself."""

    def run_with(self, deliver, qos):
        def serve(server, s):
            server.packet(s)
            s.sendall(b"\x20\x02\x00\x00")
            try:
                while True:
                    p = server.packet(s)
                    if p[0] >> 4 == 8:
                        s.sendall(b"\x90\x03" + p[2:4] + bytes([qos]))
                    elif p[0] >> 4 == 3:
                        topic_end = 4 + p[3]
                        if qos == 1:
                            s.sendall(b"\x40\x02" + p[topic_end:topic_end + 2])
                        s.sendall(deliver(p))
                    elif p[0] >> 4 == 14:
                        return
            except EOFError:
                pass

        server = Server(serve, serve)
        self.addCleanup(server.close)
        return simulate(server.port, "-d", "0.3", "--ids", "1-1", "--reconnect", "0", "--publish", "0.01", "--settle", "0.3",
                        "--mix", "topic=1,qos%d=1" % qos)

    def test_acknowledged_and_lost(self):
        code, report, _ = self.run_with(lambda p: b"", 1)
        self.assertEqual(code, 1)
        self.assertGreater(report["wrong"]["messages_lost"], 0)
        self.assertEqual(report["wrong"]["messages_lost"], report["published"]["qos1"])

    def test_twice(self):
        code, report, _ = self.run_with(lambda p: p + p, 0)
        self.assertEqual(code, 1)
        # The last one may be on its way when the time is over.
        self.assertIn(report["published"]["qos0"] - report["wrong"]["messages_doubled"], (0, 1))
        self.assertGreater(report["wrong"]["messages_doubled"], 0)

    def test_not_ours(self):
        code, report, _ = self.run_with(lambda p: b"\x30\x04\x00\x01tx", 0)
        self.assertEqual(code, 1)
        self.assertGreater(report["wrong"]["messages_strange"], 0)

    def test_nobody_there(self):
        code, report, _ = simulate_until(lambda r: r["wrong"]["no_server"] > 2, fubar.free_port(), "--ids", "1-3", "--settle", "0",
                                         seconds=0.2)
        self.assertEqual(code, 1)
        self.assertGreater(report["wrong"]["no_server"], 2)
        self.assertIn("refused", report["last_error"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
