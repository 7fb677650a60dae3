/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/cli.c - what does not go together is refused here, before anything is sent. */
#include "supervisor/client/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "supervisor/client/opt.h"
#include "supervisor/client/property.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/rand.h"
#include "common/base/utf8.h"
#include "common/mqtt/topic.h"

enum {
#define OPT(ID, letter, name, arg, who, help) OPT_##ID,
#include "supervisor/client/cli.def"
#undef OPT
};

static const struct opt_row rows[] = {
#define OPT(ID, letter, name, arg, who, help) { letter, name, arg, who, help },
#include "supervisor/client/cli.def"
#undef OPT
};

const char *
cli_word(const struct cli *c)
{
	return c->who == CLI_SUB ? "sub" : c->who == CLI_PUB ? "pub" : "shell";
}

const struct opt_row *
cli_rows(size_t *count)
{
	*count = sizeof rows / sizeof rows[0];
	return rows;
}

void
cli_help(unsigned who)
{
	struct opt o = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = who };

	if (who == CLI_SUB)
		printf("usage: fubar-client sub -t FILTER... [OPTION]...\nPrints the messages that match.\n\n");
	else if (who == CLI_PUB)
		printf("usage: fubar-client pub -t TOPIC -m TEXT|-f PATH|-l|-s|-n [OPTION]...\nPublishes a message.\n\n");
	opt_help(&o);
}

static bool
fail(struct opt *o, const char *text)
{
	snprintf(o->error, sizeof o->error, "%s", text);
	return false;
}

static bool
take_u8(struct opt *o, int row, const char *value, uint8_t max, uint8_t *out)
{
	uint64_t v;

	if (!opt_number(o, row, value, 0, max, &v))
		return false;
	*out = (uint8_t)v;
	return true;
}

static bool
take_u16(struct opt *o, int row, const char *value, uint16_t min, uint16_t *out)
{
	uint64_t v;

	if (!opt_number(o, row, value, min, UINT16_MAX, &v))
		return false;
	*out = (uint16_t)v;
	return true;
}

static bool
add(struct opt *o, struct cli_list *list, const char *value)
{
	if (list->count == CLI_LIST_MAX)
		return fail(o, "more than 256 topics");
	list->text[list->count++] = value;
	return true;
}

static bool
set_text(const char **out, const char *value)
{
	*out = value;
	return true;
}

static bool
set_flag(bool *flag)
{
	*flag = true;
	return true;
}

static bool
set_source(struct cli *c, struct opt *o, enum cli_source source, const char *value)
{
	if (c->source != CLI_NONE)
		return fail(o, "only one of -m, -f, -l, -s and -n");
	c->source = source;
	c->message = value;
	return true;
}

static bool
take_expiry(struct cli *c, struct opt *o, const char *value)
{
	if (property_put(&c->props[CLI_P_CONNECT], "session-expiry-interval", value, NULL) != 0)
		return fail(o, "--session-expiry-interval: not a number of seconds");
	return true;
}

static bool
take_property(struct cli *c, struct opt *o, const char *packet)
{
	static const char *const names[] = { "connect", "will", "publish", "subscribe", "unsubscribe", "disconnect" };
	const char *name = opt_more(o);
	const char *value = opt_more(o);
	const char *second = name != NULL && strcmp(name, "user-property") == 0 ? opt_more(o) : NULL;

	if (name == NULL || value == NULL || (second == NULL && strcmp(name, "user-property") == 0))
		return fail(o, "-D needs: PACKET NAME VALUE, or PACKET user-property NAME VALUE");
	for (int i = 0; i < CLI_P_COUNT; i++) {
		if (strcmp(names[i], packet) != 0)
			continue;
		if (property_put(&c->props[i], name, value, second) == 0)
			return true;
		snprintf(o->error, sizeof o->error, "-D: '%.40s' is no property, or '%.40s' no value for it", name, value);
		return false;
	}
	snprintf(o->error, sizeof o->error, 
	    "-D: '%.40s' is not connect, will, publish, subscribe, unsubscribe or disconnect", packet);
	return false;
}

static bool
take_more(struct cli *c, struct opt *o, int row, const char *value)
{
	switch (row) {
	case OPT_VERBOSE: return set_flag(&c->verbose);
	case OPT_FORMAT: return set_text(&c->format, value);
	case OPT_COUNT: return opt_number(o, row, value, 1, UINT64_MAX, &c->count);
	case OPT_TIMEOUT: return opt_real(o, row, value, 0, 1e9, &c->timeout_s);
	case OPT_NO_RETAINED: return set_flag(&c->no_retained);
	case OPT_ONLY_RETAINED: return set_flag(&c->only_retained);
	case OPT_NO_NEWLINE: return set_flag(&c->no_newline);
	case OPT_FILTER_OUT: return add(o, &c->filter_out, value);
	case OPT_UNSUBSCRIBE: return add(o, &c->unsubscribe, value);
	case OPT_EXIT: return set_flag(&c->exit_after_suback);
	case OPT_AS_PUBLISHED: return set_flag(&c->retain_as_published);
	case OPT_HANDLING: return take_u8(o, row, value, 2, &c->retain_handling);
	case OPT_NO_LOCAL: return set_flag(&c->no_local);
	case OPT_MESSAGE: return set_source(c, o, CLI_MESSAGE, value);
	case OPT_FILE: return set_source(c, o, CLI_FILE, value);
	case OPT_STDIN_FILE: return set_source(c, o, CLI_STDIN_FILE, NULL);
	case OPT_STDIN_LINE: return set_source(c, o, CLI_STDIN_LINE, NULL);
	case OPT_NULL_MESSAGE: return set_source(c, o, CLI_NULL, NULL);
	case OPT_RETAIN: return set_flag(&c->retain);
	case OPT_REPEAT: return opt_number(o, row, value, 1, UINT64_MAX, &c->repeat);
	case OPT_REPEAT_DELAY: return opt_real(o, row, value, 0, 1e9, &c->repeat_delay_s);
	default: return set_flag(&c->help);
	}
}

