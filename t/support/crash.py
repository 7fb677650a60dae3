# SPDX-License-Identifier: Apache-2.0
"""The crash matrix: kill -9 of any process, or of all, at random moments under load, with books kept of every message.

A round is made of its seed alone: run_round(seed). It starts a node and t/support/crash_load, kills, waits until the node
is whole again, lets everything drain and compares. `python3 t/support/crash.py --seed S --rounds N` is `make soak`."""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fubar

KINDS = ("worker", "store", "supervisor", "all")
GAP_S = float(os.environ.get("CRASH_GAP_S", "2.0"))
BACK_S = fubar.DEADLINE_S
WRONG = ("lost", "order", "twice", "gap", "unacked", "strange", "session")


class Wrong(AssertionError):
    pass


class Load:
    """crash_load, running."""

    def __init__(self, port, **kw):
        cmd = [fubar.program("t/support/crash_load"), "port=%d" % port] + ["%s=%s" % i for i in kw.items()]
        self.proc = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     preexec_fn=fubar._die_with_the_test)
        self.log = fubar.Log(self.proc.stdout)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()
        try:
            self.proc.stdin.close()
        except BrokenPipeError:
            pass
        self.log.thread.join()

    def tell(self, text):
        self.proc.stdin.write(text.encode() + b"\n")
        self.proc.stdin.flush()

    def up(self):
        self.log.wait(r"^up", timeout=30)

    def acks(self):
        """How many acknowledgements came so far."""
        since = self.log.mark()
        self.tell("mark")
        return int(self.log.wait(r"^mark (\d+)", since=since).group(1))

    def wait_acks(self, more, timeout=60):
        want = self.acks() + more
        fubar.until("%d acknowledgements more" % more, lambda: self.acks() >= want, timeout=timeout, every=0.1)

    def result(self, timeout=120):
        """Ends it; the result, with "bad": its lines about what is wrong."""
        self.tell("stop")
        return self.ended(timeout)

    def ended(self, timeout=120):
        m = self.log.wait(r"^result (.*)", timeout=timeout)
        self.proc.wait(timeout)
        return dict(json.loads(m.group(1)), bad=self.log.find("^bad "))

    def closed(self, since, until):
        """Names of those whose connection ended by the broker's doing in that time."""
        words = [line.split() for line in self.log.find("^closed ")]
        return {w[1] for w in words if since <= float(w[2]) < until}

    def gaps(self):
        """(client, from, to) of each time over 0.5 s without an acknowledgement that was waited for."""
        return [(w[1], float(w[2]), float(w[3])) for w in (line.split() for line in self.log.find("^gap "))]


class Node(fubar.Broker):
    """A broker that is started again as systemd would, on the same port."""

    def __init__(self, durability, settings=None, **kw):
        self.durability = durability
        super().__init__(settings={"session.buffer_limit": "1000000", "session.buffer_bytes": "1GiB",
                                   "session.max_inflight": "100", "listeners.mqtt.bind": "127.0.0.1",
                                   "session.durability": durability, "supervisor.silence": "20s", **(settings or {})}, **kw)
        self.want_port = self.port
        self.texts = []

    def whole(self):
        return len(self.worker_pids()) == self.workers and self.store_pid() is not None

    def gone(self, pids):
        """What was killed, and what was to end by itself, did; then the next incarnation."""
        for pid in pids:
            fubar.wait_gone(pid, BACK_S)
        self.proc.wait(BACK_S)
        self.texts.append(self.log.text())
        self._reap()
        self.start()

    def kill_pid(self, pid):
        try:
            os.kill(pid, signal.SIGKILL)
            return True
        except (ProcessLookupError, TypeError):
            return False

    def fault(self, kind, rnd):
        """One death, or all. Returns a text that names it."""
        if kind == "worker":
            slots = self.worker_pids()
            slot = rnd.choice(sorted(slots)) if slots else None
            self.kill_pid(slots.get(slot))
            return "worker %s" % slot
        if kind == "store":
            self.kill_pid(self.store_pid())
            return kind
        pids = self.pids()
        if kind == "supervisor":
            self.kill_pid(self.proc.pid)
        else:
            for pid in rnd.sample(pids, len(pids)):
                self.kill_pid(pid)
        self.gone(pids)
        return kind

    def complaints(self):
        """What no process may ever say of itself."""
        text = "\n".join(self.texts + [self.log.text()])
        return re.findall(r".*(?:assert|gap in the numbers|answer without a request|Sanitizer).*", text)


