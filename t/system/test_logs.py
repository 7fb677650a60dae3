#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Log files: which line is where, what is put aside, and that none is lost or torn, whoever dies meanwhile."""

import glob
import os
import re
import signal
import socket
import subprocess
import unittest

import fubar
import mqtt_raw as m

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|notice|info|debug) "
                  r"(supervisor|store|worker \d+) [a-z_]+: .+")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Logs(unittest.TestCase):
    def broker(self, **settings):
        settings = {k.replace("log_", "log.", 1): v for k, v in settings.items()}
        b = fubar.Broker(workers=2, settings=dict(settings, **{"auth.enabled": "false"}), start=False)
        self.dir = os.path.join(b.dir, "log")
        b.settings["log.dir"] = self.dir
        self.addCleanup(b.close)
        return b

    def lines(self, name):
        """All lines of a log, the oldest first."""
        old = glob.glob(os.path.join(self.dir, name + ".[0-9]*"))
        old.sort(key=lambda p: -int(p.rsplit(".", 1)[1]))
        text = "".join(read(p) for p in old + [os.path.join(self.dir, name)])
        self.assertTrue(text == "" or text.endswith("\n"))
        return text.splitlines()

    def test_whole_and_in_order_while_processes_die(self):
        """Everything that standard error got is in the files too: same lines, same order, through deaths and changes of
        the file."""
        b = self.broker(log_to="both", log_max_size="4KiB", log_keep="1000", log_level="debug", log_stat_interval="0")
        b.start()
        noise = []
        for round in range(6):
            since = b.log.mark()
            for i in range(30):     # opened, refused, closed: lines of both workers
                c = b.client()
                noise.append(c)
                c.sock.sendall(bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 1 if i % 3 == 0 else 2, 0, 60, 0, 0]))
            slot, pid = sorted(b.worker_pids().items())[round % 2]
            os.kill(pid, signal.SIGKILL)
            b.log.wait(r"process died process=worker slot=%d pid=%d" % (slot, pid), since=since)
            b.log.wait(r"back process=worker slot=%d" % slot, since=since)
            for c in noise:
                c.close()
        os.kill(b.store_pid(), signal.SIGKILL)
        b.log.wait(r"back process=store")
        self.assertEqual(b.stop(), 0)
        got = self.lines("console.log")
        for line in got:
            self.assertRegex(line, LINE)
        self.assertEqual(got, [line for line in b.log.lines if line != "fubard: ready"])
        self.assertGreater(len(glob.glob(os.path.join(self.dir, "console.log.*"))), 2)
        for path in glob.glob(os.path.join(self.dir, "console.log*")):
            self.assertLessEqual(os.path.getsize(path), 4096)
        self.assertEqual(self.lines("error.log"), [line for line in got if re.match(r"\S+ (error|warn) ", line)])
        self.assertEqual(len([line for line in got if "process died" in line]), 7)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "stat.log")))

    def test_only_so_many_are_kept(self):
        b = self.broker(log_to="files", log_max_size="4KiB", log_keep="2", log_level="debug")
        b.start()
        for _ in range(12):
            b.admin("reload")
            b.connected("x").disconnect()
            c = b.client()
            c.close()
        fubar.until("old files", lambda: os.path.exists(os.path.join(self.dir, "console.log.2")) or not b.admin("reload"))
        self.assertEqual(b.stop(), 0)
        self.assertEqual(sorted(os.listdir(self.dir)), ["console.log", "console.log.1", "console.log.2", "error.log", "stat.log"])
        self.assertEqual([line for line in b.log.lines if line], ["fubard: ready"])     # nothing else on standard error

    def test_a_full_disk_stops_nobody(self):
        b = self.broker(log_to="files")
        os.mkdir(self.dir)
        for name in ("console.log", "stat.log"):
            os.symlink("/dev/full", os.path.join(self.dir, name))
        b.settings["log.stat_interval"] = "1s"
        b.start()
        b.log.wait(r"supervisor logs: cannot be written, lines are lost file=\S+/console.log error=\"No space left on device\"")
        b.log.wait(r"supervisor logs: cannot be written, lines are lost file=\S+/stat.log error=\"No space left on device\"")
        c = b.connected("x")
        c.subscribe("t")
        c.publish("t", "still here", 1)
        self.assertEqual(c.get_publish().payload, b"still here")
        c.disconnect()
        # the disk has room again
        os.unlink(os.path.join(self.dir, "console.log"))
        b.proc.send_signal(signal.SIGUSR1)
        fubar.until("the new file", lambda: os.path.exists(os.path.join(self.dir, "console.log")))
        b.admin("reload")
        self.assertEqual(b.stop(), 0)
        got = self.lines("console.log")
        self.assertRegex(got[0], r"logs: lines lost count=\d+ file=\S+/console.log error=\"No space left on device\"")
        self.assertTrue([line for line in got if "reload: done" in line])

    def written(self):
        """Whole lines of a stat.log that is being written."""
        return read(os.path.join(self.dir, "stat.log")).split("\n")[:-1]

    def rounds(self):
        """The whole rounds of stat.log, but for accounts: [{name: (time, {field: value})}, ...]."""
        out, now = [], {}
        for line in self.written():
            stamp, name, *fields = line.split(" ")
            if name == "account_clients":
                continue
            self.assertRegex(stamp, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            now[name] = stamp, {k: int(v) for k, v in (f.split("=") for f in fields)}
            if name == "uptime_s":
                out.append(now)
                now = {}
        return out

    def next_round(self):
        """One that began after this call."""
        after = len(self.rounds()) + 1
        return fubar.until("the next round", lambda: self.rounds()[after:])[0]

    def test_counters(self):
        """stat.log says what `fubar-admin stats` says."""
        b = self.broker(log_to="files", log_stat_interval="1s")
        b.start()
        clients = [b.connected("c%d" % i) for i in range(5)]
        clients[0].subscribe(("t", 1))
        for q in (0, 1, 1, 2, 2, 2):
            clients[1].publish("t", "x", q)
        for _ in range(6):
            clients[0].get_publish()
        got = self.next_round()
        self.assertEqual(len({stamp for stamp, _ in got.values()}), 1)
        got = {name: fields for name, (_, fields) in got.items()}
        told = {r["name"]: r for r in b.rows("stats")}
        self.assertEqual(set(got), set(told))
        for name, n in (("clients", 5), ("sessions", 5), ("subscriptions", 1), ("publish_in_qos0", 1), ("publish_in_qos1", 2),
                        ("publish_in_qos2", 3)):
            self.assertEqual(got[name]["total"], n, name)
            self.assertEqual(got[name]["total"], told[name]["total"])
            self.assertEqual(got[name], {"total": n, "worker_0": told[name]["worker_0"], "worker_1": told[name]["worker_1"]})
        self.assertEqual(set(got["accounts"]), {"total", "store"})
        self.assertEqual(set(got["memory_kb"]), {"total", "supervisor", "store", "worker_0", "worker_1"})
        self.assertGreater(min(got["memory_kb"].values()), 100)
        self.assertEqual(got["memory_kb"]["total"], sum(v for k, v in got["memory_kb"].items() if k != "total"))
        # what the dead counted still counts
        for pid in b.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
            fubar.wait_gone(pid)
        self.assertEqual(self.next_round()["publish_in_qos2"][1]["total"], 3)
        b.stop()
        for c in clients:
            c.close()

    def test_clients_of_accounts(self):
        b = self.broker(log_to="files", log_stat_interval="1s", log_stat_accounts="2")
        b.settings["auth.enabled"] = "true"
        b.workers = 1
        b.start()
        clients = []
        for name, n in (("ann", 3), ("b o b", 2), ("eve", 1)):
            b.admin("account", "set", name, "x")
            clients += [b.connected(user=name, password="x") for _ in range(n)]

        def both():
            rounds = {}
            for line in self.written():
                if " account_clients " in line:
                    stamp, _, rest = line.split(" ", 2)
                    rounds.setdefault(stamp, []).append(rest)
            return ["total=3 account=ann", "total=2 account=b o b"] in rounds.values()

        fubar.until("both", both)
        for c in clients:
            c.close()
        self.assertEqual(b.stop(), 0)

    def test_changes_at_run_time(self):
        b = self.broker()
        b.start()
        self.assertFalse(os.path.exists(self.dir))
        b.admin("settings", "set", "log.to", "files")
        b.connected("a").disconnect()
        fubar.until("the line", lambda: "client=a" in read(os.path.join(self.dir, "console.log")))
        b.admin("settings", "set", "log.to", "stderr")
        since = b.log.mark()
        b.connected("b").disconnect()
        b.log.wait("client=b", since=since)
        self.assertNotIn("client=b", read(os.path.join(self.dir, "console.log")))
        b.admin("settings", "set", "log.stat_interval", "1s")
        b.admin("settings", "set", "log.to", "both")
        self.next_round()
        b.admin("settings", "set", "log.stat_interval", "0")
        since = b.log.mark()
        b.connected("d").disconnect()
        b.log.wait("client=d", since=since)
        fubar.until("the line", lambda: "client=d" in read(os.path.join(self.dir, "console.log")))
        r = b.admin_raw("settings", "set", "log.to", "syslog")
        self.assertEqual(r.returncode, 1)
        self.assertIn("stderr, files, both", r.stderr)
        b.stop()

    def test_a_directory_that_cannot_be_made(self):
        b = self.broker(log_to="files")
        b.settings["log.dir"] = "/proc/none/log"
        b.spawn()
        b.log.wait(r"fubard: log.dir /proc/none/log: cannot make /proc/none .*make it, or choose another directory")
        self.assertEqual(b.proc.wait(fubar.DEADLINE_S), 1)
        b.kill()
        b.settings["log.dir"] = "/dev/null/log"
        r = subprocess.run(b.command() + ["--doctor"], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(r.returncode, 1)
        self.assertIn("WRONG  log.dir /dev/null/log: ", r.stdout)

    def test_journald_gets_the_level_of_why_it_did_not_start(self):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            st = os.fstat(theirs.fileno())
            subprocess.run([fubar.program("fubard"), "--set", "no.such=1"], stderr=theirs, check=False, timeout=60,
                           env=dict(os.environ, JOURNAL_STREAM="%d:%d" % (st.st_dev, st.st_ino)))
            self.assertRegex(ours.recv(4096), rb"^<3>fubard: no\.such: ")

    def test_journald_gets_levels(self):
        b = self.broker(log_level="notice")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs:
                st = os.fstat(theirs.fileno())
                b.env = {"JOURNAL_STREAM": "%d:%d" % (st.st_dev, st.st_ino)}
                b.stderr = theirs
                b.start()
            journal = fubar.Log(ours.makefile("rb"))
            os.kill(b.worker_pids()[0], signal.SIGKILL)
            journal.wait(r"^<3>\S+Z error supervisor proctab: process died")
            journal.wait(r"^<5>\S+Z notice supervisor proctab: back process=worker")
            self.assertEqual(b.stop(), 0)
            journal.wait(r"^<5>\S+Z notice supervisor main: stopped")
            for line in journal.lines:
                self.assertRegex(line, r"^<[3-7]>" + LINE.pattern)


if __name__ == "__main__":
    fubar.main()
