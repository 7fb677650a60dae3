/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell_cmd.c - what the words of the shell do. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "supervisor/client/format.h"
#include "supervisor/client/shell.h"
#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/utf8.h"

#define PAYLOAD_MAX 268435455u

/* What a handler gets: the words behind the command (and behind @NAME). */
struct command {
	struct shell *sh;
	struct member *m;               /* that @NAME names or, without it, the current one; may be NULL */
	const char *name;               /* of @NAME, without '@'; NULL: none was given */
	char **words;                   /* NULL at the end */
	int count;
	unsigned who;
};

typedef void handler_fn(struct command *c);

static handler_fn do_connect, do_disconnect, do_drop, do_subscribe, do_unsubscribe, do_publish, do_last_message, do_state,
    do_list, do_use, do_wait, do_echo, do_help, do_quit;

static const struct row {
	const char *word;
	const char *args;
	unsigned who;
	handler_fn *handler;
	const char *help;
} table[] = {
#define SHELL(word, args, who, handler, help) { word, args, who, handler, help },
#include "supervisor/client/shell.def"
#undef SHELL
};

/* ---- what several need ---- */

static bool
need_member(struct command *c)
{
	if (c->m != NULL)
		return true;
	if (c->name != NULL)
		shell_fail(c->sh, "there is no client @%s", c->name);
	else
		shell_fail(c->sh, "there is no client yet: connect");
	return false;
}

static bool
need_up(struct command *c)
{
	if (!need_member(c))
		return false;
	if (c->m->made && c->m->caller.client.state == CLIENT_UP)
		return true;
	shell_fail(c->sh, "@%s is %s", c->m->name, member_state(c->m));
	return false;
}

static bool
no_words(struct command *c, int at_most)
{
	if (c->count <= at_most)
		return true;
	shell_fail(c->sh, "'%s' is one word too many", c->words[at_most]);
	return false;
}

/* The options behind a command; false: the command is over (refused, or --help). */
static bool
parse(struct command *c, struct cli *cli)
{
	char error[256];
	uint8_t level = c->m != NULL && c->m->made ? c->m->caller.client.level : MQTT_311;

	if (cli_parse_level(cli, c->who, level, c->words, error, sizeof error) != 0) {
		shell_fail(c->sh, "%s", error);
	} else if (cli->help) {
		edit_hide();
		cli_help(c->who);
	} else {
		return true;
	}
	cli_fini(cli);
	return false;
}

static void
wait_answer(struct command *c, int r, uint64_t token)
{
	if (r == 0)
		shell_wait(c->sh, WAIT_ANSWER, c->m, token, false);
	else
		shell_fail(c->sh, "@%s: %s", c->m->name, r == FB_EAGAIN ? "too much is under way" : err_text(r));
}

/* ---- connections ---- */

/* Copies of two lists, one behind the other: they live as long as the connection. */
static char **
copy_words(char *const *first, char *const *second)
{
	size_t n = 0;
	size_t k = 0;
	char **words;

	while (first[n] != NULL)
		n++;
	while (second[k] != NULL)
		k++;
	words = mem_zalloc((n + k + 1) * sizeof *words);
	for (size_t i = 0; i < n; i++)
		words[i] = mem_strdup(first[i]);
	for (size_t i = 0; i < k; i++)
		words[n + i] = mem_strdup(second[i]);
	return words;
}

static void
free_words(char **words)
{
	for (char **w = words; *w != NULL; w++)
		mem_free(*w);
	mem_free(words);
}

static struct member *
new_member(struct command *c)
{
	char name[SHELL_NAME_MAX];

	if (c->name != NULL)
		return member_new(c->sh, c->name);
	for (unsigned i = 1;; i++) {
		snprintf(name, sizeof name, "c%u", i);
		if (member_find(c->sh, name) == NULL)
			return member_new(c->sh, name);
	}
}

