/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mqtt/right.h"

#include <string.h>

#include "common/base/err.h"
#include "common/base/utf8.h"
#include "common/mqtt/topic.h"

static const struct { const char *name; enum right_action action; } actions[] = {
	{ "publish", RIGHT_PUBLISH }, { "subscribe", RIGHT_SUBSCRIBE }, { "send", RIGHT_SEND },
	{ "receive", RIGHT_RECEIVE }, { "all", RIGHT_ALL },
};

static const char *const whos[] = {
	[RIGHT_EVERYONE] = "everyone", [RIGHT_ANONYMOUS] = "anonymous", [RIGHT_USER] = "user:", [RIGHT_GROUP] = "group:",
};

/* One level of a rule and one of what is asked for. */
enum same { SAME_NO, SAME_YES, SAME_ANY /* the rule's level stands for any */ };

static bool
is(struct slice level, char c)
{
	return level.len == 1 && level.p[0] == c;
}

/* May the value stand for a whole level or a part of it? */
static bool
value_fits(struct slice v)
{
	if (v.len == 0 || v.p[0] == '$')
		return false;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] == '/' || v.p[i] == '+' || v.p[i] == '#' || v.p[i] == '\0')
			return false;
	return true;
}

/* Takes what the pattern's first characters stand for: a byte of its own, or a value. */
static struct slice
next_piece(struct slice *pattern, const struct right_client *c, bool *by_id)
{
	struct slice piece = slice_of(pattern->p, 1);
	size_t used = 1;

	if (pattern->p[0] == '%' && pattern->len > 1) {
		used = 2;
		if (pattern->p[1] == 'u')
			piece = c->user;
		else if (pattern->p[1] == 'c')
			piece = c->id;
		if (pattern->p[1] == 'c' && by_id != NULL)
			*by_id = true;
	}
	*pattern = slice_of(pattern->p + used, pattern->len - used);
	return piece;
}

/* Compares a level that holds a '%'. */
static enum same
same_with_values(struct slice pattern, const struct right_client *c, struct slice level, bool allow, bool *by_id)
{
	bool fits = true;
	bool equal = true;

	while (pattern.len > 0) {
		const uint8_t *at = pattern.p;
		struct slice piece = next_piece(&pattern, c, by_id);

		fits = fits && (piece.p == at || value_fits(piece));
		equal = equal && piece.len <= level.len && slice_eq(piece, slice_of(level.p, piece.len));
		if (equal)
			level = slice_of(level.p + piece.len, level.len - piece.len);
	}
	if (!fits)
		return allow ? SAME_NO : SAME_ANY;
	return equal && level.len == 0 ? SAME_YES : SAME_NO;
}

static enum same
same_level(const struct right_rule *r, struct slice pattern, const struct right_client *c, struct slice level,
    bool *by_id)
{
	if (is(pattern, '+'))
		return SAME_ANY;
	if (pattern.len > 0 && memchr(pattern.p, '%', pattern.len) != NULL)
		return same_with_values(pattern, c, level, r->allow, by_id);
	return slice_eq(pattern, level) ? SAME_YES : SAME_NO;
}

/* A '#' in the rule stands for what is left of the topic, and for its parent. */
static bool
rest_is_hash(struct slice rest)
{
	return rest.p != NULL && is(rest, '#');
}

static bool
starts_with_wildcard(struct slice filter)
{
	return filter.p[0] == '+' || filter.p[0] == '#';
}

/* May a level of the asked filter that is a wildcard be met? The rule covers it if its own is as wide; a rule that
 * denies has to share one topic with it only. */
static bool
wildcard_met(const struct right_rule *r, enum same same, struct slice level)
{
	if (!r->allow)
		return true;
	return is(level, '+') && same == SAME_ANY;
}

bool
right_matches(const struct right_rule *r, enum right_action action, const struct right_client *c, struct slice topic,
    bool *by_id)
{
	bool filter = action == RIGHT_SUBSCRIBE;
	struct slice left = r->filter;
	struct slice rest = topic;
	struct slice pattern, level;

	if ((r->actions & action) == 0 || topic.len == 0)
		return false;
	if (topic.p[0] == '$' && r->allow && starts_with_wildcard(r->filter))
		return false;
	/* What starts with a wildcard reaches no name that starts with $. */
	if (filter && starts_with_wildcard(topic) && r->filter.p[0] == '$')
		return false;
	while (topic_next_level(&rest, &level)) {
		bool wild = filter && (is(level, '+') || is(level, '#'));
		enum same same;

		if (!topic_next_level(&left, &pattern))
			return !r->allow && filter && is(level, '#');   /* "a" denies of "a/#" */
		if (is(pattern, '#'))
			return true;
		same = same_level(r, pattern, c, level, by_id);
		if (wild ? !wildcard_met(r, same, level) : same == SAME_NO)
			return false;
		if (wild && is(level, '#'))
			return true;            /* of one that denies: they share a topic */
	}
	return left.p == NULL || rest_is_hash(left);
}

const char *
right_filter_wrong(struct slice filter)
{
	if (filter.len == 0 || filter.len > RIGHT_FILTER_MAX || !utf8_clean(filter))
		return "a filter is 1 to 4096 bytes of UTF-8 without control characters";
	if (!topic_filter_valid(filter))
		return "not a topic filter: + and # stand alone in a level, # in the last";
	if (filter.len >= 7 && memcmp(filter.p, "$share/", 7) == 0)
		return "a rule for a shared subscription names the filter behind $share/GROUP/";
	for (size_t i = 0; i < filter.len; i++) {
		if (filter.p[i] != '%')
			continue;
		if (i + 1 == filter.len || strchr("uc%", filter.p[i + 1]) == NULL)
			return "behind % stands u (the user name), c (the client id) or another % (for one percent sign)";
		i++;
	}
	return NULL;
}

const char *
right_action_name(enum right_action a)
{
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (actions[i].action == a)
			return actions[i].name;
	return "?";
}

int
right_action_parse(struct slice name, enum right_action *out)
{
	for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
		if (slice_eq(name, slice_str(actions[i].name))) {
			*out = actions[i].action;
			return 0;
		}
	return FB_EINVAL;
}

int
right_who_parse(struct slice text, enum right_who *who, struct slice *name)
{
	for (enum right_who w = RIGHT_EVERYONE; w <= RIGHT_GROUP; w++) {
		struct slice word = slice_str(whos[w]);
		bool named = w == RIGHT_USER || w == RIGHT_GROUP;

		if (text.len < word.len || memcmp(text.p, word.p, word.len) != 0)
			continue;
		*name = slice_of(text.p + word.len, text.len - word.len);
		if (named ? name->len == 0 || name->len > RIGHT_NAME_MAX || !utf8_clean(*name) : name->len != 0)
			return FB_EINVAL;
		*who = w;
		return 0;
	}
	return FB_EINVAL;
}

const char *
right_who_name(enum right_who who)
{
	return whos[who];
}
