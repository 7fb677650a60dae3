# supervisor/client/: fubar-client. All but main() is an archive, so that the unit tests link it.
bin_PROGRAMS += fubar-client
noinst_LIBRARIES += libfbclient.a

fubar_client_SOURCES = supervisor/client/main.c
fubar_client_LDADD = libfbclient.a libfbmqtt.a libfbbase.a $(JANSSON_LIBS)

libfbclient_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libfbclient_a_SOURCES = \
	supervisor/client/bench.c supervisor/client/bench.h supervisor/client/bench.def \
	supervisor/client/bench_conn.c \
	supervisor/client/bench_opts.c \
	supervisor/client/bench_report.c \
	supervisor/client/bench_retained.c \
	supervisor/client/cli.c supervisor/client/cli.h supervisor/client/cli.def \
	supervisor/client/cross.c \
	supervisor/client/dial.c supervisor/client/dial.h \
	supervisor/client/traffic.c supervisor/client/traffic.h \
	supervisor/client/format.c supervisor/client/format.h \
	supervisor/client/hist.c supervisor/client/hist.h \
	supervisor/client/opt.c supervisor/client/opt.h \
	supervisor/client/proc.c supervisor/client/proc.h \
	supervisor/client/property.c supervisor/client/property.h \
	supervisor/client/pub.c supervisor/client/pub.h \
	supervisor/client/seq.c supervisor/client/seq.h \
	supervisor/client/sub.c supervisor/client/sub.h \
	supervisor/client/swarm.c supervisor/client/swarm.h \
	supervisor/client/wire.c supervisor/client/wire.h

# What connections and messages cost without a broker: see t/bench.
check_PROGRAMS += t/bench/bare
t_bench_bare_SOURCES = t/bench/bare.c
t_bench_bare_LDADD = libfbbase.a
