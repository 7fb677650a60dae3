/* SPDX-License-Identifier: Apache-2.0
 * common/config/listener_keys.h - the keys of each listener, as rows of keys.def: L its field, NAME its name.
 * struct listener_config (config.h) shows one listener's values under the same names without L. */
#ifndef COMMON_CONFIG_LISTENER_KEYS_H
#define COMMON_CONFIG_LISTENER_KEYS_H

#define LISTENER_KEYS(L, NAME, PORT) \
KEY(L##_bind,    "listeners." NAME ".bind",            TEXT,   "",        "", "", RESTART, "Address to listen on; empty: all, IPv4 and IPv6.") \
KEY(L##_port,    "listeners." NAME ".port",            NUMBER, PORT,      "-1", "65535", RESTART, "Port to listen on; 0: off; -1: the kernel chooses.") \
KEY(L##_backlog, "listeners." NAME ".backlog",         NUMBER, "4096",    "1", "65535", RESTART, "Connections that may wait to be accepted, per worker.") \
KEY(L##_auth,    "listeners." NAME ".auth",            TEXT,   "default", "default|on|off", "", CONNECT, "Do clients need an account here; default: as auth.enabled says.") \
KEY(L##_most,    "listeners." NAME ".max_connections", NUMBER, "0",       "0", "10000000", RELOAD, "Most connections of this listener in a worker; 0: no limit of its own.") \
KEY(L##_durability, "listeners." NAME ".durability",   TEXT,   "default", "default|memory|disk", "", RELOAD, "Where messages that come in here are kept; default: as session.durability says.")

#define LISTENER_TLS_KEYS(L, NAME) \
KEY(L##_cert,        "listeners." NAME ".cert",        TEXT,   "",        "", "", RELOAD, "File with the certificate chain (PEM), the server's own first.") \
KEY(L##_key,         "listeners." NAME ".key",         TEXT,   "",        "", "", RELOAD, "File with the private key (PEM), readable for the user that fubard runs as.") \
KEY(L##_ca,          "listeners." NAME ".ca",          TEXT,   "",        "", "", RELOAD, "File with the authorities (PEM) that client certificates must come from.") \
KEY(L##_client_cert, "listeners." NAME ".client_cert", TEXT,   "off",     "off|optional|required", "", RELOAD, "Are clients asked for a certificate; optional: one that is sent must be valid.") \
KEY(L##_cn_user,     "listeners." NAME ".cn_is_user",  BOOL,   "false",   "", "", CONNECT, "The common name of the client's certificate is its user name, and needs no password.") \
KEY(L##_tls_min,     "listeners." NAME ".tls_min",     TEXT,   "1.2",     "1.2|1.3", "", RELOAD, "Oldest version of TLS.")

#define LISTENER_WS_KEYS(L, NAME) \
KEY(L##_path,     "listeners." NAME ".path",         TEXT,     "",      "", "", CONNECT, "Path that a WebSocket client must ask for, such as /mqtt; empty: any.") \
KEY(L##_origins,  "listeners." NAME ".origins",      TEXT,     "",      "", "", CONNECT, "Origins of web pages that may connect, separated by spaces; *: any; empty: those of the same host.") \
KEY(L##_allow,    "listeners." NAME ".allow_by_ip",  BOOL,     "false", "", "", CONNECT, "An IP rule that allows spares the login here too.")

#define LISTENER_KEYS_MQTT(L, NAME, PORT)  LISTENER_KEYS(L, NAME, PORT)
#define LISTENER_KEYS_MQTTS(L, NAME, PORT) LISTENER_KEYS(L, NAME, PORT) LISTENER_TLS_KEYS(L, NAME)
#define LISTENER_KEYS_WS(L, NAME, PORT)    LISTENER_KEYS(L, NAME, PORT) LISTENER_WS_KEYS(L, NAME)
#define LISTENER_KEYS_WSS(L, NAME, PORT)   LISTENER_KEYS(L, NAME, PORT) LISTENER_TLS_KEYS(L, NAME) LISTENER_WS_KEYS(L, NAME)

#endif
