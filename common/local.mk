# common/: used by all, includes nothing outside itself. One archive a folder; common/base/loop.c has its own, since
# t/sim brings another loop.
noinst_LIBRARIES += libfbbase.a libfbloop.a libfbmqtt.a libfbcrypto.a libfbconfig.a libfbipc.a libfbadmin.a libfbmetrics.a

libfbbase_a_SOURCES = \
	common/base/arena.c common/base/arena.h \
	common/base/bitmap.c common/base/bitmap.h \
	common/base/bucket.c common/base/bucket.h \
	common/base/buf.c common/base/buf.h \
	common/base/cidr.c common/base/cidr.h \
	common/base/clock.c common/base/clock.h \
	common/base/err.c common/base/err.h common/base/errors.def \
	common/base/guess.c common/base/guess.h \
	common/base/heap.c common/base/heap.h \
	common/base/hmap.c common/base/hmap.h \
	common/base/list.h \
	common/base/log.c common/base/log.h \
	common/base/loop.h \
	common/base/mem.c common/base/mem.h \
	common/base/rand.c common/base/rand.h \
	common/base/slice.h \
	common/base/utf8.c common/base/utf8.h \
	common/base/wheel.c common/base/wheel.h

libfbloop_a_SOURCES = common/base/loop.c

libfbmqtt_a_SOURCES = \
	common/mqtt/client.c common/mqtt/client.h \
	common/mqtt/decode.c common/mqtt/decode.h \
	common/mqtt/decode_connect.c common/mqtt/decode_parts.h \
	common/mqtt/encode.c common/mqtt/encode.h \
	common/mqtt/frame.c common/mqtt/frame.h \
	common/mqtt/packet.h \
	common/mqtt/props.c common/mqtt/props.h common/mqtt/properties.def \
	common/mqtt/reason.c common/mqtt/reason.h common/mqtt/reasons.def \
	common/mqtt/right.c common/mqtt/right.h \
	common/mqtt/topic.c common/mqtt/topic.h

libfbcrypto_a_SOURCES = common/crypto/accept.c common/crypto/accept.h common/crypto/digest.c common/crypto/digest.h \
	common/crypto/passwd.c common/crypto/passwd.h

libfbconfig_a_SOURCES = \
	common/config/check.c \
	common/config/config.c common/config/config.h common/config/keys.def \
	common/config/listener.c common/config/listener_keys.h common/config/listeners.def \
	common/config/dirs.c common/config/dirs.h \
	common/config/forms.c \
	common/config/names.c \
	common/config/print.c common/config/print.h \
	common/config/yaml.c common/config/yaml.h

libfbipc_a_SOURCES = \
	common/ipc/chan.c common/ipc/chan.h \
	common/ipc/codec.c common/ipc/codec.h \
	common/ipc/message.c common/ipc/message.h \
	common/ipc/qops.c common/ipc/qops.h \
	common/ipc/messages.def \
	common/ipc/payloads.def

libfbadmin_a_SOURCES = \
	common/admin/commands.def \
	common/admin/row.c common/admin/row.h \
	common/admin/words.c common/admin/words.h

libfbmetrics_a_SOURCES = \
	common/metrics/metrics.def \
	common/metrics/page.c common/metrics/page.h \
	common/metrics/beat.c common/metrics/beat.h
