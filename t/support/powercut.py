# SPDX-License-Identifier: Apache-2.0
"""The power goes: what t/support/powercut.c noted as not flushed is taken back (what is modelled, and what is not, says
the head of that file). And the same disk's faults: EIO, ENOSPC, stalls.

`python3 t/support/powercut.py --seed S --rounds N` is `make soak SOAK=powercut`: load, kill -9 of this and that, then the
power; the node starts on what is left, and nothing acknowledged may be missing."""

import argparse
import os
import random
import shutil
import struct
import sys
import threading

import crash
import fubar

START, WRITE, TRUNC, SYNC, FAILED, CREATE, UNLINK, RENAME, MAKEDIR, MAPPED = range(1, 11)
HEAD = struct.Struct("<IIQQQII")
MAGIC = 0x43575031
SECTOR, PAGE = 512, 4096
FIELDS = ("lie", "write_eio", "sync_eio", "enospc", "stall_ms", "seed", "", "", "writes", "syncs", "faults", "stalls", "odd")


class File:
    """What one file's flushed content differs in from what it holds."""

    def __init__(self):
        self.writes = []        # (position, offset, bytes before, size before, length)
        self.stuck = {}         # sector: bytes before; a failed flush made them clean, but not durable
        self.size = None        # at the last flush; None: as it is

    def changed(self, record):
        if self.size is None:
            self.size = record[3]
        self.writes.append(record)

    @staticmethod
    def sectors(record):
        _, offset, before, _, length = record
        for at in range(offset, max(offset + length, offset + len(before)), SECTOR):
            yield at, before[at - offset:at - offset + SECTOR]

    def flushed(self, covers, good):
        done = [w for w in self.writes if w[0] < covers]
        self.writes = [w for w in self.writes if w[0] >= covers]
        if good:
            pages = {at // PAGE for w in done for at, _ in self.sectors(w)}
            if done:
                self.stuck = {at: b for at, b in self.stuck.items() if at // PAGE not in pages}
            if not self.stuck:
                self.size = self.writes[0][3] if self.writes else None
        else:
            for w in done:
                for at, before in self.sectors(w):
                    self.stuck.setdefault(at, before)

    def undo(self):
        """{offset of a sector: what it held at the last flush; shorter at the file's end then}"""
        out = dict(self.stuck)
        for w in self.writes:
            for at, before in self.sectors(w):
                out.setdefault(at, before)
        return out


class Disk:
    """The watched files of one node. env() is for fubard; cut() when nothing runs."""

    def __init__(self, data_dir, side, strict=False, tear=False):
        self.data_dir, self.side, self.strict, self.tear = data_dir, side, strict, tear
        os.makedirs(os.path.join(side, "grave"))
        self.control = os.path.join(side, "control")
        self.journal = os.path.join(side, "journal")
        with open(self.control, "wb") as f:
            f.write(bytes(4096))
        self.report = {}

    def env(self):
        return {"LD_PRELOAD": fubar.preloaded(fubar.program("t/support/powercut.so")), "POWERCUT_DIR": self.data_dir, "POWERCUT_SIDE": self.side}

    def set(self, **kw):
        with open(self.control, "r+b", buffering=0) as f:
            for k, v in kw.items():
                f.seek(4 * FIELDS.index(k))
                f.write(struct.pack("<I", v))

    def heal(self):
        self.set(lie=0, write_eio=0, sync_eio=0, enospc=0, stall_ms=0)

    def get(self, name):
        with open(self.control, "rb") as f:
            f.seek(4 * FIELDS.index(name))
            return struct.unpack("<I", f.read(4))[0]

    def records(self):
        with open(self.journal, "rb") as f:
            data = f.read()
        at = 0
        while at + HEAD.size <= len(data):
            magic, kind, ino, a, b, n, more = HEAD.unpack_from(data, at)
            assert magic == MAGIC, "bad journal"
            if at + HEAD.size + n > len(data):
                break                           # killed while it wrote this: the write itself was not begun
            yield at, kind, ino, a, b, data[at + HEAD.size:at + HEAD.size + n], more
            at += HEAD.size + n

    def tried_again(self):
        """Files that a process flushed with success after a flush of it had failed: what that one lost stays lost."""
        failed, again = set(), set()
        for _, kind, ino, _, _, _, _ in self.records():
            if kind == START:
                failed.clear()
            elif kind == FAILED:
                failed.add(ino)
            elif kind == SYNC and ino in failed:
                again.add(ino)
        return again

    def read(self):
        """Files by inode, and the names' changes that are not durable, in order."""
        files, names, durable, dirs = {}, [], 0, {}
        for at, kind, ino, a, b, data, more in self.records():
            if kind in (WRITE, TRUNC):
                # more: how far it goes from a
                files.setdefault(ino, File()).changed((at, a, data, b, more))
            elif kind in (SYNC, FAILED):
                files.setdefault(ino, File()).flushed(a, kind == SYNC)
                if kind == SYNC and not self.strict:
                    durable = max(durable, a)
                elif kind == SYNC and more:
                    dirs[ino] = a
            elif kind in (CREATE, UNLINK, RENAME, MAKEDIR):
                names.append((at, kind, ino, a, data.decode()))
        left = [n for n in names if n[0] >= durable]
        if self.strict:
            left = [n for n in left if n[0] >= max([dirs.get(self.dir_of(p), 0) for p in n[4].split("\0")])]
        return files, left

    @staticmethod
    def dir_of(path):
        try:
            return os.stat(os.path.dirname(path)).st_ino
        except OSError:
            return 0

    def grave(self, ino):
        return os.path.join(self.side, "grave", str(ino))

    def take_back(self, change):
        _, kind, ino, over, text = change
        if kind == CREATE and os.path.exists(text) and os.stat(text).st_ino == ino:
            os.unlink(text)
        elif kind == UNLINK and os.path.exists(self.grave(ino)) and not os.path.exists(text):
            os.link(self.grave(ino), text)
        elif kind == MAKEDIR:
            shutil.rmtree(text, ignore_errors=True)
        elif kind == RENAME:
            old, new = text.split("\0")
            if os.path.exists(new) and os.stat(new).st_ino == ino:
                os.rename(new, old)
                if over and os.path.exists(self.grave(over)):
                    os.link(self.grave(over), new)

    def restore(self, path, file, rnd, mode):
        """Sectors lost, kept or torn; returns how many were lost."""
        undo, lost = file.undo(), 0
        torn = self.tear or not path.endswith(".db")
        unit = SECTOR if torn else PAGE
        size = os.path.getsize(path)
        page_mode = {}
        with open(path, "r+b") as f:
            for at in sorted(undo):
                page = at // PAGE
                if page not in page_mode:
                    page_mode[page] = mode if mode in ("lose", "keep") else rnd.choice(("lose", "keep", "torn") if torn else ("lose", "keep"))
                how = page_mode[page]
                if how == "keep" or (how == "torn" and rnd.random() < 0.5):
                    continue
                lost += 1
                before = undo[at]
                end = min(at + SECTOR, max(size, at + len(before)))
                f.seek(at)
                f.write(before + bytes(max(0, end - at - len(before))))
            if file.size is not None and file.size != size:
                low, high = sorted((file.size, size))
                new = file.size if mode == "lose" else size if mode == "keep" else \
                    rnd.choice((file.size, size, rnd.randint(low, high) // unit * unit))
                f.truncate(max(new, low))
        return lost

    def cut(self, rnd, mode=None):
        """Makes the disk what the power left of it. mode: lose, keep, mixed; None: by chance."""
        mode = mode or rnd.choice(("lose", "mixed", "mixed", "mixed", "keep"))
        files, names = self.read()
        survive = 0 if mode == "lose" else len(names) if mode == "keep" else rnd.randint(0, len(names))
        for change in reversed(names[survive:]):
            self.take_back(change)
        lost = 0
        for root, _, entries in os.walk(self.data_dir):
            for e in entries:
                path = os.path.join(root, e)
                if not os.path.islink(path) and os.path.isfile(path) and os.stat(path).st_ino in files:
                    lost += self.restore(path, files[os.stat(path).st_ino], rnd, mode)
        self.report = {"mode": mode, "names": len(names) - survive, "lost_sectors": lost,
                       "unflushed": sum(len(f.undo()) for f in files.values())}
        os.unlink(self.journal)
        shutil.rmtree(os.path.join(self.side, "grave"))
        os.mkdir(os.path.join(self.side, "grave"))
        return self.report


class CutNode(crash.Node):
    """A node on such a disk. The fault "power" is kill -9 of all, then the cut."""

    def __init__(self, *args, disk=None, lie=False, strict=False, tear=False, mode=None, **kw):
        self.disk, self.lie, self.strict, self.tear, self.mode = disk, lie, strict, tear, mode
        super().__init__(*args, **kw)

    def spawn(self):
        if self.disk is None:
            os.makedirs(self.data_dir, exist_ok=True)
            self.disk = Disk(self.data_dir, os.path.join(self.dir, "cut"), self.strict, self.tear)
            self.disk.set(lie=int(self.lie))
        self.env = dict(self.env, **self.disk.env())
        super().spawn()

    def io_fault(self, rnd):
        what, value = rnd.choice((("write_eio", 1000000), ("write_eio", 20000), ("sync_eio", 1000000), ("sync_eio", 100000),
                                  ("enospc", 1), ("stall_ms", 700)))
        seconds = rnd.uniform(0.1, 2)
        self.disk.set(**{what: value, "seed": rnd.randrange(1, 1 << 31)})
        threading.Event().wait(seconds)                         # the fault's length is chance, no event
        self.disk.heal()
        return "%s %d for %.1f s" % (what, value, seconds)

    def fault(self, kind, rnd):
        if kind == "io":
            return self.io_fault(rnd)
        if kind != "power":
            return super().fault(kind, rnd)
        pids = self.pids()
        for pid in rnd.sample(pids, len(pids)):
            self.kill_pid(pid)
        for pid in pids:
            fubar.wait_gone(pid)
        r = self.disk.cut(rnd, self.mode)
        self.gone(pids)
        return "power (%s, %d of %d sectors, %d names)" % (r["mode"], r["lost_sectors"], r["unflushed"], r["names"])


def run_round(seed, durability="disk", lie=False, strict=False, tear=False, mode=None, **kw):
    """As crash.run_round, and the last fault, or the only one, is the power."""
    kinds = ("power", "power", "power", "io") + crash.KINDS      # several in a round: the cache outlives kill -9, not the power
    return crash.run_round(seed, durability, kinds=kw.pop("kinds", kinds), last="power",
                           node_class=lambda *a, **k: CutNode(*a, lie=lie, strict=strict, tear=tear, mode=mode, **k), **kw)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--rounds", type=int, default=200)
    ap.add_argument("--durability", default="disk")
    ap.add_argument("--strict", action="store_true", help="names are durable only after an fsync of their directory; without this: in odd seeds")
    ap.add_argument("--tear", action="store_true", help="pages of databases too are torn at 512 bytes: rounds may fail")
    ap.add_argument("--lie", action="store_true", help="flushes do nothing: rounds must fail")
    opts = ap.parse_args()
    seed = opts.seed or random.SystemRandom().randrange(1, 1 << 30)
    failed = crash.rounds(opts.rounds, seed,
                          lambda s: crash.describe(run_round(s, opts.durability, opts.lie, opts.strict or s % 2 == 1, opts.tear)))
    print("%d passed, %d failed%s" % (opts.rounds - len(failed), len(failed),
                                      ": seeds %s" % " ".join(map(str, failed)) if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
