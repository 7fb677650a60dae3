# t/sim/: many processes' logic in one, under a false clock, with seeded faults. libfbsim.a stands where libfbloop.a and
# libfbpipe.a stand in the real programs, and before libfbbase.a, whose clock it replaces.
check_LIBRARIES += libfbsim.a
libfbsim_a_SOURCES = \
	t/sim/loop_sim.c \
	t/sim/pipe_sim.c \
	t/sim/sim.c t/sim/sim.h

SIM_TESTS = t/sim/sim_cluster t/sim/sim_node
check_PROGRAMS += $(SIM_TESTS)
TESTS += $(SIM_TESTS) t/sim/sim_disk.sh
EXTRA_DIST += t/sim/sim_disk.sh

t_sim_sim_cluster_SOURCES = t/sim/sim_cluster.c
t_sim_sim_cluster_LDADD = libfbcluster.a libfbsim.a libfbmetrics.a libfbbase.a

# Whole workers and the store's logic, with clients. What the store does by threads and Berkeley DB is replaced;
# --wrap, because batch.c stays but its operations have to wait for a disk.
t_sim_sim_node_SOURCES = t/sim/sim_node.c \
	t/sim/chan_sim.c t/sim/chan_sim.h \
	t/sim/env_sim.c \
	t/sim/node.c t/sim/node.h \
	t/sim/node_check.c t/sim/node_client.c t/sim/node_trace.c t/sim/node_wills.c t/sim/node_sim.h \
	t/sim/sock_sim.c t/sim/sock_sim.h \
	t/sim/store_sim.c t/sim/store_sim.h
t_sim_sim_node_LDADD = libfbworker.a libfbstore.a libfbcluster.a libfbsim.a libfbadmin.a libfbconfig.a libfbipc.a \
	libfbmetrics.a libfbmqtt.a libfbcrypto.a libfbbase.a $(YAML_LIBS) $(SSL_LIBS) $(CRYPTO_LIBS) $(WSLAY_LIBS) -lpthread
t_sim_sim_node_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=batch_new,--wrap=batch_put,--wrap=batch_waiting,--wrap=batch_drain,--wrap=batch_free,--wrap=move_on_record

# For nights: make sim SEEDS=100000 [FIRST=1]; a failure prints its seed, which replays with SEEDS=1 FIRST=seed.
SEEDS = 200
FIRST = 1
sim: $(SIM_TESTS)
	for t in $(SIM_TESTS); do ./$$t $(SEEDS) $(FIRST) || exit 1; done
.PHONY: sim
