/* SPDX-License-Identifier: Apache-2.0
 * The wills of the clients, and the one who listens to them: a durable session that is there all the time. */
#include <string.h>

#include "common/ipc/qops.h"
#include "common/mqtt/packet.h"
#include "store/rec.h"
#include "t/sim/node_sim.h"
#include "t/sim/store_sim.h"

#define NOTES_MAX  8000u
#define PAYLOAD    12u

enum will_state {
	WILL_NONE,                      /* no CONNACK yet: may be the broker's, or not */
	WILL_LEFT,                      /* its client is connected */
	WILL_OWED,                      /* the connection ended without DISCONNECT */
	WILL_MOURNED,                   /* its worker died, and the disk has it: owed as long as the client stays away */
	WILL_BACK,                      /* the same, and the client was back in time: nobody is to hear of it */
	WILL_CANCELLED,                 /* DISCONNECT */
	WILL_PERHAPS,
};

static struct note {
	uint8_t from, qos;
	uint8_t state;
	bool early;                     /* told while its client seemed connected */
	bool twice_ok;
	unsigned slot, got;
	uint32_t conn_no;
	struct mono died;               /* its worker, with the client connected */
} notes[NOTES_MAX];

static uint32_t count;
static struct mono last_death;
static struct mono connects_at[ALL_CLIENTS];

void
wills_open(void)
{
	count = 0;
	last_death = (struct mono){ 0 };
}

static struct note *
note_of(const struct actor *a)
{
	return a->will == 0 ? NULL : &notes[a->will - 1];
}

/* ---- from the clients ---- */

void
wills_connect(struct actor *a, unsigned slot, struct mqtt_connect *p)
{
	static uint8_t payload[PAYLOAD];
	static char topic[8] = "w/?";
	uint32_t number;
	struct note *n;

	for (uint32_t i = 0; i < count; i++)
		if (notes[i].from == a->index && notes[i].got == 0 && (notes[i].state == WILL_MOURNED ||
		    (notes[i].state == WILL_CANCELLED && check_any_connected(a))))
			notes[i].state = WILL_PERHAPS;
	a->will = 0;
	connects_at[a->index] = sim_now();
	if (!sn.wills || a->index >= CLIENTS || count == NOTES_MAX || sim_one_in(3))
		return;
	n = &notes[count];
	*n = (struct note){ .from = (uint8_t)a->index, .qos = (uint8_t)(1 + sim_below(2)), .slot = slot,
		.conn_no = a->conn_no };
	a->will = ++count;
	number = (count - 1) | WILL_BIT;
	memcpy(payload, &number, sizeof number);
	topic[2] = (char)('0' + a->index);
	p->has_will = true;
	p->will = (struct mqtt_will){ .topic = slice_str(topic), .payload = slice_of(payload, sizeof payload), .qos = n->qos };
	trace("%s: its will is %u, qos %u", a->id, count - 1, n->qos);
}

void
wills_connack(struct actor *a)
{
	struct note *n = note_of(a);

	if (n != NULL && n->state == WILL_NONE)
		n->state = WILL_LEFT;
	for (uint32_t i = 0; i < count; i++) {
		struct note *m = &notes[i];

		/* Looked at by the store between the death and the end of the grace; by a store that is still there. */
		if (mono_diff(connects_at[a->index], last_death) > 0 && m->from == a->index && m->state == WILL_PERHAPS &&
		    m->died.ns != 0 && m->got == 0 && mono_diff(sim_now(), m->died) < WILL_GRACE_S * NS_PER_SEC)
			m->state = WILL_BACK;
	}
}

void
wills_left(struct actor *a, bool was_up, bool disconnect)
{
	struct note *n = note_of(a);

	a->will = 0;
	if (n == NULL || n->state == WILL_MOURNED || n->state == WILL_PERHAPS)
		return;
	/* A CONNECT of an older time may take the session over before DISCONNECT is read. */
	if (!was_up || n->state == WILL_NONE || (disconnect && a->clean_ghosts + a->durable_ghosts > 0))
		n->state = WILL_PERHAPS;
	else
		n->state = disconnect ? WILL_CANCELLED : WILL_OWED;
}

