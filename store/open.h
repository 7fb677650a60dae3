/* SPDX-License-Identifier: Apache-2.0
 * store/open.h - a client wants in: who is it, and whose is its id? */
#ifndef STORE_OPEN_H
#define STORE_OPEN_H

#include "store/slots.h"

void open_do(struct slot *t, struct slice payload);
void open_serve_waiting(struct store *s);       /* all workers have named their sessions */
void open_serve_slot(struct slot *t);            /* those that waited for its rows, or for its end */
void open_drop_slot(struct slot *t);            /* its channel is gone: nobody waits for the answers */

#endif
