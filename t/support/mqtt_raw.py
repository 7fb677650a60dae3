# SPDX-License-Identifier: Apache-2.0
"""A small MQTT 3.1 and 3.1.1 client over a plain socket, for tests that care about bytes.

It sends what it is told, also what no client may send, and acknowledges nothing by itself. Every wait has a
deadline; nothing sleeps. Functions named *_packet return the bytes of one packet."""

import collections
import select
import socket
import ssl
import struct
import time

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, \
    PINGRESP, DISCONNECT = range(1, 15)
NAMES = ("0 CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ "
         "PINGRESP DISCONNECT 15").split()
DEADLINE_S = 30.0       # after it something hangs


class Closed(Exception):
    """The broker closed the connection."""


class Timeout(AssertionError):
    """What was waited for did not come in time."""


def to_bytes(s):
    return s if isinstance(s, (bytes, bytearray)) else s.encode("utf-8")


def string(s):
    b = to_bytes(s)
    return struct.pack("!H", len(b)) + bytes(b)


def length(n):
    out = bytearray()
    while True:
        n, digit = divmod(n, 128)
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def packet(kind, flags, body=b""):
    return bytes([kind << 4 | flags]) + length(len(body)) + bytes(body)


Will = collections.namedtuple("Will", "topic payload qos retain", defaults=(0, False))


def connect_packet(client_id="", clean=True, keep_alive=0, level=4, user=None, password=None, will=None, name=None,
                   flags=None, recursion=None, tail=b""):
    if name is None:
        name = "MQIsdp" if level == 3 else "MQTT"
    f = (2 if clean else 0)
    body = string(client_id)
    if will is not None:
        f |= 4 | will.qos << 3 | (0x20 if will.retain else 0)
        body += string(will.topic) + string(will.payload)
    if user is not None:
        f |= 0x80
        body += string(user)
    if password is not None:
        f |= 0x40
        body += string(password)
    if recursion is not None:       # the original's extension: how many redirections the client follows
        f |= 1
        body += struct.pack("!H", recursion)
    if flags is not None:
        f = flags
    return packet(CONNECT, 0, string(name) + bytes([level, f]) + struct.pack("!H", keep_alive) + body + tail)


def publish_packet(topic, payload=b"", qos=0, retain=False, dup=False, pid=None):
    body = string(topic)
    if qos:
        body += struct.pack("!H", pid)
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body + to_bytes(payload))


def ack_packet(kind, pid):
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack("!H", pid))


def subscribe_packet(pid, *filters):
    """filters: (filter, qos) pairs."""
    return packet(SUBSCRIBE, 2, struct.pack("!H", pid) + b"".join(string(f) + bytes([q]) for f, q in filters))


def unsubscribe_packet(pid, *filters):
    return packet(UNSUBSCRIBE, 2, struct.pack("!H", pid) + b"".join(string(f) for f in filters))


class Packet:
    """One received packet. Fields by kind: sp, rc; topic, payload, qos, dup, retain, pid; codes."""

    def __init__(self, first, body):
        self.kind, self.flags, self.body = first >> 4, first & 15, bytes(body)
        self.pid = None
        if self.kind == CONNACK:
            self.sp, self.rc = body[0], body[1]
            self.keep_alive = struct.unpack("!H", body[2:])[0] if len(body) == 4 else None
            self.server = self.recursion = None
            if self.rc == 6:
                n = struct.unpack_from("!H", body, 2)[0]
                self.server = bytes(body[4:4 + n]).decode("utf-8")
                self.recursion = struct.unpack("!H", body[4 + n:])[0]
        elif self.kind == PUBLISH:
            self.dup, self.qos, self.retain = bool(first & 8), first >> 1 & 3, bool(first & 1)
            n = struct.unpack_from("!H", body)[0]
            self.topic = bytes(body[2:2 + n]).decode("utf-8")
            at = 2 + n
            if self.qos:
                self.pid = struct.unpack_from("!H", body, at)[0]
                at += 2
            self.payload = bytes(body[at:])
        elif self.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK):
            self.pid = struct.unpack_from("!H", body)[0]
            self.codes = list(body[2:])

    def __repr__(self):
        if self.kind == PUBLISH:
            return "<PUBLISH %s %r qos=%d pid=%s%s%s>" % (
                self.topic, self.payload[:40], self.qos, self.pid, " dup" if self.dup else "",
                " retain" if self.retain else "")
        return "<%s flags=%d %s>" % (NAMES[self.kind], self.flags, self.body[:40].hex())