static void
do_connect(struct command *c)
{
	struct cli cli;
	char error[256];
	char **words;

	if (c->name == NULL && c->m != NULL && strcmp(member_state(c->m), "down") != 0)
		c->m = NULL;                    /* another one */
	if (c->m != NULL && strcmp(member_state(c->m), "down") != 0) {
		shell_fail(c->sh, "@%s is %s", c->m->name, member_state(c->m));
		return;
	}
	/* Without options: as it connected last; else the shell's own options come first. */
	if (c->m != NULL && c->count == 0 && c->m->words != NULL)
		words = copy_words(c->m->words, c->words);
	else
		words = copy_words(c->sh->defaults, c->words);
	c->words = words;
	if (!parse(c, &cli)) {
		free_words(words);
		return;
	}
	if (c->m == NULL)
		c->m = new_member(c);
	c->sh->current = c->m;
	shell_wait(c->sh, WAIT_UP, c->m, 0, false);
	if (member_connect(c->m, &cli, words, error, sizeof error) != 0) {
		c->sh->wait = WAIT_NONE;
		shell_fail(c->sh, "%s", error);
	}
}

static void
do_disconnect(struct command *c)
{
	struct cli cli;
	struct mqtt_disconnect p = { 0 };

	if (!need_member(c) || !parse(c, &cli))
		return;
	if (strcmp(member_state(c->m), "down") == 0) {
		shell_fail(c->sh, "@%s is down", c->m->name);
	} else {
		p.props = buf_slice(&cli.props[CLI_P_DISCONNECT]);
		caller_end(&c->m->caller, &p);
		shell_wait(c->sh, WAIT_DOWN, c->m, 0, false);
	}
	cli_fini(&cli);
}

static void
do_drop(struct command *c)
{
	if (!need_member(c) || !no_words(c, 0))
		return;
	if (strcmp(member_state(c->m), "down") == 0) {
		shell_fail(c->sh, "@%s is down", c->m->name);
		return;
	}
	caller_drop(&c->m->caller);
	shell_wait(c->sh, WAIT_DOWN, c->m, 0, false);
}

/* ---- topics and messages ---- */

static void
do_subscribe(struct command *c)
{
	struct mqtt_filter filters[CLI_LIST_MAX];
	uint64_t token = c->sh->next_token++;
	struct cli cli;
	uint16_t id;

	if (!need_up(c) || !parse(c, &cli))
		return;
	for (uint32_t i = 0; i < cli.topics.count; i++) {
		filters[i] = (struct mqtt_filter){
			.filter = slice_str(cli.topics.text[i]),
			.qos = cli.qos,
			.no_local = cli.no_local,
			.retain_as_published = cli.retain_as_published,
			.retain_handling = cli.retain_handling,
		};
		shell_know(c->sh, filters[i].filter);
	}
	wait_answer(c, client_subscribe(&c->m->caller.client, filters, cli.topics.count,
	    buf_slice(&cli.props[CLI_P_SUBSCRIBE]), token, &id), token);
	cli_fini(&cli);
}

static void
do_unsubscribe(struct command *c)
{
	struct slice filters[CLI_LIST_MAX];
	uint64_t token = c->sh->next_token++;
	struct cli cli;
	uint16_t id;

	if (!need_up(c) || !parse(c, &cli))
		return;
	for (uint32_t i = 0; i < cli.topics.count; i++)
		filters[i] = slice_str(cli.topics.text[i]);
	wait_answer(c, client_unsubscribe(&c->m->caller.client, filters, cli.topics.count,
	    buf_slice(&cli.props[CLI_P_UNSUBSCRIBE]), token, &id), token);
	cli_fini(&cli);
}

static bool
read_file(struct shell *sh, const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = -1;

	while (fd >= 0 && buf_len(out) <= PAYLOAD_MAX) {
		n = read(fd, buf_room(out, 65536), 65536);
		if (n <= 0)
			break;
		buf_added(out, (size_t)n);
	}
	if (fd < 0 || n < 0)
		shell_fail(sh, "%s: %s", path, strerror(errno));
	else if (n > 0)
		shell_fail(sh, "%s: larger than a packet can be", path);
	if (fd >= 0)
		close(fd);
	return n == 0;
}

