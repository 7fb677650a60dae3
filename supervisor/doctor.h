/* SPDX-License-Identifier: Apache-2.0
 * supervisor/doctor.h - what stands in the way of running with this configuration, one line each, with the remedy. */
#ifndef SUPERVISOR_DOCTOR_H
#define SUPERVISOR_DOCTOR_H

#include <stdio.h>

#include "common/config/config.h"

/* The number of things that are wrong. Changes nothing on this machine. */
int doctor(FILE *f, const struct config *c);

#endif
