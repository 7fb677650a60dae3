# client/: fubar-client. All but main() is an archive, so that the unit tests link it.
bin_PROGRAMS += fubar-client
noinst_LIBRARIES += libfbclient.a

fubar_client_SOURCES = client/main.c
fubar_client_LDADD = libfbclient.a libfbmqtt.a libfbbase.a $(JANSSON_LIBS)

libfbclient_a_CPPFLAGS = $(AM_CPPFLAGS) $(JANSSON_CFLAGS)
libfbclient_a_SOURCES = \
	client/bench.c client/bench.h client/bench.def \
	client/bench_conn.c \
	client/bench_opts.c \
	client/bench_report.c \
	client/bench_retained.c \
	client/cli.c client/cli.h client/cli.def \
	client/cross.c \
	client/dial.c client/dial.h \
	client/traffic.c client/traffic.h \
	client/format.c client/format.h \
	client/hist.c client/hist.h \
	client/opt.c client/opt.h \
	client/proc.c client/proc.h \
	client/property.c client/property.h \
	client/pub.c client/pub.h \
	client/seq.c client/seq.h \
	client/sub.c client/sub.h \
	client/swarm.c client/swarm.h \
	client/wire.c client/wire.h

# What connections and messages cost without a broker: see t/bench.
check_PROGRAMS += t/bench/bare
t_bench_bare_SOURCES = t/bench/bare.c
t_bench_bare_LDADD = libfbbase.a
