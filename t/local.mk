# t/: the unit test of a module is one line: its name here, its source beside it (t/unit/test_x is made of
# t/unit/test_x.c). It links the archives of common/ and Check; what is in worker/, cluster/ or store/ needs a second
# line: t_unit_test_x_LDADD = libfbworker.a $(UNIT_LIBS) ...
UNIT_TESTS =
UNIT_TESTS += t/unit/test_arena
UNIT_TESTS += t/unit/test_bitmap
UNIT_TESTS += t/unit/test_bucket
UNIT_TESTS += t/unit/test_buf
UNIT_TESTS += t/unit/test_chan
UNIT_TESTS += t/unit/test_cidr
UNIT_TESTS += t/unit/test_cli
UNIT_TESTS += t/unit/test_client
UNIT_TESTS += t/unit/test_clock
UNIT_TESTS += t/unit/test_conf
UNIT_TESTS += t/unit/test_config
UNIT_TESTS += t/unit/test_decode
UNIT_TESTS += t/unit/test_encode
UNIT_TESTS += t/unit/test_err
UNIT_TESTS += t/unit/test_frame
UNIT_TESTS += t/unit/test_heap
UNIT_TESTS += t/unit/test_hist
UNIT_TESTS += t/unit/test_hmap
UNIT_TESTS += t/unit/test_ipc
UNIT_TESTS += t/unit/test_qops
UNIT_TESTS += t/unit/test_ledger
UNIT_TESTS += t/unit/test_list
UNIT_TESTS += t/unit/test_log
UNIT_TESTS += t/unit/test_logfile
UNIT_TESTS += t/unit/test_logs
UNIT_TESTS += t/unit/test_loop
UNIT_TESTS += t/unit/test_mem
UNIT_TESTS += t/unit/test_memory
UNIT_TESTS += t/unit/test_metrics
UNIT_TESTS += t/unit/test_props
UNIT_TESTS += t/unit/test_rand
UNIT_TESTS += t/unit/test_seq
UNIT_TESTS += t/unit/test_reason
UNIT_TESTS += t/unit/test_reload
UNIT_TESTS += t/unit/test_restart
UNIT_TESTS += t/unit/test_service
UNIT_TESTS += t/unit/test_right
UNIT_TESTS += t/unit/test_shell
UNIT_TESTS += t/unit/test_slice
UNIT_TESTS += t/unit/test_target
UNIT_TESTS += t/unit/test_traffic
UNIT_TESTS += t/unit/test_topic
UNIT_TESTS += t/unit/test_utf8
UNIT_TESTS += t/unit/test_wheel
UNIT_TESTS += t/unit/test_words

UNIT_LIBS = libfbadmin.a libfbconfig.a libfbipc.a libfbmetrics.a libfbmqtt.a libfbcrypto.a libfbloop.a libfbbase.a \
	$(CHECK_LIBS) $(EVENT_LIBS) $(YAML_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS)
# For programs without an LDADD of their own, that is, unit tests; every other program has one.
LDADD = $(UNIT_LIBS)

