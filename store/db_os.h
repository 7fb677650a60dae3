/* SPDX-License-Identifier: Apache-2.0
 * store/db_os.h - calls of the system that Berkeley DB makes through us, since durable is more than it thinks.
 *
 * A file whose content is flushed is lost nevertheless if its name was not, and POSIX promises a new name only once its
 * folder is flushed: here files are made and renamed so. And a flush that fails must be the last one: the system calls what
 * it could not write written, so that a second one, which Berkeley DB tries up to a hundred times, says that all is well. */
#ifndef STORE_DB_OS_H
#define STORE_DB_OS_H

/* on_failed: a flush failed; any thread; does not return. */
void db_os_install(void (*on_failed)(const char *why));
/* What was made in it so far, also by a process that was killed just then, has its name. 0; FB_EIO: logged. */
int db_os_flush_folder(const char *folder);

#endif
