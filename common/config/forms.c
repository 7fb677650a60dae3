/* SPDX-License-Identifier: Apache-2.0
 * common/config/forms.c - texts with a form of their own. */
#include <arpa/inet.h>
#include <string.h>

#include "common/base/err.h"
#include "common/config/config.h"
#include "common/mqtt/topic.h"

#define HOST_MAX 253

/* Digits alone, up to 65535, from *at on. */
static bool
take_u16(const char **at, uint16_t *out)
{
	uint32_t n = 0;
	size_t digits = strspn(*at, "0123456789");

	if (digits == 0 || digits > 5)
		return false;
	for (size_t i = 0; i < digits; i++)
		n = n * 10 + (uint32_t)((*at)[i] - '0');
	if (n > UINT16_MAX)
		return false;
	*at += digits;
	*out = (uint16_t)n;
	return true;
}

bool
config_range(const char *text, uint16_t *min, uint16_t *max)
{
	uint16_t a, b;

	if (!take_u16(&text, &a) || *text++ != '-' || !take_u16(&text, &b) || *text != '\0' || a > b || b == 0)
		return false;
	*min = a;
	*max = b;
	return true;
}

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

/* The length of the host that text begins with: a name, an IPv4 address, or an IPv6 address in brackets; 0: neither. */
static size_t
host_len(const char *text)
{
	char host[INET6_ADDRSTRLEN];
	struct in6_addr a;
	size_t n;

	if (text[0] != '[') {
		n = strspn(text, NAME_CHARS);
		return n <= HOST_MAX && text[0] != '.' && text[0] != '-' ? n : 0;
	}
	n = strcspn(text + 1, "]");
	if (n >= sizeof host || text[n + 1] != ']')
		return 0;
	memcpy(host, text + 1, n);
	host[n] = '\0';
	return inet_pton(AF_INET6, host, &a) == 1 ? n + 2 : 0;
}

bool
config_server(const char *text)
{
	uint16_t port = 0;
	size_t n;

	if (strncmp(text, "tcp://", 6) != 0 && strncmp(text, "ssl://", 6) != 0)
		return false;
	text += 6;
	n = host_len(text);
	text += n;
	return n > 0 && *text++ == ':' && take_u16(&text, &port) && *text == '\0' && port > 0;
}

const char *
config_alternate(const struct config *c)
{
	return config_server(c->alternate) ? c->alternate : NULL;
}

static bool
is_word(struct slice s, const char *word)
{
	return slice_eq(s, slice_str(word));
}

int
config_durability_next(const char **text, struct slice *filter, bool *disk, const char **why)
{
	const char *p = *text + strspn(*text, " ,");
	size_t n = strcspn(p, ",");
	const char *rest = p + n;
	struct slice word;
	bool bad = true;
	size_t at;

	if (*p == '\0')
		return FB_ENOENT;
	while (p[n - 1] == ' ')
		n--;
	for (at = n; at > 0 && p[at - 1] != ' '; at--)
		continue;
	word = slice_of(p + at, n - at);
	while (at > 0 && p[at - 1] == ' ')
		at--;
	if (is_word(word, "quorum"))
		*why = "quorum comes with the cluster; valid: memory, disk";
	else if (at == 0 || (!is_word(word, "memory") && !is_word(word, "disk")))
		*why = "each entry is a topic filter and memory or disk, such as \"sensors/# memory\"";
	else if (!topic_filter_valid(slice_of(p, at)) || strncmp(p, "$share/", 7) == 0)
		*why = "is no topic filter; # stands alone in the last level, + alone in its level";
	else
		bad = false;
	if (bad)
		return FB_EINVAL;
	*filter = slice_of(p, at);
	*disk = is_word(word, "disk");
	*text = rest;
	return 0;
}

bool
config_is_list(enum config_key k)
{
	return k == CONFIG_K_durability_topics;
}
