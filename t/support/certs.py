# SPDX-License-Identifier: Apache-2.0
"""A throw-away authority, a server's and a client's certificate in a directory, by openssl(1)."""

import os
import subprocess


def _openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True, stdin=subprocess.DEVNULL)


class Certs:
    """ca, other_ca (signed nothing here), cert, key (localhost and the loopback addresses), client_cert, client_key."""

    def __init__(self, dir):
        self.dir = dir
        self.ca, self.other_ca = self._authority("ca"), self._authority("other")
        self.cert, self.key = self._signed("server", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1")
        self.client_cert, self.client_key = self._signed("client", "extendedKeyUsage=clientAuth")

    def path(self, name):
        return os.path.join(self.dir, name)

    def _key(self, name):
        _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path(name + ".key"))
        return self.path(name + ".key")

    def _authority(self, name):
        _openssl("req", "-x509", "-new", "-key", self._key(name), "-days", "2", "-subj", "/CN=" + name, "-out",
                 self.path(name + ".crt"))
        return self.path(name + ".crt")

    def _signed(self, name, extension):
        key = self._key(name)
        with open(self.path(name + ".ext"), "w", encoding="ascii") as f:
            f.write(extension + "\n")
        _openssl("req", "-new", "-key", key, "-subj", "/CN=" + name, "-out", self.path(name + ".csr"))
        _openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.ca, "-CAkey", self.path("ca.key"),
                 "-CAcreateserial", "-days", "2", "-extfile", self.path(name + ".ext"), "-out", self.path(name + ".crt"))
        return self.path(name + ".crt"), key
