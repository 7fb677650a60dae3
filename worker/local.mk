# worker/: the process that owns clients. A library plus a small main, so that tests link the library.
noinst_LIBRARIES += libfbworker.a
libfbworker_a_SOURCES = \
	worker/admin.c worker/admin.h \
	worker/admission.c worker/admission.h \
	worker/ban.c worker/ban.h \
	worker/barrier.c worker/barrier.h \
	worker/budget.c worker/budget.h \
	worker/conn.c worker/conn.h worker/conn_out.c \
	worker/connect.c worker/connect.h worker/connect_int.h \
	worker/count.c worker/count.h \
	worker/ctl.c worker/ctl.h \
	worker/backlog.c worker/backlog.h \
	worker/deliver.c worker/deliver.h \
	worker/keep.c worker/keep.h \
	worker/release.c worker/release.h \
	worker/dispatch.c worker/dispatch.h \
	worker/do_ack.c \
	worker/do_connect.c \
	worker/do_disconnect.c \
	worker/do_publish.c \
	worker/do_subscribe.c \
	worker/durability.c worker/durability.h \
	worker/flow.c worker/flow.h \
	worker/http.c worker/http.h \
	worker/listener.c worker/listener.h \
	worker/move.c worker/move.h worker/move_int.h worker/move_old.c \
	worker/msg.c worker/msg.h \
	worker/publish.c worker/publish.h \
	worker/queuec.c worker/queuec.h \
	worker/retain.c worker/retain.h \
	worker/retry.c worker/retry.h \
	worker/rights.c worker/rights.h \
	worker/seen.c worker/seen.h \
	worker/session.c worker/session.h \
	worker/shared.c worker/shared.h worker/shared_group.h worker/shared_disk.c worker/shared_home.c worker/shared_lease.c worker/shared_stop.c \
	worker/shapes.c worker/shapes.h \
	worker/ship.c worker/ship.h \
	worker/stop.c worker/stop.h \
	worker/storec.c worker/storec.h \
	worker/stream.h worker/tcp.c \
	worker/subs.c worker/subs.h \
	worker/sys.c worker/sys.h \
	worker/tls.h worker/tls_context.c worker/tls_int.h worker/tls_stream.c worker/tls_ticket.c \
	worker/trace.c worker/trace.h \
	worker/trie.c worker/trie.h \
	worker/will.c worker/will.h \
	worker/worker.c worker/worker.h \
	worker/ws.c worker/ws.h


pkglibexec_PROGRAMS += fubar-worker
fubar_worker_SOURCES = worker/main.c cluster/sysconf.c
fubar_worker_LDADD = libfbworker.a $(CLUSTER_LIBS) libfbipc.a libfbadmin.a libfbmetrics.a libfbconfig.a libfbmqtt.a \
	libfbcrypto.a libfbloop.a libfbbase.a $(EVENT_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(WSLAY_LIBS) $(CLUSTER_SYSTEM_LIBS)

# What a publish costs beside other subscriptions; not a test. See t/bench/instructions.
noinst_PROGRAMS += t/bench/bench_match
t_bench_bench_match_SOURCES = t/bench/bench_match.c
t_bench_bench_match_LDADD = libfbworker.a libfbmetrics.a libfbmqtt.a libfbloop.a libfbbase.a $(EVENT_LIBS)
