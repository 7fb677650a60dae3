# supervisor/client/: fubar-client. All but main() is an archive, so that the unit tests link it.
bin_PROGRAMS += fubar-client
noinst_LIBRARIES += libfbclient.a

fubar_client_SOURCES = supervisor/client/main.c
fubar_client_LDADD = libfbclient.a libfbmqtt.a libfbbase.a \
	$(JANSSON_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(WSLAY_LIBS) $(EDIT_LIBS) -lm

libfbclient_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS) $(EDIT_CFLAGS)
libfbclient_a_SOURCES = \
	supervisor/client/bench.c supervisor/client/bench.h supervisor/client/bench.def \
	supervisor/client/bench_conn.c \
	supervisor/client/bench_opts.c \
	supervisor/client/bench_report.c \
	supervisor/client/bench_retained.c \
	supervisor/client/caller.c supervisor/client/caller.h \
	supervisor/client/cli.c supervisor/client/cli.h supervisor/client/cli.def \
	supervisor/client/cross.c \
	supervisor/client/traffic.c supervisor/client/traffic.h \
	supervisor/client/format.c supervisor/client/format.h \
	supervisor/client/hist.c supervisor/client/hist.h \
	supervisor/client/ledger.c supervisor/client/ledger.h \
	supervisor/client/net.c supervisor/client/net.h supervisor/client/net.def \
	supervisor/client/opt.c supervisor/client/opt.h \
	supervisor/client/proc.c supervisor/client/proc.h \
	supervisor/client/property.c supervisor/client/property.h \
	supervisor/client/pub.c supervisor/client/pub.h \
	supervisor/client/seq.c supervisor/client/seq.h \
	supervisor/client/shell.c supervisor/client/shell.h supervisor/client/shell.def \
	supervisor/client/shell_cmd.c \
	supervisor/client/shell_edit.c \
	supervisor/client/shell_member.c \
	supervisor/client/shell_words.c \
	supervisor/client/simulate.c supervisor/client/simulate.h supervisor/client/simulate.def \
	supervisor/client/simulate_opts.c \
	supervisor/client/simulate_report.c \
	supervisor/client/stream.c supervisor/client/stream.h supervisor/client/stream_parts.h \
	supervisor/client/stream_tls.c \
	supervisor/client/stream_ws.c \
	supervisor/client/sub.c supervisor/client/sub.h \
	supervisor/client/swarm.c supervisor/client/swarm.h \
	supervisor/client/target.c supervisor/client/target.h \
	supervisor/client/wire.c supervisor/client/wire.h

# What connections and messages cost without a broker: see t/bench.
check_PROGRAMS += t/bench/bare
t_bench_bare_SOURCES = t/bench/bare.c
t_bench_bare_LDADD = libfbbase.a