static void
do_publish(struct command *c)
{
	uint64_t token = c->sh->next_token++;
	struct mqtt_publish p = { .payload = { NULL, 0 } };
	struct cli cli;
	struct buf file;
	int r;

	if (!need_up(c) || !parse(c, &cli))
		return;
	buf_init(&file);
	if (cli.source != CLI_FILE || read_file(c->sh, cli.message, &file)) {
		p.topic = slice_str(cli.topics.text[0]);
		p.payload = cli.source == CLI_MESSAGE ? slice_str(cli.message) : buf_slice(&file);
		p.props = buf_slice(&cli.props[CLI_P_PUBLISH]);
		p.qos = cli.qos;
		p.retain = cli.retain;
		r = client_publish(&c->m->caller.client, &p, token);
		c->m->published += r == 0;
		shell_know(c->sh, p.topic);
		if (r != 0 || p.qos > 0)
			wait_answer(c, r, token);
	}
	buf_fini(&file);
	cli_fini(&cli);
}

static void
do_last_message(struct command *c)
{
	const struct shell_message *s;
	struct mqtt_publish p;
	struct cli cli;
	char bad = 0;

	if (!need_member(c) || !parse(c, &cli))
		return;
	s = &c->m->last;
	if (s->topic == NULL) {
		shell_fail(c->sh, "@%s got no message yet", c->m->name);
	} else if (cli.format != NULL && format_check(cli.format, &bad) != 0) {
		shell_fail(c->sh, "--format: '%c' behind %% or \\ means nothing", bad);
	} else {
		p = (struct mqtt_publish){ .topic = { (const uint8_t *)s->topic, s->topic_len }, .payload = { s->payload, s->len },
			.qos = s->qos, .retain = s->retain, .dup = s->dup };
		edit_hide();
		format_print(stdout, cli.format != NULL ? cli.format : "topic    %t\nQoS      %q\nretained %r\nlength   %l\n%p", &p,
		    clock_wall());
		putchar('\n');
	}
	cli_fini(&cli);
}

/* ---- looking ---- */

static void
do_state(struct command *c)
{
	const struct member *m = c->m;
	const struct client *client;
	char where[600];

	if (!need_member(c) || !no_words(c, 0))
		return;
	shell_print(c->sh, "name       @%s", m->name);
	shell_print(c->sh, "state      %s%s%s%s", member_state(m), m->why[0] != 0 ? " (" : "", m->why, m->why[0] != 0 ? ")" : "");
	if (!m->made)
		return;
	client = &m->caller.client;
	shell_print(c->sh, "server     %s", target_show(&m->caller.at, where, sizeof where));
	shell_print(c->sh, "client id  %s", m->cli.id);
	shell_print(c->sh, "user       %s", m->cli.user != NULL ? m->cli.user : "-");
	shell_print(c->sh, "level      %u", m->cli.level);
	shell_print(c->sh, "session    %s", m->cli.durable ? "kept" : "clean");
	shell_print(c->sh, "keep-alive %u s", client->keep_alive_s);
	shell_print(c->sh, "will       %s", m->cli.will_topic != NULL ? m->cli.will_topic : "-");
	shell_print(c->sh, "received   %" PRIu64, m->received);
	shell_print(c->sh, "published  %" PRIu64 ", %" PRIu64 " acknowledged, %u under way", m->published, m->acked,
	    client->in_flight);
}

static void
do_list(struct command *c)
{
	char where[600];

	if (!no_words(c, 0))
		return;
	LIST_EACH(node, &c->sh->members) {
		struct member *m = container_of(node, struct member, node);

		shell_print(c->sh, "%c @%-12s %-10s %s", m == c->sh->current ? '>' : ' ', m->name, member_state(m),
		    m->made ? target_show(&m->caller.at, where, sizeof where) : "-");
	}
}

static void
do_use(struct command *c)
{
	if (c->name == NULL)
		shell_fail(c->sh, "use needs the name of a client: use @NAME");
	else if (need_member(c) && no_words(c, 0))
		c->sh->current = c->m;
}