def _readable(sock, timeout):
    """As select() says it, which knows no descriptors beyond 1023."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout * 1000))


class Client:
    """One connection. A context manager: leaving it closes the socket without DISCONNECT."""

    def __init__(self, port, host="127.0.0.1", rcvbuf=None, wrap=None, tls=None):
        """tls: an ssl.SSLContext, whose handshake is done here."""
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self.sock = tls.wrap_socket(self.sock, server_hostname=host)
        if wrap is not None:    # another transport above TCP: wrap(socket) has a socket's face
            self.sock = wrap(self.sock)
        self.buf = bytearray()
        self.inbox = collections.deque()
        self.next_pid = 0
        self.client_id = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        """Closes the socket as a broken network would: no DISCONNECT."""
        self.sock.close()

    def reset(self):
        """Closes with a TCP reset. No thread may be waiting for this socket: it would hold it open."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def pid(self):
        self.next_pid = self.next_pid % 65535 + 1
        return self.next_pid

    # -- sending

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError) as e:
            raise Closed(str(e)) from None

    def connect(self, client_id="", expect=0, **kw):
        """Sends CONNECT and returns the CONNACK, whose code must be `expect` (None: any)."""
        self.client_id = client_id
        self.send(connect_packet(client_id, **kw))
        ack = self.read()
        assert ack.kind == CONNACK, "CONNACK expected, got %r" % ack
        if expect is not None:
            assert ack.rc == expect, "CONNACK code %d, expected %d" % (ack.rc, expect)
        return ack

    def disconnect(self):
        """DISCONNECT, and waits until the broker closed."""
        self.send(packet(DISCONNECT, 0))
        self.wait_closed()
        self.close()

    def disconnect_now(self):
        """DISCONNECT and close, without waiting for the broker."""
        self.send(packet(DISCONNECT, 0))
        self.close()

    def subscribe(self, *filters, qos=0):
        """filters: names, or (name, qos) pairs. Returns the codes of the SUBACK."""
        pid = self.pid()
        self.send(subscribe_packet(pid, *[f if isinstance(f, tuple) else (f, qos) for f in filters]))
        ack = self.get(SUBACK, pid=pid)
        return ack.codes

    def unsubscribe(self, *filters):
        pid = self.pid()
        self.send(unsubscribe_packet(pid, *filters))
        return self.get(UNSUBACK, pid=pid)

    def publish(self, topic, payload=b"", qos=0, retain=False, dup=False, pid=None, wait=True):
        """A whole publish: with wait, QoS 1 and 2 return after the last acknowledgement. Returns the packet id."""
        if qos and pid is None:
            pid = self.pid()
        self.send(publish_packet(topic, payload, qos, retain, dup, pid))
        if wait and qos == 1:
            self.get(PUBACK, pid=pid)
        elif wait and qos == 2:
            self.get(PUBREC, pid=pid)
            self.send(ack_packet(PUBREL, pid))
            self.get(PUBCOMP, pid=pid)
        return pid

    def ping(self):
        """After it, everything that the broker sent before is in the inbox."""
        self.send(packet(PINGREQ, 0))
        self.get(PINGRESP)

    # -- receiving

    def _take(self):
        """One whole packet from the buffer, or None."""
        buf = self.buf
        if len(buf) < 2:
            return None
        n, shift, at = 0, 0, 1
        while True:
            if at >= len(buf):
                return None
            n |= (buf[at] & 127) << shift
            shift += 7
            at += 1
            if not buf[at - 1] & 128:
                break
            assert at < 5, "bad length: %s" % buf[:8].hex()
        if len(buf) < at + n:
            return None
        p = Packet(buf[0], buf[at:at + n])
        del buf[:at + n]
        return p

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        # A transport above TCP may hold bytes that select() knows nothing of.
        held = hasattr(self.sock, "pending") and self.sock.pending() > 0
        if left <= 0 or not (held or _readable(self.sock, left)):
            raise Timeout("%s: nothing came" % self.client_id)
        try:
            data = self.sock.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except ConnectionResetError:
            data = b""
        if not data:
            raise Closed("%s: closed by the broker" % self.client_id)
        self.buf += data

    def read(self, timeout=DEADLINE_S):
        """The next packet in the order of arrival, not looking into the inbox."""
        deadline = time.monotonic() + timeout
        while True:
            p = self._take()
            if p is not None:
                return p
            self._fill(deadline)

    def get(self, *kinds, pid=None, timeout=DEADLINE_S):
        """The first packet of one of these kinds; others go to the inbox and keep their order there."""
        for i, p in enumerate(self.inbox):
            if p.kind in kinds and (pid is None or p.pid == pid):
                del self.inbox[i]
                return p
        deadline = time.monotonic() + timeout
        while True:
            p = self._take()
            if p is None:
                self._fill(deadline)
            elif p.kind in kinds and (pid is None or p.pid == pid):
                return p
            else:
                self.inbox.append(p)

    def get_publish(self, ack=True, timeout=DEADLINE_S):
        """The next PUBLISH; with ack, acknowledged as its QoS asks."""
        p = self.get(PUBLISH, timeout=timeout)
        if ack:
            self.ack(p)
        return p

    def ack(self, p):
        if p.qos == 1:
            self.send(ack_packet(PUBACK, p.pid))
        elif p.qos == 2:
            self.send(ack_packet(PUBREC, p.pid))
            self.get(PUBREL, pid=p.pid)
            self.send(ack_packet(PUBCOMP, p.pid))

    def publishes_until(self, payload, ack=True, timeout=DEADLINE_S):
        """All publishes before the one with this payload: the marker that closes a test of `nothing else came`."""
        out = []
        payload = to_bytes(payload)
        while True:
            p = self.get_publish(ack=ack, timeout=timeout)
            if p.payload == payload:
                return out
            out.append(p)

    def wait_closed(self, timeout=DEADLINE_S):
        """Waits for the broker to close, and returns what it sent before. Timeout when it does not."""
        out = list(self.inbox)
        self.inbox.clear()
        deadline = time.monotonic() + timeout
        try:
            while True:
                p = self._take()
                if p is None:
                    self._fill(deadline)
                else:
                    out.append(p)
        except Closed:
            return out
