/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/topic.h"

#define TOPIC_MAX 65535         /* [MQTT-4.7.3-3] */

static const uint8_t *
find(struct slice s, char c)
{
	return s.len == 0 ? NULL : memchr(s.p, c, s.len);
}

bool
topic_has_wildcard(struct slice filter)
{
	return find(filter, '+') != NULL || find(filter, '#') != NULL;
}

bool
topic_name_valid(struct slice topic)
{
	return topic.len >= 1 && topic.len <= TOPIC_MAX         /* [MQTT-4.7.3-1] */
	    && find(topic, '\0') == NULL                        /* [MQTT-4.7.3-2] */
	    && !topic_has_wildcard(topic);                      /* [MQTT-4.7.1-1] [MQTT-3.3.2-2] */
}

bool
topic_filter_valid(struct slice filter)
{
	if (filter.len < 1 || filter.len > TOPIC_MAX || find(filter, '\0') != NULL)
		return false;
	for (size_t i = 0; i < filter.len; i++) {
		if (filter.p[i] != '+' && filter.p[i] != '#')
			continue;
		if (i > 0 && filter.p[i - 1] != '/')
			return false;
		if (filter.p[i] == '#' && i + 1 != filter.len)          /* [MQTT-4.7.1-2] */
			return false;
		if (i + 1 < filter.len && filter.p[i + 1] != '/')       /* [MQTT-4.7.1-3] */
			return false;
	}
	return true;
}

uint32_t
topic_levels(struct slice topic)
{
	uint32_t n = 1;

	for (size_t i = 0; i < topic.len; i++)
		n += topic.p[i] == '/';
	return n;
}

/* Byte by byte, nothing normalised [MQTT-4.7.3-4]. One walk over both: wildcards stand only where a level starts, so
 * no step back is ever needed. */
bool
topic_matches(struct slice filter, struct slice topic)
{
	size_t f = 0;
	size_t t = 0;

	if (topic.len > 0 && topic.p[0] == '$' && filter.len > 0 && (filter.p[0] == '+' || filter.p[0] == '#'))
		return false;                                           /* [MQTT-4.7.2-1] */
	while (f < filter.len) {
		if (filter.p[f] == '#')
			return true;
		if (filter.p[f] == '+') {
			while (t < topic.len && topic.p[t] != '/')
				t++;
			f++;
		} else if (t < topic.len && filter.p[f] == topic.p[t]) {
			f++;
			t++;
			continue;
		} else {
			break;
		}
	}
	if (f == filter.len && t == topic.len)
		return true;
	/* "a/#" also matches its parent "a" */
	return t == topic.len && filter.len - f == 2 && filter.p[f] == '/' && filter.p[f + 1] == '#';
}

bool
topic_next_level(struct slice *rest, struct slice *level)
{
	const uint8_t *end;

	if (rest->p == NULL)
		return false;
	end = find(*rest, '/');
	if (end == NULL) {
		*level = *rest;
		*rest = slice_of(NULL, 0);
		return true;
	}
	*level = slice_of(rest->p, (size_t)(end - rest->p));
	*rest = slice_of(end + 1, rest->len - level->len - 1);
	return true;
}

bool
topic_share(struct slice filter, struct slice *group, struct slice *inner)
{
	struct slice prefix = SLICE_LIT("$share/");
	struct slice rest;
	struct slice name;

	*group = slice_of(NULL, 0);
	*inner = filter;
	if (filter.len < prefix.len || memcmp(filter.p, prefix.p, prefix.len) != 0)
		return false;
	*inner = slice_of(NULL, 0);
	rest = slice_of(filter.p + prefix.len, filter.len - prefix.len);
	(void)topic_next_level(&rest, &name);
	if (name.len == 0 || topic_has_wildcard(name))          /* [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
		return true;
	if (rest.p == NULL || rest.len == 0)                    /* [MQTT-4.8.2-2] */
		return true;
	*group = name;
	*inner = rest;
	return true;
}
