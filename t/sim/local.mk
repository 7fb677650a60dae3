# t/sim/: many processes' logic in one, under a false clock, with seeded faults. libfbsim.a stands where libfbloop.a and
# libfbpipe.a stand in the real programs, and before libfbbase.a, whose clock it replaces.
check_LIBRARIES += libfbsim.a
libfbsim_a_SOURCES = \
	t/sim/loop_sim.c \
	t/sim/pipe_sim.c \
	t/sim/sim.c t/sim/sim.h

SIM_TESTS = t/sim/sim_cluster
check_PROGRAMS += $(SIM_TESTS)
TESTS += $(SIM_TESTS)

t_sim_sim_cluster_SOURCES = t/sim/sim_cluster.c
t_sim_sim_cluster_LDADD = libfbcluster.a libfbsim.a libfbmetrics.a libfbbase.a

# For nights: make sim SEEDS=100000 [FIRST=1]; a failure prints its seed, which replays with SEEDS=1 FIRST=seed.
SEEDS = 200
FIRST = 1
sim: $(SIM_TESTS)
	for t in $(SIM_TESTS); do ./$$t $(SEEDS) $(FIRST) || exit 1; done
.PHONY: sim