bool
wills_away(const struct actor *a)
{
	for (uint32_t i = 0; i < count; i++)
		if (notes[i].from == a->index && notes[i].state == WILL_MOURNED && notes[i].got == 0 && i % 2 == 0)
			return true;
	return false;
}

/* ---- deaths ---- */

/* Is it that will whose row is on the disk? */
static bool
is_on_disk(uint32_t i)
{
	struct slice row;
	struct rec_will r;
	uint32_t number;

	if (!sim_disk_get(TABLE_wills, slice_str(sn.actors[notes[i].from].id), &row) || rec_take_will(row, &r) != 0 ||
	    r.msg.payload.len != PAYLOAD)
		return false;
	memcpy(&number, r.msg.payload.p, sizeof number);
	return number == (i | WILL_BIT);
}

static void
orphan(uint32_t i)
{
	struct note *n = &notes[i];

	if (n->state == WILL_BACK || n->state == WILL_NONE || n->state == WILL_CANCELLED)
		n->state = WILL_PERHAPS;
	if ((n->state != WILL_LEFT && n->state != WILL_OWED) || n->got > 0)
		return;
	if (n->state == WILL_LEFT)
		n->died = sim_now();
	n->state = sn.disk && is_on_disk(i) && n->conn_no == sn.actors[n->from].conn_no ? WILL_MOURNED : WILL_PERHAPS;
	trace("will %u of c%u: its worker dies%s", i, n->from, n->state == WILL_MOURNED ? ", and the disk has it" : "");
}

void
wills_kill(unsigned slot)
{
	last_death = sim_now();
	for (uint32_t i = 0; i < count; i++) {
		/* Whatever dies, the word that the client was back may be lost with it. */
		if (notes[i].state == WILL_BACK)
			notes[i].state = WILL_PERHAPS;
		if (slot < NODE_WORKERS && notes[i].slot == slot)
			orphan(i);
		/* A will has no identity: what the dead one had not answered for is routed again. */
		if (slot < NODE_WORKERS)
			notes[i].twice_ok = true;
	}
}

void
wills_unheard(void)
{
	for (uint32_t i = 0; i < count; i++)
		if (notes[i].state != WILL_LEFT && notes[i].state != WILL_NONE)
			notes[i].state = WILL_PERHAPS;
}

/* ---- what is heard ---- */

void
wills_receive(const struct actor *a, uint32_t number, uint8_t qos)
{
	uint32_t i = number & ~WILL_BIT;
	struct note *n = &notes[i];

	if (i >= count)
		fail("%s: will %u, which nobody left", a->id, i);
	if (a->index != WATCHER)
		return;
	trace("will %u of c%u is told", i, n->from);
	sn.wills_told++;
	/* Where things are refused, the worker may have closed the connection before it read that. */
	if (n->state == WILL_CANCELLED && !sn.refuses)
		fail("will %u of c%u is told, which left with DISCONNECT", i, n->from);
	if (n->state == WILL_BACK)
		fail("will %u of c%u is told, which was back in time", i, n->from);
	n->early = n->early || n->state == WILL_LEFT;
	if (n->got++ > 0 && qos == 2 && !n->twice_ok)
		fail("will %u of c%u is told %u times", i, n->from, n->got);
}

/* At rest, all clients connected. */
void
wills_check(void)
{
	for (unsigned k = 0; k < CLIENTS; k++) {
		const struct note *n = note_of(&sn.actors[k]);

		if (n != NULL && n->state == WILL_LEFT && n->early)
			fail("will %u of c%u was told, and it is connected", sn.actors[k].will - 1, k);
	}
}

bool
wills_told(void)
{
	for (uint32_t i = 0; i < count; i++)
		if ((notes[i].state == WILL_OWED || notes[i].state == WILL_MOURNED) && notes[i].got == 0)
			return false;
	return true;
}