static bool
take_option(struct cli *c, struct opt *o, int row, const char *value)
{
	if (row < NET_OPT_COUNT)
		return net_option(&c->net, o, row, value);
	switch (row) {
	case OPT_TOPIC: return add(o, &c->topics, value);
	case OPT_QOS: return take_u8(o, row, value, 2, &c->qos);
	case OPT_VERSION: return opt_level(o, row, value, &c->level);
	case OPT_ID: return set_text(&c->id, value);
	case OPT_ID_PREFIX:
		snprintf(c->id_made, sizeof c->id_made, "%.60s%d", value, (int)getpid());
		return set_text(&c->id, c->id_made);
	case OPT_USER: return set_text(&c->user, value);
	case OPT_PASSWORD: return set_text(&c->password, value);
	case OPT_KEEP_ALIVE: return take_u16(o, row, value, 0, &c->keep_alive_s);
	case OPT_DURABLE: return set_flag(&c->durable);
	case OPT_EXPIRY: return take_expiry(c, o, value);
	case OPT_PROPERTY: return take_property(c, o, value);
	case OPT_WILL_TOPIC: return set_text(&c->will_topic, value);
	case OPT_WILL_PAYLOAD: return set_text(&c->will_payload, value);
	case OPT_WILL_QOS:
		c->has_will_qos = true;
		return take_u8(o, row, value, 2, &c->will_qos);
	case OPT_WILL_RETAIN: return set_flag(&c->will_retain);
	case OPT_REDIRECTS: return take_u16(o, row, value, 0, &c->redirects);
	case OPT_DEBUG: return set_flag(&c->debug);
	case OPT_QUIET: return set_flag(&c->quiet);
	default: return take_more(c, o, row, value);
	}
}

static bool
check_text(struct opt *o, const char *what, const char *text, bool (*valid)(struct slice))
{
	if (text == NULL)
		return true;
	if (strlen(text) <= UINT16_MAX && utf8_valid(slice_str(text)) && (valid == NULL || valid(slice_str(text))))
		return true;
	snprintf(o->error, sizeof o->error, "'%.80s' is no valid %s", text, what);
	return false;
}

static bool
check_list(struct opt *o, const struct cli_list *list, const char *what, bool (*valid)(struct slice))
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!check_text(o, what, list->text[i], valid))
			return false;
	return true;
}

static bool
check_props(struct cli *c, struct opt *o)
{
	static const enum mqtt_type types[] = { MQTT_CONNECT, 0, MQTT_PUBLISH, MQTT_SUBSCRIBE, MQTT_UNSUBSCRIBE,
		MQTT_DISCONNECT };

	for (int i = 0; i < CLI_P_COUNT; i++) {
		struct violation v = { 0 };

		if (buf_len(&c->props[i]) == 0)
			continue;
		if (c->level != MQTT_50)
			return fail(o, "properties are for level 5: add -V 5");
		if (props_check(buf_slice(&c->props[i]), types[i], &v) != 0) {
			snprintf(o->error, sizeof o->error, "-D: a property that may not stand there, or a wrong value (%s)",
			    v.statement != NULL ? v.statement : "protocol error");
			return false;
		}
	}
	return true;
}

static bool
check_command(const struct cli *c, struct opt *o)
{
	if (c->who == CLI_CONNECT || c->who == CLI_DISCONNECT || c->who == CLI_LAST)
		return c->topics.count == 0 || fail(o, "a topic has no place here");
	if ((c->who & (CLI_SUB | CLI_SUBSCRIBE | CLI_UNSUBSCRIBE)) != 0) {
		if (c->topics.count + c->unsubscribe.count == 0)
			return fail(o, c->who == CLI_SUB ? "a topic filter is needed: -t" : "a topic filter is needed");
		if (c->no_retained && c->only_retained)
			return fail(o, "-R and --retained-only leave nothing");
		return check_list(o, &c->topics, "topic filter", topic_filter_valid) &&
		    check_list(o, &c->unsubscribe, "topic filter", topic_filter_valid) &&
		    check_list(o, &c->filter_out, "topic filter", topic_filter_valid);
	}
	if (c->topics.count != 1)
		return fail(o, c->topics.count == 0 ? "a topic is needed: -t" : "only one topic: -t");
	if (c->source == CLI_NONE)
		return fail(o, c->who == CLI_PUB ? "what is to be published? -m, -f, -l, -s or -n"
		    : "what is to be published? A text, -f or -n");
	if (c->source == CLI_STDIN_LINE && c->repeat > 1)
		return fail(o, "--repeat does not go with -l");
	return check_list(o, &c->topics, "topic (no + or #)", topic_name_valid);
}

