/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/shell.h - fubar-client shell: named clients that live side by side, driven by lines from a person at a
 * terminal or from a script.
 *
 * At a terminal a command ends at once and its result is shown when it comes. In a script each command waits for its
 * result, and the first that fails ends it. */
#ifndef CLIENT_SHELL_H
#define CLIENT_SHELL_H

#include "supervisor/client/caller.h"
#include "supervisor/client/cli.h"
#include "common/base/list.h"

#define SHELL_NAME_MAX 64
#define SHELL_WORDS_MAX 128
#define SHELL_KNOWN_MAX 64

struct shell;

/* A message that was kept: all owned. */
struct shell_message {
	char *topic;                    /* NULL: none came yet */
	uint8_t *payload;
	size_t topic_len;
	size_t len;
	uint8_t qos;
	bool retain;
	bool dup;
};

struct member {
	struct list node;               /* in shell->members */
	struct shell *shell;
	char name[SHELL_NAME_MAX];
	struct caller caller;
	struct cli cli;                 /* how it connected last */
	struct net net;
	char **words;                   /* what cli's texts are; owned */
	struct shell_message last;
	uint64_t received;
	uint64_t waited;                /* of received: counted by a wait */
	uint64_t published;
	uint64_t acked;
	bool made;                      /* caller, cli and net are in use */
	bool was_up;
	char why[200];                  /* it is down; "": it never was up */
};

enum wait_for { WAIT_NONE, WAIT_UP, WAIT_DOWN, WAIT_ANSWER, WAIT_COUNT };

struct shell {
	struct list members;
	struct member *current;         /* NULL: none yet */
	char **defaults;                /* options for each connect; borrowed, NULL at its end */
	bool interactive;
	bool quit;
	bool failed;                    /* the command in hand did */
	bool must_fail;                 /* the command in hand must */
	unsigned line;                  /* of the script */

	/* What the command in hand waits for. */
	enum wait_for wait;
	struct member *wait_member;
	uint64_t wait_token;            /* WAIT_ANSWER: of that request; WAIT_COUNT: messages */
	struct mono wait_end;           /* ns INT64_MAX: not by itself */
	uint64_t next_token;

	char *known[SHELL_KNOWN_MAX];   /* topics and filters seen, for completion; owned */
	uint32_t known_next;
};

/* ---- shell.c ---- */
int shell_main(char **argv);
/* A line for the person, between what is being typed. */
void shell_print(struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Why the command in hand fails: said and remembered. */
void shell_fail(struct shell *sh, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Waits for sockets, and for fd too (-1: none), until max_ns; true: fd is readable. */
bool shell_turn(struct shell *sh, int fd, int64_t max_ns);
/* The command in hand is over when that happens; only scripts wait for it, unless always. */
void shell_wait(struct shell *sh, enum wait_for what, struct member *m, uint64_t token, bool always);
void shell_happened(struct shell *sh, enum wait_for what, struct member *m, uint64_t token, bool ok);
void shell_know(struct shell *sh, struct slice topic);

/* ---- shell_member.c ---- */
struct member *member_find(const struct shell *sh, const char *name);   /* without '@'; NULL: none */
struct member *member_new(struct shell *sh, const char *name);
void member_free(struct member *m);
/* Takes words (and cli, whose texts they are); the member must be down. */
int member_connect(struct member *m, struct cli *cli, char **words, char *error, size_t error_size);
const char *member_state(const struct member *m);       /* "up", "connecting", "down" ... */

/* ---- shell_cmd.c ---- */
void shell_command(struct shell *sh, char *line);       /* cut in pieces */

/* ---- shell_words.c ---- */
/* Cuts a line in words, in place: blanks, '...', "...", \x; # begins a comment. The number of words; -1: *error. */
int shell_split(char *line, char **words, int max, const char **error);
/* All that could stand at the end of text, which is cut: whole words, sorted, owned by the caller. *from: where in text
 * the word begins that they would replace. */
char **shell_complete(const struct shell *sh, const char *text, size_t *from, size_t *count);

/* ---- shell_edit.c ---- */
struct edit;
struct edit *edit_open(struct shell *sh);               /* terminal and history */
void edit_close(struct edit *e);
char *edit_line(struct edit *e);        /* borrowed until the next call; NULL: the end. Runs shell_turn(). */
void edit_hide(void);                   /* what is being typed goes from the screen, until edit_show() */
void edit_show(void);

#endif
