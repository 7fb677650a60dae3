/* SPDX-License-Identifier: Apache-2.0
 * common/config/config.h - the configuration: one struct, one table (keys.def), values set by path and text.
 *
 * Files are parsed by the supervisor alone (yaml.h); the other processes get paths and values over their channel
 * and use config_set() too, so that one table checks everything. */
#ifndef COMMON_CONFIG_CONFIG_H
#define COMMON_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/config/listener_keys.h"

enum config_type { CONFIG_BOOL, CONFIG_NUMBER, CONFIG_BYTES, CONFIG_SECONDS, CONFIG_REAL, CONFIG_TEXT };
enum config_when { CONFIG_RELOAD, CONFIG_CONNECT, CONFIG_RESTART };
/* Where a value came from, the later wins. */
enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_OVERRIDE, CONFIG_FLAG };

#define CONFIG_C_BOOL    bool
#define CONFIG_C_NUMBER  int64_t
#define CONFIG_C_BYTES   int64_t
#define CONFIG_C_SECONDS int64_t
#define CONFIG_C_REAL    double
#define CONFIG_C_TEXT    char *

enum config_key {
#define KEY(field, path, type, def, min, max, when, help) CONFIG_K_##field,
#include "common/config/keys.def"
#undef KEY
	CONFIG_KEY_COUNT
};

struct config {
#define KEY(field, path, type, def, min, max, when, help) CONFIG_C_##type field;
#include "common/config/keys.def"
#undef KEY
	uint8_t source[CONFIG_KEY_COUNT];       /* enum config_source */
};

struct config_info {
	const char *path, *def, *min, *max, *help;
	enum config_type type;
	enum config_when when;
	size_t offset;                          /* of the field in struct config */
};
const struct config_info *config_info(enum config_key k);

enum listener_kind { LISTENER_MQTT, LISTENER_MQTTS, LISTENER_WS, LISTENER_WSS };

enum {
#define LISTENER(field, name, kind, port) CONFIG_L_##field,
#include "common/config/listeners.def"
#undef LISTENER
	CONFIG_LISTENERS
};

/* The keys of one listener; texts are borrowed, those that its kind does not have are "". */
struct listener_config {
	const char *name;                       /* "mqtts2" */
	enum listener_kind kind;
	const char *bind, *auth, *cert, *key, *ca, *client_cert, *tls_min, *path, *origins, *durability;
	int64_t port, backlog, most;
	bool cn_user, allow;
};
void config_listener(const struct config *c, unsigned listener, struct listener_config *out);
/* A key of a second or later listener of a kind: not worth showing while it has its default. */
bool config_is_spare(enum config_key k);
static inline bool
listener_has_tls(enum listener_kind k)
{
	return k == LISTENER_MQTTS || k == LISTENER_WSS;
}
static inline bool
listener_has_ws(enum listener_kind k)
{
	return k == LISTENER_WS || k == LISTENER_WSS;
}

#define CONFIG_VALUE_MAX 1024           /* a value's text with its NUL */
/* Descriptors that a worker keeps for itself: channels, links, listeners, its own and lent ones, some to spare. */
#define CONFIG_WORKER_FDS 128

#define CONFIG_ERROR_MAX 512
/* A message for people: what is wrong, and what would be right. */
struct config_error { char text[CONFIG_ERROR_MAX]; };

void config_init(struct config *c);             /* all defaults */
void config_fini(struct config *c);
void config_copy(struct config *to, const struct config *from);        /* to is initialised */
/* CONFIG_KEY_COUNT: unknown; then *guess is the nearest known path, or NULL. */
enum config_key config_find(const char *path, const char **guess);
/* Is path the beginning of keys, as "mqtt" is? */
bool config_is_section(const char *path);
/* Says in *e that path is neither key nor section, and what was possible. */
void config_unknown(const char *path, struct config_error *e);
/* 0; FB_ENOENT: no such key ("did you mean"); FB_EINVAL, FB_ERANGE: *e says what is valid. c is untouched on failure.
 * A value from a weaker source than the one that is there is ignored. */
int config_set(struct config *c, const char *path, const char *value, enum config_source source, struct config_error *e);
/* Back to the value of a weaker source is the caller's: parse again. The text form of a value, which config_set()
 * takes back; out: CONFIG_VALUE_MAX bytes hold every value; returns out. */
const char *config_get(const struct config *c, enum config_key k, char *out, size_t size);
/* What the key takes, for people: "a whole number, from 0 to 2". */
void config_valid(enum config_key k, char *out, size_t size);
/* server.valid_keep_alive, "MIN-MAX" in seconds, 0 <= MIN <= MAX <= 65535, MAX > 0; false, the rest untouched: it is not. */
bool config_range(const char *text, uint16_t *min, uint16_t *max);
/* The address of a server as clients of the original read it: tcp://HOST:PORT or ssl://HOST:PORT. */
bool config_server(const char *text);
/* session.durability_topics: takes the next entry off *text, "FILTER memory" or "FILTER disk", entries separated by
 * commas. filter is borrowed from it. 0; FB_ENOENT: the end, *why untouched; FB_EINVAL: *why says what is wrong. */
int config_durability_next(const char **text, struct slice *filter, bool *disk, const char **why);
/* A key whose value may be written as a list in YAML: its entries are joined with commas. */
bool config_is_list(enum config_key k);
/* server.alternate, or NULL: none. */
const char *config_alternate(const struct config *c);
bool config_equal(const struct config *a, const struct config *b, enum config_key k);
/* Rules that need more than one key. FB_ECONFLICT and *e. */
int config_check(const struct config *c, struct config_error *e);
/* workers: auto resolved to the number of usable CPUs. */
unsigned config_workers(const struct config *c);

#endif
