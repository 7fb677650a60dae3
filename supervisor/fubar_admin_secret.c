/* SPDX-License-Identifier: Apache-2.0
 * supervisor/fubar_admin_secret.c - passwords made and asked for. The terminal's echo comes back whatever happens. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/rand.h"
#include "supervisor/fubar_admin.h"

#define SECRET_CHARS 24         /* of 62: 142 bits */
#define SECRET_MAX 65536

static int tty = -1;
static struct termios tty_before;

char *
secret_make(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	char *s = mem_zalloc(SECRET_CHARS + 1);

	for (size_t n = 0; n < SECRET_CHARS;) {
		uint8_t byte;

		rand_bytes(&byte, 1);
		if (byte < 4 * 62)      /* all letters equally likely */
			s[n++] = alphabet[byte % 62];
	}
	return s;
}

void
secret_free(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	mem_free(s);
}

static void
on_signal(int sig)
{
	(void)tcsetattr(tty, TCSAFLUSH, &tty_before);
	signal(sig, SIG_DFL);
	raise(sig);
}

static bool
echo_off(void)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct termios quiet;

	if (tcgetattr(tty, &tty_before) != 0)
		return false;
	for (size_t i = 0; i < sizeof sigs / sizeof sigs[0]; i++)
		signal(sigs[i], on_signal);
	quiet = tty_before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	return tcsetattr(tty, TCSAFLUSH, &quiet) == 0;
}

/* One line without its end; NULL at the end of input. */
static char *
read_line(FILE *f)
{
	char *line = mem_zalloc(SECRET_MAX);
	size_t n;

	if (fgets(line, SECRET_MAX, f) == NULL) {
		mem_free(line);
		return NULL;
	}
	n = strcspn(line, "\n");
	if (n > 0 && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	return line;
}

static char *
ask(FILE *f, const char *prompt)
{
	char *line;

	(void)!write(tty, prompt, strlen(prompt));
	line = read_line(f);
	(void)!write(tty, "\n", 1);
	return line;
}

static char *
ask_twice(FILE *f, const char **error)
{
	char *a = ask(f, "Password: ");
	char *b = a != NULL && a[0] != '\0' ? ask(f, "The same again: ") : NULL;

	if (b == NULL) {
		*error = "account set: no password was typed";
	} else if (strcmp(a, b) != 0) {
		*error = "account set: the two passwords differ";
	} else {
		secret_free(b);
		return a;
	}
	secret_free(a);
	secret_free(b);
	return NULL;
}

char *
secret_read(const char **error)
{
	FILE *f;
	char *s;

	if (!isatty(STDIN_FILENO)) {
		s = read_line(stdin);
		if (s == NULL)
			*error = "account set: no password on standard input; type it, pipe it, or --generate";
		return s;
	}
	tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	f = tty < 0 ? NULL : fdopen(dup(tty), "r");
	if (f == NULL || !echo_off()) {
		*error = "account set: no terminal to ask for the password; pipe it, or --generate";
		return NULL;
	}
	s = ask_twice(f, error);
	(void)tcsetattr(tty, TCSAFLUSH, &tty_before);
	fclose(f);
	close(tty);
	return s;
}

bool
secret_confirm(const char *question)
{
	char *line;
	bool yes;

	if (!isatty(STDIN_FILENO))
		return false;
	fprintf(stderr, "%s [yes/no] ", question);
	line = read_line(stdin);
	yes = line != NULL && (strcasecmp(line, "yes") == 0 || strcasecmp(line, "y") == 0);
	mem_free(line);
	return yes;
}
