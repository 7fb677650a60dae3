/* SPDX-License-Identifier: Apache-2.0
 * cluster/sysconf.c - linked into the executable itself: how many CPUs NNG sees.
 *
 * NNG sizes its thread pools by the number of CPUs (87 threads on 64 of them). A worker is one loop on one CPU; with
 * pools for one CPU a frame costs half. The linker exports this definition because libnng asks for it. */
#include <dlfcn.h>
#include <unistd.h>

typedef long sysconf_fn(int name);

long
sysconf(int name)
{
	static sysconf_fn *real;

	if (name == _SC_NPROCESSORS_ONLN)
		return 1;
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "sysconf");
	return real(name);
}
