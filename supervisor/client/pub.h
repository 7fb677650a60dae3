/* SPDX-License-Identifier: Apache-2.0
 * supervisor/client/pub.h - fubar-client pub. */
#ifndef CLIENT_PUB_H
#define CLIENT_PUB_H

int pub_main(char **argv);              /* argv behind "pub"; the exit code */

#endif
