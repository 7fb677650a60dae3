#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what is written for people against the tables: etc/fubar.yaml, and the parts of man pages between
`.\\" BEGIN NAME` and `.\\" END NAME`.

t/doc/tables.py          says what differs; exit 1 if anything does (make check runs it)
t/doc/tables.py --write  writes those parts anew: do so after you changed a row"""

import os
import re
import sys
import tempfile
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A row's macro call, over several lines if need be; strings may hold parentheses.
STRING = r'"(?:[^"\\]|\\.)*"'
FIELD = re.compile(r"\s*((?:%s\s*)+|[^,\"()]*)(,|\))" % STRING)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def rows(path, macro):
    """[[field, ...], ...]: strings without quotes, joined as C joins them."""
    return rows_of(read(path), macro)


def rows_of(text, macro):
    out = []
    for m in re.finditer(r"^%s\(" % macro, text, re.M):
        at, row = m.end(), []
        while True:
            f = FIELD.match(text, at)
            if f is None:
                sys.exit("a row is not understood: %s" % (text[m.start():m.start() + 60]))
            parts = re.findall(STRING, f.group(1))
            row.append("".join(p[1:-1].replace('\\"', '"') for p in parts) if parts else f.group(1).strip())
            at = f.end()
            if f.group(2) == ")":
                break
        out.append(row)
    return out


KEY_FIELDS = ("field", "path", "type", "default", "min", "max", "when", "help")


def listener_keys():
    """The keys of the first listener of each kind, as rows of keys.def; those of the others are the same."""
    text = read("common/config/listener_keys.h")
    blocks = {m.group(1): m.group(2) for m in re.finditer(r"#define (LISTENER_(?:TLS_|WS_)?KEYS)\(.*\n((?:KEY.*\n)+)", text)}
    out = []
    for name, _, kind, port in rows("common/config/listeners.def", "LISTENER"):
        if name[-1].isdigit():
            continue
        for block in re.findall(r"(LISTENER_(?:TLS_|WS_)?KEYS)\(L", re.search(
                r"#define LISTENER_KEYS_%s\(.*?\)(.*)" % kind, text).group(1)):
            out.append(blocks[block].replace("L##", name).replace(" NAME ", ' "%s" ' % name).replace(" PORT,", ' "%s",' % port))
    return "".join(out)


KEYS_DEF = read("common/config/keys.def").replace('#include "common/config/listeners.def"\n', listener_keys())
KEYS = [dict(zip(KEY_FIELDS, r)) for r in rows_of(KEYS_DEF, "KEY")]
WHEN = {"RELOAD": "at once", "CONNECT": "for new connections", "RESTART": "after a restart"}


def valid(key):
    """What a key takes, in a few words."""
    if key["type"] == "BOOL":
        return "true or false"
    if key["type"] == "TEXT":
        return " or ".join(key["min"].split("|")) if key["min"] else "text"
    what = {"NUMBER": "number", "BYTES": "size", "SECONDS": "time", "REAL": "number"}[key["type"]]
    return "%s from %s to %s" % (what, key["min"], key["max"])


def quoted(key):
    """The default as it stands in YAML."""
    if key["type"] == "TEXT" and not key["min"]:
        return '"%s"' % key["default"]
    return key["default"]


def yaml_file():
    out = [
        "# fubar.yaml - the configuration of fubard, every key at its default. A file needs only the keys that differ.",
        "# fubar.yaml(5) says how values are written. In brackets: what is valid, and when a change takes effect.",
    ]
    open_sections = []
    for key in KEYS:
        *sections, name = key["path"].split(".")
        if sections != open_sections or not sections:
            out.append("")
        for depth, s in enumerate(sections):
            if sections[:depth + 1] != open_sections[:depth + 1]:
                out.append("  " * depth + s + ":")
                if s == "listeners":
                    more = [r[1] for r in rows("common/config/listeners.def", "LISTENER") if r[1][-1].isdigit()]
                    out.append("  # More of them, with the keys of their kind and no port: " + ", ".join(more))
                open_sections = sections[:depth + 1]
        open_sections = sections
        indent = "  " * len(sections)
        out.append("%s# %s [%s; %s]" % (indent, key["help"], valid(key), WHEN[key["when"]]))
        out.append("%s%s: %s" % (indent, name, quoted(key)))
    return "\n".join(out) + "\n"


def mdoc(text):
    """Text for mdoc: a new line for each sentence, none longer than mandoc likes."""
    sentences = re.sub(r"(?<=[.!?]) (?=[A-Z])", "\n", text.replace("\\", "\\e")).split("\n")
    lines = [line for s in sentences for line in textwrap.wrap(s, 79, break_long_words=False, break_on_hyphens=False)]
    return ["\\&" + s if s[0] in ".'" else s for s in lines]


def words(text):
    """Macro arguments: quoted when they have what mdoc takes for itself."""
    return " ".join('"%s"' % w if re.fullmatch(r"[.,:;()\[\]?!|]|[A-Z][a-z]", w) else w for w in text.split())


def keys_part():
    out, section = [], None
    for key in KEYS:
        if key["path"].rpartition(".")[0] != section:
            if section is not None:
                out.append(".El")
            section = key["path"].rpartition(".")[0]
            out.append(".Ss %s" % (section or "The top"))
            out.append(".Bl -tag -width Ds")
        out.append(".It Cm %s" % key["path"])
        out += mdoc(key["help"])
        default = key["default"] or "empty"
        out += mdoc("Valid: %s; default: %s; takes effect %s." % (valid(key), default, WHEN[key["when"]]))
    return out + [".El"]


def commands_part():
    out = [".Bl -tag -width Ds"]
    for cmd, args, _, _, _, text in rows("common/admin/commands.def", "CMD"):
        out.append(".It Cm %s%s" % (cmd, " Ar " + words(args) if args else ""))
        out += mdoc(text)
    return out + [".El"]


def metrics_part():
    role = {"WORKER": "each worker", "STORE": "the store", "CHILD": "each worker and the store"}
    out = [".Bl -tag -width Ds"]
    for name, kind, unit, who, text in rows("common/metrics/metrics.def", "METRIC"):
        out.append(".It Li %s" % name)
        out += mdoc(text)
        out.append("%s of %s, in %s." % (kind.capitalize(), role[who], unit.lower()))
    return out + [".El"]


def options_part(path, both):
    """Options of fubar-client; both: name of each command by its bit, for those that not all of them have."""
    out = [".Bl -tag -width Ds"]
    for _, letter, name, arg, who, text in rows(path, "OPT"):
        flags = [" Fl %s" % letter[1]] if letter != "0" else []
        flags += [" Fl -%s" % name] if name != "NULL" else []
        value = " Ar " + arg.replace("|", " | ").lower().replace(",...", " ,...") if arg != "NULL" else ""
        out.append(".It%s%s" % (" ,".join(flags), value))
        some = [name for bit, name in both.items() if int(who) & bit]
        out += mdoc(("(%s) " % ", ".join(some) if len(some) < len(both) else "") + text)
    return out + [".El"]


def net_part():
    return options_part("supervisor/client/net.def", {})


def client_part():
    return options_part("supervisor/client/cli.def", {1: "sub", 2: "pub", 4: "connect", 8: "subscribe", 16: "unsubscribe",
                                                      32: "publish", 64: "disconnect", 128: "last-message"})


def lower(args):
    """Names of values as mdoc has them; letters of options stay."""
    return re.sub(r"(?<!-)\b[A-Z]+\b", lambda m: m.group().lower(), args)


def shell_part():
    out = [".Bl -tag -width Ds"]
    for word, args, _, _, text in rows("supervisor/client/shell.def", "SHELL"):
        # What ends with a bracket is no delimiter.
        out.append(".It Cm %s%s" % (word, " Ar " + re.sub(r"\]$", r"]\\&", lower(args)) if args else ""))
        out += mdoc(text)
    return out + [".El"]


def bench_part():
    return options_part("supervisor/client/bench.def", {})


def simulate_part():
    return options_part("supervisor/client/simulate.def", {})


def messages_part():
    name = {"SUP": "supervisor", "WORKER": "worker", "STORE": "store", "CHILD": "worker or store", "ANY": "any"}
    out = [".Bl -tag -width Ds"]
    for msg, sender, to, payload, text in rows("common/ipc/messages.def", "MSG"):
        out.append(".It Li %s" % msg)
        out += mdoc(text)
        out.append("From %s to %s; payload %s." % (name[sender], name[to], payload))
    return out + [".El"]


def frames_part():
    out = [".Bl -tag -width Ds"]
    for macro in ("FRAME", "RECORD"):
        for name, number, text in rows("cluster/frames.def", macro):
            out.append(".It Li %s" % name)
            out += mdoc("%s %s. %s" % (macro.capitalize(), number, text))
    return out + [".El"]


def databases_part():
    out = [".Bl -tag -width Ds"]
    for name, env, version, key, value, text in rows("store/tables.def", "TABLE"):
        out.append(".It Li %s" % name)
        out += mdoc("%s Environment: %s; key: %s; value: %s; version %s." % (text, env, key, value, version))
    return out + [".El"]


def sys_part():
    out = [".Bl -tag -width Ds"]
    for macro in ("SYS_TEXT", "SYS_NUMBER", "SYS_RATE"):
        for row in rows("supervisor/systree.def", macro):
            topic, text = row[1], row[-1]
            if macro == "SYS_RATE":
                topic, text = topic + "/+", text[:-1] + " a minute: averages over the last 1min, 5min and 15min."
            out.append(".It Li %s" % topic)
            out += mdoc(text)
    return out + [".El"]


# Page, name of the part, who makes it, may the page be missing still?
PARTS = [
    ("man/fubar.yaml.5", "keys", keys_part, False),
    ("man/fubar-admin.8", "commands", commands_part, False),
    ("man/fubar-admin.8", "counters", metrics_part, False),
    ("man/fubard.8", "sys", sys_part, False),
    ("man/fubar-client.1", "net", net_part, False),
    ("man/fubar-client.1", "client", client_part, False),
    ("man/fubar-client.1", "shell", shell_part, False),
    ("man/fubar-client.1", "bench", bench_part, False),
    ("man/fubar-client.1", "simulate", simulate_part, False),
    ("man/fubar-internals.7", "messages", messages_part, False),
    ("man/fubar-internals.7", "frames", frames_part, False),
    ("man/fubar-internals.7", "databases", databases_part, False),
]


def with_part(text, path, name, lines):
    """The page's text with that part as it should be."""
    begin, end = '.\\" BEGIN %s\n' % name, '.\\" END %s\n' % name
    if text.count(begin) != 1 or text.count(end) != 1:
        return None
    head, rest = text.split(begin)
    return head + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1]


