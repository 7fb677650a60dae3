/* SPDX-License-Identifier: Apache-2.0 */
#include "supervisor/client/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/err.h"

static const struct {
	const char *scheme;
	bool tls;
	bool ws;
	uint16_t port;
} kinds[] = {
	{ "mqtt", false, false, 1883 }, { "mqtts", true, false, 8883 }, { "ws", false, true, 80 }, { "wss", true, true, 443 },
	{ "tcp", false, false, 1883 }, { "ssl", true, false, 8883 }, { "tls", true, false, 8883 },
};

uint16_t
target_port(const struct target *t)
{
	if (t->port != 0)
		return t->port;
	for (size_t i = 0; i < 4; i++)
		if (kinds[i].tls == t->tls && kinds[i].ws == t->ws)
			return kinds[i].port;
	return 1883;
}

const char *
target_kind(const struct target *t)
{
	return t->ws ? (t->tls ? "wss" : "ws") : t->tls ? "mqtts" : "mqtt";
}

const char *
target_show(const struct target *t, char *out, size_t size)
{
	bool six = strchr(t->host, ':') != NULL;

	snprintf(out, size, "%s://%s%s%s:%u%s", target_kind(t), six ? "[" : "",
	    t->host, six ? "]" : "", target_port(t), t->ws ? (t->path[0] != 0 ? t->path : "/mqtt") : "");
	return out;
}

static int
bad(char *error, size_t error_size, const char *why)
{
	snprintf(error, error_size, "%s", why);
	return FB_EINVAL;
}

static bool
take_scheme(struct target *t, const char **url)
{
	const char *end = strstr(*url, "://");

	for (size_t i = 0; end != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
		if (strlen(kinds[i].scheme) != (size_t)(end - *url) ||
		    strncmp(kinds[i].scheme, *url, (size_t)(end - *url)) != 0)
			continue;
		t->tls = kinds[i].tls;
		t->ws = kinds[i].ws;
		*url = end + 3;
		return true;
	}
	return false;
}

/* host[:port], in place. */
static int
take_host(struct target *t, char *text)
{
	char *colon = strrchr(text, ':');
	size_t len;

	if (colon != NULL && strchr(colon, ']') == NULL) {
		char *end = NULL;
		unsigned long port = strtoul(colon + 1, &end, 10);

		if (colon[1] < '0' || colon[1] > '9' || *end != 0 || port < 1 || port > UINT16_MAX)
			return FB_EINVAL;
		t->port = (uint16_t)port;
		*colon = 0;
	}
	len = strlen(text);
	if (text[0] == '[' && len > 2 && text[len - 1] == ']') {
		text[len - 1] = 0;
		text++;
	}
	if (*text == 0 || strlen(text) > TARGET_HOST_MAX || strpbrk(text, "[] /") != NULL)
		return FB_EINVAL;
	snprintf(t->host, sizeof t->host, "%s", text);
	return 0;
}

static int
take_login(struct target_rest *rest, char *login, char *error, size_t error_size)
{
	char *colon = strchr(login, ':');

	if (rest == NULL)
		return bad(error, error_size, "a URL with a user does not fit here");
	if (colon != NULL) {
		*colon = 0;
		rest->has_password = true;
		if (strlen(colon + 1) >= sizeof rest->password)
			return bad(error, error_size, "the URL's password is too long");
		snprintf(rest->password, sizeof rest->password, "%s", colon + 1);
	}
	if (strlen(login) >= sizeof rest->user)
		return bad(error, error_size, "the URL's user is too long");
	memcpy(rest->user, login, strlen(login) + 1);
	return 0;
}

int
target_parse(struct target *t, const char *url, struct target_rest *rest, char *error, size_t error_size)
{
	struct target made = { .port = 0 };
	char text[1024];
	char *host = text;
	char *slash;
	char *at;
	int r;

	if (rest != NULL)
		memset(rest, 0, sizeof *rest);
	if (!take_scheme(&made, &url))
		return bad(error, error_size, "a URL starts with mqtt://, mqtts://, ws:// or wss://");
	if (strlen(url) >= sizeof text)
		return bad(error, error_size, "the URL is too long");
	strcpy(text, url);
	slash = strchr(text, '/');
	if (slash != NULL) {
		if (strlen(slash) > TARGET_PATH_MAX)
			return bad(error, error_size, "the URL's path is too long");
		if (made.ws)
			snprintf(made.path, sizeof made.path, "%s", slash);
		else if (rest != NULL)
			snprintf(rest->path, sizeof rest->path, "%s", slash + 1);
		else if (slash[1] != 0)
			return bad(error, error_size, "a URL with a topic does not fit here");
		*slash = 0;
	}
	at = strrchr(text, '@');
	if (at != NULL) {
		*at = 0;
		host = at + 1;
		r = take_login(rest, text, error, error_size);
		if (r != 0)
			return r;
	}
	if (take_host(&made, host) != 0)
		return bad(error, error_size, "the URL needs a host, and perhaps a port from 1 to 65535");
	*t = made;
	return 0;
}

int
target_alternate(struct target *t, const struct target *from, const void *text, size_t len)
{
	struct target made = { .tls = from->tls, .ws = from->ws };
	char copy[512];
	char error[128];
	int r;

	if (len == 0 || len >= sizeof copy)
		return FB_EINVAL;
	memcpy(copy, text, len);
	copy[len] = 0;
	copy[strcspn(copy, " ")] = 0;
	if (strstr(copy, "://") != NULL) {
		r = target_parse(&made, copy, NULL, error, sizeof error);
	} else {
		memcpy(made.path, from->path, sizeof made.path);
		r = take_host(&made, copy);
	}
	if (r != 0)
		return r;
	if (from->tls && !made.tls)
		return FB_EPERM;
	*t = made;
	return 0;
}
