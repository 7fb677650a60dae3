/* SPDX-License-Identifier: Apache-2.0
 * store/names.h - names of files that last: a file whose content is flushed is lost nevertheless if its name was not, and
 * POSIX promises a new name only once its folder is flushed. Berkeley DB does not do that. */
#ifndef STORE_NAMES_H
#define STORE_NAMES_H

/* From now on Berkeley DB's calls flush the folder of each file that they make or rename, before they return: a commit
 * behind them is in a log that has its name. */
void names_install(void);
/* What was made in it so far, also by a process that was killed just then. 0; FB_EIO: logged. */
int names_flush(const char *folder);

#endif