def first_difference(have, want):
    a, b = have.splitlines(), want.splitlines()
    for i, (x, y) in enumerate(zip(a + [""] * len(b), b + [""] * len(a))):
        if x != y:
            return "line %d is\n    %s\nthe table says\n    %s" % (i + 1, x, y)
    return "line ends differ"


def write(path, text):
    """All or nothing: nobody finds half a file."""
    full = os.path.join(ROOT, path)
    fd, tmp = tempfile.mkstemp(dir=os.path.dirname(full))
    with os.fdopen(fd, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(tmp, 0o644)
    os.replace(tmp, full)


def main():
    writing = sys.argv[1:] == ["--write"]
    passed = failed = 0
    wanted = [("etc/fubar.yaml", lambda text: yaml_file(), False)]
    wanted += [(p, lambda text, p=p, n=n, make=make: with_part(text, p, n, make()), missing)
               for p, n, make, missing in PARTS]
    for path, make, may_miss in wanted:
        there = os.path.exists(os.path.join(ROOT, path))
        if not there and may_miss:
            print("%s: not there yet, skipped" % path)
            continue
        have = read(path) if there else ""
        want = make(have)
        if want is not None and writing:
            if want != have:
                write(path, want)
            have = want
        if want == have:
            passed += 1
            continue
        failed += 1
        print("%s: %s\nafter a change of a table: t/doc/tables.py --write" % (
            path, "has not its two lines BEGIN and END" if want is None else first_difference(have, want)))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
