/* SPDX-License-Identifier: Apache-2.0
 * worker/admission.h - what is decided of a CONNECT by the load of the node and by its settings, before anybody is asked
 * who the client is. Pure. */
#ifndef WORKER_ADMISSION_H
#define WORKER_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum admission {
	ADMISSION_GO_ON,                /* to the login */
	ADMISSION_UNAVAILABLE,          /* code 3 */
	ADMISSION_ELSEWHERE,            /* code 6 with the other server's address */
};

/* overloaded: this node. target: another server is known. drop: server.when_overloaded. follows: the client's max
 * recursion is greater than 0. */
struct admission_case {
	bool overloaded;
	bool target;
	bool drop;
	bool follows;
};
enum admission admission_decide(const struct admission_case *c);

/* The interval of a client that asks for that many seconds: itself, or the nearest bound of min to max if it lies
 * outside. 0 is no keep-alive at all, that is, longer than any: it lies inside only of a range that begins at 0, else
 * the nearest bound is max. */
uint16_t admission_keep_alive(uint16_t asked_s, uint16_t min_s, uint16_t max_s);

#endif
