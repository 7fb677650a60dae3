/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/format.c - printing a message by a format. */
#include "supervisor/client/format.h"

#include <jansson.h>
#include <time.h>

#include "common/base/err.h"
#include "common/base/utf8.h"

static const char letters[] = "tpxXlqrmIUjJ%";
static const char escapes[] = "ntrae0\\";
static const char escaped[] = "\n\t\r\a\033\0\\";

int
format_check(const char *format, char *bad)
{
	for (const char *p = format; *p != 0; p++) {
		if (*p != '%' && *p != '\\')
			continue;
		if (p[1] != 0 && strchr(*p == '%' ? letters : escapes, p[1]) != NULL) {
			p++;
			continue;
		}
		*bad = p[1];
		return FB_ESYNTAX;
	}
	return 0;
}

static void
print_hex(FILE *out, struct slice s, const char *digits)
{
	for (size_t i = 0; i < s.len; i++) {
		fputc(digits[s.p[i] >> 4], out);
		fputc(digits[s.p[i] & 15], out);
	}
}

static void
iso_time(struct wall now, char *text, size_t size)
{
	time_t t = (time_t)(now.ns / NS_PER_SEC);
	struct tm tm;
	size_t n;

	localtime_r(&t, &tm);
	n = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, size - n, ".%06d", (int)(now.ns % NS_PER_SEC / 1000));
	strftime(text + n, size - n, "%z", &tm);
}

/* A payload that is neither JSON (when asked for) nor text goes as hex under another name. */
static void
print_json(FILE *out, const struct mqtt_publish *p, struct wall now, bool parse)
{
	char when[48];
	json_t *j;
	json_t *payload = NULL;

	iso_time(now, when, sizeof when);
	j = json_pack("{s:s, s:s%, s:i, s:i, s:I}", "tst", when, "topic", (const char *)p->topic.p, p->topic.len, "qos",
	    p->qos, "retain", p->retain ? 1 : 0, "payloadlen", (json_int_t)p->payload.len);
	if (p->qos > 0)
		json_object_set_new(j, "mid", json_integer(p->packet_id));
	if (parse)
		payload = json_loadb((const char *)p->payload.p, p->payload.len, JSON_DECODE_ANY, NULL);
	if (payload == NULL && p->payload.len == 0)
		payload = json_string("");
	if (payload == NULL)
		payload = json_stringn((const char *)p->payload.p, p->payload.len);
	if (payload != NULL) {
		json_object_set_new(j, "payload", payload);
	} else {
		char *text = NULL;
		size_t size = 0;
		FILE *hex = open_memstream(&text, &size);

		print_hex(hex, p->payload, "0123456789abcdef");
		fclose(hex);
		json_object_set_new(j, "payload_hex", json_string(text));
		free(text);
	}
	json_dumpf(j, out, JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(j);
}

static void
print_field(FILE *out, char letter, const struct mqtt_publish *p, struct wall now)
{
	char when[48];

	switch (letter) {
	case 't': fwrite(p->topic.p, 1, p->topic.len, out); break;
	case 'p': fwrite(p->payload.p, 1, p->payload.len, out); break;
	case 'x': print_hex(out, p->payload, "0123456789abcdef"); break;
	case 'X': print_hex(out, p->payload, "0123456789ABCDEF"); break;
	case 'l': fprintf(out, "%zu", p->payload.len); break;
	case 'q': fprintf(out, "%u", p->qos); break;
	case 'r': fprintf(out, "%d", p->retain); break;
	case 'm': fprintf(out, "%u", p->packet_id); break;
	case 'U': fprintf(out, "%lld.%09lld", (long long)(now.ns / NS_PER_SEC), (long long)(now.ns % NS_PER_SEC)); break;
	case 'I':
		iso_time(now, when, sizeof when);
		fputs(when, out);
		break;
	case 'j':
	case 'J': print_json(out, p, now, letter == 'J'); break;
	default: fputc(letter, out); break;
	}
}

void
format_print(FILE *out, const char *format, const struct mqtt_publish *p, struct wall now)
{
	for (const char *f = format; *f != 0; f++) {
		if (*f == '%') {
			f++;
			print_field(out, *f, p, now);
		} else if (*f == '\\') {
			f++;
			fputc(escaped[strchr(escapes, *f) - escapes], out);
		} else {
			fputc(*f, out);
		}
	}
}
