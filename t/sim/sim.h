/* SPDX-License-Identifier: Apache-2.0
 * t/sim/sim.h - a false world: one clock, seeded chance, loops that stand for processes, events between them.
 *
 * libfbsim.a has loop.h (loop_sim.c; its descriptors are ends of socket pairs within this process), clock.h (sim.c) and
 * pipe.h (pipe_sim.c). There is one world at a time. Time moves only when nobody has anything to do; a turn of a loop
 * costs some microseconds of it. The same seed and the same program give the same run: what fails is replayed by its
 * seed. */
#ifndef T_SIM_SIM_H
#define T_SIM_SIM_H

#include <stdint.h>

#include "common/base/heap.h"
#include "common/base/loop.h"
#include "common/base/rand.h"

void sim_open(uint64_t seed);           /* also seeds rand_process_key */
void sim_close(void);                   /* after its loops are freed */

struct mono sim_now(void);
/* Chance: 0..n-1; a time between min and max; true in one of n cases. */
uint64_t sim_below(uint64_t n);
int64_t sim_between(int64_t min_ns, int64_t max_ns);
bool sim_one_in(uint64_t n);

/* Something that happens later, outside any loop: embedded by the caller, on the heap of the world until it happens. */
struct sim_event {
	struct heap_node node;
	uint64_t order;                 /* equal times happen in the order set */
	void (*fn)(struct sim_event *e);
};
void sim_event_init(struct sim_event *e, void (*fn)(struct sim_event *e));
void sim_event_in(struct sim_event *e, int64_t ns);     /* moves it if set already */
void sim_event_cancel(struct sim_event *e);
bool sim_event_is_set(const struct sim_event *e);

/* The next thing happens: an event or one turn of some loop. false: nothing ever will. */
bool sim_step(void);
void sim_run_for(int64_t ns);

/* A stopped process (SIGSTOP): its loop takes no turn. */
void sim_freeze(struct loop *l, bool frozen);
/* Of so many that ask whether the turn has taken long, the first is told that it has; 0: none. */
void sim_long_turns(struct loop *l, unsigned every);
extern unsigned sim_long_every;         /* what a new loop has of it; 0 from sim_open() on */

/* loop_sim.c, for sim.c: is there something to do now; else when (false: never); one turn. */
bool sim_loop_ready(const struct loop *l);
bool sim_loop_next(const struct loop *l, struct mono *at);
void sim_loop_put(struct loop *l);
void sim_loop_del(struct loop *l);

/* Descriptors of this world, from SIM_FD on: what loop_sim.c asks of them. close() and shutdown() of a program that
 * links fd_sim.c know them too. They are never given twice. */
#define SIM_FD 1000000
struct sim_fd_ops {
	unsigned (*ready)(void *arg);   /* LOOP_READ | LOOP_WRITE; NULL: nothing to watch */
	void (*close)(void *arg);
	void (*shutdown)(void *arg);    /* of writing; may be NULL */
};
int sim_fd_new(const struct sim_fd_ops *ops, void *arg);
void *sim_fd_arg(int fd, const struct sim_fd_ops *ops);         /* NULL: closed, or of another kind */
unsigned sim_fd_ready(int fd);
void sim_fd_close(int fd);
void sim_fd_shutdown(int fd);
void sim_fd_reset(void);                /* forgets them all; sim_close() does it */

/* Faults of pipe_sim.c. */
struct sim_pipe_faults {
	int64_t delay_min_ns, delay_max_ns;     /* of a frame */
	uint64_t break_one_in;                  /* frames: the connection ends; 0: never */
	uint64_t cut_one_in;                    /* frames: whatever is sent vanishes, nobody is told; 0: never */
	uint64_t twin_one_in;                   /* frames: it arrives twice; 0: never */
	int64_t reconnect_max_ns;
};
extern struct sim_pipe_faults sim_pipe_faults;
/* kill -9: its frames under way are lost or not, and nothing that it still says is heard. */
void sim_pipe_die(unsigned slot, uint64_t epoch);
/* Frames lost because more than NNG's queues hold were under way: a link never lets that happen. */
extern uint64_t sim_pipe_overflows;

#endif
