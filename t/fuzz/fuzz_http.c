/* SPDX-License-Identifier: Apache-2.0
 * The request that begins WebSocket, from any bytes. What is taken says the same whatever follows it, and no part of it
 * is enough. */
#include <string.h>

#include "t/fuzz/seeds.h"
#include "worker/http.h"

static const char *const seeds[] = {
	"GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	"Sec-WebSocket-Protocol: mqttv3.1, mqtt\r\nOrigin: http://a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
	"GET / HTTP/1.0\r\n\r\n",
};

size_t
fuzz_seed(size_t i, uint8_t *out, size_t max)
{
	size_t n;

	if (i >= sizeof seeds / sizeof seeds[0])
		return 0;
	n = strlen(seeds[i]) < max ? strlen(seeds[i]) : max;
	memcpy(out, seeds[i], n);
	return n;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_write_seeds(*argc, *argv);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_rules rules[] = { { "", "" }, { "/mqtt", "*" }, { "", "http://a https://b" } };

	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
		struct http_upgrade u, again;
		const char *why;
		struct buf out;
		size_t len = 0, other = 0;
		int status = http_parse(slice_of(data, size), &rules[i], &len, &u, &why);

		FB_ASSERT(status == 0 || status == FB_ESHORT || (status >= 400 && status < 600));
		buf_init(&out);
		if (status > 0)
			http_refuse(&out, status);
		if (status == 0) {
			FB_ASSERT(len <= size && http_accept(&out, &u) == 0);
			FB_ASSERT(http_parse(slice_of(data, len), &rules[i], &other, &again, &why) == 0 && other == len);
			FB_ASSERT(http_parse(slice_of(data, len - 1), &rules[i], &other, &again, &why) == FB_ESHORT);
		}
		buf_fini(&out);
	}
	return 0;
}
