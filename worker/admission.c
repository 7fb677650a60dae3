/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/admission.h"

uint16_t
admission_keep_alive(uint16_t asked_s, uint16_t min_s, uint16_t max_s)
{
	if (asked_s == 0)
		return min_s == 0 ? 0 : max_s;
	return asked_s < min_s ? min_s : asked_s > max_s ? max_s : asked_s;
}
