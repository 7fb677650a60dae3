/* SPDX-License-Identifier: Apache-2.0 */
#include "store/numbers.h"

#include "common/base/log.h"
#include "store/slots.h"
#include "store/store.h"

static void
on_tell(struct task *task)
{
	struct numbers *n = container_of(task, struct numbers, tell);

	if (n->to_tell > n->told) {
		n->told = n->to_tell;
		n->answer(n->slot, n->to_tell, 0);
	}
}

void
numbers_tell(struct numbers *n, uint64_t seq, int code)
{
	if (n->slot->chan == NULL)
		return;
	if (code == 0) {
		if (seq > n->to_tell)
			n->to_tell = seq;
		loop_defer(n->slot->store->loop, &n->tell);
		return;
	}
	n->told = n->strict ? seq - 1 : seq;
	n->answer(n->slot, seq, code);
}

void
numbers_told(struct numbers *n, uint64_t seq)
{
	n->told = seq;
	if (seq > n->to_tell)
		n->to_tell = seq;
}

void
numbers_init(struct numbers *n, struct slot *t, bool strict, void (*answer)(struct slot *t, uint64_t seq, int code))
{
	*n = (struct numbers){ .slot = t, .strict = strict, .answer = answer };
	task_init(&n->tell, on_tell);
}

void
numbers_reset(struct numbers *n)
{
	FB_ASSERT(n->pending == 0);
	n->stream = (struct batch_stream){ 0 };
	n->resumed = (struct rec_number){ 0 };
	n->seen = n->applied = n->told = n->to_tell = 0;
	n->begun = false;
}

int
numbers_load(struct numbers *n, struct env *e, uint16_t slot, uint64_t epoch)
{
	int rc = batch_stream_load(e, slot, epoch, &n->stream);

	n->stream.strict = n->strict;
	n->resumed = n->stream.applied;
	n->seen = n->applied = n->resumed.last;
	n->told = n->to_tell = 0;
	return rc;
}

/* The last store may have refused some for want of disk, and answered them, without another commit to note their
 * numbers. */
void
numbers_answered(struct numbers *n, uint64_t seq)
{
	if (n->stream.applied.last < seq)
		n->seen = n->applied = n->stream.applied.last = seq;
}

void
numbers_silence(struct numbers *n)
{
	task_cancel(&n->tell);
}

static void
gap(const struct numbers *n, uint64_t seq)
{
	log_error("store", "gap in the numbers of a worker", "slot=%u seq=%llu expected=%llu", n->slot->number,
	    (unsigned long long)seq, (unsigned long long)n->seen + 1);
}

/* The first may be any: a directory that was emptied under living workers must not stop them for ever. */
static enum numbers_what
accept_strict(struct numbers *n, uint64_t seq)
{
	if (seq != n->seen + 1 && n->begun)
		return NUMBERS_DROP;
	if (seq != n->seen + 1) {
		gap(n, seq);
		n->stream.applied.last = seq - 1;
	}
	n->begun = true;
	n->seen = seq;
	return NUMBERS_NEW;
}

enum numbers_what
numbers_accept(struct numbers *n, uint64_t seq)
{
	if (seq <= n->seen)
		return seq <= n->resumed.last ? NUMBERS_AGAIN : NUMBERS_DROP;
	if (n->strict)
		return accept_strict(n, seq);
	if (seq != n->seen + 1)
		gap(n, seq);
	n->seen = seq;
	return NUMBERS_NEW;
}

int
numbers_again(const struct numbers *n, uint64_t seq)
{
	return batch_stream_answer(&n->resumed, seq);
}

void
numbers_put(struct numbers *n, struct batch *b, struct batch_op *op, uint64_t seq)
{
	op->stream = &n->stream;
	op->seq = seq;
	n->pending++;
	batch_put(b, op);
}

bool
numbers_written(struct numbers *n, const struct batch_op *op)
{
	n->pending--;
	if (op->stale)
		return false;
	if (op->code == 0 || !n->strict)
		n->applied = op->seq;
	else
		n->seen = op->seq - 1;
	return true;
}