# Tests that are scripts, what they read and what they share, whatever is there: no list to forget. Directories in
# EXTRA_DIST would bring along what a build leaves in them.
DIST_TREES = t/bench t/conf t/doc t/fuzz/corpus t/support t/system
dist-hook:
	@cd $(srcdir) && find $(DIST_TREES) -name __pycache__ -prune -o -name .deps -prune -o -name .dirstamp -o \
		\( -type f -o -type l \) -print | while read -r f; do \
		case "$$f" in *.o|*.log|*.trs) continue;; t/conf/*) ;; \
		*) test -L "$$f" || test ! -s "$$f" || grep -Iq . "$$f" || continue;; \
		esac; \
		$(MKDIR_P) "$(abs_builddir)/$(distdir)/$${f%/*}" && \
		{ test -e "$(abs_builddir)/$(distdir)/$$f" || cp -pP "$$f" "$(abs_builddir)/$(distdir)/$$f"; } || exit 1; \
	done

# fubar-client's parts.
CLIENT_TEST_LIBS = libfbclient.a $(UNIT_LIBS) $(JANSSON_LIBS) $(WSLAY_LIBS) $(EDIT_LIBS) -lm
t_unit_test_cli_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_hist_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_ledger_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_seq_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_shell_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_target_LDADD = $(CLIENT_TEST_LIBS)
t_unit_test_traffic_LDADD = $(CLIENT_TEST_LIBS)

# t/conf/NAME.yaml is read; t/conf/NAME.ok is the error, or the values that it set.
t_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) -DCONF_DIR='"$(abs_top_srcdir)/t/conf"'

# The store: pure modules, then the real process.
STORE_TEST_LIBS = libfbstore.a $(UNIT_LIBS) $(DB_LIBS)
UNIT_TESTS += t/unit/test_passwd
UNIT_TESTS += t/unit/test_store_batch t/unit/test_store_owners t/unit/test_store_rec t/unit/test_store_scan t/unit/test_store_tables
t_unit_test_store_batch_LDADD = $(STORE_TEST_LIBS)
UNIT_TESTS += t/unit/test_store_checkpoint
t_unit_test_store_checkpoint_LDADD = $(STORE_TEST_LIBS)
t_unit_test_store_owners_LDADD = $(STORE_TEST_LIBS)
t_unit_test_store_rec_LDADD = $(STORE_TEST_LIBS)
t_unit_test_store_scan_LDADD = $(STORE_TEST_LIBS)
t_unit_test_store_tables_LDADD = $(STORE_TEST_LIBS)
UNIT_TESTS += t/unit/test_dump
t_unit_test_dump_LDADD = $(STORE_TEST_LIBS)
UNIT_TESTS += t/unit/test_manifest
t_unit_test_manifest_LDADD = $(STORE_TEST_LIBS)
UNIT_TESTS += t/unit/test_store_proc
t_unit_test_store_proc_SOURCES = t/unit/test_store_proc.c t/support/store_rig.c t/support/store_rig.h
t_unit_test_store_proc_CPPFLAGS = $(AM_CPPFLAGS) -DSTORE_PROGRAM='"$(abs_top_builddir)/fubar-store"'
UNIT_TESTS += t/unit/test_store_wills
t_unit_test_store_wills_SOURCES = t/unit/test_store_wills.c t/support/store_rig.c t/support/store_rig.h
t_unit_test_store_wills_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)
UNIT_TESTS += t/unit/test_store_disk
t_unit_test_store_disk_SOURCES = t/unit/test_store_disk.c t/support/store_rig.c t/support/store_rig.h
t_unit_test_store_disk_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)
UNIT_TESTS += t/unit/test_store_queue
t_unit_test_store_queue_SOURCES = t/unit/test_store_queue.c t/support/store_rig.c t/support/store_rig.h
t_unit_test_store_queue_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)
t_unit_test_store_queue_LDADD = $(STORE_TEST_LIBS)
UNIT_TESTS += t/unit/test_store_admin
t_unit_test_store_admin_SOURCES = t/unit/test_store_admin.c t/support/store_rig.c t/support/store_rig.h
t_unit_test_store_admin_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)
t_unit_test_store_admin_LDADD = $(STORE_TEST_LIBS)
# For t/bench/durable.
noinst_PROGRAMS += t/bench/bare_db
t_bench_bare_db_SOURCES = t/bench/bare_db.c
t_bench_bare_db_LDADD = libfbbase.a $(DB_LIBS)
# make t/bench/bench_queue && t/bench/bench_queue
EXTRA_PROGRAMS += t/bench/bench_queue
t_bench_bench_queue_SOURCES = t/bench/bench_queue.c t/bench/proc.c t/bench/proc.h t/support/store_rig.c t/support/store_rig.h
t_bench_bench_queue_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)
t_bench_bench_queue_LDADD = $(STORE_TEST_LIBS)
# make t/bench/bench_store && t/bench/bench_store
EXTRA_PROGRAMS += t/bench/bench_store
t_bench_bench_store_SOURCES = t/bench/bench_store.c t/bench/proc.c t/bench/proc.h t/support/store_rig.c t/support/store_rig.h
t_bench_bench_store_CPPFLAGS = $(t_unit_test_store_proc_CPPFLAGS)

# The supervisor: its rules, and (t/system/test_supervisor.py) fubard with children that are this program.
UNIT_TESTS += t/unit/test_systree
t_unit_test_systree_LDADD = libfbsupervisor.a $(UNIT_LIBS) -lm
t_unit_test_memory_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_reload_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_restart_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_logfile_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_logs_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_service_LDADD = libfbsupervisor.a $(UNIT_LIBS)
noinst_PROGRAMS += t/support/fake_child
t_support_fake_child_SOURCES = t/support/fake_child.c
t_support_fake_child_LDADD = libfbipc.a libfbadmin.a libfbmetrics.a libfbloop.a libfbbase.a $(EVENT_LIBS)

# Clients that keep books while processes are killed (t/support/crash.py).
noinst_PROGRAMS += t/support/crash_load
t_support_crash_load_SOURCES = t/support/crash_load.c t/support/crash_book.c t/support/crash_book.h
t_support_crash_load_LDADD = libfbclient.a libfbmqtt.a libfbbase.a -lm
UNIT_TESTS += t/unit/test_crash_book
# Not linked with anything: the system's loader puts it below fubar-store (t/support/powercut.py). A sanitizer's runtime
# calls it before it is ready itself, so it is not instrumented.
noinst_PROGRAMS += t/support/powercut.so
t_support_powercut_so_SOURCES = t/support/powercut.c
t_support_powercut_so_CFLAGS = $(AM_CFLAGS) -fPIC -fno-sanitize=all
t_support_powercut_so_LDFLAGS = $(AM_LDFLAGS) -shared -fno-sanitize=all
t_support_powercut_so_LDADD = -lpthread
t_unit_test_crash_book_SOURCES = t/unit/test_crash_book.c t/support/crash_book.c t/support/crash_book.h

# The message plane.
CLUSTER_TEST_LIBS = libfbcluster.a libfbpipe.a $(UNIT_LIBS) $(NNG_LIBS) -lpthread -ldl
UNIT_TESTS += t/unit/test_routes
t_unit_test_routes_LDADD = $(CLUSTER_TEST_LIBS)
UNIT_TESTS += t/unit/test_link t/unit/test_cluster t/unit/test_pipe
t_unit_test_pipe_SOURCES = t/unit/test_pipe.c cluster/sysconf.c
t_unit_test_pipe_LDADD = $(CLUSTER_TEST_LIBS)
t_unit_test_link_LDADD = libfbcluster.a libfbsim.a $(UNIT_LIBS)
t_unit_test_cluster_LDADD = libfbcluster.a libfbsim.a $(UNIT_LIBS)

# Whole workers in one process, under the false clock of t/sim: fake links, a fake store, clients that are texts.
check_LIBRARIES += libfbworkertest.a
libfbworkertest_a_SOURCES = \
	t/support/fake_cluster.c t/support/fake_cluster.h t/support/fake_cluster_int.h t/support/fake_cluster_pub.c \
	t/support/fake_queue.c t/support/fake_store.c t/support/fake_store.h \
	t/support/fake_tables.c t/support/fake_tables.h \
	t/support/fake_wants.c t/support/fake_wants.h t/support/fake_wills.c \
	t/support/worker_fixture.c t/support/worker_fixture.h
WORKER_TEST_LIBS = libfbworkertest.a libfbworker.a libfbworkertest.a libfbsim.a libfbworker.a $(UNIT_LIBS) $(WSLAY_LIBS)
UNIT_TESTS += t/unit/test_certs
t_unit_test_certs_LDADD = libfbsupervisor.a libfbworker.a $(UNIT_LIBS)
UNIT_TESTS += t/unit/test_admission
t_unit_test_admission_LDADD = libfbworker.a $(UNIT_LIBS)
UNIT_TESTS += t/unit/test_http t/unit/test_ws
t_unit_test_http_LDADD = libfbworker.a $(UNIT_LIBS)
t_unit_test_ws_SOURCES = t/unit/test_ws.c t/support/ws_peer.c t/support/ws_peer.h
t_unit_test_ws_LDADD = libfbworker.a $(UNIT_LIBS) $(WSLAY_LIBS)
UNIT_TESTS += t/unit/test_ban t/unit/test_flow t/unit/test_msg t/unit/test_queuec t/unit/test_session t/unit/test_ship t/unit/test_storec t/unit/test_will \
	t/unit/test_subs t/unit/test_trie
UNIT_TESTS += t/unit/test_seen
t_unit_test_seen_LDADD = $(WORKER_TEST_LIBS)
UNIT_TESTS += t/unit/test_conn t/unit/test_connect t/unit/test_crowd t/unit/test_deliver t/unit/test_keep t/unit/test_move \
	t/unit/test_publish \
	t/unit/test_retain t/unit/test_takeover
UNIT_TESTS += t/unit/test_turns
t_unit_test_turns_LDADD = $(WORKER_TEST_LIBS)
UNIT_TESTS += t/unit/test_budget t/unit/test_shares_out
t_unit_test_budget_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_shares_out_LDADD = libfbsupervisor.a $(UNIT_LIBS)
t_unit_test_ban_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_flow_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_msg_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_trie_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_ship_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_session_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_queuec_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_will_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_storec_LDADD = $(WORKER_TEST_LIBS)
UNIT_TESTS += t/unit/test_sys
t_unit_test_sys_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_subs_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_conn_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_connect_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_crowd_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_deliver_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_keep_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_move_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_publish_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_retain_LDADD = $(WORKER_TEST_LIBS)
t_unit_test_takeover_LDADD = $(WORKER_TEST_LIBS)

# Tables against man pages and etc/fubar.yaml.
TESTS += t/doc/test_tables.sh

# $share over whole workers.
UNIT_TESTS += t/unit/test_shared
t_unit_test_shared_LDADD = $(WORKER_TEST_LIBS)

if HAVE_CHECK
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif

# The same tests under AddressSanitizer and UBSan, in a build directory of their own below this one; one process a
# test program, so that leaks show and a debugger can follow.
ASAN_DIR = build-asan
check-asan:
	$(MKDIR_P) $(ASAN_DIR)
	test -f $(ASAN_DIR)/Makefile || { cd $(ASAN_DIR) && \
		$(abs_top_srcdir)/configure -q --enable-sanitizers CC='$(CC)' CFLAGS='-g -O1'; }
	cd $(ASAN_DIR) && CK_FORK=no UBSAN_OPTIONS=print_stacktrace=1 $(MAKE) $(AM_MAKEFLAGS) check
.PHONY: check-asan
distclean-local:
	rm -rf $(ASAN_DIR) $(FUZZ_DIR)

# t/fuzz: one libFuzzer harness a source, in a build of their own: configure --enable-fuzz CC=clang, which `make fuzz`
# does by itself. scripts/check runs each for some seconds, `make fuzz FUZZ_SECONDS=3600` for longer. In every build
# driver.c also makes each a test, run_NAME, of a fixed number of inputs. A new one is a name in both lists, its
# _LDFLAGS and its _SOURCES.
FUZZERS = t/fuzz/fuzz_codec t/fuzz/fuzz_frame t/fuzz/fuzz_http t/fuzz/fuzz_ipc t/fuzz/fuzz_queue t/fuzz/fuzz_store t/fuzz/fuzz_ws t/fuzz/fuzz_yaml
EXTRA_PROGRAMS += $(FUZZERS)
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_fuzz_codec_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_frame_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_frame_LDADD = libfbcluster.a $(UNIT_LIBS)
t_fuzz_fuzz_http_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_http_LDADD = libfbworker.a $(UNIT_LIBS)
t_fuzz_fuzz_ipc_LDFLAGS = $(FUZZ_LINK)
QUEUE_FUZZ_LIBS = libfbstore.a libfbsim.a libfbipc.a libfbmetrics.a libfbmqtt.a libfbbase.a
t_fuzz_fuzz_queue_SOURCES = t/fuzz/fuzz_queue.c t/sim/env_sim.c
t_fuzz_fuzz_queue_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_queue_LDADD = $(QUEUE_FUZZ_LIBS)
t_fuzz_fuzz_store_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_store_LDADD = $(STORE_TEST_LIBS)
t_fuzz_fuzz_ws_SOURCES = t/fuzz/fuzz_ws.c t/support/ws_peer.c t/support/ws_peer.h
t_fuzz_fuzz_ws_LDFLAGS = $(FUZZ_LINK)
t_fuzz_fuzz_ws_LDADD = libfbworker.a $(UNIT_LIBS) $(WSLAY_LIBS)
t_fuzz_fuzz_yaml_LDFLAGS = $(FUZZ_LINK)

FUZZ_TESTS = t/fuzz/run_codec t/fuzz/run_frame t/fuzz/run_http t/fuzz/run_ipc t/fuzz/run_queue t/fuzz/run_store t/fuzz/run_ws t/fuzz/run_yaml
check_PROGRAMS += $(FUZZ_TESTS)
TESTS += $(FUZZ_TESTS)
t_fuzz_run_frame_SOURCES = t/fuzz/fuzz_frame.c t/fuzz/driver.c
t_fuzz_run_frame_LDADD = libfbcluster.a $(UNIT_LIBS)
t_fuzz_run_codec_SOURCES = t/fuzz/fuzz_codec.c t/fuzz/driver.c t/fuzz/seeds.h
t_fuzz_run_http_SOURCES = t/fuzz/fuzz_http.c t/fuzz/driver.c
t_fuzz_run_http_LDADD = libfbworker.a $(UNIT_LIBS)
t_fuzz_run_ws_SOURCES = t/fuzz/fuzz_ws.c t/fuzz/driver.c t/support/ws_peer.c t/support/ws_peer.h
t_fuzz_run_ws_LDADD = libfbworker.a $(UNIT_LIBS) $(WSLAY_LIBS)
t_fuzz_run_ipc_SOURCES = t/fuzz/fuzz_ipc.c t/fuzz/driver.c
t_fuzz_run_queue_SOURCES = t/fuzz/fuzz_queue.c t/fuzz/driver.c t/sim/env_sim.c
t_fuzz_run_queue_LDADD = $(QUEUE_FUZZ_LIBS)
t_fuzz_run_store_SOURCES = t/fuzz/fuzz_store.c t/fuzz/driver.c
t_fuzz_run_store_LDADD = $(STORE_TEST_LIBS)
t_fuzz_run_yaml_SOURCES = t/fuzz/fuzz_yaml.c t/fuzz/driver.c
t_fuzz_run_yaml_CPPFLAGS = $(AM_CPPFLAGS) -DFUZZ_CORPUS='"$(abs_top_srcdir)/t/fuzz/corpus/yaml"'

FUZZ_SECONDS = 60
FUZZ_DIR = build-fuzz
if FUZZ
fuzz: $(FUZZERS)
	@for f in $(FUZZERS); do \
		$(MKDIR_P) corpus/$${f##*/} && \
		./$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -verbosity=0 corpus/$${f##*/} || exit 1; \
	done
else
fuzz:
	$(MKDIR_P) $(FUZZ_DIR)
	test -f $(FUZZ_DIR)/Makefile || { cd $(FUZZ_DIR) && \
		$(abs_top_srcdir)/configure -q --enable-fuzz CC=clang CFLAGS='-g -O1'; }
	cd $(FUZZ_DIR) && $(MAKE) $(AM_MAKEFLAGS) fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)
endif
.PHONY: fuzz


# make soak [ROUNDS=200] [SEED=...] [SOAK="crash ..."]: deaths under load, a line a round, the seed of each that fails.
ROUNDS = 200
SEED = 0
SOAK = crash
soak: all
	@for s in $(SOAK); do \
		FUBAR_BUILD=$(abs_builddir) PYTHONPATH=$(abs_top_srcdir)/t/support PYTHONDONTWRITEBYTECODE=1 nice -n 5 \
			/usr/bin/python3 $(abs_top_srcdir)/t/support/$$s.py --rounds $(ROUNDS) --seed $(SEED) || exit 1; \
	done
.PHONY: soak
