/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/sub.h - fubar-client sub. */
#ifndef CLIENT_SUB_H
#define CLIENT_SUB_H

int sub_main(char **argv);              /* argv behind "sub"; the exit code */

#endif
