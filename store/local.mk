# store/: the process that owns every durable byte. A library for tests, and a small main.
noinst_LIBRARIES += libfbstore.a
libfbstore_a_SOURCES = \
	store/admin.c store/admin.h \
	store/age.c store/age.h \
	store/auth.c store/auth.h \
	store/backup.c store/backup.h \
	store/batch.c store/batch.h \
	store/batch_stream.c store/batch_stream.h \
	store/change.c store/change.h \
	store/checkpoint.c \
	store/check.c store/check.h store/check_record.c \
	store/check_refs.c store/check_refs.h \
	store/db_os.c store/db_os.h \
	store/dump.c store/dump.h \
	store/env.c store/env.h store/env_db.h store/heal.c store/heal.h \
	store/export.c store/export.h \
	store/files.c store/files.h \
	store/import.c store/import.h \
	store/manifest.c store/manifest.h \
	store/numbers.c store/numbers.h \
	store/open.c store/open.h \
	store/opener.c store/opener.h \
	store/owners.c store/owners.h \
	store/pace.c store/pace.h \
	store/qmark.c store/qmark.h \
	store/qstage.c store/qstage.h \
	store/rec.c store/rec.h \
	store/reset.c store/reset.h \
	store/restore.c store/restore.h \
	store/save.c store/save.h \
	store/groups.c store/groups.h \
	store/scan.c store/scan.h \
	store/slots.c store/slots.h \
	store/st_accounts.c store/st_accounts.h \
	store/st_acls.c store/st_acls.h \
	store/st_queue.c store/st_queue.h \
	store/st_queues.c store/st_queues.h \
	store/st_rights.c store/st_rights.h \
	store/st_retained.c store/st_retained.h \
	store/st_sessions.c store/st_sessions.h \
	store/st_sessions_load.c store/st_sessions_load.h \
	store/st_settings.c store/st_settings.h \
	store/st_wills.c store/st_wills.h \
	store/store.c store/store.h \
	store/tables.c store/tables.h store/tables.def \
	store/work.c store/work.h

pkglibexec_PROGRAMS += fubar-store
fubar_store_SOURCES = store/main.c
STORE_LIBS = libfbstore.a libfbcrypto.a libfbadmin.a libfbconfig.a libfbmqtt.a libfbipc.a libfbmetrics.a libfbloop.a libfbbase.a \
	$(EVENT_LIBS) $(CRYPTO_LIBS) $(DB_LIBS) -lpthread
fubar_store_LDADD = $(STORE_LIBS)
