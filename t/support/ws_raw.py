# SPDX-License-Identifier: Apache-2.0
"""A WebSocket client of a page, written from RFC 6455 and not from the broker: a socket's face over binary frames.

WsSocket(sock) does the handshake; sendall() and recv() carry MQTT's bytes, and every rule can be broken on purpose
with frame() and send_raw()."""

import base64
import hashlib
import os
import struct

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Refused(Exception):
    def __init__(self, status, head):
        super().__init__("HTTP %d" % status)
        self.status, self.head = status, head


def request(path="/mqtt", host="localhost", protocol="mqtt", key=None, headers=()):
    key = key or base64.b64encode(os.urandom(16)).decode()
    lines = ["GET %s HTTP/1.1" % path, "Host: %s" % host, "Upgrade: websocket", "Connection: Upgrade",
             "Sec-WebSocket-Key: %s" % key, "Sec-WebSocket-Version: 13"]
    if protocol is not None:
        lines.append("Sec-WebSocket-Protocol: %s" % protocol)
    return ("\r\n".join(lines + list(headers)) + "\r\n\r\n").encode(), key


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit, n = (0x80 if mask else 0), len(payload)
    head += bytes([bit | n]) if n < 126 else struct.pack("!BH", bit | 126, n) if n < 65536 else struct.pack("!BQ", bit | 127, n)
    if not mask:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


class WsSocket:
    def __init__(self, sock, **kw):
        self.sock, self.buf, self.ready, self.closed = sock, bytearray(), bytearray(), None
        self.frames = []        # (opcode, payload) of every frame that came, for those who look
        text, key = request(**kw)
        sock.sendall(text)
        while b"\r\n\r\n" not in self.buf:
            data = sock.recv(65536)
            if not data:
                raise ConnectionResetError("closed in the handshake: %r" % bytes(self.buf))
            self.buf += data
        head, _, rest = bytes(self.buf).partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status != 101:
            raise Refused(status, head.decode())
        want = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest())
        assert b"Sec-WebSocket-Accept: " + want in head, head
        self.protocol = [l.split(b": ")[1].decode() for l in head.split(b"\r\n") if l.startswith(b"Sec-WebSocket-Protocol")][0]
        self.buf = bytearray(rest)
        self.parse()

    def parse(self):
        while len(self.buf) >= 2:
            n, at = self.buf[1] & 127, 2
            assert not self.buf[1] & 128, "a server's frame must not be masked"
            if n >= 126:
                size = 2 if n == 126 else 8
                if len(self.buf) < 2 + size:
                    return
                n, at = int.from_bytes(self.buf[2:2 + size], "big"), 2 + size
            if len(self.buf) < at + n:
                return
            first, payload = self.buf[0], bytes(self.buf[at:at + n])
            assert not first & 0x70, "reserved bits"
            del self.buf[:at + n]
            self.frames.append((first & 15, payload))
            if first & 15 in (BINARY, CONT):
                self.ready += payload
            elif first & 15 == CLOSE:
                self.closed = int.from_bytes(payload[:2], "big") if payload else 1005
            elif first & 15 == PING:
                self.sock.sendall(frame(PONG, payload))

    def pending(self):
        """Bytes that recv() gives without the network; over TLS there may be some below."""
        return len(self.ready) or (self.sock.pending() if hasattr(self.sock, "pending") else 0)

    def recv(self, size):
        while not self.ready:
            data = self.sock.recv(1 << 18)
            if not data:
                return b""
            self.buf += data
            self.parse()
            if not self.ready:
                raise BlockingIOError("no data frame yet")
        out = bytes(self.ready[:size])
        del self.ready[:size]
        return out

    def sendall(self, data):
        self.sock.sendall(frame(BINARY, bytes(data)))

    def send_raw(self, data):
        self.sock.sendall(data)

    def __getattr__(self, name):
        return getattr(self.sock, name)