class Event:
    def __init__(self, kind, name, at, clients):
        self.kind, self.name, self.at, self.clients, self.back = kind, name, at, clients, None


def clients_of(node):
    """{client: slot} of who is connected; None while a process is down. A session that waits for its client says nothing:
    it comes back at another worker, or has not seen yet that the one before is dead."""
    try:
        return {c: int(r["worker"]) for c, r in node.sessions().items() if r["connected"]}
    except (fubar.AdminError, KeyError, ValueError, subprocess.TimeoutExpired):
        return None


def come_and_go(name):
    return name[1] in "FfOo"


def check_event(load, e, next_at):
    """Who was disconnected by it: nobody by the store's death, only its own by a worker's."""
    closed = {c for c in load.closed(e.at, next_at) if not come_and_go(c)}
    if e.kind in ("store", "io") and closed:
        raise Wrong("%s disconnected %s" % (e.name, sorted(closed)))
    if e.kind == "worker" and e.clients is not None:
        slot = int(e.name.split()[1])
        others = {c for c in closed if e.clients.get(c, slot) != slot}
        if others:
            raise Wrong("the death of worker %d disconnected clients of others: %s" % (slot, sorted(others)))


def gap_limit(node):
    """More where a node takes long to start: that is how fast the machine is."""
    return max(GAP_S, 8 * node.start_s)


def check_gaps(node, load, events):
    worst = 0.0
    for i, e in enumerate(events):
        nearby = [o for o in events if o is not e and abs(o.at - e.at) < GAP_S + 1]
        if e.kind != "store" or nearby:
            continue
        for who, start, stop in load.gaps():
            if start < e.at + GAP_S and stop > e.at:
                worst = max(worst, stop - max(start, e.at))     # what it waited for before is an earlier death's
    if worst > gap_limit(node):
        raise Wrong("no acknowledgement for %.2f s around a death of the store (the node starts in %.2f s)" % (worst, node.start_s))
    return worst


def strike(node, load, rnd, kind):
    clients = clients_of(node) if kind == "worker" else None
    at = time.monotonic()
    name = node.fault(kind, rnd)
    if node.port != node.want_port:
        raise Wrong("another port")
    return Event(kind, name, at, clients)


def run_round(seed, durability="disk", kinds=KINDS, faults=None, say=print, workers=None, rate=300, settings=None,
              node_class=Node, pause=(0.1, 1.5), last=None, **load_args):
    """One round; last: the kind of its last fault. Returns the result of the load; Wrong when it is not as promised."""
    rnd = random.Random(seed)
    workers = workers or rnd.choice((2, 3))
    faults = faults or rnd.randrange(1, 5)
    with node_class(durability, workers=workers, settings=settings) as node, \
            Load(node.port, seed=seed % (1 << 31), rate=rate, **load_args) as load:
        load.up()
        events = []
        for i in range(faults):
            threading.Event().wait(rnd.uniform(*pause))         # when it strikes is chance, no event
            kind = rnd.choice(kinds)
            events.append(strike(node, load, rnd, last if last and i == faults - 1 else kind))
        threading.Event().wait(rnd.uniform(0.1, 0.5))
        end = time.monotonic()
        fubar.until("all processes", node.whole, timeout=BACK_S)
        r = load.result()
        r["faults"] = [e.name for e in events]
        for e, after in zip(events, events[1:] + [None]):
            check_event(load, e, after.at if after else end)
        r["worst_gap"] = check_gaps(node, load, events)
        wrong = {w: r[w] for w in WRONG if r[w]}
        if durability == "memory":      # these it allows, once a worker died
            wrong = {w: n for w, n in wrong.items() if w not in ("lost", "twice", "gap", "order")}
        if wrong or node.complaints():
            raise Wrong("%s after %s\n%s\n%s" % (wrong, r["faults"], "\n".join(r["bad"][:20]), "\n".join(node.complaints())))
        return r


