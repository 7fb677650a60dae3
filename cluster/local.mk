# cluster/: the message plane. libfbpipe.a is the transport, by NNG; t/sim brings another.
noinst_LIBRARIES += libfbcluster.a libfbpipe.a

libfbcluster_a_SOURCES = \
	cluster/bytemap.c cluster/bytemap.h \
	cluster/cluster.c cluster/cluster.h \
	cluster/forward.c cluster/forward.h \
	cluster/frame.c cluster/frame.h cluster/frames.def \
	cluster/link.c cluster/link.h \
	cluster/link_in.c cluster/link_int.h \
	cluster/patterns.c cluster/patterns.h \
	cluster/pipe.h \
	cluster/routes.c cluster/routes.h \
	cluster/wants.c cluster/wants.h

libfbpipe_a_SOURCES = cluster/pipe.c

# cluster/sysconf.c goes into the SOURCES of each program that links libfbpipe.a, not into an archive: the linker must
# take it although nothing of ours asks for it.
CLUSTER_LIBS = libfbcluster.a libfbpipe.a
CLUSTER_SYSTEM_LIBS = $(NNG_LIBS) -lpthread -ldl

# The price of a message on a link; not a test.
noinst_PROGRAMS += t/bench/bench_link
t_bench_bench_link_SOURCES = t/bench/bench_link.c cluster/sysconf.c
t_bench_bench_link_LDADD = $(CLUSTER_LIBS) libfbmetrics.a libfbloop.a libfbbase.a $(EVENT_LIBS) $(CLUSTER_SYSTEM_LIBS)