/* What a URL says and no option. */
static bool
take_rest(struct cli *c, struct opt *o)
{
	const struct target_rest *rest = &c->net.rest;

	if (c->user == NULL && rest->user[0] != 0)
		c->user = rest->user;
	if (c->password == NULL && rest->has_password)
		c->password = rest->password;
	return rest->path[0] == 0 || add(o, &c->topics, rest->path);
}

/* Without -i there is no client id that stays; the shell has the client's name. */
static bool
no_id(const struct cli *c)
{
	return c->id == NULL ? c->who != CLI_CONNECT : *c->id == 0;
}

static bool
check(struct cli *c, struct opt *o)
{
	if (!take_rest(c, o))
		return false;
	if (c->durable && no_id(c))
		return fail(o, "-c needs a client id that stays the same: -i");
	if (c->password != NULL && c->user == NULL && c->level != MQTT_50)
		return fail(o, "-P needs -u");
	if (c->will_topic == NULL && (c->will_payload != NULL || c->will_retain || c->has_will_qos))
		return fail(o, "a will needs --will-topic");
	if (c->level != MQTT_50 && (c->no_local || c->retain_as_published || c->retain_handling != 0))
		return fail(o, "--no-local, --retain-as-published and --retain-handling are for level 5: add -V 5");
	return check_text(o, "client id", c->id, NULL) && check_text(o, "user name", c->user, NULL) &&
	    check_text(o, "will topic", c->will_topic, topic_name_valid) && check_props(c, o) && check_command(c, o);
}

/* A word that is no option. */
static bool
take_word(struct cli *c, struct opt *o, const char *value)
{
	if (c->who == CLI_SUBSCRIBE || c->who == CLI_UNSUBSCRIBE || (c->who == CLI_PUBLISH && c->topics.count == 0))
		return add(o, &c->topics, value);
	if (c->who == CLI_PUBLISH)
		return set_source(c, o, CLI_MESSAGE, value);
	snprintf(o->error, sizeof o->error, "'%.40s' is no option", value);
	return false;
}

int
cli_parse(struct cli *c, unsigned who, char **argv, char *error, size_t error_size)
{
	return cli_parse_level(c, who, MQTT_311, argv, error, error_size);
}

int
cli_parse_level(struct cli *c, unsigned who, uint8_t level, char **argv, char *error, size_t error_size)
{
	struct opt o = { .rows = rows, .row_count = sizeof rows / sizeof rows[0], .who = who, .argv = argv };
	const char *value;
	bool ok = true;
	int row;

	memset(c, 0, sizeof *c);
	c->who = who;
	net_init(&c->net);
	c->level = level;
	c->keep_alive_s = 60;
	c->repeat = 1;
	c->timeout_s = -1;
	while (ok && (row = opt_next(&o, &value)) != OPT_END) {
		if (row == OPT_WORD)
			ok = take_word(c, &o, value);
		else
			ok = row != OPT_ERROR && take_option(c, &o, row, value);
	}
	if (ok && c->help)
		return 0;
	if (!ok || !check(c, &o)) {
		snprintf(error, error_size, "%s", o.error);
		return FB_EINVAL;
	}
	if (c->id == NULL && (who & (CLI_SUB | CLI_PUB)) != 0) {
		uint32_t r;

		rand_bytes(&r, sizeof r);
		snprintf(c->id_made, sizeof c->id_made, "fubar-%s-%08x", cli_word(c), r);
		c->id = c->id_made;
	}
	return 0;
}

void
cli_connect(const struct cli *c, struct mqtt_connect *p)
{
	*p = (struct mqtt_connect){ .level = c->level, .clean = !c->durable, .keep_alive_s = c->keep_alive_s };
	p->client_id = slice_str(c->id);
	p->props = buf_slice(&c->props[CLI_P_CONNECT]);
	if (c->user != NULL) {
		p->has_user = true;
		p->user = slice_str(c->user);
	}
	if (c->password != NULL) {
		p->has_password = true;
		p->password = slice_str(c->password);
	}
	if (c->will_topic == NULL)
		return;
	p->has_will = true;
	p->will.topic = slice_str(c->will_topic);
	p->will.payload = slice_str(c->will_payload != NULL ? c->will_payload : "");
	p->will.qos = c->will_qos;
	p->will.retain = c->will_retain;
	p->will.props = buf_slice(&c->props[CLI_P_WILL]);
}

void
cli_fini(struct cli *c)
{
	for (int i = 0; i < CLI_P_COUNT; i++)
		buf_fini(&c->props[i]);
}