def big_store(seed, rows=1000000, updates=100000, durability="disk"):
    """The store is killed with that many rows in its environments and so many updates since the last checkpoint, under load.
    Returns the longest time without an acknowledgement that was waited for."""
    limits = {"log.level": "notice"}
    with Node(durability, workers=2, settings=limits, turn_ms=1000) as node:
        # Fill: sessions that are away, with their messages.
        with Load(node.port, seed=seed, prefix="fill", groups=10, pubs="a", subs="O", rate=0, window=200, size=64,
                  count=rows // 10, stall=600) as fill:
            fill.up()
            fubar.until("%d rows" % rows, lambda: fill.acks() >= rows // 10 * 10, timeout=600, every=0.5)
            with Load(node.port, seed=seed, prefix="live", groups=4, pubs="12", subs="DdO", rate=100, size=200) as live, \
                    Load(node.port, seed=seed, prefix="upd", groups=4, pubs="a", subs="O", rate=0, size=64,
                         count=updates // 4, stall=600) as more:
                live.up()
                before = node.counter("checkpoints")
                fubar.until("a checkpoint", lambda: node.counter("checkpoints") > before, timeout=60, every=0.2)
                more.up()
                fubar.until("updates", lambda: more.acks() >= updates // 4 * 4, timeout=60, every=0.1)
                at = time.monotonic()
                node.fault("store", random.Random(seed))
                live.wait_acks(200)
                r = live.result()
                if any(r[w] for w in WRONG) or live.closed(at, time.monotonic()):
                    raise Wrong("%s" % r)
                worst = max([stop - start for _, start, stop in live.gaps() if stop > at] or [0.5])
        limit = gap_limit(node)
    if worst > limit:
        raise Wrong("no acknowledgement for %.2f s after the store's death" % worst)
    return worst


def describe(r):
    return "%s: %d sent, %d acked, %d arrived (%d again), gap %.2f s" % (
        ", ".join(r["faults"]), r["sent"], r["acked"], r["arrived"], r["again"], r["worst_gap"])


def rounds(count, seed, one, say=print):
    """Runs `one(seed)` for each of count seeds; returns the seeds that failed."""
    failed = []
    for i in range(count):
        s = seed + i
        start = time.monotonic()
        try:
            say("round %d of %d, seed %d: %s (%.1f s)" % (i + 1, count, s, one(s), time.monotonic() - start))
        except Exception as e:  # noqa: a round that breaks is a round that failed
            failed.append(s)
            say("round %d of %d, SEED %d FAILED: %s: %s" % (i + 1, count, s, type(e).__name__, e))
        sys.stdout.flush()
    return failed


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--rounds", type=int, default=200)
    ap.add_argument("--durability", default="disk")
    ap.add_argument("--kinds", default=",".join(KINDS))
    ap.add_argument("--rate", type=int, default=300)
    ap.add_argument("--rows", type=int, default=1000000, help="first, a death of the store with so many rows; 0: not")
    opts = ap.parse_args()
    seed = opts.seed or random.SystemRandom().randrange(1, 1 << 30)
    failed = []
    if opts.rows:
        failed = rounds(1, seed, lambda s: "store killed with %d rows: gap %.2f s" % (opts.rows, big_store(s, opts.rows)))
    failed += rounds(opts.rounds, seed,
                    lambda s: describe(run_round(s, opts.durability, tuple(opts.kinds.split(",")), rate=opts.rate)))
    print("%d passed, %d failed%s" % (opts.rounds + bool(opts.rows) - len(failed), len(failed),
                                      ": seeds %s" % " ".join(map(str, failed)) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