static bool
take_number(struct command *c, const char *word, double *out)
{
	char *end = NULL;

	*out = strtod(word, &end);
	if (*word != 0 && *end == 0 && *out >= 0 && *out <= 1e9)
		return true;
	shell_fail(c->sh, "'%s' is not a number", word);
	return false;
}

static void
do_wait(struct command *c)
{
	double count = 1;
	double seconds = 10;
	bool up;

	if (!need_member(c) || !no_words(c, 2) || (c->count == 2 && !take_number(c, c->words[1], &seconds)))
		return;
	c->sh->wait_end = mono_add(clock_mono(), (int64_t)(seconds * (double)NS_PER_SEC));
	up = strcmp(member_state(c->m), "up") == 0;
	if (c->count > 0 && strcmp(c->words[0], "up") == 0) {
		if (!up)
			shell_wait(c->sh, WAIT_UP, c->m, 0, true);
	} else if (c->count > 0 && strcmp(c->words[0], "down") == 0) {
		if (strcmp(member_state(c->m), "down") != 0)
			shell_wait(c->sh, WAIT_DOWN, c->m, 0, true);
	} else if (c->count == 0 || take_number(c, c->words[0], &count)) {
		shell_wait(c->sh, WAIT_COUNT, c->m, (uint64_t)count, true);
		shell_happened(c->sh, WAIT_COUNT, c->m, 0, true);
	}
}

static void
do_echo(struct command *c)
{
	edit_hide();
	for (int i = 0; i < c->count; i++)
		printf("%s%s", i > 0 ? " " : "", c->words[i]);
	putchar('\n');
}

static const struct row *
find_row(struct shell *sh, const char *word)
{
	const struct row *found = NULL;
	char list[200] = "";

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		if (strcmp(table[i].word, word) == 0)
			return &table[i];
		if (*word == 0 || strncmp(table[i].word, word, strlen(word)) != 0)
			continue;
		snprintf(list + strlen(list), sizeof list - strlen(list), " %s", table[i].word);
		found = found == NULL ? &table[i] : &table[sizeof table / sizeof table[0]];
	}
	if (found == &table[sizeof table / sizeof table[0]])
		shell_fail(sh, "'%s' could be:%s", word, list);
	else if (found == NULL)
		shell_fail(sh, "no command '%s': help shows them", word);
	return found != NULL && found < &table[sizeof table / sizeof table[0]] ? found : NULL;
}

static void
do_help(struct command *c)
{
	const struct row *r;

	if (c->count > 0) {
		r = find_row(c->sh, c->words[0]);
		if (r == NULL)
			return;
		edit_hide();
		printf("%s %s\n  %s\n", r->word, r->args, r->help);
		if (r->who != 0)
			cli_help(r->who);
		return;
	}
	edit_hide();
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		printf("  %s %s\n      %s\n", table[i].word, table[i].args, table[i].help);
	printf("\nWords shorten. A line that begins with ! must fail. # begins a comment.\n");
}

static void
do_quit(struct command *c)
{
	c->sh->quit = true;
}

/* ---- a line ---- */

static bool
valid_name(const char *name)
{
	return *name != 0 && strlen(name) < SHELL_NAME_MAX && utf8_clean(slice_str(name)) && strpbrk(name, "@#+/ ") == NULL;
}

void
shell_command(struct shell *sh, char *line)
{
	char *words[SHELL_WORDS_MAX];
	const char *error = NULL;
	int n = shell_split(line, words, SHELL_WORDS_MAX, &error);
	struct command c = { .sh = sh, .words = words + 1, .count = n - 1, .m = sh->current };
	const struct row *r;

	if (n == 0)
		return;
	if (n < 0) {
		shell_fail(sh, "%s", error);
		return;
	}
	r = find_row(sh, words[0]);
	if (r == NULL)
		return;
	c.who = r->who;
	if (c.count > 0 && c.words[0][0] == '@' && r->handler != do_echo) {
		c.name = c.words[0] + 1;
		c.m = member_find(sh, c.name);
		c.words++;
		c.count--;
		if (!valid_name(c.name)) {
			shell_fail(sh, "'%s' is no name for a client", c.name);
			return;
		}
	}
	r->handler(&c);
}
