/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/cli.h - the options of fubar-client sub and pub. */
#ifndef CLIENT_CLI_H
#define CLIENT_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "supervisor/client/net.h"
#include "common/base/buf.h"
#include "common/mqtt/packet.h"

/* Whose options: sub and pub, and the commands of the shell. */
enum {
	CLI_SUB = 1, CLI_PUB = 2, CLI_CONNECT = 4, CLI_SUBSCRIBE = 8, CLI_UNSUBSCRIBE = 16, CLI_PUBLISH = 32,
	CLI_DISCONNECT = 64, CLI_LAST = 128
};
enum cli_source { CLI_NONE, CLI_MESSAGE, CLI_FILE, CLI_STDIN_FILE, CLI_STDIN_LINE, CLI_NULL };
enum cli_block {
	CLI_P_CONNECT, CLI_P_WILL, CLI_P_PUBLISH, CLI_P_SUBSCRIBE, CLI_P_UNSUBSCRIBE, CLI_P_DISCONNECT, CLI_P_COUNT
};

#define CLI_LIST_MAX 256

struct cli_list {
	const char *text[CLI_LIST_MAX];
	uint32_t count;
};

/* Texts are those of argv, or in the struct. */
struct cli {
	unsigned who;                   /* one of CLI_... */
	struct net net;
	const char *id;                 /* CLI_CONNECT: NULL: not given */
	const char *user;               /* NULL: none */
	const char *password;
	const char *will_topic;
	const char *will_payload;
	const char *format;             /* sub; NULL: payload only */
	const char *message;            /* pub: text or path */
	struct cli_list topics;
	struct cli_list filter_out;
	struct cli_list unsubscribe;
	struct buf props[CLI_P_COUNT];  /* encoded; owned */
	enum cli_source source;
	uint64_t count;                 /* sub: 0: no limit */
	uint64_t repeat;
	double repeat_delay_s;
	double timeout_s;               /* < 0: none */
	uint16_t keep_alive_s;
	uint16_t redirects;
	uint8_t level;
	uint8_t qos;
	uint8_t will_qos;
	uint8_t retain_handling;
	bool durable, retain, will_retain, has_will_qos, debug, quiet, verbose, no_newline, no_retained, only_retained;
	bool exit_after_suback, retain_as_published, no_local, help;
	char id_made[80];
};

/* argv starts behind the command's word and is NULL at its end. 0; FB_EINVAL with the text in error. In both cases
 * cli_fini() frees what there is. */
int cli_parse(struct cli *c, unsigned who, char **argv, char *error, size_t error_size);
/* The same for a connection of that level; the shell's words that are no options are topics (CLI_PUBLISH: a topic and a
 * text). */
int cli_parse_level(struct cli *c, unsigned who, uint8_t level, char **argv, char *error, size_t error_size);
/* The table of all options, for completion. */
const struct opt_row *cli_rows(size_t *count);
void cli_fini(struct cli *c);
void cli_help(unsigned who);
/* CONNECT as asked for; the slices are those of c. */
void cli_connect(const struct cli *c, struct mqtt_connect *p);
const char *cli_word(const struct cli *c);              /* "sub", "pub" */

#endif
