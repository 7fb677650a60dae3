/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/http.h"

#include <stdio.h>
#include <strings.h>

#include "common/crypto/accept.h"

struct headers {
	struct slice host, upgrade, connection, key, version, protocol, origin, length, encoding;
};

static bool
is_text(struct slice s, const char *text)
{
	return s.len == strlen(text) && strncasecmp((const char *)s.p, text, s.len) == 0;
}

static bool
is_token_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static struct slice
trim(struct slice s)
{
	while (s.len > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = slice_of(s.p + 1, s.len - 1);
	while (s.len > 0 && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
		s.len--;
	return s;
}

/* The next element of a list with commas; false: there is none left. */
static bool
next_element(struct slice *list, struct slice *out)
{
	const uint8_t *comma;

	while (list->len > 0) {
		comma = memchr(list->p, ',', list->len);
		*out = trim(slice_of(list->p, comma != NULL ? (size_t)(comma - list->p) : list->len));
		*list = comma != NULL ? slice_of(comma + 1, (size_t)(list->p + list->len - comma) - 1) : slice_of(NULL, 0);
		if (out->len > 0)
			return true;
	}
	return false;
}

static bool
list_has(struct slice list, const char *word)
{
	struct slice e;

	while (next_element(&list, &e))
		if (is_text(e, word))
			return true;
	return false;
}

/* A line without its CR LF. 0; FB_ESHORT; FB_ESYNTAX: a byte that no line has. */
static int
take_line(struct slice *in, struct slice *line)
{
	for (size_t i = 0; i < in->len; i++) {
		uint8_t c = in->p[i];

		if (c == '\r') {
			if (i + 1 == in->len)
				return FB_ESHORT;
			if (in->p[i + 1] != '\n')
				return FB_ESYNTAX;
			*line = slice_of(in->p, i);
			*in = slice_of(in->p + i + 2, in->len - i - 2);
			return 0;
		}
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return FB_ESYNTAX;
	}
	return FB_ESHORT;
}

/* "GET /path HTTP/1.1": 0, or the status to refuse with. */
static int
read_request_line(struct slice line, const struct http_rules *rules, const char **why)
{
	const uint8_t *first = memchr(line.p, ' ', line.len);
	const uint8_t *end = line.p + line.len;
	const uint8_t *second = first != NULL ? memchr(first + 1, ' ', (size_t)(end - first) - 1) : NULL;
	struct slice target, version;
	const uint8_t *query;

	*why = "not an HTTP request";
	if (second == NULL || second == first + 1)
		return 400;
	target = slice_of(first + 1, (size_t)(second - first) - 1);
	version = slice_of(second + 1, (size_t)(end - second) - 1);
	if (version.len != 8 || memcmp(version.p, "HTTP/", 5) != 0)
		return 400;
	*why = "HTTP/1.1 is needed";
	if (memcmp(version.p, "HTTP/1.1", 8) != 0)
		return 505;
	*why = "the method is not GET";
	if (!slice_eq(slice_of(line.p, (size_t)(first - line.p)), SLICE_LIT("GET")))
		return 405;
	query = memchr(target.p, '?', target.len);
	if (query != NULL)
		target.len = (size_t)(query - target.p);
	*why = "no such path";
	if (target.p[0] != '/' || (rules->path[0] != '\0' && !slice_eq(target, slice_str(rules->path))))
		return 404;
	return 0;
}

/* "Name: value" into h. A second header of a name that decides would be a way to smuggle: refused. */
static int
read_header(struct slice line, struct headers *h)
{
	const struct { const char *name; struct slice *to; bool list; } known[] = {
		{ "Host", &h->host, false }, { "Upgrade", &h->upgrade, false }, { "Connection", &h->connection, false },
		{ "Sec-WebSocket-Key", &h->key, false }, { "Sec-WebSocket-Version", &h->version, false },
		{ "Sec-WebSocket-Protocol", &h->protocol, false }, { "Origin", &h->origin, false },
		{ "Content-Length", &h->length, false }, { "Transfer-Encoding", &h->encoding, false },
	};
	const uint8_t *colon = memchr(line.p, ':', line.len);
	struct slice name, value;

	if (colon == NULL || colon == line.p)
		return 400;
	name = slice_of(line.p, (size_t)(colon - line.p));
	value = trim(slice_of(colon + 1, line.len - name.len - 1));
	for (size_t i = 0; i < name.len; i++)
		if (!is_token_byte(name.p[i]))
			return 400;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (is_text(name, known[i].name)) {
			if (known[i].to->p != NULL)
				return 400;
			*known[i].to = value;
		}
	return 0;
}

/* Does a page from there have the right to use this listener? No origin: not a browser. */
static bool
origin_is_fine(const struct headers *h, const char *origins)
{
	const uint8_t *p = h->origin.p;
	struct slice host;

	if (p == NULL || strcmp(origins, "*") == 0)
		return true;
	if (origins[0] == '\0') {
		for (size_t i = 0; i + 3 <= h->origin.len; i++)
			if (memcmp(p + i, "://", 3) == 0) {
				host = slice_of(p + i + 3, h->origin.len - i - 3);
				return host.len == h->host.len && strncasecmp((const char *)host.p, (const char *)h->host.p, host.len) == 0;
			}
		return false;
	}
	while (*origins != '\0') {
		size_t n = strcspn(origins, " ");

		if (n == h->origin.len && strncasecmp(origins, (const char *)p, n) == 0)
			return true;
		origins += n + strspn(origins + n, " ");
	}
	return false;
}

static bool
is_key(struct slice key)
{
	if (key.len != ACCEPT_KEY_LEN || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (!((key.p[i] >= 'a' && key.p[i] <= 'z') || (key.p[i] >= 'A' && key.p[i] <= 'Z') ||
		    (key.p[i] >= '0' && key.p[i] <= '9') || key.p[i] == '+' || key.p[i] == '/'))
			return false;
	return true;
}

/* A client that speaks both gets the newer. [MQTT-6.0.0-3] */
static struct slice
choose_protocol(struct slice offered)
{
	struct slice e, found = { NULL, 0 };

	while (next_element(&offered, &e)) {
		if (slice_eq(e, SLICE_LIT("mqtt")))
			return e;
		if (slice_eq(e, SLICE_LIT("mqttv3.1")))
			found = e;
	}
	return found;
}

static int
decide(const struct headers *h, const struct http_rules *rules, struct http_upgrade *out, const char **why)
{
	*why = "no Host";
	if (h->host.len == 0)
		return 400;
	*why = "a request with a body";
	if (h->encoding.p != NULL || (h->length.p != NULL && !slice_eq(h->length, SLICE_LIT("0"))))
		return 400;
	*why = "no request for WebSocket";
	if (!list_has(h->upgrade, "websocket") || !list_has(h->connection, "Upgrade"))
		return 426;
	*why = "another version of WebSocket than 13";
	if (!slice_eq(h->version, SLICE_LIT("13")))
		return 426;
	*why = "Sec-WebSocket-Key is not 16 bytes in base64";
	if (!is_key(h->key))
		return 400;
	*why = "Origin is not allowed";
	if (!origin_is_fine(h, rules->origins))
		return 403;
	*why = "the subprotocol mqtt is not offered [MQTT-6.0.0-3]";
	out->key = h->key;
	out->protocol = choose_protocol(h->protocol);
	return out->protocol.len > 0 ? 0 : 400;
}

int
http_parse(struct slice in, const struct http_rules *rules, size_t *len, struct http_upgrade *out, const char **why)
{
	struct headers h = { .host = { NULL, 0 } };
	struct slice rest = in, line;
	unsigned count = 0;
	int status = take_line(&rest, &line);

	*why = "not an HTTP request";
	if (status == FB_ESYNTAX || (in.len > 0 && !is_token_byte(in.p[0])))
		return 400;
	while (status == 0) {
		status = count == 0 ? read_request_line(line, rules, why) : read_header(line, &h);
		if (status != 0) {
			if (count > 0)
				*why = "a header that is none, or twice";
			return status;
		}
		*why = "too many headers";
		if (count++ > HTTP_HEADERS_MAX)
			return 431;
		status = take_line(&rest, &line);
		*why = "a byte that no header has";
		if (status == FB_ESYNTAX)
			return 400;
		if (status == 0 && line.len == 0) {
			*len = in.len - rest.len;
			return decide(&h, rules, out, why);
		}
	}
	*why = "the request is too long";
	return in.len >= HTTP_REQUEST_MAX ? 431 : FB_ESHORT;
}

int
http_accept(struct buf *out, const struct http_upgrade *u)
{
	char accept[ACCEPT_TEXT_MAX];
	char answer[320];

	if (accept_text(u->key, accept) != 0)
		return FB_EIO;
	snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	    "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %.*s\r\n\r\n", accept, (int)u->protocol.len,
	    (const char *)u->protocol.p);
	buf_put(out, answer, strlen(answer));
	return 0;
}

void
http_refuse(struct buf *out, int status)
{
	static const struct { int status; const char *text, *header; } known[] = {
		{ 400, "Bad Request", "" },
		{ 403, "Forbidden", "" },
		{ 404, "Not Found", "" },
		{ 405, "Method Not Allowed", "Allow: GET\r\n" },
		{ 426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n" },
		{ 431, "Request Header Fields Too Large", "" },
		{ 500, "Internal Server Error", "" },
		{ 505, "HTTP Version Not Supported", "" },
	};
	size_t i = 0;
	char answer[256];

	while (i + 1 < sizeof known / sizeof known[0] && known[i].status != status)
		i++;
	snprintf(answer, sizeof answer, "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Length: 0\r\n\r\n", known[i].status,
	    known[i].text, known[i].header);
	buf_put(out, answer, strlen(answer));
}
