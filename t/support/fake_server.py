# SPDX-License-Identifier: Apache-2.0
"""A server of a page's length, for what clients do with bytes that no broker here sends."""

import socket
import struct
import threading


class Server(threading.Thread):
    """Answers each connection's CONNECT with the bytes that answer() gives, and keeps what it got."""

    def __init__(self, *answers):
        super().__init__(daemon=True)
        self.answers = list(answers)
        self.connects = []
        self.rest = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        for answer in self.answers:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with s:
                s.settimeout(20)
                if callable(answer):
                    answer(self, s)
                    continue
                self.connects.append(self.packet(s))
                s.sendall(answer)
                self.rest.append(self.all(s))

    def packet(self, s):
        head = self.exactly(s, 2)
        return head + self.exactly(s, head[1])

    def exactly(self, s, n):
        data = b""
        while len(data) < n:
            more = s.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def all(self, s):
        data = b""
        try:
            while more := s.recv(65536):
                data += more
        except OSError:
            pass
        return data

    def close(self):
        self.listener.close()
        self.join(20)


def elsewhere(address, more):
    address = address.encode()
    return bytes([0x20, 6 + len(address), 0, 6]) + struct.pack(">H", len(address)) + address + struct.pack(">H", more)
